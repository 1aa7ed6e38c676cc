//! Every failure inside the daemon, as the problem a person sees: one table for each boundary,
//! without a catch-all arm.
//!
//! Decides names and sentences. Refuses to pass on what a person has no business with: paths of
//! keys, tokens, codes.

use parsec_protocol::address::AddressError;
use parsec_protocol::chain::organisation::log::LogError;
use parsec_protocol::chain::organisation::rules::Fault;
use parsec_protocol::control::{Problem, ProblemKind as Kind, SecretText};
use parsec_protocol::enrol::io::{Closed, Refused};
use parsec_protocol::enrol::link::{Link, LinkError};
use parsec_protocol::keys::NoEntropy;
use parsec_protocol::paste::{self, PasteError};
use parsec_protocol::recovery::{KIT_WORDS, WordsFault};
use parsec_protocol::relay::{EndReason, ErrorCode};

use crate::os::clock::moment;
use crate::store::StoreError;
use crate::transport::TransportError;
use crate::transport::tls::TlsFault;

/// What a server's refusal means to a person.
#[must_use]
pub const fn code_kind(code: ErrorCode) -> Kind {
    match code {
        ErrorCode::BadRequest
        | ErrorCode::UnknownCall
        | ErrorCode::TooLarge
        | ErrorCode::StepConflict
        | ErrorCode::StepRefused
        | ErrorCode::InvitationConflict
        | ErrorCode::CertificateRefused
        | ErrorCode::ManifestConflict
        | ErrorCode::NotYet => Kind::ServerMisbehaved,
        ErrorCode::OrganisationUnknown => Kind::OrganisationUnknown,
        ErrorCode::OrganisationExists => Kind::OrganisationExists,
        ErrorCode::BootstrapRefused => Kind::BootstrapRefused,
        ErrorCode::NotAuthenticated => Kind::NotAuthenticated,
        ErrorCode::ClockSkew => Kind::ClockWrong,
        ErrorCode::Replayed | ErrorCode::Internal | ErrorCode::Unavailable => Kind::ServerFailed,
        ErrorCode::Revoked => Kind::Revoked,
        ErrorCode::NotAllowed => Kind::NotAllowed,
        ErrorCode::InvitationUnknown => Kind::InvitationUnknown,
        ErrorCode::InvitationInUse => Kind::InvitationInUse,
        ErrorCode::InvitationCancelled => Kind::InvitationCancelled,
        ErrorCode::InvitationExpired => Kind::InvitationExpired,
        ErrorCode::InvitationExhausted => Kind::InvitationExhausted,
        ErrorCode::InvitationCompleted => Kind::InvitationCompleted,
        ErrorCode::AlreadyMember => Kind::AlreadyMember,
        ErrorCode::AttemptUnknown => Kind::AttemptLost,
        ErrorCode::AttemptEnded => Kind::PeerCancelled,
        ErrorCode::GreeterTaken => Kind::GreeterTaken,
        ErrorCode::AttemptSealed => Kind::NotNow,
        ErrorCode::RateLimited => Kind::ServerBusy,
        ErrorCode::QuotaReached => Kind::QuotaReached,
        ErrorCode::MemberBudgetSpent => Kind::MemberBudgetSpent,
        ErrorCode::OrganisationBudgetSpent => Kind::OrganisationBudgetSpent,
        ErrorCode::LogConflict | ErrorCode::Behind => Kind::RolledBack,
        ErrorCode::LogHeld => Kind::ServerBusy,
        ErrorCode::KeyUnknown | ErrorCode::BoxUnknown => Kind::UserKeyMissing,
        ErrorCode::BoxesRefused | ErrorCode::BoxConflict => Kind::ServerMisbehaved,
        ErrorCode::SafeUnknown => Kind::SafeUnknown,
        ErrorCode::SafeConflict | ErrorCode::RekeyNeeded | ErrorCode::SafeNotOpen => Kind::NotNow,
        ErrorCode::ObjectMissing
        | ErrorCode::ObjectConflict
        | ErrorCode::RingMissing
        | ErrorCode::RingRefused
        | ErrorCode::RecordRefused => Kind::ServerMisbehaved,
    }
}

