//! How a path stands: out of what is in memory of its safe, and of what was seen of its contents.
//!
//! Decides which state comes before which: what a person must know before what they may like to.
//! Refuses to read the store, or to ask a server, while a program waits: what is not known of a
//! file's contents is looked for behind the answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parsec_protocol::control::{Fault, FileHere, FmItem, FmMark, FmState, Problem};
use parsec_protocol::ids::{EntryId, OperationId, Timestamp};
use parsec_protocol::safe_log::certificate::State as Condition;
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safes::content_ref::Content;
use parsec_protocol::safes::entry::Entry;
use parsec_protocol::safes::name::EntryName;
use parsec_protocol::safes::tree::{PENDING_SEQ, Tree};

use super::words::words;
use crate::os::blocking_in;
use crate::safes::presence::{is_pinned, measured};
use crate::safes::{listing, paths, views};
use crate::session::Session;
use crate::session::mounts::Mounted;
use crate::session::open_safes::{Memory, OpenSafe};
use crate::store::Standing;

/// Changes that wait whose folders are marked, too: more are not told apart in a window.
const WAITING_LOOKED_AT_MAX: usize = 1_000;

/// A file whose contents are to be looked for.
pub(super) type Wanted = (EntryId, OperationId, Content);

/// A safe as it is looked at for one question.
pub(super) struct Look<'a, T> {
    safe: &'a OpenSafe,
    tree: T,
    /// What keeps it from going on.
    problem: Option<&'a Problem>,
    read_only: bool,
    pins: BTreeMap<EntryId, Timestamp>,
    /// Folders that a pin covers, as far as they were asked for.
    covered: BTreeMap<EntryId, bool>,
    /// Entries with a change that waits, and whether it is on its way.
    waiting: BTreeMap<EntryId, bool>,
    /// Folders with such an entry somewhere below.
    above: BTreeSet<EntryId>,
    pub(super) wanted: Vec<Wanted>,
    pub(super) complete: bool,
}

/// Whether nothing may be written.
fn read_only(session: &Session, mounted: &Mounted, memory: &Memory) -> bool {
    let closed = memory.verified.present().is_some_and(|now| now.state != Condition::Open);
    let reads = matches!(memory.verified.role(&session.open.summary.user), Some(Role::Reader));
    mounted.read_only || closed || reads || memory.standing == Standing::Left
}

/// Looks at a safe that is mounted.
pub(super) fn look<'a>(
    session: &Session,
    mounted: &Mounted,
    safe: &'a OpenSafe,
    memory: &'a Memory,
) -> Look<'a, impl Tree + 'a> {
    let tree = listing::tree(memory);
    let (mut waiting, mut above) = (BTreeMap::new(), BTreeSet::new());
    for queued in memory.queue.iter().take(WAITING_LOOKED_AT_MAX) {
        let Some(entry) = queued.pending.change.entry() else { continue };
        let under_way = memory.fixed.contains(&queued.pending.change.operation());
        *waiting.entry(entry).or_insert(false) |= under_way;
        let mut at = tree.entry(entry).and_then(|found| found.parent);
        while let Some(folder) = at.filter(|folder| above.insert(*folder)) {
            at = tree.entry(folder).and_then(|found| found.parent);
        }
    }
    Look {
        safe,
        tree,
        problem: memory.problem.as_ref(),
        read_only: read_only(session, mounted, memory),
        pins: safe.keeping.pins(),
        covered: BTreeMap::new(),
        waiting,
        above,
        wanted: Vec::new(),
        complete: true,
    }
}

