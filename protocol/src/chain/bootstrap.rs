//! Founding an organisation: the root key signs the first user and device, and is gone.

use crate::ids::{DeviceId, Email, Label, OrganisationId, Timestamp, UserId};
use crate::keys::{DeviceSigningKey, DirectoryKey, Entropy, NoEntropy, UserDecryptionKey};
use crate::public::VerifyKey;

/// Who founds.
#[derive(Debug)]
pub struct Founder<'a> {
    /// Where.
    pub organisation: &'a OrganisationId,
    /// Address.
    pub email: &'a Email,
    /// Name.
    pub name: &'a Label,
    /// The first terminal's label.
    pub device_label: &'a Label,
    /// The first user's key.
    pub user_key: &'a UserDecryptionKey,
    /// The first device's key.
    pub signing_key: &'a DeviceSigningKey,
    /// Seals the names.
    pub directory_key: &'a DirectoryKey,
}

/// An organisation's beginning.
#[derive(Debug)]
pub struct Founded {
    /// To be pinned by every member.
    pub root: VerifyKey,
    /// The first user.
    pub user: UserId,
    /// The first device.
    pub device: DeviceId,
    /// The two envelopes.
    pub certificates: Vec<Vec<u8>>,
}

/// Draws the root key and ids, signs, drops the root key.
///
/// # Errors
/// [`NoEntropy`].
pub fn found(founder: &Founder<'_>, now: Timestamp, entropy: &mut dyn Entropy) -> Result<Founded, NoEntropy> {
    todo!("{founder:?} {now:?} {:p}", entropy)
}
