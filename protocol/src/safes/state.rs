//! The folded tree of a safe: what every member has after the same records.
//!
//! Decides what is remembered: entries with their index, who added how many, the last record of
//! each device, and which objects are the safe's. Refuses, when it is read back, what doesn't fit
//! together. A copy is cheap (see `shards`), so that a rebase has the state before and the one
//! after.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::ids::{DeviceId, EntryId, Label, ObjectId, OperationId, SafeId, UserId};
use crate::public_keys::Hash;
use crate::safes::ages::Marks;
use crate::safes::content_ref::Content;
use crate::safes::entry::Entry;
use crate::safes::fold::Outer;
use crate::safes::name::EntryName;
use crate::safes::root::Buckets;
use crate::safes::scratch::Delta;
use crate::safes::shards::{Child, Part, Shards};
use crate::safes::snapshot::Snapshot;
use crate::safes::tree::{Heights, Tree};

/// Days for which nothing is destroyed, until an owner says otherwise.
pub const RETENTION_DAYS_DEFAULT: u64 = 90;

/// Everything that the records up to one seq have made.
#[derive(Debug, Clone)]
pub struct State {
    pub(super) root: EntryId,
    pub(super) seq: u64,
    pub(super) name: Option<Label>,
    pub(super) retention_days: u64,
    pub(super) devices: BTreeMap<DeviceId, u64>,
    pub(super) marks: Marks,
    /// The newest ones, ascending.
    pub(super) snapshots: Vec<Snapshot>,
    /// Objects of the safe, with the record that added each.
    pub(super) objects: Shards<(ObjectId, u64)>,
    /// Those of them that a void record dropped: they stay, but the server can't know.
    pub(super) endangered: BTreeSet<ObjectId>,
    pub(super) entries: Shards<Arc<Entry>>,
    children: Shards<(EntryId, BTreeSet<Child>)>,
    heights: Shards<(EntryId, Heights)>,
    shares: BTreeMap<UserId, u64>,
    count: u64,
    pub(super) buckets: Buckets,
}

impl State {
    /// The state of a safe without any record.
    #[must_use]
    pub fn new(safe: SafeId) -> Self {
        Self {
            root: EntryId::from_bytes(*safe.as_bytes()),
            seq: 0,
            name: None,
            retention_days: RETENTION_DAYS_DEFAULT,
            devices: BTreeMap::new(),
            marks: Marks::default(),
            snapshots: Vec::new(),
            objects: Shards::default(),
            endangered: BTreeSet::new(),
            entries: Shards::default(),
            children: Shards::default(),
            heights: Shards::default(),
            shares: BTreeMap::new(),
            count: 0,
            buckets: Buckets::default(),
        }
    }

    /// Name of the safe, once an owner has given it one.
    #[must_use]
    pub const fn name(&self) -> Option<&Label> {
        self.name.as_ref()
    }

    /// Days for which nothing is destroyed.
    #[must_use]
    pub const fn retention_days(&self) -> u64 {
        self.retention_days
    }

    /// Entries, live and in the trash.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Entries that one user has added.
    #[must_use]
    pub fn share(&self, user: UserId) -> u64 {
        self.shares.get(&user).copied().unwrap_or(0)
    }

    /// Seq of the last record of a device, void ones included: a device whose own store knows of
    /// less was put back from a backup, or is there twice.
    #[must_use]
    pub fn last_record(&self, device: DeviceId) -> Option<u64> {
        self.devices.get(&device).copied()
    }

    /// Whether a change may name an object: some accepted record added it, and none dropped it.
    #[must_use]
    pub fn has_object(&self, object: ObjectId) -> bool {
        self.objects.part(object.as_bytes()).is_some_and(|part| part.contains_key(&object))
    }

    /// Objects of the safe, ascending, each with the record that added it.
    pub fn objects(&self) -> impl Iterator<Item = (ObjectId, u64)> {
        self.objects.parts().flat_map(Part::iter).copied()
    }

    /// Objects of the safe that the server lets go unless a record keeps them: a void one dropped
    /// them.
    #[must_use]
    pub const fn endangered(&self) -> &BTreeSet<ObjectId> {
        &self.endangered
    }

    /// By which records time is told here.
    #[must_use]
    pub const fn marks(&self) -> &Marks {
        &self.marks
    }

    /// Tells of each content that the state has: live, in the trash, earlier versions, snapshots.
    pub fn each_content(&self, mut tell: impl FnMut(&Content)) {
        for entry in self.entries.parts().flat_map(Part::iter) {
            entry.content().into_iter().for_each(&mut tell);
            entry.rare.versions.iter().for_each(|version| tell(&version.content));
        }
        self.snapshots.iter().for_each(|snapshot| tell(&snapshot.content));
    }

    /// The state root (docs/protocol.md, *Folding*). What did not change since it was last asked
    /// for is not hashed again.
    pub fn state_root(&mut self) -> Hash {
        let mut buckets = std::mem::take(&mut self.buckets);
        let root = buckets.root(self);
        self.buckets = buckets;
        root
    }

    /// Notes of a void record what is outside of it and counts all the same: whose it is, the time,
    /// and the objects that it added or kept. The server, which can't tell, keeps these; what the
    /// record dropped it lets go, unless another one keeps it.
    pub fn pass_over(&mut self, record: &Outer<'_>) {
        self.note_outside(record);
        for object in record.drops {
            if self.has_object(*object) {
                self.endangered.insert(*object);
            }
        }
    }

