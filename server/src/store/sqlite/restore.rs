//! A backup in the database's place, whatever was there before.
//!
//! Decides that the change is one step: before it the old database is there with its write-ahead
//! log, after it the new one, and a power cut leaves one of the two. Refuses while a server runs,
//! and what is no sound backup. The old database, damaged or not, is set aside with its neighbours,
//! never deleted.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::lock::{DatabaseLock, LockError, neighbour, real};
use super::schema::Making;
use super::{OpenError, schema, stamp};
use crate::folders::sync_parent;

/// What SQLite keeps beside a database.
const NEIGHBOURS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A server runs on this database.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// There is no database to restore, and none was to be made.
    #[error("{path}: {source}")]
    Open {
        /// Path of the database or backup.
        path: PathBuf,
        /// Why it could not be opened.
        source: OpenError,
    },
    /// It is no backup that could take the database's place.
    #[error("{path} is no backup to restore: {why}")]
    NoBackup {
        /// Path of the backup's file.
        path: PathBuf,
        /// Why it is no backup.
        why: String,
    },
    /// The backup is the database.
    #[error("{0} is the database itself")]
    Itself(PathBuf),
    /// A file can't be read, written or renamed.
    #[error("{path}: {source}")]
    File {
        /// Path of the file that failed.
        path: PathBuf,
        /// What the system says of it.
        source: io::Error,
    },
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Restored {
    /// Where the former database is.
    pub(crate) former: Option<PathBuf>,
    /// Names in the new one.
    pub(crate) organisations: i64,
    /// Certificates of all of them.
    pub(crate) certificates: i64,
}

/// Puts the backup `file` in the place of `database`; where there is none, only if one is to be
/// made.
///
/// # Errors
/// [`RestoreError`]; then the old database is in its place.
pub(crate) fn restore(file: &Path, database: &Path, create: bool) -> Result<Restored, RestoreError> {
    schema::present(database, if create { Making::Asked } else { Making::Never })
        .map(drop)
        .map_err(|source| RestoreError::Open { path: database.to_owned(), source })?;
    let _lock = DatabaseLock::take(database)?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| RestoreError::File { path, source }
    };
    let database = &real(database).map_err(failed(database))?;
    let source = file.canonicalize().map_err(failed(file))?;
    if source == *database {
        return Err(RestoreError::Itself(file.to_owned()));
    }
    let no_backup = |why: String| RestoreError::NoBackup { path: file.to_owned(), why };
    for behind in ["-wal", "-journal"] {
        // What `backup` made has none. The state of such a file is in both together.
        if neighbour(&source, behind).metadata().is_ok_and(|log| log.len() > 0) {
            return Err(no_backup(format!("it has a log beside it, {}{behind}", source.display())));
        }
    }

    // Under the name that the old database will have: the two are exchanged, in one step.
    let aside = stamp::free_name(database, ".before-restore").map_err(failed(database))?;
    let (organisations, certificates) = match copy(&source, &aside, &failed, &no_backup) {
        Ok(contents) => contents,
        Err(error) => {
            // Of the copy alone: nothing else has this name yet.
            let _ = std::fs::remove_file(&aside);
            return Err(error);
        }
    };
    sync_parent(&aside).map_err(failed(&aside))?;
    stamp::claim_log(database).map_err(failed(database))?;
    let former = if database.symlink_metadata().is_ok() {
        renameat_with(CWD, &aside, CWD, database, RenameFlags::EXCHANGE)
            .map_err(|errno| failed(database)(errno.into()))?;
        Some(aside.clone())
    } else {
        renameat_with(CWD, &aside, CWD, database, RenameFlags::NOREPLACE)
            .map_err(|errno| failed(database)(errno.into()))?;
        None
    };
    // Should the power fail here, the stamps (`stamp`) tell the next start that the old log is not
    // the new file's.
    sync_parent(database).map_err(failed(database))?;
    for behind in NEIGHBOURS {
        let from = neighbour(database, behind);
        match std::fs::rename(&from, neighbour(&aside, behind)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&from)(error)),
            Ok(()) | Err(_) => {}
        }
    }
    sync_parent(database).map_err(failed(database))?;
    Ok(Restored { former, organisations, certificates })
}

/// Copies the backup and looks at the copy, which nobody else can change: it is this program's,
/// whole, and belongs to no log.
fn copy<F: FnOnce(io::Error) -> RestoreError>(
    source: &Path,
    to: &Path,
    failed: &impl Fn(&Path) -> F,
    no_backup: &impl Fn(String) -> RestoreError,
) -> Result<(i64, i64), RestoreError> {
    let mut from = File::open(source).map_err(failed(source))?;
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(to).map_err(failed(to))?;
    io::copy(&mut from, &mut file).map_err(failed(to))?;
    drop(file);
    let copy = schema::open_copy(to).map_err(|error| no_backup(error.to_string()))?;
    let unsound = |error: rusqlite::Error| no_backup(error.to_string());
    if let Some(found) = schema::integrity(&copy).map_err(unsound)? {
        return Err(no_backup(found));
    }
    stamp::renew(&copy).map_err(unsound)?;
    schema::note_restored(&copy).map_err(unsound)?;
    let contents = schema::contents(&copy).map_err(unsound)?;
    copy.close().map_err(|(_, error)| unsound(error))?;
    File::open(to).and_then(|file| file.sync_all()).map_err(failed(to))?;
    Ok(contents)
}
