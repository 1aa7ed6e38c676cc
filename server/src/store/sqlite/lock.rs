//! One server for one database file: a lock that ends with the process that holds it.
//!
//! Decides that the lock is a file of its own beside the database, `NAME.lock`: closing a second descriptor of the database itself would
//! end SQLite's locks in this process. Refuses a second server, under whatever name it was given the file.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a lock is tried before it counts as held: a command that looks at the file before it opens it holds it for a moment.
const TRIES: u32 = 20;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// A server holds it.
    #[error("another parsec-metadata uses the database {0}; end it first")]
    InUse(PathBuf),
    /// The file can't be made or locked.
    #[error("{path}: {source}")]
    File {
        /// Path of the lock's file.
        path: PathBuf,
        /// What the system says of it.
        source: io::Error,
    },
}

/// The lock. Ends when it is dropped, and with the process however that ends.
#[derive(Debug)]
pub(crate) struct DatabaseLock {
    _file: File,
}

/// A neighbour of the database: its name with something behind it.
pub(crate) fn neighbour(database: &Path, behind: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(behind);
    PathBuf::from(name)
}

/// The file behind all links, so that two names of one file are one database. One that isn't there yet: its folder's.
pub(crate) fn real(database: &Path) -> io::Result<PathBuf> {
    match database.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new(".")).canonicalize()?;
            let name = database.file_name().ok_or(io::ErrorKind::InvalidInput)?;
            Ok(folder.join(name))
        }
        other => other,
    }
}

impl DatabaseLock {
    /// Takes the lock of a database that may not exist yet; waits out those who only look.
    ///
    /// # Errors
    /// [`LockError`].
    pub(crate) fn take(database: &Path) -> Result<Self, LockError> {
        for _ in 1..TRIES {
            match Self::attempt(database) {
                Err(LockError::InUse(_)) => std::thread::sleep(PAUSE),
                done => return done,
            }
        }
        Self::attempt(database)
    }

    /// Takes the lock, or says at once that it is held.
    ///
    /// # Errors
    /// [`LockError`].
    pub(crate) fn attempt(database: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::File { path: database.to_owned(), source };
        let path = neighbour(&real(database).map_err(failed)?, ".lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let failed = |source| LockError::File { path: path.clone(), source };
        let file = file.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::InUse(database.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_has_one_lock_under_every_name_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("db"), directory.path().join("link"));
        std::fs::write(&path, "").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let held = DatabaseLock::take(&path).unwrap();
        assert!(matches!(DatabaseLock::attempt(&link), Err(LockError::InUse(_))));
        drop(held);
        drop(DatabaseLock::attempt(&link).unwrap());
        assert!(matches!(
            DatabaseLock::attempt(&directory.path().join("absent/db")),
            Err(LockError::File { .. })
        ));
    }
}
