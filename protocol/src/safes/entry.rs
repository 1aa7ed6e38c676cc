//! One entry of a tree, with everything that the state keeps of it.
//!
//! Decides what of an entry is in the state, and so in the state root. Refuses nothing: only the
//! fold makes and changes entries.

use minicbor::{Decode, Encode};

use crate::ids::{DeviceId, EntryId, OperationId, Timestamp, UserId};
use crate::safes::change::{ConflictOf, Kind};
use crate::safes::content_ref::Content;
use crate::safes::name::EntryName;

/// A file, folder or symlink, live or in the trash. The fields are in the order of the state root.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Entry {
    /// Id, which survives every move.
    #[n(0)]
    pub id: EntryId,
    /// What it is; of a file with the present content.
    #[n(1)]
    pub kind: Kind,
    /// Id of the folder it stands in; none where it was itself removed.
    #[n(2)]
    pub parent: Option<EntryId>,
    /// Name in that folder, or the one it had when it was removed.
    #[n(3)]
    pub name: EntryName,
    /// Operation that gave a file its present content.
    #[n(4)]
    pub version: Option<OperationId>,
    /// Record that last changed the content; of a folder or symlink the one that added it.
    #[n(5)]
    pub content_seq: u64,
    /// Record that last changed parent, name, or whether it is removed.
    #[n(6)]
    pub place_seq: u64,
    /// Time of its last change, in nanoseconds since 1970, as its author says.
    #[n(7)]
    pub mtime: u64,
    /// Whether it is a program.
    #[n(8)]
    pub executable: bool,
    /// How it came into the trash; none where it stands in a folder.
    #[n(9)]
    pub removed: Option<Box<Removed>>,
    /// Which file it was renamed over.
    #[n(10)]
    pub into: Option<Box<RenamedInto>>,
    /// Earlier contents, oldest first.
    #[n(11)]
    pub versions: Vec<Version>,
    /// User who added it, whose share of the entries it counts for.
    #[n(12)]
    pub added_by: UserId,
    /// What it is a conflict copy of.
    #[n(13)]
    pub conflict_of: Option<Box<ConflictOf>>,
}

/// How an entry came into the trash.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Removed {
    /// The operation: what one act removed can be brought back as one.
    #[n(0)]
    pub operation: OperationId,
    /// Id of the folder it stood in.
    #[n(1)]
    pub parent: EntryId,
    /// Id of the device that removed it.
    #[n(2)]
    pub device: DeviceId,
    /// When, by that device's clock.
    #[n(3)]
    pub time: Timestamp,
    /// Record that removed it: how long it has been in the trash is counted from there.
    #[n(4)]
    pub seq: u64,
}

/// A rename over another file, as the source remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RenamedInto {
    /// Id of the file that has the content now.
    #[n(0)]
    pub target: EntryId,
    /// Version that the target got by it.
    #[n(1)]
    pub version: OperationId,
}

/// A content that a file had.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Version {
    /// The operation that gave it.
    #[n(0)]
    pub version: OperationId,
    /// The content that it was.
    #[n(1)]
    pub content: Content,
    /// Record that wrote over it: how long it has been an earlier one is counted from there.
    #[n(2)]
    pub until: u64,
}

impl Entry {
    /// Whether other entries can stand in it.
    #[must_use]
    pub const fn is_folder(&self) -> bool {
        matches!(self.kind, Kind::Folder)
    }

    /// The present content of a file.
    #[must_use]
    pub const fn content(&self) -> Option<&Content> {
        match &self.kind {
            Kind::File(content) => Some(content),
            Kind::Folder | Kind::Symlink(_) => None,
        }
    }

    /// The folder it stands in, or stood in when it was removed.
    #[must_use]
    pub fn last_parent(&self) -> Option<EntryId> {
        self.parent.or_else(|| self.removed.as_deref().map(|removed| removed.parent))
    }
}
