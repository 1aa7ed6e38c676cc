//! The present directory key, its ring and posted boxes as rows.
//!
//! Decides nothing. Triggers keep how many bytes there are.

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::organisation::view::DirectoryState;
use parsec_protocol::ids::{DeviceId, OrganisationId, Timestamp, UserId};
use parsec_protocol::limits::FIRST_DIRECTORY_KEY;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::PostedBox;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::values::{bytes, damaged, limit, stored, unstored};
use crate::store::StoreError;

/// The present key as rules ask for it.
pub(super) fn state(sql: &Connection, organisation: &OrganisationId) -> Result<DirectoryState, StoreError> {
    let mut select =
        sql.prepare_cached("SELECT number, somebody_left FROM directory WHERE organisation = ?1")?;
    let row: Option<(i64, bool)> =
        select.query_row([organisation.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((number, somebody_left)) = row else {
        return Ok(DirectoryState { number: FIRST_DIRECTORY_KEY, somebody_left: false });
    };
    let number = u32::try_from(number).map_err(|_| damaged("directory key"))?;
    Ok(DirectoryState { number, somebody_left })
}

/// Somebody was revoked who has the present key.
pub(super) fn set_somebody_left(sql: &Connection, organisation: &OrganisationId) -> Result<(), StoreError> {
    let mut upsert = sql.prepare_cached(
        "INSERT INTO directory (organisation, number, somebody_left) VALUES (?1, ?2, 1)
         ON CONFLICT DO UPDATE SET somebody_left = 1",
    )?;
    upsert.execute(params![organisation.as_str(), FIRST_DIRECTORY_KEY])?;
    Ok(())
}

/// Another key is the present one: everything of the one before goes, since the new one's ring
/// leads to all.
pub(super) fn change(
    sql: &Connection,
    organisation: &OrganisationId,
    number: u32,
    author: &DeviceId,
    ring: &Hash,
) -> Result<(), StoreError> {
    for query in [
        "DELETE FROM directory_part WHERE organisation = ?1 AND put IS NULL",
        "DELETE FROM directory_box WHERE organisation = ?1",
    ] {
        sql.prepare_cached(query)?.execute([organisation.as_str()])?;
    }
    let mut update = sql.prepare_cached(
        "UPDATE directory SET number = ?2, somebody_left = 0, author = ?3, ring = ?4, head = NULL
         WHERE organisation = ?1",
    )?;
    update.execute(params![organisation.as_str(), number, author.as_bytes(), ring.as_bytes()])?;
    Ok(())
}

/// Keeps the head of the present key's ring.
pub(super) fn put_head(
    sql: &Connection,
    organisation: &OrganisationId,
    head: &[u8],
) -> Result<(), StoreError> {
    let mut update = sql.prepare_cached("UPDATE directory SET head = ?2 WHERE organisation = ?1")?;
    update.execute(params![organisation.as_str(), head])?;
    Ok(())
}

/// The head of the present key's ring, if it has this hash and is here.
pub(super) fn head(
    sql: &Connection,
    organisation: &OrganisationId,
    ring: &Hash,
) -> Result<Option<Vec<u8>>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT head FROM directory WHERE organisation = ?1 AND ring = ?2 AND head IS NOT NULL",
    )?;
    Ok(select.query_row(params![organisation.as_str(), ring.as_bytes()], |row| row.get(0)).optional()?)
}

/// A part.
pub(super) fn part(
    sql: &Connection,
    organisation: &OrganisationId,
    hash: &Hash,
) -> Result<Option<Vec<u8>>, StoreError> {
    let mut select =
        sql.prepare_cached("SELECT bytes FROM directory_part WHERE organisation = ?1 AND hash = ?2")?;
    Ok(select.query_row(params![organisation.as_str(), hash.as_bytes()], |row| row.get(0)).optional()?)
}

