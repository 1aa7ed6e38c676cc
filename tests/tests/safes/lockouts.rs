//! What would lock somebody out is told before it happens: by `status`, by `doctor`, and to every
//! program that follows; and no more once it is put right.

use parsec_protocol::control::{
    ChoiceMode, DeviceRevoke, DeviceSelector, DoctorResult, Empty, Health, Lockout, Member, ProfileName,
    RecoveryCreate, RecoveryCreated, Registration, UserProfile, method,
};
use parsec_protocol::ids::DeviceId;
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_AGAIN, Fixture, FixtureOptions};
use parsec_tests::script::Newcomer;

use super::{enrol_bob, enrol_own};

const CAROL: Newcomer<'static> =
    Newcomer { name: Some("Carol Lindqvist"), label: "Carol's laptop", password: "carol mends old clocks" };

/// Waits until a device tells of exactly these, and looks what its person sees.
#[track_caller]
fn until(device: &Device, wanted: &[Lockout]) {
    let _ = device.until_device(|device| device.lockouts.as_deref() == Some(wanted));
    let status = device.ctl(&["status"]).well().stdout;
    let doctor: DoctorResult = device.call(method::DOCTOR, Empty {}).unwrap();
    let found: Vec<_> = doctor.checks.into_iter().filter(|check| check.name == "recovery").collect();
    for (lockout, at_status, at_doctor) in [
        (Lockout::OneDevice, "your only device", "only device"),
        (Lockout::NoKit, "You have no recovery kit", "you have no recovery kit"),
        (Lockout::OneAdministrator, "one administrator", "one administrator"),
    ] {
        let is_wanted = wanted.contains(&lockout);
        assert_eq!(status.contains(at_status), is_wanted, "{lockout:?} in {status}");
        let warns = |check: &parsec_protocol::control::Check| {
            check.health == Health::Warning && check.found.starts_with(at_doctor)
                || check.found.contains(&format!("is your {at_doctor}"))
                || check.found.contains(&format!("has {at_doctor}"))
        };
        assert_eq!(found.iter().any(warns), is_wanted, "{lockout:?} in {found:?}");
    }
}

fn revoke(by: &Device, device: DeviceId) {
    let asked = DeviceRevoke { select: DeviceSelector::default(), device };
    let _: Member = by.call(method::DEVICE_REVOKE, asked).unwrap();
}

fn kit(by: &Device) -> DeviceId {
    let asked = RecoveryCreate { select: DeviceSelector::default(), label: None };
    let made: RecoveryCreated = by.call(method::RECOVERY_CREATE, asked).unwrap();
    made.kit.device
}

#[test]
fn whoever_has_one_device_or_no_kit_is_told_until_there_is_one() {
    let fixture = Fixture::found(FixtureOptions::default());
    let alice = &fixture.alice;
    until(alice, &[Lockout::OneDevice]);
    let first = kit(alice);
    until(alice, &[]);
    let _tablet = enrol_own(&fixture, alice, "tablet", ALICE_AGAIN);
    until(alice, &[]);
    revoke(alice, first);
    until(alice, &[Lockout::NoKit]);
    let _second = kit(alice);
    until(alice, &[]);
    // Of a device that is locked nobody is told anything.
    let _: parsec_protocol::control::DeviceView =
        alice.call(method::DEVICE_LOCK, DeviceSelector::default()).unwrap();
    let _ = alice.until_device(|device| device.lockouts.is_none());
}

#[test]
fn one_administrator_alone_is_told_until_there_is_another_who_has_a_device() {
    let fixture = Fixture::found(FixtureOptions::default());
    let alice = &fixture.alice;
    let _kit = kit(alice);
    until(alice, &[]);
    let bob = enrol_bob(&fixture);
    until(alice, &[Lockout::OneAdministrator]);
    let carol = fixture.device("carol");
    let invitation = alice.invite("carol@acme.example").unwrap();
    let ends = fixture.enrol(&carol, &invitation, CAROL, ChoiceMode::Picked);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let _ = carol.until_device(|device| device.registration == Registration::Registered);
    let (user, profile) = (bob.devices()[0].user, ProfileName::Administrator);
    let asked = UserProfile { select: DeviceSelector::default(), user, profile };
    let _: Member = alice.call(method::USER_PROFILE, asked).unwrap();
    until(alice, &[]);
    // One who can't do anything any more is none.
    revoke(alice, bob.devices()[0].device);
    until(alice, &[Lockout::OneAdministrator]);
}
