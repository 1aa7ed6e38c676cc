//! What a service manager (systemd) does for the daemon, where there is one: sockets, readiness, watchdog.
//!
//! Decides nothing without it: each part is absent when its variable is, and the daemon runs as it does from a shell.

pub mod activation;
pub mod credentials;
pub mod journal;
pub mod supervisor;
