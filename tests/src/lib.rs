//! The harness: real servers, daemons and command lines under a test's control. Decides how they
//! are started, watched and ended.
//!
//! Everything a test starts is ended with it, and what it logged is shown when the test fails.
//! Waits are for events; a deadline is there only so that a broken product fails a test rather than
//! hangs it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "the harness is test code: what goes wrong here must fail the test, loudly and at once"
)]

pub mod alone;
pub mod browser;
pub mod ceremony;
pub mod ctl;
pub mod debian;
pub mod device;
pub mod events;
pub mod fake_daemon;
pub mod fixture;
pub mod flood;
pub mod fuzz;
pub mod hostile;
pub mod insider;
pub mod json_output;
pub mod launch;
pub mod letter;
pub mod load;
pub mod logs;
pub mod lying;
pub mod memory;
pub mod metrics;
pub mod mounted;
pub mod network;
pub mod openrpc;
pub mod own_devices;
pub mod process;
pub mod proxy;
pub mod ready;
pub mod recorder;
pub mod rpc;
pub mod safes;
pub mod screenshot;
pub mod script;
pub mod server;
pub mod snapshots;
pub mod unanswered;
pub mod units;

use std::io::Write;

/// Tells a person that a test did not run here, and why: shown by `cargo xtask test` at the end.
///
/// A skipped test counts as passed for the test runner, so call it only for something that this
/// machine lacks.
pub fn skip(test: &str, reason: &str) {
    let line = format!("{test}: {reason}");
    if let Some(path) = std::env::var_os("PARSEC_TESTS_SKIPPED")
        && let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(path)
    {
        // One write, so that lines of tests side by side don't mix. If it can't be written, the
        // line below still is.
        let _ = file.write_all(format!("{line}\n").as_bytes());
    }
    let _ = writeln!(std::io::stderr(), "skipped: {line}");
}

/// Whether a program can be found on this machine.
#[must_use]
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| folder.join(program).exists())
}
