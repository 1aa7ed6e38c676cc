//! Who waits for which invitation, log, safes, or rights to change.
//!
//! Decides how many may wait, and that each has places of its own: whoever opens one stream more
//! than is theirs loses their oldest, which is most likely one whose end has not been noticed yet,
//! and nobody else's. A change may carry the state that it made, so that nobody has to read it
//! again; of one that carries none, a watcher reads the present state itself. A slow one misses
//! nothing but intermediate states. Entries vanish with their last watcher.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parsec_protocol::ids::{AttemptId, DeviceId, OrganisationId, SafeId, Token, UserId};
use parsec_protocol::relay::{SafeHint, StepTold};
use tokio::sync::Notify;

use crate::store::invitations::Loaded;

/// Streams the server keeps open at once: a few kilobytes and one connection each.
const WATCHERS_MAX: usize = 10_000;
/// Streams of one attempt's claimer, or of one device: a daemon has one, and after a broken
/// connection another before the first's end is noticed.
const WATCHERS_PER_SIDE_MAX: usize = 4;
/// Streams of one member, all devices together: more devices than one person has, each with one.
const WATCHERS_PER_MEMBER_MAX: usize = 64;

/// What can change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Topic {
    /// One invitation with all its attempts.
    Invitation { organisation: OrganisationId, token: Token },
    /// The certificate log of an organisation: it has grown.
    Log { organisation: OrganisationId },
    /// What a member and the member's devices may do: a stream of theirs has to ask again whether
    /// it may go on.
    Rights { organisation: OrganisationId, user: UserId },
    /// The manifest of a member: there is a newer version.
    Manifest { organisation: OrganisationId, user: UserId },
    /// One of the safes that give a member a role, or gave one until now.
    Safes { organisation: OrganisationId, user: UserId },
}

/// Something that has changed.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) topic: Topic,
    /// The invitation as the change has left it, for streams of this process. A reader may have
    /// read a later state before it is told of this one.
    pub(crate) state: Option<Arc<Loaded>>,
    /// The step whose deposit the change is, for the side that reads it.
    pub(crate) step: Option<Arc<StepTold>>,
    /// How far a safe has come, where it is about one: all that is told of it.
    pub(crate) safe: Option<SafeHint>,
    /// How many certificates a log has, where it is about one.
    pub(crate) count: Option<u64>,
}

impl From<Topic> for Change {
    fn from(topic: Topic) -> Self {
        Self { topic, state: None, step: None, safe: None, count: None }
    }
}

impl Change {
    /// An invitation has changed, and is now so.
    pub(crate) const fn of_invitation(topic: Topic, state: Arc<Loaded>) -> Self {
        Self { topic, state: Some(state), step: None, safe: None, count: None }
    }

    /// It has changed because this step was deposited.
    pub(crate) fn by_step(self, step: StepTold) -> Self {
        Self { step: Some(Arc::new(step)), ..self }
    }

    /// A safe has come so far.
    pub(crate) const fn of_safe(topic: Topic, safe: SafeHint) -> Self {
        Self { topic, state: None, step: None, safe: Some(safe), count: None }
    }

    /// A log has grown to so many certificates.
    pub(crate) const fn of_log(topic: Topic, count: u64) -> Self {
        Self { topic, state: None, step: None, safe: None, count: Some(count) }
    }

    /// Whether a stream has to look whether it may go on, before it tells anything else of the same
    /// moment.
    const fn is_of_rights(&self) -> bool {
        matches!(self.topic, Topic::Rights { .. })
    }
}

/// The newest that is known of a topic.
#[derive(Debug, Default)]
struct Newest {
    state: Option<Arc<Loaded>>,
    step: Option<Arc<StepTold>>,
    count: Option<u64>,
}

/// What changed, and the newest that is known of it.
#[derive(Debug, Default)]
struct News {
    topics: BTreeMap<Topic, Newest>,
    /// Each safe once, however often it has grown: as many as its member has.
    safes: BTreeMap<SafeId, (Topic, SafeHint)>,
}

