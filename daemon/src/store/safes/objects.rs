//! Sealed objects of changes that wait to be shared.
//!
//! Decides that an object's id and its bytes are kept together or not at all: what is sealed once
//! is never sealed again under the same id. A large one is a file, durable before its row is; small
//! ones that come together share one; a small one alone is in its row, where a file would cost a
//! sync of its own. As soon as an accepted record has added it, it need not be kept, and may be.

use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::object_hash::ObjectHash;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _};

use super::kept;
use crate::store::integers::{integer, natural};
use crate::store::pieces::files::{FileName, Location};
use crate::store::pieces::opening::place;
use crate::store::pieces::packs::laid_out;
use crate::store::pieces::{Kept, Key};
use crate::store::{Store, StoreError};

const DELETE_WAITING: &str = "DELETE FROM safe_waiting WHERE safe = ?1 AND object = ?2";

/// An object as it goes to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedObject {
    /// Id of the object.
    pub object: ObjectId,
    /// Hash of its sealed bytes.
    pub hash: ObjectHash,
    /// Bytes of the sealed object.
    pub sealed: Vec<u8>,
}

/// What the database has of one that waits.
struct Waiting {
    hash: ObjectHash,
    length: u64,
    /// Its bytes, or the place that they are in.
    sealed: Option<Vec<u8>>,
    place: Option<Location>,
    uploaded: bool,
}

/// The columns of [`Waiting`], in its order.
const SELECT_WAITING: &str =
    "SELECT hash, length, sealed, file, at, uploaded FROM safe_waiting WHERE safe = ?1 AND object = ?2";

/// What there is to send of an object.
#[derive(Debug)]
pub enum ToSend {
    /// The server has it.
    Nothing,
    /// The object, with all its bytes.
    Object(StagedObject),
}

/// Objects that are in files.
type InFiles = Vec<(Key, Kept)>;
/// Objects that were in their rows: id, hash, bytes.
type InRows = Vec<(ObjectId, ObjectHash, Vec<u8>)>;

/// Reads one row of [`SELECT_WAITING`].
fn waiting(select: &mut CachedStatement<'_>, (safe, object): Key) -> Result<Option<Waiting>, StoreError> {
    let mut rows = select.query((safe.as_bytes(), object.as_bytes()))?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let (file, at): (Option<[u8; 16]>, _) = (row.get(3)?, row.get(4)?);
    Ok(Some(Waiting {
        hash: ObjectHash::from_bytes(row.get(0)?),
        length: natural(row.get(1)?)?,
        sealed: row.get(2)?,
        place: file.map(|file| place(file, at)).transpose()?,
        uploaded: row.get(5)?,
    }))
}

/// Takes objects out of those that wait. Those with files are noted as kept in the same commit:
/// never a file without a row.
fn share(
    connection: &mut Connection,
    safe: SafeId,
    objects: &[ObjectId],
) -> Result<(InFiles, InRows), StoreError> {
    let transaction = connection.transaction()?;
    let (mut in_files, mut in_rows) = (Vec::new(), Vec::new());
    {
        let mut select = transaction.prepare_cached(SELECT_WAITING)?;
        let mut delete = transaction.prepare_cached(DELETE_WAITING)?;
        for object in objects {
            let key = (safe, *object);
            let Some(Waiting { hash, length, sealed, place, .. }) = waiting(&mut select, key)? else {
                continue;
            };
            delete.execute((safe.as_bytes(), object.as_bytes()))?;
            if let Some(place) = place {
                // Whether it is pinned, the index says, which tells the database.
                let kept = Kept { hash, length, place, used: 0, pinned: false };
                kept::put(&transaction, key, &kept)?;
                in_files.push((key, kept));
            } else if let Some(sealed) = sealed {
                in_rows.push((*object, hash, sealed));
            }
        }
    }
    transaction.commit()?;
    Ok((in_files, in_rows))
}

