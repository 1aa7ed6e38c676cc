//! What the methods for file managers take and give: how files in mounted safes stand, and what a
//! menu can do about them.
//!
//! Decides the words for it. Paths are those of this machine, written as paths of safes are, byte
//! for byte: a file manager's plug-in knows nothing else of a file. Refuses names of safes, people
//! and contents: a plug-in is told nothing that the paths it names do not say.

use serde::{Deserialize, Serialize};

/// Most paths in one question: what a window shows at once, and fits a line many times.
pub const FM_PATHS_MAX: usize = 500;

/// How a file, a folder or a whole safe stands; the first that is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FmState {
    /// What is shown of the safe is not to be trusted: its history was forked, or somebody who may
    /// not has written to it.
    Untrusted,
    /// Its device is locked.
    Locked,
    /// It is a copy that was kept because two people changed the file at once.
    Conflict,
    /// It is saved on this device, and something is in the way of sharing it.
    Pending,
    /// It is on its way, to the server or to this device.
    Syncing,
    /// It is saved on this device, and not shared yet.
    Saved,
    /// The server has it.
    Synced,
    /// One that a newer daemon has. Never sent.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// What is true of a file or folder beside its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FmMark {
    /// Nothing may be written there.
    ReadOnly,
    /// Its contents are not on this device, and are fetched when they are read.
    OnlineOnly,
    /// Some of its contents are on this device.
    PartlyHere,
    /// It is kept on this device in any case.
    Pinned,
    /// One that a newer daemon has. Never sent.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// How one path stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FmItem {
    /// How the file or folder stands.
    pub state: FmState,
    /// What else is true of it.
    pub marks: Vec<FmMark>,
    /// The same in words for people, out of a fixed list: plain text.
    pub words: String,
}

/// Parameters of `fm.status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FmStatus {
    /// Absolute paths of this machine, 500 at most, written as paths of safes are.
    pub paths: Vec<String>,
}

/// Result of `fm.status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FmStatusResult {
    /// One for each path, in their order; nothing where no mounted safe has it.
    pub items: Vec<Option<FmItem>>,
    /// The folders on which safes are mounted: of anything elsewhere there is nothing to be asked.
    pub folders: Vec<String>,
    /// Whether everything is known. Where it is not, how much of some files is here is being looked
    /// for: `safe_changed` with the reason `looked` says when to ask again.
    pub complete: bool,
}

/// What a menu of a file manager can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FmAct {
    /// Who is in the safe: for a person's screen.
    Share,
    /// Earlier contents of a file: for a person's screen.
    History,
    /// Conflict copies of the safe: for a person's screen.
    Conflicts,
    /// Keep it on this device in any case.
    Pin,
    /// Keep it here no longer than there is room.
    Unpin,
    /// The path within the safe, for the clipboard.
    CopyPath,
    /// One that a newer daemon has. Never sent, and refused.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// One line of a menu.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FmMenuItem {
    /// What `fm.invoke` is told.
    pub id: FmAct,
    /// What a person reads, out of a fixed list: plain text.
    pub label: String,
    /// Whether it can be done now.
    pub enabled: bool,
}

/// Parameters of `fm.menu`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FmMenu {
    /// What is selected, 500 paths at most, as in `fm.status`.
    pub paths: Vec<String>,
}

/// Result of `fm.menu`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FmMenuResult {
    /// The lines; none where not all paths are of one mounted safe.
    pub items: Vec<FmMenuItem>,
}

/// Parameters of `fm.invoke`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FmInvoke {
    /// Which line of the menu.
    pub id: FmAct,
    /// What is selected, as in `fm.menu`.
    pub paths: Vec<String>,
}

/// Result of `fm.invoke`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FmInvoked {
    /// Paths for which something was changed.
    pub changed: u32,
    /// A program and its arguments, which show a person what they asked for, in a terminal; nothing
    /// where the daemon has done it. Never to be put together for a shell.
    pub command: Vec<String>,
    /// What goes to the clipboard, in one line without control characters.
    pub copy: Option<String>,
}
