//! Results on standard output, for people and programs; last words on standard error.
//!
//! Decides that a result counts as shown only if all of it was taken. Refuses to panic where it
//! wasn't, and to take an output that was closed for one that discards: the runtime puts
//! `/dev/null` in its place, open for reading too.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;

use rustix::fs::{FileType, OFlags};

/// The null device, as Linux numbers it: a container may have something else under its name.
const NULL_DEVICE: (u32, u32) = (1, 3);

/// Why a result was not shown.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The reader has gone.
    #[error("nobody reads the output any more")]
    Closed,
    /// The output can't be written.
    #[error("the output can't be written: {0}")]
    Failed(#[from] io::Error),
}

impl OutputError {
    /// The exit code of a program whose result was not taken.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Closed => crate::exit::OUTPUT_CLOSED,
            Self::Failed(_) => crate::exit::IO,
        }
    }
}

/// Shows a result.
///
/// # Errors
/// [`OutputError`].
pub fn show(text: &str) -> Result<(), OutputError> {
    let stdout = io::stdout();
    // By a descriptor of its own: the library's stream takes a descriptor that can't be written for
    // one that can.
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
    if reaches_nobody() {
        return Err(OutputError::Failed(io::Error::other("standard output is closed")));
    }
    show(text)
}

/// Whether what is written to standard output reaches nobody for sure. One that was closed has been
/// replaced by the null device, open for reading and writing, before the program's first line: the
/// runtime does that. Programs that throw output away on purpose mostly open it for writing alone,
/// and some as the runtime does; so this is asked only where something would be lost.
#[must_use]
pub fn reaches_nobody() -> bool {
    let stdout = io::stdout();
    let (Ok(about), Ok(flags)) = (rustix::fs::fstat(&stdout), rustix::fs::fcntl_getfl(&stdout)) else {
        return true;
    };
    let device = (rustix::fs::major(about.st_rdev), rustix::fs::minor(about.st_rdev));
    FileType::from_raw_mode(about.st_mode) == FileType::CharacterDevice
        && device == NULL_DEVICE
        && flags & OFlags::RWMODE == OFlags::RDWR
}

/// Last words on standard error. If nobody listens there either, the exit code says it.
pub fn complain(program: &str, text: &str) {
    let _told = io::stderr().write_all(format!("{program}: {text}\n").as_bytes());
}
