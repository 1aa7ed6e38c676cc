//! What the daemon knows of the network: where it waits for others, who is connected, which servers
//! answer.
//!
//! Decides what `net.status` and `net.peers` show. Listeners and connections register an entry; the
//! guard removes it on drop. Refuses entries past a bound: what is not shown must not be there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parsec_protocol::control::{
    DirectNode, Listening, PeerView, Problem, ProblemKind, ServerReach, TransportChoice,
};
use parsec_protocol::ids::{OrganisationId, Timestamp};

use crate::os::clock;

/// Whether peer-to-peer transports are built in.
const BUILT_IN: bool = cfg!(feature = "p2p");

/// Places where this machine waits at once: each ceremony has one, and each receipt that is still
/// to come.
const LISTENING_MAX: usize = 128;
/// Connections at once: each place where this machine waits may have some strangers connected.
const PEERS_MAX: usize = 256;
/// Servers of which is noted how they were found: more than anybody is a member of.
const SERVERS_MAX: usize = 64;

/// What the configuration says about the peer-to-peer transport.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Whether it may be used, where it is built in.
    pub on: bool,
    /// Whether devices of one safe are met on the local network.
    pub direct: bool,
    /// Relays to be reached through.
    pub relays: Vec<String>,
}

/// There is no room for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many at once")]
pub struct Full;

impl From<Full> for Problem {
    fn from(_: Full) -> Self {
        Self::new(ProblemKind::TooManyCeremonies, "This machine waits for as many others as it can.")
    }
}

/// Entries of one kind, oldest first.
#[derive(Debug)]
struct Registry<T> {
    max: usize,
    next: u64,
    entries: BTreeMap<u64, T>,
}

/// A registry that many have a part in.
#[derive(Debug)]
struct Shared<T>(Arc<Mutex<Registry<T>>>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Shared<T> {
    fn new(max: usize) -> Self {
        Self(Arc::new(Mutex::new(Registry { max, next: 0, entries: BTreeMap::new() })))
    }

    fn lock(&self) -> MutexGuard<'_, Registry<T>> {
        // Every change is whole before anything could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, entry: T) -> Result<Guard<T>, Full> {
        let mut registry = self.lock();
        if registry.entries.len() >= registry.max {
            return Err(Full);
        }
        let key = registry.next;
        registry.next = registry.next.saturating_add(1);
        registry.entries.insert(key, entry);
        drop(registry);
        Ok(Guard { registry: self.clone(), key })
    }
}

impl<T: Clone> Shared<T> {
    fn all(&self) -> Vec<T> {
        self.lock().entries.values().cloned().collect()
    }
}

/// Keeps an entry shown; dropping it takes the entry away.
#[derive(Debug)]
#[must_use = "the entry is gone when this is dropped"]
pub struct Guard<T> {
    registry: Shared<T>,
    key: u64,
}

impl<T> Guard<T> {
    /// Shows it otherwise from now on: another address, a peer that has proven itself.
    pub fn change(&self, change: impl FnOnce(&mut T)) {
        if let Some(entry) = self.registry.lock().entries.get_mut(&self.key) {
            change(entry);
        }
    }
}

impl<T> Drop for Guard<T> {
    fn drop(&mut self) {
        // The entry is dropped after the lock.
        let _entry = self.registry.lock().entries.remove(&self.key);
    }
}

/// How a server was found when it was asked last.
#[derive(Debug, Clone)]
struct Seen {
    /// Why it did not answer; absent if it did.
    problem: Option<Problem>,
    /// Since when it has been so.
    since: Timestamp,
    /// When it was asked last.
    asked: Timestamp,
}

/// The servers by organisation and address.
type Servers = BTreeMap<(OrganisationId, String), Seen>;

/// What the daemon knows of the network. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Net {
    settings: Arc<Settings>,
    listening: Shared<Listening>,
    peers: Shared<PeerView>,
    direct: Shared<DirectNode>,
    servers: Arc<Mutex<Servers>>,
}

