//! What another device of the same user is handed in a ceremony.
//!
//! Decides that a key that a thief has goes to no new device: it is changed first. Refuses to go on
//! where it can't be changed now, as when no server can be reached.

use std::sync::Arc;

use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::Problem;

use super::greeter::Handed;
use crate::session::rekey::{Why, due_first};
use crate::session::{Session, manifest};

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
    Ok((log, Handed { user_seed, manifest: manifest::known(session).await? }))
}
