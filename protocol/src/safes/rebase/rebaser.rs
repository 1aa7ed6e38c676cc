//! One rebase under way: the trees, what became of earlier changes, and what has come out so far.
//!
//! Decides the order: each change by the rule of its kind, a dropped one with everything that was
//! done for it. *Unseen* is judged on the new state, structure on the scratch.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{EntryId, OperationId};
use crate::safes::change::{Change, Use, derived};
use crate::safes::entry::Entry;
use crate::safes::fold::{Void, apply};
use crate::safes::name::EntryName;
use crate::safes::rebase::undoable::Undoable;
use crate::safes::rebase::{Naming, Notice, Pending, Rebased, What};
use crate::safes::scratch::Scratch;
use crate::safes::tree::Tree;

/// Why a change does not go on.
pub(super) enum Dropped {
    /// What it wanted is so already, or is about nothing that is there.
    Silently,
    /// A person is told.
    With(What, EntryId),
    /// The fold would refuse what a rule made: a fault of the rules.
    Refused(Void),
}

/// What a rule says of a change; what it emitted has gone out.
pub(super) type Ruled<T = ()> = Result<T, Dropped>;

pub(super) struct Rebaser<'a> {
    pub(super) old: &'a dyn Tree,
    pub(super) new: &'a dyn Tree,
    /// The new state with what has been rebased so far.
    pub(super) scratch: Scratch<'a>,
    pub(super) queue: &'a [Pending],
    pub(super) naming: &'a Naming<'a>,
    /// Number of the change that is being rebased.
    pub(super) at: usize,
    pub(super) out: Vec<Pending>,
    notices: Vec<(What, EntryId)>,
    /// Entry of the queue -> the entry that stands for it now.
    redirect: Undoable<EntryId, EntryId>,
    /// Version of the queue -> the equal version of another device.
    pub(super) alias: BTreeMap<OperationId, OperationId>,
    /// Entries that got a conflict name -> that name.
    pub(super) conflict_names: Undoable<EntryId, EntryName>,
    /// Where the queue moved entries that are destroyed by now.
    pub(super) wished: BTreeMap<EntryId, (EntryId, EntryName)>,
    /// Conflict copies: nobody chose the folder in which they stand.
    pub(super) made: BTreeSet<EntryId>,
    /// Entries that took content which the person has not seen.
    pub(super) carried: BTreeSet<EntryId>,
    /// Entry -> the last change of the queue that moves it, removes it, or renames it over another.
    last_moved: BTreeMap<EntryId, usize>,
    /// Version -> the entries of the new state that have it. Made when it is first asked for.
    homes: Option<BTreeMap<OperationId, Vec<EntryId>>>,
    /// Versions that this rebase gave, and to which entry.
    given: BTreeMap<OperationId, EntryId>,
}

impl<'a> Rebaser<'a> {
    pub(super) fn new(
        old: &'a dyn Tree,
        new: &'a dyn Tree,
        queue: &'a [Pending],
        naming: &'a Naming<'a>,
    ) -> Self {
        let mut last_moved = BTreeMap::new();
        for (number, pending) in queue.iter().enumerate() {
            match &pending.change {
                Change::Move { entry, .. } | Change::Remove { entry, .. } => {
                    last_moved.insert(*entry, number);
                }
                Change::Replace { source, .. } => {
                    last_moved.insert(*source, number);
                }
                Change::Add { .. }
                | Change::Content { .. }
                | Change::Restore { .. }
                | Change::Attributes { .. }
                | Change::SafeName { .. }
                | Change::Retention { .. }
                | Change::Prune { .. }
                | Change::Snapshot { .. } => {}
            }
        }
        Self {
            old,
            new,
            scratch: Scratch::new(new),
            queue,
            naming,
            at: 0,
            out: Vec::new(),
            notices: Vec::new(),
            redirect: Undoable::new(),
            alias: BTreeMap::new(),
            conflict_names: Undoable::new(),
            wished: BTreeMap::new(),
            made: BTreeSet::new(),
            carried: BTreeSet::new(),
            last_moved,
            homes: None,
            given: BTreeMap::new(),
        }
    }

    pub(super) fn run(mut self, known: &BTreeSet<OperationId>) -> Rebased {
        let mut aside = Vec::new();
        for (at, pending) in self.queue.iter().enumerate() {
            self.at = at;
            let operation = pending.change.operation();
            let carried = OperationId::from_bytes(derived(operation, Use::Carried));
            // It is in the journal: a restored backup, a copied device, or an answer that was lost.
            if known.contains(&operation) || known.contains(&carried) {
                continue;
            }
            // A helper of an earlier rebase is made again from its main change.
            if matches!(pending.change, Change::Restore { .. }) && pending.is_helper() {
                continue;
            }
            self.scratch.settle();
            self.redirect.settle();
            self.conflict_names.settle();
            let (start, out, told) = (self.scratch.mark(), self.out.len(), self.notices.len());
            let Err(dropped) = self.rule(&pending.change) else { continue };
            self.scratch.go_back(start);
            self.redirect.go_back();
            self.conflict_names.go_back();
            self.out.truncate(out);
            self.notices.truncate(told);
            match dropped {
                Dropped::Silently => {}
                Dropped::With(what, entry) => self.note(what, entry),
                Dropped::Refused(void) => aside.push((pending.clone(), void)),
            }
        }
        let notices = self.tell();
        Rebased { queue: self.out, notices, view: self.scratch.into_delta(), aside }
    }

