//! Who is connected, what each costs, and who goes when there is no more room.
//!
//! Decides how many connections one process and all of them may have, and how many bytes wait in all. Refuses a
//! process that has its share; makes room for another one by cutting off the worst: whoever has begun a line and not
//! ended it, then whoever holds nothing, then of those who hold something the process with the most connections, and
//! the one that was quiet longest. So a program gone wild can't keep an honest one out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Connections at once: terminals, scripts and plug-ins of a person, some times over. Each takes two descriptors, so
/// that all of them fit under the usual limit of 1,024.
pub(super) const CONNECTIONS_MAX: usize = 256;
/// Connections of one process: a program that shows 16 ceremonies on two connections each.
pub(super) const PROCESS_MAX: usize = 32;
/// Bytes of all connections that wait: lines being read, requests under way, answers nobody has taken yet. Thirty
/// times the largest line; an honest program's come and go.
pub(super) const WAITING_MAX_BYTES: usize = 32 * 1024 * 1024;

/// All that are connected.
#[derive(Debug)]
pub(super) struct Crowd {
    seats: Mutex<BTreeMap<u64, Arc<Seat>>>,
    next: AtomicU64,
    waiting: AtomicUsize,
    began: Instant,
}

/// One connection, as the others are concerned.
#[derive(Debug)]
pub(super) struct Seat {
    number: u64,
    process: Option<i32>,
    /// A line has begun and not ended.
    unfinished: AtomicBool,
    /// Requests under way.
    busy: AtomicUsize,
    subscriptions: AtomicUsize,
    waiting: AtomicUsize,
    /// When the last request came, in milliseconds since the crowd began.
    active: AtomicU64,
    /// Ends it.
    pub(super) cut: CancellationToken,
}

/// A connection's place, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    seat: Arc<Seat>,
}

/// Bytes that wait, until it is dropped.
#[derive(Debug)]
pub(super) struct Weight {
    crowd: Arc<Crowd>,
    seat: Arc<Seat>,
    bytes: usize,
}

/// What a connection does, until it is dropped.
#[derive(Debug)]
pub(super) struct Doing {
    seat: Arc<Seat>,
    subscribed: bool,
}

