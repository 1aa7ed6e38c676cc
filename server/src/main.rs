//! The command line of the metadata server.
//!
//! Decides where output goes (results on stdout, the log on stderr) and what signals mean.
//! Everything else is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use parsec_host::exit;
use parsec_host::log::{Log, LogFormat};
use parsec_host::log_writer::LogWriter;
use parsec_host::output::{self, OutputError};
use parsec_host::terminal::Terminal;
use parsec_metadata::command_line::{Command, CommandLine, Organisation};
use parsec_metadata::commands::{self, PROGRAM};
use parsec_metadata::{Reloader, RunError, ServeOptions, Server};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => return answer(&error),
    };
    let done = match line.command {
        Command::Serve(options) => return serve(*options),
        Command::Organisation(command) => {
            // What a certificate is refused for is said there.
            let _log = matches!(command, Organisation::Repair(_)).then(|| start_log(None));
            commands::administer(&command)
        }
        Command::Backup(asked) => commands::back_up(&asked),
        Command::Restore(asked) => commands::restore(&asked),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_quiet() {
                output::complain(PROGRAM, &failure.to_string());
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Help and version are answers; everything else that clap has to say is a usage error.
fn answer(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        output::complain(PROGRAM, error.to_string().trim_start_matches("error: ").trim_end());
        return ExitCode::from(exit::USAGE);
    }
    match output::show_for_good(&error.to_string()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if matches!(failure, OutputError::Failed(_)) {
                output::complain(PROGRAM, &failure.to_string());
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

fn fail(error: &dyn std::error::Error, code: u8) -> ExitCode {
    output::complain(PROGRAM, &error.to_string());
    ExitCode::from(code)
}

fn serve(options: ServeOptions) -> ExitCode {
    let terminal = Terminal::of_start();
    let settings = match options.clone().with_file() {
        Ok(settings) => settings,
        Err(error) => return fail(&error, exit::CONFIGURATION),
    };
    // Ends last: what the others say on their way out is still written.
    let _log = start_log(settings.log_format);
    let config = match settings.check() {
        Ok(config) => config,
        Err(error) => return fail(&error, exit::CONFIGURATION),
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&RunError::Serve(error), exit::SYSTEM),
    };
    let result = runtime.block_on(async {
        let listen = |kind| signal(kind).map_err(RunError::Serve);
        // Before anything can be asked of the server, so that no signal finds it unprepared.
        let mut terminate = listen(SignalKind::terminate())?;
        let mut interrupt = listen(SignalKind::interrupt())?;
        let hangup = listen(SignalKind::hangup())?;
        let server = Server::bind(config).await?;
        let reloader = server.reloader();
        let gone = CancellationToken::new();
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = gone.cancelled() => {}
            }
        };
        tokio::select! {
            done = server.run(stop) => done,
            never = on_hangups(hangup, terminal, &options, &reloader, &gone) => match never {}
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, commands::of_run(&error)),
    }
}

/// The threads that answer: as many as there are cores, but for the one that the database's writer
/// keeps busy. With one more, they wake each other for work that one of them is done with sooner.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = cores.saturating_sub(1).max(1);
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()
}

/// Reads files and settings again at each hang-up; stops where it means that the terminal is gone.
async fn on_hangups(
    mut hangup: Signal,
    terminal: Terminal,
    options: &ServeOptions,
    reloader: &Reloader,
    gone: &CancellationToken,
) -> std::convert::Infallible {
    loop {
        if hangup.recv().await.is_none() {
            return std::future::pending().await;
        }
        if !terminal.is_gone() {
            reload(options.clone(), reloader).await;
        }
        if terminal.is_taken().await {
            tracing::info!("the terminal that this server was started in is gone");
            gone.cancel();
        }
    }
}

async fn reload(options: ServeOptions, reloader: &Reloader) {
    let read = tokio::task::spawn_blocking(|| options.with_file().and_then(ServeOptions::check)).await;
    let config = match read {
        Ok(Ok(config)) => config,
        Ok(Err(error)) => return tracing::error!(%error, "nothing was reloaded; what was in use stays"),
        Err(error) => return tracing::error!(%error, "nothing was reloaded; what was in use stays"),
    };
    match reloader.reload(config).await {
        Ok(restart) if restart.is_empty() => tracing::info!("reloaded"),
        Ok(restart) => tracing::warn!(restart = restart.join(", "), "reloaded; some settings need a restart"),
        Err(error) => tracing::error!(%error, "nothing was reloaded; what was in use stays"),
    }
}

/// Returns what must outlive every line of the log.
fn start_log(format: Option<LogFormat>) -> Option<LogWriter> {
    Log { program: PROGRAM, filter: "warn,parsec_metadata=info", format, targets: true }.start()
}
