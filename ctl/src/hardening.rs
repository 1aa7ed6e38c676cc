//! What this process gives up before it reads a password.
//!
//! Decides: no core file, no reading of its memory by other processes of the user without privilege. A password lives here
//! between the terminal and the daemon's socket. Refuses to go on where the system doesn't grant it.

use parsec_protocol::control::ProblemKind;
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use crate::failure::Failure;

/// Hardens this process. Called before anything is asked or read.
///
/// # Errors
/// `internal`, with what the system said; then no password may be asked for.
pub(crate) fn harden() -> Result<(), Failure> {
    let refused = |error: Errno| {
        Failure::new(
            ProblemKind::Internal,
            format!("This program's memory can't be closed to others: {error}"),
        )
        .advised("The system refuses what keeps a password inside this process; is it in a sandbox?")
    };
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(refused)?;
    // A core limit of 0 is not obeyed where cores go to a pipe (systemd-coredump); this is.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(refused)
}
