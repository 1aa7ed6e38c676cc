//! Other people's databases and listings on a mounted safe: SQLite whose file system is killed
//! under it, and folders that are listed while they change.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parsec_tests::fixture::{ALICE_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::fuzz::mutator::Dice;
use parsec_tests::metrics::runs;
use parsec_tests::mounted::{Mounted, is_possible};
use parsec_tests::process::kill_by_id;
use parsec_tests::safes::create;
use rusqlite::Connection;

use super::PLANS;

/// What SQLite does at most before it is cut off.
const INSERTS_MAX: u64 = 25;

/// Adds rows until the file system is gone; how many were committed.
fn insert(base: &Connection, first: u64, committed: &AtomicU64) {
    for number in first.. {
        let row = format!("insert into rows values ({number}, randomblob(3000))");
        if base.execute(&row, []).is_err() {
            return;
        }
        committed.fetch_add(1, Ordering::SeqCst);
    }
}

/// In both of SQLite's ways of committing: with a journal that is removed, and with one that is
/// written ahead.
#[test]
fn a_database_keeps_every_row_that_it_committed_when_the_daemon_is_killed() {
    const NAME: &str = "a_database_keeps_every_row_that_it_committed_when_the_daemon_is_killed";
    if !is_possible(NAME) {
        return;
    }
    let mut fixture = Fixture::found(FixtureOptions::default());
    let _ = create(&fixture.alice, PLANS);
    let here = Mounted::new(&fixture.alice, PLANS);
    let (path, mut dice) = (here.path("base.db"), Dice::new(7));
    let open = || {
        let base = Connection::open(&path).unwrap();
        base.busy_timeout(Duration::from_secs(5)).unwrap();
        base
    };
    let base = open();
    base.execute("create table rows (number integer primary key, bytes blob)", []).unwrap();
    drop(base);
    let mut rows = 0;
    for round in 0..runs(4, 200) {
        let mode = if round % 2 == 0 { "delete" } else { "wal" };
        let base = open();
        let now: String =
            base.query_row(&format!("pragma journal_mode = {mode}"), [], |row| row.get(0)).unwrap();
        assert_eq!(now, mode);
        base.execute_batch("pragma synchronous = full").unwrap();
        let (committed, most) = (AtomicU64::new(0), dice.below(INSERTS_MAX as usize) as u64);
        let daemon = fixture.alice.process_id();
        for attendant in here.attendants() {
            kill_by_id(attendant);
        }
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while committed.load(Ordering::SeqCst) < most {
                    std::thread::yield_now();
                }
                kill_by_id(daemon);
            });
            insert(&base, rows + 1, &committed);
        });
        let _ = base.close();
        fixture.alice.kill();
        fixture.alice.restart();
        let _ = fixture.alice.unlock(ALICE_PASSWORD).unwrap();
        let _ = fixture.alice.ctl(&["safe", "mount", PLANS, here.folder().to_str().unwrap()]).well();
        let base = open();
        let said: String = base.query_row("pragma integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(said, "ok", "round {round}, {mode}");
        let found: i64 = base.query_row("select count(*) from rows", [], |row| row.get(0)).unwrap();
        let found = u64::try_from(found).unwrap();
        let committed = rows + committed.into_inner();
        // One more was committed, perhaps, and nobody heard of it.
        assert!(
            found == committed || found == committed + 1,
            "round {round}, {mode}: {found} of {committed}"
        );
        rows = found;
    }
}

#[test]
fn listings_at_once_have_every_name_that_stays_and_none_twice() {
    if !is_possible("listings_at_once_have_every_name_that_stays_and_none_twice") {
        return;
    }
    const STAY: usize = 600;
    let fixture = Fixture::found(FixtureOptions::default());
    let _ = create(&fixture.alice, PLANS);
    let here = Mounted::new(&fixture.alice, PLANS);
    let folder = here.path("many");
    fs::create_dir(&folder).unwrap();
    for number in 0..STAY {
        fs::create_dir(folder.join(format!("stays-{number:03}"))).unwrap();
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0_usize;
            while !over.load(Ordering::Relaxed) {
                number += 1;
                let name = folder.join(format!("comes-{}", number % 7));
                fs::write(&name, vec![1; number % 100]).unwrap();
                if number.is_multiple_of(2) {
                    fs::remove_file(&name).unwrap();
                }
            }
        });
        let list = || {
            for _ in 0..runs(6, 200) {
                let mut found: BTreeMap<_, usize> = BTreeMap::new();
                for entry in fs::read_dir(&folder).unwrap() {
                    let entry = entry.unwrap();
                    let _ = entry.metadata();
                    *found.entry(entry.file_name()).or_default() += 1;
                }
                assert!(found.values().all(|count| *count == 1), "a name was listed twice");
                let stay = found.keys().filter(|name| name.to_string_lossy().starts_with("stays-"));
                assert_eq!(stay.count(), STAY);
            }
        };
        let lists: Vec<_> = (0..3).map(|_| scope.spawn(list)).collect();
        let ended: Vec<_> = lists.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        over.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok));
    });
}
