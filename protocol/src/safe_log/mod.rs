//! The log of a safe and the outside of its journal: who may do what in it, which key is current,
//! and in which order all of it happened (docs/protocol.md, *The safe log* and *Records*).
//!
//! Decides what is public: certificates, rings, the envelopes of records, and the rules by which
//! every member and the server accept the next one of either. Refuses to know a secret: what a
//! record says inside, what a box holds, `safes` knows. One order runs through certificates and
//! records: both are the *items* of a safe.

pub mod certificate;
pub mod effects;
pub mod record;
pub mod ring;
pub mod roles;
pub mod rules;
pub mod safe;
pub mod view;

/// The suite of keys and boxes that this program knows.
pub const SUITE: u32 = 1;
/// The format, which says what kinds of changes a safe knows, that this program knows.
pub const FORMAT: u32 = 1;
