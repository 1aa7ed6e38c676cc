//! Pruning: what was removed or written over long ago is thrown away, and the room given back.
//!
//! Decides what is old enough, and which objects nothing names any more: of the whole safe, behind
//! each page, and of what waits here. A manager's or owner's device does it by itself, once a day.
//! Refuses to drop a single object unless it has looked into every page, and to prune while changes
//! of its own wait. A time is told in the journal where nobody has written since: without it,
//! nothing would ever be old.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{EntryId, ObjectId, OperationId, Timestamp};
use parsec_protocol::keys::random;
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safes::change::{Change, PrunedVersions};
use parsec_protocol::safes::content_ref::Content;
use parsec_protocol::safes::entry::Entry;
use parsec_protocol::safes::pruning::days_before_pruning;
use parsec_protocol::safes::state::State;
use parsec_protocol::safes::tree::Tree as _;
use tokio::time::Instant;

use super::committing::{Draft, Tried, post_apart, role_here};
use super::dropped::{OBJECTS_OF_A_RECORD, still_there};
use super::due::half_random;
use super::{folding, keys, reading, refusals, views};
use crate::contents::pages::{Source, behind};
use crate::os::{clock, entropy};
use crate::problems;
use crate::session::Session;
use crate::session::open_safes::OpenSafe;

/// Versions and entries that one record throws away: with 17 to 40 bytes for each, it has room.
const ITEMS_OF_A_RECORD: usize = 2_048;
/// Records in a row that lost the race for the journal's end. Others write all the time: another
/// day will do.
const MOVED_ON_MAX: u32 = 16;
/// How long a device waits with it after it was unlocked: people come first, and another device may
/// be at it.
const FIRST_AFTER: Duration = Duration::from_secs(10 * 60);
/// How long from one time to the next.
const EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// What is to be thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which<'a> {
    /// Everything that is as old as the retention says.
    OldEnough,
    /// These entries of the trash, if they are as old as it takes.
    These(&'a [EntryId]),
    /// All of the trash that is as old as it takes.
    Trash,
}

/// What was thrown away, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pruned {
    /// Days for which the safe keeps what was removed or written over.
    pub(crate) retention_days: u64,
    /// Days that were asked for.
    pub(crate) days: u64,
    /// Files, folders and links.
    pub(crate) entries: u64,
    /// Earlier contents of files.
    pub(crate) versions: u64,
    /// Sealed objects that the server lets go after a month.
    pub(crate) objects: u64,
    /// Entries of the trash and earlier contents that are not old enough yet.
    pub(crate) kept: u64,
}

/// What a state has that may go, and what it has that may not yet.
#[derive(Debug, Default)]
struct Doomed {
    versions: Vec<(EntryId, OperationId)>,
    entries: Vec<EntryId>,
    sums: Pruned,
    /// Whether something has no age, because no owner or manager has written since.
    unaged: bool,
}

impl Doomed {
    fn of(state: &State, which: Which<'_>, days: u64, now: Timestamp) -> Self {
        let mut doomed = Self::default();
        let mut judge = |seq: u64| {
            let old = state.marks().days_old(seq, now);
            doomed.unaged |= old.is_none();
            let goes = old.is_some_and(|old| old >= days);
            doomed.sums.kept += u64::from(!goes);
            goes
        };
        let (mut entries, mut versions) = (Vec::new(), Vec::new());
        state.each_entry(&mut |entry: &Entry| {
            if let Some(removed) = entry.rare.removed.as_ref() {
                let meant = match which {
                    Which::OldEnough | Which::Trash => true,
                    Which::These(these) => these.contains(&entry.id),
                };
                if meant && judge(removed.seq) {
                    entries.push(entry.id);
                }
            }
            if which == Which::OldEnough {
                let old = entry.rare.versions.iter().filter(|version| judge(version.until));
                versions.extend(old.map(|version| (entry.id, version.version)));
            }
        });
        let below = entries.iter().map(|id| (state.below(*id).len() as u64).saturating_add(1));
        doomed.sums.entries = below.sum();
        // What goes with its entry is no version for itself.
        let gone: BTreeSet<EntryId> = entries.iter().copied().collect();
        versions.retain(|(of, _)| !is_in(state, *of, &gone));
        doomed.sums.versions = versions.len() as u64;
        Self { versions, entries, ..doomed }
    }

    /// As much as one record has room for; nothing where there is none.
    fn piece(&self) -> Option<(Vec<PrunedVersions>, Vec<EntryId>)> {
        let entries: Vec<_> = self.entries.iter().copied().take(ITEMS_OF_A_RECORD).collect();
        let room = ITEMS_OF_A_RECORD.saturating_sub(entries.len());
        let mut versions: Vec<PrunedVersions> = Vec::new();
        for (entry, version) in self.versions.iter().take(room) {
            match versions.last_mut().filter(|last| last.entry == *entry) {
                Some(last) => last.versions.push(*version),
                None => versions.push(PrunedVersions { entry: *entry, versions: vec![*version] }),
            }
        }
        (!entries.is_empty() || !versions.is_empty()).then_some((versions, entries))
    }
}

