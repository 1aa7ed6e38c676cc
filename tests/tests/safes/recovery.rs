//! A user whose only device burned comes back with a recovery kit, on an empty machine, and finds
//! every safe; and what wrong words, a revoked kit and a server that shows another organisation
//! come to.

use std::path::Path;
use std::sync::Arc;

use parsec_protocol::codec;
use parsec_protocol::control::{
    DeviceRevoke, DeviceSelector, DeviceView, Member, ProblemKind, RecoveryCreate, RecoveryCreated,
    RecoveryDrill, RecoveryDrilled, RecoveryKit, RecoveryListResult, RecoveryUse, RecoveryUsed, Registration,
    SafeRole, SafeStanding, SecretText, method,
};
use parsec_protocol::ids::DeviceId;
use parsec_protocol::public_keys::VerifyKey;
use parsec_protocol::relay::RootKey;
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_EMAIL, ALICE_PASSWORD, BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::proxy::{Answer, Fate, Meddler, Request};
use parsec_tests::rpc::Failed;
use parsec_tests::safes::{Safe, create, is_well};

use super::{PLANS, enrol_bob};

fn make_kit(by: &Device) -> RecoveryCreated {
    let asked = RecoveryCreate { select: DeviceSelector::default(), label: None };
    by.call(method::RECOVERY_CREATE, asked).unwrap()
}

fn secret(text: &str) -> SecretText {
    SecretText::new(text.to_owned().into())
}

fn come_back(new: &Device, fixture: &Fixture, words: &str, password: &str) -> Result<RecoveryUsed, Failed> {
    come_back_to(new, fixture, "acme", words, password)
}

fn come_back_to(
    new: &Device,
    fixture: &Fixture,
    organisation: &str,
    words: &str,
    password: &str,
) -> Result<RecoveryUsed, Failed> {
    let asked = RecoveryUse {
        server: fixture.proxy.url(),
        organisation: organisation.parse().unwrap(),
        words: secret(words),
        device_label: "the machine after the fire".parse().unwrap(),
        password: secret(password),
        typed_codes: false,
    };
    new.call(method::RECOVERY_USE, asked)
}

fn drill(by: &Device, words: &str) -> Result<RecoveryDrilled, Failed> {
    let asked = RecoveryDrill { select: DeviceSelector::default(), words: secret(words) };
    by.call(method::RECOVERY_DRILL, asked)
}

fn kits(by: &Device) -> Vec<RecoveryKit> {
    let found: RecoveryListResult = by.call(method::RECOVERY_LIST, DeviceSelector::default()).unwrap();
    found.kits
}

fn revoke(by: &Device, device: DeviceId) {
    let asked = DeviceRevoke { select: DeviceSelector::default(), device };
    let _member: Member = by.call(method::DEVICE_REVOKE, asked).unwrap();
}

fn refused<T: std::fmt::Debug>(done: Result<T, Failed>) -> ProblemKind {
    let Failed::Problem(problem) = done.unwrap_err() else { panic!("the daemon went away") };
    problem.name
}

/// The kit alone: the machine and all that was on it are gone.
#[test]
fn whoever_lost_the_only_device_comes_back_to_all_safes() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let bob = enrol_bob(&fixture);
    let (plans, shared) = (create(&fixture.alice, PLANS), create(&bob, "Of Bob"));
    let alice = Safe { device: &fixture.alice, name: PLANS };
    let big = vec![7; 3_000_000];
    alice.put_shared("/big", &big);
    Safe { device: &bob, name: "Of Bob" }.share(ALICE_EMAIL, SafeRole::Contributor).unwrap();
    let _ = fixture.alice.until_safe(|safe| safe.safe == shared.safe);
    Safe { device: &fixture.alice, name: &shared.safe.to_string() }.accept().unwrap();
    Safe { device: &bob, name: "Of Bob" }.put_shared("/from bob", b"hello");
    let kit = make_kit(&fixture.alice);
    let tried = drill(&fixture.alice, kit.words.expose()).unwrap();
    assert_eq!((tried.safes, tried.kit.device), (2, kit.kit.device));
    assert!(kits(&fixture.alice)[0].drilled.is_some());
    // After the kit, too.
    alice.put_shared("/later", b"later");
    let before = fixture.alice.devices().remove(0);
    fixture.alice.kill();
    std::fs::remove_dir_all(fixture.alice.data()).unwrap();

    let new = fixture.device("alice-after");
    let used = come_back(&new, &fixture, kit.words.expose(), BOB_PASSWORD).unwrap();
    assert_eq!((used.device.user, used.device.registration), (before.user, Registration::Registered));
    assert_eq!(used.root_fingerprint, kit.root_fingerprint);
    assert_ne!(used.device.device, before.device);
    for id in [plans.safe, shared.safe] {
        let _ = new.until_safe(|safe| safe.safe == id && is_well(safe));
    }
    let (plans, of_bob) = (plans.safe.to_string(), shared.safe.to_string());
    let (plans, from_bob) = (Safe { device: &new, name: &plans }, Safe { device: &new, name: &of_bob });
    plans.sync();
    from_bob.sync();
    assert!(plans.get("/big").unwrap() == big);
    assert_eq!(plans.get("/later").unwrap(), b"later");
    assert_eq!(from_bob.get("/from bob").unwrap(), b"hello");
    // It is a device as any other: it writes, and puts the burned one out, which changes the key.
    plans.put_shared("/after", b"after");
    revoke(&new, before.device);
    let _ = new.until_device(|device| device.suspended == Some(false));
    from_bob.put_shared("/again", b"again");
    let of_bob = Safe { device: &bob, name: "Of Bob" };
    of_bob.sync();
    assert_eq!(of_bob.get("/again").unwrap(), b"again");
    // Everybody sees by what it was let in, and the kit opens what has come since.
    let chain = bob.users().unwrap().users.into_iter().find(|user| user.user == before.user).unwrap();
    assert_eq!(chain.devices.iter().filter(|device| device.recovery).count(), 1);
    assert_eq!(chain.devices.len(), 3);
    assert_eq!(drill(&new, kit.words.expose()).unwrap().safes, 2);
}

