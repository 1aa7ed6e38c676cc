//! Where the server is at hand, a name is sealed with a key that nobody has who left, or not at
//! all, and whoever waits is told for what; what a ring did not give a member, another
//! administrator's device does; and whoever was away, or comes later, reads every name.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parsec_protocol::control::{
    DeviceRevoke, DeviceSelector, EntryKind, Member, ProblemKind, RecoveryCreate, RecoveryCreated,
    Registration, Stage, TrustLog, TrustLogResult, method,
};
use parsec_protocol::relay::ErrorCode;
use parsec_tests::ceremony::Bell;
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_AGAIN, BOB, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::lying::refuses_all;
use parsec_tests::own_devices::{enrol_own, only, settle};
use parsec_tests::proxy::{Honest, Request};
use parsec_tests::script::{self, Newcomer};

use super::directory_key::{
    CAROL, CAROL_EMAIL, DAVE, DAVE_AGAIN, DAVE_EMAIL, back_by_kit, bob_left, hand_out_wrong_box, let_in,
    let_in_administrator, name, revoke, user_of,
};

const ERIN_EMAIL: &str = "erin@acme.example";
const ERIN: Newcomer<'static> =
    Newcomer { name: Some("Erin Saltmarsh"), label: "Erin's long table", password: "erin sails at night" };

/// How long something that happens by itself may take on a busy machine.
const BY_ITSELF: Duration = Duration::from_secs(60);

fn kinds(on: &Device) -> Vec<EntryKind> {
    let _ = on.verify();
    let asked = TrustLog { select: DeviceSelector::default(), from: 0 };
    let log: TrustLogResult = on.call(method::TRUST_LOG, asked).unwrap();
    log.entries.iter().map(|entry| entry.kind).collect()
}

/// What a server answers who gives out nothing of the directory keys.
fn withholds(request: &Request) -> Option<ErrorCode> {
    let asked = request.method == "GET" && request.target.contains("/directory/");
    let nothing =
        if request.target.contains("/boxes/") { ErrorCode::BoxUnknown } else { ErrorCode::RingMissing };
    asked.then_some(nothing)
}

#[test]
fn no_name_is_sealed_where_the_next_key_cant_be_made() {
    let (fixture, _dave, ..) = bob_left();
    refuses_all(&fixture.proxy, |request| {
        let change = request.method == "POST" && request.target.ends_with("/directory");
        change.then_some(ErrorCode::QuotaReached)
    });
    let carol = fixture.device("carol");
    let invitation = fixture.alice.invite(CAROL_EMAIL).unwrap();
    let (mut claimer, mut greeter) = fixture.both(&carol, &invitation);
    script::up_to_approval(&mut claimer, &mut greeter, CAROL);
    for _ in 0..2 {
        let refused = greeter.approve(None).unwrap_err();
        assert_eq!(refused.name(), ProblemKind::DirectoryKeyDue, "{refused:?}");
    }
    // Nothing was signed, and the same question is still open.
    fixture.proxy.meddle(Arc::new(Honest));
    let _ = greeter.approve(None).unwrap();
    let _ = claimer.stage(Stage::SetPassword).unwrap();
    let _ = claimer.finish(CAROL.password).unwrap();
    let _ = claimer.outcome().unwrap();
    let _ = greeter.outcome().unwrap();
    let kinds = kinds(&fixture.alice);
    let changed = kinds.iter().position(|kind| *kind == EntryKind::DirectoryKey).unwrap();
    assert_eq!(kinds[changed + 1..], [EntryKind::User, EntryKind::Device]);
}

#[test]
fn a_server_that_withholds_the_present_key_gets_no_name_under_an_earlier_one() {
    let (fixture, dave, ..) = bob_left();
    let closed = Arc::new(AtomicBool::new(true));
    let withheld = Arc::clone(&closed);
    refuses_all(&fixture.proxy, move |request| {
        withheld.load(Ordering::SeqCst).then(|| withholds(request)).flatten()
    });
    let _carol = let_in(&fixture, &fixture.alice, "carol", CAROL_EMAIL, CAROL);
    let phone = fixture.device("phone");
    let invitation = dave.invite_device().unwrap();
    let bell = Arc::new(Bell::default());
    let mut claimer = phone.claim(invitation.link.expose(), &bell).unwrap();
    let mut greeter = dave.greet(invitation.token, &bell).unwrap();
    script::up_to_approval(&mut claimer, &mut greeter, DAVE_AGAIN);
    let refused = greeter.approve(None).unwrap_err();
    assert_eq!(refused.name(), ProblemKind::DirectoryKeyMissing, "{refused:?}");
    closed.store(false, Ordering::SeqCst);
    let _ = greeter.approve(None).unwrap();
    let _ = claimer.stage(Stage::SetPassword).unwrap();
    let _ = claimer.finish(DAVE_AGAIN.password).unwrap();
    let _ = claimer.outcome().unwrap();
    let _ = greeter.outcome().unwrap();
    let _ = phone.until_device(|device| device.registration == Registration::Registered);
    assert_eq!(name(&phone, CAROL_EMAIL), Some("Carol Thistledown".to_owned()));
}

