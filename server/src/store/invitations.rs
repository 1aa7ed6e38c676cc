//! Invitations as rows.
//!
//! Decides nothing: rules are in `crate::invitations`. Every read applies the passing of time, so that nobody sees a state that
//! has silently run out.

use parsec_protocol::chain::certificate::Profile;
use parsec_protocol::ids::{AttemptId, Email, Invited, OrganisationId, Timestamp, Token, UserId};
use parsec_protocol::limits::INVITATION_PAGE_MAX;
use parsec_protocol::public::Hash;
use parsec_protocol::relay::{self, InvitationList, InvitationStatus, MailOutcome};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{attempts, bytes, damaged, from_number, number_of, stored, unstored};
use crate::errors::Refusal;
use crate::invitations::{Attempt, Invitation, Member, Pool, settle};

/// An invitation with its newest attempt, as of now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// The row's number.
    pub(crate) number: i64,
    pub(crate) invitation: Invitation,
    pub(crate) newest: Option<Attempt>,
    /// As of when.
    pub(crate) now: Timestamp,
}

impl Loaded {
    pub(crate) fn view(&self) -> relay::InvitationView {
        self.invitation.view(self.newest.as_ref())
    }

    /// Turns to one attempt of it. Only the newest can be open; older ones are there to be answered about.
    pub(crate) fn with_attempt(self, sql: &Connection, id: &AttemptId) -> Result<Option<Chosen>, Refusal> {
        let attempt = match self.newest {
            Some(newest) if newest.id == *id => Some(newest),
            Some(_) | None => attempts::named(sql, self.number, id)?,
        };
        Ok(attempt.map(|attempt| Chosen {
            number: self.number,
            invitation: self.invitation,
            attempt,
            now: self.now,
        }))
    }
}

/// An invitation with the attempt that a request is about, as of now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// The row's number.
    pub(crate) number: i64,
    pub(crate) invitation: Invitation,
    pub(crate) attempt: Attempt,
    /// As of when.
    pub(crate) now: Timestamp,
}

impl Chosen {
    /// Writes back what rules changed.
    pub(crate) fn save(&self, sql: &Connection) -> rusqlite::Result<()> {
        // An older attempt is over: as none. Where the newest one is sealed, the date is then too early, and put right when it comes.
        update_invitation(sql, self.number, &self.invitation, Some(&self.attempt), self.now)?;
        attempts::update(sql, self.number, &self.attempt)
    }
}

const COLUMNS: &str =
    "i.number, i.token, i.email, i.user, i.created_by, i.created, i.expires, i.status, i.mismatches,
     i.attempts, i.pool";
/// As many as [`COLUMNS`] has.
const COLUMNS_COUNT: usize = 11;

type Raw = (i64, Vec<u8>, Option<String>, Option<Vec<u8>>, Vec<u8>, i64, i64, i64, u32, u32, i64);

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
        row.get(10)?,
    ))
}

fn read(raw: Raw) -> Result<(i64, Invitation), Refusal> {
    let (number, token, email, user, created_by, created, expires, status, mismatches, attempts, pool) = raw;
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
        pool: match pool {
            0 => Pool::Administrators,
            1 => Pool::Others,
            _ => return Err(damaged("pool")),
        },
    };
    Ok((number, invitation))
}

/// The number a pool is stored under.
pub(super) const fn pool_number(pool: Pool) -> i64 {
    match pool {
        Pool::Administrators => 0,
        Pool::Others => 1,
    }
}

fn complete(sql: &Connection, raw: Raw, now: Timestamp) -> Result<Loaded, Refusal> {
    let (number, invitation) = read(raw)?;
    let newest = attempts::newest(sql, number)?;
    Ok(settled(number, invitation, newest, now))
}

fn settled(number: i64, mut invitation: Invitation, mut newest: Option<Attempt>, now: Timestamp) -> Loaded {
    settle(&mut invitation, newest.as_mut(), now);
    Loaded { number, invitation, newest, now }
}

