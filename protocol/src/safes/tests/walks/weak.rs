//! The shipped rules with one defence less: a view of the safe that lies to them in one thing.
//!
//! Decides what each weakness is, and that everything else stays as the rules have it: whatever an
//! accepted item changes is put right afterwards, so that the lie ends with the judgement. Refuses
//! to be more than one weakness at a time.

use std::collections::BTreeMap;
use std::convert::Infallible;

use crate::chain::candidate::Candidate;
use crate::chain::head::Head;
use crate::chain::organisation::log::VerifiedLog;
use crate::chain::view::NotAccepted;
use crate::ids::{OrganisationId, SafeId, UserId};
use crate::safe_log::certificate::{self, Payload, SafeCertificate};
use crate::safe_log::effects::Effects;
use crate::safe_log::record::{self, JournalRecord};
use crate::safe_log::roles::Role;
use crate::safe_log::rules::{self, Fault};
use crate::safe_log::safe::{NotTaken, VerifiedSafe};
use crate::safe_log::view::{Present, SafeView};
use crate::sealing::KeyHash;

/// Which defence is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Weak {
    /// None: the shipped rules.
    Nothing,
    /// A record of an epoch before is taken.
    OldEpoch,
    /// Nobody looks for who has the key but in its ring.
    RingOnly,
    /// A role that somebody had is one that they have.
    RoleOnce,
    /// A certificate may name another end of the safe's log than the present one.
    AnyPrevious,
    /// A certificate may name another end of the journal than the present one.
    AnyPlace,
    /// A record may name any certificate of the safe.
    AnyCertificate,
    /// What an author has seen may be less than what the one before had.
    SeenFalls,
    /// What a reader knew before counts for nothing.
    NoFloor,
    /// Roles are those that a reader knows, not those that the author had seen.
    OwnView,
    /// The server puts behind each other whatever comes.
    NoCompare,
    /// The server takes what was made without the newest of the organisation.
    Behind,
    /// A device posts its queue as it was, wherever the journal is by then.
    NoRebase,
    /// A device lets its queue go where somebody else's record was first.
    Forgets,
    /// None but owners make a key that is due.
    OwnersOnly,
}

impl Weak {
    /// As which the readers judge.
    pub(super) const fn readers(self) -> Self {
        match self {
            Self::NoCompare | Self::Behind | Self::NoRebase | Self::Forgets | Self::OwnersOnly => {
                Self::Nothing
            }
            weak => weak,
        }
    }

    /// As which the server judges.
    pub(super) const fn server(self) -> Self {
        match self {
            Self::NoCompare => Self::NoCompare,
            weak => weak.readers(),
        }
    }

    /// Whether the rules are asked as they are shipped, and about the safe as it is.
    pub(super) const fn is_shipped(self) -> bool {
        match self {
            Self::OldEpoch
            | Self::RingOnly
            | Self::RoleOnce
            | Self::AnyPrevious
            | Self::AnyPlace
            | Self::AnyCertificate
            | Self::SeenFalls
            | Self::NoCompare => false,
            Self::Nothing
            | Self::NoFloor
            | Self::OwnView
            | Self::Behind
            | Self::NoRebase
            | Self::Forgets
            | Self::OwnersOnly => true,
        }
    }
}

/// What an item says of its place, which a weak reader believes.
struct Claimed {
    log: Head,
    journal: Head,
    seen: u64,
    epoch: Option<u64>,
}

/// Who was in a safe at some time, beside what the safe itself remembers.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    /// The ring of the present key.
    pub(super) ring: BTreeMap<UserId, KeyHash>,
    /// The highest role that each has had.
    pub(super) highest: BTreeMap<UserId, Role>,
}

struct Lying<'a> {
    safe: &'a VerifiedSafe,
    memory: &'a Memory,
    weak: Weak,
    claimed: Claimed,
}

/// Judges as a reader with this weakness does.
pub(super) fn judge(
    safe: &VerifiedSafe,
    memory: &Memory,
    members: &VerifiedLog,
    weak: Weak,
    bytes: &[u8],
    is_record: bool,
) -> Result<Effects, NotTaken> {
    if is_record {
        let payload = record::Envelope::decode(bytes).unwrap().payload().unwrap();
        record(safe, memory, members, weak, bytes, &payload)
    } else {
        let payload = certificate::Envelope::decode(bytes).unwrap().payload().unwrap();
        certificate(safe, memory, members, weak, bytes, &payload)
    }
}

