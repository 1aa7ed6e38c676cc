//! The data folder and the devices in it.
//!
//! Decides when a device exists: from the one rename of its finished folder on. Refuses a data
//! folder that another daemon uses, a device twice, and to open two key files at once (each takes
//! 256 MiB).

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use parsec_protocol::chain::checkpoint::CheckpointKey;
use parsec_protocol::control::SecretText;
use parsec_protocol::enrol::io::NewDevice;
use parsec_protocol::ids::DeviceId;
use parsec_protocol::keys::LocalStoreKey;
use parsec_protocol::public_keys::Hash;
use zeroize::Zeroizing;

use super::atomic::{Folder, WRITING};
use super::directory::Directory;
use super::layout::{self, About};
use super::{
    DeviceSummary, OpenDevice, PendingReceipt, Registration, Store, StoreError, WorkFactor, keyfile,
};

/// The data folder, held by this process alone.
#[derive(Debug)]
pub struct Devices {
    /// The data folder itself.
    pub(super) data: Folder,
    devices: Folder,
    pub(super) work: WorkFactor,
    /// Bytes of pieces of safes that each device may keep, where somebody said so.
    kept_max: Option<u64>,
    /// One scrypt at a time: two would take half a gigabyte.
    pub(super) scrypt: Mutex<()>,
    /// One change of the folders at a time.
    pub(super) changes: Mutex<()>,
    _lock: OwnedFd,
}

