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

/// A map whose keys belong to an id's part.
#[derive(Debug, Clone)]
pub(super) struct Shards<K, V>(Vec<Arc<BTreeMap<K, V>>>);

impl<K: Ord + Clone, V: Clone> Default for Shards<K, V> {
    fn default() -> Self {
        let empty = Arc::new(BTreeMap::new());
        Self(vec![empty; SHARDS])
    }
}

impl<K: Ord + Clone, V: Clone> Shards<K, V> {
    /// The part of an id, to look something up.
    pub(super) fn part(&self, id: &[u8; 16]) -> Option<&BTreeMap<K, V>> {
        self.0.get(shard_of(id)).map(|part| &**part)
    }

    /// The part of an id, to change it.
    pub(super) fn part_mut(&mut self, id: &[u8; 16]) -> Option<&mut BTreeMap<K, V>> {
        self.0.get_mut(shard_of(id)).map(Arc::make_mut)
    }

    /// All parts, in order.
    pub(super) fn parts(&self) -> impl Iterator<Item = &BTreeMap<K, V>> {
        self.0.iter().map(|part| &**part)
    }

    /// Number of values in all parts.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|part| part.len()).sum()
    }
}
