//! The row operations about keys and boxes.
//!
//! Decides nothing: each operation is a function of the file of its tables.

use parsec_protocol::ids::{DeviceId, OrganisationId};
use parsec_protocol::sealing::{EncryptionKey, KeyHash};

use super::{Transaction, keys};
use crate::store::{KeyOf, KeyRows, StoreError};

impl KeyRows for Transaction<'_> {
    fn key(&self, organisation: &OrganisationId, key: &KeyHash) -> Result<Option<EncryptionKey>, StoreError> {
        keys::key(self.sql(), organisation, key)
    }

    fn put_key(&mut self, organisation: &OrganisationId, key: &EncryptionKey) -> Result<(), StoreError> {
        keys::put(self.sql(), organisation, key)
    }

    fn is_users(&self, of: KeyOf<'_>) -> Result<bool, StoreError> {
        keys::is_users(self.sql(), of)
    }

    fn key_box(&self, of: KeyOf<'_>, device: &DeviceId) -> Result<Option<Vec<u8>>, StoreError> {
        keys::key_box(self.sql(), of, device)
    }

    fn set_key_box(&mut self, of: KeyOf<'_>, device: &DeviceId, sealed: &[u8]) -> Result<(), StoreError> {
        keys::set_key_box(self.sql(), of, device, sealed)
    }

    fn other_boxes(&self, of: KeyOf<'_>) -> Result<u64, StoreError> {
        keys::other_boxes(self.sql(), of)
    }

    fn remove_boxes(&mut self, of: KeyOf<'_>) -> Result<(), StoreError> {
        keys::remove_boxes(self.sql(), of)
    }

    fn remove_other_boxes(&mut self, of: KeyOf<'_>) -> Result<(), StoreError> {
        keys::remove_other_boxes(self.sql(), of)
    }

    fn past_box(&self, of: KeyOf<'_>) -> Result<Option<Vec<u8>>, StoreError> {
        keys::past_box(self.sql(), of)
    }

    fn set_past_box(&mut self, of: KeyOf<'_>, sealed: &[u8]) -> Result<(), StoreError> {
        keys::set_past_box(self.sql(), of, sealed)
    }
}
