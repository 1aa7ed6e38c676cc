//! The command line of the metadata server.
//!
//! Decides where output goes: results on stdout, the log on stderr. Everything else is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use parsec_metadata::command_line::{Command, CommandLine, Named, Organisation, Repair};
use parsec_metadata::{
    AdministrationError, LogFormat, ReinstateError, ServeOptions, create_organisation, database_exists,
    journal, journal::Journal, list_organisations, organisation_usage, prune_organisation, renew_token,
    repair_organisation, run,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// EX_CONFIG of sysexits.h: the settings must be changed.
const EXIT_CONFIG: u8 = 78;

fn main() -> ExitCode {
    match CommandLine::parse().command {
        Command::Serve(options) => serve(*options),
        Command::Organisation(Organisation::Repair(asked)) => match repair(&asked) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, ExitCode::FAILURE),
        },
        Command::Organisation(command) => match administer(command) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, ExitCode::FAILURE),
        },
    }
}

#[expect(clippy::print_stderr, reason = "a command line's last words")]
fn fail(error: &dyn std::error::Error, code: ExitCode) -> ExitCode {
    eprintln!("parsec-metadata: {error}");
    code
}

fn serve(options: ServeOptions) -> ExitCode {
    let options = match options.with_file() {
        Ok(options) => options,
        Err(error) => return fail(&error, ExitCode::from(EXIT_CONFIG)),
    };
    start_log(options.log_format);
    let config = match options.check() {
        Ok(config) => config,
        Err(error) => return fail(&error, ExitCode::from(EXIT_CONFIG)),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, ExitCode::FAILURE),
    };
    let result = runtime.block_on(async {
        let (mut terminate, mut interrupt) =
            match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
                (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
                (Err(error), _) | (_, Err(error)) => return Err(parsec_metadata::RunError::Serve(error)),
            };
        run(config, async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, ExitCode::FAILURE),
    }
}

fn start_log(format: Option<LogFormat>) {
    // Of the libraries only what went wrong: their finer levels may show what passes through them.
    let filter = EnvFilter::new("warn,parsec_metadata=info");
    let suggested = if journal::is_stderr() { LogFormat::Journal } else { LogFormat::Text };
    let format = format.unwrap_or(suggested);
    let stderr = || tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let log = tracing_subscriber::registry().with(filter);
    match (format, Journal::open("parsec-metadata")) {
        (LogFormat::Journal, Ok(journal)) => log.with(journal).init(),
        (LogFormat::Text, _) => log.with(stderr().with_ansi(false)).init(),
        (LogFormat::Json, _) => log.with(stderr().json()).init(),
        (LogFormat::Journal, Err(error)) => {
            log.with(stderr().with_ansi(false)).init();
            tracing::warn!(%error, "there is no journal to log to");
        }
    }
}

/// Puts a log back from a file.
#[expect(clippy::print_stdout, reason = "results go to stdout")]
fn repair(asked: &Repair) -> Result<(), ReinstateError> {
    start_log(None);
    let done = repair_organisation(&asked.database.database, &asked.name, &asked.file)?;
    let (added, count, root) = (done.added, done.count, &done.root_fingerprint);
    if asked.database.json {
        // Numbers and hexadecimal digits: nothing to escape.
        println!(r#"{{"added":{added},"count":{count},"root_fingerprint":"{root}"}}"#);
    } else {
        println!("{added} certificates put back; the log has {count} now\nroot key, SHA-256: {root}");
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "results go to stdout")]
fn administer(command: Organisation) -> Result<(), AdministrationError> {
    match command {
        // Answered before.
        Organisation::Repair(_) => {}
        Organisation::Create(Named { name, database }) => {
            let token = create_organisation(&database.database, &name)?;
            println!("{}", token_line(&name, &token, database.json));
        }
        Organisation::Token(Named { name, database }) => {
            let token = renew_token(&database.database, &name)?;
            println!("{}", token_line(&name, &token, database.json));
        }
        Organisation::Usage(Named { name, database }) => {
            for line in organisation_usage(&database.database, &name)? {
                println!("{}", if database.json { line.json(&name) } else { line.text() });
            }
        }
        Organisation::Prune(Named { name, database }) => {
            let pruned = prune_organisation(&database.database, &name)?;
            println!("{}", if database.json { pruned.json(&name) } else { pruned.text() });
        }
        Organisation::List(database) => {
            if !database_exists(&database.database) {
                return Ok(());
            }
            for entry in list_organisations(&database.database)? {
                let (name, founded) = (&entry.name, entry.founded);
                let (users, certificates) = (entry.users, entry.certificates);
                if database.json {
                    // Names are a-z, 0-9 and -: nothing to escape.
                    println!(
                        r#"{{"name":"{name}","founded":{founded},"users":{users},"certificates":{certificates}}}"#
                    );
                } else {
                    let state = if founded { "founded" } else { "not founded" };
                    println!("{name}\t{state}\t{users} users\t{certificates} certificates");
                }
            }
        }
    }
    Ok(())
}

fn token_line(name: &str, token: &str, json: bool) -> String {
    if json { format!(r#"{{"organisation":"{name}","token":"{token}"}}"#) } else { token.to_owned() }
}
