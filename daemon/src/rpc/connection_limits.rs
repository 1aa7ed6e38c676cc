//! How many connections may be open, what each of them costs, and which one is closed when there is
//! no more room.
//!
//! Decides how many connections one process and all of them may have, and how many bytes wait in
//! all. Refuses a process that has its share; makes room for another one by closing the worst:
//! first one with an incomplete line, then an idle one, then one of the process with most
//! connections, then the least recently active. So a program gone wild can't keep an honest one
//! out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Connections at once: terminals, scripts and plug-ins of a person, some times over. Each takes
/// two descriptors, so that all of them fit under the usual limit of 1,024.
pub(super) const CONNECTIONS_MAX: usize = 256;
/// Connections of one process: a program that shows 16 ceremonies on two connections each.
pub(super) const PROCESS_MAX: usize = 32;
/// Bytes of all connections that wait: lines being read, requests under way, answers nobody has
/// taken yet. Thirty times the largest line; an honest program's come and go.
pub(super) const WAITING_MAX_BYTES: usize = 32 * 1024 * 1024;

/// The open connections.
#[derive(Debug)]
pub(super) struct ConnectionLimits {
    slots: Mutex<BTreeMap<u64, Arc<Slot>>>,
    next: AtomicU64,
    waiting: AtomicUsize,
    began: Instant,
}

/// One connection, as the others are concerned.
#[derive(Debug)]
pub(super) struct Slot {
    number: u64,
    process: Option<i32>,
    /// A line has begun and not ended.
    unfinished: AtomicBool,
    /// Requests under way.
    busy: AtomicUsize,
    subscriptions: AtomicUsize,
    waiting: AtomicUsize,
    /// When the last request came, in milliseconds since the daemon began.
    active: AtomicU64,
    /// Ends it.
    pub(super) cut: CancellationToken,
}

/// A connection's right to be open: its slot is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    limits: Arc<ConnectionLimits>,
    slot: Arc<Slot>,
}

/// Bytes that wait, until it is dropped.
#[derive(Debug)]
pub(super) struct BytePermit {
    limits: Arc<ConnectionLimits>,
    slot: Arc<Slot>,
    bytes: usize,
}

/// A request or a subscription, until it is dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    slot: Arc<Slot>,
    subscribed: bool,
}

impl ConnectionLimits {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            slots: Mutex::default(),
            next: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            began: Instant::now(),
        })
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Slot>>> {
        // Each change is one call: a panic elsewhere leaves nothing half done.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Takes a slot for a connection of a process; nothing if the process has its share, or
    /// everybody else is at work.
    pub(super) fn enter(self: &Arc<Self>, process: Option<i32>) -> Option<Permit> {
        let mut slots = self.slots();
        if slots.values().filter(|slot| slot.process == process).count() >= PROCESS_MAX {
            return None;
        }
        if slots.len() >= CONNECTIONS_MAX {
            let worst = worst(&slots, process)?;
            slots.remove(&worst.number);
            // Not louder: whoever opens connections in a loop would fill the log.
            tracing::debug!(pid = worst.process, "cut a connection off: another process needs its slot");
            worst.cut.cancel();
        }
        let slot = Arc::new(Slot {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            process,
            unfinished: AtomicBool::new(false),
            busy: AtomicUsize::new(0),
            subscriptions: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            active: AtomicU64::new(self.now()),
            cut: CancellationToken::new(),
        });
        slots.insert(slot.number, Arc::clone(&slot));
        drop(slots);
        Some(Permit { limits: Arc::clone(self), slot })
    }

    /// Cuts off those who hold most, until what waits fits again.
    fn relieve(&self) {
        let mut slots = self.slots();
        let mut surplus = self.waiting.load(Ordering::Relaxed).saturating_sub(WAITING_MAX_BYTES);
        while surplus > 0 {
            let heaviest = slots.values().max_by_key(|slot| slot.waiting.load(Ordering::Relaxed)).cloned();
            let Some(heaviest) = heaviest else { return };
            let held = heaviest.waiting.load(Ordering::Relaxed);
            slots.remove(&heaviest.number);
            tracing::warn!(pid = heaviest.process, held, "cut a connection off: too much waits for it");
            heaviest.cut.cancel();
            if held == 0 {
                return;
            }
            surplus = surplus.saturating_sub(held);
        }
    }
}

/// Who goes first. One that has requests under way goes only for a process that has none connected,
/// and only if its own has several.
fn worst(slots: &BTreeMap<u64, Arc<Slot>>, comer: Option<i32>) -> Option<Arc<Slot>> {
    let mut per_process = BTreeMap::<Option<i32>, usize>::new();
    for slot in slots.values() {
        *per_process.entry(slot.process).or_default() += 1;
    }
    let of = |process: Option<i32>| per_process.get(&process).copied().unwrap_or(0);
    let rank = |slot: &&Arc<Slot>| {
        let busy = slot.busy.load(Ordering::Relaxed) > 0;
        let holds = slot.subscriptions.load(Ordering::Relaxed) > 0;
        let unfinished = slot.unfinished.load(Ordering::Relaxed);
        let quiet = u64::MAX - slot.active.load(Ordering::Relaxed);
        (!busy, unfinished, !holds, of(slot.process), quiet)
    };
    // Room is made for a process with less than an even share, of those with more than that: else
    // processes that each want more than there is would cut each other off without end.
    let share = (CONNECTIONS_MAX / per_process.len().saturating_add(usize::from(of(comer) == 0))).max(1);
    if of(comer) >= share {
        return None;
    }
    let most = per_process.values().copied().max().unwrap_or(0);
    let over = |slot: &&Arc<Slot>| of(slot.process) > share || of(slot.process) == most;
    let worst = slots.values().filter(over).max_by_key(rank)?;
    let at_work = worst.busy.load(Ordering::Relaxed) > 0;
    (!at_work || (of(worst.process) > 1 && of(comer) == 0)).then(|| Arc::clone(worst))
}

