//! Rings, their parts, and posted boxes as rows.
//!
//! Decides nothing.

use minicbor::bytes::ByteVec;
use parsec_protocol::ids::{Timestamp, UserId};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::PostedBox;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::values::{bytes, limit, stored};
use super::named;
use crate::store::StoreError;
use crate::store::safes::{PartRow, SafeKey, StoredItem};

/// A ring's head.
pub(in super::super) fn ring(
    sql: &Connection,
    of: SafeKey<'_>,
    hash: &Hash,
) -> Result<Option<Vec<u8>>, StoreError> {
    let mut select =
        sql.prepare_cached("SELECT head FROM safe_ring WHERE organisation = ?1 AND safe = ?2 AND hash = ?3")?;
    let [organisation, safe] = named(&of);
    Ok(select.query_row(params![organisation, safe, hash.as_bytes()], |row| row.get(0)).optional()?)
}

/// Keeps a ring's head. One that is there is the same: its hash names it.
pub(in super::super) fn insert_ring(
    sql: &Connection,
    of: SafeKey<'_>,
    hash: &Hash,
    item: &StoredItem<'_>,
) -> Result<(), StoreError> {
    let mut insert = sql.prepare_cached(
        "INSERT INTO safe_ring (organisation, safe, hash, author, head) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO NOTHING",
    )?;
    let [organisation, safe] = named(&of);
    insert.execute(params![organisation, safe, hash.as_bytes(), item.author.as_bytes(), item.bytes])?;
    Ok(())
}

/// A part.
pub(in super::super) fn part(
    sql: &Connection,
    of: SafeKey<'_>,
    hash: &Hash,
) -> Result<Option<Vec<u8>>, StoreError> {
    let mut select = sql
        .prepare_cached("SELECT bytes FROM safe_part WHERE organisation = ?1 AND safe = ?2 AND hash = ?3")?;
    let [organisation, safe] = named(&of);
    Ok(select.query_row(params![organisation, safe, hash.as_bytes()], |row| row.get(0)).optional()?)
}

/// Keeps a part for a while. Of one that is there, the end is put off.
pub(in super::super) fn put_part(
    sql: &Connection,
    of: SafeKey<'_>,
    part: &PartRow<'_>,
    due: Timestamp,
) -> Result<(), StoreError> {
    let [organisation, safe] = named(&of);
    let mut update = sql.prepare_cached(
        "UPDATE safe_part SET due = max(due, ?4) WHERE organisation = ?1 AND safe = ?2 AND hash = ?3",
    )?;
    if update.execute(params![organisation, safe, part.hash.as_bytes(), stored(due.0)])? > 0 {
        return Ok(());
    }
    let mut insert = sql.prepare_cached(
        "INSERT INTO safe_part (organisation, safe, hash, author, due, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    insert.execute(params![
        organisation,
        safe,
        part.hash.as_bytes(),
        part.author.as_bytes(),
        stored(due.0),
        part.bytes
    ])?;
    Ok(())
}

/// A part that a ring has named stays.
pub(in super::super) fn keep_part(sql: &Connection, of: SafeKey<'_>, hash: &Hash) -> Result<(), StoreError> {
    let mut update = sql.prepare_cached(
        "UPDATE safe_part SET due = NULL WHERE organisation = ?1 AND safe = ?2 AND hash = ?3",
    )?;
    let [organisation, safe] = named(&of);
    update.execute(params![organisation, safe, hash.as_bytes()])?;
    Ok(())
}

/// Removes parts that are due. Whether there are more.
pub(in super::super) fn remove_due_parts(
    sql: &Connection,
    now: Timestamp,
    most: usize,
) -> Result<bool, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT organisation, safe, hash FROM safe_part WHERE due <= ?1 ORDER BY due LIMIT ?2",
    )?;
    type Columns = (String, Vec<u8>, Vec<u8>);
    let rows: Vec<Columns> = select
        .query_map(params![stored(now.0), limit(most)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let mut delete =
        sql.prepare_cached("DELETE FROM safe_part WHERE organisation = ?1 AND safe = ?2 AND hash = ?3")?;
    for (organisation, safe, hash) in &rows {
        delete.execute(params![organisation, safe, hash])?;
    }
    Ok(rows.len() == most)
}

/// Boxes that were posted for a member.
pub(in super::super) fn posted(
    sql: &Connection,
    of: SafeKey<'_>,
    epoch: u64,
    user: &UserId,
    most: usize,
) -> Result<Vec<PostedBox>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT author, sealed FROM safe_box
         WHERE organisation = ?1 AND safe = ?2 AND epoch = ?3 AND user = ?4
         ORDER BY posted DESC, author LIMIT ?5",
    )?;
    let [organisation, safe] = named(&of);
    let rows: Vec<(Vec<u8>, Vec<u8>)> = select
        .query_map(params![organisation, safe, stored(epoch), user.as_bytes(), limit(most)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    let read = |(author, sealed)| {
        Ok(PostedBox { author: UserId::from_bytes(bytes(author)?), sealed: ByteVec::from(sealed) })
    };
    rows.into_iter().map(read).collect()
}

/// Keeps a box in the place of the same author's former one, which has the same length.
pub(in super::super) fn post_box(
    sql: &Connection,
    of: SafeKey<'_>,
    epoch: u64,
    user: &UserId,
    posted: &PostedBox,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut replace = sql.prepare_cached(
        "INSERT INTO safe_box (organisation, safe, epoch, user, author, posted, sealed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT DO UPDATE SET posted = excluded.posted, sealed = excluded.sealed",
    )?;
    let [organisation, safe] = named(&of);
    replace.execute(params![
        organisation,
        safe,
        stored(epoch),
        user.as_bytes(),
        posted.author.as_bytes(),
        stored(now.0),
        posted.sealed.as_slice()
    ])?;
    Ok(())
}
