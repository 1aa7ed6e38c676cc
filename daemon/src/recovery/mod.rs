//! Recovery kits: how one is made and tried, and how it brings its user back on an empty machine
//! (docs/protocol.md, *Recovery kit*).
//!
//! Decides that a kit is used by its words alone, or by enough of its shares: whatever it opens
//! here comes from the server and is held against them. Keeps no word of it: they are shown once,
//! and read from their person.

mod collecting;
mod kits;
mod opening;
mod shares;
mod using;

pub(crate) use collecting::take;
pub use collecting::{Progress, combine};
pub(crate) use kits::{create, drill, is_untried, list, out_of_reach, share};
pub(crate) use shares::held;
pub use using::{Machine, Passwords, run};
