//! A program that belongs to a test: found among the built ones, started with its output in a file,
//! killed with its owner.
//!
//! Refuses to run when the binary has not been built, and says what to do about it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// Names the parsecd that every test is to run, instead of those beside them.
const OTHER_PARSECD: &str = "PARSEC_PARSECD";

/// Which daemon a device runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Daemon {
    /// The shipped one, whose key files take a second and 256 MiB: where that matters, and where
    /// the very program is looked at.
    Shipped,
    /// The same, with key files that take next to no work (`tests/daemon`).
    #[default]
    LightKeyFiles,
}

impl Daemon {
    /// Its program.
    #[must_use]
    pub fn binary(self) -> PathBuf {
        match (self, std::env::var_os(OTHER_PARSECD)) {
            (_, Some(other)) => other.into(),
            (Self::Shipped, None) => binary("parsecd"),
            (Self::LightKeyFiles, None) => binary("parsec-test-daemon"),
        }
    }
}

/// The user and group `nobody`: another user, whom the tests become where they run as root.
pub const NOBODY: u32 = 65_534;

/// A program as another user, without any of root's groups. Takes root.
#[must_use]
pub fn as_nobody(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    // With another user's id, the standard library drops the supplementary groups, too.
    command.gid(NOBODY).uid(NOBODY);
    command
}

/// One of the workspace's binaries.
///
/// # Panics
/// If it has not been built: `cargo test` alone builds only the libraries of other crates.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    // Another build of the daemon: `cargo xtask no-p2p`.
    if name == "parsecd"
        && let Some(other) = std::env::var_os(OTHER_PARSECD)
    {
        return other.into();
    }
    let mut folder = std::env::current_exe().unwrap();
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let path = folder.join(name);
    assert!(
        path.exists(),
        "{} is missing: run the tests with `cargo xtask test`, or first `cargo build --workspace --bins`",
        path.display()
    );
    path
}

/// A command for a program, after the words that put it into a place of its own, if there are any.
/// Those give way to the program: the process is the program's.
#[must_use]
pub fn command_in(prefix: &[String], program: &Path) -> Command {
    match prefix.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// A running program, killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    kept: bool,
}

impl Process {
    /// Starts a program. What it writes on either stream is added to `log`.
    #[must_use]
    pub fn start(name: &str, mut command: Command, log: &Path) -> Self {
        let mut file = File::options().create(true).append(true).open(log).unwrap();
        writeln!(file, "--- {name} starts").unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { name: name.to_owned(), child, log: log.to_owned(), kept: false }
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Where it writes.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it as a power cut would, and waits until it is gone.
    pub fn kill(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(id, signal).unwrap();
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.child.wait().unwrap()
    }

    /// Leaves it running after the owner is gone; returns its id. For the demonstration's `--keep`
    /// alone.
    #[must_use]
    pub fn release(self) -> u32 {
        let id = self.child.id();
        let mut this = self;
        this.kept = true;
        id
    }
}

/// Sends a signal to a program of this test that somebody else owns, such as a shell.
pub fn signal_by_id(id: u32, signal: Signal) {
    let id = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    kill_process(id, signal).unwrap();
}

/// Kills a program of this test that another thread owns; its owner still has to take note of its
/// end.
pub fn kill_by_id(id: u32) {
    signal_by_id(id, Signal::KILL);
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        self.kill();
        if std::thread::panicking() {
            eprintln!(
                "--- log of {} ({})\n{}--- end",
                self.name,
                self.log.display(),
                crate::logs::tail(&self.log())
            );
        }
    }
}
