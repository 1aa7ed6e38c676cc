//! Which safes of an unlocked device are mounted, and where: a list, and when each has ended.
//!
//! Decides how many there may be. What serves them is above this room.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{SafeId, Timestamp};
use tokio_util::sync::CancellationToken;

/// Mounts at once: each has three threads, and the memory of what is being written.
const MOUNTS_MAX: usize = 32;

/// A safe that is mounted.
#[derive(Debug)]
pub struct Mounted {
    /// Its number, by which programs name it; never another's until the device is locked.
    pub number: u64,
    /// Id of the safe.
    pub safe: SafeId,
    /// The folder, as whoever mounted it says.
    pub folder: String,
    /// Whether nothing may be written in it, whatever the user's role is.
    pub read_only: bool,
    /// As of when it is shown, where that is not now: number of the last record, and its date.
    pub as_of: Option<(u64, Timestamp)>,
    /// Since when it is mounted, by this machine's clock.
    pub since: Timestamp,
    /// Cancelled when it has ended, or the device is locked.
    pub ended: CancellationToken,
}

#[derive(Debug, Default)]
struct All {
    last: u64,
    mounted: BTreeMap<u64, Arc<Mounted>>,
}

/// All that are mounted.
#[derive(Debug, Default)]
pub struct Mounts(Mutex<All>);

impl Mounts {
    fn all_now(&self) -> MutexGuard<'_, All> {
        // Every change is one step, so a poisoned lock still guards a sound list.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.mounted.retain(|_, mounted| !mounted.ended.is_cancelled());
        all
    }

    /// Notes one that begins.
    ///
    /// # Errors
    /// `too_large`: there are as many as may be.
    pub fn begin(
        &self,
        safe: SafeId,
        (folder, read_only): (String, bool),
        as_of: Option<(u64, Timestamp)>,
        since: Timestamp,
        ended: CancellationToken,
    ) -> Result<Arc<Mounted>, Problem> {
        let mut all = self.all_now();
        if all.mounted.len() >= MOUNTS_MAX {
            let text = format!("{MOUNTS_MAX} safes can be mounted at once.");
            return Err(Problem::new(ProblemKind::TooLarge, text));
        }
        all.last += 1;
        let number = all.last;
        let mounted = Arc::new(Mounted { number, safe, folder, read_only, as_of, since, ended });
        all.mounted.insert(number, Arc::clone(&mounted));
        Ok(mounted)
    }

    /// One by its number.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<Arc<Mounted>> {
        self.all_now().mounted.get(&number).cloned()
    }

    /// All that are there now, in the order in which they began.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Mounted>> {
        self.all_now().mounted.values().cloned().collect()
    }
}
