//! Directory keys, their rings and posted boxes as rows.
//!
//! Decides nothing. Triggers keep how many bytes there are.

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::organisation::view::DirectoryState;
use parsec_protocol::ids::{OrganisationId, Timestamp, UserId};
use parsec_protocol::limits::FIRST_DIRECTORY_KEY;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::PostedBox;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::values::{bytes, damaged, limit, stored, unstored};
use crate::store::{LoosePart, StoreError};

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

/// Another key is the present one.
pub(super) fn change(sql: &Connection, organisation: &OrganisationId, number: u32) -> Result<(), StoreError> {
    let mut update =
        sql.prepare_cached("UPDATE directory SET number = ?2, somebody_left = 0 WHERE organisation = ?1")?;
    update.execute(params![organisation.as_str(), number])?;
    Ok(())
}

/// Keeps the head of a key's ring.
pub(super) fn put_head(
    sql: &Connection,
    organisation: &OrganisationId,
    number: u32,
    ring: &Hash,
    head: &[u8],
) -> Result<(), StoreError> {
    let mut insert = sql.prepare_cached(
        "INSERT INTO directory_ring (organisation, number, ring, head) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO NOTHING",
    )?;
    insert.execute(params![organisation.as_str(), number, ring.as_bytes(), head])?;
    Ok(())
}

/// The head of the ring with this hash, if it is here.
pub(super) fn head(
    sql: &Connection,
    organisation: &OrganisationId,
    ring: &Hash,
) -> Result<Option<Vec<u8>>, StoreError> {
    let mut select =
        sql.prepare_cached("SELECT head FROM directory_ring WHERE organisation = ?1 AND ring = ?2")?;
    Ok(select.query_row(params![organisation.as_str(), ring.as_bytes()], |row| row.get(0)).optional()?)
}

/// A part of a ring.
pub(super) fn part(
    sql: &Connection,
    organisation: &OrganisationId,
    hash: &Hash,
) -> Result<Option<Vec<u8>>, StoreError> {
    let mut select =
        sql.prepare_cached("SELECT bytes FROM directory_part WHERE organisation = ?1 AND hash = ?2 LIMIT 1")?;
    Ok(select.query_row(params![organisation.as_str(), hash.as_bytes()], |row| row.get(0)).optional()?)
}

/// A part that a device has put and no ring has named.
pub(super) fn loose_part(sql: &Connection, part: LoosePart<'_>) -> Result<Option<Vec<u8>>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT bytes FROM directory_loose WHERE organisation = ?1 AND device = ?2 AND hash = ?3",
    )?;
    Ok(select.query_row(of(&part), |row| row.get(0)).optional()?)
}

fn of<'a>(part: &LoosePart<'a>) -> (&'a str, &'a [u8], &'a [u8]) {
    (part.organisation.as_str(), part.device.as_bytes().as_slice(), part.hash.as_bytes().as_slice())
}

/// Keeps a part for a while, and of the same user's others the newest so many, whichever device
/// put them.
pub(super) fn put_loose(
    sql: &Connection,
    part: LoosePart<'_>,
    bytes: &[u8],
    now: Timestamp,
    others: usize,
) -> Result<(), StoreError> {
    let (organisation, device, hash) = of(&part);
    let mut insert = sql.prepare_cached(
        "INSERT INTO directory_loose (organisation, device, hash, put, bytes) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET put = excluded.put",
    )?;
    insert.execute(params![organisation, device, hash, stored(now.0), bytes])?;
    let mut delete = sql.prepare_cached(
        "DELETE FROM directory_loose WHERE rowid IN
         (SELECT l.rowid FROM directory_loose l
          JOIN device d ON d.organisation = l.organisation AND d.device = l.device
          WHERE l.organisation = ?1 AND NOT (l.device = ?2 AND l.hash = ?3)
            AND d.user = (SELECT o.user FROM device o WHERE o.organisation = ?1 AND o.device = ?2)
          ORDER BY l.put DESC, l.rowid DESC LIMIT -1 OFFSET ?4)",
    )?;
    delete.execute(params![organisation, device, hash, limit(others)])?;
    Ok(())
}

