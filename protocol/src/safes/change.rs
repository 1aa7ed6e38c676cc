//! What a member did, as it stands in a record: one choice for each kind of act.
//!
//! Decides how a change is written, and how a rule derives ids of an operation. Refuses what is no
//! change of format 1 by not decoding it; whether a change fits a tree is the fold's to say.

use minicbor::{Decode, Encode};

use crate::codec::{decode, first_number};
use crate::ids::{EntryId, Label, OperationId};
use crate::limits::RECORD_MAX_BYTES;
use crate::public_keys::Hash;
use crate::safes::content_ref::Content;
use crate::safes::name::{EntryName, LinkTarget};

/// Rules by which the inside of a record is folded. Another number: this program is too old.
pub const RULES_VERSION: u64 = 1;

/// What an entry is; it never becomes another kind.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Kind {
    /// Holds other entries, by name.
    #[n(0)]
    Folder,
    /// Holds bytes, as its content says.
    #[n(1)]
    File(#[n(0)] Content),
    /// Points somewhere; nobody here follows it.
    #[n(2)]
    Symlink(#[n(0)] LinkTarget),
}

/// What a conflict copy is a copy of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct ConflictOf {
    /// Id of the entry whose name it could not have.
    #[n(0)]
    pub entry: EntryId,
    /// Version that its author had seen.
    #[n(1)]
    pub version: OperationId,
}

/// One act on the tree.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Change {
    /// A new entry in a live folder.
    #[n(0)]
    Add {
        /// Null where it is the entry's id.
        #[n(0)]
        operation: Option<OperationId>,
        /// Id of the new entry.
        #[n(1)]
        entry: EntryId,
        /// Id of the folder it stands in.
        #[n(2)]
        parent: EntryId,
        /// Name in that folder.
        #[n(3)]
        name: EntryName,
        /// What it is, with its content.
        #[n(4)]
        kind: Kind,
        /// Time of its last change, in nanoseconds since 1970.
        #[n(5)]
        mtime: u64,
        /// Whether it is a program.
        #[n(6)]
        executable: bool,
        /// What it is a conflict copy of.
        #[n(7)]
        conflict_of: Option<ConflictOf>,
    },
    /// Other bytes in a file.
    #[n(1)]
    Content {
        /// Id of the operation.
        #[n(0)]
        operation: OperationId,
        /// Id of the file.
        #[n(1)]
        entry: EntryId,
        /// Version that is written over.
        #[n(2)]
        base: OperationId,
        /// Content from here on.
        #[n(3)]
        content: Content,
        /// Time of this change, in nanoseconds since 1970.
        #[n(4)]
        mtime: u64,
    },
    /// Another place, another name, or both.
    #[n(2)]
    Move {
        /// Id of the operation.
        #[n(0)]
        operation: OperationId,
        /// Id of the entry.
        #[n(1)]
        entry: EntryId,
        /// Id of the folder it stands in from here on.
        #[n(2)]
        parent: EntryId,
        /// Name in that folder.
        #[n(3)]
        name: EntryName,
        /// What it is a conflict copy of from here on.
        #[n(4)]
        conflict_of: Option<ConflictOf>,
    },
    /// Into the trash, with everything below it.
    #[n(3)]
    Remove {
        /// Id of the operation.
        #[n(0)]
        operation: OperationId,
        /// Id of the entry.
        #[n(1)]
        entry: EntryId,
    },
    /// Out of the trash.
    #[n(4)]
    Restore {
        /// Id of the operation.
        #[n(0)]
        operation: OperationId,
        /// Id of the entry; it need not be the one that was removed itself.
        #[n(1)]
        entry: EntryId,
        /// Id of the folder it stands in from here on.
        #[n(2)]
        parent: EntryId,
        /// Name in that folder.
        #[n(3)]
        name: EntryName,
        /// The folder alone: what was in it stays in the trash.
        #[n(4)]
        shallow: bool,
    },
    /// What a file system keeps beside the content.
    #[n(5)]
    Attributes {
        /// Id of the operation.
        #[n(0)]
        operation: OperationId,
        /// Id of the entry.
        #[n(1)]
        entry: EntryId,
        /// Time of its last change, in nanoseconds since 1970.
        #[n(2)]
        mtime: u64,
        /// Whether it is a program.
        #[n(3)]
        executable: bool,
    },
    /// One file renamed over another: the target keeps its id and history.
    #[n(6)]
    Replace {
        /// Id of the operation.
        #[n(0)]
        operation: OperationId,
        /// Id of the file that is written over.
        #[n(1)]
        target: EntryId,
        /// Version of the target that is written over.
        #[n(2)]
        base: OperationId,
        /// Id of the file that goes to the trash with its content taken.
        #[n(3)]
        source: EntryId,
    },
    /// What the safe is called.
    #[n(7)]
    SafeName {
        /// Id of the operation.
        #[n(0)]
        operation: OperationId,
        /// Name from here on.
        #[n(1)]
        name: Label,
    },
    /// For how long nothing that was removed or written over is destroyed.
    #[n(8)]
    Retention {
        /// Id of the operation.
        #[n(0)]
        operation: OperationId,
        /// Days, 7 to 3,650.
        #[n(1)]
        days: u64,
    },
    /// Earlier versions and entries of the trash are thrown away for good.
    #[n(9)]
    Prune {
        /// Id of the operation.
        #[n(0)]
        operation: OperationId,
        /// Earlier versions, by the entry whose they are.
        #[n(1)]
        versions: Vec<PrunedVersions>,
        /// Entries that were removed themselves, each with everything below it.
        #[n(2)]
        entries: Vec<EntryId>,
    },
    /// The whole state before this record, in objects.
    #[n(10)]
    Snapshot {
        /// Id of the operation.
        #[n(0)]
        operation: OperationId,
        /// The objects that hold it.
        #[n(1)]
        content: Content,
        /// Hash of all of it.
        #[n(2)]
        root: Hash,
    },
}

