//! Profile changes and revocations: what the server checks of one before it enters a log (docs/protocol.md, *The log*, rules 5 and 6).
//!
//! Decides as every reader does, from what the tables say of the author and of whom it is about. Refuses enrolments: those come with
//! a receipt, by another call.

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::certificate::{Author, Body, Head, Payload, Profile};
use parsec_protocol::ids::{DeviceId, OrganisationId, Timestamp, UserId};

use super::{Certifier, LogFault, Statement, check_statements, statement};

/// A profile change or a revocation that was read but not believed yet.
#[derive(Debug)]
pub(crate) struct Change {
    pub(super) statement: Statement,
    pub(crate) kind: Kind,
}

/// What it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Profile { user: UserId, profile: Profile },
    UserRevoked { user: UserId },
    DeviceRevoked { device: DeviceId },
}

impl Change {
    /// The envelope.
    pub(crate) fn envelope(&self) -> &[u8] {
        &self.statement.bytes
    }

    /// At which count of the log the author says it saw it.
    pub(crate) const fn seen_count(&self) -> u64 {
        self.statement.payload.seen.count
    }
}

/// The user a change is about, or whose device it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) user: UserId,
    pub(crate) profile: Profile,
    /// Position of the certificate that gave the present profile.
    pub(crate) profile_position: u64,
    /// The user, or the device that it is about.
    pub(crate) revoked: bool,
}

/// View and time of an author's newest change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastWord {
    pub(crate) seen: u64,
    pub(crate) time: Timestamp,
}

impl LastWord {
    /// As a certificate of the log has it.
    pub(crate) const fn of(payload: &Payload) -> Self {
        Self { seen: payload.seen.count, time: payload.time }
    }
}

/// The log around a change.
#[derive(Debug)]
pub(crate) struct Ground {
    /// Where the log ends.
    pub(crate) present: Head,
    /// The head at [`Change::seen_count`], if the log has it.
    pub(crate) seen: Option<Head>,
    /// None if the author changed nothing before.
    pub(crate) last_word: Option<LastWord>,
    /// None if the log doesn't name them.
    pub(crate) subject: Option<Subject>,
}

/// Reads exactly one envelope.
pub(crate) fn read_change(organisation: &OrganisationId, envelopes: &[ByteVec]) -> Result<Change, LogFault> {
    let [envelope] = envelopes else { return Err(LogFault::WrongKinds) };
    let statement = statement(organisation, envelope)?;
    let kind = match statement.payload.body {
        Body::ProfileChange { user, profile } => Kind::Profile { user, profile },
        Body::UserRevoked { user } => Kind::UserRevoked { user },
        Body::DeviceRevoked { device } => Kind::DeviceRevoked { device },
        Body::User { .. } | Body::Device { .. } => return Err(LogFault::WrongKinds),
    };
    Ok(Change { statement, kind })
}

/// Checks a change by `certifier`, who is not revoked. Returns the head after it.
pub(crate) fn check_change(change: &Change, certifier: &Certifier, log: &Ground) -> Result<Head, LogFault> {
    let statements = std::slice::from_ref(&change.statement);
    let author = Author::Device(certifier.device);
    let heads = log.seen.as_slice();
    let after = check_statements(statements, author, &certifier.verify_key, log.present, heads)?;
    let word = LastWord::of(&change.statement.payload);
    if log.last_word.is_some_and(|last| word.seen < last.seen || word.time < last.time) {
        return Err(LogFault::WentBack);
    }
    check_subject(change, certifier, log.subject)?;
    after.last().copied().ok_or(LogFault::WrongKinds)
}

fn check_subject(change: &Change, certifier: &Certifier, subject: Option<Subject>) -> Result<(), LogFault> {
    let subject = subject.ok_or(LogFault::BadSubject)?;
    let oneself = subject.user == certifier.user;
    match change.kind {
        Kind::Profile { profile, .. } => {
            administrator(certifier)?;
            if oneself || subject.revoked || subject.profile == profile {
                return Err(LogFault::BadSubject);
            }
            // A profile is the one thing that can be stated twice: an old promotion must not work again after it was taken back.
            if change.seen_count() > subject.profile_position { Ok(()) } else { Err(LogFault::StaleProfile) }
        }
        Kind::UserRevoked { .. } => {
            administrator(certifier)?;
            if oneself || subject.revoked { Err(LogFault::BadSubject) } else { Ok(()) }
        }
        Kind::DeviceRevoked { device } => {
            if !oneself {
                administrator(certifier)?;
            }
            if device == certifier.device || subject.revoked { Err(LogFault::BadSubject) } else { Ok(()) }
        }
    }
}

const fn administrator(certifier: &Certifier) -> Result<(), LogFault> {
    match certifier.profile {
        Profile::Administrator => Ok(()),
        Profile::Standard | Profile::Outsider => Err(LogFault::NotAdministrator),
    }
}
