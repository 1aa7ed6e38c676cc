//! A file on its way from a safe to this machine's disk: without a name, or under one of its own,
//! until it is whole.
//!
//! Decides that a file shows up at its place at once and complete, readable for its owner alone,
//! executable only where the safe says so. Refuses to write over anything unless told to, to follow
//! a link that stands in its place, and to leave half a file behind: one without a name is gone
//! with this program, however that ends.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, Stat, Timespec, Timestamps, UTIME_OMIT, fchmod, fstat,
    fsync, futimens, linkat, openat, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::tree::kind;

/// Who may read it: whoever fetched it.
const OWNER: Mode = Mode::RUSR.union(Mode::WUSR);
/// Nanoseconds of a second.
const NANOSECONDS: i64 = 1_000_000_000;

/// A file that is being written.
pub(super) struct Incoming {
    folder: OwnedFd,
    /// The name that it gets in the end.
    name: Vec<u8>,
    file: OwnedFd,
    /// The name that it has meanwhile; none where the file system can do without.
    temporary: Option<String>,
}

impl Incoming {
    /// Begins a file in an open folder.
    ///
    /// # Errors
    /// The system's; `AlreadyExists` where something is there and may not be written over.
    pub(super) fn begin(folder: OwnedFd, name: &[u8], replace: bool) -> io::Result<Self> {
        // Asked before gigabytes are fetched for nothing; what decides is the end.
        if let Ok(found) = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            if !replace {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            replaceable(FileType::from_raw_mode(found.st_mode))?;
        }
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let (file, temporary) = match openat(&folder, ".", flags | OFlags::TMPFILE, OWNER) {
            Ok(file) => (file, None),
            // File systems that can't, and kernels that take it for a folder to be opened.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => {
                let own = own_name()?;
                let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
                (openat(&folder, own.as_str(), flags, OWNER)?, Some(own))
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Self { folder, name: name.to_vec(), file, temporary })
    }

    /// What the daemon writes to.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Writes contents that are here already.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn write(&self, mut contents: &[u8]) -> io::Result<()> {
        while !contents.is_empty() {
            match rustix::io::write(&self.file, contents) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => contents = contents.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Puts the whole file at its place.
    ///
    /// # Errors
    /// The system's; `AlreadyExists` where something is there and may not be written over.
    pub(super) fn finish(
        mut self,
        executable: bool,
        modified_ns: i64,
        replace: bool,
    ) -> io::Result<Identity> {
        if executable {
            fchmod(&self.file, OWNER | Mode::XUSR)?;
        }
        let modified = Timespec {
            tv_sec: modified_ns.div_euclid(NANOSECONDS),
            tv_nsec: modified_ns.rem_euclid(NANOSECONDS),
        };
        let accessed = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        futimens(&self.file, &Timestamps { last_access: accessed, last_modification: modified })?;
        fsync(&self.file)?;
        let name = self.name.as_slice();
        match (&self.temporary, replace) {
            (None, false) => self.link(name)?,
            (None, true) => {
                let own = own_name()?;
                self.link(own.as_bytes())?;
                self.temporary = Some(own.clone());
                renameat(&self.folder, own.as_str(), &self.folder, self.name.as_slice())?;
            }
            (Some(own), true) => renameat(&self.folder, own.as_str(), &self.folder, name)?,
            (Some(own), false) => {
                let kept = RenameFlags::NOREPLACE;
                match renameat_with(&self.folder, own.as_str(), &self.folder, name, kept) {
                    // A file system that can't: a second name is never made over another.
                    Err(Errno::INVAL | Errno::NOSYS) => {
                        linkat(&self.folder, own.as_str(), &self.folder, name, AtFlags::empty())?;
                        unlinkat(&self.folder, own.as_str(), AtFlags::empty())?;
                    }
                    done => done?,
                }
            }
        }
        self.temporary = None;
        Ok(Identity::of(&fstat(&self.file)?))
    }

    /// Gives the nameless file a name that nothing has.
    fn link(&self, name: &[u8]) -> io::Result<()> {
        let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        Ok(linkat(rustix::fs::CWD, own, &self.folder, name, AtFlags::SYMLINK_FOLLOW)?)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(own) = self.temporary.take() {
            // Half a file is of no use to anybody.
            let _removed = unlinkat(&self.folder, own.as_str(), AtFlags::empty());
        }
    }
}

/// Refuses to put a file in the place of what a person can't have meant to lose.
fn replaceable(there: FileType) -> io::Result<()> {
    match there {
        FileType::RegularFile | FileType::Symlink => Ok(()),
        FileType::Directory => Err(io::Error::other("it is a folder")),
        other => Err(io::Error::other(format!("it is a {}, and no file", kind(other)))),
    }
}

/// What the system knows a file by, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    device: u64,
    number: u64,
}

