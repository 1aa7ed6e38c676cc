//! What this device signed as a greeter and has not yet seen in the log.
//!
//! Decides that a record is durable when `put_sealed` returns: message 7 goes out only then. Refuses another record
//! for the same attempt, which would mean two signatures for one ceremony.

use parsec_protocol::codec;
use parsec_protocol::enrol::io::SealedEnrolment;
use parsec_protocol::ids::{AttemptId, Token};
use parsec_protocol::limits::CERTIFICATE_MAX_BYTES;

use super::{Store, StoreError};

/// Largest record: two certificates, and five short fields.
const SEALED_MAX_BYTES: usize = 2 * CERTIFICATE_MAX_BYTES + 1_024;

impl Store {
    /// Keeps an enrolment; durable when it returns. The same again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], [`StoreError::TooLarge`], [`StoreError::DiskFull`], the disk's.
    pub fn put_sealed(
        &self,
        attempt: AttemptId,
        token: Token,
        sealed: &SealedEnrolment,
    ) -> Result<(), StoreError> {
        let bytes = codec::encode(sealed);
        if bytes.len() > SEALED_MAX_BYTES {
            return Err(StoreError::TooLarge("the enrolment"));
        }
        let inner = self.inner()?;
        inner.connection.execute(
            "INSERT INTO outbox (attempt, token, sealed) VALUES (?1, ?2, ?3) ON CONFLICT (attempt) DO NOTHING",
            (attempt.as_bytes(), token.as_bytes(), &bytes),
        )?;
        let kept: bool = inner.connection.query_row(
            "SELECT token = ?2 AND sealed = ?3 FROM outbox WHERE attempt = ?1",
            (attempt.as_bytes(), token.as_bytes(), &bytes),
            |row| row.get(0),
        )?;
        if kept { Ok(()) } else { Err(StoreError::Conflict) }
    }

    /// All of them, oldest first.
    ///
    /// # Errors
    /// The disk's.
    pub fn sealed(&self) -> Result<Vec<(AttemptId, Token, SealedEnrolment)>, StoreError> {
        let inner = self.inner()?;
        let mut select = inner.connection.prepare("SELECT attempt, token, sealed FROM outbox ORDER BY id")?;
        let mut rows = select.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let bytes: Vec<u8> = row.get(2)?;
            let sealed = codec::decode(&bytes, SEALED_MAX_BYTES)
                .map_err(|_| StoreError::Damaged("an enrolment in it is malformed"))?;
            found.push((AttemptId::from_bytes(row.get(0)?), Token::from_bytes(row.get(1)?), sealed));
        }
        Ok(found)
    }

    /// Forgets one, if it is there: it is in the log, or void.
    ///
    /// # Errors
    /// The disk's.
    pub fn drop_sealed(&self, attempt: AttemptId) -> Result<(), StoreError> {
        self.inner()?.connection.execute("DELETE FROM outbox WHERE attempt = ?1", [attempt.as_bytes()])?;
        Ok(())
    }
}
