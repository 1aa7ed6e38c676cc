//! Profile changes and revocations: what is known before one, and what it changes in the derived tables.
//!
//! Decides nothing about what may enter a log; that is `log_rules::changes`. What a column can't hold exactly, a time of any size, is
//! read from the log itself.

use parsec_protocol::chain::certificate::{Envelope, Head};
use parsec_protocol::ids::{DeviceId, OrganisationId, UserId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{bytes, damaged, from_number, members, number_of, stored, unstored};
use crate::errors::Refusal;
use crate::log_rules::changes::{Change, Kind, LastWord, Subject};

/// The newest change by a device.
pub(crate) fn last_word(
    sql: &Connection,
    organisation: &OrganisationId,
    device: &DeviceId,
) -> Result<Option<LastWord>, Refusal> {
    let mut select = sql.prepare_cached(
        "SELECT c.envelope FROM device d
         JOIN certificate c ON c.organisation = d.organisation AND c.position = d.last_word
         WHERE d.organisation = ?1 AND d.device = ?2",
    )?;
    let envelope: Option<Vec<u8>> =
        select.query_row(params![organisation.as_str(), device.as_bytes()], |row| row.get(0)).optional()?;
    let Some(envelope) = envelope else { return Ok(None) };
    let payload = Envelope::decode(&envelope).and_then(|envelope| envelope.payload());
    payload.map(|payload| Some(LastWord::of(&payload))).map_err(|_| damaged("certificate"))
}

/// Whom a change is about, if the log names them.
pub(crate) fn subject(
    sql: &Connection,
    organisation: &OrganisationId,
    kind: &Kind,
) -> Result<Option<Subject>, Refusal> {
    type Row = (Vec<u8>, i64, Option<i64>, bool);
    let row = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Row> {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    };
    let org = organisation.as_str();
    let found = match kind {
        Kind::Profile { user, .. } | Kind::UserRevoked { user } => {
            let mut select = sql.prepare_cached(
                "SELECT user, profile, profile_position, revoked FROM user WHERE organisation = ?1 AND user = ?2",
            )?;
            select.query_row(params![org, user.as_bytes()], row).optional()?
        }
        Kind::DeviceRevoked { device } => {
            let mut select = sql.prepare_cached(
                "SELECT u.user, u.profile, u.profile_position, d.revoked OR u.revoked
                 FROM device d JOIN user u ON u.organisation = d.organisation AND u.user = d.user
                 WHERE d.organisation = ?1 AND d.device = ?2",
            )?;
            select.query_row(params![org, device.as_bytes()], row).optional()?
        }
    };
    let Some((user, profile, profile_position, revoked)) = found else { return Ok(None) };
    let profile_position = profile_position.map(unstored).ok_or_else(|| damaged("profile"))?;
    let user = UserId::from_bytes(bytes(user)?);
    Ok(Some(Subject { user, profile: from_number(profile)?, profile_position, revoked }))
}

/// Puts a checked change by `author` at the end of the log, and what it says into the derived tables. Returns its position.
pub(crate) fn append(
    sql: &Connection,
    organisation: &OrganisationId,
    author: &DeviceId,
    change: &Change,
    head_after: &Head,
) -> Result<u64, Refusal> {
    let org = organisation.as_str();
    let position = members::insert_certificate(sql, organisation, change.envelope(), head_after)?;
    match change.kind {
        Kind::Profile { user, profile } => {
            let mut update = sql.prepare_cached(
                "UPDATE user SET profile = ?3, profile_position = ?4 WHERE organisation = ?1 AND user = ?2",
            )?;
            update.execute(params![org, user.as_bytes(), number_of(&profile), stored(position)])?;
        }
        Kind::UserRevoked { user } => {
            let mut update =
                sql.prepare_cached("UPDATE user SET revoked = 1 WHERE organisation = ?1 AND user = ?2")?;
            update.execute(params![org, user.as_bytes()])?;
        }
        Kind::DeviceRevoked { device } => {
            let mut update =
                sql.prepare_cached("UPDATE device SET revoked = 1 WHERE organisation = ?1 AND device = ?2")?;
            update.execute(params![org, device.as_bytes()])?;
        }
    }
    let mut update =
        sql.prepare_cached("UPDATE device SET last_word = ?3 WHERE organisation = ?1 AND device = ?2")?;
    update.execute(params![org, author.as_bytes(), stored(position)])?;
    Ok(position)
}
