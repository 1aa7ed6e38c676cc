//! What `safe.verify` and `safe.usage` take and give: whether a safe is whole, and what it takes.
//!
//! Decides how a finding and a sum look from outside, and how many of them one answer has.

use serde::{Deserialize, Serialize};

use super::methods::DeviceSelector;
use super::problem::Fault;
use super::safes::Person;
use crate::ids::{Label, OperationId, SafeId, Timestamp, UserId};

/// Findings that one answer of `safe.verify` names at most: with a long path beside each they fit a
/// line. The others are counted.
pub const FINDINGS_MAX: usize = 200;
/// Members that one safe in an answer of `safe.usage` names at most, those with the most bytes
/// first. What the others brought is one sum.
pub const USED_BY_MAX: usize = 100;
/// What the place of the descriptor is where `safe.verify` has done all: it goes from 0 to this.
pub const PROGRESS_WHOLE: u64 = 1_000;

/// Parameters of `safe.verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SafeVerify {
    /// The device that has the safe, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// Whether what is damaged shall be repaired: here from the server, there from here.
    #[serde(default)]
    pub repair: bool,
    /// Whether every object is fetched from the server and looked at; otherwise the server is asked
    /// whether it has it.
    #[serde(default)]
    pub fetch: bool,
}

/// What is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A certificate of the safe log that this device keeps is not the one that it verified.
    CertificateDamaged,
    /// A record of the journal that this device keeps is not the one that it verified.
    RecordDamaged,
    /// What this device has noted of the verified logs is not what they say.
    LogsDiffer,
    /// The tree that this device works with is not the one that the journal makes.
    TreeDiffers,
    /// A key of the safe that this device keeps is not the one that the log names.
    KeyDamaged,
    /// This device lacks a key of the safe.
    KeyMissing,
    /// The server shows less of the logs than this device has verified.
    ServerBehind,
    /// The server shows another log than this device has verified.
    ServerDiffers,
    /// Contents that this device keeps are not what was written.
    DamagedHere,
    /// Contents that wait to be shared are not what was written: nobody else has them.
    WaitingDamaged,
    /// The server says that it does not have an object.
    MissingThere,
    /// The server says that it has an object, and does not give it.
    Withheld,
    /// The server gives other bytes than those that the author named.
    OtherBytes,
    /// The very bytes that the author named are no part of the file.
    Unreadable,
    /// Something that a newer daemon finds.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// What became of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FindingState {
    /// It can be repaired: `repair` does it.
    Repairable,
    /// It was repaired by this call.
    Repaired,
    /// Nobody who was asked has the right bytes.
    Lost,
    /// It is whole, and a person has to look: no repair would help.
    Standing,
    /// Something that a newer daemon says.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// For what a content counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ContentClass {
    /// What a file of the safe holds.
    Live,
    /// What it held before.
    History,
    /// What is in the trash.
    Trash,
    /// What is saved on this device and not shared yet.
    Waiting,
    /// Something that a newer daemon has.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeFinding {
    /// What is not as it should be.
    pub what: FindingKind,
    /// What became of it.
    pub state: FindingState,
    /// Whose fault it is, as far as can be told from here.
    pub fault: Fault,
    /// For what the contents count, where it is about contents.
    pub class: Option<ContentClass>,
    /// Path of their file; of one in the trash the path that it had.
    pub path: Option<String>,
    /// Which of its contents.
    pub version: Option<OperationId>,
    /// Number of objects of these contents that are so; 0 where it is not about contents.
    pub objects: u64,
    /// Number of the certificate, record or key, where it is about one.
    pub number: Option<u64>,
    /// Who added the contents; absent where the journal does not say it to this device.
    pub by: Option<Person>,
    /// Label of the device that added them.
    pub device: Option<Label>,
    /// When they were added, as that device says.
    pub added: Option<Timestamp>,
}

/// How contents of one class stand. An object of several contents counts once, in its first class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ContentsChecked {
    /// Number of contents that files hold or held.
    pub contents: u64,
    /// Number of their objects, pages included.
    pub objects: u64,
    /// Objects that are on this device, with the right bytes.
    pub here: u64,
    /// Objects that the server has: by its word, or fetched and right.
    pub there: u64,
    /// Objects that are damaged here, or missing or others at the server.
    pub damaged: u64,
    /// Of those, objects that this call has repaired.
    pub repaired: u64,
    /// Of those, objects that nobody has who was asked.
    pub lost: u64,
}

