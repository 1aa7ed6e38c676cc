//! May this certificate stand at this place? (docs/protocol.md, *The log*, rules 1 to 6.)
//!
//! Decides by the certificate and the log before it, and by nothing else: no clock, no later certificate, no word
//! of the server. Refuses with one [`Fault`] for each rule. The signature is checked before the body is acted on.

use super::certificate::{Author, Body, Payload, Profile, SEALED_NAME_BYTES};
use super::crew::Read;
use super::verify::{UserRecord, VerifiedLog};
use crate::ids::{DeviceId, UserId};
use crate::limits::{DEVICES_PER_USER_MAX, LOG_MAX_CERTIFICATES};
use crate::public::{EncryptionKey, VerifyKey};

/// What can be wrong with a certificate at its place. One for each rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Size or encoding.
    #[error("it is malformed")]
    Malformed,
    /// The log has [`LOG_MAX_CERTIFICATES`] already.
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
    #[error("its signature does not check")]
    BadSignature,
    /// Its author claims to have seen more certificates than stand before it.
    #[error("its author has seen certificates that are not in this log")]
    SeenAhead,
    /// Its author saw another log: two pasts exist, or this one was changed.
    #[error("its author has seen another log than this one")]
    SeenOther,
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
    /// Another user, perhaps a revoked one, has this key.
    #[error("the encryption key is another user's")]
    EncryptionKeyTaken,
    /// Small order, or a second spelling of another key.
    #[error("the encryption key is unusable")]
    WeakEncryptionKey,
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
    /// Neither the author's own user, nor one certified by the author that still lacks its first device.
    #[error("its author may not certify a device of this user")]
    NotOwnUser,
    /// The user has had [`DEVICES_PER_USER_MAX`] devices.
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
}

/// Takes what `read` gives as the next certificate of `log`, or says which rule it breaks. `checked` is a signature check that was made ahead:
/// under which key, and whether it passed. It counts only if that is the key which the log says it must be.
pub(super) fn accept(
    log: &VerifiedLog,
    read: impl FnOnce() -> Option<Read>,
    checked: Option<(VerifyKey, bool)>,
) -> Result<Payload, Fault> {
    // Before the bytes are looked at: a full log costs nothing, however much a server sends.
    if log.count() >= LOG_MAX_CERTIFICATES {
        return Err(Fault::LogFull);
    }
    let Read { envelope, payload, sound } = read().ok_or(Fault::Malformed)?;
    if payload.organisation != log.organisation {
        return Err(Fault::WrongOrganisation);
    }
    let speaker = speaker(log, payload.author)?;
    let checks = match checked {
        Some((key, checks)) if key == *speaker.key() => checks,
        Some(_) | None => envelope.verify(speaker.key()).is_ok(),
    };
    if !checks {
        return Err(Fault::BadSignature);
    }
    check_view(log, &payload)?;
    match speaker {
        Speaker::Root(_) => check_founding(log, &payload, sound)?,
        Speaker::Member { user, device, .. } => check_statement(log, user, device, &payload, sound)?,
    }
    Ok(payload)
}

/// The author, as known before this certificate.
enum Speaker<'a> {
    Root(&'a VerifyKey),
    Member { user: &'a UserRecord, device: DeviceId, key: &'a VerifyKey },
}

impl Speaker<'_> {
    const fn key(&self) -> &VerifyKey {
        match self {
            Self::Root(key) | Self::Member { key, .. } => key,
        }
    }
}

/// Rule 2.
fn speaker(log: &VerifiedLog, author: Author) -> Result<Speaker<'_>, Fault> {
    match (author, log.count()) {
        (Author::Root, 0 | 1) => Ok(Speaker::Root(&log.root)),
        (Author::Root, _) => Err(Fault::RootTooLate),
        (Author::Device(_), 0 | 1) => Err(Fault::NotByRoot),
        (Author::Device(id), _) => {
            let device = log.device(&id).ok_or(Fault::AuthorUnknown)?;
            let user = log.user(&device.user).ok_or(Fault::AuthorUnknown)?;
            if device.revoked.is_some() || user.revoked.is_some() {
                return Err(Fault::AuthorRevoked);
            }
            Ok(Speaker::Member { user, device: id, key: &device.verify_key })
        }
    }
}

