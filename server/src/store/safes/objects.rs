//! Row operations about the objects of safes.
//!
//! Decides nothing: whose they are and when they go, `crate::safes` says.

use parsec_protocol::ids::{ObjectId, Timestamp};

use super::{ObjectRow, ObjectState, ObjectToAdd, SafeKey};
use crate::objects::{Named, SafeName};
use crate::store::StoreError;

/// An object that no record has added in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DueObject {
    pub(crate) place: SafeName,
    pub(crate) named: Named,
}

/// Row operations about objects.
///
/// # Errors
/// [`StoreError`], of each operation.
pub(crate) trait ObjectRows {
    /// An object by its id.
    fn object(&self, of: SafeKey<'_>, object: &ObjectId) -> Result<Option<ObjectRow>, StoreError>;
    /// The bytes of an object, where they are a row's.
    fn object_bytes(&self, of: SafeKey<'_>, object: &ObjectId) -> Result<Option<Vec<u8>>, StoreError>;
    /// Stores one that isn't there, until `due` unless a record adds it.
    fn insert_object(
        &mut self,
        of: SafeKey<'_>,
        object: &ObjectToAdd<'_>,
        due: Timestamp,
    ) -> Result<(), StoreError>;
    /// Puts the bytes of one that is a row's in the place of those that are there, or should be.
    fn mend_object(&mut self, of: SafeKey<'_>, object: &ObjectId, sealed: &[u8]) -> Result<(), StoreError>;
    /// Puts off the end of one that no record has added.
    fn put_off_object(
        &mut self,
        of: SafeKey<'_>,
        object: &ObjectId,
        due: Timestamp,
    ) -> Result<(), StoreError>;
    /// Notes what became of an object, and when it goes, if it does. `false`: there is none.
    fn set_object_state(
        &mut self,
        of: SafeKey<'_>,
        object: &ObjectId,
        state: ObjectState,
        due: Option<Timestamp>,
    ) -> Result<bool, StoreError>;
    /// Whether an object or a part of any safe is due.
    fn is_safe_due(&self, now: Timestamp) -> Result<bool, StoreError>;
    /// Removes objects of all safes that are due; at most `most`. Those whose bytes are elsewhere,
    /// and the others alike.
    fn remove_due_objects(&mut self, now: Timestamp, most: usize) -> Result<Vec<DueObject>, StoreError>;
}
