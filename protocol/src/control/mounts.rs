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
    /// Since when it is mounted, by this machine's clock.
    pub since: Timestamp,
}

/// Result of `mount.list`: the safes of the device that are mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MountListResult {
    /// The mounts, in the order in which they began; 32 at most.
    pub mounts: Vec<MountView>,
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
