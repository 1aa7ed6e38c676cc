//! The per-user daemon of Parsec.
//!
//! Decides every effect: files, sockets, timers, randomness. What parties must agree on is decided in
//! `parsec_protocol`; the rooms `rpc`, `store` and `transport` never import each other.

pub mod addresses;
pub mod caller;
pub mod clock;
pub mod config;
pub mod crew;
pub mod daemon;
pub mod enrolment;
pub mod entropy;
pub mod events;
pub mod finality;
pub mod named_file;
pub mod outbox;
pub mod paths;
pub mod problems;
pub mod rpc;
pub mod service;
pub mod store;
pub mod tokens;
pub mod transport;
