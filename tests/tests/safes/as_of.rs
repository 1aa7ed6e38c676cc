//! A safe as it was: whatever a wild program did to it, each minute before can be had again, bit
//! for bit.

use parsec_protocol::control::{
    DeviceSelector, FileChanged, FileEntry, FileList, FileListResult, FileMakeFolder, FileMove, FileRemove,
    FileRestoreTree, FileTreeRestored, ProblemKind, SafeConfirm, SafeConfirmed, SafeDecision, SafeLog,
    SafeLogResult, SafeRole, SafeStatus, SafeStatusResult, method,
};
use parsec_protocol::ids::EntryId;
use parsec_tests::fixture::{BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::rpc::Failed;
use parsec_tests::safes::{Safe, create};

use super::{PLANS, enrol_bob};

fn select() -> DeviceSelector {
    DeviceSelector::default()
}

/// Everything in the safe: where, which entry, how many bytes.
fn all(safe: Safe<'_>) -> Vec<(String, EntryId, Option<u64>)> {
    let asked = FileList {
        select: select(),
        safe: safe.name.to_owned(),
        path: "/".to_owned(),
        recursive: true,
        after: None,
        at: None,
        record: None,
    };
    let found: FileListResult = safe.device.call(method::FILE_LIST, asked).unwrap();
    assert!(!found.more);
    found.files.into_iter().map(|FileEntry { path, entry, size, .. }| (path, entry, size)).collect()
}

fn log(safe: Safe<'_>) -> SafeLogResult {
    let asked = SafeLog { select: select(), safe: safe.name.to_owned(), before: None };
    safe.device.call(method::SAFE_LOG, asked).unwrap()
}

fn asked(safe: Safe<'_>, path: &str, record: u64) -> FileRestoreTree {
    FileRestoreTree {
        select: select(),
        safe: safe.name.to_owned(),
        path: path.to_owned(),
        at: None,
        record: Some(record),
        exact: false,
        dry_run: false,
        wait_seconds: Some(120),
    }
}

fn restore(safe: Safe<'_>, asked: FileRestoreTree) -> Result<FileTreeRestored, Failed> {
    safe.device.call(method::FILE_RESTORE_TREE, asked)
}

fn refused(done: Result<FileTreeRestored, Failed>) -> ProblemKind {
    let Failed::Problem(problem) = done.unwrap_err() else { panic!("the daemon went away") };
    problem.name
}

fn remove(safe: Safe<'_>, path: &str) -> FileChanged {
    let (safe_name, path) = (safe.name.to_owned(), path.to_owned());
    let asked =
        FileRemove { select: select(), safe: safe_name, path, recursive: true, wait_seconds: Some(120) };
    safe.device.call(method::FILE_REMOVE, asked).unwrap()
}

fn moved(safe: Safe<'_>, from: &str, to: &str) {
    let asked = FileMove {
        select: select(),
        safe: safe.name.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        replace: false,
        wait_seconds: Some(120),
    };
    let _done: FileChanged = safe.device.call(method::FILE_MOVE, asked).unwrap();
}

fn make_folder(safe: Safe<'_>, path: &str) {
    let (name, path) = (safe.name.to_owned(), path.to_owned());
    let asked = FileMakeFolder { select: select(), safe: name, path, parents: true, wait_seconds: Some(120) };
    let _done: FileChanged = safe.device.call(method::FILE_MAKE_FOLDER, asked).unwrap();
}

/// Lets what waits for a word go: the many removals of `--exact` are some, too.
fn confirm(safe: Safe<'_>) {
    let asked = SafeStatus { select: select(), safe: Some(safe.name.to_owned()) };
    let status: SafeStatusResult = safe.device.call(method::SAFE_STATUS, asked).unwrap();
    if let Some(held) = &status.safes[0].removals {
        let asked = SafeConfirm {
            select: select(),
            safe: safe.name.to_owned(),
            decision: SafeDecision::Remove,
            what: held.what.clone(),
        };
        let _done: SafeConfirmed = safe.device.call(method::SAFE_CONFIRM, asked).unwrap();
    }
    safe.sync();
}

/// Ransomware on a contributor's device: contents are written over, some files are removed and come
/// again under other names, folders are moved. The owner has the minute before again, entry by
/// entry, content by content, and every other minute, too.
#[test]
fn whatever_a_contributors_program_did_the_owner_undoes() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = enrol_bob(&fixture);
    let made = create(&fixture.alice, PLANS);
    let alice = Safe { device: &fixture.alice, name: PLANS };
    let contents: Vec<Vec<u8>> = (0..12_u8).map(|n| vec![n; 1_000 + usize::from(n) * 40_000]).collect();
    make_folder(alice, "/a/b");
    make_folder(alice, "/c");
    for (n, content) in contents.iter().enumerate() {
        let folder = ["/a", "/a/b", "/c"][n % 3];
        alice.put_shared(&format!("{folder}/file {n}"), content);
    }
    alice.share(BOB_EMAIL, SafeRole::Contributor).unwrap();
    let _ = bob.until_safe(|safe| safe.safe == made.safe);
    let id = made.safe.to_string();
    let at_bob = Safe { device: &bob, name: &id };
    at_bob.accept().unwrap();
    at_bob.sync();
    let (before, good) = (all(alice), log(alice).records[0].seq);

    for n in 0..12_usize {
        let path = format!("{}/file {n}", ["/a", "/a/b", "/c"][n % 3]);
        match n % 4 {
            0 => {
                at_bob.put_shared(&format!("{path}.locked"), b"encrypted");
                remove(at_bob, &path);
            }
            1 => drop(at_bob.put_shared(&path, b"encrypted, too")),
            2 => moved(at_bob, &path, &format!("/gone {n}")),
            _ => {
                remove(at_bob, &path);
                // Under the very name of what was there.
                at_bob.put_shared(&path, b"pay us");
            }
        }
    }
    moved(at_bob, "/a/b", "/c/b");
    moved(at_bob, "/a", "/c/b/a");
    at_bob.put_shared("/READ ME", b"pay us");
    alice.sync();
    let bad = log(alice).records[0].seq;
    let shown = log(alice);
    let by = shown.records[0].by.as_ref().unwrap();
    assert_eq!((by.email.as_str(), shown.records[0].added), (BOB_EMAIL, 1));

    // Looked at first: nothing happens.
    let look =
        restore(alice, FileRestoreTree { dry_run: true, exact: true, ..asked(alice, "/", good) }).unwrap();
    assert_eq!((look.record, look.change.is_none(), look.lost), (good, true, 0));
    let wild = all(alice);
    // What has come since stays, and everything is there again.
    let done = restore(alice, asked(alice, "/", good)).unwrap();
    assert_eq!((done.lost, done.removed), (0, 0), "{done:?}");
    alice.sync();
    let beside = all(alice);
    assert!(before.iter().all(|entry| beside.contains(entry)));
    assert!(beside.iter().any(|entry| entry.0 == "/READ ME"));
    // Exactly as it was, and once more: nothing is left to do.
    let done = restore(alice, FileRestoreTree { exact: true, ..asked(alice, "/", good) }).unwrap();
    assert!(done.removed > 0 && done.lost == 0, "{done:?}");
    confirm(alice);
    assert_eq!(all(alice), before);
    let again = restore(alice, FileRestoreTree { exact: true, ..asked(alice, "/", good) }).unwrap();
    assert_eq!(again.change.unwrap().entries, 0);
    // Every member sees it, and reads what it held.
    at_bob.sync();
    assert_eq!(all(at_bob), before);
    for (n, content) in contents.iter().enumerate() {
        let path = format!("{}/file {n}", ["/a", "/a/b", "/c"][n % 3]);
        assert!(at_bob.get(&path).unwrap() == *content, "{path}");
    }
    // And the other way round: what was undone is not lost either.
    let done = restore(alice, FileRestoreTree { exact: true, ..asked(alice, "/", bad) }).unwrap();
    assert_eq!(done.lost, 0);
    confirm(alice);
    assert_eq!(all(alice), wild);
}

