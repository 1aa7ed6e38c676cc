//! Opens the database file and brings it to the newest schema.
//!
//! Decides how SQLite is set up: every acknowledged change is on disk. Refuses a file of another
//! program, of a newer version, and of one before the first release.

use std::fs::OpenOptions;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::stamp;
use crate::folders;
use crate::folders::sync_parent;
use crate::store::StoreError;

/// "PRSM", so that `file` and this program know whose database it is.
const APPLICATION_ID: i32 = 0x5052_534d;
/// All scripts in order; `user_version` is [`BEFORE`] and the count of those that ran.
const MIGRATIONS: &[&str] = &[
    concat!(include_str!("schema/0001_first.sql"), include_str!("schema/0001_safes.sql")),
    include_str!("schema/0002_repairs.sql"),
    include_str!("schema/0003_directory.sql"),
    include_str!("schema/0004_shares.sql"),
];
/// The last `user_version` of schemas that were in use before the first release, and that no
/// version reads any more.
const BEFORE: usize = 7;
/// The newest `user_version` that this version knows.
const KNOWN: usize = BEFORE + MIGRATIONS.len();
/// How long a second program (the `organisation` commands, a backup) may hold the file before a
/// change fails.
pub(super) const BUSY_WAIT: Duration = Duration::from_secs(10);

/// Statements kept compiled, of each connection: more than there are different ones.
const STATEMENTS_MAX: usize = 128;

/// Why the database can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file can't be made, opened or protected.
    #[error("the database file can't be opened: {0}")]
    File(#[from] std::io::Error),
    /// There is none, and none was to be made.
    #[error("there is no database of this name; with --create a new one is made")]
    Missing,
    /// The engine failed while the file was opened.
    #[error("the database can't be read: {0}")]
    Database(StoreError),
    /// The file belongs to something else.
    #[error("this is not a database of parsec-metadata")]
    Foreign,
    /// A version before the first release wrote it.
    #[error(
        "the database was written by a version before the first release, which this one can't read: keep it under another name, \
         make a new one with `organisation create`, and put each organisation's log back with `organisation repair` from a file that \
         a member wrote with `parsecctl trust export`"
    )]
    TooOld,
    /// A newer server wrote it.
    #[error(
        "the database was written by a newer version ({found}, this one knows {known}); use that version"
    )]
    TooNew {
        /// Version of the schema found in the file.
        found: usize,
        /// Newest schema known here.
        known: usize,
    },
}

/// Notes in a backup that takes the database's place up to where each organisation's log was here
/// then: what members put back was written by people who had seen that much.
pub(super) fn note_restored(copy: &Connection) -> rusqlite::Result<()> {
    // One that an earlier version has written gets the table when a server opens it.
    let tables = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'restored')";
    if !copy.query_row(tables, [], |row| row.get(0))? {
        return Ok(());
    }
    copy.execute(
        "INSERT OR REPLACE INTO restored
         SELECT id, certificates, unixepoch() * 1000000 FROM organisation WHERE certificates > 0",
        [],
    )?;
    Ok(())
}

/// When a database may be made that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Making {
    /// Never: what is asked about must be there.
    Never,
    /// In a folder that has no other, as at a first start. A slip in a name would stand beside the
    /// file that was meant.
    First,
    /// Because `--create` says so.
    Asked,
}

impl Making {
    /// For a command that has `--create`.
    pub(crate) const fn of(create: bool) -> Self {
        if create { Self::Asked } else { Self::First }
    }
}

/// Whether there is a database (true), or one is to be made (false): a slip in its name is an
/// error, and makes no file.
pub(crate) fn present(path: &Path, making: Making) -> Result<bool, OpenError> {
    match path.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let first = || folders::parent(path).read_dir().is_ok_and(|folder| !has_database(folder));
            if making == Making::Asked || (making == Making::First && first()) {
                Ok(false)
            } else {
                Err(OpenError::Missing)
            }
        }
        Err(error) => Err(error.into()),
        Ok(_) => Ok(true),
    }
}

/// Entries of a folder that are looked at: far more than a server's own folder has. A folder with
/// more is no place for a first start.
const ENTRIES_MAX: usize = 1_000;
/// How every database of SQLite begins (its file format, section 1.3).
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Whether a folder holds a database already, or something that can't be looked into.
fn has_database(folder: std::fs::ReadDir) -> bool {
    let is_one = |(at, entry): (usize, std::io::Result<std::fs::DirEntry>)| {
        let Ok(entry) = entry else { return true };
        if at >= ENTRIES_MAX {
            return true;
        }
        // Neither a FIFO, which would be waited for, nor a folder.
        if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            return false;
        }
        let mut begin = Vec::with_capacity(MAGIC.len());
        let read = std::fs::File::open(entry.path()).and_then(|file| {
            std::io::Read::read_to_end(&mut std::io::Read::take(file, MAGIC.len() as u64), &mut begin)
        });
        read.is_err() || begin == MAGIC
    };
    folder.enumerate().any(is_one)
}

