//! Who is in a safe: letting somebody in, giving another role, taking it away, leaving, and taking
//! what was offered.
//!
//! Decides that a removal and the next key are one certificate. Asked for what is so already, it
//! answers and signs nothing: a person who got no answer may ask again.

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::UserId;
use parsec_protocol::safe_log::certificate::Change;
use parsec_protocol::safe_log::roles::Role;

use super::certifying::{Wish, certify};
use super::{keys, offers, reading, views};
use crate::session::Session;
use crate::session::open_safes::OpenSafe;
use crate::store::Standing;

fn one(user: UserId, role: Option<Role>) -> Wish {
    Wish::Role(Change { user, role })
}

/// Refuses to sign anything in a safe that the user does not have.
pub(super) async fn accepted(safe: &OpenSafe) -> Result<(), Problem> {
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
        let text = "Nobody removes themself; you can leave the safe.";
        return Err(Problem::new(ProblemKind::InvalidRequest, text));
    }
    certify(session, safe, |verified, _| Ok(verified.role(&user).map(|_| one(user, None)))).await?;
    views::tell(session, safe, "members").await;
    safe.wanted.notify_one();
    Ok(())
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
