//! The command line of the metadata server.
//!
//! Decides where output goes (results on stdout, the log on stderr) and what signals mean. Everything else is in the library.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use parsec_metadata::command_line::{Command, CommandLine, Organisation};
use parsec_metadata::commands::{self, EXIT_CONFIGURATION, EXIT_USAGE};
use parsec_metadata::log_writer::LogWriter;
use parsec_metadata::terminal::Terminal;
use parsec_metadata::{
    LogFormat, Reloader, RunError, ServeOptions, Server, journal, journal::Journal, results,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How long after a hang-up the kernel may still be taking the terminal away.
const TERMINAL_WAIT: Duration = Duration::from_secs(1);

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
                results::complain(&failure.to_string());
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Help and version are answers; everything else that clap has to say is a usage error.
fn answer(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        results::complain(error.to_string().trim_start_matches("error: ").trim_end());
        return ExitCode::from(EXIT_USAGE);
    }
    match results::show_for_good(&error.to_string()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if matches!(failure, results::OutputError::Failed(_)) {
                results::complain(&failure.to_string());
            }
            ExitCode::from(commands::of_output(&failure))
        }
    }
}

fn fail(error: &dyn std::error::Error, code: u8) -> ExitCode {
    results::complain(&error.to_string());
    ExitCode::from(code)
}

fn serve(options: ServeOptions) -> ExitCode {
    let terminal = Terminal::of_start();
    let settings = match options.clone().with_file() {
        Ok(settings) => settings,
        Err(error) => return fail(&error, EXIT_CONFIGURATION),
    };
    // Ends last: what the others say on their way out is still written.
    let _log = start_log(settings.log_format);
    let config = match settings.check() {
        Ok(config) => config,
        Err(error) => return fail(&error, EXIT_CONFIGURATION),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&RunError::Serve(error), commands::EXIT_SYSTEM),
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
        if terminal.was_there() && !terminal.is_gone() {
            tokio::time::sleep(TERMINAL_WAIT).await;
        }
        if terminal.is_gone() {
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
    // Of the libraries only what went wrong: their finer levels may show what passes through them.
    let filter = EnvFilter::new("warn,parsec_metadata=info");
    let suggested = if journal::is_stderr() { LogFormat::Journal } else { LogFormat::Text };
    let format = format.unwrap_or(suggested);
    let log = tracing_subscriber::registry().with(filter);
    let (sink, missing) = match (format, Journal::open()) {
        (LogFormat::Journal, Err(error)) => (None, Some(error)),
        (LogFormat::Journal, Ok(journal)) => (Some(journal), None),
        (LogFormat::Text | LogFormat::Json, _) => (None, None),
    };
    let writer = match sink {
        Some(journal) => LogWriter::start(journal),
        None => LogWriter::start(std::io::stderr()),
    };
    let writer = match writer {
        Ok(writer) => writer,
        // Without a thread there is no log, and no server either: the runtime will say so.
        Err(_) => return None,
    };
    let lines = writer.lines();
    let journal = format == LogFormat::Journal && missing.is_none();
    if journal {
        log.with(journal::Entries::new("parsec-metadata", lines)).init();
    } else if format == LogFormat::Json {
        log.with(tracing_subscriber::fmt::layer().with_writer(move || lines.clone()).json()).init();
    } else {
        log.with(tracing_subscriber::fmt::layer().with_writer(move || lines.clone()).with_ansi(false)).init();
    }
    if let Some(error) = missing {
        tracing::warn!(%error, "there is no journal to log to");
    }
    Some(writer)
}