/// Removes parts that no ring has named and that were put before. How many such parts are left.
pub(super) fn loose_parts(
    sql: &Connection,
    organisation: &OrganisationId,
    before: Timestamp,
) -> Result<u64, StoreError> {
    let mut delete = sql.prepare_cached("DELETE FROM directory_part WHERE organisation = ?1 AND put < ?2")?;
    delete.execute(params![organisation.as_str(), stored(before.0)])?;
    let mut count = sql
        .prepare_cached("SELECT count(*) FROM directory_part WHERE organisation = ?1 AND put IS NOT NULL")?;
    Ok(count.query_row([organisation.as_str()], |row| row.get(0).map(unstored))?)
}

/// Keeps a part for a while. One that is there stays as it is.
pub(super) fn put_part(
    sql: &Connection,
    organisation: &OrganisationId,
    hash: &Hash,
    part: &[u8],
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut insert = sql.prepare_cached(
        "INSERT INTO directory_part (organisation, hash, put, bytes) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO NOTHING",
    )?;
    insert.execute(params![organisation.as_str(), hash.as_bytes(), stored(now.0), part])?;
    Ok(())
}

/// The present ring names a part.
pub(super) fn keep_part(
    sql: &Connection,
    organisation: &OrganisationId,
    hash: &Hash,
) -> Result<(), StoreError> {
    let mut update =
        sql.prepare_cached("UPDATE directory_part SET put = NULL WHERE organisation = ?1 AND hash = ?2")?;
    update.execute(params![organisation.as_str(), hash.as_bytes()])?;
    Ok(())
}

/// Boxes that were posted for a member, the newest first.
pub(super) fn boxes(
    sql: &Connection,
    organisation: &OrganisationId,
    user: &UserId,
    most: usize,
) -> Result<Vec<PostedBox>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT author, sealed FROM directory_box WHERE organisation = ?1 AND user = ?2
         ORDER BY posted DESC, author LIMIT ?3",
    )?;
    let rows: Vec<(Vec<u8>, Vec<u8>)> = select
        .query_map(params![organisation.as_str(), user.as_bytes(), limit(most)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    let read = |(author, sealed)| {
        Ok(PostedBox { author: UserId::from_bytes(bytes(author)?), sealed: ByteVec::from(sealed) })
    };
    rows.into_iter().map(read).collect()
}

/// How many boxes a member has posted.
pub(super) fn boxes_by(
    sql: &Connection,
    organisation: &OrganisationId,
    author: &UserId,
) -> Result<u64, StoreError> {
    let mut count =
        sql.prepare_cached("SELECT count(*) FROM directory_box WHERE organisation = ?1 AND author = ?2")?;
    let of = params![organisation.as_str(), author.as_bytes()];
    Ok(count.query_row(of, |row| row.get(0).map(unstored))?)
}

/// Keeps a box in the place of the same author's former one, which has the same length.
pub(super) fn post_box(
    sql: &Connection,
    organisation: &OrganisationId,
    user: &UserId,
    posted: &PostedBox,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut replace = sql.prepare_cached(
        "INSERT INTO directory_box (organisation, user, author, posted, sealed) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET posted = excluded.posted, sealed = excluded.sealed",
    )?;
    replace.execute(params![
        organisation.as_str(),
        user.as_bytes(),
        posted.author.as_bytes(),
        stored(now.0),
        posted.sealed.as_slice()
    ])?;
    Ok(())
}

/// All users, revoked ones too, ascending by id.
pub(super) fn users(sql: &Connection, organisation: &OrganisationId) -> Result<Vec<UserId>, StoreError> {
    let mut select = sql.prepare_cached("SELECT user FROM user WHERE organisation = ?1 ORDER BY user")?;
    let rows: Vec<Vec<u8>> =
        select.query_map([organisation.as_str()], |row| row.get(0))?.collect::<Result<_, _>>()?;
    rows.into_iter().map(|user| bytes(user).map(UserId::from_bytes)).collect()
}
