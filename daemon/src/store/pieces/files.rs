//! Files of sealed pieces, in a folder of their safe beside the device's store.
//!
//! Decides when a name stands for a piece: what must be durable is written under another name and
//! synced, then renamed, and the folder synced once for all that came together. Names are drawn and
//! say nothing. Refuses nothing of what is in them: whoever reads a piece compares its hash.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use parsec_protocol::keys::random;
use parsec_protocol::limits::OBJECT_MAX_BYTES;
use zeroize::Zeroizing;

use crate::os::entropy;
use crate::store::StoreError;
use crate::store::atomic::{Folder, WRITING, std_error};

/// The folder of the folders, in the device's own.
const PIECES: &str = "pieces";
/// Most files that are looked through in one folder, several times what all safes may keep: one
/// that holds more is looked through again at the next opening.
const FILES_MAX: usize = 400_000;

/// What a file or folder of pieces is called: drawn, and written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) struct FileName([u8; 16]);

impl FileName {
    /// One that nobody has.
    pub(in crate::store) fn drawn() -> Result<Self, StoreError> {
        let failed = |error| StoreError::Io { what: "naming a file", source: std::io::Error::other(error) };
        random(&mut entropy::System).map(Self).map_err(failed)
    }

    /// As it stands in the database.
    pub(in crate::store) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// As it goes into the database.
    pub(in crate::store) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The folders of all safes of one device.
#[derive(Debug)]
pub(in crate::store) struct Files {
    /// The device's folder.
    device: Folder,
    /// Folders of safes whose names were synced since the program started: one that is there may
    /// have been made by somebody who was killed before that, or who is still about it.
    synced: Mutex<BTreeSet<FileName>>,
}

impl Files {
    pub(in crate::store) fn new(device: &Folder) -> Result<Self, StoreError> {
        Ok(Self { device: device.again()?, synced: Mutex::default() })
    }

    /// Bytes that can still be written there, and bytes of the whole disk.
    pub(in crate::store) fn disk(&self) -> Result<(u64, u64), StoreError> {
        self.device.free_and_all_bytes()
    }

    /// A safe's folder; nothing where it has none.
    fn folder(&self, name: FileName) -> Result<Option<Folder>, StoreError> {
        if !self.device.has(PIECES)? {
            return Ok(None);
        }
        let all = self.device.folder(PIECES)?;
        if all.has(&name.to_string())? { all.folder(&name.to_string()).map(Some) } else { Ok(None) }
    }

    /// A folder in another, made where it is missing.
    fn made_in(parent: &Folder, name: &str) -> Result<Folder, StoreError> {
        if parent.has(name)? {
            return parent.folder(name);
        }
        // Somebody else may have made it in this moment.
        parent.make_folder(name).or_else(|error| parent.folder(name).map_err(|_| error))
    }

    /// A safe's folder, made where it is missing.
    fn made(&self, name: FileName) -> Result<Folder, StoreError> {
        Self::made_in(&Self::made_in(&self.device, PIECES)?, &name.to_string())
    }

    /// The same; its name is durable.
    fn made_durably(&self, name: FileName) -> Result<Folder, StoreError> {
        let all = Self::made_in(&self.device, PIECES)?;
        let folder = Self::made_in(&all, &name.to_string())?;
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        if !synced.contains(&name) {
            self.device.sync()?;
            all.sync()?;
            synced.insert(name);
        }
        Ok(folder)
    }

    /// Writes pieces, all or none of them; durable when it returns. Each has a name of its own.
    pub(in crate::store) fn write_durably(
        &self,
        folder: FileName,
        pieces: &[(FileName, &[u8])],
    ) -> Result<(), StoreError> {
        if pieces.is_empty() {
            return Ok(());
        }
        let folder = self.made_durably(folder)?;
        let written = write_and_sync(&folder, pieces);
        if written.is_err() {
            for (name, _) in pieces {
                // What stays is swept at the next opening; the first error tells more.
                let _ = folder.remove_file(&aside(*name));
                let _ = folder.remove_file(&name.to_string());
            }
        }
        written
    }

