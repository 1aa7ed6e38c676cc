//! The calls that put certificates into the log: completing, registering a direct enrolment,
//! profile changes and revocations.
//!
//! Decides that checks and changes are one transaction: certificates, keys, receipt and the
//! invitation's end together, or nothing; a revocation together with what it ends. What may stand
//! in the log is the protocol's to say, what a call may bring `intake`'s.

use axum::response::Response;
use minicbor::bytes::ByteVec;
use parsec_protocol::claim_receipt::ClaimReceipt;
use parsec_protocol::ids::{AttemptId, Invited, OrganisationId, Timestamp};
use parsec_protocol::limits::CERTIFICATE_MAX_BYTES;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{
    Completed, Completion, DirectEnrolment, ErrorCode, InvitationStatus, NewCertificate,
};
use parsec_protocol::sealing::{ENCRYPTION_KEY_BYTES, EncryptionKey};

use super::authenticated::{Caller, greet_to_change};
use super::{App, body};
use crate::budgets::{Budgets, Wish};
use crate::errors::Refusal;
use crate::intake::{self, Change, Enrolment, IntakeFault, not_appended, refused};
use crate::invitations;
use crate::store::log::{Appended, OpenLog, RightsChange};
use crate::store::{Tx, invitations as rows, log, usage};
use crate::watchers::Topic;

/// An encryption key and its suite: the record that travels.
pub(super) const KEY_RECORD_BYTES: usize = ENCRYPTION_KEY_BYTES + 5;
/// Two certificates with a key each, a receipt, their framing.
pub(super) const COMPLETION_MAX_BYTES: usize = 2 * (CERTIFICATE_MAX_BYTES + KEY_RECORD_BYTES) + 512;
/// The same with a token, the longest e-mail (254) and two times.
pub(super) const DIRECT_MAX_BYTES: usize = COMPLETION_MAX_BYTES + 512;
/// One certificate and its framing.
pub(super) const CHANGE_MAX_BYTES: usize = CERTIFICATE_MAX_BYTES + 64;

/// Completes an attempt.
pub(super) async fn complete(
    app: &App,
    caller: Caller,
    place: (Hash, AttemptId),
    request: Completion,
    now: Timestamp,
) -> Result<Response, Refusal> {
    let enrolment = Enrolment::read(&request.certificates, &request.keys, &caller.key);
    let completed = caller
        .store(app)
        .write(move |tx| {
            let position = complete_in(tx, &caller, place, &request, enrolment, now)?;
            caller.log_grew(tx)?;
            Ok(Completed { position })
        })
        .await?;
    Ok(body::record(&completed))
}

/// Everything that completing checks and changes.
fn complete_in(
    tx: &mut dyn Tx,
    caller: &Caller,
    place: (Hash, AttemptId),
    request: &Completion,
    enrolment: Result<Enrolment, IntakeFault>,
    now: Timestamp,
) -> Result<u64, Refusal> {
    let log = log::lock(tx, &caller.organisation)?;
    let (member, mut chosen) = greet_to_change(tx, caller, &place, now)?;
    let token = chosen.invitation.token;
    let fingerprint = intake::fingerprint(request);
    let number = chosen.attempt.number;
    if let Some((before, position)) = tx.completion(&caller.organisation, &token, number)? {
        return if before == fingerprint { Ok(position) } else { Err(ErrorCode::AttemptEnded.into()) };
    }
    chosen.attempt.state.greets(&member.device)?;
    invitations::complete(&mut chosen.invitation, &mut chosen.attempt)?;
    let invited = &chosen.invitation.invited;
    let position = match invited {
        Invited::User(_) | Invited::Device(_) => {
            append(tx, caller, log, invited, enrolment, (&request.receipt, &request.keys))?
        }
        // A share is given, and nothing certified: what the receipt shows, its giver has checked.
        Invited::Share(..) if is_bare(request) => log.head().count,
        Invited::Share(..) => return Err(refused(IntakeFault::NotInvited)),
    };
    tx.set_completion(&caller.organisation, &token, number, (fingerprint, position))?;
    chosen.save(tx)?;
    tx.changed(chosen.into_change());
    Ok(position)
}

/// Whether nothing is to come into the log.
fn is_bare(request: &Completion) -> bool {
    let Completion { certificates, receipt, keys } = request;
    certificates.is_empty() && keys.is_empty() && receipt.certificates.is_empty()
}

/// The one way in for enrolments: certificates and receipt are held against the log as it is now.
/// The keys were held against the certificates. Returns the first one's position.
fn append(
    tx: &mut dyn Tx,
    caller: &Caller,
    mut log: OpenLog,
    invited: &Invited,
    enrolment: Result<Enrolment, IntakeFault>,
    (receipt, keys): (&ClaimReceipt, &[EncryptionKey]),
) -> Result<u64, Refusal> {
    let enrolment = enrolment.map_err(refused)?;
    enrolment.check_call(caller.device, invited).map_err(refused)?;
    // Told after the log's rules: whose address was taken meanwhile is to hear just that.
    let received = enrolment.check_receipt(receipt, log.root());
    let position = enrolment.append(tx, &mut log).map_err(not_appended)?;
    received.map_err(refused)?;
    tx.insert_receipt(&caller.organisation, position, receipt)?;
    keys.iter().try_for_each(|key| tx.put_key(&caller.organisation, key))?;
    Ok(position)
}

