//! docs/schemas/: what a line of `parsecctl --json` looks like, by the name that stands in it.
//!
//! Decides which type is behind which name, and describes what only parsecctl says.

use std::path::PathBuf;

use parsec_protocol::control::{
    CacheView, CeremonyId, CeremonyListResult, CeremonyView, DeviceListResult, DeviceView, DoctorResult,
    EventItem, FileChanged, FileConflict, FileEntry, FileGot, FileHistoryResult, FileTreeRestored,
    FileUnpinned, HelloResult, InviteListResult, InviteResult, LogRecord, Member, MountListResult, MountView,
    NetPeers, NetPinged, NetStatus, OrgBootstrapped, OrgMoved, Pin, Problem, ReceiptListResult,
    RecoveryDrilled, RecoveryKit, RecoveryListResult, RecoveryShared, RecoveryUsed, Role, SafeConfirmed,
    SafeExported, SafeImported, SafeListResult, SafeMembersResult, SafePruned, SafeShared, SafeShowResult,
    SafeStatusResult, SafeSynced, SafeUnshared, SafeUsed, SafeVerified, SafeView, StatusResult, StreamId,
    TokenListResult, TokenSelector, TokenUsesResult, TokenView, TransportName, TrashEntry, TrustAcknowledged,
    TrustImported, TrustLogResult, TrustRepaired, TrustShowResult, TrustVerifyResult, UserListResult,
    UserRekeyed, UserShowResult,
};
use parsec_protocol::ids::{DeviceId, Email, OrganisationId, SafeId, Timestamp, Token, UserId};
use parsec_protocol::lab::{Listed, Series, Transcript, safes::SafeRun};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use self::sign::sign;
use crate::openrpc::{docs, sent};

mod sign;

/// The last line of a ceremony that was followed to its good end.
#[derive(Serialize, JsonSchema)]
struct Enrolled {
    /// Number of the ceremony in this run.
    id: CeremonyId,
    /// The side that was followed.
    role: Role,
    /// The organisation that was joined.
    organisation: OrganisationId,
    /// The transport that it took.
    transport: Option<TransportName>,
    /// How it ended: always `enrolled`.
    result: String,
    /// Id of the member.
    user: UserId,
    /// Id of the new device.
    device: DeviceId,
    /// SHA-256 of the organisation's root key.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    root_fingerprint: String,
    /// Whether the certificates are known to be in the log yet.
    registered: bool,
}

/// A command that failed.
#[derive(Serialize, JsonSchema)]
struct Failed {
    /// Why; the exit code too.
    problem: Problem,
}
/// A recovery kit that was made.
#[derive(Serialize, JsonSchema)]
struct RecoveryMade {
    /// The kit, in the log.
    kit: RecoveryKit,
    /// Its 24 words; left out where the page went to a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<String>,
    /// The organisation that it is for.
    organisation: OrganisationId,
    /// The metadata server's address.
    server: String,
    /// E-mail address of the member whose kit it is.
    email: Email,
    /// SHA-256 of the root key.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    root_fingerprint: String,
}

/// An invitation that is no more.
#[derive(Serialize, JsonSchema)]
struct Cancelled {
    /// Token of the invitation.
    token: Token,
}

/// The log as a file that was written.
#[derive(Serialize, JsonSchema)]
struct Exported {
    /// Where it was written.
    file: String,
    /// Whose log it is.
    organisation: OrganisationId,
    /// How many certificates it has.
    count: u64,
    /// The log's head, in hexadecimal.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    head: String,
}

/// One device's word for one of two logs.
#[derive(Serialize, JsonSchema)]
struct Witness {
    /// The device that signed.
    device: DeviceId,
    /// Address of the device's member.
    email: Email,
    /// When it was signed, by the device's clock.
    time: Timestamp,
    /// Number of certificates that the device has seen.
    count: u64,
    /// Head of the log that the device has seen, in hexadecimal.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    head: String,
    /// `certificate`, `head` or `foreign_view`: a certificate whose log is not in the file.
    form: String,
}

/// What a fork proof shows.
#[derive(Serialize, JsonSchema)]
struct Fork {
    /// The organisation whose logs these are.
    organisation: OrganisationId,
    /// SHA-256 of the root key that both hang from.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    root_fingerprint: String,
    /// How many certificates both have.
    common: u64,
    /// A word for each log.
    words: [Witness; 2],
    /// Whether one device has given both.
    same_device: bool,
}

/// A fork proof that was written.
#[derive(Serialize, JsonSchema)]
struct ForkFile {
    #[serde(flatten)]
    fork: Fork,
    /// Where it was written.
    file: String,
    /// Number of the alarm that it belongs to.
    alarm: u64,
}

