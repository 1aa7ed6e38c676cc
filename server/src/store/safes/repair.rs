//! Row operations about what was put back after a restore.
//!
//! Decides nothing: what a repair may bring, `crate::safes` says.

use parsec_protocol::ids::{ObjectId, OrganisationId, Timestamp, UserId};

use super::SafeKey;
use crate::store::StoreError;

/// When it was noticed that a database had been put back from a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Restored {
    /// Certificates that the organisation's log had then, all of them from before the restore.
    pub(crate) certificates: u64,
    pub(crate) since: Timestamp,
}

/// Row operations about repairs.
///
/// # Errors
/// [`StoreError`], of each operation.
pub(crate) trait RepairRows {
    /// What is known of a restore.
    fn restored(&self, organisation: &OrganisationId) -> Result<Option<Restored>, StoreError>;
    /// Notes one, in the place of what was known.
    fn set_restored(&mut self, organisation: &OrganisationId, restored: &Restored) -> Result<(), StoreError>;
    /// Notes one for every organisation of which none is known.
    fn note_restored_all(&mut self, since: Timestamp) -> Result<(), StoreError>;
    /// An object is a record's whose bytes are not here.
    fn await_object(&mut self, of: SafeKey<'_>, object: &ObjectId, adder: &UserId) -> Result<(), StoreError>;
    /// Whose record added an object that is awaited.
    fn awaited(&self, of: SafeKey<'_>, object: &ObjectId) -> Result<Option<UserId>, StoreError>;
    /// Objects that are awaited and of which there is nothing, at most `most`; for the user who
    /// added one, and for somebody who manages the safe, also those of which others have brought
    /// bytes.
    fn awaited_all(
        &self,
        of: SafeKey<'_>,
        by: (&UserId, bool),
        most: usize,
    ) -> Result<Vec<ObjectId>, StoreError>;
    /// It is awaited no more.
    fn end_awaiting(&mut self, of: SafeKey<'_>, object: &ObjectId) -> Result<(), StoreError>;
    /// An object gives way to another content under its id.
    fn remove_object(&mut self, of: SafeKey<'_>, object: &ObjectId) -> Result<(), StoreError>;
}
