//! Devices of one safe on one network, with the server away: they give each other contents whose
//! records the server has shown them, and nothing to who was taken out; and they find a server out
//! that shows them different things.

use std::path::Path;
use std::sync::Arc;

use parsec_protocol::control::{
    DeviceSelector, ProblemKind, Registration, SafePeer, SafeRole, SafeStatus, SafeStatusResult, method,
};
use parsec_tests::ceremony::Bell;
use parsec_tests::device::{Device, Founding, private_folder};
use parsec_tests::events::Follower;
use parsec_tests::fixture::{ALICE_EMAIL, ALICE_PASSWORD, BOB, BOB_EMAIL, BOB_PASSWORD};
use parsec_tests::network::{Namespace, Network};
use parsec_tests::process::Daemon;
use parsec_tests::safes::{Safe, create};
use parsec_tests::script::{self, Newcomer, Phone};
use parsec_tests::server::{Server, copy_database};
use parsec_tests::skip;
use tempfile::TempDir;

const PLANS: &str = "Plans";
const CAROL_EMAIL: &str = "carol@acme.example";
const CAROL: Newcomer<'static> =
    Newcomer { name: Some("Carol Thistle"), label: "Carol's tin laptop", password: "carol mends old clocks" };

/// A network with multicast and no way out, in which the server and all daemons run.
struct Hall {
    // Dropped in this order: programs before the folder, and before the network.
    alice: Device,
    server: Server,
    folder: TempDir,
    place: Namespace,
    _network: Network,
}

fn hall(test: &str) -> Option<Hall> {
    if let Err(why) = Network::possible(false) {
        skip(test, why);
        return None;
    }
    let mut network = Network::new();
    let switch = network.switch("switch");
    let place = network.namespace("hall");
    network.cable(&place, "eth0", &switch, &["10.78.0.1/24"]);
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let server = Server::start_in(&place, "127.0.0.1:6771", &folder.path().join("server"), &[]);
    let alice = device(&place, folder.path(), "alice");
    let token = server.reserve("acme");
    alice
        .found(&Founding {
            server: &server.url(),
            organisation: "acme",
            token: &token,
            email: ALICE_EMAIL,
            name: "Alice Hollybrook",
            label: "Alice's green desktop",
            password: ALICE_PASSWORD,
            typed_codes: false,
        })
        .unwrap();
    Some(Hall { alice, server, folder, place, _network: network })
}

fn device(place: &Namespace, folder: &Path, name: &str) -> Device {
    Device::start_in(Daemon::default(), place, name, &folder.join(name), &["--direct"])
}

impl Hall {
    fn enrol(&self, name: &str, email: &str, newcomer: Newcomer<'_>) -> Device {
        let new = device(&self.place, self.folder.path(), name);
        let invitation = self.alice.invite(email).unwrap();
        let bell = Arc::new(Bell::default());
        let mut claimer = new.claim(invitation.link.expose(), &bell).unwrap();
        let mut greeter = self.alice.greet(invitation.token, &bell).unwrap();
        let ends = script::enrol(&mut claimer, &mut greeter, newcomer, Phone::default());
        assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
        let _ = new.until_device(|device| device.registration == Registration::Registered);
        new
    }

    /// A safe of Alice's that these have accepted.
    fn share(&self, name: &str, with: &[(&Device, &str)]) -> String {
        let id = create(&self.alice, name).safe.to_string();
        for (device, email) in with {
            Safe { device: &self.alice, name }.share(email, SafeRole::Contributor).unwrap();
            let _ = device.until_safe(|safe| safe.safe.to_string() == id);
            Safe { device, name: &id }.accept().unwrap();
            Safe { device, name: &id }.sync();
        }
        id
    }
}

/// Who is met for a safe, and what came from them.
fn peers(device: &Device, safe: &str) -> Vec<SafePeer> {
    let asked = SafeStatus { select: DeviceSelector::default(), safe: Some(safe.to_owned()) };
    let status: SafeStatusResult = device.call(method::SAFE_STATUS, asked).unwrap();
    status.safes.into_iter().flat_map(|safe| safe.direct).collect()
}

/// Follows a device's events until something is so.
fn until<T>(device: &Device, mut so: impl FnMut() -> Option<T>) -> T {
    let mut events = Follower::start(&device.socket(), None);
    loop {
        if let Some(found) = so() {
            return found;
        }
        let _ = events.item().unwrap();
    }
}

/// Waits until a device meets another one for a safe.
fn met(device: &Device, safe: &str) {
    until(device, || peers(device, safe).iter().any(|peer| peer.connected).then_some(()));
}

fn has(device: &Device, safe: &str, path: &str) -> bool {
    Safe { device, name: safe }.paths().is_ok_and(|paths| paths.iter().any(|there| there == path))
}

#[test]
fn contents_come_from_another_device_while_the_server_is_away() {
    let Some(mut hall) = hall("contents from another device") else { return };
    let bob = hall.enrol("bob", BOB_EMAIL, BOB);
    let id = hall.share(PLANS, &[(&bob, BOB_EMAIL)]);
    let large: Vec<u8> = (0..700_000_u32).flat_map(u32::to_le_bytes).take(2_500_000).collect();
    let alices = Safe { device: &hall.alice, name: PLANS };
    alices.put_shared("/large.bin", &large);
    alices.put_shared("/small.txt", b"a few words");
    Safe { device: &bob, name: &id }.sync();
    met(&bob, &id);
    hall.server.kill();
    // Saved here, and not shared: it is nobody else's yet.
    let saved = Safe { device: &hall.alice, name: PLANS }.put("/draft.txt", b"not yet", 0).unwrap();
    assert!(saved.saved && !saved.shared, "{saved:?}");

    let bobs = Safe { device: &bob, name: &id };
    assert_eq!(bobs.get("/large.bin").unwrap(), large);
    assert_eq!(bobs.get("/small.txt").unwrap(), b"a few words");
    assert!(!has(&bob, &id, "/draft.txt"));
    let peers = peers(&bob, &id);
    let [alice] = &peers[..] else { panic!("{peers:?}") };
    assert!(alice.by.contains("Alice's green desktop") && alice.bytes >= 2_500_000, "{alice:?}");
    let said = bob.ctl(&["safe", "status", PLANS]).well();
    assert!(said.stdout.contains("Alice's green desktop") && said.stdout.contains("directly"), "{said:?}");
    let said = bob.ctl(&["net", "status"]).well();
    assert!(said.stdout.contains("Other devices of its safes are met"), "{said:?}");
}