/// Rules 4 and 5.
fn check_view(log: &VerifiedLog, payload: &Payload) -> Result<(), Fault> {
    let here = log.head_at(payload.seen.count).ok_or(Fault::SeenAhead)?;
    if here.hash != payload.seen.hash {
        return Err(Fault::SeenOther);
    }
    // Enrolments signed by one device may be published in another order than they were signed: the newcomer whose
    // ceremony began first may be the last to choose a password. Their order decides nothing; that of the rest does.
    if payload.body.is_enrolment() {
        return Ok(());
    }
    match log.last_word(payload.author) {
        Some(last) if payload.seen.count < last.seen => Err(Fault::SeenWentBack),
        Some(last) if payload.time < last.time => Err(Fault::TimeWentBack),
        Some(_) | None => Ok(()),
    }
}

/// Rule 6, the first two certificates.
fn check_founding(log: &VerifiedLog, payload: &Payload, sound: bool) -> Result<(), Fault> {
    match &payload.body {
        Body::User { user, sealed_name, encryption_key, profile: Profile::Administrator, .. }
            if log.count() == 0 =>
        {
            check_new_user(log, user, sealed_name, encryption_key, sound)
        }
        Body::Device { device, user, sealed_label, verify_key }
            if log.count() == 1 && log.user(user).is_some() =>
        {
            check_new_device(log, device, user, sealed_label, verify_key, sound)
        }
        Body::User { .. }
        | Body::Device { .. }
        | Body::ProfileChange { .. }
        | Body::UserRevoked { .. }
        | Body::DeviceRevoked { .. } => Err(Fault::NotAFounding),
    }
}

/// Rule 6, all later certificates.
fn check_statement(
    log: &VerifiedLog,
    by: &UserRecord,
    by_device: DeviceId,
    payload: &Payload,
    sound: bool,
) -> Result<(), Fault> {
    let administrator = || match by.profile {
        Profile::Administrator => Ok(()),
        Profile::Standard | Profile::Outsider => Err(Fault::NotAdministrator),
    };
    match &payload.body {
        Body::User { user, email, sealed_name, encryption_key, profile: _ } => {
            administrator()?;
            if log.email_in_use(email) {
                return Err(Fault::EmailTaken);
            }
            check_new_user(log, user, sealed_name, encryption_key, sound)
        }
        Body::Device { device, user, sealed_label, verify_key } => {
            let owner = log.user(user).ok_or(Fault::SubjectUnknown)?;
            if owner.revoked.is_some() {
                return Err(Fault::SubjectRevoked);
            }
            if owner.user != by.user {
                // Somebody else's first terminal: one statement in two certificates, by one author.
                let first = log.devices_of(user).next().is_none();
                if !first || owner.author != payload.author {
                    return Err(Fault::NotOwnUser);
                }
                administrator()?;
            }
            check_new_device(log, device, user, sealed_label, verify_key, sound)
        }
        Body::ProfileChange { user, profile } => {
            administrator()?;
            let subject = check_subject(log, by, user)?;
            if subject.profile == *profile {
                return Err(Fault::SameProfile);
            }
            // Profiles are the one thing that can be stated twice. Without this, the server could send an old
            // promotion again after another administrator took it back.
            match log.profile_position(user) {
                Some(position) if payload.seen.count > position => Ok(()),
                Some(_) | None => Err(Fault::StaleProfile),
            }
        }
        Body::UserRevoked { user } => {
            administrator()?;
            check_subject(log, by, user).map(|_| ())
        }
        Body::DeviceRevoked { device } => {
            let subject = log.device(device).ok_or(Fault::SubjectUnknown)?;
            if subject.user != by.user {
                administrator()?;
            }
            if *device == by_device {
                return Err(Fault::OwnDevice);
            }
            if subject.revoked.is_some() { Err(Fault::SubjectRevoked) } else { Ok(()) }
        }
    }
}

