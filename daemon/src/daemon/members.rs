//! `user.list`, `trust.*`: what the verified log says, in words.
//!
//! Decides nothing: everything comes from a `VerifiedLog`. A name that does not open is absent, never guessed.

use parsec_protocol::chain::organisation::certificate::{Author, Profile};
use parsec_protocol::chain::organisation::log::{DeviceRecord, UserRecord, VerifiedLog};
use parsec_protocol::chain::organisation::members::{NameOf, open_name};
use parsec_protocol::chain::organisation::path::{self, Start, Subject};
use parsec_protocol::control::{
    Member, MemberDevice, Problem, ProblemKind, ProfileName, TrustLink, TrustShowResult, TrustVerifyResult,
    UserListResult, UserShowResult,
};
use parsec_protocol::ids::{DeviceId, Label, UserId};
use parsec_protocol::keys::DirectoryKey;

use super::session::{Session, SyncError};

/// Fewest digits of an id's start: fewer would fit by accident.
pub const PREFIX_MIN_DIGITS: usize = 4;

/// Opens the names of one log.
pub(super) struct Names<'a> {
    log: &'a VerifiedLog,
    key: &'a DirectoryKey,
}

impl<'a> Names<'a> {
    /// Of this log, with the session's key.
    pub(super) fn of(session: &'a Session, log: &'a VerifiedLog) -> Self {
        Self { log, key: &session.open.keys.directory_key }
    }

    fn user(&self, record: &UserRecord) -> Option<Label> {
        open_name(self.key, self.log.organisation(), NameOf::User(record.user), &record.sealed_name)
    }

    fn device(&self, record: &DeviceRecord) -> Option<Label> {
        open_name(self.key, self.log.organisation(), NameOf::Device(record.device), &record.sealed_label)
    }

    fn member(&self, user: &UserRecord) -> Member {
        Member {
            user: user.user,
            email: user.email.clone(),
            name: self.user(user),
            profile: profile(user.profile),
            revoked: user.revoked.is_some(),
            devices: self
                .log
                .devices_of(&user.user)
                .map(|device| MemberDevice {
                    device: device.device,
                    label: self.device(device),
                    certified: device.certified,
                    revoked: device.revoked.is_some(),
                })
                .collect(),
        }
    }

    /// Name and address; the id of one that the log doesn't have.
    pub(super) fn user_in_words(&self, user: &UserId) -> String {
        let Some(record) = self.log.user(user) else { return user.to_string() };
        match self.user(record) {
            Some(name) => format!("{name} <{}>", record.email),
            None => record.email.to_string(),
        }
    }

    /// Label and owner; the id of one that the log doesn't have.
    pub(super) fn device_in_words(&self, device: &DeviceId) -> String {
        let Some(record) = self.log.device(device) else { return device.to_string() };
        let label = self.device(record).map_or_else(|| device.to_string(), |label| label.to_string());
        format!("{label} of {}", self.user_in_words(&record.user))
    }

    /// The signing terminal, or the root key.
    pub(super) fn author_in_words(&self, author: Author) -> String {
        match author {
            Author::Root => "root".to_owned(),
            Author::Device(device) => self.device_in_words(&device),
        }
    }
}

/// A profile's name in the local API.
pub(super) const fn profile(profile: Profile) -> ProfileName {
    match profile {
        Profile::Administrator => ProfileName::Administrator,
        Profile::Standard => ProfileName::Standard,
        Profile::Outsider => ProfileName::Outsider,
    }
}

/// One member, as this log has them.
///
/// # Errors
/// The log has no such member.
pub(super) fn member(session: &Session, log: &VerifiedLog, user: UserId) -> Result<Member, Problem> {
    let names = Names::of(session, log);
    let record = log.user(&user).ok_or_else(not_there)?;
    Ok(names.member(record))
}

/// The log of a device that is not registered yet lacks its user.
fn not_there() -> Problem {
    Problem::new(ProblemKind::InvalidRequest, "The log has no member of this id yet.")
}

