//! Which pieces are kept to save the way to the server, and which of them was used last.
//!
//! Decides who goes first: whoever was not used for the longest time, and never what a person has
//! pinned, nor what is in one file with it. Decides nothing about what waits to be shared, which it
//! does not know.

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
    /// Whether a pin covers it.
    pub(in crate::store) pinned: bool,
}

/// All of them, in memory: a use costs no write.
#[derive(Debug, Default)]
pub(in crate::store) struct Index {
    all: BTreeMap<Key, Kept>,
    /// Those that may go, by their last use.
    by_use: BTreeMap<u64, Key>,
    last_use: u64,
    bytes: u64,
    /// Bytes of those that may go.
    loose_bytes: u64,
    /// Which pieces of a safe pins cover, whether they are here or not.
    wanted: BTreeMap<SafeId, BTreeSet<ObjectId>>,
    /// Files with pinned pieces in them, and how many: such a file stays as a whole.
    held: BTreeMap<FileName, usize>,
    /// What is in files of several.
    in_packs: BTreeSet<(FileName, Key)>,
    /// Those of which the database says something else.
    unsaved: BTreeSet<Key>,
    unsaved_bytes: u64,
}

impl Index {
    /// As the database has it.
    pub(in crate::store) fn restore(&mut self, key: Key, kept: Kept) {
        if kept.pinned {
            self.wanted.entry(key.0).or_default().insert(key.1);
        }
        self.put(key, kept);
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
        self.put(key, Kept { hash, length, place, used, pinned: self.is_wanted(&key) });
        self.note(key, length);
        before
    }

    fn put(&mut self, key: Key, kept: Kept) {
        self.bytes = self.bytes.saturating_add(kept.length);
        self.last_use = self.last_use.max(kept.used);
        if kept.place.at.is_some() {
            self.in_packs.insert((kept.place.file, key));
        }
        self.all.insert(key, kept);
        if kept.pinned {
            self.hold(kept.place);
        }
        self.settle(&key);
    }

    fn next_use(&self) -> u64 {
        self.last_use.saturating_add(1)
    }

    /// One more pinned piece is in this file.
    fn hold(&mut self, place: Location) {
        let pinned = self.held.entry(place.file).or_default();
        *pinned = pinned.saturating_add(1);
        if *pinned == 1 && place.at.is_some() {
            self.settle_pack(place.file);
        }
    }

    /// One less.
    fn let_go(&mut self, place: Location) {
        let Some(pinned) = self.held.get_mut(&place.file) else { return };
        *pinned = pinned.saturating_sub(1);
        if *pinned == 0 {
            self.held.remove(&place.file);
            if place.at.is_some() {
                self.settle_pack(place.file);
            }
        }
    }

    /// Whether a piece may go, by what is in its file.
    fn settle(&mut self, key: &Key) {
        let Some(kept) = self.all.get(key).copied() else { return };
        let loose = !self.held.contains_key(&kept.place.file);
        if !loose {
            self.unlist(key, &kept);
        } else if self.by_use.get(&kept.used) != Some(key) {
            // Two that were used at one time are two all the same.
            let taken = self.by_use.contains_key(&kept.used);
            let used = if taken { self.next_use() } else { kept.used };
            self.all.insert(*key, Kept { used, ..kept });
            self.last_use = self.last_use.max(used);
            self.by_use.insert(used, *key);
            self.loose_bytes = self.loose_bytes.saturating_add(kept.length);
        }
    }

    /// It is not among those that may go; whether it was.
    fn unlist(&mut self, key: &Key, kept: &Kept) -> bool {
        let listed = self.by_use.get(&kept.used) == Some(key);
        if listed {
            self.by_use.remove(&kept.used);
            self.loose_bytes = self.loose_bytes.saturating_sub(kept.length);
        }
        listed
    }

    fn settle_pack(&mut self, file: FileName) {
        self.in_file(file).iter().for_each(|key| self.settle(key));
    }

    /// Pins cover these pieces of a safe and no others. Whether that is news for any that is here.
    pub(in crate::store) fn pin(&mut self, safe: SafeId, wanted: BTreeSet<ObjectId>) -> bool {
        let mut news = false;
        for key in self.of(safe) {
            let pinned = wanted.contains(&key.1);
            let Some(kept) = self.all.get_mut(&key).filter(|kept| kept.pinned != pinned) else { continue };
            kept.pinned = pinned;
            let place = kept.place;
            if pinned {
                self.hold(place)
            } else {
                self.let_go(place)
            }
            self.settle(&key);
            self.note(key, 0);
            news = true;
        }
        if wanted.is_empty() {
            self.wanted.remove(&safe);
        } else {
            self.wanted.insert(safe, wanted);
        }
        news
    }

    /// Whether a pin covers it.
    pub(in crate::store) fn is_wanted(&self, key: &Key) -> bool {
        self.wanted.get(&key.0).is_some_and(|wanted| wanted.contains(&key.1))
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
        let before = self.get(key)?;
        let used = self.next_use();
        self.unlist(key, &before);
        let kept = Kept { used, ..before };
        self.last_use = used;
        self.all.insert(*key, kept);
        self.settle(key);
        self.note(*key, 0);
        Some(kept)
    }

    /// It is not kept any more.
    pub(in crate::store) fn remove(&mut self, key: &Key) -> Option<Kept> {
        let kept = self.all.remove(key)?;
        self.unlist(key, &kept);
        self.bytes = self.bytes.saturating_sub(kept.length);
        self.in_packs.remove(&(kept.place.file, *key));
        if kept.pinned {
            self.let_go(kept.place);
        }
        self.note(*key, 0);
        Some(kept)
    }

