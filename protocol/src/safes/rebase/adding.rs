//! Rule A: what becomes of an added entry.

use crate::safes::change::{Change, Kind};
use crate::safes::rebase::rebaser::{Dropped, Rebaser, Ruled};
use crate::safes::tree::Tree;

impl Rebaser<'_> {
    pub(super) fn add(&mut self, change: &Change) -> Ruled {
        let Change::Add { operation, entry, parent, name, kind, mtime, executable, conflict_of } = change
        else {
            return Err(Dropped::Silently);
        };
        // A0: it is there.
        if self.entry(*entry).is_some() {
            return Err(Dropped::Silently);
        }
        // A1: its folder comes back.
        let parent = self.folder(*parent)?;
        let same_name = self.scratch.child(parent, name);
        if let Some(same_name) = same_name.and_then(|id| self.entry(id))
            && !self.later(*entry)
        {
            let (id, version) = (same_name.id, same_name.version);
            let one = match (&same_name.kind, kind) {
                // A2: equal folders are one folder.
                (Kind::Folder, Kind::Folder) => true,
                // A3: equal bytes are one file.
                (Kind::File(there), Kind::File(ours)) => there.same_bytes(ours),
                (Kind::Symlink(there), Kind::Symlink(ours)) => there == ours,
                (Kind::Folder | Kind::File(_) | Kind::Symlink(_), _) => false,
            };
            if one {
                self.stands_for(*entry, id);
                if let Some(version) = version {
                    self.alias.insert(change.operation(), version);
                }
                return Ok(());
            }
        }
        // A4: a free name.
        let (parent, name) = self.fit(parent, name, *entry, 0);
        self.emit(Change::Add {
            operation: *operation,
            entry: *entry,
            parent,
            name,
            kind: kind.clone(),
            mtime: *mtime,
            executable: *executable,
            conflict_of: *conflict_of,
        })
    }
}