impl News {
    fn note(&mut self, change: &Change) {
        let topic = change.topic.clone();
        match change.safe {
            Some(hint) => {
                self.safes.insert(hint.safe, (topic, hint));
            }
            None => {
                let newest = self.topics.entry(topic).or_default();
                newest.state.clone_from(&change.state);
                newest.count = change.count;
                // One's own next step doesn't take the other side's away that was not told yet.
                if change.step.is_some() {
                    newest.step.clone_from(&change.step);
                }
            }
        }
    }

    fn into_changes(self) -> Vec<Change> {
        let change =
            |(topic, Newest { state, step, count })| Change { topic, state, step, safe: None, count };
        let topics = self.topics.into_iter().map(change);
        let safes = self.safes.into_values().map(|(topic, hint)| Change::of_safe(topic, hint));
        topics.chain(safes).collect()
    }
}

/// Whose places a stream takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// Whoever knows the secret of an attempt.
    Claimer { organisation: OrganisationId, token: Token, attempt: AttemptId },
    /// A member's device.
    Device { organisation: OrganisationId, device: DeviceId },
    /// A member, whatever it is at.
    Member { organisation: OrganisationId, user: UserId },
}

impl Holder {
    const fn places(&self) -> usize {
        match self {
            Self::Claimer { .. } | Self::Device { .. } => WATCHERS_PER_SIDE_MAX,
            Self::Member { .. } => WATCHERS_PER_MEMBER_MAX,
        }
    }

    const fn organisation(&self) -> &OrganisationId {
        match self {
            Self::Claimer { organisation, .. }
            | Self::Device { organisation, .. }
            | Self::Member { organisation, .. } => organisation,
        }
    }
}

/// Wakes one watcher.
#[derive(Debug, Default)]
struct Bell {
    rung: Notify,
    /// Its place is another's.
    replaced: AtomicBool,
    /// What changed since this was taken last: some of the topics it watches, each once, with what
    /// the newest change of it left.
    changed: Mutex<News>,
}

impl Bell {
    fn changed(&self) -> MutexGuard<'_, News> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Entry {
    holders: Vec<Holder>,
    topics: Vec<Topic>,
    bell: Arc<Bell>,
}

/// Numbers rise, so that the first of a set is the oldest.
#[derive(Debug, Default)]
struct Inner {
    all: HashMap<u64, Entry>,
    topics: HashMap<Topic, BTreeSet<u64>>,
    holders: HashMap<Holder, BTreeSet<u64>>,
    organisations: HashMap<OrganisationId, BTreeSet<u64>>,
    /// The next watcher's number.
    next: u64,
}

fn add<K: Eq + std::hash::Hash>(sets: &mut HashMap<K, BTreeSet<u64>>, key: K, number: u64) {
    sets.entry(key).or_default().insert(number);
}

fn take<K: Eq + std::hash::Hash>(sets: &mut HashMap<K, BTreeSet<u64>>, key: &K, number: u64) {
    if let Some(set) = sets.get_mut(key) {
        set.remove(&number);
        if set.is_empty() {
            sets.remove(key);
        }
    }
}

impl Inner {
    fn remove(&mut self, number: u64) -> Option<Entry> {
        let entry = self.all.remove(&number)?;
        for topic in &entry.topics {
            take(&mut self.topics, topic, number);
        }
        for holder in &entry.holders {
            take(&mut self.holders, holder, number);
            take(&mut self.organisations, holder.organisation(), number);
        }
        Some(entry)
    }

    fn replace(&mut self, number: u64) {
        if let Some(entry) = self.remove(number) {
            entry.bell.replaced.store(true, Ordering::Release);
            entry.bell.rung.notify_one();
        }
    }

    /// Makes room for one more of these: each holder's oldest goes where it has all its places, and
    /// where all of the server's are taken, the oldest of the organisation that has most.
    fn make_room(&mut self, holders: &[Holder]) {
        for holder in holders {
            let held = self.holders.get(holder).filter(|held| held.len() >= holder.places());
            if let Some(oldest) = held.and_then(BTreeSet::first).copied() {
                self.replace(oldest);
            }
        }
        if self.all.len() >= WATCHERS_MAX {
            let most = self.organisations.values().max_by_key(|held| held.len());
            if let Some(oldest) = most.and_then(BTreeSet::first).copied() {
                self.replace(oldest);
            }
        }
    }
}

