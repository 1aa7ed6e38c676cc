//! What is due, what is over, and room in the file that nothing needs any more.
//!
//! Decides how many pages go back to the file system at once. Which invitations go is
//! `store::pruning`'s.

use parsec_protocol::ids::{OrganisationId, Timestamp, Token, UserId};
use rusqlite::{Connection, params};

use super::invitations::pool_number;
use super::values::{bytes, limit, stored};
use crate::invitations::Pool;
use crate::store::StoreError;

/// Pages given back to the file system in a piece.
const PIECE_PAGES: u32 = 64;
/// Free pages that stay, for what comes next: this many, and one of so many.
const FREE_PAGES: i64 = 16;
const FREE_SHARE: i64 = 32;

/// Whether there is anything to do.
pub(super) fn is_due(sql: &Connection, now: Timestamp) -> Result<bool, StoreError> {
    let mut select = sql.prepare_cached("SELECT EXISTS (SELECT 1 FROM invitation WHERE due <= ?1)")?;
    Ok(select.query_row([stored(now.0)], |row| row.get(0))? || is_slack(sql)?)
}

/// Whether the file has more free pages than it is likely to need.
fn is_slack(sql: &Connection) -> Result<bool, StoreError> {
    let number = |name| sql.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    // A file that was made without the place for this keeps its pages.
    let shrinks = number("auto_vacuum")? == 2;
    Ok(shrinks && number("freelist_count")? > FREE_PAGES + number("page_count")? / FREE_SHARE)
}

/// Gives a piece of what is free back. Whether there is more.
pub(super) fn give_back_room(sql: &Connection) -> Result<bool, StoreError> {
    if !is_slack(sql)? {
        return Ok(false);
    }
    // Each step of the statement gives one page back.
    let mut shrink = sql.prepare(&format!("PRAGMA incremental_vacuum({PIECE_PAGES})"))?;
    let mut rows = shrink.query([])?;
    while rows.next()?.is_some() {}
    drop(rows);
    drop(shrink);
    is_slack(sql)
}

/// What is due of all organisations. A row whose key can't be read keeps no other from going: it is
/// looked at later.
pub(super) fn due(
    sql: &Connection,
    now: Timestamp,
    most: usize,
    later: Timestamp,
) -> Result<Vec<(OrganisationId, Token)>, StoreError> {
    let mut select = sql
        .prepare_cached("SELECT organisation, token FROM invitation WHERE due <= ?1 ORDER BY due LIMIT ?2")?;
    let rows: Vec<(String, Vec<u8>)> = select
        .query_map(params![stored(now.0), limit(most)], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut found = Vec::with_capacity(rows.len());
    for (organisation, token) in rows {
        match (organisation.parse(), <[u8; 16]>::try_from(token.as_slice())) {
            (Ok(organisation), Ok(token)) => found.push((organisation, Token::from_bytes(token))),
            (Err(_), _) | (_, Err(_)) => {
                tracing::error!("an invitation's key could not be read; it is looked at again later");
                put_off_row(sql, &organisation, &token, later)?;
            }
        }
    }
    Ok(found)
}

/// Puts an invitation off.
pub(super) fn put_off(
    sql: &Connection,
    organisation: &OrganisationId,
    token: &Token,
    later: Timestamp,
) -> Result<(), StoreError> {
    put_off_row(sql, organisation.as_str(), token.as_bytes(), later)
}

fn put_off_row(
    sql: &Connection,
    organisation: &str,
    token: &[u8],
    later: Timestamp,
) -> Result<(), StoreError> {
    let mut update =
        sql.prepare_cached("UPDATE invitation SET due = ?3 WHERE organisation = ?1 AND token = ?2")?;
    update.execute(params![organisation, token, stored(later.0)])?;
    Ok(())
}

/// Usable ones that are due, of one member or of a whole pool.
pub(super) fn due_of(
    sql: &Connection,
    organisation: &OrganisationId,
    member: Option<&UserId>,
    pool: Pool,
    now: Timestamp,
    most: usize,
) -> Result<Vec<Token>, StoreError> {
    let (org, pool, now, most) = (organisation.as_str(), pool_number(pool), stored(now.0), limit(most));
    match member {
        Some(member) => tokens(
            sql,
            "SELECT token FROM invitation
             WHERE organisation = ?1 AND created_by = ?2 AND pool = ?3 AND status < 2 AND due <= ?4 ORDER BY due LIMIT ?5",
            params![org, member.as_bytes(), pool, now, most],
        ),
        None => tokens(
            sql,
            "SELECT token FROM invitation
             WHERE organisation = ?1 AND pool = ?2 AND status < 2 AND due <= ?3 ORDER BY due LIMIT ?4",
            params![org, pool, now, most],
        ),
    }
}

/// Those that are over, of one member or of a whole pool, in the order in which they go.
pub(super) fn over_of(
    sql: &Connection,
    organisation: &OrganisationId,
    member: Option<&UserId>,
    pool: Pool,
    most: usize,
) -> Result<Vec<Token>, StoreError> {
    let (org, pool, most) = (organisation.as_str(), pool_number(pool), limit(most));
    match member {
        Some(member) => tokens(
            sql,
            "SELECT token FROM invitation
             WHERE organisation = ?1 AND created_by = ?2 AND pool = ?3 AND status >= 2 ORDER BY due LIMIT ?4",
            params![org, member.as_bytes(), pool, most],
        ),
        None => tokens(
            sql,
            "SELECT token FROM invitation
             WHERE organisation = ?1 AND pool = ?2 AND status >= 2 ORDER BY due LIMIT ?3",
            params![org, pool, most],
        ),
    }
}

/// The tokens of one query.
fn tokens(sql: &Connection, query: &str, values: impl rusqlite::Params) -> Result<Vec<Token>, StoreError> {
    let rows: Vec<Vec<u8>> =
        sql.prepare_cached(query)?.query_map(values, |row| row.get(0))?.collect::<Result<_, _>>()?;
    rows.into_iter().map(|token| bytes(token).map(Token::from_bytes)).collect()
}