/// Opens for writing beside a server or alone, which a write-ahead log of another file must not
/// destroy.
pub(crate) fn open_standalone(path: &Path) -> Result<Connection, OpenError> {
    stamp::check(path)?;
    let connection = open_writer(path)?;
    // A running server decides when its log ends.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(connection)
}

/// Opens what is there, changing nothing of it.
pub(super) fn open_source(path: &Path) -> Result<Connection, OpenError> {
    present(path, Making::Never)?;
    stamp::check(path)?;
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    check_owner(&connection)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(connection)
}

/// Opens a copy that nobody else knows: a database of this program that this version can use, in
/// one file.
pub(super) fn open_copy(path: &Path) -> Result<Connection, OpenError> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application != APPLICATION_ID {
        return Err(OpenError::Foreign);
    }
    missing(&connection)?;
    connection.pragma_update(None, "journal_mode", "DELETE")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "secure_delete", true)?;
    Ok(connection)
}

/// What SQLite finds wrong with a file, if anything.
pub(super) fn integrity(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    Ok((found != "ok").then_some(found))
}

/// How many organisations and certificates there are.
pub(super) fn contents(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    connection.query_row(
        "SELECT (SELECT count(*) FROM organisation), (SELECT count(*) FROM certificate)",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

/// Memory for pages of the one connection that writes: a call that brings a megabyte of small
/// objects, by their random ids, touches most pages of the tables that they go into. Taken as it is
/// needed.
const WRITER_CACHE_KIB: i64 = 8 * 1024;

/// Opens for writing, making the file (0600) if there is none.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, OpenError> {
    // Made by hand first: SQLite would make it readable for all that the umask lets.
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    drop(file);
    // A new file's name must be there after a power cut.
    sync_parent(path)?;
    let mut connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    check_owner(&connection)?;
    // Before there is anything in it: pages that are free can be given back, a few at a time.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: a commit is answered only when the log is on disk, also after a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// Opens for reading what a writer has brought up to date.
pub(super) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, OpenError> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_WAIT)?;
    // More than there are different statements.
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // A plan depends on the statement alone. Otherwise SQLite, as it is built here, compiles a
    // statement anew for each new value that might let it plan better, which takes longer than
    // running it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

fn check_owner(connection: &Connection) -> Result<(), OpenError> {
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application == APPLICATION_ID || (application == 0 && objects == 0) {
        Ok(())
    } else {
        Err(OpenError::Foreign)
    }
}

/// The scripts that a database has yet to run.
fn missing(connection: &Connection) -> Result<&'static [&'static str], OpenError> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let found = usize::try_from(version).unwrap_or(usize::MAX);
    match found {
        0 => Ok(MIGRATIONS),
        1..=BEFORE => Err(OpenError::TooOld),
        _ => MIGRATIONS.get(found.saturating_sub(BEFORE)..).ok_or(OpenError::TooNew { found, known: KNOWN }),
    }
}

fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let missing = missing(&transaction)?;
    if !missing.is_empty() {
        for script in missing {
            transaction.execute_batch(script)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", i64::try_from(KNOWN).unwrap_or(i64::MAX))?;
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_ours_private_and_can_be_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        drop(open_writer(&path).unwrap());
        drop(open_writer(&path).unwrap());
        let reader = open_reader(&path).unwrap();
        assert!(reader.execute("DELETE FROM organisation", []).is_err());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn other_programs_and_newer_versions_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let foreign = dir.path().join("foreign");
        Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        assert!(matches!(open_writer(&foreign), Err(OpenError::Foreign)));

        let newer = dir.path().join("newer");
        open_writer(&newer).unwrap().pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(open_writer(&newer), Err(OpenError::TooNew { found: 99, .. })));

        let noise = dir.path().join("noise");
        std::fs::write(&noise, vec![7; 9000]).unwrap();
        assert!(matches!(open_writer(&noise), Err(OpenError::Database(_))));
    }

    /// Files of the six schemas before the first release are told apart, said what to do about,
    /// and left as they are.
    #[test]
    fn a_database_from_before_the_first_release_is_refused_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        for version in 1..=BEFORE {
            let path = dir.path().join(format!("old-{version}"));
            let old = Connection::open(&path).unwrap();
            old.execute_batch("CREATE TABLE invitation (number INTEGER PRIMARY KEY)").unwrap();
            old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
            old.pragma_update(None, "user_version", i64::try_from(version).unwrap()).unwrap();
            drop(old);
            for opened in [open_writer(&path), open_standalone(&path), open_copy(&path)] {
                let error = opened.unwrap_err();
                assert!(matches!(error, OpenError::TooOld), "{error}");
                for step in ["keep it under another name", "organisation create", "organisation repair"] {
                    assert!(error.to_string().contains(step), "{error}");
                }
            }
            let left = Connection::open(&path).unwrap();
            let found: i64 = left.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
            assert_eq!(found, i64::try_from(version).unwrap());
            left.execute_batch("SELECT number FROM invitation").unwrap();
        }
        // The first one that counts is the next number.
        let path = dir.path().join("new");
        let new = open_writer(&path).unwrap();
        let found: i64 = new.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(found, i64::try_from(KNOWN).unwrap());
    }
}
