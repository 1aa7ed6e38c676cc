//! A recovery kit that is split among members: who lost everything comes back by two of three, on
//! an empty machine; and what too few, the same one twice, somebody revoked, a share that is none
//! and a server that exchanges boxes come to.

use std::sync::Arc;

use parsec_protocol::codec;
use parsec_protocol::control::{
    ChoiceMode, DeviceRevoke, DeviceSelector, DeviceView, DoctorResult, Empty, InviteResult, Member, Outcome,
    ProblemKind, RecoveryCombine, RecoveryGive, RecoveryKit, RecoveryListResult, RecoveryShare,
    RecoveryShared, RecoveryUsed, Registration, SecretText, UserRevoke, method,
};
use parsec_protocol::ids::{DeviceId, UserId};
use parsec_protocol::relay::SharesView;
use parsec_tests::ceremony::Bell;
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_PASSWORD, BOB, BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::proxy::{Answer, Fate, Meddler, Request};
use parsec_tests::rpc::Failed;
use parsec_tests::safes::{Safe, create, is_well};
use parsec_tests::script::{self, Ends, Newcomer, Phone};

use super::PLANS;

const CAROL_EMAIL: &str = "carol@acme.example";
const DAVE_EMAIL: &str = "dave@acme.example";
/// Under which Alice keeps what she collects, and the device that comes of it.
const COLLECTING: &str = "seven herons at the lake";
/// Alice, as she says at which machine she is.
const ALICE_BACK: Newcomer<'static> = Newcomer { name: None, label: "after the fire", password: COLLECTING };

fn enrolled(fixture: &Fixture, name: &str, email: &str) -> Device {
    let device = fixture.device(name);
    let invitation = fixture.alice.invite(email).unwrap();
    let newcomer = Newcomer { name: Some(name), label: "laptop", password: BOB_PASSWORD };
    let newcomer = if email == BOB_EMAIL { BOB } else { newcomer };
    let ends = fixture.enrol(&device, &invitation, newcomer, ChoiceMode::Picked);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let _ = device.until_device(|device| device.registration == Registration::Registered);
    device
}

/// Alice and three others, of whom two have to bring her back.
struct Cast {
    fixture: Fixture,
    others: [Device; 3],
    alice: DeviceView,
    kit: RecoveryKit,
}

impl Cast {
    fn new() -> Self {
        let fixture = Fixture::found(FixtureOptions::default());
        let others = [("bob", BOB_EMAIL), ("carol", CAROL_EMAIL), ("dave", DAVE_EMAIL)]
            .map(|(name, email)| enrolled(&fixture, name, email));
        let members: Vec<UserId> = others.iter().map(user).collect();
        let kit = split(&fixture.alice, 2, &members).unwrap();
        let alice = fixture.alice.devices().remove(0);
        Self { fixture, others, alice, kit }
    }

    /// Alice's machine and all that was on it are gone.
    fn burn(&mut self) -> Device {
        self.fixture.alice.kill();
        std::fs::remove_dir_all(self.fixture.alice.data()).unwrap();
        self.fixture.device("alice-after")
    }
}

fn user(device: &Device) -> UserId {
    device.devices()[0].user
}

fn split(by: &Device, threshold: u8, members: &[UserId]) -> Result<RecoveryKit, Failed> {
    let asked = RecoveryShare {
        select: DeviceSelector::default(),
        threshold,
        members: members.to_vec(),
        label: None,
    };
    let made: RecoveryShared = by.call(method::RECOVERY_SHARE, asked)?;
    Ok(made.kit)
}

fn give(by: &Device, user: UserId) -> Result<InviteResult, Failed> {
    let asked = RecoveryGive { select: DeviceSelector::default(), user, kit: None, days: None };
    by.call(method::RECOVERY_GIVE, asked)
}

/// One talks with the other on the phone.
fn handed(by: &Device, to: &Device, user: UserId, newcomer: Newcomer<'_>) -> Ends {
    let invitation = give(by, user).unwrap();
    let bell = Arc::new(Bell::default());
    let mut claimer = to.claim(invitation.link.expose(), &bell).unwrap();
    let mut greeter = by.greet(invitation.token, &bell).unwrap();
    script::enrol(&mut claimer, &mut greeter, newcomer, Phone::default())
}

