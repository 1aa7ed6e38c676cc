//! How much of each file was here when it was last looked for: what file managers are told of it
//! without a look at the store.
//!
//! Decides how long a glance counts as fresh, and how many there are. Refuses a glance at another
//! content than the file has now.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parsec_protocol::control::FileHere;
use parsec_protocol::ids::{EntryId, OperationId};
use tokio::time::Instant;

/// How long a glance counts: pieces come and go without a word, and a person who has just read a
/// file sees soon that it is here.
const FRESH: Duration = Duration::from_secs(10);
/// Glances of one safe: some ten megabytes, for a folder that is as large as a window can show.
const GLANCES_MAX: usize = 131_072;

#[derive(Debug)]
struct Glance {
    version: OperationId,
    here: FileHere,
    at: Instant,
}

#[derive(Debug, Default)]
struct State {
    seen: HashMap<EntryId, Glance>,
    looking: bool,
}

/// The glances at files of a safe; dropped with it.
#[derive(Debug, Default)]
pub struct Glances(Mutex<State>);

impl Glances {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one step, so a poisoned lock still guards a sound map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much of this content of a file was here, and whether that is fresh.
    #[must_use]
    pub fn of(&self, entry: EntryId, version: OperationId) -> (Option<FileHere>, bool) {
        let state = self.state();
        let found = state.seen.get(&entry).filter(|glance| glance.version == version);
        (found.map(|glance| glance.here), found.is_some_and(|glance| glance.at.elapsed() < FRESH))
    }

    /// Whether the caller may look: one does at a time, until [`Self::ended`].
    #[must_use]
    pub fn begin(&self) -> bool {
        !std::mem::replace(&mut self.state().looking, true)
    }

    /// What was found; whether any of it is news.
    #[must_use]
    pub fn ended(&self, found: impl IntoIterator<Item = (EntryId, OperationId, FileHere)>) -> bool {
        let mut state = self.state();
        state.looking = false;
        let mut news = false;
        for (entry, version, here) in found {
            if state.seen.len() >= GLANCES_MAX && !state.seen.contains_key(&entry) {
                // What is asked for again is looked for again.
                state.seen.clear();
            }
            let before = state.seen.insert(entry, Glance { version, here, at: Instant::now() });
            news |= before.is_none_or(|before| (before.version, before.here) != (version, here));
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(number: u8) -> (EntryId, OperationId) {
        (EntryId::from_bytes([number; 16]), OperationId::from_bytes([number; 16]))
    }

    #[tokio::test(start_paused = true)]
    async fn a_glance_is_of_one_content_and_grows_old() {
        let glances = Glances::default();
        let ((file, first), (_, second)) = (ids(1), ids(2));
        assert_eq!(glances.of(file, first), (None, false));
        assert!(glances.begin() && !glances.begin(), "one looks at a time");
        assert!(glances.ended([(file, first, FileHere::No)]));
        assert_eq!(glances.of(file, first), (Some(FileHere::No), true));
        assert_eq!(glances.of(file, second), (None, false), "it has another content");
        tokio::time::advance(FRESH).await;
        assert_eq!(glances.of(file, first), (Some(FileHere::No), false), "told until it is looked for");
        assert!(glances.begin());
        assert!(!glances.ended([(file, first, FileHere::No)]), "no news");
        assert!(glances.ended([(file, first, FileHere::Yes)]));
    }
}
