//! A folder as it was: which changes make what is below it what it was in an earlier tree.
//!
//! Decides by ids: what stood there stands there again, under its name and with its content,
//! wherever it has been moved to since, or out of the trash. What has come since stays, beside what
//! it would be in the way of; or goes to the trash where its person wants the folder exactly as it
//! was. Nothing is destroyed. Refuses nothing: what can't come back is counted.

use std::collections::BTreeSet;

use crate::ids::{EntryId, OperationId};
use crate::safes::change::Change;
use crate::safes::entry::Entry;
use crate::safes::fold::apply;
use crate::safes::name::EntryName;
use crate::safes::rebase::{Naming, conflict_name};
use crate::safes::scratch::Scratch;
use crate::safes::tree::Tree;

/// What makes a folder what it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// In the order in which they fit the tree.
    pub changes: Vec<Change>,
    /// What comes of them.
    pub sums: Sums,
}

/// What becomes of entries, each counted once in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// Entries that come out of the trash.
    pub restored: u64,
    /// Entries that are elsewhere, or have another name.
    pub moved: u64,
    /// Files that get an earlier content.
    pub contents: u64,
    /// Files whose date or mark as a program was another one, and nothing else.
    pub attributes: u64,
    /// Entries that have come since and go to the trash, with what is in them.
    pub removed: u64,
    /// Entries that have come since and get another name, because theirs is that of an earlier one.
    pub renamed: u64,
    /// Entries that can't come back: they, or what they held, are not in the safe any more, or they
    /// would stand in themselves.
    pub lost: u64,
}

/// Draws the ids of new operations.
pub type Draw<'a, E> = &'a mut dyn FnMut() -> Result<OperationId, E>;

struct Work<'a, 'd, E> {
    scratch: Scratch<'a>,
    then: &'a dyn Tree,
    /// The folder, or the file.
    top: EntryId,
    /// What stood below the folder.
    homes: BTreeSet<EntryId>,
    /// What has another name since, because it was in the way.
    renamed: BTreeSet<EntryId>,
    naming: &'a Naming<'a>,
    draw: Draw<'d, E>,
    plan: Plan,
}

/// The changes that make what is below `top` in `now` what it was in `then`; with `itself` the
/// folder, or file, too. `exact`: what has come since goes to the trash.
///
/// # Errors
/// What `draw` says.
pub fn as_of<E>(
    now: &dyn Tree,
    then: &dyn Tree,
    (top, itself): (EntryId, bool),
    exact: bool,
    naming: &Naming<'_>,
    draw: Draw<'_, E>,
) -> Result<Plan, E> {
    let order: Vec<_> = itself.then_some(top).into_iter().chain(then.below(top)).collect();
    let homes = order.iter().copied().collect();
    let scratch = Scratch::new(now);
    let mut work =
        Work { scratch, then, top, homes, renamed: BTreeSet::new(), naming, draw, plan: Plan::default() };
    // A folder before what is in it: each comes to a folder that stands where it stood.
    let mut left = Vec::new();
    for id in order {
        if !work.comes_home(id)? {
            left.push(id);
        }
    }
    if exact {
        work.newcomers()?;
    }
    // What had no room, because of what has left its place since.
    for id in left {
        if !work.comes_home(id)? {
            work.plan.sums.lost += 1;
        }
    }
    work.plan.sums.renamed = work.renamed.len() as u64;
    Ok(work.plan)
}

impl<E> Work<'_, '_, E> {
    /// Does it if it fits; whether it did.
    fn fits(&mut self, change: Change) -> bool {
        let done = apply(&mut self.scratch, &change, &self.naming.stamp).is_ok();
        if done {
            self.plan.changes.push(change);
        }
        done
    }

    /// Brings an entry back to where it stood, with what it held; whether it is there.
    fn comes_home(&mut self, id: EntryId) -> Result<bool, E> {
        let Some(wanted) = self.then.entry(id) else { return Ok(true) };
        let Some(parent) = wanted.parent else { return Ok(true) };
        let Some(found) = self.scratch.entry(id).cloned() else { return Ok(false) };
        let (live, name) = (self.scratch.is_live(id), wanted.name.clone());
        if live && found.parent == Some(parent) && found.name == wanted.name {
            self.file(wanted)?;
            return Ok(true);
        }
        self.make_room(parent, wanted)?;
        let operation = (self.draw)()?;
        let home = if live {
            let conflict_of = wanted.rare.conflict_of;
            let done = self.fits(Change::Move { operation, entry: id, parent, name, conflict_of });
            self.plan.sums.moved += u64::from(done);
            done
        } else {
            // A folder alone: with it would come what was removed with it, and had come since.
            let shallow = found.is_folder();
            let done = self.fits(Change::Restore { operation, entry: id, parent, name, shallow });
            self.plan.sums.restored += u64::from(done);
            done
        };
        // What can't go back to its place gets its content back where it stands.
        if home || live {
            self.file(wanted)?;
        }
        Ok(home)
    }

