//! A user's key changes: by itself when a device was revoked or a ceremony was given up too late,
//! and by hand; and every other device of the user has it afterwards.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Barrier};

use parsec_protocol::control::{
    ChoiceMode, DeviceRevoke, DeviceSelector, EntryKind, Event, EventItem, Member, ProblemKind, Registration,
    Stage, method,
};
use parsec_protocol::ids::DeviceId;
use parsec_tests::ceremony::Bell;
use parsec_tests::device::copy_folder;
use parsec_tests::events::Follower;
use parsec_tests::fixture::{ALICE_AGAIN, ALICE_PASSWORD, BOB, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::own_devices::{changes, enrol_own, log_of, only, opened, rekey};
use parsec_tests::proxy::{Answer, Fate, Honest, Meddler, Request};
use parsec_tests::script::{self, Newcomer};
use serde_json::json;

const PHONE: Newcomer<'static> =
    Newcomer { name: None, label: "The silver phone", password: "hums to seven bees" };

fn until_changed(events: &mut Follower) {
    events.until(|item| {
        matches!(item, EventItem::Event { event: Event::OwnChange { change: EntryKind::UserKey, .. }, .. })
    });
}

/// Whether a device that is stopped holds the seed of its user's present key.
fn holds_present(data: &Path, device: DeviceId, password: &str) -> bool {
    let open = opened(data, device, password);
    let log = log_of(&open);
    let present = log.user(&open.summary.user).unwrap().encryption_key;
    open.keys.user_seed.encryption_key().hash() == present
        || open.store.user_seed(&present).unwrap().is_some()
}

#[test]
fn what_an_administrator_revokes_makes_an_idle_device_of_the_user_change_the_key() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let ends = fixture.enrol(&bob, &invitation, BOB, ChoiceMode::Picked);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let _ = bob.until_device(|device| device.registration == Registration::Registered);
    let phone = enrol_own(&fixture, &bob, "phone", PHONE);
    assert_eq!(bob.verify().unwrap().devices, 3);

    let mut events = Follower::start(&bob.socket(), None);
    let asked = DeviceRevoke { select: DeviceSelector::default(), device: only(&phone) };
    fixture.proxy.meddle(Arc::new(NoChange));
    let member: Member = fixture.alice.call(method::DEVICE_REVOKE, asked).unwrap();
    assert!(member.suspended, "whoever has the phone has Bob's key");
    let _ = bob.until_device(|device| device.suspended == Some(true));
    fixture.proxy.meddle(Arc::new(Honest));
    until_changed(&mut events);
    let users = fixture.alice.users().unwrap().users;
    assert!(users.iter().all(|user| !user.suspended), "{users:?}");
    let log = fixture.alice.ctl(&["trust", "log"]).well().stdout;
    assert!(log.contains("new key"), "{log}");
    let _ = bob.until_device(|device| device.suspended == Some(false));
    // The device that is left lets the next one in, with the new key.
    let _tablet = enrol_own(&fixture, &bob, "tablet", Newcomer { label: "Bob's tablet", ..PHONE });
    assert_eq!(changes(&bob), 1);
}

#[test]
fn a_person_changes_the_key_by_hand_and_is_told() {
    let fixture = Fixture::found(FixtureOptions::default());
    let tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    let mut events = Follower::start(&tablet.socket(), None);
    let refused = fixture.alice.ctl(&["user", "rekey", "--no-input"]);
    assert_ne!(refused.code, 0, "nobody said yes");
    let said = fixture.alice.ctl(&["user", "rekey", "--yes", "--json"]).well().json();
    assert_eq!((&said["schema"], &said["left_out"]), (&json!("parsec.user.rekey/1"), &json!([])));
    until_changed(&mut events);
    // The other one has it, too, and changes it again.
    let done = rekey(&tablet);
    assert_ne!(said["key"], json!(done.key));
    assert_eq!(changes(&fixture.alice), 2);
    // Why the present key is trusted: the tablet's word, and what leads there.
    let shown = fixture.alice.ctl(&["trust", "show", "--json"]).well().json();
    let links: Vec<_> = shown["chain"].as_array().unwrap().iter().map(|link| &link["kind"]).collect();
    assert_eq!(links, ["user_key", "device", "device", "user"], "{shown}");
    assert_eq!(shown["chain"][0]["key"], json!(done.key));
    assert_eq!(shown["chain"][0]["signer_key"], shown["chain"][1]["key"]);
    let shown = fixture.alice.ctl(&["trust", "show"]).well().stdout;
    assert!(shown.starts_with("new key: Alice Hollybrook"), "{shown}");
}

/// Holds the changes of two devices back until both are there.
struct Together(Barrier, AtomicU32);

impl Meddler for Together {
    fn request(&self, request: &mut Request) -> Fate {
        if request.target.ends_with("/user-key") && self.1.fetch_add(1, Ordering::SeqCst) < 2 {
            self.0.wait();
        }
        Fate::Pass
    }
}

#[test]
fn of_two_devices_that_change_the_key_at_once_one_wins_and_both_have_the_key() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let mut tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    assert_eq!(tablet.verify().unwrap().devices, 2);
    fixture.proxy.meddle(Arc::new(Together(Barrier::new(2), AtomicU32::new(0))));
    let (desk, second) = (&fixture.alice, &tablet);
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(move || rekey(desk));
        let other = scope.spawn(move || rekey(second));
        (one.join().unwrap(), other.join().unwrap())
    });
    assert_eq!(one.key, other.key, "both go by what the log has");
    assert_eq!(changes(&fixture.alice), 1);
    let (desk, second) = (only(&fixture.alice), only(&tablet));
    // What the loser got out of its box is kept.
    let _phone = enrol_own(&fixture, &fixture.alice, "one", PHONE);
    let _phone = enrol_own(&fixture, &tablet, "two", Newcomer { label: "The golden phone", ..PHONE });
    fixture.alice.kill();
    tablet.kill();
    assert!(holds_present(&fixture.alice.data(), desk, ALICE_PASSWORD));
    assert!(holds_present(&tablet.data(), second, ALICE_AGAIN.password));
}

