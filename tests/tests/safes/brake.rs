//! Many removals at once wait for a person: on the device that made them, over a restart, and with
//! nothing else lost; a word about them is about exactly what was shown.

use std::path::{Path, PathBuf};

use parsec_protocol::control::{
    ChangeHeld, DeviceSelector, FileChanged, FileMakeFolder, FileMove, FileRemove, HeldRemovals, ProblemKind,
    SafeConfirm, SafeConfirmed, SafeDecision, SafeSelector, SafeShowResult, SafeStatus, SafeStatusResult,
    SafeWaiting, method,
};
use parsec_tests::device::Device;
use parsec_tests::events::Follower;
use parsec_tests::fixture::{ALICE_AGAIN, ALICE_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::rpc::Failed;
use parsec_tests::safes::{Safe, create, is_well, until};

use super::{PLANS, enrol_own};

/// Entries in the folder that is removed: more than twenty, and more than half.
const MANY: usize = 25;

fn make_folder(device: &Device, path: &str) -> FileChanged {
    let asked = FileMakeFolder {
        select: DeviceSelector::default(),
        safe: PLANS.to_owned(),
        path: path.to_owned(),
        parents: true,
        wait_seconds: None,
    };
    device.call(method::FILE_MAKE_FOLDER, asked).unwrap()
}

fn remove(device: &Device, path: &str) -> FileChanged {
    let asked = FileRemove {
        select: DeviceSelector::default(),
        safe: PLANS.to_owned(),
        path: path.to_owned(),
        recursive: true,
        // Longer than anybody would wait: what waits for a person is answered at once.
        wait_seconds: Some(600),
    };
    device.call(method::FILE_REMOVE, asked).unwrap()
}

fn status(device: &Device) -> SafeWaiting {
    let asked = SafeStatus { select: DeviceSelector::default(), safe: Some(PLANS.to_owned()) };
    let result: SafeStatusResult = device.call(method::SAFE_STATUS, asked).unwrap();
    result.safes.into_iter().next().unwrap()
}

fn confirm(device: &Device, decision: SafeDecision, held: &HeldRemovals) -> Result<SafeConfirmed, Failed> {
    let (safe, what) = (PLANS.to_owned(), held.what.clone());
    let asked = SafeConfirm { select: DeviceSelector::default(), safe, decision, what };
    device.call(method::SAFE_CONFIRM, asked)
}

fn fill(device: &Device, folder: &str) {
    for number in 0..MANY {
        make_folder(device, &format!("{folder}/{number:02}"));
    }
}

#[test]
fn many_removals_wait_for_a_person_and_nothing_else_does() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    let mut on_tablet = Follower::start(&tablet.socket(), None);
    let mut on_alice = Follower::start(&fixture.alice.socket(), None);
    let made = create(&fixture.alice, PLANS);
    fill(&fixture.alice, "/f");
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.sync();
    until(&mut on_tablet, |safe| safe.safe == made.safe && is_well(safe));

    // Too many: saved, seen as removed here, and not sent. Its person is told, by an event too.
    let removed = remove(&fixture.alice, "/f");
    assert!(removed.saved && !removed.shared, "{removed:?}");
    assert_eq!(removed.problem.map(|problem| problem.name), Some(ProblemKind::RemovalWaits));
    until(&mut on_alice, |safe| safe.problem == Some(ProblemKind::RemovalWaits));
    assert_eq!(alice.paths().unwrap(), Vec::<String>::new());
    // What takes its place waits behind it; what is elsewhere goes out.
    make_folder(&fixture.alice, "/f/new");
    alice.put_shared("/later.txt", b"goes out");
    let waiting = status(&fixture.alice);
    let held = waiting.removals.clone().unwrap();
    assert_eq!((held.count, held.entries, held.behind), (1, MANY as u64 + 1, 2), "{waiting:?}");
    assert_eq!((held.removals[0].path.as_str(), held.removals[0].entries), ("/f", MANY as u64 + 1));
    let kinds: Vec<_> = waiting.changes.iter().map(|change| (change.kind.as_str(), change.held)).collect();
    let behind = Some(ChangeHeld::Behind);
    assert_eq!(kinds, [("remove", Some(ChangeHeld::Removal)), ("add", behind), ("add", behind)]);
    let id = made.safe.to_string();
    let beside = Safe { device: &tablet, name: &id };
    beside.sync();
    assert_eq!(beside.paths().unwrap().len(), MANY + 2, "all of it is there for the others");

    // A word about something else is none, and a restart is no word.
    let other = HeldRemovals { what: "0".repeat(64), ..held.clone() };
    let refused = confirm(&fixture.alice, SafeDecision::Remove, &other).unwrap_err();
    assert_eq!(refused.name(), Some(ProblemKind::InvalidRequest));
    drop(on_alice);
    fixture.alice.kill();
    fixture.alice.restart();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.put_shared("/after.txt", b"the restart");
    assert_eq!(status(&fixture.alice).removals, Some(held.clone()));
    // More than was shown: what was shown is not what waits.
    let more = remove(&fixture.alice, "/later.txt");
    assert!(!more.shared, "{more:?}");
    let refused = confirm(&fixture.alice, SafeDecision::Remove, &held).unwrap_err();
    assert_eq!(refused.name(), Some(ProblemKind::InvalidRequest));
    let held = status(&fixture.alice).removals.unwrap();
    assert_eq!((held.count, held.entries), (2, MANY as u64 + 2));

    // Taken back: everything that it would have removed is there, and what waited behind it.
    let taken_back = confirm(&fixture.alice, SafeDecision::Discard, &held).unwrap();
    assert_eq!((taken_back.count, taken_back.entries), (2, MANY as u64 + 2));
    alice.sync();
    beside.sync();
    let there = beside.paths().unwrap();
    assert_eq!(there, alice.paths().unwrap());
    assert_eq!(there.len(), MANY + 4, "{there:?}");
    assert!(there.contains(&"/f/new".to_owned()) && there.contains(&"/later.txt".to_owned()), "{there:?}");
    assert_eq!(beside.conflicts().conflicts.len(), 0);

    // And said yes to: exactly this goes, for everybody.
    let removed = remove(&fixture.alice, "/f");
    assert!(!removed.shared, "{removed:?}");
    let held = status(&fixture.alice).removals.unwrap();
    assert_eq!((held.count, held.entries), (1, MANY as u64 + 2));
    confirm(&fixture.alice, SafeDecision::Remove, &held).unwrap();
    alice.sync();
    assert_eq!(status(&fixture.alice).removals, None);
    beside.sync();
    assert_eq!(beside.paths().unwrap(), ["/after.txt", "/later.txt"]);
    // A person has looked: the count begins anew.
    assert!(remove(&fixture.alice, "/later.txt").shared);
}

