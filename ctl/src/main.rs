//! `parsecctl`: the command line of the Parsec daemon. Asks, shows, passes answers on.
//!
//! Decides how a command ends: which stream says what, and the exit code (`failure`). Refuses to
//! hold a key, to open a network connection, and to answer for a person.

mod args;
mod ceremony;
mod client;
mod commands;
mod completion;
mod descriptor;
mod failure;
mod man;
mod output;
mod password;
mod plain;
mod progress;
mod prompt;
mod qr;
mod schema;
mod secret_file;
mod text;

use std::alloc::System;
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;
use parsec_host::exit;
use parsec_host::hardening::{self, HardeningError};
use parsec_protocol::control::{Problem, ProblemKind};
use zeroizing_alloc::ZeroAlloc;

use crate::args::Arguments;
use crate::failure::{Failure, Report};
use crate::output::Output;

/// Passwords also pass through buffers of libraries we do not own; every freed block is wiped.
#[global_allocator]
static WIPED: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse_arguments(&error),
    };
    let global = &arguments.global;
    let output = Output { json: global.json, quiet: global.quiet, plain: global.plain };
    // Before anything is asked or read: a password lives here between the terminal and the daemon's
    // socket.
    match hardening::close_memory().map_err(unhardened).and_then(|()| commands::run(arguments, &output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn unhardened(error: HardeningError) -> Failure {
    Failure::new(ProblemKind::Internal, format!("This program's memory can't be closed to others: {error}"))
        .advised("The system refuses what keeps a password inside this process; is it in a sandbox?")
}

/// Help and version are answers and go to stdout; everything else is a usage error, 64 as in
/// sysexits.
fn refuse_arguments(error: &clap::Error) -> ExitCode {
    let answer = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if !answer && std::env::args_os().any(|argument| argument == "--json") {
        // The options could not be read, so this one is looked for by hand: a script shall get what
        // it can read.
        let text = error.to_string();
        // What is missing stands in lines of its own; behind an empty one come usage and help.
        let said: Vec<_> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
        let said = said.join(" ").trim_start_matches("error: ").to_owned();
        let problem = Problem::new(ProblemKind::InvalidRequest, said);
        Output { json: true, ..Output::default() }.failure(&Failure::Report(Report::from(problem)));
    } else {
        return match Output::grammar(&error.to_string(), answer) {
            Ok(()) => ExitCode::from(if answer { 0 } else { exit::USAGE }),
            Err(failure) => {
                Output::default().failure(&failure);
                ExitCode::from(failure.exit_code())
            }
        };
    }
    ExitCode::from(exit::USAGE)
}
