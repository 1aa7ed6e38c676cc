//! The fold: what the changes of an accepted record make of a tree, alike for everybody.
//!
//! Decides which change makes its record void, and with it all of its changes. Refuses a write over
//! a version that is not the present one: conflicts are settled before a record is made. It looks
//! at the record and the state alone: never at an object, a clock, or a limit of this device.

use crate::ids::{DeviceId, EntryId, ObjectId, OperationId, Timestamp, UserId};
use crate::safe_log::record::Payload;
use crate::safe_log::roles::Role;
use crate::safes::change::{Change, Inside, Kind};
use crate::safes::content_ref::Content;
use crate::safes::entry::{Entry, Rare, Removed, RenamedInto, Version};
use crate::safes::name::EntryName;
use crate::safes::pruning::{judge_drops, prune};
use crate::safes::scratch::{Delta, Scratch};
use crate::safes::snapshot;
use crate::safes::state::State;
use crate::safes::tree::{DEPTH_MAX, Tree};

/// Most entries of a safe, live and in the trash: every member's device has all of them at hand.
pub const SAFE_ENTRIES_MAX: u64 = 1_000_000;
/// Most entries that one user may have added, owners and managers aside: a fifth, so that nobody
/// can fill a safe for everybody.
pub const SAFE_ENTRIES_PER_USER_MAX: u64 = SAFE_ENTRIES_MAX / 5;
/// Fewest days of retention: a week, so that nothing is destroyed before people are back at work.
pub const RETENTION_DAYS_MIN: u64 = 7;
/// Most days of retention: ten years.
pub const RETENTION_DAYS_MAX: u64 = 3_650;

/// What stands outside of a record's sealed part, and who its author is by the logs.
#[derive(Debug, Clone, Copy)]
pub struct Outer<'a> {
    /// Number of the record.
    pub seq: u64,
    /// Epoch it is sealed under.
    pub epoch: u64,
    /// User whose device made it.
    pub user: UserId,
    /// Id of that device.
    pub device: DeviceId,
    /// That user's role\* at what the record has seen.
    pub role: Role,
    /// When, by that device's clock.
    pub time: Timestamp,
    /// Objects that are the safe's from here on.
    pub adds: &'a [ObjectId],
    /// Objects that may go.
    pub drops: &'a [ObjectId],
    /// Dropped objects that are taken back.
    pub keeps: &'a [ObjectId],
}

impl<'a> Outer<'a> {
    /// The outside of a record, by a user with this role\*.
    #[must_use]
    pub fn of(payload: &'a Payload, user: UserId, role: Role) -> Self {
        Self {
            seq: payload.seq,
            epoch: payload.epoch,
            user,
            device: payload.author,
            role,
            time: payload.time,
            adds: &payload.adds,
            drops: &payload.drops,
            keeps: &payload.keeps,
        }
    }
}

