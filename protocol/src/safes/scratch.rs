//! A tree with changes over it: of a record that is being folded, or of a queue.
//!
//! Decides how index and heights follow an entry that is put, linked or unlinked, and how a step is
//! taken back. Refuses nothing by itself: the rules of the tree are the fold's.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::ids::{EntryId, Label, OperationId};
use crate::safes::entry::Entry;
use crate::safes::name::EntryName;
use crate::safes::tree::{Heights, Tree};

/// What changes have made of a tree, without the tree. Owned, so that it can be kept beside it.
#[derive(Debug, Clone, Default)]
pub struct Delta {
    pub(super) entries: BTreeMap<EntryId, Option<Arc<Entry>>>,
    pub(super) children: BTreeMap<EntryId, BTreeMap<EntryName, Option<EntryId>>>,
    pub(super) heights: BTreeMap<EntryId, Heights>,
    pub(super) name: Option<Label>,
    pub(super) retention_days: Option<u64>,
}

/// A tree and what changes have made of it, to look at.
#[derive(Clone, Copy)]
pub struct Over<'a> {
    base: &'a dyn Tree,
    delta: &'a Delta,
}

impl<'a> Over<'a> {
    /// `delta` over the tree that it was made on.
    #[must_use]
    pub const fn new(base: &'a dyn Tree, delta: &'a Delta) -> Self {
        Self { base, delta }
    }
}

impl Delta {
    fn entry<'a>(&'a self, base: &'a dyn Tree, id: EntryId) -> Option<&'a Entry> {
        match self.entries.get(&id) {
            Some(entry) => entry.as_deref(),
            None => base.entry(id),
        }
    }

    fn child(&self, base: &dyn Tree, folder: EntryId, name: &EntryName) -> Option<EntryId> {
        match self.children.get(&folder).and_then(|names| names.get(name)) {
            Some(child) => *child,
            None => base.child(folder, name),
        }
    }

    fn next_child(
        &self,
        base: &dyn Tree,
        folder: EntryId,
        after: Option<&EntryName>,
    ) -> Option<(EntryName, EntryId)> {
        let Some(names) = self.children.get(&folder) else { return base.next_child(folder, after) };
        let mut theirs = base.next_child(folder, after);
        while let Some((name, _)) = &theirs {
            if !names.contains_key(name) {
                break;
            }
            theirs = base.next_child(folder, Some(name));
        }
        // No further than to what the tree has next: what is gone is a mark here, and who passed
        // over all marks for each child would do so as often as there are children.
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let to = theirs.as_ref().map_or(Bound::Unbounded, |(name, _)| Bound::Included(name));
        let mine = names
            .range::<EntryName, _>((from, to))
            .find_map(|(name, child)| child.map(|child| (name.clone(), child)));
        match (mine, theirs) {
            (Some(mine), Some(theirs)) => Some(if mine.0 < theirs.0 { mine } else { theirs }),
            (mine, theirs) => mine.or(theirs),
        }
    }

    fn heights<'a>(&'a self, base: &'a dyn Tree, folder: EntryId) -> Option<&'a Heights> {
        self.heights.get(&folder).or_else(|| base.heights(folder))
    }

    fn each_removed(&self, base: &dyn Tree, tell: &mut dyn FnMut(EntryId)) {
        base.each_removed(&mut |id| {
            if !self.entries.contains_key(&id) {
                tell(id);
            }
        });
        let here = self.entries.values().flatten();
        here.filter(|entry| entry.rare.removed.is_some()).for_each(|entry| tell(entry.id));
    }

    fn each_entry(&self, base: &dyn Tree, tell: &mut dyn FnMut(&Entry)) {
        base.each_entry(&mut |entry| {
            if !self.entries.contains_key(&entry.id) {
                tell(entry);
            }
        });
        self.entries.values().flatten().for_each(|entry| tell(entry));
    }

    fn each_version(&self, base: &dyn Tree, tell: &mut dyn FnMut(EntryId, OperationId)) {
        base.each_version(&mut |id, version| {
            if !self.entries.contains_key(&id) {
                tell(id, version);
            }
        });
        for entry in self.entries.values().flatten() {
            if let Some(version) = entry.version {
                tell(entry.id, version);
            }
        }
    }
}

/// The questions of [`Tree`], for what has a base and a delta.
macro_rules! tree_over {
    ($self:ident, $base:expr, $delta:expr) => {
        fn root(&$self) -> EntryId {
            $base.root()
        }
        fn seq(&$self) -> u64 {
            $base.seq()
        }
        fn entry(&$self, id: EntryId) -> Option<&Entry> {
            $delta.entry($base, id)
        }
        fn child(&$self, folder: EntryId, name: &EntryName) -> Option<EntryId> {
            $delta.child($base, folder, name)
        }
        fn next_child(&$self, folder: EntryId, after: Option<&EntryName>) -> Option<(EntryName, EntryId)> {
            $delta.next_child($base, folder, after)
        }
        fn heights(&$self, folder: EntryId) -> Option<&Heights> {
            $delta.heights($base, folder)
        }
        fn each_removed(&$self, tell: &mut dyn FnMut(EntryId)) {
            $delta.each_removed($base, tell);
        }
        fn each_version(&$self, tell: &mut dyn FnMut(EntryId, OperationId)) {
            $delta.each_version($base, tell);
        }
        fn each_entry(&$self, tell: &mut dyn FnMut(&Entry)) {
            $delta.each_entry($base, tell);
        }
    };
}

impl Tree for Over<'_> {
    tree_over!(self, self.base, self.delta);
}

/// A tree that changes are applied to, one step at a time; each can be taken back.
pub struct Scratch<'a> {
    base: &'a dyn Tree,
    delta: Delta,
    undo: Vec<Undo>,
}

