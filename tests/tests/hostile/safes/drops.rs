//! A manager who has the server throw away what is there: nothing is lost, everybody goes on, and
//! all see whose word it was.

use parsec_protocol::control::{ProblemKind, SafeRole};
use parsec_protocol::ids::OperationId;
use parsec_protocol::safes::change::Change;
use parsec_tests::fixture::{BOB, BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::insider::{Insider, drawn};
use parsec_tests::safes::Safe;
use parsec_tests::server::NO_LIMITS;

use super::{PLANS, Shared, let_in, made, share, until_alarm};

fn nothing() -> Change {
    let operation = OperationId::from_bytes(drawn());
    Change::Prune { operation, versions: Vec::new(), entries: Vec::new() }
}

/// Waits until the server keeps all objects: none of them is dropped any more.
fn until_all_are_kept(fixture: &Fixture) {
    let sql = rusqlite::Connection::open(fixture.server.database()).unwrap();
    let dropped = "SELECT count(*) FROM safe_object WHERE state = 2 OR due IS NOT NULL";
    while sql.query_row(dropped, [], |row| row.get::<_, i64>(0)).unwrap() > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn what_a_manager_drops_although_it_is_there_others_take_back() {
    let mut shared = Shared::with(SafeRole::Manager);
    let safe = shared.safe;
    let contents = vec![5; 1_300_000];
    shared.alice().put_shared("/there", &contents);
    let bob = Insider::of(&mut shared.bob, BOB_PASSWORD, &shared.fixture.server);
    // With a prune that drops what is named, and with no prune at all.
    for changes in [vec![nothing()], Vec::new()] {
        let mut view = bob.view(safe);
        let mut payload = bob.next_record(&view);
        payload.drops = view.state.objects().map(|(object, _)| object).collect();
        assert_eq!(payload.drops.len(), 3);
        let record = bob.write(&mut view, payload, changes);
        let _ = bob.posted(safe, &record);
        shared.alice().sync();
        until_all_are_kept(&shared.fixture);
        let told = until_alarm(&shared.fixture.alice, ProblemKind::SafeUntrusted);
        assert!(told.problem.message.contains("Bob"), "{told:?}");
        super::acknowledge(&shared.fixture.alice, &told);
    }
    let _ = shared.alice().put_shared("/more", b"goes on");
    assert_eq!(shared.alice().get("/there").unwrap(), contents);
    println!("figure T32: what a void record dropped is taken back by who folds it");
}

#[test]
fn chunks_that_a_manager_drops_behind_a_page_are_taken_back_by_who_has_the_page() {
    let fixture = Fixture::found(FixtureOptions { server_options: NO_LIMITS, ..FixtureOptions::default() });
    let mut bob = let_in(&fixture, "bob", BOB_EMAIL, BOB);
    let safe = made(&fixture.alice);
    share(&fixture.alice, &bob, BOB_EMAIL, safe, SafeRole::Manager);
    let alice = Safe { device: &fixture.alice, name: PLANS };
    let contents = vec![6; 17 * 524_288 + 1];
    alice.put_shared("/large", &contents);
    let bob = Insider::of(&mut bob, BOB_PASSWORD, &fixture.server);
    let mut view = bob.view(safe);
    let mut named = std::collections::BTreeSet::new();
    view.state.each_content(|content| named.extend(content.objects().map(|named| named.object)));
    let mut payload = bob.next_record(&view);
    payload.drops = view.state.objects().map(|(id, _)| id).filter(|id| !named.contains(id)).collect();
    assert_eq!(payload.drops.len(), 18);
    let record = bob.write(&mut view, payload, vec![nothing()]);
    let _ = bob.posted(safe, &record);
    alice.sync();
    until_all_are_kept(&fixture);
    let told = until_alarm(&fixture.alice, ProblemKind::SafeUntrusted);
    let text = &told.problem.message;
    assert!(text.contains("Bob") && text.contains("thrown away"), "{text}");
    assert_eq!(alice.get("/large").unwrap(), contents);
}
