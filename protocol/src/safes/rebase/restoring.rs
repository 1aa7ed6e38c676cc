//! Rule U: what becomes of a restore from the trash.

use crate::ids::{EntryId, OperationId};
use crate::safes::change::Change;
use crate::safes::name::EntryName;
use crate::safes::rebase::What;
use crate::safes::rebase::rebaser::{Dropped, Rebaser, Ruled};
use crate::safes::tree::{DEPTH_MAX, Tree};

impl Rebaser<'_> {
    pub(super) fn restore(
        &mut self,
        operation: OperationId,
        entry: EntryId,
        (parent, name): (EntryId, &EntryName),
        shallow: bool,
    ) -> Ruled {
        let id = self.to(entry);
        // U2: destroyed; content that follows comes to the place that was wished for.
        if self.entry(id).is_none() {
            self.wished.insert(entry, (parent, name.clone()));
            return Err(Dropped::With(What::Purged, id));
        }
        // U1, U4: it is live; where it is was its restorer's choice.
        if self.scratch.is_live(id) {
            return Err(Dropped::Silently);
        }
        // U3: a folder that is gone, a name that is taken.
        let parent = self.folder(parent)?;
        if self.scratch.is_live(id) {
            return Ok(());
        }
        let height = if shallow { 0 } else { self.scratch.height(id) };
        let (parent, name) = self.fit(parent, name, id, height);
        if self.scratch.depth(parent) + 1 + height > DEPTH_MAX {
            return Err(Dropped::With(What::NoPlace, id));
        }
        self.emit(Change::Restore { operation, entry: id, parent, name, shallow })
    }
}