/// Whether an entry is one of these, or below one.
fn is_in(state: &State, id: EntryId, gone: &BTreeSet<EntryId>) -> bool {
    let mut at = Some(id);
    while let Some(id) = at {
        if gone.contains(&id) {
            return true;
        }
        at = state.entry(id).and_then(|entry| entry.parent);
    }
    false
}

/// Reads and folds all there is.
async fn caught_up(session: &Session, safe: &OpenSafe) -> Result<State, Problem> {
    reading::read(session, safe).await?;
    folded(session, safe).await
}

async fn folded(session: &Session, safe: &OpenSafe) -> Result<State, Problem> {
    keys::complete(session, safe).await?;
    let outcome = folding::fold_up(session, safe).await?;
    views::notify(session, safe, outcome.notices);
    if outcome.grown {
        safe.went_on();
        views::tell(session, safe, "files").await;
    }
    let memory = safe.memory().await;
    if !memory.queue.is_empty() {
        let text = "Changes of this device wait to be shared first.";
        return Err(Problem::new(ProblemKind::NotSharedYet, text));
    }
    Ok(memory.base.clone())
}

/// What a look into every page has found.
struct Swept {
    /// Objects that nothing in the safe names, and that have been the safe's for so many days: so
    /// long, an upload may wait for the record that names it.
    unnamed: Vec<ObjectId>,
    /// Chunks that a page names and that are the safe's no more.
    lost: Vec<ObjectId>,
}

async fn swept(
    session: &Session,
    safe: &OpenSafe,
    state: &State,
    days: u64,
    now: Timestamp,
) -> Result<Swept, Problem> {
    let mut named = BTreeSet::new();
    let mut contents: Vec<Content> = Vec::new();
    state.each_content(|content| {
        named.extend(content.objects().map(|reference| reference.object));
        contents.push(content.clone());
    });
    let old = |seq: u64| state.marks().days_old(seq, now).is_some_and(|old| old >= days);
    let mut unnamed: BTreeSet<ObjectId> = state
        .objects()
        .filter(|(object, seq)| old(*seq) && !named.contains(object))
        .map(|(object, _)| object)
        .collect();
    let mut lost = BTreeSet::new();
    behind(session, safe, &contents, Source::Anywhere, |chunk| {
        unnamed.remove(&chunk);
        if !state.has_object(chunk) {
            lost.insert(chunk);
        }
    })
    .await?;
    Ok(Swept { unnamed: unnamed.into_iter().collect(), lost: lost.into_iter().collect() })
}

