//! Items of a safe that a restore took off its end, put back by a member who has verified them.
//!
//! Decides where they go on: what is here is compared and passed over, the rest is judged by the
//! rules as the first time, each at the place of the organisation's log that its author had seen.
//! What can't hold again (the author is the caller, the time is now, a turn) is not asked; that an
//! author had seen the newest of the organisation is, up to where its log was before the restore:
//! else any writer could put in, in the name of an old view, what every reader stops at. Refuses
//! another item at a place that is held, a gap, and whoever may not write when all is there.

use parsec_protocol::chain::candidate::Candidate;
use parsec_protocol::chain::organisation::at::MembersAt as _;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::chain::view::LogView as _;
use parsec_protocol::ids::{DeviceId, OrganisationId, Timestamp, UserId};
use parsec_protocol::relay::{ErrorCode, RepairItem, SafeRepair, SafeRepaired};
use parsec_protocol::safe_log::certificate::{Body, SafeCertificate};
use parsec_protocol::safe_log::effects::Effects;
use parsec_protocol::safe_log::record::JournalRecord;
use parsec_protocol::safe_log::rules::{judge_certificate, judge_record};

use super::access::counting;
use super::certificates::{Comes, check_counts};
use super::faults::{Kind, not_accepted};
use super::past::{Past, is_still};
use super::quota::{Bringer, Wish};
use super::records::drop_objects;
use super::turns::{self, Admission};
use super::view::StoredSafe;
use super::{Asking, SKEW_SECONDS, Terms, carry_out, rings};
use crate::errors::Refusal;
use crate::store::log::OpenLog;
use crate::store::safes::{ObjectState, Restored, SafeRow, SafeToAdd, StoredItem};
use crate::store::{StoreError, Tx};

/// How long after a restore items may come back whose authors had not seen what was added to the
/// organisation's log since: whoever was away for a quarter of a year is heard.
pub(crate) const RESTORED_SECONDS: u64 = 90 * 86_400;

