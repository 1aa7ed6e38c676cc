//! The one file that names libp2p: a node that lives as long as one invitation is greeted or claimed.
//!
//! Decides which transports there are, how many connections, streams and dials, whom a claimer dials (one peer, at a bounded number
//! of addresses) and whom a greeter keeps (who has proved to hold the link). Turns the library's types into ours.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU8;
use std::time::Duration;

use futures_util::StreamExt as _;
use libp2p::core::ConnectedPoint;
use libp2p::core::multiaddr::{Multiaddr, Protocol};
use libp2p::identity::{Keypair, PublicKey, ed25519};
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, NetworkBehaviour, SwarmEvent};
use libp2p::{
    PeerId, StreamProtocol, Swarm, SwarmBuilder, autonat, connection_limits, dcutr, identify, mdns, noise,
    ping, relay, tcp, yamux,
};
use libp2p_stream::{Control, IncomingStreams};
use parsec_protocol::direct::{ADDRESSES_MAX, Hints, PORT_MIN, PROTOCOL, Relay};
use parsec_protocol::keys::PeerSecret;
use parsec_protocol::limits::BODY_MAX_BYTES;
use parsec_protocol::public::PeerKey;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _};
use tokio_util::task::AbortOnDropHandle;

use crate::entropy;

/// Connections that strangers may have open here, and as many again while they shake hands: one claimer needs one or two. Times
/// [`STREAMS_MAX`] and what a stream may hold unread (256 KiB) they are 64 MiB.
const INCOMING_MAX: u32 = 16;
/// Of them by one peer: one directly, one by way of a relay, and one that replaces a dead one.
const INCOMING_PER_PEER_MAX: u32 = 3;
/// Connections opened from here: to the one peer and the relays, on each address twice.
const OUTGOING_MAX: u32 = 32;
/// Streams on a connection: a claimer has two, one of them the one that it follows.
const STREAMS_MAX: usize = 16;
/// Addresses dialled at once.
const DIALS_AT_ONCE: NonZeroU8 = NonZeroU8::MIN.saturating_add(7);
/// How long a stranger has to prove that they hold the link.
const PROOF_WAIT: Duration = Duration::from_secs(10);
/// A connection without streams is closed after this time.
const IDLE: Duration = Duration::from_secs(60);
/// How often a connection is tried, and how long it may be silent: half a minute without the other side is a broken road.
const PING_EVERY: Duration = Duration::from_secs(5);
const PING_WAIT: Duration = Duration::from_secs(10);
/// Pauses between dials: the first is shorter than a person notices, the last is how late a road that is back is found.
const DIAL_PAUSE_FIRST: Duration = Duration::from_millis(250);
const DIAL_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Addresses from the local network that are dialled beside those of the link.
const FOUND_MAX: usize = 8;
/// Commands that may wait for the node.
const COMMANDS_MAX: usize = 32;
/// How often the local network is asked at most; answers come at once, so this is for questions that got lost.
const MDNS_EVERY: Duration = Duration::from_secs(5);
/// How long what was announced there is remembered: hardly longer than the node lives.
const MDNS_TTL: Duration = Duration::from_secs(60);

/// A stream, as everything else here knows streams.
pub(super) type Stream = Compat<libp2p::Stream>;

/// Why there is no node, or no stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// The node could not be set up.
    #[error("the direct road can't be set up: {0}")]
    Setup(String),
    /// Not connected, or not any more.
    #[error("{0}")]
    Unreachable(String),
}

/// How a connection runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// QUIC.
    Quic,
    /// TCP.
    Tcp,
    /// By way of a relay.
    Relay,
}

/// Somebody connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who, as their node says and proves.
    pub peer: PeerKey,
    /// From or to where.
    pub address: String,
    /// How.
    pub link: Link,
    /// They came to us.
    pub inbound: bool,
    /// They have proved to hold the link, or are the one whom we looked for.
    pub proven: bool,
}

/// What a node is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Where it listens.
    pub listening: Vec<String>,
    /// Who is connected.
    pub peers: Vec<Peer>,
    /// Whether the peer that is looked for is connected.
    pub connected: bool,
    /// Why it is not, as far as is known.
    pub trouble: Option<String>,
    /// Relays through which it can be reached.
    pub relays: Vec<String>,
    /// Whether the local network is asked.
    pub mdns: bool,
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    limits: connection_limits::Behaviour,
    streams: libp2p_stream::Behaviour,
    ping: ping::Behaviour,
    identify: identify::Behaviour,
    mdns: Toggle<mdns::tokio::Behaviour>,
    mdns_6: Toggle<mdns::tokio::Behaviour>,
    relay: relay::client::Behaviour,
    punch: Toggle<dcutr::Behaviour>,
    reach: Toggle<autonat::v2::client::Behaviour>,
}

