//! Shows in `net.status` and `net.peers` what a node is doing, as long as it runs.

use parsec_protocol::control::{Carrier, Direction, Listening, PeerView};
use parsec_protocol::ids::Token;
use tokio::sync::watch;

use crate::network::{Guard, Net};
use crate::os::clock;
use crate::p2p::{Link, Peer, Status, peer_id};

/// What carries a connection, in the words of the local API.
#[must_use]
pub(super) const fn carrier(link: Link) -> Carrier {
    match link {
        Link::Quic => Carrier::Quic,
        Link::Tcp => Carrier::Tcp,
        Link::Relay => Carrier::Relay,
    }
}

fn view(peer: &Peer, token: Option<Token>) -> PeerView {
    PeerView {
        token: token.filter(|_| peer.proven),
        ceremony: None,
        peer: peer_id(&peer.peer),
        address: peer.address.clone(),
        direction: if peer.inbound { Direction::In } else { Direction::Out },
        carrier: carrier(peer.link),
        proven: peer.proven,
        since: clock::now(),
    }
}

/// Runs until the node ends. `listening` is what is shown of a greeter's node; a claimer's has
/// none.
pub(super) async fn show(
    net: Net,
    mut status: watch::Receiver<Status>,
    listening: Option<Listening>,
    token: Option<Token>,
) {
    let entry = listening.and_then(|listening| net.listening(listening).ok());
    let mut peers: Vec<(Peer, Option<Guard<PeerView>>)> = Vec::new();
    loop {
        let now = status.borrow_and_update().clone();
        if let Some(entry) = &entry {
            entry.change(|shown| {
                shown.addresses = now.listening.clone();
                shown.relays = now.relays.clone();
                shown.mdns = now.mdns;
            });
        }
        peers.retain(|(peer, _)| now.peers.contains(peer));
        for peer in &now.peers {
            if !peers.iter().any(|(there, _)| there == peer) {
                // Past the bound a connection is not shown; the node has bounds of its own.
                peers.push((peer.clone(), net.peer(view(peer, token)).ok()));
            }
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}
