//! A crash is played by copying the files while they are open.

use std::path::{Path, PathBuf};

use super::*;
use crate::store::sqlite::open_writer;

/// What a crash would leave of a database that is open.
fn crashed(path: &Path, to: &Path) -> PathBuf {
    for behind in ["", "-wal", ".lock"] {
        std::fs::copy(neighbour(path, behind), neighbour(to, behind)).unwrap();
    }
    to.to_owned()
}

fn fill(sql: &Connection, from: u32, to: u32) {
    for number in from..to {
        sql.execute(
            "INSERT INTO organisation (id, bootstrap_hash, created) VALUES (?1, randomblob(900), 0)",
            [format!("o{number}")],
        )
        .unwrap();
    }
}

fn sound(path: &Path) -> (String, i64) {
    check(path).unwrap();
    let sql = open_writer(path).unwrap();
    let sound = sql.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    (sound, sql.query_row("SELECT count(*) FROM organisation", [], |row| row.get(0)).unwrap())
}

fn aside(path: &Path) -> bool {
    neighbour(path, "-wal.aside-1").exists()
}

#[test]
fn a_backup_copied_over_the_file_is_not_destroyed_by_the_old_log() {
    let folder = tempfile::tempdir().unwrap();
    let (path, backup) = (folder.path().join("db"), folder.path().join("backup"));
    let mut sql = open_writer(&path).unwrap();
    begin(&mut sql).unwrap();
    fill(&sql, 0, 50);
    sql.execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    fill(&sql, 50, 300);
    checkpoint(&sql, Ending::Reused).unwrap();
    fill(&sql, 300, 400);
    let after = crashed(&path, &folder.path().join("after"));
    std::fs::copy(&backup, &after).unwrap();
    assert_eq!(sound(&after), ("ok".to_owned(), 50));
    assert!(aside(&after));
}

#[test]
fn the_log_of_a_small_change_is_told_from_a_file_of_another_layout() {
    let folder = tempfile::tempdir().unwrap();
    let (path, backup) = (folder.path().join("db"), folder.path().join("backup"));
    let mut sql = open_writer(&path).unwrap();
    begin(&mut sql).unwrap();
    fill(&sql, 0, 50);
    sql.execute("DELETE FROM organisation WHERE id < 'o3'", []).unwrap();
    sql.execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    renew(&Connection::open(&backup).unwrap()).unwrap();
    let kept: i64 = sql.query_row("SELECT count(*) FROM organisation", [], |row| row.get(0)).unwrap();
    fill(&sql, 50, 51);
    let after = crashed(&path, &folder.path().join("after"));
    std::fs::copy(&backup, &after).unwrap();
    assert_eq!(sound(&after), ("ok".to_owned(), kept));
    assert!(aside(&after));
}

#[test]
fn after_a_crash_everything_that_was_acknowledged_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let mut sql = open_writer(&path).unwrap();
    begin(&mut sql).unwrap();
    fill(&sql, 0, 50);
    let first = crashed(&path, &folder.path().join("first"));
    assert_eq!((sound(&first), aside(&first)), (("ok".to_owned(), 50), false));
    // A reader keeps a checkpoint from ending: a part of the log is in the file, and the log goes
    // on.
    let reader = Connection::open(&path).unwrap();
    reader.busy_timeout(Duration::ZERO).unwrap();
    sql.busy_timeout(Duration::ZERO).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM organisation").unwrap();
    fill(&sql, 50, 90);
    checkpoint(&sql, Ending::Reused).unwrap();
    checkpoint(&sql, Ending::Reused).unwrap();
    fill(&sql, 90, 100);
    let second = crashed(&path, &folder.path().join("second"));
    assert_eq!((sound(&second), aside(&second)), (("ok".to_owned(), 100), false));
    reader.execute_batch("COMMIT").unwrap();
    checkpoint(&sql, Ending::Reused).unwrap();
    fill(&sql, 100, 120);
    let third = crashed(&path, &folder.path().join("third"));
    assert_eq!((sound(&third), aside(&third)), (("ok".to_owned(), 120), false));
}

/// So that a commit has nothing of the file but its content to bring to the disk; and a log that
/// somebody's reading has made long does not take that room for good.
#[test]
fn a_log_is_written_over_by_the_next_and_cut_off_where_it_was_long() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let mut sql = open_writer(&path).unwrap();
    let mut due = begin(&mut sql).unwrap();
    sql.pragma_update(None, "synchronous", false).unwrap();
    let length = || neighbour(&path, "-wal").metadata().unwrap().len();
    let mut filled = 0;
    let mut fill_to = |sql: &Connection, due: &Due, pages: u64| {
        while due.pages.load(Ordering::Relaxed) < pages {
            fill(sql, filled, filled + 1);
            filled += 1;
        }
        filled
    };
    fill_to(&sql, &due, LOG_DUE_PAGES - 10);
    due.checkpoint(&sql);
    assert!(due.pages.load(Ordering::Relaxed) >= LOG_DUE_PAGES - 10, "none is due yet");
    fill_to(&sql, &due, LOG_DUE_PAGES);
    due.checkpoint(&sql);
    assert!(due.pages.load(Ordering::Relaxed) < 10, "the next log has begun");
    let grown = length();
    assert!(grown > LOG_DUE_PAGES * 4_096, "in the room of the last one");
    let all = i64::from(fill_to(&sql, &due, 100));
    assert_eq!(length(), grown, "written over");
    let after = crashed(&path, &folder.path().join("after"));
    assert_eq!((sound(&after), aside(&after)), (("ok".to_owned(), all), false));

    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM organisation").unwrap();
    fill_to(&sql, &due, LOG_CUT_PAGES);
    due.checkpoint(&sql);
    assert!(due.pages.load(Ordering::Relaxed) >= LOG_CUT_PAGES, "a reader keeps it");
    reader.execute_batch("COMMIT").unwrap();
    let all = i64::from(fill_to(&sql, &due, LOG_CUT_PAGES + LOG_DUE_PAGES + 10));
    due.checkpoint(&sql);
    assert!(length() < grown, "cut off");
    let after = crashed(&path, &folder.path().join("last"));
    assert_eq!((sound(&after), aside(&after)), (("ok".to_owned(), all), false));
}
