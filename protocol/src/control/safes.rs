//! What the methods about safes take and give: the safes of a device, who is in them, and what has
//! still to reach the server.
//!
//! Decides the words that a safe is shown in. Refuses, by having no field for it, any key of a
//! safe.

use serde::{Deserialize, Serialize};

use super::deciding::{ChangeHeld, HeldRemovals, SafeHalt, SafeOwnerless, SafeTakeover};
use super::methods::{DeviceSelector, ProfileName};
use super::problem::{Problem, ProblemKind};
use crate::ids::{DeviceId, Email, Label, OperationId, OrganisationId, SafeId, Timestamp, UserId};

/// What a member may do in a safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SafeRole {
    /// All of it: names owners, renames and closes the safe.
    Owner,
    /// Writes, and lets contributors and readers in and out.
    Manager,
    /// Reads and writes files.
    Contributor,
    /// Reads files, and nothing else.
    Reader,
    /// One that a newer daemon has. Never sent.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// How a safe stands to this device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SafeStanding {
    /// Somebody has let the user in, who hasn't accepted it yet: nothing of it is fetched.
    Offered,
    /// Its files are here, or on the way.
    Accepted,
    /// The user is in it no more: what was read before is still here.
    Left,
    /// One that a newer daemon has. Never sent.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// Whether a safe is written, by the word of its owners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SafeCondition {
    /// Members with a writing role write.
    Open,
    /// Nobody writes, everybody reads.
    ReadOnly,
    /// It goes, at a time that its owners have set.
    Deleted,
    /// One that a newer daemon has. Never sent.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

/// A member, in as many words as the directory key opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Person {
    /// Id of the member.
    pub user: UserId,
    /// E-mail address of the member, unique in the organisation.
    pub email: Email,
    /// Name; absent if it can't be opened with the directory key.
    pub name: Option<Label>,
}

/// One safe, as one of this machine's devices has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeView {
    /// Id of the safe.
    pub safe: SafeId,
    /// The device of this machine that has it.
    pub device: DeviceId,
    /// The organisation that the device is enrolled in.
    pub organisation: OrganisationId,
    /// What the safe is called; absent until it has been accepted and read.
    pub name: Option<Label>,
    /// What the user may do in it; absent where they are in it no more.
    pub role: Option<SafeRole>,
    /// Whether it is offered, accepted, or left.
    pub standing: SafeStanding,
    /// Whether it is written, by the word of its owners.
    pub condition: SafeCondition,
    /// Whether the server has it: one made offline is on this device alone until then.
    pub shared: bool,
    /// Number of the safe's members.
    pub members: u32,
    /// Number of the safe's present key; 0 is the first.
    pub epoch: u32,
    /// Whether somebody who has the present key may not have it any more: nothing is written until
    /// there is another.
    pub due: bool,
    /// Number of files and folders that are live; absent until it has been accepted and read.
    pub entries: Option<u64>,
    /// Bytes of the live files' contents; absent until it has been accepted and read.
    pub bytes: Option<u64>,
    /// Number of changes that are saved on this device and not shared yet.
    pub waiting: u64,
    /// Who let the user in; absent for its founder, and after a leave.
    pub shared_by: Option<Person>,
    /// What keeps it from going on, or from being trusted; absent where nothing does.
    pub problem: Option<Problem>,
}

/// One safe, as events tell of it: also to plug-ins, and kept while the device is locked. So there
/// is nothing in it that a safe's key opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeSummary {
    /// Id of the safe.
    pub safe: SafeId,
    /// The device of this machine that has it.
    pub device: DeviceId,
    /// The organisation that the device is enrolled in.
    pub organisation: OrganisationId,
    /// What the user may do in it; absent where they are in it no more.
    pub role: Option<SafeRole>,
    /// Whether it is offered, accepted, or left.
    pub standing: SafeStanding,
    /// Whether it is written, by the word of its owners.
    pub condition: SafeCondition,
    /// Whether the server has it.
    pub shared: bool,
    /// Number of the safe's members.
    pub members: u32,
    /// Number of the safe's present key; 0 is the first.
    pub epoch: u32,
    /// Whether nothing is written until there is another key.
    pub due: bool,
    /// Number of changes that are saved on this device and not shared yet.
    pub waiting: u64,
    /// What keeps it from going on, or from being trusted, by its name.
    pub problem: Option<ProblemKind>,
}

