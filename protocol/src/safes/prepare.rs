//! What a device makes of a program's acts before they go into the queue: programs save a file by
//! renames, and to people it is the same file all along.
//!
//! Decides which acts of one device are one change:
//!
//! * A file that was never shared, renamed over another: one *content* of the other. No entry, no
//!   trash.
//! * A name that is vacated by a move and taken again (`n` to `n~`, then a new file to `n`): the
//!   entry keeps its name and gets the new content, and `n~` is a copy of the old. Taken as
//!   written, somebody else's edit would land in `n~`, which the program then removes.
//!
//! Refuses to touch what is on its way to the server, and a queue that it would make unfit.

use crate::ids::{DeviceId, EntryId, OperationId, Timestamp, UserId};
use crate::safes::change::{Change, Kind};
use crate::safes::fold::{Stamp, apply};
use crate::safes::name::EntryName;
use crate::safes::rebase::Pending;
use crate::safes::scratch::Scratch;
use crate::safes::tree::{PENDING_SEQ, Tree};

/// Seconds from the first to the last step of a save: what a slow program takes for a large file.
pub const SAVE_SECONDS: u64 = 15;

/// A queue, and what of it is still this device's to change.
#[derive(Clone, Copy)]
pub struct Queue<'a> {
    /// The tree that the changes are over.
    pub base: &'a dyn Tree,
    /// The same with all of them.
    pub view: &'a dyn Tree,
    /// The changes, of which none is in a record on its way.
    pub changes: &'a [Pending],
    /// Number of the first change that is at most [`SAVE_SECONDS`] old.
    pub recent: usize,
}

/// What a new act makes of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// Numbers in the queue that go, ascending.
    pub gone: Vec<usize>,
    /// Changes that come to its end, in order.
    pub come: Vec<Pending>,
}

/// What becomes of a new act. `fresh` is an id that was never used.
#[must_use]
pub fn prepare(queue: Queue<'_>, act: Change, fresh: EntryId) -> Prepared {
    let whole = vacated(queue, &act, fresh).or_else(|| renamed_over(queue, &act, fresh));
    whole
        .filter(|prepared| queue.takes(prepared))
        .unwrap_or_else(|| Prepared { gone: Vec::new(), come: vec![Pending::from(act)] })
}

impl Queue<'_> {
    /// Whether the queue would still be one that folds.
    fn takes(&self, prepared: &Prepared) -> bool {
        let mut scratch = Scratch::new(self.base);
        let stamp = Stamp {
            seq: PENDING_SEQ,
            user: UserId::from_bytes([0; 16]),
            device: DeviceId::from_bytes([0; 16]),
            time: Timestamp(0),
        };
        let stay = self.changes.iter().enumerate().filter(|(number, _)| !prepared.gone.contains(number));
        let mut all = stay.map(|(_, pending)| pending).chain(&prepared.come);
        all.all(|pending| apply(&mut scratch, &pending.change, &stamp).is_ok())
    }

    /// Whether a change is a person's act alone, with nothing that a rebase added.
    fn stands_alone(&self, number: usize) -> bool {
        let Some(pending) = self.changes.get(number) else { return false };
        let group = |number: Option<usize>| {
            number
                .and_then(|number| self.changes.get(number))
                .is_some_and(|other| other.group == pending.group)
        };
        !pending.is_helper() && !group(number.checked_sub(1)) && !group(number.checked_add(1))
    }

    /// Where an entry stood before a change of the queue.
    fn place_before(&self, number: usize, id: EntryId) -> Option<(EntryId, EntryName)> {
        let before = self.changes.iter().take(number).rev().find_map(|pending| match &pending.change {
            Change::Add { entry, parent, name, .. }
            | Change::Move { entry, parent, name, .. }
            | Change::Restore { entry, parent, name, .. }
                if *entry == id =>
            {
                Some((*parent, name.clone()))
            }
            _ => None,
        });
        before.or_else(|| self.base.entry(id).and_then(|entry| Some((entry.parent?, entry.name.clone()))))
    }
}

/// Whether a change is about an entry, as what it acts on or takes from.
fn concerns(change: &Change, id: EntryId) -> bool {
    change.entry() == Some(id) || matches!(change, Change::Replace { source, .. } if *source == id)
}

