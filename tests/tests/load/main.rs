//! Many at once and for long: no ceremony lost, nobody kept out, nothing held for what is over
//! (checks P of docs/assurance.md).
//!
//! Each takes the whole machine, so they go one after the other (`parsec_tests::alone`). One raises
//! the number of files its process may have open, so nothing else is in this program.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests"
)]

mod flood;
mod many;
mod soak;
mod soak_safes;
