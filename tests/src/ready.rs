//! Waits until a program says that it is ready, by a file it writes: told by the kernel, not asked again and again.

use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

use crate::process::Process;

/// How often a waiting test looks whether the program has died instead, in nanoseconds.
const LOOK_NANOSECONDS: i64 = 100_000_000;
/// How often it looks before it gives up: a minute.
const LOOKS: u32 = 600;

/// A file that will appear.
#[derive(Debug)]
pub struct Ready {
    path: PathBuf,
    events: std::os::fd::OwnedFd,
}

impl Ready {
    /// Expects the file; removes an old one.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        let _ = std::fs::remove_file(path);
        let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).unwrap();
        let flags =
            inotify::WatchFlags::CLOSE_WRITE | inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::CREATE;
        inotify::add_watch(&events, path.parent().unwrap(), flags).unwrap();
        Self { path: path.to_owned(), events }
    }

    /// Where the program is to write it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for a whole line in it.
    ///
    /// # Panics
    /// If the program ends, or a minute passes.
    #[must_use]
    pub fn wait(&self, process: &mut Process) -> String {
        for _ in 0..LOOKS {
            match std::fs::read_to_string(&self.path) {
                Ok(text) if text.ends_with('\n') => return text,
                _ => {}
            }
            assert!(process.runs(), "ended before it was ready:\n{}", crate::logs::tail(&process.log()));
            let mut polled = [PollFd::new(&self.events, PollFlags::IN)];
            let _ = poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: LOOK_NANOSECONDS }));
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut reader = inotify::Reader::new(&self.events, &mut buffer);
            while reader.next().is_ok() {}
        }
        panic!("not ready after a minute:\n{}", crate::logs::tail(&process.log()));
    }
}
