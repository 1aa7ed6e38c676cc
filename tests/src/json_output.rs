//! docs/schemas/: what each line of `parsecctl --json` looks like, by the name it gives itself in `schema`.
//!
//! Decides which type is behind which name. What only parsecctl says, and the daemon doesn't, is described here.

use std::path::PathBuf;

use parsec_protocol::control::{
    CeremonyId, CeremonyListResult, CeremonyView, DeviceListResult, DeviceView, InviteListResult,
    InviteResult, OrgBootstrapped, Problem, Role, StatusResult, TrustShowResult, TrustVerifyResult,
    UserListResult,
};
use parsec_protocol::ids::{DeviceId, OrganisationId, Token, UserId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::openrpc::{docs, sent};

/// The last line of a ceremony that was followed to its good end.
#[derive(Serialize, JsonSchema)]
struct Enrolled {
    /// Which ceremony.
    id: CeremonyId,
    /// Which side this was.
    role: Role,
    /// Where.
    organisation: OrganisationId,
    /// `enrolled`
    result: String,
    /// The member.
    user: UserId,
    /// The terminal.
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
    /// Which.
    token: Token,
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
    row::<UserListResult>("parsec.user.list/1"),
    row::<TrustVerifyResult>("parsec.trust.verify/1"),
    row::<TrustShowResult>("parsec.trust.show/1"),
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
    schema["properties"]["schema"] = json!({"const": row.name});
    if !row.events.is_empty() {
        let about = "What happened; left out where a command has one result.";
        schema["properties"]["event"] = json!({"enum": row.events, "description": about});
    }
    if let Some(required) = schema["required"].as_array_mut() {
        required.insert(0, json!("schema"));
    }
    schema
}
