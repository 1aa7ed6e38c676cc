//! What a device keeps of its safes: which there are, their two logs as they came, what was
//! verified and folded of them, their keys, and what was saved here and is not shared yet.
//!
//! Decides that everything lies in the device's encrypted store but large sealed pieces, which are
//! files beside it: one commit takes in what came, what was folded of it and the queue that was put
//! on top, so that after a crash all of it is of one moment; and removing one row erases a safe,
//! since the rows of the others hang on it and the database overwrites what it removes. Refuses a
//! log with a gap. What is inside was verified by the caller.

mod halting;
mod items;
mod kept;
mod keys;
mod objects;
mod offers;
mod pins;
mod queue;
mod rings;
mod verifying;

use parsec_protocol::chain::head::Head;
use parsec_protocol::codec;
use parsec_protocol::ids::{DeviceId, SafeId};
use parsec_protocol::limits::BODY_MAX_BYTES;
use parsec_protocol::safe_log::roles::Role;
use rusqlite::{OptionalExtension as _, Row};

use super::integers::natural;
use super::{Store, StoreError};

pub use halting::Halt;
pub use items::{Folded, Requeued, StoredRecord, TakenItems, Word};
pub use kept::{Here, SafeSize};
pub use objects::{StagedObject, ToSend};
pub use pins::{KeptTotals, PINS_MAX};
pub use verifying::{PieceHere, WaitingPiece};

/// How this device stands to a safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Somebody shared it with the user, who has not accepted it.
    Offered,
    /// It is kept here.
    Accepted,
    /// The user has left it, or was removed.
    Left,
}

impl Standing {
    const fn number(self) -> i64 {
        match self {
            Self::Offered => 0,
            Self::Accepted => 1,
            Self::Left => 2,
        }
    }

    fn of_number(number: i64) -> Result<Self, StoreError> {
        match number {
            0 => Ok(Self::Offered),
            1 => Ok(Self::Accepted),
            2 => Ok(Self::Left),
            _ => Err(StoreError::Damaged("a safe in it stands in no known way")),
        }
    }
}

/// A safe, as far as it is small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSafe {
    /// Id of the safe.
    pub safe: SafeId,
    /// The device that founded it.
    pub founder: DeviceId,
    /// How this device stands to it.
    pub standing: Standing,
    /// What founds it and is not at the server yet, as it goes there.
    pub founding: Option<Vec<u8>>,
    /// What was verified of its two logs, encoded; nothing before the first look.
    pub verified: Option<Vec<u8>>,
    /// Certificates of the organisation's log that were verified when the safe was asked for last.
    pub floor: u64,
    /// Where the safe log and the journal end, as far as they were verified here.
    pub heads: Option<[Head; 2]>,
    /// The user's role by them.
    pub role: Option<Role>,
    /// Records on top of which the queue stands.
    pub folded: u64,
    /// Ends of the safe log and the journal that another device of the user has verified.
    pub marked: Option<[Head; 2]>,
    /// The record that is being posted, as it goes to the server.
    pub posting: Option<Vec<u8>>,
    /// What nothing more of it is taken for, until a person has looked.
    pub halt: Option<Halt>,
    /// Where its two logs may end by a person's word, whatever was known here before.
    pub accepted: Option<[Head; 2]>,
    /// What accepted records of this device have removed of late, encoded.
    pub removed: Option<Vec<u8>>,
    /// The record whose snapshot the tree was started from; nothing where the whole journal was
    /// folded.
    pub started: Option<u64>,
}

/// What [`read`] reads.
const ROW: &str = "id, founder, standing, founding, verified, floor, heads, role, folded, marked, posting, \
                   halted, halt, accepted, removed, started";

/// A row as it lies there.
type Raw = (
    [u8; 16],
    [u8; 16],
    i64,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    i64,
    Option<Vec<u8>>,
    Option<i64>,
    i64,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    [Option<Vec<u8>>; 3],
    (Option<String>, Option<i64>),
);

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    Ok((
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
        row.get(5)?,
        row.get(6)?,
        row.get(7)?,
        row.get(8)?,
        row.get(9)?,
        row.get(10)?,
        [row.get(12)?, row.get(13)?, row.get(14)?],
        (row.get(11)?, row.get(15)?),
    ))
}

fn read(raw: Raw) -> Result<StoredSafe, StoreError> {
    let (
        id,
        founder,
        standing,
        founding,
        verified,
        floor,
        heads,
        role,
        folded,
        marked,
        posting,
        person,
        (halted, started),
    ) = raw;
    let [halt, accepted, removed] = person;
    let heads_of = |bytes: Option<Vec<u8>>| {
        let read = bytes.map(|bytes| codec::decode(&bytes, BODY_MAX_BYTES)).transpose();
        read.map_err(|_| StoreError::Damaged("a safe's heads in it are malformed"))
    };
    Ok(StoredSafe {
        safe: SafeId::from_bytes(id),
        founder: DeviceId::from_bytes(founder),
        standing: Standing::of_number(standing)?,
        founding,
        verified,
        floor: natural(floor)?,
        heads: heads_of(heads)?,
        role: role.map(items::role_of_number).transpose()?,
        folded: natural(folded)?,
        marked: heads_of(marked)?,
        posting,
        halt: halting::read(halted, halt)?,
        accepted: heads_of(accepted)?,
        removed,
        started: started.map(natural).transpose()?,
    })
}