#[test]
fn a_device_that_was_enrolled_meanwhile_is_given_the_key() {
    let fixture = Fixture::found(FixtureOptions::default());
    let tablet = fixture.device("tablet");
    let invitation = fixture.alice.invite_device().unwrap();
    let (mut claimer, mut greeter) = fixture.both(&tablet, &invitation);
    script::up_to_password(&mut claimer, &mut greeter, ALICE_AGAIN, None);
    claimer.stage(Stage::SetPassword).unwrap();
    let boxes = Arc::new(Seen::new("PUT", "/boxes/"));
    fixture.proxy.meddle(Arc::clone(&boxes) as Arc<dyn Meddler>);
    // The tablet holds the key of before, and nobody can have sealed the new one to it.
    let _ = rekey(&fixture.alice);
    claimer.finish(ALICE_AGAIN.password).unwrap();
    claimer.outcome().unwrap();
    greeter.outcome().unwrap();
    boxes.until_seen();
    assert_eq!(tablet.verify().unwrap().devices, 2);
    assert!(tablet.status().alarms.is_empty(), "waiting for it is no alarm");
    let _phone = enrol_own(&fixture, &tablet, "phone", PHONE);
    assert_eq!(changes(&fixture.alice), 1);
}

/// Rings when a call went well.
struct Seen {
    method: &'static str,
    part: &'static str,
    seen: AtomicBool,
    bell: Bell,
}

impl Seen {
    fn new(method: &'static str, part: &'static str) -> Self {
        Self { method, part, seen: AtomicBool::new(false), bell: Bell::default() }
    }

    fn until_seen(&self) {
        self.bell.until(self.part, || self.seen.load(Ordering::SeqCst).then_some(())).unwrap();
    }
}

impl Meddler for Seen {
    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        if request.method == self.method && request.target.contains(self.part) && answer.status < 300 {
            self.seen.store(true, Ordering::SeqCst);
            self.bell.ring();
        }
        Fate::Pass
    }
}

#[test]
fn a_ceremony_given_up_after_the_keys_were_handed_over_changes_the_key() {
    let fixture = Fixture::found(FixtureOptions::default());
    let tablet = fixture.device("tablet");
    let invitation = fixture.alice.invite_device().unwrap();
    let (mut claimer, mut greeter) = fixture.both(&tablet, &invitation);
    script::up_to_password(&mut claimer, &mut greeter, ALICE_AGAIN, None);
    claimer.stage(Stage::SetPassword).unwrap();
    let mut events = Follower::start(&fixture.alice.socket(), None);
    claimer.cancel().unwrap();
    until_changed(&mut events);
    assert_eq!(changes(&fixture.alice), 1);
    // Once for each: the next unlocking finds nothing to do.
    let _ = fixture.alice.ctl(&["device", "lock"]).well();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    let _tablet = enrol_own(&fixture, &fixture.alice, "other", ALICE_AGAIN);
    assert_eq!(changes(&fixture.alice), 1);
}

/// Nobody gets through to the calls that change a key.
struct NoChange;

impl Meddler for NoChange {
    fn request(&self, request: &mut Request) -> Fate {
        if request.target.ends_with("/user-key") { Fate::Lose } else { Fate::Pass }
    }
}

#[test]
fn no_new_device_is_given_a_key_that_a_thief_has() {
    let fixture = Fixture::found(FixtureOptions::default());
    let tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    fixture.proxy.meddle(Arc::new(NoChange));
    let asked = DeviceRevoke { select: DeviceSelector::default(), device: only(&tablet) };
    let _: Member = fixture.alice.call(method::DEVICE_REVOKE, asked).unwrap();
    let _ = fixture.alice.until_device(|device| device.suspended == Some(true));
    let status = fixture.alice.ctl(&["status"]).well().stdout;
    assert!(status.contains("has your key"), "{status}");

    let phone = fixture.device("phone");
    let invitation = fixture.alice.invite_device().unwrap();
    let (mut claimer, mut greeter) = fixture.both(&phone, &invitation);
    script::up_to_approval(&mut claimer, &mut greeter, PHONE);
    let refused = greeter.approve(None).unwrap_err();
    assert_eq!(refused.name(), ProblemKind::KeyChangeDue, "{refused:?}");
    // Nothing was signed, and the same question is still open.
    fixture.proxy.meddle(Arc::new(Honest));
    greeter.approve(None).unwrap();
    claimer.stage(Stage::SetPassword).unwrap();
    claimer.finish(PHONE.password).unwrap();
    claimer.outcome().unwrap();
    greeter.outcome().unwrap();
    assert_eq!(changes(&fixture.alice), 1);
}

#[test]
fn a_restored_backup_of_a_device_gets_the_key_that_it_lost() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let backup = fixture.path("backup");
    fixture.alice.kill();
    copy_folder(&fixture.alice.data(), &backup);
    fixture.alice.restart();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    let _ = rekey(&fixture.alice);
    fixture.alice.kill();
    std::fs::remove_dir_all(fixture.alice.data()).unwrap();
    copy_folder(&backup, &fixture.alice.data());
    fixture.alice.restart();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    let _tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    assert_eq!(changes(&fixture.alice), 1);
    assert!(fixture.alice.status().alarms.is_empty());
}
