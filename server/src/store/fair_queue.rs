//! Whose work is next.
//!
//! Decides that everybody has a queue of their own and that queues take turns: first between
//! organisations and addresses, then between an organisation's members, so that nobody waits for
//! more than one piece of work of each other one, however much another has asked for. Refuses what
//! goes beyond a party's own queue; where all queues together are full, the longest one loses its
//! newest.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use parsec_protocol::ids::{OrganisationId, UserId};

use crate::quota::network;

/// Whose work it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Party {
    /// The server's own.
    Server,
    /// Of whoever has not proved who they are. A token counts as none: anybody can invent tokens,
    /// and with each a turn.
    Address(IpAddr),
    /// Of a member whose signature was checked.
    Member(OrganisationId, UserId),
}

impl Party {
    /// Of whoever comes from here.
    pub(crate) fn address(address: IpAddr) -> Self {
        Self::Address(network(address))
    }

    fn queue_key(&self) -> (Group, Option<UserId>) {
        match self {
            Self::Server => (Group::Server, None),
            Self::Address(address) => (Group::Address(*address), None),
            Self::Member(organisation, user) => (Group::Organisation(organisation.clone()), Some(*user)),
        }
    }

    const fn queue_max(&self, bounds: &Bounds) -> usize {
        match self {
            Self::Member(..) => bounds.member,
            Self::Server | Self::Address(_) => bounds.address,
        }
    }
}

/// What takes turns with its like.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Group {
    Server,
    Address(IpAddr),
    Organisation(OrganisationId),
}

/// How much may wait, and run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Of one member.
    pub(super) member: usize,
    /// Of one address.
    pub(super) address: usize,
    /// Of all parties together.
    pub(super) all: usize,
    /// Taken and not yet [`FairQueue::done`], of one group.
    pub(super) at_once: usize,
}

/// One group's queues.
#[derive(Debug)]
struct Line<T> {
    queues: HashMap<Option<UserId>, VecDeque<T>>,
    /// Whose queue is next; each that isn't empty stands here once.
    round: VecDeque<Option<UserId>>,
    waiting: usize,
    running: usize,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self { queues: HashMap::new(), round: VecDeque::new(), waiting: 0, running: 0 }
    }
}

impl<T> Line<T> {
    fn push(&mut self, user: Option<UserId>, work: T) {
        let queue = self.queues.entry(user).or_default();
        if queue.is_empty() {
            self.round.push_back(user);
        }
        queue.push_back(work);
        self.waiting += 1;
    }

    fn next(&mut self) -> Option<T> {
        let user = self.round.pop_front()?;
        let queue = self.queues.get_mut(&user)?;
        let work = queue.pop_front()?;
        if queue.is_empty() {
            self.queues.remove(&user);
        } else {
            self.round.push_back(user);
        }
        self.waiting = self.waiting.saturating_sub(1);
        Some(work)
    }

    fn held(&self, user: Option<UserId>) -> usize {
        self.queues.get(&user).map_or(0, VecDeque::len)
    }

    /// Takes the newest of the longest queue away, if that is longer than this.
    fn cut(&mut self, longer_than: usize) -> Option<T> {
        let (user, queue) = self.queues.iter_mut().max_by_key(|(_, queue)| queue.len())?;
        if queue.len() <= longer_than {
            return None;
        }
        let (user, work) = (*user, queue.pop_back()?);
        if queue.is_empty() {
            self.queues.remove(&user);
            self.round.retain(|other| *other != user);
        }
        self.waiting = self.waiting.saturating_sub(1);
        Some(work)
    }
}

#[derive(Debug)]
struct Inner<T> {
    lines: HashMap<Group, Line<T>>,
    /// Whose line is next; each that isn't empty stands here once.
    round: VecDeque<Group>,
    waiting: usize,
    closed: bool,
}

impl<T> Inner<T> {
    /// The next piece of work whose group may have one more running.
    fn take(&mut self, at_once: usize) -> Option<(Group, T)> {
        for _ in 0..self.round.len() {
            let group = self.round.pop_front()?;
            let Some(line) = self.lines.get_mut(&group) else { continue };
            if line.running >= at_once {
                self.round.push_back(group);
                continue;
            }
            let Some(work) = line.next() else { continue };
            line.running += 1;
            self.waiting = self.waiting.saturating_sub(1);
            if line.waiting > 0 {
                self.round.push_back(group.clone());
            }
            return Some((group, work));
        }
        None
    }

