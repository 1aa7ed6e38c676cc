//! Programs killed at every moment, disks and memory that run out, databases that are lost and
//! restored: nobody is half enrolled.
//!
//! Those that kill again and again use both cores, and go one after the other
//! (`parsec_tests::alone`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests"
)]

mod backup;
mod copied_device;
mod disk;
mod key_change;
mod killed_server;
mod kills;
mod lost_boxes;
mod prune_kills;
mod restore;
mod safe_disks;
mod safe_kills;
mod safe_restore;
mod short_of_memory;
mod two_daemons;
