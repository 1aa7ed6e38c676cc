//! Turns and lost races as rows.
//!
//! Decides nothing.

use parsec_protocol::ids::{Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::values::{bytes, damaged, stored, unstored};
use super::named;
use crate::store::StoreError;
use crate::store::safes::{Races, SafeKey, SafeTurn, Urgency};

const fn number(urgency: Urgency) -> i64 {
    match urgency {
        Urgency::Owner => 0,
        Urgency::Key => 1,
        Urgency::Certificate => 2,
        Urgency::Record => 3,
    }
}

fn urgency(number: i64) -> Result<Urgency, StoreError> {
    match number {
        0 => Ok(Urgency::Owner),
        1 => Ok(Urgency::Key),
        2 => Ok(Urgency::Certificate),
        3 => Ok(Urgency::Record),
        _ => Err(damaged("safe_race")),
    }
}

/// Whose turn it is, or was last.
pub(in super::super) fn turn(sql: &Connection, of: SafeKey<'_>) -> Result<Option<SafeTurn>, StoreError> {
    let mut select =
        sql.prepare_cached("SELECT user, began, ends FROM safe_turn WHERE organisation = ?1 AND safe = ?2")?;
    type Columns = (Vec<u8>, i64, i64);
    let row: Option<Columns> =
        select.query_row(named(&of), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
    let Some((user, began, ends)) = row else { return Ok(None) };
    let user = UserId::from_bytes(bytes(user)?);
    Ok(Some(SafeTurn { user, began: Timestamp(unstored(began)), ends: Timestamp(unstored(ends)) }))
}

/// Gives the turn, or ends it.
pub(in super::super) fn set_turn(
    sql: &Connection,
    of: SafeKey<'_>,
    turn: Option<&SafeTurn>,
) -> Result<(), StoreError> {
    let (organisation, safe) = (of.organisation.as_str(), of.safe.as_bytes());
    match turn {
        Some(turn) => {
            let sentence = "INSERT OR REPLACE INTO safe_turn VALUES (?1, ?2, ?3, ?4, ?5)";
            let (began, ends) = (stored(turn.began.0), stored(turn.ends.0));
            sql.prepare_cached(sentence)?.execute(params![
                organisation,
                safe,
                turn.user.as_bytes(),
                began,
                ends
            ])?;
        }
        None => {
            let sentence = "DELETE FROM safe_turn WHERE organisation = ?1 AND safe = ?2";
            sql.prepare_cached(sentence)?.execute(params![organisation, safe])?;
        }
    }
    Ok(())
}

/// A user's lost races.
pub(in super::super) fn races(
    sql: &Connection,
    of: SafeKey<'_>,
    user: &UserId,
) -> Result<Option<Races>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT lost, lost_last, urgency, due, lapsed, not_before FROM safe_race
         WHERE organisation = ?1 AND safe = ?2 AND user = ?3",
    )?;
    type Columns = (u32, i64, i64, Option<i64>, u32, i64);
    let row: Option<Columns> = select
        .query_row(params![of.organisation.as_str(), of.safe.as_bytes(), user.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
        })
        .optional()?;
    let Some((lost, lost_last, of_what, due, lapsed, not_before)) = row else { return Ok(None) };
    Ok(Some(Races {
        lost,
        lost_last: Timestamp(unstored(lost_last)),
        urgency: urgency(of_what)?,
        due: due.map(|due| Timestamp(unstored(due))),
        lapsed,
        not_before: Timestamp(unstored(not_before)),
    }))
}

/// Notes a user's lost races, or forgets them.
pub(in super::super) fn set_races(
    sql: &Connection,
    of: SafeKey<'_>,
    user: &UserId,
    races: Option<&Races>,
) -> Result<(), StoreError> {
    let (organisation, safe) = (of.organisation.as_str(), of.safe.as_bytes());
    match races {
        Some(races) => {
            let sentence = "INSERT OR REPLACE INTO safe_race VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
            sql.prepare_cached(sentence)?.execute(params![
                organisation,
                safe,
                user.as_bytes(),
                races.lost,
                stored(races.lost_last.0),
                number(races.urgency),
                races.due.map(|due| stored(due.0)),
                races.lapsed,
                stored(races.not_before.0)
            ])?;
        }
        None => {
            let sentence = "DELETE FROM safe_race WHERE organisation = ?1 AND safe = ?2 AND user = ?3";
            sql.prepare_cached(sentence)?.execute(params![organisation, safe, user.as_bytes()])?;
        }
    }
    Ok(())
}

/// Whose turn is next.
pub(in super::super) fn next_turn(
    sql: &Connection,
    of: SafeKey<'_>,
    now: Timestamp,
    active: Timestamp,
) -> Result<Option<UserId>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT user FROM safe_race WHERE organisation = ?1 AND safe = ?2
            AND due IS NOT NULL AND not_before <= ?3 AND lost_last >= ?4
         ORDER BY urgency, due, user LIMIT 1",
    )?;
    let user: Option<Vec<u8>> = select
        .query_row(
            params![of.organisation.as_str(), of.safe.as_bytes(), stored(now.0), stored(active.0)],
            |row| row.get(0),
        )
        .optional()?;
    user.map(|user| Ok(UserId::from_bytes(bytes(user)?))).transpose()
}
