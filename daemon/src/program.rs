//! The program: from the command line to a served socket, and back when told to stop.
//!
//! Decides the order: close the process to others, take over what the service manager opened, then
//! read the configuration, then take the data folder, then listen, then say that it is ready.
//! Refuses to go on where one of them fails, with a sentence and what to do. How the data folder is
//! opened is its caller's: the tests' daemon is this program, with key files that take no work.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser as _;
use parsec_host::exit;
use parsec_host::hardening::{self, HardeningError};
use parsec_host::log::{Log, LogFormat};
use parsec_host::log_writer::LogWriter;
use parsec_host::output::{self, OutputError};
use parsec_host::ready_file::Announcement;
use parsec_host::service_manager::ServiceManager;
use parsec_host::terminal::Terminal;
use parsec_protocol::control::{Problem, Socket};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Arguments, Config, ConfigError};
use crate::engine::{Daemon, Settings};
use crate::os::paths::{self, Environment};
use crate::rpc::{self, AccessError, Listener};
use crate::service::activation::{ActivationError, Passed};
use crate::service::credentials;
use crate::store::{Devices, StoreError};

/// What the daemon is called where it speaks of itself.
const PROGRAM: &str = "parsecd";
/// Bits of the ready file: the socket's path is nobody else's business.
const READY_FILE_MODE: u32 = 0o600;

/// Opens the data folder: [`Devices::open`], in everything that is shipped.
pub type Open = fn(&Path) -> Result<Devices, StoreError>;

