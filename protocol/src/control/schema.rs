//! The local API as JSON Schemas: what docs/openrpc.json and docs/schemas are made from.
//!
//! Decides which types each method takes and gives, in one table, and how an identifier looks from
//! outside: its pattern and bounds. Refuses to be part of a shipped program: behind the feature
//! `schema`, for documents and tests.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    CacheSet, CacheView, CeremonyApprove, CeremonyChoose, CeremonyFinish, CeremonyIdentify,
    CeremonyListResult, CeremonySelector, CeremonyView, ClaimStart, DeviceForget, DeviceListResult,
    DevicePassword, DeviceRestore, DeviceRevoke, DeviceSelector, DeviceUnlock, DeviceView, DoctorResult,
    Empty, EventItem, EventsWatch, FileBytes, FileChanged, FileConflicts, FileConflictsResult, FileEntry,
    FileGet, FileGetMany, FileGot, FileHistory, FileHistoryResult, FileList, FileListResult, FileMakeFolder,
    FileMove, FilePart, FilePins, FilePinsResult, FilePut, FilePutMany, FileRemove, FileRestore,
    FileRestoreTree, FileSelector, FileTreeRestored, FileUnpin, FileUnpinned, FilesChanged, FilesGot,
    FmInvoke, FmInvoked, FmMenu, FmMenuResult, FmStatus, FmStatusResult, GreetStart, Hello, HelloResult,
    InviteCancel, InviteDevice, InviteListResult, InviteResult, InviteUser, MarkedMount, Member,
    MountListResult, MountMark, MountSelector, MountStart, MountUnmark, MountView, NetPeers, NetPing,
    NetPinged, NetStatus, OrgBootstrap, OrgBootstrapped, OrgMoved, OrgServer, Pin, ReceiptExport,
    ReceiptListResult, RecoveryCombine, RecoveryCreate, RecoveryCreated, RecoveryDrill, RecoveryDrilled,
    RecoveryGive, RecoveryListResult, RecoveryShare, RecoveryShared, RecoveryUse, RecoveryUsed, SafeConfirm,
    SafeConfirmed, SafeCreate, SafeExport, SafeExported, SafeImport, SafeImported, SafeListResult, SafeLog,
    SafeLogResult, SafeMembersResult, SafePrune, SafePruned, SafeRename, SafeRetention, SafeRoom,
    SafeRoomResult, SafeSelector, SafeShare, SafeShared, SafeShowResult, SafeStatus, SafeStatusResult,
    SafeSync, SafeSynced, SafeUnshare, SafeUnshared, SafeUsage, SafeUsageResult, SafeVerified, SafeVerify,
    SafeView, SecretText, StatusResult, StreamId, TokenCreate, TokenCreated, TokenId, TokenListResult,
    TokenSelector, TokenUses, TokenUsesResult, TrashList, TrashListResult, TrashRestore, TrustAcknowledge,
    TrustAcknowledged, TrustExport, TrustExported, TrustFork, TrustImport, TrustImported, TrustLog,
    TrustLogResult, TrustRepaired, TrustShow, TrustShowResult, TrustVerifyResult, UserListResult,
    UserProfile, UserRekeyed, UserRevoke, UserShow, UserShowResult, method,
};
use crate::ids::{
    AttemptId, DeviceId, Email, EntryId, Label, OperationId, OrganisationId, SafeId, Timestamp, Token, UserId,
};
use crate::limits::{EMAIL_MAX_BYTES, NAME_MAX_BYTES};

/// Makes the schema of one type.
pub type Make = fn(&mut SchemaGenerator) -> Schema;

/// One method as another program sees it.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Name of the method, `noun.verb`.
    pub name: &'static str,
    /// Schema of the parameters.
    pub takes: Takes,
    /// Schema of the result.
    pub gives: Make,
    /// What follows the answer, if it is a subscription.
    pub follows: Option<Follows>,
}

/// How parameters are given.
#[derive(Debug, Clone, Copy)]
pub enum Takes {
    /// An object: the fields of this type.
    Fields(Make),
    /// An array with the id of a subscription, to end it.
    Subscription,
}

/// The notifications of a subscription.
#[derive(Debug, Clone, Copy)]
pub struct Follows {
    /// Name of the notification's method.
    pub notification: &'static str,
    /// Schema of what each notification carries.
    pub item: Make,
    /// The method that ends them.
    pub end: &'static str,
}