impl Store {
    /// Keeps sealed objects; all or none. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], where the disk has no room left but what it must keep; the disk's.
    pub fn stage_objects(&self, safe: SafeId, objects: &[StagedObject]) -> Result<(), StoreError> {
        let length = |object: &StagedObject| object.sealed.len() as u64;
        let more = objects.iter().map(length).sum();
        self.pieces.make_room(&mut self.pieces.state(), more)?;
        match self.stage_without_room(safe, objects) {
            Err(StoreError::DiskFull) if self.give_up_pieces(more) => self.stage_without_room(safe, objects),
            staged => staged,
        }
    }

    /// The same on a disk that may be full at any moment: others write, too.
    pub(in crate::store) fn stage_without_room(
        &self,
        safe: SafeId,
        objects: &[StagedObject],
    ) -> Result<(), StoreError> {
        let folder = self.folder_of(&mut self.pieces.state(), safe)?;
        let laid = laid_out(&objects.iter().map(|object| object.sealed.as_slice()).collect::<Vec<_>>())?;
        self.pieces.files().write_durably(folder, &laid.files)?;
        let packed = || laid.places.iter().flatten().filter(|place| place.at.is_some());
        packed().for_each(|place| self.pieces.state().packs.named(safe, place.file));
        let inserted = self.insert_waiting(safe, objects, &laid.places);
        if inserted.is_err() {
            let files: Vec<_> = laid.files.iter().map(|file| file.name).collect();
            let mut state = self.pieces.state();
            files.iter().for_each(|file| state.packs.not_made(safe, *file));
            self.pieces.drop_files(&mut state, safe, &files);
        }
        inserted
    }

