//! A server that moved to another name or port: the device follows once the new place has shown its log, and its invitations with it.

use std::path::Path;
use std::sync::Arc;

use parsec_protocol::control::ChoiceMode;
use parsec_tests::ceremony::Bell;
use parsec_tests::people::{self, Phone};
use parsec_tests::proxy::{Fate, Meddler, Proxy, Request};
use parsec_tests::scene::{ALICE_PASSWORD, BOB, BOB_EMAIL, Scene, Setting};
use parsec_tests::server::Server;
use parsec_tests::terminal::{Terminal, private_folder};

const CONFIRMED: Setting = Setting {
    organisation: "acme",
    typed_codes: false,
    direct: false,
    server_options: &[],
    daemon_options: &["--approval", "device"],
};

/// Nobody answers at the old place any more.
struct Gone;

impl Meddler for Gone {
    fn request(&self, _: &mut Request) -> Fate {
        Fate::Lose
    }
}

fn copy(from: &Path, to: &Path) {
    private_folder(to);
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let there = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &there);
        } else if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), there).unwrap();
        }
    }
}

/// Lets somebody in, at whatever place the greeter's device asks.
fn let_in(greeter: &Terminal, newcomer: &Terminal, link: &str, token: &str) {
    let bell = Arc::new(Bell::default());
    let mut claimer = newcomer.claim(link, &bell).unwrap();
    let mut greeter = greeter.greet(token.parse().unwrap(), &bell).unwrap();
    let ends = people::enrol(&mut claimer, &mut greeter, BOB, Phone { mode: ChoiceMode::Picked });
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
}

#[test]
fn a_server_that_moved_is_followed_with_its_invitations() {
    let mut scene = Scene::found(CONFIRMED);
    let bob = scene.terminal("bob");
    let invitation = scene.alice.invite(BOB_EMAIL).unwrap();
    let new = Proxy::start(scene.server.address());
    scene.proxy.meddle(Arc::new(Gone));
    assert_ne!(scene.alice.ctl(&["trust", "verify"]).code, 0);

    let moved = scene.alice.ctl(&["org", "server", &new.url(), "--json"]).well().json();
    assert_eq!(moved["schema"], "parsec.org.server/1");
    assert_eq!(
        (moved["device"]["server"].as_str(), moved["certificates"].as_u64()),
        (Some(&*new.url()), Some(2))
    );
    // The device, which was unlocked, and its invitation are at the new place.
    assert_eq!(scene.alice.devices()[0].server, new.url());
    let links = moved["links"].as_array().unwrap();
    let token = invitation.token.to_string();
    assert_eq!((links.len(), links[0]["token"].as_str()), (1, Some(&*token)));
    let link = links[0]["link"].as_str().unwrap();
    let secret =
        |link: &str| link.split_once('#').unwrap().1.split('.').take(3).collect::<Vec<_>>().join(".");
    assert!(link.starts_with(&format!("{}/join/acme#", new.url())), "{link}");
    assert_eq!(secret(link), secret(invitation.link.expose()));
    let_in(&scene.alice, &bob, link, &token);
    let fresh = scene.alice.invite("carol@acme.example").unwrap();
    assert!(fresh.link.expose().starts_with(&new.url()));
    // And after a restart.
    scene.alice.restart();
    scene.alice.unlock(ALICE_PASSWORD).unwrap();
    assert_eq!(scene.alice.verify().unwrap().users, 2);
    // Once more is no change.
    let again = scene.alice.ctl(&["org", "server", &new.url()]).well();
    assert!(again.stdout.contains("4 certificates"), "{again:?}");
}

/// Another server's log of the same organisation, as long as this one's, and true as far as anybody there knows: a copy that went on by itself.
#[test]
fn a_place_that_shows_another_log_is_refused() {
    let mut scene = Scene::found(CONFIRMED);
    let [bob, carol] = ["bob", "carol"].map(|name| scene.terminal(name));
    scene.server.kill();
    scene.alice.kill();
    copy(scene.server.folder(), &scene.path("server2"));
    copy(&scene.alice.data(), &scene.path("alice2").join("data"));
    scene.restart_server();
    scene.alice.restart();
    let other = Server::start(&scene.path("server2"), &[]);
    let place = Proxy::start(other.address());
    let copied = Terminal::start_with("Alice's copy", &scene.path("alice2"), &["--approval", "device"]);
    for alice in [&scene.alice, &copied] {
        alice.unlock(ALICE_PASSWORD).unwrap();
    }
    // Before they part, the copy is the same log: it may go there.
    let _moved = copied.ctl(&["org", "server", &place.url()]).well();
    for (alice, newcomer) in [(&scene.alice, &bob), (&copied, &carol)] {
        let invitation = alice.invite(BOB_EMAIL).unwrap();
        let_in(alice, newcomer, invitation.link.expose(), &invitation.token.to_string());
    }
    let before = scene.alice.devices()[0].server.clone();
    let refused = scene.alice.ctl(&["org", "server", &place.url()]);
    assert_eq!(refused.code, 76, "{refused:?}");
    assert!(refused.stderr.contains("Nothing was changed"), "{refused:?}");
    // A place that is no server at all, or nobody's.
    for (address, code) in [("http://127.0.0.1:1", 69), ("ftp://x", 64)] {
        let said = scene.alice.ctl(&["org", "server", address]);
        assert_eq!(said.code, code, "{said:?}");
    }
    assert_eq!(scene.alice.devices()[0].server, before);
    assert!(scene.alice.status().alarms.is_empty(), "it is not this device's server");
    assert_eq!(scene.alice.verify().unwrap().users, 2);
}
