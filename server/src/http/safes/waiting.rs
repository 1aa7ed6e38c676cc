//! An item that waits while somebody else has the turn in its safe.
//!
//! Decides how long: until the turn is over, or as long as a turn lasts, whichever is sooner. Holds
//! no place of the database meanwhile. Whoever waits is woken when anybody's item got through, and
//! looks once more.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::ids::Timestamp;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::Instant;

use super::super::App;
use crate::safes::TURN_SECONDS;

/// Rung when an item got into a safe of this process. Turns that other processes end are noticed
/// at their end.
#[derive(Debug, Default)]
pub(crate) struct TurnsOver(Arc<Notify>);

/// The waiting of one item.
pub(super) struct Waiting {
    over: Arc<Notify>,
    /// Set by the first turn that it waits for.
    until: Option<Instant>,
}

impl Waiting {
    pub(super) fn new(app: &App) -> Self {
        Self { over: Arc::clone(&app.turns_over.0), until: None }
    }

    /// To be called before the item is tried: what is rung from then on is heard.
    pub(super) fn begin(&self) -> Pin<Box<OwnedNotified>> {
        let mut over = Box::pin(Arc::clone(&self.over).notified_owned());
        over.as_mut().enable();
        over
    }

    /// Whether it has waited as long as it may.
    pub(super) fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Waits for a turn that ends at `ends`, where it is `now`.
    pub(super) async fn wait(&mut self, over: Pin<Box<OwnedNotified>>, ends: Timestamp, now: Timestamp) {
        let longest = Duration::from_secs(TURN_SECONDS);
        let rest = Duration::from_micros(ends.0.saturating_sub(now.0)).min(longest);
        let until = *self.until.get_or_insert_with(|| Instant::now() + rest);
        // Over or not, it is tried again.
        let _ = tokio::time::timeout_at(until, over).await;
    }

    /// Wakes who waits.
    pub(super) fn somebody_got_through(&self) {
        self.over.notify_waiters();
    }
}
