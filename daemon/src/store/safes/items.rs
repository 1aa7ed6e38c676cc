//! The certificates and records of a safe as they were signed, and what was folded of them.
//!
//! Decides that they come in together with what was verified of them, and that what was folded
//! changes together with the queue on top of it: after a crash either none of it is there or all.
//! Refuses a gap.

use parsec_protocol::chain::head::Head;
use parsec_protocol::codec;
use parsec_protocol::ids::{SafeId, UserId};
use parsec_protocol::safe_log::roles::Role;
use rusqlite::{Connection, OptionalExtension as _};

use super::queue;
use crate::store::integers::{integer, natural};
use crate::store::{Store, StoreError};

/// A record as it was signed, and what its judgement said of its author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// User of the author's device.
    pub author: UserId,
    /// The author's role when the record was accepted.
    pub role: Role,
    /// Envelope of the record, as signed.
    pub envelope: Vec<u8>,
}

/// What is taken in at once.
#[derive(Debug)]
pub struct TakenItems {
    /// Certificates that were here before.
    pub log_from: u64,
    /// The certificates behind them.
    pub certificates: Vec<Vec<u8>>,
    /// Records that were here before.
    pub journal_from: u64,
    /// The records behind them.
    pub records: Vec<StoredRecord>,
    /// What is verified with them, encoded.
    pub verified: Vec<u8>,
    /// Certificates of the organisation's log that were verified when they were asked for.
    pub floor: u64,
    /// Where the safe log and the journal end with them.
    pub heads: [Head; 2],
    /// The user's role by them.
    pub role: Option<Role>,
    /// Whether the safe is founded, as the server shows.
    pub founded: bool,
}

/// What a queue is from some moment on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requeued {
    /// The one that was there, without its first so many changes: the usual end of a record, and
    /// thousands behind it are not written again for it.
    Shorter(usize),
    /// These changes, encoded, and no others.
    Anew(Vec<Vec<u8>>),
}

/// What was folded of a safe, and the queue on top of it.
#[derive(Debug)]
pub struct Folded {
    /// Records that are in it.
    pub seq: u64,
    /// The folded tree, where it is worth keeping.
    pub state: Option<Vec<u8>>,
    /// What waits to be shared, on top of it.
    pub queue: Requeued,
    /// What accepted records of this device have removed of late, encoded; as it was if absent.
    pub removed: Option<Vec<u8>>,
    /// Whose word the tree stands on.
    pub word: Word,
}

/// Whose word a folded tree stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// The same as before: it was folded on.
    AsBefore,
    /// The snapshot's in this record, until the whole journal was folded.
    Snapshot(u64),
    /// Nobody's: it was folded from the first record on.
    Nobodys,
}

/// A role as it lies in the database.
pub(super) const fn role_number(role: Role) -> i64 {
    match role {
        Role::Owner => 0,
        Role::Manager => 1,
        Role::Contributor => 2,
        Role::Reader => 3,
    }
}

/// And back.
pub(super) fn role_of_number(number: i64) -> Result<Role, StoreError> {
    match number {
        0 => Ok(Role::Owner),
        1 => Ok(Role::Manager),
        2 => Ok(Role::Contributor),
        3 => Ok(Role::Reader),
        _ => Err(StoreError::Damaged("a role in it is none")),
    }
}

fn count(connection: &Connection, select: &str, safe: SafeId) -> Result<u64, StoreError> {
    natural(connection.query_row(select, [safe.as_bytes()], |row| row.get(0))?)
}

impl Store {
    /// Takes items in, all or nothing. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::Gap`] where others are here before them; [`StoreError::DiskFull`]; the disk's.
    pub fn take_safe_items(&self, safe: SafeId, taken: &TakenItems) -> Result<(), StoreError> {
        let mut inner = self.inner()?;
        let transaction = inner.connection.transaction()?;
        let places = [
            ("SELECT count(*) FROM safe_certificate WHERE safe = ?1", taken.log_from),
            ("SELECT count(*) FROM safe_record WHERE safe = ?1", taken.journal_from),
        ];
        for (select, from) in places {
            let have = count(&transaction, select, safe)?;
            if have != from {
                return Err(StoreError::Gap { have, from });
            }
        }
        {
            let mut insert = transaction
                .prepare("INSERT INTO safe_certificate (safe, position, envelope) VALUES (?1, ?2, ?3)")?;
            for (position, envelope) in (taken.log_from..).zip(&taken.certificates) {
                insert.execute((safe.as_bytes(), integer(position)?, envelope))?;
            }
            let mut insert = transaction.prepare(
                "INSERT INTO safe_record (safe, seq, author, role, envelope) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            for (before, record) in (taken.journal_from..).zip(&taken.records) {
                let seq = integer(before.saturating_add(1))?;
                let StoredRecord { author, role, envelope } = record;
                insert.execute((safe.as_bytes(), seq, author.as_bytes(), role_number(*role), envelope))?;
            }
        }
        transaction.execute(
            "UPDATE safe SET verified = ?2, floor = max(floor, ?3), heads = ?4, role = ?5,
                 founding = CASE WHEN ?6 THEN NULL ELSE founding END
             WHERE id = ?1",
            (
                safe.as_bytes(),
                &taken.verified,
                integer(taken.floor)?,
                codec::encode(&taken.heads),
                taken.role.map(role_number),
                taken.founded,
            ),
        )?;
        transaction.commit()?;
        Ok(())
    }

