//! A server that moved to another name or port: the device follows once the new place has shown its
//! log, and its invitations with it.

use std::sync::Arc;

use parsec_protocol::control::ChoiceMode;
use parsec_tests::ceremony::Bell;
use parsec_tests::device::{Device, copy_folder};
use parsec_tests::fixture::{ALICE_PASSWORD, BOB, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::process::Daemon;
use parsec_tests::proxy::{Fate, Meddler, Proxy, Request};
use parsec_tests::script::{self, Phone};
use parsec_tests::server::Server;

const CONFIRMED: FixtureOptions = FixtureOptions {
    organisation: "acme",
    typed_codes: false,
    direct: false,
    daemon: Daemon::LightKeyFiles,
    server_options: &[],
    daemon_options: &["--approval", "device"],
    within: "/tmp",
};

/// Nobody answers at the old place any more.
struct Gone;

impl Meddler for Gone {
    fn request(&self, _: &mut Request) -> Fate {
        Fate::Lose
    }
}

/// Lets somebody in, at whatever place the greeter's device asks.
fn let_in(greeter: &Device, newcomer: &Device, link: &str, token: &str) {
    let bell = Arc::new(Bell::default());
    let mut claimer = newcomer.claim(link, &bell).unwrap();
    let mut greeter = greeter.greet(token.parse().unwrap(), &bell).unwrap();
    let ends = script::enrol(&mut claimer, &mut greeter, BOB, Phone { mode: ChoiceMode::Picked });
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
}

#[test]
fn a_server_that_moved_is_followed_with_its_invitations() {
    let mut fixture = Fixture::found(CONFIRMED);
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let new = Proxy::start(fixture.server.address());
    fixture.proxy.meddle(Arc::new(Gone));
    assert_ne!(fixture.alice.ctl(&["trust", "verify"]).code, 0);

    let moved = fixture.alice.ctl(&["org", "server", &new.url(), "--json"]).well().json();
    assert_eq!(moved["schema"], "parsec.org.server/1");
    assert_eq!(
        (moved["device"]["server"].as_str(), moved["certificates"].as_u64()),
        (Some(&*new.url()), Some(2))
    );
    // The device, which was unlocked, and its invitation are at the new place.
    assert_eq!(fixture.alice.devices()[0].server, new.url());
    let links = moved["links"].as_array().unwrap();
    let token = invitation.token.to_string();
    assert_eq!((links.len(), links[0]["token"].as_str()), (1, Some(&*token)));
    let link = links[0]["link"].as_str().unwrap();
    let secret =
        |link: &str| link.split_once('#').unwrap().1.split('.').take(3).collect::<Vec<_>>().join(".");
    assert!(link.starts_with(&format!("{}/join/acme#", new.url())), "{link}");
    assert_eq!(secret(link), secret(invitation.link.expose()));
    let_in(&fixture.alice, &bob, link, &token);
    let fresh = fixture.alice.invite("carol@acme.example").unwrap();
    assert!(fresh.link.expose().starts_with(&new.url()));
    // And after a restart.
    fixture.alice.restart();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    assert_eq!(fixture.alice.verify().unwrap().users, 2);
    // Once more is no change.
    let again = fixture.alice.ctl(&["org", "server", &new.url()]).well();
    assert!(again.stdout.contains("4 certificates"), "{again:?}");
}

/// Another server's log of the same organisation, as long as this one's, and true as far as anybody
/// there knows: a copy that went on by itself.
#[test]
fn a_place_that_shows_another_log_is_refused() {
    let mut fixture = Fixture::found(CONFIRMED);
    let [bob, carol] = ["bob", "carol"].map(|name| fixture.device(name));
    fixture.server.kill();
    fixture.alice.kill();
    copy_folder(fixture.server.folder(), &fixture.path("server2"));
    copy_folder(&fixture.alice.data(), &fixture.path("alice2").join("data"));
    fixture.restart_server();
    fixture.alice.restart();
    let other = Server::start(&fixture.path("server2"), &[]);
    let place = Proxy::start(other.address());
    let copied = Device::start_with("Alice's copy", &fixture.path("alice2"), &["--approval", "device"]);
    for alice in [&fixture.alice, &copied] {
        alice.unlock(ALICE_PASSWORD).unwrap();
    }
    // Before they part, the copy is the same log: it may go there.
    let _moved = copied.ctl(&["org", "server", &place.url()]).well();
    for (alice, newcomer) in [(&fixture.alice, &bob), (&copied, &carol)] {
        let invitation = alice.invite(BOB_EMAIL).unwrap();
        let_in(alice, newcomer, invitation.link.expose(), &invitation.token.to_string());
    }
    let before = fixture.alice.devices()[0].server.clone();
    let refused = fixture.alice.ctl(&["org", "server", &place.url()]);
    assert_eq!(refused.code, 76, "{refused:?}");
    assert!(refused.stderr.contains("Nothing was changed"), "{refused:?}");
    // A place that is no server at all, or nobody's.
    for (address, code) in [("http://127.0.0.1:1", 69), ("ftp://x", 64)] {
        let said = fixture.alice.ctl(&["org", "server", address]);
        assert_eq!(said.code, code, "{said:?}");
    }
    assert_eq!(fixture.alice.devices()[0].server, before);
    assert!(fixture.alice.status().alarms.is_empty(), "it is not this device's server");
    assert_eq!(fixture.alice.verify().unwrap().users, 2);
}
