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

/// `token.create`
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

/// `token.create`
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenCreated {
    /// The token.
    pub token: TokenView,
    /// What the plug-in gives in `rpc.hello`. Shown this once.
    pub secret: SecretText,
}

/// One token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenView {
    /// Which.
    pub id: TokenId,
    /// What it is for.
    pub name: String,
    /// What it allows.
    pub methods: Vec<String>,
    /// Since when.
    pub created: Timestamp,
    /// Until when.
    pub expires: Timestamp,
    /// Calls a minute.
    pub rate_per_minute: u32,
    /// Calls that were answered.
    pub uses: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// When it was used last.
    pub last_used: Option<Timestamp>,
}

/// `token.list`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenListResult {
    /// Oldest first.
    pub tokens: Vec<TokenView>,
}

/// `token.revoke`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TokenSelector {
    /// Which.
    pub id: TokenId,
}

/// `token.uses`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TokenUses {
    /// Only this token's.
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
    /// When.
    pub time: Timestamp,
    /// Whose; absent if what was given is no token.
    pub id: Option<TokenId>,
    /// What it is for.
    pub name: Option<String>,
    /// What was asked.
    pub method: String,
    /// The process that asked.
    pub pid: u32,
    /// Why it was refused; absent if it was answered.
    pub refused: Option<ProblemKind>,
}

/// `token.uses`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenUsesResult {
    /// Newest first.
    pub uses: Vec<TokenUse>,
}
