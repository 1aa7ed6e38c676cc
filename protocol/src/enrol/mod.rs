//! The ceremony that lets a newcomer in (docs/protocol.md, *The ceremony*).
//!
//! Decides what claimer and greeter say, in which order, and what must have been checked before. Refuses to do
//! I/O: `step(input, now, entropy)` takes what happened and returns what to do.

pub mod claimer;
pub mod greeter;
pub mod io;
pub mod link;
pub mod sas;
