//! Heads of rings and their parts, by their hashes: kept so that they can be given back to a server
//! that was restored from a backup.
//!
//! Decides that those of the latest epochs are kept: what a server loses is the work of some days.
//! What is inside was looked at by the caller.

use parsec_protocol::ids::SafeId;
use parsec_protocol::public_keys::Hash;
use rusqlite::OptionalExtension as _;

use crate::store::integers::integer;
use crate::store::{Store, StoreError};

/// Epochs of a safe whose rings are kept: keys change when somebody leaves, so these are months
/// where people come and go, and a few megabytes with a thousand members.
const RING_EPOCHS_KEPT: u64 = 32;

impl Store {
    /// Keeps the head and parts of an epoch's ring; those of epochs long past go. Durable when it
    /// returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn keep_ring(&self, safe: SafeId, epoch: u64, pieces: &[(Hash, Vec<u8>)]) -> Result<(), StoreError> {
        let mut inner = self.inner()?;
        let transaction = inner.connection.transaction()?;
        // One that was forgotten meanwhile has none.
        if !transaction.prepare_cached("SELECT 1 FROM safe WHERE id = ?1")?.exists([safe.as_bytes()])? {
            return Ok(());
        }
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO safe_ring (safe, hash, epoch, bytes) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (safe, hash) DO NOTHING",
            )?;
            for (hash, bytes) in pieces {
                insert.execute((safe.as_bytes(), hash.as_bytes(), integer(epoch)?, bytes))?;
            }
        }
        let oldest = epoch.saturating_sub(RING_EPOCHS_KEPT.saturating_sub(1));
        transaction.execute(
            "DELETE FROM safe_ring WHERE safe = ?1 AND epoch < ?2",
            (safe.as_bytes(), integer(oldest)?),
        )?;
        transaction.commit()?;
        Ok(())
    }

    /// A head or a part of a ring that is kept.
    ///
    /// # Errors
    /// The disk's.
    pub fn kept_ring(&self, safe: SafeId, hash: &Hash) -> Result<Option<Vec<u8>>, StoreError> {
        let inner = self.inner()?;
        let mut select =
            inner.connection.prepare_cached("SELECT bytes FROM safe_ring WHERE safe = ?1 AND hash = ?2")?;
        let found = select.query_row((safe.as_bytes(), hash.as_bytes()), |row| row.get(0));
        Ok(found.optional()?)
    }
}
