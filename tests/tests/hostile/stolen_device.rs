//! A stolen device: its folder, its password and a copy of everything the server has are worth
//! nothing for what is sealed after its user's key was changed; and what a server can do to a
//! user's keys by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::chain::organisation::members::{NameOf, open_name};
use parsec_protocol::codec;
use parsec_protocol::control::{
    ChoiceMode, DeviceRevoke, DeviceSelector, EntryKind, Event, EventItem, Member, ProblemKind, method,
};
use parsec_protocol::directory::open_box;
use parsec_protocol::ids::{DeviceId, UserId};
use parsec_protocol::keys::{DeviceSeed, UserSeed};
use parsec_protocol::manifest::{self, ManifestError, ManifestHeader, Opened, Summary};
use parsec_protocol::relay::{ErrorBody, ErrorCode};
use parsec_protocol::safe_log::ring::RingPart;
use parsec_protocol::sealing::KeyHash;
use parsec_protocol::user_key::UserKey;
use parsec_tests::ceremony::Bell;
use parsec_tests::device::{Device, copy_folder};
use parsec_tests::events::Follower;
use parsec_tests::fixture::{
    ALICE_AGAIN, ALICE_EMAIL, ALICE_PASSWORD, BOB, BOB_EMAIL, Fixture, FixtureOptions,
};
use parsec_tests::own_devices::{enrol_own, log_of, only, opened, rekey};
use parsec_tests::proxy::{Answer, Fate, Meddler, Request};
use parsec_tests::script::{self, Newcomer, Phone};
use parsec_tests::server::Server;
use parsecd::store::OpenDevice;

/// Alice with her desktop and her tablet, both unlocked.
struct Two {
    fixture: Fixture,
    tablet: Device,
}

impl Two {
    fn enrol() -> Self {
        let fixture = Fixture::found(FixtureOptions::default());
        let tablet = fixture.device("tablet");
        let invitation = fixture.alice.invite_device().unwrap();
        let ends = fixture.enrol(&tablet, &invitation, ALICE_AGAIN, ChoiceMode::Picked);
        assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
        // It is in the log, and has it.
        assert_eq!(tablet.verify().unwrap().devices, 2);
        Self { fixture, tablet }
    }
}

/// Waits for the daemon to say that its user's key is another one.
fn until_changed(events: &mut Follower) {
    events.until(|item| {
        matches!(item, EventItem::Event { event: Event::OwnChange { change: EntryKind::UserKey, .. }, .. })
    });
}

/// What a server has of Alice that is sealed.
struct Sealed {
    /// Key, device, box.
    boxes: Vec<(KeyHash, DeviceId, Vec<u8>)>,
    /// Key, box with the key before.
    past: Vec<(KeyHash, Vec<u8>)>,
    manifest: Vec<u8>,
}

fn sealed(server: &Server) -> Sealed {
    let sql = rusqlite::Connection::open(server.folder().join("metadata.sqlite")).unwrap();
    let mut boxes = sql.prepare("SELECT key, device, sealed FROM key_box").unwrap();
    let boxes = boxes.query_map([], |row| {
        Ok((KeyHash::from_bytes(row.get(0)?), DeviceId::from_bytes(row.get(1)?), row.get(2)?))
    });
    let boxes = boxes.unwrap().map(Result::unwrap).collect();
    let mut past = sql.prepare("SELECT key, sealed FROM past_box").unwrap();
    let past = past.query_map([], |row| Ok((KeyHash::from_bytes(row.get(0)?), row.get(1)?)));
    let past = past.unwrap().map(Result::unwrap).collect();
    let manifest = sql.query_row("SELECT envelope FROM manifest", [], |row| row.get(0)).unwrap();
    Sealed { boxes, past, manifest }
}

/// What opens it, of these seeds.
fn manifest_by(
    envelope: &[u8],
    log: &VerifiedLog,
    user: UserId,
    seeds: &[&UserSeed],
) -> Result<Opened, ManifestError> {
    manifest::open(
        envelope,
        log.organisation(),
        &user,
        |author| log.device(author).map(|device| device.verify_key),
        |key| {
            let fits = seeds.iter().find(|seed| seed.encryption_key().hash() == *key);
            fits.map(|seed| seed.manifest_key(log.organisation(), &user))
        },
    )
}