/// One folder, or one file; what was not there then, and moments that are none.
#[test]
fn a_folder_or_a_file_is_what_it_was_and_nothing_else_is_touched() {
    let fixture = Fixture::found(FixtureOptions::default());
    let _ = create(&fixture.alice, PLANS);
    let alice = Safe { device: &fixture.alice, name: PLANS };
    make_folder(alice, "/x");
    alice.put_shared("/x/one", b"one");
    alice.put_shared("/other", b"other");
    let (good, time) = (log(alice).records[0].seq, log(alice).records[0].time);
    alice.put_shared("/x/one", b"changed");
    alice.put_shared("/other", b"changed");
    moved(alice, "/x", "/y");
    alice.put_shared("/y/two", b"two");
    // By the place where it is now.
    let done = restore(alice, asked(alice, "/y", good)).unwrap();
    assert_eq!((done.contents, done.removed, done.moved), (1, 0, 0), "{done:?}");
    assert_eq!(alice.get("/y/one").unwrap(), b"one");
    assert_eq!(alice.get("/other").unwrap(), b"changed");
    assert_eq!(alice.get("/y/two").unwrap(), b"two");
    // By the place where it was: it goes back there.
    let done = restore(alice, asked(alice, "/x", good)).unwrap();
    assert_eq!((done.moved, done.change.unwrap().path.as_str()), (1, "/x"));
    assert_eq!(alice.get("/x/two").unwrap(), b"two");
    moved(alice, "/x", "/y");
    // A file alone, by the moment; a removed one, too.
    remove(alice, "/other");
    let at = FileRestoreTree { record: None, at: Some(time), ..asked(alice, "/other", 0) };
    let done = restore(alice, at.clone()).unwrap();
    assert_eq!((done.record, done.restored, done.contents), (good, 1, 1), "{done:?}");
    assert_eq!(alice.get("/other").unwrap(), b"other");

    // Names that were turned round since: each file by the name that it had then.
    alice.put_shared("/log", b"new");
    alice.put_shared("/log.1", b"old");
    let turned = log(alice).records[0].seq;
    moved(alice, "/log.1", "/log.2");
    moved(alice, "/log", "/log.1");
    let done = restore(alice, asked(alice, "/log.1", turned)).unwrap();
    assert_eq!((done.lost, done.change.unwrap().path.as_str()), (0, "/log.1"));
    assert_eq!(alice.get("/log.1").unwrap(), b"old");
    // In a folder that is in the trash: that one first, and then it comes back with what was in it.
    remove(alice, "/y");
    assert_eq!(refused(restore(alice, asked(alice, "/x/one", good))), ProblemKind::PathNotFound);
    let done = restore(alice, asked(alice, "/x", good)).unwrap();
    assert_eq!((done.restored, done.change.unwrap().path.as_str()), (2, "/x"));
    assert_eq!(alice.get("/x/one").unwrap(), b"one");

    assert_eq!(refused(restore(alice, asked(alice, "/x/two", good))), ProblemKind::PathNotFound);
    assert_eq!(refused(restore(alice, asked(alice, "/nowhere", good))), ProblemKind::PathNotFound);
    let early = FileRestoreTree { at: Some(parsec_protocol::ids::Timestamp(1)), ..at.clone() };
    assert_eq!(refused(restore(alice, early)), ProblemKind::PathNotFound);
    for wrong in [
        FileRestoreTree { record: Some(1), ..at.clone() },
        FileRestoreTree { at: None, ..at },
        asked(alice, "/", 0),
        asked(alice, "/", 10_000),
    ] {
        assert_eq!(refused(restore(alice, wrong)), ProblemKind::InvalidRequest);
    }
    let shown = fixture.alice.ctl(&["safe", "log", "Plans", "--limit", "3"]).well().stdout;
    assert_eq!(shown.lines().count(), 4, "{shown}");
    let said = fixture.alice.ctl(&["safe", "restore", "Plans:/", "--at", "yesterday"]);
    assert_eq!(said.code, 64, "{said:?}");
    let said = fixture.alice.ctl(&["safe", "restore", "Plans:/", "--at", "0m", "--dry-run"]).well();
    assert!(said.stdout.contains("nothing is different"), "{said:?}");
}

