//! What this device can show to others: receipts of those it let in, proofs of a fork; and
//! how far its user has been told.
//!
//! Decides that a receipt counts once its certificates were seen in the log. Refuses to fill the
//! disk with proofs: a few say it all.

use parsec_protocol::evidence::receipt::RECEIPT_FILE_MAX_BYTES;
use parsec_protocol::ids::{AttemptId, DeviceId, Timestamp};
use rusqlite::{OptionalExtension as _, Transaction};

use super::integers::{integer, natural};
use super::{Store, StoreError};

/// Proofs that are kept: each may hold two whole logs, and one is enough to end the trust in a
/// server.
const FORKS_MAX: u64 = 4;

impl Store {
    /// Keeps the receipt file of an enrolment that is about to be given to the server; durable when
    /// it returns. One that is there stays.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], [`StoreError::DiskFull`], the disk's.
    pub fn put_receipt(
        &self,
        attempt: AttemptId,
        device: DeviceId,
        time: Timestamp,
        file: &[u8],
    ) -> Result<(), StoreError> {
        if file.len() > RECEIPT_FILE_MAX_BYTES {
            return Err(StoreError::TooLarge("a receipt"));
        }
        self.inner()?.connection.execute(
            "INSERT INTO receipt (attempt, device, time, file) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (attempt) DO NOTHING",
            (attempt.as_bytes(), device.as_bytes(), integer(time.0)?, file),
        )?;
        Ok(())
    }

    /// The certificates of an enrolment have been seen in the log: its record goes, its receipt
    /// counts. Durable when it returns.
    ///
    /// # Errors
    /// The disk's.
    pub fn published(&self, attempt: AttemptId) -> Result<(), StoreError> {
        let mut inner = self.inner()?;
        let transaction = inner.connection.transaction()?;
        transaction.execute("UPDATE receipt SET registered = 1 WHERE attempt = ?1", [attempt.as_bytes()])?;
        // Used up, by what the verified log shows: nobody is greeted with its link again.
        transaction.execute(
            "DELETE FROM invitation WHERE token IN (SELECT token FROM outbox WHERE attempt = ?1)",
            [attempt.as_bytes()],
        )?;
        transaction.execute("DELETE FROM outbox WHERE attempt = ?1", [attempt.as_bytes()])?;
        transaction.commit()?;
        Ok(())
    }

    /// Whom this device let in, as far as they are in the log, newest first.
    ///
    /// # Errors
    /// The disk's.
    pub fn receipts(&self) -> Result<Vec<(DeviceId, Timestamp)>, StoreError> {
        let inner = self.inner()?;
        let mut select = inner
            .connection
            .prepare("SELECT device, time FROM receipt WHERE registered = 1 ORDER BY time DESC, device")?;
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?;
        rows.map(|row| {
            let (device, time) = row?;
            Ok((DeviceId::from_bytes(device), Timestamp(natural(time)?)))
        })
        .collect()
    }

    /// The receipt file of a device that this device let in.
    ///
    /// # Errors
    /// The disk's.
    pub fn receipt(&self, device: DeviceId) -> Result<Option<Vec<u8>>, StoreError> {
        let inner = self.inner()?;
        let file = inner.connection.query_row(
            "SELECT file FROM receipt WHERE device = ?1 AND registered = 1",
            [device.as_bytes()],
            |row| row.get(0),
        );
        Ok(file.optional()?)
    }

    /// Of the proof that goes with an alarm: how many bytes it has, and `most` of them from
    /// `offset` on. Such a file may be large, and is asked for in parts.
    ///
    /// # Errors
    /// The disk's.
    pub fn fork(&self, alarm: u64, offset: u64, most: usize) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let inner = self.inner()?;
        // Beyond every file; SQLite counts from 1.
        let first = i64::try_from(offset).unwrap_or(i64::MAX).saturating_add(1);
        let found = inner.connection.query_row(
            "SELECT length(file), substr(file, ?2, ?3) FROM fork WHERE alarm = ?1",
            (integer(alarm)?, first, integer(most as u64)?),
            |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)),
        );
        found.optional()?.map(|(length, bytes)| Ok((natural(length)?, bytes))).transpose()
    }

    /// Up to which certificate the user has been told; none if nobody has looked yet.
    ///
    /// # Errors
    /// The disk's.
    pub fn noticed(&self) -> Result<Option<u64>, StoreError> {
        let inner = self.inner()?;
        let count = inner.connection.query_row("SELECT count FROM noticed", [], |row| row.get::<_, i64>(0));
        count.optional()?.map(natural).transpose()
    }

    /// The user has been told of everything up to there. Durable when it returns.
    ///
    /// # Errors
    /// The disk's.
    pub fn set_noticed(&self, count: u64) -> Result<(), StoreError> {
        self.inner()?.connection.execute(
            "INSERT INTO noticed (only, count) VALUES (1, ?1) ON CONFLICT (only) DO UPDATE SET count = excluded.count",
            [integer(count)?],
        )?;
        Ok(())
    }
}

/// Keeps a proof with the alarm that is being raised; whether it is kept.
pub(super) fn put_fork(transaction: &Transaction<'_>, alarm: u64, file: &[u8]) -> Result<bool, StoreError> {
    let kept = transaction.execute(
        "INSERT INTO fork (alarm, file) SELECT ?1, ?2 WHERE (SELECT count(*) FROM fork) < ?3",
        (integer(alarm)?, file, integer(FORKS_MAX)?),
    )?;
    Ok(kept == 1)
}
