//! What a person has said about what is kept on this device: which entries in any case, and how
//! much of the rest.
//!
//! Decides that a pin is durable before anything is fetched for it, and that the pieces it covers
//! are marked in the database, so that nothing of it makes room before its safe has been read
//! again. Refuses more pins of a safe than a person can look through.

use std::collections::BTreeSet;

use parsec_protocol::ids::{EntryId, ObjectId, SafeId, Timestamp};
use parsec_protocol::object_hash::ObjectHash;

use crate::store::integers::{integer, natural};
use crate::store::{Store, StoreError};

/// Pins of one safe: a folder's covers all that is in it, and each is looked at with every record
/// that comes.
pub const PINS_MAX: usize = 256;

/// What a device keeps in all, and how much it may.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeptTotals {
    /// Bytes of pieces that the server has, too.
    pub kept: u64,
    /// Bytes of those that don't make room for others.
    pub pinned: u64,
    /// Bytes of pieces that wait to be shared.
    pub waiting: u64,
    /// Bytes that may be kept without being pinned.
    pub limit: u64,
    /// The same, where a person said so for this device.
    pub said: Option<u64>,
    /// The same, where the daemon's option says so.
    pub option: Option<u64>,
    /// Free bytes that are left to the disk.
    pub floor: u64,
    /// Free bytes of the disk.
    pub free: u64,
}

impl Store {
    /// The pins of a safe, and since when each is there.
    ///
    /// # Errors
    /// The disk's.
    pub fn pins(&self, safe: SafeId) -> Result<Vec<(EntryId, Timestamp)>, StoreError> {
        let inner = self.inner()?;
        let mut select = inner.connection.prepare("SELECT entry, since FROM safe_pin WHERE safe = ?1")?;
        let mut rows = select.query([safe.as_bytes()])?;
        let mut pins = Vec::new();
        while let Some(row) = rows.next()? {
            pins.push((EntryId::from_bytes(row.get(0)?), Timestamp(natural(row.get(1)?)?)));
        }
        Ok(pins)
    }

    /// Pins an entry; one that is pinned stays as it is. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the safe has [`PINS_MAX`]; [`StoreError::DiskFull`]; the
    /// disk's.
    pub fn pin(&self, safe: SafeId, entry: EntryId, since: Timestamp) -> Result<(), StoreError> {
        let mut inner = self.inner()?;
        let transaction = inner.connection.transaction()?;
        transaction.execute(
            "INSERT INTO safe_pin (safe, entry, since) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            (safe.as_bytes(), entry.as_bytes(), integer(since.0)?),
        )?;
        let count: i64 = transaction.query_row(
            "SELECT count(*) FROM safe_pin WHERE safe = ?1",
            [safe.as_bytes()],
            |row| row.get(0),
        )?;
        if natural(count)? > PINS_MAX as u64 {
            return Err(StoreError::Conflict);
        }
        transaction.commit()?;
        Ok(())
    }

    /// An entry is pinned no more; whether it was. Durable when it returns.
    ///
    /// # Errors
    /// The disk's.
    pub fn unpin(&self, safe: SafeId, entry: EntryId) -> Result<bool, StoreError> {
        let removed = self.inner()?.connection.execute(
            "DELETE FROM safe_pin WHERE safe = ?1 AND entry = ?2",
            (safe.as_bytes(), entry.as_bytes()),
        )?;
        Ok(removed > 0)
    }

    /// Pins cover these pieces of a safe, whether they are here or not. Durable when it returns.
    ///
    /// # Errors
    /// The disk's.
    pub fn pin_pieces(&self, safe: SafeId, wanted: BTreeSet<ObjectId>) -> Result<(), StoreError> {
        let news = {
            let mut state = self.pieces.state();
            let news = state.index.pin(safe, wanted);
            // What was let go counts against the limit again.
            self.pieces.keep_to_limit(&mut state)?;
            news
        };
        if news { self.save_pieces() } else { Ok(()) }
    }

    /// Which of these pieces are here, kept or waiting: by what is noted of them, without a look at
    /// their bytes.
    ///
    /// # Errors
    /// The disk's.
    pub fn are_here(&self, safe: SafeId, pieces: &[(ObjectId, ObjectHash)]) -> Result<Vec<bool>, StoreError> {
        let waiting: BTreeSet<ObjectId> =
            self.staged_objects(safe)?.into_iter().map(|(object, _)| object).collect();
        let state = self.pieces.state();
        let kept = |object: &ObjectId, hash: &ObjectHash| {
            state.index.get(&(safe, *object)).is_some_and(|kept| kept.hash == *hash)
        };
        Ok(pieces.iter().map(|(object, hash)| kept(object, hash) || waiting.contains(object)).collect())
    }

    /// What is kept in all, and how much may be.
    ///
    /// # Errors
    /// The disk's.
    pub fn kept_totals(&self) -> Result<KeptTotals, StoreError> {
        let state = self.pieces.state();
        let (free, floor) = self.pieces.floor()?;
        let waiting: Option<i64> =
            self.inner()?
                .connection
                .query_row("SELECT sum(length) FROM safe_waiting", [], |row| row.get(0))?;
        Ok(KeptTotals {
            kept: state.index.bytes(),
            pinned: state.index.pinned().1,
            waiting: waiting.map(natural).transpose()?.unwrap_or_default(),
            limit: self.pieces.limit(&state)?,
            said: state.limit,
            option: self.pieces.option(),
            floor,
            free,
        })
    }

    /// So much may be kept without being pinned, or as much as without a person's word. What is
    /// beyond goes at once. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn limit_kept(&self, bytes: Option<u64>) -> Result<(), StoreError> {
        {
            let mut state = self.pieces.state();
            let inner = self.inner()?;
            match bytes {
                Some(bytes) => inner.connection.execute(
                    "INSERT INTO kept_limit (one, bytes) VALUES (1, ?1)
                     ON CONFLICT (one) DO UPDATE SET bytes = excluded.bytes",
                    [integer(bytes)?],
                )?,
                None => inner.connection.execute("DELETE FROM kept_limit", [])?,
            };
            drop(inner);
            state.limit = bytes;
            self.pieces.keep_to_limit(&mut state)?;
        }
        self.save_pieces()
    }

    /// Gives up everything that is kept and may go. Durable when it returns.
    ///
    /// # Errors
    /// The disk's.
    pub fn clear_kept(&self) -> Result<(), StoreError> {
        {
            let mut state = self.pieces.state();
            self.pieces.shrink(&mut state, 0, 0);
        }
        self.save_pieces()
    }
}
