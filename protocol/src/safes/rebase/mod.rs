//! Pending changes, put onto a journal that has gone on without them.
//!
//! Decides what becomes of each change that somebody's accepted one overtook: a pure function of
//! two trees and the queue, so that a device which comes from a snapshot decides alike. Refuses
//! nothing: no change is lost without a notice, and no content without somebody who had seen it
//! having taken it away.

use std::collections::BTreeSet;

use minicbor::{Decode, Encode};

use crate::codec::encode;
use crate::ids::{EntryId, OperationId};
use crate::safes::change::{Change, Use, derived};
use crate::safes::fold::{Stamp, Void};
use crate::safes::name::EntryName;
use crate::safes::scratch::Delta;
use crate::safes::tree::Tree;
use rebaser::Rebaser;

pub use conflict_name::conflict_name;

mod adding;
mod conflict_name;
mod content;
mod moving;
mod place;
mod rebaser;
mod removing;
mod replacing;
mod restoring;
mod undoable;

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

impl Pending {
    /// Whether a rule made it for another change of its group. What a rename over another became
    /// under a derived version is no helper: it is the person's act itself.
    #[must_use]
    pub fn is_helper(&self) -> bool {
        let operation = self.change.operation();
        operation != self.group && *operation.as_bytes() != derived(self.group, Use::Carried)
    }
}

impl From<Change> for Pending {
    fn from(change: Change) -> Self {
        Self { group: change.operation(), change }
    }
}

/// What a person is told of a rebase. One for an entry, and about the end, never a step between.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Notice {
    /// What happened to the change.
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
#[derive(Debug, Clone)]
pub struct Rebased {
    /// The changes to go on with, in order; groups stand together.
    pub queue: Vec<Pending>,
    /// What people are told.
    pub notices: Vec<Notice>,
    /// What these changes make of the new tree: what people see.
    pub view: Delta,
    /// Changes that the rules had no place for. There are none but by a fault of this program: they
    /// are listed, never posted by themselves, never lost.
    pub aside: Vec<(Pending, Void)>,
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
    Rebaser::new(old, new, queue, naming).run(known)
}

/// How many changes of the queue's beginning go into one record: groups as long as there are fewer
/// than `max_changes` and all together have at most `max_bytes`. Groups stay whole, and the first
/// one goes in however large it is.
#[must_use]
pub fn batch(queue: &[Pending], max_changes: usize, max_bytes: usize) -> usize {
    let mut taken = 0;
    let mut bytes = 0;
    while taken < max_changes
        && let Some(first) = queue.get(taken)
    {
        let group = queue.iter().skip(taken).take_while(|pending| pending.group == first.group);
        let (mut length, mut more) = (0, 0);
        for pending in group {
            length += 1;
            more += encode(&pending.change).len();
        }
        if taken > 0 && bytes + more > max_bytes {
            break;
        }
        taken += length;
        bytes += more;
    }
    taken
}

#[cfg(test)]
mod tests;
