//! What the methods take and give: one struct for a method's parameters, one for its result. Names are in [`super::method`].
//!
//! Parameters are JSON objects by name; unknown fields are refused, so that a misspelt option is not silently lost.

use serde::{Deserialize, Serialize};

use super::ceremony::{CeremonyId, CeremonyView, Subject};
use super::events::Alarm;
use super::net::TransportChoice;
use super::secret::SecretText;
use crate::ids::{DeviceId, Email, Label, OrganisationId, Timestamp, Token, UserId};

/// No result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// Chooses one of this machine's devices. Both absent: the only one there is, or the only unlocked one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DeviceSelector {
    /// By the start of its id, 4 digits at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// By its organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<OrganisationId>,
}

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProfileName {
    /// Invites, certifies, revokes.
    Administrator,
    /// Uses and shares safes.
    Standard,
    /// Uses safes shared with them.
    Outsider,
}

/// What is known of a device on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// Its keys are on disk only.
    Locked,
    /// Its keys are in memory.
    Unlocked,
}

/// Whether a device is certified in its organisation's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// Seen in the verified log.
    Registered,
    /// The greeter's device has still to put it there.
    Pending,
    /// Set aside: a server, or the other side's device, says that it never will be.
    Void,
    /// It was, and it or its user has been revoked, as far as the server says. Since API 1.2.
    Revoked,
    /// One that a newer daemon has. Never sent.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// One device on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeviceView {
    /// Which.
    pub device: DeviceId,
    /// Whose.
    pub user: UserId,
    /// Where.
    pub organisation: OrganisationId,
    /// The metadata server's address.
    pub server: String,
    /// Whether its keys are in memory.
    pub state: DeviceState,
    /// Whether it is certified.
    pub registration: Registration,
    /// The person's name; only while unlocked.
    pub name: Option<Label>,
    /// The person's address; only while unlocked.
    pub email: Option<Email>,
    /// What the device is called; only while unlocked.
    pub label: Option<Label>,
    /// Certified by it and not yet in the log; only while unlocked.
    pub outbox: Option<u32>,
    /// Certified by it and set aside, because somebody says that the enrolment ended; only while unlocked. Since API 1.3.
    #[serde(default)]
    pub outbox_set_aside: Option<u32>,
}

/// `device.list`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeviceListResult {
    /// In the order of organisation and id.
    pub devices: Vec<DeviceView>,
}

/// `status.show`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StatusResult {
    /// The daemon's version.
    pub version: String,
    /// [`super::API_VERSION`] of the daemon.
    pub api_version: String,
    /// The daemon's process.
    pub pid: u32,
    /// This machine's devices.
    pub devices: Vec<DeviceView>,
    /// Ceremonies under way or just ended.
    pub ceremonies: Vec<CeremonyView>,
    /// What a person has to look at: an organisation's log that does not check. Since API 1.1.
    #[serde(default)]
    pub alarms: Vec<Alarm>,
}

/// `org.bootstrap`: founds an organisation whose name the server's administrator has reserved.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OrgBootstrap {
    /// The metadata server's address, `https://host[:port]`.
    pub server: String,
    /// The reserved name.
    pub organisation: OrganisationId,
    /// The bootstrap token, 64 hexadecimal digits.
    pub token: SecretText,
    /// The founder.
    pub email: Email,
    /// The founder's name.
    pub name: Label,
    /// What this terminal is called.
    pub device_label: Label,
    /// Protects the key file.
    pub password: SecretText,
    /// Whether members must type codes rather than pick them.
    #[serde(default)]
    pub typed_codes: bool,
}

/// `org.bootstrap`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OrgBootstrapped {
    /// The first device, unlocked.
    pub device: DeviceView,
    /// SHA-256 of the root key.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))]
    pub root_fingerprint: String,
}

/// `org.server`: the organisation's server has moved to another name or port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OrgServer {
    /// Which device goes there.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The new address, `https://host[:port]`.
    pub server: String,
}

/// `org.server`
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OrgMoved {
    /// The device with its new address.
    pub device: DeviceView,
    /// Certificates that the new place has shown, all of which this device has verified.
    pub certificates: u64,
    /// The links of the open invitations that can be greeted from here, with the new address: those that were handed out name the old
    /// one.
    pub links: Vec<MovedLink>,
}

/// The link of an invitation whose server has moved.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MovedLink {
    /// Names the invitation.
    pub token: Token,
    /// For whom.
    pub subject: Subject,
    /// To be given to the invited person and nobody else.
    pub link: SecretText,
}

/// `device.unlock`
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DeviceUnlock {
    /// Which.
    #[serde(default)]
    pub select: DeviceSelector,
    /// Opens the key file.
    pub password: SecretText,
}

/// `device.password`: closes the key file with another password.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DevicePassword {
    /// Which.
    #[serde(default)]
    pub select: DeviceSelector,
    /// Opens the key file now.
    pub password: SecretText,
    /// Shall open it from now on, alone.
    pub new_password: SecretText,
}

/// `device.restore`: takes a device back that somebody's word has set aside. Since API 1.3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DeviceRestore {
    /// The whole id.
    pub device: DeviceId,
}

/// `device.forget`: removes a device's keys and store from this machine. The organisation goes on knowing it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DeviceForget {
    /// The whole id: what is removed is named, not guessed.
    pub device: DeviceId,
    /// Also where certificates are lost with it that it has signed and the server has not got yet.
    #[serde(default)]
    pub force: bool,
}

