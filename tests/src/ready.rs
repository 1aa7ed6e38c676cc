//! Waits until a program says that it is ready, by a file it writes: told by the kernel, not asked
//! again and again.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
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
    events: OwnedFd,
}

impl Ready {
    /// Expects the file; removes an old one.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        let _ = std::fs::remove_file(path);
        Self { path: path.to_owned(), events: watch(path.parent().unwrap()) }
    }

    /// Expects any file in a folder that is there already.
    #[must_use]
    pub fn anything_in(folder: &Path) -> Self {
        Self { path: folder.to_owned(), events: watch(folder) }
    }

    /// Where the program is to write it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for a whole line in the file.
    ///
    /// # Panics
    /// If the program ends, or a minute passes.
    #[must_use]
    pub fn wait(&self, process: &mut Process) -> String {
        self.until(process, || std::fs::read_to_string(&self.path).ok().filter(|text| text.ends_with('\n')))
    }

    /// Waits for the file, whoever writes it.
    ///
    /// # Panics
    /// If a minute passes.
    pub fn appeared(&self) {
        for _ in 0..LOOKS {
            if std::fs::read_to_string(&self.path).is_ok_and(|text| text.ends_with('\n')) {
                return;
            }
            until_changed(&self.events);
        }
        panic!("not ready after a minute");
    }

    /// Waits for a file in the folder; returns what is in it.
    ///
    /// # Panics
    /// If the program ends, or a minute passes.
    #[must_use]
    pub fn first(&self, process: &mut Process) -> String {
        self.until(process, || {
            let first = std::fs::read_dir(&self.path).ok()?.next()?.ok()?;
            std::fs::read_to_string(first.path()).ok().filter(|text| text.ends_with('\n'))
        })
    }

    fn until(&self, process: &mut Process, look: impl Fn() -> Option<String>) -> String {
        for _ in 0..LOOKS {
            if let Some(text) = look() {
                return text;
            }
            assert!(process.runs(), "ended before it was ready:\n{}", crate::logs::tail(&process.log()));
            until_changed(&self.events);
        }
        panic!("not ready after a minute:\n{}", crate::logs::tail(&process.log()));
    }
}

/// Waits until a program's log has these words so many times.
///
/// # Panics
/// If the program ends, or a minute passes.
pub fn logged(process: &mut Process, words: &str, times: usize) {
    let path = process.log_path().to_owned();
    let _ = said(&path, words, times, || {
        assert!(process.runs(), "it ended:\n{}", crate::logs::tail(&process.log()));
    });
}

/// Waits until a file is gone.
///
/// # Panics
/// If a minute passes.
pub fn gone(path: &Path) {
    let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&events, path.parent().unwrap(), inotify::WatchFlags::DELETE).unwrap();
    for _ in 0..LOOKS {
        if !path.exists() {
            return;
        }
        until_changed(&events);
    }
    panic!("{} is still there after a minute", path.display());
}

/// Waits until a file that is there has these words; returns what is in it.
///
/// # Panics
/// If a minute passes.
#[must_use]
pub fn in_file(path: &Path, words: &str) -> String {
    said(path, words, 1, || {})
}

fn said(path: &Path, words: &str, times: usize, mut alive: impl FnMut()) -> String {
    let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&events, path, inotify::WatchFlags::MODIFY).unwrap();
    let read = || String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    for _ in 0..LOOKS {
        let log = read();
        if log.matches(words).count() >= times {
            return log;
        }
        alive();
        until_changed(&events);
    }
    panic!("{words:?} is not said after a minute:\n{}", crate::logs::tail(&read()));
}

/// Waits for the next event, a tenth of a second at most.
fn until_changed(events: &OwnedFd) {
    let mut polled = [PollFd::new(events, PollFlags::IN)];
    let _ = poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: LOOK_NANOSECONDS }));
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(events, &mut buffer);
    while reader.next().is_ok() {}
}

fn watch(folder: &Path) -> OwnedFd {
    let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).unwrap();
    let flags =
        inotify::WatchFlags::CLOSE_WRITE | inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::CREATE;
    inotify::add_watch(&events, folder, flags).unwrap();
    events
}