impl Net {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings: Arc::new(settings),
            listening: Shared::new(LISTENING_MAX),
            peers: Shared::new(PEERS_MAX),
            direct: Shared::new(LISTENING_MAX),
            servers: Arc::default(),
        }
    }

    /// Whether devices of one safe are met on the local network.
    #[must_use]
    pub fn meets_directly(&self) -> bool {
        self.has_p2p() && self.settings.direct
    }

    /// Whether the peer-to-peer transport is there.
    #[must_use]
    pub fn has_p2p(&self) -> bool {
        BUILT_IN && self.settings.on
    }

    /// The relays of the configuration.
    #[must_use]
    pub fn relays(&self) -> &[String] {
        &self.settings.relays
    }

    /// Whether a transport may be asked for at all.
    ///
    /// # Errors
    /// `transport_unavailable`.
    pub fn permits(&self, choice: TransportChoice) -> Result<(), Problem> {
        match choice {
            TransportChoice::Auto | TransportChoice::Server => Ok(()),
            TransportChoice::P2p if self.has_p2p() => Ok(()),
            TransportChoice::P2p => Err(unavailable()),
        }
    }

    /// This machine waits for another device, as long as the guard lives.
    ///
    /// # Errors
    /// [`Full`].
    pub fn listening(&self, entry: Listening) -> Result<Guard<Listening>, Full> {
        self.listening.put(entry)
    }

    /// Another device is connected, as long as the guard lives.
    ///
    /// # Errors
    /// [`Full`]: don't take the connection.
    pub fn peer(&self, entry: PeerView) -> Result<Guard<PeerView>, Full> {
        self.peers.put(entry)
    }

    /// A device meets others of its safes, as long as the guard lives.
    ///
    /// # Errors
    /// [`Full`].
    pub fn direct(&self, entry: DirectNode) -> Result<Guard<DirectNode>, Full> {
        self.direct.put(entry)
    }

    /// Where devices of this machine meet others of their safes, oldest first.
    #[must_use]
    pub fn direct_nodes(&self) -> Vec<DirectNode> {
        self.direct.all()
    }

    /// A server was asked, and answered or did not. A refusal is an answer.
    pub fn server_seen(&self, organisation: &OrganisationId, server: &str, found: Result<(), Problem>) {
        self.note(organisation, server, found, clock::now());
    }

    fn note(&self, organisation: &OrganisationId, server: &str, found: Result<(), Problem>, now: Timestamp) {
        let problem = found.err();
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (organisation.clone(), server.to_owned());
        if let Some(seen) = servers.get_mut(&key) {
            if seen.problem.is_some() != problem.is_some() {
                seen.since = now;
            }
            seen.problem = problem;
            seen.asked = now;
            return;
        }
        if servers.len() >= SERVERS_MAX
            && let Some(oldest) =
                servers.iter().min_by_key(|(_, seen)| seen.asked).map(|(key, _)| key.clone())
        {
            servers.remove(&oldest);
        }
        servers.insert(key, Seen { problem, since: now, asked: now });
    }

    /// How these servers were found when they were asked last.
    #[must_use]
    pub fn reach(&self, servers: impl IntoIterator<Item = (OrganisationId, String)>) -> Vec<ServerReach> {
        let known = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers
            .into_iter()
            .map(|key| {
                let seen = known.get(&key);
                let (organisation, server) = key;
                ServerReach {
                    organisation,
                    server,
                    reachable: seen.map(|seen| seen.problem.is_none()),
                    problem: seen.and_then(|seen| seen.problem.clone()),
                    since: seen.map(|seen| seen.since),
                }
            })
            .collect()
    }

    /// Where this machine waits, oldest first.
    #[must_use]
    pub fn places(&self) -> Vec<Listening> {
        self.listening.all()
    }

    /// Who is connected, oldest first.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerView> {
        self.peers.all()
    }
}

/// There is no peer-to-peer transport here.
#[must_use]
pub fn unavailable() -> Problem {
    Problem::new(ProblemKind::TransportUnavailable, "There is no peer-to-peer transport here.")
}

#[cfg(test)]
mod tests;