/// What happened, where the server refused.
const fn code_sentence(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::OrganisationUnknown => "The server has no organisation of this name.",
        ErrorCode::OrganisationExists => "The organisation was founded already, under another root key.",
        ErrorCode::BootstrapRefused => "The server does not take this bootstrap token for this organisation.",
        ErrorCode::NotAuthenticated => "The server does not know this device.",
        ErrorCode::ClockSkew => "The clocks of this machine and of the server differ.",
        ErrorCode::Replayed => "The server saw this request twice.",
        ErrorCode::Revoked => "This device, or its user, has been revoked.",
        ErrorCode::NotAllowed => "The server does not allow this to the member.",
        ErrorCode::InvitationUnknown => {
            "The server knows no such invitation, or none that was open within the last week."
        }
        ErrorCode::InvitationInUse => "Somebody has already started with this link.",
        ErrorCode::InvitationCancelled => "The invitation was cancelled.",
        ErrorCode::InvitationExpired => "The invitation has expired.",
        ErrorCode::InvitationExhausted => {
            "The invitation was withdrawn after too many wrong codes or attempts."
        }
        ErrorCode::InvitationCompleted => "The invitation has been used.",
        ErrorCode::InvitationConflict => "The server has another invitation under the same token.",
        ErrorCode::AlreadyMember => "The address belongs to a member already.",
        ErrorCode::AttemptUnknown => "The server does not know this attempt any more.",
        ErrorCode::AttemptEnded => "The attempt has ended.",
        ErrorCode::GreeterTaken => "Another member's device greets in this attempt.",
        ErrorCode::AttemptSealed => {
            "The newcomer holds the keys already: the enrolment can only be completed now."
        }
        ErrorCode::CertificateRefused => "The server refuses the certificates.",
        ErrorCode::ManifestConflict => "The server has another manifest.",
        ErrorCode::RateLimited => "The server asks to wait.",
        ErrorCode::QuotaReached => "The organisation or the server has reached a limit.",
        ErrorCode::MemberBudgetSpent => {
            "The member who invites has taken up what one member may of the server's room."
        }
        ErrorCode::OrganisationBudgetSpent => {
            "The organisation's administrators, or all its other members together, have taken up what they may of the server's room."
        }
        ErrorCode::LogConflict => "The server's log is another one than this device has verified.",
        ErrorCode::Behind => "The server says that it has less than this device has seen there.",
        ErrorCode::LogHeld => {
            "The server was restored and takes nothing new into its logs until members have put back what is missing."
        }
        ErrorCode::KeyUnknown => "The server does not have this key.",
        ErrorCode::BoxUnknown => "The server has no box for this device with its user's key.",
        ErrorCode::BoxesRefused => "The server knows other devices of the user.",
        ErrorCode::BoxConflict => "The server has another box with this key for that device.",
        ErrorCode::SafeUnknown => "The server has no such safe of the member's.",
        ErrorCode::SafeConflict => "The safe has gone on meanwhile.",
        ErrorCode::RekeyNeeded => "The safe needs another key before anything is written to it.",
        ErrorCode::SafeNotOpen => "The safe is read-only or deleted.",
        ErrorCode::ObjectMissing => "The server lacks contents that a change names.",
        ErrorCode::ObjectConflict => "The server has other contents under the same id.",
        ErrorCode::RingMissing => "The server lacks a ring of the safe's keys.",
        ErrorCode::RingRefused => "The server refuses the ring of the safe's keys.",
        ErrorCode::RecordRefused => "The server refuses the change to the safe.",
        ErrorCode::Internal => "The server failed; it says that nothing was changed.",
        ErrorCode::Unavailable => "The server is stopping or overloaded.",
        ErrorCode::BadRequest
        | ErrorCode::UnknownCall
        | ErrorCode::TooLarge
        | ErrorCode::NotYet
        | ErrorCode::StepConflict
        | ErrorCode::StepRefused => "The server refuses a request that the protocol allows.",
    }
}

