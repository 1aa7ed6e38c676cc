//! A copy of the database that is whole, beside a running server.
//!
//! Decides that the copy is one state of the database, checked, private (0600), on the disk before it has its name, and has a stamp of
//! its own, so that no write-ahead log is ever taken for its. Refuses to overwrite anything.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::lock::{neighbour, real};
use super::{OpenError, schema, stamp};
use crate::folders::sync_parent;
use crate::store::StoreError;

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database can't be used.
    #[error("{path}: {source}")]
    Open {
        /// Path of the database's file.
        path: PathBuf,
        /// Why it could not be opened.
        source: OpenError,
    },
    /// Something has the backup's name.
    #[error("{0} exists; nothing is overwritten: give another name")]
    Exists(PathBuf),
    /// The copy can't be written.
    #[error("{path}: {source}")]
    File {
        /// Path of the backup's file.
        path: PathBuf,
        /// What the system says of it.
        source: io::Error,
    },
    /// Copying the database failed.
    #[error("{path} could not be copied: {source}")]
    Database {
        /// The database that was to be copied.
        path: PathBuf,
        /// What the engine says.
        source: StoreError,
    },
    /// The database is damaged, and so would the backup be.
    #[error("{path} is damaged, so no backup was made of it: {found}")]
    Unsound {
        /// Path of the backup's file.
        path: PathBuf,
        /// What SQLite's check found in it.
        found: String,
    },
}

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BackedUp {
    /// Its size.
    pub(crate) bytes: u64,
    /// Names in it.
    pub(crate) organisations: i64,
    /// Certificates of all of them.
    pub(crate) certificates: i64,
}

/// A file that is being written: gone if it doesn't get its name.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        // Gone already if it got its name.
        let _ = std::fs::remove_file(&self.0);
        let _ = std::fs::remove_file(neighbour(&self.0, "-journal"));
    }
}

/// Copies `database` into `file`, which must not be there.
///
/// # Errors
/// [`BackupError`]; then nothing has the name `file`.
pub(crate) fn back_up(database: &Path, file: &Path) -> Result<BackedUp, BackupError> {
    let failed = |source| BackupError::File { path: file.to_owned(), source };
    let open = |source| BackupError::Open { path: database.to_owned(), source };
    let sqlite =
        |error: rusqlite::Error| BackupError::Database { path: database.to_owned(), source: error.into() };
    let source = schema::open_source(database).map_err(open)?;
    let file = &real(file).map_err(failed)?;
    if file.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(file.clone()));
    }
    let partial = Partial(neighbour(file, &format!(".partial-{}", std::process::id())));
    let mut options = OpenOptions::new();
    drop(options.write(true).create_new(true).mode(0o600).open(&partial.0).map_err(failed)?);
    let name = partial.0.to_str().ok_or(io::ErrorKind::InvalidInput).map_err(|kind| failed(kind.into()))?;
    source.execute("VACUUM INTO ?1", [name]).map_err(sqlite)?;
    drop(source);

    let copy = schema::open_copy(&partial.0).map_err(open)?;
    stamp::renew(&copy).map_err(sqlite)?;
    let found = schema::integrity(&copy).map_err(sqlite)?;
    if let Some(found) = found {
        return Err(BackupError::Unsound { path: database.to_owned(), found });
    }
    let (organisations, certificates) = schema::contents(&copy).map_err(sqlite)?;
    copy.close().map_err(|(_, error)| sqlite(error))?;
    let bytes = File::open(&partial.0).and_then(|it| it.sync_all().and(it.metadata())).map_err(failed)?.len();
    renameat_with(CWD, &partial.0, CWD, file, RenameFlags::NOREPLACE).map_err(|errno| match errno {
        rustix::io::Errno::EXIST => BackupError::Exists(file.clone()),
        errno => failed(errno.into()),
    })?;
    sync_parent(file).map_err(failed)?;
    Ok(BackedUp { bytes, organisations, certificates })
}
