//! The data folder and the devices in it.

use std::path::Path;

use parsec_protocol::control::SecretText;
use parsec_protocol::enrol::io::NewDevice;
use parsec_protocol::ids::DeviceId;

use super::{DeviceSummary, OpenDevice, PendingReceipt, Registration, StoreError, WorkFactor};

/// The data folder, held by this process alone.
#[derive(Debug)]
pub struct Devices {}

#[expect(clippy::todo, unused_variables, clippy::missing_errors_doc, reason = "signatures first; bodies follow")]
impl Devices {
    /// Takes the folder over: makes it if there is none, checks it, locks it, clears unfinished creations away.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        todo!()
    }

    /// Like [`Self::open`], with another scrypt work factor. For tests in this process: the binary never calls it.
    #[doc(hidden)]
    pub fn open_with(data_dir: &Path, work: WorkFactor) -> Result<Self, StoreError> {
        todo!()
    }

    /// The devices on this machine, in the order of organisation and id.
    pub fn list(&self) -> Result<Vec<DeviceSummary>, StoreError> {
        todo!()
    }

    /// Makes a device durable: when this returns, everything is; before, nothing is there.
    pub fn create(
        &self,
        new: &NewDevice,
        server: &str,
        pending: Option<&PendingReceipt>,
        password: &SecretText,
    ) -> Result<OpenDevice, StoreError> {
        todo!()
    }

    /// Opens a device's keys and store.
    pub fn unlock(&self, device: DeviceId, password: &SecretText) -> Result<OpenDevice, StoreError> {
        todo!()
    }

    /// Replaces the password: afterwards the new one opens the key file and the old one doesn't.
    pub fn change_password(&self, device: DeviceId, old: &SecretText, new: &SecretText) -> Result<(), StoreError> {
        todo!()
    }

    /// The receipts that have still to be deposited.
    pub fn pending(&self) -> Result<Vec<(DeviceId, PendingReceipt)>, StoreError> {
        todo!()
    }

    /// Notes whether the device is certified. `Registered` and `Void` drop its pending receipt.
    pub fn set_registration(&self, device: DeviceId, registration: Registration) -> Result<(), StoreError> {
        todo!()
    }

    /// Removes a device and everything of it, in one step.
    pub fn remove(&self, device: DeviceId) -> Result<(), StoreError> {
        todo!()
    }
}
