//! What the methods about sealed archives of safes take and give.
//!
//! Decides nothing: what an archive is, docs/formats.md says.

use serde::{Deserialize, Serialize};

use super::methods::DeviceSelector;
use super::safes::{Person, SafeView};
use crate::ids::{Label, SafeId, Timestamp, UserId};

/// Paths that one answer names at most, of files that lack something.
pub const ARCHIVE_NAMED_MAX: usize = 100;

/// `safe.export`: all of a safe, sealed as it is stored, into the descriptor that comes with the
/// request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SafeExport {
    /// The device that has the safe, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
}

/// Result of `safe.export`: what the archive holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeExported {
    /// Id of the safe.
    pub safe: SafeId,
    /// Name of the safe, where it is known.
    pub name: Option<Label>,
    /// Certificates of the organisation's log.
    pub members: u64,
    /// Certificates of the safe's log.
    pub certificates: u64,
    /// Records of the journal.
    pub records: u64,
    /// Sealed objects in it.
    pub objects: u64,
    /// Bytes of the objects.
    pub bytes: u64,
    /// Objects that were fetched from the server for it.
    pub fetched: u64,
    /// Objects that neither this device nor the server has: the archive lacks them.
    pub missing: u64,
    /// Paths of files that lack some of what they hold or held; the first 100.
    pub lacking: Vec<String>,
}

/// `safe.import`: a new safe out of an archive, which is read from the descriptor that comes with
/// the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SafeImport {
    /// The device whose user was a member of the archive's safe, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// Name of the new safe.
    pub name: Label,
    /// Whether it is made also of an archive that lacks something.
    #[serde(default)]
    pub partial: bool,
}

/// Who wrote how much of an archived safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ArchiveWriter {
    /// Id of the user.
    pub user: UserId,
    /// The member; absent where the organisation's log does not know them.
    pub by: Option<Person>,
    /// Number of records that they wrote.
    pub records: u64,
}

/// Result of `safe.import`: what the archive held, all of it verified, and what was made of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeImported {
    /// The safe that was made.
    pub safe: SafeView,
    /// Id of the safe that the archive is of.
    pub of: SafeId,
    /// Name of that safe.
    pub name: Option<Label>,
    /// When the archive was made, by that machine's clock.
    pub made: Timestamp,
    /// Certificates of the organisation's log.
    pub members: u64,
    /// Certificates of the archived safe's log.
    pub certificates: u64,
    /// Records of its journal.
    pub records: u64,
    /// Records that are void, and changed nothing.
    pub void_records: u64,
    /// Records that were made on another tree than the journal's.
    pub other_roots: u64,
    /// Contents that its live files hold.
    pub live: u64,
    /// Contents that they held before.
    pub history: u64,
    /// Contents in its trash.
    pub trash: u64,
    /// Sealed objects in the archive.
    pub objects: u64,
    /// Objects that it lacks.
    pub missing: u64,
    /// Paths of files that lack some of what they hold or held; the first 100.
    pub lacking: Vec<String>,
    /// Who wrote it, the most first.
    pub by: Vec<ArchiveWriter>,
    /// Files of the new safe.
    pub files: u64,
    /// Folders of the new safe.
    pub folders: u64,
    /// Bytes of all files together.
    pub bytes: u64,
    /// Live entries that were left out: symbolic links, and files that lack something.
    pub left_out: u64,
}
