//! What the store keeps, as the rest of the server sees it: values, no columns.
//!
//! Decides nothing. Ids, keys and times are the protocol's types; how an engine writes them down is
//! the engine's.

use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::certificate::{DeviceKind, Profile};
use parsec_protocol::ids::{DeviceId, Email, UserId};
use parsec_protocol::public_keys::{Hash, VerifyKey};
use parsec_protocol::sealing::KeyHash;

use crate::budgets::Taken;
use crate::invitations::{Attempt, Invitation, Member, Pool};

/// A reserved name, and what founded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Organisation {
    /// SHA-256 of the bootstrap token.
    pub(crate) bootstrap_hash: Hash,
    /// Once founded: the root key, and the hash of the request that founded it.
    pub(crate) founded: Option<(VerifyKey, Hash)>,
}

/// Where a founded organisation's log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogEnd {
    /// The key that signed the founding.
    pub(crate) root: VerifyKey,
    /// Count of certificates and the head after the last one.
    pub(crate) head: Head,
}

/// An organisation in the administrator's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) founded: bool,
    /// Users who are not revoked.
    pub(crate) users: u64,
    /// Certificates in the log.
    pub(crate) certificates: u64,
}

/// A device as a signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signer {
    pub(crate) member: Member,
    pub(crate) verify_key: VerifyKey,
    /// Whether it is a recovery kit.
    pub(crate) kind: DeviceKind,
    /// The device, or its user.
    pub(crate) revoked: bool,
}

/// A user of an organisation, as the log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) email: Email,
    pub(crate) profile: Profile,
    /// Position of the certificate that gave the present profile.
    pub(crate) profile_position: u64,
    pub(crate) revoked: bool,
    /// Devices that this user ever had, revoked ones included.
    pub(crate) devices: u64,
    /// Of these, the ones that were revoked by themselves; where the user is, all are.
    pub(crate) devices_revoked: u64,
    /// Devices that the user has named as abandoned, and that have not come into the log since.
    pub(crate) abandoned: u64,
    /// Hash of the user's present key.
    pub(crate) encryption_key: KeyHash,
    /// Changes of the key in which nothing was named as abandoned.
    pub(crate) key_changes: u64,
}

/// A user to be stored with the first profile.
#[derive(Debug)]
pub(crate) struct UserToAdd<'a> {
    pub(crate) user: &'a UserId,
    pub(crate) email: &'a Email,
    /// Hash of the user's first key.
    pub(crate) encryption_key: &'a KeyHash,
    pub(crate) profile: Profile,
    /// Position of the user's certificate.
    pub(crate) position: u64,
}

/// A device to be stored.
#[derive(Debug)]
pub(crate) struct DeviceToAdd<'a> {
    pub(crate) device: &'a DeviceId,
    pub(crate) user: &'a UserId,
    pub(crate) verify_key: &'a VerifyKey,
    /// Hash of the device's key.
    pub(crate) encryption_key: &'a KeyHash,
    pub(crate) kind: DeviceKind,
    /// Position of the device's certificate.
    pub(crate) position: u64,
}

/// A device of a user, as the log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) user: UserId,
    /// The device itself; its user may be revoked all the same.
    pub(crate) revoked: bool,
    /// Position of the newest certificate that this device signed, enrolments aside.
    pub(crate) last_change: Option<u64>,
}

/// An invitation with its newest attempt, as they were written last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) invitation: Invitation,
    pub(crate) newest: Option<Attempt>,
}

/// What a member, or all of a pool, takes up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// E-mail of the member; nothing for the whole pool.
    pub(crate) member: Option<String>,
    pub(crate) pool: Pool,
    pub(crate) taken: Taken,
}

/// Bytes of what lasts as long as its organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lasting {
    /// Bytes of manifests.
    pub(crate) manifests: u64,
    /// Bytes of certificates and of receipts.
    pub(crate) log: u64,
    /// Bytes of encryption keys, and of boxes with users' seeds.
    pub(crate) keys: u64,
    /// Bytes of safes, those of objects in files included.
    pub(crate) safes: u64,
}
