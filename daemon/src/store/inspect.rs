//! What can be said about the data folder and the devices in it without any password.
//!
//! Decides what is wrong with a folder from outside: its rights, and whether its key file is the
//! one that was written. Changes nothing, opens no store.

use parsec_protocol::public_keys::Hash;

use super::device::{read_about, read_key_file};
use super::{Devices, StoreError, layout};

/// One device's folder, and what is wrong with it.
#[derive(Debug)]
pub struct Inspected {
    /// Its name: organisation and device.
    pub name: String,
    /// What is wrong with it, if anything is.
    pub result: Result<(), StoreError>,
}

impl Devices {
    /// Looks at every device's folder. Blocks.
    ///
    /// # Errors
    /// The disk's, or the data folder is not what it was.
    pub fn inspect(&self) -> Result<Vec<Inspected>, StoreError> {
        let names = self.devices().names()?;
        let ours = names.into_iter().filter(|name| layout::parse_folder_name(name).is_some());
        Ok(ours.map(|name| Inspected { result: self.inspect_one(&name), name }).collect())
    }

    /// Bytes that can still be written where devices are kept.
    ///
    /// # Errors
    /// The disk's.
    pub fn free_bytes(&self) -> Result<u64, StoreError> {
        self.devices().free_bytes()
    }

    fn inspect_one(&self, name: &str) -> Result<(), StoreError> {
        let folder = self.devices().folder(name)?;
        let sealed = read_key_file(&folder)?;
        if !read_about(&folder, name)?.key_files.contains(&Hash::of(&[&sealed])) {
            return Err(StoreError::KeyFileDamaged("it is not the file that was written"));
        }
        for file in [layout::STORE].into_iter().chain(layout::BESIDE_STORE) {
            folder.check_file(file)?;
        }
        if folder.has(layout::STORE)? { Ok(()) } else { Err(StoreError::Damaged("it is missing")) }
    }
}
