//! One entry of a tree, with everything that the state keeps of it.
//!
//! Decides what of an entry is in the state, and so in the state root, and that what few entries
//! have takes no room in the others: a safe has a million of them in memory. Refuses nothing: only
//! the fold makes and changes entries.

use std::ops::Deref;

use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};

use crate::ids::{DeviceId, EntryId, OperationId, Timestamp, UserId};
use crate::safes::change::{ConflictOf, Kind};
use crate::safes::content_ref::Content;
use crate::safes::name::EntryName;

/// A file, folder or symlink, live or in the trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Id, which survives every move.
    pub id: EntryId,
    /// What it is; of a file with the present content.
    pub kind: Kind,
    /// Id of the folder it stands in; none where it was itself removed.
    pub parent: Option<EntryId>,
    /// Name in that folder, or the one it had when it was removed.
    pub name: EntryName,
    /// Operation that gave a file its present content.
    pub version: Option<OperationId>,
    /// Record that last changed the content; of a folder or symlink the one that added it.
    pub content_seq: u64,
    /// Record that last changed parent, name, or whether it is removed.
    pub place_seq: u64,
    /// Time of its last change, in nanoseconds since 1970, as its author says.
    pub mtime: u64,
    /// Whether it is a program.
    pub executable: bool,
    /// User who added it, whose share of the entries it counts for.
    pub added_by: UserId,
    /// What few entries have.
    pub rare: Rarely,
}

/// What most entries don't have: it takes memory where there is any of it.
#[derive(Debug, Clone, Default)]
pub struct Rarely(Option<Box<Rare>>);

/// What few entries have: a past, a way into the trash, a file beside which they stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rare {
    /// How it came into the trash; none where it stands in a folder.
    pub removed: Option<Removed>,
    /// Which file it was renamed over.
    pub into: Option<RenamedInto>,
    /// Earlier contents, oldest first.
    pub versions: Vec<Version>,
    /// What it is a conflict copy of.
    pub conflict_of: Option<ConflictOf>,
}

impl Rare {
    /// Nothing of it.
    const NONE: Self = Self { removed: None, into: None, versions: Vec::new(), conflict_of: None };
}

impl From<Rare> for Rarely {
    fn from(rare: Rare) -> Self {
        Self((rare != Rare::NONE).then(|| Box::new(rare)))
    }
}

impl Deref for Rarely {
    type Target = Rare;

    fn deref(&self) -> &Rare {
        static NONE: Rare = Rare::NONE;
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl PartialEq for Rarely {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Rarely {}

/// The encoding of an entry, whose fields are in the order of the state root.
#[derive(Encode)]
struct Written<'a> {
    #[n(0)]
    id: &'a EntryId,
    #[n(1)]
    kind: &'a Kind,
    #[n(2)]
    parent: Option<&'a EntryId>,
    #[n(3)]
    name: &'a EntryName,
    #[n(4)]
    version: Option<&'a OperationId>,
    #[n(5)]
    content_seq: u64,
    #[n(6)]
    place_seq: u64,
    #[n(7)]
    mtime: u64,
    #[n(8)]
    executable: bool,
    #[n(9)]
    removed: Option<&'a Removed>,
    #[n(10)]
    into: Option<&'a RenamedInto>,
    #[n(11)]
    versions: &'a [Version],
    #[n(12)]
    added_by: &'a UserId,
    #[n(13)]
    conflict_of: Option<&'a ConflictOf>,
}

/// The same as it is read.
#[derive(Decode)]
struct Read {
    #[n(0)]
    id: EntryId,
    #[n(1)]
    kind: Kind,
    #[n(2)]
    parent: Option<EntryId>,
    #[n(3)]
    name: EntryName,
    #[n(4)]
    version: Option<OperationId>,
    #[n(5)]
    content_seq: u64,
    #[n(6)]
    place_seq: u64,
    #[n(7)]
    mtime: u64,
    #[n(8)]
    executable: bool,
    #[n(9)]
    removed: Option<Removed>,
    #[n(10)]
    into: Option<RenamedInto>,
    #[n(11)]
    versions: Vec<Version>,
    #[n(12)]
    added_by: UserId,
    #[n(13)]
    conflict_of: Option<ConflictOf>,
}

impl<C> Encode<C> for Entry {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, ctx: &mut C) -> Result<(), encode::Error<W::Error>> {
        let Rare { removed, into, versions, conflict_of } = &*self.rare;
        let written = Written {
            id: &self.id,
            kind: &self.kind,
            parent: self.parent.as_ref(),
            name: &self.name,
            version: self.version.as_ref(),
            content_seq: self.content_seq,
            place_seq: self.place_seq,
            mtime: self.mtime,
            executable: self.executable,
            removed: removed.as_ref(),
            into: into.as_ref(),
            versions,
            added_by: &self.added_by,
            conflict_of: conflict_of.as_ref(),
        };
        e.encode_with(written, ctx)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Entry {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        let read: Read = d.decode_with(ctx)?;
        let Read { removed, into, versions, conflict_of, .. } = read;
        Ok(Self {
            id: read.id,
            kind: read.kind,
            parent: read.parent,
            name: read.name,
            version: read.version,
            content_seq: read.content_seq,
            place_seq: read.place_seq,
            mtime: read.mtime,
            executable: read.executable,
            added_by: read.added_by,
            rare: Rare { removed, into, versions, conflict_of }.into(),
        })
    }
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
        self.parent.or_else(|| self.rare.removed.as_ref().map(|removed| removed.parent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_no_larger_than_what_it_must_have() {
        // With the counts of its pointer and what the allocator adds: 272 bytes. A hundred thousand
        // of them are most of what a daemon takes that does nothing.
        assert!(size_of::<Entry>() <= 248, "{}", size_of::<Entry>());
    }

    #[test]
    fn what_an_entry_does_not_have_takes_no_memory() {
        assert!(Rarely::from(Rare::default()).0.is_none());
        let some = Rare {
            conflict_of: Some(ConflictOf {
                entry: EntryId::from_bytes([1; 16]),
                version: OperationId::from_bytes([2; 16]),
            }),
            ..Rare::default()
        };
        assert!(Rarely::from(some.clone()).0.is_some());
        assert_eq!(*Rarely::from(some.clone()), some);
    }
}