/// The order in which changes are noted. Whoever takes one that carries what is to be told has
/// taken, with it or before, the revocation that came into the database with it.
fn rights_first(changes: &[Change]) -> impl Iterator<Item = &Change> {
    let (rights, others): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.is_of_rights());
    rights.into_iter().chain(others)
}

/// The registry.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Mutex<Inner>);

impl Watchers {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing below can stop half-way, so a poisoned lock still guards sound maps.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts watching all of the topics, on places of these holders. Ends when the result is
    /// dropped.
    pub(crate) fn watch(self: &Arc<Self>, holders: Vec<Holder>, topics: Vec<Topic>) -> Watcher {
        let mut inner = self.lock();
        inner.make_room(&holders);
        let (number, bell) = (inner.next, Arc::new(Bell::default()));
        for topic in &topics {
            add(&mut inner.topics, topic.clone(), number);
        }
        for holder in &holders {
            add(&mut inner.holders, holder.clone(), number);
            add(&mut inner.organisations, holder.organisation().clone(), number);
        }
        inner.all.insert(number, Entry { holders, topics, bell: Arc::clone(&bell) });
        inner.next += 1;
        drop(inner);
        Watcher { number, bell, registry: Arc::clone(self) }
    }

    /// Wakes everybody who watches one of the topics.
    pub(crate) fn notify(&self, changes: &[Change]) {
        let inner = self.lock();
        for change in rights_first(changes) {
            for number in inner.topics.get(&change.topic).into_iter().flatten() {
                if let Some(entry) = inner.all.get(number) {
                    entry.bell.changed().note(change);
                    entry.bell.rung.notify_one();
                }
            }
        }
    }
}

/// A right to be woken.
#[derive(Debug)]
pub(crate) struct Watcher {
    number: u64,
    bell: Arc<Bell>,
    registry: Arc<Watchers>,
}

/// Why a watcher woke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// Something changed.
    Changed,
    /// Its place went to a newer one of the same holder: it is over.
    Replaced,
}

impl Watcher {
    /// What changed since this was asked last. Between the two it may be called for nothing: a
    /// change that was taken early still wakes.
    pub(crate) fn take(&self) -> Vec<Change> {
        let changed = std::mem::take(&mut *self.bell.changed());
        changed.into_changes()
    }