/// Why the daemon did not start, or not stay.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Hardening(#[from] HardeningError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error(transparent)]
    Activation(#[from] ActivationError),
    #[error(transparent)]
    Daemon(#[from] Problem),
    #[error("two methods have one name: {0}")]
    Methods(#[from] jsonrpsee::core::RegisterMethodError),
    #[error("{what}: {source}")]
    System { what: &'static str, source: std::io::Error },
}

impl Failure {
    const fn exit_code(&self) -> u8 {
        match self {
            Self::Daemon(problem) => problem.exit_code,
            Self::Methods(_) => exit::BUG,
            Self::Hardening(_) | Self::System { .. } => exit::SYSTEM,
            Self::Config(_) | Self::Activation(_) | Self::Access(AccessError::PathTooLong(_)) => {
                exit::CONFIGURATION
            }
            Self::Store(StoreError::InUse(_)) | Self::Access(AccessError::InUse(_)) => exit::IN_USE,
            Self::Store(StoreError::UnsafePath { .. }) | Self::Access(AccessError::UnsafePath { .. }) => {
                exit::NOT_PERMITTED
            }
            Self::Access(AccessError::Io { .. }) | Self::Store(_) => exit::IO,
        }
    }

    fn hint(&self) -> Cow<'static, str> {
        if let Self::Access(AccessError::UnsafePath { .. } | AccessError::Io { .. }) = self
            && let Some(foreign) = paths::foreign_runtime(std::env::var_os("XDG_RUNTIME_DIR").as_ref())
        {
            return foreign.into();
        }
        self.general_hint().into()
    }

    const fn general_hint(&self) -> &'static str {
        match self {
            Self::Daemon(problem) => problem.name.hint(),
            Self::Methods(_) => "This is a bug in Parsec; please report it.",
            Self::Hardening(_) => {
                "The system refuses what keeps keys inside this process; is it in a sandbox?"
            }
            Self::Config(_) => "See `parsecd --help`.",
            Self::Activation(_) => {
                "The socket units must listen where the daemon does: `systemctl --user cat parsecd.socket`, and the configuration's socket."
            }
            Self::Store(StoreError::InUse(_)) | Self::Access(AccessError::InUse(_)) => {
                "One daemon is enough for a user: `parsecctl status` shows it. For a second one, give both --data-dir and --socket."
            }
            Self::Store(StoreError::UnsafePath { .. }) | Self::Access(AccessError::UnsafePath { .. }) => {
                "Parsec's folders must belong to you alone (chmod 700) and not be links."
            }
            Self::Access(AccessError::PathTooLong(_)) => {
                "Set XDG_RUNTIME_DIR to a shorter path, or give --socket."
            }
            Self::Store(_) | Self::Access(AccessError::Io { .. }) | Self::System { .. } => {
                "Look at the disk and at the folder's rights; nothing was changed."
            }
        }
    }
}

/// Runs the daemon until it is told to stop; the exit code says how it ended.
#[must_use]
pub fn run(open: Open) -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // --help and --version come this way, too.
        Err(error) if error.use_stderr() => {
            // If even this can't be printed, the code says it.
            let _ = error.print();
            return ExitCode::from(exit::USAGE);
        }
        Err(error) => return ExitCode::from(answer(&error.to_string())),
    };
    // Ends last: what the daemon says on its way out is still written.
    let mut log = None;
    match start(&arguments, open, &mut log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!(hint = %failure.hint(), "{failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Help or version, and the exit code.
fn answer(text: &str) -> u8 {
    match output::show_for_good(text) {
        Ok(()) => 0,
        Err(error) => {
            if matches!(error, OutputError::Failed(_)) {
                output::complain(PROGRAM, &error.to_string());
            }
            error.exit_code()
        }
    }
}

/// What the service manager said at the start.
struct Told {
    manager: ServiceManager,
    credentials: Option<PathBuf>,
}

/// Puts into `log` what must outlive every line of the log.
fn start(arguments: &Arguments, open: Open, log: &mut Option<LogWriter>) -> Result<(), Failure> {
    let terminal = Terminal::of_start();
    let hardened = hardening::harden();
    let passed = Passed::take();
    let told =
        Told { manager: ServiceManager::from_environment(), credentials: credentials::from_environment() };
    let config = Config::resolve(arguments, &Environment::from_environment());
    let format = config.as_ref().map_or(arguments.log, |config| config.log);
    *log = start_log(format, arguments.verbose);
    hardened?;
    let passed = passed?;
    let config = config?;
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|source| Failure::System { what: "starting threads", source })?;
    runtime.block_on(serve(arguments, config, open, passed, told, terminal))
}

/// The libraries' own debugging is never shown: it prints whole requests, passwords included.
fn start_log(format: Option<LogFormat>, verbose: bool) -> Option<LogWriter> {
    let filter = if verbose { "warn,parsecd=debug" } else { "warn,parsecd=info" };
    Log { program: PROGRAM, filter, format, targets: false }.start()
}

async fn serve(
    arguments: &Arguments,
    config: Config,
    open: Open,
    passed: Passed,
    told: Told,
    terminal: Terminal,
) -> Result<(), Failure> {
    let stop = CancellationToken::new();
    let system = |what| move |source| Failure::System { what, source };
    // Before anything can be asked of the daemon, so that no signal finds it unprepared.
    let mut terminate = signal(SignalKind::terminate()).map_err(system("listening for signals"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("listening for signals"))?;
    let hangup = signal(SignalKind::hangup()).map_err(system("listening for signals"))?;

    let (data_dir, kept_max) = (config.data_dir.clone(), config.kept_max);
    let settings = Settings {
        extra_ca: config.extra_ca.clone(),
        idle_lock: config.idle_lock,
        approval: config.approval,
        p2p: crate::network::Settings {
            on: config.p2p,
            direct: config.direct,
            relays: config.relays.clone(),
        },
    };
    let (daemon, handle) = tokio::task::spawn_blocking(move || {
        let devices = open(&data_dir)?.keep_at_most(kept_max);
        Ok::<_, Failure>(Daemon::new(devices, &data_dir, settings)?)
    })
    .await
    .map_err(|error| Failure::System { what: "opening the data folder", source: error.into() })??;
    let hub = handle.hub().clone();
    let service =
        rpc::Service::new(rpc::methods::module(handle.clone())?, rpc::authorize::Authorizer(handle.clone()));
    let sockets = open_sockets(&config, passed)?;

    let serving = service.serve(sockets, stop.clone());
    tracing::info!(socket = %config.socket.display(), version = env!("CARGO_PKG_VERSION"), "ready");
    announce(arguments, &config).map_err(system("saying that it is ready"))?;
    told.manager.ready(None);
    let stopped = async {
        let why = tokio::select! {
            _ = terminate.recv() => "terminated",
            _ = interrupt.recv() => "interrupted",
            () = terminal_gone(hangup, terminal) => "the terminal it was started in is gone",
        };
        tracing::info!(why, "stopping");
        told.manager.stopping();
        // Before connections close: those who follow the events are told that this was the last
        // one.
        hub.farewell().await;
        stop.cancel();
    };
    // Beside the loop that answers it: a device whose key file takes a second keeps nobody waiting.
    let unlocking = credentials::unlock(told.credentials, handle);
    // A task beside the connections' own: here, on the thread that started the program, every
    // request would wake that thread, and its answer another.
    let mut turning = JoinSet::new();
    turning.spawn(daemon.run(stop.clone(), told.manager.watchdog()));
    let turning = async {
        if let Some(Err(error)) = turning.join_next().await
            && let Ok(panic) = error.try_into_panic()
        {
            // Without its loop the daemon is nothing: it ends as if it had failed here.
            std::panic::resume_unwind(panic);
        }
    };
    tokio::join!(serving, turning, stopped, unlocking);
    Ok(())
}

/// Returns once the terminal is gone that the daemon was started in. Any other hang-up changes
/// nothing: there is nothing to read anew that a person has not asked for, and keys are not lost
/// over it.
async fn terminal_gone(mut hangup: Signal, terminal: Terminal) {
    loop {
        if hangup.recv().await.is_none() {
            return std::future::pending().await;
        }
        if terminal.is_taken().await {
            return;
        }
        tracing::info!("a hang-up that means nothing here");
    }
}

/// The sockets: those that were handed over, and others at the configured places.
fn open_sockets(config: &Config, mut passed: Passed) -> Result<Vec<(Socket, Listener)>, Failure> {
    let own = passed.claim(&config.socket);
    let activated = own.is_some();
    let own = match own {
        Some(socket) => Listener::adopt(socket, &config.socket)?,
        None => Listener::bind(&config.socket)?,
    };
    let mut sockets = vec![(Socket::User, own)];
    if let Some(path) = &config.plugin_socket {
        match passed.claim(path) {
            Some(socket) => sockets.push((Socket::Plugin, Listener::adopt(socket, path)?)),
            // A manager that opens one socket and not the other has been told so.
            None if activated => tracing::info!("no socket for plug-ins was handed over, so there is none"),
            None => sockets.push((Socket::Plugin, Listener::bind(path)?)),
        }
    }
    passed.nothing_left()?;
    Ok(sockets)
}

/// Tells the program that started the daemon that the socket answers.
fn announce(arguments: &Arguments, config: &Config) -> std::io::Result<()> {
    let announcement = Announcement {
        file: arguments.ready_file.as_deref(),
        mode: READY_FILE_MODE,
        descriptor: arguments.ready_fd,
    };
    announcement.make(&config.socket.display().to_string())
}
