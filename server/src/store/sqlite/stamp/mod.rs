//! Which write-ahead log belongs to which database file: a stamp in the file, and a note of the one
//! that the present log began on.
//!
//! SQLite replays a `-wal` into whatever file stands beside it. After a crash there is one; if a
//! backup is then copied over the database by hand, the old log would be replayed into it and
//! destroy it. Decides whether the two belong together before SQLite puts them together. Refuses to
//! replay a log that doesn't: it is set aside, not deleted.
//!
//! The row holds `value`, new before every complete checkpoint, and `follows`, the `value` that the
//! file had when the present log began. The lock file holds that, too, with the numbers by which
//! this log is known. A file belongs to a log if it is the one that the log began on, or if a
//! checkpoint has carried a part of this log into it. The note is not in the log itself: read
//! together with another file, a log says anything.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::hooks::Wal;
use rusqlite::{Connection, OpenFlags};

use super::OpenError;
use super::lock::{DatabaseLock, neighbour, real};
use super::schema::BUSY_WAIT;
use crate::folders::sync_parent;

/// Pages in the log from which a checkpoint is due: SQLite's own 1,000, of 4 KiB.
const LOG_DUE_PAGES: u64 = 1_000;
/// Pages from which a log is cut off when it is carried over, not written over by the next: a
/// reader had kept it from ending, and the disk is to have that back.
const LOG_CUT_PAGES: u64 = 4 * LOG_DUE_PAGES;
/// Length of a stamp: no two are ever the same.
const STAMP_BYTES: usize = 16;
/// Where a log's two salts stand in its header (SQLite's *Database File Format*, 4.1).
const SALTS: std::ops::Range<usize> = 16..24;
/// Neighbours that may be set aside under different names before somebody has to tidy up.
const ASIDE_MAX: u32 = 1_000;

/// The two words of the row.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    value: Vec<u8>,
    follows: Vec<u8>,
}

fn read(connection: &Connection) -> rusqlite::Result<Stamp> {
    connection.query_row("SELECT value, follows FROM stamp", [], |row| {
        Ok(Stamp { value: row.get(0)?, follows: row.get(1)? })
    })
}

/// The file alone, as if it had no log.
fn without_log(path: &Path) -> rusqlite::Result<Stamp> {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        // Writing to a string can't fail.
        let _ = write!(uri, "%{byte:02x}");
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    read(&Connection::open_with_flags(uri, flags)?)
}

/// What is noted of a log: the stamp that it began on, and the numbers that it alone has.
#[derive(Debug, PartialEq, Eq)]
struct Note {
    stamp: Vec<u8>,
    log: Vec<u8>,
}

/// What was noted last.
fn noted(path: &Path) -> Option<Note> {
    let bytes = std::fs::read(neighbour(path, ".lock")).ok()?;
    let (stamp, log) = bytes.split_at_checked(STAMP_BYTES)?;
    (log.len() == SALTS.len()).then(|| Note { stamp: stamp.to_owned(), log: log.to_owned() })
}

/// The salts in the header of the log that is there: SQLite draws new ones for each.
fn salts(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut salts = vec![0; SALTS.len()];
    File::open(neighbour(path, "-wal"))?.read_exact_at(&mut salts, SALTS.start as u64)?;
    Ok(salts)
}

/// Notes them, on the disk.
fn note(path: &Path, note: &Note) -> std::io::Result<()> {
    let lock = neighbour(path, ".lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock)?;
    // One write of a few bytes: the old note or the new one.
    file.write_all_at(&[note.stamp.as_slice(), &note.log].concat(), 0)?;
    file.sync_all()?;
    sync_parent(&lock)
}

/// Before another file takes this one's place: notes whose log is there, if nobody has.
pub(super) fn claim_log(path: &Path) -> std::io::Result<()> {
    let Ok(log) = salts(path) else { return Ok(()) };
    if noted(path).is_some_and(|note| note.log == log) {
        return Ok(());
    }
    // A file that can't be read has a stamp that no other has.
    let stamp = without_log(path).map_or_else(|_| vec![0; STAMP_BYTES], |file| file.value);
    note(path, &Note { stamp, log })
}

/// Before the database is opened: a log that doesn't belong to it is set aside. Whoever holds the
/// database has looked already.
pub(super) fn check(path: &Path) -> Result<(), OpenError> {
    match DatabaseLock::attempt(path) {
        Ok(_lock) => check_alone(path),
        Err(_) => Ok(()),
    }
}

/// The same for who holds the lock.
pub(crate) fn check_alone(path: &Path) -> Result<(), OpenError> {
    let path = &real(path)?;
    let log = neighbour(path, "-wal");
    if !log.metadata().is_ok_and(|log| log.len() > 0) {
        return Ok(());
    }
    // A log that nobody has noted, as of a copy of both that was put back, a file without a stamp,
    // or one that a crash left half-way through a checkpoint, is SQLite's to judge.
    let (Some(noted), Ok(file)) = (noted(path), without_log(path)) else { return Ok(()) };
    if salts(path)? != noted.log || noted.stamp == file.value || noted.stamp == file.follows {
        Ok(())
    } else {
        Ok(set_log_aside(path)?)
    }
}

/// Renames the log, and drops its index, which is made anew from a log. Names it for the person who
/// looks for what is missing.
pub(super) fn set_log_aside(path: &Path) -> std::io::Result<()> {
    let log = neighbour(path, "-wal");
    let aside = free_name(path, "-wal.aside")?;
    std::fs::rename(&log, &aside)?;
    match std::fs::remove_file(neighbour(path, "-shm")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    sync_parent(path)?;
    tracing::error!(
        aside = %aside.display(),
        "the write-ahead log beside the database belongs to another file (was a backup copied over it?); it was set aside. \
         `parsec-metadata restore` does this right"
    );
    Ok(())
}

/// A name beside the database that nothing has yet.
pub(super) fn free_name(path: &Path, behind: &str) -> std::io::Result<std::path::PathBuf> {
    (1..ASIDE_MAX)
        .map(|number| neighbour(path, &format!("{behind}-{number}")))
        .find(|name| !name.exists())
        .ok_or_else(|| std::io::ErrorKind::AlreadyExists.into())
}

/// 16 bytes that no other stamp has.
fn fresh(connection: &Connection) -> rusqlite::Result<Vec<u8>> {
    connection.query_row("SELECT randomblob(16)", [], |row| row.get(0))
}

/// Gives a file that follows no log a stamp of its own: it belongs to no log there is.
pub(super) fn renew(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS stamp (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), value BLOB NOT NULL, follows BLOB NOT NULL) STRICT;",
    )?;
    let value = fresh(connection)?;
    connection.execute(
        "INSERT INTO stamp (only_row, value, follows) VALUES (1, ?1, ?1)
         ON CONFLICT (only_row) DO UPDATE SET value = excluded.value, follows = excluded.follows",
        [&value],
    )?;
    Ok(())
}

