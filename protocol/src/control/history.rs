//! What the methods about the past of a safe take and give: earlier contents of its files, and its
//! trash.
//!
//! Decides how an earlier content and something that was removed look from outside.

use serde::{Deserialize, Serialize};

use super::deciding::SafeTakeover;
use super::files::{FileChanged, FileEntry};
use super::methods::DeviceSelector;
use super::safes::Person;
use crate::ids::{EntryId, Label, OperationId, SafeId, Timestamp};

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
    /// Which of its contents; the present one if absent. Not together with `at` or `record`.
    #[serde(default)]
    pub version: Option<OperationId>,
    /// As of this moment, by the dates of the safe's records; as it is now if absent.
    #[serde(default)]
    pub at: Option<Timestamp>,
    /// As of this record, itself included; not together with `at`.
    #[serde(default)]
    pub record: Option<u64>,
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

/// Records that one answer of `safe.log` holds at most: with a person's name beside each they fit a
/// line.
pub const SAFE_LOG_PAGE_MAX: u64 = 200;

/// Parameters of `safe.log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SafeLog {
    /// The device that has the safe, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// Go on before this record, the last one of the answer before.
    #[serde(default)]
    pub before: Option<u64>,
}

/// One record of a safe's journal, as what it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogRecord {
    /// Number of the record; 1 is the first.
    pub seq: u64,
    /// When it was written, as its author's device says.
    pub time: Timestamp,
    /// Who wrote it; absent where the organisation's log does not know them.
    pub by: Option<Person>,
    /// Label of the device that wrote it; likewise.
    pub device: Option<Label>,
    /// Entries that it added.
    pub added: u64,
    /// Files that it gave other contents.
    pub contents: u64,
    /// Entries that it moved or renamed.
    pub moved: u64,
    /// Entries that it removed, each with what is in it.
    pub removed: u64,
    /// Entries that it brought back.
    pub restored: u64,
    /// Entries of the trash, and earlier contents, that it threw away for good.
    pub pruned: u64,
    /// Everything else: dates, names of the safe.
    pub other: u64,
    /// Whether this device can't read it, or an owner has declared its key lost: the counts are 0
    /// then. One that breaks a rule of the tree is counted as it says, and changes nothing.
    pub unread: bool,
    /// Who took the safe over behind this record and before the next, at most 16: nobody counted as
    /// its owner any more.
    #[serde(default)]
    pub takeovers: Vec<SafeTakeover>,
}

/// Result of `safe.log`: what was done in a safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeLogResult {
    /// Id of the safe that was meant.
    pub safe: SafeId,
    /// The last one first.
    pub records: Vec<LogRecord>,
    /// Whether there are more: ask again with `before`.
    pub more: bool,
}

/// `file.restore_tree`: a file, or what is in a folder, as it was. Nothing is destroyed: contents
/// of now stay in the history, what goes is in the trash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FileRestoreTree {
    /// The device that has the safe, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// Path of the file or folder: where it is, or was then; `/` is the whole safe.
    pub path: String,
    /// As of this moment; either this or `record`.
    #[serde(default)]
    pub at: Option<Timestamp>,
    /// As of this record, itself included, as `safe.log` has it.
    #[serde(default)]
    pub record: Option<u64>,
    /// Whether what has come since goes to the trash. Otherwise it stays, under another name where
    /// it is in the way.
    #[serde(default)]
    pub exact: bool,
    /// Whether to say what would be done, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Seconds to wait until it is shared, at most 600; 0 if absent: answered when saved.
    #[serde(default)]
    pub wait_seconds: Option<u32>,
}

/// Result of `file.restore_tree`: what became of how many entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileTreeRestored {
    /// Id of the safe that was meant.
    pub safe: SafeId,
    /// The last record of what was.
    pub record: u64,
    /// When that was written, as its author's device says.
    pub time: Timestamp,
    /// Entries out of the trash.
    pub restored: u64,
    /// Entries that went back to the place or name they had.
    pub moved: u64,
    /// Files that got back a content they had.
    pub contents: u64,
    /// Files that got back a date or mark, and nothing else.
    pub attributes: u64,
    /// Entries that had come since and are in the trash now, each with what is in it.
    pub removed: u64,
    /// Entries that had come since and have another name now.
    pub renamed: u64,
    /// Entries that could not come back.
    pub lost: u64,
    /// How far it has come; absent for a dry run.
    pub change: Option<FileChanged>,
}