impl Devices {
    /// Takes the folder over: makes it if there is none, checks it, locks it, clears unfinished
    /// changes away.
    ///
    /// # Errors
    /// [`StoreError::UnsafePath`], [`StoreError::InUse`], the disk's.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(data_dir, WorkFactor::PINNED)
    }

    /// Like [`Self::open`], with another scrypt work factor. For tests, in this process and with
    /// the daemon of `tests/daemon`: what is shipped never calls it.
    ///
    /// # Errors
    /// Like [`Self::open`].
    #[doc(hidden)]
    pub fn open_with(data_dir: &Path, work: WorkFactor) -> Result<Self, StoreError> {
        let data = Folder::open_or_make(data_dir)?;
        let lock = data.lock(layout::LOCK)?.ok_or_else(|| StoreError::InUse(data.path().to_owned()))?;
        let devices = if data.has(layout::DEVICES)? {
            data.folder(layout::DEVICES)?
        } else {
            data.make_folder(layout::DEVICES)?
        };
        data.sync()?;
        clear_leftovers(&devices)?;
        Ok(Self {
            data,
            devices,
            work,
            kept_max: None,
            scrypt: Mutex::new(()),
            changes: Mutex::new(()),
            _lock: lock,
        })
    }

    /// Each device keeps so many bytes at most of what its safes' server has; by default a part of
    /// the free disk.
    #[must_use]
    pub const fn keep_at_most(mut self, bytes: Option<u64>) -> Self {
        self.kept_max = bytes;
        self
    }

    /// The devices on this machine, in the order of organisation and id. A damaged one is left out
    /// and logged: it must not hide the others.
    ///
    /// # Errors
    /// The disk's.
    pub fn list(&self) -> Result<Vec<DeviceSummary>, StoreError> {
        let mut found = Vec::new();
        for name in self.devices.names()? {
            if layout::parse_folder_name(&name).is_none() {
                continue;
            }
            match self.devices.folder(&name).and_then(|folder| read_about(&folder, &name)) {
                Ok(about) => found.push(about.summary()),
                Err(error) => tracing::warn!(folder = %name, %error, "a device's folder can't be read"),
            }
        }
        found.sort_unstable_by(|a, b| (&a.organisation, a.device).cmp(&(&b.organisation, b.device)));
        Ok(found)
    }

    /// Makes a device durable, not registered yet: when this returns, everything is; before, or if
    /// it fails, nothing is there.
    ///
    /// # Errors
    /// [`StoreError::WeakPassword`], [`StoreError::Exists`], [`StoreError::DiskFull`], the disk's.
    pub fn create(
        &self,
        new: &NewDevice,
        server: &str,
        pending: Option<&PendingReceipt>,
        password: &SecretText,
    ) -> Result<OpenDevice, StoreError> {
        let record = keyfile::record(new, server)?;
        let sealed = {
            let _turn = turn(&self.scrypt);
            keyfile::seal(&record, password, self.work)?
        };
        // Whoever makes a device has still to hear that the log has it, after a ceremony as after a
        // founding.
        let registration = Registration::Pending;
        let summary = DeviceSummary {
            device: new.device,
            user: new.user,
            organisation: new.organisation.clone(),
            server: server.to_owned(),
            registration,
            restored: false,
        };
        let about = About::new(&summary, Hash::of(&[&sealed]))?;

        let _turn = turn(&self.changes);
        if self.find(new.device)?.is_some() {
            return Err(StoreError::Exists);
        }
        let name = layout::folder_name(&new.organisation, new.device);
        let aside = format!("{}{name}", layout::NEW);
        self.devices.remove_folder(&aside)?;
        let made = self.fill(&aside, &sealed, &about, pending, new).and_then(|()| {
            self.devices.rename(&aside, &name)?;
            self.devices.sync()?;
            self.open_folder(&name, &record)
        });
        made.inspect_err(|_| {
            // Best effort: what is left of either is cleared at the next start, as after a crash;
            // but a device that could not be opened just now must not look as if it had been made.
            let _ = self.devices.rename(&name, &format!("{}{name}", layout::GONE));
            let _ = self.clear();
        })
    }

    /// Opens a device's keys and store.
    ///
    /// # Errors
    /// [`StoreError::NoSuchDevice`], [`StoreError::WrongPassword`], [`StoreError::KeyFileDamaged`],
    /// [`StoreError::TooMuchWork`], [`StoreError::Damaged`], [`StoreError::TooNew`], the disk's.
    pub fn unlock(&self, device: DeviceId, password: &SecretText) -> Result<OpenDevice, StoreError> {
        let name = self.find(device)?.ok_or(StoreError::NoSuchDevice)?;
        let folder = self.devices.folder(&name)?;
        let record = self.open_key_file(&folder, &name, password)?;
        self.open_folder(&name, &record)
    }

    /// Whether this is the password of a device that is open: its key file holds the very keys that
    /// are in use. A file that merely opens proves nothing: every program of the user can put one
    /// of its own there.
    ///
    /// # Errors
    /// As [`Self::unlock`]; [`StoreError::KeyFileDamaged`] for other keys.
    pub fn check_password(&self, open: &OpenDevice, password: &SecretText) -> Result<(), StoreError> {
        let name = self.find(open.summary.device)?.ok_or(StoreError::NoSuchDevice)?;
        is_of(&self.open_key_file(&self.devices.folder(&name)?, &name, password)?, open)
    }

    /// Replaces the password: afterwards the new one opens the key file and the old one doesn't;
    /// before, or if it fails, the other way round. Nothing is sealed anew but this device's keys:
    /// those in use where it is open, and otherwise those that open its store.
    ///
    /// # Errors
    /// As [`Self::unlock`], and [`StoreError::WeakPassword`].
    pub fn change_password(
        &self,
        device: DeviceId,
        open: Option<&OpenDevice>,
        old: &SecretText,
        new: &SecretText,
    ) -> Result<(), StoreError> {
        let name = self.find(device)?.ok_or(StoreError::NoSuchDevice)?;
        let folder = self.devices.folder(&name)?;
        let record = self.open_key_file(&folder, &name, old)?;
        match open {
            Some(open) => is_of(&record, open)?,
            None => drop(self.open_folder(&name, &record)?),
        }
        let sealed = {
            let _turn = turn(&self.scrypt);
            keyfile::seal(&record, new, self.work)?
        };
        let _turn = turn(&self.changes);
        let mut about = read_about(&folder, &name)?;
        let digest = Hash::of(&[&sealed]);
        // The file that is there and the one that takes its place: never more than two, however
        // often a full disk stops this half way, or `about` would grow beyond what is read.
        let there = Hash::of(&[&read_key_file(&folder)?]);
        about.key_files = vec![there, digest];
        folder.replace(layout::ABOUT, &about.encode())?;
        folder.replace(layout::KEY_FILE, &sealed)?;
        about.key_files = vec![digest];
        // Changed already; a digest too many does no harm, so a failure here must not say "not
        // changed".
        if let Err(error) = folder.replace(layout::ABOUT, &about.encode()) {
            tracing::warn!(folder = %name, %error, "the old key file's digest is still noted");
        }
        Ok(())
    }

    /// The receipts of devices that have not been seen in the verified log, whatever anybody says
    /// of them. One that can't be read is logged and left out.
    ///
    /// # Errors
    /// The disk's.
    pub fn pending(&self) -> Result<Vec<(DeviceId, PendingReceipt)>, StoreError> {
        let mut found = Vec::new();
        for summary in self.list()? {
            let name = layout::folder_name(&summary.organisation, summary.device);
            let read = self.devices.folder(&name).and_then(|folder| {
                folder
                    .read(layout::PENDING, layout::PENDING_MAX_BYTES)?
                    .map(|bytes| layout::decode_pending(&bytes))
                    .transpose()
            });
            match read {
                Ok(Some(pending)) => found.push((summary.device, pending)),
                // Seen in the log, or an organisation being founded.
                Ok(None) => {}
                Err(error) => tracing::warn!(folder = %name, %error, "a receipt can't be read"),
            }
        }
        Ok(found)
    }

    /// Notes whether the device is certified. Its pending receipt stays: what is noted may be
    /// somebody's unsigned word.
    ///
    /// # Errors
    /// [`StoreError::NoSuchDevice`], the disk's.
    pub fn set_registration(
        &self,
        device: DeviceId,
        registration: Registration,
        restored: bool,
    ) -> Result<(), StoreError> {
        let name = self.find(device)?.ok_or(StoreError::NoSuchDevice)?;
        let folder = self.devices.folder(&name)?;
        let _turn = turn(&self.changes);
        let mut about = read_about(&folder, &name)?;
        about.set_registration(registration, restored);
        folder.replace(layout::ABOUT, &about.encode())
    }

    /// Notes that the device's server is at another address.
    ///
    /// # Errors
    /// [`StoreError::NoSuchDevice`], [`StoreError::TooLarge`], the disk's.
    pub fn set_server(&self, device: DeviceId, server: &str) -> Result<(), StoreError> {
        let name = self.find(device)?.ok_or(StoreError::NoSuchDevice)?;
        let folder = self.devices.folder(&name)?;
        let _turn = turn(&self.changes);
        let mut about = read_about(&folder, &name)?;
        about.set_server(server)?;
        folder.replace(layout::ABOUT, &about.encode())
    }

    /// Drops the pending receipt, if there is one: for a device that has been seen in the verified
    /// log.
    ///
    /// # Errors
    /// [`StoreError::NoSuchDevice`], the disk's.
    pub fn drop_receipt(&self, device: DeviceId) -> Result<(), StoreError> {
        let name = self.find(device)?.ok_or(StoreError::NoSuchDevice)?;
        let folder = self.devices.folder(&name)?;
        let _turn = turn(&self.changes);
        if folder.has(layout::PENDING)? {
            folder.remove_file(layout::PENDING)?;
            folder.sync()?;
        }
        Ok(())
    }

    /// Removes a device and everything of it, in one step.
    ///
    /// # Errors
    /// [`StoreError::NoSuchDevice`], the disk's.
    pub fn remove(&self, device: DeviceId) -> Result<(), StoreError> {
        let _turn = turn(&self.changes);
        let name = self.find(device)?.ok_or(StoreError::NoSuchDevice)?;
        let gone = format!("{}{name}", layout::GONE);
        self.devices.remove_folder(&gone)?;
        self.devices.rename(&name, &gone)?;
        self.devices.sync()?;
        self.devices.remove_folder(&gone)
    }

    /// The folder of all devices' folders.
    pub(super) const fn devices(&self) -> &Folder {
        &self.devices
    }

    /// The name of a device's folder.
    fn find(&self, device: DeviceId) -> Result<Option<String>, StoreError> {
        let is_it = |name: &String| layout::parse_folder_name(name).is_some_and(|(_, found)| found == device);
        Ok(self.devices.names()?.into_iter().find(is_it))
    }

    /// Writes all of a new device's folder and makes it durable, under a name nobody looks for.
    fn fill(
        &self,
        aside: &str,
        sealed: &[u8],
        about: &About,
        pending: Option<&PendingReceipt>,
        new: &NewDevice,
    ) -> Result<(), StoreError> {
        let folder = self.devices.make_folder(aside)?;
        folder.write_new(layout::KEY_FILE, sealed)?;
        folder.write_new(layout::ABOUT, &about.encode())?;
        if let Some(pending) = pending {
            folder.write_new(layout::PENDING, &layout::encode_pending(pending)?)?;
        }
        Store::create(&folder, new)?;
        folder.sync()
    }

    fn open_key_file(
        &self,
        folder: &Folder,
        name: &str,
        password: &SecretText,
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let sealed = read_key_file(folder)?;
        let opened = {
            let _turn = turn(&self.scrypt);
            keyfile::unseal(&sealed, password)
        };
        match opened {
            // A wrong password, or a flipped bit where only the right one would tell: the digest
            // does.
            Err(StoreError::WrongPassword) => {
                let about = read_about(folder, name)?;
                if about.key_files.contains(&Hash::of(&[&sealed])) {
                    Err(StoreError::WrongPassword)
                } else {
                    Err(StoreError::KeyFileDamaged("it is not the file that was written"))
                }
            }
            Ok(_) | Err(_) => opened,
        }
    }

    fn open_folder(&self, name: &str, record: &[u8]) -> Result<OpenDevice, StoreError> {
        let folder = self.devices.folder(name)?;
        let opened = keyfile::parse(record)?;
        let summary = read_about(&folder, name)?.summary();
        // Somebody else's key file in this folder would sign as another device than the one that
        // was asked for.
        if (&opened.organisation, opened.user, opened.device)
            != (&summary.organisation, summary.user, summary.device)
        {
            return Err(StoreError::KeyFileDamaged("it is another device's"));
        }
        let store_key: LocalStoreKey = opened.store_key;
        let (organisation, root) = (&opened.organisation, &opened.keys.root);
        let store = Store::open(&folder, &store_key, organisation, root, opened.keys.head, self.kept_max)?;
        let checkpoint_key = CheckpointKey::of(&store_key);
        let directory = Directory::open(&opened.keys.directory_key, &store)?;
        Ok(OpenDevice { summary, keys: opened.keys, store, directory, checkpoint_key })
    }

    fn clear(&self) -> Result<(), StoreError> {
        clear_leftovers(&self.devices)
    }
}

