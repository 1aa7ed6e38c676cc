//! A state as a device keeps it, and as it stands in a snapshot: entries without the index, which
//! is made again.
//!
//! Decides its encoding (docs/protocol.md, *Snapshots*). Refuses what no fold makes, since a
//! snapshot is somebody else's word: two entries of one id or one name, a folder that is none, a
//! circle, the root as an entry, a place that is too deep, and more of anything than a safe has.

use std::collections::BTreeMap;
use std::sync::Arc;

use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};

use crate::ids::{DeviceId, EntryId, ObjectId, SafeId};
use crate::limits::LOG_MAX_CERTIFICATES;
use crate::safes::entry::Entry;
use crate::safes::fold::SAFE_ENTRIES_MAX;
use crate::safes::shards::{Child, Part};
use crate::safes::snapshot::SNAPSHOTS_MAX;
use crate::safes::state::State;
use crate::safes::tree::{DEPTH_MAX, Tree};

/// Fields of a kept state.
const FIELDS: u64 = 10;
/// Devices that have written in a safe: as many as the organisation's log has certificates.
const DEVICES_MAX: u64 = LOG_MAX_CERTIFICATES;
/// Objects of a safe: 8 TiB of them, and more than the largest kept state has room for.
const OBJECTS_MAX: u64 = 1 << 24;
/// Earlier versions in all of a safe: sixteen for each entry there may be, and more than the
/// largest kept state has room for.
const VERSIONS_MAX: usize = 1 << 24;

impl<C> Encode<C> for State {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, ctx: &mut C) -> Result<(), encode::Error<W::Error>> {
        let length = |items: usize| u64::try_from(items).unwrap_or(u64::MAX);
        e.array(FIELDS)?.encode_with(self.root, ctx)?.u64(self.seq)?;
        e.encode_with(&self.name, ctx)?.u64(self.retention_days)?;
        e.array(length(self.devices.len()))?;
        for device in &self.devices {
            e.encode_with(device, ctx)?;
        }
        e.encode_with(&self.marks, ctx)?;
        e.array(length(self.objects.parts().map(Part::len).sum()))?;
        for object in self.objects() {
            e.encode_with(object, ctx)?;
        }
        e.array(length(self.endangered.len()))?;
        for object in &self.endangered {
            e.encode_with(object, ctx)?;
        }
        e.encode_with(&self.snapshots, ctx)?;
        e.array(self.count())?;
        for entry in self.entries.parts().flat_map(Part::iter) {
            e.encode_with(&**entry, ctx)?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for State {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        if d.array()? != Some(FIELDS) {
            return Err(decode::Error::message("not a state"));
        }
        let root: EntryId = d.decode_with(ctx)?;
        let mut state = Self::new(SafeId::from_bytes(*root.as_bytes()));
        state.seq = d.u64()?;
        state.name = d.decode_with(ctx)?;
        state.retention_days = d.u64()?;
        each(d, ctx, DEVICES_MAX, |(device, seq): (DeviceId, u64)| {
            state.devices.insert(device, seq).is_none()
        })?;
        state.marks = d.decode_with(ctx)?;
        each(d, ctx, OBJECTS_MAX, |(object, seq): (ObjectId, u64)| {
            let part = state.objects.part_mut(object.as_bytes());
            part.is_some_and(|part| part.insert((object, seq)).is_none())
        })?;
        each(d, ctx, OBJECTS_MAX, |object: ObjectId| state.endangered.insert(object))?;
        state.snapshots = d.decode_with(ctx)?;
        if state.snapshots.len() > SNAPSHOTS_MAX || !state.snapshots.is_sorted_by(|a, b| a.seq < b.seq) {
            return Err(decode::Error::message("no snapshots"));
        }
        let mut entries = Vec::new();
        let mut versions = 0_usize;
        each(d, ctx, SAFE_ENTRIES_MAX, |entry: Entry| {
            versions = versions.saturating_add(entry.rare.versions.len());
            entries.push(Arc::new(entry));
            versions <= VERSIONS_MAX
        })?;
        index(&mut state, entries).ok_or_else(|| decode::Error::message("no tree"))?;
        Ok(state)
    }
}

/// Hands on each value of an array of so many at most; `take` says whether it is one that may stand
/// there. The length is a stranger's word: it is judged before anything is read by it.
fn each<'b, C, T: Decode<'b, C>>(
    d: &mut Decoder<'b>,
    ctx: &mut C,
    most: u64,
    mut take: impl FnMut(T) -> bool,
) -> Result<(), decode::Error> {
    let Some(length) = d.array()? else { return Err(decode::Error::message("no length")) };
    if length > most {
        return Err(decode::Error::message("too many"));
    }
    for _ in 0..length {
        if !take(d.decode_with(ctx)?) {
            return Err(decode::Error::message("twice, or too many"));
        }
    }
    Ok(())
}

/// Gives an empty state its entries and their index. None is copied, and the index is made in one
/// go: what is made on the way and freed again leaves holes between what stays, and those are
/// memory of the device for as long as the safe is open.
fn index(state: &mut State, mut entries: Vec<Arc<Entry>>) -> Option<()> {
    entries.sort_unstable_by_key(|entry| entry.id);
    if entries.windows(2).any(|pair| matches!(pair, [one, next] if one.id == next.id)) {
        return None;
    }
    let mut inside: BTreeMap<EntryId, Vec<Child>> = BTreeMap::new();
    // Each with the folders above what stands in it: a path without end would be walked for ever.
    let mut open = vec![(state.root(), 0)];
    let (mut placed, all) = (0, entries.len());
    for entry in entries {
        if entry.id == state.root() {
            return None;
        }
        match (entry.parent, &entry.rare.removed) {
            (Some(parent), None) => {
                inside.entry(parent).or_default().push(Child(Arc::clone(&entry)));
            }
            (None, Some(_)) => {
                if entry.is_folder() {
                    open.push((entry.id, 1));
                }
                placed += 1;
            }
            (Some(_), Some(_)) | (None, None) => return None,
        }
        state.set_entry(entry.id, Some(entry));
    }
    // Each folder behind the one it stands in.
    let mut folders = Vec::new();
    while let Some((folder, depth)) = open.pop() {
        let Some(mut children) = inside.remove(&folder) else { continue };
        if depth >= DEPTH_MAX {
            return None;
        }
        children.sort_unstable();
        if children.windows(2).any(|pair| matches!(pair, [one, next] if one == next)) {
            return None;
        }
        placed += children.len();
        let of_folders = children.iter().filter(|Child(entry)| entry.is_folder());
        open.extend(of_folders.map(|Child(entry)| (entry.id, depth + 1)));
        folders.push(folder);
        state.set_children(folder, children.into_iter().collect());
    }
    for folder in folders.into_iter().rev() {
        state.set_heights_by_children(folder);
    }
    // What was not reached stands in nothing, in what is no folder, or in a circle.
    (placed == all).then_some(())
}