/// Why a record changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Void {
    /// A new entry has the id of another.
    #[error("the id of a new entry is known")]
    IdKnown,
    /// There is no such entry.
    #[error("no such entry")]
    NoSuchEntry,
    /// The folder to stand in is no folder, or removed.
    #[error("no live folder to stand in")]
    NoFolder,
    /// Another entry has the name.
    #[error("the name is taken")]
    NameTaken,
    /// It, or something in it, would be below the deepest place.
    #[error("deeper than {DEPTH_MAX}")]
    TooDeep,
    /// A folder would stand in itself.
    #[error("a folder inside itself")]
    InsideItself,
    /// The entry is in the trash.
    #[error("the entry is not live")]
    NotLive,
    /// The entry is not in the trash.
    #[error("the entry is live")]
    Live,
    /// It is no file.
    #[error("not a file")]
    NotAFile,
    /// Only folders are restored alone.
    #[error("not a folder")]
    NotAFolder,
    /// A file renamed over itself.
    #[error("source and target are one file")]
    SameFile,
    /// The version that it writes over is not the present one.
    #[error("not the present version")]
    OldBase,
    /// Only an owner may.
    #[error("only an owner may")]
    NotAnOwner,
    /// Days of retention out of bounds.
    #[error("{RETENTION_DAYS_MIN} to {RETENTION_DAYS_MAX} days")]
    Days,
    /// The references don't fit the size, or it is too large.
    #[error("references that do not fit the size")]
    References,
    /// It names an object that is not the safe's.
    #[error("an object that no record added")]
    UnknownObject,
    /// It adds an object of another epoch.
    #[error("an object of another epoch")]
    OtherEpoch,
    /// More entries than a safe may have.
    #[error("more than {SAFE_ENTRIES_MAX} entries")]
    Full,
    /// More entries than this user may have added.
    #[error("more than {SAFE_ENTRIES_PER_USER_MAX} entries of one user")]
    ShareFull,
    /// Only a manager or an owner may.
    #[error("only a manager or an owner may")]
    NotAManager,
    /// It was not removed itself.
    #[error("not in the trash by itself")]
    NotInTheTrash,
    /// The file has no such earlier version.
    #[error("no such earlier version")]
    NoSuchVersion,
    /// It was removed or written over too short a time ago.
    #[error("not old enough to be thrown away")]
    TooYoung,
    /// It drops objects without throwing anything away.
    #[error("objects dropped without a prune")]
    DropsAlone,
    /// It drops an object that is still named.
    #[error("an object dropped that is still in use")]
    InUse,
    /// A snapshot stands beside other changes.
    #[error("a snapshot among other changes")]
    SnapshotAmongOthers,
    /// A snapshot of something else than the state before its record: a lie, or a faulty program.
    #[error("a snapshot of another state than the records make")]
    OtherState,
}

/// Folds a record into a state: all of its changes, or none. Either way the state stands behind the
/// record afterwards.
///
/// # Errors
/// [`Void`]: the record changes nothing, and is an alarm that names its device.
pub fn fold(state: &mut State, inside: &Inside, record: &Outer<'_>) -> Result<(), Void> {
    match judge(state, inside, record) {
        Ok(delta) => {
            // As the server does: what a record drops and keeps, it keeps.
            state.drop_objects(record.drops);
            state.note_outside(record);
            state.absorb(delta);
            if let Some((content, _)) = snapshot::of_changes(&inside.changes) {
                state.note_snapshot(content.clone());
            }
            Ok(())
        }
        Err(void) => {
            state.pass_over(record);
            Err(void)
        }
    }
}

/// What [`fold`] would say, with nothing changed: asked of one's own record before it is sent.
///
/// # Errors
/// [`Void`], as [`fold`].
pub fn would_fold(state: &State, inside: &Inside, record: &Outer<'_>) -> Result<(), Void> {
    judge(state, inside, record).map(drop)
}

fn judge(state: &State, inside: &Inside, record: &Outer<'_>) -> Result<Delta, Void> {
    let stamp = Stamp { seq: record.seq, user: record.user, device: record.device, time: record.time };
    let mut adds = record.adds.to_vec();
    adds.sort_unstable();
    let mut scratch = Scratch::new(state);
    let (mut added, mut prunes) = (0, false);
    for change in &inside.changes {
        match change {
            Change::SafeName { .. } | Change::Retention { .. } if record.role != Role::Owner => {
                return Err(Void::NotAnOwner);
            }
            Change::Add { .. } => added += 1,
            Change::Prune { versions, entries, .. } => {
                prunes = true;
                prune(&mut scratch, state, (versions, entries), record)?;
                scratch.settle();
                continue;
            }
            Change::Snapshot { content, .. } => {
                judge_content(state, content, record, &adds)?;
                snapshot::judge(state, &inside.changes, record.role)?;
                continue;
            }
            _ => {}
        }
        if let Some(content) = change.content() {
            judge_content(state, content, record, &adds)?;
        }
        apply(&mut scratch, change, &stamp)?;
        // All or nothing of the record: a step alone is never taken back, and what would take it
        // back is a copy of its entry, with all of its versions.
        scratch.settle();
    }
    judge_drops(&scratch, state, record.drops, prunes)?;
    if state.count() + added > SAFE_ENTRIES_MAX {
        return Err(Void::Full);
    }
    if !record.role.manages() && added > 0 && state.share(record.user) + added > SAFE_ENTRIES_PER_USER_MAX {
        return Err(Void::ShareFull);
    }
    Ok(scratch.into_delta())
}

