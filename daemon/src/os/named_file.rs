//! Files that a person names, to be read: the configuration and authorities.
//!
//! Decides what such a file may be. Refuses what would be waited for without end (a FIFO, a
//! device), and what another user of the machine could have written.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// Says what is wrong with a file, completing "can't read it: ".
fn refused(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// Opens without waiting: a FIFO nobody writes to would hold the start up for ever, and is refused
/// by what it is.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    OpenOptions::new().read(true).custom_flags(i32::try_from(flags.bits()).unwrap_or_default()).open(path)
}

/// Whether what belongs to `owner` is as good as this user's own: root may rewrite anything anyway.
/// Where a service sees only its own user, everything of the system's belongs to the kernel's
/// "nobody".
#[must_use]
pub fn trusted_owner(owner: u32) -> bool {
    let unmapped = || {
        let number = |file| std::fs::read_to_string(file).ok()?.trim().parse::<u32>().ok();
        // The first namespace maps everybody: there the kernel's "nobody" is a user like another.
        let everybody = std::fs::read_to_string("/proc/self/uid_map")
            .is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]));
        !everybody && number("/proc/sys/kernel/overflowuid") == Some(owner)
    };
    owner == rustix::process::geteuid().as_raw() || owner == 0 || unmapped()
}

/// The contents, of at most `max` bytes; `None` if there are more. A link is followed: what it
/// leads to is judged.
///
/// # Errors
/// The system's; [`io::ErrorKind::InvalidInput`] for what is no plain file, or one that other users
/// may write.
pub fn read(path: &Path, max: u64) -> io::Result<Option<Vec<u8>>> {
    let file = open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(refused("it is not a plain file"));
    }
    if !trusted_owner(about.uid()) {
        return Err(refused("it belongs to another user"));
    }
    if about.mode() & 0o002 != 0 {
        return Err(refused("every user of this machine may write to it"));
    }
    let mut bytes = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= max).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn why<T>(result: io::Result<T>) -> String {
        result.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_would_be_waited_for_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for path in [&fifo, folder.path(), Path::new("/dev/zero")] {
            assert!(why(read(path, 10)).contains("not a plain file"), "{}", path.display());
        }
    }

    #[test]
    fn reading_follows_links_and_looks_at_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "four").unwrap();
        symlink(&file, &link).unwrap();
        assert_eq!(read(&link, 4).unwrap().as_deref(), Some(&b"four"[..]));
        assert_eq!(read(&link, 3).unwrap(), None);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o602)).unwrap();
        assert!(why(read(&link, 4)).contains("every user"));
    }

    #[test]
    fn owners_are_told_apart() {
        assert!(trusted_owner(0) && trusted_owner(rustix::process::geteuid().as_raw()));
        assert!(!trusted_owner(54_321));
    }
}
