//! The peer-to-peer transport on a local network of its own: two devices on one switch, and no
//! server while people meet.

use parsec_protocol::control::{Carrier, InviteResult, NetPeers, TransportChoice, method};
use parsec_protocol::enrol::link::Link;
use parsec_tests::device::Device;
use parsec_tests::fixture::{BOB, BOB_EMAIL};
use parsec_tests::network::{Namespace, Network, Office, Plan};
use parsec_tests::process::Daemon;
use parsec_tests::script::{self, Phone};
use parsec_tests::skip;

/// Which addresses the network has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Four,
    Six,
}

/// The server, Alice and Bob on one switch.
struct Lan {
    office: Office,
    bob: Device,
    namespaces: [Namespace; 2],
    _network: Network,
}

fn lan(test: &str, family: Family, filters: bool) -> Option<Lan> {
    if let Err(why) = Office::possible(filters) {
        skip(test, why);
        return None;
    }
    let mut network = Network::new();
    let switch = network.switch("switch");
    let server = network.namespace("server");
    let alice = network.namespace("alice");
    let bob = network.namespace("bob");
    for (number, namespace) in [&server, &alice, &bob].into_iter().enumerate() {
        let address = match family {
            Family::Four => format!("10.77.0.{}/24", number + 1),
            Family::Six => format!("fd77::{}/64", number + 1),
        };
        network.cable(namespace, "eth0", &switch, &[&address]);
    }
    let address = if family == Family::Four { "10.77.0.1" } else { "fd77::1" };
    let daemon = Daemon::default();
    let office = Office::found(&Plan { server: &server, address, alice: &alice, daemon, options: &[] });
    let bob_device = office.device(&bob, "bob");
    Some(Lan { office, bob: bob_device, namespaces: [alice, bob], _network: network })
}

impl Lan {
    /// The server goes away, then Alice invites.
    fn invite(&mut self) -> InviteResult {
        self.office.server.kill();
        let invitation = self.office.alice.invite_by(BOB_EMAIL, TransportChoice::P2p).unwrap();
        assert!(invitation.p2p && !invitation.posted, "{invitation:?}");
        invitation
    }
}

fn hints(invitation: &InviteResult) -> Vec<String> {
    invitation.link.expose().parse::<Link>().unwrap().hints
}

/// The same link without the addresses: only whom to look for.
fn bare(invitation: &InviteResult) -> String {
    let mut link: Link = invitation.link.expose().parse().unwrap();
    link.hints.truncate(1);
    link.to_url().to_string()
}

/// No multicast reaches or leaves this place.
fn without_multicast(namespace: &Namespace) {
    namespace.filter(
        "table inet test {\n\
         counter dropped {}\n\
         chain out { type filter hook output priority 0; ip daddr 224.0.0.0/4 counter name dropped drop;\n\
         ip6 daddr ff00::/8 udp dport 5353 counter name dropped drop; }\n\
         chain in { type filter hook input priority 0; ip daddr 224.0.0.0/4 drop; ip6 daddr ff00::/8 udp dport 5353 drop; }\n}\n",
    );
}

#[test]
fn devices_find_each_other_by_the_addresses_in_the_link() {
    let Some(mut lan) = lan("by addresses", Family::Four, true) else { return };
    for namespace in &lan.namespaces {
        without_multicast(namespace);
    }
    let invitation = lan.invite();
    assert!(hints(&invitation).iter().any(|hint| hint.starts_with("10.77.0.2:")), "{:?}", hints(&invitation));
    lan.office.enrols(&lan.bob, &invitation, invitation.link.expose());
    assert!(lan.namespaces[1].counted("inet test", "dropped") > 0, "nobody asked the local network");
}

#[test]
fn devices_find_each_other_by_multicast_alone() {
    let Some(mut lan) = lan("by multicast", Family::Four, false) else { return };
    let invitation = lan.invite();
    let link = bare(&invitation);
    assert_eq!(link.parse::<Link>().unwrap().hints.len(), 1);
    lan.office.enrols(&lan.bob, &invitation, &link);
}

