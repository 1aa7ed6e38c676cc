//! Sealed objects of changes that wait to be shared.
//!
//! Decides that an object's id and its bytes are kept together or not at all: what is sealed once
//! is never sealed again under the same id. A large one is a file, durable before its row is; a
//! small one is in its row, where a file would cost a sync of its own. As soon as an accepted
//! record has added it, it need not be kept, and may be.

use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::object_hash::ObjectHash;
use rusqlite::{Connection, OptionalExtension as _};

use super::kept;
use crate::store::integers::integer;
use crate::store::pieces::Key;
use crate::store::pieces::files::FileName;
use crate::store::{Store, StoreError};

/// Largest object that is a part of its row, as at the server: below it, a file costs more than its
/// bytes.
pub(crate) const ROW_MAX_BYTES: usize = 32 * 1024;

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

/// What the database has of one: its hash, and its bytes or the file that they are in.
type WaitingColumns = (ObjectHash, Option<Vec<u8>>, Option<FileName>);

/// What there is to send of an object.
#[derive(Debug)]
pub enum ToSend {
    /// The server has it.
    Nothing,
    /// The object, with all its bytes.
    Object(StagedObject),
}

/// Objects with files of their own: key, hash, length, file.
type Large = Vec<(Key, ObjectHash, u64, FileName)>;
/// Objects that were in their rows: id, hash, bytes.
type Small = Vec<(ObjectId, ObjectHash, Vec<u8>)>;

