//! When each attempt's claimer was last heard of.
//!
//! Decides nothing; `invitations::start` does. Kept in memory, because a claimer that only waits
//! would else cause a write every 20 seconds; after a restart everybody counts as seen at the
//! start, so that nobody loses an attempt to the server's own absence.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use parsec_protocol::ids::{AttemptId, Timestamp};
use parsec_protocol::limits::ATTEMPT_IDLE_SECONDS;

/// Attempts remembered, 40 bytes each. Beyond it the last deposited step decides, which is older
/// and so kinder to the next claimer.
const ATTEMPTS_REMEMBERED_MAX: usize = 100_000;

/// The memory.
#[derive(Debug)]
pub(crate) struct Presence {
    started: Timestamp,
    seen: Mutex<HashMap<AttemptId, Timestamp>>,
}

impl Presence {
    pub(crate) fn new(started: Timestamp) -> Self {
        Self { started, seen: Mutex::default() }
    }

    /// Notes a sign of life.
    pub(crate) fn touch(&self, attempt: AttemptId, now: Timestamp) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= ATTEMPTS_REMEMBERED_MAX && !seen.contains_key(&attempt) {
            seen.retain(|_, time| time.plus_seconds(ATTEMPT_IDLE_SECONDS) >= now);
        }
        if seen.len() < ATTEMPTS_REMEMBERED_MAX || seen.contains_key(&attempt) {
            seen.insert(attempt, now);
        }
    }

    /// The last sign of life, given what is stored with the attempt.
    pub(crate) fn last(&self, attempt: &AttemptId, stored: Timestamp) -> Timestamp {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = seen.get(attempt).copied().unwrap_or(stored);
        heard.max(stored).max(self.started)
    }
}
