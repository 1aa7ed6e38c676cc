//! What a plug-in may be given: a token that names methods, an end and a rate.
//!
//! Decides their shapes. The secret is in the answer to `token.create` and nowhere else.

use serde::{Deserialize, Serialize};

use super::problem::ProblemKind;
use super::secret::SecretText;
use crate::ids::Timestamp;

/// Names a token; not secret. 16 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenId(pub String);

/// Parameters of `token.create`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TokenCreate {
    /// What it is for, in a few words; must not be another token's.
    pub name: String,
    /// What it allows; every one must be allowed at the plug-in socket at all.
    pub methods: Vec<String>,
    /// Days until it ends; 90 if absent, 365 at most.
    #[serde(default)]
    pub days: Option<u32>,
    /// Calls a minute; 120 if absent.
    #[serde(default)]
    pub rate_per_minute: Option<u32>,
}

/// Result of `token.create`: the token, and its secret once.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenCreated {
    /// The token as lists show it.
    pub token: TokenView,
    /// What the plug-in gives in `rpc.hello`. Shown this once.
    pub secret: SecretText,
}

/// One token of a plug-in, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenView {
    /// Id of the token, 8 bytes in hexadecimal.
    pub id: TokenId,
    /// What it is for.
    pub name: String,
    /// Names of the methods that it allows.
    pub methods: Vec<String>,
    /// When the token was made.
    pub created: Timestamp,
    /// When the token ends.
    pub expires: Timestamp,
    /// Most calls in a minute.
    pub rate_per_minute: u32,
    /// Calls that were answered.
    pub uses: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// When it was used last.
    pub last_used: Option<Timestamp>,
}

/// Result of `token.list`: all tokens that have not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenListResult {
    /// Tokens of this daemon, oldest first.
    pub tokens: Vec<TokenView>,
}

/// Parameters of `token.revoke`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TokenSelector {
    /// Id of the token to revoke.
    pub id: TokenId,
}

/// Parameters of `token.uses`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TokenUses {
    /// Id of the only token to show; all tokens if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<TokenId>,
    /// At most so many, the newest; 100 if absent, 1,000 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// One use of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenUse {
    /// When the call came, by the daemon's clock.
    pub time: Timestamp,
    /// Id of the token; absent if the secret was no token's.
    pub id: Option<TokenId>,
    /// What it is for.
    pub name: Option<String>,
    /// Name of the method that was called.
    pub method: String,
    /// The process that asked.
    pub pid: u32,
    /// Why it was refused; absent if it was answered.
    pub refused: Option<ProblemKind>,
}

/// Result of `token.uses`: calls that were made with tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenUsesResult {
    /// Calls on record, newest first.
    pub uses: Vec<TokenUse>,
}
