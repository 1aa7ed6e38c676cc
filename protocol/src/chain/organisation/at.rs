//! The organisation's log as it was after its first *n* certificates.
//!
//! Decides what other logs are judged by: a certificate or record of a safe counts by what its
//! author had seen, whatever came later. Refuses nothing; *n* beyond the end is as the end.

use std::convert::Infallible;

use super::certificate::{DeviceKind, Profile};
use super::log::VerifiedLog;
use crate::chain::view::LogView;
use crate::ids::{DeviceId, OrganisationId, UserId};
use crate::public_keys::VerifyKey;
use crate::sealing::KeyHash;

/// A user at a place of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserAt {
    /// What the user may do.
    pub profile: Profile,
    /// Whether the user was revoked.
    pub revoked: bool,
    /// Whether the user had a device that was not revoked; a recovery device counts.
    pub has_device: bool,
    /// Whether a device of the user was revoked after the user's key was certified.
    pub suspended: bool,
    /// Hash of the user's key.
    pub encryption_key: KeyHash,
}

/// A device at a place of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceAt {
    /// User to whom it belongs.
    pub user: UserId,
    /// Key that it signs with.
    pub verify_key: VerifyKey,
    /// Whether it is a recovery kit.
    pub kind: DeviceKind,
    /// Whether it was revoked, by itself or with its user.
    pub revoked: bool,
}

/// An organisation's log, asked about any of its places. A place is how many certificates count.
pub trait MembersAt: LogView {
    /// The organisation whose log it is.
    fn organisation(&self) -> &OrganisationId;

    /// A user; none if the first `n` certificates don't name it.
    ///
    /// # Errors
    /// [`LogView::Error`].
    fn user_at(&self, user: &UserId, n: u64) -> Result<Option<UserAt>, Self::Error>;

    /// A device; none if the first `n` certificates don't name it.
    ///
    /// # Errors
    /// [`LogView::Error`].
    fn device_at(&self, device: &DeviceId, n: u64) -> Result<Option<DeviceAt>, Self::Error>;

    /// Position of the newest certificate among the first `n` that is no enrolment; 0 is the first
    /// of the log. None if all are enrolments.
    ///
    /// # Errors
    /// [`LogView::Error`].
    fn changed_before(&self, n: u64) -> Result<Option<u64>, Self::Error>;
}

impl MembersAt for VerifiedLog {
    fn organisation(&self) -> &OrganisationId {
        Self::organisation(self)
    }

    fn user_at(&self, user: &UserId, n: u64) -> Result<Option<UserAt>, Infallible> {
        Ok(self.state().user_at(user, n))
    }

    fn device_at(&self, device: &DeviceId, n: u64) -> Result<Option<DeviceAt>, Infallible> {
        Ok(self.state().device_at(device, n))
    }

    fn changed_before(&self, n: u64) -> Result<Option<u64>, Infallible> {
        Ok(self.state().changed_before(n))
    }
}
