//! The one folder that names libp2p: a node that lives as long as one invitation is greeted or
//! claimed, or as long as a device meets others of its safes.
//!
//! Decides what the rest of the daemon sees of it: a stream, who is connected, and what is in the
//! way. `library` sets the library up and bounds it, `driver` is the one task in which everything
//! happens, `convert` turns the library's names into ours.

mod convert;
mod dial_policy;
mod driver;
mod gather;
mod library;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use futures_util::StreamExt as _;
use libp2p::StreamProtocol;
use libp2p_stream::{Control, IncomingStreams};
use parsec_protocol::keys::PeerSecret;
use parsec_protocol::p2p::{Hints, PROTOCOL, Relay};
use parsec_protocol::public_keys::PeerKey;
use tokio::sync::{mpsc, watch};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _};
use tokio_util::task::AbortOnDropHandle;

use self::convert::{both, id_of, key_of};
use self::driver::{Driver, Target};
use self::library::swarm;
use crate::os::entropy;

/// Commands that may wait for the node.
const COMMANDS_MAX: usize = 32;

/// A stream, as everything else here knows streams.
pub(super) type Stream = Compat<libp2p::Stream>;

/// Why there is no node, or no stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// The node could not be set up.
    #[error("the peer-to-peer transport can't be set up: {0}")]
    Setup(String),
    /// Not connected, or not any more.
    #[error("{0}")]
    Unreachable(String),
}

/// How a connection runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Over QUIC version 1.
    Quic,
    /// Over TCP, with Noise and yamux.
    Tcp,
    /// By way of a relay.
    Relay,
}

/// A node that is connected with ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who, as their node says and proves.
    pub peer: PeerKey,
    /// From or to where.
    pub address: String,
    /// What carries the connection.
    pub link: Link,
    /// They came to us.
    pub inbound: bool,
    /// They have proved to hold the link, or are the one whom we looked for.
    pub proven: bool,
}

/// What a node is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Addresses at which it listens, as multiaddresses.
    pub listening: Vec<String>,
    /// Nodes that are connected now.
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

enum Command {
    Proven(PeerKey),
    Unproven(PeerKey),
    Dismiss(PeerKey),
}

/// A running node. Dropping it closes everything.
pub(super) struct Node {
    key: PeerKey,
    protocol: &'static str,
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
            // Others than Ed25519 identities are none of ours: their stream is closed by dropping
            // it.
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
        Ok((Self::start(secret.peer_key(), PROTOCOL, control, driver), Incoming(incoming)))
    }

    /// Listens for anybody on the local network who speaks `protocol`, and looks for them there.
    pub(super) fn gather(protocol: &'static str) -> Result<(Self, Incoming), NodeError> {
        let secret = PeerSecret::random(&mut entropy::System).map_err(setup)?;
        let mut swarm = swarm(&secret, false)?;
        let mut control = swarm.behaviour().streams.new_control();
        let incoming = control.accept(StreamProtocol::new(protocol)).map_err(setup)?;
        let mut listening = false;
        for ip in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)] {
            for address in both(SocketAddr::new(ip, 0)) {
                listening |= swarm.listen_on(address).is_ok();
            }
        }
        if !listening {
            return Err(NodeError::Setup("no address can be listened at".to_owned()));
        }
        let node = Self::start(secret.peer_key(), protocol, control, Driver::gathering(swarm));
        Ok((node, Incoming(incoming)))
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
        Ok(Self::start(secret.peer_key(), PROTOCOL, control, Driver::new(swarm, Some(target), &[])))
    }

    fn start(key: PeerKey, protocol: &'static str, control: Control, driver: Driver) -> Self {
        let (commands, queue) = mpsc::channel(COMMANDS_MAX);
        let status = driver.status.subscribe();
        let task = AbortOnDropHandle::new(tokio::spawn(driver.run(queue)));
        Self { key, protocol, control, commands, status, _task: task }
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
        self.open_to(peer).await
    }

    /// The same to any peer that is connected now.
    pub(super) async fn open_to(&self, peer: &PeerKey) -> Result<Stream, NodeError> {
        let peer = id_of(peer)?;
        let opened = self.control.clone().open_stream(peer, StreamProtocol::new(self.protocol)).await;
        let stream = opened.map_err(|error| NodeError::Unreachable(error.to_string()))?;
        Ok(stream.compat())
    }

    /// This peer holds the link, and may stay.
    pub(super) fn proven(&self, peer: PeerKey) {
        // A full queue means a flood of proofs: who is not noted is asked again.
        let _ = self.commands.try_send(Command::Proven(peer));
    }

    /// This peer has proven something that counts no more.
    pub(super) fn unproven(&self, peer: PeerKey) {
        let _ = self.commands.try_send(Command::Unproven(peer));
    }

    /// This peer does not hold the link.
    pub(super) fn dismiss(&self, peer: PeerKey) {
        let _ = self.commands.try_send(Command::Dismiss(peer));
    }
}

/// A peer as libp2p writes it, for people and their other tools.
#[must_use]
pub fn peer_id(key: &PeerKey) -> String {
    // Every key here came from an id, or was made as one.
    id_of(key).map_or_else(|_| key.to_string(), |id| id.to_base58())
}

/// What went wrong, for a person.
fn setup(error: impl std::fmt::Debug) -> NodeError {
    NodeError::Setup(format!("{error:?}"))
}
