//! What goes out to one client: answers and notifications, in their order.
//!
//! Decides how much may wait for a client to read it, and who writes: whoever has a line, at once,
//! where none waits before it; waking a task for every answer would be a large part of what
//! answering costs. Refuses more by closing: a client that does not read loses its connection and
//! nothing else. Nothing goes out once the connection has ended.

use std::io::{ErrorKind, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parsec_protocol::control::LINE_MAX_BYTES;
use rustix::net::Shutdown;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::connection_limits::{BytePermit, Permit};

/// Bytes of answers and notifications that wait for a client to read them: four of the largest
/// lines.
pub(super) const OUTGOING_MAX_BYTES: usize = 4 * LINE_MAX_BYTES;
/// Lines that wait likewise, for the memory beside their bytes.
const OUTGOING_MAX_LINES: usize = 1_024;
/// Bytes of notifications among them. A subscription waits for room here, so that a client that
/// reads slowly makes its sources wait and not its connection fail; what is left is for answers.
const NOTIFIED_MAX_BYTES: usize = LINE_MAX_BYTES;
/// What a notification counts at least: so that small ones leave answers room among
/// [`OUTGOING_MAX_LINES`].
const NOTIFIED_MIN_BYTES: usize = 2 * NOTIFIED_MAX_BYTES / OUTGOING_MAX_LINES;
/// How long a client may take nothing of what is written to it: a program that was stopped for a
/// moment goes on.
const STALL: Duration = Duration::from_secs(60);

/// A line that waits to go out, and its share of [`OUTGOING_MAX_BYTES`].
struct Outgoing {
    line: Zeroizing<String>,
    /// How many of its bytes, the line feed among them, the client's socket has taken.
    taken: usize,
    _share: OwnedSemaphorePermit,
    /// For a notification, its share of [`NOTIFIED_MAX_BYTES`].
    _room: Option<OwnedSemaphorePermit>,
    /// Its share of what may wait for all connections.
    _held: BytePermit,
}

/// The client's end of the socket.
struct Writer {
    half: OwnedWriteHalf,
    /// Whether lines wait, or nothing goes out any more. Held while a line is written or put behind
    /// others, so that they keep their order.
    waiting: Mutex<bool>,
}

impl Writer {
    fn waiting(&self) -> MutexGuard<'_, bool> {
        // A panic while it is held leaves it as it was before or as it should be.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the socket takes now of a line and its end, of which so many bytes are taken already.
    fn write(&self, line: &str, taken: usize) -> std::io::Result<usize> {
        let rest = line.as_bytes().get(taken..).unwrap_or_default();
        self.half.try_write_vectored(&[IoSlice::new(rest), IoSlice::new(b"\n")])
    }

    /// Writes what is left of a line.
    async fn finish(&self, line: &str, mut taken: usize) -> std::io::Result<()> {
        while taken <= line.len() {
            self.half.writable().await?;
            match self.write(line, taken) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(more) => taken = taken.saturating_add(more),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Where answers go. Never waits: what doesn't fit ends the connection.
#[derive(Clone)]
pub(super) struct Out {
    writer: Arc<Writer>,
    lines: mpsc::Sender<Outgoing>,
    bytes: Arc<Semaphore>,
    notified: Arc<Semaphore>,
    permit: Arc<Permit>,
}

/// The lines that wait. Dropped, nothing more goes out, whoever still has an [`Out`].
pub(super) struct Waiting {
    writer: Arc<Writer>,
    lines: mpsc::Receiver<Outgoing>,
    /// Ends the connection.
    cut: CancellationToken,
}

/// The way out to a client.
pub(super) fn to(client: OwnedWriteHalf, permit: Arc<Permit>) -> (Out, Waiting) {
    let (lines, queue) = mpsc::channel(OUTGOING_MAX_LINES);
    let writer = Arc::new(Writer { half: client, waiting: Mutex::new(false) });
    let waiting = Waiting { writer: Arc::clone(&writer), lines: queue, cut: permit.cut().clone() };
    let bytes = Arc::new(Semaphore::new(OUTGOING_MAX_BYTES));
    let notified = Arc::new(Semaphore::new(NOTIFIED_MAX_BYTES));
    (Out { writer, lines, bytes, notified, permit }, waiting)
}

impl Out {
    pub(super) fn send(&self, line: Zeroizing<String>) {
        self.push(line, None);
    }

    /// Sends a notification once there is room for it, or drops it: with `done` nobody listens any
    /// more, or there is no time left.
    pub(super) async fn notify(&self, line: Zeroizing<String>, done: &CancellationToken) {
        let size = line.len().clamp(NOTIFIED_MIN_BYTES, NOTIFIED_MAX_BYTES);
        let room = Arc::clone(&self.notified).acquire_many_owned(u32::try_from(size).unwrap_or(u32::MAX));
        let room = tokio::select! {
            biased;
            room = room => room,
            () = done.cancelled() => return,
        };
        if let Ok(room) = room {
            self.push(line, Some(room));
        }
    }

    fn push(&self, line: Zeroizing<String>, room: Option<OwnedSemaphorePermit>) {
        let mut waiting = self.writer.waiting();
        let size = u32::try_from(line.len()).unwrap_or(u32::MAX);
        // Its share first: a line that is refused is not begun, so that nothing follows half of
        // one.
        let sent = match Arc::clone(&self.bytes).try_acquire_many_owned(size) {
            Ok(share) => {
                // A failure is left to whoever writes what waits.
                let taken = if *waiting { 0 } else { self.writer.write(&line, 0).unwrap_or(0) };
                if taken > line.len() {
                    return;
                }
                *waiting = true;
                let held = self.permit.hold_bytes(line.len());
                let outgoing = Outgoing { line, taken, _share: share, _room: room, _held: held };
                self.lines.try_send(outgoing).is_ok()
            }
            Err(_) => false,
        };
        drop(waiting);
        let cut = self.permit.cut();
        if !sent && !cut.is_cancelled() {
            tracing::info!("closed a connection whose client does not read");
            cut.cancel();
        }
    }
}

impl Waiting {
    /// Writes them until every [`Out`] is gone, which is when everything has been answered.
    pub(super) async fn write(mut self) {
        while let Some(outgoing) = self.lines.recv().await {
            match tokio::time::timeout(STALL, self.writer.finish(&outgoing.line, outgoing.taken)).await {
                Ok(Ok(())) => {
                    let mut waiting = self.writer.waiting();
                    *waiting = !self.lines.is_empty();
                }
                // The client is gone. Its requests are finished all the same, and their answers
                // dropped.
                Ok(Err(_)) => break,
                Err(_) => {
                    tracing::info!("closed a connection whose client takes nothing");
                    self.cut.cancel();
                }
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // What is under way may have an answer yet, for somebody whose token was taken back.
        *self.writer.waiting() = true;
        let _ = rustix::net::shutdown(self.writer.half.as_ref(), Shutdown::Write);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
    use tokio::net::UnixStream;

    use super::super::connection_limits::ConnectionLimits;
    use super::*;

    fn client() -> (BufReader<UnixStream>, Out, Waiting) {
        let (near, far) = UnixStream::pair().unwrap();
        let permit = ConnectionLimits::new().enter(Some(1)).unwrap();
        // Its reading half is the connection's; here nobody sends anything.
        let (_, half) = near.into_split();
        let (out, waiting) = to(half, Arc::new(permit));
        (BufReader::new(far), out, waiting)
    }

    fn line(of: char, length: usize) -> Zeroizing<String> {
        Zeroizing::new(of.to_string().repeat(length))
    }

    /// Larger than any socket takes at once, then a small one: neither overtakes or breaks the
    /// other.
    #[tokio::test]
    async fn lines_keep_their_order_whoever_writes_them() {
        let (mut far, out, waiting) = client();
        let sizes = [3, LINE_MAX_BYTES, 5, 1, LINE_MAX_BYTES, 7];
        let reads = async {
            for (letter, size) in ('a'..).zip(sizes) {
                let mut read = String::new();
                let _ = far.read_line(&mut read).await.unwrap();
                assert_eq!(read.len(), size + 1);
                assert!(read.trim_end().chars().all(|found| found == letter), "{letter}");
            }
        };
        let sends = async {
            // From here on the socket takes what it has room for.
            out.writer.half.writable().await.unwrap();
            for (letter, size) in ('a'..).zip(sizes) {
                out.send(line(letter, size));
                tokio::task::yield_now().await;
            }
            drop(out);
        };
        tokio::join!(sends, waiting.write(), reads);
        let mut rest = Vec::new();
        assert_eq!(far.read_to_end(&mut rest).await.unwrap(), 0);
    }

    /// A request may be under way while its connection is cut off, for a token that was taken back.
    #[tokio::test]
    async fn nothing_goes_out_once_the_connection_has_ended() {
        let (mut far, out, waiting) = client();
        out.writer.half.writable().await.unwrap();
        out.send(line('a', 1));
        drop(waiting);
        out.send(line('b', 1));
        let mut read = String::new();
        let _ = far.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "a\n");
    }

    /// Half a line and then another would be read as one.
    #[tokio::test]
    async fn a_line_that_is_refused_is_not_begun() {
        let (mut far, out, waiting) = client();
        out.writer.half.writable().await.unwrap();
        out.send(line('a', OUTGOING_MAX_BYTES + 1));
        assert!(out.permit.cut().is_cancelled());
        drop((out, waiting));
        let mut read = String::new();
        let _ = far.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "");
    }
}
