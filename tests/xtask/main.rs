//! `cargo xtask`: the commands of the workspace itself. Decides what a whole test run, a
//! demonstration and a package are.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

mod bench;
mod checks;
mod deb;
mod demo;
mod exposure;
mod fuzz;
mod mutants;
mod no_p2p;
mod openrpc;
mod run_tests;
mod sabotage;
mod screenshots;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The workspace's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds all binaries, then runs all tests, or those that are asked for.
    Test(run_tests::Options),
    /// Says how exposed the systemd units are, by systemd's own count, and checks them.
    Exposure,
    /// Builds all binaries and shows a real enrolment of Bob and of Alice's second device.
    Demo {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
        /// Leaves everything running and prints how to go on by hand.
        #[arg(long)]
        keep: bool,
        /// Enrols Bob with no server running at all, then starts it and shows the registration
        /// arriving.
        #[arg(long, conflicts_with = "keep")]
        no_server: bool,
    },
    /// Measures, each figure beside a reference of the same run.
    Bench(bench::Options),
    /// Runs every check of docs/assurance.md: name, figure, pass or fail.
    Checks(checks::Options),
    /// Feeds changed inputs to everything that reads something from outside, and keeps what makes
    /// it fall.
    Fuzz(fuzz::Options),
    /// Changes what decides about keys in one place at a time, and shows which changes no test
    /// notices.
    Mutants(mutants::Options),
    /// Takes one rule out at a time, in a copy, and shows whether its test notices.
    Sabotage(sabotage::Options),
    /// Prints the bill of materials, CycloneDX in JSON.
    Sbom,
    /// The reference of a measurement: echoes lines over a socket.
    #[command(hide = true)]
    Echo {
        /// Path of the daemon's socket.
        socket: std::path::PathBuf,
    },
    /// Writes docs/openrpc.json and docs/schemas/ anew from the types of the local API.
    Openrpc,
    /// Enrols somebody in two real terminals and draws what they show: docs/ceremony.svg; and, with
    /// Chromium, mail and landing page into target/screenshots/.
    Screenshots,
    /// Builds parsecd without libp2p, runs its tests and the main flow with it, and counts packages
    /// with and without.
    #[command(name = "no-p2p")]
    NoP2p(no_p2p::Options),
    /// Makes Debian packages of the programs; prints where they are.
    Deb(deb::Options),
}

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    match Arguments::parse().command {
        Command::Test(options) => run_tests::run(root, &options),
        Command::Exposure => exposure::run(root),
        Command::Demo { json, keep, no_server } => demo::run(root, json, keep, no_server),
        Command::NoP2p(options) => no_p2p::run(root, &options),
        Command::Screenshots => screenshots::run(root),
        Command::Checks(options) => checks::run(root, &options),
        Command::Fuzz(options) => fuzz::run(root, &options),
        Command::Mutants(options) => mutants::run(root, &options),
        Command::Sabotage(options) => sabotage::run(root, &options),
        Command::Sbom => checks::sbom(root),
        Command::Bench(options) => bench::run(root, &options),
        Command::Echo { socket } => bench::echo(&socket).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS),
        Command::Openrpc => openrpc::run(),
        Command::Deb(options) => deb::run(root, &options),
    }
}