/// Makes a loose part one of a key's ring.
pub(super) fn keep_part(sql: &Connection, part: LoosePart<'_>, number: u32) -> Result<(), StoreError> {
    let (organisation, device, hash) = of(&part);
    let mut insert = sql.prepare_cached(
        "INSERT INTO directory_part (organisation, number, hash, bytes)
         SELECT organisation, ?4, hash, bytes FROM directory_loose
         WHERE organisation = ?1 AND device = ?2 AND hash = ?3
         ON CONFLICT DO NOTHING",
    )?;
    insert.execute(params![organisation, device, hash, number])?;
    let mut delete = sql.prepare_cached(
        "DELETE FROM directory_loose WHERE organisation = ?1 AND device = ?2 AND hash = ?3",
    )?;
    delete.execute(params![organisation, device, hash])?;
    Ok(())
}

/// Whether there is a loose part that was put before.
pub(super) fn is_due(sql: &Connection, before: Timestamp) -> Result<bool, StoreError> {
    let mut select = sql.prepare_cached("SELECT EXISTS (SELECT 1 FROM directory_loose WHERE put < ?1)")?;
    Ok(select.query_row([stored(before.0)], |row| row.get(0))?)
}

/// Removes loose parts that were put before, so many. Whether there may be more.
pub(super) fn remove_loose(sql: &Connection, before: Timestamp, most: usize) -> Result<bool, StoreError> {
    let mut delete = sql.prepare_cached(
        "DELETE FROM directory_loose WHERE rowid IN
         (SELECT rowid FROM directory_loose WHERE put < ?1 LIMIT ?2)",
    )?;
    Ok(delete.execute(params![stored(before.0), limit(most)])? == most)
}

/// How many bytes there are of each key's ring and boxes, the newest first.
pub(super) fn sizes(sql: &Connection, organisation: &OrganisationId) -> Result<Vec<(u32, u64)>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT number, sum(bytes) FROM (
            SELECT number, length(head) AS bytes FROM directory_ring WHERE organisation = ?1
            UNION ALL SELECT number, length(bytes) FROM directory_part WHERE organisation = ?1
            UNION ALL SELECT number, length(sealed) FROM directory_box WHERE organisation = ?1)
         GROUP BY number ORDER BY number DESC",
    )?;
    let rows: Vec<(i64, i64)> = select
        .query_map([organisation.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let read =
        |(number, bytes)| Ok((u32::try_from(number).map_err(|_| damaged("directory key"))?, unstored(bytes)));
    rows.into_iter().map(read).collect()
}

/// Removes rings and boxes up to this number.
pub(super) fn remove(sql: &Connection, organisation: &OrganisationId, last: u32) -> Result<(), StoreError> {
    for query in [
        "DELETE FROM directory_ring WHERE organisation = ?1 AND number <= ?2",
        "DELETE FROM directory_part WHERE organisation = ?1 AND number <= ?2",
        "DELETE FROM directory_box WHERE organisation = ?1 AND number <= ?2",
    ] {
        sql.prepare_cached(query)?.execute(params![organisation.as_str(), last])?;
    }
    Ok(())
}

/// Boxes that were posted for a member, the newest first.
pub(super) fn boxes(
    sql: &Connection,
    organisation: &OrganisationId,
    number: u32,
    user: &UserId,
    most: usize,
) -> Result<Vec<PostedBox>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT author, sealed FROM directory_box WHERE organisation = ?1 AND number = ?2 AND user = ?3
         ORDER BY posted DESC, author LIMIT ?4",
    )?;
    let rows: Vec<(Vec<u8>, Vec<u8>)> = select
        .query_map(params![organisation.as_str(), number, user.as_bytes(), limit(most)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    let read = |(author, sealed)| {
        Ok(PostedBox { author: UserId::from_bytes(bytes(author)?), sealed: ByteVec::from(sealed) })
    };
    rows.into_iter().map(read).collect()
}

/// How many boxes with a key a member has posted.
pub(super) fn boxes_by(
    sql: &Connection,
    organisation: &OrganisationId,
    number: u32,
    author: &UserId,
) -> Result<u64, StoreError> {
    let mut count = sql.prepare_cached(
        "SELECT count(*) FROM directory_box WHERE organisation = ?1 AND number = ?2 AND author = ?3",
    )?;
    let of = params![organisation.as_str(), number, author.as_bytes()];
    Ok(count.query_row(of, |row| row.get(0).map(unstored))?)
}

/// Keeps a box in the place of the same author's former one, which has the same length.
pub(super) fn post_box(
    sql: &Connection,
    organisation: &OrganisationId,
    number: u32,
    user: &UserId,
    posted: &PostedBox,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut replace = sql.prepare_cached(
        "INSERT INTO directory_box (organisation, number, user, author, posted, sealed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET posted = excluded.posted, sealed = excluded.sealed",
    )?;
    replace.execute(params![
        organisation.as_str(),
        number,
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
