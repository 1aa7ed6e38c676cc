//! What room the server has for more, as far as it was heard.
//!
//! Decides how long an answer is believed.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long an answer is believed.
const BELIEVED: Duration = Duration::from_secs(10);

/// What the server said last.
#[derive(Default)]
pub(super) struct Heard {
    /// When that was.
    pub(super) at: Option<Instant>,
    /// Bytes that are free; none where there is no limit, or nothing is known.
    pub(super) free: Option<u64>,
    /// Whether it is being asked.
    pub(super) asking: bool,
}

impl Heard {
    /// Whether it is to be asked again.
    pub(super) fn is_old(&self) -> bool {
        !self.asking && self.at.is_none_or(|at| at.elapsed() > BELIEVED)
    }
}

/// What was heard last, for everybody who writes.
#[derive(Default)]
pub(super) struct Quota(Mutex<Heard>);

impl Quota {
    /// What it is now.
    pub(super) fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