#[test]
fn a_stolen_device_with_its_password_and_the_servers_database_opens_nothing_of_later() {
    let Two { mut fixture, mut tablet } = Two::enrol();
    let stolen = only(&tablet);
    tablet.kill();
    let data = fixture.path("stolen");
    copy_folder(&tablet.data(), &data);
    let before = sealed(&fixture.server);
    let manifests = Arc::new(Manifests::default());
    fixture.proxy.meddle(Arc::clone(&manifests) as Arc<dyn Meddler>);
    let mut events = Follower::start(&fixture.alice.socket(), None);
    let asked = DeviceRevoke { select: DeviceSelector::default(), device: stolen };
    let _: Member = fixture.alice.call(method::DEVICE_REVOKE, asked).unwrap();
    // By itself: Alice did nothing but to revoke.
    until_changed(&mut events);
    let desk = only(&fixture.alice);
    manifests.until_one();
    fixture.alice.kill();

    let thief = opened(&data, stolen, ALICE_AGAIN.password);
    let owner = opened(&fixture.alice.data(), desk, ALICE_PASSWORD);
    let (log, user) = (log_of(&owner), owner.summary.user);
    let record = log.user(&user).unwrap();
    let [first, present] = record.keys.as_slice() else { panic!("one change: {:?}", record.keys) };
    assert!(!log.is_suspended(&user));
    let old = &*thief.keys.user_seed;
    let new = owner.store.user_seed(&present.key).unwrap().expect("the desktop has it");
    assert_eq!(old.encryption_key().hash(), first.key);
    assert!(thief.store.user_seed(&present.key).unwrap().is_none());

    let after = sealed(&fixture.server);
    let organisation = log.organisation().clone();
    let key_of = |key| UserKey { organisation: organisation.clone(), user, key };
    // The twin: the one who should opens each of them, so they are what they seem.
    assert_eq!(
        after.boxes.iter().map(|(key, device, _)| (*key, *device)).collect::<Vec<_>>(),
        [(present.key, desk)]
    );
    let (_, _, to_desk) = &after.boxes[0];
    assert!(
        key_of(present.key).open_at_device(to_desk, desk, &owner.keys.device_seed).unwrap().is_same(&new)
    );
    let [(key, past)] = after.past.as_slice() else { panic!("one box with the key before") };
    assert_eq!(*key, present.key);
    assert!(key_of(*key).open_past(past, first.key, &new).unwrap().is_same(old));
    assert_eq!(manifest_by(&after.manifest, &log, user, &[&new]).unwrap().header.key, present.key);
    assert!(manifest_by(&before.manifest, &log, user, &[old]).is_ok(), "what the thief had, he has");

    // The thief: whatever he holds, to whichever key it is sealed, as whichever device.
    let seed: &DeviceSeed = &thief.keys.device_seed;
    for device in [desk, stolen] {
        assert!(key_of(present.key).open_at_device(to_desk, device, seed).is_err());
    }
    for before in [first.key, present.key] {
        assert!(key_of(present.key).open_past(past, before, old).is_err());
    }
    assert_eq!(manifest_by(&after.manifest, &log, user, &[old]).unwrap_err(), ManifestError::UnknownKey);
    // Nor with the old key in the new one's place.
    let forced = manifest::open(
        &after.manifest,
        &organisation,
        &user,
        |author| log.device(author).map(|device| device.verify_key),
        |_| Some(old.manifest_key(&organisation, &user)),
    );
    assert_eq!(forced.unwrap_err(), ManifestError::Forged);
    println!("figure: a stolen device opens nothing that was sealed after the key was changed");
}

/// Rings when the server has taken a manifest.
#[derive(Default)]
struct Manifests {
    taken: AtomicU32,
    bell: Bell,
}

impl Manifests {
    fn until_one(&self) {
        let taken = || (self.taken.load(Ordering::SeqCst) > 0).then_some(());
        self.bell.until("a manifest under the new key", taken).unwrap();
    }
}

impl Meddler for Manifests {
    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        if request.method == "PUT" && request.target.ends_with("/manifest") && answer.status == 204 {
            self.taken.fetch_add(1, Ordering::SeqCst);
            self.bell.ring();
        }
        Fate::Pass
    }
}

/// The tablet was away while the key was changed; the server has a wrong box for it, or none.
fn after_a_change_with(break_box: impl FnOnce(&mut Fixture, DeviceId)) -> Two {
    let Two { mut fixture, mut tablet } = Two::enrol();
    let device = only(&tablet);
    tablet.kill();
    let _ = fixture.alice.ctl(&["user", "rekey", "--yes"]).well();
    break_box(&mut fixture, device);
    tablet.restart();
    Two { fixture, tablet }
}

#[test]
fn a_device_that_was_away_gets_the_new_key_out_of_its_box() {
    let Two { fixture, tablet } = after_a_change_with(|_, _| {});
    tablet.unlock(ALICE_AGAIN.password).unwrap();
    // It hands the present key on: it could not if it had none.
    let phone = fixture.device("phone");
    let invitation = tablet.invite_device().unwrap();
    let bell = Arc::new(Bell::default());
    let mut claimer = phone.claim(invitation.link.expose(), &bell).unwrap();
    let mut greeter = tablet.greet(invitation.token, &bell).unwrap();
    let newcomer = Newcomer { name: None, label: "Alice's phone", password: "alice hums to bees" };
    let ends = script::enrol(&mut claimer, &mut greeter, newcomer, Phone::default());
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
}