/// An item that was read.
#[derive(Debug)]
pub(crate) enum Item {
    Certificate(Candidate<'static, SafeCertificate>, Comes),
    Record(Candidate<'static, JournalRecord>),
}

/// Objects that the records of one call name: as many as fit a call's bytes as clients fill it,
/// with 17 for each. Each is a row or two, while all others wait.
const OBJECTS_NAMED_MAX: usize = 60_000;

impl Item {
    fn objects(&self) -> usize {
        match self {
            Self::Certificate(..) => 0,
            Self::Record(record) => {
                let payload = record.payload();
                payload.adds.len().saturating_add(payload.drops.len()).saturating_add(payload.keeps.len())
            }
        }
    }
}

/// Reads all items of a call, and checks their signatures ahead under the keys that the
/// organisation's log gives their authors: outside of any transaction, where nobody else waits.
///
/// # Errors
/// `certificate_refused`, `record_refused`.
pub(crate) fn read(asked: SafeRepair, past: &VerifiedLog) -> Result<Vec<Item>, Refusal> {
    let key = |author: &DeviceId| past.device(author).map(|device| device.verify_key);
    let read = |item| match item {
        RepairItem::Certificate { certificate, ring, parts, boxes } => {
            let mut read = Candidate::<SafeCertificate>::read(Vec::from(certificate))
                .ok_or(ErrorCode::CertificateRefused)?;
            if let Some(key) = key(&read.payload().author) {
                read.verify(&key);
            }
            Ok(Item::Certificate(read, Comes { ring, parts, boxes }))
        }
        RepairItem::Record { record } => {
            let mut read =
                Candidate::<JournalRecord>::read(Vec::from(record)).ok_or(ErrorCode::RecordRefused)?;
            if let Some(key) = key(&read.payload().author) {
                read.verify(&key);
            }
            Ok(Item::Record(read))
        }
    };
    asked.items.into_iter().map(read).collect()
}

/// Notes that an organisation's log has lost certificates behind the first so many: they were put
/// back just now.
pub(crate) fn note_restored(
    tx: &mut dyn Tx,
    organisation: &OrganisationId,
    certificates: u64,
    now: Timestamp,
) -> Result<(), StoreError> {
    let known = valid(tx.restored(organisation)?, now).map_or(u64::MAX, |known| known.certificates);
    let restored = Restored { certificates: certificates.min(known), since: now };
    tx.set_restored(organisation, &restored)
}

fn valid(restored: Option<Restored>, now: Timestamp) -> Option<Restored> {
    restored.filter(|restored| now <= restored.since.plus_seconds(RESTORED_SECONDS))
}

/// How much of the organisation's log an item's author must have seen: the newest that is no
/// enrolment of what was here before a restore, and of all where none is known. Items that were
/// lost were written after the backup, by authors who had seen that much.
fn floor(tx: &dyn Tx, past: &VerifiedLog, now: Timestamp) -> Result<u64, Refusal> {
    let restored = valid(tx.restored(past.organisation())?, now);
    let of = restored.map_or(past.count(), |restored| restored.certificates);
    let newest = Past(past).changed_before(of)?;
    Ok(newest.map_or(0, |position| position.saturating_add(1)))
}

/// Puts items back, in their order. The lock of the organisation's log is held.
///
/// # Errors
/// `safe_conflict`: another item stands at one of these places, or one before them is missing;
/// `behind`: the organisation's log is to be repaired first; `safe_unknown` and `not_allowed`: the
/// caller may not write in it when all is there; and as when an item is new.
pub(crate) fn put_back(
    tx: &mut dyn Tx,
    log: &OpenLog,
    asking: &Asking<'_>,
    past: &VerifiedLog,
    items: Vec<Item>,
    terms: &Terms<'_>,
) -> Result<SafeRepaired, Refusal> {
    if !is_still(tx, log.organisation(), past.head())? {
        return Err(Refusal::UNAVAILABLE);
    }
    let floor = floor(tx, past, terms.now)?;
    let restored = valid(tx.restored(past.organisation())?, terms.now).is_some();
    if items.iter().map(Item::objects).fold(0, usize::saturating_add) > OBJECTS_NAMED_MAX {
        return Err(ErrorCode::TooLarge.into());
    }
    if tx.lock_safe(asking.of)?.is_some()
        && let Admission::Held(_) = turns::admit(tx, asking.of, &asking.user, terms.now)?
    {
        return Err(Refusal::UNAVAILABLE);
    }
    let known = tx.role(asking.of, &asking.user)?.is_some();
    let mut added = 0_u64;
    for item in items {
        let safe = tx.lock_safe(asking.of)?;
        let at = At { asking, past, safe: safe.as_ref(), floor, restored, terms };
        let new = match item {
            Item::Certificate(certificate, comes) => at.certificate(tx, certificate, comes),
            Item::Record(record) => at.record(tx, record),
        };
        // Whoever is told of no such safe is not told of what is in it, either.
        added = added.saturating_add(u64::from(new.map_err(|refusal| hidden(refusal, known))?));
    }
    let role = counting(tx, asking.of, &asking.user)?;
    match (role.is_some_and(|role| role.writes()), tx.safe(asking.of)?) {
        (true, Some(safe)) => {
            Ok(SafeRepaired { log: safe.present.log.count, seq: safe.present.journal.count, added })
        }
        (false, Some(_)) if tx.role(asking.of, &asking.user)?.is_some() => Err(ErrorCode::NotAllowed.into()),
        (_, _) => Err(ErrorCode::SafeUnknown.into()),
    }
}

fn hidden(refusal: Refusal, known: bool) -> Refusal {
    match refusal.code {
        ErrorCode::Behind | ErrorCode::Internal | ErrorCode::Unavailable | ErrorCode::QuotaReached => refusal,
        _ if known => refusal,
        _ => ErrorCode::SafeUnknown.into(),
    }
}

/// Where an item is put back.
struct At<'a> {
    asking: &'a Asking<'a>,
    past: &'a VerifiedLog,
    safe: Option<&'a SafeRow>,
    floor: u64,
    /// Whether the server knows that it was put back from a backup.
    restored: bool,
    terms: &'a Terms<'a>,
}

impl At<'_> {
    /// Puts a certificate back; whether it was missing.
    fn certificate(
        &self,
        tx: &mut dyn Tx,
        certificate: Candidate<'static, SafeCertificate>,
        comes: Comes,
    ) -> Result<bool, Refusal> {
        let (of, payload) = (self.asking.of, certificate.payload());
        if payload.safe != *of.safe {
            return Err(ErrorCode::CertificateRefused.into());
        }
        let position = payload.previous.count;
        if position < self.safe.map_or(0, |safe| safe.present.log.count) {
            return compared(tx.safe_certificate(of, position)?, certificate.bytes());
        }
        match self.safe {
            Some(safe) if (payload.previous, payload.place) != (safe.present.log, safe.present.journal) => {
                return Err(ErrorCode::SafeConflict.into());
            }
            None if !matches!(payload.body, Body::Created { .. }) => {
                return Err(ErrorCode::SafeConflict.into());
            }
            Some(_) => {}
            None => {
                let founder = self.past.device(&payload.author).map(|device| device.user);
                check_counts(tx, of, &founder.ok_or(ErrorCode::CertificateRefused)?)?;
            }
        }
        self.check(payload.time, payload.seen.count)?;
        let bytes = comes.bytes().saturating_add(certificate.bytes().len());
        self.terms.quotas.admit(tx, Bringer { of, user: None }, bytes, Wish::Keys)?;
        let judged = {
            let view = StoredSafe { tx, of, row: self.safe };
            judge_certificate(&view, &Past(self.past), || Some(certificate))
        };
        let judged = judged.map_err(|error| not_accepted(Kind::Certificate, error))?;
        let (accepted, effects) = judged.into_parts();
        let by = Asking { of, device: effects.by.device, user: effects.by.user };
        if self.safe.is_none() {
            let safe = SafeToAdd { founder: &by.device, founded_by: &by.user, present: &effects.present };
            tx.insert_safe(of, &safe)?;
        }
        let named = match &accepted.payload().body {
            Body::Changed { boxes, .. } => *boxes,
            Body::Created { .. } | Body::State { .. } => None,
        };
        self.keep_keys(tx, &by, &effects, &comes)?;
        if !comes.boxes.is_empty() {
            rings::keep_boxes(tx, &by, &effects, named, &comes.boxes, self.terms.now)?;
        }
        let item = StoredItem { author: &by.user, bytes: accepted.bytes() };
        tx.insert_safe_certificate(of, &item, &accepted.after())?;
        carry_out(tx, of, &effects)?;
        Ok(true)
    }