    fn insert_waiting(
        &self,
        safe: SafeId,
        objects: &[StagedObject],
        places: &[Option<Location>],
    ) -> Result<(), StoreError> {
        let mut inner = self.inner()?;
        let transaction = inner.connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO safe_waiting (safe, object, hash, length, sealed, file, at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            for (StagedObject { object, hash, sealed }, place) in objects.iter().zip(places) {
                let length = integer(sealed.len() as u64)?;
                let here = place.is_none().then_some(sealed);
                let file = place.as_ref().map(|place| place.file.as_bytes());
                let at = place.and_then(|place| place.at).map(integer).transpose()?;
                let (safe, object, hash) = (safe.as_bytes(), object.as_bytes(), hash.as_bytes());
                insert.execute((safe, object, hash, length, here, file, at))?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn waiting(&self, safe: SafeId, object: ObjectId) -> Result<Option<Waiting>, StoreError> {
        waiting(&mut self.inner()?.connection.prepare_cached(SELECT_WAITING)?, (safe, object))
    }

    /// A sealed object that waits here.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where its bytes are gone, or others; the disk's.
    pub fn staged_object(&self, safe: SafeId, object: ObjectId) -> Result<Option<StagedObject>, StoreError> {
        let waiting = self.waiting(safe, object)?;
        waiting.map(|waiting| self.staged(safe, object, waiting)).transpose()
    }

    fn staged(&self, safe: SafeId, object: ObjectId, waiting: Waiting) -> Result<StagedObject, StoreError> {
        let Waiting { hash, length, sealed, place, .. } = waiting;
        let damaged = || StoreError::Damaged("contents that wait to be shared are not what was written");
        let sealed = match (sealed, place) {
            (Some(sealed), _) => sealed,
            (None, Some(place)) => {
                let folder = self.pieces.state().folders.get(&safe).copied().ok_or_else(damaged)?;
                let found = match self.pieces.read(folder, place, length, &hash) {
                    // What this disk can't read is this piece's matter, and holds up no other.
                    Err(StoreError::Io { what, source }) => {
                        tracing::warn!(what, %source, "contents that wait to be shared can't be read");
                        return Err(damaged());
                    }
                    found => found?.ok_or_else(damaged)?,
                };
                found.into_inner()
            }
            (None, None) => return Err(damaged()),
        };
        Ok(StagedObject { object, hash, sealed })
    }

    /// What there is to send of an object that waits here; none where it doesn't.
    ///
    /// # Errors
    /// As [`Store::staged_object`].
    pub fn to_send(&self, safe: SafeId, object: ObjectId) -> Result<Option<ToSend>, StoreError> {
        let Some(waiting) = self.waiting(safe, object)? else { return Ok(None) };
        if waiting.uploaded {
            return Ok(Some(ToSend::Nothing));
        }
        self.staged(safe, object, waiting).map(|staged| Some(ToSend::Object(staged)))
    }

    /// All objects that wait here, and whether the server has each, as far as it is known.
    ///
    /// # Errors
    /// The disk's.
    pub fn staged_objects(&self, safe: SafeId) -> Result<Vec<(ObjectId, bool)>, StoreError> {
        let inner = self.inner()?;
        let mut select =
            inner.connection.prepare("SELECT object, uploaded FROM safe_waiting WHERE safe = ?1")?;
        let rows = select
            .query_map([safe.as_bytes()], |row| Ok((ObjectId::from_bytes(row.get(0)?), row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Notes whether the server has these objects. Durable when it returns.
    ///
    /// # Errors
    /// The disk's.
    pub fn set_objects_uploaded(
        &self,
        safe: SafeId,
        objects: &[ObjectId],
        uploaded: bool,
    ) -> Result<(), StoreError> {
        let mut inner = self.inner()?;
        let transaction = inner.connection.transaction()?;
        {
            let mut update = transaction
                .prepare_cached("UPDATE safe_waiting SET uploaded = ?3 WHERE safe = ?1 AND object = ?2")?;
            for object in objects {
                update.execute((safe.as_bytes(), object.as_bytes(), uploaded))?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// These objects don't wait here any more, and nobody needs them. Durable when it returns.
    ///
    /// # Errors
    /// The disk's.
    pub fn drop_objects(&self, safe: SafeId, objects: &[ObjectId]) -> Result<(), StoreError> {
        let mut state = self.pieces.state();
        let mut files = Vec::new();
        {
            let mut inner = self.inner()?;
            let transaction = inner.connection.transaction()?;
            {
                // Two statements and no RETURNING, which makes a table for each row.
                let mut select = transaction
                    .prepare_cached("SELECT file FROM safe_waiting WHERE safe = ?1 AND object = ?2")?;
                let mut delete = transaction.prepare_cached(DELETE_WAITING)?;
                for object in objects {
                    let key = (safe.as_bytes(), object.as_bytes());
                    let file: Option<Option<[u8; 16]>> =
                        select.query_row(key, |row| row.get(0)).optional()?;
                    delete.execute(key)?;
                    files.extend(file.flatten().map(FileName::from_bytes));
                }
            }
            transaction.commit()?;
        }
        // Behind the rows: a file without one is swept, a row without a file would be a loss.
        self.pieces.drop_files(&mut state, safe, &files);
        Ok(())
    }

    /// These objects were added by an accepted record: the server has them, and they are kept here
    /// as long as there is room. Durable when it returns.
    ///
    /// # Errors
    /// The disk's.
    pub fn share_objects(&self, safe: SafeId, objects: &[ObjectId]) -> Result<(), StoreError> {
        let in_rows;
        {
            let mut state = self.pieces.state();
            let mut inner = self.inner()?;
            let (in_files, rest) = share(&mut inner.connection, safe, objects)?;
            in_rows = rest;
            drop(inner);
            for (key, Kept { hash, length, place, .. }) in in_files {
                self.note_kept(&mut state, key, hash, length, place);
            }
            self.pieces.may_keep(&mut state, 0, 0)?;
        }
        let small: Vec<_> =
            in_rows.iter().map(|(object, hash, sealed)| (*object, *hash, sealed.as_slice())).collect();
        if let Err(error) = self.keep_pieces(safe, &small) {
            tracing::info!(%error, "what was shared is not kept");
        }
        Ok(())
    }
}
