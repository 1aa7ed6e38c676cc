//! Directory keys by their numbers: what seals names, and what opens them (docs/protocol.md,
//! *Sealed names*).
//!
//! Decides that new names are sealed with the newest key that is here, and that a name is opened
//! with the key whose number it carries. Refuses a list that is not ascending, lacks the first key,
//! or is longer than what message 7 and manifests carry. Whether a key is the one of its number,
//! `directory` finds out.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use crate::keys::DirectoryKey;
use crate::limits::{DIRECTORY_KEYS_CARRIED, FIRST_DIRECTORY_KEY};

/// A directory key with its number, as it travels in message 7 and in manifests. Holds a secret.
#[derive(Debug, Encode, Decode)]
pub struct NumberedKey {
    /// Number of the key; [`FIRST_DIRECTORY_KEY`] is the one an organisation begins with.
    #[n(0)]
    pub number: u32,
    /// The key itself, a secret.
    #[n(1)]
    pub key: DirectoryKey,
}

/// What names are sealed and opened with.
pub trait NameKeys {
    /// The key of this number, if it is here.
    fn opening(&self, number: u32) -> Option<&DirectoryKey>;

    /// The newest key that is here, with its number.
    fn sealing(&self) -> (u32, &DirectoryKey);
}

/// The one that an organisation begins with.
impl NameKeys for DirectoryKey {
    fn opening(&self, number: u32) -> Option<&DirectoryKey> {
        (number == FIRST_DIRECTORY_KEY).then_some(self)
    }

    fn sealing(&self) -> (u32, &DirectoryKey) {
        (FIRST_DIRECTORY_KEY, self)
    }
}

/// The directory keys that somebody has: always the first, and later ones as far as they came.
#[derive(Debug)]
pub struct DirectoryKeys {
    first: DirectoryKey,
    later: BTreeMap<u32, DirectoryKey>,
}

impl NameKeys for DirectoryKeys {
    fn opening(&self, number: u32) -> Option<&DirectoryKey> {
        if number == FIRST_DIRECTORY_KEY { Some(&self.first) } else { self.later.get(&number) }
    }

    fn sealing(&self) -> (u32, &DirectoryKey) {
        let newest = self.later.last_key_value().map(|(number, key)| (*number, key));
        newest.unwrap_or((FIRST_DIRECTORY_KEY, &self.first))
    }
}

impl DirectoryKeys {
    /// Those of somebody who has the first one alone.
    #[must_use]
    pub const fn first(key: DirectoryKey) -> Self {
        Self { first: key, later: BTreeMap::new() }
    }

    /// Out of message 7 or a manifest; none where the list is not ascending from the first key on,
    /// or longer than [`DIRECTORY_KEYS_CARRIED`].
    #[must_use]
    pub fn read(keys: Vec<NumberedKey>) -> Option<Self> {
        if keys.len() > DIRECTORY_KEYS_CARRIED {
            return None;
        }
        let mut keys = keys.into_iter();
        let mut read = match keys.next() {
            Some(NumberedKey { number: FIRST_DIRECTORY_KEY, key }) => Self::first(key),
            Some(_) | None => return None,
        };
        for NumberedKey { number, key } in keys {
            if number <= read.newest() {
                return None;
            }
            read.later.insert(number, key);
        }
        Some(read)
    }

    /// For a record that is encrypted at once: all keys, ascending.
    #[must_use]
    pub fn record(&self) -> Vec<NumberedKey> {
        self.numbers()
            .filter_map(|number| Some(NumberedKey { number, key: copy(self.opening(number)?) }))
            .collect()
    }

    /// For message 7 and manifests: the first key, the one of number `own`, with which the user's
    /// own name is sealed, and the newest; ascending. The newest leads to the others.
    #[must_use]
    pub fn carried(&self, own: Option<u32>) -> Vec<NumberedKey> {
        let own = own.filter(|number| self.later.contains_key(number));
        let room = DIRECTORY_KEYS_CARRIED - 1 - usize::from(own.is_some());
        let mut numbers: Vec<u32> = self.later.keys().rev().copied().take(room).collect();
        numbers.extend(own);
        numbers.push(FIRST_DIRECTORY_KEY);
        numbers.sort_unstable();
        numbers.dedup();
        numbers
            .into_iter()
            .filter_map(|number| Some(NumberedKey { number, key: copy(self.opening(number)?) }))
            .collect()
    }

