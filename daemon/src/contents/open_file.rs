//! An open file that a program passed: read to its end, or written to.
//!
//! Decides how each kind is waited for, so that a call which may be dropped never hangs: pipes and
//! sockets are asked first, and written to in pieces that fit. Refuses to look at names: what is
//! behind the descriptor is the caller's choice and the caller's right. Takes nothing for granted
//! about it: reads and writes may be short, its end may close, its disk may fill.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use parsec_protocol::control::{Problem, ProblemKind};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, OFlags, SeekFrom, Stat};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::stop::Stop;
use crate::problems;

/// Bytes that a pipe with room takes without making the writer wait: a page, by which pipes are
/// filled.
const PIPE_ROOM_BYTES: usize = 4_096;

/// Why an open file was not read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// Nobody waits for it any more.
    #[error("the work was given up")]
    Stopped,
    /// The other end of the pipe or socket is closed.
    #[error("whoever takes the contents has closed the pipe")]
    Closed,
    /// Whoever gave the contents went away before their end.
    #[error("whoever gave the contents went away before their end")]
    Broken,
    /// No room is left where it is.
    #[error("there is no room left where the contents are to be written")]
    Full,
    /// It was not opened for this.
    #[error("the open file that came with the request can't be {0}: it was opened for something else")]
    Mode(&'static str),
    /// The system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl From<FileError> for Problem {
    fn from(error: FileError) -> Self {
        let kind = match &error {
            FileError::Stopped => ProblemKind::Cancelled,
            FileError::Closed | FileError::Mode(_) => ProblemKind::InvalidRequest,
            FileError::Broken => ProblemKind::ContentsChanged,
            FileError::Full => ProblemKind::DiskFull,
            FileError::Io { .. } => ProblemKind::DiskFailed,
        };
        Self::new(kind, problems::sentence(&error.to_string()))
    }
}

