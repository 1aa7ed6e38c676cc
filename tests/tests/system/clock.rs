//! A clock that is wrong: named as such, nothing done, and all well again once it is set.

use std::path::Path;

use parsec_protocol::control::{ChoiceMode, ProblemKind};
use parsec_tests::fixture::{ALICE_PASSWORD, BOB, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::skip;

/// Where Debian puts the library that lies about the time.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

#[test]
fn a_wrong_clock_is_named_and_nothing_is_done() {
    if !Path::new(FAKETIME).exists() {
        skip("a_wrong_clock_is_named_and_nothing_is_done", "libfaketime is not installed");
        return;
    }
    let mut fixture = Fixture::found(FixtureOptions::default());
    let bob = fixture.device("bob");
    for shift in ["+1h", "-1h", "+3650d"] {
        fixture.alice.set_environment(&[
            ("LD_PRELOAD", FAKETIME),
            ("FAKETIME", shift),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ]);
        fixture.alice.restart();
        fixture.alice.unlock(ALICE_PASSWORD).unwrap();
        assert_eq!(
            fixture.alice.invite(BOB_EMAIL).unwrap_err().name(),
            Some(ProblemKind::ClockWrong),
            "{shift}"
        );
        let said = fixture.alice.ctl(&["invite", "user", BOB_EMAIL, "--json"]);
        assert_eq!(said.code, 78, "{shift}: {said:?}");
    }
    fixture.alice.set_environment(&[]);
    fixture.alice.restart();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let ends = fixture.enrol(&bob, &invitation, BOB, ChoiceMode::Picked);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    println!("figure S15: clocks an hour and ten years off: nothing done, named, and all well once set");
}
