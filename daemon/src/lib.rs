//! The per-user daemon of Parsec.
//!
//! Decides every effect: files, sockets, timers, randomness. What parties must agree on is decided
//! in `parsec_protocol`; the rooms `rpc`, `store` and `transport` never import each other, and what
//! a room may name at all is in docs/architecture.md.

pub(crate) mod archive;
pub mod calls;
pub mod config;
pub(crate) mod contents;
#[cfg(feature = "p2p")]
pub(crate) mod direct;
pub mod engine;
pub mod enrolment;
pub mod events;
pub(crate) mod fm;
#[cfg(feature = "mount")]
pub(crate) mod mount;
pub mod network;
pub mod os;
#[cfg(feature = "p2p")]
pub mod p2p;
pub mod problems;
pub mod program;
pub mod recovery;
pub mod rpc;
pub mod safes;
pub mod service;
pub mod session;
pub mod store;
pub mod tokens;
pub mod transport;
pub(crate) mod truth;
