//! What the methods about the files of a safe take and give. Contents are in none of them: they go
//! through a file descriptor that comes with the request.
//!
//! Decides how an entry looks from outside; [`super::paths`] how a path is written.

use serde::{Deserialize, Serialize};

use super::keeping::FileHere;
use super::methods::DeviceSelector;
use super::problem::Problem;
use crate::ids::{EntryId, OperationId, SafeId, Timestamp, UserId};

/// Entries that one answer of `file.list` or `file.conflicts` holds at most: with paths of a usual
/// length they fit a line twice; an answer with long paths holds fewer.
pub const FILES_PAGE_MAX: usize = 1_000;

/// What an entry of a safe is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// Holds other entries of the safe.
    Folder,
    /// Has contents, and versions of them.
    File,
    /// Names another place by its path.
    Symlink,
    /// One that a newer daemon has. Never sent.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// One file, folder or symbolic link of a safe, as this device sees it: what it has saved is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileEntry {
    /// Where it is, from the safe's root.
    pub path: String,
    /// Id of the entry, which stays when it is moved.
    pub entry: EntryId,
    /// Whether it is a file, a folder or a symbolic link.
    pub kind: FileKind,
    /// Bytes of a file; absent for everything else.
    pub size: Option<u64>,
    /// When it was last changed, in nanoseconds since 1970, as whoever wrote it says.
    pub modified_ns: i64,
    /// Whether a file is a program.
    pub executable: bool,
    /// Names what a file holds now; absent for everything else.
    pub version: Option<OperationId>,
    /// Number of earlier contents that the safe still has.
    pub versions: u32,
    /// Where a symbolic link leads, written as a path is; absent for everything else.
    pub target: Option<String>,
    /// Whether the server has it as it is here.
    pub shared: bool,
    /// Who added it; absent while it is not shared.
    pub added_by: Option<UserId>,
    /// Id of the entry that this one is a conflict copy of.
    pub conflict_of: Option<EntryId>,
    /// How much of a file's contents is on this device, by `file.list` and `file.stat`; absent for
    /// everything else, and by other methods.
    #[serde(default)]
    pub here: Option<FileHere>,
    /// Whether it is pinned to this device, itself or with a folder above; by `file.list` and
    /// `file.stat`.
    #[serde(default)]
    pub pinned: bool,
}

/// Chooses a file or folder of a safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FileSelector {
    /// The device that has the safe, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// Where, from the safe's root, such as `/plans/2027.odt`.
    pub path: String,
}

/// Parameters of `file.list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FileList {
    /// The device that has the safe, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// Folder whose entries are listed; a file is listed alone.
    pub path: String,
    /// Whether what is below its folders is listed, too.
    #[serde(default)]
    pub recursive: bool,
    /// Go on behind this path, the last one of the answer before.
    #[serde(default)]
    pub after: Option<String>,
    /// As of this moment, by the dates of the safe's records; as it is now if absent.
    #[serde(default)]
    pub at: Option<Timestamp>,
    /// As of this record, itself included; not together with `at`.
    #[serde(default)]
    pub record: Option<u64>,
}

/// Result of `file.list`: entries of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileListResult {
    /// Id of the safe that was meant.
    pub safe: SafeId,
    /// Entries in the order of their names' bytes, a folder right before what is in it.
    pub files: Vec<FileEntry>,
    /// Whether there are more: ask again with `after`.
    pub more: bool,
    /// The last record of what was, where a moment or a record was given: ask on with it.
    #[serde(default)]
    pub record: Option<u64>,
    /// Its date, as its author says; likewise.
    #[serde(default)]
    pub time: Option<Timestamp>,
    /// Those of these files whose contents the safe has no more: they were thrown away since.
    #[serde(default)]
    pub lost: Vec<EntryId>,
}

/// `file.make_folder`: an empty folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FileMakeFolder {
    /// The device that has the safe, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// Where the folder shall be.
    pub path: String,
    /// Whether the folders above it are made, too, and one that is there already is no error.
    #[serde(default)]
    pub parents: bool,
    /// Seconds to wait until it is shared, at most 600; 0 if absent: answered when saved.
    #[serde(default)]
    pub wait_seconds: Option<u32>,
}

/// `file.move` and `file.copy`: from one place of a safe to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FileMove {
    /// The device that has the safe, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// What is moved or copied; a folder goes with everything in it.
    pub from: String,
    /// Its new place: the whole path, name included.
    pub to: String,
    /// Whether a file may go over a file that is there: that one keeps its history.
    #[serde(default)]
    pub replace: bool,
    /// Seconds to wait until it is shared, at most 600; 0 if absent: answered when saved.
    #[serde(default)]
    pub wait_seconds: Option<u32>,
}

/// `file.remove`: into the safe's trash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FileRemove {
    /// The device that has the safe, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// Path of what is removed.
    pub path: String,
    /// Whether a folder goes with everything in it.
    #[serde(default)]
    pub recursive: bool,
    /// Seconds to wait until it is shared, at most 600; 0 if absent: answered when saved.
    #[serde(default)]
    pub wait_seconds: Option<u32>,
}

