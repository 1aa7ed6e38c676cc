//! `tests/checker/check.py`, asked line by line.
//!
//! Decides nothing: a test judges what it answers.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

/// Where it is.
pub fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/checker/check.py")
}

/// Whether there is a Python; says so if not.
pub fn python_is_here() -> bool {
    let here = Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    if !here {
        println!("skipped: python3 is not installed");
    }
    here
}

/// The other program, asked line by line.
pub struct Checker {
    process: Child,
    asked: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Checker {
    pub fn start(forget: Option<&str>) -> Self {
        let mut command = Command::new("python3");
        command.arg("-B").arg(program());
        if let Some(rule) = forget {
            command.args(["--forget", rule]);
        }
        let mut process =
            command.arg("compare").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (asked, answers) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Self { process, asked, answers: BufReader::new(answers) }
    }

    pub fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.asked, "{question}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
