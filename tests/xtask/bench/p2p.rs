//! Figures of the peer-to-peer transport: `found by mdns`, until a device that only the local
//! network can name has answered; and `ceremony p2p`, the machine's time of a whole enrolment,
//! beside that of one over the server's relay.
//!
//! Decides that people take no time: they are played, so that what is left is the programs'.

use std::sync::Arc;
use std::time::Instant;

use parsec_protocol::control::{
    InviteResult, NetPing, NetPinged, SecretText, Stage, TransportChoice, method,
};
use parsec_protocol::enrol::link::Link;
use parsec_tests::ceremony::Bell;
use parsec_tests::device::Device;
use parsec_tests::fixture::{BOB, Fixture, FixtureOptions};
use parsec_tests::network::{Network, Office, Plan};
use parsec_tests::process::Daemon;
use parsec_tests::script::{self, Phone};
use parsec_tests::server::NO_LIMITS;

use super::{Figure, Goal, percentile};

/// How often a device is looked for.
const SEARCHES: usize = 20;
/// Ceremonies over each transport; the median of an odd number is one of them.
const CEREMONIES: usize = 5;
/// How long people may be kept waiting for the other device to be found, in milliseconds.
const FOUND_GOAL_MS: f64 = 3_000.0;

pub(super) fn figures() -> Vec<Figure> {
    [found(), ceremony()].into_iter().flatten().collect()
}

/// Bob looks for Alice, once with the addresses of the link and once without, in turn.
fn found() -> Option<Figure> {
    if let Err(why) = Office::possible(false) {
        eprintln!("cargo xtask bench: found by mdns: {why}");
        return None;
    }
    let mut network = Network::new();
    let switch = network.switch("switch");
    let [server, alice, bob] = ["server", "alice", "bob"].map(|name| network.namespace(name));
    for (namespace, address) in [(&server, "10.77.0.1/24"), (&alice, "10.77.0.2/24"), (&bob, "10.77.0.3/24")]
    {
        network.cable(namespace, "eth0", &switch, &[address]);
    }
    let daemon = Daemon::Shipped;
    let plan = Plan { server: &server, address: "10.77.0.1", alice: &alice, daemon, options: &[] };
    let office = Office::found(&plan);
    let bob = office.device(&bob, "bob");
    let invitation = office.alice.invite_by("bob@acme.example", TransportChoice::P2p).ok()?;
    let side =
        office.alice.greet_by(invitation.token, TransportChoice::P2p, &Arc::new(Bell::default())).ok()?;
    side.stage(Stage::WaitingForPeer).ok()?;
    let whole = invitation.link.expose().to_owned();
    let mut link: Link = whole.parse().ok()?;
    link.hints.truncate(1);
    let bare = link.to_url().to_string();
    let (mut by_multicast, mut by_address) = (Vec::new(), Vec::new());
    for _ in 0..SEARCHES {
        by_multicast.push(search(&bob, &bare)?);
        by_address.push(search(&bob, &whole)?);
    }
    let (value, reference_value) = (percentile(&mut by_multicast, 0.5), percentile(&mut by_address, 0.5));
    Some(Figure {
        goal: Some(Goal::value_at_most(FOUND_GOAL_MS)),
        rounds: SEARCHES,
        ..Figure::beside("found by mdns", "ms", value, "found by address", reference_value)
    })
}

/// Milliseconds until the device of the link has answered.
fn search(bob: &Device, link: &str) -> Option<f64> {
    let link = Some(SecretText::new(link.to_owned().into()));
    let started = Instant::now();
    let pinged: NetPinged = bob.call(method::NET_PING, NetPing { link }).ok()?;
    let took = started.elapsed().as_secs_f64() * 1e3;
    let reached = pinged.p2p.as_ref().is_some_and(|ping| ping.reached);
    if !reached {
        eprintln!("cargo xtask bench: not found: {pinged:?}");
    }
    reached.then_some(took)
}

fn ceremony() -> Option<Figure> {
    let fixture = Fixture::found(FixtureOptions {
        direct: true,
        server_options: NO_LIMITS,
        daemon: Daemon::Shipped,
        ..FixtureOptions::default()
    });
    let (mut direct, mut relayed) = (Vec::new(), Vec::new());
    for round in 0..CEREMONIES {
        for (transport, times) in
            [(TransportChoice::P2p, &mut direct), (TransportChoice::Server, &mut relayed)]
        {
            let name = format!("{transport:?}{round}").to_lowercase();
            let bob = fixture.device(&name);
            let invitation = fixture.alice.invite(&format!("{name}@acme.example")).ok()?;
            times.push(enrol(&fixture, &bob, &invitation, transport)?);
        }
    }
    let (value, reference_value) = (percentile(&mut direct, 0.5), percentile(&mut relayed, 0.5));
    Some(Figure {
        rounds: CEREMONIES,
        ..Figure::beside("ceremony p2p", "ms", value, "by the server", reference_value)
    })
}

fn enrol(
    fixture: &Fixture,
    bob: &Device,
    invitation: &InviteResult,
    transport: TransportChoice,
) -> Option<f64> {
    let bell = Arc::new(Bell::default());
    let started = Instant::now();
    let mut greeter = fixture.alice.greet_by(invitation.token, transport, &bell).ok()?;
    let mut claimer = bob.claim_by(invitation.link.expose(), transport, &bell).ok()?;
    let ends = script::enrol(&mut claimer, &mut greeter, BOB, Phone::default());
    let took = started.elapsed().as_secs_f64() * 1e3;
    (ends.claimer.is_ok() && ends.greeter.is_ok()).then_some(took)
}