impl From<&SafeView> for SafeSummary {
    fn from(view: &SafeView) -> Self {
        Self {
            safe: view.safe,
            device: view.device,
            organisation: view.organisation.clone(),
            role: view.role,
            standing: view.standing,
            condition: view.condition,
            shared: view.shared,
            members: view.members,
            epoch: view.epoch,
            due: view.due,
            waiting: view.waiting,
            // The name alone: a sentence could quote a path.
            problem: view.problem.as_ref().map(|problem| problem.name),
        }
    }
}

/// One member of a safe, from the two verified logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeMember {
    /// The member that it is.
    pub person: Person,
    /// What they may do in the safe, as its log gives it.
    pub role: SafeRole,
    /// What they may do in the organisation.
    pub profile: ProfileName,
    /// When the role was given, by the giver's clock.
    pub since: Timestamp,
    /// Who gave the role.
    pub given_by: Person,
    /// When they became a member of the organisation, by the clock of whoever vouched.
    pub certified: Timestamp,
    /// Who vouched for them in the organisation; absent for its founder.
    pub vouched_by: Option<Person>,
    /// Whether the role counts: not while the member is revoked or has no device.
    pub counts: bool,
    /// Whether a device of theirs was revoked and their key has not been changed since: they get
    /// no key of the safe until it is.
    pub suspended: bool,
}

/// Chooses one safe of one of this machine's devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SafeSelector {
    /// The device that has it, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
}

/// `safe.create`: a new safe, with the caller's user as its owner and only member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SafeCreate {
    /// The device that signs, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// What it is called, 1 to 64 characters.
    pub name: Label,
}

/// Result of `safe.list`: the safes of one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeListResult {
    /// Safes in the order of their names, those without a name last.
    pub safes: Vec<SafeView>,
    /// Members who offer more safes than one member may: what is beyond is neither shown nor kept.
    #[serde(default)]
    pub beyond: Vec<OffersBeyond>,
}

/// Offers of one member that are neither shown nor kept, because that member has as many open as
/// one may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OffersBeyond {
    /// The member who offers them; absent where that isn't known.
    pub by: Option<Person>,
    /// Number of offers that are not shown: one that is accepted or left makes room for another.
    pub offers: u64,
}

/// Result of `safe.show`: one safe and the ends of its two logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeShowResult {
    /// The safe, as in `safe.list`.
    pub safe: SafeView,
    /// The member who founded it.
    pub founder: Person,
    /// When it was founded, by the founder's clock.
    pub founded: Timestamp,
    /// Number of certificates in its log.
    pub certificates: u64,
    /// Head of its log, hexadecimal: members with the same one see the same members and roles.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))]
    pub log_head: String,
    /// Number of records in its journal.
    pub records: u64,
    /// Head of its journal, hexadecimal: members with the same one see the same files.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9a-f]{64}$")))]
    pub journal_head: String,
    /// Number of live files that are conflict copies.
    pub conflicts: u64,
    /// Who took the safe over last, where its owners had gone; absent: nobody ever did.
    #[serde(default)]
    pub taken_over: Option<SafeTakeover>,
}

/// Result of `safe.members`: who is in a safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeMembersResult {
    /// Members, the highest roles first, then in the order of their addresses.
    pub members: Vec<SafeMember>,
}

/// `safe.share`: lets a member of the organisation into a safe, or gives another role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SafeShare {
    /// The device that signs, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// Whom: the e-mail address, or the whole id.
    pub member: String,
    /// What they may do from now on.
    pub role: SafeRole,
}

/// Result of `safe.share` and `safe.takeover`: who is in now, with which role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeShared {
    /// The member as the safe has them now.
    pub member: SafeMember,
    /// The safe after it.
    pub safe: SafeView,
}

/// `safe.unshare`: a member is out of a safe, and what is written from here on has another key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SafeUnshare {
    /// The device that signs, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// Whom: the e-mail address, or the whole id.
    pub member: String,
}

/// Result of `safe.unshare`: who is out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeUnshared {
    /// The member who is out.
    pub person: Person,
    /// The safe after it, with its new epoch.
    pub safe: SafeView,
}

