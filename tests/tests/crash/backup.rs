//! Backup and restore with the real server: beside it, after a crash, over a damaged file, and
//! killed at every step.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use parsec_tests::process::binary;
use parsec_tests::server::{NO_LIMITS, Server, metadata};
use parsec_tests::{installed, skip};

/// Far more calls of one kind than a run makes; stops a sweep that would never end.
const CALLS_MAX: u32 = 100;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The names in a database, as the program reads it.
fn names(database: &Path) -> Vec<String> {
    let output = metadata(&["organisation", "list"], database);
    assert!(output.status.success(), "{}: {}", database.display(), text(&output.stderr));
    text(&output.stdout).lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

fn sound(database: &Path) -> bool {
    let sql = rusqlite::Connection::open(database).unwrap();
    sql.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)).unwrap() == "ok"
}

/// A database of a server that was killed: `one` in its file, `two` in its write-ahead log alone;
/// and a backup with `one`.
struct Crashed {
    folder: tempfile::TempDir,
    database: PathBuf,
    backup: PathBuf,
}

fn crashed() -> Crashed {
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let mut server = Server::start(folder.path(), NO_LIMITS);
    let (database, backup) = (server.database(), folder.path().join("backup"));
    let _token = server.reserve("one");
    let made = metadata(&["backup", backup.to_str().unwrap()], &database);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let _token = server.reserve("two");
    server.kill();
    assert!(folder.path().join("metadata.sqlite-wal").metadata().unwrap().len() > 0, "no log was left");
    Crashed { folder, database, backup }
}

/// A second place with the same files.
fn copy_of(crashed: &Crashed) -> Crashed {
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    for name in ["metadata.sqlite", "metadata.sqlite-wal", "metadata.sqlite-shm", "backup"] {
        std::fs::copy(crashed.folder.path().join(name), folder.path().join(name)).unwrap();
    }
    let [database, backup] = ["metadata.sqlite", "backup"].map(|name| folder.path().join(name));
    Crashed { folder, database, backup }
}

impl Crashed {
    fn restore(&self) -> Output {
        metadata(&["restore", self.backup.to_str().unwrap()], &self.database)
    }
}

#[test]
fn a_backup_is_made_beside_a_running_server_and_overwrites_nothing() {
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let mut server = Server::start(folder.path(), NO_LIMITS);
    let _token = server.reserve("one");
    let backup = folder.path().join("backup");
    let asked = ["backup", backup.to_str().unwrap(), "--json"];
    let made = metadata(&asked, &server.database());
    assert!(made.status.success(), "{}", text(&made.stderr));
    let said: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!((&said["organisations"], &said["certificates"]), (&1.into(), &0.into()), "{said}");
    assert_eq!(said["bytes"], backup.metadata().unwrap().len());
    assert_eq!(backup.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&backup).unwrap();
    let again = metadata(&asked, &server.database());
    assert_eq!(again.status.code(), Some(73), "{}", text(&again.stderr));
    assert!(text(&again.stderr).contains(backup.to_str().unwrap()));
    assert_eq!(std::fs::read(&backup).unwrap(), before);
    // Nothing half is left, and the server goes on.
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("partial")), "{left:?}");
    let _token = server.reserve("two");
    assert!(server.process().runs());

    let refused = metadata(&["restore", backup.to_str().unwrap()], &server.database());
    assert_eq!(refused.status.code(), Some(69), "{}", text(&refused.stderr));
    assert_eq!(names(&server.database()), ["one", "two"]);
}

#[test]
fn a_restored_database_is_the_backup_and_the_former_one_is_kept_whole() {
    let crashed = crashed();
    let done = crashed.restore();
    assert!(done.status.success(), "{}", text(&done.stderr));
    let former = crashed.folder.path().join("metadata.sqlite.before-restore-1");
    assert!(text(&done.stdout).contains(former.to_str().unwrap()), "{}", text(&done.stdout));
    assert_eq!((names(&crashed.database), sound(&crashed.database)), (vec!["one".to_owned()], true));
    assert_eq!(names(&former), ["one", "two"], "with what was in its log");
    // And again, over what is there now, with JSON.
    let asked = ["restore", former.to_str().unwrap(), "--json"];
    let done = metadata(&asked, &crashed.database);
    let said: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert!(said["former"].as_str().unwrap().ends_with(".before-restore-2"), "{said}");
    assert_eq!(names(&crashed.database), ["one", "two"]);
}

