//! C7. Too little memory at the worst moment: Bob has chosen his password and there is no room for
//! its work; and a device that can't be unlocked for the time being. It is said, it costs nothing,
//! and whoever asks for something else is served meanwhile.

use std::process::Command;

use parsec_protocol::control::{
    DeviceSelector, DeviceState, DeviceView, ProblemKind, ProfileName, Stage, method,
};
use parsec_tests::fixture::{BOB, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::installed;
use parsec_tests::memory::resident;
use parsec_tests::metrics::figure;
use parsec_tests::process::Daemon;
use parsec_tests::skip;

/// Room for requests, far below the 256 MiB that a password takes.
const LEFT: u64 = 64 << 20;

/// Gives a daemon so much address space beyond what it has, or all there is.
fn limit(process: u32, more: Option<u64>) {
    let to = match more {
        None => "unlimited".to_owned(),
        Some(more) => (resident(process, "VmSize") * 1024 + more).to_string(),
    };
    // The soft limit alone: anybody may raise it again.
    let set = Command::new("prlimit").args(["--pid", &process.to_string(), &format!("--as={to}:")]).status();
    assert!(set.unwrap().success());
}

#[test]
fn what_takes_more_memory_than_there_is_is_refused_and_the_others_are_served() {
    if !installed("prlimit") {
        skip(
            "what_takes_more_memory_than_there_is_is_refused_and_the_others_are_served",
            "prlimit is missing",
        );
        return;
    }
    let fixture = Fixture::found(FixtureOptions { daemon: Daemon::Shipped, ..FixtureOptions::default() });
    let mut bob = fixture.device("bob");
    let process = bob.process().id();

    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let (mut claimer, greeter) = fixture.up_to_password(&bob, &invitation, ProfileName::Standard);

    limit(process, Some(LEFT));
    let refused = claimer.finish(BOB.password).unwrap_err();
    assert_eq!(refused.name(), ProblemKind::OutOfMemory);
    // Others, and the ceremony itself: it goes on where it was.
    assert!(bob.devices().is_empty());
    assert_eq!(fixture.alice.verify().unwrap().count, 2);
    limit(process, None);
    claimer.stage(Stage::SetPassword).unwrap();
    claimer.finish(BOB.password).unwrap();
    claimer.outcome().unwrap();
    greeter.outcome().unwrap();
    assert_eq!(bob.verify().unwrap().users, 2);

    let locked: DeviceView = bob.call(method::DEVICE_LOCK, DeviceSelector::default()).unwrap();
    assert_eq!(locked.state, DeviceState::Locked);
    limit(process, Some(LEFT));
    let mut refusals = 1;
    for _ in 0..3 {
        assert_eq!(bob.unlock(BOB.password).unwrap_err().name(), Some(ProblemKind::OutOfMemory));
        assert_eq!(bob.devices().len(), 1);
        refusals += 1;
    }
    limit(process, None);
    bob.unlock(BOB.password).unwrap();
    assert_eq!(bob.verify().unwrap().users, 2);
    assert_eq!(bob.process().id(), process, "the daemon was started again");
    figure(
        "C7",
        &format!(
            "{refusals} passwords refused with 64 MiB to spare, others served, the ceremony went on, nothing lost"
        ),
    );
}