#[test]
fn a_network_without_ipv4_is_enough_by_addresses() {
    let Some(mut lan) = lan("IPv6 alone, by addresses", Family::Six, true) else { return };
    for namespace in &lan.namespaces {
        without_multicast(namespace);
    }
    let invitation = lan.invite();
    assert!(hints(&invitation).iter().any(|hint| hint.starts_with("[fd77::2]:")), "{:?}", hints(&invitation));
    lan.office.enrols(&lan.bob, &invitation, invitation.link.expose());
}

#[test]
fn a_network_without_ipv4_is_enough_by_multicast() {
    let Some(mut lan) = lan("IPv6 alone, by multicast", Family::Six, false) else { return };
    let invitation = lan.invite();
    lan.office.enrols(&lan.bob, &invitation, &bare(&invitation));
}

/// With neither addresses nor multicast nobody is found: the tests above find what they say, and
/// not another way.
#[test]
fn without_addresses_and_multicast_nobody_is_found_and_then_they_are() {
    let Some(mut lan) = lan("neither", Family::Four, true) else { return };
    for namespace in &lan.namespaces {
        without_multicast(namespace);
    }
    let invitation = lan.invite();
    let (mut claimer, mut greeter) = lan.office.meet(&lan.bob, &invitation, &bare(&invitation));
    let troubled = claimer.until("a note", |view| view.note.is_some()).unwrap();
    assert!(troubled.note.as_deref().unwrap().contains("local network"), "{troubled:?}");
    let peers: NetPeers = lan.bob.call(method::NET_PEERS, ()).unwrap();
    assert!(peers.peers.is_empty(), "{peers:?}");
    // Multicast is let through: the same ceremony goes on by itself.
    for namespace in &lan.namespaces {
        namespace.unfilter("inet test");
    }
    let ends = script::enrol(&mut claimer, &mut greeter, BOB, Phone::default());
    let peers: NetPeers = lan.office.alice.call(method::NET_PEERS, ()).unwrap();
    assert!(peers.peers.iter().all(|peer| peer.carrier != Carrier::Relay), "{peers:?}");
    lan.office.registers(&lan.bob, &ends);
}

/// A link may name seven addresses, and whoever made it may name seven that are somebody else's:
/// each is tried once in a round, and rounds have pauses between them.
#[test]
fn addresses_that_lead_nowhere_are_tried_a_few_times() {
    let Some(mut lan) = lan("absurd addresses", Family::Four, true) else { return };
    let invitation = lan.invite();
    let mut link: Link = invitation.link.expose().parse().unwrap();
    link.hints.truncate(1);
    link.hints.extend((1..=7).map(|number| format!("10.77.0.1:{}", 2_000 + number)));
    let here = &lan.namespaces[1];
    here.filter(
        "table inet test {\n counter knocks {}\n chain out { type filter hook output priority 0;\n\
         tcp flags & (syn | ack) == syn counter name knocks; }\n}\n",
    );
    let bell = std::sync::Arc::new(parsec_tests::ceremony::Bell::default());
    let mut claimer = lan.bob.claim_by(&link.to_url(), TransportChoice::P2p, &bell).unwrap();
    let troubled = claimer.until("trouble", |view| view.note.is_some()).unwrap();
    assert!(troubled.note.as_deref().unwrap().contains("nobody answers"), "{troubled:?}");
    claimer.cancel().unwrap();
    assert!(claimer.outcome().is_err());
    let knocks = here.counted("inet test", "knocks");
    println!("{knocks} connections begun to seven addresses");
    // QUIC keeps a round open for some seconds after TCP has been refused, so it is one round, or
    // two on a slow machine.
    assert!((7..=21).contains(&knocks), "{knocks} connections to seven addresses");
}