#[test]
fn a_wrong_box_is_an_alarm_that_names_who_changed_the_key_and_other_work_goes_on() {
    for missing in [false, true] {
        let Two { fixture, tablet } = after_a_change_with(|fixture, device| {
            if missing {
                fixture.tamper("DELETE FROM key_box WHERE device = ?1", [device.as_bytes()]);
            } else {
                let statement = "UPDATE key_box SET sealed = (SELECT sealed FROM key_box WHERE device <> ?1) WHERE device = ?1";
                fixture.tamper(statement, [device.as_bytes()]);
            }
        });
        let mut events = Follower::start(&tablet.socket(), None);
        tablet.unlock(ALICE_AGAIN.password).unwrap();
        let alarm = events.until(|item| matches!(item, EventItem::Event { event: Event::Alarm { .. }, .. }));
        let EventItem::Event { event: Event::Alarm { alarm }, .. } = alarm else { unreachable!() };
        assert_eq!(alarm.problem.name, ProblemKind::UserKeyMissing);
        assert!(alarm.problem.message.contains("Alice's green desktop"), "{}", alarm.problem.message);
        // The log is as good as before.
        assert_eq!(tablet.users().unwrap().users.len(), 1);
        // The remedy, on the other device, as it says.
        tablet.verify().unwrap();
        let mut events = Follower::start(&tablet.socket(), None);
        let _ = fixture.alice.ctl(&["user", "rekey", "--yes"]).well();
        until_changed(&mut events);
        let _ = tablet.ctl(&["user", "rekey", "--yes"]).well();
    }
}

/// Answers for one key with another one, as whoever can't have the right one might.
struct AnotherKey(String, Vec<u8>);

impl Meddler for AnotherKey {
    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        if request.method == "GET" && request.target.ends_with(&self.0) {
            answer.status = 200;
            answer.body.clone_from(&self.1);
        }
        Fate::Pass
    }
}

/// A hash is all that the log has: nobody whose key is not to be had stands in the others' way.
#[test]
fn a_device_with_the_hash_of_nothing_is_left_out_and_named() {
    let Two { mut fixture, mut tablet } = Two::enrol();
    let phone = Newcomer { name: None, label: "Alice's phone", password: "alice hums to bees" };
    let phone = enrol_own(&fixture, &fixture.alice, "phone", phone);
    let left_out = only(&tablet);
    tablet.kill();
    let open = opened(&tablet.data(), left_out, ALICE_AGAIN.password);
    let lost = open.keys.device_seed.encryption_key().hash();
    drop(open);
    fixture.tamper("UPDATE encryption_key SET key = NULL WHERE hash = ?1", [lost.as_bytes()]);
    for lies in [false, true] {
        if lies {
            let other = codec::encode(&UserSeed::from_bytes(&mut [7; 32]).encryption_key());
            fixture.proxy.meddle(Arc::new(AnotherKey(format!("/keys/{lost}"), other)));
        }
        let done = rekey(&phone);
        assert_eq!(done.left_out, [left_out], "{lies}");
        // The others have it.
        fixture.alice.verify().unwrap();
        assert_eq!(rekey(&fixture.alice).left_out, [], "the desktop let the tablet in, and has its key");
    }
    assert!(fixture.alice.status().alarms.is_empty() && phone.status().alarms.is_empty());
}

/// Alice's tablet was revoked, and the key changed since; what it holds, and the manifest as it
/// then was.
fn thief() -> (Fixture, OpenDevice, Vec<u8>) {
    let Two { fixture, mut tablet } = Two::enrol();
    let stolen = only(&tablet);
    tablet.kill();
    let before = sealed(&fixture.server).manifest;
    let manifests = Arc::new(Manifests::default());
    fixture.proxy.meddle(Arc::clone(&manifests) as Arc<dyn Meddler>);
    let asked = DeviceRevoke { select: DeviceSelector::default(), device: stolen };
    let _: Member = fixture.alice.call(method::DEVICE_REVOKE, asked).unwrap();
    manifests.until_one();
    let thief = opened(&tablet.data(), stolen, ALICE_AGAIN.password);
    (fixture, thief, before)
}

/// What Alice's device says first of a manifest that the server gives instead of the right one. It
/// is locked meanwhile: an unlocked one would look, and say so, before anybody follows it.
fn alarm_over(
    fixture: &mut Fixture,
    statement: &str,
    values: impl rusqlite::Params,
) -> (ProblemKind, String) {
    let _ = fixture.alice.ctl(&["device", "lock"]).well();
    fixture.tamper(statement, values);
    let mut events = Follower::start(&fixture.alice.socket(), None);
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    let alarm = events.until(|item| matches!(item, EventItem::Event { event: Event::Alarm { .. }, .. }));
    let EventItem::Event { event: Event::Alarm { alarm }, .. } = alarm else { unreachable!() };
    (alarm.problem.name, alarm.problem.message)
}

