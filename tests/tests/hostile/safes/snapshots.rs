//! Snapshots that lie, that nobody vouches for, or that a server withholds: a new device ends with
//! the tree that the records make, and says whose word was none.

use parsec_protocol::control::{Alarm, ProblemKind, SafeRole};
use parsec_protocol::ids::EntryId;
use parsec_protocol::relay::ErrorCode;
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safes::change::{Inside, RULES_VERSION};
use parsec_protocol::safes::fold::{Outer, fold};
use parsec_protocol::safes::state::State;
use parsec_tests::device::Device;
use parsec_tests::events::Follower;
use parsec_tests::fixture::{ALICE_AGAIN, BOB_EMAIL, BOB_PASSWORD};
use parsec_tests::insider::{Insider, View, folder};
use parsec_tests::lying::{Asked, asked, refuses_all};
use parsec_tests::own_devices::enrol_into;
use parsec_tests::proxy::Honest;
use parsec_tests::safes::Safe;

use super::{PLANS, Shared, acknowledge, until_alarm};

/// Records of a journal: enough that folding them takes longer than a call.
const RECORDS: usize = 400;

/// What an alarm says where a record states another root.
const ANOTHER_TREE: &str = "had another tree";

/// Another device of Alice's, and all that it tells from its first moment on.
fn another(shared: &Shared, name: &str) -> (Device, Follower) {
    let new = shared.fixture.device(name);
    let follower = Follower::start(&new.socket(), None);
    enrol_into(&shared.fixture.alice, &new, ALICE_AGAIN);
    (new, follower)
}

fn alarms(device: &Device) -> Vec<Alarm> {
    let mut alarms = device.status().alarms;
    alarms.retain(|alarm| alarm.problem.name == ProblemKind::SafeUntrusted);
    alarms
}

/// Bob is named, and nobody else.
#[track_caller]
fn bobs_lie_is_told(device: &Device, how: &str) {
    let _ = until_alarm(device, ProblemKind::SafeUntrusted);
    let texts: Vec<String> = alarms(device).into_iter().map(|alarm| alarm.problem.message).collect();
    assert!(texts.len() == 1 && texts[0].contains("Bob") && texts[0].contains(how), "{texts:?}");
}

/// The new device has what the others have, and didn't believe a snapshot on the way.
#[track_caller]
fn folded_all(shared: &Shared, new: &Device, follower: &mut Follower) {
    let reasons = follower.until_reason("shared");
    assert!(!reasons.iter().any(|reason| reason == "started"), "{reasons:?}");
    same_as_alices(shared, new);
}

#[track_caller]
fn same_as_alices(shared: &Shared, new: &Device) {
    let here = Safe { device: new, name: PLANS };
    here.sync();
    shared.alice().sync();
    assert_eq!(here.paths().unwrap(), shared.alice().paths().unwrap());
}

/// What the records make, and a folder of Bob's that is in none of them.
fn lie(view: &View) -> State {
    let mut state = view.state.clone();
    let changes = vec![folder(*view.verified.id(), "never was")];
    let inside = Inside { rules: RULES_VERSION, root: state.state_root(), changes };
    let payload = parsec_protocol::safe_log::record::Envelope::decode(view.records.last().unwrap());
    let payload = payload.unwrap().payload().unwrap();
    // In the place of the last record, so that it is of the very seq that a snapshot has to have.
    let user = parsec_protocol::ids::UserId::from_bytes([0; 16]);
    fold(&mut state, &inside, &Outer::of(&payload, user, Role::Owner)).unwrap();
    state
}

/// Bob in Alice's safe, whose journal has some records by him.
fn with_records(role: SafeRole, records: usize) -> (Shared, Insider, View) {
    let mut shared = Shared::with(role);
    shared.alice().put_shared("/alice", b"was here before");
    let bob = Insider::of(&mut shared.bob, BOB_PASSWORD, &shared.fixture.server);
    let mut view = bob.view(shared.safe);
    bob.fill(&mut view, records);
    (shared, bob, view)
}

#[test]
fn a_snapshot_that_lies_is_an_alarm_and_the_tree_is_that_of_the_records() {
    let (shared, bob, view) = with_records(SafeRole::Manager, RECORDS);
    let record = bob.snapshot(&view, lie(&view));
    let _ = bob.posted(shared.safe, &record);
    // Whoever has folded all of it finds it at once.
    shared.alice().sync();
    bobs_lie_is_told(&shared.fixture.alice, ANOTHER_TREE);
    // Seen: whatever comes now is another one.
    let told = until_alarm(&shared.fixture.alice, ProblemKind::SafeUntrusted);
    acknowledge(&shared.fixture.alice, &told);

    // Nobody has written since: a new device can't know, and starts from it. It saves and writes
    // nothing by it.
    let (new, mut follower) = another(&shared, "tablet");
    let reasons = follower.until_reason("started");
    assert!(!reasons.iter().any(|reason| reason == "verified"), "{reasons:?}");
    let here = Safe { device: &new, name: PLANS };
    here.put_once_verified("/from the tablet", b"by the true tree");
    bobs_lie_is_told(&new, ANOTHER_TREE);
    same_as_alices(&shared, &new);
    assert!(!here.paths().unwrap().contains(&"/never was".to_owned()));
    // The tablet has signed for no other tree.
    assert_eq!(alarms(&shared.fixture.alice), []);

    // Now somebody has written by the true tree: nobody starts from the other one any more.
    let (new, mut follower) = another(&shared, "phone");
    folded_all(&shared, &new, &mut follower);
    bobs_lie_is_told(&new, ANOTHER_TREE);
}