#[test]
fn wrong_words_and_other_kits_bring_nobody_back() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = enrol_bob(&fixture);
    let (of_alice, of_bob) = (make_kit(&fixture.alice), make_kit(&bob));
    let words = of_alice.words.expose();
    let new = fixture.device("new");
    let mut each: Vec<&str> = words.split(' ').collect();
    let with = |each: &[&str]| come_back(&new, &fixture, &each.join(" "), ALICE_PASSWORD);
    assert_eq!(refused(with(&each[..23])), ProblemKind::RecoveryWordsWrong);
    each.swap(3, 4);
    assert_eq!(refused(with(&each)), ProblemKind::RecoveryWordsWrong);
    // Words that are some kit's, and none of this organisation.
    let nobodys = format!("{}art", "abandon ".repeat(23));
    assert_eq!(refused(come_back(&new, &fixture, &nobodys, ALICE_PASSWORD)), ProblemKind::RecoveryKitUnknown);
    let elsewhere = come_back_to(&new, &fixture, "nowhere", words, ALICE_PASSWORD);
    assert!(matches!(refused(elsewhere), ProblemKind::RecoveryKitUnknown | ProblemKind::OrganisationUnknown));
    assert_eq!(refused(drill(&fixture.alice, of_bob.words.expose())), ProblemKind::RecoveryKitUnknown);
    assert!(new.devices().is_empty(), "nothing is made for words that open nothing");
    // Revoked: the key changes, and the words open nothing any more.
    revoke(&fixture.alice, of_alice.kit.device);
    assert!(kits(&fixture.alice)[0].revoked);
    let _ = fixture.alice.until_device(|device| device.suspended == Some(false));
    assert_eq!(refused(come_back(&new, &fixture, words, ALICE_PASSWORD)), ProblemKind::RecoveryKitUnknown);
    // The other's is as good as before.
    let used = come_back(&new, &fixture, of_bob.words.expose(), BOB_PASSWORD).unwrap();
    assert_eq!(used.device.user, bob.devices()[0].user);
}

/// Answers in the server's place.
struct Liar {
    /// Shows this root key.
    root: Option<VerifyKey>,
    /// Refuses new devices.
    refuses: bool,
    /// Loses the answer about a new device, which the server has taken.
    loses: bool,
}

impl Meddler for Liar {
    fn request(&self, request: &mut Request) -> Fate {
        // Of no call of this protocol: the server refuses it.
        if self.refuses && request.method == "POST" && request.target.ends_with("/devices") {
            request.target.push('x');
        }
        Fate::Pass
    }

    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        if let Some(root) = self.root.filter(|_| request.target.ends_with("/root")) {
            answer.body = codec::encode(&RootKey { root });
        }
        if self.loses && request.target.ends_with("/devices") { Fate::Lose } else { Fate::Pass }
    }
}

const HONEST: Liar = Liar { root: None, refuses: false, loses: false };

/// Words name the root key: an organisation that was made up, with this user and this kit in it,
/// has another one.
#[test]
fn a_server_that_shows_another_organisation_is_noticed() {
    let fixture = Fixture::found(FixtureOptions::default());
    let kit = make_kit(&fixture.alice);
    let new = fixture.device("new");
    let root = Some(VerifyKey::from_bytes([3; 32]));
    fixture.proxy.meddle(Arc::new(Liar { root, ..HONEST }));
    let back = come_back(&new, &fixture, kit.words.expose(), ALICE_PASSWORD);
    assert_eq!(refused(back), ProblemKind::RecoveryKitOfAnother);
    assert_eq!(refused(drill(&fixture.alice, kit.words.expose())), ProblemKind::RecoveryKitOfAnother);
    assert!(new.devices().is_empty());
}

