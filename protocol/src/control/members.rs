//! What the methods about members take and give: who they are, and who vouched for them, all from
//! the verified log.

use serde::{Deserialize, Serialize};

use super::events::Alarm;
use super::methods::{DeviceSelector, ProfileName};
use crate::ids::{DeviceId, Email, Label, Timestamp, UserId};

/// One device of a member, from the verified log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MemberDevice {
    /// Id of the device.
    pub device: DeviceId,
    /// What it is called; absent if it can't be opened with the directory key.
    pub label: Option<Label>,
    /// When it was certified.
    pub certified: Timestamp,
    /// Whether it has been revoked.
    pub revoked: bool,
    /// Whether it is a recovery kit: words on paper, and no machine.
    #[serde(default)]
    pub recovery: bool,
}

/// One member, from the verified log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Member {
    /// Id of the member.
    pub user: UserId,
    /// E-mail address of the member, unique in the organisation.
    pub email: Email,
    /// Name; absent if it can't be opened with the directory key.
    pub name: Option<Label>,
    /// What they may do.
    pub profile: ProfileName,
    /// Whether they have been revoked.
    pub revoked: bool,
    /// Whether a device of theirs was revoked and their key has not been changed since: nothing is
    /// sealed to them until it is.
    #[serde(default)]
    pub suspended: bool,
    /// Devices of the member, revoked ones included.
    pub devices: Vec<MemberDevice>,
}

/// Result of `user.list`: all members, in the log's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UserListResult {
    /// Members, in the order of their certificates.
    pub users: Vec<Member>,
}

/// Parameters of `user.show`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UserShow {
    /// The device that answers, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// An e-mail address or the start of a user id; the caller's own if absent.
    #[serde(default)]
    pub user: Option<String>,
}

/// Result of `user.show`: one member, and who vouched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UserShowResult {
    /// The member, with all devices.
    pub member: Member,
    /// Who vouched for them, link by link up to the root, as `trust.show` gives it.
    pub chain: Vec<TrustLink>,
    /// SHA-256 of the root key.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))]
    pub root_fingerprint: String,
}

/// `device.revoke`: a member's device is not trusted from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DeviceRevoke {
    /// The device that signs, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// Whose trust ends: the whole id, so that nothing is guessed.
    pub device: DeviceId,
}

/// `user.revoke`: a member, with all their devices, is none from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UserRevoke {
    /// The device that signs, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// Whose membership ends: the whole id.
    pub user: UserId,
}

/// Result of `user.rekey`: the caller's own user with another key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UserRekeyed {
    /// The member, as the log has them now.
    pub member: Member,
    /// Hash of the member's new key.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))]
    pub key: String,
    /// Own devices whose public key the server doesn't have: they get no use of the new key.
    pub left_out: Vec<DeviceId>,
}

/// `user.profile`: a member may do something else from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UserProfile {
    /// The device that signs, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// Whose: the whole id.
    pub user: UserId,
    /// What they may do.
    pub profile: ProfileName,
}

/// `trust.verify`: the whole log, fetched and verified anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrustVerifyResult {
    /// Number of certificates that were verified.
    pub count: u64,
    /// The log's head, hexadecimal.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))]
    pub head: String,
    /// SHA-256 of the root key, hexadecimal.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))]
    pub root_fingerprint: String,
    /// Number of members that are not revoked.
    pub users: u64,
    /// Their devices not revoked.
    pub devices: u64,
}

/// `trust.acknowledge`: a person has dealt with an alarm. Nothing that was refused is believed for
/// it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TrustAcknowledge {
    /// The device that noticed it.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The alarm's number among that device's.
    pub alarm: u64,
}

/// Result of `trust.acknowledge`: the alarm that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrustAcknowledged {
    /// What was dealt with.
    pub alarm: Alarm,
}

/// `trust.repair`: what a restore of the server's database took off the end of its log was put
/// back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrustRepaired {
    /// Certificates put back; 0 where none was missing.
    pub added: u64,
    /// Certificates in the server's log now, fetched and verified anew.
    pub count: u64,
    /// The log's head, hexadecimal.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))]
    pub head: String,
    /// Invitations of this device that the server had lost, too, and has again.
    pub invitations: u32,
    /// The alarms that are closed by it: those that said that certificates are missing, and nothing
    /// more.
    pub alarms: Vec<Alarm>,
}

/// Parameters of `trust.show`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TrustShow {
    /// The device that answers, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// Whose chain; the caller's own if absent. An e-mail address or the start of a user id.
    #[serde(default)]
    pub user: Option<String>,
}

/// One link of a chain of trust.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrustLink {
    /// Position of the certificate in the log.
    pub position: u64,
    /// Kind of the certificate: `user`, `device` or `user_key`.
    pub kind: String,
    /// What it certifies, in words: name, address, label.
    pub subject: String,
    /// The certified key, hexadecimal.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))]
    pub key: String,
    /// Who signed, in words; `root` for the first two.
    pub signed_by: String,
    /// The signing key, hexadecimal.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))]
    pub signer_key: String,
    /// When it was signed, by the author's clock.
    pub time: Timestamp,
}

/// `trust.show`: from the user up to the root, each certificate signed by a device further down,
/// the last ones by the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrustShowResult {
    /// Id of the member that the chain leads to.
    pub user: UserId,
    /// The links, the user's own first.
    pub chain: Vec<TrustLink>,
    /// SHA-256 of the root key, where every chain ends.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))]
    pub root_fingerprint: String,
}

/// What a lost machine, or a lost person, would lock somebody out by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Lockout {
    /// It is the user's only device, and there is no recovery kit.
    OneDevice,
    /// The user has no recovery kit.
    NoKit,
    /// The organisation has several members, and one administrator.
    OneAdministrator,
    /// One that a newer daemon has. Never sent.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}
