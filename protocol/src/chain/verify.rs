//! Which log is valid (docs/protocol.md, *The log*), and the type that only validation can make.

use std::collections::BTreeMap;

use super::certificate::{Author, Head, Profile};
use crate::ids::{DeviceId, Email, OrganisationId, Timestamp, UserId};
use crate::public::{EncryptionKey, VerifyKey};

/// A member by the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// Who.
    pub user: UserId,
    /// Address.
    pub email: Email,
    /// Opened by `members::open_name`.
    pub sealed_name: Vec<u8>,
    /// What to encrypt to them with.
    pub encryption_key: EncryptionKey,
    /// What they may do now.
    pub profile: Profile,
    /// Where in the log: 0 is the first.
    pub position: u64,
    /// By whom.
    pub author: Author,
    /// When.
    pub certified: Timestamp,
    /// Since when no member.
    pub revoked: Option<Timestamp>,
}

/// A terminal by the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Which.
    pub device: DeviceId,
    /// Whose.
    pub user: UserId,
    /// Opened by `members::open_name`.
    pub sealed_label: Vec<u8>,
    /// What it signs with.
    pub verify_key: VerifyKey,
    /// Where in the log.
    pub position: u64,
    /// By whom.
    pub author: Author,
    /// When.
    pub certified: Timestamp,
    /// Since when not trusted, by its own or its user's revocation.
    pub revoked: Option<Timestamp>,
}

/// A log that verified from the root key to its head. Obtained from the verifier alone.
#[derive(Debug, Clone)]
pub struct VerifiedLog {
    organisation: OrganisationId,
    root: VerifyKey,
    users: BTreeMap<UserId, UserRecord>,
    devices: BTreeMap<DeviceId, DeviceRecord>,
}

/// One certificate that fails makes the log invalid from there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("certificate {position} of the log: {fault}")]
pub struct LogError {
    /// Position of the first bad certificate; 0 is the first.
    pub position: u64,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What can be wrong with a certificate at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Size or encoding.
    #[error("it is malformed")]
    Malformed,
}

impl VerifiedLog {
    /// The log before its first certificate.
    #[must_use]
    pub fn empty(organisation: OrganisationId, root: VerifyKey) -> Self {
        Self { organisation, root, users: BTreeMap::new(), devices: BTreeMap::new() }
    }

    /// This log with further certificates. On failure this one is as it was.
    ///
    /// # Errors
    /// [`LogError`] names the first certificate that doesn't verify.
    pub fn extended<'a>(&self, envelopes: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, LogError> {
        todo!("{}", envelopes.into_iter().count())
    }

    /// Like [`Self::extended`], in place: certificates before the bad one are kept.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn push(&mut self, envelope: &[u8]) -> Result<(), LogError> {
        todo!("{envelope:?}")
    }

    /// In which organisation.
    #[must_use]
    pub fn organisation(&self) -> &OrganisationId {
        &self.organisation
    }

    /// Pinned.
    #[must_use]
    pub fn root(&self) -> &VerifyKey {
        &self.root
    }

    /// Where it ends now.
    #[must_use]
    pub fn head(&self) -> Head {
        todo!()
    }

    /// Where it was after `count` certificates; none if there are fewer.
    #[must_use]
    pub fn head_at(&self, count: u64) -> Option<Head> {
        todo!("{count}")
    }

    /// A user, revoked or not.
    #[must_use]
    pub fn user(&self, user: &UserId) -> Option<&UserRecord> {
        self.users.get(user)
    }

    /// A device, revoked or not.
    #[must_use]
    pub fn device(&self, device: &DeviceId) -> Option<&DeviceRecord> {
        self.devices.get(device)
    }

    /// All users, in the order of certification.
    pub fn users(&self) -> impl Iterator<Item = &UserRecord> {
        self.users.values()
    }

    /// All devices, in the order of certification.
    pub fn devices(&self) -> impl Iterator<Item = &DeviceRecord> {
        self.devices.values()
    }
}
