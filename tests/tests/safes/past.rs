//! The past of a safe: earlier contents come back bit for bit, on any member's device, with who
//! wrote them; what was removed comes back with all that went with it, and over nothing.

use parsec_protocol::control::{
    DeviceSelector, FileChanged, FileHistory, FileHistoryResult, FileMakeFolder, FileRemove, FileRestore,
    ProblemKind, SafeRole, TrashList, TrashListResult, TrashRestore, method,
};
use parsec_protocol::ids::{EntryId, OperationId};
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_AGAIN, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::rpc::Failed;
use parsec_tests::safes::{Safe, create, is_well};

use super::{PLANS, enrol_bob, enrol_own};

fn history(safe: Safe<'_>, path: &str) -> FileHistoryResult {
    let (select, name) = (DeviceSelector::default(), safe.name.to_owned());
    let asked = FileHistory { select, safe: name, path: path.to_owned(), after: None };
    safe.device.call(method::FILE_HISTORY, asked).unwrap()
}

fn restore(safe: Safe<'_>, path: &str, version: OperationId) -> Result<FileChanged, Failed> {
    let (select, name) = (DeviceSelector::default(), safe.name.to_owned());
    let wait_seconds = Some(120);
    let asked = FileRestore { select, safe: name, path: path.to_owned(), version, wait_seconds };
    safe.device.call(method::FILE_RESTORE, asked)
}

fn trash(safe: Safe<'_>) -> TrashListResult {
    let asked = TrashList { select: DeviceSelector::default(), safe: safe.name.to_owned(), after: None };
    safe.device.call(method::TRASH_LIST, asked).unwrap()
}

fn untrash(safe: Safe<'_>, entry: EntryId, to: Option<&str>) -> Result<FileChanged, Failed> {
    let (select, name, to) = (DeviceSelector::default(), safe.name.to_owned(), to.map(str::to_owned));
    let asked = TrashRestore { select, safe: name, entry, to, wait_seconds: Some(120) };
    safe.device.call(method::TRASH_RESTORE, asked)
}

fn remove(safe: Safe<'_>, path: &str) {
    let (select, name) = (DeviceSelector::default(), safe.name.to_owned());
    let (path, wait_seconds) = (path.to_owned(), Some(120));
    let asked = FileRemove { select, safe: name, path, recursive: true, wait_seconds };
    let removed: FileChanged = safe.device.call(method::FILE_REMOVE, asked).unwrap();
    assert!(removed.shared, "{removed:?}");
}

fn refused<T: std::fmt::Debug>(done: Result<T, Failed>) -> ProblemKind {
    let Failed::Problem(problem) = done.unwrap_err() else { panic!("the daemon went away") };
    problem.name
}

/// Bob in a safe of Alice's.
fn shared(fixture: &Fixture, role: SafeRole) -> Device {
    let bob = enrol_bob(fixture);
    let made = create(&fixture.alice, PLANS);
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.share(BOB_EMAIL, role).unwrap();
    let _ = bob.until_safe(|safe| safe.safe == made.safe);
    Safe { device: &bob, name: &made.safe.to_string() }.accept().unwrap();
    bob
}

