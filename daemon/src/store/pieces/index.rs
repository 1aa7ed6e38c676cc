//! Which pieces are kept to save the way to the server, and which of them was used last.
//!
//! Decides who goes first: whoever was not used for the longest time. Decides nothing about what
//! waits to be shared, which it does not know.

use std::collections::{BTreeMap, BTreeSet};

use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::object_hash::ObjectHash;

use super::files::{FileName, Location};

/// What names a piece.
pub(in crate::store) type Key = (SafeId, ObjectId);

/// A piece that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Kept {
    /// Hash of its bytes, which were compared with it before they were kept.
    pub(in crate::store) hash: ObjectHash,
    /// Its bytes.
    pub(in crate::store) length: u64,
    /// Where they are.
    pub(in crate::store) place: Location,
    /// Grows with each use of any piece.
    pub(in crate::store) used: u64,
}

/// All of them, in memory: a use costs no write.
#[derive(Debug, Default)]
pub(in crate::store) struct Index {
    all: BTreeMap<Key, Kept>,
    by_use: BTreeMap<u64, Key>,
    bytes: u64,
    /// Those of which the database says something else.
    unsaved: BTreeSet<Key>,
    unsaved_bytes: u64,
}

impl Index {
    /// As the database has it.
    pub(in crate::store) fn restore(&mut self, key: Key, kept: Kept) {
        // Two that were used at one time are two all the same.
        let taken = self.by_use.contains_key(&kept.used);
        let used = if taken { self.next_use() } else { kept.used };
        self.put(key, Kept { used, ..kept });
    }

    /// A piece that is kept from now on; what was kept of it before is given back.
    pub(in crate::store) fn insert(
        &mut self,
        key: Key,
        hash: ObjectHash,
        length: u64,
        place: Location,
    ) -> Option<Kept> {
        let before = self.remove(&key);
        let used = self.next_use();
        self.put(key, Kept { hash, length, place, used });
        self.note(key, length);
        before
    }

    fn put(&mut self, key: Key, kept: Kept) {
        self.bytes = self.bytes.saturating_add(kept.length);
        self.by_use.insert(kept.used, key);
        self.all.insert(key, kept);
    }

    fn next_use(&self) -> u64 {
        self.by_use.last_key_value().map_or(0, |(used, _)| used.saturating_add(1))
    }

    fn note(&mut self, key: Key, bytes: u64) {
        if self.unsaved.insert(key) {
            self.unsaved_bytes = self.unsaved_bytes.saturating_add(bytes);
        }
    }

    /// One that is kept.
    pub(in crate::store) fn get(&self, key: &Key) -> Option<Kept> {
        self.all.get(key).copied()
    }

    /// One that is kept and is being used.
    pub(in crate::store) fn used(&mut self, key: &Key) -> Option<Kept> {
        let next = self.next_use();
        let kept = self.all.get_mut(key)?;
        self.by_use.remove(&kept.used);
        kept.used = next;
        self.by_use.insert(next, *key);
        let kept = *kept;
        self.note(*key, 0);
        Some(kept)
    }

    /// It is not kept any more.
    pub(in crate::store) fn remove(&mut self, key: &Key) -> Option<Kept> {
        let kept = self.all.remove(key)?;
        self.by_use.remove(&kept.used);
        self.bytes = self.bytes.saturating_sub(kept.length);
        self.note(*key, 0);
        Some(kept)
    }

    /// The one that was not used for the longest time.
    pub(in crate::store) fn oldest(&self) -> Option<Key> {
        self.by_use.first_key_value().map(|(_, key)| *key)
    }

    /// All of one safe.
    pub(in crate::store) fn of(&self, safe: SafeId) -> Vec<Key> {
        let first = (safe, ObjectId::from_bytes([0; 16]));
        let last = (safe, ObjectId::from_bytes([u8::MAX; 16]));
        self.all.range(first..=last).map(|(key, _)| *key).collect()
    }

    /// All of one safe that are in one file.
    pub(in crate::store) fn in_file(&self, safe: SafeId, file: FileName) -> Vec<Key> {
        let first = (safe, ObjectId::from_bytes([0; 16]));
        let last = (safe, ObjectId::from_bytes([u8::MAX; 16]));
        let in_it = self.all.range(first..=last).filter(|(_, kept)| kept.place.file == file);
        in_it.map(|(key, _)| *key).collect()
    }

    /// Bytes of all of them.
    pub(in crate::store) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many there are.
    pub(in crate::store) fn count(&self) -> usize {
        self.all.len()
    }

    /// How many the database does not know as they are, and bytes of those that are new.
    pub(in crate::store) fn unsaved(&self) -> (usize, u64) {
        (self.unsaved.len(), self.unsaved_bytes)
    }

    /// Those that the database does not know as they are: what each is now, nothing for one that
    /// has gone.
    pub(in crate::store) fn to_save(&self) -> Vec<(Key, Option<Kept>)> {
        self.unsaved.iter().map(|key| (*key, self.get(key))).collect()
    }

    /// The database has them.
    pub(in crate::store) fn saved(&mut self) {
        self.unsaved.clear();
        self.unsaved_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(safe: u8, object: u8) -> Key {
        (SafeId::from_bytes([safe; 16]), ObjectId::from_bytes([object; 16]))
    }

    fn place(file: u8) -> Location {
        Location { file: FileName::from_bytes([file; 16]), at: None }
    }

    #[test]
    fn what_was_used_last_goes_last() {
        let mut index = Index::default();
        let hash = ObjectHash::of(b"x");
        for object in 1..=4 {
            assert_eq!(index.insert(key(1, object), hash, 10, place(object)), None);
        }
        index.used(&key(1, 1)).unwrap();
        let before = index.insert(key(1, 2), hash, 7, place(9));
        assert_eq!(before.unwrap().place, place(2));
        assert_eq!((index.bytes(), index.count()), (37, 4));
        let mut order = Vec::new();
        while let Some(oldest) = index.oldest() {
            index.remove(&oldest).unwrap();
            order.push(oldest);
        }
        assert_eq!(order, [key(1, 3), key(1, 4), key(1, 1), key(1, 2)]);
        assert_eq!((index.bytes(), index.count()), (0, 0));
        assert!(index.to_save().iter().all(|(_, kept)| kept.is_none()));
    }

    #[test]
    fn safes_are_told_apart_and_a_use_is_nobodys_twice() {
        let mut index = Index::default();
        let kept = |file| Kept { hash: ObjectHash::of(b"x"), length: 1, place: place(file), used: 5 };
        index.restore(key(1, 1), kept(1));
        index.restore(key(2, 0), kept(2));
        index.restore(key(2, 255), kept(3));
        assert_eq!((index.count(), index.unsaved()), (3, (0, 0)));
        assert_eq!(index.of(SafeId::from_bytes([2; 16])), [key(2, 0), key(2, 255)]);
        index.used(&key(9, 9));
        assert!(index.used(&key(1, 1)).is_some());
        assert_eq!(index.to_save().len(), 1);
        index.saved();
        assert_eq!(index.unsaved(), (0, 0));
    }
}