/// Bob knows of what Alice wrote, and has no contents of it. Carol was taken out while her device
/// was away: it is in another safe with Alice still, and gets that, and nothing of what it was
/// taken out of.
#[test]
fn contents_come_to_members_alone_and_what_the_server_has_not_shown_comes_to_nobody() {
    let Some(mut hall) = hall("contents for members alone") else { return };
    let mut bob = hall.enrol("bob", BOB_EMAIL, BOB);
    let mut carol = hall.enrol("carol", CAROL_EMAIL, CAROL);
    let id = hall.share(PLANS, &[(&bob, BOB_EMAIL), (&carol, CAROL_EMAIL)]);
    let other = hall.share("Others", &[(&carol, CAROL_EMAIL)]);
    let alices = Safe { device: &hall.alice, name: PLANS };
    alices.put_shared("/before.txt", b"for Carol, too");
    Safe { device: &hall.alice, name: "Others" }.put_shared("/both.txt", b"for both");
    Safe { device: &carol, name: &id }.sync();
    Safe { device: &carol, name: &other }.sync();
    carol.kill();

    alices.unshare(CAROL_EMAIL).unwrap();
    alices.put_shared("/after.txt", b"not for Carol");
    Safe { device: &bob, name: &id }.sync();
    bob.kill();
    alices.put_shared("/unseen.txt", b"Bob has not heard of it");
    hall.server.kill();

    carol.restart();
    carol.unlock(CAROL.password).unwrap();
    met(&carol, &other);
    assert_eq!(Safe { device: &carol, name: &other }.get("/both.txt").unwrap(), b"for both");
    bob.restart();
    bob.unlock(BOB_PASSWORD).unwrap();
    met(&bob, &id);
    assert_eq!(Safe { device: &bob, name: &id }.get("/after.txt").unwrap(), b"not for Carol");
    let came = peers(&bob, &id).into_iter().find(|peer| peer.by.contains("Alice")).unwrap();
    assert!(came.bytes > 0, "{came:?}");
    // Only the server orders: no record is taken from a device.
    assert!(!has(&bob, &id, "/unseen.txt"));

    assert!(has(&carol, &id, "/before.txt") && !has(&carol, &id, "/after.txt"));
    assert!(Safe { device: &carol, name: &id }.get("/before.txt").is_err());
    assert!(peers(&carol, &id).is_empty(), "{:?}", peers(&carol, &id));
    let log = hall.alice.log();
    assert!(!log.contains("panicked"), "{log}");
}

/// The server shows Alice one record and Bob another at the same place, and is gone before either
/// could notice.
#[test]
fn a_server_that_forked_two_devices_is_found_out_when_they_meet() {
    let Some(mut hall) = hall("a fork found directly") else { return };
    let mut bob = hall.enrol("bob", BOB_EMAIL, BOB);
    let id = hall.share(PLANS, &[(&bob, BOB_EMAIL)]);
    Safe { device: &hall.alice, name: PLANS }.put_shared("/common.txt", b"both have it");
    Safe { device: &bob, name: &id }.sync();
    bob.kill();
    hall.server.kill();
    let kept = hall.folder.path().join("kept");
    private_folder(&kept);
    copy_database(hall.server.folder(), &kept);
    hall.server.restart();
    Safe { device: &hall.alice, name: PLANS }.put_shared("/alices.txt", b"for Alice's eyes");
    hall.alice.kill();
    hall.server.kill();
    copy_database(&kept, hall.server.folder());
    hall.server.restart();
    bob.restart();
    bob.unlock(BOB_PASSWORD).unwrap();
    Safe { device: &bob, name: &id }.put_shared("/bobs.txt", b"for Bob's eyes");
    hall.server.kill();

    hall.alice.restart();
    hall.alice.unlock(ALICE_PASSWORD).unwrap();
    for (device, other) in [(&hall.alice, "Bob's walnut laptop"), (&bob, "Alice's green desktop")] {
        let mut events = Follower::start(&device.socket(), None);
        let found = loop {
            let alarms = events.state.as_ref().map(|state| state.alarms.clone()).unwrap_or_default();
            let of =
                |problem: &parsec_protocol::control::Problem| problem.message.contains("another history");
            if let Some(alarm) = alarms.into_iter().find(|alarm| of(&alarm.problem)) {
                break alarm.problem;
            }
            let _ = events.item().unwrap();
        };
        assert_eq!(found.name, ProblemKind::RolledBack);
        assert!(found.message.contains(other) && found.message.contains(&id), "{found:?}");
    }
    // Nothing of the other's history is taken in, and nothing halts.
    assert!(!has(&bob, &id, "/alices.txt") && !has(&hall.alice, PLANS, "/bobs.txt"));
    let safe = Safe { device: &bob, name: &id };
    assert!(safe.put("/more.txt", b"goes on", 0).unwrap().saved);
}