/// Names only objects that are the safe's, and enough of them.
fn judge_content(
    state: &State,
    content: &Content,
    record: &Outer<'_>,
    adds: &[ObjectId],
) -> Result<(), Void> {
    if !content.fits() {
        return Err(Void::References);
    }
    for reference in content.objects() {
        if adds.binary_search(&reference.object).is_ok() {
            if reference.epoch != record.epoch {
                return Err(Void::OtherEpoch);
            }
        } else if !state.has_object(reference.object) && !record.keeps.contains(&reference.object) {
            return Err(Void::UnknownObject);
        }
    }
    Ok(())
}

/// Whose change it is and where it stands in the journal.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    /// Number of the record; [`PENDING_SEQ`] for what is in none yet.
    ///
    /// [`PENDING_SEQ`]: crate::safes::tree::PENDING_SEQ
    pub seq: u64,
    /// User who made the change.
    pub user: UserId,
    /// Device on which it was made.
    pub device: DeviceId,
    /// When, by that device's clock.
    pub time: Timestamp,
}

/// Applies one change by the rules of the tree; where one is broken, nothing has changed. What only
/// a whole record can break (roles, limits, objects) isn't looked at.
///
/// # Errors
/// [`Void`] names the rule.
pub fn apply(tree: &mut Scratch<'_>, change: &Change, stamp: &Stamp) -> Result<(), Void> {
    let operation = change.operation();
    match change {
        Change::Add { entry, parent, name, kind, mtime, executable, conflict_of, .. } => {
            if *entry == tree.root() || tree.entry(*entry).is_some() {
                return Err(Void::IdKnown);
            }
            judge_place(tree, *parent, name, 0)?;
            tree.link(Entry {
                id: *entry,
                kind: kind.clone(),
                parent: Some(*parent),
                name: name.clone(),
                version: matches!(kind, Kind::File(_)).then_some(operation),
                content_seq: stamp.seq,
                place_seq: stamp.seq,
                mtime: *mtime,
                executable: *executable,
                added_by: stamp.user,
                rare: Rare { conflict_of: *conflict_of, ..Rare::default() }.into(),
            });
        }
        Change::Content { entry, base, content, mtime, .. } => {
            let now = live(tree, *entry)?;
            write_over(tree, now, *base, content.clone(), operation, *mtime, None, stamp)?;
        }
        Change::Move { entry, parent, name, conflict_of, .. } => {
            let now = live(tree, *entry)?;
            if tree.is_under(*parent, *entry) {
                return Err(Void::InsideItself);
            }
            let mark = tree.mark();
            tree.unlink(*entry);
            if let Err(void) = judge_place(tree, *parent, name, tree.height(*entry)) {
                tree.go_back(mark);
                return Err(void);
            }
            let rare = Rare { conflict_of: *conflict_of, ..Rare::clone(&now.rare) }.into();
            let (parent, name) = (Some(*parent), name.clone());
            tree.link(Entry { parent, name, place_seq: stamp.seq, rare, ..now });
        }
        Change::Remove { entry, .. } => {
            let now = live(tree, *entry)?;
            into_trash(tree, now, operation, None, stamp);
        }
        Change::Restore { entry, parent, name, shallow, .. } => {
            restore(tree, *entry, *parent, name, *shallow, stamp)?;
        }
        Change::Attributes { entry, mtime, executable, .. } => {
            let now = live(tree, *entry)?;
            tree.put(Entry { mtime: *mtime, executable: *executable, ..now });
        }
        Change::Replace { target, base, source, .. } => {
            let over = live(tree, *target)?;
            let from = live(tree, *source)?;
            if target == source {
                return Err(Void::SameFile);
            }
            let Some(content) = from.content().cloned() else { return Err(Void::NotAFile) };
            let (mtime, executable) = (from.mtime, from.executable);
            write_over(tree, over, *base, content, operation, mtime, Some(executable), stamp)?;
            let into = RenamedInto { target: *target, version: operation };
            into_trash(tree, from, operation, Some(into), stamp);
        }
        Change::SafeName { name, .. } => tree.set_name(name.clone()),
        Change::Retention { days, .. } => {
            if !(RETENTION_DAYS_MIN..=RETENTION_DAYS_MAX).contains(days) {
                return Err(Void::Days);
            }
            tree.set_retention(*days);
        }
        // Made on the very end of the journal, and judged with the record as a whole.
        Change::Prune { .. } | Change::Snapshot { .. } => return Err(Void::NotAManager),
    }
    Ok(())
}

