//! The operating system: clocks, randomness, threads, paths, files named by a person, who is at the
//! other end of a socket.
//!
//! Decides nothing about Parsec. Each file fences one part of the system, with the checks that
//! using it takes.

pub mod addresses;
pub mod blocking;
pub mod caller;
pub mod clock;
pub mod entropy;
pub mod named_file;
pub mod paths;
pub mod threads;

pub use blocking::{blocking, blocking_in};
