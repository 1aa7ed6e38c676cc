//! `file.pin`, `file.unpin`, `file.pins` and `cache.…`: what of the safes is on this device, by a
//! person's word.
//!
//! Decides what a pin is said to wait for. Refuses a pin of what is not there, and more of them
//! than a safe has; takes one back whatever has become of what it was for.

use std::sync::Arc;

use parsec_protocol::control::{
    CacheLimitBy, CacheSet, CacheView, Fault, FileKind, FilePins, FilePinsResult, FileSelector, FileUnpin,
    FileUnpinned, Pin, PinState, Problem, ProblemKind,
};
use parsec_protocol::ids::{EntryId, Timestamp};
use parsec_protocol::safes::change::Kind;
use parsec_protocol::safes::tree::Tree;

use super::files::readable;
use super::{choose, here};
use crate::os::clock;
use crate::safes::presence::{Measure, contents_of, is_pinned};
use crate::safes::{listing, paths};
use crate::session::Session;
use crate::session::open_safes::{Memory, OpenSafe};
use crate::store::{KeptTotals, PINS_MAX, Standing, Store, StoreError};

/// Bytes of the paths of one answer: with what stands beside each it fits a line.
const PATHS_MAX_BYTES: usize = 256 * 1024;

/// Where an entry is, or was, and what it is; nothing where nothing is known of it any more.
fn place(tree: &dyn Tree, entry: EntryId) -> Option<(String, FileKind)> {
    if entry == tree.root() {
        return Some((paths::written(&[]), FileKind::Folder));
    }
    let found = tree.entry(entry)?;
    let path = paths::of(tree, entry).unwrap_or_else(|| paths::was_at(tree, found));
    let kind = match &found.kind {
        Kind::Folder => FileKind::Folder,
        Kind::File(_) => FileKind::File,
        Kind::Symlink(_) => FileKind::Symlink,
    };
    Some((paths::written(&path), kind))
}

/// How far a pin has come, and what keeps it from going on.
fn state(safe: &OpenSafe, memory: &Memory, live: bool, found: Measure) -> (PinState, Option<Problem>) {
    if !live {
        return (PinState::Resting, None);
    }
    if found.missing == 0 {
        return (PinState::Complete, None);
    }
    let Some(problem) = safe.keeping.trouble() else {
        if safe.keeping.is_busy() || !safe.keeping.is_looked_at(memory.base.seq()) {
            return (PinState::Fetching, None);
        }
        // Everything else has come.
        let kind = safe.keeping.lost().into_values().next().unwrap_or(ProblemKind::SafeKeyMissing);
        let text = "Something that is pinned can't be had; everything else is here.";
        return (PinState::Lacking, Some(Problem::new(kind, text)));
    };
    let state = match (problem.name, problem.fault) {
        (ProblemKind::DiskFull | ProblemKind::TooLarge, _) => PinState::WaitsForRoom,
        (_, Fault::Machine) => PinState::WaitsForDisk,
        (_, Fault::Server) => PinState::WaitsForNetwork,
        _ if problem.retryable => PinState::WaitsForNetwork,
        _ => PinState::Lacking,
    };
    (state, Some(problem))
}

/// Pins as they are shown.
async fn views(
    session: &Session,
    safe: &Arc<OpenSafe>,
    pins: Vec<(EntryId, Timestamp)>,
) -> Result<Vec<Pin>, Problem> {
    let mut shown = Vec::with_capacity(pins.len());
    for (entry, since) in pins {
        let (place, contents, keys, live) = {
            let memory = safe.memory().await;
            let tree = listing::tree(&memory);
            (place(&tree, entry), contents_of(&tree, entry), memory.keys.copied(), tree.is_live(entry))
        };
        let files = contents.len() as u64;
        let each = here::measure(session, safe, keys, contents).await?;
        let found = each.into_iter().fold(Measure::default(), Measure::and);
        let (state, problem) = state(safe, &*safe.memory().await, live, found);
        let (path, kind) = place.unzip();
        let (bytes, here_bytes) = (found.all, found.here);
        shown.push(Pin { safe: safe.id, entry, path, kind, since, state, files, bytes, here_bytes, problem });
    }
    Ok(shown)
}

