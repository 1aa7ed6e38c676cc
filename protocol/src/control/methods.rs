//! What the methods take and give: one struct for a method's parameters, one for its result. Names
//! are in [`super::method`].
//!
//! Parameters are JSON objects by name; unknown fields are refused, so that a misspelt option is
//! not silently lost.

use serde::{Deserialize, Serialize};

use super::ceremony::{CeremonyId, CeremonyView, Subject};
use super::events::Alarm;
use super::members::Lockout;
use super::net::TransportChoice;
use super::safes::SafeSummary;
use super::secret::SecretText;
use crate::ids::{DeviceId, Email, Label, OrganisationId, Timestamp, Token, UserId};

/// An object without fields: no parameters, or no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// Chooses one of this machine's devices. Both absent: the only one there is, or the only unlocked
/// one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DeviceSelector {
    /// By the start of its id, 4 digits at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The organisation, where this machine has one device in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<OrganisationId>,
}

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProfileName {
    /// May invite, certify and revoke everybody.
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
    /// It was, and it or its user has been revoked, as far as the server says.
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
    /// Id of the device.
    pub device: DeviceId,
    /// Id of the member that it belongs to.
    pub user: UserId,
    /// The organisation that it is enrolled in.
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
    /// Certified by it and set aside, because somebody says that the enrolment ended; only while
    /// unlocked.
    #[serde(default)]
    pub outbox_set_aside: Option<u32>,
    /// Whether a device of its user was revoked and the user's key has not been changed since:
    /// nothing is sealed to the user until it is; only while unlocked.
    #[serde(default)]
    pub suspended: Option<bool>,
    /// What would lock its user out, or everybody, by the organisation's log; only while unlocked.
    #[serde(default)]
    pub lockouts: Option<Vec<Lockout>>,
}

/// Result of `device.list`: this machine's devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeviceListResult {
    /// In the order of organisation and id.
    pub devices: Vec<DeviceView>,
}

/// Result of `status.show`: the daemon and all that it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StatusResult {
    /// Version of the daemon's program, such as `0.1.0`.
    pub version: String,
    /// [`super::API_VERSION`] of the daemon.
    pub api_version: String,
    /// Process id of the daemon.
    pub pid: u32,
    /// Devices of this machine, locked ones included.
    pub devices: Vec<DeviceView>,
    /// Ceremonies under way or just ended.
    pub ceremonies: Vec<CeremonyView>,
    /// What a person has to look at: an organisation's log that fails verification.
    #[serde(default)]
    pub alarms: Vec<Alarm>,
    /// Safes of the unlocked devices, in the order of device and id.
    #[serde(default)]
    pub safes: Vec<SafeSummary>,
}

/// `org.bootstrap`: founds an organisation whose name the server's administrator has reserved.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OrgBootstrap {
    /// The metadata server's address, `https://host[:port]`.
    pub server: String,
    /// Name that the server's operator has reserved.
    pub organisation: OrganisationId,
    /// The bootstrap token, 64 hexadecimal digits.
    pub token: SecretText,
    /// E-mail address of the founder, its first member.
    pub email: Email,
    /// Name of the founder, 1 to 64 characters.
    pub name: Label,
    /// What this device is called.
    pub device_label: Label,
    /// Protects the key file.
    pub password: SecretText,
    /// Whether members must type codes rather than pick them.
    #[serde(default)]
    pub typed_codes: bool,
}

/// Result of `org.bootstrap`: the organisation's first device.
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

/// Result of `org.server`: the new address, and open invitations.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OrgMoved {
    /// The device with its new address.
    pub device: DeviceView,
    /// Certificates that the new place has shown, all of which this device has verified.
    pub certificates: u64,
    /// The links of the open invitations that can be greeted from here, with the new address: those
    /// that were handed out name the old one.
    pub links: Vec<MovedLink>,
}

/// The link of an invitation whose server has moved.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MovedLink {
    /// The invitation's token, which names it.
    pub token: Token,
    /// The person or member who is invited.
    pub subject: Subject,
    /// To be given to the invited person and nobody else.
    pub link: SecretText,
}

/// Parameters of `device.unlock`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DeviceUnlock {
    /// The device to unlock, of this machine's.
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
    /// The device whose password changes, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// Opens the key file now.
    pub password: SecretText,
    /// Shall open it from now on, alone.
    pub new_password: SecretText,
}

/// `device.restore`: takes a device back that somebody's word has set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DeviceRestore {
    /// Id of the device, in full.
    pub device: DeviceId,
}

/// `device.forget`: removes a device's keys and store from this machine. The organisation goes on
/// knowing it.
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

/// Parameters of `invite.user`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct InviteUser {
    /// The device that invites, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// E-mail address of the person to invite.
    pub email: Email,
    /// Days until it expires; 30 if absent.
    #[serde(default)]
    pub days: Option<u32>,
    /// Whether the server shall mail the link.
    #[serde(default)]
    pub mail: bool,
    /// Who issues it: `server` only where the server has taken it, `p2p` this daemon alone; `auto`
    /// if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<TransportChoice>,
}

