//! Enrolments over the peer-to-peer transport: no server, real networks, routers, strangers, cables
//! that are pulled.
//!
//! Decides with the real programs, and where a network is needed in namespaces of the kernel:
//! skipped where these can't be made.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests"
)]

mod exchange;
mod hellos;
mod net;
mod networks;
mod no_server;
mod partitions;
mod routers;
mod strangers;
mod transports;
