//! Rows of the direct road: `found by mdns`, until a terminal that only the local network can name has answered; and `ceremony p2p`,
//! the machine's time of a whole enrolment, beside that of one over the server's relay.
//!
//! Decides that people take no time: they are played, so that what is left is the programs'.

use std::sync::Arc;
use std::time::Instant;

use parsec_protocol::control::{
    InviteResult, NetPing, NetPinged, SecretText, Stage, TransportChoice, method,
};
use parsec_protocol::enrol::link::Link;
use parsec_tests::ceremony::Bell;
use parsec_tests::network::{Network, Office, Plan};
use parsec_tests::people::{self, Phone};
use parsec_tests::scene::{BOB, Scene, Setting};
use parsec_tests::server::NO_LIMITS;
use parsec_tests::terminal::Terminal;

use super::{Goal, Row, percentile};

/// How often a terminal is looked for.
const SEARCHES: usize = 20;
/// Ceremonies over each road; the median of an odd number is one of them.
const CEREMONIES: usize = 5;
/// How long people may be kept waiting for the other terminal to be found, in milliseconds.
const FOUND_GOAL_MS: f64 = 3_000.0;

pub(super) fn rows() -> Vec<Row> {
    [found(), ceremony()].into_iter().flatten().collect()
}

/// Bob looks for Alice, once with the addresses of the link and once without, in turn.
fn found() -> Option<Row> {
    if let Err(why) = Office::possible(false) {
        eprintln!("cargo xtask bench: found by mdns: {why}");
        return None;
    }
    let mut network = Network::new();
    let switch = network.switch("switch");
    let [server, alice, bob] = ["server", "alice", "bob"].map(|name| network.place(name));
    for (place, address) in [(&server, "10.77.0.1/24"), (&alice, "10.77.0.2/24"), (&bob, "10.77.0.3/24")] {
        network.cable(place, "eth0", &switch, &[address]);
    }
    let office = Office::found(&Plan { server: &server, address: "10.77.0.1", alice: &alice, options: &[] });
    let bob = office.terminal(&bob, "bob");
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
    Some(Row {
        goal: Some(Goal::value_at_most(FOUND_GOAL_MS)),
        rounds: SEARCHES,
        ..Row::beside("found by mdns", "ms", value, "found by address", reference_value)
    })
}

/// Milliseconds until the terminal of the link has answered.
fn search(bob: &Terminal, link: &str) -> Option<f64> {
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

fn ceremony() -> Option<Row> {
    let scene = Scene::found(Setting { direct: true, server_options: NO_LIMITS, ..Setting::default() });
    let (mut direct, mut relayed) = (Vec::new(), Vec::new());
    for round in 0..CEREMONIES {
        for (road, times) in [(TransportChoice::P2p, &mut direct), (TransportChoice::Server, &mut relayed)] {
            let name = format!("{road:?}{round}").to_lowercase();
            let bob = scene.terminal(&name);
            let invitation = scene.alice.invite(&format!("{name}@acme.example")).ok()?;
            times.push(enrol(&scene, &bob, &invitation, road)?);
        }
    }
    let (value, reference_value) = (percentile(&mut direct, 0.5), percentile(&mut relayed, 0.5));
    Some(Row {
        rounds: CEREMONIES,
        ..Row::beside("ceremony p2p", "ms", value, "by the server", reference_value)
    })
}

fn enrol(scene: &Scene, bob: &Terminal, invitation: &InviteResult, road: TransportChoice) -> Option<f64> {
    let bell = Arc::new(Bell::default());
    let started = Instant::now();
    let mut greeter = scene.alice.greet_by(invitation.token, road, &bell).ok()?;
    let mut claimer = bob.claim_by(invitation.link.expose(), road, &bell).ok()?;
    let ends = people::enrol(&mut claimer, &mut greeter, BOB, Phone::default());
    let took = started.elapsed().as_secs_f64() * 1e3;
    (ends.claimer.is_ok() && ends.greeter.is_ok()).then_some(took)
}
