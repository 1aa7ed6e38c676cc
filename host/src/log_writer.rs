//! The log's way out: a thread that may wait for whoever reads it, so that nobody else does.
//!
//! Decides that lines which find the way blocked are lost and counted, not waited for: a journal
//! that hangs or a pipe that nobody reads must not hold up a request, nor the loop that everything
//! waits for. What was said before the end is written, if it can be within a moment.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

/// Lines on their way: some seconds of a busy server's, about 1 MB.
const LINES_MAX: usize = 4_096;
/// How long the last lines may take at the end.
const LAST_LINES_WAIT: Duration = Duration::from_secs(2);

/// The thread, and its end.
#[derive(Debug)]
pub struct LogWriter {
    lines: Lines,
    ending: Arc<AtomicBool>,
    ended: Receiver<()>,
}

/// Where lines are put. Copies lead to the same thread.
#[derive(Debug, Clone)]
pub struct Lines {
    queue: SyncSender<Vec<u8>>,
    lost: Arc<AtomicU64>,
}

impl LogWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's: there are no more threads.
    pub fn start(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, waiting) = sync_channel(LINES_MAX);
        let (end, ended) = sync_channel(1);
        let lines = Lines { queue, lost: Arc::default() };
        let ending = Arc::new(AtomicBool::new(false));
        let (lost, seen) = (Arc::clone(&lines.lost), Arc::clone(&ending));
        std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            write(sink, &waiting, &lost, &seen);
            drop(end);
        })?;
        Ok(Self { lines, ending, ended })
    }

    /// Where lines are put.
    #[must_use]
    pub fn lines(&self) -> Lines {
        self.lines.clone()
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        // Wakes the thread if it waits; if there is no place, it doesn't.
        let _ = self.lines.queue.try_send(Vec::new());
        // A thread that still waits for its reader ends with the process.
        let (Ok(()) | Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout)) =
            self.ended.recv_timeout(LAST_LINES_WAIT);
    }
}

impl Lines {
    pub(crate) fn put(&self, line: Vec<u8>) {
        if self.queue.try_send(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Each piece is a whole line, as the log's layers write.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(mut sink: impl Write, waiting: &Receiver<Vec<u8>>, lost: &AtomicU64, ending: &AtomicBool) {
    loop {
        let line = match waiting.try_recv() {
            Ok(line) => line,
            Err(TryRecvError::Empty) if !ending.load(Ordering::SeqCst) => match waiting.recv() {
                Ok(line) => line,
                Err(_) => return,
            },
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
        };
        if !line.is_empty() {
            // A line that can't be logged can't be complained about either.
            let _ = sink.write_all(&line).and_then(|()| sink.flush());
        }
        let missed = lost.swap(0, Ordering::Relaxed);
        if missed > 0 {
            tracing::warn!(missed, "lines of the log were lost: whoever reads it was too slow");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use super::*;

    /// A reader that takes nothing until it is told to.
    #[derive(Clone, Default)]
    struct Stuck(Arc<(Mutex<State>, Condvar)>);

    /// Whether it lets go, and what has come.
    type State = (bool, Vec<u8>);

    impl Stuck {
        fn release(&self) {
            self.0.0.lock().unwrap().0 = true;
            self.0.1.notify_all();
        }

        fn taken(&self) -> Vec<u8> {
            self.0.0.lock().unwrap().1.clone()
        }
    }

    impl Write for Stuck {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let mut state = self.0.1.wait_while(self.0.0.lock().unwrap(), |state| !state.0).unwrap();
            state.1.extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_reader_that_is_stuck_and_what_is_lost_is_counted() {
        let stuck = Stuck::default();
        let writer = LogWriter::start(stuck.clone()).unwrap();
        let mut lines = writer.lines();
        // Would hang here if a line were waited for.
        for number in 0..2 * LINES_MAX {
            lines.write_all(format!("line {number}\n").as_bytes()).unwrap();
        }
        // One is in the thread's hands, if it has come that far.
        let lost = lines.lost.load(Ordering::Relaxed);
        assert!((LINES_MAX as u64 - 1..=LINES_MAX as u64).contains(&lost), "{lost}");
        stuck.release();
        drop(writer);
        let taken = String::from_utf8(stuck.taken()).unwrap();
        assert_eq!(taken.lines().count() as u64, 2 * LINES_MAX as u64 - lost);
        assert!(taken.starts_with("line 0\nline 1\n"), "in order");
    }

    #[test]
    fn what_was_said_before_the_end_is_written() {
        let free = Stuck::default();
        free.release();
        let writer = LogWriter::start(free.clone()).unwrap();
        writer.lines().write_all(b"last\n").unwrap();
        drop(writer);
        assert_eq!(free.taken(), b"last\n");
    }
}