impl Crowd {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            seats: Mutex::default(),
            next: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            began: Instant::now(),
        })
    }

    fn seats(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Seat>>> {
        // Each change is one call: a panic elsewhere leaves nothing half done.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A place for a connection of a process; nothing if the process has its share, or everybody else is at work.
    pub(super) fn enter(self: &Arc<Self>, process: Option<i32>) -> Option<Place> {
        let mut seats = self.seats();
        if seats.values().filter(|seat| seat.process == process).count() >= PROCESS_MAX {
            return None;
        }
        if seats.len() >= CONNECTIONS_MAX {
            let worst = worst(&seats, process)?;
            seats.remove(&worst.number);
            // Not louder: whoever opens connections in a loop would fill the log.
            tracing::debug!(pid = worst.process, "cut a connection off: another process needs its place");
            worst.cut.cancel();
        }
        let seat = Arc::new(Seat {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            process,
            unfinished: AtomicBool::new(false),
            busy: AtomicUsize::new(0),
            subscriptions: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            active: AtomicU64::new(self.now()),
            cut: CancellationToken::new(),
        });
        seats.insert(seat.number, Arc::clone(&seat));
        drop(seats);
        Some(Place { crowd: Arc::clone(self), seat })
    }

    /// Cuts off those who hold most, until what waits fits again.
    fn relieve(&self) {
        let mut seats = self.seats();
        let mut surplus = self.waiting.load(Ordering::Relaxed).saturating_sub(WAITING_MAX_BYTES);
        while surplus > 0 {
            let heaviest = seats.values().max_by_key(|seat| seat.waiting.load(Ordering::Relaxed)).cloned();
            let Some(heaviest) = heaviest else { return };
            let held = heaviest.waiting.load(Ordering::Relaxed);
            seats.remove(&heaviest.number);
            tracing::warn!(pid = heaviest.process, held, "cut a connection off: too much waits for it");
            heaviest.cut.cancel();
            if held == 0 {
                return;
            }
            surplus = surplus.saturating_sub(held);
        }
    }
}

/// Who goes first. One that has requests under way goes only for a process that has none connected, and only if its own
/// has several.
fn worst(seats: &BTreeMap<u64, Arc<Seat>>, comer: Option<i32>) -> Option<Arc<Seat>> {
    let mut crowding = BTreeMap::<Option<i32>, usize>::new();
    for seat in seats.values() {
        *crowding.entry(seat.process).or_default() += 1;
    }
    let of = |process: Option<i32>| crowding.get(&process).copied().unwrap_or(0);
    let rank = |seat: &&Arc<Seat>| {
        let busy = seat.busy.load(Ordering::Relaxed) > 0;
        let holds = seat.subscriptions.load(Ordering::Relaxed) > 0;
        let unfinished = seat.unfinished.load(Ordering::Relaxed);
        let quiet = u64::MAX - seat.active.load(Ordering::Relaxed);
        (!busy, unfinished, !holds, of(seat.process), quiet)
    };
    // Room is made for a process with less than an even share, of those with more than that: else processes that each
    // want more than there is would cut each other off without end.
    let share = (CONNECTIONS_MAX / crowding.len().saturating_add(usize::from(of(comer) == 0))).max(1);
    if of(comer) >= share {
        return None;
    }
    let most = crowding.values().copied().max().unwrap_or(0);
    let over = |seat: &&Arc<Seat>| of(seat.process) > share || of(seat.process) == most;
    let worst = seats.values().filter(over).max_by_key(rank)?;
    let at_work = worst.busy.load(Ordering::Relaxed) > 0;
    (!at_work || (of(worst.process) > 1 && of(comer) == 0)).then(|| Arc::clone(worst))
}

impl Place {
    pub(super) fn cut(&self) -> &CancellationToken {
        &self.seat.cut
    }

    /// Whether a line has begun and not ended.
    pub(super) fn unfinished(&self, unfinished: bool) {
        self.seat.unfinished.store(unfinished, Ordering::Relaxed);
    }

    /// Whether anything runs for it.
    pub(super) fn holds_nothing(&self) -> bool {
        self.seat.busy.load(Ordering::Relaxed) == 0 && self.seat.subscriptions.load(Ordering::Relaxed) == 0
    }

    /// Notes a request, or a subscription, until the answer is dropped.
    pub(super) fn begin(&self, subscribed: bool) -> Doing {
        self.seat.active.store(self.crowd.now(), Ordering::Relaxed);
        let seat = Arc::clone(&self.seat);
        let count = if subscribed { &seat.subscriptions } else { &seat.busy };
        count.fetch_add(1, Ordering::Relaxed);
        Doing { seat, subscribed }
    }

    /// Notes bytes that wait. May cut somebody off, this connection too.
    pub(super) fn weigh(&self, bytes: usize) -> Weight {
        let all = self.crowd.waiting.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        self.seat.waiting.fetch_add(bytes, Ordering::Relaxed);
        let weight = Weight { crowd: Arc::clone(&self.crowd), seat: Arc::clone(&self.seat), bytes };
        if all > WAITING_MAX_BYTES {
            self.crowd.relieve();
        }
        weight
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.seats().remove(&self.seat.number);
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        let count = if self.subscribed { &self.seat.subscriptions } else { &self.seat.busy };
        count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.crowd.waiting.fetch_sub(self.bytes, Ordering::Relaxed);
        self.seat.waiting.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_worst_goes_and_an_honest_one_gets_in() {
        let crowd = Crowd::new();
        let mut places: Vec<_> = (0..PROCESS_MAX).map(|_| crowd.enter(Some(1)).unwrap()).collect();
        assert!(crowd.enter(Some(1)).is_none(), "its share");
        let processes = i32::try_from(CONNECTIONS_MAX / PROCESS_MAX).unwrap();
        places.extend(
            (2..=processes)
                .flat_map(|process| (0..PROCESS_MAX).map(move |_| process))
                .map(|process| crowd.enter(Some(process)).unwrap()),
        );
        assert_eq!(places.len(), CONNECTIONS_MAX);
        let cut = |places: &[Place]| -> Vec<usize> {
            (0..places.len()).filter(|at| places[*at].cut().is_cancelled()).collect()
        };
        // All are at work; one of them has a line that does not end.
        let mut doing: Vec<_> = places.iter().map(|place| place.begin(false)).collect();
        places[7].unfinished(true);
        let honest = crowd.enter(Some(100)).unwrap();
        assert_eq!(cut(&places), [7]);
        let _its_work = honest.begin(false);
        // Somebody at work goes for a process that has nothing yet, not for one that is there already.
        assert!(crowd.enter(Some(100)).is_none() && !honest.cut().is_cancelled());
        // Who holds nothing goes before who holds a subscription, and that one before who is at work.
        let watching = places[20].begin(true);
        doing.remove(20);
        doing.remove(10);
        let second = crowd.enter(Some(100)).unwrap();
        assert_eq!(cut(&places), [7, 10]);
        let _work = second.begin(false);
        let third = crowd.enter(Some(100)).unwrap();
        assert_eq!(cut(&places), [7, 10, 20]);
        drop((watching, third));
        // A place that was left is free without anybody being cut off.
        let _again = crowd.enter(Some(101)).unwrap();
        assert_eq!(cut(&places), [7, 10, 20]);
    }

    #[tokio::test]
    async fn too_much_waiting_ends_the_one_it_waits_for() {
        let crowd = Crowd::new();
        let (light, heavy) = (crowd.enter(Some(1)).unwrap(), crowd.enter(Some(2)).unwrap());
        let kept = light.weigh(1_000);
        let held = heavy.weigh(WAITING_MAX_BYTES - 1_000);
        assert!(!heavy.cut().is_cancelled());
        let _more = light.weigh(1);
        assert!(heavy.cut().is_cancelled() && !light.cut().is_cancelled());
        drop((kept, held));
        assert_eq!(crowd.waiting.load(Ordering::Relaxed), 1);
    }
}
