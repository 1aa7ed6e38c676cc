//! Where the library may dial. Nearly all dials are the driver's own; the rest are asked for by the
//! other side.
//!
//! Decides that what a stranger names is never dialled inside this machine or its network, never at
//! a system's port, and that what anybody names is bounded. Hole punching dials the addresses that
//! the other side says it has: without this, whoever reaches a greeter by way of a relay, or writes
//! a link with a relay in it, could have this machine try any address and port.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use libp2p::PeerId;
use libp2p::core::Endpoint;
use libp2p::core::multiaddr::Multiaddr;
use libp2p::core::transport::PortUse;
use libp2p::swarm::behaviour::FromSwarm;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
    dummy,
};
use parsec_protocol::p2p::may_be_met_at;

use super::convert::socket_of;

/// Addresses that others may have this node dial, in its whole life: some rounds of punching with
/// some addresses each.
const NAMED_BY_OTHERS_MAX: usize = 32;

/// A dial that nobody here wants.
#[derive(Debug, thiserror::Error)]
#[error("this node does not dial there")]
struct NotThere;

/// What may be dialled.
#[derive(Debug, Default)]
struct Permits {
    /// Dials that the driver is about to make.
    own: BTreeSet<ConnectionId>,
    /// Relays that were configured, or that the link names.
    relays: BTreeSet<PeerId>,
    /// Peers who hold the link.
    proven: BTreeSet<PeerId>,
    /// Addresses dialled for others so far.
    named: usize,
}

/// The policy, as the driver holds it and as the library asks it.
#[derive(Debug, Clone, Default)]
pub(in crate::p2p) struct DialPolicy(Arc<Mutex<Permits>>);

impl DialPolicy {
    fn permits(&self) -> MutexGuard<'_, Permits> {
        // Every change is one call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The driver's own dial.
    pub(super) fn own(&self, connection: ConnectionId) {
        self.permits().own.insert(connection);
    }

    /// A relay of ours.
    pub(super) fn relay(&self, peer: PeerId) {
        self.permits().relays.insert(peer);
    }

    /// A peer who holds the link.
    pub(super) fn proven(&self, peer: PeerId) {
        self.permits().proven.insert(peer);
    }

    fn may_dial(&self, connection: ConnectionId, peer: Option<PeerId>, addresses: &[Multiaddr]) -> bool {
        let mut permits = self.permits();
        if permits.own.remove(&connection) || peer.is_some_and(|peer| permits.relays.contains(&peer)) {
            return true;
        }
        permits.named = permits.named.saturating_add(addresses.len().max(1));
        let proven = peer.is_some_and(|peer| permits.proven.contains(&peer));
        let fits = |address: &Multiaddr| {
            socket_of(address).is_some_and(|at| may_be_met_at(&at, false) && (proven || is_public(&at.ip())))
        };
        permits.named <= NAMED_BY_OTHERS_MAX && !addresses.is_empty() && addresses.iter().all(fits)
    }
}

/// Whether an address is nobody's private one.
pub(super) const fn is_public(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            // RFC 1918, and what carriers share (RFC 6598, 100.64.0.0/10).
            let [first, second, ..] = ip.octets();
            let shared = first == 100 && second & 0xc0 == 64;
            !(ip.is_private() || shared)
        }
        IpAddr::V6(ip) => !ip.is_unique_local(),
    }
}

impl NetworkBehaviour for DialPolicy {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if self.may_dial(connection, peer, addresses) {
            Ok(Vec::new())
        } else {
            tracing::debug!("a dial that others asked for was not made");
            Err(ConnectionDenied::new(NotThere))
        }
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<Multiaddr> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn strangers_send_nobody_into_a_network() {
        let id = ConnectionId::new_unchecked(1);
        let stranger = Some(PeerId::random());
        for inside in [
            "/ip4/127.0.0.1/tcp/6379",
            "/ip4/192.168.1.1/tcp/8080",
            "/ip4/10.0.0.1/udp/4001/quic-v1",
            "/ip4/100.64.0.1/tcp/4001",
            "/ip4/169.254.169.254/tcp/8080",
            "/ip4/8.8.8.8/tcp/22",
            "/ip6/::1/tcp/4001",
            "/ip6/fd00::1/tcp/4001",
            "/ip6/fe80::1/tcp/4001",
            "/dns4/localhost/tcp/4001",
            "/ip4/0.0.0.0/tcp/4001",
        ] {
            let policy = DialPolicy::default();
            let both = addresses(&["/ip4/198.51.100.7/udp/4001/quic-v1", inside]);
            assert!(!policy.may_dial(id, stranger, &both), "{inside}");
        }
        let policy = DialPolicy::default();
        let outside = addresses(&["/ip4/198.51.100.7/udp/4001/quic-v1"]);
        assert!(policy.may_dial(id, stranger, &outside) && !policy.may_dial(id, stranger, &[]));
        // Who holds the link may have a private address, but not this machine's own.
        let peer = PeerId::random();
        policy.proven(peer);
        assert!(policy.may_dial(id, Some(peer), &addresses(&["/ip4/192.168.1.1/tcp/8080"])));
        assert!(!policy.may_dial(id, Some(peer), &addresses(&["/ip4/127.0.0.1/tcp/8080"])));
    }

    #[test]
    fn what_others_name_is_bounded_and_what_we_dial_is_not_counted() {
        let policy = DialPolicy::default();
        let peer = Some(PeerId::random());
        let many = addresses(&["/ip4/198.51.100.7/udp/4001/quic-v1"; NAMED_BY_OTHERS_MAX]);
        assert!(policy.may_dial(ConnectionId::new_unchecked(1), peer, &many));
        assert!(!policy.may_dial(ConnectionId::new_unchecked(2), peer, &many[..1]));
        let own = ConnectionId::new_unchecked(3);
        policy.own(own);
        assert!(policy.may_dial(own, peer, &addresses(&["/ip4/127.0.0.1/tcp/4001"])));
        assert!(!policy.may_dial(own, peer, &addresses(&["/ip4/127.0.0.1/tcp/4001"])), "once");
        let relay = PeerId::random();
        policy.relay(relay);
        assert!(policy.may_dial(
            ConnectionId::new_unchecked(4),
            Some(relay),
            &addresses(&["/ip4/10.0.0.1/tcp/443"])
        ));
    }
}
