//! The calls that put certificates into the log: completing, registering a direct enrolment, profile changes and revocations.
//!
//! Decides that checks and changes are one transaction: certificates, receipt and the invitation's end together, or nothing; a
//! revocation together with what it ends. What may stand in the log is `log_rules`' to say.

use axum::response::Response;
use minicbor::bytes::ByteVec;
use parsec_protocol::ids::{AttemptId, Invited, OrganisationId, Timestamp, Token, UserId};
use parsec_protocol::limits::CERTIFICATE_MAX_BYTES;
use parsec_protocol::public::Hash;
use parsec_protocol::receipt::Receipt;
use parsec_protocol::relay::{
    Completed, Completion, DirectEnrolment, ErrorCode, InvitationStatus, NewCertificate,
};

use super::authenticated::Caller;
use super::{App, body};
use crate::budgets::{Budgets, Wish};
use crate::errors::Refusal;
use crate::invitations;
use crate::log_rules::changes::{self, Ground, Kind};
use crate::log_rules::{self, Certifier, LogFault, Surroundings};
use crate::store::rows::{LogEnd, Signer};
use crate::store::{Tx, invitations as rows, log, usage};
use crate::watchers::Topic;

/// Two certificates, a receipt, their framing.
pub(super) const COMPLETION_MAX_BYTES: usize = 2 * CERTIFICATE_MAX_BYTES + 512;
/// The same with a token, the longest e-mail (254) and two times.
pub(super) const DIRECT_MAX_BYTES: usize = COMPLETION_MAX_BYTES + 512;
/// One certificate and its framing.
pub(super) const CHANGE_MAX_BYTES: usize = CERTIFICATE_MAX_BYTES + 64;

impl Caller {
    fn certifier(&self, signer: &Signer) -> Certifier {
        Certifier {
            user: signer.member.user,
            device: self.device,
            profile: signer.member.profile,
            verify_key: signer.verify_key,
        }
    }
}

fn refused(fault: LogFault) -> Refusal {
    tracing::warn!(%fault, "certificates were refused");
    ErrorCode::from(fault).into()
}

/// Completes an attempt.
pub(super) async fn complete(
    app: &App,
    caller: Caller,
    place: (Token, AttemptId),
    request: Completion,
    now: Timestamp,
) -> Result<Response, Refusal> {
    let completed = caller
        .store(app)
        .write(move |tx| {
            let position = complete_in(tx, &caller, place, &request, now)?;
            tx.changed(caller.topic(place.0));
            tx.changed(caller.log());
            Ok(Completed { position })
        })
        .await?;
    Ok(body::record(&completed))
}

/// Everything that completing checks and changes.
fn complete_in(
    tx: &mut dyn Tx,
    caller: &Caller,
    place: (Token, AttemptId),
    request: &Completion,
    now: Timestamp,
) -> Result<u64, Refusal> {
    let log = log::lock(tx, &caller.organisation)?;
    tx.lock_invitation(&caller.organisation, &place.0)?;
    let signer = caller.signer(tx)?;
    let (member, mut chosen) = caller.greet(tx, place, now)?;
    let fingerprint = log_rules::fingerprint(request);
    let number = chosen.attempt.number;
    if let Some((before, position)) = tx.completion(&caller.organisation, &place.0, number)? {
        return if before == fingerprint { Ok(position) } else { Err(ErrorCode::AttemptEnded.into()) };
    }
    chosen.attempt.state.greets(&member.device)?;
    invitations::complete(&mut chosen.invitation, &mut chosen.attempt)?;
    let invited = &chosen.invitation.invited;
    let position = append(tx, caller, &signer, log, invited, (&request.certificates, &request.receipt))?;
    tx.set_completion(&caller.organisation, &place.0, number, (fingerprint, position))?;
    chosen.save(tx)?;
    Ok(position)
}

