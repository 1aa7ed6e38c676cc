//! Who is in a safe: letting somebody in, giving another role, taking it away, leaving, taking what
//! was offered, and taking over what nobody owns any more.
//!
//! Decides that a removal and the next key are one certificate. Asked for what is so already, it
//! answers and signs nothing: a person who got no answer may ask again.

use std::sync::atomic::{AtomicBool, Ordering};

use parsec_protocol::chain::organisation::at::MembersAt as _;
use parsec_protocol::chain::organisation::certificate::Profile;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::UserId;
use parsec_protocol::safe_log::certificate::Change;
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safe_log::safe::VerifiedSafe;

use super::certifying::{Wish, certify};
use super::{keys, offers, reading, views};
use crate::session::Session;
use crate::session::names::Names;
use crate::session::open_safes::OpenSafe;
use crate::store::Standing;

fn one(user: UserId, role: Option<Role>) -> Wish {
    Wish::Role(Change { user, role })
}

/// Refuses to sign anything in a safe that the user does not have.
async fn accepted(safe: &OpenSafe) -> Result<(), Problem> {
    let memory = safe.memory().await;
    match memory.standing {
        Standing::Accepted if memory.founded => Ok(()),
        Standing::Accepted => {
            Err(Problem::new(ProblemKind::NotSharedYet, "The server does not have the safe yet."))
        }
        Standing::Offered => {
            let text = "The safe has been offered to you, and you have not taken it.";
            Err(Problem::new(ProblemKind::SafeNotAccepted, text))
        }
        Standing::Left => {
            Err(Problem::new(ProblemKind::SafeRoleTooLow, "You are not in this safe any more."))
        }
    }
}

/// Gives a member of the organisation a role in the safe.
///
/// # Errors
/// Why not.
pub(crate) async fn share(
    session: &Session,
    safe: &OpenSafe,
    user: UserId,
    role: Role,
) -> Result<(), Problem> {
    let _turn = safe.turn.lock().await;
    accepted(safe).await?;
    let own = session.open.summary.user;
    certify(session, safe, |verified, _| match verified.role(&user) {
        Some(has) if has == role => Ok(None),
        // What everybody has to see is not done by the way.
        _ if user == own && role == Role::Owner => {
            let text = "Nobody raises their own role; where nobody counts as owner any more, `parsecctl safe takeover` is for that.";
            Err(Problem::new(ProblemKind::SafeRoleTooLow, text))
        }
        Some(_) | None => Ok(Some(one(user, Some(role)))),
    })
    .await?;
    views::tell(session, safe, "members").await;
    safe.wanted.notify_one();
    Ok(())
}

/// Takes a member's role away, and makes the next key without them.
///
/// # Errors
/// Why not.
pub(crate) async fn unshare(session: &Session, safe: &OpenSafe, user: UserId) -> Result<(), Problem> {
    let _turn = safe.turn.lock().await;
    accepted(safe).await?;
    if user == session.open.summary.user {
        let hint = "`parsecctl safe leave` takes you out of the safe.".to_owned();
        let text = "Nobody takes themselves out for others.";
        return Err(Problem { hint, ..Problem::new(ProblemKind::InvalidRequest, text) });
    }
    certify(session, safe, |verified, _| Ok(verified.role(&user).map(|_| one(user, None)))).await?;
    views::tell(session, safe, "members").await;
    safe.wanted.notify_one();
    Ok(())
}

/// Makes the device's user the owner of a safe that nobody owns any more.
///
/// # Errors
/// `safe_role_too_low` where somebody is an owner, or somebody else comes first; the server's.
pub(crate) async fn take_over(session: &Session, safe: &OpenSafe) -> Result<(), Problem> {
    let _turn = safe.turn.lock().await;
    accepted(safe).await?;
    let own = session.open.summary.user;
    let signed = AtomicBool::new(false);
    certify(session, safe, |verified, log| {
        // The answer was lost, and this device's certificate is in the log.
        if signed.swap(true, Ordering::Relaxed) && verified.role(&own) == Some(Role::Owner) {
            return Ok(None);
        }
        may(session, verified, log, own)?;
        Ok(Some(Wish::Role(Change { user: own, role: Some(Role::Owner) })))
    })
    .await?;
    views::tell(session, safe, "taken_over").await;
    safe.wanted.notify_one();
    Ok(())
}

