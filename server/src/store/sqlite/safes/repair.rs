//! What was put back after a restore, as rows.
//!
//! Decides nothing.

use parsec_protocol::ids::{ObjectId, OrganisationId, Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::values::{bytes, limit, stored, unstored};
use super::named;
use crate::safes::RESTORED_SECONDS;
use crate::store::StoreError;
use crate::store::safes::{Restored, SafeKey};

/// What is known of a restore.
pub(in super::super) fn restored(
    sql: &Connection,
    organisation: &OrganisationId,
) -> Result<Option<Restored>, StoreError> {
    let mut select =
        sql.prepare_cached("SELECT certificates, since FROM restored WHERE organisation = ?1")?;
    let row = select.query_row([organisation.as_str()], |row| {
        let (certificates, since) = (unstored(row.get(0)?), Timestamp(unstored(row.get(1)?)));
        Ok(Restored { certificates, since })
    });
    Ok(row.optional()?)
}

/// Notes one.
pub(in super::super) fn set_restored(
    sql: &Connection,
    organisation: &OrganisationId,
    restored: &Restored,
) -> Result<(), StoreError> {
    let mut replace = sql.prepare_cached("INSERT OR REPLACE INTO restored VALUES (?1, ?2, ?3)")?;
    replace.execute(params![
        organisation.as_str(),
        stored(restored.certificates),
        stored(restored.since.0)
    ])?;
    Ok(())
}

/// Notes one for every organisation of which none is known.
pub(in super::super) fn note_restored_all(sql: &Connection, since: Timestamp) -> Result<(), StoreError> {
    let mut insert = sql.prepare_cached(
        "INSERT INTO restored SELECT id, certificates, ?1 FROM organisation WHERE certificates > 0
         ON CONFLICT (organisation) DO UPDATE SET certificates = excluded.certificates, since = excluded.since
         WHERE since + ?2 < excluded.since",
    )?;
    insert.execute([stored(since.0), stored(Timestamp(0).plus_seconds(RESTORED_SECONDS).0)])?;
    Ok(())
}

/// An object is a record's whose bytes are not here.
pub(in super::super) fn await_object(
    sql: &Connection,
    of: SafeKey<'_>,
    object: &ObjectId,
    adder: &UserId,
) -> Result<(), StoreError> {
    let [organisation, safe] = named(&of);
    sql.prepare_cached("INSERT OR IGNORE INTO safe_awaited VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        organisation,
        safe,
        object.as_bytes(),
        adder.as_bytes()
    ])?;
    Ok(())
}

/// Whose record added an object that is awaited.
pub(in super::super) fn awaited(
    sql: &Connection,
    of: SafeKey<'_>,
    object: &ObjectId,
) -> Result<Option<UserId>, StoreError> {
    let [organisation, safe] = named(&of);
    let mut select = sql.prepare_cached(
        "SELECT adder FROM safe_awaited WHERE organisation = ?1 AND safe = ?2 AND object = ?3",
    )?;
    let adder: Option<Vec<u8>> =
        select.query_row(params![organisation, safe, object.as_bytes()], |row| row.get(0)).optional()?;
    adder.map(|adder| bytes(adder).map(UserId::from_bytes)).transpose()
}

/// Objects that are awaited and of which there is nothing; to whom their bytes are believed, those
/// too of which somebody else has brought some.
pub(in super::super) fn awaited_all(
    sql: &Connection,
    of: SafeKey<'_>,
    (user, manages): (&UserId, bool),
    most: usize,
) -> Result<Vec<ObjectId>, StoreError> {
    let [organisation, safe] = named(&of);
    let mut select = sql.prepare_cached(
        "SELECT a.object FROM safe_awaited a WHERE a.organisation = ?1 AND a.safe = ?2
             AND (?5 OR a.adder = ?4 OR NOT EXISTS (SELECT 1 FROM safe_object o
              WHERE o.organisation = a.organisation AND o.safe = a.safe AND o.object = a.object))
         ORDER BY a.object LIMIT ?3",
    )?;
    let rows: Vec<Vec<u8>> = select
        .query_map(params![organisation, safe, limit(most), user.as_bytes(), manages], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    rows.into_iter().map(|object| bytes(object).map(ObjectId::from_bytes)).collect()
}

/// It is awaited no more.
pub(in super::super) fn end_awaiting(
    sql: &Connection,
    of: SafeKey<'_>,
    object: &ObjectId,
) -> Result<(), StoreError> {
    let delete = "DELETE FROM safe_awaited WHERE organisation = ?1 AND safe = ?2 AND object = ?3";
    let [organisation, safe] = named(&of);
    sql.prepare_cached(delete)?.execute(params![organisation, safe, object.as_bytes()])?;
    Ok(())
}

/// An object gives way.
pub(in super::super) fn remove_object(
    sql: &Connection,
    of: SafeKey<'_>,
    object: &ObjectId,
) -> Result<(), StoreError> {
    let delete = "DELETE FROM safe_object WHERE organisation = ?1 AND safe = ?2 AND object = ?3";
    let [organisation, safe] = named(&of);
    sql.prepare_cached(delete)?.execute(params![organisation, safe, object.as_bytes()])?;
    Ok(())
}
