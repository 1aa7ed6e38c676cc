//! Who waits for which invitation, or whose rights, to change.
//!
//! Decides how many may wait. Carries no state: a watcher that is woken reads the present state itself, so a slow one misses
//! nothing but intermediate states. Entries vanish with their last watcher.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parsec_protocol::ids::{OrganisationId, Token, UserId};
use tokio::sync::Notify;

use crate::errors::Refusal;

/// Streams the server keeps open at once: a few kilobytes and one connection each.
const WATCHERS_MAX: usize = 10_000;
/// Streams of one invitation: both sides, several administrators' terminals, and connections whose end isn't noticed yet.
const WATCHERS_PER_INVITATION_MAX: usize = 64;

/// What can change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Topic {
    /// One invitation with all its attempts.
    Invitation { organisation: OrganisationId, token: Token },
    /// What a member and the member's terminals may do: a stream of theirs has to ask again whether it may go on.
    Rights { organisation: OrganisationId, user: UserId },
}

impl Topic {
    /// How many may watch it. A member's streams are one for each invitation they follow, and those are counted there.
    const fn places(&self) -> usize {
        match self {
            Self::Invitation { .. } => WATCHERS_PER_INVITATION_MAX,
            Self::Rights { .. } => WATCHERS_MAX,
        }
    }
}

#[derive(Debug, Default)]
struct Inner {
    topics: HashMap<Topic, HashMap<u64, Arc<Notify>>>,
    watching: usize,
    /// The next watcher's number.
    next: u64,
}

/// The registry.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Mutex<Inner>);

impl Watchers {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing below can stop half-way, so a poisoned lock still guards a sound map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts watching all of the topics. Ends when the result is dropped.
    pub(crate) fn watch(self: &Arc<Self>, topics: Vec<Topic>) -> Result<Watcher, Refusal> {
        let mut inner = self.lock();
        let crowded = |topic: &Topic| inner.topics.get(topic).map_or(0, HashMap::len) >= topic.places();
        if inner.watching >= WATCHERS_MAX || topics.iter().any(crowded) {
            return Err(Refusal::UNAVAILABLE);
        }
        let (number, woken) = (inner.next, Arc::new(Notify::new()));
        for topic in &topics {
            inner.topics.entry(topic.clone()).or_default().insert(number, Arc::clone(&woken));
        }
        inner.watching += 1;
        inner.next += 1;
        drop(inner);
        Ok(Watcher { number, topics, woken, registry: Arc::clone(self) })
    }

    /// Wakes everybody who watches one of the topics.
    pub(crate) fn notify(&self, topics: &[Topic]) {
        let inner = self.lock();
        for woken in topics.iter().filter_map(|topic| inner.topics.get(topic)).flat_map(HashMap::values) {
            woken.notify_one();
        }
    }
}

/// A right to be woken.
#[derive(Debug)]
pub(crate) struct Watcher {
    number: u64,
    topics: Vec<Topic>,
    woken: Arc<Notify>,
    registry: Arc<Watchers>,
}

impl Watcher {
    /// Returns at the first change after the last return.
    pub(crate) async fn changed(&self) {
        self.woken.notified().await;
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut inner = self.registry.lock();
        inner.watching = inner.watching.saturating_sub(1);
        for topic in &self.topics {
            if let Some(watchers) = inner.topics.get_mut(topic) {
                watchers.remove(&self.number);
                if watchers.is_empty() {
                    inner.topics.remove(topic);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn topic(n: u8) -> Topic {
        Topic::Invitation { organisation: "acme".parse().unwrap(), token: Token::from_bytes([n; 16]) }
    }

    fn rights(n: u8) -> Topic {
        Topic::Rights { organisation: "acme".parse().unwrap(), user: UserId::from_bytes([n; 16]) }
    }

    #[test]
    fn a_watcher_hears_its_own_topics_once_each_time_and_leaves_nothing_behind() {
        let watchers = Arc::new(Watchers::default());
        let watcher = watchers.watch(vec![topic(1), rights(1)]).unwrap();
        watchers.notify(&[topic(2), rights(2)]);
        assert_eq!(watcher.changed().now_or_never(), None);
        // Told before anybody listened, it isn't lost; told twice, it is one change.
        for topics in [[topic(1), topic(1)], [rights(1), rights(2)]] {
            watchers.notify(&topics);
            assert_eq!(watcher.changed().now_or_never(), Some(()));
            assert_eq!(watcher.changed().now_or_never(), None);
        }
        drop(watcher);
        assert!(watchers.lock().topics.is_empty());
        assert_eq!(watchers.lock().watching, 0);
    }

    #[test]
    fn one_invitation_cannot_take_all_places_and_a_member_may_follow_many() {
        let watchers = Arc::new(Watchers::default());
        let watch = |n| watchers.watch(vec![topic(n), rights(1)]);
        let held: Vec<_> = (0..WATCHERS_PER_INVITATION_MAX).map(|_| watch(1).unwrap()).collect();
        assert!(watch(1).is_err());
        assert!(watch(2).is_ok());
        drop(held);
        assert!(watch(1).is_ok());
    }
}
