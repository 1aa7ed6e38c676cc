//! May this certificate or record stand at this place of a safe? (docs/protocol.md, *The safe log*
//! and *Records*.)
//!
//! Decides by the item, the safe's items before it and the organisation's log as the author had
//! seen it, and by nothing else: no clock, no word of the server, nothing that is sealed. Members
//! and the server ask the same functions, each about their own view. Refuses with one [`Fault`] for
//! each rule. The signature is checked before the body is acted on.

mod changed;
mod fault;
mod here;

use self::changed::Changed;
pub use self::fault::Fault;
use self::here::{Author, Checked, Here};
use super::certificate::{
    Body, Change, Key, Payload, SafeCertificate, State, first_journal_head, first_log_head,
};
use super::effects::{By, Effects, Holders, Judged};
use super::record::{self, JournalRecord};
use super::ring::{Recipient, RingList};
use super::roles::Role;
use super::view::{Present, SafeView};
use super::{FORMAT, SUITE};
use crate::chain::candidate::Candidate;
use crate::chain::head::Head;
use crate::chain::organisation::at::MembersAt;
use crate::chain::organisation::certificate::Profile;
use crate::chain::view::NotAccepted;
use crate::ids::UserId;
use crate::limits::SAFE_LOG_MAX_CERTIFICATES;

/// Judges what `read` gives as the next certificate of the safe that is seen through `safe`. A full
/// log is refused before `read` is called: it costs nothing, however much a server sends.
///
/// # Errors
/// [`NotAccepted`]: the rule that it breaks, or why a view could not be asked.
pub fn judge_certificate<'a, S: SafeView, M: MembersAt<Error = S::Error>>(
    safe: &S,
    members: &M,
    read: impl FnOnce() -> Option<Candidate<'a, SafeCertificate>>,
) -> Checked<S, Judged<'a, SafeCertificate>> {
    let present = safe.present().map_err(NotAccepted::View)?;
    if present.is_some_and(|present| present.log.count >= SAFE_LOG_MAX_CERTIFICATES) {
        return Err(Fault::LogFull.into());
    }
    let candidate = read().ok_or(Fault::Malformed)?;
    let payload = candidate.payload();
    if payload.organisation != *safe.organisation() {
        return Err(Fault::WrongOrganisation.into());
    }
    if payload.safe != *safe.safe() {
        return Err(Fault::WrongSafe.into());
    }
    let (log, journal) = match &present {
        Some(present) => (present.log, present.journal),
        None => (
            first_log_head(&payload.organisation, &payload.safe, &payload.author),
            first_journal_head(&payload.organisation, &payload.safe, &payload.author),
        ),
    };
    if payload.previous != log {
        return Err(Fault::NotNext.into());
    }
    if payload.place != journal {
        return Err(Fault::OtherPlace.into());
    }
    let here = Here { safe, members, n: payload.seen.count };
    here.seen(&payload.seen, present.as_ref())?;
    let author = here.author(&payload.author)?;
    if !candidate.is_signed_by(&author.key) {
        return Err(Fault::BadSignature.into());
    }
    let after = log.after(candidate.bytes());
    let effects = here.certificate(payload, &author, present.as_ref(), after)?;
    Ok(Judged { item: candidate.accept(log), effects })
}

/// Whether an accepted certificate would stand as well if its author had seen `n` certificates of
/// the organisation's log, where that is more (docs/protocol.md, *Reader's floor*).
///
/// # Errors
/// [`NotAccepted`].
pub fn certificate_holds_at<S: SafeView, M: MembersAt<Error = S::Error>>(
    safe: &S,
    members: &M,
    payload: &Payload,
    n: u64,
) -> Checked<S> {
    if n <= payload.seen.count {
        return Ok(());
    }
    let here = Here { safe, members, n };
    let author = here.author(&payload.author)?;
    let present = safe.present().map_err(NotAccepted::View)?;
    // Where its log ends after it, nothing that is judged asks.
    here.certificate(payload, &author, present.as_ref(), payload.previous).map(|_| ())
}

