//! A map in 4,096 parts, by the first twelve bits of an id, that is cheap to copy and small.
//!
//! Decides which part an id is in: the same as its bucket in the state root. A copy shares all
//! parts, and a change copies the one it is in: so the state before a pull and the one after it
//! stand side by side in little more than the memory of one. A part is a sorted list: of a million
//! ids it has 250, which are moved faster than nodes of a tree are followed, and take half as much.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::sync::Arc;

use crate::ids::EntryId;
use crate::safes::entry::Entry;
use crate::safes::name::EntryName;

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

/// Room that a part takes at a time, in items: doubling would leave a quarter of it empty.
const ROOM: usize = 4;

/// What stands in a map: each has the key that it is found by.
pub(super) trait Item: Clone {
    type Key: Ord;

    fn key(&self) -> &Self::Key;
}

impl<K: Ord + Clone, V: Clone> Item for (K, V) {
    type Key = K;

    fn key(&self) -> &K {
        &self.0
    }
}

// An entry says its id itself: once more beside it would be a tenth of a tree.
impl Item for Arc<Entry> {
    type Key = EntryId;

    fn key(&self) -> &EntryId {
        &self.id
    }
}

/// An entry in the index of its folder, found by its name: the index would otherwise say name and
/// id once more.
#[derive(Debug, Clone)]
pub(super) struct Child(pub(super) Arc<Entry>);

impl Borrow<EntryName> for Child {
    fn borrow(&self) -> &EntryName {
        &self.0.name
    }
}

impl PartialEq for Child {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Child {}

impl PartialOrd for Child {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Child {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.name.cmp(&other.0.name)
    }
}

/// One part: its items, ascending by their keys.
#[derive(Debug, Clone)]
pub(super) struct Part<T>(Vec<T>);

impl<T: Item> Part<T> {
    fn place(&self, key: &T::Key) -> Result<usize, usize> {
        self.0.binary_search_by(|item| item.key().cmp(key))
    }

    pub(super) fn get(&self, key: &T::Key) -> Option<&T> {
        self.0.get(self.place(key).ok()?)
    }

    pub(super) fn get_mut(&mut self, key: &T::Key) -> Option<&mut T> {
        let place = self.place(key).ok()?;
        self.0.get_mut(place)
    }

    pub(super) fn contains_key(&self, key: &T::Key) -> bool {
        self.place(key).is_ok()
    }

    /// Puts an item in; the one of its key that was there.
    pub(super) fn insert(&mut self, item: T) -> Option<T> {
        match self.place(item.key()) {
            Ok(place) => self.0.get_mut(place).map(|before| std::mem::replace(before, item)),
            Err(place) => {
                if self.0.len() == self.0.capacity() {
                    self.0.reserve_exact(ROOM);
                }
                self.0.insert(place, item);
                None
            }
        }
    }

    /// Takes an item out.
    pub(super) fn remove(&mut self, key: &T::Key) -> Option<T> {
        let place = self.place(key).ok()?;
        Some(self.0.remove(place))
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A map whose keys belong to an id's part.
#[derive(Debug, Clone)]
pub(super) struct Shards<T>(Vec<Arc<Vec<Arc<Part<T>>>>>);

impl<T: Item> Default for Shards<T> {
    fn default() -> Self {
        // All parts are the one empty map, until something is put into one.
        let empty = Arc::new(Part(Vec::new()));
        let group = Arc::new(vec![empty; GROUP]);
        Self(vec![group; SHARDS / GROUP])
    }
}

impl<T: Item> Shards<T> {
    /// The part of an id, to look something up.
    pub(super) fn part(&self, id: &[u8; 16]) -> Option<&Part<T>> {
        let number = shard_of(id);
        self.0.get(number / GROUP)?.get(number % GROUP).map(|part| &**part)
    }

    /// The part of an id, to change it.
    pub(super) fn part_mut(&mut self, id: &[u8; 16]) -> Option<&mut Part<T>> {
        let number = shard_of(id);
        let group = Arc::make_mut(self.0.get_mut(number / GROUP)?);
        group.get_mut(number % GROUP).map(Arc::make_mut)
    }

    /// All parts, in order.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Part<T>> {
        self.0.iter().flat_map(|group| group.iter()).map(|part| &**part)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{Part, Shards};

    proptest! {
        #[test]
        fn a_part_is_what_a_tree_map_is(acts in proptest::collection::vec((0..40_u8, any::<Option<u64>>()), 0..200)) {
            let (mut part, mut other) = (Part(Vec::new()), BTreeMap::new());
            for (key, value) in acts {
                match value {
                    Some(value) => prop_assert_eq!(part.insert((key, value)).map(|(_, was)| was), other.insert(key, value)),
                    None => prop_assert_eq!(part.remove(&key).map(|(_, was)| was), other.remove(&key)),
                }
                prop_assert_eq!(part.get(&key).copied(), other.get(&key).map(|value| (key, *value)));
                prop_assert_eq!(part.contains_key(&key), other.contains_key(&key));
            }
            prop_assert_eq!(part.len(), other.len());
            prop_assert!(part.iter().copied().eq(other.into_iter()));
        }
    }

    #[test]
    fn a_copy_stays_as_it_was() {
        let mut map = Shards::default();
        let id = [7; 16];
        map.part_mut(&id).unwrap().insert((id, 1));
        let before = map.clone();
        map.part_mut(&id).unwrap().insert((id, 2));
        assert_eq!(before.part(&id).unwrap().get(&id), Some(&(id, 1)));
        assert_eq!(map.part(&id).unwrap().get(&id), Some(&(id, 2)));
    }
}