/// What a failure of TLS means to a person: each has its own remedy.
const fn tls_kind(fault: &TlsFault) -> Kind {
    match fault {
        TlsFault::Untrusted(_) => Kind::CertificateUntrusted,
        TlsFault::Name(_) => Kind::CertificateOfAnother,
        TlsFault::Expired(_) => Kind::CertificateExpired,
        TlsFault::NotYetValid(_) => Kind::CertificateNotYetValid,
        TlsFault::NotTls => Kind::ServerNotTls,
        TlsFault::Handshake(_) => Kind::ServerTls,
    }
}

impl From<TransportError> for Problem {
    fn from(error: TransportError) -> Self {
        let text = error.to_string();
        match error {
            TransportError::PlainHttp(_) => Self::new(Kind::PlainHttpRefused, text),
            TransportError::Address(_) => Self::new(Kind::InvalidRequest, text),
            TransportError::Setup(_) => Self::new(Kind::ServerTls, text),
            TransportError::Unreachable(_) => Self::new(Kind::ServerUnreachable, text),
            TransportError::PeerUnreachable(_) => Self::new(Kind::PeerUnreachable, text),
            TransportError::PeerMisbehaved(_) => Self::new(Kind::BadMessage, text),
            TransportError::Tls(fault) => Self::new(tls_kind(&fault), sentence(&text)),
            TransportError::NotServer(_) => Self::new(Kind::NotAServer, sentence(&text)),
            TransportError::Misbehaved(_) => Self::new(Kind::ServerMisbehaved, text),
            TransportError::Refused { code: ErrorCode::ClockSkew, server_time, local_time, .. } => Self::new(
                Kind::ClockWrong,
                format!(
                    "The clocks differ: it is {} here and {} at the server.",
                    moment(local_time),
                    moment(server_time)
                ),
            ),
            TransportError::Refused { code, .. } => Self::new(code_kind(code), code_sentence(code)),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::InUse(_) => Kind::DiskFailed,
            StoreError::UnsafePath { .. } => Kind::UnsafePath,
            StoreError::NoSuchDevice => Kind::DeviceUnknown,
            StoreError::WeakPassword | StoreError::UnfitPassword => Kind::WeakPassword,
            StoreError::WrongPassword => Kind::WrongPassword,
            StoreError::TooMuchWork(_) | StoreError::KeyFileDamaged(_) => Kind::KeyFileDamaged,
            StoreError::Damaged(_) | StoreError::Oversized(_) => Kind::StoreDamaged,
            StoreError::TooNew { .. } => Kind::StoreTooNew,
            StoreError::TooOld { .. } => Kind::StoreTooOld,
            StoreError::DiskFull => Kind::DiskFull,
            StoreError::NoMemory { .. } => Kind::OutOfMemory,
            StoreError::Io { .. } | StoreError::Database(_) => Kind::DiskFailed,
            StoreError::Exists
            | StoreError::Conflict
            | StoreError::ManifestNotNewer { .. }
            | StoreError::Gap { .. }
            | StoreError::TooLarge(_) => Kind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}

/// A person's input that a machine refused; the ceremony goes on.
#[must_use]
pub fn refused(error: Refused) -> Problem {
    let kind = match error {
        Refused::NotNow => Kind::NotNow,
        Refused::NotProposed => Kind::ChoiceNotOffered,
        Refused::TypingRequired => Kind::TypingRequired,
        Refused::OwnCode => Kind::CodeOfWrongDirection,
        Refused::NotConfirmed => Kind::NotConfirmed,
        Refused::WrongIdentity => Kind::InvalidRequest,
        Refused::MayNotCertify => Kind::NotAllowed,
        Refused::KeyChangeDue => Kind::KeyChangeDue,
        Refused::NoShare => Kind::ShareUnknown,
        Refused::NoEntropy => Kind::NoRandomness,
    };
    Problem::new(kind, sentence(&error.to_string()))
}

/// Why a machine here is over.
#[must_use]
pub fn closed(why: Closed) -> Problem {
    let kind = match why {
        Closed::CodeMismatch => Kind::CodeMismatch,
        Closed::Cancelled => Kind::Cancelled,
        Closed::TimedOut => Kind::PeerTimedOut,
        Closed::WrongLink => Kind::WrongLink,
        Closed::BadMessage { .. }
        | Closed::BadKey
        | Closed::CommitmentBroken
        | Closed::RootMismatch
        | Closed::BadReceipt => Kind::BadMessage,
        Closed::ChainInvalid => Kind::ChainInvalid,
        Closed::FalseShare(_) => Kind::ShareFalse,
    };
    Problem::new(kind, sentence(&why.to_string()))
}

/// What to tell the relay about a machine that is over here.
#[must_use]
pub const fn end_reason(why: Closed) -> EndReason {
    match why {
        Closed::CodeMismatch => EndReason::CodeMismatch,
        Closed::Cancelled => EndReason::Cancelled,
        Closed::TimedOut => EndReason::TimedOut,
        Closed::WrongLink
        | Closed::BadMessage { .. }
        | Closed::BadKey
        | Closed::CommitmentBroken
        | Closed::RootMismatch
        | Closed::ChainInvalid
        | Closed::FalseShare(_)
        | Closed::BadReceipt => EndReason::BadMessage,
    }
}

/// Why the relay says an attempt is over. Hearsay: it ends this side, and proves nothing.
#[must_use]
pub fn ended(reason: EndReason) -> Problem {
    let (kind, text) = match reason {
        EndReason::CodeMismatch => (Kind::PeerMismatch, "The other side says that the codes differ."),
        EndReason::Cancelled => (Kind::PeerCancelled, "The other side stopped."),
        EndReason::BadMessage => (Kind::BadMessage, "The other side got a message that fails verification."),
        EndReason::TimedOut => (Kind::PeerTimedOut, "The other side waited for too long."),
        EndReason::InvitationEnded => (Kind::InvitationCancelled, "The invitation has ended."),
        EndReason::Completed => {
            (Kind::InvitationCompleted, "The server says that the enrolment is completed.")
        }
        EndReason::Abandoned => {
            (Kind::PeerCancelled, "The other side's program was stopped, or another attempt began.")
        }
    };
    Problem::new(kind, text)
}

/// The one link in what somebody gave as one.
///
/// # Errors
/// `link_malformed` with what is wrong; `link_too_new`; `plain_http_refused`.
pub fn link_in(text: &SecretText) -> Result<Link, Problem> {
    let found = paste::link_in(text.expose()).map_err(|error| {
        let kind = match error {
            PasteError::TooNew => Kind::LinkTooNew,
            PasteError::Address(AddressError::PlainHttp) => Kind::PlainHttpRefused,
            PasteError::None
            | PasteError::TooMuch
            | PasteError::NoFragment
            | PasteError::CutOff
            | PasteError::Damaged
            | PasteError::Organisation
            | PasteError::Address(_)
            | PasteError::Several => Kind::LinkMalformed,
        };
        Problem::new(kind, sentence(&error.to_string()))
    })?;
    found.parse().map_err(|error: LinkError| Problem::new(Kind::LinkMalformed, sentence(&error.to_string())))
}

/// Why a log is not believed.
#[must_use]
pub fn log(error: &LogError) -> Problem {
    Problem::new(Kind::ChainInvalid, sentence(&error.to_string()))
}

/// Why this device signs no such thing.
#[must_use]
pub fn not_signed(fault: Fault) -> Problem {
    let (kind, text) = match fault {
        Fault::NotAdministrator => (Kind::NotAllowed, "Only an administrator may do this."),
        Fault::AboutOneself => {
            (Kind::InvalidRequest, "Nobody does this to themself; another administrator can.")
        }
        Fault::OwnDevice => (
            Kind::InvalidRequest,
            "A device doesn't revoke itself; another one of yours can, or an administrator's.",
        ),
        Fault::SubjectUnknown => (Kind::InvalidRequest, "The log has nobody and nothing of this id."),
        Fault::SubjectRevoked => (Kind::InvalidRequest, "This member has been revoked."),
        Fault::AuthorRevoked => (Kind::Revoked, "This device, or its user, has been revoked."),
        Fault::AuthorUnknown => (Kind::DevicePending, "The device is not registered yet."),
        Fault::LogFull => (Kind::QuotaReached, "The organisation's log is full."),
        Fault::TooManyKeyChanges => {
            (Kind::QuotaReached, "Your key was changed as often as a member may who loses no device.")
        }
        // None of these can be said of what is signed here, over one's own log.
        Fault::Malformed
        | Fault::WrongOrganisation
        | Fault::NotByRoot
        | Fault::RootTooLate
        | Fault::BadSignature
        | Fault::SeenAhead
        | Fault::ForkedView
        | Fault::SeenWentBack
        | Fault::TimeWentBack
        | Fault::NotAFounding
        | Fault::UserIdTaken
        | Fault::EmailTaken
        | Fault::EncryptionKeyTaken
        | Fault::RecoveryDevice
        | Fault::AnothersKey
        | Fault::StaleKey
        | Fault::Abandoned
        | Fault::NotNext
        | Fault::StaleDirectoryKey
        | Fault::NobodyLeft
        | Fault::SealedNameLength
        | Fault::DeviceIdTaken
        | Fault::VerifyKeyTaken
        | Fault::WeakVerifyKey
        | Fault::NotOwnUser
        | Fault::TooManyDevices
        | Fault::SameProfile
        | Fault::StaleProfile => (Kind::Internal, "This device signed what no reader would take."),
    };
    Problem::new(kind, text)
}

/// The random source failed.
#[must_use]
pub fn no_entropy(error: NoEntropy) -> Problem {
    Problem::new(Kind::NoRandomness, sentence(&error.to_string()))
}

/// Words that are none of a recovery kit's.
#[must_use]
pub fn not_words(fault: WordsFault) -> Problem {
    let text = match fault {
        // None counts so many: the text was too long to be read.
        WordsFault::Count(usize::MAX) => sentence(&fault.to_string()),
        WordsFault::Count(count) => format!("A recovery kit has {KIT_WORDS} words; these are {count}."),
        WordsFault::Unknown(_) | WordsFault::Checksum => sentence(&fault.to_string()),
    };
    Problem::new(Kind::RecoveryWordsWrong, text)
}

/// The daemon is stopping.
#[must_use]
pub fn stopping() -> Problem {
    Problem::new(Kind::ShuttingDown, "The daemon is stopping.")
}

/// A clause made a sentence.
pub(crate) fn sentence(clause: &str) -> String {
    let mut letters = clause.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

#[cfg(test)]
mod tests {
    use parsec_protocol::ids::Timestamp;

    use super::*;

    #[test]
    fn a_wrong_clock_names_both_times() {
        let problem = Problem::from(TransportError::Refused {
            code: ErrorCode::ClockSkew,
            server_time: Timestamp(951_827_696_000_000),
            local_time: Timestamp(0),
            retry_after: 0,
        });
        assert_eq!(problem.name, Kind::ClockWrong);
        assert!(problem.message.contains("2000-02-29 12:34:56 UTC"), "{}", problem.message);
        assert!(problem.message.contains("1970-01-01 00:00:00 UTC"));
    }

    #[test]
    fn every_refusal_of_the_server_is_a_problem_with_a_sentence() {
        for code in ErrorCode::ALL {
            let problem = Problem::from(TransportError::Refused {
                code: *code,
                server_time: Timestamp(0),
                local_time: Timestamp(0),
                retry_after: 0,
            });
            assert!(problem.message.ends_with('.'), "{}", code.name());
            assert_ne!(problem.name, Kind::Internal, "{}: the server's fault is not ours", code.name());
        }
    }

    #[test]
    fn a_mismatch_here_and_one_there_are_told_apart() {
        assert_eq!(closed(Closed::CodeMismatch).name, Kind::CodeMismatch);
        assert_eq!(ended(EndReason::CodeMismatch).name, Kind::PeerMismatch);
        assert_eq!(end_reason(Closed::CodeMismatch), EndReason::CodeMismatch);
    }
}
