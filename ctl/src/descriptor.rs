//! What this program was started with: standard input, standard output and other open descriptors,
//! as they are.
//!
//! Decides how they are read and written: through the descriptor itself, because a socket can't be
//! opened a second time by its name, and waiting where whoever shares it made it non-blocking.
//! Refuses to read further than was asked: what comes behind a secret's line is for the next
//! reader.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use zeroize::Zeroizing;

/// Read at once where everything is wanted.
const CHUNK_BYTES: usize = 4 * 1024;
/// Names that mean a descriptor of this process rather than a file.
const FOLDERS: [&str; 3] = ["/dev/fd", "/proc/self/fd", "/proc/thread-self/fd"];

/// The descriptor that a path names: `-`, `/dev/stdin`, `/dev/fd/3`.
pub(crate) fn named(path: &Path) -> Option<u32> {
    if path == Path::new("-") || path == Path::new("/dev/stdin") {
        return Some(0);
    }
    let folder = path.parent()?;
    let number = path.file_name()?.to_str()?.parse().ok()?;
    FOLDERS.iter().any(|known| folder == Path::new(known)).then_some(number)
}

/// A second handle on an open descriptor. Both read on where the other left off.
///
/// # Errors
/// It is not open.
pub(crate) fn inherited(number: u32) -> io::Result<OwnedFd> {
    let wanted = i32::try_from(number).map_err(|_| io::Error::from(Errno::BADF))?;
    let own = || pidfd_getfd(pidfd_open(getpid(), PidfdFlags::empty())?, wanted, PidfdGetfdFlags::empty());
    match own() {
        Ok(descriptor) => Ok(descriptor),
        Err(Errno::BADF) => Err(Errno::BADF.into()),
        // A container may forbid the call, and kernels before 5.6 lack it: its name does for
        // everything but a socket.
        Err(_) => File::open(format!("/dev/fd/{number}")).map(Into::into),
    }
}

/// Opens what a path names for reading.
///
/// # Errors
/// The system's.
pub(crate) fn open(path: &Path) -> io::Result<OwnedFd> {
    match named(path) {
        Some(number) => inherited(number),
        None => File::open(path).map(Into::into),
    }
}

/// Reads to the end, or to the end of the first line alone; at most `max` bytes.
///
/// # Errors
/// The system's.
pub(crate) fn read(from: impl AsFd, max: usize, line_only: bool) -> io::Result<Zeroizing<Vec<u8>>> {
    let from = from.as_fd();
    let mut bytes = Zeroizing::new(Vec::with_capacity(max.min(CHUNK_BYTES)));
    let mut chunk = Zeroizing::new([0; CHUNK_BYTES]);
    while bytes.len() < max {
        let most = if line_only { 1 } else { CHUNK_BYTES.min(max - bytes.len()) };
        let room = chunk.get_mut(..most).unwrap_or_default();
        match rustix::io::read(from, &mut *room) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(room.get(..count).unwrap_or_default()),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => wait(from, PollFlags::IN)?,
            Err(error) => return Err(error.into()),
        }
        if line_only && matches!(bytes.last(), Some(b'\n' | b'\r')) {
            break;
        }
    }
    Ok(bytes)
}

/// Writes all of it.
///
/// # Errors
/// The system's.
pub(crate) fn write(to: impl AsFd, bytes: &[u8]) -> io::Result<()> {
    let (to, mut rest) = (to.as_fd(), bytes);
    while !rest.is_empty() {
        match rustix::io::write(to, rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait(to, PollFlags::OUT)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn wait(on: BorrowedFd<'_>, what: PollFlags) -> io::Result<()> {
    match poll(&mut [PollFd::from_borrowed_fd(on, what)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn names_of_descriptors_are_known() {
        for (path, number) in [
            ("-", Some(0)),
            ("/dev/stdin", Some(0)),
            ("/dev/fd/3", Some(3)),
            ("/proc/self/fd/12", Some(12)),
            ("/dev/fd/x", None),
            ("/dev/fd/-1", None),
            ("/tmp/3", None),
            ("3", None),
            ("", None),
        ] {
            assert_eq!(named(Path::new(path)), number, "{path}");
        }
    }

    #[test]
    fn a_socket_is_read_as_it_is_line_by_line_and_without_its_end() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let number = u32::try_from(ours.as_raw_fd()).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| theirs.write_all(b"one\r\ntwo\nthree").unwrap());
            let again = inherited(number).unwrap();
            assert_eq!(**read(&again, 100, true).unwrap(), *b"one\r");
            assert_eq!(**read(&again, 100, true).unwrap(), *b"\n");
            assert_eq!(**read(&ours, 100, true).unwrap(), *b"two\n");
            assert_eq!(**read(&ours, 2, false).unwrap(), *b"th");
        });
        drop(ours);
        assert!(inherited(9_999).is_err() && inherited(u32::MAX).is_err());
    }

    #[test]
    fn a_full_device_and_a_reader_that_went_away_are_told_apart() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        assert_eq!(write(&full, b"x").unwrap_err().kind(), io::ErrorKind::StorageFull);
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert_eq!(write(&ours, b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
