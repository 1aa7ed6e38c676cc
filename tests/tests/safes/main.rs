//! Safes, by the local API and with the real programs: several people, several devices, one server.
//!
//! Decides what members see of each other's changes, and what nobody sees who is not one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests"
)]

mod as_of;
mod brake;
mod checked;
mod complaints;
mod damaged;
mod edits;
mod ends;
mod halted;
mod keeping;
mod lockouts;
mod mounted;
mod mounted_always;
mod mounted_bounds;
mod mounted_kills;
mod mounted_model;
mod mounted_times;
mod names;
mod offers;
mod offline;
mod passwords;
mod past;
mod pruned;
mod random;
mod recovery;
mod revoked;
mod shares;
mod sizes;
mod snapshots;
mod suites;
mod takeover;
mod together;
mod truth;
mod whole;

use std::sync::Arc;

use parsec_protocol::control::{ChoiceMode, Registration};
use parsec_tests::ceremony::Bell;
use parsec_tests::device::Device;
use parsec_tests::fixture::{BOB, BOB_EMAIL, Fixture};
use parsec_tests::script::{self, Newcomer, Phone};

/// What the safe is called.
const PLANS: &str = "Plans";

/// One's own next device.
fn enrol_own(fixture: &Fixture, by: &Device, name: &str, newcomer: Newcomer<'_>) -> Device {
    enrol_into(by, fixture.device(name), newcomer)
}

/// The same, into a device that runs already.
fn enrol_into(by: &Device, new: Device, newcomer: Newcomer<'_>) -> Device {
    let invitation = by.invite_device().unwrap();
    let bell = Arc::new(Bell::default());
    let mut claimer = new.claim(invitation.link.expose(), &bell).unwrap();
    let mut greeter = by.greet(invitation.token, &bell).unwrap();
    let ends = script::enrol(&mut claimer, &mut greeter, newcomer, Phone::default());
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let _ = new.until_device(|device| device.registration == Registration::Registered);
    new
}

fn enrol_bob(fixture: &Fixture) -> Device {
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let ends = fixture.enrol(&bob, &invitation, BOB, ChoiceMode::Picked);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let _ = bob.until_device(|device| device.registration == Registration::Registered);
    bob
}
