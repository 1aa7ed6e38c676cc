//! Where a program says that it answers: a file, or a descriptor it was started with.
//!
//! Decides that a waiting reader sees the whole line or no file. Refuses what another user could
//! have put in the file's place, to write through a link or into a file that has a second name, and
//! to wait for a reader.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::output::{self, OutputError};

/// Standard output's number.
const STDOUT: u32 = 1;

/// Whom to tell: nobody, unless the command line says so.
#[derive(Debug, Clone, Copy, Default)]
pub struct Announcement<'a> {
    /// The file that appears.
    pub file: Option<&'a Path>,
    /// The file's permission bits, before the umask.
    pub mode: u32,
    /// A descriptor that this process was started with.
    pub descriptor: Option<u32>,
}

impl Announcement<'_> {
    /// Writes `text` and a line feed to each.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::InvalidInput`] where the file's place holds anything but a
    /// plain file of this user alone.
    pub fn make(&self, text: &str) -> io::Result<()> {
        let line = format!("{text}\n");
        if let Some(path) = self.file {
            write(path, &line, self.mode)?;
        }
        match self.descriptor {
            None => Ok(()),
            Some(STDOUT) => output::show_for_good(&line).map_err(|error| match error {
                OutputError::Closed => io::ErrorKind::BrokenPipe.into(),
                OutputError::Failed(error) => error,
            }),
            Some(number) => write_descriptor(number, &line),
        }
    }
}

/// Says what is wrong with a file, completing "can't write it: ".
fn refused(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// Opens without waiting: a FIFO that nobody reads would hold the start up for ever.
fn open(options: &mut OpenOptions, path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
    options.custom_flags(i32::try_from(flags.bits()).unwrap_or_default()).open(path)
}

/// Makes the file, or replaces it. Written aside and renamed, so that nobody reads half of it.
fn write(path: &Path, line: &str, mode: u32) -> io::Result<()> {
    check_place(path)?;
    let aside = beside(path);
    let create = || {
        let mut options = OpenOptions::new();
        open(options.write(true).create_new(true).mode(mode), &aside, OFlags::NOFOLLOW)
    };
    let file = match create() {
        // A start that was cut off left it; a name is removed, never what it leads to.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::remove_file(&aside)?;
            create()
        }
        created => created,
    };
    file?.write_all(line.as_bytes())?;
    std::fs::rename(&aside, path)
}

/// Whether nothing is there, or a file that this program may have written before.
fn check_place(path: &Path) -> io::Result<()> {
    let is = |error: &io::Error, errno: rustix::io::Errno| error.raw_os_error() == Some(errno.raw_os_error());
    let about = match open(OpenOptions::new().write(true), path, OFlags::NOFOLLOW) {
        Ok(file) => file.metadata()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if is(&error, rustix::io::Errno::LOOP) => return Err(refused("it is a link")),
        Err(error) if is(&error, rustix::io::Errno::NXIO) => return Err(refused("it is not a plain file")),
        Err(error) => return Err(error),
    };
    if !about.is_file() {
        return Err(refused("it is not a plain file"));
    }
    if about.uid() != rustix::process::geteuid().as_raw() {
        return Err(refused("it belongs to another user"));
    }
    if about.nlink() != 1 {
        return Err(refused("it has a second name (hard link)"));
    }
    Ok(())
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

/// Writes to a descriptor this process was started with. It is opened anew, which works for what
/// this user owns: taking over a bare number can't be checked. A pipe that nobody reads is refused
/// rather than waited for.
fn write_descriptor(number: u32, line: &str) -> io::Result<()> {
    let path = format!("/proc/self/fd/{number}");
    open(OpenOptions::new().write(true), Path::new(&path), OFlags::empty())?.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    const OURS: u32 = 0o600;

    fn why<T>(result: io::Result<T>) -> String {
        result.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_would_be_waited_for_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(why(write(&fifo, "x", OURS)).contains("not a plain file"));
        assert!(write(folder.path(), "x", OURS).is_err());
    }

    #[test]
    fn writing_touches_nothing_but_a_plain_file_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        let [victim, link, second, fresh] =
            ["victim", "link", "second", "fresh"].map(|name| folder.path().join(name));
        std::fs::write(&victim, "long and precious").unwrap();
        symlink(&victim, &link).unwrap();
        assert!(why(write(&link, "x", OURS)).contains("link"));
        std::fs::hard_link(&victim, &second).unwrap();
        assert!(why(write(&second, "x", OURS)).contains("second name"));
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "long and precious");
        // What an earlier start left beside it, or somebody else put there, is no way to another
        // file either.
        symlink(&victim, beside(&fresh)).unwrap();
        for text in ["first and long\n", "next\n"] {
            write(&fresh, text, OURS).unwrap();
            assert_eq!(std::fs::read_to_string(&fresh).unwrap(), text);
        }
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "long and precious");
        assert_eq!(fresh.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4, "nothing is left beside it");
    }

    #[test]
    fn a_file_and_a_descriptor_are_told_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let [file, open] = ["file", "open"].map(|name| folder.path().join(name));
        let descriptor = File::create(&open).unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&descriptor).unsigned_abs();
        let announcement = Announcement { file: Some(&file), mode: OURS, descriptor: Some(number) };
        announcement.make("127.0.0.1:6770").unwrap();
        for path in [file, open] {
            assert_eq!(std::fs::read_to_string(path).unwrap(), "127.0.0.1:6770\n");
        }
        Announcement::default().make("nobody is told").unwrap();
    }
}
