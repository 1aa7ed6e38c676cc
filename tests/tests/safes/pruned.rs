//! What was removed or written over long ago is thrown away by who may, and the room given back;
//! what is there stays, to the last bit, and so does what waited elsewhere meanwhile.

use std::path::Path;

use parsec_protocol::control::{
    DeviceSelector, FileChanged, FileHistory, FileHistoryResult, FileRemove, FileRestore, Problem,
    ProblemKind, SafePrune, SafePruned, SafeRetention, SafeRole, TrashList, TrashListResult, method,
};
use parsec_protocol::ids::EntryId;
use parsec_protocol::safes::change::{Change, Kind};
use parsec_protocol::safes::content_ref::{Content, References};
use parsec_protocol::safes::tree::Tree as _;
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_AGAIN, ALICE_PASSWORD, BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::insider::{Insider, entry_name};
use parsec_tests::rpc::Failed;
use parsec_tests::safes::{Safe, create, is_well};
use parsec_tests::skip;

use super::{PLANS, enrol_bob};

/// Where Debian puts the library that lies about the time.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// Seventeen pieces and a bit: a content with a page.
const LARGE: usize = 17 * 524_288 + 5;

fn prune(safe: Safe<'_>, change: impl FnOnce(&mut SafePrune)) -> Result<SafePruned, Failed> {
    let (select, name) = (DeviceSelector::default(), safe.name.to_owned());
    let mut asked = SafePrune { select, safe: name, entries: Vec::new(), trash: false, dry_run: false };
    change(&mut asked);
    safe.device.call(method::SAFE_PRUNE, asked)
}

fn refused<T: std::fmt::Debug>(done: Result<T, Failed>) -> Problem {
    let Failed::Problem(problem) = done.unwrap_err() else { panic!("the daemon went away") };
    *problem
}

fn retain(safe: Safe<'_>, days: u64) -> Result<FileChanged, Failed> {
    let (select, name) = (DeviceSelector::default(), safe.name.to_owned());
    safe.device.call(method::SAFE_RETENTION, SafeRetention { select, safe: name, days })
}

fn history(safe: Safe<'_>, path: &str) -> FileHistoryResult {
    let (select, name) = (DeviceSelector::default(), safe.name.to_owned());
    let asked = FileHistory { select, safe: name, path: path.to_owned(), after: None };
    safe.device.call(method::FILE_HISTORY, asked).unwrap()
}

fn trash(safe: Safe<'_>) -> Vec<EntryId> {
    let asked = TrashList { select: DeviceSelector::default(), safe: safe.name.to_owned(), after: None };
    let found: TrashListResult = safe.device.call(method::TRASH_LIST, asked).unwrap();
    found.removed.iter().map(|gone| gone.file.entry).collect()
}

fn remove(safe: Safe<'_>, path: &str) {
    let (select, name) = (DeviceSelector::default(), safe.name.to_owned());
    let (path, wait_seconds) = (path.to_owned(), Some(120));
    let asked = FileRemove { select, safe: name, path, recursive: true, wait_seconds };
    let removed: FileChanged = safe.device.call(method::FILE_REMOVE, asked).unwrap();
    assert!(removed.shared, "{removed:?}");
}

/// A large content of which the pieces differ.
fn large(of: u8) -> Vec<u8> {
    (0..LARGE).map(|at| of ^ u8::try_from(at / 524_288).unwrap()).collect()
}

/// Whether the library is there that the test needs.
fn time_can_pass(test: &str) -> bool {
    let there = Path::new(FAKETIME).exists();
    if !there {
        skip(test, "libfaketime is not installed");
    }
    there
}

