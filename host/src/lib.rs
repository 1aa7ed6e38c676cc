//! What Parsec's programs need of the machine they run on, written once.
//!
//! Decides how a program logs, what it tells a service manager, what it gives up before it touches
//! a secret, and how its output and its end are to be understood. Refuses to know a protocol or a
//! key: it imports none of our crates. What only a long-running program needs stands behind the
//! feature `service`, which the command line does without.

pub mod exit;
pub mod hardening;
#[cfg(feature = "service")]
pub mod journal;
#[cfg(feature = "service")]
pub mod log;
#[cfg(feature = "service")]
pub mod log_writer;
pub mod output;
pub mod ready_file;
#[cfg(feature = "service")]
pub mod service_manager;
#[cfg(feature = "service")]
pub mod terminal;
#[cfg(feature = "service")]
pub mod watchdog;