    /// The same keys without those that `stays` refuses. The first is never asked about.
    #[must_use]
    pub fn only(&self, stays: impl Fn(u32, &DirectoryKey) -> bool) -> Self {
        let later = self.later.iter().filter(|(number, key)| stays(**number, key));
        Self { first: copy(&self.first), later: later.map(|(number, key)| (*number, copy(key))).collect() }
    }

    /// The numbers of the keys, ascending.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        std::iter::once(FIRST_DIRECTORY_KEY).chain(self.later.keys().copied())
    }

    /// Number of the newest.
    #[must_use]
    pub fn newest(&self) -> u32 {
        self.sealing().0
    }

    /// The same keys again, for another holder in this process.
    #[must_use]
    pub fn copied(&self) -> Self {
        let later = self.later.iter().map(|(number, key)| (*number, copy(key))).collect();
        Self { first: copy(&self.first), later }
    }

    /// The first key again.
    #[must_use]
    pub fn copy_of_first(&self) -> DirectoryKey {
        copy(&self.first)
    }

    /// Takes a key in, if there is none of its number. Whether there was none.
    pub fn insert(&mut self, number: u32, key: DirectoryKey) -> bool {
        let new = number > FIRST_DIRECTORY_KEY && !self.later.contains_key(&number);
        if new {
            self.later.insert(number, key);
        }
        new
    }
}

fn copy(key: &DirectoryKey) -> DirectoryKey {
    DirectoryKey::from_bytes(&mut { *key.expose() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> DirectoryKey {
        DirectoryKey::from_bytes(&mut [byte; 32])
    }

    fn list(numbers: &[u32]) -> Option<DirectoryKeys> {
        DirectoryKeys::read(
            numbers.iter().map(|number| NumberedKey { number: *number, key: key(7) }).collect(),
        )
    }

    #[test]
    fn a_list_ascends_from_the_first_key() {
        for good in [&[1][..], &[1, 2], &[1, 3, 256], &[1, u32::MAX]] {
            assert!(list(good).unwrap().numbers().eq(good.iter().copied()), "{good:?}");
        }
        for bad in [&[][..], &[2], &[0], &[0, 1], &[1, 1], &[1, 3, 2]] {
            assert!(list(bad).is_none(), "{bad:?}");
        }
        let carried = u32::try_from(DIRECTORY_KEYS_CARRIED).unwrap();
        assert!(list(&(1..=carried).collect::<Vec<_>>()).is_some());
        assert!(list(&(1..=carried + 1).collect::<Vec<_>>()).is_none());
    }

    #[test]
    fn of_many_keys_the_first_the_own_and_the_newest_are_carried() {
        let mut keys = DirectoryKeys::first(key(1));
        for number in 2..=600 {
            assert!(keys.insert(number, key(2)));
        }
        let numbers = |own| keys.carried(own).iter().map(|key| key.number).collect::<Vec<_>>();
        for own in [Some(40), None, Some(599), Some(601), Some(1)] {
            let carried = numbers(own);
            assert!(carried.len() <= DIRECTORY_KEYS_CARRIED && carried.is_sorted());
            assert_eq!((carried[0], *carried.last().unwrap()), (1, 600));
            assert!(carried.len() >= DIRECTORY_KEYS_CARRIED - 1, "{own:?}");
            assert!(own.is_none_or(|own| own > 600 || carried.contains(&own)), "{own:?}");
            assert!(DirectoryKeys::read(keys.carried(own)).is_some());
        }
        assert!(keys.only(|number, _| number % 2 == 0).numbers().take(3).eq([1, 2, 4]));
    }

    #[test]
    fn the_newest_seals_and_each_opens_its_own() {
        let mut keys = DirectoryKeys::first(key(1));
        assert!(keys.insert(3, key(3)));
        assert!(!keys.insert(3, key(9)), "a key is never replaced");
        for refused in [0, 1] {
            assert!(!keys.insert(refused, key(9)), "{refused}");
        }
        assert_eq!(keys.newest(), 3);
        assert!(keys.opening(3).unwrap().is_same(&key(3)));
        assert!(keys.opening(2).is_none());
        assert!(keys.copied().record().iter().map(|key| key.number).eq([1, 3]));
    }
}
