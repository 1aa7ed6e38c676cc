//! Where things are, by the XDG base directory specification.
//!
//! Decides the default places. Refuses relative ones, as the specification asks, and to guess a
//! runtime folder: a socket under `/tmp` could be somebody else's.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use parsec_protocol::control::{SOCKET_DIRECTORY, SOCKET_NAME};

/// The name of the program's folders under the XDG ones.
const FOLDER: &str = "parsec";
/// The configuration file's name.
const CONFIG: &str = "parsecd.toml";

/// There is no place for something.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Neither `$XDG_DATA_HOME` nor `$HOME` is an absolute path.
    #[error("no place for the keys: set HOME or give --data-dir")]
    NoHome,
    /// `$XDG_RUNTIME_DIR` is no absolute path.
    #[error(
        "no place for the socket: log in through a session that sets XDG_RUNTIME_DIR, or give --runtime-dir or --socket"
    )]
    NoRuntime,
}

/// The environment as far as it decides places.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Value of `$XDG_DATA_HOME`, if set.
    pub data_home: Option<OsString>,
    /// Value of `$XDG_CONFIG_HOME`, if set.
    pub config_home: Option<OsString>,
    /// Value of `$XDG_RUNTIME_DIR`, if set.
    pub runtime_dir: Option<OsString>,
    /// Value of `$HOME`, if set.
    pub home: Option<OsString>,
}

impl Environment {
    /// From this process's environment.
    #[must_use]
    pub fn from_environment() -> Self {
        let var = std::env::var_os;
        Self {
            data_home: var("XDG_DATA_HOME"),
            config_home: var("XDG_CONFIG_HOME"),
            runtime_dir: var("XDG_RUNTIME_DIR"),
            home: var("HOME"),
        }
    }

    /// The data folder: `$XDG_DATA_HOME/parsec` or `~/.local/share/parsec`.
    ///
    /// # Errors
    /// [`PathError::NoHome`].
    pub fn data_dir(&self) -> Result<PathBuf, PathError> {
        let under_home = || absolute(self.home.as_ref()).map(|home| home.join(".local/share"));
        let base = absolute(self.data_home.as_ref()).map(Path::to_owned).or_else(under_home);
        Ok(base.ok_or(PathError::NoHome)?.join(FOLDER))
    }

    /// The configuration file, if there is a home: `$XDG_CONFIG_HOME/parsec/parsecd.toml` or the
    /// same in `~/.config`.
    #[must_use]
    pub fn config_file(&self) -> Option<PathBuf> {
        let under_home = || absolute(self.home.as_ref()).map(|home| home.join(".config"));
        let base = absolute(self.config_home.as_ref()).map(Path::to_owned).or_else(under_home)?;
        Some(base.join(FOLDER).join(CONFIG))
    }

    /// The socket: `$XDG_RUNTIME_DIR/parsecd/parsecd.sock`.
    ///
    /// # Errors
    /// [`PathError::NoRuntime`].
    pub fn socket(&self) -> Result<PathBuf, PathError> {
        absolute(self.runtime_dir.as_ref()).map(socket_under).ok_or(PathError::NoRuntime)
    }
}

/// The socket's place under a runtime folder.
#[must_use]
pub fn socket_under(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join(SOCKET_DIRECTORY).join(SOCKET_NAME)
}

/// What is wrong with a runtime folder that belongs to somebody else, as `su` leaves it in the
/// environment: variable, value and owner.
#[must_use]
pub fn foreign_runtime(variable: Option<&OsString>) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let me = rustix::process::geteuid().as_raw();
    let folder = absolute(variable)?;
    let owner = std::fs::metadata(folder).ok()?.uid();
    (owner != me).then(|| {
        format!(
            "XDG_RUNTIME_DIR is {}, which belongs to user {owner}; the daemon runs as user {me}. After `su`, log in properly (`su -`, `machinectl shell`, ssh), or set XDG_RUNTIME_DIR to /run/user/{me}.",
            folder.display()
        )
    })
}

fn absolute(value: Option<&OsString>) -> Option<&Path> {
    value.map(Path::new).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_follow_xdg() {
        let mut environment = Environment { home: Some("/home/bob".into()), ..Environment::default() };
        assert_eq!(environment.data_dir(), Ok("/home/bob/.local/share/parsec".into()));
        assert_eq!(environment.config_file(), Some("/home/bob/.config/parsec/parsecd.toml".into()));
        assert_eq!(environment.socket(), Err(PathError::NoRuntime));
        environment.data_home = Some("/data".into());
        environment.runtime_dir = Some("/run/user/1".into());
        assert_eq!(environment.data_dir(), Ok("/data/parsec".into()));
        assert_eq!(environment.socket(), Ok("/run/user/1/parsecd/parsecd.sock".into()));
    }

    #[test]
    fn relative_places_are_none() {
        let environment = Environment {
            home: Some("home".into()),
            data_home: Some("".into()),
            config_home: Some(".".into()),
            runtime_dir: Some("run".into()),
        };
        assert_eq!(environment.data_dir(), Err(PathError::NoHome));
        assert_eq!(environment.config_file(), None);
        assert_eq!(environment.socket(), Err(PathError::NoRuntime));
    }
}
