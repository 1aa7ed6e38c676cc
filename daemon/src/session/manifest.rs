//! The user's first manifest, made by their first device.
//!
//! Decides that the bytes are kept before they go out, so that the same go out after a crash.
//! Refuses to make one where this device has seen one and the server has none.

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::manifest::{ManifestHeader, seal_empty};
use parsec_protocol::relay::{ErrorCode, Least, ManifestUpload};

use super::device::Device;
use crate::os::{clock, entropy};
use crate::problems;
use crate::store::Store;
use crate::transport::retry::until_done;
use crate::transport::{TransportError, Trouble};

/// Makes the user's first manifest, if there is none.
///
/// # Errors
/// `rolled_back` where the server lost the manifest; what the store and the server say.
pub async fn make_first(device: &Device, trouble: &Trouble) -> Result<(), Problem> {
    let kept = device.store(Store::manifest).await?;
    // The first is kept before it goes out: that it is here doesn't say that it was ever there.
    let seen = Least(kept.as_ref().map_or(0, |(version, _)| *version).saturating_sub(1));
    let there = until_done(trouble, || device.member.manifest(seen)).await?;
    if !seen.is_reached_by(&there) {
        return Err(Problem::new(
            ProblemKind::RolledBack,
            format!(
                "The server has version {} of the manifest, and this device has seen {}.",
                there.version, seen.0
            ),
        ));
    }
    if there.version > 0 {
        return Ok(());
    }
    let envelope = match kept {
        Some((1, envelope)) => envelope,
        Some(_) => {
            let text = "The server has no manifest, and this device has seen one.";
            return Err(Problem::new(ProblemKind::RolledBack, text));
        }
        None => {
            let summary = &device.open.summary;
            let header = ManifestHeader {
                organisation: summary.organisation.clone(),
                user: summary.user,
                version: 1,
                author: summary.device,
                time: clock::now(),
            };
            let keys = &device.open.keys;
            let envelope = seal_empty(&header, &keys.manifest_key, &keys.signing_key, &mut entropy::System)
                .map_err(problems::no_entropy)?;
            let copy = envelope.clone();
            device.store(move |store| store.put_manifest(1, &copy)).await?;
            envelope
        }
    };
    let upload = ManifestUpload { version: 1, envelope: envelope.into() };
    match until_done(trouble, || device.member.put_manifest(&upload)).await {
        Ok(()) => Ok(()),
        Err(TransportError::Refused { code: ErrorCode::ManifestConflict, .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
