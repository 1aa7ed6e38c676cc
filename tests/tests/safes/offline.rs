//! What is saved while the server is away: it is there after a restart, and goes out by itself.

use std::sync::Arc;

use parsec_protocol::control::{ProblemKind, SafeRole, SafeStanding};
use parsec_protocol::ids::DeviceId;
use parsec_tests::events::Follower;
use parsec_tests::fixture::{ALICE_AGAIN, ALICE_PASSWORD, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::own_devices::only;
use parsec_tests::proxy::{Fate, Honest, Meddler, Request};
use parsec_tests::safes::{Safe, create, is_well, until};

use super::{PLANS, enrol_bob, enrol_own};

#[test]
fn a_safe_made_without_a_server_outlives_a_kill_and_reaches_the_other_device() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    assert_eq!(tablet.verify().unwrap().devices, 2);
    fixture.server.kill();
    let made = create(&fixture.alice, PLANS);
    assert!(!made.shared, "{made:?}");
    let saved = Safe { device: &fixture.alice, name: PLANS }.put("/a.txt", b"written offline", 0).unwrap();
    assert!(saved.saved && !saved.shared, "{saved:?}");
    let refused = Safe { device: &fixture.alice, name: PLANS }.share("alice@acme.example", SafeRole::Reader);
    assert!(refused.is_err());

    fixture.alice.kill();
    fixture.alice.restart();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    assert_eq!(Safe { device: &fixture.alice, name: PLANS }.get("/a.txt").unwrap(), b"written offline");
    fixture.restart_server();
    let there = Safe { device: &fixture.alice, name: PLANS }.sync();
    assert!(there.shared && there.waiting == 0, "{there:?}");
    let id = made.safe.to_string();
    // It takes what its person's other device has, without anybody saying so.
    let mut events = Follower::start(&tablet.socket(), None);
    until(&mut events, |safe| safe.safe == made.safe && is_well(safe));
    Safe { device: &tablet, name: &id }.sync();
    assert_eq!(Safe { device: &tablet, name: PLANS }.get("/a.txt").unwrap(), b"written offline");
    let missing = Safe { device: &tablet, name: PLANS }.get("/b.txt").unwrap_err();
    assert_eq!(missing.name(), Some(ProblemKind::PathNotFound));
}

/// A device that reaches nobody.
pub(super) struct Away(pub(super) DeviceId);

impl Meddler for Away {
    fn request(&self, request: &mut Request) -> Fate {
        if request.is_by(self.0) { Fate::Lose } else { Fate::Pass }
    }
}

/// Sealed under the key of before, a file that waits would go to nobody who was let in since, and
/// its copy would name pieces that no record adds: it could never be shared.
#[test]
fn a_file_and_its_copy_that_wait_are_sealed_anew_under_the_next_key() {
    let fixture = Fixture::found(FixtureOptions::default());
    let tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    let _bob = enrol_bob(&fixture);
    let made = create(&fixture.alice, PLANS);
    let on_alice = Safe { device: &fixture.alice, name: PLANS };
    on_alice.share(BOB_EMAIL, SafeRole::Contributor).unwrap();
    let _ = tablet.until_safe(|safe| safe.safe == made.safe && is_well(safe));
    let id = made.safe.to_string();
    Safe { device: &tablet, name: &id }.sync();

    fixture.proxy.meddle(Arc::new(Away(only(&tablet))));
    fixture.proxy.cut();
    let (small, large) = (b"saved on the way".to_vec(), vec![7; 9_000_000]);
    let on_tablet = Safe { device: &tablet, name: &id };
    for (path, contents) in [("/small", &small), ("/large", &large)] {
        let saved = on_tablet.put(path, contents, 0).unwrap();
        assert!(saved.saved && !saved.shared, "{saved:?}");
        on_tablet.copy(path, &format!("{path}-again")).unwrap();
    }
    assert_eq!(on_alice.unshare(BOB_EMAIL).unwrap().safe.epoch, 1);
    fixture.proxy.meddle(Arc::new(Honest));
    assert_eq!(on_tablet.sync().epoch, 1);
    on_alice.sync();
    for safe in [on_alice, on_tablet] {
        for (path, contents) in [("/small", &small), ("/large", &large)] {
            assert!(safe.get(path).unwrap() == *contents, "{path}");
            assert!(safe.get(&format!("{path}-again")).unwrap() == *contents, "{path} again");
        }
    }
}

/// Keeps the first certificate of a safe from the server.
struct NoFounding;

impl Meddler for NoFounding {
    fn request(&self, request: &mut Request) -> Fate {
        let founds = request.method == "POST" && request.target.ends_with("/safes");
        if founds { Fate::Lose } else { Fate::Pass }
    }
}

/// The manifest names a new safe before the server has it: another device that comes just then must
/// not take it for one that its person is in no more.
#[test]
fn a_safe_on_its_way_to_the_server_is_not_left_by_the_other_device() {
    let fixture = Fixture::found(FixtureOptions::default());
    let tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    fixture.proxy.meddle(Arc::new(NoFounding));
    let made = create(&fixture.alice, PLANS);
    assert!(!made.shared, "{made:?}");
    // Its stream begins anew: it looks into the manifest.
    fixture.proxy.cut();
    let mut events = Follower::start(&tablet.socket(), None);
    let seen = until(&mut events, |safe| {
        safe.safe == made.safe && (safe.problem.is_some() || safe.standing == SafeStanding::Left)
    });
    assert_eq!(seen.standing, SafeStanding::Accepted, "{seen:?}");
    fixture.proxy.meddle(Arc::new(Honest));
    Safe { device: &fixture.alice, name: PLANS }.put_shared("/a.txt", b"there at last");
    until(&mut events, |safe| safe.safe == made.safe && is_well(safe));
    Safe { device: &tablet, name: &made.safe.to_string() }.sync();
    assert_eq!(Safe { device: &tablet, name: PLANS }.get("/a.txt").unwrap(), b"there at last");
}