/// Registers an enrolment whose ceremony ran without this server.
pub(super) async fn enrol(
    app: &App,
    caller: Caller,
    asked: DirectEnrolment,
    now: Timestamp,
) -> Result<Response, Refusal> {
    let budgets = app.budgets;
    let enrolment = Enrolment::read(&asked.certificates, &asked.keys, &caller.key);
    let completed = caller
        .store(app)
        .write(move |tx| {
            let position = enrol_in(tx, &caller, &asked, enrolment, &budgets, now)?;
            tx.changed(caller.topic(asked.token).into());
            caller.log_grew(tx)?;
            Ok(Completed { position })
        })
        .await?;
    Ok(body::record(&completed))
}

/// Everything that registering a direct enrolment checks and changes.
fn enrol_in(
    tx: &mut dyn Tx,
    caller: &Caller,
    asked: &DirectEnrolment,
    enrolment: Result<Enrolment, IntakeFault>,
    budgets: &Budgets,
    now: Timestamp,
) -> Result<u64, Refusal> {
    let org = &caller.organisation;
    let log = log::lock(tx, org)?;
    let signer = caller.signer(tx)?;
    invitations::check_elsewhere(&signer.member, asked)?;
    match rows::load_to_change(tx, org, &asked.token, now)? {
        Some(mut known) => {
            if known.invitation.invited != asked.invited {
                return Err(ErrorCode::InvitationConflict.into());
            }
            if known.invitation.status == InvitationStatus::Completed
                && let Some(position) = registered(tx, org, &asked.certificates)?
            {
                return Ok(position);
            }
            invitations::complete_elsewhere(&mut known.invitation, known.newest.as_mut())?;
            known.save(tx)?;
        }
        None => {
            // Asked again after its invitation has gone: the log remembers.
            if let Some(position) = registered(tx, org, &asked.certificates)? {
                return Ok(position);
            }
            let made = invitations::made_elsewhere(&signer.member, asked);
            // Room is made, and where there is none it goes in all the same: each such row stands
            // for a device in the log, which has its own bound.
            usage::make_room(tx, org, &made, Wish::Kept, budgets, now)?;
            rows::insert(tx, org, &made, now)?;
        }
    }
    append(tx, caller, log, &asked.invited, enrolment, (&asked.receipt, &asked.keys))
}

/// Where these certificates stand in the log, one after the other, if they do.
fn registered(
    tx: &dyn Tx,
    organisation: &OrganisationId,
    certificates: &[ByteVec],
) -> Result<Option<u64>, Refusal> {
    let mut first = None;
    for (offset, certificate) in (0_u64..).zip(certificates) {
        match (tx.position_of(organisation, &Hash::of(&[certificate]))?, first) {
            (Some(position), None) => first = Some(position),
            (Some(position), Some(first)) if position == offset.saturating_add(first) => {}
            (Some(_), Some(_)) | (None, _) => return Ok(None),
        }
    }
    Ok(first)
}

/// Takes a profile change or a revocation.
pub(super) async fn publish(
    app: &App,
    caller: Caller,
    new: NewCertificate,
    now: Timestamp,
) -> Result<Response, Refusal> {
    let change = Change::read(&new.certificates, &caller.key);
    let position = caller.store(app).write(move |tx| publish_in(tx, &caller, change, now)).await?;
    Ok(body::record(&Completed { position }))
}

/// Everything that a change checks and brings with it.
fn publish_in(
    tx: &mut dyn Tx,
    caller: &Caller,
    change: Result<Change, IntakeFault>,
    now: Timestamp,
) -> Result<u64, Refusal> {
    let org = &caller.organisation;
    let mut log = log::lock(tx, org)?;
    caller.signer(tx)?;
    let change = change.map_err(refused)?;
    if let Some(position) = tx.position_of(org, &change.hash())? {
        return Ok(position);
    }
    change.check_call(caller.device).map_err(refused)?;
    let Appended { position, rights } = change.append(tx, &mut log).map_err(not_appended)?;
    caller.log_grew(tx)?;
    if let Some(rights) = rights {
        settle_rights(tx, org, rights, now)?;
    }
    Ok(position)
}

/// Ends what the user's devices may not go on with, and wakes their streams, which then ask again
/// whether they may go on.
pub(super) fn settle_rights(
    tx: &mut dyn Tx,
    organisation: &OrganisationId,
    RightsChange { user, left }: RightsChange,
    now: Timestamp,
) -> Result<(), Refusal> {
    for mut loaded in rows::greeted_by(tx, organisation, &user, now)? {
        let Some(attempt) = loaded.newest.as_mut().filter(|attempt| attempt.state.is_open()) else {
            continue;
        };
        let Some(greeter) = attempt.state.greeter else { continue };
        let signer = tx.signer(organisation, &greeter.device)?;
        let may = signer.is_some_and(|signer| !signer.revoked && loaded.invitation.may_greet(&signer.member));
        if !may {
            invitations::lose_greeter(&mut loaded.invitation, attempt);
            loaded.save(tx)?;
            tx.changed(loaded.into_change());
        }
    }
    if left {
        // Nobody is left who may greet these.
        for mut loaded in rows::usable_for_devices_of(tx, organisation, &user, now)? {
            invitations::cancel(&mut loaded.invitation, loaded.newest.as_mut())?;
            loaded.save(tx)?;
            tx.changed(loaded.into_change());
        }
    }
    tx.changed(Topic::Rights { organisation: organisation.clone(), user }.into());
    Ok(())
}
