//! The network as parsecctl shows it, with real daemons over the peer-to-peer transport: where one
//! waits, who is connected, what can be reached, and what a daemon says that has no such transport.

use std::sync::Arc;

use parsec_protocol::control::{ChoiceMode, Stage, TransportChoice};
use parsec_tests::ceremony::Bell;
use parsec_tests::device::Device;
use parsec_tests::fixture::{BOB, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::script::{self, Phone};
use serde_json::{Value, json};

fn asked(device: &Device, what: &str) -> Value {
    device.ctl(&["net", what, "--json"]).well().json()
}

/// What a ping along a link says: the exit code, whether the server answered, whether the device
/// did.
fn ping(device: &Device, link: &str) -> (i32, bool, bool) {
    let said = device.ctl_input(&["net", "ping", "--link-file", "-", "--json"], link);
    let result = said.json();
    let reached = |ping: &Value| ping["reached"].as_bool().unwrap();
    (said.code, reached(&result["servers"][0]["ping"]), reached(&result["p2p"]))
}

#[test]
fn what_goes_on_without_a_server_is_shown_while_it_goes_on() {
    let mut fixture = Fixture::found(FixtureOptions { direct: true, ..FixtureOptions::default() });
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite_by(BOB_EMAIL, TransportChoice::P2p).unwrap();
    let link = invitation.link.expose();
    // Nobody waits yet: the server is the only way.
    assert_eq!(ping(&bob, link), (0, true, false));
    fixture.server.kill();
    assert_eq!(ping(&bob, link), (69, false, false));
    assert_eq!(asked(&fixture.alice, "status")["listening"], json!([]));

    let bell = Arc::new(Bell::default());
    let mut greeter = fixture.alice.greet_by(invitation.token, TransportChoice::P2p, &bell).unwrap();
    greeter.stage(Stage::WaitingForPeer).unwrap();
    let status = asked(&fixture.alice, "status");
    let place = &status["listening"][0];
    assert_eq!((&status["p2p"], &place["purpose"]), (&json!(true), &json!("greeting")), "{status}");
    assert_eq!(place["token"], invitation.token.to_string());
    assert!(!place["addresses"].as_array().unwrap().is_empty(), "{status}");

    // Reaching it starts no attempt, and none is counted.
    assert_eq!(ping(&bob, link), (0, false, true));
    let view = greeter.view().unwrap();
    assert_eq!((view.stage, view.attempt), (Stage::WaitingForPeer, None));
    let list = fixture.alice.ctl(&["invite", "list", "--json"]).well().json();
    assert_eq!(
        (&list["invitations"][0]["attempts"], &list["invitations"][0]["posted"]),
        (&json!(0), &json!(false))
    );

    let mut claimer = bob.claim_by(link, TransportChoice::P2p, &bell).unwrap();
    claimer.stage(Stage::SayCode).unwrap();
    for (device, direction) in [(&fixture.alice, "in"), (&bob, "out")] {
        let peers = asked(device, "peers")["peers"].clone();
        let met = |peer: &&Value| peer["direction"] == direction && peer["proven"] == true;
        let peer = peers.as_array().unwrap().iter().find(met).unwrap_or_else(|| panic!("{peers}"));
        assert_eq!(peer["token"], invitation.token.to_string(), "{peers}");
    }

    let ends = script::enrol(&mut claimer, &mut greeter, BOB, Phone { mode: ChoiceMode::Picked });
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let said = bob.ctl(&["device", "list"]).well();
    assert!(said.stdout.contains("pending-registration"), "{said:?}");
    let said = bob.ctl(&["status"]).well();
    assert!(said.stdout.contains(" is pending registration: this will happen by itself"), "{said:?}");
    assert_eq!(asked(&bob, "status")["pending"], 1);
    assert_eq!(asked(&fixture.alice, "status")["waiting"], 1);
}

#[test]
fn a_daemon_that_is_told_so_has_no_p2p_transport() {
    let fixture =
        Fixture::found(FixtureOptions { daemon_options: &["--no-p2p"], ..FixtureOptions::default() });
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    assert!(invitation.posted && !invitation.p2p, "{invitation:?}");
    assert_eq!(asked(&fixture.alice, "status")["p2p"], false);
    let (token, link) = (invitation.token.to_string(), invitation.link.expose());
    for command in [
        vec!["invite", "user", "carol@acme.example"],
        vec!["invite", "device"],
        vec!["greet", &token, "--detach"],
        vec!["claim", link, "--detach"],
    ] {
        let arguments = [command.clone(), vec!["--transport", "p2p", "--json"]].concat();
        let said = fixture.alice.ctl(&arguments);
        assert_eq!(
            (said.code, &said.json()["problem"]["name"]),
            (78, &json!("transport_unavailable")),
            "{command:?}"
        );
    }
    assert_eq!(fixture.alice.ctl(&["ceremony", "list", "--json"]).well().json()["ceremonies"], json!([]));
}