/// Earlier versions of one entry that are thrown away.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PrunedVersions {
    /// Id of the entry.
    #[n(0)]
    pub entry: EntryId,
    /// Versions of it, none of them the present one.
    #[n(1)]
    pub versions: Vec<OperationId>,
}

impl Change {
    /// The operation that this change is, for ever.
    #[must_use]
    pub const fn operation(&self) -> OperationId {
        match self {
            Self::Add { operation: None, entry, .. } => OperationId::from_bytes(*entry.as_bytes()),
            Self::Add { operation: Some(operation), .. }
            | Self::Content { operation, .. }
            | Self::Move { operation, .. }
            | Self::Remove { operation, .. }
            | Self::Restore { operation, .. }
            | Self::Attributes { operation, .. }
            | Self::Replace { operation, .. }
            | Self::SafeName { operation, .. }
            | Self::Retention { operation, .. }
            | Self::Prune { operation, .. }
            | Self::Snapshot { operation, .. } => *operation,
        }
    }

    /// The entry it acts on (of *replace* the target); none where it is about the safe.
    #[must_use]
    pub const fn entry(&self) -> Option<EntryId> {
        match self {
            Self::Add { entry, .. }
            | Self::Content { entry, .. }
            | Self::Move { entry, .. }
            | Self::Remove { entry, .. }
            | Self::Restore { entry, .. }
            | Self::Attributes { entry, .. }
            | Self::Replace { target: entry, .. } => Some(*entry),
            Self::SafeName { .. } | Self::Retention { .. } | Self::Prune { .. } | Self::Snapshot { .. } => {
                None
            }
        }
    }

    /// The content that it brings, if it brings one.
    #[must_use]
    pub const fn content(&self) -> Option<&Content> {
        match self {
            Self::Add { kind: Kind::File(content), .. }
            | Self::Content { content, .. }
            | Self::Snapshot { content, .. } => Some(content),
            Self::Add { .. }
            | Self::Move { .. }
            | Self::Remove { .. }
            | Self::Restore { .. }
            | Self::Attributes { .. }
            | Self::Replace { .. }
            | Self::SafeName { .. }
            | Self::Retention { .. }
            | Self::Prune { .. } => None,
        }
    }
}

/// What a rule makes an id for, of an operation that a person did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// A conflict copy's entry.
    Copy,
    /// The entry in which content of a purged file comes back.
    Again,
    /// The operation that brings a removed file back for content.
    Back,
    /// The version of a replaced file whose source somebody else had edited.
    Carried,
    /// The operation that brings this folder back.
    Folder(EntryId),
    /// The operation that keeps this entry from going with a folder.
    Keep(EntryId),
}

/// The 16 bytes that follow from an operation and a use: two devices that put the same operation
/// forward make the same change of it.
#[must_use]
pub fn derived(operation: OperationId, what_for: Use) -> [u8; 16] {
    let (text, id): (&[u8], Option<EntryId>) = match what_for {
        Use::Copy => (b"copy", None),
        Use::Again => (b"again", None),
        Use::Back => (b"back", None),
        Use::Carried => (b"carried", None),
        Use::Folder(id) => (b"folder", Some(id)),
        Use::Keep(id) => (b"keep", Some(id)),
    };
    let id = id.map(|id| *id.as_bytes());
    let hash = Hash::of(&[
        b"parsec-derived-v1\0",
        operation.as_bytes(),
        text,
        id.as_ref().map_or(&[], |id| id.as_slice()),
    ]);
    let mut cut = [0; 16];
    cut.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
    cut
}

/// What is sealed in a record.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Inside {
    /// Rules by which it is folded: [`RULES_VERSION`].
    #[n(0)]
    pub rules: u64,
    /// State root before this record, as its author had it.
    #[n(1)]
    pub root: Hash,
    /// The changes, in order; all of them or none.
    #[n(2)]
    pub changes: Vec<Change>,
}

/// The inside of a record is none that this program folds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadInside {
    /// It is of other rules: no fault of its author, and nothing after it is folded here.
    #[error("rules {0}, which this program does not know")]
    TooNew(u64),
    /// It is nothing that can be read: the record is void.
    #[error("not readable")]
    Unreadable,
}

impl Inside {
    /// Reads what was sealed. The number of the rules is looked at before everything else, because
    /// other rules may have other changes.
    ///
    /// # Errors
    /// [`BadInside`]: the program is too old, or the record void.
    pub fn read(bytes: &[u8]) -> Result<Self, BadInside> {
        match first_number(bytes) {
            Some(RULES_VERSION) => decode(bytes, RECORD_MAX_BYTES).map_err(|_| BadInside::Unreadable),
            Some(other) => Err(BadInside::TooNew(other)),
            None => Err(BadInside::Unreadable),
        }
    }
}
