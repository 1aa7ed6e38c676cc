//! What time ends, and what goes: invitations that have expired are made so, with their attempts; those that have been over for their
//! time go, with attempts and steps. Nothing that a log rests on is here.
//!
//! Decides how much is done at once: a piece, which other work waits for no longer than for a change of its own. Each is a change like
//! any other, whole or not at all, so that a crash between two of them leaves nothing half done.

use std::time::{Duration, Instant};

use parsec_protocol::ids::{OrganisationId, Timestamp, UserId};
use rusqlite::{Connection, params};

use super::invitations::{self, pool_number};
use super::{Transaction, stored};
use crate::errors::Refusal;
use crate::invitations::Pool;
use crate::watchers::Topic;

/// Rows in a piece.
const PIECE_ROWS: usize = 32;
/// How long a piece may take, a row begun in it aside: a fraction of the time that a busy server's commit takes.
const PIECE_TIME: Duration = Duration::from_millis(20);
/// Invitations that are over which go together where room is needed now.
const EVICTED: usize = 8;
/// Most of them for one request: each has 256 bytes and more, so that the largest step finds room.
pub(super) const EVICTED_MAX: usize = 256 + 2 * EVICTED;
/// Pages given back to the file system in a piece.
const PIECE_PAGES: u32 = 64;
/// Free pages that stay, for what comes next: this many, and one of so many.
const FREE_PAGES: i64 = 16;
const FREE_SHARE: i64 = 32;
/// When a row that can't be read is looked at again: it must not keep the others from going.
const DAMAGED_PAUSE: u64 = 24 * 60 * 60;

/// What a piece did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Piece {
    /// Invitations that were made expired.
    pub(crate) expired: u64,
    /// Invitations that went.
    pub(crate) gone: u64,
    /// Whether there is more to do.
    pub(crate) more: bool,
}

/// Whether there is anything to do.
pub(crate) fn is_due(sql: &Connection, now: Timestamp) -> rusqlite::Result<bool> {
    let mut select = sql.prepare_cached("SELECT EXISTS (SELECT 1 FROM invitation WHERE due <= ?1)")?;
    Ok(select.query_row([stored(now.0)], |row| row.get(0))? || is_slack(sql)?)
}

/// Does a piece of what is due, for all organisations, the longest overdue first.
pub(crate) fn piece(transaction: &mut Transaction<'_>, now: Timestamp) -> Result<Piece, Refusal> {
    let sql = transaction.sql;
    let rows = numbers(
        sql,
        "SELECT number FROM invitation WHERE due <= ?1 ORDER BY due LIMIT ?2",
        params![stored(now.0), i64::try_from(PIECE_ROWS).unwrap_or(i64::MAX)],
    )?;
    let begun = Instant::now();
    let mut done = Piece { more: rows.len() >= PIECE_ROWS, ..Piece::default() };
    for number in rows {
        match settle(transaction, number, now)? {
            Settled::Expired => done.expired += 1,
            Settled::Gone => done.gone += 1,
            Settled::Later => {}
        }
        if begun.elapsed() >= PIECE_TIME {
            done.more = true;
            break;
        }
    }
    if is_slack(sql)? {
        // Each step of the statement gives one page back.
        let mut shrink = sql.prepare(&format!("PRAGMA incremental_vacuum({PIECE_PAGES})"))?;
        let mut rows = shrink.query([])?;
        while rows.next()?.is_some() {}
        drop(rows);
        drop(shrink);
        done.more |= is_slack(sql)?;
    }
    Ok(done)
}

/// Whether the file has more free pages than it is likely to need.
fn is_slack(sql: &Connection) -> rusqlite::Result<bool> {
    let number = |name| sql.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    // Files of an older version, made without the place for this, keep their pages.
    let shrinks = number("auto_vacuum")? == 2;
    Ok(shrinks && number("freelist_count")? > FREE_PAGES + number("page_count")? / FREE_SHARE)
}

enum Settled {
    Expired,
    Gone,
    Later,
}

