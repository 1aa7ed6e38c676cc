//! A daemon that may come up or refuse to: either is an answer, and silence is a failure of the
//! test.
//!
//! Decides how long a start may take before it counts as hanging. Refuses nothing else: what the
//! answer should be, a test says.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use crate::process::binary;

/// A start that took longer hangs: an unhindered one takes some hundredths of a second.
const HANGS_AFTER_SECONDS: i64 = 60;

/// A daemon that serves; killed when dropped.
#[derive(Debug)]
pub struct Served {
    child: Child,
}

/// How a start ended.
#[derive(Debug)]
pub enum Launched {
    /// It said that it is ready.
    Serves(Served),
    /// It ended by itself.
    Refused {
        /// The exit code; -1 for a signal.
        code: i32,
        /// What it wrote on stderr.
        said: String,
    },
}

impl Served {
    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self) {
        let _ = self.child.wait();
    }

    /// Ends it in order, which writes down all that it has said.
    ///
    /// # Panics
    /// If it can't be told to.
    pub fn stop(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.wait();
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A command for parsecd whose readiness is told on stdout and whose log goes to stderr.
#[must_use]
pub fn daemon() -> Command {
    let mut command = Command::new(binary("parsecd"));
    command.args(["--ready-fd", "1"]).env_remove("XDG_RUNTIME_DIR").env_remove("XDG_DATA_HOME");
    command.env_remove("XDG_CONFIG_HOME").env_remove("RUST_LOG");
    command
}

/// A start under way.
#[derive(Debug)]
pub struct Starting {
    child: Child,
    stdout: ChildStdout,
    log: std::path::PathBuf,
}

/// Starts a command of [`daemon`]; its stderr goes to `log`.
#[must_use]
pub fn begin(mut command: Command, log: &Path) -> Starting {
    let stderr = std::fs::File::create(log).unwrap();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    Starting { child, stdout, log: log.to_owned() }
}

impl Starting {
    /// Waits for the one answer or the other.
    ///
    /// # Panics
    /// If neither comes: the daemon hangs.
    #[must_use]
    pub fn answer(mut self) -> Launched {
        let mut polled = [PollFd::new(&self.stdout, PollFlags::IN)];
        let deadline = Timespec { tv_sec: HANGS_AFTER_SECONDS, tv_nsec: 0 };
        if poll(&mut polled, Some(&deadline)) == Ok(0) {
            let _ = self.child.kill();
            panic!("the daemon hangs while it starts; its log: {}", log_of(&self.log));
        }
        let mut line = String::new();
        let mut stdout = BufReader::new(self.stdout);
        stdout.read_line(&mut line).unwrap();
        if line.ends_with('\n') {
            return Launched::Serves(Served { child: self.child });
        }
        let _ = stdout.read_to_string(&mut line);
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        Launched::Refused { code, said: log_of(&self.log) }
    }
}

/// Starts a command of [`daemon`] and waits for its answer.
#[must_use]
pub fn launch(command: Command, log: &Path) -> Launched {
    begin(command, log).answer()
}

fn log_of(file: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default()).into_owned()
}
