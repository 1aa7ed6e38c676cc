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
pub(crate) fn of(base: &State, queue: &[Queued], stamp: &Stamp) -> Delta {
    let mut scratch = Scratch::new(base);
    for queued in queue {
        if let Err(why) = apply(&mut scratch, &queued.pending.change, stamp) {
            tracing::warn!(%why, "a change that waits does not fit the tree it stands on");
        }
    }
    scratch.into_delta()
}

/// Puts further changes over it, if `keep` can keep them; where one does not fit, or they can't be
/// kept, nothing has changed. What thousands of changes before have made is not copied for it.
///
/// # Errors
/// Which rule of the tree a change breaks, as `void` says it; what `keep` says.
pub(crate) fn add<E>(
    memory: &mut Memory,
    changes: &[Pending],
    stamp: &Stamp,
    void: impl FnOnce(Void) -> E,
    keep: impl FnOnce() -> Result<(), E>,
) -> Result<(), E> {
    let mut scratch = Scratch::resume(&memory.base, std::mem::take(&mut memory.delta));
    let before = scratch.mark();
    let fit = changes.iter().try_for_each(|pending| apply(&mut scratch, &pending.change, stamp));
    let kept = fit.map_err(void).and_then(|()| keep());
    if kept.is_err() {
        scratch.go_back(before);
    }
    memory.delta = scratch.into_delta();
    kept
}

/// The tree as a person sees it.
pub(crate) fn view(memory: &Memory) -> Over<'_> {
    Over::new(&memory.base, &memory.delta)
}