/// Somebody else, known and not revoked.
fn check_subject<'a>(log: &'a VerifiedLog, by: &UserRecord, user: &UserId) -> Result<&'a UserRecord, Fault> {
    let subject = log.user(user).ok_or(Fault::SubjectUnknown)?;
    if subject.user == by.user {
        return Err(Fault::AboutOneself);
    }
    if subject.revoked.is_some() { Err(Fault::SubjectRevoked) } else { Ok(subject) }
}

/// What holds for every new user, founding or not.
fn check_new_user(
    log: &VerifiedLog,
    user: &UserId,
    sealed_name: &[u8],
    encryption_key: &EncryptionKey,
    sound: bool,
) -> Result<(), Fault> {
    if log.user(user).is_some() {
        return Err(Fault::UserIdTaken);
    }
    if sealed_name.len() != SEALED_NAME_BYTES {
        return Err(Fault::SealedNameLength);
    }
    if log.encryption_key_used(encryption_key) {
        return Err(Fault::EncryptionKeyTaken);
    }
    if sound { Ok(()) } else { Err(Fault::WeakEncryptionKey) }
}

/// What holds for every new device, first or not.
fn check_new_device(
    log: &VerifiedLog,
    device: &DeviceId,
    user: &UserId,
    sealed_label: &[u8],
    verify_key: &VerifyKey,
    sound: bool,
) -> Result<(), Fault> {
    if log.device(device).is_some() {
        return Err(Fault::DeviceIdTaken);
    }
    if log.devices_of(user).count() >= DEVICES_PER_USER_MAX {
        return Err(Fault::TooManyDevices);
    }
    if sealed_label.len() != SEALED_NAME_BYTES {
        return Err(Fault::SealedNameLength);
    }
    if log.verify_key_used(verify_key) || *verify_key == log.root {
        return Err(Fault::VerifyKeyTaken);
    }
    if sound { Ok(()) } else { Err(Fault::WeakVerifyKey) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::bootstrap::{Founder, found};
    use crate::ids::Timestamp;
    use crate::keys::{DeviceSigningKey, DirectoryKey, UserDecryptionKey};
    use crate::lab::Seeded;

    /// What was checked ahead counts under the key that the log says, and under no other: a second lock, for no crew comes to another key.
    #[test]
    fn a_signature_that_was_checked_ahead_counts_under_the_authors_key_alone() {
        let entropy = &mut Seeded::new(1);
        let signing_key = DeviceSigningKey::random(entropy).unwrap();
        let other = DeviceSigningKey::random(entropy).unwrap().verify_key();
        let founded = found(
            &Founder {
                organisation: &"acme".parse().unwrap(),
                email: &"alice@acme.test".parse().unwrap(),
                name: &"Alice".parse().unwrap(),
                device_label: &"laptop".parse().unwrap(),
                user_key: &UserDecryptionKey::random(entropy).unwrap(),
                signing_key: &signing_key,
                directory_key: &DirectoryKey::random(entropy).unwrap(),
            },
            Timestamp(1),
            entropy,
        )
        .unwrap();
        let log = VerifiedLog::empty("acme".parse().unwrap(), founded.root);
        let good = founded.certificates.first().unwrap().clone();
        let mut bad = good.clone();
        *bad.last_mut().unwrap() ^= 1;
        let accepted = |bytes: &[u8], checked| accept(&log, || Read::of(bytes), checked).map(|_| ());
        assert_eq!(accepted(&bad, None), Err(Fault::BadSignature));
        assert_eq!(accepted(&bad, Some((other, true))), Err(Fault::BadSignature));
        assert_eq!(accepted(&good, Some((other, false))), Ok(()));
        // Its word is taken where it is about the right key: nothing is checked twice.
        assert_eq!(accepted(&good, Some((founded.root, false))), Err(Fault::BadSignature));
        assert_eq!(accepted(&bad, Some((founded.root, true))), Ok(()));
    }
}
