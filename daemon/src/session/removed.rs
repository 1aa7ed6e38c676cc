//! What a device has removed from a safe of late: entries that nobody sees any more because of
//! records of this device that were accepted.
//!
//! Decides how long such a removal counts, by the clock that nobody sets, which goes on while the
//! machine sleeps: setting the clock neither ends the time nor makes it last. After a restart of
//! the machine the time counts that has passed since at least. Refuses to forget one early.

use std::time::Duration;

use minicbor::{Decode, Encode};

/// How long a removal counts: as long as a program that goes wild is left alone with a safe.
pub const COUNTS_FOR: Duration = Duration::from_secs(10 * 60);

/// Removals within so many seconds are kept as one, of the latest moment among them: a bound for
/// what is kept, whatever a program does.
const STEP_SECONDS: u64 = 10;

/// Entries that were removed by a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
struct Removed {
    /// Seconds since the machine started; of an earlier start, perhaps.
    #[n(0)]
    by: u64,
    #[n(1)]
    entries: u64,
}

/// The removals that count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct RecentlyRemoved(#[n(0)] Vec<Removed>);

impl RecentlyRemoved {
    /// Entries that were removed in the time before `now`, a time since the machine started.
    #[must_use]
    pub fn entries(&self, now: Duration) -> u64 {
        let counted = self.0.iter().filter(|removed| removed.counts(now));
        counted.map(|removed| removed.entries).fold(0, u64::saturating_add)
    }

    /// Notes that entries were removed, and forgets what counts no more.
    pub fn add(&mut self, entries: u64, now: Duration) {
        self.0.retain(|removed| removed.counts(now));
        let by = now.as_secs().next_multiple_of(STEP_SECONDS);
        match self.0.last_mut() {
            Some(last) if last.by == by => last.entries = last.entries.saturating_add(entries),
            Some(_) | None => self.0.push(Removed { by, entries }),
        }
    }
}

impl Removed {
    /// Of an earlier start of the machine it is where it says more than has passed since the
    /// present one: then that much has passed at least.
    fn counts(self, now: Duration) -> bool {
        let now = now.as_secs();
        let by = if self.by > now.next_multiple_of(STEP_SECONDS) { 0 } else { self.by };
        now.saturating_sub(by) < COUNTS_FOR.as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parsec_protocol::codec;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_removal_counts_for_ten_minutes_and_no_less() {
        let mut removed = RecentlyRemoved::default();
        removed.add(7, at(1_000));
        removed.add(5, at(1_003));
        assert_eq!(removed.entries(at(1_003)), 12);
        assert_eq!(removed.entries(at(1_599)), 12);
        assert_eq!(removed.entries(at(1_603)), 5, "the first alone is over");
        assert_eq!(removed.entries(at(1_610)), 0);
        removed.add(1, at(1_700));
        assert_eq!(removed.0.len(), 1, "what is over is forgotten");
    }

    #[test]
    fn after_a_restart_of_the_machine_it_counts_from_there_at_least() {
        let mut removed = RecentlyRemoved::default();
        removed.add(9, at(500_000));
        assert_eq!(removed.entries(at(3)), 9);
        assert_eq!(removed.entries(at(599)), 9);
        assert_eq!(removed.entries(at(600)), 0);
        // A moment of an earlier start that the present one has passed is further back, not nearer.
        let mut removed = RecentlyRemoved::default();
        removed.add(9, at(100));
        assert_eq!(removed.entries(at(650)), 9);
        assert_eq!(removed.entries(at(701)), 0);
    }

    #[test]
    fn however_many_there_are_little_is_kept() {
        let mut removed = RecentlyRemoved::default();
        for second in 0..5_000 {
            removed.add(1, at(second));
        }
        assert!(removed.0.len() <= 62, "{}", removed.0.len());
        let kept: RecentlyRemoved = codec::decode(&codec::encode(&removed), 4_096).unwrap();
        assert_eq!(kept, removed);
    }
}
