//! Invitations as rows.
//!
//! Decides nothing: rules are in `crate::invitations`. Every read applies the passing of time, so that nobody sees a state that
//! has silently run out.

use parsec_protocol::chain::certificate::Profile;
use parsec_protocol::ids::{AttemptId, Email, Invited, OrganisationId, Timestamp, Token, UserId};
use parsec_protocol::public::Hash;
use parsec_protocol::receipt::Receipt;
use parsec_protocol::relay::{self, INVITATION_LIST_MAX, InvitationStatus, InvitationView, MailOutcome};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{attempts, bytes, damaged, from_number, number_of, stored, unstored};
use crate::errors::Refusal;
use crate::invitations::{Attempt, Invitation, Member, settle};

/// An invitation with its newest attempt, as of now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// The row's number.
    pub(crate) number: i64,
    pub(crate) invitation: Invitation,
    pub(crate) newest: Option<Attempt>,
}

impl Loaded {
    pub(crate) fn view(&self) -> InvitationView {
        self.invitation.view(self.newest.as_ref())
    }

    /// Turns to one attempt of it. Only the newest can be open; older ones are there to be answered about.
    pub(crate) fn with_attempt(self, sql: &Connection, id: &AttemptId) -> Result<Option<Chosen>, Refusal> {
        let attempt = match self.newest {
            Some(newest) if newest.id == *id => Some(newest),
            Some(_) | None => attempts::named(sql, self.number, id)?,
        };
        Ok(attempt.map(|attempt| Chosen { number: self.number, invitation: self.invitation, attempt }))
    }
}

/// An invitation with the attempt that a request is about, as of now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// The row's number.
    pub(crate) number: i64,
    pub(crate) invitation: Invitation,
    pub(crate) attempt: Attempt,
}

impl Chosen {
    /// Writes back what rules changed.
    pub(crate) fn save(&self, sql: &Connection) -> rusqlite::Result<()> {
        update_invitation(sql, self.number, &self.invitation)?;
        attempts::update(sql, self.number, &self.attempt)
    }
}

const COLUMNS: &str =
    "number, token, email, user, created_by, created, expires, status, mismatches, attempts";

type Raw = (i64, Vec<u8>, Option<String>, Option<Vec<u8>>, Vec<u8>, i64, i64, i64, u32, u32);

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    Ok((
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
        row.get(5)?,
        row.get(6)?,
        row.get(7)?,
        row.get(8)?,
        row.get(9)?,
    ))
}

fn read(raw: Raw) -> Result<(i64, Invitation), Refusal> {
    let (number, token, email, user, created_by, created, expires, status, mismatches, attempts) = raw;
    let invited = match (email, user) {
        (Some(email), None) => Invited::User(email.parse().map_err(|_| damaged("email"))?),
        (None, Some(user)) => Invited::Device(UserId::from_bytes(bytes(user)?)),
        (Some(_), Some(_)) | (None, None) => return Err(damaged("invited")),
    };
    let invitation = Invitation {
        token: Token::from_bytes(bytes(token)?),
        invited,
        created_by: UserId::from_bytes(bytes(created_by)?),
        created: Timestamp(unstored(created)),
        expires: Timestamp(unstored(expires)),
        status: from_number(status)?,
        mismatches,
        attempts,
    };
    Ok((number, invitation))
}

fn complete(sql: &Connection, raw: Raw, now: Timestamp) -> Result<Loaded, Refusal> {
    let (number, mut invitation) = read(raw)?;
    let mut newest = attempts::newest(sql, number)?;
    settle(&mut invitation, newest.as_mut(), now);
    Ok(Loaded { number, invitation, newest })
}

/// Reads one.
pub(crate) fn load(
    sql: &Connection,
    organisation: &OrganisationId,
    token: &Token,
    now: Timestamp,
) -> Result<Option<Loaded>, Refusal> {
    let query = format!("SELECT {COLUMNS} FROM invitation WHERE organisation = ?1 AND token = ?2");
    let mut select = sql.prepare_cached(&query)?;
    let row = select.query_row(params![organisation.as_str(), token.as_bytes()], raw).optional()?;
    row.map(|row| complete(sql, row, now)).transpose()
}

/// The token behind a handle.
pub(crate) fn token_of(
    sql: &Connection,
    organisation: &OrganisationId,
    handle: &Hash,
) -> Result<Option<Token>, Refusal> {
    let mut select =
        sql.prepare_cached("SELECT token FROM invitation WHERE organisation = ?1 AND handle = ?2")?;
    let found = select.query_row(params![organisation.as_str(), handle.as_bytes()], |row| row.get(0));
    found.optional()?.map(|token| bytes(token).map(Token::from_bytes)).transpose()
}

/// Stores a new one.
pub(crate) fn insert(
    sql: &Connection,
    organisation: &OrganisationId,
    invitation: &Invitation,
) -> rusqlite::Result<()> {
    let (email, user): (Option<&Email>, Option<&UserId>) = match &invitation.invited {
        Invited::User(email) => (Some(email), None),
        Invited::Device(user) => (None, Some(user)),
    };
    let mut insert = sql.prepare_cached(
        "INSERT INTO invitation
            (organisation, token, email, user, created_by, created, expires, status, mismatches, attempts, handle)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
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
        relay::handle(&invitation.token).as_bytes()
    ])?;
    Ok(())
}

/// Writes back what rules changed, on the invitation and its newest attempt.
pub(crate) fn update(sql: &Connection, loaded: &Loaded) -> rusqlite::Result<()> {
    update_invitation(sql, loaded.number, &loaded.invitation)?;
    match &loaded.newest {
        Some(newest) => attempts::update(sql, loaded.number, newest),
        None => Ok(()),
    }
}

