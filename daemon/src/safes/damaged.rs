//! What waits and can't be sent: contents that this disk has damaged or lost before anybody else
//! had them.
//!
//! Decides that they hold up nothing but what needs them: they wait, and their person is told which
//! file it is. Its removal takes them out of the queue, with all else that is about it where nobody
//! has seen it yet. Refuses to drop anything by itself: a disk may come back.

use std::collections::BTreeSet;
use std::sync::Arc;

use parsec_protocol::control::Problem;
use parsec_protocol::ids::{OperationId, SafeId};
use parsec_protocol::safes::change::Change;
use parsec_protocol::safes::tree::Tree as _;

use super::{brake, folding, holding, overlay, views};
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
                found.extend(brake::group_of(act));
            }
        }
        let others = found != memory.unreadable;
        memory.unreadable = found;
        Ok::<_, StoreError>(others)
    })
    .await
}

/// Operations that go with files which were removed, themselves or a folder above, and whose
/// contents can't be sent.
fn given_up(memory: &Memory) -> BTreeSet<OperationId> {
    let view = overlay::view(memory);
    let mut given_up = BTreeSet::new();
    for queued in &memory.queue {
        let change = &queued.pending.change;
        if !memory.unreadable.contains(&queued.pending.group) || change.content().is_none() {
            continue;
        }
        let Some(entry) = change.entry() else { continue };
        if view.is_live(entry) || view.is_live(brake::over(&memory.queue, entry)) {
            continue;
        }
        // What nobody has seen goes with its removal; of what is shared, everything that was to be
        // written into it, and the removal stays.
        let shared = memory.base.entry(entry).is_some();
        let goes =
            |change: &Change| brake::is_about(change, entry) && (!shared || change.content().is_some());
        let about = memory.queue.iter().filter(|queued| goes(&queued.pending.change));
        given_up.extend(about.map(|queued| queued.pending.change.operation()));
    }
    given_up
}

/// A queue in which what is left has the objects of what goes, where it names some of them: a copy
/// of a file is sent with nothing of its own.
fn handed_on(queue: &[Queued], dropped: &BTreeSet<OperationId>) -> Vec<Queued> {
    let goes = |queued: &Queued| dropped.contains(&queued.pending.change.operation());
    let mut queue = queue.to_vec();
    let lost: Vec<_> = queue
        .iter_mut()
        .filter(|queued| goes(queued))
        .map(|queued| std::mem::take(&mut queued.adds))
        .collect();
    for adds in lost {
        let names = |queued: &Queued| {
            let mut objects = queued.pending.change.content().into_iter().flat_map(|it| it.objects());
            objects.any(|reference| adds.contains(&reference.object))
        };
        if let Some(heir) = queue.iter_mut().find(|queued| !goes(queued) && names(queued)) {
            heir.adds.extend(adds);
        }
    }
    queue
}

/// Takes out of the queue what can't be sent and was removed since. The caller holds the safe's
/// turn.
///
/// # Errors
/// The store's.
pub(super) async fn settle(session: &Session, safe: &OpenSafe) -> Result<(), Problem> {
    let mut memory = safe.memory().await;
    if memory.unreadable.is_empty() {
        return Ok(());
    }
    let (open, id) = (Arc::clone(&session.open), safe.id);
    let notices = blocking_in(&session.tasks, move || {
        // A removal that waits for a person may be taken back.
        let dropped = given_up(&memory);
        if dropped.is_empty() || !holding::waiting(&open, &memory).is_empty() {
            return Ok(None);
        }
        let before = memory.queue.clone();
        memory.queue = handed_on(&memory.queue, &dropped);
        let rebased = folding::rebased(&open, &memory, &memory.base, &dropped);
        memory.queue = before;
        let (queue, notices) = rebased?;
        folding::requeue(&open, id, &mut memory, queue)?;
        // Looked for again, where anything of them is left.
        memory.unreadable.clear();
        Ok::<_, Problem>(Some(notices))
    })
    .await?;
    let Some(notices) = notices else { return Ok(()) };
    tracing::warn!(safe = %id, "contents that could not be sent were given up with their file");
    views::notify(session, safe, notices);
    Ok(())
}
