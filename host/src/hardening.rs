//! What a process gives up before it touches a secret.
//!
//! Decides: no core file, no reading of its memory by other processes of the user without privilege
//! (`ptrace`, `/proc/PID/mem`), and for a daemon no file that others may open. Refuses to go on
//! where the system doesn't grant it.

use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// The system did not grant what keeps secrets in this process.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct HardeningError {
    what: &'static str,
    source: std::io::Error,
}

/// Hardens this process and everything it starts. Called first in `main`, before there is a second
/// thread.
///
/// # Errors
/// [`HardeningError`]; then no key may be opened.
pub fn harden() -> Result<(), HardeningError> {
    // Files get their modes one by one; this is for those that libraries make.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    close_memory()
}

/// Closes this process's memory to others, and leaves the modes of its files alone: a file that a
/// person asks for is theirs.
///
/// # Errors
/// [`HardeningError`]; then no password may be asked for.
pub fn close_memory() -> Result<(), HardeningError> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(Resource::Core, none)
        .map_err(|errno| HardeningError { what: "forbidding core files", source: errno.into() })?;
    // A core limit of 0 is not obeyed where cores go to a pipe (systemd-coredump); this is.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|errno| HardeningError { what: "closing this process's memory", source: errno.into() })
}
