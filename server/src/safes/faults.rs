//! What a member is told whose item breaks a rule of its safe.
//!
//! Decides one code for each rule, for certificates and for records. Notes why: the code alone says
//! little to whoever runs the server.

use parsec_protocol::chain::view::NotAccepted;
use parsec_protocol::relay::ErrorCode;
use parsec_protocol::safe_log::ring::RingFault;
use parsec_protocol::safe_log::rules::Fault;

use crate::errors::Refusal;
use crate::store::StoreError;

/// Why the rules did not accept an item, or that the store failed.
pub(super) type NotJudged = NotAccepted<Fault, StoreError>;

/// Of which kind an item is: the rules that two kinds share are refused under the name of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Certificate,
    Record,
}

impl Kind {
    const fn refused(self) -> ErrorCode {
        match self {
            Self::Certificate => ErrorCode::CertificateRefused,
            Self::Record => ErrorCode::RecordRefused,
        }
    }
}

/// The refusal of an item.
pub(super) fn not_accepted(kind: Kind, error: NotJudged) -> Refusal {
    match error {
        NotAccepted::Fault(fault) => {
            tracing::warn!(%fault, ?kind, "an item of a safe was refused");
            match code_of(kind, fault) {
                ErrorCode::Behind => Refusal::BEHIND,
                code => code.into(),
            }
        }
        NotAccepted::View(error) => error.into(),
    }
}

/// The refusal of a ring.
pub(super) fn ring_refused(fault: RingFault) -> Refusal {
    tracing::warn!(%fault, "a ring was refused");
    ErrorCode::RingRefused.into()
}

const fn code_of(kind: Kind, fault: Fault) -> ErrorCode {
    match fault {
        Fault::NotNext | Fault::OtherPlace => ErrorCode::SafeConflict,
        // Its author looks at the organisation's log once more, and signs anew.
        Fault::SeenAhead | Fault::SeenWentBack => ErrorCode::Behind,
        Fault::OutsiderCreates
        | Fault::NoRole
        | Fault::Suspended
        | Fault::NotOwner
        | Fault::NotManager
        | Fault::NotWriter
        | Fault::OwnRole
        | Fault::TakeOver => ErrorCode::NotAllowed,
        Fault::LogFull | Fault::LogKept | Fault::TooManyMembers | Fault::TooManyKeys => {
            ErrorCode::QuotaReached
        }
        Fault::Due => ErrorCode::RekeyNeeded,
        Fault::NotOpen | Fault::Deleted => ErrorCode::SafeNotOpen,
        Fault::Malformed
        | Fault::WrongOrganisation
        | Fault::WrongSafe
        | Fault::ForkedView
        | Fault::AuthorUnknown
        | Fault::AuthorRevoked
        | Fault::RecoveryDevice
        | Fault::BadSignature
        | Fault::Beginning
        | Fault::UnknownFormat
        | Fault::Changes
        | Fault::SubjectUnknown
        | Fault::SubjectRevoked
        | Fault::OutsiderRole
        | Fault::SameRole
        | Fault::LastOwner
        | Fault::LeavesAlone
        | Fault::KeyMissing
        | Fault::NothingNew
        | Fault::WrongEpoch
        | Fault::LostTooMany
        | Fault::WrongList
        | Fault::Boxes
        | Fault::Lowered
        | Fault::SameState => kind.refused(),
    }
}