/// A device whose certificate a server refused, or whose answer was lost, is gone on with, by its
/// password: there is never a second one.
#[test]
fn the_same_command_goes_on_with_what_is_there() {
    let fixture = Fixture::found(FixtureOptions::default());
    let kit = make_kit(&fixture.alice);
    let new = fixture.device("new");
    let words = kit.words.expose();
    let count = || fixture.alice.users().unwrap().users[0].devices.len();
    fixture.proxy.meddle(Arc::new(Liar { refuses: true, ..HONEST }));
    let _ = come_back(&new, &fixture, words, BOB_PASSWORD).unwrap_err();
    let left = new.devices();
    assert_eq!((left.len(), left[0].registration, count()), (1, Registration::Pending, 2));
    // Another password is not that device's.
    assert_eq!(refused(come_back(&new, &fixture, words, ALICE_PASSWORD)), ProblemKind::WrongPassword);
    // The server takes it, and its word is lost.
    fixture.proxy.meddle(Arc::new(Liar { loses: true, ..HONEST }));
    let _ = come_back(&new, &fixture, words, BOB_PASSWORD).unwrap_err();
    assert_eq!((new.devices().len(), count()), (1, 3));
    fixture.proxy.meddle(Arc::new(HONEST));
    let used = come_back(&new, &fixture, words, BOB_PASSWORD).unwrap();
    assert_eq!((used.device.device, used.device.registration), (left[0].device, Registration::Registered));
    assert_eq!((new.devices().len(), count()), (1, 3));
    // Once more, for nothing: it is unlocked.
    assert_eq!(refused(come_back(&new, &fixture, words, BOB_PASSWORD)), ProblemKind::DeviceBusy);
}

/// A restore that lost the kit's box, which is all that a kit has: the next device that looks after
/// its user's keys puts it there again.
#[test]
fn a_kits_box_that_the_server_lost_is_put_back() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let kit = make_kit(&fixture.alice);
    let device = kit.kit.device;
    fixture.tamper("DELETE FROM key_box WHERE device = ?1", [device.as_bytes().as_slice()]);
    assert_eq!(refused(drill(&fixture.alice, kit.words.expose())), ProblemKind::UserKeyMissing);
    let () =
        fixture.alice.call::<DeviceView>(method::DEVICE_LOCK, DeviceSelector::default()).map(drop).unwrap();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    // No event tells of it: the server has it again.
    let sql = rusqlite::Connection::open(fixture.server.database()).unwrap();
    let boxes = "SELECT count(*) FROM key_box WHERE device = ?1";
    while sql.query_row(boxes, [device.as_bytes().as_slice()], |row| row.get::<_, i64>(0)).unwrap() == 0 {
        std::thread::yield_now();
    }
    drill(&fixture.alice, kit.words.expose()).unwrap();
}

/// What a thief holds who has the machine: the words are nowhere on it, nor in its daemon's log.
#[test]
fn words_are_kept_nowhere() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let kit = make_kit(&fixture.alice);
    drill(&fixture.alice, kit.words.expose()).unwrap();
    let words: Vec<&str> = kit.words.expose().split(' ').take(3).collect();
    let (planted, log) = (words.join(" "), fixture.alice.log());
    assert!(!log.contains(&planted));
    fixture.alice.kill();
    let mut files = 0;
    walk(&fixture.path("."), &mut |path| {
        files += 1;
        let bytes = std::fs::read(path).unwrap_or_default();
        let found = bytes.windows(planted.len()).any(|window| window == planted.as_bytes());
        assert!(!found, "{}", path.display());
    });
    assert!(files > 5, "{files} files were looked at");
}

fn walk(folder: &Path, seen: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            walk(&entry.path(), seen);
        } else if kind.is_file() {
            seen(&entry.path());
        }
    }
}

/// The device that burned was revoked before its user came back: nothing that it wrote last is
/// believed, and the safes are there all the same.
#[test]
fn whoever_was_locked_out_by_a_revocation_comes_back_too() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = enrol_bob(&fixture);
    let made = create(&fixture.alice, PLANS);
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.put_shared("/file", b"contents");
    alice.share(BOB_EMAIL, SafeRole::Contributor).unwrap();
    let _ = bob.until_safe(|safe| safe.safe == made.safe);
    let at_bob = made.safe.to_string();
    Safe { device: &bob, name: &at_bob }.accept().unwrap();
    let kit = make_kit(&bob);
    revoke(&fixture.alice, bob.devices()[0].device);
    let new = fixture.device("bob-after");
    let used = come_back(&new, &fixture, kit.words.expose(), BOB_PASSWORD).unwrap();
    assert_eq!(used.device.registration, Registration::Registered);
    let found = new.until_safe(|safe| safe.safe == made.safe);
    if found.standing == SafeStanding::Offered {
        Safe { device: &new, name: &at_bob }.accept().unwrap();
    }
    let _ = new.until_safe(|safe| safe.safe == made.safe && is_well(safe));
    let safe = Safe { device: &new, name: &at_bob };
    safe.sync();
    assert_eq!(safe.get("/file").unwrap(), b"contents");
}
