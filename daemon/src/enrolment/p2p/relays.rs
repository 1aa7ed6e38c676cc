//! What a link says about meeting directly, and the relays of the configuration.
//!
//! Decides that names of relays are looked up here, by whoever chose them, and never by who was
//! sent a link.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use parsec_protocol::p2p::{Hints, Relay};

use crate::network::Net;
use crate::os::addresses;
use crate::store::DirectEnd;

/// Relays that a link names: each costs it a third of what it may have for a QR code that a camera
/// reads.
const RELAYS_MAX: usize = 2;
/// How long looking up a name may take: without a network it would hold up an invitation that needs
/// none.
const LOOK_UP_WAIT: Duration = Duration::from_secs(3);

/// The hints of a link. One that the server mails has no addresses: it would tell the server how
/// the network looks inside.
pub async fn hints(end: &DirectEnd, net: &Net, mailed: bool, here: bool) -> Vec<String> {
    let mut hints = Hints { peer: end.secret.peer_key(), addresses: Vec::new(), relays: Vec::new() };
    if !mailed {
        let peer = hints.write();
        hints.relays = resolved(net.relays()).await;
        // One that a claimer would refuse makes the whole link useless for this transport.
        hints.relays.retain(|relay| {
            let named = [peer.clone(), vec![relay.to_string()]].concat();
            let fits = Hints::read(&named, here).is_ok();
            if !fits {
                tracing::warn!(%relay, "a relay of the configuration can't be named in a link");
            }
            fits
        });
        let ips = addresses::of_this_machine(here);
        hints.addresses = ips.into_iter().map(|ip| SocketAddr::new(ip, end.port)).collect();
    }
    hints.write()
}

/// The relays of the configuration with their names looked up. One that can't be used is left out,
/// and said.
pub(super) async fn resolved(relays: &[String]) -> Vec<Relay> {
    let mut found = Vec::new();
    for text in relays.iter().take(RELAYS_MAX) {
        match tokio::time::timeout(LOOK_UP_WAIT, resolve(text)).await {
            Ok(Some(relay)) => found.push(relay),
            Ok(None) | Err(_) => tracing::warn!(relay = text, "a relay of the configuration can't be used"),
        }
    }
    found
}

async fn resolve(text: &str) -> Option<Relay> {
    if let Ok(relay) = text.parse() {
        return Some(relay);
    }
    let parts: Vec<&str> = text.split('/').collect();
    let (family, name, quic, port, peer) = match parts.as_slice() {
        ["", family, name, "udp", port, "quic-v1", "p2p", peer] => (*family, *name, true, *port, *peer),
        ["", family, name, "tcp", port, "p2p", peer] => (*family, *name, false, *port, *peer),
        _ => return None,
    };
    let fits = |ip: &IpAddr| match family {
        "dns4" => ip.is_ipv4(),
        "dns6" => ip.is_ipv6(),
        "dns" => true,
        _ => false,
    };
    let port: u16 = port.parse().ok()?;
    let address = tokio::net::lookup_host((name, port)).await.ok()?.find(|at| fits(&at.ip()))?;
    // Read once more: what is named in a link must be what a link may name.
    Relay { address, quic, peer: peer.to_owned() }.to_string().parse().ok()
}
