//! What the daemon is told: by options, else by its configuration file, else by default.
//!
//! Decides which of them wins. Refuses a file with a misspelt entry, a large one, and secrets
//! anywhere: there is no option and no entry for one.

mod authorities;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use parsec_host::log::LogFormat;
use parsec_protocol::control::PLUGIN_SOCKET_NAME;
use serde::Deserialize;

use crate::engine::confirmation::Approval;
use crate::os::named_file;
use crate::os::paths::{Environment, PathError, socket_under};

/// Largest configuration file: a few lines, and many comments.
const CONFIG_MAX_BYTES: u64 = 64 * 1024;
/// Keys leave the memory after an hour without use: a lunch break with the device unlocked is not
/// enough for a visitor, and an afternoon's work is not interrupted.
const IDLE_LOCK_DEFAULT: Duration = Duration::from_secs(3_600);

/// Bytes of a MiB, in which people count.
const MIB: u64 = 1_024 * 1_024;

/// Keeps this user's Parsec keys and speaks for them: parsecctl and other programs ask it over a
/// local socket
#[derive(Debug, Default, Parser)]
#[command(name = "parsecd", version, about)]
pub struct Arguments {
    /// Keys and stores [default: $XDG_DATA_HOME/parsec]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The socket's folder is made in it [default: $XDG_RUNTIME_DIR]
    #[arg(long, value_name = "DIR", conflicts_with = "socket")]
    pub runtime_dir: Option<PathBuf>,
    /// The socket itself; its folder must be yours alone
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// The plug-ins' socket; beside --socket there is none unless this names it [default: beside
    /// the default socket]
    #[arg(long, value_name = "PATH")]
    pub plugin_socket: Option<PathBuf>,
    /// Configuration file [default: $XDG_CONFIG_HOME/parsec/parsecd.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Lock a device not used for so long; 0 for never [default: 3600]
    #[arg(long, value_name = "SECONDS")]
    pub idle_lock: Option<u64>,
    /// Keep so much at most of what is in safes, to save the way to the server; 0 for nothing
    /// [default: a tenth of the free disk, at most 20480]
    #[arg(long, value_name = "MIB")]
    pub keep_mib: Option<u64>,
    /// Whose password counts for vouching: that of the same terminal session, or of any program of
    /// yours [default: session]
    #[arg(long, value_name = "REACH")]
    pub approval: Option<Approval>,
    /// Certificate authorities to trust beside the system's, as PEM
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Never meet other devices directly: ceremonies go over the server alone
    #[arg(long)]
    pub no_p2p: bool,
    /// Meet other devices of one's safes on the local network: contents that the server lacks, or
    /// can't give because it is away, come from them [default: off]
    #[arg(long)]
    pub direct: bool,
    /// A relay through which this machine can be met from outside,
    /// `/dns4/HOST/udp/PORT/quic-v1/p2p/ID` or `/dns4/HOST/tcp/PORT/p2p/ID`; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub relay: Vec<String>,
    /// Where and how to log [default: journal if stderr leads there, else text]
    #[arg(long, value_name = "FORMAT")]
    pub log: Option<LogFormat>,
    /// Log more: what the daemon does, step by step; never what passes through it
    #[arg(long)]
    pub verbose: bool,
    /// Write the socket's path and a line feed to this file once it answers
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
    /// Write the same to this open descriptor
    #[arg(long, value_name = "NUMBER")]
    pub ready_fd: Option<u32>,
}

/// The configuration file. Options win.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    data_dir: Option<PathBuf>,
    socket: Option<PathBuf>,
    plugin_socket: Option<PathBuf>,
    idle_lock: Option<u64>,
    keep_mib: Option<u64>,
    approval: Option<Approval>,
    ca_file: Option<PathBuf>,
    p2p: Option<bool>,
    direct: Option<bool>,
    relays: Option<Vec<String>>,
    log: Option<LogFormat>,
}

/// What the daemon runs with.
#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    /// Folder of keys and stores, one subfolder a device.
    pub data_dir: PathBuf,
    /// Path of the user's own socket.
    pub socket: PathBuf,
    /// The plug-ins' socket, if there is one.
    pub plugin_socket: Option<PathBuf>,
    /// How far one confirmation reaches.
    pub approval: Approval,
    /// After how long without use a device is locked; `None` for never.
    pub idle_lock: Option<Duration>,
    /// Bytes that each device keeps at most of what is in safes; a part of the free disk if nobody
    /// says.
    pub kept_max: Option<u64>,
    /// Authorities to trust beside the system's, as PEM.
    pub extra_ca: Option<Vec<u8>>,
    /// Whether other devices may be met directly.
    pub p2p: bool,
    /// Whether unlocked devices meet others of their safes on the local network.
    pub direct: bool,
    /// Relays to be met through.
    pub relays: Vec<String>,
    /// Where and how to log; as stderr suggests, if nobody says.
    pub log: Option<LogFormat>,
}

