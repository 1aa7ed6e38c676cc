//! What a service manager (systemd) hands to the daemon, where there is one: sockets and passwords.
//! What the daemon tells it is `parsec_host::service_manager`'s.
//!
//! Decides nothing without it: each part is absent when its variable is, and the daemon runs as it
//! does from a shell.

pub mod activation;
pub mod credentials;