fn counts(ends: &Ends) -> (u8, u8) {
    match &ends.claimer {
        Ok(Outcome::ShareCollected { collected, needed, .. }) => (*collected, *needed),
        other => panic!("{other:?}"),
    }
}

fn combine(at: &Device, password: &str) -> Result<RecoveryUsed, Failed> {
    let asked = RecoveryCombine {
        organisation: None,
        device_label: "after the fire".parse().unwrap(),
        password: SecretText::new(password.to_owned().into()),
        typed_codes: false,
    };
    at.call(method::RECOVERY_COMBINE, asked)
}

fn list(by: &Device) -> RecoveryListResult {
    by.call(method::RECOVERY_LIST, DeviceSelector::default()).unwrap()
}

fn refused<T: std::fmt::Debug>(done: Result<T, Failed>) -> ProblemKind {
    let Failed::Problem(problem) = done.unwrap_err() else { panic!("the daemon went away") };
    problem.name
}

/// Two of three, on the phone, and nothing else: no word, no page, no device. What was collected
/// outlasts a killed daemon.
#[test]
fn two_of_three_bring_back_whoever_lost_the_only_device() {
    let mut cast = Cast::new();
    let safe = create(&cast.fixture.alice, PLANS);
    Safe { device: &cast.fixture.alice, name: PLANS }.put_shared("/before", b"before");
    // Everybody sees what concerns them, and nobody more.
    let shared = cast.kit.shared.clone().unwrap();
    assert_eq!((shared.threshold, shared.members.len()), (2, 3));
    assert!(shared.members.iter().all(|member| member.name.is_some() && !member.revoked), "{shared:?}");
    assert_eq!(list(&cast.fixture.alice).kits[0].shared, Some(shared.clone()));
    for other in &cast.others {
        let held = list(other).held;
        assert_eq!((held.len(), held[0].user, held[0].kit), (1, cast.alice.user, cast.kit.device));
        assert_eq!(held[0].shared, shared);
        assert!(list(other).kits.is_empty());
    }
    assert!(list(&cast.fixture.alice).held.is_empty());
    let mut new = cast.burn();
    let [bob, carol, _] = &cast.others;
    assert_eq!(refused(combine(&new, COLLECTING)), ProblemKind::ShareUnknown);
    let ends = handed(bob, &new, cast.alice.user, ALICE_BACK);
    assert_eq!(counts(&ends), (1, 2));
    assert_eq!(ends.greeter.unwrap(), Outcome::ShareGiven { user: cast.alice.user, kit: cast.kit.device });
    assert!(new.devices().is_empty(), "a share is no device");
    assert_eq!(refused(combine(&new, COLLECTING)), ProblemKind::SharesMissing);
    new.kill();
    new.restart();
    assert_eq!(refused(combine(&new, "not the password")), ProblemKind::WrongPassword);
    // Bob's once more is still one.
    assert_eq!(counts(&handed(bob, &new, cast.alice.user, ALICE_BACK)), (1, 2));
    assert_eq!(counts(&handed(carol, &new, cast.alice.user, ALICE_BACK)), (2, 2));
    let used = combine(&new, COLLECTING).unwrap();
    assert_eq!((used.device.user, used.device.registration), (cast.alice.user, Registration::Registered));
    let _ = new.until_safe(|there| there.safe == safe.safe && is_well(there));
    let name = safe.safe.to_string();
    let plans = Safe { device: &new, name: &name };
    plans.sync();
    assert_eq!(plans.get("/before").unwrap(), b"before");
    // What was collected is as good as the words, and is gone.
    assert_eq!(refused(combine(&new, COLLECTING)), ProblemKind::ShareUnknown);
    // Everybody sees by what she was let in.
    let seen = bob.users().unwrap().users.into_iter().find(|it| it.user == cast.alice.user).unwrap();
    assert!(seen.devices.iter().any(|device| device.recovery) && seen.devices.len() == 3, "{seen:?}");
}

