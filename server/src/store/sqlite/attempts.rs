//! Attempts and their steps as rows.
//!
//! Decides one thing: the bytes of steps go when their attempt is over; only their hashes stay, as
//! long as its invitation does, to answer a repeated deposit.

use parsec_protocol::ids::{AttemptId, DeviceId, OrganisationId, Timestamp, Token, UserId};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{AttemptView, GreeterIds};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::values::{bytes, damaged, from_number, number_of, stored, unstored};
use crate::invitations::Attempt;
use crate::store::StoreError;

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

pub(super) fn read(raw: Raw) -> Result<Attempt, StoreError> {
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
        number,
        state: AttemptView {
            attempt: AttemptId::from_bytes(bytes(id)?),
            steps,
            greeter,
            ended: ended.map(from_number).transpose()?,
        },
        secret_hash: Hash::from_bytes(bytes(secret_hash)?),
        claimer_seen: Timestamp(unstored(claimer_seen)),
    })
}

/// The attempt with this id.
pub(super) fn named(
    sql: &Connection,
    organisation: &OrganisationId,
    token: &Token,
    id: &AttemptId,
) -> Result<Option<Attempt>, StoreError> {
    let query =
        format!("SELECT {COLUMNS} FROM attempt a WHERE organisation = ?1 AND token = ?2 AND attempt = ?3");
    let values = params![organisation.as_str(), token.as_bytes(), id.as_bytes()];
    let row = sql.prepare_cached(&query)?.query_row(values, raw).optional()?;
    row.map(read).transpose()
}

/// Stores a new one.
pub(super) fn insert(
    sql: &Connection,
    organisation: &OrganisationId,
    token: &Token,
    attempt: &Attempt,
) -> Result<(), StoreError> {
    let mut insert = sql.prepare_cached(
        "INSERT INTO attempt (organisation, token, number, attempt, secret_hash, steps, claimer_seen)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    insert.execute(params![
        organisation.as_str(),
        token.as_bytes(),
        attempt.number,
        attempt.state.attempt.as_bytes(),
        attempt.secret_hash.as_bytes(),
        attempt.state.steps,
        stored(attempt.claimer_seen.0)
    ])?;
    Ok(())
}

/// Writes back what rules changed.
pub(super) fn update(
    sql: &Connection,
    organisation: &OrganisationId,
    token: &Token,
    attempt: &Attempt,
) -> Result<(), StoreError> {
    let mut update = sql.prepare_cached(
        "UPDATE attempt SET steps = ?4, greeter_user = ?5, greeter_device = ?6, ended = ?7, claimer_seen = ?8
         WHERE organisation = ?1 AND token = ?2 AND number = ?3",
    )?;
    update.execute(params![
        organisation.as_str(),
        token.as_bytes(),
        attempt.number,
        attempt.state.steps,
        attempt.state.greeter.map(|greeter| *greeter.user.as_bytes()),
        attempt.state.greeter.map(|greeter| *greeter.device.as_bytes()),
        attempt.state.ended.as_ref().map(number_of),
        stored(attempt.claimer_seen.0)
    ])?;
    if !attempt.state.is_open() {
        let mut forget = sql.prepare_cached(
            "UPDATE step SET bytes = NULL
             WHERE organisation = ?1 AND token = ?2 AND attempt = ?3 AND bytes IS NOT NULL",
        )?;
        forget.execute(params![organisation.as_str(), token.as_bytes(), attempt.number])?;
    }
    Ok(())
}

/// The hash of a deposited step.
pub(super) fn step_hash(
    sql: &Connection,
    organisation: &OrganisationId,
    token: &Token,
    attempt: u32,
    step: u8,
) -> Result<Option<Hash>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT hash FROM step WHERE organisation = ?1 AND token = ?2 AND attempt = ?3 AND step = ?4",
    )?;
    let hash: Option<Vec<u8>> = select
        .query_row(params![organisation.as_str(), token.as_bytes(), attempt, step], |row| row.get(0))
        .optional()?;
    hash.map(|hash| bytes(hash).map(Hash::from_bytes)).transpose()
}

/// The bytes of a deposited step, while its attempt is open.
pub(super) fn step_bytes(
    sql: &Connection,
    organisation: &OrganisationId,
    token: &Token,
    attempt: u32,
    step: u8,
) -> Result<Option<Vec<u8>>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT bytes FROM step WHERE organisation = ?1 AND token = ?2 AND attempt = ?3 AND step = ?4",
    )?;
    let found: Option<Option<Vec<u8>>> = select
        .query_row(params![organisation.as_str(), token.as_bytes(), attempt, step], |row| row.get(0))
        .optional()?;
    Ok(found.flatten())
}

/// Stores a step.
pub(super) fn insert_step(
    sql: &Connection,
    organisation: &OrganisationId,
    token: &Token,
    attempt: u32,
    step: u8,
    (hash, content): (Hash, &[u8]),
) -> Result<(), StoreError> {
    let mut insert = sql.prepare_cached(
        "INSERT INTO step (organisation, token, attempt, step, hash, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    insert.execute(params![
        organisation.as_str(),
        token.as_bytes(),
        attempt,
        step,
        hash.as_bytes(),
        content
    ])?;
    Ok(())
}

/// What completed an attempt: the hash of the request, and the position it was told.
pub(super) fn completion(
    sql: &Connection,
    organisation: &OrganisationId,
    token: &Token,
    attempt: u32,
) -> Result<Option<(Hash, u64)>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT completion, position FROM attempt
         WHERE organisation = ?1 AND token = ?2 AND number = ?3 AND completion IS NOT NULL",
    )?;
    let row: Option<(Vec<u8>, i64)> = select
        .query_row(params![organisation.as_str(), token.as_bytes(), attempt], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    row.map(|(hash, position)| Ok((Hash::from_bytes(bytes(hash)?), unstored(position)))).transpose()
}

/// Notes what completed an attempt.
pub(super) fn set_completion(
    sql: &Connection,
    organisation: &OrganisationId,
    token: &Token,
    attempt: u32,
    (request, position): (Hash, u64),
) -> Result<(), StoreError> {
    let mut update = sql.prepare_cached(
        "UPDATE attempt SET completion = ?4, position = ?5
         WHERE organisation = ?1 AND token = ?2 AND number = ?3",
    )?;
    update.execute(params![
        organisation.as_str(),
        token.as_bytes(),
        attempt,
        request.as_bytes(),
        stored(position)
    ])?;
    Ok(())
}