/// The one way in for enrolments: certificates and receipt are held against the log as it is now. Returns the first one's position.
fn append(
    tx: &mut dyn Tx,
    caller: &Caller,
    signer: &Signer,
    log: LogEnd,
    invited: &Invited,
    (certificates, receipt): (&[ByteVec], &Receipt),
) -> Result<u64, Refusal> {
    let org = &caller.organisation;
    let proposal = log_rules::read(org, certificates).map_err(refused)?;
    let mut heads = Vec::new();
    for seen in proposal.seen_counts() {
        heads.extend(log::head_at(tx, org, &log.root, seen)?);
    }
    let known = log::known(tx, org, &proposal)?;
    let around = Surroundings { root: log.root, present: log.head, heads: &heads, known: &known };
    let certifier = caller.certifier(signer);
    let after =
        log_rules::check_enrolment(&proposal, invited, &certifier, receipt, &around).map_err(refused)?;
    let position = log::append(tx, org, &proposal, &after)?;
    tx.insert_receipt(org, position, receipt)?;
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
    let completed = caller
        .store(app)
        .write(move |tx| {
            let position = enrol_in(tx, &caller, &asked, &budgets, now)?;
            tx.changed(caller.topic(asked.token));
            tx.changed(caller.log());
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
            // Room is made, and where there is none it goes in all the same: each such row stands for a device in the log, which has its
            // own bound.
            usage::make_room(tx, org, &made, Wish::Kept, budgets, now)?;
            rows::insert(tx, org, &made, now)?;
        }
    }
    let position = append(tx, caller, &signer, log, &asked.invited, (&asked.certificates, &asked.receipt))?;
    Ok(position)
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
    let position = caller.store(app).write(move |tx| publish_in(tx, &caller, &new, now)).await?;
    Ok(body::record(&Completed { position }))
}

/// Everything that a change checks and brings with it.
fn publish_in(
    tx: &mut dyn Tx,
    caller: &Caller,
    new: &NewCertificate,
    now: Timestamp,
) -> Result<u64, Refusal> {
    let org = &caller.organisation;
    let log = log::lock(tx, org)?;
    let signer = caller.signer(tx)?;
    let change = changes::read_change(org, &new.certificates).map_err(refused)?;
    if let Some(position) = tx.position_of(org, &Hash::of(&[change.envelope()]))? {
        return Ok(position);
    }
    let subject = log::subject(tx, org, &change.kind)?;
    let ground = Ground {
        present: log.head,
        seen: log::head_at(tx, org, &log.root, change.seen_count())?,
        last_word: log::last_word(tx, org, &caller.device)?,
        subject,
    };
    let after = changes::check_change(&change, &caller.certifier(&signer), &ground).map_err(refused)?;
    let position = log::append_change(tx, org, &caller.device, &change, &after)?;
    tx.changed(caller.log());
    if let Some(subject) = subject {
        settle_rights(tx, org, &change.kind, subject.user, now)?;
    }
    Ok(position)
}

/// Ends what the user's terminals may not go on with, and wakes their streams, which then ask again whether they may go on.
pub(super) fn settle_rights(
    tx: &mut dyn Tx,
    organisation: &OrganisationId,
    kind: &Kind,
    user: UserId,
    now: Timestamp,
) -> Result<(), Refusal> {
    let topic = |token| Topic::Invitation { organisation: organisation.clone(), token };
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
            tx.changed(topic(loaded.invitation.token));
        }
    }
    match kind {
        // Nobody is left who may greet these.
        Kind::UserRevoked { .. } => {
            for mut loaded in rows::usable_for_devices_of(tx, organisation, &user, now)? {
                invitations::cancel(&mut loaded.invitation, loaded.newest.as_mut())?;
                loaded.save(tx)?;
                tx.changed(topic(loaded.invitation.token));
            }
        }
        Kind::DeviceRevoked { .. } | Kind::Profile { .. } => {}
    }
    tx.changed(Topic::Rights { organisation: organisation.clone(), user });
    Ok(())
}
