//! Names that were certified after somebody left are closed to them, whatever they kept and
//! whatever the server gives them; every other member reads them, also who was away, suspended or
//! lost every device; and what a server or an administrator comes to who hands out something else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parsec_protocol::chain::organisation::certificate::Body;
use parsec_protocol::chain::organisation::changes::certify;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::chain::organisation::members::{NameOf, open_name, sealed_with};
use parsec_protocol::control::{
    DeviceRevoke, DeviceSelector, EntryKind, Event, EventItem, Member, ProblemKind, ProfileName,
    RecoveryCreate, RecoveryCreated, RecoveryUse, RecoveryUsed, Registration, SecretText, Stage, UserRevoke,
    method,
};
use parsec_protocol::directory::{Directory, make_parts, open_box};
use parsec_protocol::directory_ring::DirectoryRing;
use parsec_protocol::ids::UserId;
use parsec_protocol::keys::DirectoryKey;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{Completed, DirectoryKeyChange, ErrorCode, path};
use parsec_protocol::safe_log::ring::{Recipient, RingPart};
use parsec_tests::ceremony::Bell;
use parsec_tests::device::{Device, copy_folder};
use parsec_tests::events::Follower;
use parsec_tests::fixture::{
    ALICE_AGAIN, ALICE_PASSWORD, BOB, BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions,
};
use parsec_tests::insider::Insider;
use parsec_tests::lying::refuses_all;
use parsec_tests::own_devices::{enrol_own, log_of, only, opened, settle};
use parsec_tests::script::{self, Newcomer, Phone};

pub(super) const CAROL_EMAIL: &str = "carol@acme.example";
pub(super) const CAROL: Newcomer<'static> = Newcomer {
    name: Some("Carol Thistledown"),
    label: "Carol's red notebook",
    password: "carol grows quinces",
};
pub(super) const DAVE_EMAIL: &str = "dave@acme.example";
pub(super) const DAVE: Newcomer<'static> =
    Newcomer { name: Some("Dave Oatmeal"), label: "Dave's steel box", password: "dave mends umbrellas" };
pub(super) const DAVE_AGAIN: Newcomer<'static> =
    Newcomer { name: None, label: "Dave's small phone", password: "dave mends umbrellas, too" };

/// Somebody new, let in by this device.
pub(super) fn let_in(
    fixture: &Fixture,
    by: &Device,
    folder: &str,
    email: &str,
    newcomer: Newcomer<'_>,
) -> Device {
    let device = fixture.device(folder);
    let invitation = by.invite(email).unwrap();
    let bell = Arc::new(Bell::default());
    let mut claimer = device.claim(invitation.link.expose(), &bell).unwrap();
    let mut greeter = by.greet(invitation.token, &bell).unwrap();
    let ends = script::enrol(&mut claimer, &mut greeter, newcomer, Phone::default());
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let _ = device.until_device(|device| device.registration == Registration::Registered);
    device
}

/// The same as an administrator, let in by Alice.
pub(super) fn let_in_administrator(
    fixture: &Fixture,
    folder: &str,
    email: &str,
    newcomer: Newcomer<'_>,
) -> Device {
    let device = fixture.device(folder);
    let invitation = fixture.alice.invite(email).unwrap();
    let (mut claimer, mut greeter) = fixture.both(&device, &invitation);
    script::up_to_password(&mut claimer, &mut greeter, newcomer, Some(ProfileName::Administrator));
    let _ = claimer.stage(Stage::SetPassword).unwrap();
    let _ = claimer.finish(newcomer.password).unwrap();
    let _ = claimer.outcome().unwrap();
    let _ = greeter.outcome().unwrap();
    let _ = device.until_device(|device| device.registration == Registration::Registered);
    device
}

pub(super) fn user_of(by: &Device, email: &str) -> UserId {
    by.users()
        .unwrap()
        .users
        .into_iter()
        .find(|user| user.email.as_str() == email && !user.revoked)
        .unwrap()
        .user
}

