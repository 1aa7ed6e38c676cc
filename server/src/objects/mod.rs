//! Where the bytes of large objects are: not in the database, which would carry each of them
//! through its log.
//!
//! Decides the seam ([`ObjectStore`]) and what an object is called there: its content is part of
//! the name, so that two contents under one id never meet and writing one again changes nothing.
//! Whether an object is there, for a member, the rows say; bytes without a row are nobody's.

mod folder;

use parsec_protocol::ids::{ObjectId, OrganisationId, SafeId};
use parsec_protocol::object_hash::ObjectHash;

pub(crate) use folder::{Folder, beside};

use crate::store::StoreError;

/// Largest object whose bytes are a row: below it, a file would cost more than its bytes, and a
/// folder of small files is slow to copy.
pub(crate) const ROW_MAX_BYTES: usize = 32 * 1024;

/// What names one safe.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SafeName {
    pub(crate) organisation: OrganisationId,
    pub(crate) safe: SafeId,
}

/// One object in its safe, with the content that it must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) object: ObjectId,
    pub(crate) hash: ObjectHash,
}

/// What the disk has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) free: u64,
    pub(crate) all: u64,
}

/// A store of objects by name. Its operations block.
///
/// # Errors
/// [`StoreError`], of each operation.
pub(crate) trait ObjectStore: Send + Sync {
    /// Bytes that are on the disk and have no name yet: gone with this value, unless they get one.
    type Staged: Send + 'static;

    /// Puts bytes on the disk, under no name.
    fn stage(&self, bytes: &[u8]) -> Result<Self::Staged, StoreError>;
    /// Gives all of them their names, which are on the disk when this returns. One that is there
    /// was to have the same content: this is in its place from then on.
    fn publish(&self, place: &SafeName, staged: Vec<(Named, Self::Staged)>) -> Result<(), StoreError>;
    /// The bytes of an object; none if it isn't there.
    fn read(&self, place: &SafeName, named: &Named) -> Result<Option<Vec<u8>>, StoreError>;
    /// Whether an object is there, whatever is in it.
    fn has(&self, place: &SafeName, named: &Named) -> Result<bool, StoreError>;
    /// Removes an object, if it is there.
    fn remove(&self, place: &SafeName, named: &Named) -> Result<(), StoreError>;
    /// What the disk under it has.
    fn room(&self) -> Result<Room, StoreError>;
}
