//! A large organisation, read from nothing (docs/assurance.md, P2).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::time::Instant;

use parsec_protocol::chain::organisation::certificate::Profile;
use support::{By, Org, device_body, is_full, read, runs, user_body};

/// Members, each with a device: as usual, and in a full run.
const MEMBERS: (u64, u64) = (1_000, 10_000);
/// The most a full run may take, on one core.
const SECONDS_MAX: f64 = 5.0;
/// The most memory the whole process may have had, making the log included.
const MEMORY_MAX_KIB: u64 = 300 * 1024;

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_large_organisation_is_read_from_nothing() {
    let members = runs(MEMBERS.0, MEMBERS.1);
    let mut org = Org::founded();
    for number in 1..members {
        org.say(By::Device(0), user_body(number, Profile::Standard));
        org.say(By::Device(0), device_body(number, number));
    }
    let begun = Instant::now();
    let log = read(&org.envelopes).unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!((log.users().count() as u64, log.head()), (members, org.log.head()));
    let peak = peak_kib();
    println!(
        "figure P2: {members} members, {} certificates: {seconds:.2} s on one core, {} MiB at most",
        org.envelopes.len(),
        peak / 1024
    );
    assert!(peak < MEMORY_MAX_KIB, "{peak} KiB");
    // Judged in a run that was asked for by itself: beside other tests the clock says nothing.
    assert!(!is_full() || seconds < SECONDS_MAX, "{seconds} s");
}