/// A folder as it was comes out as it was: what was moved, written over and removed since, without
/// a change of anything.
#[test]
fn a_folder_as_it_was_comes_out_and_nothing_is_changed() {
    let fixture = Fixture::found(FixtureOptions::default());
    let _ = create(&fixture.alice, PLANS);
    let alice = Safe { device: &fixture.alice, name: PLANS };
    make_folder(alice, "/a/b");
    let large: Vec<u8> = (0..1_300_000_u32).map(|at| at.to_le_bytes()[0] ^ 3).collect();
    alice.put_shared("/a/one", b"one");
    alice.put_shared("/a/b/large", &large);
    alice.put_shared("/a/gone", b"gone later");
    alice.put_shared("/elsewhere", b"elsewhere");
    let then = log(alice).records[0].seq;
    let moment = log(alice).records[0].time;
    alice.put_shared("/a/one", b"another");
    moved(alice, "/a/b/large", "/large");
    remove(alice, "/a/gone");
    moved(alice, "/a", "/z");
    alice.put_shared("/z/new", b"new");
    let (now, records) = (all(alice), log(alice).records.len());

    let record = then.to_string();
    let place = fixture.path("before");
    let target = place.to_str().unwrap();
    let got = fixture.alice.ctl(&["safe", "get", "-r", "Plans:/a", target, "--record", &record]).well();
    assert!(got.stdout.contains(&format!("(record {then})")), "{got:?}");
    let read = |path: &str| std::fs::read(place.join(path)).unwrap();
    assert_eq!((read("one").as_slice(), read("gone").as_slice()), (&b"one"[..], &b"gone later"[..]));
    assert!(read("b/large") == large);
    let mut there: Vec<_> = std::fs::read_dir(&place).unwrap().map(|it| it.unwrap().file_name()).collect();
    there.sort();
    assert_eq!(there, ["b", "gone", "one"]);
    // One file, by the moment and into a pipe; the folder's list; all of it by another way.
    let cat = fixture.alice.ctl(&["safe", "cat", "Plans:/a/one", "--record", &record]).well();
    assert_eq!(cat.stdout, "one");
    let listed = fixture.alice.ctl(&["safe", "ls", "-R", "Plans:/a", "--record", &record]).well();
    assert_eq!(listed.stdout, "/a/b/\n/a/b/large\n/a/gone\n/a/one\n");
    let asked = FileList {
        select: select(),
        safe: PLANS.to_owned(),
        path: "/".to_owned(),
        recursive: true,
        after: None,
        at: Some(moment),
        record: None,
    };
    let found: FileListResult = fixture.alice.call(method::FILE_LIST, asked.clone()).unwrap();
    assert_eq!((found.record, found.lost.len(), found.files.len()), (Some(then), 0, 6), "{found:?}");
    let exported = fixture.path("exported");
    let target = exported.to_str().unwrap();
    let said = fixture.alice.ctl(&["safe", "export", PLANS, target, "--record", &record]).well();
    assert!(said.stdout.contains("4 files and 2 folders"), "{said:?}");
    assert_eq!(std::fs::read(exported.join("a/gone")).unwrap(), b"gone later");
    // Nothing was there then; a moment that is none; both.
    for (path, record, code) in [("/z", record.as_str(), 66), ("/a", "0", 64), ("/a", "100000", 64)] {
        let said = fixture.alice.ctl(&["safe", "ls", &format!("Plans:{path}"), "--record", record]);
        assert_eq!(said.code, code, "{path} {record}: {said:?}");
    }
    let both = FileList { record: Some(then), ..asked };
    let refused: Result<FileListResult, Failed> = fixture.alice.call(method::FILE_LIST, both);
    assert!(matches!(refused, Err(Failed::Problem(problem)) if problem.name == ProblemKind::InvalidRequest));
    assert_eq!((all(alice), log(alice).records.len()), (now, records), "nothing was changed");
}