/// A file that this queue added, renamed over another: its content becomes the other's, as if it
/// had been written there.
fn renamed_over(queue: Queue<'_>, act: &Change, fresh: EntryId) -> Option<Prepared> {
    let Change::Replace { operation, target, base, source } = act else { return None };
    let gone = own_file(queue, *source)?;
    let come = written(queue, *operation, (*target, *base), *source, fresh)?;
    Some(Prepared { gone, come })
}

/// The content of `source`, and whether it is a program, written into `target`.
fn written(
    queue: Queue<'_>,
    operation: OperationId,
    (target, base): (EntryId, OperationId),
    source: EntryId,
    fresh: EntryId,
) -> Option<Vec<Pending>> {
    let from = queue.view.entry(source)?;
    let over = queue.view.entry(target)?;
    let content = from.content()?.clone();
    let mtime = from.mtime;
    let mut come = vec![Change::Content { operation, entry: target, base, content, mtime }];
    if over.executable != from.executable {
        come.push(Change::Attributes {
            operation: OperationId::from_bytes(*fresh.as_bytes()),
            entry: target,
            mtime,
            executable: from.executable,
        });
    }
    Some(come.into_iter().map(|change| Pending { change, group: operation }).collect())
}

/// Numbers of all changes of a file that was never shared and that nothing else took part in.
fn own_file(queue: Queue<'_>, file: EntryId) -> Option<Vec<usize>> {
    let about = queue.changes.iter().enumerate().filter(|(_, pending)| concerns(&pending.change, file));
    let gone: Vec<usize> = about.map(|(number, _)| number).collect();
    let first = queue.changes.get(*gone.first()?)?;
    let added = matches!(&first.change, Change::Add { kind: Kind::File(_), conflict_of: None, .. });
    let alone = gone.iter().all(|number| {
        queue.stands_alone(*number)
            && queue
                .changes
                .get(*number)
                .is_some_and(|pending| !matches!(pending.change, Change::Replace { .. }))
    });
    (added && alone).then_some(gone)
}

/// A name that a file was just moved away from, and that a file is now added or moved to.
fn vacated(queue: Queue<'_>, act: &Change, fresh: EntryId) -> Option<Prepared> {
    let (at, name) = match act {
        Change::Add { parent, name, kind: Kind::File(_), conflict_of: None, .. }
        | Change::Move { parent, name, conflict_of: None, .. } => (*parent, name),
        _ => return None,
    };
    let recent = queue.changes.iter().enumerate().skip(queue.recent);
    let (number, kept, backup) = recent.rev().find_map(|(number, pending)| match &pending.change {
        Change::Move { entry, parent, name: to, conflict_of: None, .. }
            if queue.stands_alone(number)
                && queue.place_before(number, *entry).is_some_and(|was| was.0 == at && was.1 == *name) =>
        {
            Some((number, *entry, (*parent, to.clone())))
        }
        _ => None,
    })?;
    let since = queue.changes.iter().skip(number + 1);
    if since.into_iter().any(|pending| concerns(&pending.change, kept)) {
        return None;
    }
    let file = queue.view.entry(kept)?;
    let base = file.version?;
    let copy = Pending::from(Change::Add {
        operation: None,
        entry: fresh,
        parent: backup.0,
        name: backup.1,
        kind: Kind::File(file.content()?.clone()),
        mtime: file.mtime,
        executable: file.executable,
        conflict_of: None,
    });
    let (mut gone, mut come) = (vec![number], vec![copy]);
    match act {
        Change::Add { kind: Kind::File(content), mtime, .. } => {
            come.push(Pending::from(Change::Content {
                operation: act.operation(),
                entry: kept,
                base,
                content: content.clone(),
                mtime: *mtime,
            }));
        }
        Change::Move { operation, entry, .. } => match own_file(queue, *entry) {
            Some(own) => {
                gone.extend(own);
                gone.sort_unstable();
                // The executable bit of a save by rename is the file's that it was written to.
                come.extend(written(queue, *operation, (kept, base), *entry, derived_attributes(fresh))?);
            }
            None => come.push(Pending::from(Change::Replace {
                operation: *operation,
                target: kept,
                base,
                source: *entry,
            })),
        },
        _ => return None,
    }
    Some(Prepared { gone, come })
}

/// An id beside `fresh`, which the copy has already.
fn derived_attributes(fresh: EntryId) -> EntryId {
    let operation = OperationId::from_bytes(*fresh.as_bytes());
    EntryId::from_bytes(crate::safes::change::derived(operation, crate::safes::change::Use::Copy))
}
