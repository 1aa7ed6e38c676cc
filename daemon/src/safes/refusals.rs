//! Why something is not done in a safe, as problems of the local API.
//!
//! Decides the one mapping of the safe log's faults and the tree's rules. What can't be said of
//! one's own doing is this program's fault, and says so.

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::safe_log::rules::Fault;
use parsec_protocol::safe_log::safe::NotTaken;
use parsec_protocol::safes::fold::Void;

/// While the tree is a snapshot's word: what a person does now would be about files that they only
/// seem to see, and go out over the true ones.
pub(crate) fn being_verified() -> Problem {
    let text = "The safe's older records are still being verified on this device.";
    let hint = "Try again in a moment; `parsecctl safe status` shows how far it is.".to_owned();
    Problem { hint, ..Problem::new(ProblemKind::NotSharedYet, text) }
}

/// Why a certificate or record of one's own is not made.
pub(super) fn fault(fault: Fault) -> Problem {
    let (kind, text) = match fault {
        Fault::NoRole => (ProblemKind::SafeRoleTooLow, "You have no role in this safe."),
        Fault::NotOwner => (ProblemKind::SafeRoleTooLow, "Only an owner of the safe may do this."),
        Fault::NotManager => {
            (ProblemKind::SafeRoleTooLow, "Only an owner or a manager of the safe may do this.")
        }
        Fault::NotWriter => (ProblemKind::SafeRoleTooLow, "A reader writes nothing in the safe."),
        Fault::OwnRole => (ProblemKind::SafeRoleTooLow, "Nobody raises their own role."),
        Fault::TakeOver => (ProblemKind::SafeRoleTooLow, "Somebody else has to take the safe over."),
        Fault::LastOwner => (ProblemKind::SafeLastOwner, "The last owner of a safe stays one."),
        Fault::TooManyMembers | Fault::LogFull | Fault::LogKept | Fault::TooManyKeys => {
            (ProblemKind::SafeFull, "The safe has as many members, certificates or keys as it may have.")
        }
        Fault::NotOpen | Fault::Deleted => {
            (ProblemKind::SafeNotOpen, "The owners of the safe have closed it for writing.")
        }
        Fault::Suspended => {
            (ProblemKind::KeyChangeDue, "A device of yours was revoked: your key has to be changed first.")
        }
        Fault::AuthorRevoked => (ProblemKind::Revoked, "This device, or its user, has been revoked."),
        Fault::AuthorUnknown => (ProblemKind::DevicePending, "The device is not registered yet."),
        Fault::RecoveryDevice => (ProblemKind::NotAllowed, "A recovery device does nothing in a safe."),
        Fault::OutsiderCreates => (ProblemKind::NotAllowed, "An outsider makes no safes."),
        Fault::OutsiderRole => {
            (ProblemKind::NotAllowed, "An outsider of the organisation is a contributor or a reader.")
        }
        Fault::SubjectUnknown => (ProblemKind::InvalidRequest, "The organisation has nobody like that."),
        Fault::SubjectRevoked => (ProblemKind::InvalidRequest, "This member has been revoked."),
        Fault::Due => (ProblemKind::SafeKeyMissing, "The safe needs a new key first."),
        Fault::Malformed
        | Fault::WrongOrganisation
        | Fault::WrongSafe
        | Fault::NotNext
        | Fault::OtherPlace
        | Fault::SeenAhead
        | Fault::ForkedView
        | Fault::SeenWentBack
        | Fault::BadSignature
        | Fault::Beginning
        | Fault::UnknownFormat
        | Fault::Changes
        | Fault::SameRole
        | Fault::LeavesAlone
        | Fault::KeyMissing
        | Fault::NothingNew
        | Fault::WrongEpoch
        | Fault::LostTooMany
        | Fault::WrongList
        | Fault::Boxes
        | Fault::Lowered
        | Fault::SameState => (ProblemKind::Internal, "This device signed what no reader would take."),
    };
    Problem::new(kind, text)
}

/// The same, by what is known here.
pub(super) fn not_taken(why: NotTaken) -> Problem {
    match why {
        NotTaken::Fault(found) | NotTaken::BelowFloor(found) => fault(found),
    }
}

/// Why a change does not fit the tree.
pub(crate) fn void(why: Void) -> Problem {
    let kind = match why {
        Void::NoSuchEntry | Void::NotLive => ProblemKind::PathNotFound,
        Void::NoFolder | Void::NotAFolder => ProblemKind::NotAFolder,
        Void::NameTaken => ProblemKind::PathExists,
        Void::TooDeep | Void::InsideItself | Void::SameFile => ProblemKind::NameInvalid,
        Void::NotAFile => ProblemKind::NotAFile,
        Void::NotAnOwner | Void::NotAManager => ProblemKind::SafeRoleTooLow,
        Void::Full | Void::ShareFull => ProblemKind::SafeFull,
        Void::Days => ProblemKind::InvalidRequest,
        Void::IdKnown
        | Void::Live
        | Void::OldBase
        | Void::References
        | Void::UnknownObject
        | Void::OtherEpoch
        | Void::NotInTheTrash
        | Void::NoSuchVersion
        | Void::TooYoung
        | Void::DropsAlone
        | Void::InUse
        | Void::SnapshotAmongOthers
        | Void::OtherState => ProblemKind::Internal,
    };
    Problem::new(kind, crate::problems::sentence(&why.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_safe_takes_no_more_has_a_name_of_its_own() {
        let name = |found| fault(found).name;
        for full in [Fault::TooManyMembers, Fault::LogFull, Fault::LogKept, Fault::TooManyKeys] {
            assert_eq!(name(full), ProblemKind::SafeFull);
        }
        assert_eq!(void(Void::ShareFull).name, ProblemKind::SafeFull);
        assert_eq!([Fault::NotOpen, Fault::Deleted].map(name), [ProblemKind::SafeNotOpen; 2]);
        assert_eq!(name(Fault::Due), ProblemKind::SafeKeyMissing);
    }
}
