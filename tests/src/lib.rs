//! The harness: real servers, daemons and command lines under a test's control. Decides how they are started, watched and ended.

use std::io::Write;

/// Tells a person that a test did not run here, and why: shown by `cargo xtask test` at the end.
///
/// A skipped test counts as passed for the test runner, so call it only for something that this machine lacks.
pub fn skip(test: &str, reason: &str) {
    let line = format!("{test}: {reason}");
    if let Some(path) = std::env::var_os("PARSEC_TESTS_SKIPPED")
        && let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(path)
    {
        // One write, so that lines of tests side by side don't mix. If it can't be written, the line below still is.
        let _ = file.write_all(format!("{line}\n").as_bytes());
    }
    let _ = writeln!(std::io::stderr(), "skipped: {line}");
}
