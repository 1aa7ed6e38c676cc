//! What waits and can't be sent: contents that this disk has damaged or lost before anybody else
//! had them.
//!
//! Decides that they hold up nothing but what needs them: they wait, and their person is told which
//! file it is. Its removal takes them out of the queue, with all else that is about it where nobody
//! has seen it yet. Refuses to drop anything by itself: a disk may come back, and is looked at
//! again now and then, or when its person asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::control::Problem;
use parsec_protocol::ids::{ObjectId, OperationId, SafeId};
use parsec_protocol::safes::change::Change;
use parsec_protocol::safes::tree::Tree as _;
use tokio::time::Instant;

use super::{anew, brake, dropped, folding, holding, overlay, views};
use crate::os::blocking_in;
use crate::session::Session;
use crate::session::open_safes::{Memory, OpenSafe, Queued};
use crate::store::{OpenDevice, StoreError};

/// After which time contents that could not be read are looked at again: a disk that comes back
/// tells nobody, and reading large ones is work.
const AGAIN: Duration = Duration::from_secs(60);

/// Whether an object can be sent, or was.
fn is_there(open: &OpenDevice, safe: SafeId, object: ObjectId, anew: bool) -> Result<bool, StoreError> {
    // What is to be sealed anew is read, though the server has what it was before.
    let found = if anew {
        open.store.staged_object(safe, object).map(|found| found.is_some())
    } else {
        open.store.to_send(safe, object).map(|found| found.is_some())
    };
    match found {
        Err(StoreError::Damaged(_) | StoreError::UnsafePath { .. }) => Ok(false),
        found => found,
    }
}

/// The first object of what an act sends that can't be sent; `first` is looked at before others.
fn lost(
    open: &OpenDevice,
    memory: &Memory,
    safe: SafeId,
    act: &[Queued],
    first: Option<ObjectId>,
    anew: bool,
) -> Result<Option<ObjectId>, StoreError> {
    let adds = || act.iter().flat_map(|queued| queued.adds.iter().copied());
    let first = first.filter(|first| adds().any(|object| object == *first));
    for object in first.into_iter().chain(adds()) {
        if !memory.base.has_object(object) && !is_there(open, safe, object, anew)? {
            return Ok(Some(object));
        }
    }
    // An earlier content of which the objects have been dropped since, and nobody has them now.
    Ok(dropped::unknown(memory, act).next())
}

/// Looks which acts can't be sent, after one could not. Whether there are others than before.
///
/// # Errors
/// The store's.
pub(super) async fn look(session: &Session, safe: &OpenSafe) -> Result<bool, Problem> {
    look_at(session, safe, |_| true).await
}

/// Looks again at what could not be sent, where it is time to.
///
/// # Errors
/// The store's.
pub(super) async fn look_again(session: &Session, safe: &OpenSafe) -> Result<(), Problem> {
    let known = {
        let memory = safe.memory().await;
        if memory.unreadable.is_empty() || next_look(&memory).is_some_and(|next| next > Instant::now()) {
            return Ok(());
        }
        memory.unreadable.clone()
    };
    if look_at(session, safe, move |group| known.contains_key(&group)).await? {
        tracing::info!(safe = %safe.id, "contents that could not be read can be");
    }
    Ok(())
}

/// Looks at acts. Whether others than before can't be sent.
async fn look_at(
    session: &Session,
    safe: &OpenSafe,
    looked_at: impl Fn(OperationId) -> bool + Send + 'static,
) -> Result<bool, Problem> {
    let mut memory = safe.memory().await;
    let (open, id) = (Arc::clone(&session.open), safe.id);
    blocking_in(&session.tasks, move || {
        let mut found = BTreeMap::new();
        let anew = anew::is_due(&memory);
        for act in brake::acts(&memory.queue) {
            let Some(group) = brake::group_of(act).filter(|group| looked_at(*group)) else { continue };
            let before = memory.unreadable.get(&group).copied();
            if let Some(object) = lost(&open, &memory, id, act, before, anew)? {
                found.insert(group, object);
            }
        }
        let others = found.keys().ne(memory.unreadable.keys());
        memory.unreadable = found;
        memory.unreadable_looked = Some(Instant::now());
        Ok::<_, StoreError>(others)
    })
    .await
}

/// When to look again; nothing where it is to be done at once, or there is nothing to look at.
pub(super) fn next_look(memory: &Memory) -> Option<Instant> {
    let looked = memory.unreadable_looked.filter(|_| !memory.unreadable.is_empty())?;
    looked.checked_add(AGAIN)
}

/// Operations that go with files which were removed, themselves or a folder above, and whose
/// contents can't be sent.
fn given_up(memory: &Memory) -> BTreeSet<OperationId> {
    let view = overlay::view(memory);
    let mut given_up = BTreeSet::new();
    for queued in &memory.queue {
        let change = &queued.pending.change;
        if !memory.unreadable.contains_key(&queued.pending.group) || change.content().is_none() {
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
