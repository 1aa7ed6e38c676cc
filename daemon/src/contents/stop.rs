//! Ending work that waits for another program's pipe.
//!
//! Decides that whoever began such work ends it by going away: a device that is being locked drops
//! the call, and the thread that reads or writes for it wakes up. Without that, a pipe that nobody
//! fills would keep a device open for ever.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

#[derive(Debug)]
struct Shared {
    over: AtomicBool,
    /// Readable once it is over, so that it can be waited for together with a pipe.
    event: OwnedFd,
}

/// Dropped, it ends the work that has the other half.
#[derive(Debug)]
pub(crate) struct Stopper(Arc<Shared>);

/// Tells work that it is over.
#[derive(Debug, Clone)]
pub(crate) struct Stop(Arc<Shared>);

/// Both halves.
///
/// # Errors
/// The system's: out of descriptors.
pub(crate) fn stop() -> io::Result<(Stopper, Stop)> {
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let shared = Arc::new(Shared { over: AtomicBool::new(false), event });
    Ok((Stopper(Arc::clone(&shared)), Stop(shared)))
}

impl Drop for Stopper {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Release);
        // Fails only above 2^64 - 2 of such words.
        let _ = rustix::io::write(&self.0.event, &1_u64.to_ne_bytes());
    }
}

impl Stop {
    /// Whether nobody wants the work any more.
    pub(crate) fn is_over(&self) -> bool {
        self.0.over.load(Ordering::Acquire)
    }
}

impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.event.as_fd()
    }
}
