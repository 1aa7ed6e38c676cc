//! Organisations' logs with their members: what is known before a certificate, and what one changes.
//!
//! Decides nothing about what may enter a log; that is `log_rules`. Keeps log and members in step, in one transaction. What a column
//! can't hold exactly, a time of any size, is read from the log itself.

use parsec_protocol::chain::certificate::{Envelope, Head};
use parsec_protocol::ids::{DeviceId, OrganisationId};
use parsec_protocol::public::VerifyKey;
use parsec_protocol::relay::ErrorCode;

use super::rows::{LogEnd, UserToAdd};
use super::{StoreError, Tx};
use crate::errors::Refusal;
use crate::log_rules::changes::{Change, Kind, LastWord, Subject};
use crate::log_rules::{Known, Owner, Proposal};

/// Where the log of an organisation ends that a member has signed in, so that it must be founded.
pub(crate) fn end(tx: &dyn Tx, organisation: &OrganisationId) -> Result<LogEnd, Refusal> {
    Ok(tx.log_end(organisation)?.ok_or(ErrorCode::Internal)?)
}

/// The same with its lock, for work that appends.
pub(crate) fn lock(tx: &mut dyn Tx, organisation: &OrganisationId) -> Result<LogEnd, Refusal> {
    Ok(tx.lock_log(organisation)?.ok_or(ErrorCode::Internal)?)
}

/// The log's head after `count` certificates, if it has as many.
pub(crate) fn head_at(
    tx: &dyn Tx,
    organisation: &OrganisationId,
    root: &VerifyKey,
    count: u64,
) -> Result<Option<Head>, StoreError> {
    let Some(position) = count.checked_sub(1) else { return Ok(Some(Head::empty(organisation, root))) };
    Ok(tx.head_after(organisation, position)?.map(|hash| Head { count, hash }))
}

/// What the log says about a proposal's ids and keys.
pub(crate) fn known(
    tx: &dyn Tx,
    organisation: &OrganisationId,
    proposal: &Proposal,
) -> Result<Known, StoreError> {
    let device = &proposal.device;
    let mut known = Known {
        device_id_taken: tx.device(organisation, &device.device)?.is_some(),
        verify_key_taken: tx.verify_key_used(organisation, &device.verify_key)?,
        ..Known::default()
    };
    // A new user's id and the device's owner are one: the look-up serves both.
    let owner = tx.user(organisation, &device.user)?;
    if let Some(user) = &proposal.user {
        known.user_id_taken = owner.is_some();
        known.encryption_key_taken = tx.encryption_key_used(organisation, &user.encryption_key)?;
        known.email_taken = tx.email_in_use(organisation, &user.email)?;
    }
    known.owner = owner.map(|owner| Owner {
        revoked: owner.revoked,
        devices: usize::try_from(owner.devices).unwrap_or(usize::MAX),
    });
    Ok(known)
}

/// The newest change by a device.
pub(crate) fn last_word(
    tx: &dyn Tx,
    organisation: &OrganisationId,
    device: &DeviceId,
) -> Result<Option<LastWord>, StoreError> {
    let position = tx.device(organisation, device)?.and_then(|device| device.last_change);
    let Some(position) = position else { return Ok(None) };
    let envelope = tx.envelope(organisation, position)?.ok_or(StoreError::Damaged("last change"))?;
    let payload = Envelope::decode(&envelope).and_then(|envelope| envelope.payload());
    payload.map(|payload| Some(LastWord::of(&payload))).map_err(|_| StoreError::Damaged("certificate"))
}

/// Whom a change is about, if the log names them.
pub(crate) fn subject(
    tx: &dyn Tx,
    organisation: &OrganisationId,
    kind: &Kind,
) -> Result<Option<Subject>, StoreError> {
    let (user, device_revoked) = match kind {
        Kind::Profile { user, .. } | Kind::UserRevoked { user } => (*user, false),
        Kind::DeviceRevoked { device } => match tx.device(organisation, device)? {
            Some(device) => (device.user, device.revoked),
            None => return Ok(None),
        },
    };
    Ok(tx.user(organisation, &user)?.map(|found| Subject {
        user,
        profile: found.profile,
        profile_position: found.profile_position,
        revoked: device_revoked || found.revoked,
    }))
}

/// Puts checked certificates at the end of the log, and what they say into the members. Returns the first one's position.
pub(crate) fn append(
    tx: &mut dyn Tx,
    organisation: &OrganisationId,
    proposal: &Proposal,
    heads_after: &[Head],
) -> Result<u64, StoreError> {
    let first = heads_after.first().map_or(0, |head| head.count.saturating_sub(1));
    for (envelope, head) in proposal.envelopes().zip(heads_after) {
        tx.insert_certificate(organisation, envelope, head)?;
    }
    if let Some(user) = &proposal.user {
        let user = UserToAdd {
            user: &user.user,
            email: &user.email,
            encryption_key: &user.encryption_key,
            profile: user.profile,
            position: first,
        };
        tx.insert_user(organisation, &user)?;
    }
    let device = &proposal.device;
    tx.insert_device(organisation, &device.device, &device.user, &device.verify_key)?;
    Ok(first)
}

/// Puts a checked change by `author` at the end of the log, and what it says into the members. Returns its position.
pub(crate) fn append_change(
    tx: &mut dyn Tx,
    organisation: &OrganisationId,
    author: &DeviceId,
    change: &Change,
    head_after: &Head,
) -> Result<u64, StoreError> {
    let position = head_after.count.saturating_sub(1);
    tx.insert_certificate(organisation, change.envelope(), head_after)?;
    match change.kind {
        Kind::Profile { user, profile } => tx.set_profile(organisation, &user, profile, position)?,
        Kind::UserRevoked { user } => tx.revoke_user(organisation, &user)?,
        Kind::DeviceRevoked { device } => tx.revoke_device(organisation, &device)?,
    }
    tx.set_last_change(organisation, author, position)?;
    Ok(position)
}
