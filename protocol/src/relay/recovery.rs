//! What a recovery kit and its user say to the server (docs/protocol.md, *Recovery kit*).
//!
//! Decides the records and nothing else.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::shares::NewShares;
use crate::public_keys::VerifyKey;
use crate::sealing::{EncryptionKey, KeyHash};

/// A device of the calling device's user that no ceremony let in: a recovery kit, or what a kit
/// lets in. Certificate, key and box, all or nothing; idempotent for equal certificates. Answered
/// by [`super::Completed`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct NewOwnDevice {
    /// The envelope of a *device*, signed by the calling device.
    #[n(0)]
    pub certificate: ByteVec,
    /// The key that it names.
    #[n(1)]
    pub key: EncryptionKey,
    /// Hash of the user's present key: one that was changed meanwhile would get the box of another.
    #[n(2)]
    pub user_key: KeyHash,
    /// The seed of that key, sealed to the new device:
    /// [`SECRET_BOX_BYTES`](crate::sealing::SECRET_BOX_BYTES).
    #[n(3)]
    pub sealed: ByteVec,
    /// For a kit that is split among members.
    #[n(4)]
    pub shares: Option<NewShares>,
}

/// The root key of the organisation: the caller checks it by what its words say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct RootKey {
    /// The key that signed the first two certificates.
    #[n(0)]
    pub root: VerifyKey,
}
