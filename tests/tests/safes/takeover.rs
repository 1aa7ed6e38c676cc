//! A safe whose owner has gone for good: whoever is left with the highest role takes it over, all
//! others see that, and nobody does while somebody is an owner.

use parsec_protocol::control::{
    Alarm, ChoiceMode, DeviceRevoke, DeviceSelector, Event, EventItem, Member, ProblemKind, Registration,
    SafeLog, SafeLogResult, SafeMembersResult, SafeOwnerless, SafeRole, SafeSelector, SafeShared,
    SafeStanding, SafeStatus, SafeStatusResult, SafeSync, SafeSynced, UserRevoke, method,
};
use parsec_protocol::ids::{DeviceId, SafeId, UserId};
use parsec_protocol::relay::{ErrorCode, SafeCertificate};
use parsec_protocol::safe_log::certificate::{Body, Change};
use parsec_protocol::safe_log::roles::Role;
use parsec_tests::device::Device;
use parsec_tests::events::Follower;
use parsec_tests::fixture::{ALICE_EMAIL, Fixture, FixtureOptions};
use parsec_tests::insider::Insider;
use parsec_tests::lying::{lies, shows};
use parsec_tests::own_devices::only;
use parsec_tests::rpc::Failed;
use parsec_tests::safes::{Safe, create};
use parsec_tests::script::Newcomer;
use parsec_tests::server::NO_LIMITS;

use super::{PLANS, enrol_bob, enrol_own};

const CAROL_EMAIL: &str = "carol@acme.example";
const CAROL: Newcomer<'static> =
    Newcomer { name: Some("Carol Lindqvist"), label: "Carol's laptop", password: "carol mends old clocks" };
const PHONE: Newcomer<'static> =
    Newcomer { name: None, label: "The silver phone", password: "hums to seven bees" };

/// Bob owns a safe that Alice, the organisation's administrator, and Carol are in.
struct Three {
    fixture: Fixture,
    bob: Device,
    carol: Device,
    safe: SafeId,
}

impl Three {
    fn with(alices: SafeRole, carols: SafeRole) -> Self {
        // Also on a disk that is nearly full.
        let options = FixtureOptions { server_options: NO_LIMITS, ..FixtureOptions::default() };
        let fixture = Fixture::found(options);
        let bob = enrol_bob(&fixture);
        let carol = fixture.device("carol");
        let invitation = fixture.alice.invite(CAROL_EMAIL).unwrap();
        let ends = fixture.enrol(&carol, &invitation, CAROL, ChoiceMode::Picked);
        assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
        let _ = carol.until_device(|device| device.registration == Registration::Registered);
        let safe = create(&bob, PLANS).safe;
        for (with, email, role) in [(&fixture.alice, ALICE_EMAIL, alices), (&carol, CAROL_EMAIL, carols)] {
            Safe { device: &bob, name: PLANS }.share(email, role).unwrap();
            let _ = with.until_safe(|found| found.safe == safe && found.standing == SafeStanding::Offered);
            Safe { device: with, name: &safe.to_string() }.accept().unwrap();
            Safe { device: with, name: &safe.to_string() }.sync();
        }
        Safe { device: &bob, name: PLANS }.put_shared("/by bob", b"hello");
        Self { fixture, bob, carol, safe }
    }

    fn revoke_bob(&self) {
        let asked = UserRevoke { select: DeviceSelector::default(), user: user(&self.bob) };
        let _: Member = self.fixture.alice.call(method::USER_REVOKE, asked).unwrap();
    }

    fn revoke(&self, device: DeviceId) {
        let asked = DeviceRevoke { select: DeviceSelector::default(), device };
        let _: Member = self.fixture.alice.call(method::DEVICE_REVOKE, asked).unwrap();
    }
}

fn user(of: &Device) -> UserId {
    of.devices()[0].user
}

fn takes_over(by: &Device) -> Result<SafeShared, Failed> {
    let asked = SafeSelector { select: DeviceSelector::default(), safe: PLANS.to_owned() };
    by.call(method::SAFE_TAKEOVER, asked)
}

/// What somebody is told who may not: its name, and words in it.
#[track_caller]
fn refused(done: Result<SafeShared, Failed>, words: &str) -> ProblemKind {
    let Failed::Problem(problem) = done.unwrap_err() else { panic!("the daemon went away") };
    assert!(problem.message.contains(words), "{problem:?}");
    problem.name
}