fn certificate(
    safe: &VerifiedSafe,
    memory: &Memory,
    members: &VerifiedLog,
    weak: Weak,
    bytes: &[u8],
    payload: &Payload,
) -> Result<Effects, NotTaken> {
    let claimed =
        Claimed { log: payload.previous, journal: payload.place, seen: payload.seen.count, epoch: None };
    let view = Lying { safe, memory, weak, claimed };
    let read = || Candidate::<SafeCertificate>::read(bytes);
    let judged = rules::judge_certificate(&view, members, read).map_err(by_rule)?;
    rules::certificate_holds_at(&view, members, payload, safe.floor()).map_err(by_floor)?;
    let mut effects = judged.into_parts().1;
    if let Some(present) = safe.present() {
        effects.present.log = present.log.after(bytes);
        effects.present.journal = present.journal;
    }
    Ok(effects)
}

fn record(
    safe: &VerifiedSafe,
    memory: &Memory,
    members: &VerifiedLog,
    weak: Weak,
    bytes: &[u8],
    payload: &record::Payload,
) -> Result<Effects, NotTaken> {
    let journal = Head { count: payload.seq.saturating_sub(1), hash: payload.previous };
    let claimed = Claimed { log: payload.log, journal, seen: payload.seen.count, epoch: Some(payload.epoch) };
    let view = Lying { safe, memory, weak, claimed };
    let read = || Candidate::<JournalRecord>::read(bytes);
    let judged = rules::judge_record(&view, members, read).map_err(by_rule)?;
    rules::record_holds_at(&view, members, payload, safe.floor()).map_err(by_floor)?;
    let mut effects = judged.into_parts().1;
    if let Some(present) = safe.present() {
        effects.present.log = present.log;
        effects.present.journal = present.journal.after(bytes);
        effects.present.key = present.key;
    }
    Ok(effects)
}

fn by_rule(refused: NotAccepted<Fault, Infallible>) -> NotTaken {
    NotTaken::Fault(refused.fault())
}

fn by_floor(refused: NotAccepted<Fault, Infallible>) -> NotTaken {
    NotTaken::BelowFloor(refused.fault())
}

impl Lying<'_> {
    fn lie(&self, mut present: Present) -> Present {
        let Claimed { log, journal, seen, epoch } = &self.claimed;
        let is_record = epoch.is_some();
        match self.weak {
            Weak::NoCompare => {
                present.log = *log;
                present.journal = *journal;
            }
            Weak::AnyPrevious if !is_record => present.log = *log,
            Weak::AnyPlace if !is_record => present.journal = *journal,
            Weak::AnyCertificate if is_record => present.log = *log,
            // Less than it claims: so that who joins and what is news is looked for anew.
            Weak::SeenFalls if *seen < present.seen => present.seen = seen.saturating_sub(1),
            Weak::OldEpoch => present.key.epoch = epoch.unwrap_or(present.key.epoch),
            _ => {}
        }
        present
    }
}

impl SafeView for Lying<'_> {
    type Error = Infallible;

    fn organisation(&self) -> &OrganisationId {
        self.safe.organisation()
    }

    fn safe(&self) -> &SafeId {
        self.safe.id()
    }

    fn present(&self) -> Result<Option<Present>, Infallible> {
        Ok(self.safe.present().map(|present| self.lie(*present)))
    }

    fn role(&self, user: &UserId) -> Result<Option<Role>, Infallible> {
        if self.weak == Weak::RoleOnce {
            return Ok(self.memory.highest.get(user).copied());
        }
        Ok(self.safe.role(user))
    }

    fn roles(&self) -> Result<BTreeMap<UserId, Role>, Infallible> {
        SafeView::roles(self.safe)
    }

    fn holders(&self) -> Result<BTreeMap<UserId, KeyHash>, Infallible> {
        if self.weak == Weak::RingOnly {
            return Ok(self.memory.ring.clone());
        }
        SafeView::holders(self.safe)
    }
}

/// Whether a key is due, by whoever looks with this weakness.
pub(super) fn is_due(safe: &VerifiedSafe, memory: &Memory, members: &VerifiedLog, weak: Weak) -> bool {
    let Some(present) = safe.present() else { return false };
    let claimed = Claimed { log: present.log, journal: present.journal, seen: present.seen, epoch: None };
    let view = Lying { safe, memory, weak, claimed };
    match rules::is_due(&view, members, members.count()) {
        Ok(due) => due,
        Err(never) => match never {},
    }
}
