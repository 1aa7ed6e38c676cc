//! Everything one node does, in one task: whom it dials and when, whom it keeps, and what is told
//! of it.
//!
//! Decides that a claimer's node dials one peer, at the addresses of the link and a bounded number
//! from the local network, with pauses; and that a node which others come to hangs up on strangers
//! who don't prove who they are in time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use libp2p::connection_limits::ConnectionLimits;
use libp2p::core::ConnectedPoint;
use libp2p::core::multiaddr::{Multiaddr, Protocol};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, SwarmEvent};
use libp2p::{PeerId, Swarm, mdns, ping};
use parsec_protocol::p2p::{ADDRESSES_MAX, Hints, Relay, may_be_met_at};
use parsec_protocol::public_keys::PeerKey;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::convert::{both, by_way_of, id_of, key_of, socket_of};
use super::gather::{Gather, is_near};
use super::library::{Behaviour, BehaviourEvent};
use super::{Command, Link, NodeError, Peer, Status};

/// How long a stranger has to prove that they hold the link, or are a member's device.
const PROOF_WAIT: Duration = Duration::from_secs(10);
/// Pauses between dials: the first is shorter than a person notices, the last is how late a
/// transport that is back is found.
const DIAL_PAUSE_FIRST: Duration = Duration::from_millis(250);
const DIAL_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Connections that one node takes in its life. The library keeps some hundred bytes of each: 20
/// MiB, and hours of a flood.
const ACCEPTED_MAX: u32 = 50_000;
/// Addresses from the local network that are dialled beside those of the link.
const FOUND_MAX: usize = 8;

/// Who is looked for, and where.
pub(super) struct Target {
    peer: PeerId,
    /// From the link.
    named: Vec<Multiaddr>,
    /// Relays that the link names.
    relays: Vec<String>,
    /// From the local network, newest last.
    found: Vec<SocketAddr>,
    /// Where somebody else answered: dialled only where there is nothing else, so that nobody who
    /// answers quickly hides the one who is meant.
    wrong: Vec<SocketAddr>,
    next: Option<Instant>,
    pause: Duration,
}

impl Target {
    pub(super) fn new(hints: &Hints) -> Result<Self, NodeError> {
        let peer = id_of(&hints.peer)?;
        let mut named: Vec<Multiaddr> = Vec::new();
        for address in hints.addresses.iter().take(ADDRESSES_MAX) {
            named.extend(both(*address));
        }
        for relay in hints.relays.iter().take(ADDRESSES_MAX) {
            named.push(by_way_of(relay)?.with(Protocol::P2p(peer)));
        }
        let relays = hints.relays.iter().map(|relay| relay.peer.clone()).collect();
        Ok(Self {
            peer,
            named,
            relays,
            found: Vec::new(),
            wrong: Vec::new(),
            next: Some(Instant::now()),
            pause: DIAL_PAUSE_FIRST,
        })
    }

    /// The next dial, a little later than the last.
    fn later(&mut self) {
        self.next = Some(Instant::now() + self.pause);
        self.pause = self.pause.saturating_mul(2).min(DIAL_PAUSE_MAX);
    }

    fn addresses(&self) -> Vec<Multiaddr> {
        let found = self.found.iter().rev().flat_map(|address| both(*address));
        let all: Vec<Multiaddr> = self.named.iter().cloned().chain(found).collect();
        let is_wrong = |address: &Multiaddr| socket_of(address).is_some_and(|at| self.wrong.contains(&at));
        let rest: Vec<_> = all.iter().filter(|address| !is_wrong(address)).cloned().collect();
        if rest.is_empty() { all } else { rest }
    }
}

/// Everything one node does, in one task.
pub(super) struct Driver {
    swarm: Swarm<Behaviour>,
    target: Option<Target>,
    /// Nodes of the local network, where anybody there is looked for.
    gather: Option<Gather>,
    /// Where others can be reached through, and when to ask for it again.
    relays: Vec<(Multiaddr, Option<Instant>)>,
    connections: BTreeMap<ConnectionId, (PeerId, Peer)>,
    /// Connections that others have opened so far.
    accepted: u32,
    /// Strangers, and until when they may be.
    unproven: BTreeMap<PeerId, Instant>,
    pub(super) status: watch::Sender<Status>,
}

