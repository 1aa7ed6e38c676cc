//! Method names: `noun.verb`, as in the CLI. A name never changes its meaning.

/// [`super::Hello`] → [`super::HelloResult`]
pub const HELLO: &str = "rpc.hello";
/// The OpenRPC document of this API.
pub const DISCOVER: &str = "rpc.discover";
/// [`super::StatusResult`]
pub const STATUS: &str = "status.show";
/// [`super::OrgBootstrap`] → [`super::OrgBootstrapped`]
pub const ORG_BOOTSTRAP: &str = "org.bootstrap";
/// [`super::OrgServer`] → [`super::OrgMoved`]
pub const ORG_SERVER: &str = "org.server";
/// [`super::DeviceListResult`]
pub const DEVICE_LIST: &str = "device.list";
/// [`super::DeviceUnlock`] → [`super::DeviceView`]
pub const DEVICE_UNLOCK: &str = "device.unlock";
/// [`super::DeviceSelector`] → [`super::DeviceView`]
pub const DEVICE_LOCK: &str = "device.lock";
/// [`super::DevicePassword`] → [`super::DeviceView`]
pub const DEVICE_PASSWORD: &str = "device.password";
/// [`super::DeviceForget`] → [`super::Empty`]
pub const DEVICE_FORGET: &str = "device.forget";
/// [`super::DeviceRestore`] → [`super::DeviceView`]
pub const DEVICE_RESTORE: &str = "device.restore";
/// [`super::DeviceRevoke`] → [`super::Member`]
pub const DEVICE_REVOKE: &str = "device.revoke";
/// [`super::InviteUser`] → [`super::InviteResult`]
pub const INVITE_USER: &str = "invite.user";
/// [`super::InviteDevice`] → [`super::InviteResult`]
pub const INVITE_DEVICE: &str = "invite.device";
/// [`super::DeviceSelector`] → [`super::InviteListResult`]
pub const INVITE_LIST: &str = "invite.list";
/// [`super::InviteCancel`] → [`super::Empty`]
pub const INVITE_CANCEL: &str = "invite.cancel";
/// [`super::GreetStart`] → [`super::CeremonyView`]
pub const GREET_START: &str = "greet.start";
/// [`super::ClaimStart`] → [`super::CeremonyView`]
pub const CLAIM_START: &str = "claim.start";
/// [`super::CeremonyListResult`]
pub const CEREMONY_LIST: &str = "ceremony.list";
/// [`super::CeremonySelector`] → [`super::CeremonyView`]
pub const CEREMONY_SHOW: &str = "ceremony.show";
/// Subscription: [`super::CeremonySelector`]; each item a [`super::CeremonyView`], the present one
/// first; ends with the ceremony.
pub const CEREMONY_WATCH: &str = "ceremony.watch";
/// Ends a subscription of `ceremony.watch`.
pub const CEREMONY_UNWATCH: &str = "ceremony.unwatch";
/// Name of the subscription's notifications.
pub const CEREMONY_CHANGED: &str = "ceremony.changed";
/// [`super::CeremonyChoose`] → [`super::CeremonyView`]
pub const CEREMONY_CHOOSE: &str = "ceremony.choose";
/// [`super::CeremonyIdentify`] → [`super::CeremonyView`]
pub const CEREMONY_IDENTIFY: &str = "ceremony.identify";
/// [`super::CeremonyApprove`] → [`super::CeremonyView`]
pub const CEREMONY_APPROVE: &str = "ceremony.approve";
/// [`super::CeremonyFinish`] → [`super::CeremonyView`]
pub const CEREMONY_FINISH: &str = "ceremony.finish";
/// [`super::CeremonySelector`] → [`super::CeremonyView`]
pub const CEREMONY_CANCEL: &str = "ceremony.cancel";
/// [`super::DeviceSelector`] → [`super::UserListResult`]
pub const USER_LIST: &str = "user.list";
/// [`super::UserShow`] → [`super::UserShowResult`]
pub const USER_SHOW: &str = "user.show";
/// [`super::UserRevoke`] → [`super::Member`]
pub const USER_REVOKE: &str = "user.revoke";
/// [`super::UserProfile`] → [`super::Member`]
pub const USER_PROFILE: &str = "user.profile";
/// [`super::DeviceSelector`] → [`super::UserRekeyed`]
pub const USER_REKEY: &str = "user.rekey";
/// [`super::DeviceSelector`] → [`super::TrustVerifyResult`]
pub const TRUST_VERIFY: &str = "trust.verify";
/// [`super::TrustShow`] → [`super::TrustShowResult`]
pub const TRUST_SHOW: &str = "trust.show";
/// [`super::TrustAcknowledge`] → [`super::TrustAcknowledged`]
pub const TRUST_ACKNOWLEDGE: &str = "trust.acknowledge";
/// [`super::TrustLog`] → [`super::TrustLogResult`]
pub const TRUST_LOG: &str = "trust.log";
/// [`super::TrustExport`] → [`super::TrustExported`]
pub const TRUST_EXPORT: &str = "trust.export";
/// [`super::TrustImport`] → [`super::TrustImported`]
pub const TRUST_IMPORT: &str = "trust.import";
/// [`super::DeviceSelector`] → [`super::TrustRepaired`]
pub const TRUST_REPAIR: &str = "trust.repair";
/// [`super::TrustFork`] → [`super::FilePart`]
pub const TRUST_FORK: &str = "trust.fork";
/// [`super::DeviceSelector`] → [`super::ReceiptListResult`]
pub const RECEIPT_LIST: &str = "receipt.list";
/// [`super::ReceiptExport`] → [`super::FilePart`]
pub const RECEIPT_EXPORT: &str = "receipt.export";
/// [`super::SafeCreate`] → [`super::SafeView`]
pub const SAFE_CREATE: &str = "safe.create";
/// [`super::DeviceSelector`] → [`super::SafeListResult`]
pub const SAFE_LIST: &str = "safe.list";
/// [`super::SafeSelector`] → [`super::SafeShowResult`]
pub const SAFE_SHOW: &str = "safe.show";
/// [`super::SafeSelector`] → [`super::SafeMembersResult`]
pub const SAFE_MEMBERS: &str = "safe.members";
/// [`super::SafeShare`] → [`super::SafeShared`]
pub const SAFE_SHARE: &str = "safe.share";
/// [`super::SafeUnshare`] → [`super::SafeUnshared`]
pub const SAFE_UNSHARE: &str = "safe.unshare";
/// [`super::SafeSelector`] → [`super::SafeShared`]
pub const SAFE_TAKEOVER: &str = "safe.takeover";
/// [`super::SafeSelector`] → [`super::SafeView`]
pub const SAFE_ACCEPT: &str = "safe.accept";
/// [`super::SafeSelector`] → [`super::SafeView`]
pub const SAFE_LEAVE: &str = "safe.leave";
/// [`super::SafeRename`] → [`super::FileChanged`]
pub const SAFE_RENAME: &str = "safe.rename";
/// [`super::SafeStatus`] → [`super::SafeStatusResult`]
pub const SAFE_STATUS: &str = "safe.status";
/// [`super::SafeSync`] → [`super::SafeSynced`]
pub const SAFE_SYNC: &str = "safe.sync";
/// [`super::SafeConfirm`] → [`super::SafeConfirmed`]
pub const SAFE_CONFIRM: &str = "safe.confirm";
/// [`super::FileList`] → [`super::FileListResult`]
pub const FILE_LIST: &str = "file.list";
/// [`super::FileSelector`] → [`super::FileEntry`]
pub const FILE_STAT: &str = "file.stat";
/// [`super::FileMakeFolder`] → [`super::FileChanged`]
pub const FILE_MAKE_FOLDER: &str = "file.make_folder";
/// [`super::FileMove`] → [`super::FileChanged`]
pub const FILE_MOVE: &str = "file.move";
/// [`super::FileMove`] → [`super::FileChanged`]
pub const FILE_COPY: &str = "file.copy";
/// [`super::FileRemove`] → [`super::FileChanged`]
pub const FILE_REMOVE: &str = "file.remove";
/// [`super::FilePut`] → [`super::FileChanged`].
/// One descriptor comes with the request: what is read.
pub const FILE_PUT: &str = "file.put";
/// [`super::FileGet`] → [`super::FileGot`].
/// One descriptor comes with the request: what is written to.
pub const FILE_GET: &str = "file.get";
/// [`super::FilePutMany`] → [`super::FilesChanged`].
/// One descriptor comes with the request: what is read.
pub const FILE_PUT_MANY: &str = "file.put_many";
/// [`super::FileGetMany`] → [`super::FilesGot`].
/// One descriptor comes with the request: what is written to.
pub const FILE_GET_MANY: &str = "file.get_many";
/// [`super::FileConflicts`] → [`super::FileConflictsResult`]
pub const FILE_CONFLICTS: &str = "file.conflicts";
/// [`super::FileSelector`] → [`super::Pin`]
pub const FILE_PIN: &str = "file.pin";
/// [`super::FileUnpin`] → [`super::FileUnpinned`]
pub const FILE_UNPIN: &str = "file.unpin";
/// [`super::FilePins`] → [`super::FilePinsResult`]
pub const FILE_PINS: &str = "file.pins";
/// [`super::DeviceSelector`] → [`super::CacheView`]
pub const CACHE_SHOW: &str = "cache.show";
/// [`super::CacheSet`] → [`super::CacheView`]
pub const CACHE_SET: &str = "cache.set";
/// [`super::DeviceSelector`] → [`super::CacheView`]
pub const CACHE_CLEAR: &str = "cache.clear";
/// [`super::MountStart`] → [`super::MountView`].
/// One descriptor comes with the request: `/dev/fuse`, as it was mounted with.
pub const MOUNT_START: &str = "mount.start";
/// [`super::DeviceSelector`] → [`super::MountListResult`]
pub const MOUNT_LIST: &str = "mount.list";
/// [`super::MountSelector`] → [`super::Empty`]
pub const MOUNT_WAIT: &str = "mount.wait";
/// [`super::MountMark`] → [`super::MarkedMount`]: what is mounted at each unlocking.
pub const MOUNT_MARK: &str = "mount.mark";
/// [`super::MountUnmark`] → [`super::Empty`]
pub const MOUNT_UNMARK: &str = "mount.unmark";
/// [`super::FmStatus`] → [`super::FmStatusResult`]
pub const FM_STATUS: &str = "fm.status";
/// [`super::FmMenu`] → [`super::FmMenuResult`]
pub const FM_MENU: &str = "fm.menu";
/// [`super::FmInvoke`] → [`super::FmInvoked`]
pub const FM_INVOKE: &str = "fm.invoke";
/// [`super::FileHistory`] → [`super::FileHistoryResult`]
pub const FILE_HISTORY: &str = "file.history";
/// [`super::FileRestore`] → [`super::FileChanged`]
pub const FILE_RESTORE: &str = "file.restore";
/// [`super::FileRestoreTree`] → [`super::FileTreeRestored`]
pub const FILE_RESTORE_TREE: &str = "file.restore_tree";
/// [`super::SafeLog`] → [`super::SafeLogResult`]
pub const SAFE_LOG: &str = "safe.log";
/// [`super::SafeRetention`] → [`super::FileChanged`]
pub const SAFE_RETENTION: &str = "safe.retention";
/// [`super::SafePrune`] → [`super::SafePruned`]
pub const SAFE_PRUNE: &str = "safe.prune";
/// [`super::SafeVerify`] → [`super::SafeVerified`].
/// One descriptor comes with the request: its place says how far the work has come.
pub const SAFE_VERIFY: &str = "safe.verify";
/// [`super::SafeExport`], with a file → [`super::SafeExported`]
pub const SAFE_EXPORT: &str = "safe.export";
/// [`super::SafeImport`], with a file → [`super::SafeImported`]
pub const SAFE_IMPORT: &str = "safe.import";
/// [`super::SafeRoom`] → [`super::SafeRoomResult`]
pub const SAFE_ROOM: &str = "safe.room";
/// [`super::SafeUsage`] → [`super::SafeUsageResult`]
pub const SAFE_USAGE: &str = "safe.usage";
/// [`super::TrashList`] → [`super::TrashListResult`]
pub const TRASH_LIST: &str = "trash.list";
/// [`super::TrashRestore`] → [`super::FileChanged`]
pub const TRASH_RESTORE: &str = "trash.restore";
/// [`super::RecoveryCreate`] → [`super::RecoveryCreated`]
pub const RECOVERY_CREATE: &str = "recovery.create";
/// [`super::RecoveryShare`] → [`super::RecoveryShared`]
pub const RECOVERY_SHARE: &str = "recovery.share";
/// [`super::RecoveryGive`] → [`super::InviteResult`]
pub const RECOVERY_GIVE: &str = "recovery.give";
/// [`super::RecoveryCombine`] → [`super::RecoveryUsed`]
pub const RECOVERY_COMBINE: &str = "recovery.combine";
/// [`super::DeviceSelector`] → [`super::RecoveryListResult`]
pub const RECOVERY_LIST: &str = "recovery.list";
/// [`super::RecoveryDrill`] → [`super::RecoveryDrilled`]
pub const RECOVERY_DRILL: &str = "recovery.drill";
/// [`super::RecoveryUse`] → [`super::RecoveryUsed`]
pub const RECOVERY_USE: &str = "recovery.use";
/// Subscription: [`super::EventsWatch`]; each item an [`super::EventItem`]; ends with the
/// connection.
pub const EVENTS_WATCH: &str = "events.watch";
/// Ends a subscription of `events.watch`.
pub const EVENTS_UNWATCH: &str = "events.unwatch";
/// Name of the subscription's notifications.
pub const EVENTS_ITEM: &str = "events.item";
/// [`super::TokenCreate`] → [`super::TokenCreated`]
pub const TOKEN_CREATE: &str = "token.create";
/// [`super::TokenListResult`]
pub const TOKEN_LIST: &str = "token.list";
/// [`super::TokenSelector`] → [`super::Empty`]
pub const TOKEN_REVOKE: &str = "token.revoke";
/// [`super::TokenUses`] → [`super::TokenUsesResult`]
pub const TOKEN_USES: &str = "token.uses";
/// [`super::DoctorResult`]
pub const DOCTOR: &str = "doctor.run";
/// [`super::NetStatus`]
pub const NET_STATUS: &str = "net.status";
/// [`super::NetPeers`]
pub const NET_PEERS: &str = "net.peers";
/// [`super::NetPing`] → [`super::NetPinged`]
pub const NET_PING: &str = "net.ping";

/// Methods that will go: name, since which version it should not be used, which version won't have
/// it, what to use instead. docs/local-api.md, *Versions*, says how long each stays. None so far.
const GOING: &[(&str, &str, &str, &str)] = &[];

/// Whether a method will go.
#[must_use]
pub fn deprecation(name: &str) -> Option<super::Deprecation> {
    GOING.iter().find(|(going, ..)| *going == name).map(|(_, since, removed, instead)| super::Deprecation {
        since: (*since).to_owned(),
        removed: (*removed).to_owned(),
        instead: (*instead).to_owned(),
    })
}