fn failed(what: &'static str, errno: Errno) -> FileError {
    match errno {
        Errno::PIPE | Errno::CONNRESET => FileError::Closed,
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => FileError::Full,
        errno => FileError::Io { what, source: errno.into() },
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A regular file.
    File,
    Pipe,
    Socket,
}

/// An open file, and who tells when to give up on it.
#[derive(Debug)]
pub(crate) struct OpenFile {
    fd: OwnedFd,
    kind: Kind,
    stop: Stop,
}

impl OpenFile {
    /// A file to read from; `FileError::Mode` where it can't be.
    pub(crate) fn to_read(fd: OwnedFd, stop: Stop) -> Result<Self, FileError> {
        Self::new(fd, stop, OFlags::WRONLY, "read")
    }

    /// A file to write to.
    pub(crate) fn to_write(fd: OwnedFd, stop: Stop) -> Result<Self, FileError> {
        Self::new(fd, stop, OFlags::RDONLY, "written to")
    }

    fn new(fd: OwnedFd, stop: Stop, never: OFlags, what: &'static str) -> Result<Self, FileError> {
        let flags = rustix::fs::fcntl_getfl(&fd).map_err(|errno| failed("examining the open file", errno))?;
        if flags.contains(OFlags::PATH) || flags & OFlags::RWMODE == never {
            return Err(FileError::Mode(what));
        }
        let stat = rustix::fs::fstat(&fd).map_err(|errno| failed("examining the open file", errno))?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Fifo => Kind::Pipe,
            FileType::Socket => Kind::Socket,
            _ => return Err(FileError::Mode(what)),
        };
        Ok(Self { fd, kind, stop })
    }

    /// Whether it has places, sparse ones too: a regular file.
    pub(crate) fn is_seekable(&self) -> bool {
        self.kind == Kind::File
    }

    /// Whether everything that is written goes to its end.
    pub(crate) fn appends(&self) -> bool {
        rustix::fs::fcntl_getfl(&self.fd).map_or(true, |flags| flags.contains(OFlags::APPEND))
    }

    /// What the system knows of it.
    pub(crate) fn stat(&self) -> Result<Stat, FileError> {
        rustix::fs::fstat(&self.fd).map_err(|errno| failed("examining the open file", errno))
    }

    /// Moves its place; where that is afterwards. None where there is nothing to move to: no data
    /// from there on.
    pub(crate) fn seek(&self, to: SeekFrom) -> Result<Option<u64>, FileError> {
        match rustix::fs::seek(&self.fd, to) {
            Ok(place) => Ok(Some(place)),
            Err(Errno::NXIO) => Ok(None),
            Err(errno) => Err(failed("moving in the open file", errno)),
        }
    }

    /// Makes a regular file as long as that.
    pub(crate) fn set_length(&self, length: u64) -> Result<(), FileError> {
        rustix::fs::ftruncate(&self.fd, length).map_err(|errno| failed("writing contents", errno))
    }

    /// Reads into `room` until it is full or the file is at its end: how many bytes. `at` is the
    /// place in a regular file, whose own is left alone.
    pub(crate) fn fill(&self, room: &mut [u8], at: u64) -> Result<usize, FileError> {
        let mut done = 0;
        while let Some(rest) = room.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.read_once(rest, at.saturating_add(done as u64)) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(Errno::INTR | Errno::AGAIN) => {}
                // Whoever wrote into a socket has gone without having ended it: that isn't all.
                Err(Errno::CONNRESET) => return Err(FileError::Broken),
                Err(errno) => return Err(failed("reading contents", errno)),
            }
            self.go_on()?;
        }
        Ok(done)
    }

    fn read_once(&self, room: &mut [u8], at: u64) -> Result<usize, Errno> {
        match self.kind {
            Kind::File => rustix::io::pread(&self.fd, room, at),
            Kind::Pipe => {
                if !self.wait(PollFlags::IN)? {
                    return Err(Errno::AGAIN);
                }
                rustix::io::read(&self.fd, room)
            }
            Kind::Socket => {
                if !self.wait(PollFlags::IN)? {
                    return Err(Errno::AGAIN);
                }
                let (read, _) = rustix::net::recv(&self.fd, room, RecvFlags::DONTWAIT)?;
                Ok(read)
            }
        }
    }

    /// Writes all of it, at the place where the file is.
    pub(crate) fn write(&self, mut bytes: &[u8]) -> Result<(), FileError> {
        while !bytes.is_empty() {
            match self.write_once(bytes) {
                // A disk that takes nothing and says nothing would be asked for ever.
                Ok(0) => return Err(FileError::Full),
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(errno) => return Err(failed("writing contents", errno)),
            }
            self.go_on()?;
        }
        Ok(())
    }

    fn write_once(&self, bytes: &[u8]) -> Result<usize, Errno> {
        match self.kind {
            Kind::File => rustix::io::write(&self.fd, bytes),
            Kind::Pipe => {
                if !self.wait(PollFlags::OUT)? {
                    return Err(Errno::AGAIN);
                }
                let piece = bytes.get(..PIPE_ROOM_BYTES).unwrap_or(bytes);
                rustix::io::write(&self.fd, piece)
            }
            Kind::Socket => {
                if !self.wait(PollFlags::OUT)? {
                    return Err(Errno::AGAIN);
                }
                rustix::net::send(&self.fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
            }
        }
    }

    /// Waits until it is ready, or nobody wants it any more: whether it is ready.
    fn wait(&self, wanted: PollFlags) -> Result<bool, Errno> {
        let mut both =
            [PollFd::from_borrowed_fd(self.fd.as_fd(), wanted), PollFd::new(&self.stop, PollFlags::IN)];
        poll(&mut both, None)?;
        let [file, _] = both;
        Ok(!file.revents().is_empty() && !self.stop.is_over())
    }

    fn go_on(&self) -> Result<(), FileError> {
        if self.stop.is_over() { Err(FileError::Stopped) } else { Ok(()) }
    }
}
