//! What the methods about the past of a safe take and give: earlier contents of its files, and its
//! trash.
//!
//! Decides how an earlier content and something that was removed look from outside.

use serde::{Deserialize, Serialize};

use super::files::FileEntry;
use super::methods::DeviceSelector;
use super::safes::Person;
use crate::ids::{EntryId, OperationId, SafeId, Timestamp};

/// One content that a file has or had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileVersion {
    /// Names the content: `file.get` and `file.restore` take it.
    pub version: OperationId,
    /// Number of its bytes.
    pub size: u64,
    /// Whether the file has it now.
    pub present: bool,
    /// When it was written, as its author's device says; absent where this device has not got that
    /// part of the journal.
    pub time: Option<Timestamp>,
    /// Who wrote it; likewise, and where the organisation's log does not know them.
    pub by: Option<Person>,
    /// Number of the record that it was shared in; absent while it is not shared.
    pub seq: Option<u64>,
}

/// Contents, or entries of the trash, that one answer holds at most: with a person's name beside
/// each they fit a line twice.
pub const PAST_PAGE_MAX: usize = 500;

/// Parameters of `file.history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FileHistory {
    /// The device that has the safe, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// Path of the file.
    pub path: String,
    /// Go on behind this version, the last one of the answer before.
    #[serde(default)]
    pub after: Option<OperationId>,
}

/// Result of `file.history`: contents of a file that the safe has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileHistoryResult {
    /// Id of the safe that was meant.
    pub safe: SafeId,
    /// The file as it is now.
    pub file: FileEntry,
    /// Its contents, the present one first, then the one before.
    pub versions: Vec<FileVersion>,
    /// Whether there are more: ask again with `after`.
    pub more: bool,
}

/// `file.get`: contents out of a safe, written to the descriptor that comes with the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FileGet {
    /// The device that has the safe, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// Where, from the safe's root, such as `/plans/2027.odt`.
    pub path: String,
    /// Which of its contents; the present one if absent.
    #[serde(default)]
    pub version: Option<OperationId>,
}

/// `file.restore`: a file gets a content again that it had. What it has now stays in its history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FileRestore {
    /// The device that has the safe, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// Path of the file.
    pub path: String,
    /// Which of its contents, as `file.history` names it.
    pub version: OperationId,
    /// Seconds to wait until it is shared, at most 600; 0 if absent: answered when saved.
    #[serde(default)]
    pub wait_seconds: Option<u32>,
}

/// Parameters of `trash.list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TrashList {
    /// The device that has the safe, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// Go on behind this entry, the last one of the answer before.
    #[serde(default)]
    pub after: Option<EntryId>,
}

/// Something that was removed from a safe, and can be brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrashEntry {
    /// What it is; its path is where it was.
    pub file: FileEntry,
    /// When it was removed, as the device says that did.
    pub removed: Timestamp,
    /// Who removed it; absent where the organisation's log does not know them.
    pub by: Option<Person>,
    /// Number of entries that come back with it, itself counted.
    pub entries: u64,
}

/// Result of `trash.list`: what was removed, the last one first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrashListResult {
    /// Id of the safe that was meant.
    pub safe: SafeId,
    /// What was removed, each once: what went with a folder is counted in it.
    pub removed: Vec<TrashEntry>,
    /// Whether there are more: ask again with `after`.
    pub more: bool,
}

/// `trash.restore`: something out of a safe's trash; a folder comes with what went with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TrashRestore {
    /// The device that has the safe, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// Id of what is brought back, as `trash.list` names it.
    pub entry: EntryId,
    /// Where it shall be, the whole path; where it was if absent.
    #[serde(default)]
    pub to: Option<String>,
    /// Seconds to wait until it is shared, at most 600; 0 if absent: answered when saved.
    #[serde(default)]
    pub wait_seconds: Option<u32>,
}
