//! Files of sealed pieces, in a folder of their safe beside the device's store.
//!
//! Decides when a name stands for a piece: what must be durable is written under another name and
//! synced, then renamed, and the folder synced once for all that came together. Names are drawn and
//! say nothing. Refuses nothing of what is in them: whoever reads a piece compares its hash.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use parsec_protocol::keys::random;
use parsec_protocol::limits::OBJECT_MAX_BYTES;

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

/// Where a sealed piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Location {
    /// The file that it is in.
    pub(in crate::store) file: FileName,
    /// From which byte on, in a file of several; nothing where the file is this piece.
    pub(in crate::store) at: Option<u64>,
}

/// A file to be written, with the pieces that are in it, one right behind the other.
pub(in crate::store) struct NewFile<'a> {
    /// Its name.
    pub(in crate::store) name: FileName,
    /// What is in it.
    pub(in crate::store) pieces: Vec<&'a [u8]>,
}

/// The folders of all safes of one device.
#[derive(Debug)]
pub(in crate::store) struct Files {
    /// The device's folder.
    device: Folder,
    /// Folders of safes whose names were synced since the program started: one that is there may
    /// have been made by somebody who was killed before that, or who is still about it.
    synced: Mutex<BTreeSet<FileName>>,
    /// The pack that was read last: of one file, pieces are read by the hundred. A name is drawn
    /// and stands for one content for ever.
    open: Mutex<Option<(FileName, Arc<File>)>>,
}

impl Files {
    pub(in crate::store) fn new(device: &Folder) -> Result<Self, StoreError> {
        Ok(Self { device: device.again()?, synced: Mutex::default(), open: Mutex::default() })
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

    /// Writes files, all or none of them; durable when it returns. Each has a name of its own.
    pub(in crate::store) fn write_durably(
        &self,
        folder: FileName,
        files: &[NewFile<'_>],
    ) -> Result<(), StoreError> {
        if files.is_empty() {
            return Ok(());
        }
        let folder = self.made_durably(folder)?;
        let written = write_and_sync(&folder, files);
        if written.is_err() {
            for NewFile { name, .. } in files {
                // What stays is swept at the next opening; the first error tells more.
                let _ = folder.remove_file(&aside(*name));
                let _ = folder.remove_file(&name.to_string());
            }
        }
        written
    }

    /// Writes pieces that can be fetched again: not synced, so a power cut may leave anything
    /// under their file's name, which their hashes tell.
    pub(in crate::store) fn write(&self, folder: FileName, new: &NewFile<'_>) -> Result<(), StoreError> {
        let folder = self.made(folder)?;
        let aside = aside(new.name);
        let written = folder.new_file(&aside).and_then(|mut file| {
            write_all(&mut file, new)?;
            folder.rename(&aside, &new.name.to_string())
        });
        if written.is_err() {
            let _ = folder.remove_file(&aside);
        }
        written
    }

    /// What is in a place, so many bytes; nothing where there is no such file, or another length.
    pub(in crate::store) fn read(
        &self,
        folder: FileName,
        place: Location,
        length: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let mut found = Vec::new();
        Ok(self.read_into(folder, place, length, &mut found)?.then_some(found))
    }

    /// The same into room of the caller's; whether it is there.
    pub(in crate::store) fn read_into(
        &self,
        folder: FileName,
        place: Location,
        length: u64,
        into: &mut Vec<u8>,
    ) -> Result<bool, StoreError> {
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(OBJECT_MAX_BYTES);
        let Some(at) = place.at else {
            let Some(folder) = self.folder(folder)? else { return Ok(false) };
            return match folder.read_into(&place.file.to_string(), length, into) {
                Err(StoreError::Oversized(_)) => Ok(false),
                read => Ok(read? && into.len() == length),
            };
        };
        let Some(pack) = self.pack(folder, place.file)? else { return Ok(false) };
        into.clear();
        into.resize(length, 0);
        match pack.read_exact_at(into, at) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(std_error("reading contents", error)),
        }
    }

    /// A file of several pieces, opened; nothing where there is none.
    fn pack(&self, folder: FileName, name: FileName) -> Result<Option<Arc<File>>, StoreError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, file)) = open.as_ref().filter(|(of, _)| *of == name) {
            return Ok(Some(Arc::clone(file)));
        }
        let Some(folder) = self.folder(folder)? else { return Ok(None) };
        let Some(file) = folder.open_to_read(&name.to_string())?.map(Arc::new) else { return Ok(None) };
        *open = Some((name, Arc::clone(&file)));
        Ok(Some(file))
    }

    /// What was read last is not held open beyond its removal.
    fn close(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Removes files, as far as they are there.
    pub(in crate::store) fn remove(&self, folder: FileName, names: &[FileName]) -> Result<(), StoreError> {
        let Some(folder) = self.folder(folder)? else { return Ok(()) };
        let removed = names.iter().try_for_each(|name| folder.remove_file(&name.to_string()));
        self.close();
        removed
    }

    /// Removes a safe's folder and all that is in it.
    pub(in crate::store) fn remove_folder(&self, folder: FileName) -> Result<(), StoreError> {
        if !self.device.has(PIECES)? {
            return Ok(());
        }
        let all = self.device.folder(PIECES)?;
        let removed = all.remove_tree(&folder.to_string());
        self.close();
        removed?;
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
fn write_and_sync(folder: &Folder, files: &[NewFile<'_>]) -> Result<(), StoreError> {
    let mut written = Vec::with_capacity(files.len());
    for new in files {
        let mut file = folder.new_file(&aside(new.name))?;
        write_all(&mut file, new)?;
        written.push(file);
    }
    // All are on their way to the disk by then.
    for file in written {
        file.sync_all().map_err(|error| std_error("syncing contents", error))?;
    }
    files.iter().try_for_each(|new| folder.rename(&aside(new.name), &new.name.to_string()))?;
    folder.sync()
}

/// Writes all pieces of a file: at once, where there are many.
fn write_all(file: &mut File, new: &NewFile<'_>) -> Result<(), StoreError> {
    let written = match new.pieces.as_slice() {
        [one] => file.write_all(one),
        many => file.write_all(&many.concat()),
    };
    written.map_err(|error| std_error("writing contents", error))
}

/// What a file is called until it is whole.
fn aside(name: FileName) -> String {
    format!("{WRITING}{name}")
}