/// Takes objects out of those that wait. Those with files are noted as kept in the same commit:
/// never a file without a row.
fn share(
    connection: &mut Connection,
    safe: SafeId,
    objects: &[ObjectId],
) -> Result<(Large, Small), StoreError> {
    let transaction = connection.transaction()?;
    let (mut large, mut small) = (Vec::new(), Vec::new());
    {
        let mut select = transaction.prepare_cached(
            "SELECT hash, sealed, file, length FROM safe_waiting WHERE safe = ?1 AND object = ?2",
        )?;
        let mut delete = transaction.prepare_cached(DELETE_WAITING)?;
        for object in objects {
            let key = (safe.as_bytes(), object.as_bytes());
            let row = select.query_row(key, |row| {
                let hash = ObjectHash::from_bytes(row.get(0)?);
                let file: Option<[u8; 16]> = row.get(2)?;
                Ok((hash, row.get::<_, Option<Vec<u8>>>(1)?, file, row.get::<_, i64>(3)?))
            });
            let row = row.optional()?;
            delete.execute(key)?;
            match row {
                Some((hash, _, Some(file), length)) => {
                    let (length, file) =
                        (u64::try_from(length).unwrap_or_default(), FileName::from_bytes(file));
                    kept::put(&transaction, (safe, *object), &hash, length, file, 0)?;
                    large.push(((safe, *object), hash, length, file));
                }
                Some((hash, Some(sealed), None, _)) => small.push((*object, hash, sealed)),
                Some((_, None, None, _)) | None => {}
            }
        }
    }
    transaction.commit()?;
    Ok((large, small))
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
        let mut named = Vec::with_capacity(objects.len());
        for object in objects {
            let large = object.sealed.len() > ROW_MAX_BYTES;
            named.push((object, if large { Some(FileName::drawn()?) } else { None }));
        }
        let files: Vec<_> =
            named.iter().filter_map(|(object, file)| Some(((*file)?, object.sealed.as_slice()))).collect();
        self.pieces.files().write_durably(folder, &files)?;
        let inserted = self.insert_waiting(safe, &named);
        if inserted.is_err() {
            let files: Vec<_> = files.iter().map(|(file, _)| *file).collect();
            self.pieces.drop_files(&self.pieces.state(), safe, &files);
        }
        inserted
    }

    fn insert_waiting(
        &self,
        safe: SafeId,
        named: &[(&StagedObject, Option<FileName>)],
    ) -> Result<(), StoreError> {
        let mut inner = self.inner()?;
        let transaction = inner.connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO safe_waiting (safe, object, hash, length, sealed, file) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            for (StagedObject { object, hash, sealed }, file) in named {
                let length = integer(sealed.len() as u64)?;
                let here = file.is_none().then_some(sealed);
                let file = file.as_ref().map(FileName::as_bytes);
                insert.execute((safe.as_bytes(), object.as_bytes(), hash.as_bytes(), length, here, file))?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn waiting_row(&self, safe: SafeId, object: ObjectId) -> Result<Option<WaitingColumns>, StoreError> {
        let inner = self.inner()?;
        let mut select = inner
            .connection
            .prepare_cached("SELECT hash, sealed, file FROM safe_waiting WHERE safe = ?1 AND object = ?2")?;
        let row = select.query_row((safe.as_bytes(), object.as_bytes()), |row| {
            let file: Option<[u8; 16]> = row.get(2)?;
            Ok((ObjectHash::from_bytes(row.get(0)?), row.get(1)?, file.map(FileName::from_bytes)))
        });
        Ok(row.optional()?)
    }

    /// A sealed object that waits here.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where its bytes are gone, or others; the disk's.
    pub fn staged_object(&self, safe: SafeId, object: ObjectId) -> Result<Option<StagedObject>, StoreError> {
        let damaged = || StoreError::Damaged("contents that wait to be shared are not what was written");
        let Some((hash, sealed, file)) = self.waiting_row(safe, object)? else { return Ok(None) };
        let sealed = match (sealed, file) {
            (Some(sealed), _) => sealed,
            (None, Some(file)) => {
                let folder = self.pieces.state().folders.get(&safe).copied().ok_or_else(damaged)?;
                let mut found = self.pieces.read(folder, file, &hash)?.ok_or_else(damaged)?;
                std::mem::take(&mut *found)
            }
            (None, None) => return Err(damaged()),
        };
        Ok(Some(StagedObject { object, hash, sealed }))
    }

    /// What there is to send of an object that waits here; none where it doesn't.
    ///
    /// # Errors
    /// As [`Store::staged_object`].
    pub fn to_send(&self, safe: SafeId, object: ObjectId) -> Result<Option<ToSend>, StoreError> {
        let uploaded: Option<bool> = {
            let inner = self.inner()?;
            let mut select = inner
                .connection
                .prepare_cached("SELECT uploaded FROM safe_waiting WHERE safe = ?1 AND object = ?2")?;
            select.query_row((safe.as_bytes(), object.as_bytes()), |row| row.get(0)).optional()?
        };
        match uploaded {
            Some(true) => Ok(Some(ToSend::Nothing)),
            Some(false) => Ok(self.staged_object(safe, object)?.map(ToSend::Object)),
            None => Ok(None),
        }
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
        let state = self.pieces.state();
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
        self.pieces.drop_files(&state, safe, &files);
        Ok(())
    }

    /// These objects were added by an accepted record: the server has them, and they are kept here
    /// as long as there is room. Durable when it returns.
    ///
    /// # Errors
    /// The disk's.
    pub fn share_objects(&self, safe: SafeId, objects: &[ObjectId]) -> Result<(), StoreError> {
        let (small, restored);
        {
            let mut state = self.pieces.state();
            let mut inner = self.inner()?;
            // What is deleted here is sealed with a safe's key, and outlives neither that nor this
            // database's: it need not be written over with zeros, which is most of the work.
            inner.connection.pragma_update(None, "secure_delete", "FAST")?;
            let shared = share(&mut inner.connection, safe, objects);
            restored = inner.connection.pragma_update(None, "secure_delete", "ON");
            let (large, of_rows) = shared?;
            small = of_rows;
            drop(inner);
            for (key, hash, length, file) in large {
                if let Some(before) = state.index.insert(key, hash, length, file) {
                    self.pieces.drop_files(&state, safe, &[before.file]);
                }
            }
            self.pieces.may_keep(&mut state, 0)?;
        }
        let small: Vec<_> =
            small.iter().map(|(object, hash, sealed)| (*object, *hash, sealed.as_slice())).collect();
        if let Err(error) = self.keep_pieces(safe, &small) {
            tracing::info!(%error, "what was shared is not kept");
        }
        Ok(restored?)
    }
}
