//! Where something goes that has lost its place: a folder that is gone, a name that is taken, a
//! place too deep.

use crate::ids::{EntryId, OperationId};
use crate::safes::change::{Change, Kind, Use};
use crate::safes::name::EntryName;
use crate::safes::rebase::What;
use crate::safes::rebase::conflict_name::conflict_name;
use crate::safes::rebase::rebaser::{Rebaser, Ruled};
use crate::safes::tree::{DEPTH_MAX, Tree};

/// Folders on one way up before it is taken for a circle: wished places and the trash together are
/// no tree.
const WAY_UP_MAX: usize = 4 * DEPTH_MAX;

impl Rebaser<'_> {
    /// Rule P: a place that is free and not too deep.
    pub(super) fn fit(
        &mut self,
        mut parent: EntryId,
        name: &EntryName,
        id: EntryId,
        height: usize,
    ) -> (EntryId, EntryName) {
        while self.scratch.depth(parent) + 1 + height > DEPTH_MAX {
            let Some(above) = self.entry(parent).and_then(|entry| entry.parent) else { break };
            parent = above;
            self.note(What::TooDeep, id);
        }
        match self.scratch.child(parent, name) {
            Some(other) if other != id => (parent, self.name_beside(parent, name, id)),
            Some(_) | None => (parent, name.clone()),
        }
    }

    /// Rule N: a free name for `id`, made of one that is taken.
    pub(super) fn name_beside(&mut self, folder: EntryId, wished: &EntryName, id: EntryId) -> EntryName {
        let made = conflict_name(&self.scratch, folder, wished, self.naming.label, self.naming.moment);
        self.conflict_names.set(id, made.clone());
        made
    }

    /// Rule F: the live folder that stands for `asked`. One that was removed comes back alone.
    pub(super) fn folder(&mut self, asked: EntryId) -> Ruled<EntryId> {
        self.folder_above(asked, 0)
    }

    fn folder_above(&mut self, asked: EntryId, way: usize) -> Ruled<EntryId> {
        let id = self.to(asked);
        if way > WAY_UP_MAX {
            return Ok(self.scratch.root());
        }
        if self.scratch.is_live(id) {
            return Ok(id);
        }
        let there = self.entry(id);
        let is_there = there.is_some();
        let seen = self.old.entry(id);
        let mtime = seen.map_or(0, |seen| seen.mtime);
        let place = match (there, self.wished.get(&id), seen) {
            (Some(there), _, _) => there.last_parent().map(|at| (at, there.name.clone())),
            (None, Some(wished), _) => Some(wished.clone()),
            (None, None, Some(seen)) => seen.last_parent().map(|at| (at, seen.name.clone())),
            (None, None, None) => None,
        };
        let Some((at, name)) = place else { return Ok(self.scratch.root()) };
        let at = self.folder_above(at, way + 1)?;
        let now = self.to(id);
        if self.scratch.is_live(now) {
            return Ok(now);
        }
        if let Some(same_name) = self.scratch.child(at, &name)
            && self.scratch.is_folder(same_name)
        {
            // A folder of that name stands there again: it is the one from now on.
            self.stands_for(id, same_name);
            self.stands_for(asked, same_name);
            return Ok(same_name);
        }
        let (parent, name) = self.fit(at, &name, id, 0);
        let operation = self.own(Use::Folder(id));
        self.bring_folder(operation, id, is_there, (parent, name), mtime)?;
        self.note(What::FolderCameBack, id);
        Ok(id)
    }

    fn bring_folder(
        &mut self,
        operation: OperationId,
        entry: EntryId,
        is_there: bool,
        (parent, name): (EntryId, EntryName),
        mtime: u64,
    ) -> Ruled {
        self.emit(if is_there {
            Change::Restore { operation, entry, parent, name, shallow: true }
        } else {
            Change::Add {
                operation: Some(operation),
                entry,
                parent,
                name,
                kind: Kind::Folder,
                mtime,
                executable: false,
                conflict_of: None,
            }
        })
    }
}