/// The pins are those of the store again.
async fn changed(session: &Session, safe: &OpenSafe) -> Result<(), Problem> {
    let id = safe.id;
    let pins = session.store(move |store| store.pins(id)).await?;
    safe.keeping.set_pins(pins);
    Ok(())
}

/// A file or folder is wanted here in any case.
///
/// # Errors
/// `path_not_found`; `not_a_file` for a link; `too_large` where the safe has as many pins as one
/// may have; `safe_role_too_low` where the user has left it; which safe is meant; the store's.
pub async fn pin(session: &Session, params: FileSelector) -> Result<Pin, Problem> {
    let path = paths::read(&params.path)?;
    let safe = choose(session, &params.safe).await?;
    let entry = {
        let memory = safe.memory().await;
        readable(&memory)?;
        if memory.standing == Standing::Left {
            let text = "You are not in this safe any more: nothing of it is fetched.";
            return Err(Problem::new(ProblemKind::SafeRoleTooLow, text));
        }
        let tree = listing::tree(&memory);
        let entry = paths::find(&tree, &path)?;
        let has_contents = |entry| tree.is_folder(entry) || contents_of(&tree, entry).len() == 1;
        if !has_contents(entry) {
            let text = format!("{} is a symbolic link.", paths::written(&path));
            return Err(Problem::new(ProblemKind::NotAFile, text));
        }
        entry
    };
    let (id, since) = (safe.id, clock::now());
    let kept = session
        .store(move |store| match store.pin(id, entry, since) {
            Err(StoreError::Conflict) => Ok(false),
            kept => kept.map(|()| true),
        })
        .await?;
    if !kept {
        let text = format!("The safe has {PINS_MAX} pins, as many as one may have.");
        let hint = "Pin a folder that they are in, and take the others back: `parsecctl safe pins`.";
        let problem = Problem::new(ProblemKind::TooLarge, text);
        return Err(Problem { hint: hint.to_owned(), ..problem });
    }
    changed(session, &safe).await?;
    let since = safe.keeping.pins().get(&entry).copied().unwrap_or(since);
    let lost = || Problem::new(ProblemKind::Internal, "The pin is not among the pins.");
    views(session, &safe, vec![(entry, since)]).await?.pop().ok_or_else(lost)
}

/// Which pin is meant: of what stands at a path, or stood there before it was removed.
fn pinned_at(safe: &OpenSafe, memory: &Memory, text: &str) -> Result<EntryId, Problem> {
    let path = paths::read(text)?;
    let tree = listing::tree(memory);
    let pins = safe.keeping.pins();
    let there = paths::find(&tree, &path).ok();
    if let Some(entry) = there.filter(|entry| pins.contains_key(entry)) {
        return Ok(entry);
    }
    let resting = |entry: &&EntryId| {
        !tree.is_live(**entry) && tree.entry(**entry).is_some_and(|found| paths::was_at(&tree, found) == path)
    };
    let covered = there.is_some_and(|entry| is_pinned(&tree, &pins, entry));
    pins.keys().find(resting).copied().ok_or_else(|| {
        let written = paths::written(&path);
        let text = match covered {
            true => format!("{written} is not pinned itself: a folder above it is."),
            false => format!("{written} is not pinned."),
        };
        let hint = "`parsecctl safe pins` shows what is.".to_owned();
        Problem { hint, ..Problem::new(ProblemKind::PathNotFound, text) }
    })
}