pub(super) fn revoke(by: &Device, email: &str) {
    let asked = UserRevoke { select: DeviceSelector::default(), user: user_of(by, email) };
    let _member: Member = by.call(method::USER_REVOKE, asked).unwrap();
}

/// What a device calls a member now; nothing where it can't read the name.
pub(super) fn name(on: &Device, email: &str) -> Option<String> {
    let _ = on.verify();
    let users = on.users().unwrap().users;
    let user = users.into_iter().find(|user| user.email.as_str() == email).expect("the log has them");
    user.name.map(|name| name.to_string())
}

/// Alice, Bob and Dave; Bob's folder was copied, and he was let go.
pub(super) fn bob_left() -> (Fixture, Device, std::path::PathBuf, parsec_protocol::ids::DeviceId) {
    let fixture = Fixture::found(FixtureOptions::default());
    let mut bob = let_in(&fixture, &fixture.alice, "bob", BOB_EMAIL, BOB);
    let dave = let_in(&fixture, &fixture.alice, "dave", DAVE_EMAIL, DAVE);
    let stolen = only(&bob);
    bob.kill();
    let data = fixture.path("stolen");
    copy_folder(&bob.data(), &data);
    revoke(&fixture.alice, BOB_EMAIL);
    (fixture, dave, data, stolen)
}

/// The server's log, verified from what somebody has.
fn servers_log(fixture: &Fixture, from: &VerifiedLog) -> VerifiedLog {
    let sql = rusqlite::Connection::open(fixture.server.database()).unwrap();
    let mut select = sql.prepare("SELECT envelope FROM certificate ORDER BY position").unwrap();
    let rows = select.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    let envelopes: Vec<_> = rows.map(Result::unwrap).collect();
    VerifiedLog::empty(from.organisation().clone(), *from.root())
        .extended(envelopes.iter().map(Vec::as_slice))
        .unwrap()
}

/// Alice on a machine that has nothing, let in by her kit alone.
pub(super) fn back_by_kit(fixture: &Fixture, kit: RecoveryCreated) -> Device {
    let after = fixture.device("after-the-fire");
    let asked = RecoveryUse {
        server: fixture.proxy.url(),
        organisation: "acme".parse().unwrap(),
        words: kit.words,
        device_label: "the machine after the fire".parse().unwrap(),
        password: SecretText::new("alice starts once more".to_owned().into()),
        typed_codes: false,
    };
    let _used: RecoveryUsed = after.call(method::RECOVERY_USE, asked).unwrap();
    let _ = after.until_device(|device| device.registration == Registration::Registered);
    after
}

