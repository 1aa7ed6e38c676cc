//! The peer-to-peer transport between two networks behind routers that hide them, by way of a relay
//! that both reach.

use std::time::{Duration, Instant};

use parsec_protocol::control::{Carrier, InviteResult, NetPeers, NetStatus, TransportChoice, method};
use parsec_protocol::enrol::link::Link;
use parsec_tests::device::Device;
use parsec_tests::fixture::{BOB, BOB_EMAIL};
use parsec_tests::network::{Namespace, Network, Office, Plan, RelayServer};
use parsec_tests::process::Daemon;
use parsec_tests::script::{self, Phone};
use parsec_tests::skip;

/// How long two devices may take to find the short way: the library tries three times, some seconds
/// each.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Two networks, and between them the relay and the server.
struct TwoNetworks {
    office: Office,
    bob: Device,
    relay: RelayServer,
    routers: [Namespace; 2],
    _relays: tempfile::TempDir,
    _network: Network,
}

/// `apart`: the routers' providers carry nothing from one to the other.
fn two_networks(test: &str, apart: bool, relay_options: &[&str], tcp: bool) -> Option<TwoNetworks> {
    if let Err(why) = Office::possible(true) {
        skip(test, why);
        return None;
    }
    let mut network = Network::new();
    let outside = network.switch("outside");
    let mut homes = Vec::new();
    for (number, name) in [(1, "alice"), (2, "bob")] {
        let inside = network.switch(&format!("{name}-switch"));
        let router = network.namespace(&format!("{name}-router"));
        let home = network.namespace(name);
        network.cable(&router, "wan", &outside, &[&format!("198.51.100.{number}0/24")]);
        network.cable(&router, "lan", &inside, &[&format!("10.{number}.0.1/24")]);
        network.cable(&home, "eth0", &inside, &[&format!("10.{number}.0.2/24")]);
        home.gateway(&format!("10.{number}.0.1"));
        network.hide(&router, "lan", "wan");
        if apart {
            router.filter(&format!(
                "table inet test {{ counter apart {{}}\n\
                 chain forward {{ type filter hook forward priority -1; ip daddr 198.51.100.{}0 counter name apart drop; }}\n}}\n",
                3 - number
            ));
        }
        homes.push((router, home));
    }
    let server = network.namespace("server");
    network.cable(&server, "eth0", &outside, &["198.51.100.2/24"]);
    let relay_namespace = network.namespace("relay");
    network.cable(&relay_namespace, "eth0", &outside, &["198.51.100.3/24"]);
    let relays = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let relay = RelayServer::start(&relay_namespace, "198.51.100.3", relays.path(), relay_options);
    let (address, options) = ("198.51.100.2", ["--relay", &relay.addresses[usize::from(tcp)]]);
    let alice = &homes[0].1;
    let plan = Plan { server: &server, address, alice, daemon: Daemon::default(), options: &options };
    let office = Office::found(&plan);
    let bob = office.device(&homes[1].1, "bob");
    let [alice_router, bob_router] = [homes[0].0.clone(), homes[1].0.clone()];
    Some(TwoNetworks {
        office,
        bob,
        relay,
        routers: [alice_router, bob_router],
        _relays: relays,
        _network: network,
    })
}

impl TwoNetworks {
    fn invite(&mut self) -> InviteResult {
        self.office.server.kill();
        let invitation = self.office.alice.invite_by(BOB_EMAIL, TransportChoice::P2p).unwrap();
        let link: Link = invitation.link.expose().parse().unwrap();
        assert!(
            link.hints.iter().any(|hint| hint.contains("/p2p/")),
            "the link names the relay: {:?}",
            link.hints
        );
        assert!(link.hints.iter().any(|hint| hint.starts_with("10.1.0.2:")), "{:?}", link.hints);
        invitation
    }
}

/// What carries the connections with the other device.
fn carriers(device: &Device) -> Vec<Carrier> {
    let peers: NetPeers = device.call(method::NET_PEERS, ()).unwrap();
    peers.peers.iter().filter(|peer| peer.proven).map(|peer| peer.carrier).collect()
}

