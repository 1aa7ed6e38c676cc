//! The library's names for addresses and peers, and ours.
//!
//! Decides that a peer is an Ed25519 key and an address an IP address with a port; whatever else
//! the library knows is nobody we speak to.

use std::net::{IpAddr, SocketAddr};

use libp2p::PeerId;
use libp2p::core::multiaddr::{Multiaddr, Protocol};
use libp2p::identity::{PublicKey, ed25519};
use parsec_protocol::p2p::Relay;
use parsec_protocol::public_keys::PeerKey;

use super::{NodeError, setup};

/// QUIC and TCP at one address.
pub(super) fn both(address: SocketAddr) -> [Multiaddr; 2] {
    let ip = match address.ip() {
        IpAddr::V4(ip) => Protocol::Ip4(ip),
        IpAddr::V6(ip) => Protocol::Ip6(ip),
    };
    let at = Multiaddr::from(ip);
    let quic = at.clone().with(Protocol::Udp(address.port())).with(Protocol::QuicV1);
    [quic, at.with(Protocol::Tcp(address.port()))]
}

/// Address and port of a libp2p address.
pub(super) fn socket_of(address: &Multiaddr) -> Option<SocketAddr> {
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
pub(super) fn by_way_of(relay: &Relay) -> Result<Multiaddr, NodeError> {
    let address: Multiaddr = relay.to_string().parse().map_err(setup)?;
    Ok(address.with(Protocol::P2pCircuit))
}

pub(super) fn id_of(key: &PeerKey) -> Result<PeerId, NodeError> {
    let key = ed25519::PublicKey::try_from_bytes(key.as_bytes()).map_err(setup)?;
    Ok(PublicKey::from(key).to_peer_id())
}

/// The key inside an id. Ed25519 keys are short enough to be their id's own content; others are not
/// ours.
pub(super) fn key_of(peer: &PeerId) -> Option<PeerKey> {
    let encoded = peer.to_bytes();
    // Multihash: 0 for "as it is", then the length, then the key's protobuf encoding.
    let key = PublicKey::try_decode_protobuf(encoded.get(2..)?).ok()?.try_into_ed25519().ok()?;
    let key = PeerKey::from_bytes(key.to_bytes());
    (id_of(&key).ok()? == *peer).then_some(key)
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;
    use parsec_protocol::keys::PeerSecret;

    use super::*;

    #[test]
    fn a_peer_is_its_key_and_nothing_else() {
        let secret = PeerSecret::from_bytes(&mut [7; 32]);
        let pair = Keypair::ed25519_from_bytes([7; 32]).unwrap();
        let id = pair.public().to_peer_id();
        assert_eq!(key_of(&id), Some(secret.peer_key()));
        assert_eq!(id_of(&secret.peer_key()), Ok(id));
        // An id that is a hash has no key in it; a random one is none.
        assert_eq!(key_of(&PeerId::random()), None);
    }

    #[test]
    fn addresses_come_back() {
        for text in ["192.168.7.5:4000", "[2001:db8::1]:4000"] {
            let address: SocketAddr = text.parse().unwrap();
            assert!(both(address).iter().all(|at| socket_of(at) == Some(address)), "{text}");
        }
        assert_eq!(socket_of(&"/dns4/a/tcp/1".parse().unwrap()), None);
        let relay: Relay =
            "/ip4/10.0.0.1/udp/4000/quic-v1/p2p/12D3KooWQYV9dGMFoRzNStwpXztXaBUjtPqi6aU76ZgUriHhKust"
                .parse()
                .unwrap();
        assert_eq!(by_way_of(&relay).unwrap().to_string(), format!("{relay}/p2p-circuit"));
    }
}
