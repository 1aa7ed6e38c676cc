//! The truth about a safe: whether all of it is here and at the server as it was made, and what it
//! takes there.
//!
//! Decides nothing by what was judged before: logs are verified from their first item, the tree is
//! folded from nothing, and bytes are hashed. Refuses to change anything that anybody sees: what is
//! put right was found to be the very thing that should be there.

mod contents;
mod findings;
mod logs;
pub(crate) mod pieces;
mod progress;
pub(crate) mod room;
pub(crate) mod server;
mod usage;
mod verify;

pub(crate) use progress::Progress;
pub(crate) use usage::usage;
pub(crate) use verify::{Asked, verify};