enum Command {
    Proven(PeerKey),
    Dismiss(PeerKey),
}

/// A running node. Dropping it closes everything.
pub(super) struct Node {
    key: PeerKey,
    control: Control,
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Status>,
    _task: AbortOnDropHandle<()>,
}

/// Streams that others open.
pub(super) struct Incoming(IncomingStreams);

impl Incoming {
    /// The next one, and whose it is.
    pub(super) async fn next(&mut self) -> Option<(PeerKey, Stream)> {
        loop {
            let (peer, stream) = self.0.next().await?;
            // Others than Ed25519 identities are none of ours: their stream is closed by dropping it.
            if let Some(key) = key_of(&peer) {
                return Some((key, stream.compat()));
            }
        }
    }
}

impl Node {
    /// Listens for claimers, at this port where it is free, at another where not.
    pub(super) fn listen(
        secret: &PeerSecret,
        port: u16,
        relays: &[Relay],
    ) -> Result<(Self, Incoming), NodeError> {
        let mut swarm = swarm(secret, !relays.is_empty())?;
        let mut control = swarm.behaviour().streams.new_control();
        let incoming = control.accept(StreamProtocol::new(PROTOCOL)).map_err(setup)?;
        let mut listening = false;
        for ip in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)] {
            for address in both(SocketAddr::new(ip, port)) {
                // A machine without IPv6 is no failure, and a taken port is found by multicast.
                listening |= swarm.listen_on(address).is_ok();
            }
        }
        if !listening {
            for address in both(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)) {
                swarm.listen_on(address).map_err(setup)?;
            }
        }
        let driver = Driver::new(swarm, None, relays);
        Ok((Self::start(secret.peer_key(), control, driver), Incoming(incoming)))
    }

    /// Looks for one peer.
    pub(super) fn seek(hints: &Hints) -> Result<Self, NodeError> {
        let secret = PeerSecret::random(&mut entropy::System).map_err(setup)?;
        let mut swarm = swarm(&secret, !hints.relays.is_empty())?;
        if !hints.relays.is_empty() {
            // Punching through two routers takes a socket that both ways go through.
            for address in both(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)) {
                swarm.listen_on(address).map_err(setup)?;
            }
        }
        let control = swarm.behaviour().streams.new_control();
        let target = Target::new(hints)?;
        Ok(Self::start(secret.peer_key(), control, Driver::new(swarm, Some(target), &[])))
    }

    fn start(key: PeerKey, control: Control, driver: Driver) -> Self {
        let (commands, queue) = mpsc::channel(COMMANDS_MAX);
        let status = driver.status.subscribe();
        let task = AbortOnDropHandle::new(tokio::spawn(driver.run(queue)));
        Self { key, control, commands, status, _task: task }
    }

    /// Who this node is.
    pub(super) const fn key(&self) -> PeerKey {
        self.key
    }

    /// What it is doing.
    pub(super) fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// A new stream to a peer that is connected.
    pub(super) async fn open(&self, peer: &PeerKey) -> Result<Stream, NodeError> {
        if !self.status.borrow().connected {
            let why = self.status.borrow().trouble.clone();
            return Err(NodeError::Unreachable(why.unwrap_or_else(|| "not found yet".to_owned())));
        }
        let peer = id_of(peer)?;
        let opened = self.control.clone().open_stream(peer, StreamProtocol::new(PROTOCOL)).await;
        let stream = opened.map_err(|error| NodeError::Unreachable(error.to_string()))?;
        Ok(stream.compat())
    }

    /// This peer holds the link, and may stay.
    pub(super) fn proven(&self, peer: PeerKey) {
        // A full queue means a flood of proofs: who is not noted is asked again.
        let _ = self.commands.try_send(Command::Proven(peer));
    }

    /// This peer does not hold the link.
    pub(super) fn dismiss(&self, peer: PeerKey) {
        let _ = self.commands.try_send(Command::Dismiss(peer));
    }
}

/// Who is looked for, and where.
struct Target {
    peer: PeerId,
    /// From the link.
    named: Vec<Multiaddr>,
    /// From the local network, newest last.
    found: Vec<SocketAddr>,
    next: Option<Instant>,
    pause: Duration,
}

impl Target {
    fn new(hints: &Hints) -> Result<Self, NodeError> {
        let peer = id_of(&hints.peer)?;
        let mut named: Vec<Multiaddr> = Vec::new();
        for address in hints.addresses.iter().take(ADDRESSES_MAX) {
            named.extend(both(*address));
        }
        for relay in hints.relays.iter().take(ADDRESSES_MAX) {
            named.push(by_way_of(relay)?.with(Protocol::P2p(peer)));
        }
        Ok(Self { peer, named, found: Vec::new(), next: Some(Instant::now()), pause: DIAL_PAUSE_FIRST })
    }