#[test]
fn what_is_no_sound_backup_is_not_restored() {
    let crashed = crashed();
    let place = |name: &str| crashed.folder.path().join(name);
    std::fs::write(place("empty"), "").unwrap();
    std::fs::write(place("noise"), vec![7; 9_000]).unwrap();
    let foreign = rusqlite::Connection::open(place("foreign")).unwrap();
    foreign.execute_batch("CREATE TABLE t (x)").unwrap();
    let mut damaged = std::fs::read(&crashed.backup).unwrap();
    let half = damaged.len() / 2;
    damaged[half..].fill(0x5a);
    std::fs::write(place("damaged"), damaged).unwrap();
    std::fs::copy(&crashed.backup, place("logged")).unwrap();
    std::fs::write(place("logged-wal"), "a log").unwrap();
    for name in ["empty", "noise", "foreign", "damaged", "logged", "metadata.sqlite"] {
        let refused = metadata(&["restore", place(name).to_str().unwrap()], &crashed.database);
        assert_eq!(refused.status.code(), Some(65), "{name}: {}", text(&refused.stderr));
        assert!(text(&refused.stderr).contains(place(name).to_str().unwrap()), "{}", text(&refused.stderr));
    }
    assert!(!place("metadata.sqlite.before-restore-1").exists());
    assert_eq!(names(&crashed.database), ["one", "two"]);
}

/// The one way that this replaces, as people do it by hand.
#[test]
fn a_backup_copied_over_the_database_is_not_destroyed_by_the_old_log() {
    let crashed = crashed();
    std::fs::copy(&crashed.backup, &crashed.database).unwrap();
    let server = Server::start(crashed.folder.path(), NO_LIMITS);
    assert!(server.log().contains("belongs to another file"), "{}", server.log());
    assert_eq!(names(&crashed.database), ["one"]);
    drop(server);
    assert!(sound(&crashed.database));
    assert!(crashed.folder.path().join("metadata.sqlite-wal.aside-1").exists(), "the log was not kept");
}

#[test]
fn killed_at_every_step_a_restore_leaves_the_old_state_or_the_new_one() {
    if !installed("strace") {
        skip("killed_at_every_step_a_restore_leaves_the_old_state_or_the_new_one", "strace is not installed");
        return;
    }
    let original = crashed();
    let (mut old, mut new, mut points) = (0, 0, 0);
    for call in [
        "openat",
        "write",
        "pwrite64",
        "copy_file_range",
        "fsync",
        "fdatasync",
        "renameat2",
        "rename",
        "unlink",
    ] {
        for number in 1..=CALLS_MAX {
            let place = copy_of(&original);
            let trace = place.folder.path().join("trace");
            let output = Command::new("strace")
                .args(["-f", "-qq", "-e", &format!("trace={call}"), "-e"])
                .arg(format!("inject={call}:signal=KILL:when={number}"))
                .arg("-o")
                .arg(&trace)
                .arg(binary("parsec-metadata"))
                .arg("restore")
                .arg(&place.backup)
                .arg("--database")
                .arg(&place.database)
                .output()
                .unwrap();
            let what = format!("{call} number {number}");
            let found = names(&place.database);
            match found.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["one", "two"] => old += 1,
                ["one"] => new += 1,
                _ => panic!("{what}: {found:?}"),
            }
            assert!(sound(&place.database), "{what}");
            // Whichever it is, the other one is somewhere, too: nothing was deleted.
            let again = place.restore();
            assert!(again.status.success(), "{what}: {}", text(&again.stderr));
            assert_eq!(names(&place.database), ["one"], "{what}");
            if output.status.success() {
                break;
            }
            points += 1;
        }
    }
    println!("{points} points, {old} times the old state, {new} times the new one");
    assert!(points > 30 && old > 20 && new > 3, "only {points} points: {old} old, {new} new");
}
