//! Invitations as rows.
//!
//! Decides nothing: rules are in `crate::invitations`. An invitation's newest attempt has the
//! number of its attempts, so that both are read by one query.

use parsec_protocol::ids::{DeviceId, Email, Invited, OrganisationId, Timestamp, Token, UserId};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{self, InvitationStatus, MailOutcome};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::attempts;
use super::values::{bytes, damaged, from_number, limit, number_of, stored, unstored};
use crate::invitations::{Invitation, Pool};
use crate::store::StoreError;
use crate::store::rows::Stored;

/// Columns of an invitation, as [`raw`] reads them.
const COLUMNS: &str = "i.token, i.email, i.user, i.created_by, i.created, i.expires, i.status, i.mismatches,
     i.attempts, i.pool, i.kit_user, i.kit";
/// As many as [`COLUMNS`] has.
const COLUMNS_COUNT: usize = 12;

type Raw = (Vec<u8>, Whom, Vec<u8>, i64, i64, i64, u32, u32, i64);
/// E-mail, user, and the user and the device of a kit.
type Whom = (Option<String>, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    Ok((
        row.get(0)?,
        (row.get(1)?, row.get(2)?, row.get(10)?, row.get(11)?),
        row.get(3)?,
        row.get(4)?,
        row.get(5)?,
        row.get(6)?,
        row.get(7)?,
        row.get(8)?,
        row.get(9)?,
    ))
}

fn read(raw: Raw) -> Result<Invitation, StoreError> {
    let (token, whom, created_by, created, expires, status, mismatches, attempts, pool) = raw;
    let invited = match whom {
        (Some(email), None, None, None) => Invited::User(email.parse().map_err(|_| damaged("email"))?),
        (None, Some(user), None, None) => Invited::Device(UserId::from_bytes(bytes(user)?)),
        (None, Some(_), Some(user), Some(kit)) => {
            Invited::Share(UserId::from_bytes(bytes(user)?), DeviceId::from_bytes(bytes(kit)?))
        }
        _ => return Err(damaged("invited")),
    };
    Ok(Invitation {
        token: Token::from_bytes(bytes(token)?),
        invited,
        created_by: UserId::from_bytes(bytes(created_by)?),
        created: Timestamp(unstored(created)),
        expires: Timestamp(unstored(expires)),
        status: from_number(status)?,
        mismatches,
        attempts,
        pool: match pool {
            0 => Pool::Administrators,
            1 => Pool::Others,
            _ => return Err(damaged("pool")),
        },
    })
}

/// The number a pool is stored under.
pub(super) const fn pool_number(pool: Pool) -> i64 {
    match pool {
        Pool::Administrators => 0,
        Pool::Others => 1,
    }
}

/// An invitation with its newest attempt and its place in lists.
type Both = (Raw, Option<attempts::Raw>, i64);

fn both(row: &Row<'_>) -> rusqlite::Result<Both> {
    Ok((raw(row)?, attempts::raw_if_any(row, COLUMNS_COUNT + 1)?, row.get(COLUMNS_COUNT)?))
}

fn read_both((invitation, attempt, listed): Both) -> Result<(u64, Stored), StoreError> {
    let newest = attempt.map(attempts::read).transpose()?;
    Ok((unstored(listed), Stored { invitation: read(invitation)?, newest }))
}

/// Invitations with their newest attempts: what goes before a condition.
fn select() -> String {
    format!(
        "SELECT {COLUMNS}, i.listed, {} FROM invitation i
         LEFT JOIN attempt a ON a.organisation = i.organisation AND a.token = i.token AND a.number = i.attempts
         WHERE i.organisation = ?1",
        attempts::COLUMNS
    )
}