const fn call<P: JsonSchema, R: JsonSchema>(name: &'static str) -> Shape {
    Shape { name, takes: Takes::Fields(whole::<P>), gives: reference::<R>, follows: None }
}

const fn watch<P: JsonSchema, I: JsonSchema>(
    name: &'static str,
    notification: &'static str,
    end: &'static str,
) -> Shape {
    let follows = Follows { notification, item: reference::<I>, end };
    Shape { name, takes: Takes::Fields(whole::<P>), gives: subscription, follows: Some(follows) }
}

const fn unwatch(name: &'static str) -> Shape {
    Shape { name, takes: Takes::Subscription, gives: reference::<bool>, follows: None }
}

fn whole<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    T::json_schema(generator)
}

fn reference<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The id of a subscription.
#[must_use]
pub fn subscription(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "minimum": 0, "description": "Names the subscription within this connection."})
}

fn document(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "required": ["openrpc", "info", "methods"], "description": "The API as an OpenRPC 1.3 document."})
}

/// All methods there can be.
pub const SHAPES: &[Shape] = &[
    call::<Hello, HelloResult>(method::HELLO),
    Shape { name: method::DISCOVER, takes: Takes::Fields(whole::<Empty>), gives: document, follows: None },
    call::<Empty, StatusResult>(method::STATUS),
    call::<OrgBootstrap, OrgBootstrapped>(method::ORG_BOOTSTRAP),
    call::<OrgServer, OrgMoved>(method::ORG_SERVER),
    call::<Empty, DeviceListResult>(method::DEVICE_LIST),
    call::<DeviceUnlock, DeviceView>(method::DEVICE_UNLOCK),
    call::<DeviceSelector, DeviceView>(method::DEVICE_LOCK),
    call::<DevicePassword, DeviceView>(method::DEVICE_PASSWORD),
    call::<DeviceForget, Empty>(method::DEVICE_FORGET),
    call::<DeviceRestore, DeviceView>(method::DEVICE_RESTORE),
    call::<DeviceRevoke, Member>(method::DEVICE_REVOKE),
    call::<InviteUser, InviteResult>(method::INVITE_USER),
    call::<InviteDevice, InviteResult>(method::INVITE_DEVICE),
    call::<DeviceSelector, InviteListResult>(method::INVITE_LIST),
    call::<InviteCancel, Empty>(method::INVITE_CANCEL),
    call::<GreetStart, CeremonyView>(method::GREET_START),
    call::<ClaimStart, CeremonyView>(method::CLAIM_START),
    call::<Empty, CeremonyListResult>(method::CEREMONY_LIST),
    call::<CeremonySelector, CeremonyView>(method::CEREMONY_SHOW),
    call::<CeremonyChoose, CeremonyView>(method::CEREMONY_CHOOSE),
    call::<CeremonyIdentify, CeremonyView>(method::CEREMONY_IDENTIFY),
    call::<CeremonyApprove, CeremonyView>(method::CEREMONY_APPROVE),
    call::<CeremonyFinish, CeremonyView>(method::CEREMONY_FINISH),
    call::<CeremonySelector, CeremonyView>(method::CEREMONY_CANCEL),
    watch::<CeremonySelector, CeremonyView>(
        method::CEREMONY_WATCH,
        method::CEREMONY_CHANGED,
        method::CEREMONY_UNWATCH,
    ),
    unwatch(method::CEREMONY_UNWATCH),
    watch::<EventsWatch, EventItem>(method::EVENTS_WATCH, method::EVENTS_ITEM, method::EVENTS_UNWATCH),
    unwatch(method::EVENTS_UNWATCH),
    call::<DeviceSelector, UserListResult>(method::USER_LIST),
    call::<UserShow, UserShowResult>(method::USER_SHOW),
    call::<UserRevoke, Member>(method::USER_REVOKE),
    call::<UserProfile, Member>(method::USER_PROFILE),
    call::<DeviceSelector, UserRekeyed>(method::USER_REKEY),
    call::<DeviceSelector, TrustVerifyResult>(method::TRUST_VERIFY),
    call::<TrustShow, TrustShowResult>(method::TRUST_SHOW),
    call::<TrustAcknowledge, TrustAcknowledged>(method::TRUST_ACKNOWLEDGE),
    call::<TrustLog, TrustLogResult>(method::TRUST_LOG),
    call::<TrustExport, TrustExported>(method::TRUST_EXPORT),
    call::<TrustImport, TrustImported>(method::TRUST_IMPORT),
    call::<DeviceSelector, TrustRepaired>(method::TRUST_REPAIR),
    call::<TrustFork, FilePart>(method::TRUST_FORK),
    call::<DeviceSelector, ReceiptListResult>(method::RECEIPT_LIST),
    call::<ReceiptExport, FilePart>(method::RECEIPT_EXPORT),
    call::<SafeCreate, SafeView>(method::SAFE_CREATE),
    call::<DeviceSelector, SafeListResult>(method::SAFE_LIST),
    call::<SafeSelector, SafeShowResult>(method::SAFE_SHOW),
    call::<SafeSelector, SafeMembersResult>(method::SAFE_MEMBERS),
    call::<SafeShare, SafeShared>(method::SAFE_SHARE),
    call::<SafeUnshare, SafeUnshared>(method::SAFE_UNSHARE),
    call::<SafeSelector, SafeShared>(method::SAFE_TAKEOVER),
    call::<SafeSelector, SafeView>(method::SAFE_ACCEPT),
    call::<SafeSelector, SafeView>(method::SAFE_LEAVE),
    call::<SafeRename, FileChanged>(method::SAFE_RENAME),
    call::<SafeStatus, SafeStatusResult>(method::SAFE_STATUS),
    call::<SafeSync, SafeSynced>(method::SAFE_SYNC),
    call::<SafeConfirm, SafeConfirmed>(method::SAFE_CONFIRM),
    call::<FileList, FileListResult>(method::FILE_LIST),
    call::<FileSelector, FileEntry>(method::FILE_STAT),
    call::<FileMakeFolder, FileChanged>(method::FILE_MAKE_FOLDER),
    call::<FileMove, FileChanged>(method::FILE_MOVE),
    call::<FileMove, FileChanged>(method::FILE_COPY),
    call::<FileRemove, FileChanged>(method::FILE_REMOVE),
    call::<FilePut, FileChanged>(method::FILE_PUT),
    call::<FilePutMany, FilesChanged>(method::FILE_PUT_MANY),
    call::<FileGetMany, FilesGot>(method::FILE_GET_MANY),
    call::<FileGet, FileGot>(method::FILE_GET),
    call::<FileConflicts, FileConflictsResult>(method::FILE_CONFLICTS),
    call::<FileSelector, Pin>(method::FILE_PIN),
    call::<FileUnpin, FileUnpinned>(method::FILE_UNPIN),
    call::<FilePins, FilePinsResult>(method::FILE_PINS),
    call::<DeviceSelector, CacheView>(method::CACHE_SHOW),
    call::<CacheSet, CacheView>(method::CACHE_SET),
    call::<DeviceSelector, CacheView>(method::CACHE_CLEAR),
    call::<MountStart, MountView>(method::MOUNT_START),
    call::<DeviceSelector, MountListResult>(method::MOUNT_LIST),
    call::<MountSelector, Empty>(method::MOUNT_WAIT),
    call::<MountMark, MarkedMount>(method::MOUNT_MARK),
    call::<MountUnmark, Empty>(method::MOUNT_UNMARK),
    call::<FmStatus, FmStatusResult>(method::FM_STATUS),
    call::<FmMenu, FmMenuResult>(method::FM_MENU),
    call::<FmInvoke, FmInvoked>(method::FM_INVOKE),
    call::<FileHistory, FileHistoryResult>(method::FILE_HISTORY),
    call::<FileRestore, FileChanged>(method::FILE_RESTORE),
    call::<FileRestoreTree, FileTreeRestored>(method::FILE_RESTORE_TREE),
    call::<SafeLog, SafeLogResult>(method::SAFE_LOG),
    call::<SafeRetention, FileChanged>(method::SAFE_RETENTION),
    call::<SafePrune, SafePruned>(method::SAFE_PRUNE),
    call::<SafeVerify, SafeVerified>(method::SAFE_VERIFY),
    call::<SafeUsage, SafeUsageResult>(method::SAFE_USAGE),
    call::<SafeRoom, SafeRoomResult>(method::SAFE_ROOM),
    call::<SafeExport, SafeExported>(method::SAFE_EXPORT),
    call::<SafeImport, SafeImported>(method::SAFE_IMPORT),
    call::<TrashList, TrashListResult>(method::TRASH_LIST),
    call::<TrashRestore, FileChanged>(method::TRASH_RESTORE),
    call::<RecoveryCreate, RecoveryCreated>(method::RECOVERY_CREATE),
    call::<RecoveryShare, RecoveryShared>(method::RECOVERY_SHARE),
    call::<RecoveryGive, InviteResult>(method::RECOVERY_GIVE),
    call::<RecoveryCombine, RecoveryUsed>(method::RECOVERY_COMBINE),
    call::<DeviceSelector, RecoveryListResult>(method::RECOVERY_LIST),
    call::<RecoveryDrill, RecoveryDrilled>(method::RECOVERY_DRILL),
    call::<RecoveryUse, RecoveryUsed>(method::RECOVERY_USE),
    call::<TokenCreate, TokenCreated>(method::TOKEN_CREATE),
    call::<Empty, TokenListResult>(method::TOKEN_LIST),
    call::<TokenSelector, Empty>(method::TOKEN_REVOKE),
    call::<TokenUses, TokenUsesResult>(method::TOKEN_USES),
    call::<Empty, DoctorResult>(method::DOCTOR),
    call::<Empty, NetStatus>(method::NET_STATUS),
    call::<Empty, NetPeers>(method::NET_PEERS),
    call::<NetPing, NetPinged>(method::NET_PING),
];

