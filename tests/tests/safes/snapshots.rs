//! Snapshots: an owner's device writes one now and then, and who comes new is ready before the
//! whole journal is folded; afterwards it is, and nothing differs.

use std::time::{Duration, Instant};

use parsec_protocol::control::{
    DeviceSelector, ProblemKind, SafeRole, SafeStatus, SafeStatusResult, SafeUsage, SafeUsageResult,
    SafeWaiting, method,
};
use parsec_protocol::ids::SafeId;
use parsec_protocol::safes::snapshot::SNAPSHOT_EVERY_RECORDS;
use parsec_tests::device::Device;
use parsec_tests::events::Follower;
use parsec_tests::fixture::{ALICE_AGAIN, BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::insider::{Insider, View};
use parsec_tests::metrics::{figure, runs};
use parsec_tests::own_devices::enrol_into;
use parsec_tests::safes::{Safe, create};
use parsec_tests::server::NO_LIMITS;

use super::{PLANS, enrol_bob};

fn status(device: &Device) -> SafeWaiting {
    let asked = SafeStatus { select: DeviceSelector::default(), safe: Some(PLANS.to_owned()) };
    let mut found: SafeStatusResult = device.call(method::SAFE_STATUS, asked).unwrap();
    found.safes.remove(0)
}

/// Alice's safe, and Bob's hand in it.
fn shared(role: SafeRole) -> (Fixture, Insider, View, SafeId) {
    let fixture = Fixture::found(FixtureOptions { server_options: NO_LIMITS, ..FixtureOptions::default() });
    let mut bob = enrol_bob(&fixture);
    let safe = create(&fixture.alice, PLANS).safe;
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.share(BOB_EMAIL, role).unwrap();
    let _ = bob.until_safe(|found| found.safe == safe);
    let id = safe.to_string();
    Safe { device: &bob, name: &id }.accept().unwrap();
    Safe { device: &bob, name: &id }.sync();
    alice.put_shared("/alice", b"was here before");
    let bob = Insider::of(&mut bob, BOB_PASSWORD, &fixture.server);
    let view = bob.view(safe);
    (fixture, bob, view, safe)
}

/// Whether two devices show the same, and nothing is odd.
fn same(fixture: &Fixture, new: &Device) {
    let (here, there) = (Safe { device: new, name: PLANS }, Safe { device: &fixture.alice, name: PLANS });
    here.sync();
    there.sync();
    assert_eq!(here.paths().unwrap(), there.paths().unwrap());
    for device in [new, &fixture.alice] {
        assert_eq!(device.status().alarms, [], "nobody is accused of anything");
    }
}

#[test]
fn a_new_device_starts_from_a_snapshot_and_folds_the_whole_journal_behind_the_work() {
    let (fixture, bob, mut view, safe) = shared(SafeRole::Manager);
    bob.fill(&mut view, 600);
    let record = bob.snapshot(&view, view.state.clone());
    let _ = bob.posted(safe, &record);
    bob.take(&mut view, record);
    let alice = Safe { device: &fixture.alice, name: PLANS };
    let _ = alice.put_shared("/behind it", b"by an owner");

    let mut new = fixture.device("tablet");
    let mut follower = Follower::start(&new.socket(), None);
    enrol_into(&fixture.alice, &new, ALICE_AGAIN);
    let _ = follower.until_reason("started");
    let here = Safe { device: &new, name: PLANS };
    assert_eq!(here.get("/behind it").unwrap(), b"by an owner");
    // Nothing is saved on a word: it is refused, or all was folded by then.
    match here.put("/by the tablet", b"at once", 0) {
        Ok(done) => assert!(done.saved, "{done:?}"),
        Err(refused) => assert_eq!(refused.name(), Some(ProblemKind::NotSharedYet), "{refused:?}"),
    }
    // A crash in the middle of it leaves what was there, and it goes on.
    new.kill();
    new.restart();
    new.unlock(ALICE_AGAIN.password).unwrap();
    let here = Safe { device: &new, name: PLANS };
    here.sync();
    here.put_once_verified("/by the tablet", b"in the end");
    assert_eq!(here.get("/by the tablet").unwrap(), b"in the end");
    assert_eq!(status(&new).verifying, None, "it was saved only when all was folded");
    same(&fixture, &new);
}

/// With `PARSEC_FULL` a journal of ten thousand records.
#[test]
fn an_owners_device_writes_a_snapshot_by_itself_and_it_saves_what_it_is_for() {
    let (fixture, bob, mut view, safe) = shared(SafeRole::Contributor);
    let records = usize::try_from(runs(2_000, 10_000)).unwrap();
    bob.fill(&mut view, records);
    let mut follower = Follower::start(&fixture.alice.socket(), None);
    // One that is of another state than the insider has folded would be void for him.
    if bob.view(safe).state.records_since_snapshot() >= SNAPSHOT_EVERY_RECORDS {
        let _ = follower.until_reason("snapshot");
    }
    assert!(bob.view(safe).state.records_since_snapshot() < SNAPSHOT_EVERY_RECORDS);

    let new = fixture.device("tablet");
    let mut follower = Follower::start(&new.socket(), None);
    enrol_into(&fixture.alice, &new, ALICE_AGAIN);
    let begun = Instant::now();
    let _ = follower.until_reason("started");
    let ready = begun.elapsed();
    let _ = follower.until_reason("verified");
    let whole = begun.elapsed();
    same(&fixture, &new);
    // It counts as what it is, for whoever has it.
    for device in [&fixture.alice, &new] {
        let asked = SafeUsage { select: DeviceSelector::default(), safe: Some(PLANS.to_owned()) };
        let used: SafeUsageResult = device.call(method::SAFE_USAGE, asked).unwrap();
        let used = &used.safes[0];
        assert!(used.snapshots.objects > 0 && used.snapshots.bytes > 0, "{used:?}");
        assert_eq!((used.unnamed.objects, used.missing), (0, 0), "{used:?}");
    }
    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    figure(
        "S7",
        &format!("{records} records: ready after {}, all folded after {}", seconds(ready), seconds(whole)),
    );
}
