//! What an unlocked device does by itself about its user's keys: changes the key where that is due,
//! gets the present one, hands it to the user's other devices, gets the organisation's keys for
//! names, keeps the manifest, and the boxes that lead back to earlier keys.
//!
//! Decides the order: first the key, then what is sealed under it. Refuses to ask a person for what
//! has one answer. Every step is idempotent and begins from the verified log, so that a crash
//! between any two is harmless.

use std::time::Duration;

use parsec_protocol::control::{Problem, ProblemKind};

use super::rekey::Why;
use super::{Session, manifest};
use crate::transport::Trouble;

/// Does it once. How long to wait before asking again for a key for names that is not to be had;
/// none where none is missing.
///
/// # Errors
/// The first step that failed; later ones have not been tried, but for a key that is not to be had.
pub async fn keep(session: &Session) -> Result<Option<Duration>, Problem> {
    let mut log = session.log();
    session.key_seen(&log);
    if session.key_change_due(&log).await? {
        log = session.change_user_key(Why::Due).await?.log;
        session.key_seen(&log);
    }
    match session.present_seed(&log).await {
        Ok(_) => session.give_boxes(&log).await?,
        // Told where it was found. Nothing else hangs on it.
        Err(problem) if problem.name == ProblemKind::UserKeyMissing => {
            tracing::warn!(device = %session.open.summary.device, %problem, "the user's key is not here");
        }
        Err(problem) => return Err(problem),
    }
    // Nothing else waits for a key for names. The manifest has those that are here, and may bring
    // others.
    let directory = session.keep_directory(&log).await;
    manifest::keep(session, &Trouble::new(None)).await?;
    session.keep_past_boxes(&log).await?;
    let written = session.open.directory();
    let directory = match directory {
        Ok(Some(_)) => session.keep_directory(&log).await,
        Ok(None) | Err(_) => directory,
    };
    if !session.open.directory().numbers().eq(written.numbers()) {
        manifest::keep(session, &Trouble::new(None)).await?;
    }
    directory
}
