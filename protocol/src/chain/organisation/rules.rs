//! May this certificate stand at this place? (docs/protocol.md, *The log*, rules 1 to 6.)
//!
//! Decides by the certificate and the log before it, and by nothing else: no clock, no later
//! certificate, no word of the server. Members and the server ask one function, `judge`, each
//! about their own view of the log. Refuses with one [`Fault`] for each rule. The signature is
//! checked before the body is acted on.

use super::Organisation;
use super::certificate::{Author, Body, DeviceKind, Payload, Profile, SEALED_NAME_BYTES};
use super::view::{DeviceState, MembersView, UserState};
use crate::chain::candidate::{Accepted, Candidate};
use crate::chain::head::Head;
use crate::chain::view::{LogView, NotAccepted};
use crate::ids::{DeviceId, UserId};
use crate::limits::{ABANDONED_MAX, DEVICES_PER_USER_MAX, KEY_CHANGES_MAX, LOG_MAX_CERTIFICATES};
use crate::public_keys::VerifyKey;
use crate::sealing::KeyHash;

pub use super::fault::Fault;

/// What a check gives: nothing, or why the certificate is not accepted.
type Checked<V, T = ()> = Result<T, NotAccepted<Fault, <V as LogView>::Error>>;

/// Accepts what `read` gives as the next certificate of the log that is seen through `view`. A full
/// log is refused before `read` is called: it costs nothing, however much a server sends.
///
/// # Errors
/// [`NotAccepted`]: the rule that it breaks, or why the view could not be asked.
pub fn accept<'a, V: MembersView>(
    view: &V,
    read: impl FnOnce() -> Option<Candidate<'a, Organisation>>,
) -> Checked<V, Accepted<'a, Organisation>> {
    judge(view, read).map(|(candidate, head)| candidate.accept(head))
}

/// All rules, for every view: the candidate again if it may stand next, and the head that it would
/// follow.
pub(super) fn judge<'a, V: MembersView>(
    view: &V,
    read: impl FnOnce() -> Option<Candidate<'a, Organisation>>,
) -> Checked<V, (Candidate<'a, Organisation>, Head)> {
    let head = view.head().map_err(NotAccepted::View)?;
    if head.count >= LOG_MAX_CERTIFICATES {
        return Err(Fault::LogFull.into());
    }
    let candidate = read().ok_or(Fault::Malformed)?;
    let payload = candidate.payload();
    if payload.organisation != view.origin().organisation {
        return Err(Fault::WrongOrganisation.into());
    }
    let author = author(view, &head, payload.author)?;
    if !candidate.is_signed_by(author.key()) {
        return Err(Fault::BadSignature.into());
    }
    check_view(view, payload)?;
    let check = Check { view, payload, sound: *candidate.findings() };
    match author {
        AuthorBy::Root(_) => check.founding(&head)?,
        AuthorBy::Member(by) => check.statement(&by)?,
    }
    Ok((candidate, head))
}

/// The author, as known before this certificate.
enum AuthorBy {
    Root(VerifyKey),
    Member(Member),
}

/// A certified device with its user, neither of them revoked.
struct Member {
    device: DeviceId,
    key: VerifyKey,
    user: UserId,
    profile: Profile,
    kind: DeviceKind,
}

impl AuthorBy {
    const fn key(&self) -> &VerifyKey {
        match self {
            Self::Root(key) | Self::Member(Member { key, .. }) => key,
        }
    }
}

impl Member {
    /// A recovery device certifies ordinary devices of its own user. Whoever finds one can't revoke
    /// the person's other devices with it, nor let anybody else in.
    fn is_entitled(&self, body: &Body) -> Result<(), Fault> {
        match (self.kind, body) {
            (DeviceKind::Device, _) => Ok(()),
            (DeviceKind::Recovery, Body::Device { user, kind: DeviceKind::Device, .. })
                if *user == self.user =>
            {
                Ok(())
            }
            (DeviceKind::Recovery, _) => Err(Fault::RecoveryDevice),
        }
    }

    fn is_administrator(&self) -> Result<(), Fault> {
        match self.profile {
            Profile::Administrator => Ok(()),
            Profile::Standard | Profile::Outsider => Err(Fault::NotAdministrator),
        }
    }
}

