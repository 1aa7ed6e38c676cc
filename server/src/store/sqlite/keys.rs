//! Encryption keys by hash, and the boxes with users' seeds, as rows.
//!
//! Decides nothing: which keys and boxes are taken, and when boxes go, is `store::keys`'s. Triggers
//! keep how many bytes there are, and take away the boxes of whoever is revoked.

use parsec_protocol::codec;
use parsec_protocol::ids::{DeviceId, OrganisationId, UserId};
use parsec_protocol::sealing::{EncryptionKey, KeyHash};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::members::exists;
use super::values::{bytes, damaged, unstored};
use crate::store::{KeyOf, StoreError};

/// Adds a key by its hash alone: of this user, or of a device.
pub(super) fn insert(
    sql: &Connection,
    organisation: &OrganisationId,
    key: &KeyHash,
    user: Option<&UserId>,
) -> Result<(), StoreError> {
    let mut insert =
        sql.prepare_cached("INSERT INTO encryption_key (organisation, hash, user) VALUES (?1, ?2, ?3)")?;
    insert.execute(params![organisation.as_str(), key.as_bytes(), user.map(UserId::as_bytes)])?;
    Ok(())
}

/// Whether a user or device ever had the key with this hash.
pub(super) fn is_used(
    sql: &Connection,
    organisation: &OrganisationId,
    key: &KeyHash,
) -> Result<bool, StoreError> {
    exists(
        sql,
        "SELECT EXISTS (SELECT 1 FROM encryption_key WHERE organisation = ?1 AND hash = ?2)",
        params![organisation.as_str(), key.as_bytes()],
    )
}

/// Whether the key is, or was, the user's.
pub(super) fn is_users(sql: &Connection, of: KeyOf<'_>) -> Result<bool, StoreError> {
    exists(
        sql,
        "SELECT EXISTS (SELECT 1 FROM encryption_key WHERE organisation = ?1 AND user = ?2 AND hash = ?3)",
        named(&of),
    )
}

/// Organisation, user and hash, for queries that begin with these.
fn named<'a>(of: &KeyOf<'a>) -> [ToSqlOutput<'a>; 3] {
    let (organisation, user, key) = (of.organisation.as_str(), of.user.as_bytes(), of.key.as_bytes());
    [ValueRef::from(organisation), ValueRef::Blob(user), ValueRef::Blob(key)].map(ToSqlOutput::Borrowed)
}

/// The key with this hash.
pub(super) fn key(
    sql: &Connection,
    organisation: &OrganisationId,
    key: &KeyHash,
) -> Result<Option<EncryptionKey>, StoreError> {
    let mut select =
        sql.prepare_cached("SELECT key FROM encryption_key WHERE organisation = ?1 AND hash = ?2")?;
    let row: Option<Option<Vec<u8>>> =
        select.query_row(params![organisation.as_str(), key.as_bytes()], |row| row.get(0)).optional()?;
    let Some(record) = row.flatten() else { return Ok(None) };
    codec::decode(&record, record.len()).map(Some).map_err(|_| damaged("encryption key"))
}

/// Keeps a key under its hash, where that is named and the key is not there.
pub(super) fn put(
    sql: &Connection,
    organisation: &OrganisationId,
    key: &EncryptionKey,
) -> Result<(), StoreError> {
    let mut update = sql.prepare_cached(
        "UPDATE encryption_key SET key = ?3 WHERE organisation = ?1 AND hash = ?2 AND key IS NULL",
    )?;
    update.execute(params![organisation.as_str(), key.hash().as_bytes(), codec::encode(key)])?;
    Ok(())
}

/// Gives a user another key.
pub(super) fn change(
    sql: &Connection,
    organisation: &OrganisationId,
    user: &UserId,
    key: &KeyHash,
    abandoned: &[DeviceId],
) -> Result<(), StoreError> {
    let (org, user_id) = (organisation.as_str(), user.as_bytes());
    let mut update = sql.prepare_cached(
        "UPDATE user SET encryption_key = ?3, key_changes = key_changes + ?4
         WHERE organisation = ?1 AND user = ?2",
    )?;
    update.execute(params![org, user_id, key.as_bytes(), i64::from(abandoned.is_empty())])?;
    insert(sql, organisation, key, Some(user))?;
    let mut insert =
        sql.prepare_cached("INSERT INTO abandoned (organisation, device, user) VALUES (?1, ?2, ?3)")?;
    for device in abandoned {
        insert.execute(params![org, device.as_bytes(), user_id])?;
    }
    Ok(())
}

