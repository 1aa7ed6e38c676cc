//! A map in 4,096 parts, by the first twelve bits of an id, that is cheap to copy.
//!
//! Decides which part an id is in: the same as its bucket in the state root. A copy shares all
//! parts, and a change copies the one it is in: so the state before a pull and the one after it
//! stand side by side in little more than the memory of one.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Parts of a map, and buckets of the state root.
pub(super) const SHARDS: usize = 4_096;

/// The part that an id of these bytes is in.
#[must_use]
pub(super) fn shard_of([first, second, ..]: &[u8; 16]) -> usize {
    usize::from(*first) << 4 | usize::from(*second >> 4)
}

/// Parts that hang together: a copy of the map copies that many pointers, a first change as many
/// again.
const GROUP: usize = 64;

type Part<K, V> = Arc<BTreeMap<K, V>>;

/// A map whose keys belong to an id's part.
#[derive(Debug, Clone)]
pub(super) struct Shards<K, V>(Vec<Arc<Vec<Part<K, V>>>>);

impl<K: Ord + Clone, V: Clone> Default for Shards<K, V> {
    fn default() -> Self {
        // All parts are the one empty map, until something is put into one.
        let empty = Arc::new(BTreeMap::new());
        let group = Arc::new(vec![empty; GROUP]);
        Self(vec![group; SHARDS / GROUP])
    }
}

impl<K: Ord + Clone, V: Clone> Shards<K, V> {
    /// The part of an id, to look something up.
    pub(super) fn part(&self, id: &[u8; 16]) -> Option<&BTreeMap<K, V>> {
        let number = shard_of(id);
        self.0.get(number / GROUP)?.get(number % GROUP).map(|part| &**part)
    }

    /// The part of an id, to change it.
    pub(super) fn part_mut(&mut self, id: &[u8; 16]) -> Option<&mut BTreeMap<K, V>> {
        let number = shard_of(id);
        let group = Arc::make_mut(self.0.get_mut(number / GROUP)?);
        group.get_mut(number % GROUP).map(Arc::make_mut)
    }

    /// All parts, in order.
    pub(super) fn parts(&self) -> impl Iterator<Item = &BTreeMap<K, V>> {
        self.0.iter().flat_map(|group| group.iter()).map(|part| &**part)
    }
}
