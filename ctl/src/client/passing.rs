//! A request with an open file: the descriptor goes in the message that ends the request's line.
//!
//! Decides that the file is this program's: opened with the caller's own rights, and read or
//! written by the daemon through the descriptor alone. Refuses to send one where a line could end
//! without it, so that no request gets another's file.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Connection, gone};
use crate::failure::Failure;

impl Connection {
    /// Asks with an open file, which the daemon reads or writes, and waits for the answer.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(crate) fn call_with<P: Serialize, R: DeserializeOwned>(
        &mut self,
        method: &str,
        params: &P,
        descriptor: BorrowedFd<'_>,
    ) -> Result<R, Failure> {
        let asked = self.write(method, params)?;
        loop {
            match end_line(&self.stream, descriptor) {
                Ok(0) => return Err(gone("it takes nothing more")),
                Ok(_) => return self.answer(method, asked),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.check_alive()?,
                Err(error) => return Err(gone(&error.to_string())),
            }
        }
    }
}

/// Sends the byte that ends a line, and the descriptor with it.
///
/// # Errors
/// The system's.
fn end_line(stream: &UnixStream, descriptor: BorrowedFd<'_>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut with = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    if !with.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(sendmsg(stream, &[IoSlice::new(b"\n")], &mut with, SendFlags::NOSIGNAL)?)
}
