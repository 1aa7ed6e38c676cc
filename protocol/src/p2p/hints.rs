//! The hints of a link: where the inviter's device can be met without a server (docs/protocol.md,
//! *Peer to peer*).
//!
//! Decides which texts are an address that may be dialled at all. Refuses what would make a
//! claimer's daemon a tool of whoever wrote the link: names to look up, ports of system services,
//! every machine at once, this machine itself.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use base64ct::{Base64UrlUnpadded, Encoding as _};

use crate::enrol::link::{HINT_MAX_BYTES, HINTS_MAX, Link};
use crate::public_keys::PeerKey;

/// Most addresses beside the peer key.
pub const ADDRESSES_MAX: usize = HINTS_MAX - 1;
/// Lowest port: below it are a system's own services, which no node of ours is.
pub const PORT_MIN: u16 = 1_024;
/// The one below it where a relay may be: firewalls let it through.
const PORT_OF_RELAYS: u16 = 443;
/// Longest peer id: an Ed25519 one has 52 characters, a hashed one 46.
const PEER_ID_MAX_BYTES: usize = 64;

/// Where the inviter's device can be met without a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hints {
    /// Who must be there.
    pub peer: PeerKey,
    /// Addresses of the device, QUIC and TCP at each.
    pub addresses: Vec<SocketAddr>,
    /// Relays that it listens at.
    pub relays: Vec<Relay>,
}

/// A circuit relay: `/ip4/A/udp/P/quic-v1/p2p/ID`, `/ip4/A/tcp/P/p2p/ID`, or the same with `ip6`.
/// No names: whoever made the link has looked them up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    /// Address and port of the relay.
    pub address: SocketAddr,
    /// Whether the relay speaks QUIC; TCP otherwise.
    pub quic: bool,
    /// Who must be there: a libp2p peer id, in base 58.
    pub peer: String,
}

impl fmt::Display for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, quic, peer } = self;
        let family = if address.is_ipv4() { "ip4" } else { "ip6" };
        let over = if *quic { ("udp", "/quic-v1") } else { ("tcp", "") };
        write!(f, "/{family}/{}/{}/{}{}/p2p/{peer}", address.ip(), over.0, address.port(), over.1)
    }
}

impl FromStr for Relay {
    type Err = HintsError;
    fn from_str(text: &str) -> Result<Self, HintsError> {
        let parts: Vec<&str> = text.split('/').collect();
        let (ip, quic, port, peer) = match parts.as_slice() {
            ["", "ip4" | "ip6", ip, "udp", port, "quic-v1", "p2p", peer] => (ip, true, port, peer),
            ["", "ip4" | "ip6", ip, "tcp", port, "p2p", peer] => (ip, false, port, peer),
            _ => return Err(HintsError::Malformed),
        };
        let (Ok(ip), Ok(port)) = (ip.parse(), port.parse()) else { return Err(HintsError::Malformed) };
        let base58 = |byte: u8| byte.is_ascii_alphanumeric() && !b"0OIl".contains(&byte);
        if !(1..=PEER_ID_MAX_BYTES).contains(&peer.len()) || !peer.bytes().all(base58) {
            return Err(HintsError::Malformed);
        }
        let relay = Self { address: SocketAddr::new(ip, port), quic, peer: (*peer).to_owned() };
        // One spelling.
        if relay.to_string() == text { Ok(relay) } else { Err(HintsError::Malformed) }
    }
}

/// Why there is no direct transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HintsError {
    /// The link has none.
    #[error("the link names no device to meet directly")]
    None,
    /// They are not of the form, or lead where nobody should be sent.
    #[error("the link's addresses for meeting directly can't be used")]
    Malformed,
}

impl Hints {
    /// Reads a link's hints.
    ///
    /// # Errors
    /// [`HintsError`]; the link is as good as before for the transport by the server.
    pub fn of(link: &Link) -> Result<Self, HintsError> {
        Self::read(&link.hints, link.leads_to_this_machine())
    }

    /// Reads hints. `here`: whether the server of the link is on this machine, where loopback
    /// addresses make sense.
    ///
    /// # Errors
    /// [`HintsError`].
    pub fn read(hints: &[String], here: bool) -> Result<Self, HintsError> {
        let (peer, rest) = hints.split_first().ok_or(HintsError::None)?;
        if rest.len() > ADDRESSES_MAX || hints.iter().any(|hint| hint.len() > HINT_MAX_BYTES) {
            return Err(HintsError::Malformed);
        }
        let mut key = [0; PeerKey::LENGTH];
        let peer = match Base64UrlUnpadded::decode(peer, &mut key) {
            Ok(bytes) if bytes.len() == PeerKey::LENGTH => PeerKey::from_bytes(key),
            Ok(_) | Err(_) => return Err(HintsError::Malformed),
        };
        let mut read = Self { peer, addresses: Vec::new(), relays: Vec::new() };
        for hint in rest {
            if hint.starts_with('/') {
                let relay: Relay = hint.parse()?;
                if !may_be_dialled(&relay.address, here, PORT_OF_RELAYS) {
                    return Err(HintsError::Malformed);
                }
                read.relays.push(relay);
            } else {
                let address: SocketAddr = hint.parse().map_err(|_| HintsError::Malformed)?;
                if address.to_string() != *hint || !may_be_dialled(&address, here, 0) {
                    return Err(HintsError::Malformed);
                }
                read.addresses.push(address);
            }
        }
        Ok(read)
    }