/// Judges what `read` gives as the next record of the safe that is seen through `safe`.
///
/// # Errors
/// [`NotAccepted`]: the rule that it breaks, or why a view could not be asked.
pub fn judge_record<'a, S: SafeView, M: MembersAt<Error = S::Error>>(
    safe: &S,
    members: &M,
    read: impl FnOnce() -> Option<Candidate<'a, JournalRecord>>,
) -> Checked<S, Judged<'a, JournalRecord>> {
    let present = safe.present().map_err(NotAccepted::View)?.ok_or(Fault::Beginning)?;
    let candidate = read().ok_or(Fault::Malformed)?;
    let payload = candidate.payload();
    if payload.organisation != *safe.organisation() {
        return Err(Fault::WrongOrganisation.into());
    }
    if payload.safe != *safe.safe() {
        return Err(Fault::WrongSafe.into());
    }
    let next = (present.journal.count.saturating_add(1), present.journal.hash);
    if (payload.seq, payload.previous) != next {
        return Err(Fault::NotNext.into());
    }
    if payload.log != present.log {
        return Err(Fault::OtherPlace.into());
    }
    let here = Here { safe, members, n: payload.seen.count };
    here.seen(&payload.seen, Some(&present))?;
    let author = here.author(&payload.author)?;
    if !candidate.is_signed_by(&author.key) {
        return Err(Fault::BadSignature.into());
    }
    let after = present.journal.after(candidate.bytes());
    let effects = here.record(payload, &author, &present, after)?;
    Ok(Judged { item: candidate.accept(present.journal), effects })
}

/// As [`certificate_holds_at`], for a record.
///
/// # Errors
/// [`NotAccepted`].
pub fn record_holds_at<S: SafeView, M: MembersAt<Error = S::Error>>(
    safe: &S,
    members: &M,
    payload: &record::Payload,
    n: u64,
) -> Checked<S> {
    if n <= payload.seen.count {
        return Ok(());
    }
    let here = Here { safe, members, n };
    let author = here.author(&payload.author)?;
    let present = safe.present().map_err(NotAccepted::View)?.ok_or(Fault::Beginning)?;
    here.record(payload, &author, &present, present.journal).map(|_| ())
}

/// Whether a new key is due at `n` certificates of the organisation's log, which is not less than
/// the last item's author had seen. False before the first certificate.
///
/// # Errors
/// Why a view could not be asked.
pub fn is_due<S: SafeView, M: MembersAt<Error = S::Error>>(
    safe: &S,
    members: &M,
    n: u64,
) -> Result<bool, S::Error> {
    match safe.present()? {
        Some(present) => Here { safe, members, n }.due(&present),
        None => Ok(false),
    }
}

/// Who may take the safe over, at `n` certificates of the organisation's log: nobody where only
/// outsiders are left. None while somebody counts as its owner.
///
/// # Errors
/// Why a view could not be asked.
pub fn successors<S: SafeView, M: MembersAt<Error = S::Error>>(
    safe: &S,
    members: &M,
    n: u64,
) -> Result<Option<Vec<UserId>>, S::Error> {
    Here { safe, members, n }.successors(&safe.roles()?)
}

/// The list of a ring that a member would make now: those with role\* after `changes` who are not
/// suspended, at `n` certificates of the organisation's log.
///
/// # Errors
/// Why a view could not be asked.
pub fn ring_list<S: SafeView, M: MembersAt<Error = S::Error>>(
    safe: &S,
    members: &M,
    n: u64,
    changes: &[Change],
) -> Result<RingList, S::Error> {
    let mut roles = safe.roles()?;
    here::apply(&mut roles, changes);
    Here { safe, members, n }.list(&roles)
}