/// A receipt that was written.
#[derive(Serialize, JsonSchema)]
struct ReceiptFile {
    /// Path of the file written.
    file: String,
    /// Id of the device that was let in.
    device: DeviceId,
}

/// A position in a log.
#[derive(Serialize, JsonSchema)]
struct LogPosition {
    /// Number of certificates up to there.
    count: u64,
    /// Head of the log there, in hexadecimal.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    head: String,
}

/// What a receipt says.
#[derive(Serialize, JsonSchema)]
struct Receipt {
    /// The organisation that was joined.
    organisation: OrganisationId,
    /// SHA-256 of the organisation's root key.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    root_fingerprint: String,
    /// The member who was let in, or whose device was.
    user: UserId,
    /// Address of a new member; null where it is a further device of one.
    email: Option<Email>,
    /// Id of the new device.
    device: DeviceId,
    /// Id of the greeter's device.
    greeter: DeviceId,
    /// The key it signed with.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    greeter_key: String,
    /// When the greeter's device signed it.
    time: Timestamp,
    /// `relay` or `p2p`.
    transport: String,
    /// Attempts of the invitation that the greeter's device took part in.
    attempts: u64,
    /// How the greeter gave the code: `picked` or `typed`.
    method: String,
    /// Bits of both codes.
    bits: u64,
    /// Whether the greeter heard the newcomer say that the other code was found.
    heard: bool,
    /// The greeter's view of the log.
    seen: LogPosition,
    /// The ceremony's handshake hash.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    handshake: String,
    /// Whether a log was given, and bears it out.
    in_log: bool,
}

/// A device that is no more.
#[derive(Serialize, JsonSchema)]
struct Forgotten {
    /// Id of the removed device.
    device: DeviceId,
}

/// A token without its secret, which went to a file.
#[derive(Serialize, JsonSchema)]
struct Created {
    /// The token, as lists show it.
    token: TokenView,
    /// What the plug-in gives in `rpc.hello`; left out where it went to a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// A file of a safe that was written to this machine.
#[derive(Serialize, JsonSchema)]
struct Fetched {
    #[serde(flatten)]
    got: FileGot,
    /// Path of the file on this machine, written as paths of safes are.
    written: String,
}

/// One entry of a folder.
#[derive(Serialize, JsonSchema)]
struct ListedEntry {
    #[serde(flatten)]
    entry: FileEntry,
    /// Whether its contents of then are not kept any more; left out where it is as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<bool>,
}

/// Something that was not copied.
#[derive(Serialize, JsonSchema)]
struct LeftOut {
    /// Path of what was left out.
    path: String,
    /// What it is, in words: `symbolic link`, `device`.
    kind: String,
}

/// A folder on which nothing is mounted any more.
#[derive(Serialize, JsonSchema)]
struct Unmounted {
    /// Path of the folder.
    folder: String,
}
/// A folder of a safe that was written to this machine.
#[derive(Serialize, JsonSchema)]
struct FetchedTree {
    /// Path of the folder on this machine, written as paths of safes are.
    written: String,
    /// Path of the folder in the safe.
    path: String,
    /// Number of files that were written.
    files: u64,
    /// Number of folders that are there now, itself not counted.
    folders: u64,
    /// Bytes of all files together.
    bytes: u64,
    /// Number of files that were there already, as they should be.
    unchanged: u64,
    /// What was not copied.
    left_out: Vec<LeftOut>,
    /// The record as of which it is; left out where it is as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<u64>,
    /// Paths of files whose contents of then are not kept any more.
    lost: Vec<String>,
}

/// A folder of this machine that was put into a safe.
#[derive(Serialize, JsonSchema)]
struct PutTree {
    /// Id of the safe.
    safe: SafeId,
    /// Path of the folder in the safe.
    path: String,
    /// Number of files that were put.
    files: u64,
    /// Number of folders, itself counted.
    folders: u64,
    /// Bytes of all files together.
    bytes: u64,
    /// Number of files that the safe had already, as they are here.
    unchanged: u64,
    /// What was not copied.
    left_out: Vec<LeftOut>,
    /// Whether all of it is durable on this device: always true.
    saved: bool,
    /// Whether the server has accepted all of it.
    shared: bool,
    /// What keeps it from being shared; null where nothing does.
    problem: Option<Problem>,
}

/// What an adversary can be.
#[derive(Serialize, JsonSchema)]
struct Strategies {
    /// Every strategy with what it tries.
    strategies: Vec<Listed>,
}

/// The result of any method.
#[derive(Serialize, JsonSchema)]
struct Called {
    /// Name of the method.
    method: String,
    /// What the daemon answered: docs/openrpc.json says what it is.
    result: Value,
}

/// The daemon's description of itself.
#[derive(Serialize, JsonSchema)]
struct Discovered {
    /// The API as an OpenRPC document.
    document: Map<String, Value>,
}

/// What `events --follow-restarts` says by itself.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(dead_code, reason = "only its shape is asked for")]
enum Line {
    /// The daemon went away.
    Disconnected {
        /// Run of the daemon that the last item is of.
        stream: Option<StreamId>,
        /// Number of the last item.
        id: Option<u64>,
    },
    /// The daemon can be reached again.
    Connected,
}

/// An event, or what became of the connection.
fn event() -> Value {
    let (mut items, lines) = (sent::<EventItem>(), sent::<Line>());
    let lines = lines["oneOf"].as_array().unwrap().clone();
    items["oneOf"].as_array_mut().unwrap().extend(lines);
    items
}

/// One name and the type behind it; the events that a line may carry beside it.
struct DocumentKind {
    name: &'static str,
    events: &'static [&'static str],
    make: fn() -> Value,
}