    /// The rule of a change's kind.
    fn rule(&mut self, change: &Change) -> Ruled {
        match change {
            Change::Add { .. } => self.add(change),
            Change::Content { entry, base, content, .. } => self.content(change, *entry, *base, content),
            Change::Move { operation, entry, parent, name, conflict_of } => {
                self.relocate(*operation, *entry, (*parent, name), *conflict_of)
            }
            Change::Remove { operation, entry } => self.remove(*operation, *entry),
            Change::Restore { operation, entry, parent, name, shallow } => {
                self.restore(*operation, *entry, (*parent, name), *shallow)
            }
            Change::Attributes { operation, entry, mtime, executable } => {
                self.attributes(*operation, *entry, *mtime, *executable)
            }
            Change::Replace { operation, target, base, source } => {
                self.replace(*operation, *target, *base, *source)
            }
            // Made for one end of the journal alone.
            Change::Prune { .. } | Change::Snapshot { .. } => Err(Dropped::Silently),
            // Of two the later one stands.
            Change::SafeName { .. } | Change::Retention { .. } => self.emit(change.clone()),
        }
    }

    /// Rule B: the later one stands, and nothing of it is about what is gone.
    fn attributes(&mut self, operation: OperationId, entry: EntryId, mtime: u64, executable: bool) -> Ruled {
        let entry = self.to(entry);
        if entry == self.scratch.root() || !self.scratch.is_live(entry) {
            return Err(Dropped::Silently);
        }
        self.emit(Change::Attributes { operation, entry, mtime, executable })
    }

    /// Names that are still conflict names in the end, and all else, each once.
    fn tell(&mut self) -> Vec<Notice> {
        let names: Vec<_> = self
            .conflict_names
            .iter()
            .filter(|(id, made)| {
                self.scratch.is_live(**id)
                    && self.scratch.entry(**id).is_some_and(|entry| entry.name == **made)
            })
            .map(|(id, _)| (What::ConflictName, *id))
            .collect();
        self.notices.extend(names);
        let mut told = BTreeSet::new();
        self.notices.retain(|notice| told.insert(*notice));
        self.notices
            .iter()
            .map(|(what, id)| Notice {
                what: *what,
                entry: *id,
                name: self.scratch.entry(*id).map(|entry| entry.name.clone()),
            })
            .collect()
    }

    /// Puts a change out, applied and in the group of the one that is being rebased.
    pub(super) fn emit(&mut self, change: Change) -> Ruled {
        apply(&mut self.scratch, &change, &self.naming.stamp).map_err(Dropped::Refused)?;
        match &change {
            Change::Add { entry, .. }
            | Change::Content { entry, .. }
            | Change::Replace { target: entry, .. } => {
                self.given.insert(change.operation(), *entry);
            }
            Change::Move { .. }
            | Change::Remove { .. }
            | Change::Restore { .. }
            | Change::Attributes { .. }
            | Change::SafeName { .. }
            | Change::Retention { .. }
            | Change::Prune { .. }
            | Change::Snapshot { .. } => {}
        }
        let group = self.queue.get(self.at).map_or_else(|| change.operation(), |main| main.group);
        self.out.push(Pending { change, group });
        Ok(())
    }

    pub(super) fn note(&mut self, what: What, entry: EntryId) {
        self.notices.push((what, entry));
    }

    /// An operation that a rule makes of the one that is being rebased.
    pub(super) fn own(&self, what_for: Use) -> OperationId {
        let main = self.queue.get(self.at).map(|main| main.change.operation());
        OperationId::from_bytes(main.map_or([0; 16], |main| derived(main, what_for)))
    }

    /// The entry that stands for one of the queue. One step, never a chain: a chain would carry
    /// acts on one file over to another.
    pub(super) fn to(&self, entry: EntryId) -> EntryId {
        self.redirect.get(entry).copied().unwrap_or(entry)
    }

    pub(super) fn stands_for(&mut self, entry: EntryId, now: EntryId) {
        if self.to(entry) != now {
            self.redirect.set(entry, now);
        }
    }

    pub(super) fn entry(&self, id: EntryId) -> Option<&Entry> {
        self.scratch.entry(id)
    }

    /// Whether somebody who did not know of the queue moved it, removed it or brought it back.
    pub(super) fn unseen_place(&self, id: EntryId) -> bool {
        self.new.entry(id).is_some_and(|entry| entry.place_seq > self.old.seq())
    }

    /// Whether its content is not what the person saw.
    pub(super) fn unseen_content(&self, id: EntryId) -> bool {
        self.carried.contains(&id)
            || self
                .new
                .entry(id)
                .is_some_and(|entry| !entry.is_folder() && entry.content_seq > self.old.seq())
    }

    /// Whether a later change of the queue moves, removes, or renames it over another.
    pub(super) fn later(&self, id: EntryId) -> bool {
        self.last_moved.get(&id).is_some_and(|last| *last > self.at)
    }

    /// The entry whose present version this is.
    pub(super) fn home(&mut self, version: OperationId) -> Option<EntryId> {
        let new = self.new;
        let homes = self.homes.get_or_insert_with(|| {
            let mut homes: BTreeMap<OperationId, Vec<EntryId>> = BTreeMap::new();
            new.each_version(&mut |id, version| homes.entry(version).or_default().push(id));
            homes.values_mut().for_each(|ids| ids.sort_unstable());
            homes
        });
        let there = homes.get(&version).into_iter().flatten().chain(self.given.get(&version));
        let mut has =
            there.filter(|id| self.scratch.entry(**id).and_then(|entry| entry.version) == Some(version));
        has.next().copied()
    }
}
