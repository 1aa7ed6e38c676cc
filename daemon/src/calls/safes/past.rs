//! `file.history`, `file.restore` and `trash.…`: the past of a safe.
//!
//! Decides how much of it one answer has. Refuses to say who wrote what where this device can't
//! read the record that brought it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use parsec_protocol::control::{
    FileChanged, FileEntry, FileHistory, FileHistoryResult, FileRestore, FileVersion, PAST_PAGE_MAX, Problem,
    ProblemKind, TrashEntry, TrashList, TrashListResult, TrashRestore,
};
use parsec_protocol::ids::{DeviceId, EntryId, OperationId, Timestamp, UserId};
use parsec_protocol::safes::tree::Tree as _;

use super::brought::{Brought, brought};
use super::choose;
use super::files::{changed, readable};
use crate::os::blocking_in;
use crate::safes::{listing, paths, restoring, views};
use crate::session::Session;
use crate::session::open_safes::Memory;

/// Bytes of the paths of one answer: with what stands beside each it fits a line.
const PATHS_MAX_BYTES: usize = 256 * 1024;

/// What of these was saved here and is in no record yet.
fn waiting(memory: &Memory, own: UserId, wanted: &[OperationId]) -> BTreeMap<OperationId, Brought> {
    let queued = memory.queue.iter().map(|queued| (queued.pending.change.operation(), queued.saved));
    let here = queued.filter(|(operation, _)| wanted.contains(operation));
    here.map(|(operation, time)| (operation, Brought { time, by: own, device: None, seq: None })).collect()
}

/// What stands behind `after`, at most as much as one answer has; whether there is more. `length`
/// says how many bytes the path of one takes.
fn page<T>(
    all: Vec<T>,
    after: Option<impl Fn(&T) -> bool>,
    gone: &str,
    length: impl Fn(&T) -> usize,
) -> Result<(Vec<T>, bool), Problem> {
    let from = match after {
        None => 0,
        Some(is_last) => {
            let at = all.iter().position(is_last);
            at.ok_or_else(|| Problem::new(ProblemKind::PathNotFound, gone))?.saturating_add(1)
        }
    };
    let (count, mut bytes) = (all.len(), 0_usize);
    let fits = |one: &T| {
        let first = bytes == 0;
        bytes = bytes.saturating_add(length(one));
        first || bytes <= PATHS_MAX_BYTES
    };
    let page: Vec<T> = all.into_iter().skip(from).take(PAST_PAGE_MAX).take_while(fits).collect();
    let more = from.saturating_add(page.len()) < count;
    Ok((page, more))
}

/// Contents that a file has or had, the present one first.
///
/// # Errors
/// `path_not_found`, also where `after` is no version of it, `is_a_folder`, `not_a_file`; which
/// safe is meant; the store's.
pub async fn history(session: &Session, params: FileHistory) -> Result<FileHistoryResult, Problem> {
    let path = paths::read(&params.path)?;
    let safe = choose(session, &params.safe).await?;
    let (file, contents, more, keys, waiting, to) = {
        let memory = safe.memory().await;
        readable(&memory)?;
        let (file, present) = listing::file(&memory, &path)?;
        let earlier = listing::earlier(&memory, &path)?;
        let all: Vec<_> =
            file.version.map(|version| (version, present.size)).into_iter().chain(earlier).collect();
        let after = params.after.map(|after| move |one: &(OperationId, u64)| one.0 == after);
        let (contents, more) = page(all, after, "The file has no such version.", |_| 1)?;
        let wanted: Vec<_> = contents.iter().map(|(version, _)| *version).collect();
        let waiting = waiting(&memory, session.open.summary.user, &wanted);
        (file, contents, more, memory.keys.copied(), waiting, memory.base.seq())
    };
    let (open, id) = (Arc::clone(&session.open), safe.id);
    let wanted: Vec<_> = contents
        .iter()
        .map(|(version, _)| *version)
        .filter(|version| !waiting.contains_key(version))
        .collect();
    let mut found = blocking_in(&session.tasks, move || brought(&open, &keys, id, to, &wanted)).await?;
    found.extend(waiting);
    let log = session.log();
    let versions = contents.into_iter().map(|(version, size)| {
        let brought = found.get(&version);
        FileVersion {
            version,
            size,
            present: file.version == Some(version),
            time: brought.map(|brought| brought.time),
            by: brought.and_then(|brought| views::person(session, &log, brought.by)),
            seq: brought.and_then(|brought| brought.seq),
        }
    });
    let versions = versions.collect();
    Ok(FileHistoryResult { safe: safe.id, file, versions, more })
}

