//! Objects as files in a folder beside the database.
//!
//! Decides how a file gets there: written under a name of no object's and synced, then renamed, and
//! the safe's folder synced once for all that came together. So a name never stands for half a
//! content, whatever happens meanwhile. Folders are the server's user's alone.

use std::collections::HashSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Named, ObjectStore, Room, SafeName};
use crate::folders::sync_parent;
use crate::store::StoreError;

/// What stands behind the database's name.
const BEHIND: &str = ".objects";
/// Folder of what has no name yet; no organisation is called so, since none begins with `-`.
const INCOMING: &str = "-incoming";
/// Digits of an object's hash in its name: enough that two contents never share one.
const HASH_DIGITS: usize = 32;

/// The folder of a database's objects: beside the file itself, whatever links lead to it.
pub(crate) fn beside(database: &Path) -> PathBuf {
    let mut name = database.canonicalize().unwrap_or_else(|_| database.to_owned()).into_os_string();
    name.push(BEHIND);
    PathBuf::from(name)
}

/// Files below one folder.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    /// Number of the next file without a name.
    next: AtomicU64,
    /// Folders whose own names this process has made sure of.
    made: Mutex<HashSet<PathBuf>>,
}

/// A file without an object's name.
#[derive(Debug)]
pub(crate) struct StagedFile(PathBuf);

impl Drop for StagedFile {
    fn drop(&mut self) {
        // Gone already if it got its name.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Folder {
    /// Opens the folder, made if it isn't there. What a former process left without a name goes:
    /// nobody else writes here, the database's lock sees to that.
    pub(crate) fn open(root: PathBuf) -> Result<Self, StoreError> {
        let folder = Self { root, next: AtomicU64::new(0), made: Mutex::default() };
        folder.make(&folder.root)?;
        let incoming = folder.root.join(INCOMING);
        folder.make(&incoming)?;
        for entry in std::fs::read_dir(&incoming).map_err(failed)? {
            std::fs::remove_file(entry.map_err(failed)?.path()).map_err(failed)?;
        }
        Ok(folder)
    }

    /// Makes a folder, and makes sure of its name once: one that is there may have been made by a
    /// process that was ended before it could.
    fn make(&self, path: &Path) -> Result<(), StoreError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.contains(path) {
            return Ok(());
        }
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        sync_parent(path).map_err(failed)?;
        made.insert(path.to_owned());
        Ok(())
    }

    fn of(&self, place: &SafeName) -> PathBuf {
        self.root.join(place.organisation.as_str()).join(place.safe.to_string())
    }

    fn file(&self, place: &SafeName, named: &Named) -> PathBuf {
        let hash = named.hash.to_string();
        let hash = hash.get(..HASH_DIGITS).unwrap_or(&hash);
        self.of(place).join(format!("{}-{hash}", named.object))
    }
}

impl ObjectStore for Folder {
    type Staged = StagedFile;

    fn stage(&self, bytes: &[u8]) -> Result<StagedFile, StoreError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join(INCOMING).join(number.to_string());
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        let staged = StagedFile(path);
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        Ok(staged)
    }

    fn publish(&self, place: &SafeName, staged: Vec<(Named, StagedFile)>) -> Result<(), StoreError> {
        if staged.is_empty() {
            return Ok(());
        }
        let folder = self.of(place);
        self.make(&self.root.join(place.organisation.as_str()))?;
        self.make(&folder)?;
        for (named, file) in staged {
            std::fs::rename(&file.0, self.file(place, &named)).map_err(failed)?;
        }
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    fn read(&self, place: &SafeName, named: &Named) -> Result<Option<Vec<u8>>, StoreError> {
        match std::fs::read(self.file(place, named)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    fn has(&self, place: &SafeName, named: &Named) -> Result<bool, StoreError> {
        self.file(place, named).try_exists().map_err(failed)
    }

    fn remove(&self, place: &SafeName, named: &Named) -> Result<(), StoreError> {
        match std::fs::remove_file(self.file(place, named)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            // That it has gone need not survive a power cut: bytes without a row are nobody's.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn room(&self) -> Result<Room, StoreError> {
        let disk = rustix::fs::statvfs(&self.root).map_err(|errno| failed(errno.into()))?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        Ok(Room { free: bytes(disk.f_bavail), all: bytes(disk.f_blocks) })
    }
}

/// The one place where the system's errors become the store's. Messages hold no path of an object.
fn failed(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full(error.to_string()),
        _ => StoreError::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use parsec_protocol::ids::{ObjectId, SafeId};
    use parsec_protocol::object_hash::ObjectHash;

    use super::*;

    fn place() -> SafeName {
        SafeName { organisation: "acme".parse().unwrap(), safe: SafeId::from_bytes([1; 16]) }
    }

    fn named(bytes: &[u8]) -> Named {
        Named { object: ObjectId::from_bytes([2; 16]), hash: ObjectHash::of(bytes) }
    }

    #[test]
    fn an_object_has_its_name_when_it_is_whole_and_two_contents_never_meet() {
        let dir = tempfile::tempdir().unwrap();
        let root = beside(&dir.path().join("db"));
        let folder = Folder::open(root.clone()).unwrap();
        let staged = folder.stage(b"one").unwrap();
        assert_eq!(folder.read(&place(), &named(b"one")), Ok(None), "it has no name yet");
        folder.publish(&place(), vec![(named(b"one"), staged)]).unwrap();
        // Again, and another content under the same id.
        for content in [b"one", b"two"] {
            let staged = folder.stage(content).unwrap();
            folder.publish(&place(), vec![(named(content), staged)]).unwrap();
        }
        for content in [b"one", b"two"] {
            assert_eq!(folder.read(&place(), &named(content)), Ok(Some(content.to_vec())));
        }
        folder.remove(&place(), &named(b"one")).unwrap();
        folder.remove(&place(), &named(b"one")).unwrap();
        assert_eq!(folder.read(&place(), &named(b"one")), Ok(None));
        assert_eq!(folder.read(&place(), &named(b"two")), Ok(Some(b"two".to_vec())));
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        for path in [root.clone(), folder.of(&place())] {
            assert_eq!(mode(&path), 0o700);
        }
        assert_eq!(mode(&folder.file(&place(), &named(b"two"))), 0o600);
        let room = folder.room().unwrap();
        assert!(room.free <= room.all && room.all > 0);
    }

    #[test]
    fn what_got_no_name_goes() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path().join("objects")).unwrap();
        let left = || std::fs::read_dir(folder.root.join(INCOMING)).unwrap().count();
        drop(folder.stage(b"bad").unwrap());
        assert_eq!(left(), 0);
        // As a process leaves it that was ended.
        let staged = folder.stage(b"lost").unwrap();
        std::fs::copy(&staged.0, folder.root.join(INCOMING).join("lost")).unwrap();
        drop(staged);
        assert_eq!(left(), 1);
        let _again = Folder::open(dir.path().join("objects")).unwrap();
        assert_eq!(left(), 0);
    }
}
