//! The certificates of the organisation's log, as they were signed.

use super::{Store, StoreError};

#[expect(clippy::todo, unused_variables, clippy::missing_errors_doc, reason = "signatures first; bodies follow")]
impl Store {
    /// Adds verified certificates at position `from`, which must be [`Self::log_count`]; all or none.
    pub fn append_certificates(&self, from: u64, envelopes: &[Vec<u8>]) -> Result<(), StoreError> {
        todo!()
    }

    /// All envelopes in order.
    pub fn certificates(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        todo!()
    }

    /// How many there are.
    pub fn log_count(&self) -> Result<u64, StoreError> {
        todo!()
    }

    /// Version of the newest manifest seen, 0 if none was.
    pub fn manifest_version(&self) -> Result<u64, StoreError> {
        todo!()
    }

    /// Keeps a newer manifest envelope.
    pub fn put_manifest(&self, version: u64, envelope: &[u8]) -> Result<(), StoreError> {
        todo!()
    }

    /// The newest manifest envelope.
    pub fn manifest(&self) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        todo!()
    }
}