const fn kind<T: JsonSchema>(name: &'static str) -> DocumentKind {
    DocumentKind { name, events: &[], make: sent::<T> }
}

const fn told<T: JsonSchema>(name: &'static str, events: &'static [&'static str]) -> DocumentKind {
    DocumentKind { name, events, make: sent::<T> }
}

const TABLE: &[DocumentKind] = &[
    told::<Failed>("parsec.error/1", &["error"]),
    kind::<StatusResult>("parsec.status/1"),
    kind::<OrgBootstrapped>("parsec.org.bootstrap/1"),
    kind::<OrgMoved>("parsec.org.server/1"),
    kind::<InviteResult>("parsec.invite.user/1"),
    kind::<InviteResult>("parsec.invite.device/1"),
    kind::<InviteListResult>("parsec.invite.list/1"),
    kind::<Cancelled>("parsec.invite.cancel/1"),
    told::<CeremonyView>("parsec.ceremony/1", &["ceremony"]),
    told::<Enrolled>("parsec.ceremony.done/1", &["done"]),
    kind::<CeremonyListResult>("parsec.ceremony.list/1"),
    kind::<DeviceListResult>("parsec.device.list/1"),
    kind::<DeviceView>("parsec.device.unlock/1"),
    kind::<DeviceView>("parsec.device.lock/1"),
    kind::<Transcript>("parsec.lab/1"),
    kind::<Strategies>("parsec.lab.list/1"),
    kind::<SafeRun>("parsec.lab.safe/1"),
    kind::<Series>("parsec.lab.series/1"),
    kind::<NetPeers>("parsec.net.peers/1"),
    kind::<NetPinged>("parsec.net.ping/1"),
    kind::<NetStatus>("parsec.net.status/1"),
    kind::<RecoveryUsed>("parsec.recovery.collect/1"),
    kind::<RecoveryMade>("parsec.recovery.create/1"),
    kind::<RecoveryDrilled>("parsec.recovery.drill/1"),
    kind::<InviteResult>("parsec.recovery.give/1"),
    kind::<RecoveryListResult>("parsec.recovery.list/1"),
    kind::<RecoveryShared>("parsec.recovery.share/1"),
    kind::<RecoveryUsed>("parsec.recovery.use/1"),
    kind::<SafeView>("parsec.safe.accept/1"),
    kind::<CacheView>("parsec.safe.cache/1"),
    kind::<SafeConfirmed>("parsec.safe.confirm/1"),
    kind::<FileConflict>("parsec.safe.conflicts/1"),
    kind::<FileChanged>("parsec.safe.cp/1"),
    kind::<SafeView>("parsec.safe.create/1"),
    kind::<FetchedTree>("parsec.safe.export/1"),
    kind::<SafeExported>("parsec.safe.export-sealed/1"),
    kind::<Fetched>("parsec.safe.get/1"),
    kind::<FetchedTree>("parsec.safe.get-tree/1"),
    kind::<FileHistoryResult>("parsec.safe.history/1"),
    kind::<PutTree>("parsec.safe.import/1"),
    kind::<SafeImported>("parsec.safe.import-sealed/1"),
    kind::<SafeView>("parsec.safe.leave/1"),
    kind::<SafeListResult>("parsec.safe.list/1"),
    kind::<LogRecord>("parsec.safe.log/1"),
    kind::<ListedEntry>("parsec.safe.ls/1"),
    kind::<SafeMembersResult>("parsec.safe.members/1"),
    kind::<FileChanged>("parsec.safe.mkdir/1"),
    kind::<MountView>("parsec.safe.mount/1"),
    kind::<MountListResult>("parsec.safe.mounts/1"),
    kind::<FileChanged>("parsec.safe.mv/1"),
    kind::<SafePruned>("parsec.safe.prune/1"),
    kind::<SafePruned>("parsec.safe.prune-plan/1"),
    kind::<Pin>("parsec.safe.pin/1"),
    kind::<Pin>("parsec.safe.pins/1"),
    kind::<FileChanged>("parsec.safe.put/1"),
    kind::<PutTree>("parsec.safe.put-tree/1"),
    kind::<FileChanged>("parsec.safe.rename/1"),
    kind::<FileChanged>("parsec.safe.restore/1"),
    kind::<FileTreeRestored>("parsec.safe.restore-tree/1"),
    kind::<FileChanged>("parsec.safe.retention/1"),
    kind::<FileChanged>("parsec.safe.rm/1"),
    kind::<SafeShared>("parsec.safe.share/1"),
    kind::<SafeShowResult>("parsec.safe.show/1"),
    kind::<FileEntry>("parsec.safe.stat/1"),
    kind::<SafeStatusResult>("parsec.safe.status/1"),
    kind::<SafeSynced>("parsec.safe.sync/1"),
    kind::<SafeShared>("parsec.safe.takeover/1"),
    kind::<TrashEntry>("parsec.safe.trash/1"),
    kind::<SafeUsed>("parsec.safe.usage/1"),
    kind::<SafeVerified>("parsec.safe.verify/1"),
    kind::<Unmounted>("parsec.safe.unmount/1"),
    kind::<FileUnpinned>("parsec.safe.unpin/1"),
    kind::<SafeUnshared>("parsec.safe.unshare/1"),
    kind::<UserListResult>("parsec.user.list/1"),
    kind::<TrustLogResult>("parsec.trust.log/1"),
    kind::<Exported>("parsec.trust.export/1"),
    kind::<TrustImported>("parsec.trust.import/1"),
    kind::<ForkFile>("parsec.trust.fork/1"),
    kind::<Fork>("parsec.trust.check-fork/1"),
    kind::<ReceiptListResult>("parsec.receipt.list/1"),
    kind::<ReceiptFile>("parsec.receipt.export/1"),
    kind::<Receipt>("parsec.receipt.verify/1"),
    kind::<TrustVerifyResult>("parsec.trust.verify/1"),
    kind::<TrustShowResult>("parsec.trust.show/1"),
    kind::<TrustAcknowledged>("parsec.trust.acknowledge/1"),
    kind::<TrustRepaired>("parsec.trust.repair/1"),
    kind::<DeviceView>("parsec.device.password/1"),
    kind::<Forgotten>("parsec.device.forget/1"),
    kind::<DeviceView>("parsec.device.restore/1"),
    kind::<Member>("parsec.device.revoke/1"),
    kind::<UserRekeyed>("parsec.user.rekey/1"),
    kind::<Member>("parsec.user.revoke/1"),
    kind::<Member>("parsec.user.profile/1"),
    kind::<DoctorResult>("parsec.doctor/1"),
    DocumentKind { name: "parsec.event/1", events: &[], make: event },
    kind::<Called>("parsec.rpc.call/1"),
    kind::<Discovered>("parsec.rpc.discover/1"),
    kind::<HelloResult>("parsec.rpc.hello/1"),
    kind::<Created>("parsec.token.create/1"),
    kind::<TokenListResult>("parsec.token.list/1"),
    kind::<TokenSelector>("parsec.token.revoke/1"),
    kind::<TokenUsesResult>("parsec.token.uses/1"),
    kind::<UserShowResult>("parsec.user.show/1"),
];

/// Every name with its schema.
pub fn schemas() -> impl Iterator<Item = (&'static str, Value)> {
    TABLE.iter().map(|kind| (kind.name, schema(kind)))
}

/// The file of a name: `parsec.status/1` is in docs/schemas/parsec.status.1.json.
#[must_use]
pub fn file(name: &str) -> PathBuf {
    docs("schemas").join(format!("{}.json", name.replace('/', ".")))
}

fn schema(kind: &DocumentKind) -> Value {
    let mut schema = (kind.make)();
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!(kind.name);
    match schema.get_mut("oneOf").and_then(Value::as_array_mut) {
        Some(forms) => forms.iter_mut().for_each(|form| sign(form, kind.name, kind.events)),
        None => sign(&mut schema, kind.name, kind.events),
    }
    schema
}