/// Refuses in words what the rules would refuse.
fn may(session: &Session, verified: &VerifiedSafe, log: &VerifiedLog, own: UserId) -> Result<(), Problem> {
    let names = Names::new(session.open.directory(), log);
    let low = |text: String| Err(Problem::new(ProblemKind::SafeRoleTooLow, text));
    let Some(first) = verified.successors(log, log.count()) else {
        return match owner(verified, log, own) {
            Some(user) if user == own => {
                let text = "You are an owner of this safe already.";
                Err(Problem::new(ProblemKind::InvalidRequest, text))
            }
            Some(user) => low(format!(
                "{} is an owner of this safe: while somebody is, nobody takes it over.",
                names.user_in_words(&user)
            )),
            None => Err(Problem::new(ProblemKind::NotSharedYet, "Nothing was read of this safe yet.")),
        };
    };
    if first.contains(&own) {
        return Ok(());
    }
    if log.user(&own).is_some_and(|user| user.profile == Profile::Outsider) {
        return low("An outsider of the organisation takes no safe over.".to_owned());
    }
    match first.first() {
        Some(user) => low(format!(
            "{} has a higher role in this safe than you, and comes first.",
            names.user_in_words(user)
        )),
        None => low("Nobody is left in this safe who may take it over.".to_owned()),
    }
}

/// An owner who counts; this one if they are.
fn owner(verified: &VerifiedSafe, log: &VerifiedLog, own: UserId) -> Option<UserId> {
    let counts = |user: &UserId| match log.user_at(user, log.count()) {
        Ok(at) => at.is_some_and(|at| Role::Owner.at(&at) == Some(Role::Owner)),
        Err(never) => match never {},
    };
    let owners = verified.roles().filter(|(_, role)| *role == Role::Owner).map(|(user, _)| user);
    owners.filter(|user| counts(user)).max_by_key(|user| **user == own).copied()
}

/// Leaves the safe. Its names stay here, and what was saved and not shared; contents that the
/// server has go.
///
/// # Errors
/// Why not.
pub(crate) async fn leave(session: &Session, safe: &OpenSafe) -> Result<(), Problem> {
    let _turn = safe.turn.lock().await;
    let own = session.open.summary.user;
    {
        let memory = safe.memory().await;
        // Asked again: the server doesn't speak of it any more.
        if memory.standing == Standing::Left && memory.verified.role(&own).is_none() {
            return Ok(());
        }
    }
    if safe.memory().await.founded {
        certify(session, safe, |verified, _| Ok(verified.role(&own).map(|_| one(own, None)))).await?;
    }
    offers::stands(session, safe.id, Standing::Left).await?;
    session.safes_changed();
    views::tell(session, safe, "left").await;
    offers::make_room(session).await;
    Ok(())
}

/// Takes a safe that was offered: from here on it is kept here, and on the user's other devices.
///
/// # Errors
/// `safe_role_too_low` for one that the user is not in any more; the store's.
pub(crate) async fn accept(session: &Session, safe: &OpenSafe) -> Result<(), Problem> {
    let standing = safe.memory().await.standing;
    match standing {
        Standing::Accepted => return Ok(()),
        Standing::Left => {
            return Err(Problem::new(ProblemKind::SafeRoleTooLow, "You are not in this safe any more."));
        }
        Standing::Offered => {}
    }
    {
        let _turn = safe.turn.lock().await;
        // Meanwhile one offer too many may have made it go.
        if !session.safes.get(safe.id).is_some_and(|open| std::ptr::eq(&*open, safe)) {
            return Err(Problem::new(ProblemKind::SafeUnknown, "That offer is not kept here any more."));
        }
        offers::stands(session, safe.id, Standing::Accepted).await?;
        // The manifest names the safe with its key: got now, where the server is there.
        if let Err(problem) = read_keys(session, safe).await {
            tracing::info!(safe = %safe.id, %problem, "a safe that was taken can't be read yet");
        }
    }
    views::tell(session, safe, "accepted").await;
    session.safes_changed();
    safe.wanted.notify_one();
    offers::make_room(session).await;
    Ok(())
}

async fn read_keys(session: &Session, safe: &OpenSafe) -> Result<(), Problem> {
    reading::read(session, safe).await?;
    keys::complete(session, safe).await
}