impl<S: SafeView, M: MembersAt<Error = S::Error>> Here<'_, S, M> {
    /// Rules 5 to 10.
    fn certificate(
        &self,
        payload: &Payload,
        author: &Author,
        present: Option<&Present>,
        log: Head,
    ) -> Checked<S, Effects> {
        match (present, &payload.body) {
            (None, Body::Created { suite, format, key_check, list, ring }) => {
                known(*suite, *format)?;
                let key = Key { epoch: 0, key_check: *key_check, list: *list, ring: *ring, lost: 0 };
                self.created(payload, author, key, log).map(|effects| {
                    let present = Present { suite: *suite, format: *format, ..effects.present };
                    Effects { present, ..effects }
                })
            }
            (None, _) | (Some(_), Body::Created { .. }) => Err(Fault::Beginning.into()),
            (Some(present), _) => self.later(payload, author, present, log),
        }
    }

    /// Rule 5.
    fn created(&self, payload: &Payload, author: &Author, key: Key, log: Head) -> Checked<S, Effects> {
        match author.at.profile {
            Profile::Administrator | Profile::Standard => {}
            Profile::Outsider => return Err(Fault::OutsiderCreates.into()),
        }
        if author.at.suspended {
            return Err(Fault::Suspended.into());
        }
        let user = author.user;
        let ring = RingList(vec![Recipient { user, key: author.at.encryption_key }]);
        if ring.hash() != key.list {
            return Err(Fault::WrongList.into());
        }
        let role = Role::Owner;
        Ok(Effects {
            by: By { device: payload.author, user, role },
            roles: vec![Change { user, role: Some(role) }],
            holders: Holders::Replaced(ring),
            key: Some(key),
            boxes_for: Vec::new(),
            present: Present {
                log,
                journal: payload.place,
                seen: payload.seen.count,
                key,
                due: false,
                state: State::Open,
                format: FORMAT,
                suite: SUITE,
            },
        })
    }

    /// Rules 6 to 10, of every certificate after the first.
    fn later(&self, payload: &Payload, author: &Author, before: &Present, log: Head) -> Checked<S, Effects> {
        match before.state {
            State::Deleted(time) if payload.time >= time => return Err(Fault::Deleted.into()),
            State::Open | State::ReadOnly | State::Deleted(_) => {}
        }
        let role = self.role_of(author)?;
        let by = By { device: payload.author, user: author.user, role };
        match &payload.body {
            Body::Created { .. } => Err(Fault::Beginning.into()),
            Body::Changed { changes, key, boxes } => {
                let (key, boxes) = (key.as_ref(), boxes.as_ref());
                Changed { here: self, by, author, before, changes, key, boxes }.judge(log)
            }
            Body::State { state, format, suite } => {
                if author.at.suspended {
                    return Err(Fault::Suspended.into());
                }
                if role != Role::Owner {
                    return Err(Fault::NotOwner.into());
                }
                known(*suite, *format)?;
                if *format < before.format || *suite < before.suite {
                    return Err(Fault::Lowered.into());
                }
                if (*state, *format, *suite) == (before.state, before.format, before.suite) {
                    return Err(Fault::SameState.into());
                }
                let effects = self.unshared(by, before)?;
                let (state, format, suite) = (*state, *format, *suite);
                let present = Present { log, state, format, suite, ..effects.present };
                Ok(Effects { present, ..effects })
            }
        }
    }

    /// What every item changes that changes no role and brings no key.
    fn unshared(&self, by: By, before: &Present) -> Checked<S, Effects> {
        Ok(Effects {
            by,
            roles: Vec::new(),
            holders: Holders::Joined(self.joined(before.seen).map_err(NotAccepted::View)?),
            key: None,
            boxes_for: Vec::new(),
            present: Present { seen: self.n, due: self.due(before).map_err(NotAccepted::View)?, ..*before },
        })
    }

    /// Rules 3 and 4 of records.
    fn record(
        &self,
        payload: &record::Payload,
        author: &Author,
        present: &Present,
        journal: Head,
    ) -> Checked<S, Effects> {
        let role = self.role_of(author)?;
        if author.at.suspended {
            return Err(Fault::Suspended.into());
        }
        if !role.writes() {
            return Err(Fault::NotWriter.into());
        }
        // The server lets go what is named there, and can't see whether the inside has a reason.
        if !payload.drops.is_empty() && !role.manages() {
            return Err(Fault::NotManager.into());
        }
        match present.state {
            State::Open => {}
            State::ReadOnly | State::Deleted(_) => return Err(Fault::NotOpen.into()),
        }
        if payload.epoch != present.key.epoch {
            return Err(Fault::WrongEpoch.into());
        }
        let by = By { device: payload.author, user: author.user, role };
        let effects = self.unshared(by, present)?;
        if effects.present.due {
            return Err(Fault::Due.into());
        }
        Ok(Effects { present: Present { journal, ..effects.present }, ..effects })
    }
}

/// Whether this program knows what a safe is written in.
const fn known(suite: u32, format: u32) -> Result<(), Fault> {
    match (suite, format) {
        (SUITE, FORMAT) => Ok(()),
        _ => Err(Fault::UnknownFormat),
    }
}