/// All that a condition leaves.
fn several(
    sql: &Connection,
    condition: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<(u64, Stored)>, StoreError> {
    let query = format!("{} {condition}", select());
    let rows: Vec<Both> = sql.prepare_cached(&query)?.query_map(values, both)?.collect::<Result<_, _>>()?;
    rows.into_iter().map(read_both).collect()
}

fn stored_alone(rows: Vec<(u64, Stored)>) -> Vec<Stored> {
    rows.into_iter().map(|(_, stored)| stored).collect()
}

/// One with its newest attempt.
pub(super) fn invitation(
    sql: &Connection,
    organisation: &OrganisationId,
    token: &Token,
) -> Result<Option<Stored>, StoreError> {
    let values = params![organisation.as_str(), token.as_bytes()];
    Ok(several(sql, "AND i.token = ?2", values)?.pop().map(|(_, stored)| stored))
}

/// The token behind a handle.
pub(super) fn token_of(
    sql: &Connection,
    organisation: &OrganisationId,
    handle: &Hash,
) -> Result<Option<Token>, StoreError> {
    let mut select =
        sql.prepare_cached("SELECT token FROM invitation WHERE organisation = ?1 AND handle = ?2")?;
    let found = select.query_row(params![organisation.as_str(), handle.as_bytes()], |row| row.get(0));
    found.optional()?.map(|token| bytes(token).map(Token::from_bytes)).transpose()
}

/// A piece of a list, the newest first.
pub(super) fn list(
    sql: &Connection,
    organisation: &OrganisationId,
    device_of: Option<&UserId>,
    before: u64,
    most: usize,
) -> Result<Vec<(u64, Stored)>, StoreError> {
    let (org, before, most) = (organisation.as_str(), stored(before), limit(most));
    match device_of {
        None => {
            let condition = "AND i.listed < ?2 ORDER BY i.listed DESC LIMIT ?3";
            several(sql, condition, params![org, before, most])
        }
        Some(user) => {
            let condition = "AND i.listed < ?2 AND i.user = ?4 ORDER BY i.listed DESC LIMIT ?3";
            several(sql, condition, params![org, before, most, user.as_bytes()])
        }
    }
}

/// Those with an open attempt that a device of this user has joined.
pub(super) fn greeted_by(
    sql: &Connection,
    organisation: &OrganisationId,
    user: &UserId,
) -> Result<Vec<Stored>, StoreError> {
    let condition = "AND i.token IN
        (SELECT token FROM attempt WHERE organisation = ?1 AND greeter_user = ?2 AND ended IS NULL)";
    several(sql, condition, params![organisation.as_str(), user.as_bytes()]).map(stored_alone)
}

/// Those for devices of this user that were usable when they were written.
pub(super) fn usable_for_devices_of(
    sql: &Connection,
    organisation: &OrganisationId,
    user: &UserId,
) -> Result<Vec<Stored>, StoreError> {
    let (pending, in_use) = (number_of(&InvitationStatus::Pending), number_of(&InvitationStatus::InUse));
    let values = params![organisation.as_str(), user.as_bytes(), pending, in_use];
    several(sql, "AND i.user = ?2 AND i.status IN (?3, ?4)", values).map(stored_alone)
}

/// Stores a new one.
pub(super) fn insert(
    sql: &Connection,
    organisation: &OrganisationId,
    invitation: &Invitation,
    due: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (email, user): (Option<&Email>, Option<&UserId>) = match &invitation.invited {
        Invited::User(email) => (Some(email), None),
        Invited::Device(user) => (None, Some(user)),
        // It is its giver's, as one for a device is its user's.
        Invited::Share(..) => (None, Some(&invitation.created_by)),
    };
    let of_kit: Option<(&UserId, &DeviceId)> = match &invitation.invited {
        Invited::User(_) | Invited::Device(_) => None,
        Invited::Share(user, kit) => Some((user, kit)),
    };
    let mut insert = sql.prepare_cached(
        "INSERT INTO invitation
            (organisation, token, email, user, created_by, created, expires, status, mismatches, attempts, pool, due, handle, listed, kit_user, kit)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?14,
            max(?13, (SELECT coalesce(max(listed), 0) + 1 FROM invitation WHERE organisation = ?1)), ?15, ?16)",
    )?;
    insert.execute(params![
        organisation.as_str(),
        invitation.token.as_bytes(),
        email.map(Email::as_str),
        user.map(UserId::as_bytes),
        invitation.created_by.as_bytes(),
        stored(invitation.created.0),
        stored(invitation.expires.0),
        number_of(&invitation.status),
        invitation.mismatches,
        invitation.attempts,
        pool_number(invitation.pool),
        stored(due.0),
        stored(now.0),
        relay::handle(&invitation.token).as_bytes(),
        of_kit.map(|(user, _)| user.as_bytes()),
        of_kit.map(|(_, kit)| kit.as_bytes()),
    ])?;
    Ok(())
}