    /// The next dial, a little later than the last.
    fn later(&mut self) {
        self.next = Some(Instant::now() + self.pause);
        self.pause = self.pause.saturating_mul(2).min(DIAL_PAUSE_MAX);
    }

    fn addresses(&self) -> Vec<Multiaddr> {
        let found = self.found.iter().rev().flat_map(|address| both(*address));
        self.named.iter().cloned().chain(found).collect()
    }
}

/// Everything one node does, in one task.
struct Driver {
    swarm: Swarm<Behaviour>,
    target: Option<Target>,
    /// Where others can be reached through, and when to ask for it again.
    relays: Vec<(Multiaddr, Option<Instant>)>,
    connections: BTreeMap<ConnectionId, (PeerId, Peer)>,
    /// Strangers, and until when they may be.
    unproven: BTreeMap<PeerId, Instant>,
    status: watch::Sender<Status>,
}

impl Driver {
    fn new(swarm: Swarm<Behaviour>, target: Option<Target>, relays: &[Relay]) -> Self {
        let mdns = swarm.behaviour().mdns.is_enabled() || swarm.behaviour().mdns_6.is_enabled();
        let status = watch::Sender::new(Status { mdns, ..Status::default() });
        let now = Some(Instant::now());
        let relays = relays.iter().filter_map(|relay| by_way_of(relay).ok()).map(|at| (at, now)).collect();
        Self { swarm, target, relays, connections: BTreeMap::new(), unproven: BTreeMap::new(), status }
    }

    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            let due = self.due();
            tokio::select! {
                event = self.swarm.select_next_some() => self.happened(event),
                command = commands.recv() => match command {
                    Some(Command::Proven(key)) => self.proven(&key),
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
        self.unproven.values().copied().chain(dial).chain(relay).min()
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
        // A dial that is not begun because one is under way is no failure.
        if let Err(error) = self.swarm.dial(dial)
            && !matches!(error, DialError::DialPeerConditionFalse(_))
        {
            self.undialled(&error);
        }
    }

    fn undialled(&mut self, error: &DialError) {
        if let Some(target) = &mut self.target {
            target.later();
        }
        self.trouble(match error {
            DialError::WrongPeerId { .. } => "another terminal answers at its address",
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
        self.unproven.remove(&peer);
        for (whose, there) in self.connections.values_mut() {
            if *whose == peer {
                there.proven = true;
            }
        }
        self.show();
    }

    fn dismiss(&mut self, key: &PeerKey) {
        let Ok(peer) = id_of(key) else { return };
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
                self.connections.remove(&connection_id);
                if num_established == 0 {
                    self.unproven.remove(&peer_id);
                    if let Some(target) = self.target.as_mut().filter(|target| target.peer == peer_id) {
                        target.pause = DIAL_PAUSE_FIRST;
                        target.later();
                        self.trouble("the connection broke");
                    }
                }
                self.show();
            }
            SwarmEvent::OutgoingConnectionError { peer_id, error, .. } => {
                let ours = self.target.as_ref().is_some_and(|target| Some(target.peer) == peer_id);
                if ours && !self.status.borrow().connected {
                    self.undialled(&error);
                }
            }
            // Connections under way, listeners in trouble, and addresses of ours or theirs that nobody here uses.
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
        let known = self.connections.values().any(|(whose, there)| *whose == peer && there.proven);
        let proven = known || self.target.as_ref().is_some_and(|target| target.peer == peer);
        if inbound && !proven {
            self.unproven.entry(peer).or_insert_with(|| Instant::now() + PROOF_WAIT);
        }
        let there = Peer { peer: key, address: address.to_string(), link, inbound, proven };
        self.connections.insert(connection, (peer, there));
        if let Some(target) = self.target.as_mut().filter(|target| target.peer == peer) {
            target.next = None;
            target.pause = DIAL_PAUSE_FIRST;
        }
        self.show();
    }

    fn told(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Ping(ping::Event { connection, result: Err(_), .. }) => {
                // The other side does not answer: what waits on this connection must look for another.
                self.swarm.close_connection(connection);
            }
            BehaviourEvent::Mdns(mdns::Event::Discovered(found))
            | BehaviourEvent::Mdns6(mdns::Event::Discovered(found)) => self.found(found),
            BehaviourEvent::Mdns(mdns::Event::Expired(_))
            | BehaviourEvent::Mdns6(mdns::Event::Expired(_))
            | BehaviourEvent::Limits(_)
            | BehaviourEvent::Streams(_)
            | BehaviourEvent::Ping(_)
            | BehaviourEvent::Identify(_)
            | BehaviourEvent::Relay(_)
            | BehaviourEvent::Punch(_)
            | BehaviourEvent::Reach(_) => {}
        }
    }

    /// Takes what the local network says of the one peer. Anybody there can say anything: it is where to look, and a bounded number.
    fn found(&mut self, found: Vec<(PeerId, Multiaddr)>) {
        let Some(target) = &mut self.target else { return };
        let mut new = false;
        for (peer, address) in found {
            let Some(address) = socket_of(&address) else { continue };
            let odd =
                address.port() < PORT_MIN || address.ip().is_unspecified() || address.ip().is_multicast();
            if peer != target.peer || odd || target.found.contains(&address) {
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

/// What went wrong, for a person.
fn setup(error: impl std::fmt::Debug) -> NodeError {
    NodeError::Setup(format!("{error:?}"))
}

/// QUIC and TCP at one address.
fn both(address: SocketAddr) -> [Multiaddr; 2] {
    let ip = match address.ip() {
        IpAddr::V4(ip) => Protocol::Ip4(ip),
        IpAddr::V6(ip) => Protocol::Ip6(ip),
    };
    let at = Multiaddr::from(ip);
    let quic = at.clone().with(Protocol::Udp(address.port())).with(Protocol::QuicV1);
    [quic, at.with(Protocol::Tcp(address.port()))]
}

/// Address and port of a libp2p address.
fn socket_of(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Udp(port) | Protocol::Tcp(port) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

/// The address that stands for "by way of this relay".
fn by_way_of(relay: &Relay) -> Result<Multiaddr, NodeError> {
    let address: Multiaddr = relay.to_string().parse().map_err(setup)?;
    Ok(address.with(Protocol::P2pCircuit))
}

fn id_of(key: &PeerKey) -> Result<PeerId, NodeError> {
    let key = ed25519::PublicKey::try_from_bytes(key.as_bytes()).map_err(setup)?;
    Ok(PublicKey::from(key).to_peer_id())
}

/// The key inside an id. Ed25519 keys are short enough to be their id's own content; others are not ours.
fn key_of(peer: &PeerId) -> Option<PeerKey> {
    let encoded = peer.to_bytes();
    // Multihash: 0 for "as it is", then the length, then the key's protobuf encoding.
    let key = PublicKey::try_decode_protobuf(encoded.get(2..)?).ok()?.try_into_ed25519().ok()?;
    let key = PeerKey::from_bytes(key.to_bytes());
    (id_of(&key).ok()? == *peer).then_some(key)
}

fn swarm(secret: &PeerSecret, relayed: bool) -> Result<Swarm<Behaviour>, NodeError> {
    let mut seed = zeroize::Zeroizing::new(*secret.expose());
    let keypair = Keypair::ed25519_from_bytes(seed.as_mut_slice()).map_err(setup)?;
    let local = keypair.public().to_peer_id();
    let muxer = || {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(STREAMS_MAX);
        config
    };
    // An answer of the largest size, and another beside it.
    let window = u32::try_from(BODY_MAX_BYTES).unwrap_or(u32::MAX);
    let limits = connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(INCOMING_MAX))
        .with_max_established_incoming(Some(INCOMING_MAX))
        .with_max_pending_outgoing(Some(OUTGOING_MAX))
        .with_max_established_outgoing(Some(OUTGOING_MAX))
        .with_max_established_per_peer(Some(INCOMING_PER_PEER_MAX));
    let multicast = |enable_ipv6| {
        let config = mdns::Config { ttl: MDNS_TTL, query_interval: MDNS_EVERY, enable_ipv6 };
        // Where interfaces can't be watched (a sandbox), the addresses of the link are all there is.
        Toggle::from(mdns::tokio::Behaviour::new(config, local).ok())
    };
    let built = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, muxer)
        .map_err(setup)?
        .with_quic_config(|mut config| {
            config.max_concurrent_stream_limit = u32::try_from(STREAMS_MAX).unwrap_or(u32::MAX);
            config.max_stream_data = window;
            config.max_connection_data = window.saturating_mul(2);
            config
        })
        .with_relay_client(noise::Config::new, muxer)
        .map_err(setup)?
        .with_behaviour(|key, relay| Behaviour {
            limits: connection_limits::Behaviour::new(limits),
            streams: libp2p_stream::Behaviour::new(),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_EVERY).with_timeout(PING_WAIT)),
            // Says nothing that would tell one installation from another.
            identify: identify::Behaviour::new(
                identify::Config::new("parsec/1".to_owned(), key.public())
                    .with_agent_version("parsec".to_owned())
                    .with_hide_listen_addrs(true),
            ),
            mdns: multicast(false),
            mdns_6: multicast(true),
            relay,
            punch: Toggle::from(relayed.then(|| dcutr::Behaviour::new(local))),
            reach: Toggle::from(relayed.then(autonat::v2::client::Behaviour::default)),
        })
        .map_err(setup)?
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(IDLE)
                .with_dial_concurrency_factor(DIALS_AT_ONCE)
                .with_max_negotiating_inbound_streams(STREAMS_MAX)
        })
        .build();
    Ok(built)
}
