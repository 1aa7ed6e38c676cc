//! Which sockets the service manager opened for the daemon (socket activation: `LISTEN_FDS`,
//! `LISTEN_PID`).
//!
//! Decides by the path a socket is bound to which of the two it is: a name in the environment would
//! be anybody's word. Refuses what is not a listening Unix stream socket bound to one of the
//! configured sockets, more descriptors than there are sockets, and ignores what was meant for
//! another process. Modes and folder are checked with the socket itself (`rpc/access.rs`).

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use listenfd::ListenFd;

/// One for each socket: the user's own and the plug-ins'. More than that is a mistake in somebody's
/// unit, and the number comes from the environment.
const PASSED_MAX: usize = 2;

/// The sockets handed over are not usable.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// `LISTEN_FDS` is no number, or too large a one.
    #[error("LISTEN_FDS is not a number from 0 to {PASSED_MAX}")]
    Count,
    /// A descriptor is something else.
    #[error("descriptor {number} was handed over as a socket, but is none that can be used: {source}")]
    Kind {
        /// Number of the descriptor.
        number: usize,
        /// What the system says of it.
        source: std::io::Error,
    },
    /// A socket is bound to no path, or to one that is none of this daemon.
    #[error("a socket was handed over that is bound to {}", .0.as_deref().map_or_else(|| "no path".into(), Path::to_string_lossy))]
    Foreign(Option<PathBuf>),
    /// Two descriptors for one socket.
    #[error("two sockets were handed over for {}", .0.display())]
    Twice(PathBuf),
}

/// What was handed over and not yet asked for.
#[derive(Debug, Default)]
pub struct Passed(Vec<(PathBuf, UnixListener)>);

impl Passed {
    /// Takes the descriptors over. Called once, before there is a second thread: it takes the
    /// variables out of the environment.
    ///
    /// # Errors
    /// [`ActivationError`].
    pub fn take() -> Result<Self, ActivationError> {
        let var = |name| std::env::var(name).ok();
        // Inherited from a parent that was activated: not ours, and nothing wrong with it.
        if var("LISTEN_PID").and_then(|pid| pid.parse().ok()) != Some(std::process::id()) {
            return Ok(Self::default());
        }
        let Some(count) = var("LISTEN_FDS") else { return Ok(Self::default()) };
        // Only other activators' invention moves the first one; systemd begins at 3.
        let usual = std::env::var_os("LISTEN_FDS_FIRST_FD").is_none();
        let count = count.parse().ok().filter(|count| usual && *count <= PASSED_MAX);
        let count = count.ok_or(ActivationError::Count)?;
        let mut descriptors = ListenFd::from_env();
        let mut passed = Self::default();
        for index in 0..count {
            let kind = |source| ActivationError::Kind { number: index.saturating_add(3), source };
            let Some(socket) = descriptors.take_unix_listener(index).map_err(kind)? else { continue };
            if !rustix::net::sockopt::socket_acceptconn(&socket).map_err(|errno| kind(errno.into()))? {
                return Err(kind(std::io::Error::other("it does not listen")));
            }
            let address = socket.local_addr().map_err(kind)?;
            let path = address.as_pathname().ok_or(ActivationError::Foreign(None))?.to_owned();
            if passed.0.iter().any(|(other, _)| *other == path) {
                return Err(ActivationError::Twice(path));
            }
            passed.0.push((path, socket));
        }
        Ok(passed)
    }

    /// The descriptor for the socket at `path`, if it was handed over.
    pub fn claim(&mut self, path: &Path) -> Option<UnixListener> {
        let at = self.0.iter().position(|(bound, _)| bound == path)?;
        Some(self.0.swap_remove(at).1)
    }

    /// Ends the claiming.
    ///
    /// # Errors
    /// [`ActivationError::Foreign`] if there is a socket of another path: somebody would wait at it
    /// for ever.
    pub fn nothing_left(self) -> Result<(), ActivationError> {
        match self.0.into_iter().next() {
            Some((path, _)) => Err(ActivationError::Foreign(Some(path))),
            None => Ok(()),
        }
    }
}
