//! Who waits for which invitation to change.
//!
//! Decides how many may wait. Carries no state: a watcher that is woken reads the present state itself, so a slow one misses
//! nothing but intermediate states. Entries vanish with their last watcher.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parsec_protocol::ids::{OrganisationId, Token};
use tokio::sync::watch;

use crate::errors::Refusal;

/// Streams the server keeps open at once: a few kilobytes and one connection each.
const WATCHERS_MAX: usize = 10_000;
/// Streams of one invitation: both sides, several administrators' terminals, and connections whose end isn't noticed yet.
const WATCHERS_PER_TOPIC_MAX: usize = 64;

/// One invitation with all its attempts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Topic {
    pub(crate) organisation: OrganisationId,
    pub(crate) token: Token,
}

#[derive(Debug, Default)]
struct Inner {
    topics: HashMap<Topic, watch::Sender<()>>,
    watching: usize,
}

/// The registry.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Mutex<Inner>);

impl Watchers {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing below can stop half-way, so a poisoned lock still guards a sound map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts watching. Ends when the result is dropped.
    pub(crate) fn watch(self: &Arc<Self>, topic: Topic) -> Result<Watcher, Refusal> {
        let mut inner = self.lock();
        if inner.watching >= WATCHERS_MAX {
            return Err(Refusal::UNAVAILABLE);
        }
        let sender = inner.topics.entry(topic.clone()).or_insert_with(|| watch::Sender::new(()));
        if sender.receiver_count() >= WATCHERS_PER_TOPIC_MAX {
            return Err(Refusal::UNAVAILABLE);
        }
        let receiver = sender.subscribe();
        inner.watching += 1;
        drop(inner);
        Ok(Watcher { topic, receiver: Some(receiver), registry: Arc::clone(self) })
    }

    /// Wakes everybody who watches one of the topics.
    pub(crate) fn notify(&self, topics: &[Topic]) {
        let inner = self.lock();
        for topic in topics {
            if let Some(sender) = inner.topics.get(topic) {
                sender.send_replace(());
            }
        }
    }
}

/// A right to be woken.
#[derive(Debug)]
pub(crate) struct Watcher {
    topic: Topic,
    receiver: Option<watch::Receiver<()>>,
    registry: Arc<Watchers>,
}

impl Watcher {
    /// Returns at the first change after the last return.
    pub(crate) async fn changed(&mut self) {
        if let Some(receiver) = &mut self.receiver
            && receiver.changed().await.is_ok()
        {
            return;
        }
        // The sender lives as long as this watcher does; should that ever fail, its owner's other reasons to wake still hold.
        std::future::pending().await
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut inner = self.registry.lock();
        drop(self.receiver.take());
        inner.watching = inner.watching.saturating_sub(1);
        if inner.topics.get(&self.topic).is_some_and(|sender| sender.receiver_count() == 0) {
            inner.topics.remove(&self.topic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(n: u8) -> Topic {
        Topic { organisation: "acme".parse().unwrap(), token: Token::from_bytes([n; 16]) }
    }

    #[tokio::test]
    async fn a_watcher_hears_its_own_topic_and_leaves_nothing_behind() {
        let watchers = Arc::new(Watchers::default());
        let mut watcher = watchers.watch(topic(1)).unwrap();
        watchers.notify(&[topic(2)]);
        assert!(!watcher.receiver.as_ref().unwrap().has_changed().unwrap());
        watchers.notify(&[topic(1), topic(1)]);
        watcher.changed().await;
        drop(watcher);
        assert!(watchers.lock().topics.is_empty());
        assert_eq!(watchers.lock().watching, 0);
    }

    #[test]
    fn one_invitation_cannot_take_all_places() {
        let watchers = Arc::new(Watchers::default());
        let held: Vec<_> = (0..WATCHERS_PER_TOPIC_MAX).map(|_| watchers.watch(topic(1)).unwrap()).collect();
        assert!(watchers.watch(topic(1)).is_err());
        assert!(watchers.watch(topic(2)).is_ok());
        drop(held);
        assert!(watchers.watch(topic(1)).is_ok());
    }
}