/// The log as fresh as it can be had: without the server, the stored one still says who was a member.
async fn newest(session: &Session) -> Result<std::sync::Arc<VerifiedLog>, Problem> {
    match session.sync().await {
        Ok(log) => Ok(log),
        Err(SyncError::Road(error)) if error.passes() => Ok(session.log()),
        Err(error) => Err(error.into()),
    }
}

/// All members and their terminals.
///
/// # Errors
/// What the server sent is not believed, or it refused.
pub async fn list(session: &Session) -> Result<UserListResult, Problem> {
    let log = newest(session).await?;
    let names = Names::of(session, &log);
    let users = log.users().map(|user| names.member(user)).collect();
    Ok(UserListResult { users })
}

/// One member, and who vouched for them.
///
/// # Errors
/// As [`show`].
pub async fn user(session: &Session, user: Option<&str>) -> Result<UserShowResult, Problem> {
    let log = newest(session).await?;
    let user = match user {
        None => session.open.summary.user,
        Some(text) => find(&log, text)?,
    };
    let names = Names::of(session, &log);
    Ok(UserShowResult {
        member: member(session, &log, user)?,
        chain: chain(&names, user),
        root_fingerprint: log.root().fingerprint().to_string(),
    })
}

/// The whole log, fetched and verified anew.
///
/// # Errors
/// It can't be had, or is not believed.
pub async fn verify(session: &Session) -> Result<TrustVerifyResult, Problem> {
    let log = session.verify_anew().await?;
    Ok(TrustVerifyResult {
        count: log.count(),
        head: log.head().hash.to_string(),
        root_fingerprint: log.root().fingerprint().to_string(),
        users: log.users().filter(|user| user.revoked.is_none()).count() as u64,
        devices: log.devices().filter(|device| device.revoked.is_none()).count() as u64,
    })
}

/// The chain from a user, by way of one of their terminals where it is the caller, up to the root.
///
/// # Errors
/// `device_unknown` if no such user is in the log; or as [`list`].
pub async fn show(session: &Session, user: Option<&str>) -> Result<TrustShowResult, Problem> {
    let log = newest(session).await?;
    let user = match user {
        None => session.open.summary.user,
        Some(text) => find(&log, text)?,
    };
    let names = Names::of(session, &log);
    let chain = chain(&names, user);
    Ok(TrustShowResult { user, chain, root_fingerprint: log.root().fingerprint().to_string() })
}

/// The links from a user up to the root, in words.
fn chain(names: &Names<'_>, user: UserId) -> Vec<TrustLink> {
    path::chain(names.log, Start::User(user))
        .into_iter()
        .map(|link| {
            let (kind, subject, key) = match link.subject {
                Subject::User(user, key) => ("user", names.user_in_words(&user), key.to_string()),
                Subject::Device(device, key) => ("device", names.device_in_words(&device), key.to_string()),
            };
            TrustLink {
                position: link.position,
                kind: kind.to_owned(),
                subject,
                key,
                signed_by: names.author_in_words(link.author),
                signer_key: link.author_key.to_string(),
                time: link.time,
            }
        })
        .collect()
}

/// A user by address or by the start of an id; members before those who were revoked.
fn find(log: &VerifiedLog, text: &str) -> Result<UserId, Problem> {
    let wanted = text.to_ascii_lowercase();
    let fits = |user: &&UserRecord| {
        user.email.as_str() == wanted
            || (wanted.len() >= PREFIX_MIN_DIGITS && user.user.to_string().starts_with(&wanted))
    };
    let mut found: Vec<_> = log.users().filter(fits).filter(|user| user.revoked.is_none()).collect();
    if found.is_empty() {
        found = log.users().filter(fits).collect();
    }
    match found.as_slice() {
        [user] => Ok(user.user),
        [] => Err(Problem::new(ProblemKind::InvalidRequest, "No member has this address or id.")),
        _ => Err(Problem::new(ProblemKind::InvalidRequest, "Several members fit: give more of the id.")),
    }
}
