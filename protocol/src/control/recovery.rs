//! What the methods about recovery kits take and give.
//!
//! Decides how a kit looks from outside. Its words are told once, by the method that makes it.

use serde::{Deserialize, Serialize};

use super::methods::{DeviceSelector, DeviceView};
use super::secret::SecretText;
use crate::ids::{DeviceId, Email, Label, OrganisationId, Timestamp, UserId};

/// A recovery kit of the device's user, from the verified log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecoveryKit {
    /// Id of the kit, which is a device in the log: `device.revoke` takes it.
    pub device: DeviceId,
    /// What it is called; absent if it can't be opened with the directory key.
    pub label: Option<Label>,
    /// When it was certified.
    pub created: Timestamp,
    /// The device that made it, and its user.
    pub created_by: String,
    /// Whether it has been revoked.
    pub revoked: bool,
    /// When it was last tried on this device (`recovery.drill`).
    pub drilled: Option<Timestamp>,
    /// Among whom it was split, as the server shows it and the kit has signed it; absent for a kit
    /// on paper, and where the server can't be reached.
    #[serde(default)]
    pub shared: Option<SharedKit>,
}

/// How a kit was split: nobody has its words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SharedKit {
    /// How many shares bring the kit's user back.
    pub threshold: u8,
    /// Who has a share each, in the order of their ids.
    pub members: Vec<KitMember>,
}

/// A member who has a share of a kit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KitMember {
    /// User id of the member.
    pub user: UserId,
    /// Their name; absent if it can't be opened with the directory key.
    pub name: Option<Label>,
    /// Their e-mail address, as certified.
    pub email: Option<Email>,
    /// Whether they have been revoked: their share does not count any more.
    pub revoked: bool,
}

/// A share of somebody else's kit that the device's user holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HeldShareView {
    /// Id of the kit, which is a device in the log.
    pub kit: DeviceId,
    /// User id of whom it brings back.
    pub user: UserId,
    /// Their name; absent if it can't be opened with the directory key.
    pub name: Option<Label>,
    /// Their e-mail address, as certified.
    pub email: Option<Email>,
    /// Among whom it was split.
    pub shared: SharedKit,
}

/// Parameters of `recovery.share`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RecoveryShare {
    /// The device that certifies the kit, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// How many shares shall bring the user back: 2 at least.
    pub threshold: u8,
    /// The members who get a share each, by their whole ids: 2 to 16.
    pub members: Vec<UserId>,
    /// What the kit is called; `Shared recovery kit` where it is left out.
    #[serde(default)]
    pub label: Option<Label>,
}

/// Result of `recovery.share`: the kit, whose words nobody has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecoveryShared {
    /// The kit, in the log.
    pub kit: RecoveryKit,
}

/// Parameters of `recovery.give`: makes an invitation that brings one's share of a kit to whoever
/// the kit brings back. `greet.start` goes on with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RecoveryGive {
    /// The device that gives it, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// Whose kit it is of, by the whole id.
    pub user: UserId,
    /// Which kit, where shares of several are held; the newest where it is left out.
    #[serde(default)]
    pub kit: Option<DeviceId>,
    /// Days until the invitation ends: 1 to 90; 30 where it is left out.
    #[serde(default)]
    pub days: Option<u32>,
}

/// Parameters of `recovery.combine`: on the machine on which enough shares were collected.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RecoveryCombine {
    /// The organisation, where shares of several kits were collected here.
    #[serde(default)]
    pub organisation: Option<OrganisationId>,
    /// What the new device is called.
    pub device_label: Label,
    /// The password under which the shares were kept; it protects the new device's key file.
    pub password: SecretText,
    /// Whether members must type codes rather than pick them.
    #[serde(default)]
    pub typed_codes: bool,
}

/// Parameters of `recovery.create`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RecoveryCreate {
    /// The device that certifies the kit, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// What the kit is called; `Recovery kit` where it is left out.
    #[serde(default)]
    pub label: Option<Label>,
}

/// Result of `recovery.create`: all that stands on the page to be kept.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecoveryCreated {
    /// The kit, in the log.
    pub kit: RecoveryKit,
    /// Its 24 words (BIP-39, English), one space between two. Nobody has them but who reads this:
    /// they are kept nowhere.
    pub words: SecretText,
    /// The organisation that it is for.
    pub organisation: OrganisationId,
    /// The metadata server's address.
    pub server: String,
    /// E-mail address of the member whose kit it is.
    pub email: Email,
    /// SHA-256 of the root key.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))]
    pub root_fingerprint: String,
}

/// Result of `recovery.list`: the user's kits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecoveryListResult {
    /// In the order of their ids, revoked ones included.
    pub kits: Vec<RecoveryKit>,
    /// Shares of others' kits that the user holds; none where the server can't be reached.
    #[serde(default)]
    pub held: Vec<HeldShareView>,
}

/// Parameters of `recovery.drill`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RecoveryDrill {
    /// The device that remembers the date, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The kit's 24 words.
    pub words: SecretText,
}

/// Result of `recovery.drill`: what the kit has opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecoveryDrilled {
    /// The kit that was tried.
    pub kit: RecoveryKit,
    /// Certificates of the organisation's log, each of them verified.
    pub certificates: u64,
    /// Safes whose keys it has found.
    pub safes: u64,
}

/// Parameters of `recovery.use`: on a machine that has no device of the user's any more.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RecoveryUse {
    /// The metadata server's address, `https://host[:port]`.
    pub server: String,
    /// The organisation that the kit is for.
    pub organisation: OrganisationId,
    /// The kit's 24 words.
    pub words: SecretText,
    /// What the new device is called.
    pub device_label: Label,
    /// Protects the new device's key file.
    pub password: SecretText,
    /// Whether members must type codes rather than pick them.
    #[serde(default)]
    pub typed_codes: bool,
}

/// Result of `recovery.use`: the new device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecoveryUsed {
    /// The new device, unlocked.
    pub device: DeviceView,
    /// SHA-256 of the root key.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))]
    pub root_fingerprint: String,
}
