//! Alarms of a device: what its organisation's server showed that can't be, until a person has
//! dealt with it.
//!
//! Decides what is the same finding: one that is open, or was acknowledged in the same words, is
//! not raised again. Refuses to keep more than a person will read: each needs somebody's
//! acknowledgement before the next of its kind. Takeovers of safes are the exception: each is told.

use parsec_protocol::ids::{SafeId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::integers::integer;
use super::{Store, StoreError, evidence};

/// Acknowledged alarms that are kept, so that their findings stay known: months of a server that
/// misbehaves daily.
const ACKNOWLEDGED_MAX: u64 = 256;

/// An alarm as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAlarm {
    /// Its number among this device's.
    pub id: u64,
    /// What kind of problem: its name in the local API.
    pub kind: String,
    /// What was found, in a sentence.
    pub found: String,
    /// When it was raised first.
    pub since: Timestamp,
    /// Whether a proof is kept with it.
    pub proof: bool,
}

/// What closes an alarm besides a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mend {
    Never,
    /// A repair of the organisation's log.
    Log,
    /// One of a safe.
    Safe,
    /// Nothing, as with `Never`; and each is a finding of its own but for one in the same words.
    Each,
}

impl Mend {
    /// As it lies in the database, where 2 is one that was mended.
    const fn number(self) -> i64 {
        match self {
            Self::Never => 0,
            Self::Log => 1,
            Self::Safe => 3,
            Self::Each => 4,
        }
    }
}

/// What [`read`] reads.
const ROW: &str = "id, kind, found, since, EXISTS (SELECT 1 FROM fork WHERE fork.alarm = alarm.id)";

fn read(row: &Row<'_>) -> rusqlite::Result<StoredAlarm> {
    Ok(StoredAlarm {
        id: row.get::<_, i64>(0)?.unsigned_abs(),
        kind: row.get(1)?,
        found: row.get(2)?,
        since: Timestamp(row.get::<_, i64>(3)?.unsigned_abs()),
        proof: row.get(4)?,
    })
}

/// Whether there is an alarm of this kind, or this finding has been dealt with by a person. One
/// that was mended may come again, and is news then; and that certificates are missing says nothing
/// of anything worse. Of those that are told each, an open one hides none but itself: whoever takes
/// a second safe over would be unseen behind the first.
fn is_known(connection: &Connection, kind: &str, found: &str, mend: Mend) -> rusqlite::Result<bool> {
    let (mendable, each) = (matches!(mend, Mend::Log | Mend::Safe), mend == Mend::Each);
    connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM alarm WHERE kind = ?1 AND
             (acknowledged IS NULL AND (found = ?2 OR NOT ?4 AND (mend = 0 OR ?3 AND mend NOT IN (3, 4)))
              OR acknowledged IS NOT NULL AND found = ?2 AND mend <> 2))",
        (kind, found, mendable, each),
        |row| row.get(0),
    )
}

impl Store {
    /// Whether raising an alarm would say nothing new. `mendable`: it says that certificates are
    /// missing at the server, and nothing more.
    ///
    /// # Errors
    /// The disk's.
    pub fn alarm_is_known(&self, kind: &str, found: &str, mendable: bool) -> Result<bool, StoreError> {
        let mend = if mendable { Mend::Log } else { Mend::Never };
        Ok(is_known(&self.inner()?.connection, kind, found, mend)?)
    }

