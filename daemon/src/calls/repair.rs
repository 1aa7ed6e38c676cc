//! `trust.repair`: after a restore of the server's database, everything that this device can give
//! back.
//!
//! Decides the order: certificates first, then the proof that they are there, then what is built
//! upon them. Refuses to close an alarm before the whole log was verified anew, and one that says
//! more than that certificates were missing.

use std::sync::Arc;

use parsec_protocol::control::{Problem, TrustRepaired};

use super::invitations;
use crate::enrolment::outbox;
use crate::session::{Session, alarms, manifest};
use crate::transport::Trouble;
use crate::transport::retry::ANSWER_WAIT;

/// Puts back what the server lost and this device has.
///
/// # Errors
/// As [`Session::put_back`], and those of verifying the log. What was put back until then stays.
pub(crate) async fn run(session: &Arc<Session>) -> Result<TrustRepaired, Problem> {
    let added = session.put_back().await?;
    let log = session.verify_anew().await?;
    let invitations = invitations::post_lost(session).await?;
    // What waited for this goes on now, and not at the next unlocking only.
    outbox::finish_all(session).await?;
    session.put_keys_back(&log).await?;
    session.put_past_boxes_back(&log).await?;
    for safe in session.safes.all() {
        safe.memory().await.repairs.by_word();
        safe.wanted.notify_one();
    }
    if let Err(problem) = session.put_directory_back(&log).await {
        let name = problem.name.name();
        tracing::warn!(name, %problem, "the keys for names could not be looked after");
    }
    let trouble = Trouble::new(None);
    match tokio::time::timeout(ANSWER_WAIT, manifest::keep(session, &trouble)).await {
        Ok(Ok(())) => {}
        Ok(Err(problem)) => tracing::warn!(%problem, "the manifest could not be looked after"),
        Err(_) => tracing::warn!("the server was too slow to look after the manifest"),
    }
    let alarms = alarms::mended(session).await?;
    Ok(TrustRepaired { added, count: log.count(), head: log.head().hash.to_string(), invitations, alarms })
}