/// Throws away what may go, or says what would. The caller holds the safe's turn.
///
/// # Errors
/// `safe_role_too_low`; `not_shared_yet` while changes of this device wait, or older records are
/// still being verified; why nothing can be written; where a page can't be looked into; the
/// server's and the store's.
pub(crate) async fn run(
    session: &Session,
    safe: &Arc<OpenSafe>,
    which: Which<'_>,
    dry: bool,
) -> Result<Pruned, Problem> {
    // By a word nothing is thrown away, and nobody is told what would be: it may leave out what
    // names an object.
    if safe.memory().await.started.is_some() {
        return Err(refusals::being_verified());
    }
    let mut state = if dry { safe.memory().await.base.clone() } else { caught_up(session, safe).await? };
    let role = role_here(&session.open, &*safe.memory().await, &session.log())?;
    let least = days_before_pruning(role, state.retention_days());
    if least.is_none() && !dry {
        let text = "Only an owner or a manager of the safe throws anything away.";
        return Err(Problem::new(ProblemKind::SafeRoleTooLow, text));
    }
    let least = least.unwrap_or(state.retention_days());
    let days = match which {
        Which::OldEnough => state.retention_days(),
        Which::These(_) | Which::Trash => least,
    };
    let now = clock::now();
    let found = Doomed::of(&state, which, days, now);
    if let Which::These(these) = which {
        chosen(&state, these, &found, days)?;
    }
    let mut sums = Pruned { retention_days: state.retention_days(), days, ..found.sums };
    if dry {
        return Ok(sums);
    }
    (sums.entries, sums.versions) = (0, 0);
    let mut moved_on = 0;
    // First, whatever keeps the rest from being done: without it nothing ever grows old.
    if found.unaged && state.marks().is_due(now) {
        // Whether it wins the race or not, somebody's record tells the time.
        posted(session, safe, Draft::default(), &mut moved_on).await?;
        state = folded(session, safe).await?;
    }
    loop {
        let doomed = Doomed::of(&state, which, days, now);
        let Some((versions, entries)) = doomed.piece() else { break };
        let gone: BTreeSet<EntryId> = entries.iter().copied().collect();
        let count: u64 = gone.iter().map(|id| (state.below(*id).len() as u64).saturating_add(1)).sum();
        let contents: u64 = versions.iter().map(|of| of.versions.len() as u64).sum();
        let changes = vec![Change::Prune { operation: operation()?, versions, entries }];
        if posted(session, safe, Draft { changes, ..Draft::default() }, &mut moved_on).await? {
            sums.entries = sums.entries.saturating_add(count);
            sums.versions = sums.versions.saturating_add(contents);
        }
        state = folded(session, safe).await?;
    }
    'sweep: loop {
        let Swept { unnamed, lost } = swept(session, safe, &state, days, now).await?;
        // Named, and dropped all the same: by a faulty record, or in a race with a change that
        // named it again. Nothing more is dropped before it is taken back.
        let keeps = still_there(session, safe, lost).await?;
        for keeps in keeps.chunks(OBJECTS_OF_A_RECORD) {
            let draft = Draft { keeps: keeps.to_vec(), ..Draft::default() };
            let done = posted(session, safe, draft, &mut moved_on).await?;
            state = folded(session, safe).await?;
            if !done {
                continue 'sweep;
            }
        }
        for drops in unnamed.chunks(OBJECTS_OF_A_RECORD) {
            let changes =
                vec![Change::Prune { operation: operation()?, versions: Vec::new(), entries: Vec::new() }];
            let draft = Draft { changes, drops: drops.to_vec(), ..Draft::default() };
            let done = posted(session, safe, draft, &mut moved_on).await?;
            state = folded(session, safe).await?;
            if !done {
                // Somebody has written: what was named by nothing may be named now.
                continue 'sweep;
            }
            sums.objects = sums.objects.saturating_add(drops.len() as u64);
        }
        break;
    }
    if sums.entries + sums.versions + sums.objects > 0 {
        tracing::info!(safe = %safe.id, entries = sums.entries, versions = sums.versions, objects = sums.objects, "pruned");
    }
    Ok(sums)
}

/// Whether all that a person chose may go.
fn chosen(state: &State, these: &[EntryId], found: &Doomed, days: u64) -> Result<(), Problem> {
    let in_trash = |id: &EntryId| state.entry(*id).is_some_and(|entry| entry.rare.removed.is_some());
    if !these.iter().all(in_trash) {
        let text = "There is nothing of this id in the safe's trash.";
        return Err(Problem::new(ProblemKind::PathNotFound, text));
    }
    if found.sums.kept > 0 {
        let text =
            format!("It was removed less than {days} days ago, and for that long it can be brought back.");
        let hint = "Days are counted by what owners and managers have written since. `safe prune --dry-run` shows what is old enough.".to_owned();
        return Err(Problem { hint, ..Problem::new(ProblemKind::NotAllowed, text) });
    }
    Ok(())
}

/// Posts a record; whether it stands. If not, somebody else's does, which has been read.
async fn posted(
    session: &Session,
    safe: &Arc<OpenSafe>,
    draft: Draft,
    moved_on: &mut u32,
) -> Result<bool, Problem> {
    match post_apart(session, safe, draft).await? {
        Tried::Accepted => {
            *moved_on = 0;
            Ok(true)
        }
        Tried::Due => {
            let text = "The safe needs a new key first.";
            Err(Problem::new(ProblemKind::SafeKeyMissing, text))
        }
        Tried::MovedOn | Tried::Nothing => {
            *moved_on += 1;
            if *moved_on > MOVED_ON_MAX {
                let text = "Others write in this safe all the time.";
                return Err(Problem::new(ProblemKind::ServerBusy, text));
            }
            Ok(false)
        }
    }
}

fn operation() -> Result<OperationId, Problem> {
    Ok(OperationId::from_bytes(random(&mut entropy::System).map_err(problems::no_entropy)?))
}

/// Does it by itself, where it is time to; says when it is. What keeps it from it is no matter for
/// a person: it is tried again another day.
pub(super) async fn daily(session: &Session, safe: &Arc<OpenSafe>, next: &mut Option<Instant>) {
    let now = Instant::now();
    let at = *next.get_or_insert_with(|| now + half_random(FIRST_AFTER));
    if now < at {
        return;
    }
    *next = Some(now + EVERY);
    let may = {
        let memory = safe.memory().await;
        let role = role_here(&session.open, &memory, &session.log());
        role.is_ok_and(Role::manages) && memory.queue.is_empty() && memory.started.is_none()
    };
    if !may {
        return;
    }
    if let Err(problem) = run(session, safe, Which::OldEnough, false).await {
        tracing::info!(safe = %safe.id, name = problem.name.name(), %problem, "a safe is not pruned");
    }
}
