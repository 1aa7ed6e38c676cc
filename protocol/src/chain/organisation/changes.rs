//! Saying that a member may do something else, or is no member any more: one certificate, ready for
//! the log.
//!
//! Decides view and time, and asks the verifier before anything leaves: what this returns stands as
//! the next certificate of the author's own log. Refuses what a reader would refuse, by the rule
//! that it breaks.

use super::certificate::{Author, Body, Payload};
use super::log::VerifiedLog;
use super::rules::Fault;
use crate::ids::{DeviceId, Timestamp};
use crate::keys::DeviceSigningKey;

/// Signs `body` by `author`, whose whole view is `log`.
///
/// # Errors
/// The [`Fault`] that every reader would find.
pub fn certify(
    log: &VerifiedLog,
    author: DeviceId,
    key: &DeviceSigningKey,
    body: Body,
    now: Timestamp,
) -> Result<Vec<u8>, Fault> {
    let author = Author::Device(author);
    // A clock that was set back must not silence its owner: the order is the log's, the time only
    // informs.
    let time = log.state().author_state(&author).map_or(now, |last| last.time.max(now));
    let payload = Payload { organisation: log.organisation().clone(), author, time, seen: log.head(), body };
    let envelope = payload.sign_with(|context, message| key.sign(context, message));
    match log.judge(&envelope) {
        Ok(_) => Ok(envelope),
        Err(error) => Err(error.fault),
    }
}
