//! Folders whose mounts locking has ended: a file manager that still shows one is told why nothing
//! is there.
//!
//! Decides that a folder is remembered by a keyed digest alone: it is mostly called as the safe is,
//! and no name is left in memory once a device is locked.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use parsec_protocol::control::MountView;
use parsec_protocol::ids::DeviceId;

use super::places::{Names, folder_names};

/// Folders that are remembered: eight devices with all the mounts that one may have.
const FOLDERS_MAX: usize = 256;

/// The folders, by their digests, each with the device whose safe was mounted there.
#[derive(Debug, Default)]
pub(crate) struct Folders {
    key: RandomState,
    noted: Mutex<BTreeMap<u64, DeviceId>>,
}

impl Folders {
    fn noted(&self) -> MutexGuard<'_, BTreeMap<u64, DeviceId>> {
        // Every change is one step, so a poisoned lock still guards a sound map.
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn digest(&self, names: &[Vec<u8>]) -> u64 {
        self.key.hash_one(names)
    }

    /// A safe of this device is mounted.
    pub(crate) fn note(&self, device: DeviceId, view: &MountView) {
        let Some(names) = folder_names(&view.folder) else { return };
        let digest = self.digest(&names);
        let mut noted = self.noted();
        if noted.len() >= FOLDERS_MAX && !noted.contains_key(&digest) {
            // Whichever: it costs one word in a window.
            noted.pop_first();
        }
        noted.insert(digest, device);
    }

    /// A person has taken the mount away: nothing is locked there.
    pub(crate) fn forget(&self, folder: &str) {
        if let Some(names) = folder_names(folder) {
            let digest = self.digest(&names);
            self.noted().remove(&digest);
        }
    }

    /// Of which device a safe was mounted on this folder, or on one above it.
    pub(crate) fn device(&self, path: &Names) -> Option<DeviceId> {
        let noted = self.noted();
        if noted.is_empty() {
            return None;
        }
        let above = (1..=path.len()).rev().filter_map(|length| path.get(..length));
        above.map(|names| self.digest(names)).find_map(|digest| noted.get(&digest).copied())
    }
}

#[cfg(test)]
mod tests {
    use parsec_protocol::ids::{SafeId, Timestamp};

    use super::*;
    use crate::fm::places::read;

    #[test]
    fn a_folder_is_found_from_below_and_forgotten() {
        let folders = Folders::default();
        let (device, safe) = (DeviceId::from_bytes([1; 16]), SafeId::from_bytes([2; 16]));
        let folder = "/home/alice/Safes/Pl\\ans".to_owned();
        let view = MountView {
            mount: 1,
            safe,
            name: None,
            folder: folder.clone(),
            read_only: false,
            record: None,
            time: None,
            since: Timestamp(0),
        };
        folders.note(device, &view);
        let of = |text: &str| folders.device(&read(text).unwrap());
        assert_eq!(of("/home/alice/Safes/Pl\\\\ans"), Some(device));
        assert_eq!(of("/home/alice/Safes/Pl\\\\ans/a/b"), Some(device));
        assert_eq!(of("/home/alice/Safes"), None);
        assert_eq!(of("/home/alice/Safes/Pl\\\\anset"), None);
        assert!(!format!("{folders:?}").contains("Safes"), "no name is kept");
        folders.forget(&folder);
        assert_eq!(of("/home/alice/Safes/Pl\\\\ans"), None);
    }
}
