//! A tap between a program and a daemon's socket: passes every line on, and remembers it with its
//! direction.
//!
//! Refuses nothing: what is no JSON is passed on too, and remembered as a text.

use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

/// One line that went through.
#[derive(Debug, Clone)]
pub struct Line {
    /// Which connection, in the order they came.
    pub connection: usize,
    /// Whether the program said it, and not the daemon.
    pub asked: bool,
    /// The message, as JSON.
    pub said: Value,
}

#[derive(Debug, Default)]
struct Heard {
    lines: Mutex<Vec<Line>>,
    streams: Mutex<Vec<UnixStream>>,
    closing: AtomicBool,
}

/// A socket that stands in front of a daemon's.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    heard: Arc<Heard>,
    accepting: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Listens at `path` and passes on to `daemon`.
    #[must_use]
    pub fn start(path: &Path, daemon: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let heard = Arc::new(Heard::default());
        let (theirs, daemon) = (Arc::clone(&heard), daemon.to_owned());
        let accepting = std::thread::spawn(move || accept(&listener, &daemon, &theirs));
        Self { path: path.to_owned(), heard, accepting: Some(accepting) }
    }

    /// Where programs connect.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything so far. A line is remembered before it is passed on: an answer never stands
    /// before its request.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.heard.lines.lock().unwrap().clone()
    }
}

fn accept(listener: &UnixListener, daemon: &Path, heard: &Arc<Heard>) {
    let mut passing = Vec::new();
    for (connection, program) in listener.incoming().enumerate() {
        if heard.closing.load(Ordering::SeqCst) {
            break;
        }
        let program = program.unwrap();
        // A daemon that doesn't listen refuses the program likewise.
        let Ok(daemon) = UnixStream::connect(daemon) else { continue };
        let mut streams = heard.streams.lock().unwrap();
        for (from, to, asked) in [(&program, &daemon, true), (&daemon, &program, false)] {
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let heard = Arc::clone(heard);
            passing.push(std::thread::spawn(move || pass(from, to, &heard, connection, asked)));
        }
        streams.extend([program, daemon]);
    }
    for thread in passing {
        let _ = thread.join();
    }
}

fn pass(from: UnixStream, mut to: UnixStream, heard: &Heard, connection: usize, asked: bool) {
    let mut reader = BufReader::new(from);
    let mut line = String::new();
    while matches!(reader.read_line(&mut line), Ok(1..)) {
        let said = serde_json::from_str(&line).unwrap_or_else(|_| Value::from(line.trim_end()));
        heard.lines.lock().unwrap().push(Line { connection, asked, said });
        if to.write_all(line.as_bytes()).is_err() {
            break;
        }
        line.clear();
    }
    let _ = to.shutdown(Shutdown::Write);
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.heard.closing.store(true, Ordering::SeqCst);
        // Wakes the one that accepts; then everything that still passes lines on.
        let _ = UnixStream::connect(&self.path);
        for stream in self.heard.streams.lock().unwrap().iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}
