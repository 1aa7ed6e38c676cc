//! What was saved here and is not shared yet, in its order; and the record that is being posted.
//!
//! Decides that the exact bytes of a record are durable before they go out: whether an answer that
//! was lost was a yes, the journal says by them.

use parsec_protocol::ids::SafeId;
use rusqlite::Connection;

use crate::store::integers::integer;
use crate::store::{Store, StoreError};

const INSERT: &str = "INSERT INTO safe_change (safe, place, change) VALUES (?1, ?2, ?3)";

/// The queue is this from now on, in a transaction of somebody else's.
pub(super) fn replace(connection: &Connection, safe: SafeId, changes: &[Vec<u8>]) -> Result<(), StoreError> {
    connection.execute("DELETE FROM safe_change WHERE safe = ?1", [safe.as_bytes()])?;
    let mut insert = connection.prepare_cached(INSERT)?;
    for (place, change) in (0_u64..).zip(changes) {
        insert.execute((safe.as_bytes(), integer(place)?, change))?;
    }
    Ok(())
}

/// The queue is without its first so many changes from now on, likewise.
pub(super) fn shorten(connection: &Connection, safe: SafeId, by: usize) -> Result<(), StoreError> {
    let gone = connection.execute(
        "DELETE FROM safe_change WHERE safe = ?1 AND place IN
             (SELECT place FROM safe_change WHERE safe = ?1 ORDER BY place LIMIT ?2)",
        (safe.as_bytes(), integer(by as u64)?),
    )?;
    if gone == by { Ok(()) } else { Err(StoreError::Damaged("changes that wait in it are missing")) }
}

impl Store {
    /// What waits to be shared, oldest first, encoded.
    ///
    /// # Errors
    /// The disk's.
    pub fn safe_queue(&self, safe: SafeId) -> Result<Vec<Vec<u8>>, StoreError> {
        let inner = self.inner()?;
        let mut select =
            inner.connection.prepare("SELECT change FROM safe_change WHERE safe = ?1 ORDER BY place")?;
        let rows = select.query_map([safe.as_bytes()], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Adds changes at the end of the queue; all or none. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn queue_safe_changes(&self, safe: SafeId, changes: &[Vec<u8>]) -> Result<(), StoreError> {
        let mut inner = self.inner()?;
        let transaction = inner.connection.transaction()?;
        {
            let next: i64 = transaction
                .prepare_cached("SELECT coalesce(max(place) + 1, 0) FROM safe_change WHERE safe = ?1")?
                .query_row([safe.as_bytes()], |row| row.get(0))?;
            let mut insert = transaction.prepare_cached(INSERT)?;
            for (place, change) in (next..).zip(changes) {
                insert.execute((safe.as_bytes(), place, change))?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// The queue is this from now on. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn replace_safe_queue(&self, safe: SafeId, changes: &[Vec<u8>]) -> Result<(), StoreError> {
        let mut inner = self.inner()?;
        let transaction = inner.connection.transaction()?;
        replace(&transaction, safe, changes)?;
        transaction.commit()?;
        Ok(())
    }

    /// A person has decided about removals: the queue is this from now on, and what was removed
    /// before counts no more. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn decide_safe_queue(&self, safe: SafeId, changes: &[Vec<u8>]) -> Result<(), StoreError> {
        let mut inner = self.inner()?;
        let transaction = inner.connection.transaction()?;
        replace(&transaction, safe, changes)?;
        transaction.execute("UPDATE safe SET removed = NULL WHERE id = ?1", [safe.as_bytes()])?;
        transaction.commit()?;
        Ok(())
    }

    /// Keeps the record that is about to be posted. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn put_safe_posting(&self, safe: SafeId, record: &[u8]) -> Result<(), StoreError> {
        self.inner()?
            .connection
            .execute("UPDATE safe SET posting = ?2 WHERE id = ?1", (safe.as_bytes(), record))?;
        Ok(())
    }
}
