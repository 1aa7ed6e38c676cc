//! What can be wrong with an item of a safe at its place: one for each rule.

use crate::chain::view::NotAccepted;

/// What can be wrong with a certificate or record at its place. One for each rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its size or encoding is wrong.
    #[error("it is malformed")]
    Malformed,
    /// The log has [`SAFE_LOG_MAX_CERTIFICATES`](crate::limits::SAFE_LOG_MAX_CERTIFICATES) already.
    #[error("the safe's log is full")]
    LogFull,
    /// The log has room for owners, for who takes over, and for keys that are due.
    #[error("what room the safe's log has is kept for owners and for keys that are due")]
    LogKept,
    /// Made for another organisation.
    #[error("it belongs to another organisation")]
    WrongOrganisation,
    /// Made for another safe.
    #[error("it belongs to another safe")]
    WrongSafe,
    /// Does not follow the newest item of its own chain: it lost a race, or is sent again.
    #[error("it does not follow the newest one")]
    NotNext,
    /// Names another end of the other chain than the present one.
    #[error("it names another place of the safe's other chain")]
    OtherPlace,
    /// Its author claims to have seen more certificates of the organisation than there are here.
    #[error("its author has seen certificates of the organisation that are not in this log")]
    SeenAhead,
    /// Its author saw another log of the organisation.
    #[error("its author has seen another log of the organisation than this one")]
    ForkedView,
    /// The author of the item before had seen more of the organisation's log.
    #[error("the item before has seen more of the organisation's log")]
    SeenWentBack,
    /// By a device that the organisation's log doesn't name at `seen`.
    #[error("its author is not known at this point")]
    AuthorUnknown,
    /// By a device that is revoked at `seen`, or whose user is.
    #[error("its author is revoked")]
    AuthorRevoked,
    /// By a recovery device.
    #[error("a recovery device does nothing in a safe")]
    RecoveryDevice,
    /// Not signed by the author's key.
    #[error("its signature fails verification")]
    BadSignature,
    /// The first item is not *created*, or a later one is.
    #[error("a safe begins with its creation, and has one")]
    Beginning,
    /// Created by an outsider.
    #[error("an outsider creates no safe")]
    OutsiderCreates,
    /// A format or suite that this program doesn't know: perhaps it is too old.
    #[error("it names a format or suite that is not known here")]
    UnknownFormat,
    /// The author's user has no role that counts.
    #[error("its author has no role in the safe")]
    NoRole,
    /// The author's user is suspended.
    #[error("its author is suspended")]
    Suspended,
    /// Only an owner does this.
    #[error("only an owner may do this")]
    NotOwner,
    /// Only an owner or a manager does this.
    #[error("only an owner or a manager may do this")]
    NotManager,
    /// Only an owner, a manager or a contributor does this.
    #[error("a reader writes nothing")]
    NotWriter,
    /// More than [`SAFE_CHANGES_MAX`](crate::limits::SAFE_CHANGES_MAX) changes, or not in ascending
    /// order.
    #[error("its list of changes is too long or not in order")]
    Changes,
    /// About a user whom the organisation's log doesn't name at `seen`.
    #[error("it is about somebody unknown at this point")]
    SubjectUnknown,
    /// Gives a role to somebody who is revoked.
    #[error("it gives a role to somebody who is revoked")]
    SubjectRevoked,
    /// Makes an outsider an owner or manager.
    #[error("an outsider is a contributor at most")]
    OutsiderRole,
    /// The role is the one that the user has.
    #[error("the user has this role already")]
    SameRole,
    /// Raises the author's own role.
    #[error("nobody raises their own role")]
    OwnRole,
    /// Takes over while there is an owner, as an outsider, or beside somebody of a higher role.
    #[error("its author may not take the safe over")]
    TakeOver,
    /// Takes the role away from the last one who counts as an owner.
    #[error("the last owner stays one")]
    LastOwner,
    /// More than [`SAFE_MEMBERS_MAX`](crate::limits::SAFE_MEMBERS_MAX) members.
    #[error("the safe has too many members")]
    TooManyMembers,
    /// Its author leaves, and says something else as well: a key, perhaps, that they would know.
    #[error("who leaves says nothing else")]
    LeavesAlone,
    /// Takes a role away and brings no key.
    #[error("who loses a role must not have the next key")]
    KeyMissing,
    /// The epoch is due, and it brings no key.
    #[error("a new key is due")]
    Due,
    /// Says nothing, and has seen nothing new of the organisation that it could witness.
    #[error("it changes nothing and witnesses nothing")]
    NothingNew,
    /// The epoch is not the present one, or for a key not the next one.
    #[error("it is of another epoch")]
    WrongEpoch,
    /// The safe has had [`EPOCHS_MAX`](crate::limits::EPOCHS_MAX) keys.
    #[error("the safe has had too many keys")]
    TooManyKeys,
    /// Declares more epochs lost than there were.
    #[error("it declares more keys lost than there were")]
    LostTooMany,
    /// The list of those who get the key is not the one that it must be.
    #[error("its key goes to other people than it must")]
    WrongList,
    /// It names boxes where none are needed, or none where some are.
    #[error("it names boxes where none belong, or lacks them")]
    Boxes,
    /// A format or suite is lower than before.
    #[error("a format or suite never falls")]
    Lowered,
    /// State, format and suite are those that the safe has.
    #[error("the safe is in this state already")]
    SameState,
    /// The safe was deleted, and its time is over.
    #[error("the safe is deleted")]
    Deleted,
    /// A record where the safe is read-only or deleted.
    #[error("the safe is not open")]
    NotOpen,
}

impl<E> From<Fault> for NotAccepted<Fault, E> {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
