//! Rules E, T and C: where content goes that was written over a version of a file.

use crate::ids::{EntryId, OperationId};
use crate::safes::change::{Change, ConflictOf, Kind, Use, derived};
use crate::safes::content_ref::Content;
use crate::safes::name::EntryName;
use crate::safes::rebase::What;
use crate::safes::rebase::rebaser::{Dropped, Rebaser, Ruled};
use crate::safes::tree::Tree;

/// Renames over another that are followed; a longer chain is no work of people.
const HOPS_MAX: usize = 50;

/// Where content goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Goes {
    /// Over the present version of this entry.
    Over(EntryId, OperationId),
    /// Nowhere: this entry has these bytes already, as this version.
    Nowhere(EntryId, OperationId),
    /// Into a conflict copy beside this entry.
    Beside(EntryId),
    /// Into a new entry: the one it was for is destroyed.
    New,
}

impl Rebaser<'_> {
    /// Rule E.
    pub(super) fn content(
        &mut self,
        change: &Change,
        entry: EntryId,
        base: OperationId,
        content: &Content,
    ) -> Ruled {
        let operation = change.operation();
        let Change::Content { mtime, .. } = *change else { return Err(Dropped::Silently) };
        match self.goes(operation, entry, base, content)? {
            Goes::Over(now, base) => {
                self.stands_for(entry, now);
                self.emit(Change::Content { operation, entry: now, base, content: content.clone(), mtime })
            }
            Goes::Nowhere(now, version) => {
                self.stands_for(entry, now);
                self.alias.insert(operation, version);
                Ok(())
            }
            Goes::Beside(beside) => self.copy(operation, (entry, base), content, mtime, beside),
            Goes::New => self.again(operation, entry, content, mtime),
        }
    }

    /// Rule T: where content goes that was based on version `base` of `entry`.
    pub(super) fn goes(
        &mut self,
        operation: OperationId,
        entry: EntryId,
        base: OperationId,
        content: &Content,
    ) -> Ruled<Goes> {
        let mut base = self.alias.get(&base).copied().unwrap_or(base);
        let asked = self.to(entry);
        // T1: the version lives elsewhere: a copied device, a change carried along.
        let mut at = match self.entry(asked).map(|entry| entry.version) {
            Some(version) if version == Some(base) => asked,
            there => match self.home(base) {
                Some(home) => home,
                None if there.is_some() => asked,
                // T6: the entry is destroyed.
                None => return Ok(Goes::New),
            },
        };
        let mut hops = 0;
        // T2: it was renamed over another; an edit follows it there, if neither was edited since.
        while let Some((target, version)) = self.renamed_into(at)
            && hops < HOPS_MAX
        {
            let clean = self.version(at) == Some(base) && self.version(target) == Some(version);
            if !clean && !self.has_bytes(target, content) {
                let mut beside = target;
                while let Some((next, _)) = self.renamed_into(beside)
                    && hops < HOPS_MAX
                {
                    (beside, hops) = (next, hops + 1);
                }
                if self.scratch.is_live(beside) {
                    return Ok(Goes::Beside(beside));
                }
                break;
            }
            let Some(present) = self.version(target) else { break };
            (at, base, hops) = (target, present, hops + 1);
        }
        // T3: it was removed, and comes back where it was.
        if !self.scratch.is_live(at) {
            let place = self.entry(at).and_then(|entry| Some((entry.last_parent()?, entry.name.clone())));
            let Some((parent, name)) = place else { return Ok(Goes::New) };
            let parent = self.folder(parent)?;
            let (parent, name) = self.fit(parent, &name, at, 0);
            let back = OperationId::from_bytes(derived(operation, Use::Back));
            self.emit(Change::Restore { operation: back, entry: at, parent, name, shallow: false })?;
            self.note(What::FileCameBack, at);
            return Ok(self.version(at).map_or(Goes::New, |version| Goes::Over(at, version)));
        }
        let present = self.version(at);
        Ok(match present {
            // T4: what the person saw is what is there.
            Some(present) if present == base => Goes::Over(at, base),
            // T5: somebody else's version; equal bytes are no conflict.
            Some(present) if self.has_bytes(at, content) => Goes::Nowhere(at, present),
            Some(_) | None => Goes::Beside(at),
        })
    }

    /// Of an entry in the trash: what it was renamed over, and the version which that gave.
    fn renamed_into(&self, id: EntryId) -> Option<(EntryId, OperationId)> {
        if self.scratch.is_live(id) {
            return None;
        }
        let into = self.entry(id)?.rare.into.as_ref()?;
        self.entry(into.target).map(|_| (into.target, into.version))
    }

    pub(super) fn version(&self, id: EntryId) -> Option<OperationId> {
        self.entry(id).and_then(|entry| entry.version)
    }

    fn has_bytes(&self, id: EntryId, content: &Content) -> bool {
        self.entry(id).and_then(|entry| entry.content()).is_some_and(|there| there.same_bytes(content))
    }

    /// Rule C: a conflict copy. The queue's later changes of the entry go to the copy.
    fn copy(
        &mut self,
        operation: OperationId,
        (entry, version): (EntryId, OperationId),
        content: &Content,
        mtime: u64,
        beside: EntryId,
    ) -> Ruled {
        let id = EntryId::from_bytes(derived(operation, Use::Copy));
        if self.entry(id).is_none() {
            let place = self
                .entry(beside)
                .and_then(|beside| Some((beside.parent?, beside.name.clone(), beside.executable)));
            let Some((parent, wished, executable)) = place else { return Err(Dropped::Silently) };
            let name = self.name_beside(parent, &wished, id);
            self.made.insert(id);
            self.emit(Change::Add {
                operation: Some(operation),
                entry: id,
                parent,
                name,
                kind: Kind::File(content.clone()),
                mtime,
                executable,
                conflict_of: Some(ConflictOf { entry: beside, version }),
            })?;
        }
        self.stands_for(entry, id);
        Ok(())
    }

    /// Rule T6: the file was destroyed; its content comes as a new one where the queue or the base
    /// had it. Never under the old id: two devices may bring the same file back.
    fn again(&mut self, operation: OperationId, entry: EntryId, content: &Content, mtime: u64) -> Ruled {
        let was = self.to(entry);
        let seen = self.old.entry(was);
        let executable = seen.is_some_and(|seen| seen.executable);
        let place = match (self.wished.get(&entry), seen) {
            (Some(wished), _) => Some(wished.clone()),
            (None, Some(seen)) => seen.last_parent().map(|at| (at, seen.name.clone())),
            (None, None) => None,
        };
        let (parent, name) = match place {
            Some((at, name)) => (self.folder(at)?, name),
            None => {
                let name = EntryName::new(was.to_string().as_bytes());
                (self.scratch.root(), name.map_err(|_| Dropped::Silently)?)
            }
        };
        let id = EntryId::from_bytes(derived(operation, Use::Again));
        if self.entry(id).is_none() {
            let (parent, name) = self.fit(parent, &name, id, 0);
            self.emit(Change::Add {
                operation: Some(operation),
                entry: id,
                parent,
                name,
                kind: Kind::File(content.clone()),
                mtime,
                executable,
                conflict_of: None,
            })?;
            self.note(What::FileCameBack, id);
        }
        self.stands_for(entry, id);
        Ok(())
    }
}
