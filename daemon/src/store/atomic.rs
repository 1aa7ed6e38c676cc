//! Folders held by descriptor, and files that are either the old or the new one after a power cut.
//!
//! Decides modes (0700, 0600 from birth, whatever the umask) and the order write, sync, rename,
//! sync the folder. Refuses to follow links, and anything that is not a plain file or folder of
//! this user alone: another name of the same file, a FIFO that would block for ever, a file
//! somebody else could rewrite.

use std::ffi::{CStr, OsStr};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::StoreError;

/// Prefix of a file that is being written. Left over by a crash, it is removed at the next start.
pub(crate) const WRITING: &str = ".writing-";
/// Most entries a folder may have: some thousand devices, and far beyond the files of one device. A
/// larger one is not ours.
const ENTRIES_MAX: usize = 10_000;
/// Folders in folders that are removed with what is in them: a device's, that of all pieces, a
/// safe's. Deeper ones are not ours.
const DEPTH_MAX: usize = 3;

/// A folder of this user alone, held open: what is checked is what is used, whatever happens to the
/// path meanwhile.
#[derive(Debug)]
pub(crate) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// Turns what the system said into what the caller can act on.
pub(super) fn io_error(what: &'static str, errno: Errno) -> StoreError {
    if errno == Errno::NOSPC || errno == Errno::DQUOT {
        StoreError::DiskFull
    } else {
        StoreError::Io { what, source: errno.into() }
    }
}

/// The same for errors of the standard library.
pub(super) fn std_error(what: &'static str, source: std::io::Error) -> StoreError {
    match source.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreError::DiskFull,
        _ => StoreError::Io { what, source },
    }
}

/// Whether there is anything of this name; the end of a relative path is the folder that it starts
/// from.
fn exists(path: &Path) -> bool {
    path.as_os_str().is_empty() || path.symlink_metadata().is_ok()
}

/// Makes a name durable.
fn sync_parent(path: &Path) -> Result<(), Errno> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::open(parent, flags, Mode::empty()) {
        Ok(folder) => rustix::fs::fsync(folder),
        // Who may write into a folder but not read it can't sync it.
        Err(Errno::ACCESS) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// What makes a file or folder unsafe: what it is, whose it is, who else gets in, what else it is
/// called.
fn objection(stat: &Stat, wanted: FileType) -> Option<&'static str> {
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind == FileType::Symlink {
        Some("is a link")
    } else if kind != wanted {
        Some(if wanted == FileType::Directory { "is not a folder" } else { "is not a plain file" })
    } else if stat.st_uid != rustix::process::geteuid().as_raw() {
        Some("belongs to another user")
    } else if stat.st_mode & 0o077 != 0 {
        Some("is open to other users: its mode must be 0700 for a folder, 0600 for a file")
    } else if kind == FileType::RegularFile && stat.st_nlink != 1 {
        Some("has a second name (hard link)")
    } else {
        None
    }
}

impl Folder {
    /// Opens the folder at `path`, made with mode 0700 if it is missing, and its parents with it.
    pub(crate) fn open_or_make(path: &Path) -> Result<Self, StoreError> {
        use std::os::unix::fs::DirBuilderExt as _;
        let missing: Vec<&Path> = path.ancestors().take_while(|folder| !exists(folder)).collect();
        // Parents that exist keep their mode; a link among them is followed, as everywhere in the
        // system.
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        // A link that points nowhere ends here with "exists": say what it is, below.
        if let Err(error) = made
            && path.symlink_metadata().is_err()
        {
            return Err(std_error("making the data folder", error));
        }
        // SQLite gets paths, and refuses links in them: so the path given to it has none.
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let parent = parent.canonicalize().map_err(|error| std_error("finding the data folder", error))?;
        let name = path.file_name().ok_or_else(|| StoreError::UnsafePath {
            path: path.to_owned(),
            why: "does not end in a folder's name",
        })?;
        let at = Self::open_at(rustix::fs::CWD, parent.join(name), parent.join(name))?;
        rustix::fs::fsync(&at.fd).map_err(|errno| io_error("syncing the data folder", errno))?;
        // A new folder's name is in the folder above it, and must be there after a power cut with
        // what is in it.
        for folder in missing {
            sync_parent(folder).map_err(|errno| io_error("syncing the folder above a new one", errno))?;
        }
        Ok(at)
    }

    fn open_at(
        parent: impl std::os::fd::AsFd,
        name: impl rustix::path::Arg,
        path: PathBuf,
    ) -> Result<Self, StoreError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(parent, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOTDIR | Errno::LOOP) => {
                return Err(StoreError::UnsafePath { path, why: "is not a folder, or is a link" });
            }
            Err(errno) => return Err(io_error("opening a folder", errno)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(|errno| io_error("examining a folder", errno))?;
        match objection(&stat, FileType::Directory) {
            Some(why) => Err(StoreError::UnsafePath { path, why }),
            None => Ok(Self { fd, path }),
        }
    }

    /// Where it is; for SQLite and for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a folder in this one.
    pub(super) fn folder(&self, name: &str) -> Result<Self, StoreError> {
        Self::open_at(&self.fd, name, self.path.join(name))
    }

