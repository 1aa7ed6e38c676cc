//! What is in a safe: its keys, what they seal, names, changes, the tree that these make, and what
//! becomes of changes that somebody else's overtook (docs/protocol.md, *Safes*).
//!
//! Decides how a safe's key is shared and what it seals, and what a change does to a tree, alike
//! for everybody. Knows no file, no socket, no clock and no store: times, labels and ids are
//! arguments.

pub mod ages;
pub mod as_of;
pub mod boxes;
pub mod change;
pub mod content;
pub mod content_ref;
pub mod entry;
pub mod fold;
mod kept;
pub mod keys;
pub mod name;
pub mod named;
pub mod object;
pub mod past;
pub mod prepare;
pub mod pruning;
pub mod rebase;
pub mod ring_making;
pub mod root;
pub mod scratch;
pub mod seal;
mod shards;
pub mod snapshot;
pub mod state;
pub mod tree;

#[cfg(test)]
mod tests;