/// `file.put`: contents into a safe, read from the descriptor that comes with the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FilePut {
    /// The device that has the safe, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// Where the file shall be.
    pub path: String,
    /// Bytes to expect; absent for a stream. Nothing is kept where another number comes.
    #[serde(default)]
    pub size: Option<u64>,
    /// When it was last changed, in nanoseconds since 1970; now if absent.
    #[serde(default)]
    pub modified_ns: Option<i64>,
    /// Whether it is a program.
    #[serde(default)]
    pub executable: bool,
    /// Whether a file that is there gets these contents, and keeps its history.
    #[serde(default)]
    pub replace: bool,
    /// Seconds to wait until it is shared, at most 600; 0 if absent: answered when saved.
    #[serde(default)]
    pub wait_seconds: Option<u32>,
}

/// Files that `file.put_many` and `file.get_many` take in one request: their answer fits a line,
/// and a person who interrupts loses little.
pub const FILES_AT_ONCE_MAX: usize = 256;
/// Bytes of each of them, at most: what is larger loses nothing by a request of its own.
pub const FILE_OF_MANY_MAX_BYTES: u64 = 64 * 1024;
/// Bytes of all of them together, at most: they are in memory at once.
pub const FILES_AT_ONCE_MAX_BYTES: u64 = 4 * 1024 * 1024;

/// One of the files of `file.put_many`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FileOfMany {
    /// Where the file shall be.
    pub path: String,
    /// Bytes of it, 65,536 at most.
    pub size: u64,
    /// When it was last changed, in nanoseconds since 1970; now if absent.
    #[serde(default)]
    pub modified_ns: Option<i64>,
    /// Whether it is a program.
    #[serde(default)]
    pub executable: bool,
}

/// `file.put_many`: contents of small files into a safe, all or none of them, one right behind the
/// other in the descriptor that comes with the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FilePutMany {
    /// The device that has the safe, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// The files, in the order of their contents: 256 at most, of 4 MiB together.
    pub files: Vec<FileOfMany>,
    /// Whether files that are there get these contents, and keep their history.
    #[serde(default)]
    pub replace: bool,
    /// Seconds to wait until all are shared, at most 600; 0 if absent: answered when saved.
    #[serde(default)]
    pub wait_seconds: Option<u32>,
}

/// Result of `file.put_many`: how far the files have come, all of them together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FilesChanged {
    /// Id of the safe that was meant.
    pub safe: SafeId,
    /// Ids of the entries, in the order of the files.
    pub entries: Vec<EntryId>,
    /// Bytes of contents that were taken.
    pub bytes: u64,
    /// Whether all are durable on this device. Always true: a change that isn't is an error.
    pub saved: bool,
    /// Whether the server has accepted all of them.
    pub shared: bool,
    /// Number of the record that the last of them was shared in at the latest.
    pub seq: Option<u64>,
    /// What keeps them from being shared; absent where they are shared, or on their way.
    pub problem: Option<Problem>,
}

/// `file.get_many`: contents of small files out of a safe, one right behind the other into the
/// descriptor that comes with the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FileGetMany {
    /// The device that has the safe, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// Paths of the files: 256 at most, of 65,536 bytes each and 4 MiB together.
    pub paths: Vec<String>,
    /// As of this moment, by the dates of the safe's records; as it is now if absent.
    #[serde(default)]
    pub at: Option<Timestamp>,
    /// As of this record, itself included; not together with `at`.
    #[serde(default)]
    pub record: Option<u64>,
}

/// Result of `file.get_many`: what was written to the descriptor that came with the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FilesGot {
    /// Bytes that were written, all of them verified.
    pub bytes: u64,
    /// The files whose contents they are, in their order; each as long as its `size` says.
    pub files: Vec<FileEntry>,
}

/// Result of every method that changes files: how far the change has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileChanged {
    /// Id of the safe that was meant.
    pub safe: SafeId,
    /// Where it is now, or was.
    pub path: String,
    /// Id of the entry that was changed.
    pub entry: EntryId,
    /// Bytes of contents that were taken; 0 where none were.
    pub bytes: u64,
    /// Number of entries that were changed, those in a folder included; 0 where everything was as
    /// it should be.
    pub entries: u64,
    /// Whether it is durable on this device. Always true: a change that isn't is an error.
    pub saved: bool,
    /// Whether the server has accepted it.
    pub shared: bool,
    /// Number of the record that it was shared in.
    pub seq: Option<u64>,
    /// What keeps it from being shared; absent where it is shared, or on its way.
    pub problem: Option<Problem>,
}

/// Result of `file.get`: what was written to the descriptor that came with the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileGot {
    /// Bytes that were written, all of them verified.
    pub bytes: u64,
    /// The file whose contents they are.
    pub file: FileEntry,
}

/// Parameters of `file.conflicts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FileConflicts {
    /// The device that has the safe, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// Go on behind this path, the last one of the answer before.
    #[serde(default)]
    pub after: Option<String>,
}

/// A live file that two devices had changed without knowing of each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileConflict {
    /// The copy that was put beside it.
    pub copy: FileEntry,
    /// Where the file is now that it is a copy of; absent where that was removed.
    pub of: Option<String>,
}

/// Result of `file.conflicts`: conflict copies that nobody has cleared away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileConflictsResult {
    /// Copies in the order of their paths, as in `file.list`.
    pub conflicts: Vec<FileConflict>,
    /// Whether there are more: ask again with `after`.
    pub more: bool,
}