#[test]
fn a_snapshot_that_its_own_record_contradicts_is_void_and_nobody_starts_from_it() {
    let (shared, bob, mut view) = with_records(SafeRole::Manager, 20);
    let before = view.state.state_root();
    let record = bob.snapshot_behind(&view, lie(&view), before);
    let _ = bob.posted(shared.safe, &record);
    shared.alice().sync();
    bobs_lie_is_told(&shared.fixture.alice, "a snapshot of another state");
    let (new, mut follower) = another(&shared, "tablet");
    folded_all(&shared, &new, &mut follower);
    bobs_lie_is_told(&new, "a snapshot of another state");
}

#[test]
fn whoever_finds_anything_odd_behind_a_snapshot_folds_all_instead() {
    let (shared, bob, mut view) = with_records(SafeRole::Manager, 20);
    let record = bob.snapshot(&view, view.state.clone());
    let _ = bob.posted(shared.safe, &record);
    bob.take(&mut view, record);
    let payload = bob.next_record(&view);
    let record = bob.write(&mut view, payload, vec![folder(shared.safe, "behind it")]);
    let _ = bob.posted(shared.safe, &record);
    bob.take(&mut view, record);
    // Void, and by the right root: nobody behind it has another tree.
    let before = view.state.state_root();
    let record = bob.snapshot_behind(&view, lie(&view), before);
    let _ = bob.posted(shared.safe, &record);
    let (new, mut follower) = another(&shared, "tablet");
    folded_all(&shared, &new, &mut follower);
    bobs_lie_is_told(&new, "a snapshot of another state");
}

#[test]
fn a_contributors_snapshot_is_void_and_nobody_starts_from_it() {
    let (shared, bob, mut view) = with_records(SafeRole::Contributor, 20);
    let record = bob.snapshot(&view, view.state.clone());
    let _ = bob.posted(shared.safe, &record);
    bob.take(&mut view, record);
    assert!(view.state.snapshots().is_empty());
    let (new, mut follower) = another(&shared, "tablet");
    folded_all(&shared, &new, &mut follower);
    bobs_lie_is_told(&new, "is void");
}

#[test]
fn who_is_a_manager_no_more_vouches_for_nothing_whoever_writes_behind_it() {
    let (shared, bob, mut view) = with_records(SafeRole::Manager, 20);
    let record = bob.snapshot(&view, view.state.clone());
    let _ = bob.posted(shared.safe, &record);
    bob.take(&mut view, record);
    assert_eq!(view.state.snapshots().len(), 1);
    shared.alice().sync();
    shared.alice().unshare(BOB_EMAIL).unwrap();
    let (new, mut follower) = another(&shared, "tablet");
    folded_all(&shared, &new, &mut follower);
    assert_eq!(alarms(&new), []);
    // A later record by an owner has the same root: that covers no objects, and vouches for none.
    shared.alice().put_shared("/later", b"by the same tree");
    let (new, mut follower) = another(&shared, "phone");
    folded_all(&shared, &new, &mut follower);
    assert_eq!(alarms(&new), []);
}

#[test]
fn a_server_that_withholds_a_snapshot_makes_it_slow_and_nothing_else() {
    let (shared, bob, mut view) = with_records(SafeRole::Manager, 20);
    for _ in 0..2 {
        let record = bob.snapshot(&view, view.state.clone());
        let _ = bob.posted(shared.safe, &record);
        bob.take(&mut view, record);
    }
    let safe = shared.safe;
    refuses_all(&shared.fixture.proxy, move |request| {
        (asked(request, safe) == Some(Asked::Fetch)).then_some(ErrorCode::ObjectMissing)
    });
    let (new, mut follower) = another(&shared, "tablet");
    folded_all(&shared, &new, &mut follower);
    shared.fixture.proxy.meddle(std::sync::Arc::new(Honest));
    let root = EntryId::from_bytes(*safe.as_bytes());
    let there = parsec_protocol::safes::tree::Tree::children(&view.state, root).len();
    assert_eq!(Safe { device: &new, name: PLANS }.paths().unwrap().len(), there);
    assert_eq!(alarms(&new), []);
}
