//! What becomes of a program's act in the queue of what waits to be shared.
//!
//! Decides that acts of this device which belong together go out as one: a file that is saved by
//! renames is one content (`parsec_protocol::safes::prepare`), one that was made and removed again
//! was never there. Refuses to touch what may be on its way to the server, and whatever would not
//! fold: then the act goes to the end as it is. Each is durable when this returns.

use std::collections::BTreeSet;
use std::sync::Arc;

use parsec_protocol::control::Problem;
use parsec_protocol::ids::{EntryId, ObjectId, SafeId};
use parsec_protocol::safes::change::{Change, Kind};
use parsec_protocol::safes::fold::apply;
use parsec_protocol::safes::prepare::{Queue, SAVE_SECONDS, prepare};
use parsec_protocol::safes::rebase::Pending;
use parsec_protocol::safes::scratch::Scratch;
use parsec_protocol::safes::tree::Tree;

use crate::os::{blocking_in, clock};
use crate::safes::acts::{self, Act};
use crate::safes::{folding, holding, overlay, refusals};
use crate::session::Session;
use crate::session::open_safes::{Memory, MemoryGuard, OpenSafe, Queued};
use crate::store::OpenDevice;

/// Changes in a queue that are looked through: in a longer one nothing is put together, because
/// all of it would be written anew for each act.
const TOGETHER_MAX: usize = 256;

/// What an act came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Queueing {
    /// An entry that keeps its name after all, and the one that has what was moved away from there.
    pub(super) swapped: Option<(EntryId, EntryId)>,
}

/// Saves acts: durable when it returns. The caller tells the safe's task when they go out.
/// `open_objects` are those of contents that programs have open.
///
/// # Errors
/// Why the tree does not take them; the store's.
pub(super) async fn save(
    session: &Session,
    safe: &OpenSafe,
    mut memory: MemoryGuard,
    acts: Vec<Act>,
    open_objects: BTreeSet<ObjectId>,
) -> Result<Queueing, Problem> {
    let (open, id) = (Arc::clone(&session.open), safe.id);
    // What programs have open through another mount of it is not known here.
    let elsewhere = session.mounts.all().iter().filter(|mounted| mounted.safe == id).count() > 1;
    blocking_in(&session.tasks, move || {
        let mut all = Queueing::default();
        let mut acts = acts.into_iter();
        if acts.len() == 1
            && let Some((change, adds)) = acts.next()
        {
            let fresh = EntryId::from_bytes(acts::drawn()?);
            match together(&open, &memory, &change, &adds, fresh) {
                Some(Together { queue, freed, swapped }) => {
                    folding::requeue(&open, id, &mut memory, queue)?;
                    all.swapped = swapped;
                    // What somebody has open they go on reading. Dropped with the next unlocking.
                    let freed = if elsewhere || freed.iter().any(|object| open_objects.contains(object)) {
                        Vec::new()
                    } else {
                        freed
                    };
                    if let Err(error) = open.store.drop_objects(id, &freed) {
                        // Dropped when the device is unlocked next: nothing names them.
                        tracing::warn!(%error, "objects that nothing names stay for now");
                    }
                }
                None => append(&open, id, &mut memory, vec![(change, adds)])?,
            }
            return Ok::<_, Problem>(all);
        }
        append(&open, id, &mut memory, acts.collect())?;
        Ok(all)
    })
    .await
}

/// Puts acts at the end of the queue, as every act of a program is.
fn append(open: &OpenDevice, id: SafeId, memory: &mut Memory, acts: Vec<Act>) -> Result<(), Problem> {
    let saved = clock::now();
    let queued = acts
        .into_iter()
        .map(|(change, adds)| Queued { pending: Pending::from(change), saved, adds, brake: None })
        .collect();
    let queued = holding::marked(open, memory, queued);
    let pending: Vec<_> = queued.iter().map(|queued: &Queued| queued.pending.clone()).collect();
    let keep = || Ok(open.store.queue_safe_changes(id, &folding::encoded(&queued))?);
    overlay::add(memory, &pending, &folding::stamp(open), refusals::void, keep)?;
    memory.queue.extend(queued);
    Ok(())
}

/// A queue in which an act is put together with what it belongs to.
struct Together {
    queue: Vec<Queued>,
    /// Objects that nothing names any more.
    freed: Vec<ObjectId>,
    swapped: Option<(EntryId, EntryId)>,
}