    /// Whether an open alarm of this kind has its proof: another would say nothing more.
    ///
    /// # Errors
    /// The disk's.
    pub fn alarm_is_proved(&self, kind: &str) -> Result<bool, StoreError> {
        Ok(self.inner()?.connection.query_row(
            "SELECT EXISTS (SELECT 1 FROM alarm JOIN fork ON fork.alarm = alarm.id
                            WHERE kind = ?1 AND acknowledged IS NULL)",
            [kind],
            |row| row.get(0),
        )?)
    }

    /// Raises an alarm, with a proof that others can check where there is one; nothing if there is
    /// one of this kind, or this finding has been dealt with. Durable when it returns.
    ///
    /// # Errors
    /// The disk's.
    pub fn raise_alarm(
        &self,
        kind: &str,
        found: &str,
        now: Timestamp,
        proof: Option<&[u8]>,
    ) -> Result<Option<StoredAlarm>, StoreError> {
        self.raise(kind, found, now, proof, Mend::Never)
    }

    /// The same for what a repair of the server's log deals with: certificates are missing there,
    /// and nothing else is wrong.
    ///
    /// # Errors
    /// The disk's.
    pub fn raise_mendable(
        &self,
        kind: &str,
        found: &str,
        now: Timestamp,
    ) -> Result<Option<StoredAlarm>, StoreError> {
        self.raise(kind, found, now, None, Mend::Log)
    }

    /// The same for what the repair of one safe deals with.
    ///
    /// # Errors
    /// The disk's.
    pub fn raise_of_safe(
        &self,
        kind: &str,
        found: &str,
        now: Timestamp,
    ) -> Result<Option<StoredAlarm>, StoreError> {
        self.raise(kind, found, now, None, Mend::Safe)
    }

    /// Raises an alarm of which each is a finding of its own: nothing only if there is one in these
    /// words, open or dealt with. Durable when it returns.
    ///
    /// # Errors
    /// The disk's.
    pub fn raise_each(
        &self,
        kind: &str,
        found: &str,
        now: Timestamp,
    ) -> Result<Option<StoredAlarm>, StoreError> {
        self.raise(kind, found, now, None, Mend::Each)
    }

    /// Whether an open alarm says that a safe's end is missing at the server.
    ///
    /// # Errors
    /// The disk's.
    pub fn is_safe_lacking(&self, safe: &SafeId) -> Result<bool, StoreError> {
        Ok(self.inner()?.connection.query_row(
            "SELECT EXISTS (SELECT 1 FROM alarm WHERE acknowledged IS NULL AND mend = 3 AND instr(found, ?1) > 0)",
            [safe.to_string()],
            |row| row.get(0),
        )?)
    }

    /// What was missing of a safe is there again: closes the open alarms that said so, and says
    /// which. Durable when it returns.
    ///
    /// # Errors
    /// The disk's.
    pub fn mend_safe_alarms(&self, safe: &SafeId, now: Timestamp) -> Result<Vec<StoredAlarm>, StoreError> {
        let inner = self.inner()?;
        let mut update = inner.connection.prepare(&format!(
            "UPDATE alarm SET acknowledged = ?1, mend = 2
             WHERE acknowledged IS NULL AND mend = 3 AND instr(found, ?2) > 0 RETURNING {ROW}"
        ))?;
        let rows = update.query_map((integer(now.0)?, safe.to_string()), read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn raise(
        &self,
        kind: &str,
        found: &str,
        now: Timestamp,
        proof: Option<&[u8]>,
        mend: Mend,
    ) -> Result<Option<StoredAlarm>, StoreError> {
        let mut inner = self.inner()?;
        let transaction = inner.connection.transaction()?;
        if is_known(&transaction, kind, found, mend)? {
            // Evidence is kept all the same: with the newest alarm of its kind that has none.
            if let Some(file) = proof {
                let bare = transaction.query_row(
                    "SELECT id FROM alarm WHERE kind = ?1 AND id NOT IN (SELECT alarm FROM fork)
                     ORDER BY acknowledged IS NULL DESC, id DESC LIMIT 1",
                    [kind],
                    |row| row.get::<_, i64>(0),
                );
                if let Some(id) = bare.optional()? {
                    evidence::put_fork(&transaction, id.unsigned_abs(), file)?;
                    transaction.commit()?;
                }
            }
            return Ok(None);
        }
        let mut alarm = transaction.query_row(
            &format!("INSERT INTO alarm (kind, found, since, mend) VALUES (?1, ?2, ?3, ?4) RETURNING {ROW}"),
            (kind, found, integer(now.0)?, mend.number()),
            read,
        )?;
        if let Some(file) = proof {
            alarm.proof = evidence::put_fork(&transaction, alarm.id, file)?;
        }
        transaction.execute(
            "DELETE FROM alarm WHERE acknowledged IS NOT NULL AND id NOT IN
                 (SELECT id FROM alarm WHERE acknowledged IS NOT NULL ORDER BY id DESC LIMIT ?1)",
            [integer(ACKNOWLEDGED_MAX)?],
        )?;
        transaction.commit()?;
        Ok(Some(alarm))
    }

    /// Those nobody has dealt with, oldest first.
    ///
    /// # Errors
    /// The disk's.
    pub fn open_alarms(&self) -> Result<Vec<StoredAlarm>, StoreError> {
        let inner = self.inner()?;
        let mut select = inner
            .connection
            .prepare(&format!("SELECT {ROW} FROM alarm WHERE acknowledged IS NULL ORDER BY id"))?;
        let rows = select.query_map([], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The server's log has been verified to hold what was missing: closes the open alarms that
    /// said so and nothing more, and says which. Durable when it returns.
    ///
    /// # Errors
    /// The disk's.
    pub fn mend_alarms(&self, now: Timestamp) -> Result<Vec<StoredAlarm>, StoreError> {
        let inner = self.inner()?;
        let mut update = inner.connection.prepare(&format!(
            "UPDATE alarm SET acknowledged = ?1, mend = 2
             WHERE acknowledged IS NULL AND mend = 1 AND id NOT IN (SELECT alarm FROM fork) RETURNING {ROW}"
        ))?;
        let rows = update.query_map([integer(now.0)?], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A person has dealt with it. Says which it was; nothing if there is none of this number.
    /// Durable when it returns; saying it again changes nothing.
    ///
    /// # Errors
    /// The disk's.
    pub fn acknowledge_alarm(&self, id: u64, now: Timestamp) -> Result<Option<StoredAlarm>, StoreError> {
        let inner = self.inner()?;
        let alarm = inner.connection.query_row(
            &format!(
                "UPDATE alarm SET acknowledged = coalesce(acknowledged, ?2) WHERE id = ?1 RETURNING {ROW}"
            ),
            (integer(id)?, integer(now.0)?),
            read,
        );
        Ok(alarm.optional()?)
    }
}
