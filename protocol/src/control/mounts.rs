//! What the methods about mounts take and give: safes as folders of this machine.
//!
//! Decides the words for it. The daemon mounts nothing itself: the program that asks does, with its
//! user's rights, and hands over the descriptor by which the kernel is served.

use serde::{Deserialize, Serialize};

use super::methods::DeviceSelector;
use crate::ids::{Label, SafeId, Timestamp};

/// `mount.start`: serve a safe over the descriptor of `/dev/fuse` that comes with the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MountStart {
    /// The device that has the safe, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// The folder that it was mounted on, as an absolute path: shown to people, and not opened.
    pub folder: String,
    /// Whether nothing may be written in it, whatever the user's role is.
    #[serde(default)]
    pub read_only: bool,
    /// As it was at this moment, read-only; as it is now, if neither this nor `record` is there.
    #[serde(default)]
    pub at: Option<Timestamp>,
    /// As it was with this record, itself included, read-only.
    #[serde(default)]
    pub record: Option<u64>,
}

/// A safe that is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MountView {
    /// Number of the mount, until the device is locked.
    pub mount: u64,
    /// Id of the safe.
    pub safe: SafeId,
    /// Name of the safe; absent where it is not known here.
    pub name: Option<Label>,
    /// The folder, as whoever mounted it says.
    pub folder: String,
    /// Whether nothing may be written in it, whatever the user's role is.
    pub read_only: bool,
    /// The last record of what is shown; absent where the safe is shown as it is now.
    pub record: Option<u64>,
    /// The date of that record, as its author says; absent likewise.
    pub time: Option<Timestamp>,
    /// Since when it is mounted, by this machine's clock.
    pub since: Timestamp,
}

/// `mount.mark`: mount this safe whenever the device is unlocked. The user's unit does it, and the
/// daemon keeps what is marked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MountMark {
    /// The device that has the safe, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// The folder to mount it on, as an absolute path.
    pub folder: String,
    /// Whether nothing may be written in it, whatever the user's role is.
    #[serde(default)]
    pub read_only: bool,
}

/// `mount.unmark`: do not mount anything there any more when the device is unlocked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MountUnmark {
    /// The device that it is of, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The folder, exactly as it was marked.
    pub folder: String,
}

/// A safe that is mounted whenever the device is unlocked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MarkedMount {
    /// Id of the safe.
    pub safe: SafeId,
    /// Name of the safe; absent where it is not known here.
    pub name: Option<Label>,
    /// The folder, an absolute path.
    pub folder: String,
    /// Whether nothing may be written in it, whatever the user's role is.
    pub read_only: bool,
}

/// Result of `mount.list`: the safes of the device that are mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MountListResult {
    /// The mounts, in the order in which they began; 32 at most.
    pub mounts: Vec<MountView>,
    /// What is mounted whenever the device is unlocked, by folder; 32 at most.
    #[serde(default)]
    pub marked: Vec<MarkedMount>,
}

/// `mount.wait`: answered when this mount has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MountSelector {
    /// The device that it is of, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// Number of the mount.
    pub mount: u64,
}
