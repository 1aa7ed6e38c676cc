//! Who is connected, from which address, and whose connection goes when all places are taken.
//!
//! Decides that a place belongs to nobody in particular: whoever comes while there is none gets that of the worst, which is one that has
//! not sent a whole request's head, then an idle one, then one whose request's body is still on its way, of an address that holds more
//! than its share. One that is being served goes only for an address that has none, and only if its own has several. Refuses everybody
//! else, so that one address that opens connections in a loop keeps nobody out, and cuts nobody's work off.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::quota::network;

/// All that are connected.
#[derive(Debug)]
pub(crate) struct Crowd {
    /// Places.
    most: usize,
    /// Whether peers' addresses say who they are; behind a proxy all are the proxy's.
    by_address: bool,
    seats: Mutex<Seats>,
    next: AtomicU64,
    began: Instant,
}

#[derive(Debug, Default)]
struct Seats {
    /// By the peer's address and port, which no two open connections share.
    all: HashMap<SocketAddr, Arc<Seat>>,
    /// How many each network holds, so that a refusal costs one look.
    held: HashMap<IpAddr, usize>,
}

/// One connection, as the others are concerned.
#[derive(Debug)]
pub(crate) struct Seat {
    number: u64,
    peer: SocketAddr,
    /// Has sent a request's whole head.
    spoken: AtomicBool,
    /// Requests being answered, an answer's body included.
    serving: AtomicUsize,
    /// Bodies of requests still on their way.
    arriving: AtomicUsize,
    /// When the last head came, in milliseconds since the crowd began.
    active: AtomicU64,
    /// Ends it.
    pub(crate) cut: CancellationToken,
}

/// A connection's place, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    pub(crate) seat: Arc<Seat>,
}

/// What a connection is doing, until it is dropped.
#[derive(Debug)]
pub(crate) struct Doing {
    seat: Arc<Seat>,
    receiving: bool,
}

impl Seats {
    fn of(&self, network: &IpAddr) -> usize {
        self.held.get(network).copied().unwrap_or(0)
    }

    fn remove(&mut self, seat: &Seat) {
        // A later connection may have the same address and port.
        if self.all.get(&seat.peer).is_none_or(|present| present.number != seat.number) {
            return;
        }
        self.all.remove(&seat.peer);
        let network = network(seat.peer.ip());
        if let Some(held) = self.held.get_mut(&network) {
            *held = held.saturating_sub(1);
            if *held == 0 {
                self.held.remove(&network);
            }
        }
    }
}

impl Crowd {
    pub(crate) fn new(most: usize, by_address: bool) -> Arc<Self> {
        Arc::new(Self {
            most,
            by_address,
            seats: Mutex::default(),
            next: AtomicU64::new(0),
            began: Instant::now(),
        })
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        // Nothing below can stop half-way, so a poisoned lock still guards a sound map.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A place; nothing if nobody has to go for this one.
    pub(crate) fn enter(self: &Arc<Self>, peer: SocketAddr) -> Option<Place> {
        let mut seats = self.seats();
        if seats.all.len() >= self.most {
            let worst = self.worst(&seats, &network(peer.ip()))?;
            seats.remove(&worst);
            // Not louder: whoever opens connections in a loop would fill the log. And no address: the log has none.
            tracing::debug!("a connection was closed for another one");
            worst.cut.cancel();
        }
        let seat = Arc::new(Seat {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            peer,
            spoken: AtomicBool::new(false),
            serving: AtomicUsize::new(0),
            arriving: AtomicUsize::new(0),
            active: AtomicU64::new(self.now()),
            cut: CancellationToken::new(),
        });
        if let Some(stale) = seats.all.get(&peer).cloned() {
            // Its end has not been noticed yet.
            seats.remove(&stale);
            stale.cut.cancel();
        }
        seats.all.insert(peer, Arc::clone(&seat));
        *seats.held.entry(network(peer.ip())).or_default() += 1;
        drop(seats);
        Some(Place { crowd: Arc::clone(self), seat })
    }

    /// Who goes for one that comes from here.
    fn worst(&self, seats: &Seats, comer: &IpAddr) -> Option<Arc<Seat>> {
        if !self.by_address {
            // All are the proxy's: nobody who is being served goes for another.
            return seats
                .all
                .values()
                .filter(|seat| seat.rank() < SERVED)
                .min_by_key(|seat| seat.order(0))
                .cloned();
        }
        let own = seats.of(comer);
        let share = (self.most / (seats.held.len() + usize::from(own == 0))).max(1);
        let most = seats.held.values().copied().max().unwrap_or(0);
        let candidate = |seat: &&Arc<Seat>| {
            let network = network(seat.peer.ip());
            if own >= share {
                // It has its share: only of its own, so that two who share an address with a flood are served, too.
                return network == *comer && seat.rank() < SERVED;
            }
            let held = seats.of(&network);
            let over = held > share || held == most;
            over && (seat.rank() < SERVED || (own == 0 && held > 1))
        };
        let order = |seat: &&Arc<Seat>| seat.order(seats.of(&network(seat.peer.ip())));
        seats.all.values().filter(candidate).min_by_key(order).cloned()
    }

    /// The head of a request has come on this connection. Nothing, if it was cut off meanwhile.
    pub(crate) fn serve(&self, peer: &SocketAddr) -> Option<Doing> {
        let seat = Arc::clone(self.seats().all.get(peer)?);
        seat.spoken.store(true, Ordering::Relaxed);
        seat.active.store(self.now(), Ordering::Relaxed);
        Some(seat.doing(false))
    }
}

/// The rank of one that is being served; whoever is below goes before.
const SERVED: u8 = 3;

impl Seat {
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