fn ownerless(at: &Device) -> Option<SafeOwnerless> {
    let asked = SafeStatus { select: DeviceSelector::default(), safe: Some(PLANS.to_owned()) };
    let result: SafeStatusResult = at.call(method::SAFE_STATUS, asked).unwrap();
    result.safes.into_iter().next().unwrap().ownerless
}

fn alarms(at: &Device) -> Vec<Alarm> {
    at.status().alarms.into_iter().filter(|alarm| alarm.problem.name == ProblemKind::SafeTakenOver).collect()
}

fn owners(at: &Device) -> Vec<UserId> {
    let asked = SafeSelector { select: DeviceSelector::default(), safe: PLANS.to_owned() };
    let result: SafeMembersResult = at.call(method::SAFE_MEMBERS, asked).unwrap();
    let owners = result.members.into_iter().filter(|it| it.role == SafeRole::Owner && it.counts);
    owners.map(|owner| owner.person.user).collect()
}

#[test]
fn whoever_is_left_takes_over_and_everybody_sees_it() {
    let three = Three::with(SafeRole::Manager, SafeRole::Contributor);
    let (alice, carol) = (&three.fixture.alice, &three.carol);
    // While Bob is there, he is the owner, for everybody.
    assert_eq!(refused(takes_over(alice), "Bob"), ProblemKind::SafeRoleTooLow);
    assert_eq!(refused(takes_over(&three.bob), "already"), ProblemKind::InvalidRequest);
    assert_eq!(ownerless(alice), None);
    three.revoke_bob();
    // A contributor comes behind a manager.
    assert_eq!(refused(takes_over(carol), "Alice"), ProblemKind::SafeRoleTooLow);
    let seen = ownerless(carol).unwrap();
    assert_eq!((seen.mine, seen.successors.len(), seen.successors[0].user), (false, 1, user(alice)));
    assert!(ownerless(alice).unwrap().mine);
    let status = alice.ctl(&["safe", "status", PLANS]).well();
    assert!(status.stdout.contains("parsecctl safe takeover"), "{status:?}");
    // Not by the way, and not unseen.
    let shared = Safe { device: alice, name: PLANS }.share(ALICE_EMAIL, SafeRole::Owner);
    assert_eq!(shared.unwrap_err().name(), Some(ProblemKind::SafeRoleTooLow));

    let mut on_carol = Follower::start(&carol.socket(), None);
    let said = alice.ctl(&["safe", "takeover", PLANS, "--yes"]).well();
    assert!(said.stdout.contains("owner"), "{said:?}");
    assert_eq!((owners(alice), ownerless(alice)), (vec![user(alice)], None));
    loop {
        let EventItem::Event { event: Event::SafeChanged { safe, reason }, .. } = on_carol.item().unwrap()
        else {
            continue;
        };
        if safe.safe == three.safe && reason == "taken_over" {
            break;
        }
    }
    let told = alarms(carol);
    assert_eq!(told.len(), 1, "{told:?}");
    let text = &told[0].problem.message;
    assert!(text.contains("Alice") && text.contains(&three.safe.to_string()), "{text}");
    assert!(alarms(alice).is_empty(), "one's own doing is no alarm");
    assert_eq!((owners(carol), ownerless(carol)), (vec![user(alice)], None));
    let shown = Safe { device: carol, name: PLANS }.show().unwrap().taken_over.unwrap();
    assert_eq!(shown.by.unwrap().user, user(alice));
    let asked = SafeLog { select: DeviceSelector::default(), safe: PLANS.to_owned(), before: None };
    let log: SafeLogResult = carol.call(method::SAFE_LOG, asked).unwrap();
    assert_eq!(log.records.iter().map(|record| record.takeovers.len()).sum::<usize>(), 1);
    for words in [["safe", "log", PLANS], ["safe", "show", PLANS]] {
        let said = carol.ctl(&words).well();
        assert!(said.stdout.to_lowercase().contains("over") && said.stdout.contains("Alice"), "{said:?}");
    }
    let number = told[0].id.unwrap().to_string();
    let _ = carol.ctl(&["trust", "acknowledge", &number, "--yes"]).well();
    assert!(alarms(carol).is_empty());
    // She owns it: Carol may become one, too, and it goes on under a key that Bob has not.
    let shared = Safe { device: alice, name: PLANS }.share(CAROL_EMAIL, SafeRole::Owner).unwrap();
    assert!(shared.safe.epoch > 0, "{shared:?}");
    Safe { device: alice, name: PLANS }.put_shared("/after", b"goes on");
    Safe { device: carol, name: PLANS }.sync();
    assert_eq!(Safe { device: carol, name: PLANS }.get("/after").unwrap(), b"goes on");
    assert_eq!(refused(takes_over(carol), "already"), ProblemKind::InvalidRequest);
}