impl Driver {
    pub(super) fn new(swarm: Swarm<Behaviour>, target: Option<Target>, relays: &[Relay]) -> Self {
        let mdns = swarm.behaviour().mdns.is_enabled() || swarm.behaviour().mdns_6.is_enabled();
        let status = watch::Sender::new(Status { mdns, ..Status::default() });
        let policy = &swarm.behaviour().dial_policy;
        for relay in
            relays.iter().map(|relay| &relay.peer).chain(target.iter().flat_map(|target| &target.relays))
        {
            if let Ok(peer) = relay.parse() {
                policy.relay(peer);
            }
        }
        if let Some(target) = &target {
            policy.proven(target.peer);
        }
        let now = Some(Instant::now());
        let relays = relays.iter().filter_map(|relay| by_way_of(relay).ok()).map(|at| (at, now)).collect();
        Self {
            swarm,
            target,
            gather: None,
            relays,
            connections: BTreeMap::new(),
            accepted: 0,
            unproven: BTreeMap::new(),
            status,
        }
    }

    /// The same for a node that looks for anybody on the local network.
    pub(super) fn gathering(swarm: Swarm<Behaviour>) -> Self {
        Self { gather: Some(Gather::default()), ..Self::new(swarm, None, &[]) }
    }

    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            let due = self.due();
            tokio::select! {
                event = self.swarm.select_next_some() => self.happened(event),
                command = commands.recv() => match command {
                    Some(Command::Proven(key)) => self.proven(&key),
                    Some(Command::Unproven(key)) => self.unproven(&key),
                    Some(Command::Dismiss(key)) => self.dismiss(&key),
                    None => return,
                },
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.act(),
            }
        }
    }

    /// When something is to be done next.
    fn due(&self) -> Option<Instant> {
        let dial = self.target.as_ref().and_then(|target| target.next);
        let relay = self.relays.iter().filter_map(|(_, next)| *next);
        let gather = self.gather.as_ref().and_then(Gather::due);
        self.unproven.values().copied().chain(dial).chain(relay).chain(gather).min()
    }

    fn act(&mut self) {
        let now = Instant::now();
        let late: Vec<_> =
            self.unproven.iter().filter(|(_, until)| **until <= now).map(|(peer, _)| *peer).collect();
        for peer in late {
            self.unproven.remove(&peer);
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        for (relay, next) in &mut self.relays {
            if next.is_some_and(|next| next <= now) {
                *next = self.swarm.listen_on(relay.clone()).err().map(|_| now + DIAL_PAUSE_MAX);
            }
        }
        if self.target.as_ref().is_some_and(|target| target.next.is_some_and(|next| next <= now)) {
            self.dial();
        }
        while let Some((peer, addresses)) = self.gather.as_mut().and_then(|gather| gather.next(now)) {
            self.dial_found(peer, addresses);
        }
    }

    fn dial_found(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        let dial = DialOpts::peer_id(peer)
            .addresses(addresses)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .build();
        self.swarm.behaviour().dial_policy.own(dial.connection_id());
        if let Err(error) = self.swarm.dial(dial)
            && !matches!(error, DialError::DialPeerConditionFalse(_))
            && let Some(gather) = &mut self.gather
        {
            gather.lost(&peer, false);
        }
    }

    fn dial(&mut self) {
        let Some(target) = &mut self.target else { return };
        target.next = None;
        let addresses = target.addresses();
        if addresses.is_empty() {
            target.later();
            self.trouble("it has not been found on the local network");
            return;
        }
        let dial = DialOpts::peer_id(target.peer)
            .addresses(addresses)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .build();
        self.swarm.behaviour().dial_policy.own(dial.connection_id());
        // A dial that is not begun because one is under way is no failure.
        if let Err(error) = self.swarm.dial(dial)
            && !matches!(error, DialError::DialPeerConditionFalse(_))
        {
            self.undialled(&error);
        }
    }

    fn undialled(&mut self, error: &DialError) {
        if let Some(target) = &mut self.target {
            if let DialError::WrongPeerId { address, .. } = error
                && let Some(at) = socket_of(address)
            {
                target.found.retain(|found| *found != at);
                target.wrong.retain(|wrong| *wrong != at);
                if target.wrong.len() == FOUND_MAX {
                    target.wrong.remove(0);
                }
                target.wrong.push(at);
            }
            target.later();
        }
        self.trouble(match error {
            DialError::WrongPeerId { .. } => "another device answers at its address",
            DialError::Transport(_) => "nobody answers at its addresses",
            DialError::LocalPeerId { .. }
            | DialError::NoAddresses
            | DialError::DialPeerConditionFalse(_)
            | DialError::Aborted
            | DialError::Denied { .. } => "the connection was not made",
        });
    }

    fn trouble(&self, why: &str) {
        self.status.send_if_modified(|status| {
            let new = status.trouble.as_deref() != Some(why);
            status.trouble = Some(why.to_owned());
            new
        });
    }

    fn proven(&mut self, key: &PeerKey) {
        let Ok(peer) = id_of(key) else { return };
        self.swarm.behaviour().dial_policy.proven(peer);
        self.unproven.remove(&peer);
        for (whose, there) in self.connections.values_mut() {
            if *whose == peer {
                there.proven = true;
            }
        }
        self.show();
    }

    /// Whoever has proven something is a stranger again, who has little time to do so anew.
    fn unproven(&mut self, key: &PeerKey) {
        let Ok(peer) = id_of(key) else { return };
        let mut was_proven = false;
        for (whose, there) in self.connections.values_mut() {
            if *whose == peer {
                was_proven |= there.proven;
                there.proven = false;
            }
        }
        if was_proven {
            self.unproven.insert(peer, Instant::now() + PROOF_WAIT);
            self.show();
        }
    }

    fn dismiss(&mut self, key: &PeerKey) {
        let Ok(peer) = id_of(key) else { return };
        if let Some(gather) = &mut self.gather {
            gather.dismissed(&peer);
        }
        let _ = self.swarm.disconnect_peer_id(peer);
    }

    fn show(&self) {
        let peers: Vec<_> = self.connections.values().map(|(_, peer)| peer.clone()).collect();
        let connected = self
            .target
            .as_ref()
            .is_some_and(|target| self.connections.values().any(|(peer, _)| *peer == target.peer));
        self.status.send_modify(|status| {
            status.peers = peers;
            status.connected = connected;
            if connected {
                status.trouble = None;
            }
        });
    }

    fn happened(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.told(event),
            SwarmEvent::NewListenAddr { address, .. } => {
                let relayed = address.iter().any(|part| part == Protocol::P2pCircuit);
                self.status.send_modify(|status| {
                    let list = if relayed { &mut status.relays } else { &mut status.listening };
                    list.push(address.to_string());
                });
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => self.unlisten(&address),
            SwarmEvent::ListenerClosed { addresses, .. } => {
                for address in &addresses {
                    self.unlisten(address);
                }
                // A reservation that ended, or was never made, is asked for again.
                let listeners: Vec<_> = self.swarm.listeners().cloned().collect();
                let later = Some(Instant::now() + DIAL_PAUSE_MAX);
                for (relay, next) in &mut self.relays {
                    if next.is_none()
                        && !listeners.iter().any(|at| at.to_string().starts_with(&relay.to_string()))
                    {
                        *next = later;
                    }
                }
            }
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.connected(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, num_established, .. } => {
                let gone = self.connections.remove(&connection_id);
                if num_established == 0 {
                    self.unproven.remove(&peer_id);
                    if let Some(gather) = &mut self.gather {
                        gather.lost(&peer_id, gone.is_some_and(|(_, there)| there.proven));
                    }
                    if let Some(target) = self.target.as_mut().filter(|target| target.peer == peer_id) {
                        target.pause = DIAL_PAUSE_FIRST;
                        target.later();
                        self.trouble("the connection broke");
                    }
                }
                self.show();
            }
            SwarmEvent::OutgoingConnectionError { peer_id, error, .. } => {
                let connected = peer_id.is_some_and(|peer| self.swarm.is_connected(&peer));
                if let (Some(gather), Some(peer), false) = (&mut self.gather, peer_id, connected) {
                    gather.lost(&peer, false);
                }
                let ours = self.target.as_ref().is_some_and(|target| Some(target.peer) == peer_id);
                if ours && !self.status.borrow().connected {
                    self.undialled(&error);
                }
            }
            // Connections under way, listeners in trouble, and addresses of ours or theirs that
            // nobody here uses.
            _ => {}
        }
    }

    fn unlisten(&self, address: &Multiaddr) {
        let gone = address.to_string();
        self.status.send_modify(|status| {
            status.listening.retain(|at| *at != gone);
            status.relays.retain(|at| *at != gone);
        });
    }

    fn connected(&mut self, peer: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        let Some(key) = key_of(&peer) else {
            // A relay may have an identity of another kind; a claimer's daemon never has.
            if endpoint.is_listener() {
                let _ = self.swarm.disconnect_peer_id(peer);
            }
            return;
        };
        let address = endpoint.get_remote_address();
        let link = if endpoint.is_relayed() {
            Link::Relay
        } else if address.iter().any(|part| part == Protocol::QuicV1) {
            Link::Quic
        } else {
            Link::Tcp
        };
        let inbound = endpoint.is_listener();
        // The port is open on every network: whoever comes from outside a private one is nobody who
        // is looked for.
        if inbound && self.gather.is_some() && !is_near(address) {
            self.swarm.close_connection(connection);
            return;
        }
        if inbound {
            self.accepted = self.accepted.saturating_add(1);
            if self.accepted == ACCEPTED_MAX {
                let none = ConnectionLimits::default().with_max_pending_incoming(Some(0));
                *self.swarm.behaviour_mut().limits.limits_mut() = none;
                tracing::warn!(
                    "too many strangers have connected; this end of the peer-to-peer transport takes no more"
                );
                self.trouble("too many strangers have connected; start again");
            }
        }
        if link != Link::Relay {
            // There is a way without the relay now: what runs over it begins anew on the better
            // one.
            let relayed: Vec<_> = self
                .connections
                .iter()
                .filter(|(_, (whose, there))| *whose == peer && there.link == Link::Relay)
                .map(|(id, _)| *id)
                .collect();
            for id in relayed {
                self.swarm.close_connection(id);
            }
        }
        let known = self.connections.values().any(|(whose, there)| *whose == peer && there.proven);
        let proven = known || self.target.as_ref().is_some_and(|target| target.peer == peer);
        if (inbound || self.gather.is_some()) && !proven {
            self.unproven.entry(peer).or_insert_with(|| Instant::now() + PROOF_WAIT);
        }
        let there = Peer { peer: key, address: address.to_string(), link, inbound, proven };
        self.connections.insert(connection, (peer, there));
        if let Some(target) = self.target.as_mut().filter(|target| target.peer == peer) {
            target.next = None;
            target.pause = DIAL_PAUSE_FIRST;
        }
        if let Some(gather) = &mut self.gather {
            gather.connected(&peer);
        }
        self.show();
    }

    fn told(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Ping(ping::Event { connection, result: Err(_), .. }) => {
                // The other side does not answer: what waits on this connection must look for
                // another.
                self.swarm.close_connection(connection);
            }
            BehaviourEvent::Mdns(mdns::Event::Discovered(found))
            | BehaviourEvent::Mdns6(mdns::Event::Discovered(found)) => self.found(found),
            BehaviourEvent::Mdns(mdns::Event::Expired(gone))
            | BehaviourEvent::Mdns6(mdns::Event::Expired(gone)) => {
                if let Some(gather) = &mut self.gather {
                    gone.iter().for_each(|(peer, address)| gather.gone(peer, address));
                }
            }
            BehaviourEvent::DialPolicy(_)
            | BehaviourEvent::Limits(_)
            | BehaviourEvent::Streams(_)
            | BehaviourEvent::Ping(_)
            | BehaviourEvent::Identify(_)
            | BehaviourEvent::Relay(_)
            | BehaviourEvent::Punch(_)
            | BehaviourEvent::Reach(_) => {}
        }
    }

    /// Takes what the local network says of the one peer. Anybody there can say anything: it is
    /// where to look, and a bounded number.
    fn found(&mut self, found: Vec<(PeerId, Multiaddr)>) {
        if let Some(gather) = &mut self.gather {
            found.iter().for_each(|(peer, address)| gather.found(*peer, address));
        }
        let Some(target) = &mut self.target else { return };
        let mut new = false;
        for (peer, address) in found {
            let Some(address) = socket_of(&address) else { continue };
            // The rules of a link hold for what the network says, too.
            let here = peer == target.peer && may_be_met_at(&address, false);
            if !here || target.found.contains(&address) {
                continue;
            }
            if target.found.len() == FOUND_MAX {
                target.found.remove(0);
            }
            target.found.push(address);
            new = true;
        }
        if new && !self.status.borrow().connected {
            target.pause = DIAL_PAUSE_FIRST;
            target.next = Some(Instant::now());
        }
    }
}