impl Store {
    /// The safes that this device knows, ascending by id.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], the disk's.
    pub fn safes(&self) -> Result<Vec<StoredSafe>, StoreError> {
        let inner = self.inner()?;
        let mut select = inner.connection.prepare(&format!("SELECT {ROW} FROM safe ORDER BY id"))?;
        let rows = select.query_map([], raw)?;
        rows.map(|row| read(row?)).collect()
    }

    /// Ids of the safes that this device knows, ascending.
    ///
    /// # Errors
    /// The disk's.
    pub fn safe_ids(&self) -> Result<Vec<SafeId>, StoreError> {
        let inner = self.inner()?;
        let mut select = inner.connection.prepare("SELECT id FROM safe ORDER BY id")?;
        let rows = select.query_map([], |row| Ok(SafeId::from_bytes(row.get(0)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// One safe.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], the disk's.
    pub fn safe(&self, safe: SafeId) -> Result<Option<StoredSafe>, StoreError> {
        let inner = self.inner()?;
        let select = format!("SELECT {ROW} FROM safe WHERE id = ?1");
        inner.connection.query_row(&select, [safe.as_bytes()], raw).optional()?.map(read).transpose()
    }

    /// Notes a safe that the device did not know; one that it knows stays as it is. Whether it was
    /// news. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn know_safe(&self, safe: SafeId, founder: DeviceId, standing: Standing) -> Result<bool, StoreError> {
        let added = self.inner()?.connection.execute(
            "INSERT INTO safe (id, founder, standing) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING",
            (safe.as_bytes(), founder.as_bytes(), standing.number()),
        )?;
        Ok(added == 1)
    }

    /// How the device stands to a safe from now on. Of one that the user is in no more, nothing is
    /// kept that the server has. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn set_safe_standing(&self, safe: SafeId, standing: Standing) -> Result<(), StoreError> {
        let mut state = self.pieces.state();
        {
            let mut inner = self.inner()?;
            let transaction = inner.connection.transaction()?;
            transaction.execute(
                "UPDATE safe SET standing = ?2 WHERE id = ?1",
                (safe.as_bytes(), standing.number()),
            )?;
            if standing == Standing::Left {
                transaction.execute("DELETE FROM safe_kept WHERE safe = ?1", [safe.as_bytes()])?;
                transaction.execute("DELETE FROM safe_pin WHERE safe = ?1", [safe.as_bytes()])?;
            }
            transaction.commit()?;
        }
        if standing == Standing::Left {
            let gone: Vec<_> = state.index.forget(safe).iter().map(|kept| kept.place.file).collect();
            self.pieces.drop_files(&mut state, safe, &gone);
        }
        Ok(())
    }

    /// Notes the user's role, of which the safe's own log has not been read yet. Durable when it
    /// returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn set_safe_role(&self, safe: SafeId, role: Option<Role>) -> Result<(), StoreError> {
        self.inner()?.connection.execute(
            "UPDATE safe SET role = ?2 WHERE id = ?1",
            (safe.as_bytes(), role.map(items::role_number)),
        )?;
        Ok(())
    }

    /// Notes the heads that another device of the user has verified. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn mark_safe(&self, safe: SafeId, heads: [Head; 2]) -> Result<(), StoreError> {
        self.inner()?
            .connection
            .execute("UPDATE safe SET marked = ?2 WHERE id = ?1", (safe.as_bytes(), codec::encode(&heads)))?;
        Ok(())
    }

    /// Keeps what founds a safe, with its first key and its first changes, before it goes out;
    /// durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the device knows the safe; [`StoreError::DiskFull`]; the
    /// disk's.
    pub fn found_safe(
        &self,
        safe: SafeId,
        founder: DeviceId,
        founding: &[u8],
        key: &parsec_protocol::keys::SafeKey,
        queue: &[Vec<u8>],
    ) -> Result<(), StoreError> {
        let mut inner = self.inner()?;
        let transaction = inner.connection.transaction()?;
        let added = transaction.execute(
            "INSERT INTO safe (id, founder, standing, founding) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO NOTHING",
            (safe.as_bytes(), founder.as_bytes(), Standing::Accepted.number(), founding),
        )?;
        if added != 1 {
            return Err(StoreError::Conflict);
        }
        keys::put(&transaction, safe, 0, key)?;
        queue::replace(&transaction, safe, queue)?;
        transaction.commit()?;
        Ok(())
    }

    /// What founds a safe is another envelope now: it had to be signed anew. Durable when it
    /// returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn refound_safe(&self, safe: SafeId, founding: &[u8]) -> Result<(), StoreError> {
        self.inner()?.connection.execute(
            "UPDATE safe SET founding = ?2 WHERE id = ?1 AND founding IS NOT NULL",
            (safe.as_bytes(), founding),
        )?;
        Ok(())
    }

    /// Erases a safe and everything that is kept of it. Durable when it returns; files that the
    /// disk does not let go then are removed when the device is unlocked next.
    ///
    /// # Errors
    /// The disk's.
    pub fn erase_safe(&self, safe: SafeId) -> Result<(), StoreError> {
        let mut state = self.pieces.state();
        self.inner()?.connection.execute("DELETE FROM safe WHERE id = ?1", [safe.as_bytes()])?;
        state.index.forget(safe);
        state.packs.gone(safe);
        if let Some(folder) = state.folders.remove(&safe)
            && let Err(error) = self.pieces.files().remove_folder(folder)
        {
            tracing::warn!(%error, "the folder of a safe that is gone stays on the disk for now");
        }
        Ok(())
    }
}
