//! Safes, by the local API and with the real programs: several people, several devices, one server.
//!
//! Decides what members see of each other's changes, and what nobody sees who is not one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests"
)]

mod main_flow;