    /// What is outside of a record and counts whatever its inside is.
    pub(super) fn note_outside(&mut self, record: &Outer<'_>) {
        self.seq = record.seq;
        self.devices.insert(record.device, record.seq);
        self.marks.note(record);
        for object in record.adds.iter().chain(record.keeps) {
            if let Some(part) = self.objects.part_mut(object.as_bytes())
                && !part.contains_key(object)
            {
                part.insert((*object, record.seq));
            }
            self.endangered.remove(object);
        }
    }

    /// Objects are the safe's no more.
    pub(super) fn drop_objects(&mut self, objects: &[ObjectId]) {
        for object in objects {
            if let Some(part) = self.objects.part_mut(object.as_bytes()) {
                part.remove(object);
            }
            self.endangered.remove(object);
        }
    }

    /// Takes over what a record's changes have made.
    pub(super) fn absorb(&mut self, delta: Delta) {
        let Delta { entries, children, heights, name, retention_days } = delta;
        for (id, entry) in entries {
            if let Some(entry) = &entry {
                self.stand_in(entry);
            }
            self.set_entry(id, entry);
        }
        for (folder, names) in children {
            let Some(part) = self.children.part_mut(folder.as_bytes()) else { continue };
            if !part.contains_key(&folder) {
                part.insert((folder, BTreeSet::new()));
            }
            let Some((_, index)) = part.get_mut(&folder) else { continue };
            for (name, child) in names {
                let child = child.and_then(|id| self.entries.part(id.as_bytes())?.get(&id));
                match child {
                    Some(child) => index.replace(Child(Arc::clone(child))).is_some(),
                    None => index.remove(&name),
                };
            }
            if index.is_empty() {
                part.remove(&folder);
            }
        }
        for (folder, heights) in heights {
            let Some(part) = self.heights.part_mut(folder.as_bytes()) else { continue };
            if heights.is_empty() {
                part.remove(&folder);
            } else {
                part.insert((folder, heights));
            }
        }
        if name.is_some() {
            self.name = name;
        }
        self.retention_days = retention_days.unwrap_or(self.retention_days);
    }

    /// An entry that stands where it stood is in its folder's index as what it is now: what it was
    /// would stay in memory by it.
    fn stand_in(&mut self, entry: &Arc<Entry>) {
        let Some(folder) = entry.parent else { return };
        if self.child(folder, &entry.name) != Some(entry.id) {
            return;
        }
        let part = self.children.part_mut(folder.as_bytes());
        if let Some((_, index)) = part.and_then(|part| part.get_mut(&folder)) {
            index.replace(Child(Arc::clone(entry)));
        }
    }

    /// Gives a folder what stands in it.
    pub(super) fn set_children(&mut self, folder: EntryId, children: BTreeSet<Child>) {
        if let Some(part) = self.children.part_mut(folder.as_bytes()) {
            part.insert((folder, children));
        }
    }

    /// Gives a folder its heights, from those of what stands in it.
    pub(super) fn set_heights_by_children(&mut self, folder: EntryId) {
        let mut heights = Heights::new();
        let index = self.children.part(folder.as_bytes()).and_then(|part| part.get(&folder));
        for Child(child) in index.into_iter().flat_map(|(_, children)| children) {
            *heights.entry(self.level(child.id)).or_default() += 1;
        }
        if let Some(part) = self.heights.part_mut(folder.as_bytes()) {
            part.insert((folder, heights));
        }
    }

    pub(super) fn set_entry(&mut self, id: EntryId, entry: Option<Arc<Entry>>) {
        let Some(part) = self.entries.part_mut(id.as_bytes()) else { return };
        let adder = entry.as_ref().map(|entry| entry.added_by);
        let before = match entry {
            Some(entry) => part.insert(entry),
            None => part.remove(&id),
        };
        self.buckets.changed(id);
        if let Some(user) = adder {
            self.count += 1;
            *self.shares.entry(user).or_default() += 1;
        }
        if let Some(before) = before {
            self.count -= 1;
            if let Some(share) = self.shares.get_mut(&before.added_by) {
                *share -= 1;
            }
        }
    }
}

impl Tree for State {
    fn root(&self) -> EntryId {
        self.root
    }

    fn seq(&self) -> u64 {
        self.seq
    }

    fn entry(&self, id: EntryId) -> Option<&Entry> {
        self.entries.part(id.as_bytes())?.get(&id).map(|entry| &**entry)
    }

    fn child(&self, folder: EntryId, name: &EntryName) -> Option<EntryId> {
        self.children.part(folder.as_bytes())?.get(&folder)?.1.get(name).map(|Child(entry)| entry.id)
    }

    fn next_child(&self, folder: EntryId, after: Option<&EntryName>) -> Option<(EntryName, EntryId)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (_, index) = self.children.part(folder.as_bytes())?.get(&folder)?;
        index
            .range::<EntryName, _>((from, Bound::Unbounded))
            .next()
            .map(|Child(entry)| (entry.name.clone(), entry.id))
    }

    fn heights(&self, folder: EntryId) -> Option<&Heights> {
        self.heights.part(folder.as_bytes())?.get(&folder).map(|(_, heights)| heights)
    }

    fn each_removed(&self, tell: &mut dyn FnMut(EntryId)) {
        let all = self.entries.parts().flat_map(Part::iter);
        all.filter(|entry| entry.rare.removed.is_some()).for_each(|entry| tell(entry.id));
    }

    fn each_version(&self, tell: &mut dyn FnMut(EntryId, OperationId)) {
        for entry in self.entries.parts().flat_map(Part::iter) {
            if let Some(version) = entry.version {
                tell(entry.id, version);
            }
        }
    }

    fn each_entry(&self, tell: &mut dyn FnMut(&Entry)) {
        self.entries.parts().flat_map(Part::iter).for_each(|entry| tell(entry));
    }
}