/// `safe.rename`: another name for everybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SafeRename {
    /// The device that has it, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// What it is called from now on, 1 to 64 characters.
    pub name: Label,
}

/// `safe.status`: what is saved and not shared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SafeStatus {
    /// The device that has it, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// One safe alone: its name exactly, or the start of its id; all of them if absent.
    #[serde(default)]
    pub safe: Option<String>,
}

/// A change that is saved on this device and not shared yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WaitingChange {
    /// Names the change for ever.
    pub operation: OperationId,
    /// `add`, `content`, `move`, `remove`, `replace`, `attributes` or `safe_name`; more may come.
    pub kind: String,
    /// Where, from the safe's root; `/` for a change of the safe itself.
    pub path: String,
    /// When it was saved, by this machine's clock.
    pub saved: Timestamp,
    /// Bytes of contents that have still to go to the server.
    pub bytes: u64,
    /// Whether it waits for a person: `removal`, which `safe.confirm` decides about, or `behind`,
    /// because it touches what such a removal does; absent where it goes out by itself.
    #[serde(default)]
    pub held: Option<ChangeHeld>,
}

/// What of one safe is saved and not shared, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeWaiting {
    /// The safe, as in `safe.list`; its `problem` says why, where something keeps changes back.
    pub safe: SafeView,
    /// Changes that wait, oldest first.
    pub changes: Vec<WaitingChange>,
    /// Whether there are more than these.
    pub more: bool,
    /// When this device last heard from the server where the safe's logs end; absent: never.
    pub heard: Option<Timestamp>,
    /// Bytes of sealed contents that lie on this device and that the server has, too. What is not
    /// pinned may go at any time.
    #[serde(default)]
    pub kept_bytes: u64,
    /// Bytes of the live files' contents that are on this device, of `bytes` of the safe.
    #[serde(default)]
    pub here_bytes: u64,
    /// Bytes of the live files that are pinned.
    #[serde(default)]
    pub pinned_bytes: u64,
    /// Removals that wait for a person; absent where none do.
    #[serde(default)]
    pub removals: Option<HeldRemovals>,
    /// Why nothing more is taken in until a person has looked; absent where nothing is in the way.
    #[serde(default)]
    pub halt: Option<SafeHalt>,
    /// Who may take the safe over; absent while somebody counts as its owner.
    #[serde(default)]
    pub ownerless: Option<SafeOwnerless>,
    /// Records of the journal that this device has still to fold behind the work, because it has
    /// started from a snapshot: until that is done nothing can be saved there. Absent where it is.
    #[serde(default)]
    pub verifying: Option<u64>,
    /// Other devices of the safe that are met directly, or from which contents came since this one
    /// was unlocked.
    #[serde(default)]
    pub direct: Vec<SafePeer>,
}

/// Another device of a safe that is met directly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafePeer {
    /// Id of the device.
    pub device: DeviceId,
    /// Whose it is, in words.
    pub by: String,
    /// Whether it is there now.
    pub connected: bool,
    /// Bytes of sealed contents that came from it.
    pub bytes: u64,
    /// When something came last; absent where nothing did.
    pub last: Option<Timestamp>,
}

/// Result of `safe.status`: safes with what waits in each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeStatusResult {
    /// In the order of `safe.list`; those without anything waiting included.
    pub safes: Vec<SafeWaiting>,
    /// Bytes of contents that the device may keep beside what is pinned and what waits.
    #[serde(default)]
    pub limit_bytes: u64,
    /// Free bytes that are left to the disk in any case.
    #[serde(default)]
    pub floor_bytes: u64,
}

/// `safe.sync`: everything that is saved goes out, everything new comes in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SafeSync {
    /// The device that has it, of this machine's.
    #[serde(default)]
    pub select: DeviceSelector,
    /// The safe: its name exactly, or the start of its id, 4 digits at least.
    pub safe: String,
    /// Seconds to wait until it is done, at most 600; 30 if absent.
    #[serde(default)]
    pub wait_seconds: Option<u32>,
}

/// Result of `safe.sync`: how far it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SafeSynced {
    /// Whether nothing waits, and the server was heard since the call.
    pub done: bool,
    /// The safe after it; its `problem` says why, where it isn't done.
    pub safe: SafeView,
}
