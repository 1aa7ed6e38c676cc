//! Whom a node that looks for anybody dials: nodes that the local network names.
//!
//! Decides that what the network says is where to look, and no more: addresses of private networks
//! alone, a bounded number of nodes, each with pauses that grow. Anybody there can announce
//! anything, so nobody is remembered for long, and being named costs a dial.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use libp2p::PeerId;
use libp2p::core::multiaddr::Multiaddr;
use parsec_protocol::p2p::may_be_met_at;
use tokio::time::Instant;

use super::convert::{both, socket_of};
use super::dial_policy::is_public;

/// Nodes of the local network that are known at once: more devices than one office has, and so many
/// dials at most that whoever announces nonsense can cause in one round.
const KNOWN_MAX: usize = 64;
/// Addresses of each: a few interfaces, of both families.
const ADDRESSES_MAX: usize = 4;
/// Pauses between dials of one node: the first is for one that starts just now, the last so that
/// strangers are not asked all day.
const PAUSE_FIRST: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// Whether a connection comes from a private network, or this machine.
pub(super) fn is_near(address: &Multiaddr) -> bool {
    let ip = socket_of(address).map(|address| address.ip().to_canonical());
    ip.is_some_and(|ip| ip.is_loopback() || !is_public(&ip))
}

#[derive(Debug)]
struct Known {
    addresses: Vec<SocketAddr>,
    /// When to dial next; nothing while a dial or a connection lasts.
    next: Option<Instant>,
    pause: Duration,
    /// It was hung up on: that it proves who it is brings it no nearer.
    misbehaved: bool,
}

/// What is known of the local network.
#[derive(Debug, Default)]
pub(super) struct Gather(BTreeMap<PeerId, Known>);

impl Gather {
    /// The network names a node.
    pub(super) fn found(&mut self, peer: PeerId, address: &Multiaddr) {
        let Some(address) = socket_of(address) else { return };
        if !may_be_met_at(&address, false) || is_public(&address.ip()) {
            return;
        }
        if !self.0.contains_key(&peer) && self.0.len() >= KNOWN_MAX {
            // Whoever has been tried most often is least likely to be anybody's.
            let least = self.0.iter().max_by_key(|(_, known)| known.pause).map(|(peer, _)| *peer);
            least.map(|least| self.0.remove(&least));
        }
        let now = Some(Instant::now());
        let known = self.0.entry(peer).or_insert(Known {
            addresses: Vec::new(),
            next: now,
            pause: PAUSE_FIRST,
            misbehaved: false,
        });
        if known.addresses.len() < ADDRESSES_MAX && !known.addresses.contains(&address) {
            known.addresses.push(address);
        }
    }

    /// The network names it there no more.
    pub(super) fn gone(&mut self, peer: &PeerId, address: &Multiaddr) {
        let (Some(known), Some(address)) = (self.0.get_mut(peer), socket_of(address)) else { return };
        known.addresses.retain(|there| *there != address);
        if known.addresses.is_empty() {
            self.0.remove(peer);
        }
    }

    /// When somebody is to be dialled next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.values().filter_map(|known| known.next).min()
    }

    /// Whom to dial now, and where.
    pub(super) fn next(&mut self, now: Instant) -> Option<(PeerId, Vec<Multiaddr>)> {
        let (peer, known) =
            self.0.iter_mut().find(|(_, known)| known.next.is_some_and(|next| next <= now))?;
        known.next = None;
        Some((*peer, known.addresses.iter().flat_map(|address| both(*address)).collect()))
    }

    /// Connected: nothing to dial.
    pub(super) fn connected(&mut self, peer: &PeerId) {
        if let Some(known) = self.0.get_mut(peer) {
            known.next = None;
        }
    }

    /// It did what no device of ours does: it is dialled later and later, whatever it proves.
    pub(super) fn dismissed(&mut self, peer: &PeerId) {
        if let Some(known) = self.0.get_mut(peer) {
            known.misbehaved = true;
        }
    }

    /// Not connected, or not any more. Who turned out to be a member's device is looked for again
    /// soon, others later and later.
    pub(super) fn lost(&mut self, peer: &PeerId, was_proven: bool) {
        if let Some(known) = self.0.get_mut(peer) {
            if was_proven && !known.misbehaved {
                known.pause = PAUSE_FIRST;
            }
            known.next = Some(Instant::now() + known.pause);
            known.pause = known.pause.saturating_mul(2).min(PAUSE_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn the_network_sends_nobody_out_of_it_or_into_this_machine() {
        let mut gather = Gather::default();
        for outside in [
            "/ip4/127.0.0.1/tcp/6379",
            "/ip4/198.51.100.7/udp/4001/quic-v1",
            "/ip4/10.0.0.1/tcp/22",
            "/ip6/2001:db8::1/tcp/4001",
            "/ip6/fe80::1/tcp/4001",
            "/dns4/inside/tcp/4001",
        ] {
            gather.found(PeerId::random(), &at(outside));
            assert_eq!(gather.due(), None, "{outside}");
        }
        gather.found(PeerId::random(), &at("/ip4/10.0.0.1/tcp/4001"));
        assert!(gather.due().is_some());
    }

    #[tokio::test]
    async fn who_misbehaves_is_dialled_later_and_later_though_it_proves_who_it_is() {
        let mut gather = Gather::default();
        let peer = PeerId::random();
        gather.found(peer, &at("/ip4/10.0.0.1/tcp/4001"));
        let pause = |gather: &Gather| gather.0[&peer].pause;
        gather.lost(&peer, true);
        gather.lost(&peer, true);
        assert_eq!(pause(&gather), 2 * PAUSE_FIRST);
        gather.dismissed(&peer);
        gather.lost(&peer, true);
        gather.lost(&peer, true);
        assert_eq!(pause(&gather), 8 * PAUSE_FIRST);
    }

    #[test]
    fn who_comes_from_outside_is_not_let_in() {
        for near in ["/ip4/192.168.1.7/tcp/4001", "/ip4/127.0.0.1/tcp/4001", "/ip6/fd00::1/udp/4001/quic-v1"]
        {
            assert!(is_near(&at(near)), "{near}");
        }
        for far in ["/ip4/198.51.100.7/tcp/4001", "/ip6/2001:db8::1/tcp/4001", "/dns4/inside/tcp/4001"] {
            assert!(!is_near(&at(far)), "{far}");
        }
    }

    #[tokio::test]
    async fn whoever_announces_much_costs_little() {
        let mut gather = Gather::default();
        for number in 0..10 * KNOWN_MAX {
            let peer = PeerId::random();
            for port in 0..10 {
                gather.found(peer, &at(&format!("/ip4/10.0.0.1/tcp/{}", 2_000 + 10 * number + port)));
            }
        }
        let now = Instant::now();
        let mut dials = 0;
        while let Some((peer, addresses)) = gather.next(now) {
            assert!(addresses.len() <= 2 * ADDRESSES_MAX);
            gather.lost(&peer, false);
            dials += 1;
        }
        assert_eq!(dials, KNOWN_MAX);
        assert!(gather.due().is_some_and(|due| due > now));
    }
}
