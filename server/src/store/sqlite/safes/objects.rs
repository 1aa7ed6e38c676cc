//! Objects as rows; the bytes of the small ones too.
//!
//! Decides nothing but under which numbers states are stored.

use parsec_protocol::ids::{ObjectId, OrganisationId, SafeId, Timestamp};
use parsec_protocol::object_hash::ObjectHash;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::values::{bytes, damaged, limit, stored};
use super::named;
use crate::objects::{Named, SafeName};
use crate::store::StoreError;
use crate::store::safes::{DueObject, ObjectRow, ObjectState, ObjectToAdd, SafeKey};

pub(super) const fn number(state: ObjectState) -> i64 {
    match state {
        ObjectState::Uploaded => 0,
        ObjectState::Added => 1,
        ObjectState::Dropped => 2,
    }
}

const fn state(number: i64) -> Result<ObjectState, StoreError> {
    match number {
        0 => Ok(ObjectState::Uploaded),
        1 => Ok(ObjectState::Added),
        2 => Ok(ObjectState::Dropped),
        _ => Err(damaged("state of an object")),
    }
}

/// An object.
pub(in super::super) fn object(
    sql: &Connection,
    of: SafeKey<'_>,
    object: &ObjectId,
) -> Result<Option<ObjectRow>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT hash, length, state FROM safe_object WHERE organisation = ?1 AND safe = ?2 AND object = ?3",
    )?;
    let [organisation, safe] = named(&of);
    let row: Option<(Vec<u8>, i64, i64)> = select
        .query_row(params![organisation, safe, object.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((hash, length, at)) = row else { return Ok(None) };
    let length = u32::try_from(length).map_err(|_| damaged("length of an object"))?;
    Ok(Some(ObjectRow { hash: ObjectHash::from_bytes(bytes(hash)?), length, state: state(at)? }))
}

/// The bytes of a small one.
pub(in super::super) fn object_bytes(
    sql: &Connection,
    of: SafeKey<'_>,
    object: &ObjectId,
) -> Result<Option<Vec<u8>>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT bytes FROM safe_object_bytes WHERE organisation = ?1 AND safe = ?2 AND object = ?3",
    )?;
    let [organisation, safe] = named(&of);
    Ok(select.query_row(params![organisation, safe, object.as_bytes()], |row| row.get(0)).optional()?)
}

/// Stores one.
pub(in super::super) fn insert_object(
    sql: &Connection,
    of: SafeKey<'_>,
    object: &ObjectToAdd<'_>,
    due: Timestamp,
) -> Result<(), StoreError> {
    let mut insert = sql.prepare_cached(
        "INSERT INTO safe_object (organisation, safe, object, hash, length, author, state, due)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let [organisation, safe] = named(&of);
    insert.execute(params![
        organisation,
        safe,
        object.object.as_bytes(),
        object.hash.as_bytes(),
        object.length,
        object.author.as_bytes(),
        number(ObjectState::Uploaded),
        stored(due.0)
    ])?;
    if let Some(bytes) = object.bytes {
        let mut insert = sql.prepare_cached(
            "INSERT INTO safe_object_bytes (organisation, safe, object, bytes) VALUES (?1, ?2, ?3, ?4)",
        )?;
        let [organisation, safe] = named(&of);
        insert.execute(params![organisation, safe, object.object.as_bytes(), bytes])?;
    }
    Ok(())
}

/// Puts the bytes of a small one in the place of those that are there, or are there no more.
pub(in super::super) fn mend_object(
    sql: &Connection,
    of: SafeKey<'_>,
    object: &ObjectId,
    sealed: &[u8],
) -> Result<(), StoreError> {
    let mut replace = sql.prepare_cached(
        "INSERT INTO safe_object_bytes (organisation, safe, object, bytes) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET bytes = excluded.bytes",
    )?;
    let [organisation, safe] = named(&of);
    replace.execute(params![organisation, safe, object.as_bytes(), sealed])?;
    Ok(())
}

/// Puts off the end of one that no record has added.
pub(in super::super) fn put_off_object(
    sql: &Connection,
    of: SafeKey<'_>,
    object: &ObjectId,
    due: Timestamp,
) -> Result<(), StoreError> {
    let mut update = sql.prepare_cached(
        "UPDATE safe_object SET due = max(due, ?4) WHERE organisation = ?1 AND safe = ?2 AND object = ?3",
    )?;
    let [organisation, safe] = named(&of);
    update.execute(params![organisation, safe, object.as_bytes(), stored(due.0)])?;
    Ok(())
}

/// Notes what became of one.
pub(in super::super) fn set_object_state(
    sql: &Connection,
    of: SafeKey<'_>,
    object: &ObjectId,
    state: ObjectState,
    due: Option<Timestamp>,
) -> Result<bool, StoreError> {
    let mut update = sql.prepare_cached(
        "UPDATE safe_object SET state = ?4, due = ?5 WHERE organisation = ?1 AND safe = ?2 AND object = ?3",
    )?;
    let [organisation, safe] = named(&of);
    let due = due.map(|due| stored(due.0));
    Ok(update.execute(params![organisation, safe, object.as_bytes(), number(state), due])? > 0)
}

/// Whether an object or a part is due.
pub(in super::super) fn is_due(sql: &Connection, now: Timestamp) -> Result<bool, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM safe_object WHERE due <= ?1)
             OR EXISTS (SELECT 1 FROM safe_part WHERE due <= ?1)",
    )?;
    Ok(select.query_row([stored(now.0)], |row| row.get(0))?)
}

/// Removes those that are due.
pub(in super::super) fn remove_due_objects(
    sql: &Connection,
    now: Timestamp,
    most: usize,
) -> Result<Vec<DueObject>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT organisation, safe, object, hash FROM safe_object WHERE due <= ?1 ORDER BY due LIMIT ?2",
    )?;
    type Columns = (String, Vec<u8>, Vec<u8>, Vec<u8>);
    let rows: Vec<Columns> = select
        .query_map(params![stored(now.0), limit(most)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<Result<_, _>>()?;
    let mut delete =
        sql.prepare_cached("DELETE FROM safe_object WHERE organisation = ?1 AND safe = ?2 AND object = ?3")?;
    let mut gone = Vec::with_capacity(rows.len());
    for (organisation, safe, object, hash) in rows {
        delete.execute(params![organisation, safe, object])?;
        let organisation: OrganisationId = organisation.parse().map_err(|_| damaged("organisation"))?;
        gone.push(DueObject {
            place: SafeName { organisation, safe: SafeId::from_bytes(bytes(safe)?) },
            named: Named {
                object: ObjectId::from_bytes(bytes(object)?),
                hash: ObjectHash::from_bytes(bytes(hash)?),
            },
        });
    }
    Ok(gone)
}
