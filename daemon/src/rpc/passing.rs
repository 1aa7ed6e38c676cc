//! Open files that come with requests: the caller opened them with its own rights, and the daemon
//! reads or writes what it could not open itself.
//!
//! Decides what may be passed: one open file in the message that ends a request's line, a regular
//! one, a pipe or a socket. Refuses folders and devices, which would be another way to say where
//! in the file system, and every descriptor that nobody asked for: one that stayed open would hold
//! what its owner believes closed.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use parsec_protocol::control::{Problem, ProblemKind};
use rustix::fs::FileType;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::unix::OwnedReadHalf;

/// What came with the bytes of one look at a connection.
#[derive(Debug, Default)]
pub(super) enum Passed {
    /// No descriptor.
    #[default]
    Nothing,
    /// One, which is closed when a program of ours is started.
    One(OwnedFd),
    /// More than one in a message, or one that nobody had taken yet. They are closed.
    TooMany,
}

/// Where a reader puts descriptors, until whoever reads lines takes them.
#[derive(Debug, Clone, Default)]
pub(super) struct Mailbox(Arc<Mutex<Passed>>);

impl Mailbox {
    /// What has come since the last time.
    pub(super) fn take(&self) -> Passed {
        // One assignment: a panic elsewhere leaves nothing half done.
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, passed: Passed) {
        let mut here = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *here = match (std::mem::take(&mut *here), passed) {
            (before, Passed::Nothing) => before,
            (Passed::Nothing, passed) => passed,
            (Passed::One(_) | Passed::TooMany, Passed::One(_) | Passed::TooMany) => Passed::TooMany,
        };
    }
}

/// A connection's bytes; descriptors beside them go into a mailbox.
pub(super) struct PassingReader {
    stream: OwnedReadHalf,
    mailbox: Mailbox,
}

impl PassingReader {
    pub(super) const fn new(stream: OwnedReadHalf, mailbox: Mailbox) -> Self {
        Self { stream, mailbox }
    }

    /// Reads what is there. Less than there was room for, and no file beside it, is all there is:
    /// that is told as "nothing more", so that the next look waits and doesn't ask the kernel in
    /// vain, which would be a tenth of what a small request costs. Beside a file the kernel stops
    /// early, and more may be there.
    fn receive(&self, room: &mut [u8]) -> io::Result<usize> {
        let stream = self.stream.as_ref();
        let mut last = None;
        let received = stream.try_io(Interest::READABLE, || {
            // Alignment leaves room for two: so two are seen, and more are closed by the kernel,
            // which says so.
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut beside = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            let wanted = room.len();
            let received = recvmsg(stream.as_fd(), &mut [IoSliceMut::new(room)], &mut beside, flags)?;
            let passed = passed(&mut beside, received.flags);
            let all = (1..wanted).contains(&received.bytes) && matches!(passed, Passed::Nothing);
            self.mailbox.put(passed);
            if all {
                last = Some(received.bytes);
                // Said here, while what was ready is known: what arrives now is ready anew.
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(received.bytes)
        });
        last.map_or(received, Ok)
    }
}

/// What stands beside the bytes of a message. Whatever isn't handed on is closed here.
fn passed(beside: &mut RecvAncillaryBuffer<'_>, flags: ReturnFlags) -> Passed {
    let mut files = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = message {
            files.extend(more);
        }
    }
    if flags.contains(ReturnFlags::CTRUNC) {
        return Passed::TooMany;
    }
    let mut files = files.into_iter();
    match (files.next(), files.next()) {
        (None, _) => Passed::Nothing,
        (Some(file), None) => Passed::One(file),
        (Some(_), Some(_)) => Passed::TooMany,
    }
}

impl AsyncRead for PassingReader {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.as_ref().poll_read_ready(context))?;
            match self.receive(into.initialize_unfilled()) {
                Ok(read) => {
                    into.advance(read);
                    return Poll::Ready(Ok(()));
                }
                // Ready no longer: somebody was faster, or it was a rumour.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// The open file of one request, until its method takes it.
#[derive(Debug, Clone, Default)]
pub(super) struct RequestFile(Arc<Mutex<Option<OwnedFd>>>);

impl RequestFile {
    pub(super) fn new(file: Option<OwnedFd>) -> Self {
        Self(Arc::new(Mutex::new(file)))
    }

    /// The file, of whatever kind: whoever takes it looks what it is.
    ///
    /// # Errors
    /// `descriptor_missing` where none came.
    pub(super) fn take_any(&self) -> Result<OwnedFd, Problem> {
        let file = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let missing = || Problem::new(ProblemKind::DescriptorMissing, "No open file came with the request.");
        file.ok_or_else(missing)
    }

    /// The file, of a kind that contents can be in.
    ///
    /// # Errors
    /// `descriptor_missing` where none came, `invalid_request` where it is of another kind.
    pub(super) fn take(&self) -> Result<OwnedFd, Problem> {
        let file = self.take_any()?;
        let refuse = |text: &str| Err(Problem::new(ProblemKind::InvalidRequest, text));
        let Ok(stat) = rustix::fs::fstat(&file) else {
            return refuse("The open file that came with the request can't be examined.");
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile | FileType::Fifo | FileType::Socket => Ok(file),
            _ => refuse("The open file that came with the request is a folder or a device."),
        }
    }
}