    /// Makes sure that nothing else has the name: it gets another one. What has a place of its own
    /// comes there later; what has come since goes later, where that is wanted.
    fn make_room(&mut self, parent: EntryId, wanted: &Entry) -> Result<(), E> {
        let occupant = self.scratch.child(parent, &wanted.name).filter(|occupant| *occupant != wanted.id);
        let Some(occupant) = occupant.filter(|occupant| self.scratch.is_live(*occupant)) else {
            return Ok(());
        };
        // Of two that can't both be there, the one that everything is in stays.
        if self.scratch.is_under(self.top, occupant) {
            return Ok(());
        }
        let Naming { label, moment, .. } = self.naming;
        // With the beginning of its id: names that differ at their ends alone would else be tried
        // one after the other.
        let label = format!("{label} {}", occupant.to_string().get(..8).unwrap_or_default());
        let name: EntryName = conflict_name(&self.scratch, parent, &wanted.name, &label, moment);
        let conflict_of = self.scratch.entry(occupant).and_then(|found| found.rare.conflict_of);
        let operation = (self.draw)()?;
        let moved = self.fits(Change::Move { operation, entry: occupant, parent, name, conflict_of });
        if moved && !self.homes.contains(&occupant) {
            self.renamed.insert(occupant);
        }
        Ok(())
    }

    /// Content and attributes of a file that stands where it stood.
    fn file(&mut self, wanted: &Entry) -> Result<(), E> {
        let (entry, mtime, executable) = (wanted.id, wanted.mtime, wanted.executable);
        let Some(found) = self.scratch.entry(entry).cloned() else { return Ok(()) };
        if let (Some(content), Some(base)) = (wanted.content(), found.version)
            && found.content() != Some(content)
        {
            // Thrown away since: its objects are the safe's no more.
            if !found.rare.versions.iter().any(|version| version.content == *content) {
                self.plan.sums.lost += 1;
                return Ok(());
            }
            let (operation, content) = ((self.draw)()?, content.clone());
            if self.fits(Change::Content { operation, entry, base, content, mtime }) {
                self.plan.sums.contents += 1;
            }
        }
        let Some(found) = self.scratch.entry(entry) else { return Ok(()) };
        if wanted.content().is_some() && (found.mtime, found.executable) != (mtime, executable) {
            let counted = !self.plan.changes.last().is_some_and(|last| concerns(last, entry));
            let operation = (self.draw)()?;
            if self.fits(Change::Attributes { operation, entry, mtime, executable }) && counted {
                self.plan.sums.attributes += 1;
            }
        }
        Ok(())
    }

    /// Removes what has come since: what did not stand anywhere then. What stood elsewhere has been
    /// brought here by somebody, and its place is not this folder's to say; nor what it stands in.
    fn newcomers(&mut self) -> Result<(), E> {
        let below = self.scratch.below(self.top);
        let mut holds = BTreeSet::new();
        for id in below.iter().filter(|id| self.homes.contains(*id) || self.then.is_live(**id)) {
            let mut at = Some(*id);
            while let Some(id) = at.filter(|id| holds.insert(*id)) {
                at = self.scratch.entry(id).and_then(|entry| entry.parent);
            }
        }
        for id in below {
            // Gone already, with a folder above it.
            if holds.contains(&id) || !self.scratch.is_live(id) {
                continue;
            }
            let operation = (self.draw)()?;
            if self.fits(Change::Remove { operation, entry: id }) {
                self.plan.sums.removed += 1;
                self.renamed.remove(&id);
            }
        }
        Ok(())
    }
}

/// Whether a change is about this entry.
fn concerns(change: &Change, id: EntryId) -> bool {
    match change {
        Change::Content { entry, .. } | Change::Move { entry, .. } | Change::Restore { entry, .. } => {
            *entry == id
        }
        Change::Add { .. }
        | Change::Remove { .. }
        | Change::Attributes { .. }
        | Change::Replace { .. }
        | Change::SafeName { .. }
        | Change::Retention { .. }
        | Change::Prune { .. }
        | Change::Snapshot { .. } => false,
    }
}

#[cfg(test)]
mod tests;
