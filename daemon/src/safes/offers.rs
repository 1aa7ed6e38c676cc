//! Which safes there are for the user: those that somebody shared, and those they are in no more.
//!
//! Decides that a safe which the server names is offered, and nothing more, until its person takes
//! it or the user's manifest names it. That a role was taken away is the server's word, until the
//! safe's log says it: names stay here, and what was saved. Refuses to keep more open offers of one
//! member than a person looks through: who may share can make as many safes as they like.

use std::collections::BTreeMap;

use parsec_protocol::control::{Event, Problem};
use parsec_protocol::ids::SafeId;
use parsec_protocol::relay::SafeEntry;

use super::{loading, views};
use crate::session::Session;
use crate::session::open_safes::OpenSafe;
use crate::store::{Standing, Store};
use crate::transport::retry::answered;

/// Open offers of one member that are kept and shown: more than anybody has reason to make before
/// the first is answered, and few enough to look through.
const OPEN_OFFERS_MAX: u64 = 50;

/// What the server says is there.
async fn listed(session: &Session) -> Result<Vec<SafeEntry>, Problem> {
    Ok(answered(|| session.member.safes()).await?)
}

/// Takes note of the safes that the server names. Says which are new.
///
/// # Errors
/// The server's and the store's.
pub(super) async fn look(session: &Session) -> Result<Vec<SafeId>, Problem> {
    let mut news = Vec::new();
    let mut taken_back = Vec::new();
    // One at a time: the older of two lists would say last what there is no room for.
    let deciding = session.safes.offers.lock().await;
    let listed = listed(session).await?;
    let known = session.store(Store::safes).await?;
    let log = session.log();
    let before = session.safes.beyond();
    let mut beyond = BTreeMap::new();
    for entry in listed {
        let standing = known.iter().find(|safe| safe.safe == entry.safe).map(|safe| safe.standing);
        let (id, founder) = (entry.safe, entry.founder);
        match (standing, entry.role) {
            (None, Some(role)) => {
                // Whose it is, its own log says once it was read; until then its founder's.
                let founder_of = || log.device(&founder).map(|device| device.user);
                let by = before.get(&id).copied().unwrap_or_else(founder_of);
                let kept = session
                    .store(move |store| {
                        if store.open_offers(by, id)? >= OPEN_OFFERS_MAX {
                            return Ok(false);
                        }
                        store.know_safe(id, founder, Standing::Offered)?;
                        store.set_safe_offered_by(id, by)?;
                        store.set_safe_role(id, Some(role))?;
                        Ok(true)
                    })
                    .await?;
                if kept {
                    news.push(id);
                } else {
                    beyond.insert(id, by);
                }
            }
            // Let in again.
            (Some(Standing::Left), Some(_)) => {
                stands(session, id, Standing::Offered).await?;
                news.push(id);
            }
            (Some(Standing::Offered), None) => taken_back.push(id),
            (Some(Standing::Offered | Standing::Accepted), Some(_))
            | (Some(Standing::Accepted | Standing::Left) | None, None) => {}
        }
    }
    if beyond.len() > before.len() {
        tracing::warn!(offers = beyond.len(), "more safes are offered by one member than are kept");
    }
    session.safes.set_beyond(beyond);
    drop(deciding);
    for safe in taken_back {
        // One that can't be looked at keeps none of the others.
        if let Err(problem) = gone(session, safe).await {
            tracing::warn!(%safe, %problem, "an offer that was taken back is still there");
        }
    }
    Ok(news)
}

/// Whose offer a safe is, its own log has said. One too many of that member's is kept no more;
/// whether it is.
///
/// # Errors
/// The store's.
pub(super) async fn is_kept(session: &Session, safe: &OpenSafe) -> Result<bool, Problem> {
    let own = session.open.summary.user;
    let by = views::given(session, safe).await?.get(&own).map(|given| given.by);
    if by.is_none() {
        return Ok(true);
    }
    let id = safe.id;
    let _deciding = session.safes.offers.lock().await;
    let kept = session
        .store(move |store| {
            if store.open_offers(by, id)? >= OPEN_OFFERS_MAX {
                return Ok(false);
            }
            store.set_safe_offered_by(id, by)?;
            Ok(true)
        })
        .await?;
    if !kept {
        let mut beyond = session.safes.beyond();
        beyond.insert(id, by);
        session.safes.set_beyond(beyond);
        loading::forget(session, id).await?;
        // Its task finds that it is there no more, and ends.
        safe.wanted.notify_one();
        session.events().publish(Event::SafeGone { device: session.open.summary.device, safe: id });
    }
    Ok(kept)
}

/// An offer was taken or refused: there may be room for another.
pub(super) async fn make_room(session: &Session) {
    if session.safes.beyond().is_empty() {
        return;
    }
    match look(session).await {
        Ok(_) => session.safes.changed.notify_one(),
        // Looked at again with the next word of the server.
        Err(problem) => tracing::info!(%problem, "there is room for offers, and the server is not there"),
    }
}

/// An offer was taken back.
async fn gone(session: &Session, safe: SafeId) -> Result<(), Problem> {
    if let Some(open) = loading::open(session, safe).await? {
        let _turn = open.turn.lock().await;
        // Its person may have taken it meanwhile.
        if open.memory().await.standing != Standing::Offered {
            return Ok(());
        }
        loading::forget(session, safe).await?;
        open.memory().await.standing = Standing::Left;
        open.wanted.notify_one();
    }
    session.events().publish(Event::SafeGone { device: session.open.summary.device, safe });
    Ok(())
}

/// How the device stands to a safe from now on, on disk and in memory.
///
/// # Errors
/// The store's.
pub(crate) async fn stands(session: &Session, safe: SafeId, standing: Standing) -> Result<(), Problem> {
    session.store(move |store| store.set_safe_standing(safe, standing)).await?;
    if let Some(open) = session.safes.get(safe) {
        open.memory().await.standing = standing;
    }
    Ok(())
}

/// Whether the server, which does not know a safe of the user's any more, says that they are in it
/// no more. One that it does not name at all was made by another device of the user, and is not
/// there yet: who has left hears so.
///
/// # Errors
/// The server's and the store's.
pub(super) async fn has_gone(session: &Session, safe: &OpenSafe) -> Result<bool, Problem> {
    let listed = listed(session).await?;
    // A server that was restored may know less than was verified here: that is no leaving.
    let known = safe.memory().await.verified.present().map_or(0, |now| now.log.count);
    let later = |entry: &SafeEntry| entry.role.is_none() && entry.log.count >= known;
    let gone = listed.iter().any(|entry| entry.safe == safe.id && later(entry));
    if gone {
        stands(session, safe.id, Standing::Left).await?;
        session.safes_changed();
    }
    Ok(gone)
}
