//! `cargo xtask demo --no-server`: Bob joins while there is no server at all, and the registration
//! arrives when there is one again.
//!
//! Decides the order of what is shown. What it says happened, it has just seen.

use std::sync::Arc;

use parsec_protocol::control::{Outcome, Registration, TransportName};
use parsec_tests::ceremony::{Bell, Ended};
use parsec_tests::fixture::{BOB, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::process::Daemon;
use serde_json::json;

use super::{Teller, meet};

pub(super) fn show(teller: &Teller) -> Result<(), Ended> {
    teller.heading("An organisation");
    let mut fixture =
        Fixture::found(FixtureOptions { direct: true, daemon: Daemon::Shipped, ..FixtureOptions::default() });
    let url = fixture.server.url();
    teller.tell(
        "founded",
        "Alice founds the organisation acme, with a server.",
        json!({"organisation": "acme", "server": url}),
    );
    fixture.server.kill();
    teller.tell("server_gone", "The server is gone: its process was killed.", json!({}));

    teller.heading("Bob joins, without a server");
    let invitation = fixture.alice.invite(BOB_EMAIL)?;
    let text = "Alice's device issues the invitation alone. The link says where her device can be met; she shows it to Bob.";
    teller.tell(
        "invited",
        text,
        json!({
            "email": BOB_EMAIL, "link": invitation.link.expose(), "posted": invitation.posted, "p2p": invitation.p2p,
        }),
    );
    let bob = fixture.device("bob");
    let bell = Arc::new(Bell::default());
    let mut greeter = fixture.alice.greet(invitation.token, &bell)?;
    let mut claimer = bob.claim(invitation.link.expose(), &bell)?;
    let [claimed, greeted] = meet(teller, &mut claimer, &mut greeter, ["Alice", "Bob"], BOB)?;
    let transports = [&claimer, &greeter].map(|side| side.view().and_then(|view| view.transport));
    if transports != [Some(TransportName::P2p); 2] {
        return Err(Ended::Gone);
    }
    let (
        Outcome::Enrolled { user, device, registered: false, .. },
        Outcome::Enrolled { registered: false, .. },
    ) = (claimed, greeted)
    else {
        return Err(Ended::Gone);
    };
    let text = "Enrolled, directly from device to device. Bob's device says: pending registration. Alice's keeps the certificates.";
    teller.tell("enrolled", text, json!({"user": user, "device": device, "registered": false}));

    teller.heading("The server comes back");
    fixture.server.restart();
    teller.tell("server_back", "The server is started again.", json!({}));
    let _ = fixture.alice.until_device(|device| device.outbox == Some(0));
    teller.tell("uploaded", "Alice's device has uploaded certificates and receipt.", json!({}));
    let _ = bob.until_device(|device| device.registration == Registration::Registered);
    teller.tell("registered", "Bob's device has heard it: registered.", json!({}));
    let verified = [fixture.alice.verify()?, bob.verify()?];
    let [alice, bob] = &verified;
    let seconds = (teller.begun.elapsed().as_secs_f64() * 10.0).round() / 10.0;
    let text = format!(
        "Done: {} users, {} devices, and both verify the same {} certificates up to the root key.",
        alice.users, alice.devices, alice.count
    );
    teller.tell(
        "done",
        &text,
        json!({
            "transport": "p2p", "reconciled": alice == bob, "users": alice.users, "devices": alice.devices,
            "certificates": alice.count, "organisation": "acme", "seconds": seconds,
        }),
    );
    Ok(())
}