fn together(
    open: &OpenDevice,
    memory: &Memory,
    act: &Change,
    adds: &[ObjectId],
    fresh: EntryId,
) -> Option<Together> {
    if memory.queue.is_empty() || memory.queue.len() > TOGETHER_MAX {
        return None;
    }
    let first = memory
        .queue
        .iter()
        .rposition(|queued| {
            queued.brake.is_some() || memory.fixed.contains(&queued.pending.change.operation())
        })
        .map_or(0, |at| at + 1);
    let tail = memory.queue.get(first..).filter(|tail| !tail.is_empty())?;
    let stamp = folding::stamp(open);
    let mut base = Scratch::new(&memory.base);
    let stands = memory.queue.iter().take(first);
    if !stands.into_iter().all(|queued| apply(&mut base, &queued.pending.change, &stamp).is_ok()) {
        return None;
    }
    let changes: Vec<Pending> = tail.iter().map(|queued| queued.pending.clone()).collect();
    let since = clock::now().0.saturating_sub(SAVE_SECONDS * 1_000_000);
    let recent = tail.iter().position(|queued| queued.saved.0 >= since).unwrap_or(tail.len());
    let view = overlay::view(memory);
    let found = prepare(Queue { base: &base, view: &view, changes: &changes, recent }, act.clone(), fresh);
    let (gone, come, dropped) =
        if found.gone.is_empty() { own(&view, &changes, act)? } else { (found.gone, found.come, Vec::new()) };
    // Who has the name, and where what stood there is now.
    let swapped = match come.as_slice() {
        [Pending { change: Change::Add { entry, .. }, .. }, Pending { change, .. }, ..]
            if *entry == fresh =>
        {
            change.entry().map(|kept| (kept, fresh))
        }
        _ => None,
    };
    let is_gone = |at: &usize| gone.contains(at);
    let of = |at: &usize| tail.get(*at).map(|queued| queued.adds.clone()).unwrap_or_default();
    let freed: Vec<ObjectId> = dropped.iter().flat_map(of).collect();
    let kept = gone.iter().filter(|at| !dropped.contains(at)).flat_map(of);
    // With the one that brings a content, or the last.
    let mut objects: Vec<ObjectId> = kept.chain(adds.iter().copied()).collect();
    let saved = gone.iter().filter_map(|at| tail.get(*at)).map(|queued| queued.saved).min();
    let saved = saved.unwrap_or_else(clock::now);
    let bearer = come.iter().rposition(|pending| pending.change.content().is_some());
    let bearer = bearer.unwrap_or(come.len().saturating_sub(1));
    let come = come.into_iter().enumerate().map(|(at, pending)| {
        let adds = if at == bearer { std::mem::take(&mut objects) } else { Vec::new() };
        Queued { pending, saved, adds, brake: None }
    });
    let come: Vec<Queued> = come.collect();
    let stay = tail.iter().enumerate().filter(|(at, _)| !is_gone(at)).map(|(_, queued)| queued.clone());
    let queue: Vec<Queued> = memory.queue.iter().take(first).cloned().chain(stay).chain(come).collect();
    let mut scratch = Scratch::new(&memory.base);
    let folds = queue.iter().all(|queued| apply(&mut scratch, &queued.pending.change, &stamp).is_ok());
    folds.then_some(Together { queue, freed, swapped })
}

/// Numbers of changes that go, changes that come, and of which of those that go the objects go too.
type Own = (Vec<usize>, Vec<Pending>, Vec<usize>);

/// Whether a change is about an entry, as what it acts on, takes from, or stands in.
fn concerns(change: &Change, id: EntryId) -> bool {
    change.entry() == Some(id)
        || matches!(change, Change::Replace { source, .. } if *source == id)
        || matches!(change, Change::Add { parent, .. } | Change::Move { parent, .. }
            | Change::Restore { parent, .. } if *parent == id)
}

/// An act on what this queue has made itself: it was made like that at once.
fn own(view: &dyn Tree, changes: &[Pending], act: &Change) -> Option<Own> {
    let entry = act.entry()?;
    if matches!(act, Change::Add { .. } | Change::Replace { .. } | Change::Restore { .. }) {
        return None;
    }
    let alone = |at: usize| {
        let group = changes.get(at).map(|pending| pending.group);
        changes.iter().filter(|other| Some(other.group) == group).count() == 1
    };
    let about: Vec<usize> = (0..changes.len())
        .filter(|at| changes.get(*at).is_some_and(|pending| concerns(&pending.change, entry)))
        .collect();
    let last = *about.last()?;
    if let (Change::Content { operation, base: _, content, mtime, .. }, Some(pending)) =
        (act, changes.get(last))
        && let Change::Content { base, .. } = &pending.change
        && alone(last)
        && pending.group == pending.change.operation()
    {
        // Written over a moment ago, and by nobody else.
        let (operation, base, content, mtime) = (*operation, *base, content.clone(), *mtime);
        let come = Pending::from(Change::Content { operation, entry, base, content, mtime });
        return Some((vec![last], vec![come], vec![last]));
    }
    let made = changes.get(*about.first()?)?;
    let Change::Add { operation: None, parent: _, name: _, kind, conflict_of: None, .. } = &made.change
    else {
        return None;
    };
    let simple = about.iter().all(|at| {
        alone(*at)
            && changes.get(*at).is_some_and(|pending| {
                pending.change.entry() == Some(entry) && !matches!(pending.change, Change::Replace { .. })
            })
    });
    if !simple {
        return None;
    }
    let now = view.entry(entry)?;
    let add = |parent, name, kind, mtime, executable| {
        let operation = None;
        let change =
            Change::Add { operation, entry, parent, name, kind, mtime, executable, conflict_of: None };
        vec![Pending::from(change)]
    };
    let (parent, name) = (now.parent?, now.name.clone());
    Some(match act {
        Change::Remove { .. } => (about.clone(), Vec::new(), about),
        Change::Move { parent, name, conflict_of: None, .. } => {
            (about, add(*parent, name.clone(), now.kind.clone(), now.mtime, now.executable), Vec::new())
        }
        Change::Attributes { mtime, executable, .. } => {
            (about, add(parent, name, now.kind.clone(), *mtime, *executable), Vec::new())
        }
        Change::Content { content, mtime, .. } if matches!(kind, Kind::File(_)) => {
            (about.clone(), add(parent, name, Kind::File(content.clone()), *mtime, now.executable), about)
        }
        _ => return None,
    })
}
