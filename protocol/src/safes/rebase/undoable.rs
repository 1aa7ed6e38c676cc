//! A map whose last entries can be taken back: what a change that is dropped has left in it.

use std::collections::BTreeMap;

/// A map with what stood in it before the entries of this step.
pub(super) struct Undoable<K, V> {
    map: BTreeMap<K, V>,
    before: Vec<(K, Option<V>)>,
}

impl<K: Ord + Copy, V> Undoable<K, V> {
    pub(super) const fn new() -> Self {
        Self { map: BTreeMap::new(), before: Vec::new() }
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        self.map.get(&key)
    }

    pub(super) fn set(&mut self, key: K, value: V) {
        let before = self.map.insert(key, value);
        self.before.push((key, before));
    }

    /// Begins a step: what is there stays.
    pub(super) fn settle(&mut self) {
        self.before.clear();
    }

    /// Takes back what this step has set.
    pub(super) fn go_back(&mut self) {
        while let Some((key, before)) = self.before.pop() {
            match before {
                Some(value) => self.map.insert(key, value),
                None => self.map.remove(&key),
            };
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.map.iter()
    }
}