impl<T: Tree> Look<'_, T> {
    /// How what stands at a path of the safe stands; nothing where nothing does.
    pub(super) fn item(&mut self, path: &[EntryName]) -> Option<FmItem> {
        let id = self.find(path)?;
        let mut marks = Vec::new();
        if self.read_only {
            marks.push(FmMark::ReadOnly);
        }
        let entry = self.tree.entry(id).cloned();
        let here = entry.as_ref().and_then(|entry| self.here(entry));
        let pinned = self.is_pinned(id, entry.as_ref().and_then(|entry| entry.parent));
        match here {
            // What waits to be shared is here, whatever was seen of it.
            Some(FileHere::No) if !self.waiting.contains_key(&id) => marks.push(FmMark::OnlineOnly),
            Some(FileHere::Partly) if !self.waiting.contains_key(&id) => marks.push(FmMark::PartlyHere),
            Some(_) | None => {}
        }
        if pinned {
            marks.push(FmMark::Pinned);
        }
        let lacking = pinned && matches!(here, Some(FileHere::No | FileHere::Partly));
        let state = self.state(id, entry.as_ref(), lacking);
        Some(FmItem { state, words: words(state, &marks), marks })
    }

    /// What stands at a path.
    pub(super) fn find(&self, path: &[EntryName]) -> Option<EntryId> {
        paths::find(&self.tree, path).ok()
    }

    /// What an entry is; nothing of the root, which is the safe.
    pub(super) fn entry(&self, id: EntryId) -> Option<&Entry> {
        self.tree.entry(id)
    }

    /// Whether an entry has a pin of its own.
    pub(super) fn has_pin(&self, id: EntryId) -> bool {
        self.pins.contains_key(&id)
    }

    /// Whether a pin covers it: what a folder's says of it, it says of all that is in it.
    pub(super) fn is_pinned(&mut self, id: EntryId, parent: Option<EntryId>) -> bool {
        let folder = parent.unwrap_or(id);
        let (tree, pins) = (&self.tree, &self.pins);
        let covered = *self.covered.entry(folder).or_insert_with(|| is_pinned(tree, pins, folder));
        covered || pins.contains_key(&id)
    }

    fn state(&self, id: EntryId, entry: Option<&Entry>, lacking: bool) -> FmState {
        if self.problem.is_some_and(|problem| problem.fault == Fault::Interference) {
            return FmState::Untrusted;
        }
        if entry.is_some_and(|entry| entry.rare.conflict_of.is_some()) {
            return FmState::Conflict;
        }
        let own = entry
            .is_some_and(|entry| entry.content_seq == PENDING_SEQ || entry.place_seq == PENDING_SEQ)
            || self.waiting.contains_key(&id);
        let trouble = self.problem.is_some();
        match (own || self.above.contains(&id), entry) {
            (true, _) if trouble => FmState::Pending,
            (true, _) if self.waiting.get(&id) == Some(&true) => FmState::Syncing,
            (true, _) => FmState::Saved,
            // The safe itself tells that it goes no further.
            (false, None) if trouble => FmState::Pending,
            (false, _) if lacking && self.safe.keeping.trouble().is_some() => FmState::Pending,
            (false, _) if lacking => FmState::Syncing,
            (false, _) => FmState::Synced,
        }
    }

    /// How much of a file is here, by what was seen; what was not, or long ago, is wanted.
    fn here(&mut self, entry: &Entry) -> Option<FileHere> {
        let (content, version) = (entry.content()?, entry.version?);
        let (seen, fresh) = self.safe.glances.of(entry.id, version);
        if !fresh {
            self.wanted.push((entry.id, version, content.clone()));
        }
        self.complete &= seen.is_some();
        seen
    }
}

/// Looks for contents behind the answer, and tells where anything is news. One looks at a time:
/// what is wanted meanwhile is asked for again.
pub(super) fn look_behind(session: &Arc<Session>, safe: Arc<OpenSafe>, wanted: Vec<Wanted>) {
    if wanted.is_empty() || !safe.glances.begin() {
        return;
    }
    let within = Arc::clone(session);
    session.run(async move {
        let keys = safe.memory().await.keys.copied();
        let (open, of) = (Arc::clone(&within.open), Arc::clone(&safe));
        let found = blocking_in(&within.tasks, move || {
            let contents: Vec<Content> = wanted.iter().map(|(_, _, content)| content.clone()).collect();
            let measures = measured(&open.store, &of, &keys, &contents)?;
            let seen = wanted.into_iter().zip(measures);
            Ok::<_, crate::store::StoreError>(
                seen.map(|((entry, version, _), measure)| (entry, version, measure.word())).collect(),
            )
        });
        let found: Vec<_> = found.await.unwrap_or_default();
        if safe.glances.ended(found) {
            views::tell(&within, &safe, "looked").await;
        }
    });
}
