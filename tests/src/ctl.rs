//! Runs `parsecctl` as a script would: no terminal, arguments, what it says on each stream, and how
//! it exits.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::process::binary;

/// What a run of parsecctl left behind.
#[derive(Debug)]
pub struct Said {
    /// The exit code.
    pub code: i32,
    /// Results.
    pub stdout: String,
    /// Talk.
    pub stderr: String,
}

impl Said {
    /// The result of a run that must have gone well.
    ///
    /// # Panics
    /// If it did not.
    #[must_use]
    pub fn well(self) -> Self {
        assert_eq!(self.code, 0, "parsecctl failed:\n{}{}", self.stdout, self.stderr);
        self
    }

    /// The last JSON object on stdout.
    #[must_use]
    pub fn json(&self) -> Value {
        let last = self.stdout.lines().rev().find(|line| line.starts_with('{'));
        let last = last.unwrap_or_else(|| panic!("no JSON in {self:?}"));
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error} in {last}"))
    }
}

/// A command for parsecctl, pointed at the daemon of a runtime folder.
#[must_use]
pub fn command(runtime: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("parsecctl"));
    command.args(arguments).env("XDG_RUNTIME_DIR", runtime).env("NO_COLOR", "1").env_remove("RUST_LOG");
    command
}

/// Runs parsecctl to its end with a text on its standard input.
#[must_use]
pub fn run(runtime: &Path, arguments: &[&str], input: &str) -> Said {
    let mut child = command(runtime, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("parsecctl starts");
    // It may not read its input; then the pipe is closed and the run says why.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    said(&child.wait_with_output().unwrap())
}

/// What a run left behind, as text.
#[must_use]
pub fn said(output: &Output) -> Said {
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