#[test]
fn earlier_contents_are_named_with_who_wrote_them_and_come_back() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = shared(&fixture, SafeRole::Contributor);
    let alice = Safe { device: &fixture.alice, name: PLANS };
    let (first, second, third) = (vec![1; 1_200_000], b"second".to_vec(), vec![3; 40_000]);
    alice.put_shared("/report", &first);
    alice.put_shared("/report", &second);
    let at_bob = Safe { device: &bob, name: PLANS };
    at_bob.sync();
    at_bob.put_shared("/report", &third);
    alice.sync();

    for safe in [alice, at_bob] {
        let found = history(safe, "/report");
        let sizes: Vec<_> = found.versions.iter().map(|version| version.size).collect();
        assert_eq!(sizes, [40_000, 6, 1_200_000]);
        let by: Vec<_> = found
            .versions
            .iter()
            .map(|version| version.by.as_ref().unwrap().email.as_str().to_owned())
            .collect();
        assert_eq!(by[0], BOB_EMAIL);
        assert!(by[1] == by[2] && by[1] != BOB_EMAIL);
        let seqs: Vec<_> = found.versions.iter().map(|version| version.seq.unwrap()).collect();
        assert!(seqs.is_sorted_by(|one, other| one > other), "{seqs:?}");
        assert!(found.versions.iter().all(|version| version.time.is_some()));
        let present: Vec<_> = found.versions.iter().map(|version| version.present).collect();
        assert_eq!(present, [true, false, false]);
        for (version, contents) in found.versions.iter().zip([&third, &second, &first]) {
            assert!(safe.get_version("/report", version.version).unwrap() == *contents);
        }
        let never = OperationId::from_bytes([9; 16]);
        assert_eq!(refused(safe.get_version("/report", never)), ProblemKind::PathNotFound);
        assert_eq!(refused(restore(safe, "/report", never)), ProblemKind::PathNotFound);
    }

    // Back to the first, by somebody who did not write it; nothing of it is sent again.
    let oldest = history(at_bob, "/report").versions[2].version;
    let done = restore(at_bob, "/report", oldest).unwrap();
    assert!(done.shared && done.entries == 1, "{done:?}");
    alice.sync();
    assert!(alice.get("/report").unwrap() == first);
    let found = history(alice, "/report");
    assert_eq!(found.versions.len(), 4, "what it held stays in its history");
    assert_eq!(found.versions[0].by.as_ref().unwrap().email.as_str(), BOB_EMAIL);
    // Once more is nothing new.
    let again = restore(at_bob, "/report", history(at_bob, "/report").versions[0].version).unwrap();
    assert_eq!(again.entries, 0);
    // A content that the file had, and another file has not.
    alice.put_shared("/other", b"other");
    assert_eq!(refused(restore(alice, "/other", oldest)), ProblemKind::PathNotFound);
}

#[test]
fn what_is_not_shared_yet_is_in_the_history_and_says_so() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let _ = create(&fixture.alice, PLANS);
    Safe { device: &fixture.alice, name: PLANS }.put_shared("/report", b"first");
    fixture.server.kill();
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.put("/report", b"second", 0).unwrap();
    let versions = history(alice, "/report").versions;
    assert_eq!(versions.iter().map(|version| version.seq.is_some()).collect::<Vec<_>>(), [false, true]);
    assert!(versions[0].time >= versions[1].time && versions[0].by.is_some());
    fixture.restart_server();
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.sync();
    assert!(history(alice, "/report").versions[0].seq.is_some());
}

#[test]
fn what_was_removed_comes_back_with_all_of_it_and_over_nothing() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = shared(&fixture, SafeRole::Contributor);
    let alice = Safe { device: &fixture.alice, name: PLANS };
    let select = DeviceSelector::default();
    let (name, path) = (PLANS.to_owned(), "/2026/deep".to_owned());
    let asked = FileMakeFolder { select, safe: name, path, parents: true, wait_seconds: Some(120) };
    let _: FileChanged = fixture.alice.call(method::FILE_MAKE_FOLDER, asked).unwrap();
    alice.put_shared("/2026/deep/report", b"report");
    alice.put_shared("/2026/notes", b"notes");
    let at_bob = Safe { device: &bob, name: PLANS };
    at_bob.sync();
    remove(at_bob, "/2026/notes");
    remove(at_bob, "/2026");
    alice.sync();
    for safe in [alice, at_bob] {
        assert_eq!(safe.paths().unwrap(), [""; 0]);
        let removed = trash(safe).removed;
        let shown: Vec<_> = removed.iter().map(|it| (it.file.path.as_str(), it.entries)).collect();
        assert_eq!(shown, [("/2026", 3), ("/2026/notes", 1)], "the last one first");
        assert!(removed.iter().all(|it| it.by.as_ref().unwrap().email.as_str() == BOB_EMAIL));
    }
    let removed = trash(alice).removed;
    let (folder, notes) = (removed[0].file.entry, removed[1].file.entry);
    // Behind the first there is the second, and behind that nothing.
    let asked = |after| TrashList { select: DeviceSelector::default(), safe: PLANS.to_owned(), after };
    let rest: TrashListResult = fixture.alice.call(method::TRASH_LIST, asked(Some(folder))).unwrap();
    assert_eq!((rest.removed.len(), rest.removed[0].file.entry, rest.more), (1, notes, false));
    let other = fixture.alice.ctl(&["safe", "restore", "Plans:/2026", "--to", "Other:/2026"]);
    assert!(other.code == 64 && other.stderr.contains("another"), "{other:?}");
    // Its folder is in the trash, too.
    assert_eq!(refused(untrash(alice, notes, None)), ProblemKind::PathNotFound);
    // Something else has the name meanwhile.
    alice.put_shared("/2026", b"a file");
    assert_eq!(refused(untrash(alice, folder, None)), ProblemKind::PathExists);
    let back = untrash(alice, folder, Some("/archive")).unwrap();
    assert!(back.shared && back.entries == 3 && back.path == "/archive", "{back:?}");
    let back = untrash(alice, notes, None).unwrap();
    assert_eq!(back.path, "/archive/notes", "into its folder, where that is now");
    at_bob.sync();
    let all = ["/2026", "/archive", "/archive/deep", "/archive/deep/report", "/archive/notes"];
    assert_eq!(at_bob.paths().unwrap(), all);
    assert_eq!(at_bob.get("/archive/deep/report").unwrap(), b"report");
    assert!(trash(at_bob).removed.is_empty());
    assert_eq!(refused(untrash(alice, notes, None)), ProblemKind::PathNotFound, "it is not in the trash");
    assert_eq!(refused(untrash(alice, EntryId::from_bytes([7; 16]), None)), ProblemKind::PathNotFound);
}

