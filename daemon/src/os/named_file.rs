//! Files that a person names: the configuration and authorities to read, the ready file to write.
//!
//! Decides what such a file may be. Refuses what would be waited for without end (a FIFO, a device), what another user of
//! the machine could have written, and to write through a link or into a file that has a second name.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{FileType, OFlags};

/// Says what is wrong with a file, completing "can't read it: ".
fn refused(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// Opens without waiting: a FIFO nobody writes to would hold the start up for ever, and is refused by what it is.
fn open(options: &mut OpenOptions, path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
    options.custom_flags(i32::try_from(flags.bits()).unwrap_or_default()).open(path)
}

/// Whether what belongs to `owner` is as good as this user's own: root may rewrite anything anyway. Where a service
/// sees only its own user, everything of the system's belongs to the kernel's "nobody".
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

/// The contents, of at most `max` bytes; `None` if there are more. A link is followed: what it leads to is judged.
///
/// # Errors
/// The system's; [`io::ErrorKind::InvalidInput`] for what is no plain file, or one that other users may write.
pub fn read(path: &Path, max: u64) -> io::Result<Option<Vec<u8>>> {
    let file = open(OpenOptions::new().read(true), path, OFlags::empty())?;
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

/// Makes the file, or replaces what is in it.
///
/// # Errors
/// The system's; [`io::ErrorKind::InvalidInput`] for what is no plain file of this user alone.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    // Not truncated by opening: it may be a second name of something else, or somebody else's.
    options.write(true).create(true).truncate(false).mode(0o600);
    let mut file = match open(&mut options, path, OFlags::NOFOLLOW) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(refused("it is a link"));
        }
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
            return Err(refused("it is not a plain file"));
        }
        opened => opened?,
    };
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(refused("it is not a plain file"));
    }
    if about.uid() != rustix::process::geteuid().as_raw() {
        return Err(refused("it belongs to another user"));
    }
    if about.nlink() != 1 {
        return Err(refused("it has a second name (hard link)"));
    }
    file.set_len(0)?;
    file.write_all(text.as_bytes())
}

/// Writes to a descriptor this process was started with. It is opened anew, which works for what this user owns: taking
/// over a bare number can't be checked. A pipe that nobody reads is refused rather than waited for.
///
/// # Errors
/// The system's.
pub fn write_descriptor(number: u32, text: &str) -> io::Result<()> {
    let path = format!("/proc/self/fd/{number}");
    open(OpenOptions::new().write(true), Path::new(&path), OFlags::empty())?.write_all(text.as_bytes())
}

/// Writes to standard output, by a descriptor of its own: the library's stream takes one that can't be written for one that can. An output
/// that was closed is not taken for one that discards: the runtime puts `/dev/null` in its place, open for reading too.
///
/// # Errors
/// The system's.
pub fn write_stdout(text: &str) -> io::Result<()> {
    let mut file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let (about, flags) = (rustix::fs::fstat(&file)?, rustix::fs::fcntl_getfl(&file)?);
    let null = rustix::fs::stat("/dev/null").map(|null| null.st_rdev);
    if FileType::from_raw_mode(about.st_mode) == FileType::CharacterDevice
        && null == Ok(about.st_rdev)
        && flags & OFlags::RWMODE == OFlags::RDWR
    {
        return Err(io::Error::other("standard output is closed"));
    }
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use rustix::fs::{CWD, Mode, mknodat};

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
        assert!(why(write(&fifo, "x")).contains("not a plain file"));
        assert!(write(folder.path(), "x").is_err());
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
    fn writing_touches_nothing_but_a_plain_file_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        let [victim, link, second, fresh] =
            ["victim", "link", "second", "fresh"].map(|name| folder.path().join(name));
        std::fs::write(&victim, "long and precious").unwrap();
        symlink(&victim, &link).unwrap();
        assert!(why(write(&link, "x")).contains("link"));
        std::fs::hard_link(&victim, &second).unwrap();
        assert!(why(write(&second, "x")).contains("second name"));
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "long and precious");
        for text in ["first and long\n", "next\n"] {
            write(&fresh, text).unwrap();
            assert_eq!(std::fs::read_to_string(&fresh).unwrap(), text);
        }
        assert_eq!(fresh.metadata().unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn owners_are_told_apart() {
        assert!(trusted_owner(0) && trusted_owner(rustix::process::geteuid().as_raw()));
        assert!(!trusted_owner(54_321));
    }
}
