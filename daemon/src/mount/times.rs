//! Times and counts that `stat` shows and no safe keeps: when something was changed in any way,
//! when it was read as programs say, when something came into a folder or left it, and how many
//! folders stand in one.
//!
//! Decides that they live as long as the mount: a record for each of them would be everybody's
//! work. What can't be known of a folder is never an earlier time than the mount's own: a program
//! that compares times looks again, and misses nothing.

use std::collections::BTreeMap;

use parsec_protocol::ids::EntryId;
use parsec_protocol::safes::tree::Tree;

use crate::safes::acts;

/// Folders whose own times are kept: some megabytes. Above, all of them changed just now.
const FOLDERS_MAX: usize = 65_536;
/// Names of a folder that are looked through for the folders among them. A folder with more says 1,
/// by which programs know that nobody has counted.
const COUNTED_MAX: usize = 256;

/// When something came into each folder, or left it, since the safe was mounted.
#[derive(Debug, Default)]
pub(super) struct FolderTimes {
    times: BTreeMap<EntryId, u64>,
    /// When the list was too long and was begun anew; 0 where it never was.
    anew: u64,
}

impl FolderTimes {
    /// Notes it for a folder.
    pub(super) fn put(&mut self, folder: EntryId, time: u64) {
        if self.times.len() >= FOLDERS_MAX && !self.times.contains_key(&folder) {
            self.times.clear();
            self.anew = acts::nanoseconds();
        }
        self.times.insert(folder, time);
    }

    /// Time of a folder's last change, of which the tree says another one.
    pub(super) fn of(&self, folder: EntryId, tree: u64) -> u64 {
        self.times.get(&folder).copied().unwrap_or_else(|| tree.max(self.anew))
    }

    /// The tree's word counts again: somebody has set the time.
    pub(super) fn forget(&mut self, folder: EntryId) {
        self.times.remove(&folder);
    }
}

/// When an inode was changed in any way, of which is known when it was noted last, and when its
/// bytes were changed.
pub(super) fn changed(noted: Option<u64>, bytes: u64) -> u64 {
    match noted {
        // A time to come was set by somebody, and is none at which anything was changed.
        Some(noted) if bytes > acts::nanoseconds() => noted,
        Some(noted) => noted.max(bytes),
        None => bytes,
    }
}

/// How many names a folder has.
pub(super) fn children(tree: &dyn Tree, folder: EntryId) -> u64 {
    tree.heights(folder).map_or(0, |heights| heights.values().map(|count| u64::from(*count)).sum())
}

/// Links of a folder: its name, its own dot, and the dots of the folders in it.
pub(super) fn links(tree: &dyn Tree, folder: EntryId) -> u32 {
    let (mut links, mut last) = (2, None);
    for _ in 0..COUNTED_MAX {
        let Some((name, child)) = tree.next_child(folder, last.as_ref()) else { return links };
        links += u32::from(tree.is_folder(child));
        last = Some(name);
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_never_looks_older_than_it_is() {
        let id = |number: usize| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
            EntryId::from_bytes(bytes)
        };
        let mut folders = FolderTimes::default();
        folders.put(id(1), 50);
        assert_eq!((folders.of(id(1), 7), folders.of(id(2), 7)), (50, 7));
        folders.forget(id(1));
        assert_eq!(folders.of(id(1), 7), 7);
        let begun = acts::nanoseconds();
        (0..=FOLDERS_MAX).for_each(|number| folders.put(id(number), 60));
        assert!(folders.of(id(2), 7) >= begun && folders.times.len() == 1);
    }

    #[test]
    fn a_change_is_never_in_the_future() {
        assert_eq!(changed(None, 5), 5);
        assert_eq!(changed(Some(9), 5), 9);
        assert_eq!(changed(Some(9), 11), 11);
        assert_eq!(changed(Some(9), u64::MAX), 9);
    }
}
