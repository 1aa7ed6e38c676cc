//! Names of people and terminals: sealed against the server, opened for members (docs/protocol.md, *Sealed names*).

use crate::ids::{DeviceId, Label, OrganisationId, UserId};
use crate::keys::{DirectoryKey, Entropy, NoEntropy};

/// Whose name it is; part of the associated data, so that a sealed name can't be moved to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameOf {
    /// A person's.
    User(UserId),
    /// A terminal's.
    Device(DeviceId),
}

/// Seals a name: [`super::certificate::SEALED_NAME_BYTES`].
///
/// # Errors
/// [`NoEntropy`].
pub fn seal_name(
    key: &DirectoryKey,
    organisation: &OrganisationId,
    whose: NameOf,
    name: &Label,
    entropy: &mut dyn Entropy,
) -> Result<Vec<u8>, NoEntropy> {
    todo!("{key:?} {organisation} {whose:?} {name} {:p}", entropy)
}

/// Opens a name; `None` if it isn't one sealed for this place with this key.
#[must_use]
pub fn open_name(
    key: &DirectoryKey,
    organisation: &OrganisationId,
    whose: NameOf,
    sealed: &[u8],
) -> Option<Label> {
    todo!("{key:?} {organisation} {whose:?} {sealed:?}")
}
