//! A record on its way into a safe's journal, with the objects that it adds.
//!
//! Decides what is asked of it beside the rules: its author is the caller and has seen the newest
//! of the organisation, and every object that it adds is here. A record that lost a race is no
//! fault: its author is given what stands in its place.

use parsec_protocol::chain::candidate::Candidate;
use parsec_protocol::chain::head::Head;
use parsec_protocol::ids::{ObjectId, Timestamp};
use parsec_protocol::public_keys::VerifyKey;
use parsec_protocol::relay::{ErrorCode, RecordAnswer};
use parsec_protocol::safe_log::record::{JournalRecord, Payload};
use parsec_protocol::safe_log::rules::judge_record;

use super::faults::{Kind, not_accepted};
use super::quota::Wish;
use super::turns::Admission;
use super::view::StoredSafe;
use super::{Asking, Terms, carry_out, check_seen, turns};
use crate::errors::Refusal;
use crate::store::log::OpenLog;
use crate::store::safes::{ObjectState, SafeKey, StoredItem, Urgency};
use crate::store::{StoreError, Tx};

/// A record that came in.
pub(crate) type Incoming = Candidate<'static, JournalRecord>;

/// Reads a record, and checks its signature ahead under the caller's key: outside of any
/// transaction, where nobody else waits.
pub(crate) fn read(bytes: &[u8], caller: &VerifyKey) -> Result<Incoming, Refusal> {
    let mut record = Incoming::read(bytes.to_vec()).ok_or(ErrorCode::RecordRefused)?;
    record.verify(caller);
    Ok(record)
}

/// What became of a record that breaks no rule.
#[derive(Debug)]
pub(crate) enum Posted {
    Answered(RecordAnswer),
    /// Somebody else has the turn until then: it may be tried again, and nothing has been judged.
    Held(Timestamp),
}

/// How long what a record has dropped stays, a month: longer than the oldest backup that somebody
/// restores, and long enough for members to notice a record that drops what it must not.
const DROPPED_SECONDS: u64 = 30 * 86_400;

/// Puts a record at the end of a safe's journal, or says how far the safe has gone on. The lock of
/// the organisation's log is held.
///
/// # Errors
/// `safe_unknown`, `clock_skew`, `behind`, `not_allowed`, `rekey_needed`, `safe_not_open`,
/// `object_missing`, `record_refused`, `quota_reached`.
pub(crate) fn post(
    tx: &mut dyn Tx,
    log: &OpenLog,
    asking: &Asking<'_>,
    record: Incoming,
    terms: &Terms<'_>,
) -> Result<Posted, Refusal> {
    let of = asking.of;
    let safe = tx.lock_safe(of)?;
    let role = tx.role(of, &asking.user)?;
    let (role, safe) = role.zip(safe).ok_or(ErrorCode::SafeUnknown)?;
    let payload = record.payload();
    if payload.author != asking.device {
        return Err(ErrorCode::RecordRefused.into());
    }
    if tx.record(of, payload.seq)?.as_deref() == Some(record.bytes()) {
        return Ok(Posted::Answered(RecordAnswer::Accepted { seq: payload.seq }));
    }
    let (ends, journal) = (safe.present.log, safe.present.journal);
    let next = (journal.count.saturating_add(1), journal.hash, ends);
    if (payload.seq, payload.previous, payload.log) != next {
        if role.writes() {
            turns::lost(tx, of, &asking.user, Urgency::Record, terms.now)?;
        }
        return moved_on(tx, of, payload, ends);
    }
    if let Admission::Held(ends_at) = turns::admit(tx, of, &asking.user, terms.now)? {
        return if terms.has_waited { moved_on(tx, of, payload, ends) } else { Ok(Posted::Held(ends_at)) };
    }
    terms.check_time(payload.time)?;
    check_seen(tx, log, payload.seen.count)?;
    // What makes room, or takes back what somebody has thrown away, is let in where a safe is full.
    let frees = payload.adds.is_empty() && (role.manages() || !payload.keeps.is_empty());
    let wish = if frees { Wish::Keys } else { Wish::Contents };
    terms.quotas.admit(tx, asking.bringer(), record.bytes().len(), wish)?;
    let judged = {
        let view = StoredSafe { tx, of, row: Some(&safe) };
        judge_record(&view, &log.view(tx), || Some(record))
    };
    let judged = judged.map_err(|error| not_accepted(Kind::Record, error))?;
    let (accepted, effects) = judged.into_parts();
    let payload = accepted.payload();
    drop_objects(tx, of, payload, terms.now)?;
    // Behind it: what a record drops and keeps, it keeps.
    added(tx, asking, &payload.adds)?;
    added(tx, asking, &payload.keeps)?;
    let item = StoredItem { author: &asking.user, bytes: accepted.bytes() };
    tx.insert_record(of, &item, &accepted.after())?;
    carry_out(tx, of, &effects)?;
    turns::used(tx, of, &asking.user, terms.now)?;
    Ok(Posted::Answered(RecordAnswer::Accepted { seq: accepted.after().count }))
}

/// Lets go what an accepted record drops, after a time of grace.
pub(super) fn drop_objects(
    tx: &mut dyn Tx,
    of: SafeKey<'_>,
    payload: &Payload,
    now: Timestamp,
) -> Result<(), StoreError> {
    // Whether it is void inside, only members can tell: what a void one drops they keep, and have
    // the time of grace for it.
    let due = now.plus_seconds(DROPPED_SECONDS);
    for object in &payload.drops {
        // One that has gone is dropped as well as can be. What no record has added goes by itself.
        // What is awaited stays so: a void record must not keep it from coming back.
        if tx.object(of, object)?.is_some_and(|there| there.state == ObjectState::Added) {
            tx.set_object_state(of, object, ObjectState::Dropped, Some(due))?;
        }
    }
    Ok(())
}

/// What stands where the record was to stand.
fn moved_on(tx: &dyn Tx, of: SafeKey<'_>, payload: &Payload, log: Head) -> Result<Posted, Refusal> {
    let page = tx.journal(of, payload.seq.saturating_sub(1))?;
    Ok(Posted::Answered(RecordAnswer::MovedOn { log: log.count, seq: page.seq, records: page.records }))
}

/// Objects are the safe's, and have no end.
fn added(tx: &mut dyn Tx, asking: &Asking<'_>, objects: &[ObjectId]) -> Result<(), Refusal> {
    for object in objects {
        if !tx.set_object_state(asking.of, object, ObjectState::Added, None)? {
            return Err(ErrorCode::ObjectMissing.into());
        }
    }
    Ok(())
}
