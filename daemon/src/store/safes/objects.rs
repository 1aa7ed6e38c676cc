//! Sealed objects of changes that wait to be shared.
//!
//! Decides that an object's id and its bytes are kept together or not at all: what is sealed once
//! is never sealed again under the same id. Gone as soon as an accepted record has added it.

use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::object_hash::ObjectHash;
use rusqlite::OptionalExtension as _;

use crate::store::{Store, StoreError};

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

impl Store {
    /// Keeps sealed objects; all or none. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    pub fn stage_objects(&self, safe: SafeId, objects: &[StagedObject]) -> Result<(), StoreError> {
        let mut inner = self.inner()?;
        let transaction = inner.connection.transaction()?;
        {
            let mut insert = transaction
                .prepare("INSERT INTO safe_object (safe, object, hash, sealed) VALUES (?1, ?2, ?3, ?4)")?;
            for StagedObject { object, hash, sealed } in objects {
                insert.execute((safe.as_bytes(), object.as_bytes(), hash.as_bytes(), sealed))?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// A sealed object that is kept here.
    ///
    /// # Errors
    /// The disk's.
    pub fn staged_object(&self, safe: SafeId, object: ObjectId) -> Result<Option<StagedObject>, StoreError> {
        let inner = self.inner()?;
        let row = inner.connection.query_row(
            "SELECT hash, sealed FROM safe_object WHERE safe = ?1 AND object = ?2",
            (safe.as_bytes(), object.as_bytes()),
            |row| Ok((ObjectHash::from_bytes(row.get(0)?), row.get(1)?)),
        );
        Ok(row.optional()?.map(|(hash, sealed)| StagedObject { object, hash, sealed }))
    }

    /// All objects that are kept here, and whether the server has each, as far as it is known.
    ///
    /// # Errors
    /// The disk's.
    pub fn staged_objects(&self, safe: SafeId) -> Result<Vec<(ObjectId, bool)>, StoreError> {
        let inner = self.inner()?;
        let mut select =
            inner.connection.prepare("SELECT object, uploaded FROM safe_object WHERE safe = ?1")?;
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
        for object in objects {
            transaction.execute(
                "UPDATE safe_object SET uploaded = ?3 WHERE safe = ?1 AND object = ?2",
                (safe.as_bytes(), object.as_bytes(), uploaded),
            )?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// These objects are not kept here any more. Durable when it returns.
    ///
    /// # Errors
    /// The disk's.
    pub fn drop_objects(&self, safe: SafeId, objects: &[ObjectId]) -> Result<(), StoreError> {
        let mut inner = self.inner()?;
        let transaction = inner.connection.transaction()?;
        for object in objects {
            transaction.execute(
                "DELETE FROM safe_object WHERE safe = ?1 AND object = ?2",
                (safe.as_bytes(), object.as_bytes()),
            )?;
        }
        transaction.commit()?;
        Ok(())
    }
}