/// Rule 2.
fn author<V: MembersView>(view: &V, head: &Head, author: Author) -> Checked<V, AuthorBy> {
    match (author, head.count) {
        (Author::Root, 0 | 1) => Ok(AuthorBy::Root(view.origin().root)),
        (Author::Root, _) => Err(Fault::RootTooLate.into()),
        (Author::Device(_), 0 | 1) => Err(Fault::NotByRoot.into()),
        (Author::Device(device), _) => {
            let known = view.device(&device).map_err(NotAccepted::View)?;
            let DeviceState { user, verify_key: key, revoked, kind } = known.ok_or(Fault::AuthorUnknown)?;
            let known = view.user(&user).map_err(NotAccepted::View)?;
            let owner = known.ok_or(Fault::AuthorUnknown)?;
            if revoked || owner.revoked {
                return Err(Fault::AuthorRevoked.into());
            }
            Ok(AuthorBy::Member(Member { device, key, user, profile: owner.profile, kind }))
        }
    }
}

/// Rules 4 and 5.
fn check_view<V: MembersView>(view: &V, payload: &Payload) -> Checked<V> {
    let here = view.head_at(payload.seen.count).map_err(NotAccepted::View)?;
    if here.ok_or(Fault::SeenAhead)?.hash != payload.seen.hash {
        return Err(Fault::ForkedView.into());
    }
    // Enrolments signed by one device may be published in another order than they were signed: the
    // newcomer whose ceremony began first may be the last to choose a password. Their order decides
    // nothing; that of the rest does.
    if payload.body.is_enrolment() {
        return Ok(());
    }
    match view.author_state(&payload.author).map_err(NotAccepted::View)? {
        Some(last) if payload.seen.count < last.seen => Err(Fault::SeenWentBack.into()),
        Some(last) if payload.time < last.time => Err(Fault::TimeWentBack.into()),
        Some(_) | None => Ok(()),
    }
}

/// Rule 6, about one certificate.
struct Check<'a, V> {
    view: &'a V,
    payload: &'a Payload,
    /// Whether the verify key that it certifies is one that may be certified.
    sound: bool,
}

/// What a certificate says about a new device, its kind aside.
struct NewDevice<'a> {
    device: &'a DeviceId,
    user: &'a UserId,
    sealed_label: &'a [u8],
    verify_key: &'a VerifyKey,
    encryption_key: &'a KeyHash,
}

/// A user begins with a device that can work for them.
const fn first_device(kind: DeviceKind) -> Result<(), Fault> {
    match kind {
        DeviceKind::Device => Ok(()),
        DeviceKind::Recovery => Err(Fault::RecoveryDevice),
    }
}

