//! Sealed objects of a safe on their way to the server, as far as it is remembered in memory.
//!
//! Decides that one sends at a time, and which of them may go before a record asks for them; what
//! does, `safes` decides.

use std::sync::atomic::{AtomicBool, Ordering};

use parsec_protocol::ids::ObjectId;
use tokio::sync::mpsc;

/// Batches that wait to go ahead: some hundred megabytes of a large file. What finds no room goes
/// with its record.
const BATCHES_MAX: usize = 32;
/// Fewest objects that go ahead: fewer are sent with their record in one call as fast.
const BATCH_MIN: usize = 8;

/// What may go ahead.
#[derive(Debug, PartialEq, Eq)]
pub struct Offer {
    /// Epoch of the key that they are sealed under.
    pub epoch: u64,
    /// Ids of the objects.
    pub objects: Vec<ObjectId>,
}

/// Objects of one safe on their way.
#[derive(Debug)]
pub struct Sending {
    /// Held by whoever sends: nothing goes twice at the same time.
    pub turn: tokio::sync::Mutex<()>,
    /// Whether the last call that carried objects was fast.
    brisk: AtomicBool,
    offers: mpsc::Sender<Offer>,
    offered: tokio::sync::Mutex<mpsc::Receiver<Offer>>,
}

impl Default for Sending {
    fn default() -> Self {
        let (offers, offered) = mpsc::channel(BATCHES_MAX);
        Self {
            turn: tokio::sync::Mutex::default(),
            brisk: AtomicBool::new(false),
            offers,
            offered: tokio::sync::Mutex::new(offered),
        }
    }
}

impl Sending {
    /// Whether the last call was fast.
    #[must_use]
    pub fn is_brisk(&self) -> bool {
        self.brisk.load(Ordering::Relaxed)
    }

    /// Notes whether a call was fast.
    pub fn was(&self, brisk: bool) {
        self.brisk.store(brisk, Ordering::Relaxed);
    }

    /// These are durable here and may go before their record, where the line is fast. Nothing
    /// depends on it. Not for small ones: those go by the hundred as fast.
    pub fn offer(&self, epoch: u64, objects: impl ExactSizeIterator<Item = ObjectId>) {
        if objects.len() >= BATCH_MIN && self.is_brisk() {
            let _ = self.offers.try_send(Offer { epoch, objects: objects.collect() });
        }
    }

    /// The next that was offered; nothing where nobody offers any more.
    pub async fn offered(&self) -> Option<Offer> {
        self.offered.lock().await.recv().await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn objects(count: u8) -> Vec<ObjectId> {
        (0..count).map(|number| ObjectId::from_bytes([number; 16])).collect()
    }

    #[test]
    fn only_what_is_worth_it_goes_ahead_and_only_on_a_fast_line() {
        let sending = Sending::default();
        let offer = |count| sending.offer(3, objects(count).into_iter());
        offer(20);
        assert_eq!(sending.offered().now_or_never(), None, "nobody knows the line yet");
        sending.was(true);
        offer(7);
        assert_eq!(sending.offered().now_or_never(), None, "too few");
        for _ in 0..=BATCHES_MAX {
            offer(8);
        }
        let next = || sending.offered().now_or_never().flatten();
        assert_eq!(next(), Some(Offer { epoch: 3, objects: objects(8) }));
        assert_eq!(std::iter::from_fn(next).count(), BATCHES_MAX - 1, "no more than there is room for");
    }
}
