//! The calls that put certificates into the log: completing, registering a direct enrolment, profile changes and revocations.
//!
//! Decides that checks and changes are one transaction: certificates, receipt and the invitation's end together, or nothing; a
//! revocation together with what it ends. What may stand in the log is `log_rules`' to say.

use axum::response::Response;
use minicbor::bytes::ByteVec;
use parsec_protocol::ids::{AttemptId, Invited, OrganisationId, Timestamp, Token, UserId};
use parsec_protocol::limits::CERTIFICATE_MAX_BYTES;
use parsec_protocol::public::{Hash, VerifyKey};
use parsec_protocol::receipt::Receipt;
use parsec_protocol::relay::{
    Completed, Completion, DirectEnrolment, ErrorCode, InvitationStatus, NewCertificate,
};
use rusqlite::Connection;

use super::authenticated::Caller;
use super::{App, body};
use crate::budgets::{Budgets, Wish};
use crate::errors::Refusal;
use crate::invitations;
use crate::log_rules::changes::{self, Ground, Kind};
use crate::log_rules::{self, Certifier, LogFault, Surroundings};
use crate::store::members::Signer;
use crate::store::{Transaction, attempts, changes as change_rows, invitations as rows, members, usage};
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

pub(super) fn root_of(sql: &Connection, organisation: &OrganisationId) -> Result<VerifyKey, Refusal> {
    let founded = members::organisation(sql, organisation)?.and_then(|organisation| organisation.founded);
    Ok(founded.ok_or(ErrorCode::Internal)?.0)
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
        .write(move |transaction| {
            let position = complete_in(transaction.sql, &caller, place, &request, now)?;
            transaction.changed(caller.topic(place.0));
            Ok(Completed { position })
        })
        .await?;
    Ok(body::record(&completed))
}

/// Everything that completing checks and changes.
fn complete_in(
    sql: &Connection,
    caller: &Caller,
    place: (Token, AttemptId),
    request: &Completion,
    now: Timestamp,
) -> Result<u64, Refusal> {
    let signer = caller.signer(sql)?;
    let (member, mut chosen) = caller.greet(sql, place, now)?;
    let fingerprint = log_rules::fingerprint(request);
    let number = chosen.attempt.number;
    if let Some((before, position)) = attempts::completion(sql, chosen.number, number)? {
        return if before == fingerprint { Ok(position) } else { Err(ErrorCode::AttemptEnded.into()) };
    }
    invitations::greets(&chosen.attempt, &member)?;
    invitations::complete(&mut chosen.invitation, &mut chosen.attempt)?;
    let invited = &chosen.invitation.invited;
    let position = append(sql, caller, &signer, invited, &request.certificates, &request.receipt)?;
    attempts::set_completion(sql, chosen.number, number, fingerprint, position)?;
    members::set_receipt(sql, &caller.organisation, position, &request.receipt)?;
    chosen.save(sql)?;
    Ok(position)
}

/// The one way in for enrolments: certificates and receipt are held against the log as it is now. Returns the first one's position.
fn append(
    sql: &Connection,
    caller: &Caller,
    signer: &Signer,
    invited: &Invited,
    certificates: &[ByteVec],
    receipt: &Receipt,
) -> Result<u64, Refusal> {
    let org = &caller.organisation;
    let root = root_of(sql, org)?;
    let proposal = log_rules::read(org, certificates).map_err(refused)?;
    let count = members::count(sql, org)?;
    let present = members::head_at(sql, org, &root, count)?.ok_or(ErrorCode::Internal)?;
    let mut heads = Vec::new();
    for seen in proposal.seen_counts() {
        heads.extend(members::head_at(sql, org, &root, seen)?);
    }
    let known = members::known(sql, org, &proposal)?;
    let around = Surroundings { root, present, heads: &heads, known: &known };
    let certifier = caller.certifier(signer);
    let after =
        log_rules::check_enrolment(&proposal, invited, &certifier, receipt, &around).map_err(refused)?;
    members::append(sql, org, &proposal, &after)
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
        .write(move |transaction| {
            let position = enrol_in(transaction, &caller, &asked, &budgets, now)?;
            transaction.changed(caller.topic(asked.token));
            Ok(Completed { position })
        })
        .await?;
    Ok(body::record(&completed))
}

