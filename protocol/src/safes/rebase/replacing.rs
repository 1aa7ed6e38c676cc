//! Rule X: what becomes of a file renamed over another, which is how programs save.

use crate::ids::{EntryId, OperationId};
use crate::safes::change::{Change, ConflictOf, Use, derived};
use crate::safes::rebase::What;
use crate::safes::rebase::content::Goes;
use crate::safes::rebase::rebaser::{Dropped, Rebaser, Ruled};
use crate::safes::tree::Tree;

impl Rebaser<'_> {
    pub(super) fn replace(
        &mut self,
        operation: OperationId,
        target: EntryId,
        base: OperationId,
        source: EntryId,
    ) -> Ruled {
        let from = self.to(source);
        let Some(there) = self.entry(from) else { return Err(Dropped::With(What::Gone, source)) };
        let mtime = there.mtime;
        let Some(content) = there.content().cloned() else {
            return Err(Dropped::With(What::NotTheSameKind, from));
        };
        let (over, present) = match self.goes(operation, target, base, &content)? {
            // X4: the target is destroyed: an ordinary move to its place.
            Goes::New => {
                let place = self.old.entry(target).and_then(|seen| Some((seen.parent?, seen.name.clone())));
                let Some((parent, name)) = place else { return Err(Dropped::With(What::Gone, target)) };
                return self.relocate(operation, source, (parent, &name), None);
            }
            Goes::Beside(beside) if beside != from => {
                return self.beside(operation, (target, base), from, beside);
            }
            Goes::Over(over, present) | Goes::Nowhere(over, present) if over != from => (over, present),
            // X5: they are one file by now.
            Goes::Beside(same) | Goes::Over(same, _) | Goes::Nowhere(same, _) => {
                return Err(Dropped::With(What::SameFile, same));
            }
        };
        self.stands_for(target, over);
        let mut operation = operation;
        // X1: an edit of the source by somebody else is carried along. The bytes are others than
        // the person saw: another version, and unseen to a later removal.
        if self.unseen_content(from) {
            self.carried.insert(over);
            operation = OperationId::from_bytes(derived(operation, Use::Carried));
        }
        if self.scratch.is_live(from) {
            // X7: the source was moved; the rename stands.
            if self.unseen_place(from) {
                self.note(What::MovedElsewhereToo, from);
            }
            self.emit(Change::Replace { operation, target: over, base: present, source: from })
        } else {
            // X3: the source was removed; its content is taken.
            self.emit(Change::Content { operation, entry: over, base: present, content, mtime })
        }
    }

    /// X2: somebody else wrote the target. The source becomes the conflict copy beside it.
    fn beside(
        &mut self,
        operation: OperationId,
        (target, version): (EntryId, OperationId),
        from: EntryId,
        beside: EntryId,
    ) -> Ruled {
        let place = self.entry(beside).and_then(|beside| Some((beside.parent?, beside.name.clone())));
        let Some((parent, wished)) = place else { return Err(Dropped::With(What::Gone, beside)) };
        let name = self.name_beside(parent, &wished, from);
        self.made.insert(from);
        let conflict_of = Some(ConflictOf { entry: beside, version });
        self.emit(if self.scratch.is_live(from) {
            Change::Move { operation, entry: from, parent, name, conflict_of }
        } else {
            Change::Restore { operation, entry: from, parent, name, shallow: false }
        })?;
        self.stands_for(target, from);
        Ok(())
    }
}
