//! What of a safe a person wants on this device in any case, and what is known of the pages of its
//! large files: in memory, dropped with the safe.
//!
//! Decides nothing about what is fetched: `safes` does. Forgets pages that nobody has asked about
//! for long, so that a large safe does not fill the memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{EntryId, ObjectId, Timestamp};
use parsec_protocol::safes::content_ref::Reference;
use tokio::sync::{Notify, Semaphore};

/// Pages that are known at once: some thirty megabytes, for files of 256 GiB.
const PAGES_MAX: usize = 512;

/// Calls at once that fetch what is pinned, for all safes of a device: whoever reads something now
/// shares the line with no more.
const BRINGING_MAX: usize = 2;

/// Turns of those who fetch what is pinned.
#[derive(Debug)]
pub struct Bringing(pub Semaphore);

impl Default for Bringing {
    fn default() -> Self {
        Self(Semaphore::new(BRINGING_MAX))
    }
}

/// References of one page, in their order; nothing where the file has a hole.
pub type Page = Arc<Vec<Option<Reference>>>;

#[derive(Debug, Default)]
struct State {
    pins: BTreeMap<EntryId, Timestamp>,
    /// Counts how often they have changed.
    changes: u64,
    trouble: Option<Problem>,
    lost: BTreeMap<ObjectId, ProblemKind>,
    pages: BTreeMap<ObjectId, Page>,
    /// Records that were in the tree when what pins cover was last marked.
    marked: Option<u64>,
    /// The same, when what is missing of it was last looked for.
    looked: Option<u64>,
    /// Whether what they cover is being fetched, or about to be.
    busy: bool,
}

/// Pins of a safe, how fetching for them goes, and pages that were read.
#[derive(Debug, Default)]
pub struct Keeping {
    state: Mutex<State>,
    /// There are other pins than before.
    pub wanted: Notify,
    /// Held by whoever looks what pins cover: an older look is never the last word.
    pub turn: tokio::sync::Mutex<()>,
}

impl Keeping {
    /// With the pins that the store has.
    #[must_use]
    pub fn new(pins: impl IntoIterator<Item = (EntryId, Timestamp)>) -> Self {
        let keeping = Self::default();
        keeping.state().pins.extend(pins);
        keeping
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pins, and since when each is there.
    #[must_use]
    pub fn pins(&self) -> BTreeMap<EntryId, Timestamp> {
        self.state().pins.clone()
    }

    /// How often the pins have changed: whoever looks at them says so of none that came later.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.state().changes
    }

    /// These are the pins from now on.
    pub fn set_pins(&self, pins: impl IntoIterator<Item = (EntryId, Timestamp)>) {
        let mut state = self.state();
        state.pins = pins.into_iter().collect();
        state.changes = state.changes.wrapping_add(1);
        state.marked = None;
        state.looked = None;
        state.busy = true;
        drop(state);
        self.wanted.notify_one();
    }

    /// What they cover is looked at again: the tree is another one after as many records. Who looks
    /// at the earlier one just now says nothing of this one.
    pub fn look_anew(&self) {
        let mut state = self.state();
        state.changes = state.changes.wrapping_add(1);
        state.marked = None;
        state.looked = None;
        state.busy = true;
        drop(state);
        self.wanted.notify_one();
    }

    /// Whether what pins cover is being fetched, or about to be.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.state().busy
    }

    /// What pins cover is being fetched from now on.
    pub fn set_busy(&self) {
        self.state().busy = true;
    }

    /// It is not, unless there are other pins since.
    pub fn set_idle(&self, changes: u64) {
        let mut state = self.state();
        state.busy &= state.changes != changes;
    }

    /// What is in the way of fetching all that is pinned.
    #[must_use]
    pub fn trouble(&self) -> Option<Problem> {
        self.state().trouble.clone()
    }

    /// That is in its way from now on, or nothing.
    pub fn set_trouble(&self, trouble: Option<Problem>) {
        self.state().trouble = trouble;
    }

    /// Pieces that could not be had, and why; asked for again with the next look.
    #[must_use]
    pub fn lost(&self) -> BTreeMap<ObjectId, ProblemKind> {
        self.state().lost.clone()
    }

    /// Whether a piece could not be had.
    pub fn note_lost(&self, lost: impl IntoIterator<Item = (ObjectId, ProblemKind)>) {
        self.state().lost.extend(lost);
    }

    /// They may be had again.
    pub fn forget_lost(&self) {
        self.state().lost.clear();
    }

    /// Whether what is missing of what pins cover was looked for in a tree of so many records.
    #[must_use]
    pub fn is_looked_at(&self, seq: u64) -> bool {
        self.state().looked == Some(seq)
    }

    /// It was looked for in a tree of so many records.
    pub fn set_looked_at(&self, changes: u64, seq: u64) {
        let mut state = self.state();
        if state.changes == changes {
            state.looked = Some(seq);
        }
    }

    /// Whether what pins cover was marked in a tree of so many records.
    #[must_use]
    pub fn is_marked(&self, seq: u64) -> bool {
        self.state().marked == Some(seq)
    }

    /// Whether it was marked since the pins are these.
    #[must_use]
    pub fn was_marked(&self) -> bool {
        self.state().marked.is_some()
    }

    /// It was marked in a tree of so many records.
    pub fn set_marked(&self, changes: u64, seq: u64) {
        let mut state = self.state();
        if state.changes == changes {
            state.marked = Some(seq);
        }
    }

    /// A page that was read.
    #[must_use]
    pub fn page(&self, page: ObjectId) -> Option<Page> {
        self.state().pages.get(&page).cloned()
    }

    /// A page was read.
    pub fn know_page(&self, page: ObjectId, references: Page) {
        let mut state = self.state();
        if state.pages.len() >= PAGES_MAX {
            // Whichever: one that is asked for again is read again.
            state.pages.pop_first();
        }
        state.pages.insert(page, references);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pins_cover_is_looked_at_anew_in_another_tree_of_as_many_records() {
        let keeping = Keeping::default();
        let changes = keeping.changes();
        keeping.set_marked(changes, 7);
        keeping.set_looked_at(changes, 7);
        assert!(keeping.is_marked(7) && keeping.is_looked_at(7));
        keeping.look_anew();
        assert!(!keeping.is_marked(7) && !keeping.is_looked_at(7));
        // Whoever looked at the earlier tree says nothing of this one.
        keeping.set_marked(changes, 7);
        keeping.set_looked_at(changes, 7);
        assert!(!keeping.is_marked(7) && !keeping.is_looked_at(7));
    }

    #[test]
    fn no_more_pages_are_known_than_there_is_room_for() {
        let keeping = Keeping::default();
        let id = |number: usize| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
            ObjectId::from_bytes(bytes)
        };
        for number in 0..PAGES_MAX + 10 {
            keeping.know_page(id(number), Page::default());
            assert!(keeping.page(id(number)).is_some());
        }
        assert_eq!(keeping.state().pages.len(), PAGES_MAX);
    }
}
