//! A session with the kernel: how it begins, what it is told, and its end.
//!
//! Decides that requests are read by two threads from the one descriptor: a clone of it would take
//! `/dev/fuse`, which the daemon does not see.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;

use fuser::{Config, INodeNo, Notifier, SessionACL};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::Served;
use crate::mount::following::Tell;
use crate::mount::tether::Tether;

/// Threads that read requests. None of them works on one, so more gain nothing.
const THREADS: usize = 2;

/// A session with the kernel, over the descriptor that a mount was made with.
pub(in crate::mount) struct Kernel(fuser::Session<Served>);

/// Takes the descriptor, and hears how the kernel speaks. It blocks, until the kernel has said so.
///
/// # Errors
/// The descriptor is of no mount, or the kernel speaks otherwise.
pub(in crate::mount) fn begin(
    tether: Tether,
    runtime: Handle,
    owner: (u32, u32),
    device: OwnedFd,
) -> io::Result<Kernel> {
    let mut config = Config::default();
    config.n_threads = Some(THREADS);
    let served = Served { tether, runtime, owner };
    fuser::Session::from_fd(served, device, SessionACL::Owner, config).map(Kernel)
}

impl Kernel {
    /// The way to tell the kernel something.
    pub(in crate::mount) fn notifier(&self) -> Told {
        Told(self.0.notifier())
    }

    /// Serves until nobody has the mount any more.
    pub(in crate::mount) fn run(self) -> io::Result<()> {
        self.0.run()
    }
}

/// The way to tell the kernel something.
pub(in crate::mount) struct Told(Notifier);

impl Told {
    /// Tells it until there is nothing more to tell. On a thread of its own: the kernel may ask in
    /// between, and waits for the answer.
    pub(in crate::mount) fn run(&self, mut words: mpsc::Receiver<Tell>) {
        while let Some(word) = words.blocking_recv() {
            let told = match word {
                Tell::Name(folder, name) => {
                    self.0.inval_entry(INodeNo(folder), OsStr::from_bytes(name.as_bytes()))
                }
                Tell::Inode(ino) => self.0.inval_inode(INodeNo(ino), 0, 0),
                Tell::All(all, places, done) => {
                    for ino in all {
                        let _ = self.0.inval_inode(INodeNo(ino), 0, 0);
                    }
                    // Behind the pages: contents matter more than what they are called.
                    for (folder, name) in places {
                        let _ = self.0.inval_entry(INodeNo(folder), OsStr::from_bytes(name.as_bytes()));
                    }
                    drop(done);
                    return;
                }
            };
            if let Err(error) = told {
                tracing::debug!(%error, "the kernel could not be told of a change");
            }
        }
    }
}