#[test]
fn a_reader_looks_at_the_past_and_changes_nothing() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = shared(&fixture, SafeRole::Reader);
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.put_shared("/report", b"first");
    alice.put_shared("/report", b"second");
    alice.put_shared("/gone", b"gone");
    remove(alice, "/gone");
    let at_bob = Safe { device: &bob, name: PLANS };
    at_bob.sync();
    let versions = history(at_bob, "/report").versions;
    assert_eq!(at_bob.get_version("/report", versions[1].version).unwrap(), b"first");
    assert_eq!(refused(restore(at_bob, "/report", versions[1].version)), ProblemKind::SafeRoleTooLow);
    let gone = trash(at_bob).removed[0].file.entry;
    assert_eq!(refused(untrash(at_bob, gone, None)), ProblemKind::SafeRoleTooLow);
}

#[test]
fn by_hand_a_version_and_what_was_removed_are_named_by_the_start_of_their_ids() {
    let fixture = Fixture::found(FixtureOptions::default());
    let tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    let made = create(&fixture.alice, PLANS);
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.put_shared("/report", b"first");
    alice.put_shared("/report", b"second");
    let _ = tablet.until_safe(|safe| safe.safe == made.safe && is_well(safe));
    Safe { device: &tablet, name: PLANS }.sync();
    let earlier = history(alice, "/report").versions[1].version.to_string();
    let shown = tablet.ctl(&["safe", "history", "Plans:/report"]).well().stdout;
    assert!(shown.contains(&earlier[..8]) && shown.contains("present"), "{shown}");
    let to = tablet.data().with_file_name("earlier");
    let to = to.to_str().unwrap();
    let _ = tablet.ctl(&["safe", "get", "--version", &earlier[..8], "Plans:/report", to]).well();
    assert_eq!(std::fs::read(to).unwrap(), b"first");
    let _ = tablet.ctl(&["safe", "restore", "Plans:/report", "--version", &earlier[..8]]).well();
    assert_eq!(Safe { device: &tablet, name: PLANS }.get("/report").unwrap(), b"first");
    let none = tablet.ctl(&["safe", "restore", "Plans:/report", "--version", "0000"]);
    assert_eq!(none.code, 66, "{none:?}");

    let _ = tablet.ctl(&["safe", "rm", "Plans:/report"]).well();
    let shown = tablet.ctl(&["safe", "trash", "Plans"]).well().stdout;
    assert!(shown.contains("/report"), "{shown}");
    let _ = tablet.ctl(&["safe", "restore", "Plans:/report"]).well();
    assert_eq!(Safe { device: &tablet, name: PLANS }.get("/report").unwrap(), b"first");
    let nothing = tablet.ctl(&["safe", "restore", "Plans:/report"]);
    assert!(nothing.code == 66 && nothing.stderr.contains("safe trash"), "{nothing:?}");
}
