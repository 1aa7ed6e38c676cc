//! What a person sees of a safe: the tree that accepted records made, and over it what was saved
//! here.
//!
//! Decides nothing: the rules of the tree are the fold's. A change that does not fit is passed over
//! and logged; a rebase makes none.

use parsec_protocol::safes::fold::{Stamp, Void, apply};
use parsec_protocol::safes::rebase::Pending;
use parsec_protocol::safes::scratch::{Delta, Over, Scratch};
use parsec_protocol::safes::state::State;

use crate::session::open_safes::{Memory, Queued};

/// What a queue makes of a tree.
pub(super) fn of(base: &State, queue: &[Queued], stamp: &Stamp) -> Delta {
    let mut scratch = Scratch::new(base);
    for queued in queue {
        if let Err(why) = apply(&mut scratch, &queued.pending.change, stamp) {
            tracing::warn!(%why, "a change that waits does not fit the tree it stands on");
        }
    }
    scratch.into_delta()
}

/// What further changes make of it; nothing has changed where one does not fit.
///
/// # Errors
/// Which rule of the tree a change breaks.
pub(super) fn with(memory: &Memory, changes: &[Pending], stamp: &Stamp) -> Result<Delta, Void> {
    let mut scratch = Scratch::resume(&memory.base, memory.delta.clone());
    for pending in changes {
        apply(&mut scratch, &pending.change, stamp)?;
    }
    Ok(scratch.into_delta())
}

/// The tree as a person sees it.
pub(super) fn view(memory: &Memory) -> Over<'_> {
    Over::new(&memory.base, &memory.delta)
}
