//! The certificates of the organisation's log, as they were signed, and the user's newest manifest.
//!
//! Decides that the log only grows, without gaps, and that the manifest never goes back. Refuses
//! nothing else: what comes in was verified by the caller.

use parsec_protocol::chain::head::Head;
use parsec_protocol::limits::{
    CERTIFICATE_MAX_BYTES, LOG_MAX_CERTIFICATES, LOG_PAGE_MAX_CERTIFICATES, MANIFEST_MAX_BYTES,
};
use rusqlite::OptionalExtension as _;

use super::integers::{integer, natural};
use super::{Store, StoreError};

impl Store {
    /// Adds verified certificates at position `from`, which must be [`Self::log_count`]; all or
    /// none. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::Gap`], [`StoreError::TooLarge`], [`StoreError::DiskFull`], the disk's.
    pub fn append_certificates(&self, from: u64, envelopes: &[Vec<u8>]) -> Result<(), StoreError> {
        let mut inner = self.inner()?;
        let have = inner.head.count;
        if from != have {
            return Err(StoreError::Gap { have, from });
        }
        let mut head = inner.head;
        let transaction = inner.connection.transaction()?;
        {
            let mut insert = transaction.prepare("INSERT INTO log (position, envelope) VALUES (?1, ?2)")?;
            for envelope in envelopes {
                if envelope.len() > CERTIFICATE_MAX_BYTES || head.count >= LOG_MAX_CERTIFICATES {
                    return Err(StoreError::TooLarge("the log"));
                }
                insert.execute((integer(head.count)?, envelope))?;
                head = head.after(envelope);
            }
        }
        transaction.commit()?;
        inner.head = head;
        Ok(())
    }

    /// All envelopes in order.
    ///
    /// # Errors
    /// The disk's.
    pub fn certificates(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let inner = self.inner()?;
        let mut select = inner.connection.prepare("SELECT envelope FROM log ORDER BY position")?;
        let rows = select.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many there are, and a page of them from a position on.
    ///
    /// # Errors
    /// The disk's.
    pub fn page(&self, from: u64) -> Result<(u64, Vec<Vec<u8>>), StoreError> {
        let inner = self.inner()?;
        let mut select = inner
            .connection
            .prepare("SELECT envelope FROM log WHERE position >= ?1 ORDER BY position LIMIT ?2")?;
        let most = i64::try_from(LOG_PAGE_MAX_CERTIFICATES).unwrap_or(i64::MAX);
        let rows = select.query_map((integer(from)?, most), |row| row.get(0))?;
        Ok((inner.head.count, rows.collect::<Result<_, _>>()?))
    }

    /// How many there are.
    ///
    /// # Errors
    /// The database's.
    pub fn log_count(&self) -> Result<u64, StoreError> {
        Ok(self.inner()?.head.count)
    }

    /// The running hash over them.
    ///
    /// # Errors
    /// The database's.
    pub fn head(&self) -> Result<Head, StoreError> {
        Ok(self.inner()?.head)
    }

    /// What was noted about how far the log has been verified. Only whoever has the key can tell
    /// what it is worth.
    ///
    /// # Errors
    /// The disk's.
    pub fn checkpoint(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let inner = self.inner()?;
        let note = inner.connection.query_row("SELECT note FROM checkpoint", [], |row| row.get(0));
        Ok(note.optional()?)
    }

    /// Notes it anew. Not having it costs time and nothing else.
    ///
    /// # Errors
    /// The disk's.
    pub fn put_checkpoint(&self, note: &[u8]) -> Result<(), StoreError> {
        self.inner()?.connection.execute(
            "INSERT INTO checkpoint (only, note) VALUES (1, ?1) ON CONFLICT (only) DO UPDATE SET note = excluded.note",
            [note],
        )?;
        Ok(())
    }

    /// Version of the newest manifest seen, 0 if none was.
    ///
    /// # Errors
    /// The disk's.
    pub fn manifest_version(&self) -> Result<u64, StoreError> {
        Ok(self.manifest()?.map_or(0, |(version, _)| version))
    }

    /// Keeps a newer manifest envelope. The same again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::ManifestNotNewer`], [`StoreError::TooLarge`], [`StoreError::DiskFull`], the
    /// disk's.
    pub fn put_manifest(&self, version: u64, envelope: &[u8]) -> Result<(), StoreError> {
        if envelope.len() > MANIFEST_MAX_BYTES {
            return Err(StoreError::TooLarge("the manifest"));
        }
        match self.manifest()? {
            Some((have, kept)) if have == version && kept == envelope => return Ok(()),
            Some((have, _)) if have >= version => return Err(StoreError::ManifestNotNewer { have, version }),
            Some(_) | None => {}
        }
        let inner = self.inner()?;
        inner.connection.execute(
            "INSERT INTO manifest (only, version, envelope) VALUES (1, ?1, ?2)
             ON CONFLICT (only) DO UPDATE SET version = excluded.version, envelope = excluded.envelope
             WHERE excluded.version > manifest.version",
            (integer(version)?, envelope),
        )?;
        Ok(())
    }

    /// The newest manifest envelope and its version.
    ///
    /// # Errors
    /// The disk's.
    pub fn manifest(&self) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let inner = self.inner()?;
        let row = inner
            .connection
            .query_row("SELECT version, envelope FROM manifest", [], |row| {
                Ok((row.get::<_, i64>(0)?, row.get(1)?))
            })
            .optional()?;
        row.map(|(version, envelope)| Ok((natural(version)?, envelope))).transpose()
    }
}
