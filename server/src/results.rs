//! Results on standard output, for people and programs.
//!
//! Decides that a result counts as shown only if all of it was taken. Refuses to panic where it wasn't, and to take an output that was
//! closed for one that discards: the runtime puts `/dev/null` in its place, open for reading too.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;

use rustix::fs::{FileType, OFlags};

/// Why a result was not shown.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Whoever read it has gone.
    #[error("nobody reads the output any more")]
    Closed,
    /// It can't be written.
    #[error("the output can't be written: {0}")]
    Failed(#[from] io::Error),
}

/// Shows a result.
///
/// # Errors
/// [`OutputError`].
pub fn show(text: &str) -> Result<(), OutputError> {
    let stdout = io::stdout();
    // By a descriptor of its own: the library's stream takes a descriptor that can't be written for one that can.
    let mut file = File::from(stdout.as_fd().try_clone_to_owned()?);
    file.write_all(text.as_bytes()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => OutputError::Closed,
        _ => OutputError::Failed(error),
    })
}

/// Shows a result that is worth nothing unless somebody gets it.
///
/// # Errors
/// [`OutputError`]; also where standard output was closed when the program started.
pub fn show_for_good(text: &str) -> Result<(), OutputError> {
    if was_closed() {
        return Err(OutputError::Failed(io::Error::other("standard output is closed")));
    }
    show(text)
}

/// Whether standard output was closed at the start. Who wants a result discarded opens `/dev/null` for writing alone.
fn was_closed() -> bool {
    let stdout = io::stdout();
    let null = rustix::fs::stat("/dev/null").map(|null| null.st_rdev).ok();
    let (Ok(about), Ok(flags)) = (rustix::fs::fstat(&stdout), rustix::fs::fcntl_getfl(&stdout)) else {
        return true;
    };
    FileType::from_raw_mode(about.st_mode) == FileType::CharacterDevice
        && Some(about.st_rdev) == null
        && flags & OFlags::RWMODE == OFlags::RDWR
}

/// Last words on standard error. If nobody listens there either, the exit code says it.
pub fn complain(text: &str) {
    let _told = io::stderr().write_all(format!("parsec-metadata: {text}\n").as_bytes());
}
