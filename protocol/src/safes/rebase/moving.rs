//! Rule M: what becomes of a move. Moving beats removing, and the later of two moves stands.

use crate::ids::{EntryId, OperationId};
use crate::safes::change::{Change, ConflictOf};
use crate::safes::name::EntryName;
use crate::safes::rebase::What;
use crate::safes::rebase::rebaser::{Dropped, Rebaser, Ruled};
use crate::safes::tree::{DEPTH_MAX, Tree};

impl Rebaser<'_> {
    pub(super) fn relocate(
        &mut self,
        operation: OperationId,
        entry: EntryId,
        (parent, name): (EntryId, &EntryName),
        conflict_of: Option<ConflictOf>,
    ) -> Ruled {
        let id = self.to(entry);
        let Some(there) = self.entry(id) else {
            // M6: content that follows (T6) comes to the place that was wished for.
            self.wished.insert(entry, (parent, name.clone()));
            return Err(Dropped::With(What::Gone, id));
        };
        // M5: somebody else's folder is not carried away.
        if id != entry && there.is_folder() {
            return Err(Dropped::With(What::MergedFolderStays, id));
        }
        // M4: the folder to go to comes back. M3: nothing stands in itself.
        let parent = self.folder(parent)?;
        if self.scratch.is_under(parent, id) {
            return Err(Dropped::With(What::InsideItself, id));
        }
        let alive = self.scratch.is_live(id);
        // M0: it is there already.
        if alive && self.stands_at(id, parent, name) {
            return Ok(());
        }
        let height = self.scratch.height(id);
        let (parent, name) = self.fit(parent, name, id, height);
        if self.scratch.is_under(parent, id) {
            return Err(Dropped::With(What::InsideItself, id));
        }
        if self.unseen_place(id) {
            self.note(What::MovedElsewhereToo, id);
        }
        if alive && self.stands_at(id, parent, &name) {
            return Ok(());
        }
        if self.scratch.depth(parent) + 1 + height > DEPTH_MAX {
            return Err(Dropped::With(What::NoPlace, id));
        }
        self.emit(if alive {
            Change::Move { operation, entry: id, parent, name, conflict_of }
        } else {
            // M1: moving beats removing.
            Change::Restore { operation, entry: id, parent, name, shallow: false }
        })
    }

    fn stands_at(&self, id: EntryId, parent: EntryId, name: &EntryName) -> bool {
        self.entry(id).is_some_and(|entry| entry.parent == Some(parent) && entry.name == *name)
    }
}
