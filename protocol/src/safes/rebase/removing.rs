//! Rule R: what becomes of a removal. It takes what the remover saw, where the remover saw it, and
//! nothing else.

use std::collections::BTreeSet;

use crate::codec::encode;
use crate::ids::{EntryId, OperationId};
use crate::safes::change::{Change, Use};
use crate::safes::rebase::What;
use crate::safes::rebase::rebaser::{Dropped, Rebaser, Ruled};
use crate::safes::tree::Tree;

/// Most changes of one removal, those that spare something included.
const GROUP_MAX_CHANGES: usize = 1_000;
/// Most bytes of these: the group has to fit a record with everything around it.
const GROUP_MAX_BYTES: usize = 200 * 1024;

impl Rebaser<'_> {
    pub(super) fn remove(&mut self, operation: OperationId, entry: EntryId) -> Ruled {
        let id = self.to(entry);
        // R0: it is gone.
        if !self.scratch.is_live(id) || id == self.scratch.root() {
            return Err(Dropped::Silently);
        }
        // R1: somebody wants it where it is now.
        if self.unseen_place(id) {
            return Err(Dropped::With(What::NotRemovedMoved, id));
        }
        // R2: nobody who saw this content removes it.
        if self.unseen_content(id) {
            return Err(Dropped::With(What::NotRemovedChanged, id));
        }
        let spared = self.spared(id);
        let start = self.out.len();
        self.emit(Change::Remove { operation, entry: id })?;
        // R3: what the remover had not seen stays, and with it the folders it is in.
        for (kept, parent) in &spared {
            let Some(name) = self.entry(*kept).map(|entry| entry.name.clone()) else { continue };
            let parent = self.folder(*parent)?;
            let height = self.scratch.height(*kept);
            let (parent, name) = self.fit(parent, &name, *kept, height);
            let operation = self.own(Use::Keep(*kept));
            self.emit(Change::Restore { operation, entry: *kept, parent, name, shallow: false })?;
        }
        let group = self.out.get(start..).unwrap_or_default();
        let bytes: usize = group.iter().map(|pending| encode(&pending.change).len()).sum();
        if group.len() > GROUP_MAX_CHANGES || bytes > GROUP_MAX_BYTES {
            return Err(Dropped::With(What::NotRemovedTooMuch, id));
        }
        if !spared.is_empty() {
            self.note(What::FolderStays, id);
        }
        Ok(())
    }

    /// What is not to go with a folder: the topmost of what is unseen (R3), and of what an earlier
    /// rebase of the same removal spared (R4). Each with the folder it is in.
    fn spared(&self, top: EntryId) -> Vec<(EntryId, EntryId)> {
        let below = self.scratch.below(top);
        let unseen =
            |id: &EntryId| self.made.contains(id) || self.unseen_place(*id) || self.unseen_content(*id);
        let before = self.spared_before();
        let mut kept: Vec<EntryId> = below.iter().copied().filter(|id| unseen(id)).collect();
        kept.extend(below.iter().copied().filter(|id| before.contains(id) && !unseen(id)));
        let all: BTreeSet<EntryId> = kept.iter().copied().collect();
        let above = |id: EntryId| self.entry(id).and_then(|entry| entry.parent);
        kept.retain(|id| {
            let mut at = above(*id);
            while let Some(folder) = at {
                if all.contains(&folder) {
                    return false;
                }
                at = above(folder);
            }
            true
        });
        kept.into_iter().filter_map(|id| above(id).map(|folder| (id, folder))).collect()
    }

    /// What the helpers of an earlier rebase of this removal named.
    fn spared_before(&self) -> BTreeSet<EntryId> {
        let Some(main) = self.queue.get(self.at) else { return BTreeSet::new() };
        self.queue
            .iter()
            .skip(self.at + 1)
            .take_while(|helper| helper.group == main.group)
            .filter(|helper| helper.is_helper())
            .filter(|helper| !matches!(helper.change, Change::Restore { shallow: true, .. }))
            .filter_map(|helper| helper.change.entry())
            .collect()
    }
}