/// `invite.user`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct InviteUser {
    /// As which device.
    #[serde(default)]
    pub select: DeviceSelector,
    /// Whom.
    pub email: Email,
    /// Days until it expires; 30 if absent.
    #[serde(default)]
    pub days: Option<u32>,
    /// Whether the server shall mail the link.
    #[serde(default)]
    pub mail: bool,
    /// Who issues it: `server` only where the server has taken it, `p2p` this daemon alone; `auto` if absent. Since API 1.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<TransportChoice>,
}

/// `invite.device`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct InviteDevice {
    /// As which device.
    #[serde(default)]
    pub select: DeviceSelector,
    /// Days until it expires; 30 if absent.
    #[serde(default)]
    pub days: Option<u32>,
    /// Whether the server shall mail the link to the member's own address.
    #[serde(default)]
    pub mail: bool,
    /// As for `invite.user`. Since API 1.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<TransportChoice>,
}

/// What an older daemon means that doesn't say: there was nothing but the server.
const fn yes() -> bool {
    true
}

/// `invite.user`, `invite.device`
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InviteResult {
    /// Names the invitation.
    pub token: Token,
    /// To be given to the invited person and nobody else.
    pub link: SecretText,
    /// The same as a `parsec://` address; absent for a server on plain http.
    pub link_alias: Option<SecretText>,
    /// When it ends.
    pub expires: Timestamp,
    /// `not_asked`, `sent`, `written`, `waiting` (the mail server did not take it yet; it is tried again), `failed`, `not_configured`, or `address_refused`: the mail server does not take mail for this address.
    pub mail: String,
    /// Whether the server has the invitation already. Since API 1.2.
    #[serde(default = "yes")]
    pub posted: bool,
    /// Whether the link also leads to this terminal directly. Since API 1.2.
    #[serde(default)]
    pub direct: bool,
}

/// One invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InvitationItem {
    /// Names it.
    pub token: Token,
    /// For whom.
    pub subject: Subject,
    /// `pending`, `in_use`, `completed`, `cancelled`, `expired` or `exhausted`.
    pub status: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// Wrong codes so far.
    pub mismatches: u32,
    /// Attempts so far.
    pub attempts: u32,
    /// Whether this daemon holds its link secret, which greeting needs.
    pub can_greet: bool,
    /// Whether the server has it already. Since API 1.2.
    #[serde(default = "yes")]
    pub posted: bool,
}

/// `invite.list`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InviteListResult {
    /// Newest first. Where there are too many for one line, those that can be used go before those that are over.
    pub invitations: Vec<InvitationItem>,
    /// Whether there are more than these. Since API 1.3.
    #[serde(default)]
    pub more: bool,
}

/// `invite.cancel`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct InviteCancel {
    /// As which device.
    #[serde(default)]
    pub select: DeviceSelector,
    /// Which.
    pub token: Token,
}

/// `greet.start`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct GreetStart {
    /// As which device.
    #[serde(default)]
    pub select: DeviceSelector,
    /// Which invitation.
    pub token: Token,
    /// Over which road; `auto` if absent. Since API 1.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<TransportChoice>,
}

/// `claim.start`
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ClaimStart {
    /// The link, `https://…` or `parsec://…`.
    pub link: SecretText,
    /// Over which road; `auto` if absent. Since API 1.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<TransportChoice>,
}

/// Chooses a ceremony.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CeremonySelector {
    /// Which.
    pub ceremony: CeremonyId,
}

/// `ceremony.list`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CeremonyListResult {
    /// Oldest first.
    pub ceremonies: Vec<CeremonyView>,
}

/// How the code came to be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ChoiceMode {
    /// Picked among the four shown.
    Picked,
    /// Typed as heard.
    Typed,
}

/// `ceremony.choose`: the code that was heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CeremonyChoose {
    /// Which ceremony.
    pub ceremony: CeremonyId,
    /// The code; `null` says that none of those shown was heard, and ends the attempt.
    pub code: Option<String>,
    /// Picked or typed.
    pub mode: ChoiceMode,
}

/// `ceremony.identify`: who the claimer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CeremonyIdentify {
    /// Which ceremony.
    pub ceremony: CeremonyId,
    /// The person's name; absent for a new terminal of a member.
    #[serde(default)]
    pub name: Option<Label>,
    /// What this terminal is called.
    pub device_label: Label,
}

/// `ceremony.approve`: the greeter vouches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CeremonyApprove {
    /// Which ceremony.
    pub ceremony: CeremonyId,
    /// The greeter heard the claimer say that they found the code. Must be `true`; no program may assume it.
    pub claimer_confirmed: bool,
    /// Replaces the name the claimer gave.
    #[serde(default)]
    pub name: Option<Label>,
    /// Replaces the label the claimer gave.
    #[serde(default)]
    pub device_label: Option<Label>,
    /// What the new member may do; `standard` if absent. Must be absent for a new terminal.
    #[serde(default)]
    pub profile: Option<ProfileName>,
}

/// `ceremony.finish`: the claimer's password. The last thing asked.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CeremonyFinish {
    /// Which ceremony.
    pub ceremony: CeremonyId,
    /// Protects the key file.
    pub password: SecretText,
}
