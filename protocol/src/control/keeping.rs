//! What the methods about this device's own copy of a safe take and give: what is pinned, how much
//! is here, and how much may be.
//!
//! Decides the words for it. Nothing of it leaves the device: neither the server nor another member
//! learns what somebody has pinned.

use serde::{Deserialize, Serialize};

use super::files::FileKind;
use super::methods::DeviceSelector;
use super::problem::Problem;
use crate::ids::{DeviceId, EntryId, SafeId, Timestamp};

/// How much of a file's contents is on this device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FileHere {
    /// All of it: it can be read without the server.
    Yes,
    /// A part of it; the rest is fetched where it is read.
    Partly,
    /// Nothing of it, so that reading takes the server.
    No,
    /// One that a newer daemon has. Never sent.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// How far a pin has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PinState {
    /// Everything that it covers is here.
    Complete,
    /// The rest is on its way.
    Fetching,
    /// The server can't be reached, or gives nothing for now.
    WaitsForNetwork,
    /// The disk has no room for the rest, beside what is left to it.
    WaitsForRoom,
    /// The disk, or the store on it, fails.
    WaitsForDisk,
    /// Something that it covers can't be had; everything else is here.
    Lacking,
    /// What it covers was removed from the safe: it rests until that is back.
    Resting,
    /// One that a newer daemon has. Never sent.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// A file or folder that a person wants on this device in any case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pin {
    /// Id of the safe that it is in.
    pub safe: SafeId,
    /// Id of the entry, by which it is pinned: the pin goes along where the entry is moved.
    pub entry: EntryId,
    /// Where it is, or was before it was removed; absent where nothing is known of it any more.
    pub path: Option<String>,
    /// Whether it is a file or a folder; absent where nothing is known of it any more.
    pub kind: Option<FileKind>,
    /// Since when it is pinned, by this machine's clock.
    pub since: Timestamp,
    /// How far it has come.
    pub state: PinState,
    /// Number of the files that it covers now.
    pub files: u64,
    /// Bytes of their contents.
    pub bytes: u64,
    /// Those of them that are on this device.
    pub here_bytes: u64,
    /// What keeps the rest from coming; absent where nothing does.
    pub problem: Option<Problem>,
}

/// `file.unpin`: what is pinned may make room for others again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FileUnpin {
    /// The device that has the safe, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// Where it is, or was before it was removed. This or `entry`.
    #[serde(default)]
    pub path: Option<String>,
    /// Id of the entry, as `file.pins` says it.
    #[serde(default)]
    pub entry: Option<EntryId>,
}

/// Result of `file.unpin`: what is pinned no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileUnpinned {
    /// Id of the safe that was meant.
    pub safe: SafeId,
    /// Id of the entry that is pinned no more.
    pub entry: EntryId,
    /// Where it is, or was before it was removed; absent where nothing is known of it any more.
    pub path: Option<String>,
    /// Whether the pin of a folder above covers it all the same.
    pub covered: bool,
}

/// Parameters of `file.pins`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FilePins {
    /// The device that has the safe, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// Go on behind this entry, the last one of the answer before.
    #[serde(default)]
    pub after: Option<EntryId>,
}

/// Result of `file.pins`: what is pinned in a safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FilePinsResult {
    /// Id of the safe that was meant.
    pub safe: SafeId,
    /// Pins in the order of their entries' ids: 256 at most in one safe.
    pub pins: Vec<Pin>,
    /// Whether there are more: ask again with `after`.
    pub more: bool,
}

/// Whose word the limit of what is kept is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CacheLimitBy {
    /// A tenth of the free disk, at most 20 GiB.
    Auto,
    /// An option of the daemon, for all its devices.
    Daemon,
    /// This device's own setting, by `cache.set`.
    Device,
    /// One that a newer daemon has. Never sent.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// What a device keeps of the contents of its safes, and how much it may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CacheView {
    /// The device of this machine whose safes they are.
    pub device: DeviceId,
    /// Bytes of sealed contents that the server has, too, those that are pinned included.
    pub kept_bytes: u64,
    /// Bytes of those that are pinned, or in one file with what is: they make no room for others.
    pub pinned_bytes: u64,
    /// Bytes of sealed contents that wait to be shared: nobody else has them, and they never go.
    pub waiting_bytes: u64,
    /// Bytes that may be kept beside what is pinned and what waits.
    pub limit_bytes: u64,
    /// Whose word that is.
    pub limit_by: CacheLimitBy,
    /// Free bytes that are left to the disk in any case.
    pub floor_bytes: u64,
    /// Bytes of the disk that are free now.
    pub free_bytes: u64,
    /// Bytes that this call has given up.
    #[serde(default)]
    pub freed_bytes: u64,
}

/// `cache.set`: how much a device may keep beside what is pinned and what waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CacheSet {
    /// The device that is meant, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// Bytes; if absent, what the daemon's option says, or a tenth of the free disk.
    #[serde(default)]
    pub limit_bytes: Option<u64>,
}