/// A file gets a content again that it had.
///
/// # Errors
/// As `restoring::version`.
pub async fn restore(session: &Session, params: FileRestore) -> Result<FileChanged, Problem> {
    let path = paths::read(&params.path)?;
    let safe = choose(session, &params.safe).await?;
    let done = restoring::version(session, &safe, path, params.version).await?;
    Ok(changed(session, &safe, done, 0, params.wait_seconds).await)
}

/// What was removed from a safe, the last one first.
///
/// # Errors
/// `path_not_found` where `after` is not in the trash any more; which safe is meant.
pub async fn trash(session: &Session, params: TrashList) -> Result<TrashListResult, Problem> {
    let safe = choose(session, &params.safe).await?;
    let memory = safe.memory().await;
    readable(&memory)?;
    // Of a safe with many entries it is a walk over all of them.
    let (found, more) = blocking_in(&session.tasks, move || listed(&memory, params.after)).await?;
    let log = session.log();
    let removed = found.into_iter().map(|(file, removed, device, entries)| {
        let by = log.device(&device).map(|device| device.user);
        TrashEntry { file, removed, by: by.and_then(|by| views::person(session, &log, by)), entries }
    });
    let removed = removed.collect();
    Ok(TrashListResult { safe: safe.id, removed, more })
}

/// What is in the trash by itself: what it is, when it was removed and by which device, and how
/// many entries would come back with it.
type Gone = (FileEntry, Timestamp, DeviceId, u64);

fn listed(memory: &Memory, after: Option<EntryId>) -> Result<(Vec<Gone>, bool), Problem> {
    let tree = listing::tree(memory);
    let mut all = Vec::new();
    tree.each_removed(&mut |id| {
        let removed = tree.entry(id).and_then(|entry| entry.rare.removed.as_ref());
        all.extend(removed.map(|removed| (removed.time, id, removed.device)));
    });
    all.sort_unstable_by_key(|(time, id, _)| Reverse((*time, *id)));
    let after = after.map(|after| move |one: &(Timestamp, EntryId, DeviceId)| one.1 == after);
    let path = |id: EntryId| tree.entry(id).map(|found| paths::was_at(&tree, found)).unwrap_or_default();
    let length = |one: &(Timestamp, EntryId, DeviceId)| paths::written(&path(one.1)).len();
    let (page, more) = page(all, after, "It is not in the safe's trash any more.", length)?;
    let shown = page.into_iter().filter_map(|(time, id, device)| {
        let found = tree.entry(id)?;
        let entries = (tree.below(id).len() as u64).saturating_add(1);
        Some((listing::entry(&tree, found, &path(id)), time, device, entries))
    });
    Ok((shown.collect(), more))
}

/// Something out of the trash.
///
/// # Errors
/// As `restoring::removed`.
pub async fn untrash(session: &Session, params: TrashRestore) -> Result<FileChanged, Problem> {
    let to = params.to.as_deref().map(paths::read).transpose()?;
    let safe = choose(session, &params.safe).await?;
    let done = restoring::removed(session, &safe, params.entry, to).await?;
    Ok(changed(session, &safe, done, 0, params.wait_seconds).await)
}
