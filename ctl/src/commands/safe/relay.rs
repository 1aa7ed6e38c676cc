//! A device's contents on their way to the daemon, which takes files, pipes and sockets alone.
//!
//! Decides that what stands between is a socket, because a socket can say what a pipe can't: that
//! its end is no end. Refuses to pass a read that failed off as the end of a file, and to wait for
//! a device that nobody wants anything of any more.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Read at once: what a device gives at most, usually.
const PIECE_BYTES: usize = 64 * 1024;

/// Runs `call` with an end that gives what `from` gives. What it said, and why `from` could not be
/// read to its end, if it couldn't: then `call` has seen that its end broke off.
///
/// # Errors
/// There is no socket to be had, or no second handle.
pub(super) fn through<T>(
    from: &OwnedFd,
    call: impl FnOnce(BorrowedFd<'_>) -> T,
) -> io::Result<(T, Option<io::Error>)> {
    let (mut theirs, ours) = UnixStream::pair()?;
    // A byte that our end has not read when it closes makes of that a reset, and no end.
    theirs.write_all(&[0])?;
    let from = File::from(from.try_clone()?);
    Ok(std::thread::scope(|scope| {
        let copying = scope.spawn(move || copied(from, ours));
        let said = call(theirs.as_fd());
        // Nobody takes anything any more: a copy that still waits ends.
        drop(theirs);
        let failed = copying.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
        (said, failed.err())
    }))
}

/// Copies to the end. Fails where that can't be read; that nobody takes it is no failure here: who
/// was to take it says why.
fn copied(mut from: File, mut to: UnixStream) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    while wanted(&from, &to)? {
        match from.read(&mut piece) {
            Ok(0) => {
                // The byte is read, so that closing is an end.
                let _ended = to.shutdown(Shutdown::Write).and_then(|()| to.read_exact(&mut [0]));
                return Ok(());
            }
            Ok(read) if to.write_all(piece.get(..read).unwrap_or_default()).is_err() => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits until there is something to read; false where whoever was to take it has gone.
fn wanted(from: &File, to: &UnixStream) -> io::Result<bool> {
    let mut both = [PollFd::new(from, PollFlags::IN), PollFd::new(to, PollFlags::empty())];
    loop {
        match poll(&mut both, None) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let [_, to] = both;
    Ok(!to.revents().intersects(PollFlags::HUP | PollFlags::ERR))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut end: UnixStream) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        end.read_to_end(&mut all).map(|_| all)
    }

    fn passed(from: &OwnedFd) -> (io::Result<Vec<u8>>, Option<io::Error>) {
        let taken = |end: BorrowedFd<'_>| read(end.try_clone_to_owned().unwrap().into());
        through(from, taken).unwrap()
    }

    #[test]
    fn what_ends_ends_and_what_fails_breaks_off() {
        let null = File::open("/dev/null").unwrap().into();
        let (got, failed) = passed(&null);
        assert_eq!((got.unwrap(), failed.is_none()), (Vec::new(), true));

        let (reader, mut writer) = io::pipe().unwrap();
        let long: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let sent = long.clone();
        let writing = std::thread::spawn(move || writer.write_all(&sent));
        let (got, failed) = passed(&reader.into());
        writing.join().unwrap().unwrap();
        assert!(got.unwrap() == long && failed.is_none());

        // Reading a folder fails as a broken device does.
        let broken = File::open("/").unwrap().into();
        let (got, failed) = passed(&broken);
        assert_eq!(got.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert!(failed.is_some());
    }

    #[test]
    fn what_nobody_wants_is_not_waited_for() {
        let (reader, _writer) = io::pipe().unwrap();
        let (said, _) = through(&reader.into(), |_| 7).unwrap();
        assert_eq!(said, 7, "it came back, though the pipe never ends");
    }
}
