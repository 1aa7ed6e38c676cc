//! Where this machine can be reached: the addresses of its interfaces, for a link.
//!
//! Decides which of them a link names: private and public ones, IPv4 first, no more than a link
//! takes. Loopback only where the server itself is on this machine, as while trying things out:
//! nobody else could come there.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use parsec_protocol::p2p::{ADDRESSES_MAX, PORT_MIN};

/// Addresses of a machine that are named: enough for a cable, a radio and a tunnel with both
/// families. The rest of a link's room is the relays'.
const NAMED_MAX: usize = 4;
const _: () = assert!(NAMED_MAX < ADDRESSES_MAX);
/// How often a port is drawn: of two random free ones, hardly ever both are taken for the other
/// protocol.
const DRAWS: usize = 8;

/// The addresses at which a link may name this machine. Empty where the system does not say.
#[must_use]
pub fn of_this_machine(here: bool) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return found };
    for interface in interfaces {
        let Some(address) = interface.address else { continue };
        let ip = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(v4), _) => IpAddr::V4(v4.ip()),
            (None, Some(v6)) => IpAddr::V6(v6.ip()),
            (None, None) => continue,
        };
        if may_be_named(&ip, here) && !found.contains(&ip) {
            found.push(ip);
        }
    }
    found.sort_by_key(|ip| (ip.is_loopback(), ip.is_ipv6()));
    found.truncate(NAMED_MAX);
    found
}

fn may_be_named(ip: &IpAddr, here: bool) -> bool {
    match ip {
        IpAddr::V4(ip) if ip.is_loopback() => here,
        IpAddr::V6(ip) if ip.is_loopback() => here,
        IpAddr::V4(ip) => !ip.is_link_local() && !ip.is_unspecified() && !ip.is_multicast(),
        // Link-local ones mean nothing without the interface, which is another one at the other
        // end.
        IpAddr::V6(ip) => !ip.is_unicast_link_local() && !ip.is_unspecified() && !ip.is_multicast(),
    }
}

/// A port that is free now for TCP and UDP; none where there is no network at all.
#[must_use]
pub fn free_port() -> Option<u16> {
    (0..DRAWS).find_map(|_| {
        let listener = std::net::TcpListener::bind(("0.0.0.0", 0)).ok()?;
        let port = listener.local_addr().map(|at: SocketAddr| at.port()).ok()?;
        UdpSocket::bind(("0.0.0.0", port)).ok()?;
        (port >= PORT_MIN).then_some(port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_named_only_where_the_server_is_here() {
        assert!(of_this_machine(false).iter().all(|ip| !ip.is_loopback()));
        assert!(of_this_machine(true).len() <= NAMED_MAX);
        for (ip, elsewhere, here) in [
            ("192.168.7.5", true, true),
            ("127.0.0.1", false, true),
            ("::1", false, true),
            ("fe80::1", false, false),
            ("169.254.1.1", false, false),
            ("2001:db8::1", true, true),
        ] {
            let ip = ip.parse().unwrap();
            assert_eq!((may_be_named(&ip, false), may_be_named(&ip, true)), (elsewhere, here), "{ip}");
        }
    }

    #[test]
    fn a_port_is_free_for_both() {
        let port = free_port().unwrap();
        assert!(std::net::TcpListener::bind(("0.0.0.0", port)).is_ok());
    }
}
