//! How many connections may be open, from which address, and which one is closed when all slots are
//! taken.
//!
//! Decides that a slot belongs to no address in particular: a new connection that finds none free
//! gets that of the worst one, which is a connection without a whole request's head, then an idle
//! one, then one whose request's body is still on its way, of an address that holds more than its
//! share. One that is being served is closed only for an address that has none, and only if its own
//! has several. Refuses everybody else, so that one address that opens connections in a loop keeps
//! nobody out, and cuts nobody's work off.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::quota::network;

/// The open connections.
#[derive(Debug)]
pub(crate) struct ConnectionLimits {
    /// Slots in all.
    most: usize,
    /// Whether peers' addresses say who they are; behind a proxy all are the proxy's.
    by_address: bool,
    slots: Mutex<Slots>,
    next: AtomicU64,
    began: Instant,
}

#[derive(Debug, Default)]
struct Slots {
    /// By the peer's address and port, which no two open connections share.
    all: HashMap<SocketAddr, Arc<Slot>>,
    /// How many each network holds, so that a refusal costs one look.
    held: HashMap<IpAddr, usize>,
}

/// One connection, as the others are concerned.
#[derive(Debug)]
pub(crate) struct Slot {
    number: u64,
    peer: SocketAddr,
    /// Has sent a request's whole head.
    spoken: AtomicBool,
    /// Requests being answered, an answer's body included.
    serving: AtomicUsize,
    /// Bodies of requests still on their way.
    arriving: AtomicUsize,
    /// When the last head came, in milliseconds since the server began.
    active: AtomicU64,
    /// Ends it.
    pub(crate) cut: CancellationToken,
}

/// A connection's right to be open: its slot is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    limits: Arc<ConnectionLimits>,
    pub(crate) slot: Arc<Slot>,
}

/// A request that is being answered, or its body on the way, until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    slot: Arc<Slot>,
    receiving: bool,
}

impl Slots {
    fn of(&self, network: &IpAddr) -> usize {
        self.held.get(network).copied().unwrap_or(0)
    }

    fn remove(&mut self, slot: &Slot) {
        // A later connection may have the same address and port.
        if self.all.get(&slot.peer).is_none_or(|present| present.number != slot.number) {
            return;
        }
        self.all.remove(&slot.peer);
        let network = network(slot.peer.ip());
        if let Some(held) = self.held.get_mut(&network) {
            *held = held.saturating_sub(1);
            if *held == 0 {
                self.held.remove(&network);
            }
        }
    }
}

impl ConnectionLimits {
    pub(crate) fn new(most: usize, by_address: bool) -> Arc<Self> {
        Arc::new(Self {
            most,
            by_address,
            slots: Mutex::default(),
            next: AtomicU64::new(0),
            began: Instant::now(),
        })
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        // Nothing below can stop half-way, so a poisoned lock still guards a sound map.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Takes a slot; nothing if no other connection has to go for this one.
    pub(crate) fn enter(self: &Arc<Self>, peer: SocketAddr) -> Option<Permit> {
        let mut slots = self.slots();
        if slots.all.len() >= self.most {
            let worst = self.worst(&slots, &network(peer.ip()))?;
            slots.remove(&worst);
            // Not louder: whoever opens connections in a loop would fill the log. And no address:
            // the log has none.
            tracing::debug!("a connection was closed for another one");
            worst.cut.cancel();
        }
        let slot = Arc::new(Slot {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            peer,
            spoken: AtomicBool::new(false),
            serving: AtomicUsize::new(0),
            arriving: AtomicUsize::new(0),
            active: AtomicU64::new(self.now()),
            cut: CancellationToken::new(),
        });
        if let Some(stale) = slots.all.get(&peer).cloned() {
            // Its end has not been noticed yet.
            slots.remove(&stale);
            stale.cut.cancel();
        }
        slots.all.insert(peer, Arc::clone(&slot));
        *slots.held.entry(network(peer.ip())).or_default() += 1;
        drop(slots);
        Some(Permit { limits: Arc::clone(self), slot })
    }

    /// Who goes for one that comes from here.
    fn worst(&self, slots: &Slots, comer: &IpAddr) -> Option<Arc<Slot>> {
        if !self.by_address {
            // All are the proxy's: nobody who is being served goes for another.
            return slots
                .all
                .values()
                .filter(|slot| slot.rank() < SERVED)
                .min_by_key(|slot| slot.order(0))
                .cloned();
        }
        let own = slots.of(comer);
        let share = (self.most / (slots.held.len() + usize::from(own == 0))).max(1);
        let most = slots.held.values().copied().max().unwrap_or(0);
        let candidate = |slot: &&Arc<Slot>| {
            let network = network(slot.peer.ip());
            if own >= share {
                // It has its share: only of its own, so that two who share an address with a flood
                // are served, too.
                return network == *comer && slot.rank() < SERVED;
            }
            let held = slots.of(&network);
            let over = held > share || held == most;
            over && (slot.rank() < SERVED || (own == 0 && held > 1))
        };
        let order = |slot: &&Arc<Slot>| slot.order(slots.of(&network(slot.peer.ip())));
        slots.all.values().filter(candidate).min_by_key(order).cloned()
    }

    /// The head of a request has come on this connection. Nothing, if it was cut off meanwhile.
    pub(crate) fn serve(&self, peer: &SocketAddr) -> Option<InFlight> {
        let slot = Arc::clone(self.slots().all.get(peer)?);
        slot.spoken.store(true, Ordering::Relaxed);
        slot.active.store(self.now(), Ordering::Relaxed);
        Some(slot.begin(false))
    }
}

/// The rank of one that is being served; whoever is below goes before.
const SERVED: u8 = 3;

impl Slot {
    /// Silent or half a head, idle, half a body, served.
    fn rank(&self) -> u8 {
        if !self.spoken.load(Ordering::Relaxed) {
            0
        } else if self.serving.load(Ordering::Relaxed) == 0 {
            1
        } else if self.arriving.load(Ordering::Relaxed) > 0 {
            2
        } else {
            SERVED
        }
    }

