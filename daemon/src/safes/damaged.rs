//! What waits and can't be sent: contents that this disk has damaged or lost before anybody else
//! had them.
//!
//! Decides that they hold up nothing but what needs them: they wait, and their person is told which
//! file it is. Its removal takes them out of the queue, with all else that is about it where nobody
//! has seen it yet. Refuses to drop anything by itself: a disk may come back.

use std::collections::BTreeSet;
use std::sync::Arc;

use parsec_protocol::control::Problem;
use parsec_protocol::ids::{EntryId, OperationId, SafeId};
use parsec_protocol::safes::change::Change;
use parsec_protocol::safes::tree::Tree as _;

use super::{brake, folding, overlay, views};
use crate::os::blocking_in;
use crate::session::Session;
use crate::session::open_safes::{Memory, OpenSafe, Queued};
use crate::store::{OpenDevice, StoreError};

/// Whether all that an act sends can be read.
fn is_readable(open: &OpenDevice, memory: &Memory, safe: SafeId, act: &[Queued]) -> Result<bool, StoreError> {
    for object in act.iter().flat_map(|queued| &queued.adds) {
        if memory.base.has_object(*object) {
            continue;
        }
        match open.store.staged_object(safe, *object) {
            Ok(Some(_)) => {}
            Ok(None) | Err(StoreError::Damaged(_) | StoreError::UnsafePath { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Looks which acts can't be sent, after one could not. Whether there are others than before.
///
/// # Errors
/// The store's.
pub(super) async fn look(session: &Session, safe: &OpenSafe) -> Result<bool, Problem> {
    let mut memory = safe.memory().await;
    let (open, id) = (Arc::clone(&session.open), safe.id);
    blocking_in(&session.tasks, move || {
        let mut found = BTreeSet::new();
        for act in brake::acts(&memory.queue) {
            if !is_readable(&open, &memory, id, act)? {
                found.extend(act.first().map(|queued| queued.pending.group));
            }
        }
        let others = found != memory.unreadable;
        memory.unreadable = found;
        Ok::<_, StoreError>(others)
    })
    .await
}

/// Operations that go with the removal of files whose contents can't be sent.
fn given_up(memory: &Memory) -> BTreeSet<OperationId> {
    let is_removed = |entry: EntryId| {
        let removes = |queued: &Queued| matches!(&queued.pending.change, Change::Remove { entry: removed, .. } if *removed == entry);
        memory.queue.iter().any(removes)
    };
    let mut given_up = BTreeSet::new();
    for queued in &memory.queue {
        if !memory.unreadable.contains(&queued.pending.group) {
            continue;
        }
        let change = &queued.pending.change;
        let Some(entry) = change.entry().filter(|entry| is_removed(*entry)) else { continue };
        if memory.base.entry(entry).is_some() {
            given_up.insert(change.operation());
            continue;
        }
        // Nobody has seen it: all of it goes, its removal too.
        let about = memory.queue.iter().filter(|queued| brake::is_about(&queued.pending.change, entry));
        given_up.extend(about.map(|queued| queued.pending.change.operation()));
    }
    given_up
}

/// Takes out of the queue what can't be sent and was removed since. The caller holds the safe's
/// turn.
///
/// # Errors
/// The store's.
pub(super) async fn settle(session: &Session, safe: &OpenSafe) -> Result<(), Problem> {
    let mut memory = safe.memory().await;
    let dropped = given_up(&memory);
    if dropped.is_empty() {
        return Ok(());
    }
    let (open, id) = (Arc::clone(&session.open), safe.id);
    let notices = blocking_in(&session.tasks, move || {
        let (queue, notices) = folding::rebased(&open, &memory, &memory.base, &dropped)?;
        open.store.replace_safe_queue(id, &folding::encoded(&queue))?;
        memory.delta = overlay::of(&memory.base, &queue, &folding::stamp(&open));
        memory.queue = queue;
        // Looked for again, where anything of them is left.
        memory.unreadable.clear();
        Ok::<_, Problem>(notices)
    })
    .await?;
    tracing::warn!(safe = %id, "contents that could not be sent were given up with their file");
    views::notify(session, safe, notices);
    Ok(())
}