#[test]
fn an_administrators_own_key_changes_before_the_key_for_names() {
    let fixture = Fixture::found(FixtureOptions::default());
    let tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    refuses_all(&fixture.proxy, |request| {
        request.target.ends_with("/user-key").then_some(ErrorCode::QuotaReached)
    });
    let asked = DeviceRevoke { select: DeviceSelector::default(), device: only(&tablet) };
    let _member: Member = fixture.alice.call(method::DEVICE_REVOKE, asked).unwrap();
    let _ = fixture.alice.until_device(|device| device.suspended == Some(true));
    let carol = fixture.device("carol");
    let invitation = fixture.alice.invite(CAROL_EMAIL).unwrap();
    let (mut claimer, mut greeter) = fixture.both(&carol, &invitation);
    script::up_to_approval(&mut claimer, &mut greeter, CAROL);
    let refused = greeter.approve(None).unwrap_err();
    assert_eq!(refused.name(), ProblemKind::KeyChangeDue, "{refused:?}");
    fixture.proxy.meddle(Arc::new(Honest));
    let _ = greeter.approve(None).unwrap();
    let _ = claimer.stage(Stage::SetPassword).unwrap();
    let _ = claimer.finish(CAROL.password).unwrap();
    let _ = claimer.outcome().unwrap();
    let _ = greeter.outcome().unwrap();
    let kinds = kinds(&fixture.alice);
    let place = |wanted| kinds.iter().position(|kind| *kind == wanted).unwrap();
    assert!(place(EntryKind::UserKey) < place(EntryKind::DirectoryKey), "{kinds:?}");
}

#[test]
fn the_manifest_has_the_new_key_before_a_name_is_sealed_with_it() {
    let (mut fixture, _dave, ..) = bob_left();
    let asked = RecoveryCreate { select: DeviceSelector::default(), label: None };
    let kit: RecoveryCreated = fixture.alice.call(method::RECOVERY_CREATE, asked).unwrap();
    let _carol = let_in(&fixture, &fixture.alice, "carol", CAROL_EMAIL, CAROL);
    fixture.alice.kill();
    // No ring and no box: what the manifest has is all there is.
    refuses_all(&fixture.proxy, withholds);
    let after = back_by_kit(&fixture, kit);
    assert_eq!(name(&after, CAROL_EMAIL), Some("Carol Thistledown".to_owned()));
}

/// Alice, Bob, Dave, and Erin, who is an administrator, too; Bob was let go.
fn with_erin() -> (Fixture, Device, Device) {
    let fixture = Fixture::found(FixtureOptions::default());
    let mut bob = let_in(&fixture, &fixture.alice, "bob", BOB_EMAIL, BOB);
    let dave = let_in(&fixture, &fixture.alice, "dave", DAVE_EMAIL, DAVE);
    let erin = let_in_administrator(&fixture, "erin", ERIN_EMAIL, ERIN);
    bob.kill();
    revoke(&fixture.alice, BOB_EMAIL);
    (fixture, dave, erin)
}

#[test]
fn who_was_given_a_wrong_box_gets_a_right_one_from_another_administrator() {
    let (mut fixture, dave, erin) = with_erin();
    hand_out_wrong_box(&mut fixture, user_of(&dave, DAVE_EMAIL));
    let _ = dave.verify();
    let _ = dave.until_device(|_| !dave.status().alarms.is_empty());
    let _carol = let_in(&fixture, &erin, "carol", CAROL_EMAIL, CAROL);
    settle(&erin);
    // Erin's device has looked at the box, and says whose it was.
    let alarms = erin.status().alarms;
    let [alarm] = alarms.as_slice() else { panic!("one alarm: {alarms:?}") };
    assert_eq!(alarm.problem.name, ProblemKind::DirectoryUntrusted);
    // Nobody asks Dave's device anything: it is told.
    let began = Instant::now();
    loop {
        let users = dave.users().unwrap().users;
        let carol = users.iter().find(|user| user.email.as_str() == CAROL_EMAIL);
        if carol.is_some_and(|carol| carol.name.is_some()) {
            break;
        }
        assert!(began.elapsed() < BY_ITSELF, "{users:?}\n{}", dave.log());
        std::thread::yield_now();
    }
}

#[test]
fn an_administrators_device_has_the_members_keys_before_it_needs_them() {
    let (fixture, dave, erin) = with_erin();
    settle(&erin);
    refuses_all(&fixture.proxy, |request| request.target.contains("/keys/").then_some(ErrorCode::KeyUnknown));
    // A ring without a box for somebody is one that the server does not take.
    let _carol = let_in(&fixture, &erin, "carol", CAROL_EMAIL, CAROL);
    fixture.proxy.meddle(Arc::new(Honest));
    settle(&dave);
    assert_eq!(name(&dave, CAROL_EMAIL), Some("Carol Thistledown".to_owned()));
}

#[test]
fn who_was_away_over_two_changes_and_who_comes_after_them_read_every_name() {
    let (fixture, mut dave, ..) = bob_left();
    dave.kill();
    let mut carol = let_in(&fixture, &fixture.alice, "carol", CAROL_EMAIL, CAROL);
    carol.kill();
    revoke(&fixture.alice, CAROL_EMAIL);
    let erin = let_in(&fixture, &fixture.alice, "erin", ERIN_EMAIL, ERIN);
    dave.restart();
    dave.unlock(DAVE.password).unwrap();
    settle(&dave);
    for device in [&dave, &erin] {
        for (email, called) in [
            (BOB_EMAIL, BOB.name),
            (DAVE_EMAIL, DAVE.name),
            (CAROL_EMAIL, CAROL.name),
            (ERIN_EMAIL, ERIN.name),
        ] {
            assert_eq!(name(device, email).as_deref(), called, "{email}");
        }
    }
    let changes = kinds(&dave).iter().filter(|kind| **kind == EntryKind::DirectoryKey).count();
    assert_eq!(changes, 2);
}