/// A copy of an entry that must be live. The root is no entry that a change may name.
fn live(tree: &Scratch<'_>, id: EntryId) -> Result<Entry, Void> {
    let entry = tree.entry(id).ok_or(Void::NoSuchEntry)?;
    if tree.is_live(id) { Ok(entry.clone()) } else { Err(Void::NotLive) }
}

fn judge_place(tree: &Scratch<'_>, parent: EntryId, name: &EntryName, height: usize) -> Result<(), Void> {
    if !tree.is_folder(parent) || !tree.is_live(parent) {
        return Err(Void::NoFolder);
    }
    if tree.child(parent, name).is_some() {
        return Err(Void::NameTaken);
    }
    if tree.depth(parent) + 1 + height > DEPTH_MAX { Err(Void::TooDeep) } else { Ok(()) }
}

/// Puts other content into a file, and what it had into its history.
#[expect(clippy::too_many_arguments, reason = "a struct for one call more than says the same")]
fn write_over(
    tree: &mut Scratch<'_>,
    mut file: Entry,
    base: OperationId,
    content: Content,
    operation: OperationId,
    mtime: u64,
    executable: Option<bool>,
    stamp: &Stamp,
) -> Result<(), Void> {
    let Kind::File(present) = &mut file.kind else { return Err(Void::NotAFile) };
    if file.version != Some(base) {
        return Err(Void::OldBase);
    }
    let content = std::mem::replace(present, content);
    let mut rare = Rare::clone(&file.rare);
    rare.versions.push(Version { version: base, content, until: stamp.seq });
    file.rare = rare.into();
    file.version = Some(operation);
    file.content_seq = stamp.seq;
    file.mtime = mtime;
    file.executable = executable.unwrap_or(file.executable);
    tree.put(file);
    Ok(())
}

fn into_trash(
    tree: &mut Scratch<'_>,
    entry: Entry,
    operation: OperationId,
    into: Option<RenamedInto>,
    stamp: &Stamp,
) {
    let Some(parent) = entry.parent else { return };
    tree.unlink(entry.id);
    let removed = Removed { operation, parent, device: stamp.device, time: stamp.time, seq: stamp.seq };
    let rare = Rare::clone(&entry.rare);
    let rare = Rare { removed: Some(removed), into: into.or(rare.into), ..rare }.into();
    tree.put(Entry { parent: None, place_seq: stamp.seq, rare, ..entry });
}

fn restore(
    tree: &mut Scratch<'_>,
    id: EntryId,
    parent: EntryId,
    name: &EntryName,
    shallow: bool,
    stamp: &Stamp,
) -> Result<(), Void> {
    let entry = tree.entry(id).ok_or(Void::NoSuchEntry)?.clone();
    if tree.is_live(id) {
        return Err(Void::Live);
    }
    judge_place(tree, parent, name, if shallow { 0 } else { tree.height(id) })?;
    if shallow {
        if !entry.is_folder() {
            return Err(Void::NotAFolder);
        }
        let Some(with) = removal_of(tree, id) else { return Err(Void::Live) };
        for (_, child) in tree.children(id) {
            let Some(child) = tree.entry(child).cloned() else { continue };
            tree.unlink(child.id);
            let removed = Removed { parent: id, ..with.clone() };
            let rare = Rare { removed: Some(removed), ..Rare::clone(&child.rare) }.into();
            tree.put(Entry { parent: None, rare, ..child });
        }
    }
    tree.unlink(id);
    let rare = Rare { removed: None, into: None, ..Rare::clone(&entry.rare) }.into();
    tree.link(Entry { parent: Some(parent), name: name.clone(), place_seq: stamp.seq, rare, ..entry });
    Ok(())
}

/// How an entry in the trash came there: by its own removal, or by that of a folder above it.
fn removal_of(tree: &Scratch<'_>, id: EntryId) -> Option<Removed> {
    let mut entry = tree.entry(id)?;
    while let Some(parent) = entry.parent {
        entry = tree.entry(parent)?;
    }
    entry.rare.removed.clone()
}
