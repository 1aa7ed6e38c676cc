//! The keys of safes by their epochs.
//!
//! Decides that a key stays as it was first kept. This file sees a key's bytes: it gives them to
//! the encrypted database.

use parsec_protocol::ids::SafeId;
use parsec_protocol::keys::SafeKey;
use rusqlite::Connection;

use crate::store::integers::{integer, natural};
use crate::store::{Store, StoreError};

/// Keeps a key in a transaction of somebody else's.
pub(super) fn put(
    connection: &Connection,
    safe: SafeId,
    epoch: u64,
    key: &SafeKey,
) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO safe_key (safe, epoch, key) VALUES (?1, ?2, ?3) ON CONFLICT (safe, epoch) DO NOTHING",
        (safe.as_bytes(), integer(epoch)?, key.expose()),
    )?;
    Ok(())
}

impl Store {
    /// Keeps keys of a safe, each with its epoch; durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn put_safe_keys(&self, safe: SafeId, keys: &[(u64, SafeKey)]) -> Result<(), StoreError> {
        let mut inner = self.inner()?;
        let transaction = inner.connection.transaction()?;
        keys.iter().try_for_each(|(epoch, key)| put(&transaction, safe, *epoch, key))?;
        transaction.commit()?;
        Ok(())
    }

    /// The keys of a safe that are here, ascending by epoch.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], the disk's.
    pub fn safe_keys(&self, safe: SafeId) -> Result<Vec<(u64, SafeKey)>, StoreError> {
        let malformed = || StoreError::Damaged("a safe's key in it is malformed");
        let inner = self.inner()?;
        let mut select =
            inner.connection.prepare("SELECT epoch, key FROM safe_key WHERE safe = ?1 ORDER BY epoch")?;
        let mut rows = select.query([safe.as_bytes()])?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next()? {
            let key = row.get_ref(1)?.as_blob().ok().and_then(SafeKey::from_slice);
            keys.push((natural(row.get(0)?)?, key.ok_or_else(malformed)?));
        }
        Ok(keys)
    }
}
