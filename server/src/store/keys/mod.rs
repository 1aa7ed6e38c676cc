//! Encryption keys by hash, and users' seeds sealed to their devices: all that the server can do
//! with either is to keep and hand it out.
//!
//! Decides which boxes go where: one for each device that is not revoked, the next in the place of
//! the one that the caller has seen. Refuses boxes of another length, for other devices, and more
//! than a user's devices have use for. Whether a box opens, its device finds out.

use minicbor::bytes::ByteVec;
use parsec_protocol::ids::{DeviceId, OrganisationId};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{DeviceBox, ErrorCode, KEY_BOXES_MAX, KeyBox, KeyBoxUpload};
use parsec_protocol::sealing::{EncryptionKey, KeyHash, SECRET_BOX_BYTES};

use super::{KeyOf, Tx};
use crate::errors::Refusal;

/// Boxes for keys of a user that are not the present one: as many as the user can have devices.
/// Boxes for the present one have that bound by themselves. Without this, a member could keep a box
/// for each of some 200 devices under each of some 400 keys.
const OTHER_BOXES_MAX: u64 = KEY_BOXES_MAX as u64;

/// Puts a key back that was lost. One that is there stays.
///
/// # Errors
/// `key_unknown`: it has another hash, or the log names none of this hash.
pub(crate) fn put_key(
    tx: &mut dyn Tx,
    organisation: &OrganisationId,
    named: &KeyHash,
    key: &EncryptionKey,
) -> Result<(), Refusal> {
    if key.hash() != *named || !tx.encryption_key_used(organisation, named)? {
        return Err(ErrorCode::KeyUnknown.into());
    }
    Ok(tx.put_key(organisation, key)?)
}

/// The boxes of a key that just became the user's present one, which went from `previous` to it.
///
/// Whoever has a key opens the one before with its past box, and so on: boxes of the key before
/// have no use any more. Where there is no past box, nothing else leads to that key, and its boxes
/// stay, in the place of all others.
///
/// # Errors
/// `boxes_refused`: not one for each device of the user that is not revoked, ascending, or of
/// another length.
pub(crate) fn hand_over(
    tx: &mut dyn Tx,
    of: KeyOf<'_>,
    previous: &KeyHash,
    boxes: &[DeviceBox],
    past: Option<&ByteVec>,
) -> Result<(), Refusal> {
    let devices = tx.standing_devices(of.organisation, of.user)?;
    if !boxes.iter().map(|given| given.device).eq(devices) {
        return Err(ErrorCode::BoxesRefused.into());
    }
    boxes.iter().map(|given| &given.sealed).chain(past).try_for_each(check_length)?;
    let before = KeyOf { key: previous, ..of };
    match past {
        Some(past) => {
            tx.remove_boxes(before)?;
            tx.set_past_box(of, past)?;
        }
        None => tx.remove_other_boxes(before)?,
    }
    for given in boxes {
        tx.set_key_box(of, &given.device, &given.sealed)?;
    }
    Ok(())
}

fn check_length(sealed: &ByteVec) -> Result<(), Refusal> {
    if sealed.len() == SECRET_BOX_BYTES { Ok(()) } else { Err(ErrorCode::BoxesRefused.into()) }
}

/// What a device is given to get a key, and the one before.
///
/// # Errors
/// `box_unknown`: neither is there.
pub(crate) fn get_box(tx: &dyn Tx, of: KeyOf<'_>, device: &DeviceId) -> Result<KeyBox, Refusal> {
    let sealed = tx.key_box(of, device)?.map(ByteVec::from);
    let past = tx.past_box(of)?.map(ByteVec::from);
    if sealed.is_none() && past.is_none() {
        return Err(ErrorCode::BoxUnknown.into());
    }
    Ok(KeyBox { sealed, past })
}

/// Adds a box, or replaces the one that the caller names. The same one again is as good as done.
///
/// # Errors
/// `boxes_refused`: not for a device of the user that is not revoked, or of another length;
/// `key_unknown`: not for a key that the user has or had; `box_unknown`, `box_conflict`: none, or
/// another one, is there than the caller names; `quota_reached`.
pub(crate) fn put_box(
    tx: &mut dyn Tx,
    of: KeyOf<'_>,
    device: &DeviceId,
    upload: &KeyBoxUpload,
) -> Result<(), Refusal> {
    let KeyOf { organisation, user, key } = of;
    check_length(&upload.sealed)?;
    if !tx.is_users(of)? {
        return Err(ErrorCode::KeyUnknown.into());
    }
    if !tx.device(organisation, device)?.is_some_and(|known| known.user == *user && !known.revoked) {
        return Err(ErrorCode::BoxesRefused.into());
    }
    match place(tx.key_box(of, device)?, upload)? {
        PresentBox::HasIt => return Ok(()),
        PresentBox::HasTheSeen => {}
        PresentBox::Empty => {
            let present = tx.user(organisation, user)?.ok_or(ErrorCode::Internal)?.encryption_key;
            if *key != present && tx.other_boxes(KeyOf { key: &present, ..of })? >= OTHER_BOXES_MAX {
                return Err(ErrorCode::QuotaReached.into());
            }
        }
    }
    Ok(tx.set_key_box(of, device, &upload.sealed)?)
}

/// Adds the box with the key before, or replaces the one that the caller names. The same one again
/// is as good as done. One for each key of the user: there is nothing else to count.
///
/// # Errors
/// `boxes_refused`: of another length; `key_unknown`: not for a key that the user has or had;
/// `box_unknown`, `box_conflict`: none, or another one, is there than the caller names.
pub(crate) fn put_past(tx: &mut dyn Tx, of: KeyOf<'_>, upload: &KeyBoxUpload) -> Result<(), Refusal> {
    check_length(&upload.sealed)?;
    if !tx.is_users(of)? {
        return Err(ErrorCode::KeyUnknown.into());
    }
    match place(tx.past_box(of)?, upload)? {
        PresentBox::HasIt => Ok(()),
        PresentBox::HasTheSeen | PresentBox::Empty => Ok(tx.set_past_box(of, &upload.sealed)?),
    }
}

/// What is there where a box is to go.
enum PresentBox {
    Empty,
    /// The very box.
    HasIt,
    /// The one that it shall replace.
    HasTheSeen,
}

/// Compares what is there with what the caller saw there.
fn place(present: Option<Vec<u8>>, upload: &KeyBoxUpload) -> Result<PresentBox, ErrorCode> {
    match (present, upload.replaces) {
        (Some(present), _) if present == upload.sealed.as_slice() => Ok(PresentBox::HasIt),
        (Some(present), Some(seen)) if Hash::of(&[&present]) == seen => Ok(PresentBox::HasTheSeen),
        (Some(_), _) => Err(ErrorCode::BoxConflict),
        (None, Some(_)) => Err(ErrorCode::BoxUnknown),
        (None, None) => Ok(PresentBox::Empty),
    }
}

#[cfg(test)]
mod tests;