/// Writes status and counts back.
pub(super) fn update(
    sql: &Connection,
    organisation: &OrganisationId,
    invitation: &Invitation,
    due: Timestamp,
) -> Result<(), StoreError> {
    let mut update = sql.prepare_cached(
        "UPDATE invitation SET status = ?3, mismatches = ?4, attempts = ?5,
            due = CASE WHEN status >= 2 AND status = ?3 THEN due ELSE ?6 END
         WHERE organisation = ?1 AND token = ?2",
    )?;
    update.execute(params![
        organisation.as_str(),
        invitation.token.as_bytes(),
        number_of(&invitation.status),
        invitation.mismatches,
        invitation.attempts,
        stored(due.0)
    ])?;
    Ok(())
}

/// Removes one with its attempts and their steps: the last first, as one refers to the other, and
/// the count of each to its invitation.
pub(super) fn remove(
    sql: &Connection,
    organisation: &OrganisationId,
    token: &Token,
) -> Result<(), StoreError> {
    for table in [
        "DELETE FROM step WHERE organisation = ?1 AND token = ?2",
        "DELETE FROM attempt WHERE organisation = ?1 AND token = ?2",
        "DELETE FROM invitation WHERE organisation = ?1 AND token = ?2",
    ] {
        sql.prepare_cached(table)?.execute(params![organisation.as_str(), token.as_bytes()])?;
    }
    Ok(())
}

/// What became of its mail, if that was noted.
pub(super) fn mail_outcome(
    sql: &Connection,
    organisation: &OrganisationId,
    token: &Token,
) -> Result<Option<MailOutcome>, StoreError> {
    let mut select =
        sql.prepare_cached("SELECT mail FROM invitation WHERE organisation = ?1 AND token = ?2")?;
    let found = select.query_row(params![organisation.as_str(), token.as_bytes()], |row| row.get(0));
    let outcome: Option<Option<i64>> = found.optional()?;
    outcome.flatten().map(from_number).transpose()
}

/// Counts that its mail is begun to be sent. Not where it was sent, was begun too often, or is of
/// no more use to anybody.
pub(super) fn start_mail(
    sql: &Connection,
    organisation: &OrganisationId,
    token: &Token,
    now: Timestamp,
    most: u32,
) -> Result<bool, StoreError> {
    let mut update = sql.prepare_cached(
        "UPDATE invitation SET mail_starts = mail_starts + 1
         WHERE organisation = ?1 AND token = ?2 AND expires > ?3 AND mail_starts < ?4
         AND status IN (?5, ?6) AND (mail IS NULL OR mail NOT IN (?7, ?8))",
    )?;
    let begun = update.execute(params![
        organisation.as_str(),
        token.as_bytes(),
        stored(now.0),
        most,
        number_of(&InvitationStatus::Pending),
        number_of(&InvitationStatus::InUse),
        number_of(&MailOutcome::Sent),
        number_of(&MailOutcome::Written)
    ])?;
    Ok(begun == 1)
}

/// Notes what became of its mail.
pub(super) fn set_mail_outcome(
    sql: &Connection,
    organisation: &OrganisationId,
    token: &Token,
    outcome: MailOutcome,
) -> Result<(), StoreError> {
    let mut update =
        sql.prepare_cached("UPDATE invitation SET mail = ?3 WHERE organisation = ?1 AND token = ?2")?;
    update.execute(params![organisation.as_str(), token.as_bytes(), number_of(&outcome)])?;
    Ok(())
}
