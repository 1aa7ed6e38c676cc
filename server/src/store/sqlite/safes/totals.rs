//! How many bytes a safe takes, in the parts that its figure is the sum of.
//!
//! Decides nothing. Each part is summed from its rows; the figure itself is the one that triggers
//! keep, so that a row which they missed shows.

use parsec_protocol::ids::{OrganisationId, UserId};
use parsec_protocol::relay::{SafeTotals, Sum, UserBytes};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::values::{bytes, limit, unstored};
use super::{items, named};
use crate::store::StoreError;
use crate::store::safes::{ObjectState, SafeKey};

/// The sum of one column of a safe's rows. Lengths of values: they are not read for it.
fn sum(sql: &Connection, select: &str, of: SafeKey<'_>) -> Result<u64, StoreError> {
    Ok(sql.prepare_cached(select)?.query_row(named(&of), |row| row.get(0).map(unstored))?)
}

fn objects(sql: &Connection, of: SafeKey<'_>, state: ObjectState) -> Result<Sum, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT count(*), ifnull(sum(length), 0) FROM safe_object
         WHERE organisation = ?1 AND safe = ?2 AND state = ?3",
    )?;
    let [organisation, safe] = named(&of);
    Ok(select.query_row(params![organisation, safe, super::objects::number(state)], |row| {
        Ok(Sum { objects: row.get(0).map(unstored)?, bytes: row.get(1).map(unstored)? })
    })?)
}

/// Who has brought how much, the most first.
fn users(sql: &Connection, of: SafeKey<'_>, most: usize) -> Result<Vec<UserBytes>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT user, bytes FROM safe_usage
         WHERE organisation = ?1 AND safe = ?2 AND bytes > 0 ORDER BY bytes DESC, user LIMIT ?3",
    )?;
    let [organisation, safe] = named(&of);
    let rows: Vec<(Vec<u8>, i64)> = select
        .query_map(params![organisation, safe, limit(most)], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let read =
        |(user, count)| Ok(UserBytes { user: UserId::from_bytes(bytes(user)?), bytes: unstored(count) });
    rows.into_iter().map(read).collect()
}

/// The figure of one safe; 0 where there is none.
pub(in super::super) fn bytes_of_safe(sql: &Connection, of: SafeKey<'_>) -> Result<u64, StoreError> {
    let mut select = sql.prepare_cached("SELECT bytes FROM safe WHERE organisation = ?1 AND safe = ?2")?;
    let figure = select.query_row(named(&of), |row| row.get(0).map(unstored)).optional()?;
    Ok(figure.unwrap_or_default())
}

/// What a user has brought into all safes that they are in or were: found by these, which are a
/// thousand at most, and not by looking through all of the organisation's.
pub(in super::super) fn bytes_of_member(
    sql: &Connection,
    organisation: &OrganisationId,
    user: &UserId,
) -> Result<u64, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT ifnull(sum(u.bytes), 0) FROM safe_member AS m
         CROSS JOIN safe_usage AS u
             ON u.organisation = m.organisation AND u.safe = m.safe AND u.user = m.user
         WHERE m.organisation = ?1 AND m.user = ?2",
    )?;
    Ok(select.query_row(params![organisation.as_str(), user.as_bytes()], |row| row.get(0).map(unstored))?)
}

/// What a safe takes; nothing where there is none. The organisation's limit is the operator's, and
/// none here.
pub(in super::super) fn totals(
    sql: &Connection,
    of: SafeKey<'_>,
    most: usize,
) -> Result<Option<SafeTotals>, StoreError> {
    let mut select = sql.prepare_cached("SELECT bytes FROM safe WHERE organisation = ?1 AND safe = ?2")?;
    let figure = select.query_row(named(&of), |row| row.get(0).map(unstored)).optional()?;
    let (Some(figure), Some(safe)) = (figure, items::safe(sql, of)?) else { return Ok(None) };
    let keys = [
        "SELECT ifnull(sum(length(head)), 0) FROM safe_ring WHERE organisation = ?1 AND safe = ?2",
        "SELECT ifnull(sum(length(bytes)), 0) FROM safe_part WHERE organisation = ?1 AND safe = ?2",
        "SELECT ifnull(sum(length(sealed)), 0) FROM safe_box WHERE organisation = ?1 AND safe = ?2",
    ];
    let keys = keys.into_iter().map(|select| sum(sql, select, of)).sum::<Result<u64, StoreError>>()?;
    let certificates =
        "SELECT ifnull(sum(length(envelope)), 0) FROM safe_certificate WHERE organisation = ?1 AND safe = ?2";
    let records =
        "SELECT ifnull(sum(length(envelope)), 0) FROM safe_record WHERE organisation = ?1 AND safe = ?2";
    Ok(Some(SafeTotals {
        log: safe.present.log.count,
        seq: safe.present.journal.count,
        bytes: figure,
        certificates: sum(sql, certificates, of)?,
        records: sum(sql, records, of)?,
        keys,
        uploaded: objects(sql, of, ObjectState::Uploaded)?,
        added: objects(sql, of, ObjectState::Added)?,
        dropped: objects(sql, of, ObjectState::Dropped)?,
        users: users(sql, of, most)?,
        organisation: items::safe_bytes(sql, of.organisation)?,
        limit: None,
    }))
}
