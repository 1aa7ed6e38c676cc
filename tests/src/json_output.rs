//! docs/schemas/: what each line of `parsecctl --json` looks like, by the name it gives itself in `schema`.
//!
//! Decides which type is behind which name. What only parsecctl says, and the daemon doesn't, is described here.

use std::path::PathBuf;

use parsec_protocol::control::{
    CeremonyId, CeremonyListResult, CeremonyView, DeviceListResult, DeviceView, DoctorResult, EventItem,
    HelloResult, InviteListResult, InviteResult, Member, NetPeers, NetPinged, NetStatus, OrgBootstrapped,
    OrgMoved, Problem, ReceiptListResult, RoadName, Role, StatusResult, StreamId, TokenListResult,
    TokenSelector, TokenUsesResult, TokenView, TrustAcknowledged, TrustImported, TrustLogResult,
    TrustRepaired, TrustShowResult, TrustVerifyResult, UserListResult, UserShowResult,
};
use parsec_protocol::ids::{DeviceId, Email, OrganisationId, Timestamp, Token, UserId};
use parsec_protocol::lab::{Listed, Series, Transcript};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::openrpc::{docs, sent};

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
    transport: Option<RoadName>,
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
    /// `certificate`, `head` or `stray`: a certificate whose log is not in the file.
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

/// A place in a log.
#[derive(Serialize, JsonSchema)]
struct Place {
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
    seen: Place,
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
struct Row {
    name: &'static str,
    events: &'static [&'static str],
    make: fn() -> Value,
}

const fn row<T: JsonSchema>(name: &'static str) -> Row {
    Row { name, events: &[], make: sent::<T> }
}

const fn told<T: JsonSchema>(name: &'static str, events: &'static [&'static str]) -> Row {
    Row { name, events, make: sent::<T> }
}

const TABLE: &[Row] = &[
    told::<Failed>("parsec.error/1", &["error"]),
    row::<StatusResult>("parsec.status/1"),
    row::<OrgBootstrapped>("parsec.org.bootstrap/1"),
    row::<OrgMoved>("parsec.org.server/1"),
    row::<InviteResult>("parsec.invite.user/1"),
    row::<InviteResult>("parsec.invite.device/1"),
    row::<InviteListResult>("parsec.invite.list/1"),
    row::<Cancelled>("parsec.invite.cancel/1"),
    told::<CeremonyView>("parsec.ceremony/1", &["ceremony"]),
    told::<Enrolled>("parsec.ceremony.done/1", &["done"]),
    row::<CeremonyListResult>("parsec.ceremony.list/1"),
    row::<DeviceListResult>("parsec.device.list/1"),
    row::<DeviceView>("parsec.device.unlock/1"),
    row::<DeviceView>("parsec.device.lock/1"),
    row::<Transcript>("parsec.lab/1"),
    row::<Strategies>("parsec.lab.list/1"),
    row::<Series>("parsec.lab.series/1"),
    row::<NetPeers>("parsec.net.peers/1"),
    row::<NetPinged>("parsec.net.ping/1"),
    row::<NetStatus>("parsec.net.status/1"),
    row::<UserListResult>("parsec.user.list/1"),
    row::<TrustLogResult>("parsec.trust.log/1"),
    row::<Exported>("parsec.trust.export/1"),
    row::<TrustImported>("parsec.trust.import/1"),
    row::<ForkFile>("parsec.trust.fork/1"),
    row::<Fork>("parsec.trust.check-fork/1"),
    row::<ReceiptListResult>("parsec.receipt.list/1"),
    row::<ReceiptFile>("parsec.receipt.export/1"),
    row::<Receipt>("parsec.receipt.verify/1"),
    row::<TrustVerifyResult>("parsec.trust.verify/1"),
    row::<TrustShowResult>("parsec.trust.show/1"),
    row::<TrustAcknowledged>("parsec.trust.acknowledge/1"),
    row::<TrustRepaired>("parsec.trust.repair/1"),
    row::<DeviceView>("parsec.device.password/1"),
    row::<Forgotten>("parsec.device.forget/1"),
    row::<DeviceView>("parsec.device.restore/1"),
    row::<Member>("parsec.device.revoke/1"),
    row::<Member>("parsec.user.revoke/1"),
    row::<Member>("parsec.user.profile/1"),
    row::<DoctorResult>("parsec.doctor/1"),
    Row { name: "parsec.event/1", events: &[], make: event },
    row::<Called>("parsec.rpc.call/1"),
    row::<Discovered>("parsec.rpc.discover/1"),
    row::<HelloResult>("parsec.rpc.hello/1"),
    row::<Created>("parsec.token.create/1"),
    row::<TokenListResult>("parsec.token.list/1"),
    row::<TokenSelector>("parsec.token.revoke/1"),
    row::<TokenUsesResult>("parsec.token.uses/1"),
    row::<UserShowResult>("parsec.user.show/1"),
];

/// Every name with its schema.
pub fn schemas() -> impl Iterator<Item = (&'static str, Value)> {
    TABLE.iter().map(|row| (row.name, schema(row)))
}

/// The file of a name: `parsec.status/1` is in docs/schemas/parsec.status.1.json.
#[must_use]
pub fn file(name: &str) -> PathBuf {
    docs("schemas").join(format!("{}.json", name.replace('/', ".")))
}

fn schema(row: &Row) -> Value {
    let mut schema = (row.make)();
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!(row.name);
    match schema.get_mut("oneOf").and_then(Value::as_array_mut) {
        Some(kinds) => kinds.iter_mut().for_each(|kind| sign(kind, row)),
        None => sign(&mut schema, row),
    }
    schema
}

/// Adds the fields that say what a line is.
fn sign(schema: &mut Value, row: &Row) {
    schema["properties"]["schema"] = json!({"const": row.name});
    if !row.events.is_empty() {
        let about = "What happened; left out where a command has one result.";
        schema["properties"]["event"] = json!({"enum": row.events, "description": about});
    }
    if schema["required"].is_null() {
        schema["required"] = json!([]);
    }
    schema["required"].as_array_mut().unwrap().insert(0, json!("schema"));
}