/// Everything that registering a direct enrolment checks and changes.
fn enrol_in(
    transaction: &mut Transaction<'_>,
    caller: &Caller,
    asked: &DirectEnrolment,
    budgets: &Budgets,
    now: Timestamp,
) -> Result<u64, Refusal> {
    let (sql, org) = (transaction.sql, &caller.organisation);
    let signer = caller.signer(sql)?;
    invitations::check_elsewhere(&signer.member, asked)?;
    match rows::load(sql, org, &asked.token, now)? {
        Some(mut known) => {
            if known.invitation.invited != asked.invited {
                return Err(ErrorCode::InvitationConflict.into());
            }
            if known.invitation.status == InvitationStatus::Completed
                && let Some(position) = registered(sql, org, &asked.certificates)?
            {
                return Ok(position);
            }
            invitations::complete_elsewhere(&mut known.invitation, known.newest.as_mut())?;
            rows::update(sql, &known)?;
        }
        None => {
            // Asked again after its invitation has gone: the log remembers.
            if let Some(position) = registered(sql, org, &asked.certificates)? {
                return Ok(position);
            }
            let made = invitations::made_elsewhere(&signer.member, asked);
            // Room is made, and where there is none it goes in all the same: each such row stands for a device in the log, which has its
            // own bound.
            usage::make_room(transaction, org, &made, Wish::Kept, budgets, now)?;
            rows::insert(sql, org, &made, now)?;
        }
    }
    let position = append(sql, caller, &signer, &asked.invited, &asked.certificates, &asked.receipt)?;
    members::set_receipt(sql, org, position, &asked.receipt)?;
    Ok(position)
}

/// Where these certificates stand in the log, one after the other, if they do.
fn registered(
    sql: &Connection,
    organisation: &OrganisationId,
    certificates: &[ByteVec],
) -> Result<Option<u64>, Refusal> {
    let mut first = None;
    for (offset, certificate) in (0_u64..).zip(certificates) {
        match (members::position_of(sql, organisation, &Hash::of(&[certificate]))?, first) {
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
    let position =
        caller.store(app).write(move |transaction| publish_in(transaction, &caller, &new, now)).await?;
    Ok(body::record(&Completed { position }))
}

/// Everything that a change checks and brings with it.
fn publish_in(
    transaction: &mut Transaction<'_>,
    caller: &Caller,
    new: &NewCertificate,
    now: Timestamp,
) -> Result<u64, Refusal> {
    let (sql, org) = (transaction.sql, &caller.organisation);
    let signer = caller.signer(sql)?;
    let change = changes::read_change(org, &new.certificates).map_err(refused)?;
    if let Some(position) = members::position_of(sql, org, &Hash::of(&[change.envelope()]))? {
        return Ok(position);
    }
    let root = root_of(sql, org)?;
    let count = members::count(sql, org)?;
    let subject = change_rows::subject(sql, org, &change.kind)?;
    let ground = Ground {
        present: members::head_at(sql, org, &root, count)?.ok_or(ErrorCode::Internal)?,
        seen: members::head_at(sql, org, &root, change.seen_count())?,
        last_word: change_rows::last_word(sql, org, &caller.device)?,
        subject,
    };
    let after = changes::check_change(&change, &caller.certifier(&signer), &ground).map_err(refused)?;
    let position = change_rows::append(sql, org, &caller.device, &change, &after)?;
    if let Some(subject) = subject {
        settle_rights(transaction, org, &change.kind, subject.user, now)?;
    }
    Ok(position)
}

/// Ends what the user's terminals may not go on with, and wakes their streams, which then ask again whether they may go on.
pub(super) fn settle_rights(
    transaction: &mut Transaction<'_>,
    organisation: &OrganisationId,
    kind: &Kind,
    user: UserId,
    now: Timestamp,
) -> Result<(), Refusal> {
    let sql = transaction.sql;
    let topic = |token| Topic::Invitation { organisation: organisation.clone(), token };
    for mut loaded in rows::greeted_by(sql, organisation, &user, now)? {
        let Some(attempt) = loaded.newest.as_mut().filter(|attempt| attempt.is_open()) else { continue };
        let Some(greeter) = attempt.greeter else { continue };
        let signer = members::signer(sql, organisation, &greeter.device)?;
        let may = signer.is_some_and(|signer| !signer.revoked && loaded.invitation.may_greet(&signer.member));
        if !may {
            invitations::lose_greeter(&mut loaded.invitation, attempt);
            rows::update(sql, &loaded)?;
            transaction.changed(topic(loaded.invitation.token));
        }
    }
    match kind {
        // Nobody is left who may greet these.
        Kind::UserRevoked { .. } => {
            for mut loaded in rows::for_terminals_of(sql, organisation, &user, now)? {
                invitations::cancel(&mut loaded.invitation, loaded.newest.as_mut())?;
                rows::update(sql, &loaded)?;
                transaction.changed(topic(loaded.invitation.token));
            }
        }
        Kind::DeviceRevoked { .. } | Kind::Profile { .. } => {}
    }
    transaction.changed(Topic::Rights { organisation: organisation.clone(), user });
    Ok(())
}