/// What becomes of one row.
fn settle(transaction: &mut Transaction<'_>, number: i64, now: Timestamp) -> Result<Settled, Refusal> {
    let sql = transaction.sql;
    let mut select = sql.prepare_cached("SELECT status >= 2 FROM invitation WHERE number = ?1")?;
    let was_over: bool = select.query_row([number], |row| row.get(0))?;
    let loaded = match invitations::load_row(sql, number, now) {
        Ok(Some(loaded)) => loaded,
        Ok(None) => return Ok(Settled::Gone),
        // A failing disk fails the update below too, and with it the piece.
        Err(_) => {
            tracing::error!("an invitation could not be read; it is looked at again tomorrow");
            let mut later = sql.prepare_cached("UPDATE invitation SET due = ?2 WHERE number = ?1")?;
            later.execute(params![number, stored(now.plus_seconds(DAMAGED_PAUSE).0)])?;
            return Ok(Settled::Later);
        }
    };
    let (organisation, loaded) = loaded;
    let topic = Topic::Invitation { organisation, token: loaded.invitation.token };
    if was_over {
        remove(sql, number)?;
        transaction.changed(topic);
        return Ok(Settled::Gone);
    }
    invitations::update(sql, &loaded)?;
    if !loaded.invitation.is_final() {
        return Ok(Settled::Later);
    }
    transaction.changed(topic);
    Ok(Settled::Expired)
}

/// An invitation, its attempts and their steps: the last first, as one refers to the other, and the count of each to its invitation.
fn remove(sql: &Connection, number: i64) -> rusqlite::Result<()> {
    for table in [
        "DELETE FROM step WHERE invitation = ?1",
        "DELETE FROM attempt WHERE invitation = ?1",
        "DELETE FROM invitation WHERE number = ?1",
    ] {
        sql.prepare_cached(table)?.execute([number])?;
    }
    Ok(())
}

/// Makes expired what is so of one member, or of a whole pool, a piece of it.
pub(super) fn settle_due(
    transaction: &mut Transaction<'_>,
    organisation: &OrganisationId,
    member: Option<&UserId>,
    pool: Pool,
    now: Timestamp,
) -> Result<(), Refusal> {
    let (org, pool) = (organisation.as_str(), pool_number(pool));
    let (now_, most) = (stored(now.0), i64::try_from(PIECE_ROWS).unwrap_or(i64::MAX));
    let rows = match member {
        Some(member) => numbers(
            transaction.sql,
            "SELECT number FROM invitation
             WHERE organisation = ?1 AND created_by = ?2 AND pool = ?3 AND status < 2 AND due <= ?4 ORDER BY due LIMIT ?5",
            params![org, member.as_bytes(), pool, now_, most],
        )?,
        None => numbers(
            transaction.sql,
            "SELECT number FROM invitation
             WHERE organisation = ?1 AND pool = ?2 AND status < 2 AND due <= ?3 ORDER BY due LIMIT ?4",
            params![org, pool, now_, most],
        )?,
    };
    for number in rows {
        settle(transaction, number, now)?;
    }
    Ok(())
}

/// Removes some of what is over of one member, or of a whole pool, before its time: what would have gone next first. How many.
pub(super) fn evict(
    sql: &Connection,
    organisation: &OrganisationId,
    member: Option<&UserId>,
    pool: Pool,
) -> rusqlite::Result<usize> {
    let (org, pool) = (organisation.as_str(), pool_number(pool));
    let most = i64::try_from(EVICTED).unwrap_or(i64::MAX);
    let rows = match member {
        Some(member) => numbers(
            sql,
            "SELECT number FROM invitation
             WHERE organisation = ?1 AND created_by = ?2 AND pool = ?3 AND status >= 2 ORDER BY due LIMIT ?4",
            params![org, member.as_bytes(), pool, most],
        )?,
        None => numbers(
            sql,
            "SELECT number FROM invitation
             WHERE organisation = ?1 AND pool = ?2 AND status >= 2 ORDER BY due LIMIT ?3",
            params![org, pool, most],
        )?,
    };
    for number in &rows {
        remove(sql, *number)?;
    }
    Ok(rows.len())
}

/// Removes a piece of what is over in one organisation, whatever its time; what has expired first becomes so.
pub(crate) fn sweep(
    transaction: &mut Transaction<'_>,
    organisation: &OrganisationId,
    now: Timestamp,
) -> Result<Piece, Refusal> {
    let mut done = Piece::default();
    for pool in [Pool::Administrators, Pool::Others] {
        settle_due(transaction, organisation, None, pool, now)?;
        let rows = numbers(
            transaction.sql,
            "SELECT number FROM invitation
             WHERE organisation = ?1 AND pool = ?2 AND status >= 2 ORDER BY due LIMIT ?3",
            params![organisation.as_str(), pool_number(pool), i64::try_from(PIECE_ROWS).unwrap_or(i64::MAX)],
        )?;
        done.more |= !rows.is_empty();
        for number in rows {
            remove(transaction.sql, number)?;
            done.gone += 1;
        }
    }
    Ok(done)
}

/// The rows of one query.
fn numbers(sql: &Connection, query: &str, values: impl rusqlite::Params) -> rusqlite::Result<Vec<i64>> {
    sql.prepare_cached(query)?.query_map(values, |row| row.get(0))?.collect()
}

#[cfg(test)]
mod tests;
