//! A certificate on its way into a safe's log, with the ring or the boxes that come with it.
//!
//! Decides what is asked of it beside the rules: its author is the caller, it stands at the present
//! ends, its author has seen the newest of the organisation, and what it names by hash is here.
//! Refuses anything else whole.

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::candidate::Candidate;
use parsec_protocol::ids::{Timestamp, UserId};
use parsec_protocol::public_keys::VerifyKey;
use parsec_protocol::relay::ErrorCode;
use parsec_protocol::safe_log::certificate::{Body, SafeCertificate};
use parsec_protocol::safe_log::effects::Effects;
use parsec_protocol::safe_log::ring::BoxFor;
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safe_log::rules::{is_due, judge_certificate};

use super::faults::{Kind, not_accepted};
use super::quota::Wish;
use super::turns::Admission;
use super::view::StoredSafe;
use super::{Asking, Terms, carry_out, check_seen, rings, turns};
use crate::errors::Refusal;
use crate::store::log::OpenLog;
use crate::store::safes::{SafeKey, SafeRow, SafeToAdd, StoredItem, Urgency};
use crate::store::{StoreError, Tx};

/// Safes that one member makes: more than a person sorts things into.
const SAFES_PER_MEMBER_MAX: u64 = 1_000;
/// Safes of an organisation.
const SAFES_MAX: u64 = 20_000;

/// A certificate of a safe that came in.
pub(crate) type Incoming = Candidate<'static, SafeCertificate>;

/// What comes with a certificate.
#[derive(Debug)]
pub(crate) struct Comes {
    /// Encoding of the ring's head.
    pub(crate) ring: Option<ByteVec>,
    /// Parts that no call before has put: of the first ring alone.
    pub(crate) parts: Vec<ByteVec>,
    pub(crate) boxes: Vec<BoxFor>,
}

impl Comes {
    pub(crate) fn bytes(&self) -> usize {
        let boxes = self.boxes.iter().map(|given| given.sealed.len());
        let others = self.ring.iter().chain(&self.parts).map(|bytes| bytes.len());
        boxes.chain(others).fold(0, usize::saturating_add)
    }
}

/// Reads a certificate, and checks its signature ahead under the caller's key: outside of any
/// transaction, where nobody else waits.
pub(crate) fn read(bytes: &[u8], caller: &VerifyKey) -> Result<Incoming, Refusal> {
    let mut certificate = Incoming::read(bytes.to_vec()).ok_or(ErrorCode::CertificateRefused)?;
    certificate.verify(caller);
    Ok(certificate)
}

/// Makes a safe. Returns the count of certificates with this one. The lock of the organisation's
/// log is held.
///
/// # Errors
/// `safe_conflict`: another safe has this id; and as for [`append`].
pub(crate) fn found(
    tx: &mut dyn Tx,
    log: &OpenLog,
    asking: &Asking<'_>,
    certificate: Incoming,
    comes: &Comes,
    terms: &Terms<'_>,
) -> Result<u64, Refusal> {
    if !matches!(certificate.payload().body, Body::Created { .. }) {
        return Err(ErrorCode::CertificateRefused.into());
    }
    if tx.lock_safe(asking.of)?.is_some() {
        return again(tx, asking, &certificate)?.ok_or_else(|| ErrorCode::SafeConflict.into());
    }
    check_counts(tx, asking.of, &asking.user)?;
    take_in(tx, log, asking, certificate, None, comes, terms)
}

/// Refuses a safe more than a member makes, or an organisation has.
pub(super) fn check_counts(tx: &dyn Tx, of: SafeKey<'_>, founder: &UserId) -> Result<(), Refusal> {
    let counts = tx.safe_counts(of.organisation, founder)?;
    if counts.own >= SAFES_PER_MEMBER_MAX || counts.all >= SAFES_MAX {
        return Err(ErrorCode::QuotaReached.into());
    }
    Ok(())
}

/// What became of a certificate that breaks no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Appended {
    /// It is in the log, which has so many with it.
    Counted(u64),
    /// The safe has gone on: it fits no more, which is `safe_conflict`.
    Late,
    /// Somebody else has the turn until then: it may be tried again, and nothing has been judged.
    Held(Timestamp),
}

