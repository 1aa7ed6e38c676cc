//! What this device signed as a greeter and has not yet seen in the log.
//!
//! Decides that a record is durable when `put_sealed` returns: message 7 goes out only then.
//! Refuses another record for the same attempt, which would mean two signatures for one ceremony.

use parsec_protocol::codec;
use parsec_protocol::enrol::io::SealedEnrolment;
use parsec_protocol::ids::{AttemptId, Token};
use parsec_protocol::limits::{CERTIFICATE_MAX_BYTES, STEP_MAX_BYTES};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::sealing::ENCRYPTION_KEY_BYTES;
use rusqlite::OptionalExtension as _;

use super::user_keys::put_keys;
use super::{DirectAttempt, Store, StoreError};

/// Largest record: two certificates, the keys that they name with their framing, a statement, and
/// six short fields.
const SEALED_MAX_BYTES: usize = 2 * (CERTIFICATE_MAX_BYTES + ENCRYPTION_KEY_BYTES + 16) + 2_048;

/// An enrolment that was signed here and has not been seen in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Which run of the ceremony.
    pub attempt: AttemptId,
    /// Token of the invitation that is used up by it.
    pub token: Token,
    /// What was signed, and the messages that carry it.
    pub sealed: SealedEnrolment,
    /// Somebody says that it is over without its certificates.
    pub set_aside: bool,
}

