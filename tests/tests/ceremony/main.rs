//! People enrol, from founding to revoking: the usual way, what they get wrong, and what a server
//! forgets, delays or loses meanwhile.
//!
//! Decides with the real programs. An enemy in the middle is in `hostile`, a program that dies in
//! `crash`, no server at all in `p2p`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests"
)]

mod budgets;
mod buffering;
mod checkpoint;
mod evidence;
mod main_flow;
mod moved;
mod resumed;
mod revocation;
mod sessions;
mod unsigned_words;
mod user_key;
mod wrong_answers;
