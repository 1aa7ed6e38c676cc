//! How far a long work has come, on a terminal: one line that is drawn over.
//!
//! Decides how it is measured: by the file that was handed to the daemon, whose place or length
//! both programs share. Refuses to show anything where nobody looks: into a file, for a screen
//! reader, for a program.

use std::io::{IsTerminal as _, stderr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use parsec_protocol::control::PROGRESS_WHOLE;

use crate::output::Output;
use crate::text::human;

/// Time between two looks: often enough to be seen moving, and most files are done before.
const PAUSE: Duration = Duration::from_millis(500);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measured {
    /// The daemon reads the file: its place in it.
    Place,
    /// The daemon writes the file: its length.
    Length,
    /// The daemon moves the file's place, from nothing to the whole.
    Part,
}

/// A line about work that is under way. It goes away with the value.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    stop: Option<SyncSender<()>>,
    showing: Option<JoinHandle<()>>,
}

/// Whether anybody looks at a line that is drawn over.
pub(crate) fn is_seen(output: &Output) -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|kind| kind == "dumb");
    !output.is_json() && !output.is_plain() && !output.quiet && !dumb && stderr().is_terminal()
}

impl Progress {
    /// Shows how far a file has come, of `total` bytes.
    pub(crate) fn of(
        output: &Output,
        what: String,
        file: BorrowedFd<'_>,
        measured: Measured,
        total: Option<u64>,
    ) -> Self {
        // Without a second handle there is nothing to look at, and the work goes on all the same.
        let Ok(file) = file.try_clone_to_owned() else { return Self::default() };
        if !is_seen(output) {
            return Self::default();
        }
        let (stop, stopped) = sync_channel::<()>(0);
        let output = *output;
        let showing = std::thread::Builder::new().spawn(move || {
            while stopped.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                if let Some(bytes) = so_far(&file, measured) {
                    let line = match measured {
                        Measured::Part => part(&what, bytes),
                        Measured::Place | Measured::Length => line(&what, bytes, total),
                    };
                    output.progress(&line);
                }
            }
            output.progress_ends();
        });
        Self { stop: Some(stop), showing: showing.ok() }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(showing) = self.showing.take() {
            // A panic there has cost a line of talk, nothing else.
            let _ended = showing.join();
        }
    }
}

/// Bytes that are done; `None` for what has no place, such as a pipe.
fn so_far(file: &OwnedFd, measured: Measured) -> Option<u64> {
    match measured {
        Measured::Place | Measured::Part => rustix::fs::tell(file.as_fd()).ok(),
        Measured::Length => rustix::fs::fstat(file).ok().and_then(|it| u64::try_from(it.st_size).ok()),
    }
}

fn line(what: &str, bytes: u64, total: Option<u64>) -> String {
    match total {
        Some(total) if total > 0 && bytes <= total => {
            let percent = u128::from(bytes) * 100 / u128::from(total);
            format!("{what}: {} of {} ({percent} %)", human(bytes), human(total))
        }
        Some(_) | None => format!("{what}: {}", human(bytes)),
    }
}

/// How much of the whole is done.
fn part(what: &str, done: u64) -> String {
    format!("{what}: {} %", done.min(PROGRESS_WHOLE).saturating_mul(100) / PROGRESS_WHOLE)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use super::*;

    #[test]
    fn a_file_is_measured_by_a_second_handle() {
        let mut file = tempfile();
        file.write_all(b"twelve bytes").unwrap();
        let again = OwnedFd::from(file.try_clone().unwrap());
        assert_eq!(so_far(&again, Measured::Length), Some(12));
        file.seek(std::io::SeekFrom::Start(5)).unwrap();
        assert_eq!(so_far(&again, Measured::Place), Some(5));
        let (reader, _writer) = std::io::pipe().unwrap();
        assert_eq!(so_far(&reader.into(), Measured::Place), None);
    }

    fn tempfile() -> std::fs::File {
        let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR;
        rustix::fs::open(std::env::temp_dir(), flags, rustix::fs::Mode::RUSR).unwrap().into()
    }

    #[test]
    fn lines_say_how_much_is_left_where_that_is_known() {
        assert_eq!(line("x", 512, Some(1024)), "x: 512 B of 1.0 KiB (50 %)");
        assert_eq!(line("x", 2048, Some(1024)), "x: 2.0 KiB", "it grew");
        assert_eq!(line("x", 0, Some(0)), "x: 0 B");
        assert_eq!(line("x", 7, None), "x: 7 B");
        assert_eq!(part("x", 356), "x: 35 %");
        assert_eq!(part("x", u64::MAX), "x: 100 %");
    }
}
