//! The user manifest: the user's own encrypted entry point (docs/protocol.md, *User manifest*).

use crate::codec::CodecError;
use crate::ids::{DeviceId, OrganisationId, Timestamp, UserId};
use crate::keys::{DeviceSigningKey, Entropy, ManifestKey, NoEntropy};
use crate::public::VerifyKey;

/// What is bound to a manifest besides its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestPlace {
    /// Where.
    pub organisation: OrganisationId,
    /// Whose.
    pub user: UserId,
    /// Counts from 1.
    pub version: u64,
    /// Who wrote it.
    pub author: DeviceId,
    /// When.
    pub time: Timestamp,
}

/// Seals the manifest that every user starts with: no safes.
///
/// # Errors
/// [`NoEntropy`].
pub fn seal_empty(
    place: &ManifestPlace,
    key: &ManifestKey,
    author: &DeviceSigningKey,
    entropy: &mut dyn Entropy,
) -> Result<Vec<u8>, NoEntropy> {
    todo!("{place:?} {key:?} {author:?} {:p}", entropy)
}

/// Why an envelope is not this user's manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Size or encoding.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Another organisation, user or version than asked for.
    #[error("the manifest belongs to another place")]
    WrongPlace,
    /// The author's signature or the encryption does not check.
    #[error("the manifest does not check")]
    Forged,
}

/// Number of safes in a manifest that checks.
///
/// # Errors
/// [`ManifestError`].
pub fn open(
    envelope: &[u8],
    organisation: &OrganisationId,
    user: &UserId,
    key: &ManifestKey,
    author_key: impl FnOnce(&DeviceId) -> Option<VerifyKey>,
) -> Result<(ManifestPlace, usize), ManifestError> {
    let _ = author_key;
    todo!("{envelope:?} {organisation} {user} {key:?}")
}
