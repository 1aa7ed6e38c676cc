//! Rules of *prune*: what may be thrown away for good, by whom, and which objects go with it.
//!
//! Decides by the age that owners' and managers' records give, never by a clock. Refuses to let an
//! object go that the tree still names: contributors can't destroy anything, and those who may
//! can't make a safe name what nobody has any more.

use std::collections::BTreeSet;

use crate::ids::{EntryId, ObjectId};
use crate::safe_log::roles::Role;
use crate::safes::change::PrunedVersions;
use crate::safes::entry::{Entry, Rare};
use crate::safes::fold::{Outer, RETENTION_DAYS_MIN, Void};
use crate::safes::scratch::Scratch;
use crate::safes::state::State;
use crate::safes::tree::Tree as _;

/// Days after which somebody with this role\* may throw away what was removed or written over;
/// none where they never may. An owner could shorten the retention first: what takes two acts is no
/// protection, and a single one is easier to see.
#[must_use]
pub fn days_before_pruning(role: Role, retention_days: u64) -> Option<u64> {
    match role {
        Role::Owner => Some(RETENTION_DAYS_MIN),
        Role::Manager => Some(retention_days),
        Role::Contributor | Role::Reader => None,
    }
}

/// Throws versions and entries away, or says why none of it may go.
///
/// # Errors
/// [`Void`] names the rule.
pub(super) fn prune(
    tree: &mut Scratch<'_>,
    state: &State,
    (versions, entries): (&[PrunedVersions], &[EntryId]),
    record: &Outer<'_>,
) -> Result<(), Void> {
    let retention = tree.retention_days().unwrap_or(state.retention_days());
    let days = days_before_pruning(record.role, retention).ok_or(Void::NotAManager)?;
    let old_enough = |seq: u64| {
        let old = state.marks().days_old(seq, record.time);
        if old.is_some_and(|old| old >= days) { Ok(()) } else { Err(Void::TooYoung) }
    };
    for PrunedVersions { entry, versions } in versions {
        let pruned = tree.entry(*entry).ok_or(Void::NoSuchEntry)?.clone();
        let mut rare = Rare::clone(&pruned.rare);
        let goes: BTreeSet<_> = versions.iter().collect();
        let mut found = 0;
        for version in rare.versions.iter().filter(|version| goes.contains(&version.version)) {
            old_enough(version.until)?;
            found += 1;
        }
        if found != versions.len() || versions.is_empty() {
            return Err(Void::NoSuchVersion);
        }
        rare.versions.retain(|version| !goes.contains(&version.version));
        tree.put(Entry { rare: rare.into(), ..pruned });
    }
    for entry in entries {
        let gone = tree.entry(*entry).ok_or(Void::NoSuchEntry)?;
        old_enough(gone.rare.removed.as_ref().ok_or(Void::NotInTheTrash)?.seq)?;
        tree.purge(*entry);
    }
    Ok(())
}

/// Whether these objects may go, from a tree that the record's changes have made.
///
/// # Errors
/// [`Void`] names the rule.
pub(super) fn judge_drops(
    tree: &Scratch<'_>,
    state: &State,
    drops: &[ObjectId],
    prunes: bool,
) -> Result<(), Void> {
    if drops.is_empty() {
        return Ok(());
    }
    if !prunes {
        return Err(Void::DropsAlone);
    }
    let drops: BTreeSet<_> = drops.iter().copied().collect();
    let snapshots = state.snapshots().iter().flat_map(|snapshot| snapshot.content.objects());
    let mut in_use = snapshots.into_iter().any(|reference| drops.contains(&reference.object));
    tree.each_entry(&mut |entry: &Entry| {
        let earlier = entry.rare.versions.iter().map(|version| &version.content);
        let mut named = entry.content().into_iter().chain(earlier).flat_map(|content| content.objects());
        in_use = in_use || named.any(|reference| drops.contains(&reference.object));
    });
    if in_use { Err(Void::InUse) } else { Ok(()) }
}