/// Who has no share gives none; a kit is split among others, enough and not too many.
#[test]
fn nobody_gives_what_they_do_not_have() {
    let cast = Cast::new();
    let [bob, carol, dave] = &cast.others;
    let ids = [bob, carol, dave].map(user);
    assert_eq!(refused(give(&cast.fixture.alice, cast.alice.user)), ProblemKind::ShareUnknown);
    assert_eq!(refused(give(bob, ids[1])), ProblemKind::ShareUnknown);
    for (threshold, members) in [
        (1, vec![ids[0], ids[1]]),
        (3, vec![ids[0], ids[1]]),
        (2, vec![ids[0]]),
        (2, vec![ids[0], ids[0]]),
        (2, vec![ids[0], cast.alice.user]),
        (2, vec![ids[0], UserId::from_bytes([9; 16])]),
    ] {
        let split = split(&cast.fixture.alice, threshold, &members);
        assert_eq!(refused(split), ProblemKind::InvalidRequest, "{threshold} of {members:?}");
    }
    assert_eq!(list(&cast.fixture.alice).kits.len(), 1, "nothing was made for them");
    // Revoked, the kit takes its shares along.
    let asked = DeviceRevoke { select: DeviceSelector::default(), device: cast.kit.device };
    let _member: Member = cast.fixture.alice.call(method::DEVICE_REVOKE, asked).unwrap();
    assert!(list(bob).held.is_empty());
    assert_eq!(refused(give(bob, cast.alice.user)), ProblemKind::ShareUnknown);
}

/// Somebody who was put out brings nobody back, whether they gave before or would give now; and the
/// kit's owner is warned once the others are too few.
#[test]
fn the_share_of_somebody_revoked_does_not_count() {
    let cast = Cast::new();
    let [bob, carol, dave] = &cast.others;
    let new = cast.fixture.device("alice-after");
    assert_eq!(counts(&handed(bob, &new, cast.alice.user, ALICE_BACK)), (1, 2));
    assert_eq!(counts(&handed(carol, &new, cast.alice.user, ALICE_BACK)), (2, 2));
    let put_out = |user: UserId| {
        let asked = UserRevoke { select: DeviceSelector::default(), user };
        let _member: Member = cast.fixture.alice.call(method::USER_REVOKE, asked).unwrap();
    };
    let warned = || {
        let found: DoctorResult = cast.fixture.alice.call(method::DOCTOR, Empty {}).unwrap();
        found.checks.iter().any(|check| check.found.contains("so many members were revoked"))
    };
    put_out(user(bob));
    assert!(!warned(), "two are left");
    assert_eq!(refused(combine(&new, COLLECTING)), ProblemKind::SharesMissing);
    assert!(give(bob, cast.alice.user).is_err());
    assert!(new.devices().is_empty(), "nothing was made");
    put_out(user(carol));
    assert!(warned(), "one is left");
    let members = list(&cast.fixture.alice).kits[0].shared.clone().unwrap().members;
    assert_eq!(members.iter().filter(|member| member.revoked).count(), 2);
    assert_eq!(counts(&handed(dave, &new, cast.alice.user, ALICE_BACK)), (3, 2));
    assert_eq!(refused(combine(&new, COLLECTING)), ProblemKind::SharesMissing);
}

/// A member's key changes, and nothing is sealed anew: their devices open the key before.
#[test]
fn a_share_outlasts_its_members_key() {
    let cast = Cast::new();
    let [bob, carol, _] = &cast.others;
    for _ in 0..2 {
        let _: serde_json::Value = bob.call(method::USER_REKEY, DeviceSelector::default()).unwrap();
    }
    let new = cast.fixture.device("alice-after");
    assert_eq!(counts(&handed(bob, &new, cast.alice.user, ALICE_BACK)), (1, 2));
    assert_eq!(counts(&handed(carol, &new, cast.alice.user, ALICE_BACK)), (2, 2));
    assert_eq!(combine(&new, COLLECTING).unwrap().device.user, cast.alice.user);
}

