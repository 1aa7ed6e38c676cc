//! What is final, and what is only somebody's word (docs/protocol.md, *After a crash*).
//!
//! Decides, for everything that a server, the other side's device, the verified log or this
//! machine's own person can say of a device or of an enrolment, what this machine makes of it. Two
//! settle something for good: the verified log, and the person. Everybody else's word nobody has
//! signed: it is shown, it may set something aside, and whatever is set aside is kept whole, is
//! tried again, and is taken back by the log or by the person. So nothing outside this file turns
//! an end or a refusal into a state, and nothing at all deletes keys, receipts or signed rows but
//! `device forget`, the log itself, and a person who cancels what they had begun.

use parsec_protocol::control::Registration;
use parsec_protocol::relay::{EndReason, ErrorCode};

/// Whether a device is certified, as far as this machine knows, and whether its person has taken it
/// back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// As shown. [`Registration::Void`] is *set aside*.
    pub registration: Registration,
    /// The person has taken it back: nobody's word sets it aside again.
    pub restored: bool,
}

/// Whom something was heard from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The device has found itself in the verified log.
    Log,
    /// A server, or the other side's device. Signed by nobody.
    Word(Registration),
    /// The person, who takes it back (`device restore`).
    Person,
}

/// What a device is after something was heard of it.
#[must_use]
pub const fn next(now: Standing, heard: Heard) -> Standing {
    use Registration::{Pending, Registered, Revoked, Unknown, Void};
    match (heard, now.registration) {
        (Heard::Log, _) => Standing { registration: Registered, restored: false },
        (Heard::Person, Void) => Standing { registration: Pending, restored: true },
        (Heard::Person, _) => now,
        (Heard::Word(said @ (Registered | Revoked)), _) => Standing { registration: said, ..now },
        // What the log, or the person, has said is not undone by anybody's word.
        (Heard::Word(Void), Pending) if !now.restored => Standing { registration: Void, ..now },
        (Heard::Word(Void | Pending | Unknown), _) => now,
    }
}

/// What somebody says of a device when they say how its enrolment ended.
#[must_use]
pub const fn ended(reason: EndReason) -> Registration {
    match reason {
        EndReason::Completed => Registration::Registered,
        EndReason::CodeMismatch
        | EndReason::Cancelled
        | EndReason::BadMessage
        | EndReason::TimedOut
        | EndReason::InvitationEnded
        | EndReason::Abandoned => Registration::Void,
    }
}

/// What a server's refusal of a receipt says of the device: that the enrolment is over without
/// certificates. Others say nothing of it.
#[must_use]
pub const fn receipt_refused(code: ErrorCode) -> Option<Registration> {
    match code {
        ErrorCode::InvitationCancelled | ErrorCode::InvitationExpired | ErrorCode::InvitationExhausted => {
            Some(Registration::Void)
        }
        _ => None,
    }
}

/// What a server's refusal of a founding says of the device: an organisation that is not to be had
/// with this token or under this name. It may exist all the same, with these keys as its only ones:
/// an earlier answer may have been lost.
#[must_use]
pub const fn founding_refused(code: ErrorCode) -> Option<Registration> {
    match code {
        ErrorCode::BootstrapRefused | ErrorCode::OrganisationExists => Some(Registration::Void),
        _ => None,
    }
}

/// Whether a server's refusal of an enrolment is one that asking again now won't change. The signed
/// row is set aside.
#[must_use]
pub const fn enrolment_refused(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::Revoked
            | ErrorCode::NotAllowed
            | ErrorCode::InvitationCancelled
            | ErrorCode::InvitationExhausted
            | ErrorCode::InvitationCompleted
            | ErrorCode::InvitationConflict
            | ErrorCode::AlreadyMember
            | ErrorCode::CertificateRefused
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use Registration::{Pending, Registered, Revoked, Void};

    const fn standing(registration: Registration, restored: bool) -> Standing {
        Standing { registration, restored }
    }

    #[test]
    fn only_the_log_and_the_person_are_final() {
        let word = |said| Heard::Word(said);
        for (now, heard, then) in [
            // Anybody may say that it is over, and is not believed where somebody knows better.
            (standing(Pending, false), word(Void), standing(Void, false)),
            (standing(Registered, false), word(Void), standing(Registered, false)),
            (standing(Revoked, false), word(Void), standing(Revoked, false)),
            (standing(Pending, true), word(Void), standing(Pending, true)),
            // A word is taken back by another.
            (standing(Void, false), word(Registered), standing(Registered, false)),
            (standing(Registered, false), word(Revoked), standing(Revoked, false)),
            (standing(Void, false), word(Pending), standing(Void, false)),
            // The log takes everything back.
            (standing(Void, false), Heard::Log, standing(Registered, false)),
            (standing(Revoked, false), Heard::Log, standing(Registered, false)),
            (standing(Pending, true), Heard::Log, standing(Registered, false)),
            // So does the person what was set aside, and nothing else.
            (standing(Void, false), Heard::Person, standing(Pending, true)),
            (standing(Revoked, false), Heard::Person, standing(Revoked, false)),
            (standing(Registered, false), Heard::Person, standing(Registered, false)),
        ] {
            assert_eq!(next(now, heard), then, "{now:?} {heard:?}");
        }
    }

    #[test]
    fn a_server_that_is_merely_out_of_order_says_nothing() {
        for code in
            [ErrorCode::Internal, ErrorCode::RateLimited, ErrorCode::AttemptUnknown, ErrorCode::ClockSkew]
        {
            assert_eq!(receipt_refused(code), None);
            assert_eq!(founding_refused(code), None);
            assert!(!enrolment_refused(code));
        }
    }
}