#[test]
fn who_left_opens_no_name_that_was_certified_later_and_everybody_else_does() {
    let (mut fixture, dave, data, stolen) = bob_left();
    let tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    let asked = RecoveryCreate { select: DeviceSelector::default(), label: None };
    let kit: RecoveryCreated = fixture.alice.call(method::RECOVERY_CREATE, asked).unwrap();
    let carol = let_in(&fixture, &fixture.alice, "carol", CAROL_EMAIL, CAROL);

    let carols = Some("Carol Thistledown".to_owned());
    for device in [&fixture.alice, &tablet, &dave, &carol] {
        settle(device);
        assert_eq!(name(device, CAROL_EMAIL), carols);
        // What was certified before stays open to all of them.
        assert_eq!(name(device, DAVE_EMAIL), Some("Dave Oatmeal".to_owned()));
    }

    // Bob: his folder, his password, and a copy of all that the server has.
    let thief = opened(&data, stolen, BOB_PASSWORD);
    let log = servers_log(&fixture, &log_of(&thief));
    let record = *log.directory_keys().last().expect("the key was changed");
    let (user, held) = (thief.summary.user, thief.directory());
    let open = |email: &str| {
        let member = log.users().find(|user| user.email.as_str() == email).unwrap();
        let opened = open_name(&*held, log.organisation(), NameOf::User(member.user), &member.sealed_name);
        (sealed_with(&member.sealed_name), opened.map(|name| name.to_string()))
    };
    assert_eq!(open(DAVE_EMAIL), (Some(1), Some("Dave Oatmeal".to_owned())), "what he had, he has");
    assert_eq!(open(CAROL_EMAIL), (Some(record.number), None));
    assert!(log.directory_list(record.position).iter().all(|(listed, _)| *listed != user));
    let sql = rusqlite::Connection::open(fixture.server.database()).unwrap();
    let mut parts = sql.prepare("SELECT bytes FROM directory_part").unwrap();
    let mut tried = 0;
    for part in parts.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap() {
        for sealed in RingPart::decode(&part.unwrap()).unwrap().0.into_iter().flatten() {
            for (whose, _) in
                log.directory_list(record.position).into_iter().chain([(user, record_key(&log, user))])
            {
                let seed = &thief.keys.user_seed;
                let opened =
                    open_box(log.organisation(), record.number, &record.key_check, whose, &sealed, seed);
                assert!(opened.is_err());
                tried += 1;
            }
        }
    }
    assert!(tried >= 4, "{tried}");
    // The earlier keys are sealed under the new one, not the other way round.
    let head: Vec<u8> = sql.query_row("SELECT head FROM directory_ring", [], |row| row.get(0)).unwrap();
    let head = DirectoryRing::decode(&head).unwrap();
    for number in [1, record.number] {
        let key = DirectoryKey::from_bytes(&mut { *thief.keys.directory_key.expose() });
        assert!(Directory::new(log.organisation(), number, &key).open_past(&head.past).is_err());
    }

    // Alice loses everything but the kit: what she wrote into the manifest last has the key.
    settle(&fixture.alice);
    fixture.alice.kill();
    let after = back_by_kit(&fixture, kit);
    assert_eq!(name(&after, CAROL_EMAIL), carols);
    println!("figure: who left opens no name certified after the directory key was changed");
}

fn record_key(log: &VerifiedLog, user: UserId) -> parsec_protocol::sealing::KeyHash {
    log.user(&user).unwrap().encryption_key
}

#[test]
fn nothing_is_changed_before_a_name_is_sealed_nor_twice_for_one_who_left() {
    let (fixture, dave, ..) = bob_left();
    let numbers = |device: &Device| {
        let _ = device.verify();
        device.ctl(&["trust", "log"]).well().stdout.matches("new key for names").count()
    };
    assert_eq!(numbers(&dave), 0, "a revocation alone changes nothing");
    let _carol = let_in(&fixture, &fixture.alice, "carol", CAROL_EMAIL, CAROL);
    assert_eq!(numbers(&dave), 1);
    let _erin = let_in(&fixture, &fixture.alice, "erin", "erin@acme.example", CAROL);
    assert_eq!(numbers(&dave), 1, "nobody left since");
}

#[test]
fn who_was_suspended_then_reads_names_once_their_key_has_changed() {
    let fixture = Fixture::found(FixtureOptions::default());
    let mut dave = let_in(&fixture, &fixture.alice, "dave", DAVE_EMAIL, DAVE);
    let phone = enrol_own(&fixture, &dave, "phone", DAVE_AGAIN);
    let lost = only(&phone);
    settle(&dave);
    dave.kill();
    drop(phone);
    // Alice revokes the phone for him: nobody is there who could change his key.
    let asked = DeviceRevoke { select: DeviceSelector::default(), device: lost };
    let _member: Member = fixture.alice.call(method::DEVICE_REVOKE, asked).unwrap();
    let _carol = let_in(&fixture, &fixture.alice, "carol", CAROL_EMAIL, CAROL);
    dave.restart();
    let mut events = Follower::start(&dave.socket(), None);
    dave.unlock(DAVE.password).unwrap();
    events.until(|item| {
        matches!(item, EventItem::Event { event: Event::OwnChange { change: EntryKind::UserKey, .. }, .. })
    });
    // The ring has no box for him. His key has changed by now: Alice's device sees that, and posts
    // one.
    settle(&fixture.alice);
    settle(&dave);
    assert_eq!(name(&dave, CAROL_EMAIL), Some("Carol Thistledown".to_owned()));
}

