//! What the rules of an organisation's log ask of the certificates before the next one.
//!
//! Decides the look-ups: by id, by key, by e-mail, and what an author said last. Refuses nothing:
//! two views of one log answer alike, or one of them is wrong.

use std::convert::Infallible;

use super::certificate::{Author, DeviceKind, Profile};
use super::log::{Origin, VerifiedLog};
use crate::chain::view::LogView;
use crate::ids::{DeviceId, Email, Timestamp, UserId};
use crate::public_keys::VerifyKey;
use crate::sealing::KeyHash;

/// A user at the end of the log, as far as rules ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserState {
    /// What the user may do.
    pub profile: Profile,
    /// Position of the certificate that gave this profile.
    pub profile_position: u64,
    /// Whether the user was revoked.
    pub revoked: bool,
    /// Devices that the user ever had, revoked ones included, and those that a key change named as
    /// abandoned.
    pub devices: usize,
    /// How many of them were revoked.
    pub devices_revoked: usize,
    /// Hash of the user's present key.
    pub encryption_key: KeyHash,
    /// Key changes so far in which no device was abandoned.
    pub key_changes: usize,
}

/// A device at the end of the log, as far as rules ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceState {
    /// User to whom it belongs.
    pub user: UserId,
    /// Key that it signs with.
    pub verify_key: VerifyKey,
    /// Whether it was revoked, by itself or with its user.
    pub revoked: bool,
    /// Whether it is a recovery kit.
    pub kind: DeviceKind,
}

/// The present directory key, as far as rules ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectoryState {
    /// Number of the key.
    pub number: u32,
    /// Whether a user or device was revoked since it is the present one.
    pub somebody_left: bool,
}

/// View and time of an author's newest certificate, enrolments aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthorState {
    /// How many certificates the author had seen.
    pub seen: u64,
    /// Time by the author's clock.
    pub time: Timestamp,
}

/// An organisation's log as its rules see it.
pub trait MembersView: LogView {
    /// The organisation and its root key.
    fn origin(&self) -> &Origin;

    /// A user, revoked or not.
    ///
    /// # Errors
    /// [`LogView::Error`].
    fn user(&self, user: &UserId) -> Result<Option<UserState>, Self::Error>;

    /// Who certified a user; none if the log names no such user. Asked about users without a device
    /// alone.
    ///
    /// # Errors
    /// [`LogView::Error`].
    fn certifier(&self, user: &UserId) -> Result<Option<Author>, Self::Error>;

    /// A device, revoked or not.
    ///
    /// # Errors
    /// [`LogView::Error`].
    fn device(&self, device: &DeviceId) -> Result<Option<DeviceState>, Self::Error>;

    /// Whether a user who is not revoked has this address.
    ///
    /// # Errors
    /// [`LogView::Error`].
    fn email_in_use(&self, email: &Email) -> Result<bool, Self::Error>;

    /// Whether any user or device has, or ever had, the key with this hash.
    ///
    /// # Errors
    /// [`LogView::Error`].
    fn encryption_key_used(&self, key: &KeyHash) -> Result<bool, Self::Error>;

    /// The user who has named a device as abandoned; none if nobody has.
    ///
    /// # Errors
    /// [`LogView::Error`].
    fn abandoned_by(&self, device: &DeviceId) -> Result<Option<UserId>, Self::Error>;

    /// Whether any device, revoked or not, has this key.
    ///
    /// # Errors
    /// [`LogView::Error`].
    fn verify_key_used(&self, key: &VerifyKey) -> Result<bool, Self::Error>;

    /// What this author said last, enrolments aside; none if nothing.
    ///
    /// # Errors
    /// [`LogView::Error`].
    fn author_state(&self, author: &Author) -> Result<Option<AuthorState>, Self::Error>;

    /// The present directory key.
    ///
    /// # Errors
    /// [`LogView::Error`].
    fn directory(&self) -> Result<DirectoryState, Self::Error>;
}

impl MembersView for VerifiedLog {
    fn origin(&self) -> &Origin {
        Self::origin(self)
    }

    fn user(&self, user: &UserId) -> Result<Option<UserState>, Infallible> {
        Ok(self.state().user_state(user))
    }

    fn certifier(&self, user: &UserId) -> Result<Option<Author>, Infallible> {
        Ok(Self::user(self, user).map(|record| record.author))
    }

    fn device(&self, device: &DeviceId) -> Result<Option<DeviceState>, Infallible> {
        Ok(Self::device(self, device).map(|record| DeviceState {
            user: record.user,
            verify_key: record.verify_key,
            revoked: record.revoked.is_some(),
            kind: record.kind,
        }))
    }

    fn email_in_use(&self, email: &Email) -> Result<bool, Infallible> {
        Ok(self.state().email_in_use(email))
    }

    fn encryption_key_used(&self, key: &KeyHash) -> Result<bool, Infallible> {
        Ok(self.state().encryption_key_used(key))
    }

    fn abandoned_by(&self, device: &DeviceId) -> Result<Option<UserId>, Infallible> {
        Ok(self.state().abandoned_by(device))
    }

    fn verify_key_used(&self, key: &VerifyKey) -> Result<bool, Infallible> {
        Ok(self.state().verify_key_used(key))
    }

    fn author_state(&self, author: &Author) -> Result<Option<AuthorState>, Infallible> {
        Ok(self.state().author_state(author))
    }

    fn directory(&self) -> Result<DirectoryState, Infallible> {
        Ok(self.state().directory())
    }
}
