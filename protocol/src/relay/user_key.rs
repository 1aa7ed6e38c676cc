//! How a user's key changes, and how the user's devices get the new one (docs/protocol.md,
//! *Changing a user's key*).
//!
//! Decides the records and nothing else. Whether the certificate may stand in the log is for the
//! log's rules; whether a box is right, the device that opens it finds out.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::ids::DeviceId;
use crate::limits::DEVICES_PER_USER_MAX;
use crate::public_keys::Hash;
use crate::sealing::EncryptionKey;

/// Key boxes that one key of a user has at most: one for each device that the user can have.
pub const KEY_BOXES_MAX: usize = DEVICES_PER_USER_MAX;

/// Changes the key of the calling device's user: certificate, key and boxes, all or nothing.
/// Idempotent for equal bytes. Answered by [`super::Completed`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct UserKeyChange {
    /// The envelope of a *user key changed*, signed by the calling device.
    #[n(0)]
    pub certificate: ByteVec,
    /// The key that it names.
    #[n(1)]
    pub key: EncryptionKey,
    /// One for each device of the user that is not revoked, ascending by device id.
    #[n(2)]
    pub boxes: Vec<DeviceBox>,
    /// The previous seed, sealed to the new key:
    /// [`SECRET_BOX_BYTES`](crate::sealing::SECRET_BOX_BYTES). None if the author never got it.
    #[n(3)]
    pub past: Option<ByteVec>,
}

/// Changes the organisation's directory key; the parts of its ring were put before. All or nothing,
/// idempotent for equal bytes. Answered by [`super::Completed`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct DirectoryKeyChange {
    /// The envelope of a *directory key changed*, signed by the calling device.
    #[n(0)]
    pub certificate: ByteVec,
    /// The head of its ring.
    #[n(1)]
    pub ring: ByteVec,
}

/// A user's seed, sealed to one device of the user.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct DeviceBox {
    /// The device it is for.
    #[n(0)]
    pub device: DeviceId,
    /// [`SECRET_BOX_BYTES`](crate::sealing::SECRET_BOX_BYTES).
    #[n(1)]
    pub sealed: ByteVec,
}

/// What one device is given to get a key of its user.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct KeyBox {
    /// The seed, sealed to the device; none where the device was handed it in its ceremony, or a
    /// newer key has boxes.
    #[n(0)]
    pub sealed: Option<ByteVec>,
    /// The seed before, sealed to this key; none for a user's first key, or where its author never
    /// got the one before.
    #[n(1)]
    pub past: Option<ByteVec>,
}

/// Adds a box where none is there, for a device or with the key before, or replaces one that does
/// not open. Idempotent for equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct KeyBoxUpload {
    /// SHA-256 of the box that is replaced; none where none is there.
    #[n(0)]
    pub replaces: Option<Hash>,
    /// [`SECRET_BOX_BYTES`](crate::sealing::SECRET_BOX_BYTES).
    #[n(1)]
    pub sealed: ByteVec,
}