/// The configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that was named can't be read.
    #[error("can't read {}: {source}", path.display())]
    Unreadable {
        /// The file that was named.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is larger than such a file can sensibly be.
    #[error("{} is too large", .0.display())]
    TooLarge(PathBuf),
    /// A file of authorities has none.
    #[error("{} has no certificate in it: authorities stand there as PEM, between BEGIN CERTIFICATE and END CERTIFICATE", .0.display())]
    NoCertificate(PathBuf),
    /// A certificate in a file of authorities can't be read.
    #[error("certificate number {number} in {} can't be used: {why}", path.display())]
    BadCertificate {
        /// The file of authorities.
        path: PathBuf,
        /// Which of those in it, from 1.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
    /// The file is not TOML, or has an entry that there isn't.
    #[error("{}: {source}", path.display())]
    Malformed {
        /// The configuration file that was read.
        path: PathBuf,
        /// Line of the mistake, and what it is.
        source: Box<toml::de::Error>,
    },
    /// A place is missing.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl Config {
    /// Settles what counts.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn resolve(arguments: &Arguments, environment: &Environment) -> Result<Self, ConfigError> {
        let file = read_file(arguments.config.as_deref(), environment)?;
        let named = arguments.runtime_dir.is_none() && file.socket.is_some();
        let socket = match (&arguments.socket, &arguments.runtime_dir, file.socket) {
            (Some(socket), _, _) => socket.clone(),
            (None, Some(runtime), _) => socket_under(runtime),
            (None, None, Some(socket)) => socket,
            (None, None, None) => environment.socket()?,
        };
        // Beside a socket in a place of its own nothing is made that nobody asked for.
        let beside = arguments.socket.is_none() && !named;
        let plugin_socket = arguments.plugin_socket.clone().or(file.plugin_socket);
        let plugin_socket =
            plugin_socket.or_else(|| beside.then(|| socket.with_file_name(PLUGIN_SOCKET_NAME)));
        let approval = arguments.approval.or(file.approval).unwrap_or_default();
        let data_dir = match arguments.data_dir.clone().or(file.data_dir) {
            Some(data_dir) => data_dir,
            None => environment.data_dir()?,
        };
        let idle_lock = match arguments.idle_lock.or(file.idle_lock) {
            None => Some(IDLE_LOCK_DEFAULT),
            Some(0) => None,
            Some(seconds) => Some(Duration::from_secs(seconds)),
        };
        let kept_max = arguments.keep_mib.or(file.keep_mib).map(|mib| mib.saturating_mul(MIB));
        let extra_ca = match arguments.ca_file.clone().or(file.ca_file) {
            Some(path) => Some(authorities::read(&path)?),
            None => None,
        };
        let log = arguments.log.or(file.log);
        let p2p = !arguments.no_p2p && file.p2p.unwrap_or(true);
        let direct = p2p && (arguments.direct || file.direct.unwrap_or(false));
        let relays = if arguments.relay.is_empty() {
            file.relays.unwrap_or_default()
        } else {
            arguments.relay.clone()
        };
        Ok(Self {
            data_dir,
            socket,
            plugin_socket,
            approval,
            idle_lock,
            kept_max,
            extra_ca,
            p2p,
            direct,
            relays,
            log,
        })
    }
}