#[test]
fn a_server_that_withholds_a_ring_leaves_a_name_closed_until_it_gives_it() {
    let (fixture, dave, ..) = bob_left();
    let closed = Arc::new(AtomicBool::new(true));
    let withholds = Arc::clone(&closed);
    refuses_all(&fixture.proxy, move |request| {
        let asked = request.method == "GET" && request.target.contains("/directory/");
        let boxes = request.target.contains("/boxes/");
        let nothing = if boxes { ErrorCode::BoxUnknown } else { ErrorCode::RingMissing };
        (asked && withholds.load(Ordering::SeqCst)).then_some(nothing)
    });
    let _carol = let_in(&fixture, &fixture.alice, "carol", CAROL_EMAIL, CAROL);
    settle(&dave);
    assert_eq!(name(&dave, CAROL_EMAIL), None);
    let list = dave.ctl(&["user", "list"]).well().stdout;
    assert!(list.contains(CAROL_EMAIL) && !list.contains("Carol"), "{list}");
    assert!(dave.status().alarms.is_empty(), "nobody has lied");
    let log = dave.log();
    assert!(log.contains("directory_key_missing"), "{log}");
    closed.store(false, Ordering::SeqCst);
    settle(&dave);
    assert_eq!(name(&dave, CAROL_EMAIL), Some("Carol Thistledown".to_owned()));
}

#[test]
fn a_part_that_the_server_changed_shows_nothing_wrong() {
    let (mut fixture, mut dave, ..) = bob_left();
    dave.kill();
    let _carol = let_in(&fixture, &fixture.alice, "carol", CAROL_EMAIL, CAROL);
    let sql = rusqlite::Connection::open(fixture.server.database()).unwrap();
    let part: Vec<u8> = sql.query_row("SELECT bytes FROM directory_part", [], |row| row.get(0)).unwrap();
    drop(sql);
    let mut changed = part.clone();
    *changed.last_mut().unwrap() ^= 1;
    fixture.tamper("UPDATE directory_part SET bytes = ?1", [&changed]);
    dave.restart();
    dave.unlock(DAVE.password).unwrap();
    settle(&dave);
    assert_eq!(name(&dave, CAROL_EMAIL), None);
    assert!(dave.status().alarms.is_empty(), "the ring's author did nothing wrong");
    fixture.tamper("UPDATE directory_part SET bytes = ?1", [&part]);
    settle(&dave);
    assert_eq!(name(&dave, CAROL_EMAIL), Some("Carol Thistledown".to_owned()));
}

#[test]
fn a_ring_that_the_server_lost_comes_back_from_the_device_that_made_it() {
    let (mut fixture, mut dave, ..) = bob_left();
    dave.kill();
    let _carol = let_in(&fixture, &fixture.alice, "carol", CAROL_EMAIL, CAROL);
    settle(&fixture.alice);
    fixture.tamper("DELETE FROM directory_ring", []);
    fixture.tamper("DELETE FROM directory_part", []);
    settle(&fixture.alice);
    dave.restart();
    dave.unlock(DAVE.password).unwrap();
    settle(&dave);
    assert_eq!(name(&dave, CAROL_EMAIL), Some("Carol Thistledown".to_owned()));
}