impl Identity {
    pub(super) const fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev, number: stat.st_ino }
    }
}

/// A name that nobody else gives.
fn own_name() -> io::Result<String> {
    let mut random = [0; 8];
    getrandom(&mut random, GetRandomFlags::empty())?;
    Ok(format!(".parsec-{:016x}", u64::from_be_bytes(random)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::path::PathBuf;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("parsecctl-incoming-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn open(folder: &PathBuf) -> OwnedFd {
        rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap()
    }

    /// Both ways: without a name, and where a file system can't do that.
    fn begin(folder: &PathBuf, named: bool, replace: bool) -> io::Result<Incoming> {
        let mut begun = Incoming::begin(open(folder), b"target", replace)?;
        if named {
            let own = own_name().unwrap();
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
            begun.file = openat(&begun.folder, own.as_str(), flags, OWNER).unwrap();
            begun.temporary = Some(own);
        }
        rustix::io::write(&begun.file, b"whole").unwrap();
        Ok(begun)
    }

    fn names(folder: &PathBuf) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_file_shows_up_whole_and_never_over_another() {
        for named in [false, true] {
            let folder = folder(if named { "named" } else { "nameless" });
            let target = folder.join("target");
            begin(&folder, named, false).unwrap().finish(false, -1, false).unwrap();
            let made = fs::metadata(&target).unwrap();
            assert_eq!((made.mode() & 0o777, made.mtime(), made.mtime_nsec()), (0o600, -1, 999_999_999));
            assert_eq!(fs::read(&target).unwrap(), b"whole");

            fs::write(&target, b"mine").unwrap();
            assert_eq!(begin(&folder, named, false).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
            // It came while the contents were fetched.
            fs::remove_file(&target).unwrap();
            let late = begin(&folder, named, false).unwrap();
            fs::write(&target, b"mine").unwrap();
            let refused = late.finish(false, 0, false).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!((fs::read(&target).unwrap(), names(&folder)), (b"mine".to_vec(), 1));

            begin(&folder, named, true).unwrap().finish(true, 0, true).unwrap();
            let made = fs::metadata(&target).unwrap();
            assert_eq!((made.permissions().mode() & 0o777, names(&folder)), (0o700, 1));
            drop(begin(&folder, named, true).unwrap());
            assert_eq!(names(&folder), 1, "half a file is not left behind");
            fs::remove_dir_all(folder).unwrap();
        }
    }

    #[test]
    fn nothing_but_a_file_or_a_link_is_written_over() {
        let folder = folder("kinds");
        fs::create_dir(folder.join("target")).unwrap();
        assert!(begin(&folder, false, true).is_err_and(|error| error.to_string() == "it is a folder"));
        fs::remove_dir(folder.join("target")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.join("target")).unwrap();
        let refused = begin(&folder, false, true).err().unwrap();
        assert_eq!(refused.to_string(), "it is a socket, and no file");
        assert_eq!(names(&folder), 1);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_link_at_its_place_is_replaced_and_not_followed() {
        let folder = folder("link");
        fs::write(folder.join("victim"), b"untouched").unwrap();
        std::os::unix::fs::symlink("victim", folder.join("target")).unwrap();
        assert!(begin(&folder, false, false).is_err());
        begin(&folder, false, true).unwrap().finish(false, 0, true).unwrap();
        assert_eq!(fs::read(folder.join("victim")).unwrap(), b"untouched");
        assert!(fs::symlink_metadata(folder.join("target")).unwrap().is_file());
        fs::remove_dir_all(folder).unwrap();
    }
}
