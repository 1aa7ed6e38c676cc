//! What the parties of a Parsec enrolment must agree on, and nothing else.
//!
//! This crate decides: encodings, the ceremony's two state machines, what a certificate may say,
//! which log is valid. It refuses to know about sockets, files, clocks, the environment, async
//! runtimes and the operating system's randomness: bytes, times and entropy are arguments. The
//! specification is docs/protocol.md; where the two differ, one of them has a bug.

pub mod address;
pub mod archive;
pub mod chain;
pub mod claim_receipt;
pub mod codec;
pub mod control;
pub mod direct;
pub mod directory;
pub mod directory_ring;
pub mod enrol;
pub mod evidence;
pub mod ids;
pub mod keys;
#[cfg(any(test, feature = "lab"))]
pub mod lab;
pub mod limits;
pub mod manifest;
pub mod name_keys;
pub mod object_hash;
pub mod p2p;
pub mod paste;
pub mod public_keys;
pub mod recovery;
pub mod relay;
pub mod safe_log;
pub mod safes;
pub mod sealing;
pub mod share_plan;
pub mod shares;
pub mod user_key;
