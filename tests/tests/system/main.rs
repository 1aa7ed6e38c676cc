//! What is around the programs: packages, units, a booted Debian, mail servers, clocks, signals,
//! and the server's own commands.
//!
//! Decides by the tools of the system itself; a test whose tool or right is missing is skipped and
//! says so.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests"
)]

mod booted;
mod clock;
mod file_managers;
mod landing;
mod mail;
mod package;
mod server_commands;
mod stopped;
mod unattended;
mod units;
