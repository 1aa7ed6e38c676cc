//! `parsecctl` as people and scripts use it: commands, prompts, output, completion, manual pages,
//! links that are pasted.
//!
//! Decides what is said and how it exits. What a method of the daemon answers is in `api`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests"
)]

mod addresses;
mod commands;
mod completion;
mod conversations;
mod json_output;
#[path = "../api/judge.rs"]
mod judge;
mod lab;
mod links;
mod man;
mod prompts;
mod pty;
mod safes;
mod scenarios;
mod screenshot;
mod scripts;
mod streams;