#[test]
fn a_stolen_device_opens_no_name_that_was_certified_after_it_was_revoked() {
    let (fixture, thief, _) = thief();
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let ends = fixture.enrol(&bob, &invitation, BOB, ChoiceMode::Picked);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let sql = rusqlite::Connection::open(fixture.server.database()).unwrap();
    let mut select = sql.prepare("SELECT envelope FROM certificate ORDER BY position").unwrap();
    let rows = select.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    let envelopes: Vec<_> = rows.map(Result::unwrap).collect();
    let known = log_of(&thief);
    let log = VerifiedLog::empty(known.organisation().clone(), *known.root());
    let log = log.extended(envelopes.iter().map(Vec::as_slice)).unwrap();
    let held = thief.directory();
    let opened = |email: &str| {
        let user = log.users().find(|user| user.email.as_str() == email).unwrap();
        open_name(&*held, log.organisation(), NameOf::User(user.user), &user.sealed_name)
    };
    assert_eq!(opened(ALICE_EMAIL).unwrap().as_str(), "Alice Hollybrook", "what was there, the thief has");
    assert_eq!(opened(BOB_EMAIL), None);
    // Whose boxes are in the ring: none opens with the seed that was stolen, whomever it is for.
    let record = log.directory_keys().last().expect("the key was changed");
    let part: Vec<u8> = sql.query_row("SELECT bytes FROM directory_part", [], |row| row.get(0)).unwrap();
    for sealed in RingPart::decode(&part).unwrap().0.into_iter().flatten() {
        let (user, seed) = (thief.summary.user, &thief.keys.user_seed);
        let check = &record.key_check;
        assert!(open_box(log.organisation(), record.number, check, user, &sealed, seed).is_err());
    }
    let users = fixture.alice.users().unwrap().users;
    assert!(users.iter().all(|user| user.name.is_some()), "{users:?}");
}

#[test]
fn what_a_revoked_device_writes_into_the_manifest_is_shown_and_written_above() {
    let (mut fixture, thief, _) = thief();
    let summary = thief.summary.clone();
    let log = log_of(&thief);
    let place = ManifestHeader {
        organisation: summary.organisation.clone(),
        user: summary.user,
        version: 9,
        author: summary.device,
        time: parsecd::os::clock::now(),
        key: thief.keys.user_seed.encryption_key().hash(),
    };
    let content =
        Summary { directory_keys: &thief.directory(), own_name: None, anchor: log.head(), safes: Vec::new() };
    let key = thief.keys.user_seed.manifest_key(&summary.organisation, &summary.user);
    let envelope =
        manifest::seal(&place, content, &key, &thief.keys.signing_key, &mut parsecd::os::entropy::System)
            .unwrap();
    let manifests = Arc::new(Manifests::default());
    fixture.proxy.meddle(Arc::clone(&manifests) as Arc<dyn Meddler>);
    let (name, message) =
        alarm_over(&mut fixture, "UPDATE manifest SET version = 9, envelope = ?1", [&envelope]);
    assert_eq!(name, ProblemKind::ManifestUntrusted);
    assert!(message.contains("Alice's orange tablet") && message.contains("Version 9"), "{message}");
    manifests.until_one();
    let sql = rusqlite::Connection::open(fixture.server.folder().join("metadata.sqlite")).unwrap();
    let version: u32 = sql.query_row("SELECT version FROM manifest", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 10);
}

#[test]
fn an_older_manifest_and_another_one_are_alarms() {
    let (mut fixture, _, before) = thief();
    // The one of before, under the number that it had.
    fixture.proxy.meddle(Arc::new(NoManifest));
    let (name, message) =
        alarm_over(&mut fixture, "UPDATE manifest SET version = 1, envelope = ?1", [&before]);
    assert_eq!(name, ProblemKind::RolledBack);
    assert!(message.contains("older than version 2"), "{message}");
}

/// Takes no manifest back.
struct NoManifest;

impl Meddler for NoManifest {
    fn request(&self, request: &mut Request) -> Fate {
        if request.method == "PUT" && request.target.ends_with("/manifest") {
            "/v1/nowhere".clone_into(&mut request.target);
        }
        Fate::Pass
    }

    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        if request.target == "/v1/nowhere" {
            answer.status = 409;
            answer.body = codec::encode(&ErrorBody {
                code: ErrorCode::ManifestConflict,
                server_time: parsecd::os::clock::now(),
                retry_after: 0,
            });
        }
        Fate::Pass
    }
}
