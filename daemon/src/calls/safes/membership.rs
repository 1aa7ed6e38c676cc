//! `safe.create`, `safe.share`, `safe.unshare`, `safe.takeover`, `safe.members`, `safe.accept`,
//! `safe.leave`: who is in which safe.
//!
//! Decides whom an address or an id means, and waits a moment for a new safe to reach the server:
//! without it, the safe is made all the same.

use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::{
    Problem, ProblemKind, SafeCreate, SafeMembersResult, SafeSelector, SafeShare, SafeShared, SafeUnshare,
    SafeUnshared, SafeView,
};
use parsec_protocol::ids::UserId;
use parsec_protocol::safe_log::roles::Role;

use super::super::members::no_member;
use super::choose;
use super::status::{Wanted, until};
use crate::safes::{founding, members, views};
use crate::session::Session;
use crate::session::open_safes::OpenSafe;

/// Seconds that a new safe is given to reach the server.
const FOUNDING_WAIT_SECONDS: u32 = 5;

/// A new safe, with the caller's user as its owner.
///
/// # Errors
/// Why not.
pub async fn create(session: &Session, params: SafeCreate) -> Result<SafeView, Problem> {
    let safe = founding::create(session, params.name).await?;
    until(&safe, FOUNDING_WAIT_SECONDS, Wanted::Founded).await;
    Ok(views::view(session, &safe).await)
}

/// A member by address or id.
fn find(log: &VerifiedLog, text: &str) -> Result<UserId, Problem> {
    let wanted = text.to_ascii_lowercase();
    let by_id = text.parse::<UserId>().ok();
    let fits = |user: UserId, email: &str| by_id == Some(user) || email == wanted;
    let mut found: Vec<_> = log.users().filter(|user| fits(user.user, user.email.as_str())).collect();
    // An address may have been another member's before.
    found.sort_by_key(|user| user.revoked.is_some());
    found.first().map(|user| user.user).ok_or_else(no_member)
}

/// Lets a member of the organisation into a safe, or gives another role.
///
/// # Errors
/// Why not.
pub async fn share(session: &Session, params: SafeShare) -> Result<SafeShared, Problem> {
    let role = views::read_role(params.role)?;
    let safe = choose(session, &params.safe).await?;
    let log = session.sync().await?;
    let user = find(&log, &params.member)?;
    members::share(session, &safe, user, role).await?;
    shared(session, &safe, user, role).await
}

/// Who has which role now.
async fn shared(session: &Session, safe: &OpenSafe, user: UserId, role: Role) -> Result<SafeShared, Problem> {
    let given = views::given(session, safe).await?;
    let log = session.log();
    let missing = || Problem::new(ProblemKind::Internal, "Whom the safe was shared with is not in its log.");
    let member = views::member(session, &log, user, role, given.get(&user)).ok_or_else(missing)?;
    Ok(SafeShared { member, safe: views::view(session, safe).await })
}

/// Makes the caller's user the owner of a safe that nobody owns any more.
///
/// # Errors
/// `safe_role_too_low` where somebody is an owner, or comes first; why not otherwise.
pub async fn take_over(session: &Session, params: SafeSelector) -> Result<SafeShared, Problem> {
    let safe = choose(session, &params.safe).await?;
    members::take_over(session, &safe).await?;
    shared(session, &safe, session.open.summary.user, Role::Owner).await
}

/// Takes a member out of a safe.
///
/// # Errors
/// Why not.
pub async fn unshare(session: &Session, params: SafeUnshare) -> Result<SafeUnshared, Problem> {
    let safe = choose(session, &params.safe).await?;
    let log = session.sync().await?;
    let user = find(&log, &params.member)?;
    members::unshare(session, &safe, user).await?;
    let log = session.log();
    let missing = || Problem::new(ProblemKind::Internal, "Who was taken out is not in the log.");
    let person = views::person(session, &log, user).ok_or_else(missing)?;
    Ok(SafeUnshared { person, safe: views::view(session, &safe).await })
}

/// Who is in a safe.
///
/// # Errors
/// `safe_unknown`; the store's.
pub async fn list(session: &Session, params: SafeSelector) -> Result<SafeMembersResult, Problem> {
    let safe = choose(session, &params.safe).await?;
    let given = views::given(session, &safe).await?;
    let log = session.log();
    let mut roles: Vec<_> = {
        let memory = safe.memory().await;
        memory.verified.roles().map(|(user, role)| (*user, role)).collect()
    };
    let address = |user: &UserId| log.user(user).map(|user| user.email.to_string());
    roles.sort_by_cached_key(|(user, role)| (*role, address(user)));
    let members = roles
        .into_iter()
        .filter_map(|(user, role)| views::member(session, &log, user, role, given.get(&user)))
        .collect();
    Ok(SafeMembersResult { members })
}

/// Takes a safe that was offered.
///
/// # Errors
/// Why not.
pub async fn accept(session: &Session, params: SafeSelector) -> Result<SafeView, Problem> {
    let safe = choose(session, &params.safe).await?;
    members::accept(session, &safe).await?;
    Ok(views::view(session, &safe).await)
}

/// Leaves a safe.
///
/// # Errors
/// Why not.
pub async fn leave(session: &Session, params: SafeSelector) -> Result<SafeView, Problem> {
    let safe = choose(session, &params.safe).await?;
    members::leave(session, &safe).await?;
    Ok(views::view(session, &safe).await)
}
