//! Which removals of a queue wait for a person, now and from now on.
//!
//! Decides that a removal which waits once is marked so in the store, together with the queue: then
//! no time that passes and no restart lets it go.

use std::sync::Arc;

use parsec_protocol::control::Problem;
use parsec_protocol::ids::SafeId;

use super::brake::{self, Waiting};
use super::folding;
use crate::os::{blocking_in, clock};
use crate::session::Session;
use crate::session::open_safes::{Brake, Memory, OpenSafe, Queued};
use crate::store::{OpenDevice, Standing, StoreError};

/// What waits for a person now.
pub(crate) fn waiting(open: &OpenDevice, memory: &Memory) -> Waiting {
    brake::judged(memory, clock::since_boot(), &folding::stamp(open))
}

/// The same, counted where it holds up nobody. Nothing waits in a safe that was left: no word would
/// be followed by anything.
///
/// # Errors
/// The device was locked meanwhile.
pub(crate) async fn waiting_in(session: &Session, safe: &OpenSafe) -> Result<Waiting, Problem> {
    let memory = safe.memory().await;
    if memory.standing == Standing::Left || memory.queue.is_empty() {
        return Ok(Waiting::default());
    }
    let open = Arc::clone(&session.open);
    blocking_in(&session.tasks, move || Ok::<_, Problem>(waiting(&open, &memory))).await
}

/// New acts, each marked that waits from the beginning: what is saved is marked in one write.
pub(crate) fn marked(open: &OpenDevice, memory: &mut Memory, mut acts: Vec<Queued>) -> Vec<Queued> {
    if acts.iter().any(|queued| brake::removes(&queued.pending.change)) {
        let before = memory.queue.len();
        memory.queue.extend(acts.iter().cloned());
        let waiting = waiting(open, memory);
        memory.queue.truncate(before);
        for queued in acts.iter_mut().filter(|queued| waiting.is_removal(queued.pending.group)) {
            queued.brake = Some(Brake::Waits);
        }
    }
    acts
}

/// What waits, marked durably, so that no time lets it go.
///
/// # Errors
/// The store's; nothing is marked then.
pub(super) fn mark(open: &OpenDevice, safe: SafeId, memory: &mut Memory) -> Result<Waiting, StoreError> {
    let waiting = waiting(open, memory);
    let is_new = |queued: &Queued| queued.brake.is_none() && waiting.is_removal(queued.pending.group);
    if memory.queue.iter().any(is_new) {
        let mut marked = memory.queue.clone();
        for queued in marked.iter_mut().filter(|queued| is_new(queued)) {
            queued.brake = Some(Brake::Waits);
        }
        open.store.replace_safe_queue(safe, &folding::encoded(&marked))?;
        memory.queue = marked;
    }
    Ok(waiting)
}