impl<V: MembersView> Check<'_, V> {
    /// The first two certificates.
    fn founding(&self, head: &Head) -> Checked<V> {
        match &self.payload.body {
            Body::User { user, sealed_name, encryption_key, profile: Profile::Administrator, .. }
                if head.count == 0 =>
            {
                self.new_user(user, sealed_name, encryption_key)
            }
            Body::Device { device, user, sealed_label, verify_key, encryption_key, kind }
                if head.count == 1 =>
            {
                let owner = self.user(user)?.ok_or(Fault::NotAFounding)?;
                first_device(*kind)?;
                let new = NewDevice { device, user, sealed_label, verify_key, encryption_key };
                self.new_device(&new, &owner)
            }
            Body::User { .. }
            | Body::Device { .. }
            | Body::ProfileChange { .. }
            | Body::UserRevoked { .. }
            | Body::DeviceRevoked { .. }
            | Body::UserKeyChanged { .. }
            | Body::DirectoryKeyChanged { .. } => Err(Fault::NotAFounding.into()),
        }
    }

    /// All later certificates.
    fn statement(&self, by: &Member) -> Checked<V> {
        by.is_entitled(&self.payload.body)?;
        match &self.payload.body {
            Body::User { user, email, sealed_name, encryption_key, profile: _ } => {
                by.is_administrator()?;
                if self.view.email_in_use(email).map_err(NotAccepted::View)? {
                    return Err(Fault::EmailTaken.into());
                }
                self.new_user(user, sealed_name, encryption_key)
            }
            Body::Device { device, user, sealed_label, verify_key, encryption_key, kind } => {
                let owner = self.user(user)?.ok_or(Fault::SubjectUnknown)?;
                if owner.revoked {
                    return Err(Fault::SubjectRevoked.into());
                }
                if *user != by.user {
                    // Somebody else's first device: one statement in two certificates, by one
                    // author.
                    if owner.devices > 0 {
                        return Err(Fault::NotOwnUser.into());
                    }
                    let certifier = self.view.certifier(user).map_err(NotAccepted::View)?;
                    if certifier != Some(self.payload.author) {
                        return Err(Fault::NotOwnUser.into());
                    }
                    by.is_administrator()?;
                    first_device(*kind)?;
                }
                let new = NewDevice { device, user, sealed_label, verify_key, encryption_key };
                self.new_device(&new, &owner)
            }
            Body::ProfileChange { user, profile } => {
                by.is_administrator()?;
                let subject = self.somebody_else(by, user)?;
                if subject.profile == *profile {
                    return Err(Fault::SameProfile.into());
                }
                // Profiles are the one thing that can be stated twice. Without this, the server
                // could send an old promotion again after another administrator took it back.
                if self.payload.seen.count > subject.profile_position {
                    Ok(())
                } else {
                    Err(Fault::StaleProfile.into())
                }
            }
            Body::UserRevoked { user } => {
                by.is_administrator()?;
                self.somebody_else(by, user).map(|_| ())
            }
            Body::DeviceRevoked { device } => {
                let subject = self.device(device)?.ok_or(Fault::SubjectUnknown)?;
                if subject.user != by.user {
                    by.is_administrator()?;
                }
                if *device == by.device {
                    return Err(Fault::OwnDevice.into());
                }
                if subject.revoked { Err(Fault::SubjectRevoked.into()) } else { Ok(()) }
            }
            Body::UserKeyChanged { user, previous, encryption_key, manifest: _, abandoned } => {
                if *user != by.user {
                    return Err(Fault::AnothersKey.into());
                }
                let owner = self.user(user)?.ok_or(Fault::SubjectUnknown)?;
                // Of two devices that change the key at once, one loses: its certificate names a
                // key that is not the present one, and never will be again.
                if owner.encryption_key != *previous {
                    return Err(Fault::StaleKey.into());
                }
                self.new_key(encryption_key)?;
                self.key_change_allowed(&owner, abandoned)
            }
            Body::DirectoryKeyChanged { number, key_check: _, ring: _ } => {
                by.is_administrator()?;
                self.next_directory_key(*number)
            }
        }
    }

    /// How often: an ordinary member could fill the log otherwise, or make others seal anew without
    /// end.
    fn key_change_allowed(&self, owner: &UserState, abandoned: &[DeviceId]) -> Checked<V> {
        if abandoned.is_empty() {
            let allowed = KEY_CHANGES_MAX.saturating_add(owner.devices_revoked);
            return if owner.key_changes < allowed { Ok(()) } else { Err(Fault::TooManyKeyChanges.into()) };
        }
        let room = DEVICES_PER_USER_MAX.saturating_sub(owner.devices);
        if abandoned.len() > ABANDONED_MAX.min(room) || !abandoned.is_sorted_by(|a, b| a < b) {
            return Err(Fault::Abandoned.into());
        }
        for device in abandoned {
            let named = self.view.abandoned_by(device).map_err(NotAccepted::View)?;
            if named.is_some() || self.device(device)?.is_some() {
                return Err(Fault::Abandoned.into());
            }
        }
        Ok(())
    }

    /// A key that everybody has who is a member right here, and nobody else: its author saw the
    /// whole log before it. Of two at once one wins, and the other fits nowhere later.
    fn next_directory_key(&self, number: u32) -> Checked<V> {
        let head = self.view.head().map_err(NotAccepted::View)?;
        if self.payload.seen.count != head.count {
            return Err(Fault::NotNext.into());
        }
        let present = self.view.directory().map_err(NotAccepted::View)?;
        if present.number.checked_add(1) != Some(number) {
            return Err(Fault::StaleDirectoryKey.into());
        }
        // Otherwise administrators could make members seal and fetch without end.
        if present.somebody_left { Ok(()) } else { Err(Fault::NobodyLeft.into()) }
    }

    /// Hashes are certified once: an old key never comes back, and nobody takes another's.
    fn new_key(&self, key: &KeyHash) -> Checked<V> {
        if self.view.encryption_key_used(key).map_err(NotAccepted::View)? {
            Err(Fault::EncryptionKeyTaken.into())
        } else {
            Ok(())
        }
    }

    fn user(&self, user: &UserId) -> Checked<V, Option<UserState>> {
        self.view.user(user).map_err(NotAccepted::View)
    }

    fn device(&self, device: &DeviceId) -> Checked<V, Option<DeviceState>> {
        self.view.device(device).map_err(NotAccepted::View)
    }

    /// Somebody else, known and not revoked.
    fn somebody_else(&self, by: &Member, user: &UserId) -> Checked<V, UserState> {
        let subject = self.user(user)?.ok_or(Fault::SubjectUnknown)?;
        if *user == by.user {
            return Err(Fault::AboutOneself.into());
        }
        if subject.revoked { Err(Fault::SubjectRevoked.into()) } else { Ok(subject) }
    }

    /// What holds for every new user, founding or not.
    fn new_user(&self, user: &UserId, sealed_name: &[u8], encryption_key: &KeyHash) -> Checked<V> {
        if self.user(user)?.is_some() {
            return Err(Fault::UserIdTaken.into());
        }
        if sealed_name.len() != SEALED_NAME_BYTES {
            return Err(Fault::SealedNameLength.into());
        }
        self.new_key(encryption_key)
    }

    /// What holds for every new device, first or not.
    fn new_device(&self, new: &NewDevice<'_>, owner: &UserState) -> Checked<V> {
        let NewDevice { device, user, sealed_label, verify_key, encryption_key } = *new;
        if self.device(device)?.is_some() {
            return Err(Fault::DeviceIdTaken.into());
        }
        // One that its user named as abandoned was counted then.
        let counted = self.view.abandoned_by(device).map_err(NotAccepted::View)? == Some(*user);
        if owner.devices >= DEVICES_PER_USER_MAX && !counted {
            return Err(Fault::TooManyDevices.into());
        }
        if sealed_label.len() != SEALED_NAME_BYTES {
            return Err(Fault::SealedNameLength.into());
        }
        let used = self.view.verify_key_used(verify_key).map_err(NotAccepted::View)?;
        if used || *verify_key == self.view.origin().root {
            return Err(Fault::VerifyKeyTaken.into());
        }
        self.new_key(encryption_key)?;
        if self.sound { Ok(()) } else { Err(Fault::WeakVerifyKey.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::organisation::log::VerifiedLog;
    use crate::keys::DeviceSigningKey;
    use crate::lab::{Organisation, SeededRng};

    /// What was checked ahead counts under the key that the log says, and under no other: a second
    /// lock, for no executor comes to another key.
    #[test]
    fn a_signature_that_was_checked_ahead_counts_under_the_authors_key_alone() {
        let founded = Organisation::of_seed(1).unwrap();
        let other = DeviceSigningKey::random(&mut SeededRng::new(2)).unwrap().verify_key();
        let log = VerifiedLog::empty("acme".parse().unwrap(), founded.root);
        let good = founded.envelopes.first().unwrap().clone();
        let mut bad = good.clone();
        *bad.last_mut().unwrap() ^= 1;
        let accepted = |bytes: &[u8], checked: Option<(VerifyKey, bool)>| {
            let read = || Some(Candidate::read(bytes)?.claiming(checked));
            accept(&log, read).map(|_| ()).map_err(NotAccepted::fault)
        };
        assert_eq!(accepted(&bad, None), Err(Fault::BadSignature));
        assert_eq!(accepted(&bad, Some((other, true))), Err(Fault::BadSignature));
        assert_eq!(accepted(&good, Some((other, false))), Ok(()));
        // Its word is taken where it is about the right key: nothing is checked twice.
        assert_eq!(accepted(&good, Some((founded.root, false))), Err(Fault::BadSignature));
        assert_eq!(accepted(&bad, Some((founded.root, true))), Ok(()));
    }
}