    /// Writes a piece that can be fetched again: not synced, so a power cut may leave anything
    /// under its name, which its hash tells.
    pub(in crate::store) fn write(
        &self,
        folder: FileName,
        name: FileName,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let folder = self.made(folder)?;
        let written = folder.new_file(&aside(name)).and_then(|mut file| {
            file.write_all(bytes).map_err(|error| std_error("writing contents", error))?;
            folder.rename(&aside(name), &name.to_string())
        });
        if written.is_err() {
            let _ = folder.remove_file(&aside(name));
        }
        written
    }

    /// What is in a file; nothing where there is none, or where it is larger than any piece.
    pub(in crate::store) fn read(
        &self,
        folder: FileName,
        name: FileName,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let Some(folder) = self.folder(folder)? else { return Ok(None) };
        match folder.read(&name.to_string(), OBJECT_MAX_BYTES) {
            Err(StoreError::Oversized(_)) => Ok(None),
            read => read,
        }
    }

    /// The same into room of the caller's; whether there is such a file.
    pub(in crate::store) fn read_into(
        &self,
        folder: FileName,
        name: FileName,
        into: &mut Vec<u8>,
    ) -> Result<bool, StoreError> {
        let Some(folder) = self.folder(folder)? else { return Ok(false) };
        match folder.read_into(&name.to_string(), OBJECT_MAX_BYTES, into) {
            Err(StoreError::Oversized(_)) => Ok(false),
            read => read,
        }
    }

    /// Removes files, as far as they are there.
    pub(in crate::store) fn remove(&self, folder: FileName, names: &[FileName]) -> Result<(), StoreError> {
        let Some(folder) = self.folder(folder)? else { return Ok(()) };
        names.iter().try_for_each(|name| folder.remove_file(&name.to_string()))
    }

    /// Removes a safe's folder and all that is in it.
    pub(in crate::store) fn remove_folder(&self, folder: FileName) -> Result<(), StoreError> {
        if !self.device.has(PIECES)? {
            return Ok(());
        }
        let all = self.device.folder(PIECES)?;
        all.remove_tree(&folder.to_string())?;
        // A folder's name is drawn: one that comes later is another.
        let _ = self.synced.lock().unwrap_or_else(PoisonError::into_inner).remove(&folder);
        all.sync()
    }

    /// Removes folders that no safe has.
    pub(in crate::store) fn sweep_folders(&self, known: &BTreeSet<String>) -> Result<(), StoreError> {
        if !self.device.has(PIECES)? {
            return Ok(());
        }
        let all = self.device.folder(PIECES)?;
        for name in all.names_at_most(FILES_MAX)?.into_iter().filter(|name| !known.contains(name)) {
            all.remove_tree(&name)?;
        }
        all.sync()
    }

    /// Removes the files of a safe's folder that nothing names; which of the others are there.
    pub(in crate::store) fn sweep(
        &self,
        folder: FileName,
        named: &BTreeSet<FileName>,
    ) -> Result<BTreeSet<FileName>, StoreError> {
        let Some(folder) = self.folder(folder)? else { return Ok(BTreeSet::new()) };
        let by_text: BTreeMap<String, FileName> =
            named.iter().map(|name| (name.to_string(), *name)).collect();
        let mut there = BTreeSet::new();
        for name in folder.names_at_most(FILES_MAX)? {
            match by_text.get(&name) {
                Some(known) => {
                    there.insert(*known);
                }
                None => folder.remove_tree(&name)?,
            }
        }
        Ok(there)
    }
}

/// Writes all, syncs all, names all, and then makes sure of the names.
fn write_and_sync(folder: &Folder, pieces: &[(FileName, &[u8])]) -> Result<(), StoreError> {
    let mut files = Vec::with_capacity(pieces.len());
    for (name, bytes) in pieces {
        let mut file = folder.new_file(&aside(*name))?;
        file.write_all(bytes).map_err(|error| std_error("writing contents", error))?;
        files.push(file);
    }
    // All are on their way to the disk by then.
    for file in files {
        file.sync_all().map_err(|error| std_error("syncing contents", error))?;
    }
    pieces.iter().try_for_each(|(name, _)| folder.rename(&aside(*name), &name.to_string()))?;
    folder.sync()
}

/// What a file is called until it is whole.
fn aside(name: FileName) -> String {
    format!("{WRITING}{name}")
}
