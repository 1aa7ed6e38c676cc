//! What is in a safe: names, changes, the tree that they make, and what becomes of changes that
//! somebody else's overtook (docs/protocol.md, *Changes* and *Folding*).
//!
//! Decides what a change does to a tree, alike for everybody. Knows no file, no socket, no clock
//! and no store: times, labels and ids are arguments.

pub mod boxes;
pub mod change;
pub mod content;
pub mod content_ref;
pub mod entry;
pub mod fold;
pub mod keys;
pub mod name;
pub mod object;
pub mod past;
pub mod prepare;
pub mod rebase;
pub mod root;
pub mod scratch;
pub mod seal;
mod shards;
pub mod state;
pub mod tree;
