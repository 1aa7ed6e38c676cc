//! `cargo xtask test`: builds every binary first, because the tests of the whole start the real ones, then runs all tests.
//!
//! Decides the summary: how many passed and failed, and what was skipped and why. Refuses to call a run that ran nothing a success.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// Tests that can't run here append a line to the file of this name (see `parsec_tests::skip`).
pub(crate) const SKIPPED: &str = "PARSEC_TESTS_SKIPPED";

pub(crate) fn run(root: &Path, filter: Option<&str>) -> ExitCode {
    ended("test", build_and_test(root, filter))
}

/// How a command of the workspace ends: whether it went well, or why it could not be carried out.
pub(crate) fn ended(command: &str, outcome: std::io::Result<bool>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo xtask {command}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Builds every binary of the workspace; whether that went well.
pub(crate) fn build(root: &Path) -> std::io::Result<bool> {
    Ok(cargo(root).args(["build", "--workspace", "--bins"]).status()?.success())
}

pub(crate) fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root);
    // What the outer cargo says about xtask's own package would look to build scripts like a changed environment, and half the
    // dependencies would be built again at every turn between `cargo xtask` and `cargo build`.
    for (name, _) in std::env::vars_os() {
        let about_this_package = name.to_str().is_some_and(|name| {
            ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_CRATE_", "CARGO_BIN_"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
        });
        if about_this_package {
            cargo.env_remove(name);
        }
    }
    cargo
}

fn build_and_test(root: &Path, filter: Option<&str>) -> std::io::Result<bool> {
    if !build(root)? {
        return Ok(false);
    }
    let skipped = root.join("target").join("tests-skipped");
    let _ = std::fs::remove_file(&skipped);
    let mut tests = cargo(root);
    tests.args(["test", "--no-fail-fast"]);
    match filter {
        Some(theme) if is_theme(root, theme) => tests.args(["--package", "parsec-tests", "--test", theme]),
        _ => tests.arg("--workspace").args(filter),
    };
    tests.env(SKIPPED, &skipped).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut running = tests.spawn()?;
    let mut counted = Counted::default();
    if let Some(output) = running.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            counted.take(&line);
            let mut out = std::io::stdout().lock();
            writeln!(out, "{line}")?;
            out.flush()?;
        }
    }
    let well = running.wait()?.success();
    let skipped = std::fs::read_to_string(&skipped).unwrap_or_default();
    println!();
    for name in &counted.names_failed {
        println!("failed: {name}");
    }
    for reason in skipped.lines() {
        println!("skipped: {reason}");
    }
    let skips = skipped.lines().count();
    println!("{} passed, {} failed, {skips} skipped", counted.passed.saturating_sub(skips), counted.failed);
    if counted.passed + counted.failed == 0 {
        println!("no test has that name");
    }
    Ok(well && counted.passed > 0)
}

/// Whether it names a file of tests rather than a part of a test's name.
fn is_theme(root: &Path, name: &str) -> bool {
    let file = format!("{name}.rs");
    root.join("tests").join("tests").join(&file).exists() || root.join("tests").join(&file).exists()
}

/// What the test runners said.
#[derive(Default)]
pub(crate) struct Counted {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    names_failed: Vec<String>,
}

impl Counted {
    pub(crate) fn take(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.names_failed.push(name.to_owned());
        }
        let Some(result) = line.strip_prefix("test result: ") else { return };
        for part in result.split([';', '.']) {
            let mut words = part.split_whitespace();
            let number = words.next().and_then(|word| word.parse::<usize>().ok()).unwrap_or_default();
            match words.next() {
                Some("passed") => self.passed += number,
                Some("failed") => self.failed += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runners_last_lines_are_added_up() {
        let mut counted = Counted::default();
        for line in [
            "test a ... ok",
            "test b::c ... FAILED",
            "test result: FAILED. 14 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.24s",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 9.24s",
        ] {
            counted.take(line);
        }
        assert_eq!((counted.passed, counted.failed), (17, 2));
        assert_eq!(counted.names_failed, ["b::c"]);
    }
}
