//! Safes, under a server that lies, a member who means harm, and both together
//! (docs/assurance/safes.md has the classes).
//!
//! Decides with real daemons that no byte is let out that was not written by who may, that nobody
//! is stopped by a member, and what the person at the device is told.

mod ahead;
mod answers;
mod archives;
mod drops;
mod journal;
mod pieces;
mod rings;
mod snapshots;
mod void;

use parsec_protocol::control::{
    Alarm, ChoiceMode, DeviceSelector, ProblemKind, Registration, SafeRole, SafeStanding, SafeSync,
    SafeSynced, method,
};
use parsec_protocol::ids::SafeId;
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_AGAIN, BOB, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::own_devices::enrol_own;
use parsec_tests::safes::{Safe, create};
use parsec_tests::script::Newcomer;
use parsec_tests::server::NO_LIMITS;

/// What the safe of every test is called.
const PLANS: &str = "Plans";

const CAROL_EMAIL: &str = "carol@acme.example";
const CAROL_PASSWORD: &str = "carol mends old clocks";
const CAROL: Newcomer<'static> =
    Newcomer { name: Some("Carol Lindqvist"), label: "Carol's red laptop", password: CAROL_PASSWORD };

/// Alice, who owns a safe, and Bob, who is in it.
struct Shared {
    fixture: Fixture,
    bob: Device,
    safe: SafeId,
}

impl Shared {
    fn with(role: SafeRole) -> Self {
        let fixture = founded();
        let bob = let_in(&fixture, "bob", BOB_EMAIL, BOB);
        let safe = made(&fixture.alice);
        share(&fixture.alice, &bob, BOB_EMAIL, safe, role);
        Self { fixture, bob, safe }
    }

    fn alice(&self) -> Safe<'_> {
        Safe { device: &self.fixture.alice, name: PLANS }
    }
}

fn founded() -> Fixture {
    // What was fetched is not kept: each question goes to the server.
    let daemon_options: &[&str] = &["--keep-mib", "0"];
    Fixture::found(FixtureOptions { server_options: NO_LIMITS, daemon_options, ..FixtureOptions::default() })
}

fn let_in(fixture: &Fixture, folder: &str, email: &str, newcomer: Newcomer<'_>) -> Device {
    let device = fixture.device(folder);
    let invitation = fixture.alice.invite(email).unwrap();
    let ends = fixture.enrol(&device, &invitation, newcomer, ChoiceMode::Picked);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let _ = device.until_device(|device| device.registration == Registration::Registered);
    device
}

fn made(device: &Device) -> SafeId {
    let made = create(device, PLANS);
    assert!(made.shared, "{made:?}");
    made.safe
}

/// Somebody is let in, takes the safe, and has all of it.
fn share(by: &Device, with: &Device, email: &str, safe: SafeId, role: SafeRole) {
    Safe { device: by, name: PLANS }.share(email, role).unwrap();
    let _ = with.until_safe(|found| found.safe == safe && found.standing == SafeStanding::Offered);
    let id = safe.to_string();
    Safe { device: with, name: &id }.accept().unwrap();
    Safe { device: with, name: &id }.sync();
}

/// Alice's next device, which has the safe as it is now.
fn own_device(shared: &Shared) -> Device {
    let tablet = enrol_own(&shared.fixture, &shared.fixture.alice, "tablet", ALICE_AGAIN);
    let _ = tablet.until_safe(|found| found.safe == shared.safe && found.standing == SafeStanding::Accepted);
    Safe { device: &tablet, name: &shared.safe.to_string() }.sync();
    tablet
}

/// Has a device look at the server once more; doesn't wait.
fn nudge(device: &Device, safe: SafeId) {
    let asked = SafeSync { select: DeviceSelector::default(), safe: safe.to_string(), wait_seconds: Some(0) };
    // What keeps it from that may be its answer already.
    let _: Result<SafeSynced, _> = device.call(method::SAFE_SYNC, asked);
}

/// Has a device look at the server, and waits until this keeps the safe from going on.
#[track_caller]
fn stopped_by(device: &Device, safe: SafeId, kind: ProblemKind) {
    nudge(device, safe);
    let _ = device.until_safe(|found| found.safe == safe && found.problem == Some(kind));
    // Both ways in which a person looks say it.
    let listed = device.ctl(&["safe", "list", "--json"]).well().json();
    let all = listed["safes"].as_array().unwrap();
    let of = all.iter().find(|found| found["safe"] == safe.to_string()).unwrap();
    assert_eq!(of["problem"]["name"], kind.name(), "{of}");
    // Of a safe of which nothing was read there is nothing else to show.
    let shown = device.ctl(&["safe", "show", &safe.to_string()]);
    assert!(shown.code != 0 || shown.stdout.contains("What to do"), "{shown:?}");
}

/// The one alarm of a kind that a device shows.
#[track_caller]
fn alarm(device: &Device, kind: ProblemKind) -> Alarm {
    let mut alarms = device.status().alarms;
    alarms.retain(|alarm| alarm.problem.name == kind);
    assert_eq!(alarms.len(), 1, "{alarms:?}");
    alarms.remove(0)
}

/// Waits until a device shows an alarm of a kind.
fn until_alarm(device: &Device, kind: ProblemKind) -> Alarm {
    let mut events = parsec_tests::events::Follower::start(&device.socket(), None);
    loop {
        let alarms = events.state.as_ref().map(|state| state.alarms.clone()).unwrap_or_default();
        if let Some(found) = alarms.into_iter().find(|alarm| alarm.problem.name == kind) {
            return found;
        }
        let _ = events.item().unwrap();
    }
}

/// A person has looked at an alarm.
fn acknowledge(device: &Device, alarm: &Alarm) {
    let number = alarm.id.expect("it was kept").to_string();
    let _ = device.ctl(&["trust", "acknowledge", &number, "--yes"]).well();
}

/// Bytes that repeat nowhere within a chunk, others for each seed.
fn bytes(seed: u32, length: usize) -> Vec<u8> {
    (0..length as u32).map(|at| (at.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 13) as u8).collect()
}