/// A message that a direct ceremony keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectStep {
    /// Message 7, the handover.
    Seven,
    /// Message 8, the claimer's receipt.
    Eight,
}

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
        let mut inner = self.inner()?;
        let transaction = inner.connection.transaction()?;
        transaction.execute(
            "INSERT INTO outbox (attempt, token, sealed) VALUES (?1, ?2, ?3) ON CONFLICT (attempt) DO NOTHING",
            (attempt.as_bytes(), token.as_bytes(), &bytes),
        )?;
        put_keys(&transaction, &sealed.keys)?;
        transaction.commit()?;
        let kept: bool = inner.connection.query_row(
            "SELECT token = ?2 AND sealed = ?3 FROM outbox WHERE attempt = ?1",
            (attempt.as_bytes(), token.as_bytes(), &bytes),
            |row| row.get(0),
        )?;
        if kept { Ok(()) } else { Err(StoreError::Conflict) }
    }

    /// Keeps an enrolment whose ceremony runs directly; durable when it returns. The same again
    /// changes nothing.
    ///
    /// # Errors
    /// As [`Self::put_sealed`].
    pub fn put_direct(
        &self,
        attempt: AttemptId,
        token: Token,
        sealed: &SealedEnrolment,
        secret_hash: Hash,
    ) -> Result<(), StoreError> {
        let bytes = codec::encode(sealed);
        if bytes.len() > SEALED_MAX_BYTES {
            return Err(StoreError::TooLarge("the enrolment"));
        }
        let mut inner = self.inner()?;
        // Both or neither: a row without the other would be looked for on the server.
        let transaction = inner.connection.transaction()?;
        let added = transaction.execute(
            "INSERT INTO outbox (attempt, token, sealed) VALUES (?1, ?2, ?3) ON CONFLICT (attempt) DO NOTHING",
            (attempt.as_bytes(), token.as_bytes(), &bytes),
        )?;
        if added == 1 {
            transaction.execute(
                "INSERT INTO direct (attempt, secret_hash) VALUES (?1, ?2)",
                (attempt.as_bytes(), secret_hash.as_bytes()),
            )?;
            put_keys(&transaction, &sealed.keys)?;
            transaction.commit()?;
            return Ok(());
        }
        let kept: bool = transaction.query_row(
            "SELECT token = ?2 AND sealed = ?3 AND secret_hash = ?4
             FROM outbox JOIN direct USING (attempt) WHERE attempt = ?1
             UNION ALL SELECT 0 LIMIT 1",
            (attempt.as_bytes(), token.as_bytes(), &bytes, secret_hash.as_bytes()),
            |row| row.get(0),
        )?;
        if kept { Ok(()) } else { Err(StoreError::Conflict) }
    }

    /// What an enrolment has beside it if its ceremony runs directly.
    ///
    /// # Errors
    /// The disk's.
    pub fn direct(&self, attempt: AttemptId) -> Result<Option<DirectAttempt>, StoreError> {
        let inner = self.inner()?;
        let row = inner.connection.query_row(
            "SELECT secret_hash, step7, step8 FROM direct WHERE attempt = ?1",
            [attempt.as_bytes()],
            |row| {
                Ok(DirectAttempt {
                    secret_hash: Hash::from_bytes(row.get(0)?),
                    step_7: row.get(1)?,
                    step_8: row.get(2)?,
                })
            },
        );
        Ok(row.optional()?)
    }

    /// Keeps message 7 or 8 of a direct ceremony; durable when it returns. The same again changes
    /// nothing.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where other bytes are kept, or no such enrolment;
    /// [`StoreError::TooLarge`]; the disk's.
    pub fn put_step(&self, attempt: AttemptId, step: DirectStep, bytes: &[u8]) -> Result<(), StoreError> {
        if bytes.len() > STEP_MAX_BYTES {
            return Err(StoreError::TooLarge("a message"));
        }
        let update = match step {
            DirectStep::Seven => {
                "UPDATE direct SET step7 = ?2 WHERE attempt = ?1 AND (step7 IS NULL OR step7 = ?2)"
            }
            DirectStep::Eight => {
                "UPDATE direct SET step8 = ?2 WHERE attempt = ?1 AND (step8 IS NULL OR step8 = ?2)"
            }
        };
        let changed = self.inner()?.connection.execute(update, (attempt.as_bytes(), bytes))?;
        if changed == 1 { Ok(()) } else { Err(StoreError::Conflict) }
    }

    /// Attempts of everything in the outbox, whether or not the rest of it can be read.
    ///
    /// # Errors
    /// The database's.
    pub fn in_outbox(&self) -> Result<Vec<AttemptId>, StoreError> {
        let inner = self.inner()?;
        let mut select = inner.connection.prepare("SELECT attempt FROM outbox ORDER BY id")?;
        let attempts = select.query_map([], |row| row.get(0).map(AttemptId::from_bytes))?;
        Ok(attempts.collect::<Result<_, _>>()?)
    }

    /// All of them, oldest first, with those that are set aside.
    ///
    /// # Errors
    /// The disk's.
    pub fn sealed(&self) -> Result<Vec<Sealed>, StoreError> {
        let inner = self.inner()?;
        let mut select =
            inner.connection.prepare("SELECT attempt, token, sealed, set_aside FROM outbox ORDER BY id")?;
        let mut rows = select.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let bytes: Vec<u8> = row.get(2)?;
            let sealed = codec::decode(&bytes, SEALED_MAX_BYTES)
                .map_err(|_| StoreError::Damaged("an enrolment in it is malformed"))?;
            found.push(Sealed {
                attempt: AttemptId::from_bytes(row.get(0)?),
                token: Token::from_bytes(row.get(1)?),
                sealed,
                set_aside: row.get(3)?,
            });
        }
        Ok(found)
    }

    /// Sets an enrolment aside: somebody says that it is over. Nothing of it goes. Durable when it
    /// returns.
    ///
    /// # Errors
    /// The disk's.
    pub fn set_aside(&self, attempt: AttemptId) -> Result<(), StoreError> {
        let update = "UPDATE outbox SET set_aside = 1 WHERE attempt = ?1";
        self.inner()?.connection.execute(update, [attempt.as_bytes()])?;
        Ok(())
    }

    /// The same for an enrolment of the peer-to-peer transport, unless its receipt is here.
    ///
    /// # Errors
    /// The disk's.
    pub fn set_aside_unreceived(&self, attempt: AttemptId) -> Result<(), StoreError> {
        self.inner()?.connection.execute(
            "UPDATE outbox SET set_aside = 1
             WHERE attempt IN (SELECT attempt FROM direct WHERE attempt = ?1 AND step8 IS NULL)",
            [attempt.as_bytes()],
        )?;
        Ok(())
    }

    /// Whether a receipt of the peer-to-peer transport is here for this invitation, of an enrolment
    /// that is not set aside.
    ///
    /// # Errors
    /// The disk's.
    pub fn is_sealed(&self, token: Token) -> Result<bool, StoreError> {
        let sealed = self.inner()?.connection.query_row(
            "SELECT EXISTS (SELECT 1 FROM outbox JOIN direct USING (attempt)
             WHERE token = ?1 AND step8 IS NOT NULL AND NOT set_aside)",
            [token.as_bytes()],
            |row| row.get(0),
        )?;
        Ok(sealed)
    }

    /// Forgets an invitation, because its person says so, and sets aside what was signed for it,
    /// unless a receipt is here that may still be registered; whether it did.
    ///
    /// # Errors
    /// The disk's.
    pub fn take_back(&self, token: Token) -> Result<bool, StoreError> {
        let mut inner = self.inner()?;
        // In one transaction: a receipt can't come between the look and the end.
        let transaction = inner.connection.transaction()?;
        let sealed: bool = transaction.query_row(
            "SELECT EXISTS (SELECT 1 FROM outbox JOIN direct USING (attempt)
             WHERE token = ?1 AND step8 IS NOT NULL AND NOT set_aside)",
            [token.as_bytes()],
            |row| row.get(0),
        )?;
        if sealed {
            return Ok(false);
        }
        transaction.execute("UPDATE outbox SET set_aside = 1 WHERE token = ?1", [token.as_bytes()])?;
        transaction.execute("DELETE FROM invitation WHERE token = ?1", [token.as_bytes()])?;
        transaction.commit()?;
        Ok(true)
    }
}
