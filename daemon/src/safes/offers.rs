//! Which safes there are for the user: those that somebody shared, and those they are in no more.
//!
//! Decides that a safe which the server names is offered, and nothing more, until its person takes
//! it or the user's manifest names it. That a role was taken away is the server's word, until the
//! safe's log says it: what is here stays here.

use parsec_protocol::control::{Event, Problem};
use parsec_protocol::ids::SafeId;
use parsec_protocol::relay::SafeEntry;

use crate::session::Session;
use crate::session::open_safes::OpenSafe;
use crate::store::{Standing, Store};
use crate::transport::retry::answered;

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
    let listed = listed(session).await?;
    let known = session.store(Store::safes).await?;
    for entry in listed {
        let standing = known.iter().find(|safe| safe.safe == entry.safe).map(|safe| safe.standing);
        let (id, founder) = (entry.safe, entry.founder);
        match (standing, entry.role) {
            (None, Some(role)) => {
                session
                    .store(move |store| {
                        store.know_safe(id, founder, Standing::Offered)?;
                        store.set_safe_role(id, Some(role))
                    })
                    .await?;
                news.push(id);
            }
            // Let in again.
            (Some(Standing::Left), Some(_)) => {
                stands(session, id, Standing::Offered).await?;
                news.push(id);
            }
            (Some(Standing::Offered), None) => gone(session, id).await?,
            (Some(Standing::Offered | Standing::Accepted), Some(_))
            | (Some(Standing::Accepted | Standing::Left) | None, None) => {}
        }
    }
    Ok(news)
}

/// An offer was taken back.
async fn gone(session: &Session, safe: SafeId) -> Result<(), Problem> {
    if let Some(open) = session.safes.get(safe) {
        session.safes.remove(safe);
        // Its task finds that it is there no more, and ends.
        let _turn = open.turn.lock().await;
        open.memory().await.standing = Standing::Left;
        open.wanted.notify_one();
    }
    session.store(move |store| store.erase_safe(safe)).await?;
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
    let gone = listed.iter().any(|entry| entry.safe == safe.id && entry.role.is_none());
    if gone {
        stands(session, safe.id, Standing::Left).await?;
        session.safes_changed();
    }
    Ok(gone)
}