/// Result of `safe.verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeVerified {
    /// Id of the safe that was meant.
    pub safe: SafeId,
    /// Whether all is well now: nothing was found, or all of it was repaired.
    pub well: bool,
    /// Certificates that were verified, from the first on.
    pub certificates: u64,
    /// Records that were verified and folded, from the first on.
    pub records: u64,
    /// Records that are void for everybody: they keep their place and change nothing.
    pub void_records: u64,
    /// Records whose authors had another tree than this device.
    pub other_roots: u64,
    /// Keys of the safe that this device has, each held against the log.
    pub keys: u64,
    /// Whether every object was fetched from the server.
    pub fetched: bool,
    /// What files of the safe hold.
    pub live: ContentsChecked,
    /// What they held before.
    pub history: ContentsChecked,
    /// What is in the trash.
    pub trash: ContentsChecked,
    /// What waits to be shared: on this device alone.
    pub waiting: ContentsChecked,
    /// What is not as it should be, at most 200.
    pub findings: Vec<SafeFinding>,
    /// Number of findings beyond those.
    pub more: u64,
}

/// Parameters of `safe.usage`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SafeUsage {
    /// The device that has the safe, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least; all that the user is
    /// in if absent.
    #[serde(default)]
    pub safe: Option<String>,
}

/// Parameters of `safe.room`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SafeRoom {
    /// The device that has the safe, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// Bytes of the contents that are to be put.
    pub bytes: u64,
}

/// Room for contents at the server, as far as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeRoomLeft {
    /// Id of the safe.
    pub safe: SafeId,
    /// Bytes that the contents take there at least, sealed.
    pub bytes: u64,
    /// Bytes of all safes of the organisation.
    pub organisation_bytes: u64,
    /// The operator's limit for these; absent where there is none.
    pub organisation_limit: Option<u64>,
    /// Bytes of this safe that wait on this device and take room before them.
    pub waiting_bytes: u64,
    /// What is free of the limit then; absent where there is none.
    pub free: Option<u64>,
}

/// Result of `safe.room`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeRoomResult {
    /// What room there is; absent where the server can't be asked now.
    pub room: Option<SafeRoomLeft>,
}

/// Objects, and their sealed bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ObjectsUsed {
    /// How many objects there are.
    pub objects: u64,
    /// Bytes of all of them, as they are at the server.
    pub bytes: u64,
}

/// What one member has brought of a safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UsedBy {
    /// Id of the user, who need not be a member any more.
    pub user: UserId,
    /// The member; absent where the organisation's log does not know them.
    pub by: Option<Person>,
    /// Bytes that count for them at the server.
    pub bytes: u64,
}

/// What one safe takes at the server. `bytes` is the sum of `live`, `history`, `trash`,
/// `snapshots`, `sent` and `unnamed`, of `journal_bytes`, `log_bytes` and `keys_bytes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeUsed {
    /// Id of the safe.
    pub safe: SafeId,
    /// Name of the safe, where it is known.
    pub name: Option<Label>,
    /// The server's own figure.
    pub bytes: u64,
    /// What files of the safe hold.
    pub live: ObjectsUsed,
    /// What they held before, and nothing holds now.
    pub history: ObjectsUsed,
    /// What is in the trash alone.
    pub trash: ObjectsUsed,
    /// The newest snapshots of the whole safe, from which new devices start.
    pub snapshots: ObjectsUsed,
    /// What this device has sent, and no record has added yet.
    pub sent: ObjectsUsed,
    /// What the server has and nothing names: sent and never added, or by void records.
    pub unnamed: ObjectsUsed,
    /// Bytes of the journal.
    pub journal_bytes: u64,
    /// Bytes of the safe log.
    pub log_bytes: u64,
    /// Bytes of rings and boxes.
    pub keys_bytes: u64,
    /// What is saved on this device and not at the server: no part of `bytes`.
    pub waiting: ObjectsUsed,
    /// Objects that contents name and the server does not have: `safe.verify` says which.
    pub missing: u64,
    /// Pages of large files that had to be fetched to know their objects.
    pub fetched: u64,
    /// Pages that nobody had: what they name counts as `unnamed`.
    pub unread: u64,
    /// Who has brought how much of `bytes`, the most first; at most 100.
    pub by: Vec<UsedBy>,
    /// Bytes of those who are not named.
    pub by_others: u64,
    /// Bytes of all safes of the organisation.
    pub organisation_bytes: u64,
    /// The operator's limit for these; absent where there is none.
    pub organisation_limit: Option<u64>,
    /// What is free of it; absent where there is none.
    pub free: Option<u64>,
}

/// Result of `safe.usage`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeUsageResult {
    /// The safes, in the order of `safe.list`.
    pub safes: Vec<SafeUsed>,
}
