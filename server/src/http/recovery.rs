//! Recovery kits: how one comes into the log, and how one lets a device in.
//!
//! Decides what a kit may ask for; that an ordinary device adds kits, that a kit adds ordinary
//! devices, and both for their own user alone: whatever else a device is added by goes through a
//! ceremony. Certificate, key and box are one transaction, so that there is no kit that opens
//! nothing. What may stand in the log is the protocol's to say.

use axum::response::Response;
use parsec_protocol::chain::organisation::certificate::DeviceKind;
use parsec_protocol::limits::CERTIFICATE_MAX_BYTES;
use parsec_protocol::relay::{
    Completed, ErrorCode, KeyBoxUpload, NEW_SHARES_MAX_BYTES, NewOwnDevice, RootKey, SplitKit,
};
use parsec_protocol::sealing::SECRET_BOX_BYTES;

use super::authenticated::Caller;
use super::registering::KEY_RECORD_BYTES;
use super::route::MemberCall;
use super::{App, body, shares};
use crate::errors::Refusal;
use crate::intake::{IntakeFault, OwnDevice, not_appended, refused};
use crate::store::{KeyOf, Tx, keys, log};

/// A certificate, its key, a box and the hash of what is in it, how it is split, their framing.
pub(super) const NEW_DEVICE_MAX_BYTES: usize =
    CERTIFICATE_MAX_BYTES + KEY_RECORD_BYTES + SECRET_BOX_BYTES + NEW_SHARES_MAX_BYTES + 64;

/// Whether a recovery kit may ask for it: what lets a device in, and what that device begins with.
/// Whoever finds the words on paper can do that much, and it is seen in the log; nothing else
/// happens in a member's name on their strength.
pub(super) const fn is_for_kits(call: &MemberCall) -> bool {
    match call {
        MemberCall::Root
        | MemberCall::Log { .. }
        | MemberCall::Key(_)
        | MemberCall::GetBox(..)
        | MemberCall::Manifest { .. }
        | MemberCall::AddDevice => true,
        MemberCall::Invitations { .. }
        | MemberCall::Invite
        | MemberCall::Invitation(_)
        | MemberCall::Follow
        | MemberCall::Cancel(_)
        | MemberCall::Attempt(..)
        | MemberCall::Join(..)
        | MemberCall::PutStep(..)
        | MemberCall::GetStep(..)
        | MemberCall::CancelAttempt(..)
        | MemberCall::Complete(..)
        | MemberCall::Enrol
        | MemberCall::Publish
        | MemberCall::Repair
        | MemberCall::ChangeKey
        | MemberCall::Shares
        | MemberCall::SharesOf(_)
        | MemberCall::PutKey(_)
        | MemberCall::PutBox(..)
        | MemberCall::PutPast(..)
        | MemberCall::PutManifest
        | MemberCall::Directory(_)
        | MemberCall::Safe(_) => false,
    }
}

/// Says which root key the organisation has.
pub(super) async fn root(app: &App, caller: Caller) -> Result<Response, Refusal> {
    let store = caller.store(app);
    let load = move |tx: &dyn Tx| {
        caller.signer(tx)?;
        Ok(RootKey { root: log::end(tx, &caller.organisation)?.root })
    };
    Ok(body::record(&store.read(load).await?))
}

/// Takes a kit, or the device that a kit lets in.
pub(super) async fn add_device(app: &App, caller: Caller, asked: NewOwnDevice) -> Result<Response, Refusal> {
    let device = OwnDevice::read(&asked.certificate, &asked.key, &caller.key);
    let position = caller.store(app).write(move |tx| add_in(tx, &caller, device, &asked)).await?;
    Ok(body::record(&Completed { position }))
}

/// Everything that adding a device checks and changes.
fn add_in(
    tx: &mut dyn Tx,
    caller: &Caller,
    device: Result<OwnDevice, IntakeFault>,
    asked: &NewOwnDevice,
) -> Result<u64, Refusal> {
    let organisation = &caller.organisation;
    let mut log = log::lock(tx, organisation)?;
    let signer = caller.signer(tx)?;
    let OwnDevice { certificate, device, user, kind, verify_key } = device.map_err(refused)?;
    if let Some(position) = tx.position_of(organisation, &certificate.hash())? {
        return Ok(position);
    }
    certificate.check_call(caller.device).map_err(refused)?;
    match (signer.kind, kind) {
        (DeviceKind::Device, DeviceKind::Recovery) | (DeviceKind::Recovery, DeviceKind::Device) => {}
        (DeviceKind::Device, DeviceKind::Device) | (DeviceKind::Recovery, DeviceKind::Recovery) => {
            return Err(refused(IntakeFault::WrongKinds));
        }
    }
    // Of a new user, too, the rules would take a first device.
    if user != signer.member.user {
        return Err(ErrorCode::NotAllowed.into());
    }
    let position = certificate.append(tx, &mut log).map_err(not_appended)?.position;
    tx.put_key(organisation, &asked.key)?;
    let key = tx.user(organisation, &user)?.ok_or(ErrorCode::Internal)?.encryption_key;
    if key != asked.user_key {
        return Err(ErrorCode::BoxesRefused.into());
    }
    let upload = KeyBoxUpload { replaces: None, sealed: asked.sealed.clone() };
    keys::put_box(tx, KeyOf { organisation, user: &user, key: &key }, &device, &upload)?;
    if let Some(split) = &asked.shares {
        // An ordinary device is not split: nothing but its own machine has its keys.
        if kind != DeviceKind::Recovery {
            return Err(ErrorCode::BadRequest.into());
        }
        shares::keep(tx, organisation, SplitKit { user, kit: device }, &verify_key, split)?;
    }
    caller.log_grew(tx)?;
    Ok(position)
}
