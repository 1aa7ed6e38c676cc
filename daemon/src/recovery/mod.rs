//! Recovery kits: how one is made and tried, and how it brings its user back on an empty machine
//! (docs/protocol.md, *Recovery kit*).
//!
//! Decides that a kit is used by its words alone: whatever it opens here comes from the server and
//! is held against them. Keeps no word of it: they are shown once, and read from their person.

mod kits;
mod opening;
mod using;

pub(crate) use kits::{create, drill, is_untried, list};
pub use using::{Machine, Passwords, run};