    /// The ring of a certificate that makes a key, without which nobody could go on. Boxes can be
    /// made again by every member.
    fn keep_keys(
        &self,
        tx: &mut dyn Tx,
        by: &Asking<'_>,
        effects: &Effects,
        comes: &Comes,
    ) -> Result<(), Refusal> {
        match (&effects.key, &comes.ring) {
            (Some(key), Some(ring)) => {
                for part in &comes.parts {
                    rings::keep_new_part(tx, by, part, self.terms.now)?;
                }
                rings::keep_ring(tx, by, key, ring)
            }
            (None, None) if comes.parts.is_empty() => Ok(()),
            (Some(_), None) => Err(ErrorCode::RingMissing.into()),
            (None, _) => Err(ErrorCode::RingRefused.into()),
        }
    }

    /// Puts a record back; whether it was missing.
    fn record(&self, tx: &mut dyn Tx, record: Candidate<'static, JournalRecord>) -> Result<bool, Refusal> {
        let (of, payload) = (self.asking.of, record.payload());
        if payload.safe != *of.safe {
            return Err(ErrorCode::RecordRefused.into());
        }
        let safe = self.safe.ok_or(ErrorCode::SafeConflict)?;
        let (log, journal) = (safe.present.log, safe.present.journal);
        if payload.seq <= journal.count {
            return compared(tx.record(of, payload.seq)?, record.bytes());
        }
        let next = (journal.count.saturating_add(1), journal.hash, log);
        if (payload.seq, payload.previous, payload.log) != next {
            return Err(ErrorCode::SafeConflict.into());
        }
        self.check(payload.time, payload.seen.count)?;
        self.terms.quotas.admit(tx, Bringer { of, user: None }, record.bytes().len(), Wish::Contents)?;
        let judged = {
            let view = StoredSafe { tx, of, row: Some(safe) };
            judge_record(&view, &Past(self.past), || Some(record))
        };
        let judged = judged.map_err(|error| not_accepted(Kind::Record, error))?;
        let (accepted, effects) = judged.into_parts();
        let (payload, author): (_, UserId) = (accepted.payload(), effects.by.user);
        drop_objects(tx, of, payload, self.terms.now)?;
        // Their bytes may be lost: the record is true all the same, and whoever has them brings
        // them.
        for object in payload.adds.iter().chain(&payload.keeps) {
            let before = tx.object(of, object)?.map(|there| there.state);
            tx.set_object_state(of, object, ObjectState::Added, None)?;
            // Somebody may have brought other bytes under its id since: whoever added it brings the
            // right ones.
            if before.is_none_or(|state| state == ObjectState::Uploaded) {
                tx.await_object(of, object, &author)?;
            }
        }
        let item = StoredItem { author: &author, bytes: accepted.bytes() };
        tx.insert_record(of, &item, &accepted.after())?;
        carry_out(tx, of, &effects)?;
        Ok(true)
    }

    /// Refuses what nobody can have written yet, and who had seen too little of the organisation's
    /// log, or more than there is of it here.
    fn check(&self, time: Timestamp, seen: u64) -> Result<(), Refusal> {
        // Of a restore nothing is known: then what is put back was written just now. Else whoever
        // manages a safe could have time pass in it, and throw away at once.
        if !self.restored {
            self.terms.check_time(time)?;
        } else if time > self.terms.now.plus_seconds(SKEW_SECONDS) {
            return Err(ErrorCode::ClockSkew.into());
        }
        let end = Past(self.past).head()?.count;
        if (self.floor..=end).contains(&seen) { Ok(()) } else { Err(Refusal::BEHIND) }
    }
}

/// What is there at the place of an item is that item, or the two are of different pasts.
fn compared(there: Option<Vec<u8>>, offered: &[u8]) -> Result<bool, Refusal> {
    if there.as_deref() == Some(offered) { Ok(false) } else { Err(ErrorCode::SafeConflict.into()) }
}
