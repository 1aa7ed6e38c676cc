//! Items of a safe, in their one order: certificates and records as they came, verified one behind
//! the other.
//!
//! Decides which comes next: a certificate says after which record it stands, a record after which
//! certificate. Refuses nothing itself: the rules of `safe_log` do, and what they refuse ends the
//! row there. Nothing behind it is looked at.

use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::ids::{Timestamp, UserId};
use parsec_protocol::safe_log::certificate::{self, first_journal_head, first_log_head};
use parsec_protocol::safe_log::record;
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safe_log::safe::{NotTaken, VerifiedSafe};

use crate::session::open_safes::OpenSafe;
use crate::store::StoredRecord;

/// Where a safe's two logs end, as far as they were verified here.
pub(crate) fn ends(safe: &OpenSafe, verified: &VerifiedSafe) -> [Head; 2] {
    match verified.present() {
        Some(now) => [now.log, now.journal],
        None => [
            first_log_head(&safe.organisation, &safe.id, &safe.founder),
            first_journal_head(&safe.organisation, &safe.id, &safe.founder),
        ],
    }
}

/// What came from the server, unverified.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Certificates behind those that are here.
    pub(crate) certificates: Vec<Vec<u8>>,
    /// Records behind those that are here.
    pub(crate) records: Vec<Vec<u8>>,
}

/// What was verified of it.
#[derive(Debug, Default)]
pub(crate) struct Verified {
    pub(crate) certificates: Vec<Vec<u8>>,
    pub(crate) records: Vec<StoredRecord>,
    /// Whether a key was declared lost: what was sealed under it is void from now on.
    pub(crate) lost: bool,
    /// Who last gave the device's user a role, or took it away.
    pub(crate) gave_role: Option<(UserId, Option<Role>)>,
    /// Who took the safe over, in their order.
    pub(crate) taken_over: Vec<TakenOver>,
}

/// A takeover that was just verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TakenOver {
    pub(crate) by: UserId,
    pub(crate) time: Timestamp,
    /// The number of its certificate in the safe's log, so that no two are told in the same words.
    pub(crate) certificate: u64,
}

/// Why items end where they do, and what was not looked at: the refused one is its first.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) why: NotTaken,
    pub(crate) rest: Batch,
}

impl Verified {
    /// What was verified behind it.
    pub(crate) fn extend(&mut self, more: Self) {
        self.certificates.extend(more.certificates);
        self.records.extend(more.records);
        self.lost |= more.lost;
        self.gave_role = more.gave_role.or(self.gave_role);
        self.taken_over.extend(more.taken_over);
    }
}

/// How many of the items lead from one head to another; none where they don't.
fn until<'a>(from: Head, items: impl Iterator<Item = &'a Vec<u8>>, to: Head) -> Option<usize> {
    let mut head = from;
    let mut count = 0;
    let mut items = items;
    while head.count < to.count {
        head = head.after(items.next()?);
        count += 1;
    }
    (head == to).then_some(count)
}

impl Batch {
    /// How many certificates and records of it lead from these ends of the logs to those; none
    /// where it doesn't lead there.
    pub(crate) fn ends_at(&self, from: [Head; 2], to: [Head; 2]) -> Option<[usize; 2]> {
        Some([until(from[0], self.certificates.iter(), to[0])?, until(from[1], self.records.iter(), to[1])?])
    }

    /// What is behind so many certificates and records.
    pub(crate) fn split_off(&mut self, counts: [usize; 2]) -> Self {
        let after = |items: &mut Vec<Vec<u8>>, count: usize| items.split_off(count.min(items.len()));
        Self {
            certificates: after(&mut self.certificates, counts[0]),
            records: after(&mut self.records, counts[1]),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.certificates.is_empty() && self.records.is_empty()
    }

    /// How much of the organisation's log its authors have seen.
    pub(crate) fn seen(&self) -> u64 {
        let certificates = self
            .certificates
            .iter()
            .filter_map(|bytes| Some(certificate::Envelope::decode(bytes).ok()?.payload().ok()?.seen.count));
        let records = self
            .records
            .iter()
            .filter_map(|bytes| Some(record::Envelope::decode(bytes).ok()?.payload().ok()?.seen.count));
        certificates.chain(records).max().unwrap_or(0)
    }
}

/// After how many records a certificate stands; 0 for one that can't be read, which the rules
/// refuse.
fn place_of(bytes: &[u8]) -> u64 {
    let payload = certificate::Envelope::decode(bytes).and_then(|envelope| envelope.payload());
    payload.map_or(0, |payload| payload.place.count)
}

/// After how many certificates a record stands; likewise.
fn log_of(bytes: &[u8]) -> u64 {
    let payload = record::Envelope::decode(bytes).and_then(|envelope| envelope.payload());
    payload.map_or(0, |payload| payload.log.count)
}

/// An item, of one kind or the other.
pub(crate) enum Step {
    Certificate(Vec<u8>),
    Record(Vec<u8>),
}

impl Batch {
    /// The items in their one order, from behind so many certificates and records on, as far as
    /// they are here: they were verified before.
    pub(crate) fn steps(self, from: [u64; 2]) -> impl Iterator<Item = Step> {
        let [mut log, mut journal] = from;
        let mut certificates = self.certificates.into_iter().peekable();
        let mut records = self.records.into_iter().peekable();
        std::iter::from_fn(move || {
            if let Some(envelope) = certificates.next_if(|bytes| place_of(bytes) <= journal) {
                log = log.saturating_add(1);
                return Some(Step::Certificate(envelope));
            }
            let record = records.next_if(|bytes| log_of(bytes) <= log)?;
            journal = journal.saturating_add(1);
            Some(Step::Record(record))
        })
    }
}

/// Verifies as far as the items go on from `safe`, which then has them. The second is why the next
/// one was refused, if one was, with what was not taken.
pub(crate) fn verify(
    safe: &mut VerifiedSafe,
    members: &VerifiedLog,
    own: UserId,
    batch: Batch,
) -> (Verified, Option<Refused>) {
    let mut verified = Verified::default();
    let mut certificates = batch.certificates.into_iter().peekable();
    let mut records = batch.records.into_iter().peekable();
    let why = loop {
        let (log, journal) = safe.present().map_or((0, 0), |now| (now.log.count, now.journal.count));
        if let Some(bytes) = certificates.peek().filter(|bytes| place_of(bytes) <= journal) {
            match safe.push_certificate(bytes, members) {
                Ok(judged) => {
                    let by = judged.effects().by.user;
                    let mine = judged.effects().roles.iter().find(|change| change.user == own);
                    verified.gave_role = mine.map(|change| (by, change.role)).or(verified.gave_role);
                    if judged.effects().is_takeover() {
                        let payload = judged.item().payload();
                        let certificate = payload.previous.count.saturating_add(1);
                        verified.taken_over.push(TakenOver { by, time: payload.time, certificate });
                    }
                    verified.lost |= judged.effects().key.is_some_and(|key| key.lost > 0);
                }
                Err(why) => break why,
            }
            verified.certificates.extend(certificates.next());
        } else if let Some(bytes) = records.peek().filter(|bytes| log_of(bytes) <= log) {
            let by = match safe.push_record(bytes, members) {
                Ok(judged) => judged.effects().by,
                Err(why) => break why,
            };
            let envelope = records.next();
            let stored = |envelope| StoredRecord { author: by.user, role: by.role, envelope };
            verified.records.extend(envelope.map(stored));
        } else {
            return (verified, None);
        }
    };
    let rest = Batch { certificates: certificates.collect(), records: records.collect() };
    (verified, Some(Refused { why, rest }))
}