    /// Takes one away from whoever has most waiting; nothing if that would be this comer.
    fn make_room(&mut self, group: &Group, user: Option<UserId>) -> Option<T> {
        let own = self.lines.get(group).map_or(0, |line| line.waiting) + 1;
        let longest = self.lines.iter().max_by_key(|(_, line)| line.waiting);
        let other = longest.filter(|(_, line)| line.waiting > own).map(|(other, _)| other.clone());
        let (victim, longer_than) = match other {
            Some(other) => (other, 0),
            None => (group.clone(), self.lines.get(group).map_or(0, |line| line.held(user)) + 1),
        };
        let line = self.lines.get_mut(&victim)?;
        let work = line.cut(longer_than)?;
        if line.waiting == 0 {
            self.round.retain(|other| *other != victim);
        }
        self.waiting = self.waiting.saturating_sub(1);
        Some(work)
    }
}

/// Why a piece of work was not taken: the comer's own queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// All queues.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    inner: Mutex<Inner<T>>,
    news: Condvar,
    bounds: Bounds,
}

impl<T> FairQueue<T> {
    pub(super) fn new(bounds: Bounds) -> Self {
        let inner = Inner { lines: HashMap::new(), round: VecDeque::new(), waiting: 0, closed: false };
        Self { inner: Mutex::new(inner), news: Condvar::new(), bounds }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        // Nothing above can stop half-way, so a poisoned lock still guards sound queues.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts work at the end of its party's queue. Returns what had to go for it.
    pub(super) fn push(&self, party: &Party, work: T) -> Result<Option<T>, Full> {
        let (group, user) = party.queue_key();
        let mut inner = self.lock();
        let held = inner.lines.get(&group).map_or(0, |line| line.held(user));
        if held >= party.queue_max(&self.bounds) {
            return Err(Full);
        }
        let mut gone = None;
        if inner.waiting >= self.bounds.all {
            gone = Some(inner.make_room(&group, user).ok_or(Full)?);
        }
        let line = inner.lines.entry(group.clone()).or_default();
        let idle = line.waiting == 0;
        line.push(user, work);
        inner.waiting += 1;
        if idle {
            inner.round.push_back(group);
        }
        drop(inner);
        self.news.notify_one();
        Ok(gone)
    }

    /// The next piece of work; blocks until there is one. None once closed and empty.
    /// [`Self::done`] has to follow.
    pub(super) fn next(&self) -> Option<(Group, T)> {
        let mut inner = self.lock();
        loop {
            if let Some(taken) = inner.take(self.bounds.at_once) {
                return Some(taken);
            }
            if inner.closed && inner.waiting == 0 {
                return None;
            }
            inner = self.news.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next piece of work, if there is one now.
    pub(super) fn try_next(&self) -> Option<(Group, T)> {
        self.lock().take(self.bounds.at_once)
    }

    /// A piece of this group's work has been done.
    pub(super) fn done(&self, group: &Group) {
        let mut inner = self.lock();
        let mut news = inner.closed;
        if let Some(line) = inner.lines.get_mut(group) {
            // What waited for one of the group's to end may be taken now, by any thread.
            news |= line.running >= self.bounds.at_once && line.waiting > 0;
            line.running = line.running.saturating_sub(1);
            if line.running == 0 && line.waiting == 0 {
                inner.lines.remove(group);
            }
        }
        drop(inner);
        if news {
            self.news.notify_all();
        }
    }

    /// Nothing more comes; what waits is still done.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.news.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { member: 4, address: 6, all: 12, at_once: usize::MAX };

    fn member(organisation: &str, user: u8) -> Party {
        Party::Member(organisation.parse().unwrap(), UserId::from_bytes([user; 16]))
    }

    fn address(last: u8) -> Party {
        Party::address([10, 0, 0, last].into())
    }

    fn push(fair_queue: &FairQueue<&'static str>, party: &Party, works: &[&'static str]) {
        for work in works {
            assert_eq!(fair_queue.push(party, work), Ok(None));
        }
    }

    fn order(fair_queue: &FairQueue<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| fair_queue.try_next())
            .map(|(group, work)| {
                fair_queue.done(&group);
                work
            })
            .collect()
    }

    #[test]
    fn organisations_and_addresses_take_turns_then_an_organisations_members() {
        let fair_queue = FairQueue::new(BOUNDS);
        push(&fair_queue, &member("acme", 1), &["a1", "a2", "a3"]);
        push(&fair_queue, &member("acme", 2), &["b1"]);
        push(&fair_queue, &member("bolt", 1), &["c1", "c2"]);
        push(&fair_queue, &address(1), &["d1", "d2"]);
        push(&fair_queue, &Party::Server, &["s1"]);
        assert_eq!(order(&fair_queue), ["a1", "c1", "d1", "s1", "b1", "c2", "d2", "a2", "a3"]);
        assert!(fair_queue.lock().lines.is_empty() && fair_queue.lock().round.is_empty());
        assert_eq!(fair_queue.lock().waiting, 0);
        fair_queue.close();
        assert_eq!(fair_queue.next(), None);
    }

    #[test]
    fn no_group_has_all_threads() {
        let fair_queue = FairQueue::new(Bounds { at_once: 2, ..BOUNDS });
        push(&fair_queue, &member("acme", 1), &["a1", "a2"]);
        push(&fair_queue, &member("acme", 2), &["b1"]);
        let taken: Vec<_> = (0..2).map(|_| fair_queue.next().unwrap()).collect();
        assert_eq!(taken.iter().map(|(_, work)| *work).collect::<Vec<_>>(), ["a1", "b1"]);
        assert_eq!(fair_queue.try_next(), None, "a third is for others");
        push(&fair_queue, &member("bolt", 1), &["c1"]);
        assert_eq!(fair_queue.try_next().unwrap().1, "c1");
        fair_queue.done(&taken[0].0);
        assert_eq!(fair_queue.next().unwrap().1, "a2");
    }

    #[test]
    fn a_full_queue_is_its_owners_trouble_alone() {
        let fair_queue = FairQueue::new(BOUNDS);
        push(&fair_queue, &member("acme", 1), &["a1", "a2", "a3", "a4"]);
        assert_eq!(fair_queue.push(&member("acme", 1), "a5"), Err(Full));
        push(&fair_queue, &member("acme", 2), &["b1"]);
        push(&fair_queue, &address(1), &["d1", "d2", "d3", "d4", "d5", "d6"]);
        assert_eq!(fair_queue.push(&address(1), "d7"), Err(Full));
    }

    #[test]
    fn where_all_are_full_whoever_has_most_loses_the_newest() {
        let fair_queue = FairQueue::new(BOUNDS);
        push(&fair_queue, &member("acme", 1), &["a1", "a2", "a3", "a4"]);
        push(&fair_queue, &member("acme", 2), &["b1", "b2", "b3"]);
        push(&fair_queue, &address(1), &["d1", "d2", "d3", "d4", "d5"]);
        // Acme has seven, its first member most of them.
        assert_eq!(fair_queue.push(&member("bolt", 1), "c1"), Ok(Some("a4")));
        assert!(matches!(fair_queue.push(&member("acme", 3), "e1"), Ok(Some("a3" | "b3"))));
        // Whoever has most makes room for nobody, and loses nobody else's.
        assert_eq!(fair_queue.push(&address(2), "f1").map(|gone| gone.is_some()), Ok(true));
        assert_eq!(fair_queue.lock().waiting, BOUNDS.all);
        let left = order(&fair_queue);
        assert_eq!(left.len(), BOUNDS.all);
        assert!(["a1", "b1", "c1", "d1", "e1", "f1"].iter().all(|first| left.contains(first)), "{left:?}");
        assert!(fair_queue.lock().lines.is_empty());

        push(&fair_queue, &address(1), &["d1", "d2", "d3", "d4", "d5", "d6"]);
        push(&fair_queue, &address(2), &["f1", "f2", "f3", "f4", "f5"]);
        push(&fair_queue, &member("acme", 1), &["a1"]);
        assert_eq!(fair_queue.push(&address(2), "f6"), Err(Full), "none has more than it would have then");
        assert_eq!(fair_queue.push(&member("acme", 1), "a2"), Ok(Some("d6")));
    }
}