    /// Makes a folder in this one; fails if the name is taken. Durable after [`Self::sync`].
    pub(super) fn make_folder(&self, name: &str) -> Result<Self, StoreError> {
        rustix::fs::mkdirat(&self.fd, name, Mode::RWXU)
            .map_err(|errno| io_error("making a folder", errno))?;
        self.folder(name)
    }

    /// Another handle of the same folder.
    pub(super) fn again(&self) -> Result<Self, StoreError> {
        let fd = self.fd.try_clone().map_err(|error| std_error("opening a folder", error))?;
        Ok(Self { fd, path: self.path.clone() })
    }

    /// Bytes an unprivileged user can still write to its file system.
    pub(super) fn free_bytes(&self) -> Result<u64, StoreError> {
        self.free_and_all_bytes().map(|(free, _)| free)
    }

    /// The same, and all bytes of its file system.
    pub(super) fn free_and_all_bytes(&self) -> Result<(u64, u64), StoreError> {
        let system =
            rustix::fs::fstatvfs(&self.fd).map_err(|errno| io_error("looking for free space", errno))?;
        let bytes = |blocks: u64| blocks.saturating_mul(system.f_frsize);
        Ok((bytes(system.f_bavail), bytes(system.f_blocks)))
    }

    /// Whether there is anything of this name.
    pub(crate) fn has(&self, name: &str) -> Result<bool, StoreError> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(io_error("looking for a file", errno)),
        }
    }

    /// Refuses unless `name` is a plain file of this user alone, or nothing.
    pub(super) fn check_file(&self, name: &str) -> Result<(), StoreError> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => self.check(name, &stat),
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(io_error("examining a file", errno)),
        }
    }

    fn check(&self, name: &str, stat: &Stat) -> Result<(), StoreError> {
        match objection(stat, FileType::RegularFile) {
            Some(why) => Err(StoreError::UnsafePath { path: self.path.join(name), why }),
            None => Ok(()),
        }
    }

    fn open_file(&self, name: &str, flags: OFlags) -> Result<Option<std::fs::File>, StoreError> {
        // NONBLOCK: opening a FIFO somebody put here returns, and the check below refuses it.
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = match rustix::fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => {
                return Err(StoreError::UnsafePath { path: self.path.join(name), why: "is a link" });
            }
            Err(Errno::ISDIR | Errno::NXIO | Errno::NODEV) => {
                return Err(StoreError::UnsafePath {
                    path: self.path.join(name),
                    why: "is not a plain file",
                });
            }
            Err(errno) => return Err(io_error("opening a file", errno)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(|errno| io_error("examining a file", errno))?;
        self.check(name, &stat)?;
        Ok(Some(fd.into()))
    }

    /// The contents of a file of at most `max` bytes; nothing if there is no such file.
    pub(crate) fn read(&self, name: &str, max: usize) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let mut contents = Zeroizing::new(Vec::new());
        Ok(self.read_into(name, max, &mut contents)?.then_some(contents))
    }

    /// The same, in place of what is in `contents`; whether there is such a file.
    pub(super) fn read_into(
        &self,
        name: &str,
        max: usize,
        contents: &mut Vec<u8>,
    ) -> Result<bool, StoreError> {
        contents.clear();
        let Some(file) = self.open_file(name, OFlags::RDONLY)? else { return Ok(false) };
        // Room for everything from the start: growing would leave unwiped copies behind.
        contents.reserve(max.saturating_add(1));
        let most = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
        file.take(most).read_to_end(contents).map_err(|error| std_error("reading a file", error))?;
        if contents.len() > max { Err(StoreError::Oversized(name.to_owned())) } else { Ok(true) }
    }

    /// A file to be read, if there is one.
    pub(super) fn open_to_read(&self, name: &str) -> Result<Option<std::fs::File>, StoreError> {
        self.open_file(name, OFlags::RDONLY)
    }

    /// Makes a file that must not exist yet, and syncs it. Its name is durable after
    /// [`Self::sync`].
    pub(super) fn write_new(&self, name: &str, contents: &[u8]) -> Result<(), StoreError> {
        let mut file = self.new_file(name)?;
        file.write_all(contents).map_err(|error| std_error("writing a file", error))?;
        file.sync_all().map_err(|error| std_error("syncing a file", error))
    }

    /// Makes a file that must not exist yet, for its caller to write and sync.
    pub(super) fn new_file(&self, name: &str) -> Result<std::fs::File, StoreError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        self.open_file(name, flags)?.ok_or(StoreError::Damaged("its folder is gone"))
    }

    /// Puts `contents` in the place of a file, or makes it: after a power cut at any moment it is
    /// the old or the new one, and once this returns the new one.
    pub(crate) fn replace(&self, name: &str, contents: &[u8]) -> Result<(), StoreError> {
        self.check_file(name)?;
        let aside = format!("{WRITING}{name}");
        // Only a crash or a failed write leaves one, and one writer at a time holds the folder.
        self.remove_file(&aside)?;
        let written = self.write_new(&aside, contents).and_then(|()| {
            rustix::fs::renameat(&self.fd, aside.as_str(), &self.fd, name)
                .map_err(|errno| io_error("renaming a file", errno))
        });
        if let Err(error) = written {
            // What was there is still there; the error tells more than a second one would.
            let _ = self.remove_file(&aside);
            return Err(error);
        }
        self.sync()
    }

    /// Opens (or makes) a file to add to its end; and its length.
    pub(super) fn append(&self, name: &str) -> Result<(std::fs::File, usize), StoreError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND;
        let file = self.open_file(name, flags)?.ok_or(StoreError::Damaged("its folder is gone"))?;
        let length = file.metadata().map_err(|error| std_error("examining a file", error))?.len();
        Ok((file, usize::try_from(length).unwrap_or(usize::MAX)))
    }

    /// Opens (or makes) a file and locks it for as long as the answer lives; `None` if another
    /// process has it.
    pub(super) fn lock(&self, name: &str) -> Result<Option<OwnedFd>, StoreError> {
        let flags = OFlags::RDWR | OFlags::CREATE;
        let file = self.open_file(name, flags)?.ok_or(StoreError::Damaged("its folder is gone"))?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file.into())),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(io_error("locking the data folder", errno)),
        }
    }

    /// Removes a file or link, if there is one.
    pub(crate) fn remove_file(&self, name: &str) -> Result<(), StoreError> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => Err(StoreError::UnsafePath {
                path: self.path.join(name),
                why: "is a folder in a file's place",
            }),
            Err(errno) => Err(io_error("removing a file", errno)),
        }
    }

    /// Removes a folder of ours with everything in it, if there is one. Anything else of its name
    /// is refused, and left where it is.
    pub(super) fn remove_folder(&self, name: &str) -> Result<(), StoreError> {
        if !self.has(name)? {
            return Ok(());
        }
        let _ours = self.folder(name)?;
        self.remove_tree(name)
    }

    /// Removes a file, or a folder with everything in it, if there is one. Follows nothing, goes
    /// [`DEPTH_MAX`] folders deep.
    pub(super) fn remove_tree(&self, name: &str) -> Result<(), StoreError> {
        self.remove_tree_to(name, DEPTH_MAX)
    }

    fn remove_tree_to(&self, name: &str, depth: usize) -> Result<(), StoreError> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR) if depth > 0 => {}
            Err(errno) => return Err(io_error("removing a file", errno)),
        }
        let inner = self.folder(name)?;
        loop {
            let names = inner.some_names()?;
            if names.is_empty() {
                break;
            }
            names.iter().try_for_each(|name| inner.remove_tree_to(name, depth - 1))?;
        }
        rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)
            .map_err(|errno| io_error("removing a folder", errno))
    }

    /// Gives an entry a new name that must be free. Durable after [`Self::sync`].
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        match rustix::fs::renameat_with(&self.fd, from, &self.fd, to, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(StoreError::Exists),
            // NFS and some FUSE file systems can't do it in one step; the data folder is locked, so
            // two will do.
            Err(Errno::INVAL | Errno::NOSYS) => {
                if self.has(to)? {
                    return Err(StoreError::Exists);
                }
                rustix::fs::renameat(&self.fd, from, &self.fd, to)
                    .map_err(|errno| io_error("renaming a folder", errno))
            }
            Err(errno) => Err(io_error("renaming a folder", errno)),
        }
    }

    /// Makes the names in it durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        rustix::fs::fsync(&self.fd).map_err(|errno| io_error("syncing a folder", errno))
    }

    /// Makes a file's contents durable, whoever wrote them.
    pub(super) fn sync_file(&self, name: &str) -> Result<(), StoreError> {
        let Some(file) = self.open_file(name, OFlags::RDONLY)? else { return Ok(()) };
        file.sync_all().map_err(|error| std_error("syncing a file", error))
    }

    /// The names in it that are text, sorted; others are not ours.
    pub(crate) fn names(&self) -> Result<Vec<String>, StoreError> {
        self.names_at_most(ENTRIES_MAX)
    }

    /// The same of a folder that may have more entries than those of the daemon's own have.
    pub(super) fn names_at_most(&self, most: usize) -> Result<Vec<String>, StoreError> {
        let mut names = self.listed(most.saturating_add(1))?;
        if names.len() > most {
            return Err(StoreError::Oversized("a folder of the daemon".to_owned()));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Some of the names in it; none where it is empty.
    fn some_names(&self) -> Result<Vec<String>, StoreError> {
        self.listed(ENTRIES_MAX)
    }

    /// So many of the names in it, in no order.
    fn listed(&self, most: usize) -> Result<Vec<String>, StoreError> {
        let listing = |errno| io_error("listing a folder", errno);
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd).map_err(listing)? {
            if let Some(name) = own_name(entry.map_err(listing)?.file_name()) {
                names.push(name);
            }
            if names.len() >= most {
                break;
            }
        }
        Ok(names)
    }
}

fn own_name(name: &CStr) -> Option<String> {
    let name = OsStr::from_bytes(name.to_bytes()).to_str()?;
    (name != "." && name != "..").then(|| name.to_owned())
}