/// What becomes of a log that was carried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The next one is written over it. The file keeps its length, so that a commit has only
    /// content to bring to the disk.
    Reused,
    /// It is cut off.
    Cut,
}

impl Ending {
    const fn pragma(self) -> &'static str {
        match self {
            Self::Reused => "PRAGMA wal_checkpoint(RESTART)",
            Self::Cut => "PRAGMA wal_checkpoint(TRUNCATE)",
        }
    }
}

/// Ends the present log and begins the next one with the file's stamp. Only for the one who holds
/// the database, with SQLite's own checkpoints switched off.
pub(super) fn checkpoint(connection: &Connection, ending: Ending) -> Result<(), OpenError> {
    let path = real(Path::new(connection.path().unwrap_or_default()))?;
    let value = fresh(connection)?;
    connection.execute(
        "UPDATE stamp SET value = ?1, follows = coalesce(?2, follows)",
        rusqlite::params![value, noted(&path).map(|note| note.stamp)],
    )?;
    let (busy, pages, carried): (i64, i64, i64) =
        connection.query_row(ending.pragma(), [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    // A reader can keep the log from being carried over whole; then it goes on, and still follows
    // what it followed.
    if busy == 0 || pages == carried {
        // Begins the next log, whose numbers are known from then on.
        connection.execute("UPDATE stamp SET follows = ?1", [&value])?;
        note(&path, &Note { stamp: value, log: salts(&path)? })?;
    }
    Ok(())
}

/// Makes the stamp if there is none and begins a log with it. Returns when the next is due.
pub(super) fn begin(connection: &mut Connection) -> Result<Due, OpenError> {
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    if read(connection).is_err() {
        renew(connection)?;
    }
    checkpoint(connection, Ending::Cut)?;
    let pages = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&pages);
    // After the pragma, which takes the hook for itself.
    connection.wal_hook(Some(move |_: &mut Wal, pages| {
        told.store(u64::try_from(pages).unwrap_or_default(), Ordering::Relaxed);
        Ok(())
    }))?;
    Ok(Due { pages, kept: 0 })
}

/// When a running server makes a checkpoint.
#[derive(Debug)]
pub(super) struct Due {
    /// Pages in the log, as the last commit has left it.
    pages: Arc<AtomicU64>,
    /// The same at the last checkpoint, if a reader kept the log from ending.
    kept: u64,
}

impl Due {
    /// Makes one if the log has grown by so much. Waits for no reader: a backup reads for as long
    /// as it takes, and meanwhile the log grows.
    pub(super) fn checkpoint(&mut self, connection: &Connection) {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < self.kept.saturating_add(LOG_DUE_PAGES) {
            return;
        }
        let ending = if pages < LOG_CUT_PAGES { Ending::Reused } else { Ending::Cut };
        let done = connection.busy_timeout(Duration::ZERO).map_err(OpenError::from);
        let done = done.and_then(|()| checkpoint(connection, ending));
        if let Err(error) = done.and(connection.busy_timeout(BUSY_WAIT).map_err(OpenError::from)) {
            tracing::warn!(%error, "a checkpoint of the database failed; it is tried again");
        }
        let pages = self.pages.load(Ordering::Relaxed);
        self.kept = if pages < LOG_DUE_PAGES { 0 } else { pages };
    }
}

#[cfg(test)]
mod tests;
