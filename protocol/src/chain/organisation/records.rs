//! Members, devices and keys, by what an organisation's log says of them.
//!
//! Decides nothing; refuses nothing.

use super::certificate::{Author, DeviceKind, ManifestMark, Profile};
use crate::ids::{DeviceId, Email, Timestamp, UserId};
use crate::public_keys::{Hash, VerifyKey};
use crate::sealing::KeyHash;

/// A member, by what the log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// Id that the first certificate gave.
    pub user: UserId,
    /// E-mail address that was invited.
    pub email: Email,
    /// Sealed name, which `members::open_name` opens.
    pub sealed_name: Vec<u8>,
    /// Hash of the key to seal to them with: that of the last of [`Self::keys`].
    pub encryption_key: KeyHash,
    /// Every key of the user, the present one last. Never empty.
    pub keys: Vec<UserKeyRecord>,
    /// What they may do now.
    pub profile: Profile,
    /// Position of the certificate; 0 is the first.
    pub position: u64,
    /// Author of the certificate.
    pub author: Author,
    /// Time of the certificate, by its author's clock.
    pub certified: Timestamp,
    /// Time of the revocation, if there is one.
    pub revoked: Option<Timestamp>,
}

/// A key of a user, by what the log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserKeyRecord {
    /// Hash of the key.
    pub key: KeyHash,
    /// Position of the certificate that gave it; 0 is the first.
    pub position: u64,
    /// Author of that certificate.
    pub author: Author,
    /// Time of that certificate, by its author's clock.
    pub certified: Timestamp,
    /// Newest version of the user manifest that the author had verified.
    pub manifest: Option<ManifestMark>,
}

/// A device, by what the log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Id that its certificate gave.
    pub device: DeviceId,
    /// User to whom it belongs.
    pub user: UserId,
    /// Sealed label, which `members::open_name` opens.
    pub sealed_label: Vec<u8>,
    /// Key that it signs with.
    pub verify_key: VerifyKey,
    /// Hash of the key to seal to it with.
    pub encryption_key: KeyHash,
    /// Whether it is a recovery kit.
    pub kind: DeviceKind,
    /// Position of the certificate; 0 is the first.
    pub position: u64,
    /// How much of the log the author had seen.
    pub seen: u64,
    /// Author of the certificate.
    pub author: Author,
    /// Time of the certificate, by its author's clock.
    pub certified: Timestamp,
    /// Time of its own or its user's revocation, if there is one.
    pub revoked: Option<Timestamp>,
}

/// A directory key that is not the first, by what the log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectoryKeyRecord {
    /// Number of the key.
    pub number: u32,
    /// What fixes the key for everybody.
    pub key_check: Hash,
    /// Hash of the head of its ring.
    pub ring: Hash,
    /// Position of the certificate; 0 is the first. Its author had seen everything before.
    pub position: u64,
    /// Author of the certificate.
    pub author: Author,
}