/// Puts a certificate at the end of a safe's log. The lock of the organisation's log is held.
///
/// # Errors
/// `safe_unknown`, `clock_skew`, `behind`, `not_allowed`, `certificate_refused`,
/// `ring_missing`, `ring_refused`, `boxes_refused`, `quota_reached`.
pub(crate) fn append(
    tx: &mut dyn Tx,
    log: &OpenLog,
    asking: &Asking<'_>,
    certificate: Incoming,
    comes: &Comes,
    terms: &Terms<'_>,
) -> Result<Appended, Refusal> {
    let of = asking.of;
    let safe = tx.lock_safe(of)?;
    // Before the role: who has left hears that they have, where the answer was lost.
    if let Some(count) = again(tx, asking, &certificate)? {
        return Ok(Appended::Counted(count));
    }
    let role = tx.role(of, &asking.user)?;
    let (role, safe) = role.zip(safe).ok_or(ErrorCode::SafeUnknown)?;
    let payload = certificate.payload();
    if (payload.previous, payload.place) != (safe.present.log, safe.present.journal) {
        if payload.author == asking.device {
            let urgency = urgency(tx, log, of, (role, &safe), comes)?;
            turns::lost(tx, of, &asking.user, urgency, terms.now)?;
        }
        return Ok(Appended::Late);
    }
    if let Admission::Held(ends) = turns::admit(tx, of, &asking.user, terms.now)? {
        return Ok(if terms.has_waited { Appended::Late } else { Appended::Held(ends) });
    }
    let count = take_in(tx, log, asking, certificate, Some(&safe), comes, terms)?;
    turns::used(tx, of, &asking.user, terms.now)?;
    Ok(Appended::Counted(count))
}

/// For what a certificate that came too late was urgent.
fn urgency(
    tx: &dyn Tx,
    log: &OpenLog,
    of: SafeKey<'_>,
    (author, safe): (Role, &SafeRow),
    comes: &Comes,
) -> Result<Urgency, StoreError> {
    // Whoever is an owner comes first anyway: nothing is looked for.
    let looked_for = comes.ring.is_some() && author != Role::Owner;
    let view = StoredSafe { tx, of, row: Some(safe) };
    let brings_due_key = looked_for && is_due(&view, &log.view(tx), log.head().count)?;
    Ok(Urgency::of(author, brings_due_key))
}

/// Where the very same certificate of the same device stands already: the count with it.
fn again(tx: &dyn Tx, asking: &Asking<'_>, certificate: &Incoming) -> Result<Option<u64>, Refusal> {
    let payload = certificate.payload();
    let position = payload.previous.count;
    let there = tx.safe_certificate(asking.of, position)?;
    let same = payload.author == asking.device && there.as_deref() == Some(certificate.bytes());
    Ok(same.then(|| position.saturating_add(1)))
}

fn take_in(
    tx: &mut dyn Tx,
    log: &OpenLog,
    asking: &Asking<'_>,
    certificate: Incoming,
    safe: Option<&SafeRow>,
    comes: &Comes,
    terms: &Terms<'_>,
) -> Result<u64, Refusal> {
    let payload = certificate.payload();
    if payload.author != asking.device {
        return Err(ErrorCode::CertificateRefused.into());
    }
    terms.check_time(payload.time)?;
    check_seen(tx, log, payload.seen.count)?;
    terms.quotas.admit(
        tx,
        asking.bringer(),
        comes.bytes().saturating_add(certificate.bytes().len()),
        Wish::Keys,
    )?;
    let judged = {
        let view = StoredSafe { tx, of: asking.of, row: safe };
        judge_certificate(&view, &log.view(tx), || Some(certificate))
    };
    let judged = judged.map_err(|error| not_accepted(Kind::Certificate, error))?;
    let (accepted, effects) = judged.into_parts();
    if safe.is_none() {
        let safe = SafeToAdd { founder: &asking.device, founded_by: &asking.user, present: &effects.present };
        tx.insert_safe(asking.of, &safe)?;
    }
    keep_keys(tx, asking, &effects, accepted.payload(), comes, terms)?;
    let item = StoredItem { author: &asking.user, bytes: accepted.bytes() };
    tx.insert_safe_certificate(asking.of, &item, &accepted.after())?;
    carry_out(tx, asking.of, &effects)?;
    Ok(accepted.after().count)
}

/// Holds what comes with a certificate against it, and keeps it.
fn keep_keys(
    tx: &mut dyn Tx,
    asking: &Asking<'_>,
    effects: &Effects,
    payload: &parsec_protocol::safe_log::certificate::Payload,
    comes: &Comes,
    terms: &Terms<'_>,
) -> Result<(), Refusal> {
    match (&effects.key, &comes.ring) {
        (Some(key), Some(ring)) => {
            for part in &comes.parts {
                rings::keep_new_part(tx, asking, part, terms.now)?;
            }
            rings::keep_ring(tx, asking, key, ring)?;
        }
        (None, None) if comes.parts.is_empty() => {}
        (Some(_), None) | (None, _) => return Err(ErrorCode::RingRefused.into()),
    }
    let named = match &payload.body {
        Body::Changed { boxes, .. } => *boxes,
        Body::Created { .. } | Body::State { .. } => None,
    };
    rings::keep_boxes(tx, asking, effects, named, &comes.boxes, terms.now)
}