    /// Returns at the first change after the last return.
    pub(crate) async fn changed(&self) -> Woken {
        self.bell.rung.notified().await;
        if self.bell.replaced.load(Ordering::Acquire) { Woken::Replaced } else { Woken::Changed }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.registry.lock().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn acme() -> OrganisationId {
        "acme".parse().unwrap()
    }

    fn topic(n: u8) -> Topic {
        Topic::Invitation { organisation: acme(), token: Token::from_bytes([n; 16]) }
    }

    fn rights(n: u8) -> Topic {
        Topic::Rights { organisation: acme(), user: UserId::from_bytes([n; 16]) }
    }

    fn claimer(n: u8) -> Holder {
        let (token, attempt) = (Token::from_bytes([n; 16]), AttemptId::from_bytes([n; 16]));
        Holder::Claimer { organisation: acme(), token, attempt }
    }

    /// A device of the only member.
    fn device(number: u16) -> Vec<Holder> {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        let device = DeviceId::from_bytes(bytes);
        let user = UserId::from_bytes([1; 16]);
        vec![Holder::Device { organisation: acme(), device }, Holder::Member { organisation: acme(), user }]
    }

    /// Which of these have lost their places.
    fn replaced(watchers: &[Watcher]) -> Vec<usize> {
        let lost = |watcher: &Watcher| watcher.bell.replaced.load(Ordering::Acquire);
        (0..watchers.len()).filter(|at| lost(&watchers[*at])).collect()
    }

    #[test]
    fn a_watcher_hears_its_own_topics_once_each_time_and_leaves_nothing_behind() {
        let watchers = Arc::new(Watchers::default());
        let watcher = watchers.watch(device(1), vec![topic(1), rights(1)]);
        watchers.notify(&[topic(2), rights(2)].map(Change::from));
        assert_eq!(watcher.changed().now_or_never(), None);
        // Told before anybody listened, it isn't lost; told twice, it is one change.
        for topics in [[topic(1), topic(1)], [rights(1), rights(2)]] {
            watchers.notify(&topics.clone().map(Change::from));
            assert_eq!(watcher.changed().now_or_never(), Some(Woken::Changed));
            let taken: Vec<_> = watcher.take().into_iter().map(|change| change.topic).collect();
            assert_eq!(taken, [topics[0].clone()]);
            assert_eq!(watcher.changed().now_or_never(), None);
        }
        drop(watcher);
        let inner = watchers.lock();
        assert!(inner.topics.is_empty() && inner.holders.is_empty() && inner.organisations.is_empty());
        assert!(inner.all.is_empty());
    }

    /// A stream may wake between two notes: it must not tell a revoked device how far the log has
    /// come with its own revocation.
    #[test]
    fn a_revocation_is_noted_before_what_it_came_with() {
        let log = Topic::Log { organisation: acme() };
        let changes = [
            Change::of_log(log.clone(), 3),
            topic(1).into(),
            rights(1).into(),
            topic(2).into(),
            rights(2).into(),
        ];
        let noted: Vec<_> = rights_first(&changes).map(|change| change.topic.clone()).collect();
        assert_eq!(noted, [rights(1), rights(2), log, topic(1), topic(2)]);
    }

    #[test]
    fn a_log_is_told_with_the_length_that_it_has_come_to() {
        let watchers = Arc::new(Watchers::default());
        let log = Topic::Log { organisation: acme() };
        let watcher = watchers.watch(device(1), vec![log.clone()]);
        watchers.notify(&[Change::of_log(log.clone(), 3)]);
        watchers.notify(&[Change::of_log(log.clone(), 4)]);
        let told: Vec<_> = watcher.take().into_iter().map(|change| (change.topic, change.count)).collect();
        assert_eq!(told, [(log, Some(4))]);
    }

    #[test]
    fn one_stream_too_many_costs_the_same_sides_oldest_and_nobody_elses() {
        let watchers = Arc::new(Watchers::default());
        let greeter = watchers.watch(device(1), vec![topic(1)]);
        let other = watchers.watch(vec![claimer(2)], vec![topic(1)]);
        let mine: Vec<_> =
            (0..=WATCHERS_PER_SIDE_MAX).map(|_| watchers.watch(vec![claimer(1)], vec![topic(1)])).collect();
        assert_eq!(replaced(&mine), [0]);
        assert_eq!(mine[0].changed().now_or_never(), Some(Woken::Replaced));
        assert_eq!(replaced(&[greeter, other]), [] as [usize; 0]);
        drop(mine);
        assert!(watchers.lock().all.is_empty());
    }

    #[test]
    fn a_member_has_many_devices_but_not_without_end() {
        let watchers = Arc::new(Watchers::default());
        let claimer = watchers.watch(vec![claimer(1)], vec![topic(1)]);
        let many = u16::try_from(WATCHERS_PER_MEMBER_MAX).unwrap() + 2;
        let mine: Vec<_> = (0..many).map(|n| watchers.watch(device(n), vec![rights(1)])).collect();
        assert_eq!(replaced(&mine), [0, 1]);
        assert_eq!(replaced(&[claimer]), [] as [usize; 0]);
    }

    #[test]
    fn when_all_places_are_taken_the_organisation_that_has_most_makes_room() {
        let watchers = Arc::new(Watchers::default());
        let of = |organisation: &str, n: usize| {
            let user = UserId::from_bytes(u128::try_from(n / WATCHERS_PER_MEMBER_MAX).unwrap().to_be_bytes());
            let holder = Holder::Member { organisation: organisation.parse().unwrap(), user };
            watchers.watch(vec![holder], vec![])
        };
        let few: Vec<_> = (0..2).map(|n| of("few", n)).collect();
        let many: Vec<_> = (2..WATCHERS_MAX).map(|n| of("many", n)).collect();
        let more = [of("few", 2), of("third", 0)];
        assert_eq!(replaced(&many), [0, 1]);
        assert_eq!((replaced(&few), replaced(&more)), (vec![], vec![]));
        assert_eq!(watchers.lock().all.len(), WATCHERS_MAX);
    }
}
