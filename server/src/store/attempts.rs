//! Attempts and their steps as rows.
//!
//! Decides one thing: the bytes of steps go when their attempt is over; only their hashes stay, as long as its invitation does, to
//! answer a repeated deposit.

use parsec_protocol::ids::{AttemptId, DeviceId, Timestamp, UserId};
use parsec_protocol::public::Hash;
use parsec_protocol::relay::GreeterIds;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{bytes, damaged, from_number, number_of, stored, unstored};
use crate::errors::Refusal;
use crate::invitations::Attempt;

pub(super) const COLUMNS: &str =
    "a.number, a.attempt, a.secret_hash, a.steps, a.greeter_user, a.greeter_device, a.ended, a.claimer_seen";

pub(super) type Raw = (u32, Vec<u8>, Vec<u8>, u16, Option<Vec<u8>>, Option<Vec<u8>>, Option<i64>, i64);

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    raw_at(row, 0)
}

fn raw_at(row: &Row<'_>, first: usize) -> rusqlite::Result<Raw> {
    Ok((
        row.get(first)?,
        row.get(first + 1)?,
        row.get(first + 2)?,
        row.get(first + 3)?,
        row.get(first + 4)?,
        row.get(first + 5)?,
        row.get(first + 6)?,
        row.get(first + 7)?,
    ))
}

/// An attempt beside what it belongs to, from this column on, if there is one.
pub(super) fn raw_if_any(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<Raw>> {
    let number: Option<u32> = row.get(first)?;
    number.map(|_| raw_at(row, first)).transpose()
}

pub(super) fn read(raw: Raw) -> Result<Attempt, Refusal> {
    let (number, id, secret_hash, steps, user, device, ended, claimer_seen) = raw;
    let greeter = match (user, device) {
        (Some(user), Some(device)) => Some(GreeterIds {
            user: UserId::from_bytes(bytes(user)?),
            device: DeviceId::from_bytes(bytes(device)?),
        }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => return Err(damaged("greeter")),
    };
    Ok(Attempt {
        id: AttemptId::from_bytes(bytes(id)?),
        number,
        secret_hash: Hash::from_bytes(bytes(secret_hash)?),
        steps,
        greeter,
        ended: ended.map(from_number).transpose()?,
        claimer_seen: Timestamp(unstored(claimer_seen)),
    })
}

/// The newest attempt of an invitation.
pub(crate) fn newest(sql: &Connection, invitation: i64) -> Result<Option<Attempt>, Refusal> {
    let query = format!("SELECT {COLUMNS} FROM attempt a WHERE invitation = ?1 ORDER BY number DESC LIMIT 1");
    let row = sql.prepare_cached(&query)?.query_row([invitation], raw).optional()?;
    row.map(read).transpose()
}

/// The attempt with this id.
pub(crate) fn named(sql: &Connection, invitation: i64, id: &AttemptId) -> Result<Option<Attempt>, Refusal> {
    let query = format!("SELECT {COLUMNS} FROM attempt a WHERE invitation = ?1 AND attempt = ?2");
    let row = sql.prepare_cached(&query)?.query_row(params![invitation, id.as_bytes()], raw).optional()?;
    row.map(read).transpose()
}

/// Stores a new one.
pub(crate) fn insert(sql: &Connection, invitation: i64, attempt: &Attempt) -> rusqlite::Result<()> {
    let mut insert = sql.prepare_cached(
        "INSERT INTO attempt (invitation, number, attempt, secret_hash, steps, claimer_seen)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    insert.execute(params![
        invitation,
        attempt.number,
        attempt.id.as_bytes(),
        attempt.secret_hash.as_bytes(),
        attempt.steps,
        stored(attempt.claimer_seen.0)
    ])?;
    Ok(())
}

/// Writes back what rules changed.
pub(crate) fn update(sql: &Connection, invitation: i64, attempt: &Attempt) -> rusqlite::Result<()> {
    let mut update = sql.prepare_cached(
        "UPDATE attempt SET steps = ?3, greeter_user = ?4, greeter_device = ?5, ended = ?6, claimer_seen = ?7
         WHERE invitation = ?1 AND number = ?2",
    )?;
    update.execute(params![
        invitation,
        attempt.number,
        attempt.steps,
        attempt.greeter.map(|greeter| *greeter.user.as_bytes()),
        attempt.greeter.map(|greeter| *greeter.device.as_bytes()),
        attempt.ended.as_ref().map(number_of),
        stored(attempt.claimer_seen.0)
    ])?;
    if !attempt.is_open() {
        let mut forget = sql.prepare_cached(
            "UPDATE step SET bytes = NULL WHERE invitation = ?1 AND attempt = ?2 AND bytes IS NOT NULL",
        )?;
        forget.execute(params![invitation, attempt.number])?;
    }
    Ok(())
}

/// The hash of a deposited step.
pub(crate) fn step_hash(
    sql: &Connection,
    invitation: i64,
    attempt: u32,
    step: u8,
) -> Result<Option<Hash>, Refusal> {
    let mut select =
        sql.prepare_cached("SELECT hash FROM step WHERE invitation = ?1 AND attempt = ?2 AND step = ?3")?;
    let hash: Option<Vec<u8>> =
        select.query_row(params![invitation, attempt, step], |row| row.get(0)).optional()?;
    hash.map(|hash| bytes(hash).map(Hash::from_bytes)).transpose()
}

/// The bytes of a deposited step, while its attempt is open.
pub(crate) fn step_bytes(
    sql: &Connection,
    invitation: i64,
    attempt: u32,
    step: u8,
) -> Result<Option<Vec<u8>>, Refusal> {
    let mut select =
        sql.prepare_cached("SELECT bytes FROM step WHERE invitation = ?1 AND attempt = ?2 AND step = ?3")?;
    let found: Option<Option<Vec<u8>>> =
        select.query_row(params![invitation, attempt, step], |row| row.get(0)).optional()?;
    Ok(found.flatten())
}

/// Stores a step.
pub(crate) fn insert_step(
    sql: &Connection,
    invitation: i64,
    attempt: u32,
    step: u8,
    hash: Hash,
    content: &[u8],
) -> rusqlite::Result<()> {
    let mut insert = sql.prepare_cached(
        "INSERT INTO step (invitation, attempt, step, hash, bytes) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    insert.execute(params![invitation, attempt, step, hash.as_bytes(), content])?;
    Ok(())
}

/// What completed an attempt: the hash of the request, and the position it was told.
pub(crate) fn completion(
    sql: &Connection,
    invitation: i64,
    attempt: u32,
) -> Result<Option<(Hash, u64)>, Refusal> {
    let mut select = sql.prepare_cached(
        "SELECT completion, position FROM attempt
         WHERE invitation = ?1 AND number = ?2 AND completion IS NOT NULL",
    )?;
    let row: Option<(Vec<u8>, i64)> =
        select.query_row(params![invitation, attempt], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    row.map(|(hash, position)| Ok((Hash::from_bytes(bytes(hash)?), unstored(position)))).transpose()
}

/// Notes what completed an attempt.
pub(crate) fn set_completion(
    sql: &Connection,
    invitation: i64,
    attempt: u32,
    request: Hash,
    position: u64,
) -> rusqlite::Result<()> {
    let mut update = sql.prepare_cached(
        "UPDATE attempt SET completion = ?3, position = ?4 WHERE invitation = ?1 AND number = ?2",
    )?;
    update.execute(params![invitation, attempt, request.as_bytes(), stored(position)])?;
    Ok(())
}
