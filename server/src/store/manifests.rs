//! The newest manifest of each user: an encrypted record of the user's own, of which the server
//! knows the version alone.
//!
//! Decides that each version follows the one before it; the content is opaque.

use parsec_protocol::ids::{OrganisationId, UserId};
use parsec_protocol::relay::{ErrorCode, ManifestUpload};

use super::Tx;
use crate::errors::Refusal;
use crate::watchers::Topic;

/// Replaces a manifest by the next one. The same one again is as good as done.
///
/// # Errors
/// `manifest_conflict`: another version is the next.
pub(crate) fn put(
    tx: &mut dyn Tx,
    organisation: &OrganisationId,
    user: &UserId,
    upload: &ManifestUpload,
) -> Result<(), Refusal> {
    let present = tx.manifest(organisation, user)?;
    if present.version == upload.version && present.envelope.as_ref() == Some(&upload.envelope) {
        return Ok(());
    }
    if present.version.checked_add(1) != Some(upload.version) {
        return Err(ErrorCode::ManifestConflict.into());
    }
    tx.set_manifest(organisation, user, upload)?;
    tx.changed(Topic::Manifest { organisation: organisation.clone(), user: *user }.into());
    Ok(())
}
