//! Whose user or device is revoked in the organisation: the safe gets another key by itself, and
//! who has another key again gets the safe's.

use parsec_protocol::control::{
    DeviceRevoke, DeviceSelector, Member, SafeRole, SafeStanding, UserRevoke, method,
};
use parsec_tests::events::Follower;
use parsec_tests::fixture::{BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::safes::{Safe, create, until};
use parsec_tests::script::Newcomer;

use super::{PLANS, enrol_bob, enrol_own};

const PHONE: Newcomer<'static> =
    Newcomer { name: None, label: "The silver phone", password: "hums to seven bees" };

#[test]
fn a_revoked_member_makes_the_next_key_due_and_the_owner_makes_it() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = enrol_bob(&fixture);
    let made = create(&fixture.alice, PLANS);
    Safe { device: &fixture.alice, name: PLANS }.share(BOB_EMAIL, SafeRole::Manager).unwrap();
    let mut events = Follower::start(&fixture.alice.socket(), None);
    let asked = UserRevoke { select: DeviceSelector::default(), user: bob.devices()[0].user };
    let _: Member = fixture.alice.call(method::USER_REVOKE, asked).unwrap();
    // Nobody writes anything: the owner's daemon does it all the same.
    let after = until(&mut events, |safe| safe.safe == made.safe && safe.epoch == 1);
    assert!(!after.due, "{after:?}");
    let done = Safe { device: &fixture.alice, name: PLANS }.put_shared("/after.txt", b"not for Bob");
    assert!(done.shared);
}

#[test]
fn a_member_whose_device_was_revoked_reads_on_with_the_next_key() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = enrol_bob(&fixture);
    let phone = enrol_own(&fixture, &bob, "phone", PHONE);
    assert_eq!(bob.verify().unwrap().devices, 3);
    let made = create(&fixture.alice, PLANS);
    Safe { device: &fixture.alice, name: PLANS }.share(BOB_EMAIL, SafeRole::Contributor).unwrap();
    let id = made.safe.to_string();
    let mut on_bob = Follower::start(&bob.socket(), None);
    until(&mut on_bob, |safe| safe.standing == SafeStanding::Offered);
    Safe { device: &bob, name: &id }.accept().unwrap();
    Safe { device: &bob, name: &id }.sync();

    let asked = DeviceRevoke { select: DeviceSelector::default(), device: phone.devices()[0].device };
    let _: Member = fixture.alice.call(method::DEVICE_REVOKE, asked).unwrap();
    // At once, so perhaps before Bob's laptop has changed his key: then the ring leaves him out,
    // and a box brings him the key.
    Safe { device: &fixture.alice, name: PLANS }.put_shared("/after.txt", b"not for the phone");
    let _ = bob.until_device(|device| device.suspended == Some(false));
    until(&mut on_bob, |safe| {
        safe.safe == made.safe && safe.epoch >= 1 && safe.problem.is_none() && !safe.due
    });
    Safe { device: &bob, name: &id }.sync();
    assert_eq!(Safe { device: &bob, name: &id }.get("/after.txt").unwrap(), b"not for the phone");
}
