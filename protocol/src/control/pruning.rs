//! What the methods that throw something away for good take and give.
//!
//! Decides how what was thrown away, or would be, looks from outside.

use serde::{Deserialize, Serialize};

use super::methods::DeviceSelector;
use crate::ids::{EntryId, SafeId};

/// `safe.retention`: for how long a safe keeps what was removed or written over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SafeRetention {
    /// The device that has it, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// Days, 7 to 3,650.
    pub days: u64,
}

/// `safe.prune`: throws away for good what was removed or written over long enough ago.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SafePrune {
    /// The device that has it, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// These entries of the trash alone, at most 500.
    #[serde(default)]
    pub entries: Vec<EntryId>,
    /// The trash alone, as much of it as may go: for an owner what was removed 7 days ago.
    #[serde(default)]
    pub trash: bool,
    /// Whether to say what would go, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// Result of `safe.prune`: what went, or would go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafePruned {
    /// Id of the safe that was meant.
    pub safe: SafeId,
    /// Days for which the safe keeps what was removed or written over.
    pub retention_days: u64,
    /// Days that were asked for: fewer than the retention where an owner empties the trash.
    pub days: u64,
    /// Files, folders and links that went, with what was in them.
    pub entries: u64,
    /// Earlier contents of files that went.
    pub versions: u64,
    /// Sealed objects that nothing names any more: the server lets them go after 30 days. 0 in a
    /// dry run, which doesn't look for them.
    pub objects: u64,
    /// What is in the trash or in histories and not old enough yet.
    pub kept: u64,
}