/// Settings for schemas that OpenRPC takes: draft 7, definitions under `path`.
#[must_use]
pub fn settings(path: &'static str) -> SchemaSettings {
    SchemaSettings::draft07().with(|settings| {
        settings.definitions_path = path.into();
        settings.meta_schema = None;
    })
}

/// Describes types that are written as one JSON value.
macro_rules! described {
    ($($type:ty, $name:literal => $schema:tt;)+) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )+};
}

described! {
    FileBytes, "FileBytes" => {"type": "string", "pattern": "^[A-Za-z0-9_-]*$", "description": "Bytes of a file, in base64url without padding (RFC 4648 section 5)."};
    UserId, "UserId" => {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "Id of a member: 16 bytes in hexadecimal."};
    DeviceId, "DeviceId" => {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "Id of a device: 16 bytes in hexadecimal."};
    SafeId, "SafeId" => {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "Id of a safe: 16 bytes in hexadecimal."};
    EntryId, "EntryId" => {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "Id of a file or folder of a safe: 16 bytes in hexadecimal."};
    OperationId, "OperationId" => {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "Names one change of a safe: 16 bytes in hexadecimal."};
    Token, "Token" => {
        "type": "string", "pattern": "^[0-9a-f]{32}$",
        "description": "Names an invitation. Not for strangers: it admits to the invitation's relay."
    };
    AttemptId, "AttemptId" => {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "Names one run of a ceremony."};
    TokenId, "TokenId" => {"type": "string", "pattern": "^[0-9a-f]{16}$", "description": "Names a plug-in's token. Not secret."};
    StreamId, "StreamId" => {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "Names one run of the daemon."};
    Timestamp, "Timestamp" => {
        "type": "integer", "minimum": 0, "maximum": 18_446_744_073_709_551_615_u64,
        "description": "Microseconds since 1970-01-01T00:00:00 UTC."
    };
    OrganisationId, "OrganisationId" => {
        "type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,31}$", "description": "An organisation's name on its server."
    };
    Email, "Email" => {
        "type": "string", "maxLength": EMAIL_MAX_BYTES,
        "pattern": "^(?=[^@]{1,64}@)[!#$%&'*+/0-9=?A-Z^_`a-z{|}~-]+([.][!#$%&'*+/0-9=?A-Z^_`a-z{|}~-]+)*@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$",
        "description": "An e-mail address in ASCII. Upper case is turned into lower case."
    };
    Label, "Label" => {
        "type": "string", "minLength": 1, "maxLength": NAME_MAX_BYTES,
        "pattern": "^[^\\x00-\\x20\\x7f-\\xa0]([^\\x00-\\x1f\\x7f-\\x9f]*[^\\x00-\\x20\\x7f-\\xa0])?$",
        "description": "A name (docs/protocol.md, *Names*): 1 to 64 characters as people count them and at most 512 bytes of UTF-8, given in any form and kept in form C; no spaces at the ends, no control, direction or misplaced invisible characters."
    };
}

/// A secret has no name among the schemas: it is one where it is used.
impl JsonSchema for SecretText {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "SecretText".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = json_schema!({"type": "string", "format": "password", "x-secret": true});
        if generator.contract().is_deserialize() {
            // Goes in and never comes back.
            schema.insert("writeOnly".to_owned(), true.into());
        }
        schema
    }
}