/// Parameters of `invite.device`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct InviteDevice {
    /// The device that invites, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// Days until it expires; 30 if absent.
    #[serde(default)]
    pub days: Option<u32>,
    /// Whether the server shall mail the link to the member's own address.
    #[serde(default)]
    pub mail: bool,
    /// The transport to take, as for `invite.user`; `auto` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<TransportChoice>,
}

/// What an older daemon means that doesn't say: there was nothing but the server.
const fn yes() -> bool {
    true
}

/// Result of `invite.user` and `invite.device`: the link.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InviteResult {
    /// The invitation's token, which names it.
    pub token: Token,
    /// To be given to the invited person and nobody else.
    pub link: SecretText,
    /// The same as a `parsec://` address; absent for a server on plain http.
    pub link_alias: Option<SecretText>,
    /// When the invitation ends.
    pub expires: Timestamp,
    /// `not_asked`, `sent`, `written`, `waiting` (the mail server did not take it yet; it is tried
    /// again), `failed`, `not_configured`, or `address_refused`: the mail server does not take mail
    /// for this address.
    pub mail: String,
    /// Whether the server has the invitation already.
    #[serde(default = "yes")]
    pub posted: bool,
    /// Whether the link also leads to this device directly.
    #[serde(default)]
    pub p2p: bool,
}

/// One invitation, as `invite.list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InvitationItem {
    /// The invitation's token, which names it.
    pub token: Token,
    /// The person or member who is invited.
    pub subject: Subject,
    /// `pending`, `in_use`, `completed`, `cancelled`, `expired` or `exhausted`.
    pub status: String,
    /// When it was made.
    pub created: Timestamp,
    /// When the invitation ends.
    pub expires: Timestamp,
    /// Wrong codes so far.
    pub mismatches: u32,
    /// Number of attempts so far; ten use an invitation up.
    pub attempts: u32,
    /// Whether this daemon holds its link secret, which greeting needs.
    pub can_greet: bool,
    /// Whether the server has it already.
    #[serde(default = "yes")]
    pub posted: bool,
}

/// Result of `invite.list`: invitations, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InviteListResult {
    /// Newest first. Where there are too many for one line, those that can be used go before those
    /// that are over.
    pub invitations: Vec<InvitationItem>,
    /// Whether there are more than these.
    #[serde(default)]
    pub more: bool,
}

/// Parameters of `invite.cancel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct InviteCancel {
    /// The device that cancels, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// Token of the invitation to cancel.
    pub token: Token,
}

/// Parameters of `greet.start`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct GreetStart {
    /// The device that greets, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// Token of the invitation to greet for.
    pub token: Token,
    /// The transport to take; `auto` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<TransportChoice>,
}

/// Parameters of `claim.start`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ClaimStart {
    /// The link, `https://…` or `parsec://…`.
    pub link: SecretText,
    /// The transport to take; `auto` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<TransportChoice>,
}

/// Chooses a ceremony of this machine by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CeremonySelector {
    /// Number of the ceremony in this run of the daemon.
    pub ceremony: CeremonyId,
}

/// Result of `ceremony.list`: this machine's ceremonies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CeremonyListResult {
    /// Ceremonies, ended ones included, oldest first.
    pub ceremonies: Vec<CeremonyView>,
}

/// How the code came to be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ChoiceMode {
    /// Picked among the four shown.
    Picked,
    /// Typed as it was heard.
    Typed,
}

/// `ceremony.choose`: the code that was heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CeremonyChoose {
    /// Number of the ceremony in this run of the daemon.
    pub ceremony: CeremonyId,
    /// The code; `null` says that none of those shown was heard, and ends the attempt.
    pub code: Option<String>,
    /// Whether the code was picked or typed.
    pub mode: ChoiceMode,
}

/// `ceremony.identify`: who the claimer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CeremonyIdentify {
    /// Number of the ceremony in this run of the daemon.
    pub ceremony: CeremonyId,
    /// The person's name; absent for a new device of a member.
    #[serde(default)]
    pub name: Option<Label>,
    /// What this device is called.
    pub device_label: Label,
}

/// `ceremony.approve`: the greeter vouches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CeremonyApprove {
    /// Number of the ceremony in this run of the daemon.
    pub ceremony: CeremonyId,
    /// The greeter heard the claimer say that they found the code. Must be `true`; no program may
    /// assume it.
    pub claimer_confirmed: bool,
    /// Replaces the name the claimer gave.
    #[serde(default)]
    pub name: Option<Label>,
    /// Replaces the label the claimer gave.
    #[serde(default)]
    pub device_label: Option<Label>,
    /// What the new member may do; `standard` if absent. Must be absent for a new device.
    #[serde(default)]
    pub profile: Option<ProfileName>,
}

/// `ceremony.finish`: the claimer's password. The last thing asked.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CeremonyFinish {
    /// Number of the ceremony in this run of the daemon.
    pub ceremony: CeremonyId,
    /// Protects the key file.
    pub password: SecretText,
}
