//! The calls about encryption keys: a user's key that changes, keys by their hashes, and the boxes
//! with which a user's devices get the user's key (docs/protocol.md, *Changing a user's key*).
//!
//! Decides who may: every member is given keys; a user's boxes are the user's devices' alone.
//! Certificate, key and boxes of a change are one transaction. What may stand in the log is the
//! protocol's to say, which boxes fit `store::keys`'s.

use axum::response::Response;
use parsec_protocol::ids::{DeviceId, UserId};
use parsec_protocol::limits::CERTIFICATE_MAX_BYTES;
use parsec_protocol::relay::{Completed, ErrorCode, KEY_BOXES_MAX, KeyBoxUpload, UserKeyChange};
use parsec_protocol::sealing::{EncryptionKey, KeyHash, SECRET_BOX_BYTES};

use super::authenticated::Caller;
use super::registering::KEY_RECORD_BYTES;
use super::{App, body};
use crate::errors::Refusal;
use crate::intake::{IntakeFault, KeyChange, not_appended, refused};
use crate::store::{KeyOf, Tx, keys, log};

/// Framing of one box, and of a certificate: a byte string's head.
const FRAME_BYTES: usize = 3;
/// The id of a device as it travels, and the head of the record with its box.
const DEVICE_FRAME_BYTES: usize = 17 + 1;
/// A certificate, its key, a box for each device that a user can have, a past box, their framing.
pub(super) const KEY_CHANGE_MAX_BYTES: usize = CERTIFICATE_MAX_BYTES
    + FRAME_BYTES
    + KEY_RECORD_BYTES
    + KEY_BOXES_MAX * (DEVICE_FRAME_BYTES + FRAME_BYTES + SECRET_BOX_BYTES)
    + FRAME_BYTES
    + SECRET_BOX_BYTES
    + 16;
/// A key.
pub(super) const KEY_MAX_BYTES: usize = KEY_RECORD_BYTES;
/// A box, the hash of another, their framing.
pub(super) const BOX_MAX_BYTES: usize = SECRET_BOX_BYTES + FRAME_BYTES + 34 + 1;

/// Changes the key of the caller's user.
pub(super) async fn change(app: &App, caller: Caller, asked: UserKeyChange) -> Result<Response, Refusal> {
    let change = KeyChange::read(&asked.certificate, &asked.key, &caller.key);
    let position = caller.store(app).write(move |tx| change_in(tx, &caller, change, &asked)).await?;
    Ok(body::record(&Completed { position }))
}

/// Everything that a change of a user's key checks and brings with it.
fn change_in(
    tx: &mut dyn Tx,
    caller: &Caller,
    change: Result<KeyChange, IntakeFault>,
    asked: &UserKeyChange,
) -> Result<u64, Refusal> {
    let organisation = &caller.organisation;
    let mut log = log::lock(tx, organisation)?;
    caller.signer(tx)?;
    let KeyChange { certificate, user, previous, key } = change.map_err(refused)?;
    if let Some(position) = tx.position_of(organisation, &certificate.hash())? {
        return Ok(position);
    }
    certificate.check_call(caller.device).map_err(refused)?;
    // Before the boxes: of two devices that change the key at once, the late one hears that it is.
    let position = certificate.append(tx, &mut log).map_err(not_appended)?.position;
    tx.put_key(organisation, &asked.key)?;
    let of = KeyOf { organisation, user: &user, key: &key };
    keys::hand_over(tx, of, &previous, &asked.boxes, asked.past.as_ref())?;
    caller.log_grew(tx)?;
    Ok(position)
}

/// Gives a key to a member.
pub(super) async fn key(app: &App, caller: Caller, named: KeyHash) -> Result<Response, Refusal> {
    let store = caller.store(app);
    let load = move |tx: &dyn Tx| {
        caller.signer(tx)?;
        tx.key(&caller.organisation, &named)?.ok_or_else(|| ErrorCode::KeyUnknown.into())
    };
    Ok(body::record(&store.read(load).await?))
}