/// Another password than the first share's is asked for again, and what is here stays.
#[test]
fn a_second_share_takes_the_first_ones_password() {
    let cast = Cast::new();
    let [bob, carol, _] = &cast.others;
    let new = cast.fixture.device("alice-after");
    assert_eq!(counts(&handed(bob, &new, cast.alice.user, ALICE_BACK)), (1, 2));
    let invitation = give(carol, cast.alice.user).unwrap();
    let bell = Arc::new(Bell::default());
    let mut claimer = new.claim(invitation.link.expose(), &bell).unwrap();
    let mut greeter = carol.greet(invitation.token, &bell).unwrap();
    script::up_to_password(&mut claimer, &mut greeter, ALICE_BACK, None);
    claimer.stage(parsec_protocol::control::Stage::SetPassword).unwrap();
    assert_eq!(claimer.finish(ALICE_PASSWORD).unwrap_err().name(), ProblemKind::WrongPassword);
    claimer.finish(COLLECTING).unwrap();
    assert!(matches!(claimer.outcome(), Ok(Outcome::ShareCollected { collected: 2, .. })));
    assert!(combine(&new, COLLECTING).is_ok());
}

/// Gives one member another's box, or a bent one.
struct Exchanges {
    kit: DeviceId,
    /// Turns a bit of it, where nothing is exchanged.
    other: Option<SharesView>,
}

impl Meddler for Exchanges {
    fn answer(&self, request: &Request, answer: &mut Answer) -> Fate {
        if request.target.ends_with(&format!("/shares/{}", self.kit)) {
            let mut view: SharesView = codec::decode(&answer.body, 1 << 20).unwrap();
            match &self.other {
                Some(other) => view.own.clone_from(&other.own),
                None => {
                    let own = view.own.as_mut().unwrap();
                    let last = own.sealed.len() - 1;
                    own.sealed[last] ^= 1;
                }
            }
            answer.body = codec::encode(&view);
        }
        Fate::Pass
    }
}

/// The server keeps the boxes: what it changes or exchanges, whoever opens it notices, before
/// anybody waits on the phone.
#[test]
fn a_server_that_changes_a_box_is_noticed_by_its_member() {
    let cast = Cast::new();
    let [bob, carol, _] = &cast.others;
    cast.fixture.proxy.meddle(Arc::new(Exchanges { kit: cast.kit.device, other: None }));
    assert_eq!(refused(give(bob, cast.alice.user)), ProblemKind::ShareFalse);
    cast.fixture.proxy.meddle(Arc::new(Honest));
    let new = cast.fixture.device("alice-after");
    assert_eq!(counts(&handed(bob, &new, cast.alice.user, ALICE_BACK)), (1, 2));
    assert_eq!(counts(&handed(carol, &new, cast.alice.user, ALICE_BACK)), (2, 2));
}

struct Honest;

impl Meddler for Honest {}

/// The commands, as people type them.
#[test]
fn the_commands_split_show_and_give() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = enrolled(&fixture, "bob", BOB_EMAIL);
    let _carol = enrolled(&fixture, "carol", CAROL_EMAIL);
    let said = fixture.alice.ctl(&[
        "recovery",
        "share",
        "--threshold",
        "2",
        BOB_EMAIL,
        CAROL_EMAIL,
        "--yes",
        "--label",
        "colleagues",
    ]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stdout.contains("shared among 2 of 2"), "{said:?}");
    let said = fixture.alice.ctl(&["recovery", "list"]);
    assert!(said.stdout.contains("colleagues") && said.stdout.contains("shared among 2 of 2"), "{said:?}");
    let said = bob.ctl(&["recovery", "list"]);
    assert!(said.stdout.contains("SHARE OF KIT") && said.stdout.contains("alice@acme.example"), "{said:?}");
    let said = bob.ctl(&["recovery", "give", "alice@acme.example", "--detach"]);
    assert!(said.code == 0 && said.stdout.contains("/join/acme#"), "{said:?}");
    let said = bob.ctl(&["invite", "list"]);
    assert!(said.stdout.contains("recovery kit"), "{said:?}");
    let new = fixture.device("new");
    let password = fixture.path("password");
    std::fs::write(&password, COLLECTING).unwrap();
    let password = password.to_str().unwrap();
    let said = new.ctl(&[
        "recovery",
        "collect",
        "--finish",
        "--device-label",
        "laptop",
        "--password-file",
        password,
    ]);
    assert_eq!(said.code, 68, "{said:?}");
}