    /// The queue stands on so many records from now on; the record that was being posted is decided
    /// by that. All or nothing; durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn fold_safe(&self, safe: SafeId, folded: &Folded) -> Result<(), StoreError> {
        let mut inner = self.inner()?;
        let transaction = inner.connection.transaction()?;
        transaction.execute(
            "UPDATE safe SET folded = ?2, posting = NULL, removed = coalesce(?3, removed) WHERE id = ?1",
            (safe.as_bytes(), integer(folded.seq)?, &folded.removed),
        )?;
        let started = match folded.word {
            Word::AsBefore => None,
            Word::Snapshot(seq) => Some(Some(integer(seq)?)),
            Word::Nobodys => Some(None),
        };
        if let Some(started) = started {
            transaction.execute("UPDATE safe SET started = ?2 WHERE id = ?1", (safe.as_bytes(), started))?;
        }
        if let Some(state) = &folded.state {
            transaction.execute(
                "INSERT INTO safe_state (safe, seq, state) VALUES (?1, ?2, ?3)
                 ON CONFLICT (safe) DO UPDATE SET seq = excluded.seq, state = excluded.state",
                (safe.as_bytes(), integer(folded.seq)?, state),
            )?;
        }
        match &folded.queue {
            Requeued::Shorter(by) => queue::shorten(&transaction, safe, *by)?,
            Requeued::Anew(changes) => queue::replace(&transaction, safe, changes)?,
        }
        transaction.commit()?;
        Ok(())
    }

    /// The certificates of a safe from a position on.
    ///
    /// # Errors
    /// The disk's.
    pub fn safe_certificates(&self, safe: SafeId, from: u64) -> Result<Vec<Vec<u8>>, StoreError> {
        let inner = self.inner()?;
        let mut select = inner.connection.prepare(
            "SELECT envelope FROM safe_certificate WHERE safe = ?1 AND position >= ?2 ORDER BY position",
        )?;
        let rows = select.query_map((safe.as_bytes(), integer(from)?), |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// At most so many certificates of a safe from a position on.
    ///
    /// # Errors
    /// The disk's.
    pub fn safe_certificates_page(
        &self,
        safe: SafeId,
        from: u64,
        most: u64,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let inner = self.inner()?;
        let mut select = inner.connection.prepare(
            "SELECT envelope FROM safe_certificate WHERE safe = ?1 AND position >= ?2 ORDER BY position LIMIT ?3",
        )?;
        let rows = select.query_map((safe.as_bytes(), integer(from)?, integer(most)?), |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// At most so many records of a safe behind record `after`.
    ///
    /// # Errors
    /// The disk's.
    pub fn safe_records(&self, safe: SafeId, after: u64, most: u64) -> Result<Vec<StoredRecord>, StoreError> {
        let inner = self.inner()?;
        let mut select = inner.connection.prepare(
            "SELECT author, role, envelope FROM safe_record WHERE safe = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
        )?;
        let rows = select.query_map((safe.as_bytes(), integer(after)?, integer(most)?), |row| {
            Ok((UserId::from_bytes(row.get(0)?), row.get(1)?, row.get(2)?))
        })?;
        rows.map(|row| {
            let (author, role, envelope) = row?;
            Ok(StoredRecord { author, role: role_of_number(role)?, envelope })
        })
        .collect()
    }

    /// The folded tree that was kept, and after how many records.
    ///
    /// # Errors
    /// The disk's.
    pub fn safe_state(&self, safe: SafeId) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let inner = self.inner()?;
        let row = inner
            .connection
            .query_row("SELECT seq, state FROM safe_state WHERE safe = ?1", [safe.as_bytes()], |row| {
                Ok((row.get::<_, i64>(0)?, row.get(1)?))
            })
            .optional()?;
        row.map(|(seq, state)| Ok((natural(seq)?, state))).transpose()
    }

    /// The folded tree that was kept is not to be used any more. Durable when it returns.
    ///
    /// # Errors
    /// The disk's.
    pub fn drop_safe_state(&self, safe: SafeId) -> Result<(), StoreError> {
        self.inner()?.connection.execute("DELETE FROM safe_state WHERE safe = ?1", [safe.as_bytes()])?;
        Ok(())
    }
}