fn read_file(named: Option<&Path>, environment: &Environment) -> Result<File, ConfigError> {
    let (path, bytes) = match named {
        Some(path) => (path.to_owned(), read_capped(path, CONFIG_MAX_BYTES)?),
        None => {
            let Some(path) = environment.config_file() else { return Ok(File::default()) };
            match read_capped(&path, CONFIG_MAX_BYTES) {
                Ok(bytes) => (path, bytes),
                // Nobody named it, so it need not be there.
                Err(ConfigError::Unreadable { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound =>
                {
                    return Ok(File::default());
                }
                Err(error) => return Err(error),
            }
        }
    };
    toml::from_slice(&bytes).map_err(|source| ConfigError::Malformed { path, source: Box::new(source) })
}

fn read_capped(path: &Path, max: u64) -> Result<Vec<u8>, ConfigError> {
    named_file::read(path, max)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?
        .ok_or_else(|| ConfigError::TooLarge(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment {
            home: Some("/nowhere/bob".into()),
            runtime_dir: Some("/run/user/1".into()),
            ..Environment::default()
        }
    }

    fn with_file(text: &str, options: &[&str]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.toml");
        std::fs::write(&file, text).unwrap();
        let mut arguments = Arguments::try_parse_from([&["parsecd"], options].concat())
            .unwrap_or_else(|error| panic!("{error}"));
        arguments.config = Some(file);
        Config::resolve(&arguments, &environment())
    }

    #[test]
    fn options_win_over_the_file_and_the_file_over_defaults() {
        let plain = with_file("", &[]).unwrap();
        assert_eq!(plain.data_dir, Path::new("/nowhere/bob/.local/share/parsec"));
        assert_eq!(plain.socket, Path::new("/run/user/1/parsecd/parsecd.sock"));
        assert_eq!(plain.plugin_socket.as_deref(), Some(Path::new("/run/user/1/parsecd/plugin.sock")));
        assert_eq!(plain.approval, Approval::Session);
        assert_eq!((plain.idle_lock, plain.log), (Some(IDLE_LOCK_DEFAULT), None));
        let text = "idle_lock = 5\nlog = \"json\"\nsocket = \"/s\"\ndata_dir = \"/d\"";
        let file = with_file(text, &[]).unwrap();
        assert_eq!((file.idle_lock, file.log), (Some(Duration::from_secs(5)), Some(LogFormat::Json)));
        assert_eq!((file.data_dir.as_path(), file.socket.as_path()), (Path::new("/d"), Path::new("/s")));
        assert_eq!(file.plugin_socket, None);
        assert!(plain.p2p && plain.relays.is_empty());
        assert_eq!(plain.kept_max, None);
        assert_eq!(with_file("keep_mib = 3", &[]).unwrap().kept_max, Some(3 << 20));
        assert_eq!(with_file("keep_mib = 3", &["--keep-mib", "0"]).unwrap().kept_max, Some(0));
        let direct = with_file("p2p = false\nrelays = [\"/a\"]", &[]).unwrap();
        assert_eq!((direct.p2p, direct.relays), (false, vec!["/a".to_owned()]));
        let direct = with_file("relays = [\"/a\"]", &["--no-p2p", "--relay", "/b"]).unwrap();
        assert_eq!((direct.p2p, direct.relays), (false, vec!["/b".to_owned()]));
        // A port and a word on every network are a person's choice.
        assert!(!plain.direct && with_file("direct = true", &[]).unwrap().direct);
        assert!(with_file("", &["--direct"]).unwrap().direct);
        assert!(!with_file("direct = true", &["--no-p2p"]).unwrap().direct);
        let options = ["--idle-lock", "0", "--log", "text", "--runtime-dir", "/r", "--data-dir", "/o"];
        let both = with_file(text, &options).unwrap();
        assert_eq!((both.idle_lock, both.log), (None, Some(LogFormat::Text)));
        assert_eq!(both.socket, Path::new("/r/parsecd/parsecd.sock"));
        assert_eq!(both.data_dir, Path::new("/o"));
    }

    #[test]
    fn misspelt_large_and_missing_files_are_refused() {
        assert!(matches!(with_file("idel_lock = 5", &[]), Err(ConfigError::Malformed { .. })));
        assert!(matches!(with_file("password = \"x\"", &[]), Err(ConfigError::Malformed { .. })));
        assert!(matches!(with_file(&"#".repeat(70_000), &[]), Err(ConfigError::TooLarge(_))));
        let missing = Arguments { config: Some("/nowhere/c.toml".into()), ..Arguments::default() };
        assert!(matches!(Config::resolve(&missing, &environment()), Err(ConfigError::Unreadable { .. })));
        let ca = with_file("ca_file = \"/nowhere/ca.pem\"", &[]);
        assert!(matches!(ca, Err(ConfigError::Unreadable { .. })));
    }

    #[test]
    fn no_option_takes_a_secret() {
        use clap::CommandFactory as _;
        for argument in Arguments::command().get_arguments() {
            let name = argument.get_id().as_str();
            assert!(!["pass", "secret", "token", "key"].iter().any(|word| name.contains(word)), "{name}");
        }
    }
}