    /// Of a safe nothing is kept any more, and no pin covers any of it.
    pub(in crate::store) fn forget(&mut self, safe: SafeId) -> Vec<Kept> {
        self.wanted.remove(&safe);
        let kept = self.of(safe);
        kept.iter().filter_map(|key| self.remove(key)).collect()
    }

    /// The one of those that may go that was not used for the longest time.
    pub(in crate::store) fn oldest(&self) -> Option<Key> {
        self.by_use.first_key_value().map(|(_, key)| *key)
    }

    /// All of one safe.
    pub(in crate::store) fn of(&self, safe: SafeId) -> Vec<Key> {
        let first = (safe, ObjectId::from_bytes([0; 16]));
        let last = (safe, ObjectId::from_bytes([u8::MAX; 16]));
        self.all.range(first..=last).map(|(key, _)| *key).collect()
    }

    /// All that are in one file of several.
    pub(in crate::store) fn in_file(&self, file: FileName) -> Vec<Key> {
        let first = (SafeId::from_bytes([0; 16]), ObjectId::from_bytes([0; 16]));
        let last = (SafeId::from_bytes([u8::MAX; 16]), ObjectId::from_bytes([u8::MAX; 16]));
        self.in_packs.range((file, first)..=(file, last)).map(|(_, key)| *key).collect()
    }

    /// Bytes of all of them.
    pub(in crate::store) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many there are.
    #[cfg(test)]
    pub(in crate::store) fn count(&self) -> usize {
        self.all.len()
    }

    /// How many of them may go, and their bytes.
    pub(in crate::store) fn loose(&self) -> (usize, u64) {
        (self.by_use.len(), self.loose_bytes)
    }

    /// How many of them may not go, and their bytes.
    pub(in crate::store) fn pinned(&self) -> (usize, u64) {
        (self.all.len().saturating_sub(self.by_use.len()), self.bytes.saturating_sub(self.loose_bytes))
    }

    /// Bytes of those of a safe that may not go.
    pub(in crate::store) fn pinned_of(&self, safe: SafeId) -> u64 {
        let held = |kept: &Kept| self.held.contains_key(&kept.place.file);
        self.of(safe).iter().filter_map(|key| self.get(key)).filter(held).map(|kept| kept.length).sum()
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
        let kept =
            |file| Kept { hash: ObjectHash::of(b"x"), length: 1, place: place(file), used: 5, pinned: false };
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

    #[test]
    fn what_is_pinned_does_not_go_nor_what_is_in_one_file_with_it() {
        let mut index = Index::default();
        let hash = ObjectHash::of(b"x");
        let pack = |at| Location { file: FileName::from_bytes([9; 16]), at: Some(at) };
        let ids = |all: &[u8]| all.iter().map(|object| ObjectId::from_bytes([*object; 16])).collect();
        let safe = SafeId::from_bytes([1; 16]);
        // Here before it is pinned, and coming after.
        index.insert(key(1, 1), hash, 10, place(1));
        index.insert(key(1, 2), hash, 20, pack(0));
        index.insert(key(1, 3), hash, 30, pack(20));
        index.pin(safe, ids(&[1, 3, 4]));
        index.insert(key(1, 4), hash, 40, place(4));
        index.insert(key(1, 5), hash, 50, place(5));
        index.insert(key(2, 1), hash, 60, place(6));
        assert_eq!((index.bytes(), index.loose(), index.pinned()), (210, (2, 110), (4, 100)));
        assert_eq!((index.pinned_of(safe), index.oldest()), (100, Some(key(1, 5))));
        index.used(&key(1, 1));
        index.used(&key(1, 5));
        assert_eq!(index.oldest(), Some(key(2, 1)));
        // As the database has it.
        let mut again = Index::default();
        for (key, kept) in index.to_save() {
            again.restore(key, kept.unwrap());
        }
        assert_eq!((again.loose(), again.pinned()), (index.loose(), index.pinned()));
        assert!(again.is_wanted(&key(1, 3)) && !again.is_wanted(&key(1, 2)));
        // No pin covers the pack any more; one more covers the last.
        index.pin(safe, ids(&[1, 4, 5]));
        assert_eq!((index.loose(), index.oldest()), ((3, 110), Some(key(1, 2))));
        index.remove(&key(1, 4));
        assert_eq!(index.pinned(), (2, 60));
        assert_eq!(index.forget(safe).len(), 4);
        assert_eq!((index.bytes(), index.loose(), index.pinned()), (60, (1, 60), (0, 0)));
        assert!(!index.is_wanted(&key(1, 1)));
    }

    #[test]
    fn the_order_of_uses_is_one_of_all_safes_and_pins_disturb_none_of_it() {
        let mut index = Index::default();
        let kept = |file, used, pinned| Kept {
            hash: ObjectHash::of(b"x"),
            length: 1,
            place: place(file),
            used,
            pinned,
        };
        // As an opening reads them: safe by safe.
        index.restore(key(1, 1), kept(1, 4, false));
        index.restore(key(1, 2), kept(2, 8, true));
        index.restore(key(2, 1), kept(3, 2, false));
        index.restore(key(2, 2), kept(4, 8, false));
        assert_eq!(index.oldest(), Some(key(2, 1)));
        // One that was used at the same time as another is unpinned, and both are there.
        index.pin(SafeId::from_bytes([1; 16]), BTreeSet::new());
        let mut order = Vec::new();
        while let Some(oldest) = index.oldest() {
            index.remove(&oldest).unwrap();
            order.push(oldest);
        }
        assert_eq!(order, [key(2, 1), key(1, 1), key(2, 2), key(1, 2)]);
        assert_eq!((index.bytes(), index.loose(), index.pinned()), (0, (0, 0), (0, 0)));
    }
}
