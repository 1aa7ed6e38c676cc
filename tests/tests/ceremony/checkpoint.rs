//! What was verified once is not verified again, with the real daemons: after a restart only what
//! is new takes work.

use parsec_protocol::control::{ChoiceMode, Member, ProfileName, Registration, method};
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_PASSWORD, BOB, BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::ready::logged;
use serde_json::json;

/// What a daemon says once it has gone through its log.
const VERIFIED: &str = "the log is verified";

/// What the daemon said when it unlocked last: how many certificates there are, how many were
/// verified anew.
fn said_last(device: &Device) -> (u64, u64) {
    let log = device.log();
    let line = log.lines().rfind(|line| line.contains(VERIFIED)).unwrap();
    let number = |name: &str| {
        let rest = line.split(&format!("{name}=")).nth(1).unwrap();
        rest.split_whitespace().next().unwrap().parse().unwrap()
    };
    (number("certificates"), number("anew"))
}

fn again(device: &mut Device, password: &str) -> (u64, u64) {
    let before = device.log().matches(VERIFIED).count();
    device.restart();
    device.unlock(password).unwrap();
    // A log is written by a thread of its own: the answer may come before its line.
    logged(device.process(), VERIFIED, before + 1);
    said_last(device)
}

#[test]
fn after_a_restart_only_what_is_new_is_verified() {
    let mut fixture = Fixture::found(FixtureOptions { direct: true, ..FixtureOptions::default() });
    let mut bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let ends = fixture.enrol(&bob, &invitation, BOB, ChoiceMode::Picked);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let _ = bob.until_device(|device| device.registration == Registration::Registered);
    bob.kill();
    let user = fixture.alice.users().unwrap().users[1].user;
    for number in 0..70 {
        let profile = if number % 2 == 0 { ProfileName::Outsider } else { ProfileName::Standard };
        let changed: Member =
            fixture.alice.call(method::USER_PROFILE, json!({"user": user, "profile": profile})).unwrap();
        assert_eq!(changed.profile, profile);
    }
    // They came one by one, so nothing was noted; the first unlocking notes it, the second rests on
    // that.
    assert_eq!(again(&mut fixture.alice, ALICE_PASSWORD), (74, 74));
    assert_eq!(again(&mut fixture.alice, ALICE_PASSWORD), (74, 0));
    let _: Member =
        fixture.alice.call(method::USER_PROFILE, json!({"user": user, "profile": "outsider"})).unwrap();
    assert_eq!(again(&mut fixture.alice, ALICE_PASSWORD), (75, 1));
    // Bob's device gets them in one page, and notes them at once.
    let (certificates, _) = again(&mut bob, BOB_PASSWORD);
    assert!(certificates <= 4);
    assert_eq!(bob.verify().unwrap().count, 75);
    assert_eq!(again(&mut bob, BOB_PASSWORD), (75, 0));
    // The whole log is verified anew where a person asks for it.
    assert_eq!(bob.verify().unwrap().count, 75);
}
