//! The name of everything that `--json` prints: `parsec.NAME/VERSION`, one for each shape.
//!
//! Decides that there is no shape without a name in this list: what prints takes a [`Schema`], and
//! nobody else can make one. A name keeps its meaning: fields may be added, and what would break a
//! reader gets the next number.

/// One shape's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Schema(&'static str);

impl Schema {
    /// As it is printed.
    pub(crate) const fn name(self) -> &'static str {
        self.0
    }
}

/// The name of what a command prints that has changed something. A type of its own: such a result
/// can't be printed without a word for the case that stdout takes nothing (`Output::changed`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change(pub(crate) Schema);

impl Schema {
    const fn named(name: &'static str) -> Self {
        Self(name)
    }
}

impl Change {
    const fn named(name: &'static str) -> Self {
        Self(Schema(name))
    }
}

/// Makes the constants and the list of all of them.
macro_rules! schemas {
    ($($kind:ident $name:ident $text:literal $what:literal;)+) => {
        $(#[doc = $what] pub(crate) const $name: $kind = $kind::named($text);)+

        /// All of them, for documents and tests.
        #[cfg(test)]
        pub(crate) const ALL: &[Schema] = &[$(Schema::named($text)),+];
    };
}

schemas! {
    Schema CEREMONY "parsec.ceremony/1" "A ceremony's state: `ceremony …`, and each change while one is followed.";
    Schema CEREMONY_DONE "parsec.ceremony.done/1" "The last line of a ceremony that ended well.";
    Schema CEREMONY_LIST "parsec.ceremony.list/1" "`ceremony list`";
    Change DEVICE_FORGET "parsec.device.forget/1" "`device forget`";
    Schema DEVICE_LIST "parsec.device.list/1" "`device list`";
    Change DEVICE_LOCK "parsec.device.lock/1" "`device lock`";
    Change DEVICE_PASSWORD "parsec.device.password/1" "`device password`";
    Change DEVICE_RESTORE "parsec.device.restore/1" "`device restore`";
    Change DEVICE_REVOKE "parsec.device.revoke/1" "`device revoke`: the member whose device it was.";
    Change DEVICE_UNLOCK "parsec.device.unlock/1" "`device unlock`";
    Schema DOCTOR "parsec.doctor/1" "`doctor`";
    Schema ERROR "parsec.error/1" "Any command that failed.";
    Schema EVENT "parsec.event/1" "Each line of `events`.";
    Change INVITE_CANCEL "parsec.invite.cancel/1" "`invite cancel`";
    Change INVITE_DEVICE "parsec.invite.device/1" "`invite device`";
    Schema INVITE_LIST "parsec.invite.list/1" "`invite list`";
    Change INVITE_USER "parsec.invite.user/1" "`invite user`";
    Schema LAB "parsec.lab/1" "`lab --adversary …`, one run: everything that happened, and the verdict.";
    Schema LAB_LIST "parsec.lab.list/1" "`lab --list`";
    Schema LAB_SAFE "parsec.lab.safe/1" "`lab --adversary safe-…`, one run against a safe: everything that happened, and who noticed what.";
    Schema LAB_SERIES "parsec.lab.series/1" "`lab`, several runs: counted for each strategy.";
    Schema NET_PEERS "parsec.net.peers/1" "`net peers`";
    Schema NET_PING "parsec.net.ping/1" "`net ping`";
    Schema NET_STATUS "parsec.net.status/1" "`net status`";
    Change ORG_BOOTSTRAP "parsec.org.bootstrap/1" "`org bootstrap`";
    Change ORG_SERVER "parsec.org.server/1" "`org server`: the device with its new address, and the links of its open invitations.";
    Change RECEIPT_EXPORT "parsec.receipt.export/1" "`receipt export`";
    Schema RECEIPT_LIST "parsec.receipt.list/1" "`receipt list`";
    Schema RECEIPT_VERIFY "parsec.receipt.verify/1" "`receipt verify`: what the receipt says, all of it checked.";
    Change RECOVERY_COLLECT "parsec.recovery.collect/1" "`recovery collect`, with the last share that was needed, and `recovery collect --finish`: the new device.";
    Change RECOVERY_CREATE "parsec.recovery.create/1" "`recovery create`; `words` is left out where they went to a file.";
    Schema RECOVERY_DRILL "parsec.recovery.drill/1" "`recovery drill`: what the kit has opened.";
    Change RECOVERY_GIVE "parsec.recovery.give/1" "`recovery give`: the invitation.";
    Schema RECOVERY_LIST "parsec.recovery.list/1" "`recovery list`";
    Change RECOVERY_SHARE "parsec.recovery.share/1" "`recovery share`: the kit, and among whom it is split.";
    Change RECOVERY_USE "parsec.recovery.use/1" "`recovery use`: the new device.";
    Schema RPC_CALL "parsec.rpc.call/1" "`rpc call`: the method's result, as the daemon sent it, under `result`.";
    Schema RPC_DISCOVER "parsec.rpc.discover/1" "`rpc discover`: the OpenRPC document, under `document`.";
    Schema RPC_HELLO "parsec.rpc.hello/1" "`rpc hello`";
    Change SAFE_ACCEPT "parsec.safe.accept/1" "`safe accept`: the safe as it is now.";
    Change SAFE_CACHE "parsec.safe.cache/1" "`safe cache`: what is kept on this device, and how much may be.";
    Change SAFE_CONFIRM "parsec.safe.confirm/1" "`safe confirm`: what was decided about.";
    Schema SAFE_CONFLICTS "parsec.safe.conflicts/1" "Each line of `safe conflicts`: one copy.";
    Change SAFE_CP "parsec.safe.cp/1" "`safe cp`";
    Change SAFE_CREATE "parsec.safe.create/1" "`safe create`";
    Schema SAFE_EXPORT "parsec.safe.export/1" "`safe export`: what was written, and what was left out.";
    Schema SAFE_EXPORT_SEALED "parsec.safe.export-sealed/1" "`safe export --sealed`: what the archive holds.";
    Schema SAFE_GET "parsec.safe.get/1" "`safe get`: the file that was written.";
    Schema SAFE_GET_TREE "parsec.safe.get-tree/1" "`safe get -r`: what was written, and what was left out.";
    Schema SAFE_HISTORY "parsec.safe.history/1" "`safe history`";
    Change SAFE_IMPORT "parsec.safe.import/1" "`safe import`: what was put, and what was left out.";
    Change SAFE_IMPORT_SEALED "parsec.safe.import-sealed/1" "`safe import --sealed`: what the archive held, and the new safe.";
    Change SAFE_LEAVE "parsec.safe.leave/1" "`safe leave`: the safe as it is now.";
    Schema SAFE_LIST "parsec.safe.list/1" "`safe list`";
    Schema SAFE_LOG "parsec.safe.log/1" "Each line of `safe log`: one record.";
    Schema SAFE_LS "parsec.safe.ls/1" "Each line of `safe ls`: one entry.";
    Schema SAFE_MEMBERS "parsec.safe.members/1" "`safe members`";
    Change SAFE_MKDIR "parsec.safe.mkdir/1" "`safe mkdir`";
    Change SAFE_MOUNT "parsec.safe.mount/1" "`safe mount`: what is mounted, and where.";
    Schema SAFE_MOUNTS "parsec.safe.mounts/1" "`safe mounts`";
    Change SAFE_MV "parsec.safe.mv/1" "`safe mv`";
    Change SAFE_PIN "parsec.safe.pin/1" "`safe pin`: how far the pin has come.";
    Schema SAFE_PINS "parsec.safe.pins/1" "Each line of `safe pins`: one pin.";
    Change SAFE_PRUNE "parsec.safe.prune/1" "`safe prune`, `safe purge`: what went.";
    Schema SAFE_PRUNE_PLAN "parsec.safe.prune-plan/1" "`safe prune --dry-run`, `safe retention` without days: what would go.";
    Change SAFE_PUT "parsec.safe.put/1" "`safe put`";
    Change SAFE_PUT_TREE "parsec.safe.put-tree/1" "`safe put -r`: what was put, and what was left out.";
    Change SAFE_RENAME "parsec.safe.rename/1" "`safe rename`";
    Change SAFE_RESTORE "parsec.safe.restore/1" "`safe restore`";
    Change SAFE_RESTORE_TREE "parsec.safe.restore-tree/1" "`safe restore --at`, `--record`: what became of how many entries.";
    Change SAFE_RETENTION "parsec.safe.retention/1" "`safe retention` with days";
    Change SAFE_RM "parsec.safe.rm/1" "`safe rm`";
    Change SAFE_SHARE "parsec.safe.share/1" "`safe share`: the member as the safe has them now.";
    Schema SAFE_SHOW "parsec.safe.show/1" "`safe show`";
    Schema SAFE_STAT "parsec.safe.stat/1" "`safe stat`";
    Schema SAFE_STATUS "parsec.safe.status/1" "`safe status`";
    Schema SAFE_SYNC "parsec.safe.sync/1" "`safe sync`, also where it isn't done in time.";
    Change SAFE_TAKEOVER "parsec.safe.takeover/1" "`safe takeover`: its new owner.";
    Schema SAFE_TRASH "parsec.safe.trash/1" "Each line of `safe trash`: something that was removed.";
    Change SAFE_UNMOUNT "parsec.safe.unmount/1" "`safe unmount`: the folder on which nothing is mounted any more.";
    Change SAFE_UNPIN "parsec.safe.unpin/1" "`safe unpin`: what is pinned no more.";
    Change SAFE_UNSHARE "parsec.safe.unshare/1" "`safe unshare`: who is out.";
    Schema SAFE_USAGE "parsec.safe.usage/1" "Each line of `safe usage`: what one safe takes.";
    Schema SAFE_VERIFY "parsec.safe.verify/1" "`safe verify`, also where something is not well.";
    Schema STATUS "parsec.status/1" "`status`, and each change with `--watch`.";
    Change TOKEN_CREATE "parsec.token.create/1" "`token create`; `secret` is left out where it went to a file.";
    Schema TOKEN_LIST "parsec.token.list/1" "`token list`";
    Change TOKEN_REVOKE "parsec.token.revoke/1" "`token revoke`";
    Schema TOKEN_USES "parsec.token.uses/1" "`token uses`";
    Change TRUST_ACKNOWLEDGE "parsec.trust.acknowledge/1" "`trust acknowledge`";
    Schema TRUST_CHECK_FORK "parsec.trust.check-fork/1" "`trust check-fork`: two words that can't both be true.";
    Change TRUST_EXPORT "parsec.trust.export/1" "`trust export`";
    Change TRUST_FORK "parsec.trust.fork/1" "`trust fork`: as `trust check-fork`, and the file.";
    Change TRUST_IMPORT "parsec.trust.import/1" "`trust import`";
    Schema TRUST_LOG "parsec.trust.log/1" "`trust log`: every certificate from the first that was asked for.";
    Schema TRUST_REPAIR "parsec.trust.repair/1" "`trust repair`";
    Schema TRUST_SHOW "parsec.trust.show/1" "`trust show`";
    Schema TRUST_VERIFY "parsec.trust.verify/1" "`trust verify`";
    Schema USER_LIST "parsec.user.list/1" "`user list`";
    Change USER_PROFILE "parsec.user.profile/1" "`user profile`: the member as they are now.";
    Change USER_REKEY "parsec.user.rekey/1" "`user rekey`: the member as they are now, and their new key.";
    Change USER_REVOKE "parsec.user.revoke/1" "`user revoke`: the member as they are now.";
    Schema USER_SHOW "parsec.user.show/1" "`user show`";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_sorted_and_say_their_version() {
        let name = |schema: &Schema| schema.name().split('/').next().map(ToOwned::to_owned);
        assert!(ALL.is_sorted_by(|a, b| name(a) < name(b)));
        for schema in ALL {
            let (name, version) = schema.name().split_once('/').unwrap();
            assert!(name.starts_with("parsec."), "{name}");
            assert!(version.parse::<u32>().unwrap() > 0, "{name}");
        }
    }
}
