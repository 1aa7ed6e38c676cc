//! The local API: its document, its methods, events and errors, programs of other authors, the
//! plug-ins' socket.
//!
//! Decides that documents and programs say the same. What `parsecctl` makes of it is in `cli`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests"
)]

mod documents;
mod errors;
mod events;
mod file_managers;
mod foreign_client;
mod judge;
mod judges;
mod locking;
mod malformed;
mod openrpc;
mod plugin_author;
mod plugin_socket;
mod promises;
mod safes;
mod traffic;