fn update_invitation(sql: &Connection, number: i64, invitation: &Invitation) -> rusqlite::Result<()> {
    let mut update = sql.prepare_cached(
        "UPDATE invitation SET status = ?2, mismatches = ?3, attempts = ?4 WHERE number = ?1",
    )?;
    update.execute(params![
        number,
        number_of(&invitation.status),
        invitation.mismatches,
        invitation.attempts
    ])?;
    Ok(())
}

/// Keeps the receipt of an enrolment whose ceremony was not relayed here.
pub(crate) fn set_receipt(
    sql: &Connection,
    organisation: &OrganisationId,
    token: &Token,
    receipt: &Receipt,
) -> rusqlite::Result<()> {
    let mut update =
        sql.prepare_cached("UPDATE invitation SET receipt = ?3 WHERE organisation = ?1 AND token = ?2")?;
    update.execute(params![
        organisation.as_str(),
        token.as_bytes(),
        parsec_protocol::codec::encode(receipt)
    ])?;
    Ok(())
}

/// Those with an open attempt that a terminal of this user has joined.
pub(crate) fn greeted_by(
    sql: &Connection,
    organisation: &OrganisationId,
    user: &UserId,
    now: Timestamp,
) -> Result<Vec<Loaded>, Refusal> {
    let query = format!(
        "SELECT {COLUMNS} FROM invitation WHERE organisation = ?1
         AND number IN (SELECT invitation FROM attempt WHERE greeter_user = ?2 AND ended IS NULL)"
    );
    several(sql, &query, params![organisation.as_str(), user.as_bytes()], now)
}

/// Those for terminals of this user that can be used.
pub(crate) fn for_terminals_of(
    sql: &Connection,
    organisation: &OrganisationId,
    user: &UserId,
    now: Timestamp,
) -> Result<Vec<Loaded>, Refusal> {
    let query = format!(
        "SELECT {COLUMNS} FROM invitation WHERE organisation = ?1 AND user = ?2 AND status IN (?3, ?4)"
    );
    let (pending, in_use) = (number_of(&InvitationStatus::Pending), number_of(&InvitationStatus::InUse));
    let values = params![organisation.as_str(), user.as_bytes(), pending, in_use];
    let mut loaded = several(sql, &query, values, now)?;
    // Those whose time is over are final without their row's saying so.
    loaded.retain(|loaded| !loaded.invitation.is_final());
    Ok(loaded)
}

fn several(
    sql: &Connection,
    query: &str,
    values: impl rusqlite::Params,
    now: Timestamp,
) -> Result<Vec<Loaded>, Refusal> {
    let rows: Vec<Raw> = sql.prepare_cached(query)?.query_map(values, raw)?.collect::<Result<_, _>>()?;
    rows.into_iter().map(|row| complete(sql, row, now)).collect()
}

/// What became of its mail, if that was noted.
pub(crate) fn mail_outcome(sql: &Connection, number: i64) -> Result<Option<MailOutcome>, Refusal> {
    let mut select = sql.prepare_cached("SELECT mail FROM invitation WHERE number = ?1")?;
    let outcome: Option<i64> = select.query_row([number], |row| row.get(0))?;
    outcome.map(from_number).transpose()
}

/// Counts that its mail is begun to be sent. Not where it was sent, was begun too often, or is of no more use to anybody.
pub(crate) fn start_mail(
    sql: &Connection,
    organisation: &OrganisationId,
    token: &Token,
    now: Timestamp,
    most: u32,
) -> rusqlite::Result<bool> {
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
pub(crate) fn set_mail_outcome(
    sql: &Connection,
    organisation: &OrganisationId,
    token: &Token,
    outcome: MailOutcome,
) -> rusqlite::Result<()> {
    let mut update =
        sql.prepare_cached("UPDATE invitation SET mail = ?3 WHERE organisation = ?1 AND token = ?2")?;
    update.execute(params![organisation.as_str(), token.as_bytes(), number_of(&outcome)])?;
    Ok(())
}

/// How many can still be used.
pub(crate) fn alive(
    sql: &Connection,
    organisation: &OrganisationId,
    now: Timestamp,
) -> rusqlite::Result<u64> {
    let mut select = sql.prepare_cached(
        "SELECT count(*) FROM invitation WHERE organisation = ?1 AND status IN (?2, ?3) AND expires > ?4",
    )?;
    let (pending, in_use) = (number_of(&InvitationStatus::Pending), number_of(&InvitationStatus::InUse));
    select.query_row(params![organisation.as_str(), pending, in_use, stored(now.0)], |row| {
        row.get(0).map(unstored)
    })
}

/// How many there are in all.
pub(crate) fn total(sql: &Connection, organisation: &OrganisationId) -> rusqlite::Result<u64> {
    let mut select = sql.prepare_cached("SELECT count(*) FROM invitation WHERE organisation = ?1")?;
    select.query_row([organisation.as_str()], |row| row.get(0).map(unstored))
}

/// Those a member may see, newest first.
pub(crate) fn list(
    sql: &Connection,
    organisation: &OrganisationId,
    member: &Member,
    now: Timestamp,
) -> Result<Vec<InvitationView>, Refusal> {
    let administrator = match member.profile {
        Profile::Administrator => true,
        Profile::Standard | Profile::Outsider => false,
    };
    let query = format!(
        "SELECT {COLUMNS} FROM invitation
         WHERE organisation = ?1 AND ((email IS NOT NULL AND ?2) OR user = ?3)
         ORDER BY number DESC LIMIT ?4"
    );
    let limit = i64::try_from(INVITATION_LIST_MAX).unwrap_or(i64::MAX);
    let values = params![organisation.as_str(), administrator, member.user.as_bytes(), limit];
    Ok(several(sql, &query, values, now)?.iter().map(Loaded::view).collect())
}
