//! What the store keeps of encryption keys and of the boxes with users' seeds: the part of
//! [`Tx`](super::Tx) that is about nothing else.
//!
//! Decides nothing: each operation does what it says to the rows of one organisation.

use parsec_protocol::ids::{DeviceId, OrganisationId, UserId};
use parsec_protocol::sealing::{EncryptionKey, KeyHash};

use super::StoreError;

/// A key of a user, present or former, and whose boxes are meant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyOf<'a> {
    pub(crate) organisation: &'a OrganisationId,
    pub(crate) user: &'a UserId,
    pub(crate) key: &'a KeyHash,
}

/// Row operations about keys and boxes.
///
/// # Errors
/// [`StoreError`], of each operation.
pub(crate) trait KeyRows {
    /// The encryption key with this hash, where the log names it and it is there.
    fn key(&self, organisation: &OrganisationId, key: &KeyHash) -> Result<Option<EncryptionKey>, StoreError>;
    /// Keeps a key under its own hash. Nothing where the log doesn't name that; a key that is there
    /// stays.
    fn put_key(&mut self, organisation: &OrganisationId, key: &EncryptionKey) -> Result<(), StoreError>;
    /// Whether it is, or was, the user's.
    fn is_users(&self, of: KeyOf<'_>) -> Result<bool, StoreError>;
    /// The box for one device.
    fn key_box(&self, of: KeyOf<'_>, device: &DeviceId) -> Result<Option<Vec<u8>>, StoreError>;
    /// Keeps the box for one device, in the place of the one that is there.
    fn set_key_box(&mut self, of: KeyOf<'_>, device: &DeviceId, sealed: &[u8]) -> Result<(), StoreError>;
    /// How many boxes there are for other keys of the user.
    fn other_boxes(&self, of: KeyOf<'_>) -> Result<u64, StoreError>;
    /// Removes all boxes of this key.
    fn remove_boxes(&mut self, of: KeyOf<'_>) -> Result<(), StoreError>;
    /// Removes the boxes of all other keys of the user.
    fn remove_other_boxes(&mut self, of: KeyOf<'_>) -> Result<(), StoreError>;
    /// The seed before this key, sealed to it.
    fn past_box(&self, of: KeyOf<'_>) -> Result<Option<Vec<u8>>, StoreError>;
    /// Keeps the seed before this key, in the place of the box that is there.
    fn set_past_box(&mut self, of: KeyOf<'_>, sealed: &[u8]) -> Result<(), StoreError>;
}