fn by_the_relay(test: &str, tcp: bool) {
    let Some(mut two_networks) = two_networks(test, true, &[], tcp) else { return };
    let invitation = two_networks.invite();
    let (mut claimer, mut greeter) =
        two_networks.office.meet(&two_networks.bob, &invitation, invitation.link.expose());
    let _ = claimer.codes().unwrap();
    for device in [&two_networks.office.alice, &two_networks.bob] {
        assert_eq!(
            carriers(device),
            [Carrier::Relay],
            "{:?}",
            device.call::<NetPeers>(method::NET_PEERS, ())
        );
    }
    let status: NetStatus = two_networks.office.alice.call(method::NET_STATUS, ()).unwrap();
    assert!(!status.listening[0].relays.is_empty(), "{status:?}");
    let ends = script::enrol(&mut claimer, &mut greeter, BOB, Phone::default());
    two_networks.office.registers(&two_networks.bob, &ends);
}

#[test]
fn two_hidden_networks_meet_by_way_of_a_relay_over_quic() {
    by_the_relay("by the relay over QUIC", false);
}

#[test]
fn two_hidden_networks_meet_by_way_of_a_relay_over_tcp() {
    by_the_relay("by the relay over TCP", true);
}

/// Where the routers let through what they expect, a hole is punched while people talk, and the
/// ceremony is none the worse for it.
#[test]
fn a_hole_is_punched_while_people_talk() {
    let Some(mut two_networks) = two_networks("punching", false, &[], false) else { return };
    let invitation = two_networks.invite();
    let (mut claimer, mut greeter) =
        two_networks.office.meet(&two_networks.bob, &invitation, invitation.link.expose());
    let _ = claimer.codes().unwrap();
    // The people are on the phone; no event tells of a punched hole, so it is asked for until it is
    // there.
    let begun = Instant::now();
    let mut carried = carriers(&two_networks.office.alice);
    while !carried.contains(&Carrier::Quic) {
        assert!(begun.elapsed() < TIMEOUT, "though the routers let each other in, only {carried:?}");
        carried = carriers(&two_networks.office.alice);
    }
    let ends = script::enrol(&mut claimer, &mut greeter, BOB, Phone::default());
    two_networks.office.registers(&two_networks.bob, &ends);
}

/// A relay cuts every circuit after a while (libp2p's own after two minutes), and people on the
/// phone take longer.
#[test]
fn a_circuit_that_the_relay_cuts_is_made_again() {
    let Some(mut two_networks) = two_networks("cut circuits", true, &["--circuit-seconds", "4"], false)
    else {
        return;
    };
    let invitation = two_networks.invite();
    let (mut claimer, mut greeter) =
        two_networks.office.meet(&two_networks.bob, &invitation, invitation.link.expose());
    // Nobody does anything until a circuit has been cut and another made.
    claimer.until("a broken transport", |view| view.note.is_some()).unwrap();
    claimer.until("a whole one", |view| view.note.is_none()).unwrap();
    let ends = script::enrol(&mut claimer, &mut greeter, BOB, Phone::default());
    two_networks.office.registers(&two_networks.bob, &ends);
}

#[test]
fn a_relay_that_was_away_is_asked_again() {
    let Some(mut two_networks) = two_networks("a relay that was away", true, &[], false) else { return };
    let invitation = two_networks.invite();
    two_networks.relay.kill();
    let (mut claimer, mut greeter) =
        two_networks.office.meet(&two_networks.bob, &invitation, invitation.link.expose());
    claimer.until("trouble", |view| view.note.is_some()).unwrap();
    assert!(
        two_networks.routers[1].counted("inet test", "apart") == 0 || carriers(&two_networks.bob).is_empty()
    );
    two_networks.relay.restart();
    let ends = script::enrol(&mut claimer, &mut greeter, BOB, Phone::default());
    two_networks.office.registers(&two_networks.bob, &ends);
}