/// Alice's device makes the second key, by a program that gives one member a box with another key.
pub(super) fn hand_out_wrong_box(fixture: &mut Fixture, whose: UserId) {
    let mut insider = Insider::of(&mut fixture.alice, ALICE_PASSWORD, &fixture.server);
    insider.refresh();
    let organisation = insider.organisation().clone();
    let right = DirectoryKey::from_bytes(&mut [7; 32]);
    let wrong = DirectoryKey::from_bytes(&mut [8; 32]);
    let log = &insider.log;
    let keys: Vec<_> = log
        .directory_list(log.count())
        .into_iter()
        .map(|(user, key)| (Recipient { user, key }, Some(insider.key(key))))
        .collect();
    let (of, lie) = (Directory::new(&organisation, 2, &right), Directory::new(&organisation, 2, &wrong));
    let mut part = make_parts(&of, &keys).remove(0);
    let at = keys.iter().position(|(recipient, _)| recipient.user == whose).unwrap();
    part.0[at] = make_parts(&lie, &keys).remove(0).0[at].clone();
    let ring = DirectoryRing {
        organisation: organisation.clone(),
        number: 2,
        author: insider.device(),
        parts: vec![part.hash()],
        past: of
            .seal_past(&insider.open.directory().record(), &mut parsecd::os::entropy::System)
            .unwrap()
            .into(),
    };
    let body = Body::DirectoryKeyChanged { number: 2, key_check: of.check(), ring: ring.hash() };
    let signing_key = &insider.open.keys.signing_key;
    let certificate = certify(log, insider.device(), signing_key, body, parsecd::os::clock::now()).unwrap();
    let change = parsec_protocol::codec::encode(&DirectoryKeyChange {
        certificate: certificate.into(),
        ring: ring.encode().into(),
    });
    // Without its part, nothing of it is taken.
    let target = path::directory_key(&organisation);
    assert_eq!(insider.ask::<Completed>("POST", &target, &change).unwrap_err(), ErrorCode::RingMissing);
    let bytes = part.encode();
    let put = path::directory_part(&organisation, &part.hash());
    assert_eq!(insider.call("PUT", &put, &bytes, Hash::of(&[&bytes])).0, 204);
    insider.ask::<Completed>("POST", &target, &change).unwrap();
}

#[test]
fn an_administrator_who_hands_out_a_wrong_box_is_named() {
    let (mut fixture, dave, ..) = bob_left();
    hand_out_wrong_box(&mut fixture, user_of(&dave, DAVE_EMAIL));
    settle(&dave);
    let alarms = dave.status().alarms;
    let [alarm] = alarms.as_slice() else { panic!("one alarm: {alarms:?}") };
    assert_eq!(alarm.problem.name, ProblemKind::DirectoryUntrusted);
    assert!(alarm.problem.message.contains("Alice's green desktop"), "{}", alarm.problem.message);
}

#[test]
fn of_two_administrators_at_once_one_makes_the_key_and_both_go_on() {
    let fixture = Fixture::found(FixtureOptions::default());
    let mut bob = let_in(&fixture, &fixture.alice, "bob", BOB_EMAIL, BOB);
    let dave = let_in_administrator(&fixture, "dave", DAVE_EMAIL, DAVE);
    bob.kill();
    revoke(&fixture.alice, BOB_EMAIL);
    let _ = dave.verify().unwrap();
    std::thread::scope(|scope| {
        let one = scope.spawn(|| let_in(&fixture, &fixture.alice, "carol", CAROL_EMAIL, CAROL));
        let other = scope.spawn(|| let_in(&fixture, &dave, "erin", "erin@acme.example", CAROL));
        (one.join().unwrap(), other.join().unwrap())
    });
    for device in [&fixture.alice, &dave] {
        settle(device);
        for email in [CAROL_EMAIL, "erin@acme.example"] {
            assert_eq!(name(device, email), Some("Carol Thistledown".to_owned()), "{email}");
        }
        let log = device.ctl(&["trust", "log"]).well().stdout;
        assert_eq!(log.matches("new key for names").count(), 1, "{log}");
        assert!(device.status().alarms.is_empty());
    }
}
