//! What ends or changes a safe for its members: another name, somebody who leaves, a reader whose
//! device is the first to see a revocation.

use parsec_protocol::control::{
    DeviceRevoke, DeviceSelector, FileChanged, Member, ProblemKind, SafeRename, SafeRole, SafeSelector,
    SafeShowResult, SafeStanding, method,
};
use parsec_tests::device::Device;
use parsec_tests::events::Follower;
use parsec_tests::fixture::{ALICE_EMAIL, BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::metrics::full;
use parsec_tests::safes::{Safe, create, is_well, until};
use parsec_tests::script::Newcomer;
use parsec_tests::skip;

use super::{PLANS, enrol_bob, enrol_own};

const PHONE: Newcomer<'static> =
    Newcomer { name: None, label: "The silver phone", password: "hums to seven bees" };

fn shown(device: &Device, safe: &str) -> SafeShowResult {
    let asked = SafeSelector { select: DeviceSelector::default(), safe: safe.to_owned() };
    device.call(method::SAFE_SHOW, asked).unwrap()
}

fn accepted(device: &Device, safe: &str) {
    let _ = device.until_safe(|it| it.safe.to_string() == safe && it.standing == SafeStanding::Offered);
    // Whoever hears of an offer looks at it, at once.
    assert_eq!(shown(device, safe).safe.standing, SafeStanding::Offered);
    Safe { device, name: safe }.accept().unwrap();
    Safe { device, name: safe }.sync();
}

#[test]
fn another_name_reaches_everybody_and_is_the_owners_to_give() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = enrol_bob(&fixture);
    let made = create(&fixture.alice, PLANS);
    let id = made.safe.to_string();
    Safe { device: &fixture.alice, name: PLANS }.share(BOB_EMAIL, SafeRole::Contributor).unwrap();
    accepted(&bob, &id);
    let rename = |device: &Device, name: &str| {
        let name = name.parse().unwrap();
        device.call::<FileChanged>(
            method::SAFE_RENAME,
            SafeRename { select: DeviceSelector::default(), safe: id.clone(), name },
        )
    };
    let refused = rename(&bob, "Bob's").unwrap_err();
    assert_eq!(refused.name(), Some(ProblemKind::SafeRoleTooLow));
    rename(&fixture.alice, "Designs").unwrap();
    for device in [&fixture.alice, &bob] {
        Safe { device, name: &id }.sync();
        assert_eq!(shown(device, "Designs").safe.safe, made.safe);
        let gone = Safe { device, name: PLANS }.paths().unwrap_err();
        assert_eq!(gone.name(), Some(ProblemKind::SafeUnknown));
    }
}

#[test]
fn who_leaves_writes_nothing_more_and_the_next_key_is_not_theirs() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = enrol_bob(&fixture);
    let phone = enrol_own(&fixture, &bob, "phone", PHONE);
    let made = create(&fixture.alice, PLANS);
    let id = made.safe.to_string();
    Safe { device: &fixture.alice, name: PLANS }.share(BOB_EMAIL, SafeRole::Contributor).unwrap();
    accepted(&bob, &id);
    Safe { device: &bob, name: &id }.put_shared("/notes.txt", b"by Bob");
    // It was shown as offered there; that Bob has taken it, the manifest says.
    let mut on_phone = Follower::start(&phone.socket(), None);
    until(&mut on_phone, |safe| safe.safe == made.safe && is_well(safe));
    let mut on_alice = Follower::start(&fixture.alice.socket(), None);

    let refused = Safe { device: &fixture.alice, name: &id }.leave().unwrap_err();
    assert_eq!(refused.name(), Some(ProblemKind::SafeLastOwner));
    let left = Safe { device: &bob, name: &id }.leave().unwrap();
    assert_eq!(left.standing, SafeStanding::Left);
    assert_eq!(Safe { device: &bob, name: &id }.leave().unwrap().standing, SafeStanding::Left, "asked again");
    // By itself: the key that he had is used no more.
    until(&mut on_alice, |safe| safe.safe == made.safe && safe.epoch == 1 && !safe.due);
    Safe { device: &fixture.alice, name: PLANS }.put_shared("/after.txt", b"not for Bob");
    until(&mut on_phone, |safe| safe.safe == made.safe && safe.standing == SafeStanding::Left);
    for device in [&bob, &phone] {
        let safe = Safe { device, name: &id };
        assert_eq!(safe.get("/after.txt").unwrap_err().name(), Some(ProblemKind::PathNotFound));
        assert_eq!(safe.put("/x", b"x", 0).unwrap_err().name(), Some(ProblemKind::SafeRoleTooLow));
    }
    assert_eq!(shown(&fixture.alice, &id).safe.members, 1);
    // The phone never had these contents, and is told why it doesn't get them.
    let gone = Safe { device: &phone, name: &id }.get("/notes.txt").unwrap_err();
    assert_eq!(gone.name(), Some(ProblemKind::SafeRoleTooLow));
}

#[test]
fn a_readers_device_witnesses_a_revocation_while_nobody_who_writes_is_there() {
    const NAME: &str = "a_readers_device_witnesses_a_revocation_while_nobody_who_writes_is_there";
    if !full() {
        return skip(NAME, "readers wait up to two minutes: `cargo xtask checks --full S17`");
    }
    let fixture = Fixture::found(FixtureOptions::default());
    let mut bob = enrol_bob(&fixture);
    let mut phone = enrol_own(&fixture, &bob, "phone", PHONE);
    let lost = phone.devices()[0].device;
    // Bob's safe, in which Alice reads.
    let made = create(&bob, PLANS);
    let id = made.safe.to_string();
    Safe { device: &bob, name: &id }.share(ALICE_EMAIL, SafeRole::Reader).unwrap();
    accepted(&fixture.alice, &id);
    Safe { device: &bob, name: &id }.put_shared("/plan.txt", b"before");
    Safe { device: &fixture.alice, name: &id }.sync();
    let before = shown(&fixture.alice, &id);
    bob.kill();
    phone.kill();

    // The administrator's own device sees the revocation, and may not make the key that is due: it
    // says in the safe's log that there was one, so that nobody can be shown the safe without it.
    let mut on_alice = Follower::start(&fixture.alice.socket(), None);
    let asked = DeviceRevoke { select: DeviceSelector::default(), device: lost };
    let _: Member = fixture.alice.call(method::DEVICE_REVOKE, asked).unwrap();
    until(&mut on_alice, |safe| safe.safe == made.safe && safe.due);
    while shown(&fixture.alice, &id).certificates == before.certificates {
        let _ = on_alice.item().unwrap();
    }
    let after = shown(&fixture.alice, &id);
    assert_eq!((after.certificates, after.safe.epoch), (before.certificates + 1, 0));
    assert!(after.safe.due && after.safe.problem.is_none(), "{after:?}");

    // Bob comes back, changes his key, and makes the safe's.
    bob.restart();
    bob.unlock(BOB_PASSWORD).unwrap();
    until(&mut on_alice, |safe| safe.safe == made.safe && safe.epoch == 1 && !safe.due);
    Safe { device: &bob, name: &id }.put_shared("/plan.txt", b"after");
    Safe { device: &fixture.alice, name: &id }.sync();
    assert_eq!(Safe { device: &fixture.alice, name: &id }.get("/plan.txt").unwrap(), b"after");
    println!("figure S17: a reader's witness of a revocation, by a real daemon");
}