/// Takes a key back that was lost.
pub(super) async fn put_key(
    app: &App,
    caller: Caller,
    named: KeyHash,
    key: EncryptionKey,
) -> Result<Response, Refusal> {
    let store = caller.store(app);
    let put = move |tx: &mut dyn Tx| {
        tx.lock_log(&caller.organisation)?;
        caller.signer(tx)?;
        keys::put_key(tx, &caller.organisation, &named, &key)
    };
    store.write(put).await?;
    Ok(body::done())
}

/// Refuses whoever is not a device of this user.
fn check_user(tx: &dyn Tx, caller: &Caller, user: &UserId) -> Result<(), Refusal> {
    let own = caller.member(tx)?.user;
    if own == *user { Ok(()) } else { Err(ErrorCode::NotAllowed.into()) }
}

/// Gives a box to a device of the user.
pub(super) async fn get_box(
    app: &App,
    caller: Caller,
    (user, key, device): (UserId, KeyHash, DeviceId),
) -> Result<Response, Refusal> {
    let store = caller.store(app);
    let load = move |tx: &dyn Tx| {
        check_user(tx, &caller, &user)?;
        keys::get_box(tx, KeyOf { organisation: &caller.organisation, user: &user, key: &key }, &device)
    };
    Ok(body::record(&store.read(load).await?))
}

/// Takes a box from a device of the user.
pub(super) async fn put_box(
    app: &App,
    caller: Caller,
    (user, key, device): (UserId, KeyHash, DeviceId),
    upload: KeyBoxUpload,
) -> Result<Response, Refusal> {
    let store = caller.store(app);
    let put = move |tx: &mut dyn Tx| {
        tx.lock_log(&caller.organisation)?;
        check_user(tx, &caller, &user)?;
        let of = KeyOf { organisation: &caller.organisation, user: &user, key: &key };
        keys::put_box(tx, of, &device, &upload)
    };
    store.write(put).await?;
    Ok(body::done())
}

/// Takes a box with the key before from a device of the user.
pub(super) async fn put_past(
    app: &App,
    caller: Caller,
    (user, key): (UserId, KeyHash),
    upload: KeyBoxUpload,
) -> Result<Response, Refusal> {
    let store = caller.store(app);
    let put = move |tx: &mut dyn Tx| {
        tx.lock_log(&caller.organisation)?;
        check_user(tx, &caller, &user)?;
        keys::put_past(tx, KeyOf { organisation: &caller.organisation, user: &user, key: &key }, &upload)
    };
    store.write(put).await?;
    Ok(body::done())
}

#[cfg(test)]
mod tests {
    use minicbor::bytes::ByteVec;
    use parsec_protocol::codec;
    use parsec_protocol::keys::UserSeed;
    use parsec_protocol::public_keys::Hash;
    use parsec_protocol::relay::DeviceBox;

    use super::*;

    /// Somebody with as many devices as there may be can change the key; nothing larger is read.
    #[test]
    fn the_largest_calls_fit_their_bounds_and_no_more() {
        let key = UserSeed::from_bytes(&mut [7; 32]).encryption_key();
        let sealed = ByteVec::from(vec![7; SECRET_BOX_BYTES]);
        let boxes: Vec<_> = (0..KEY_BOXES_MAX)
            .map(|_| DeviceBox { device: DeviceId::from_bytes([7; 16]), sealed: sealed.clone() })
            .collect();
        let certificate = ByteVec::from(vec![7; CERTIFICATE_MAX_BYTES]);
        let change = UserKeyChange { certificate, key: key.clone(), boxes, past: Some(sealed.clone()) };
        let upload = KeyBoxUpload { replaces: Some(Hash::of(&[])), sealed };
        for (largest, bound) in [
            (codec::encode(&change).len(), KEY_CHANGE_MAX_BYTES),
            (codec::encode(&key).len(), KEY_MAX_BYTES),
            (codec::encode(&upload).len(), BOX_MAX_BYTES),
        ] {
            assert!((bound - 16..=bound).contains(&largest), "{largest} of {bound}");
        }
    }
}