/// Somebody with a device left is an owner, also while a revoked one has their key; without any
/// device, nobody is.
#[test]
fn an_owner_counts_for_as_long_as_there_is_a_device() {
    let mut three = Three::with(SafeRole::Manager, SafeRole::Reader);
    let phone = enrol_own(&three.fixture, &three.bob, "phone", PHONE);
    let (laptop, phones) = (three.bob.devices()[0].device, phone.devices()[0].device);
    // Nobody changes Bob's key.
    three.bob.kill();
    three.revoke(phones);
    assert_eq!(refused(takes_over(&three.fixture.alice), "Bob"), ProblemKind::SafeRoleTooLow);
    three.revoke(laptop);
    assert_eq!(refused(takes_over(&three.carol), "Alice"), ProblemKind::SafeRoleTooLow);
    let taken = takes_over(&three.fixture.alice).unwrap();
    assert_eq!((taken.member.role, taken.member.person.user), (SafeRole::Owner, user(&three.fixture.alice)));
    Safe { device: &three.carol, name: PLANS }.sync();
    assert_eq!(alarms(&three.carol).len(), 1);
}

/// Of two who may, one becomes the owner, and the other is told who.
#[test]
fn of_two_at_once_one_takes_over() {
    let three = Three::with(SafeRole::Manager, SafeRole::Manager);
    three.revoke_bob();
    let both = [&three.fixture.alice, &three.carol];
    let done = std::thread::scope(|scope| {
        let running = both.map(|device| scope.spawn(move || takes_over(device)));
        running.map(|thread| thread.join().unwrap())
    });
    let won: Vec<_> = done.iter().map(Result::is_ok).collect();
    assert!(won == [true, false] || won == [false, true], "{done:?}");
    let (winner, words) = if won[0] { (both[0], "Alice") } else { (both[1], "Carol") };
    let [first, second] = done;
    let lost = if won[0] { second } else { first };
    assert_eq!(refused(lost, words), ProblemKind::SafeRoleTooLow);
    for device in both {
        Safe { device, name: PLANS }.sync();
        assert_eq!(owners(device), [user(winner)]);
    }
}

/// A certificate by hand: the server refuses it, and where the server helps, members' devices do.
#[test]
fn while_somebody_is_an_owner_a_server_takes_no_takeover_and_no_device_does() {
    let mut three = Three::with(SafeRole::Owner, SafeRole::Manager);
    // Both are owners now; Carol is the one who would be.
    let safe = three.safe;
    let carol = Insider::of(&mut three.carol, CAROL.password, &three.fixture.server);
    let view = carol.view(safe);
    let changes = vec![Change { user: carol.user(), role: Some(Role::Owner) }];
    let certificate = carol.certificate(&view, Body::Changed { changes, key: None, boxes: None });
    let call = SafeCertificate { certificate: certificate.clone().into(), ring: None, boxes: Vec::new() };
    assert_eq!(carol.post_certificate(safe, &call).unwrap_err(), ErrorCode::NotAllowed);

    let mut certificates = view.certificates.clone();
    certificates.push(certificate);
    let (records, alices) = (view.records.clone(), only(&three.fixture.alice));
    lies(&three.fixture.proxy, move |request, answer| {
        if request.is_by(alices) {
            shows(request, answer, safe, &certificates, &records);
        }
    });
    let asked = SafeSync { select: DeviceSelector::default(), safe: safe.to_string(), wait_seconds: Some(0) };
    let _: Result<SafeSynced, _> = three.fixture.alice.call(method::SAFE_SYNC, asked);
    let _ = three.fixture.alice.until_safe(|found| found.problem == Some(ProblemKind::ChainInvalid));
    assert_eq!(owners(&three.fixture.alice).len(), 2);
    assert!(!owners(&three.fixture.alice).contains(&carol.user()));
    assert!(alarms(&three.fixture.alice).is_empty());
}