/// So many days later, for everybody. Those who are off stay so.
fn days_later(fixture: &mut Fixture, days: u64, others: &mut [(&mut Device, &str)]) {
    let shift = format!("+{days}d");
    let environment =
        [("LD_PRELOAD", FAKETIME), ("FAKETIME", shift.as_str()), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    fixture.server.set_environment(&environment);
    fixture.restart_server();
    fixture.alice.set_environment(&environment);
    fixture.alice.restart();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    for (device, password) in others {
        device.set_environment(&environment);
        device.restart();
        device.unlock(password).unwrap();
    }
}

/// How many objects the server has in a state.
fn objects(fixture: &Fixture, state: i64) -> i64 {
    let sql = rusqlite::Connection::open(fixture.server.database()).unwrap();
    let count = "SELECT count(*) FROM safe_object WHERE state = ?1";
    sql.query_row(count, [state], |row| row.get(0)).unwrap()
}

/// Bob in a safe of Alice's, as a contributor.
fn shared(fixture: &Fixture) -> Device {
    let bob = enrol_bob(fixture);
    let made = create(&fixture.alice, PLANS);
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.share(BOB_EMAIL, SafeRole::Contributor).unwrap();
    let _ = bob.until_safe(|safe| safe.safe == made.safe);
    Safe { device: &bob, name: &made.safe.to_string() }.accept().unwrap();
    Safe { device: &bob, name: &made.safe.to_string() }.sync();
    bob
}

/// Bob names the page of the large file in another one, before it in every order and as a page of
/// fewer pieces: whoever believed that would find that nothing names the last ones.
fn name_the_page_elsewhere(fixture: &Fixture, bob: &mut Device) {
    let safe = Safe { device: &fixture.alice, name: PLANS }.show().unwrap().safe.safe;
    let insider = Insider::of(bob, BOB_PASSWORD, &fixture.server);
    let mut view = insider.view(safe);
    let root = EntryId::from_bytes(*safe.as_bytes());
    let large = view.state.child(root, &entry_name("large")).unwrap();
    let content = view.state.entry(large).unwrap().content().unwrap();
    let references = References::Paged(content.objects().copied().collect());
    let content = Content { size: 17 * 524_288, digest: None, references };
    let add = Change::Add {
        operation: None,
        entry: EntryId::from_bytes([0; 16]),
        parent: root,
        name: entry_name("of Bob's making"),
        kind: Kind::File(content),
        mtime: 0,
        executable: false,
        conflict_of: None,
    };
    let payload = insider.next_record(&view);
    let record = insider.write(&mut view, payload, vec![add]);
    let _ = insider.posted(safe, &record);
}

#[test]
fn what_is_old_enough_is_thrown_away_and_what_is_there_stays_to_the_last_bit() {
    if !time_can_pass("what_is_old_enough_is_thrown_away_and_what_is_there_stays_to_the_last_bit") {
        return;
    }
    let mut fixture = Fixture::found(FixtureOptions::default());
    let mut bob = shared(&fixture);
    let at_alice = |fixture: &Fixture, run: &mut dyn FnMut(Safe<'_>)| {
        run(Safe { device: &fixture.alice, name: PLANS });
    };
    let mut changed = large(7);
    let with_gone;
    {
        let at_bob = Safe { device: &bob, name: PLANS };
        at_bob.put_shared("/report", &[1; 1_200_000]);
        at_bob.put_shared("/report", b"the report as it is");
        at_bob.put_shared("/large", &changed);
        // One piece of it is another: the rest is the same objects.
        changed[3 * 524_288] ^= 1;
        at_bob.put_shared("/large", &changed);
        let gone = at_bob.put_shared("/gone", &[9; 700_000]);
        with_gone = gone.seq.unwrap();
        remove(at_bob, "/gone");
        let sums = prune(at_bob, |asked| asked.dry_run = true).unwrap();
        assert_eq!((sums.entries, sums.versions, sums.kept, sums.retention_days), (0, 0, 3, 90));
        assert_eq!(refused(prune(at_bob, |_| {})).name, ProblemKind::SafeRoleTooLow);
    }
    name_the_page_elsewhere(&fixture, &mut bob);
    at_alice(&fixture, &mut |alice| {
        let sums = prune(alice, |_| {}).unwrap();
        assert_eq!((sums.entries, sums.versions, sums.objects, sums.kept), (0, 0, 0, 3));
        assert_eq!(refused(retain(alice, 6)).name, ProblemKind::InvalidRequest);
    });

    // Nobody who may has written since: it is told in the journal that time passes.
    days_later(&mut fixture, 2, &mut []);
    at_alice(&fixture, &mut |alice| {
        let before = alice.show().unwrap().safe.entries;
        let sums = prune(alice, |asked| asked.trash = true).unwrap();
        assert_eq!((sums.entries, sums.days, sums.kept), (0, 7, 1));
        assert_eq!(alice.show().unwrap().safe.entries, before);
    });
    days_later(&mut fixture, 8, &mut []);
    at_alice(&fixture, &mut |alice| {
        let entry = trash(alice)[0];
        let early = refused(prune(alice, |asked| asked.entries = vec![entry]));
        assert_eq!(early.name, ProblemKind::NotAllowed, "{early:?}");
    });
    let before = objects(&fixture, 1);
    days_later(&mut fixture, 10, &mut [(&mut bob, BOB_PASSWORD)]);
    at_alice(&fixture, &mut |alice| {
        let entry = trash(alice)[0];
        let sums = prune(alice, |asked| asked.entries = vec![entry]).unwrap();
        assert_eq!((sums.entries, sums.versions, sums.objects), (1, 0, 2));
        assert_eq!(trash(alice), []);
        let nothing = refused(prune(alice, |asked| asked.entries = vec![entry]));
        assert_eq!(nothing.name, ProblemKind::PathNotFound);
    });
    assert_eq!((objects(&fixture, 1), objects(&fixture, 2)), (before - 2, 2));
    // What was is listed, and said to be lost; the rest of that time is there.
    let record = with_gone.to_string();
    let place = fixture.path("as it was");
    let target = place.to_str().unwrap();
    let got = fixture.alice.ctl(&["safe", "get", "-r", "Plans:/", target, "--record", &record]);
    assert!(got.code == 66 && got.stderr.contains("Not kept any more: /gone"), "{got:?}");
    assert!(!place.join("gone").exists());
    assert_eq!(std::fs::read(place.join("report")).unwrap(), b"the report as it is");
    assert!(std::fs::read(place.join("large")).unwrap() == changed);
    let got = fixture.alice.ctl(&["safe", "cat", "Plans:/gone", "--record", &record]);
    assert!(got.code == 66 && got.stderr.contains("is not kept any more"), "{got:?}");
    let listed = fixture.alice.ctl(&["safe", "ls", "-l", "Plans:/", "--record", &record]).well();
    let gone = listed.stdout.lines().find(|line| line.ends_with("gone")).unwrap();
    assert!(gone.contains("not kept"), "{listed:?}");
    {
        let at_bob = Safe { device: &bob, name: PLANS };
        at_bob.sync();
        assert_eq!(trash(at_bob), []);
        assert_eq!(history(at_bob, "/report").versions.len(), 2);
    }

    // By the retention: earlier contents, and what nothing names any more; never a piece that the
    // present content has, too.
    days_later(&mut fixture, 95, &mut []);
    at_alice(&fixture, &mut |alice| {
        let sums = prune(alice, |_| {}).unwrap();
        // Three pieces of the report, one piece and the page of the large one.
        assert_eq!((sums.entries, sums.versions, sums.objects, sums.kept), (0, 2, 5, 0));
        assert_eq!(history(alice, "/report").versions.len(), 1);
        assert_eq!(prune(alice, |_| {}).unwrap().objects, 0);
        assert!(fixture.alice.status().alarms.is_empty());
    });
    days_later(&mut fixture, 130, &mut [(&mut bob, BOB_PASSWORD)]);
    // The server looks every second.
    while objects(&fixture, 2) > 0 {
        std::thread::yield_now();
    }
    let sql = rusqlite::Connection::open(fixture.server.database()).unwrap();
    let left: i64 = sql.query_row("SELECT count(*) FROM safe_object", [], |row| row.get(0)).unwrap();
    assert_eq!(left, before - 7);
    {
        let at_bob = Safe { device: &bob, name: PLANS };
        at_bob.sync();
        assert_eq!(at_bob.get("/large").unwrap(), changed);
        assert!(bob.status().alarms.is_empty());
    }
    // A device that was never there reads everything from the server.
    let environment =
        [("LD_PRELOAD", FAKETIME), ("FAKETIME", "+130d"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    let mut tablet = fixture.device("tablet");
    tablet.set_environment(&environment);
    tablet.restart();
    let tablet = super::enrol_into(&fixture.alice, tablet, ALICE_AGAIN);
    let made = tablet.until_safe(is_well).safe.to_string();
    let at_tablet = Safe { device: &tablet, name: &made };
    at_tablet.sync();
    assert_eq!(at_tablet.get("/large").unwrap(), changed);
    assert_eq!(at_tablet.get("/report").unwrap(), b"the report as it is");
    println!(
        "figure T32: after a prune and a month every present content is whole, and {left} of {before} objects are left"
    );
}

#[test]
fn an_earlier_content_that_somebody_brings_back_meanwhile_is_not_lost() {
    if !time_can_pass("an_earlier_content_that_somebody_brings_back_meanwhile_is_not_lost") {
        return;
    }
    let mut fixture = Fixture::found(FixtureOptions::default());
    let mut bob = shared(&fixture);
    let first = large(3);
    let at_bob = Safe { device: &bob, name: PLANS };
    at_bob.put_shared("/large", &first);
    at_bob.put_shared("/large", b"short");
    let version = history(at_bob, "/large").versions[1].version;
    // A time that counts, from an owner.
    days_later(&mut fixture, 2, &mut []);
    Safe { device: &fixture.alice, name: PLANS }.put_shared("/note", b"two days later");
    // Bob, who is away, brings the earlier content back.
    fixture.server.kill();
    let (select, safe) = (DeviceSelector::default(), PLANS.to_owned());
    let asked = FileRestore { select, safe, path: "/large".to_owned(), version, wait_seconds: Some(0) };
    let saved: FileChanged = bob.call(method::FILE_RESTORE, asked).unwrap();
    assert!(saved.saved && !saved.shared, "{saved:?}");
    bob.kill();
    days_later(&mut fixture, 95, &mut []);
    let alice = Safe { device: &fixture.alice, name: PLANS };
    let sums = prune(alice, |_| {}).unwrap();
    assert_eq!((sums.versions, sums.objects), (1, 19));
    assert_eq!(objects(&fixture, 2), 19);

    days_later(&mut fixture, 96, &mut [(&mut bob, BOB_PASSWORD)]);
    Safe { device: &bob, name: PLANS }.sync();
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.sync();
    assert_eq!(alice.get("/large").unwrap(), first);
    assert_eq!(objects(&fixture, 2), 0, "all of it was taken back");
    assert!(fixture.alice.status().alarms.is_empty() && bob.status().alarms.is_empty());
}

#[test]
fn how_long_is_kept_an_owner_says_and_everybody_sees() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = shared(&fixture);
    let (alice, at_bob) = (Safe { device: &fixture.alice, name: PLANS }, Safe { device: &bob, name: PLANS });
    let kept = |safe: Safe<'_>| prune(safe, |asked| asked.dry_run = true).unwrap().retention_days;
    assert_eq!((kept(alice), kept(at_bob)), (90, 90));
    assert_eq!(refused(retain(at_bob, 7)).name, ProblemKind::SafeRoleTooLow);
    let _ = retain(alice, 365).unwrap();
    alice.sync();
    at_bob.sync();
    assert_eq!((kept(alice), kept(at_bob)), (365, 365));
    let both =
        prune(alice, |asked| (asked.trash, asked.entries) = (true, vec![EntryId::from_bytes([1; 16])]));
    assert_eq!(refused(both).name, ProblemKind::InvalidRequest);
    let said = fixture.alice.ctl(&["safe", "retention", PLANS]).well();
    assert!(said.stdout.contains("365 days"), "{said:?}");
    let said = fixture.alice.ctl(&["safe", "retention", PLANS, "30", "--yes"]).well();
    assert!(said.stdout.contains("30 days") || said.stderr.contains("30 days"), "{said:?}");
    // Nobody is asked before something is kept for longer.
    let _ = fixture.alice.ctl(&["safe", "retention", PLANS, "31"]).well();
    at_bob.sync();
    assert_eq!(kept(at_bob), 31);
    alice.put_shared("/note", b"a");
    let said = fixture.alice.ctl(&["safe", "prune", PLANS, "--dry-run", "--json"]).well().json();
    assert_eq!(said["retention_days"], 31);
}
