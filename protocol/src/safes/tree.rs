//! What can be asked of a tree, whether it is folded or has pending changes over it.
//!
//! Decides what *live*, *depth* and *height* mean. Refuses to change anything: a [`Scratch`] does.
//!
//! [`Scratch`]: crate::safes::scratch::Scratch

use std::collections::BTreeMap;

use crate::ids::{EntryId, OperationId};
use crate::safes::entry::Entry;
use crate::safes::name::EntryName;

/// Deepest place: folders between an entry and the root, itself counted. File systems and programs
/// stop working long before paths of 100 names of 255 bytes do.
pub const DEPTH_MAX: usize = 100;
/// The seq of what is in no record yet: above every seq of a journal.
pub const PENDING_SEQ: u64 = u64::MAX;

/// How many of a folder's children have which height, counted from the folder. So the height of
/// what is moved is known without a walk over all of it, which a member could make everybody do.
pub type Heights = BTreeMap<u8, u32>;

/// A tree of entries: a state, or one with changes over it.
pub trait Tree: Send + Sync {
    /// Id of the root folder, which is the safe's. The root itself is no entry.
    fn root(&self) -> EntryId;

    /// Records that are in it.
    fn seq(&self) -> u64;

    /// An entry, live or not.
    fn entry(&self, id: EntryId) -> Option<&Entry>;

    /// The entry of this name in a folder, which may be one in the trash.
    fn child(&self, folder: EntryId, name: &EntryName) -> Option<EntryId>;

    /// The next child by name, of a folder that may be in the trash.
    fn next_child(&self, folder: EntryId, after: Option<&EntryName>) -> Option<(EntryName, EntryId)>;

    /// How high a folder's children are; none where it has none.
    fn heights(&self, folder: EntryId) -> Option<&Heights>;

    /// Tells of each file, live or not, and its present version.
    fn each_version(&self, tell: &mut dyn FnMut(EntryId, OperationId));

    /// Tells of each entry that is in the trash by itself: those below a folder that is there went
    /// with it.
    fn each_removed(&self, tell: &mut dyn FnMut(EntryId));

    /// Tells of each entry, live or not.
    fn each_entry(&self, tell: &mut dyn FnMut(&Entry));

    /// Whether it stands in the root, with no folder above it removed. The root is live.
    fn is_live(&self, id: EntryId) -> bool {
        let mut at = Some(id);
        // A tree has no circle: the fold refuses them.
        while let Some(id) = at {
            if id == self.root() {
                return true;
            }
            at = self.entry(id).and_then(|entry| entry.parent);
        }
        false
    }

    /// Whether it is a folder, live or not. The root is one.
    fn is_folder(&self, id: EntryId) -> bool {
        id == self.root() || self.entry(id).is_some_and(Entry::is_folder)
    }

    /// Folders above it, of which the root is one; 0 for the root.
    fn depth(&self, id: EntryId) -> usize {
        let mut depth = 0;
        let mut at = id;
        while let Some(parent) = self.entry(at).and_then(|entry| entry.parent) {
            depth += 1;
            at = parent;
        }
        depth
    }

    /// Levels below it; 0 for what has no children.
    fn height(&self, id: EntryId) -> usize {
        self.heights(id)
            .and_then(|heights| heights.keys().next_back())
            .map_or(0, |height| usize::from(*height))
    }

    /// The height of an entry, seen from the folder it stands in.
    fn level(&self, id: EntryId) -> u8 {
        u8::try_from(self.height(id)).unwrap_or(u8::MAX).saturating_add(1)
    }

    /// Whether it is `top` or stands below it.
    fn is_under(&self, id: EntryId, top: EntryId) -> bool {
        let mut at = Some(id);
        while let Some(id) = at {
            if id == top {
                return true;
            }
            at = self.entry(id).and_then(|entry| entry.parent);
        }
        false
    }

    /// A folder's children, by name.
    fn children(&self, folder: EntryId) -> Vec<(EntryName, EntryId)> {
        let mut all = Vec::new();
        while let Some(next) = self.next_child(folder, all.last().map(|(name, _)| name)) {
            all.push(next);
        }
        all
    }

    /// Everything below a folder: each folder before what is in it, by name.
    fn below(&self, top: EntryId) -> Vec<EntryId> {
        let mut all = Vec::new();
        let mut open: Vec<(EntryId, Option<EntryName>)> = vec![(top, None)];
        while let Some((folder, after)) = open.pop() {
            if let Some((name, id)) = self.next_child(folder, after.as_ref()) {
                all.push(id);
                open.push((folder, Some(name)));
                open.push((id, None));
            }
        }
        all
    }
}