/// A removal that waited while what is in its folder went out takes that with it: this device wrote
/// it, and nobody else has touched it.
#[test]
fn what_a_device_wrote_itself_goes_with_the_folder_that_it_removes() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let _ = create(&fixture.alice, PLANS);
    fill(&fixture.alice, "/f");
    Safe { device: &fixture.alice, name: PLANS }.sync();
    fixture.server.kill();
    Safe { device: &fixture.alice, name: PLANS }.put("/f/last.txt", b"before it", 0).unwrap();
    let removed = remove(&fixture.alice, "/f");
    assert!(removed.saved && !removed.shared, "{removed:?}");
    fixture.restart_server();
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.put_shared("/later.txt", b"after it");
    let held = status(&fixture.alice).removals.unwrap();
    assert_eq!((held.count, held.entries), (1, MANY as u64 + 2), "the file in it is there for all by now");
    confirm(&fixture.alice, SafeDecision::Remove, &held).unwrap();
    alice.sync();
    assert_eq!(alice.paths().unwrap(), ["/later.txt"]);
}

/// What overtakes a removal that waits may take a name that something behind it wants: what is left
/// of the queue is put onto the tree anew then, and goes out once somebody has said so.
#[test]
fn what_overtakes_a_removal_and_takes_its_name_stops_nothing() {
    let fixture = Fixture::found(FixtureOptions::default());
    let _ = create(&fixture.alice, PLANS);
    fill(&fixture.alice, "/f");
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.sync();
    assert!(!remove(&fixture.alice, "/f").shared);
    // Behind it, as it takes its name; moved through another name, which somebody else takes.
    make_folder(&fixture.alice, "/f");
    for (from, to) in [("/f", "/g"), ("/g", "/h")] {
        let (safe, from, to) = (PLANS.to_owned(), from.to_owned(), to.to_owned());
        let select = DeviceSelector::default();
        let asked = FileMove { select, safe, from, to, replace: false, wait_seconds: None };
        let _: FileChanged = fixture.alice.call(method::FILE_MOVE, asked).unwrap();
    }
    alice.put_shared("/g", b"takes the name between");
    let held = status(&fixture.alice).removals.unwrap();
    confirm(&fixture.alice, SafeDecision::Remove, &held).unwrap();
    alice.sync();
    let waiting = status(&fixture.alice);
    assert!(waiting.changes.is_empty() && waiting.safe.problem.is_none(), "{waiting:?}");
    alice.put_shared("/after.txt", b"it goes on");
    let there = alice.paths().unwrap();
    assert!(there.contains(&"/g".to_owned()) && there.contains(&"/h".to_owned()), "{there:?}");
    assert_eq!(alice.get("/g").unwrap(), b"takes the name between");
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// Inability is an error, and never a change: what a device can't get or open stays where it is.
#[test]
fn what_cannot_be_read_is_never_removed() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    let mut on_tablet = Follower::start(&tablet.socket(), None);
    let made = create(&fixture.alice, PLANS);
    let contents: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    Safe { device: &fixture.alice, name: PLANS }.put_shared("/there.bin", &contents);
    until(&mut on_tablet, |safe| safe.safe == made.safe && is_well(safe));
    let id = made.safe.to_string();
    Safe { device: &tablet, name: &id }.sync();
    let objects = {
        let mut name = fixture.server.database().into_os_string();
        name.push(".objects");
        files(Path::new(&name))
    };
    assert!(!objects.is_empty());
    let whole: Vec<_> = objects.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let records = |device: &Device| -> SafeShowResult {
        let asked = SafeSelector { select: DeviceSelector::default(), safe: PLANS.to_owned() };
        device.call(method::SAFE_SHOW, asked).unwrap()
    };
    let before = records(&tablet).records;
    // Nothing there, something else there, half of it there.
    let harms: [fn(&Path, &[u8]); 3] = [
        |path, _| std::fs::remove_file(path).unwrap(),
        |path, whole| std::fs::write(path, whole.iter().map(|byte| byte ^ 1).collect::<Vec<_>>()).unwrap(),
        |path, whole| std::fs::write(path, &whole[..whole.len() / 2]).unwrap(),
    ];
    for harm in harms {
        fixture.server.kill();
        objects.iter().zip(&whole).for_each(|(path, whole)| harm(path, whole));
        fixture.restart_server();
        let plans = Safe { device: &tablet, name: PLANS };
        assert!(plans.get("/there.bin").is_err());
        plans.sync();
        assert_eq!(plans.paths().unwrap(), ["/there.bin"]);
        let waiting = status(&tablet);
        assert!(waiting.changes.is_empty() && waiting.removals.is_none(), "{waiting:?}");
        assert_eq!(records(&tablet).records, before);
        objects.iter().zip(&whole).for_each(|(path, whole)| std::fs::write(path, whole).unwrap());
    }
    assert_eq!(Safe { device: &tablet, name: PLANS }.get("/there.bin").unwrap(), contents);
}
