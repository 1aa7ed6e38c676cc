//! What can be wrong with a certificate of an organisation's log at its place.
//!
//! Decides the names and the words, one for each rule of `rules`. Refuses nothing itself.

use crate::chain::view::NotAccepted;

/// What can be wrong with a certificate at its place. One for each rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its size or encoding is wrong.
    #[error("it is malformed")]
    Malformed,
    /// The log has [`LOG_MAX_CERTIFICATES`](crate::limits::LOG_MAX_CERTIFICATES) already.
    #[error("the log is full")]
    LogFull,
    /// Made for another organisation.
    #[error("it belongs to another organisation")]
    WrongOrganisation,
    /// One of the first two, but not by the root key.
    #[error("the root key must sign the first two certificates")]
    NotByRoot,
    /// By the root key, which is destroyed after the second certificate.
    #[error("the root key signs the first two certificates only")]
    RootTooLate,
    /// By a device that the certificates before it don't name.
    #[error("its author is not known at this point")]
    AuthorUnknown,
    /// By a device that is revoked, or whose user is.
    #[error("its author is revoked")]
    AuthorRevoked,
    /// Not signed by the author's key; also where the pinned root key is of small order.
    #[error("its signature fails verification")]
    BadSignature,
    /// Its author claims to have seen more certificates than stand before it.
    #[error("its author has seen certificates that are not in this log")]
    SeenAhead,
    /// Its author saw another log: it has forked, or this one was changed.
    #[error("its author has seen another log than this one")]
    ForkedView,
    /// Its author had seen more before.
    #[error("its author has seen more of the log before")]
    SeenWentBack,
    /// Its author's clock stood later before.
    #[error("it is older than its author's previous certificate")]
    TimeWentBack,
    /// The first certificate is not an administrator, or the second not a device of theirs.
    #[error("a log begins with an administrator and a device of theirs")]
    NotAFounding,
    /// The author's user is no administrator.
    #[error("only an administrator may say this")]
    NotAdministrator,
    /// The user id was given before.
    #[error("the user id is taken")]
    UserIdTaken,
    /// A member has this address.
    #[error("the e-mail address belongs to a member")]
    EmailTaken,
    /// Some user or device has, or had, the key with this hash.
    #[error("the encryption key was certified before")]
    EncryptionKeyTaken,
    /// Not as long as every sealed name.
    #[error("the sealed name has the wrong length")]
    SealedNameLength,
    /// The device id was given before.
    #[error("the device id is taken")]
    DeviceIdTaken,
    /// Another device, perhaps a revoked one, or the root has this key.
    #[error("the device's key is another's")]
    VerifyKeyTaken,
    /// Small order, not on the curve, or not canonical.
    #[error("the device's key is unusable")]
    WeakVerifyKey,
    /// Neither the author's own user, nor one certified by the author that still lacks its first
    /// device.
    #[error("its author may not certify a device of this user")]
    NotOwnUser,
    /// The user has had [`DEVICES_PER_USER_MAX`](crate::limits::DEVICES_PER_USER_MAX) devices.
    #[error("the user has had too many devices")]
    TooManyDevices,
    /// About a user or device that the certificates before it don't name.
    #[error("it is about somebody unknown at this point")]
    SubjectUnknown,
    /// About a user or device that is revoked already.
    #[error("it is about somebody who is revoked")]
    SubjectRevoked,
    /// About the author's own user, where only another administrator may decide.
    #[error("nobody may say this about themself")]
    AboutOneself,
    /// The profile is the one the user has.
    #[error("the user has this profile already")]
    SameProfile,
    /// The author had not yet seen the profile it changes: perhaps an old certificate, sent again.
    #[error("its author had not seen the user's present profile")]
    StaleProfile,
    /// About the very device that signed.
    #[error("a device cannot revoke itself")]
    OwnDevice,
    /// By a recovery device, and not a device of its user; or a recovery device as a user's first.
    #[error("a recovery device certifies devices of its user, and nothing else")]
    RecoveryDevice,
    /// About the key of another user than the author's.
    #[error("only a device of the user may change the user's key")]
    AnothersKey,
    /// The key that it replaces is not the user's present one: another change came first.
    #[error("the key that it replaces is not the user's present key")]
    StaleKey,
    /// More than [`KEY_CHANGES_MAX`](crate::limits::KEY_CHANGES_MAX) and one for each revoked
    /// device of the user.
    #[error("the user's key was changed too often")]
    TooManyKeyChanges,
    /// More than [`ABANDONED_MAX`](crate::limits::ABANDONED_MAX) abandoned devices, not in
    /// ascending order, in the log, named
    /// before, or beyond the user's [`DEVICES_PER_USER_MAX`](crate::limits::DEVICES_PER_USER_MAX)
    /// devices.
    #[error("its list of abandoned devices is not acceptable")]
    Abandoned,
    /// Its author had not seen everything before it: a directory key goes to exactly the members
    /// that the log has there.
    #[error("its author had not seen the whole log before it")]
    NotNext,
    /// Not the number behind the present one: another change came first.
    #[error("it does not bring the next directory key")]
    StaleDirectoryKey,
    /// Nobody was revoked who has the present key.
    #[error("nobody was revoked since the present directory key")]
    NobodyLeft,
}

impl<E> From<Fault> for NotAccepted<Fault, E> {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
