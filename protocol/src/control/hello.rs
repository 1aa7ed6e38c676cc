//! The first words of a connection, and what the daemon finds when it examines itself.

use serde::{Deserialize, Serialize};

use super::secret::SecretText;
use super::tokens::TokenId;

/// `rpc.hello`: may be left out at the user's own socket; comes first at the plug-in socket.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// The program and its version, for the daemon's log: `parsecctl/0.1.0`. Believed in nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The API version the program was written for, `MAJOR.MINOR`. Another major is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// What `token.create` gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretText>,
}

/// Which socket a program came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Socket {
    /// The user's own socket.
    User,
    /// The plug-in socket, `plugin.sock`, where calls need a token.
    Plugin,
}

/// Result of `rpc.hello`: versions, and what this connection may call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HelloResult {
    /// Version of the daemon's program, such as `0.1.0`.
    pub version: String,
    /// [`super::API_VERSION`] of the daemon.
    pub api_version: String,
    /// The oldest API version that still works with it.
    pub api_oldest: String,
    /// Which socket this is.
    pub socket: Socket,
    /// The token that was recognised.
    pub token: Option<TokenId>,
    /// What this connection may call.
    pub methods: Vec<MethodView>,
}

/// One method that this connection may call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MethodView {
    /// Name of the method, `noun.verb`.
    pub name: String,
    /// What calling it takes: `anyone`, `watch`, `look`, `enrol`, `vouch` or `own`.
    pub permission: String,
    /// Set for one that will go.
    pub deprecated: Option<Deprecation>,
}

/// When a method goes, and what takes its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Deprecation {
    /// API version from which on it should not be used.
    pub since: String,
    /// API version that won't have it any more.
    pub removed: String,
    /// What to use instead.
    pub instead: String,
}

/// How one check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// As it should be.
    Ok,
    /// Could not be looked at; `found` says why.
    Skipped,
    /// Works, but will trouble somebody.
    Warning,
    /// Something does not work, and a person has to act.
    Failed,
}

/// One check of `doctor.run`, or one of a program's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Check {
    /// A stable name: `clock`, `server`, `key_file`, …
    pub name: String,
    /// Of what: a device, a path.
    pub subject: Option<String>,
    /// Verdict of this check.
    pub health: Health,
    /// What was found, in a sentence.
    pub found: String,
    /// What to do; absent if all is well.
    pub remedy: Option<String>,
    /// The exit code of a CLI if it failed, by sysexits.
    pub exit_code: u8,
}

/// Result of `doctor.run`: every check with its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DoctorResult {
    /// In the order they were made.
    pub checks: Vec<Check>,
}