impl Tree for Scratch<'_> {
    tree_over!(self, self.base, self.delta);
}

/// What stood in the delta before a step.
enum Undo {
    Entry(EntryId, Option<Option<Arc<Entry>>>),
    Child(EntryId, EntryName, Option<Option<EntryId>>),
    Heights(EntryId, Option<Heights>),
    Name(Option<Label>),
    Retention(Option<u64>),
}

/// A moment of a scratch, to which it can go back.
#[derive(Debug, Clone, Copy)]
pub struct Mark(usize);

impl<'a> Scratch<'a> {
    /// Nothing over `base` yet.
    #[must_use]
    pub fn new(base: &'a dyn Tree) -> Self {
        Self::resume(base, Delta::default())
    }

    /// Goes on from a delta that was made on the same tree.
    #[must_use]
    pub const fn resume(base: &'a dyn Tree, delta: Delta) -> Self {
        Self { base, delta, undo: Vec::new() }
    }

    /// What the changes have made of the tree.
    #[must_use]
    pub fn into_delta(self) -> Delta {
        self.delta
    }

    /// Entries that the changes touched and that are there now.
    pub fn touched(&self) -> impl Iterator<Item = &Entry> {
        self.delta.entries.values().flatten().map(|entry| &**entry)
    }

    /// This moment, to go back to.
    #[must_use]
    pub const fn mark(&self) -> Mark {
        Mark(self.undo.len())
    }

    /// What was done so far stays: nothing goes back behind this moment.
    pub fn settle(&mut self) {
        self.undo.clear();
    }

    /// Goes back to a moment, as if nothing had been done since.
    pub fn go_back(&mut self, mark: Mark) {
        while self.undo.len() > mark.0 {
            match self.undo.pop() {
                Some(Undo::Entry(id, before)) => set(&mut self.delta.entries, id, before),
                Some(Undo::Child(folder, name, before)) => {
                    set(self.delta.children.entry(folder).or_default(), name, before);
                }
                Some(Undo::Heights(folder, before)) => set(&mut self.delta.heights, folder, before),
                Some(Undo::Name(before)) => self.delta.name = before,
                Some(Undo::Retention(before)) => self.delta.retention_days = before,
                None => return,
            }
        }
    }

    /// Puts an entry as it is now, without its place.
    pub(super) fn put(&mut self, entry: Entry) {
        let id = entry.id;
        let before = self.delta.entries.insert(id, Some(Arc::new(entry)));
        self.undo.push(Undo::Entry(id, before));
    }

    /// Puts an entry into the folder and under the name that it says.
    pub(super) fn link(&mut self, entry: Entry) {
        let (id, parent, name) = (entry.id, entry.parent, entry.name.clone());
        self.put(entry);
        if let Some(parent) = parent {
            self.set_child(parent, name, Some(id));
            let height = self.level(id);
            self.follow_height(parent, None, Some(height));
        }
    }

    /// Takes an entry out of its folder's index; its own fields are the caller's to change.
    pub(super) fn unlink(&mut self, id: EntryId) {
        let Some((parent, name)) =
            self.entry(id).and_then(|entry| entry.parent.map(|parent| (parent, entry.name.clone())))
        else {
            return;
        };
        let height = self.level(id);
        self.set_child(parent, name, None);
        self.follow_height(parent, Some(height), None);
    }

    /// Days of retention, where these changes have set them.
    pub(super) const fn retention_days(&self) -> Option<u64> {
        self.delta.retention_days
    }

    pub(super) fn set_name(&mut self, name: Label) {
        self.undo.push(Undo::Name(self.delta.name.replace(name)));
    }

    pub(super) fn set_retention(&mut self, days: u64) {
        self.undo.push(Undo::Retention(self.delta.retention_days.replace(days)));
    }

    /// Destroys an entry of the trash and what is below it.
    pub(super) fn purge(&mut self, id: EntryId) {
        self.unlink(id);
        let mut gone = self.below(id);
        gone.push(id);
        for id in gone {
            let children = self.children(id);
            for (name, _) in children {
                self.set_child(id, name, None);
            }
            let before = self.delta.entries.insert(id, None);
            self.undo.push(Undo::Entry(id, before));
            let before = self.delta.heights.insert(id, Heights::new());
            self.undo.push(Undo::Heights(id, before));
        }
    }

    fn set_child(&mut self, folder: EntryId, name: EntryName, child: Option<EntryId>) {
        let before = self.delta.children.entry(folder).or_default().insert(name.clone(), child);
        self.undo.push(Undo::Child(folder, name, before));
    }

    /// Tells a folder, and those above it as far as it matters, that a child's height changed.
    fn follow_height(&mut self, folder: EntryId, mut gone: Option<u8>, mut come: Option<u8>) {
        let mut at = folder;
        loop {
            let level = self.level(at);
            let mut heights = self.heights(at).cloned().unwrap_or_default();
            if let Some(gone) = gone {
                let left = heights.get(&gone).copied().unwrap_or(0).saturating_sub(1);
                if left == 0 {
                    heights.remove(&gone);
                } else {
                    heights.insert(gone, left);
                }
            }
            if let Some(come) = come {
                let count = heights.entry(come).or_default();
                *count = count.saturating_add(1);
            }
            let before = self.delta.heights.insert(at, heights);
            self.undo.push(Undo::Heights(at, before));
            let now = self.level(at);
            let Some(parent) = self.entry(at).and_then(|entry| entry.parent) else { return };
            if now == level {
                return;
            }
            (gone, come, at) = (Some(level), Some(now), parent);
        }
    }
}

fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => {
            map.insert(key, value);
        }
        None => {
            map.remove(&key);
        }
    }
}