/// It may make room for others again.
///
/// # Errors
/// `path_not_found` where it is not pinned; `invalid_request` where not one of both is said; which
/// safe is meant; the store's.
pub async fn unpin(session: &Session, params: FileUnpin) -> Result<FileUnpinned, Problem> {
    let safe = choose(session, &params.safe).await?;
    let (entry, path, covered) = {
        let memory = safe.memory().await;
        readable(&memory)?;
        let entry = match (params.path.as_deref(), params.entry) {
            (Some(path), None) => pinned_at(&safe, &memory, path)?,
            (None, Some(entry)) => entry,
            (None, None) | (Some(_), Some(_)) => {
                let text = "Say which by its path, or by its entry, and not by both.";
                return Err(Problem::new(ProblemKind::InvalidRequest, text));
            }
        };
        let tree = listing::tree(&memory);
        let mut others = safe.keeping.pins();
        others.remove(&entry);
        (entry, place(&tree, entry).map(|(path, _)| path), is_pinned(&tree, &others, entry))
    };
    let id = safe.id;
    if !session.store(move |store| store.unpin(id, entry)).await? {
        let hint = "`parsecctl safe pins` shows what is pinned.".to_owned();
        let problem = Problem::new(ProblemKind::PathNotFound, format!("Entry {entry} is not pinned."));
        return Err(Problem { hint, ..problem });
    }
    changed(session, &safe).await?;
    Ok(FileUnpinned { safe: safe.id, entry, path, covered })
}

/// What is pinned in a safe.
///
/// # Errors
/// `path_not_found` where `after` is not pinned any more; which safe is meant; the store's.
pub async fn pins(session: &Session, params: FilePins) -> Result<FilePinsResult, Problem> {
    let safe = choose(session, &params.safe).await?;
    readable(&*safe.memory().await)?;
    let all: Vec<_> = safe.keeping.pins().into_iter().collect();
    let behind = |(entry, _): &&(EntryId, Timestamp)| params.after.is_none_or(|after| *entry > after);
    let rest: Vec<_> = all.iter().filter(behind).copied().collect();
    let count = rest.len();
    let page: Vec<_> = {
        let memory = safe.memory().await;
        let tree = listing::tree(&memory);
        let mut bytes = 0_usize;
        let fits = |(entry, _): &(EntryId, Timestamp)| {
            let first = bytes == 0;
            bytes = bytes.saturating_add(place(&tree, *entry).map_or(1, |(path, _)| path.len()));
            first || bytes <= PATHS_MAX_BYTES
        };
        rest.into_iter().take_while(fits).collect()
    };
    let more = page.len() < count;
    Ok(FilePinsResult { safe: safe.id, pins: views(session, &safe, page).await?, more })
}

fn shown(session: &Session, now: KeptTotals, freed: u64) -> CacheView {
    CacheView {
        device: session.open.summary.device,
        kept_bytes: now.kept,
        pinned_bytes: now.pinned,
        waiting_bytes: now.waiting,
        limit_bytes: now.limit,
        limit_by: match (now.said, now.option) {
            (Some(_), _) => CacheLimitBy::Device,
            (None, Some(_)) => CacheLimitBy::Daemon,
            (None, None) => CacheLimitBy::Auto,
        },
        floor_bytes: now.floor,
        free_bytes: now.free,
        freed_bytes: freed,
    }
}

/// What is kept, and how much may be.
///
/// # Errors
/// The store's.
pub async fn cache(session: &Session) -> Result<CacheView, Problem> {
    Ok(shown(session, session.store(Store::kept_totals).await?, 0))
}

async fn freeing(
    session: &Session,
    work: impl FnOnce(&Store) -> Result<(), StoreError> + Send + 'static,
) -> Result<CacheView, Problem> {
    let (before, now) = session
        .store(move |store| {
            let before = store.kept_totals()?;
            work(store)?;
            Ok((before, store.kept_totals()?))
        })
        .await?;
    Ok(shown(session, now, before.kept.saturating_sub(now.kept)))
}

/// Another limit, for this device and from now on.
///
/// # Errors
/// The store's.
pub async fn set_limit(session: &Session, params: CacheSet) -> Result<CacheView, Problem> {
    freeing(session, move |store| store.limit_kept(params.limit_bytes)).await
}

/// Everything that may go goes.
///
/// # Errors
/// The store's.
pub async fn clear(session: &Session) -> Result<CacheView, Problem> {
    freeing(session, Store::clear_kept).await
}
