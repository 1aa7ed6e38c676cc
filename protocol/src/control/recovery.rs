//! What the methods about recovery kits take and give.
//!
//! Decides how a kit looks from outside. Its words are told once, by the method that makes it.

use serde::{Deserialize, Serialize};

use super::methods::{DeviceSelector, DeviceView};
use super::secret::SecretText;
use crate::ids::{DeviceId, Email, Label, OrganisationId, Timestamp};

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
