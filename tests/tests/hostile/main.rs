//! Somebody means harm: a server or relay that lies, another user of the machine, hostile names,
//! files and bytes, whoever reads memory or disk.
//!
//! Decides with the real programs that nothing is certified, shown or kept that should not be.
//! Strangers on the network are in `p2p`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests"
)]

mod access;
mod adversary;
mod behind;
mod certificates;
mod directory_due;
mod directory_key;
mod fuzz;
mod hostile_names;
mod hostile_paths;
mod manifest_anchor;
mod meddling;
mod memory;
mod old_manifest;
mod passwords;
mod safes;
mod safes_left;
mod secrets;
mod stolen_device;