    /// The least goes first: by what it does, then of whoever holds most, then the one that was quiet longest.
    fn order(&self, held: usize) -> (u8, usize, u64, u64) {
        (self.rank(), usize::MAX - held, self.active.load(Ordering::Relaxed), self.number)
    }

    fn doing(self: Arc<Self>, receiving: bool) -> Doing {
        let count = if receiving { &self.arriving } else { &self.serving };
        count.fetch_add(1, Ordering::Relaxed);
        Doing { seat: self, receiving }
    }
}

impl Doing {
    /// Notes that the request's body is on its way.
    pub(crate) fn receiving(&self) -> Self {
        Arc::clone(&self.seat).doing(true)
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        let count = if self.receiving { &self.seat.arriving } else { &self.seat.serving };
        count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.seats().remove(&self.seat);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(network: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, network], port))
    }

    fn cut(places: &[Place]) -> Vec<usize> {
        (0..places.len()).filter(|at| places[*at].seat.cut.is_cancelled()).collect()
    }

    #[test]
    fn one_address_that_holds_all_places_keeps_nobody_out() {
        let crowd = Crowd::new(8, true);
        let places: Vec<_> = (0..8).map(|port| crowd.enter(from(1, port)).unwrap()).collect();
        // All have spoken but the last; 0 idles, 1 sends a body, the rest is being served.
        let mut served: Vec<_> = (0..7).map(|port| crowd.serve(&from(1, port)).unwrap()).collect();
        let _body = served[1].receiving();
        drop(served.remove(0));
        let mut others = vec![crowd.enter(from(2, 0)).unwrap()];
        assert_eq!(cut(&places), [7], "no whole head");
        let _work = crowd.serve(&from(2, 0)).unwrap();
        others.push(crowd.enter(from(2, 1)).unwrap());
        assert_eq!(cut(&places), [0, 7], "idle");
        let _more = crowd.serve(&from(2, 1)).unwrap();
        others.push(crowd.enter(from(2, 2)).unwrap());
        assert_eq!(cut(&places), [0, 1, 7], "half a body");
        let _most = crowd.serve(&from(2, 2)).unwrap();
        assert!(crowd.enter(from(2, 3)).is_none(), "nobody's work goes for who is there already");
        others.push(crowd.enter(from(3, 0)).unwrap());
        assert_eq!(cut(&places), [0, 1, 2, 7], "but for who has nothing, of whoever has most");
        assert_eq!(cut(&others), [] as [usize; 0]);
        // Free places need nobody's.
        drop(places);
        assert!(crowd.enter(from(2, 4)).is_some());
        assert_eq!(cut(&others), [] as [usize; 0]);
    }

    #[test]
    fn an_address_over_its_share_replaces_its_own_alone() {
        let crowd = Crowd::new(4, true);
        let quiet = crowd.enter(from(2, 0)).unwrap();
        let places: Vec<_> = (0..3).map(|port| crowd.enter(from(1, port)).unwrap()).collect();
        let next = crowd.enter(from(1, 3)).unwrap();
        assert_eq!((cut(&places), quiet.seat.cut.is_cancelled()), (vec![0], false));
        let served: Vec<_> = (1..4).map(|port| crowd.serve(&from(1, port)).unwrap()).collect();
        assert!(crowd.enter(from(1, 4)).is_none());
        drop((served, next));
    }

    #[test]
    fn behind_a_proxy_only_who_waits_for_nothing_goes() {
        let crowd = Crowd::new(2, false);
        let places: Vec<_> = (0..2).map(|port| crowd.enter(from(1, port)).unwrap()).collect();
        let served: Vec<_> = (0..2).map(|port| crowd.serve(&from(1, port)).unwrap()).collect();
        assert!(crowd.enter(from(9, 0)).is_none());
        drop(served);
        assert!(crowd.enter(from(1, 2)).is_some());
        assert_eq!(cut(&places), [0]);
    }

    #[test]
    fn a_place_that_was_given_away_frees_nothing_twice() {
        let crowd = Crowd::new(1, true);
        let first = crowd.enter(from(1, 0)).unwrap();
        let second = crowd.enter(from(1, 0)).unwrap();
        drop(first);
        assert_eq!(crowd.seats().of(&network(from(1, 0).ip())), 1);
        drop(second);
        assert!(crowd.seats().all.is_empty() && crowd.seats().held.is_empty());
    }
}
