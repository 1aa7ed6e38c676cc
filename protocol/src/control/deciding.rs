//! What waits for a person in a safe, and their word about it: removals that are many at once,
//! items that a device didn't believe, and a safe that nobody owns any more.
//!
//! Decides that a person's word names exactly what they were shown. Refuses, by having no field for
//! it, a word about whatever else waits by then.

use serde::{Deserialize, Serialize};

use super::methods::DeviceSelector;
use super::safes::{Person, SafeView};
use crate::ids::{OperationId, Timestamp};

/// Why a change waits for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ChangeHeld {
    /// It is one removal too many.
    Removal,
    /// It touches what such a removal does, or takes its place.
    Behind,
    /// One that a newer daemon has. Never sent.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// A removal that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HeldRemoval {
    /// Names the act for ever.
    pub operation: OperationId,
    /// What would be removed, from the safe's root, as this device had it.
    pub path: String,
    /// When it was saved, by this machine's clock.
    pub saved: Timestamp,
    /// Files and folders that everybody would lose sight of.
    pub entries: u64,
}

/// Removals of one safe that wait for a person, because they are many at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HeldRemovals {
    /// The removals, oldest first, at most 500.
    pub removals: Vec<HeldRemoval>,
    /// Number of the removals, those that are not listed included.
    pub count: u64,
    /// Files and folders that all of them would remove.
    pub entries: u64,
    /// Changes that wait behind them, because they touch the same.
    pub behind: u64,
    /// Names exactly these, to be given to `safe.confirm`, hexadecimal.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))]
    pub what: String,
}

/// Why nothing more of a safe is taken in here, until a person has looked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeHalt {
    /// What was found, in a sentence.
    pub found: String,
    /// Certificates of the safe that would be taken in.
    pub certificates: u64,
    /// Records of the safe that would be taken in.
    pub records: u64,
    /// Whose devices made them, in words.
    pub by: Vec<String>,
    /// Names exactly these, to be given to `safe.confirm`, hexadecimal.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))]
    pub what: String,
}

/// A safe that nobody counts as owner of any more: all of them are revoked or without a device, or
/// outsiders by now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeOwnerless {
    /// Members who may take it over, those with the highest role of all who are no outsiders; none
    /// where only outsiders are left.
    pub successors: Vec<Person>,
    /// Whether the device's user is one of them: `safe.takeover` makes them the owner.
    pub mine: bool,
}

/// A member has taken a safe over, of which nobody counted as owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeTakeover {
    /// Who became its owner; absent where the organisation's log does not know them.
    pub by: Option<Person>,
    /// When, as their device says.
    pub time: Timestamp,
    /// Number of the certificate in the safe's log; 1 is the first.
    pub certificate: u64,
    /// Number of records that the journal had then.
    pub record: u64,
}

/// What a person decides about a safe that waits for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SafeDecision {
    /// The removals that wait go out.
    Remove,
    /// They are dropped: what they would have removed stays, and what waits behind them goes out.
    Discard,
    /// What halted the safe is taken in after all, and the safe goes on from there.
    Accept,
    /// One that a newer program has.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// `safe.confirm`: a person's word about what waits for them in a safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SafeConfirm {
    /// The device that has it, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// What the person decides.
    pub decision: SafeDecision,
    /// What they were shown: `what` of `removals`, or of `halt`, in `safe.status`.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))]
    pub what: String,
}

/// Result of `safe.confirm`: what was decided about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeConfirmed {
    /// What the person has decided.
    pub decision: SafeDecision,
    /// Number of removals, or of certificates and records, that it was about.
    pub count: u64,
    /// Files and folders that those removals are of; 0 for `accept`.
    pub entries: u64,
    /// The safe after it.
    pub safe: SafeView,
}