/// Reads one.
pub(crate) fn load(
    sql: &Connection,
    organisation: &OrganisationId,
    token: &Token,
    now: Timestamp,
) -> Result<Option<Loaded>, Refusal> {
    let query = format!("SELECT {COLUMNS} FROM invitation i WHERE organisation = ?1 AND token = ?2");
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

/// Reads one by its row, with its organisation.
pub(super) fn load_row(
    sql: &Connection,
    number: i64,
    now: Timestamp,
) -> Result<Option<(OrganisationId, Loaded)>, Refusal> {
    let query = format!("SELECT {COLUMNS}, i.organisation FROM invitation i WHERE number = ?1");
    let mut select = sql.prepare_cached(&query)?;
    let row =
        select.query_row([number], |row| Ok((raw(row)?, row.get::<_, String>(COLUMNS_COUNT)?))).optional()?;
    let Some((row, organisation)) = row else { return Ok(None) };
    let organisation = organisation.parse().map_err(|_| damaged("organisation"))?;
    complete(sql, row, now).map(|loaded| Some((organisation, loaded)))
}

/// Stores a new one. Its place in lists is the server's time, or the next one that is free: two never have the same.
pub(crate) fn insert(
    sql: &Connection,
    organisation: &OrganisationId,
    invitation: &Invitation,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let (email, user): (Option<&Email>, Option<&UserId>) = match &invitation.invited {
        Invited::User(email) => (Some(email), None),
        Invited::Device(user) => (None, Some(user)),
    };
    let mut insert = sql.prepare_cached(
        "INSERT INTO invitation
            (organisation, token, email, user, created_by, created, expires, status, mismatches, attempts, pool, due, handle, listed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?14,
            max(?13, (SELECT coalesce(max(listed), 0) + 1 FROM invitation WHERE organisation = ?1)))",
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
        stored(invitation.due(None, now).0),
        stored(now.0),
        relay::handle(&invitation.token).as_bytes()
    ])?;
    Ok(())
}

/// Writes back what rules changed, on the invitation and its newest attempt.
pub(crate) fn update(sql: &Connection, loaded: &Loaded) -> rusqlite::Result<()> {
    update_invitation(sql, loaded.number, &loaded.invitation, loaded.newest.as_ref(), loaded.now)?;
    match &loaded.newest {
        Some(newest) => attempts::update(sql, loaded.number, newest),
        None => Ok(()),
    }
}

fn update_invitation(
    sql: &Connection,
    number: i64,
    invitation: &Invitation,
    newest: Option<&Attempt>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let mut update = sql.prepare_cached(
        // What is over stays no longer because somebody asks about it again.
        "UPDATE invitation SET status = ?2, mismatches = ?3, attempts = ?4,
            due = CASE WHEN status >= 2 AND status = ?2 THEN due ELSE ?5 END
         WHERE number = ?1",
    )?;
    update.execute(params![
        number,
        number_of(&invitation.status),
        invitation.mismatches,
        invitation.attempts,
        stored(invitation.due(newest, now).0)
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
        "SELECT {COLUMNS} FROM invitation i WHERE organisation = ?1
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
        "SELECT {COLUMNS} FROM invitation i WHERE organisation = ?1 AND user = ?2 AND status IN (?3, ?4)"
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

/// A page of those a member may see, newest first: those listed before `before`, and where the next page begins. One query, however
/// many there are: an invitation's newest attempt has the number of its attempts.
pub(crate) fn list(
    sql: &Connection,
    organisation: &OrganisationId,
    member: &Member,
    before: Option<u64>,
    now: Timestamp,
) -> Result<InvitationList, Refusal> {
    type Listed = (Raw, i64, Option<attempts::Raw>);
    let whose = match member.profile {
        Profile::Administrator => "",
        Profile::Standard | Profile::Outsider => "AND i.user = ?4",
    };
    let query = format!(
        "SELECT {COLUMNS}, i.listed, {} FROM invitation i
         LEFT JOIN attempt a ON a.invitation = i.number AND a.number = i.attempts
         WHERE i.organisation = ?1 AND i.listed < ?2 {whose} ORDER BY i.listed DESC LIMIT ?3",
        attempts::COLUMNS
    );
    let before = before.map_or(i64::MAX, stored);
    // One more than a page has: whether there is another page.
    let limit = i64::try_from(INVITATION_PAGE_MAX + 1).unwrap_or(i64::MAX);
    let read_row = |row: &Row<'_>| -> rusqlite::Result<Listed> {
        Ok((raw(row)?, row.get(COLUMNS_COUNT)?, attempts::raw_if_any(row, COLUMNS_COUNT + 1)?))
    };
    let mut select = sql.prepare_cached(&query)?;
    let org = organisation.as_str();
    let rows: Vec<Listed> = match member.profile {
        Profile::Administrator => {
            select.query_map(params![org, before, limit], read_row)?.collect::<Result<_, _>>()?
        }
        Profile::Standard | Profile::Outsider => {
            let user = member.user.as_bytes();
            select.query_map(params![org, before, limit, user], read_row)?.collect::<Result<_, _>>()?
        }
    };
    let more = rows.len() > INVITATION_PAGE_MAX;
    let next = rows.get(INVITATION_PAGE_MAX.saturating_sub(1)).filter(|_| more).map(|row| unstored(row.1));
    let mut invitations = Vec::with_capacity(rows.len());
    for (row, _, attempt) in rows.into_iter().take(INVITATION_PAGE_MAX) {
        let (number, invitation) = read(row)?;
        let newest = attempt.map(attempts::read).transpose()?;
        invitations.push(settled(number, invitation, newest, now).view());
    }
    Ok(InvitationList { invitations, next })
}