/// Whether a record out of a key file holds the keys of a device that is open.
fn is_of(record: &[u8], open: &OpenDevice) -> Result<(), StoreError> {
    let opened = keyfile::parse(record)?;
    let same = opened.device == open.summary.device
        && opened.keys.signing_key.is_same(&open.keys.signing_key)
        && CheckpointKey::of(&opened.store_key).is_same(&open.checkpoint_key)
        && opened.keys.user_seed.is_same(&open.keys.user_seed)
        && opened.keys.device_seed.is_same(&open.keys.device_seed);
    if same { Ok(()) } else { Err(StoreError::KeyFileDamaged("it holds other keys than this device's")) }
}

/// Removes what a crash left half made or half removed.
fn clear_leftovers(devices: &Folder) -> Result<(), StoreError> {
    for name in devices.names()? {
        if name.starts_with(layout::NEW) || name.starts_with(layout::GONE) {
            devices.remove_folder(&name)?;
        } else if layout::parse_folder_name(&name).is_some() {
            // A folder that can't be entered is reported by `list`; it must not keep the daemon
            // from starting.
            let Ok(folder) = devices.folder(&name) else { continue };
            for file in folder.names()? {
                if file.starts_with(WRITING) {
                    folder.remove_file(&file)?;
                }
            }
        }
    }
    devices.sync()
}

/// The key file as it lies there.
pub(super) fn read_key_file(folder: &Folder) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    match folder.read(layout::KEY_FILE, keyfile::KEY_FILE_MAX_BYTES) {
        Ok(sealed) => sealed.ok_or(StoreError::KeyFileDamaged("it is missing")),
        Err(StoreError::Oversized(_)) => Err(StoreError::KeyFileDamaged("it is larger than any key file")),
        Err(error) => Err(error),
    }
}

pub(super) fn read_about(folder: &Folder, name: &str) -> Result<About, StoreError> {
    let bytes = folder
        .read(layout::ABOUT, layout::ABOUT_MAX_BYTES)?
        .ok_or(StoreError::Damaged("its `about` is missing"))?;
    About::decode(&bytes, name)
}

/// Waits for a turn. These locks guard no data: a thread that panicked left nothing half done in
/// memory.
pub(super) fn turn(lock: &Mutex<()>) -> MutexGuard<'_, ()> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
