//! What another device of the same user is handed in a ceremony.
//!
//! Decides that a key that a thief has goes to no new device: it is changed first. Refuses to go on
//! where it can't be changed now, as when no server can be reached. The manifest is brought up to
//! date before, where that can be.

use std::sync::Arc;

use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::Problem;

use super::greeter::Handed;
use crate::session::rekey::{Why, due_first};
use crate::session::{Session, manifest};
use crate::transport::Trouble;
use crate::transport::retry::ANSWER_WAIT;

/// The present seed and the newest manifest that is known, and the log that they go with.
///
/// # Errors
/// `key_change_due`; `user_key_missing` where this device has no use of the present key itself.
pub(super) async fn own(
    session: &Session,
    log: Arc<VerifiedLog>,
) -> Result<(Arc<VerifiedLog>, Handed), Problem> {
    let log = if log.is_suspended(&session.open.summary.user) {
        session.change_user_key(Why::Due).await.map_err(|problem| due_first(&problem))?.log
    } else {
        log
    };
    let user_seed = session.present_seed(&log).await?;
    // The new device is told which manifest there is: what that lacks of the safes, a server could
    // keep from it.
    match tokio::time::timeout(ANSWER_WAIT, manifest::keep_heads(session, &Trouble::new(None))).await {
        Ok(Ok(())) => {}
        Ok(Err(problem)) => tracing::info!(%problem, "the manifest is handed over as it is"),
        Err(_) => tracing::info!("the server can't be reached: the manifest is handed over as it is"),
    }
    Ok((log, Handed { user_seed, manifest: manifest::known(session).await? }))
}