    /// As a link carries them.
    #[must_use]
    pub fn write(&self) -> Vec<String> {
        let peer = Base64UrlUnpadded::encode_string(self.peer.as_bytes());
        let addresses = self.addresses.iter().map(SocketAddr::to_string);
        let mut hints: Vec<_> =
            std::iter::once(peer).chain(self.relays.iter().map(Relay::to_string)).chain(addresses).collect();
        hints.truncate(HINTS_MAX);
        hints
    }
}

/// Whether a device may be met at an address, wherever it was learnt. `here`: whether loopback
/// makes sense.
#[must_use]
pub fn may_be_met_at(address: &SocketAddr, here: bool) -> bool {
    may_be_dialled(address, here, 0)
}

/// Whether a claimer's daemon may be sent there; `also` is a port below the lowest that is allowed
/// too.
fn may_be_dialled(address: &SocketAddr, here: bool, also: u16) -> bool {
    let somewhere = match address.ip() {
        IpAddr::V4(ip) => {
            // "This network" (RFC 6890) reaches this machine on Linux; class E is nobody's.
            let first = ip.octets()[0];
            !ip.is_unspecified() && !ip.is_multicast() && !ip.is_link_local() && first != 0 && first < 240
        }
        // An IPv4 address in IPv6's clothes would walk past the line above.
        IpAddr::V6(ip) => {
            ip.to_ipv4_mapped().is_none()
                && !ip.is_unspecified()
                && !ip.is_multicast()
                && !ip.is_unicast_link_local()
        }
    };
    let port = address.port();
    // A zone is a network card of this machine, which nobody else can name.
    let zone = matches!(address, SocketAddr::V6(address) if address.scope_id() != 0);
    somewhere
        && !zone
        && (port >= PORT_MIN || (port == also && port > 0))
        && (here || !address.ip().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    fn read(hints: &[&str], here: bool) -> Result<Hints, HintsError> {
        Hints::read(&hints.iter().map(|hint| (*hint).to_owned()).collect::<Vec<_>>(), here)
    }

    #[test]
    fn what_is_written_is_read() {
        let relay =
            "/ip4/198.51.100.7/udp/443/quic-v1/p2p/12D3KooWQYV9dGMFoRzNStwpXztXaBUjtPqi6aU76ZgUriHhKust";
        let hints = read(&[PEER, relay, "192.168.7.5:40000", "[2001:db8::1]:40000"], false).unwrap();
        assert_eq!((hints.addresses.len(), hints.relays.len()), (2, 1));
        assert!(hints.relays[0].quic);
        assert_eq!(Hints::read(&hints.write(), false), Ok(hints));
        assert_eq!(read(&[PEER], false).unwrap().addresses, []);
        assert_eq!(read(&[], false), Err(HintsError::None));
    }

    #[test]
    fn nobody_is_sent_where_no_device_is() {
        for absurd in [
            "0.0.0.0:40000",
            "0.1.2.3:40000",
            "255.255.255.255:40000",
            "240.0.0.1:40000",
            "224.0.0.251:5353",
            "169.254.169.254:8080",
            "127.0.0.1:40000",
            "192.168.7.5:22",
            "192.168.7.5:1023",
            "192.168.7.5:0",
            "[::]:40000",
            "[::1]:40000",
            "[ff02::fb]:5353",
            "[fe80::1]:40000",
            "[fe80::1%2]:40000",
            "[::ffff:127.0.0.1]:40000",
            "[2001:DB8::1]:40000",
            "[2001:db8:0::1]:40000",
            "host.example.org:40000",
            "192.168.7.5",
            "192.168.007.5:40000",
            "192.168.7.5:40000 ",
            "3232237317:40000",
            "",
            "/ip4/10.0.0.1/tcp/4000",
            "/ip4/10.0.0.1/tcp/22/p2p/x",
            "/ip4/10.0.0.1/tcp/4000/p2p/x/p2p-circuit",
            "/",
            "/ip6/10.0.0.1/tcp/4000/p2p/x",
            "/ip4/127.0.0.1/tcp/4000/p2p/x",
            "/dns4/r/tcp/4000/p2p/x",
            "/ip4/10.0.0.1/tcp/04000/p2p/x",
            "/ip4/10.0.0.1/tcp/4000/p2p/l",
            "/ip4/10.0.0.1/tcp/4000/p2p/",
            "[2001:db8::1%2]:40000",
            "/ip4/10.0.0.1/udp/4000/p2p/x",
        ] {
            assert_eq!(read(&[PEER, absurd], false), Err(HintsError::Malformed), "{absurd}");
        }
        assert!(read(&[PEER, "127.0.0.1:40000", "[::1]:40000"], true).is_ok());
        for peer in ["", "AAEC", &PEER[1..], &format!("{PEER}A"), &PEER.replace('A', "=")] {
            assert_eq!(read(&[peer], false), Err(HintsError::Malformed), "{peer}");
        }
        let many = vec!["192.168.7.5:40000"; ADDRESSES_MAX + 1];
        assert_eq!(read(&[&[PEER], many.as_slice()].concat(), false), Err(HintsError::Malformed));
    }
}