/// Who named a device as abandoned.
pub(super) fn abandoned_by(
    sql: &Connection,
    organisation: &OrganisationId,
    device: &DeviceId,
) -> Result<Option<UserId>, StoreError> {
    let mut select =
        sql.prepare_cached("SELECT user FROM abandoned WHERE organisation = ?1 AND device = ?2")?;
    let row: Option<Vec<u8>> =
        select.query_row(params![organisation.as_str(), device.as_bytes()], |row| row.get(0)).optional()?;
    row.map(|user| bytes(user).map(UserId::from_bytes)).transpose()
}

/// The box for one device.
pub(super) fn key_box(
    sql: &Connection,
    of: KeyOf<'_>,
    device: &DeviceId,
) -> Result<Option<Vec<u8>>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT sealed FROM key_box WHERE organisation = ?1 AND user = ?2 AND key = ?3 AND device = ?4",
    )?;
    let [organisation, user, key] = named(&of);
    Ok(select.query_row(params![organisation, user, key, device.as_bytes()], |row| row.get(0)).optional()?)
}

/// Keeps the box for one device, in the place of the one that is there.
pub(super) fn set_key_box(
    sql: &Connection,
    of: KeyOf<'_>,
    device: &DeviceId,
    sealed: &[u8],
) -> Result<(), StoreError> {
    let mut replace = sql.prepare_cached(
        "INSERT INTO key_box (organisation, user, key, device, sealed) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET sealed = excluded.sealed",
    )?;
    let [organisation, user, key] = named(&of);
    replace.execute(params![organisation, user, key, device.as_bytes(), sealed])?;
    Ok(())
}

/// How many boxes there are for other keys of the user. The user has few: they are counted.
pub(super) fn other_boxes(sql: &Connection, of: KeyOf<'_>) -> Result<u64, StoreError> {
    let mut select = sql
        .prepare_cached("SELECT count(*) FROM key_box WHERE organisation = ?1 AND user = ?2 AND key <> ?3")?;
    Ok(select.query_row(named(&of), |row| row.get(0).map(unstored))?)
}

/// Removes all boxes of the key.
pub(super) fn remove_boxes(sql: &Connection, of: KeyOf<'_>) -> Result<(), StoreError> {
    let mut delete =
        sql.prepare_cached("DELETE FROM key_box WHERE organisation = ?1 AND user = ?2 AND key = ?3")?;
    delete.execute(named(&of))?;
    Ok(())
}

/// Removes the boxes of all other keys of the user.
pub(super) fn remove_other_boxes(sql: &Connection, of: KeyOf<'_>) -> Result<(), StoreError> {
    let mut delete =
        sql.prepare_cached("DELETE FROM key_box WHERE organisation = ?1 AND user = ?2 AND key <> ?3")?;
    delete.execute(named(&of))?;
    Ok(())
}

/// The seed before the key.
pub(super) fn past_box(sql: &Connection, of: KeyOf<'_>) -> Result<Option<Vec<u8>>, StoreError> {
    let mut select =
        sql.prepare_cached("SELECT sealed FROM past_box WHERE organisation = ?1 AND user = ?2 AND key = ?3")?;
    Ok(select.query_row(named(&of), |row| row.get(0)).optional()?)
}

/// Keeps the seed before the key, in the place of the box that is there.
pub(super) fn set_past_box(sql: &Connection, of: KeyOf<'_>, sealed: &[u8]) -> Result<(), StoreError> {
    let mut replace = sql.prepare_cached(
        "INSERT INTO past_box (organisation, user, key, sealed) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET sealed = excluded.sealed",
    )?;
    let [organisation, user, key] = named(&of);
    replace.execute(params![organisation, user, key, sealed])?;
    Ok(())
}
