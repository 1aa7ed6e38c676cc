//! The name of everything that `--json` prints: `parsec.NAME/VERSION`, one for each shape.
//!
//! Decides that there is no shape without a name in this list: what prints takes a [`Schema`], and nobody else can make
//! one. A name keeps its meaning: fields may be added, and what would break a reader gets the next number.

/// One shape's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Schema(&'static str);

impl Schema {
    /// As it is printed.
    pub(crate) const fn name(self) -> &'static str {
        self.0
    }
}

/// Makes the constants and the list of all of them.
macro_rules! schemas {
    ($($name:ident $text:literal $what:literal;)+) => {
        $(#[doc = $what] pub(crate) const $name: Schema = Schema($text);)+

        /// All of them, for documents and tests.
        #[cfg(test)]
        pub(crate) const ALL: &[Schema] = &[$($name),+];
    };
}

schemas! {
    CEREMONY "parsec.ceremony/1" "A ceremony's state: `ceremony …`, and each change while one is followed.";
    CEREMONY_DONE "parsec.ceremony.done/1" "The last line of a ceremony that ended well.";
    CEREMONY_LIST "parsec.ceremony.list/1" "`ceremony list`";
    DEVICE_FORGET "parsec.device.forget/1" "`device forget`";
    DEVICE_LIST "parsec.device.list/1" "`device list`";
    DEVICE_LOCK "parsec.device.lock/1" "`device lock`";
    DEVICE_PASSWORD "parsec.device.password/1" "`device password`";
    DEVICE_RESTORE "parsec.device.restore/1" "`device restore`";
    DEVICE_REVOKE "parsec.device.revoke/1" "`device revoke`: the member whose terminal it was.";
    DEVICE_UNLOCK "parsec.device.unlock/1" "`device unlock`";
    DOCTOR "parsec.doctor/1" "`doctor`";
    ERROR "parsec.error/1" "Any command that failed.";
    EVENT "parsec.event/1" "Each line of `events`.";
    INVITE_CANCEL "parsec.invite.cancel/1" "`invite cancel`";
    INVITE_DEVICE "parsec.invite.device/1" "`invite device`";
    INVITE_LIST "parsec.invite.list/1" "`invite list`";
    INVITE_USER "parsec.invite.user/1" "`invite user`";
    LAB "parsec.lab/1" "`lab --adversary …`, one run: everything that happened, and the verdict.";
    LAB_LIST "parsec.lab.list/1" "`lab --list`";
    LAB_SERIES "parsec.lab.series/1" "`lab`, several runs: counted for each strategy.";
    NET_PEERS "parsec.net.peers/1" "`net peers`";
    NET_PING "parsec.net.ping/1" "`net ping`";
    NET_STATUS "parsec.net.status/1" "`net status`";
    ORG_BOOTSTRAP "parsec.org.bootstrap/1" "`org bootstrap`";
    RECEIPT_EXPORT "parsec.receipt.export/1" "`receipt export`";
    RECEIPT_LIST "parsec.receipt.list/1" "`receipt list`";
    RECEIPT_VERIFY "parsec.receipt.verify/1" "`receipt verify`: what the receipt says, all of it checked.";
    RPC_CALL "parsec.rpc.call/1" "`rpc call`: the method's result, as the daemon sent it, under `result`.";
    RPC_DISCOVER "parsec.rpc.discover/1" "`rpc discover`: the OpenRPC document, under `document`.";
    RPC_HELLO "parsec.rpc.hello/1" "`rpc hello`";
    STATUS "parsec.status/1" "`status`, and each change with `--watch`.";
    TOKEN_CREATE "parsec.token.create/1" "`token create`; `secret` is left out where it went to a file.";
    TOKEN_LIST "parsec.token.list/1" "`token list`";
    TOKEN_REVOKE "parsec.token.revoke/1" "`token revoke`";
    TOKEN_USES "parsec.token.uses/1" "`token uses`";
    TRUST_ACKNOWLEDGE "parsec.trust.acknowledge/1" "`trust acknowledge`";
    TRUST_CHECK_FORK "parsec.trust.check-fork/1" "`trust check-fork`: two words that can't both be true.";
    TRUST_EXPORT "parsec.trust.export/1" "`trust export`";
    TRUST_FORK "parsec.trust.fork/1" "`trust fork`: as `trust check-fork`, and the file.";
    TRUST_IMPORT "parsec.trust.import/1" "`trust import`";
    TRUST_LOG "parsec.trust.log/1" "`trust log`: every certificate from the first that was asked for.";
    TRUST_REPAIR "parsec.trust.repair/1" "`trust repair`";
    TRUST_SHOW "parsec.trust.show/1" "`trust show`";
    TRUST_VERIFY "parsec.trust.verify/1" "`trust verify`";
    USER_LIST "parsec.user.list/1" "`user list`";
    USER_PROFILE "parsec.user.profile/1" "`user profile`: the member as they are now.";
    USER_REVOKE "parsec.user.revoke/1" "`user revoke`: the member as they are now.";
    USER_SHOW "parsec.user.show/1" "`user show`";
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
