//! `user.list`, `trust.*`: what the verified log says, in words.
//!
//! Decides nothing: everything comes from a `VerifiedLog`.

use parsec_protocol::chain::organisation::certificate::DeviceKind;
use parsec_protocol::chain::organisation::log::{UserRecord, VerifiedLog};
use parsec_protocol::chain::organisation::path::{self, Start, Subject};
use parsec_protocol::control::{
    Member, MemberDevice, Problem, ProblemKind, TrustLink, TrustShowResult, TrustVerifyResult,
    UserListResult, UserShowResult,
};
use parsec_protocol::ids::UserId;

use crate::session::names::{Names, profile};
use crate::session::{Session, SyncError};

/// Fewest digits of an id's start: fewer would fit by accident.
pub const PREFIX_MIN_DIGITS: usize = 4;

fn names<'a>(session: &'a Session, log: &'a VerifiedLog) -> Names<'a> {
    Names::new(session.open.directory(), log)
}

/// A member and their devices, in the words of the local API.
fn described(names: &Names<'_>, user: &UserRecord) -> Member {
    Member {
        user: user.user,
        email: user.email.clone(),
        name: names.user(user),
        profile: profile(user.profile),
        revoked: user.revoked.is_some(),
        suspended: names.log().is_suspended(&user.user),
        devices: names
            .log()
            .devices_of(&user.user)
            .map(|device| MemberDevice {
                device: device.device,
                label: names.device(device),
                certified: device.certified,
                revoked: device.revoked.is_some(),
                recovery: device.kind == DeviceKind::Recovery,
            })
            .collect(),
    }
}

/// One member, as this log has them.
///
/// # Errors
/// The log has no such member.
pub(crate) fn member(session: &Session, log: &VerifiedLog, user: UserId) -> Result<Member, Problem> {
    let record = log.user(&user).ok_or_else(not_there)?;
    Ok(described(&names(session, log), record))
}

/// The log of a device that is not registered yet lacks its user.
fn not_there() -> Problem {
    Problem::new(ProblemKind::InvalidRequest, "The log has no member of this id yet.")
}

/// The log as fresh as it can be had: without the server, the stored one still says who was a
/// member.
async fn newest(session: &Session) -> Result<std::sync::Arc<VerifiedLog>, Problem> {
    match session.sync().await {
        Ok(log) => Ok(log),
        Err(SyncError::Transport(error)) if error.passes() => Ok(session.log()),
        Err(error) => Err(error.into()),
    }
}

/// All members and their devices.
///
/// # Errors
/// What the server sent is not believed, or it refused.
pub async fn list(session: &Session) -> Result<UserListResult, Problem> {
    let log = newest(session).await?;
    let names = names(session, &log);
    let users = log.users().map(|user| described(&names, user)).collect();
    Ok(UserListResult { users })
}

/// Nobody is meant.
pub(super) fn no_member() -> Problem {
    Problem {
        hint: "`parsecctl user list` shows the members, with their addresses and ids.".to_owned(),
        ..Problem::new(ProblemKind::InvalidRequest, "No member has this address or id.")
    }
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
    let names = names(session, &log);
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
        devices: log
            .devices()
            .filter(|device| device.revoked.is_none() && device.kind == DeviceKind::Device)
            .count() as u64,
    })
}

/// The chain from a user, by way of one of their devices where it is the caller, up to the root.
///
/// # Errors
/// `device_unknown` if no such user is in the log; or as [`list`].
pub async fn show(session: &Session, user: Option<&str>) -> Result<TrustShowResult, Problem> {
    let log = newest(session).await?;
    let user = match user {
        None => session.open.summary.user,
        Some(text) => find(&log, text)?,
    };
    let names = names(session, &log);
    let chain = chain(&names, user);
    Ok(TrustShowResult { user, chain, root_fingerprint: log.root().fingerprint().to_string() })
}

/// The links from a user up to the root, in words.
fn chain(names: &Names<'_>, user: UserId) -> Vec<TrustLink> {
    path::chain(names.log(), Start::User(user))
        .into_iter()
        .map(|link| {
            let (kind, subject, key) = match link.subject {
                Subject::User(user, key) => ("user", names.user_in_words(&user), key.to_string()),
                Subject::UserKey(user, key) => ("user_key", names.user_in_words(&user), key.to_string()),
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
        [] => Err(no_member()),
        _ => Err(Problem::new(ProblemKind::InvalidRequest, "Several members fit: give more of the id.")),
    }
}