impl Permit {
    pub(super) fn cut(&self) -> &CancellationToken {
        &self.slot.cut
    }

    /// Whether a line has begun and not ended.
    pub(super) fn unfinished(&self, unfinished: bool) {
        self.slot.unfinished.store(unfinished, Ordering::Relaxed);
    }

    /// Whether anything runs for it.
    pub(super) fn holds_nothing(&self) -> bool {
        self.slot.busy.load(Ordering::Relaxed) == 0 && self.slot.subscriptions.load(Ordering::Relaxed) == 0
    }

    /// Notes a request, or a subscription, until the answer is dropped.
    pub(super) fn begin(&self, subscribed: bool) -> InFlight {
        self.slot.active.store(self.limits.now(), Ordering::Relaxed);
        let slot = Arc::clone(&self.slot);
        let count = if subscribed { &slot.subscriptions } else { &slot.busy };
        count.fetch_add(1, Ordering::Relaxed);
        InFlight { slot, subscribed }
    }

    /// Notes bytes that wait. May cut somebody off, this connection too.
    pub(super) fn hold_bytes(&self, bytes: usize) -> BytePermit {
        let all = self.limits.waiting.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        self.slot.waiting.fetch_add(bytes, Ordering::Relaxed);
        let byte_permit =
            BytePermit { limits: Arc::clone(&self.limits), slot: Arc::clone(&self.slot), bytes };
        if all > WAITING_MAX_BYTES {
            self.limits.relieve();
        }
        byte_permit
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limits.slots().remove(&self.slot.number);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let count = if self.subscribed { &self.slot.subscriptions } else { &self.slot.busy };
        count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for BytePermit {
    fn drop(&mut self) {
        self.limits.waiting.fetch_sub(self.bytes, Ordering::Relaxed);
        self.slot.waiting.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_worst_goes_and_an_honest_one_gets_in() {
        let limits = ConnectionLimits::new();
        let mut permits: Vec<_> = (0..PROCESS_MAX).map(|_| limits.enter(Some(1)).unwrap()).collect();
        assert!(limits.enter(Some(1)).is_none(), "its share");
        let processes = i32::try_from(CONNECTIONS_MAX / PROCESS_MAX).unwrap();
        permits.extend(
            (2..=processes)
                .flat_map(|process| (0..PROCESS_MAX).map(move |_| process))
                .map(|process| limits.enter(Some(process)).unwrap()),
        );
        assert_eq!(permits.len(), CONNECTIONS_MAX);
        let cut = |permits: &[Permit]| -> Vec<usize> {
            (0..permits.len()).filter(|at| permits[*at].cut().is_cancelled()).collect()
        };
        // All are at work; one of them has a line that does not end.
        let mut in_flight: Vec<_> = permits.iter().map(|permit| permit.begin(false)).collect();
        permits[7].unfinished(true);
        let honest = limits.enter(Some(100)).unwrap();
        assert_eq!(cut(&permits), [7]);
        let _its_work = honest.begin(false);
        // Somebody at work goes for a process that has nothing yet, not for one that is there
        // already.
        assert!(limits.enter(Some(100)).is_none() && !honest.cut().is_cancelled());
        // Who holds nothing goes before who holds a subscription, and that one before who is at
        // work.
        let watching = permits[20].begin(true);
        in_flight.remove(20);
        in_flight.remove(10);
        let second = limits.enter(Some(100)).unwrap();
        assert_eq!(cut(&permits), [7, 10]);
        let _work = second.begin(false);
        let third = limits.enter(Some(100)).unwrap();
        assert_eq!(cut(&permits), [7, 10, 20]);
        drop((watching, third));
        // A slot that was left is free without anybody being cut off.
        let _again = limits.enter(Some(101)).unwrap();
        assert_eq!(cut(&permits), [7, 10, 20]);
    }

    #[tokio::test]
    async fn too_much_waiting_ends_the_one_it_waits_for() {
        let limits = ConnectionLimits::new();
        let (light, heavy) = (limits.enter(Some(1)).unwrap(), limits.enter(Some(2)).unwrap());
        let kept = light.hold_bytes(1_000);
        let held = heavy.hold_bytes(WAITING_MAX_BYTES - 1_000);
        assert!(!heavy.cut().is_cancelled());
        let _more = light.hold_bytes(1);
        assert!(heavy.cut().is_cancelled() && !light.cut().is_cancelled());
        drop((kept, held));
        assert_eq!(limits.waiting.load(Ordering::Relaxed), 1);
    }
}
