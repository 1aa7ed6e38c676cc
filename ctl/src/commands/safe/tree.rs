//! Folders of this machine, opened so that no link leads out of them.
//!
//! Decides how errors of the disk are told. Refuses to follow a symbolic link below the folder that
//! a person named, in either direction: one that somebody put there would send files elsewhere, or
//! take along what was never meant.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use parsec_protocol::control::ProblemKind;
use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, mkdirat, open, openat2};
use rustix::io::Errno;

use crate::failure::Failure;
use crate::text::escaped;

/// New folders are their owner's.
const OWNER: Mode = Mode::RWXU;
/// A folder that others are opened from.
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Never out of the folder, never over a link, of whichever kind.
const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Opens a folder that a person named: links in its own path are theirs.
pub(super) fn folder(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, FOLDER, Mode::empty())?)
}

/// Opens a folder to read its names.
pub(super) fn readable(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens something in a folder, by one name.
pub(super) fn within(folder: impl AsFd, name: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    Ok(openat2(folder, OsStr::from_bytes(name), flags | OFlags::CLOEXEC, Mode::empty(), BENEATH)?)
}

/// Opens the folder at the end of these names, making those that are missing.
pub(super) fn made(root: impl AsFd, names: &[Vec<u8>]) -> io::Result<OwnedFd> {
    let mut at = within(root, b".", FOLDER)?;
    for name in names {
        match mkdirat(&at, OsStr::from_bytes(name), OWNER) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        at = within(&at, name, FOLDER)?;
    }
    Ok(at)
}

/// Opens the folder at the end of these names; none is made.
pub(super) fn inside(root: impl AsFd, names: &[Vec<u8>]) -> io::Result<OwnedFd> {
    let mut at = within(root, b".", FOLDER)?;
    for name in names {
        at = within(&at, name, FOLDER)?;
    }
    Ok(at)
}

/// The names in a folder, in the order of their bytes.
pub(super) fn names(folder: impl AsFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// What a thing is that has no place in a safe.
pub(super) const fn kind(kind: FileType) -> &'static str {
    match kind {
        FileType::Symlink => "symbolic link",
        FileType::Fifo => "pipe",
        FileType::Socket => "socket",
        FileType::CharacterDevice | FileType::BlockDevice => "device",
        FileType::RegularFile | FileType::Directory | FileType::Unknown => "neither file nor folder",
    }
}

/// What the system says when a file of this machine can't be read.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let text = format!("{} can't be read: {error}", escaped(path.display()));
    Failure::new(ProblemKind::PathNotFound, text).advised("Name a file that is there and that you may read.")
}

/// What the system says when a file of this machine can't be made.
pub(super) fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let kind = match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let text = format!("{} is there already", escaped(path.display()));
            return Failure::new(ProblemKind::PathExists, text)
                .advised("Name another place, or say that it may be written over: --force.");
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ProblemKind::DiskFull,
        _ if matches!(Errno::from_io_error(error), Some(Errno::LOOP | Errno::XDEV)) => {
            let text = format!("{} lies behind a symbolic link", escaped(path.display()));
            return Failure::new(ProblemKind::UnsafePath, text)
                .advised("Files of a safe never go through a link: name the folder that it leads to.");
        }
        _ => ProblemKind::DiskFailed,
    };
    Failure::new(kind, format!("{} can't be written: {error}", escaped(path.display())))
        .advised("Look whether the folder is there, is yours, and has room.")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn no_link_leads_out() {
        let base = std::env::temp_dir().join(format!("parsecctl-tree-{}", std::process::id()));
        let (root, outside) = (base.join("root"), base.join("outside"));
        fs::create_dir_all(&root).unwrap();
        fs::create_dir_all(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("away")).unwrap();
        std::os::unix::fs::symlink("inside", root.join("near")).unwrap();
        let opened = folder(&root).unwrap();
        let names = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>();
        made(&opened, &names(&["inside", "deep"])).unwrap();
        assert!(root.join("inside/deep").is_dir());
        for bad in [&["away"][..], &["away", "x"], &["near"], &["near", "x"]] {
            let error = made(&opened, &names(bad)).unwrap_err();
            assert!(matches!(Errno::from_io_error(&error), Some(Errno::LOOP | Errno::NOTDIR)), "{error}");
        }
        for bad in [b"..".as_slice(), b"/", b"away", b"/etc/passwd", b"inside/../.."] {
            assert!(within(&opened, bad, OFlags::PATH).is_err(), "{bad:?}");
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        fs::remove_dir_all(base).unwrap();
    }
}