    /// The least goes first: by what it does, then of whoever holds most, then the one that was
    /// quiet longest.
    fn order(&self, held: usize) -> (u8, usize, u64, u64) {
        (self.rank(), usize::MAX - held, self.active.load(Ordering::Relaxed), self.number)
    }

    fn begin(self: Arc<Self>, receiving: bool) -> InFlight {
        let count = if receiving { &self.arriving } else { &self.serving };
        count.fetch_add(1, Ordering::Relaxed);
        InFlight { slot: self, receiving }
    }
}

impl InFlight {
    /// Notes that the request's body is on its way.
    pub(crate) fn receiving(&self) -> Self {
        Arc::clone(&self.slot).begin(true)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let count = if self.receiving { &self.slot.arriving } else { &self.slot.serving };
        count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limits.slots().remove(&self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(network: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, network], port))
    }

    fn cut(permits: &[Permit]) -> Vec<usize> {
        (0..permits.len()).filter(|at| permits[*at].slot.cut.is_cancelled()).collect()
    }

    #[test]
    fn one_address_that_holds_all_places_keeps_nobody_out() {
        let limits = ConnectionLimits::new(8, true);
        let permits: Vec<_> = (0..8).map(|port| limits.enter(from(1, port)).unwrap()).collect();
        // All have spoken but the last; 0 idles, 1 sends a body, the rest is being served.
        let mut served: Vec<_> = (0..7).map(|port| limits.serve(&from(1, port)).unwrap()).collect();
        let _body = served[1].receiving();
        drop(served.remove(0));
        let mut others = vec![limits.enter(from(2, 0)).unwrap()];
        assert_eq!(cut(&permits), [7], "no whole head");
        let _work = limits.serve(&from(2, 0)).unwrap();
        others.push(limits.enter(from(2, 1)).unwrap());
        assert_eq!(cut(&permits), [0, 7], "idle");
        let _more = limits.serve(&from(2, 1)).unwrap();
        others.push(limits.enter(from(2, 2)).unwrap());
        assert_eq!(cut(&permits), [0, 1, 7], "half a body");
        let _most = limits.serve(&from(2, 2)).unwrap();
        assert!(limits.enter(from(2, 3)).is_none(), "nobody's work goes for who is there already");
        others.push(limits.enter(from(3, 0)).unwrap());
        assert_eq!(cut(&permits), [0, 1, 2, 7], "but for who has nothing, of whoever has most");
        assert_eq!(cut(&others), [] as [usize; 0]);
        // Free slots need nobody's.
        drop(permits);
        assert!(limits.enter(from(2, 4)).is_some());
        assert_eq!(cut(&others), [] as [usize; 0]);
    }

    #[test]
    fn an_address_over_its_share_replaces_its_own_alone() {
        let limits = ConnectionLimits::new(4, true);
        let quiet = limits.enter(from(2, 0)).unwrap();
        let permits: Vec<_> = (0..3).map(|port| limits.enter(from(1, port)).unwrap()).collect();
        let next = limits.enter(from(1, 3)).unwrap();
        assert_eq!((cut(&permits), quiet.slot.cut.is_cancelled()), (vec![0], false));
        let served: Vec<_> = (1..4).map(|port| limits.serve(&from(1, port)).unwrap()).collect();
        assert!(limits.enter(from(1, 4)).is_none());
        drop((served, next));
    }

    #[test]
    fn behind_a_proxy_only_who_waits_for_nothing_goes() {
        let limits = ConnectionLimits::new(2, false);
        let permits: Vec<_> = (0..2).map(|port| limits.enter(from(1, port)).unwrap()).collect();
        let served: Vec<_> = (0..2).map(|port| limits.serve(&from(1, port)).unwrap()).collect();
        assert!(limits.enter(from(9, 0)).is_none());
        drop(served);
        assert!(limits.enter(from(1, 2)).is_some());
        assert_eq!(cut(&permits), [0]);
    }

    #[test]
    fn a_place_that_was_given_away_frees_nothing_twice() {
        let limits = ConnectionLimits::new(1, true);
        let first = limits.enter(from(1, 0)).unwrap();
        let second = limits.enter(from(1, 0)).unwrap();
        drop(first);
        assert_eq!(limits.slots().of(&network(from(1, 0).ip())), 1);
        drop(second);
        assert!(limits.slots().all.is_empty() && limits.slots().held.is_empty());
    }
}
