//! How far the enrolments are that a device signed and that are not in its log yet.
//!
//! Decides what counts as waiting and what as set aside. Refuses to let one enrolment be followed
//! twice at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use parsec_protocol::control::Problem;
use parsec_protocol::ids::AttemptId;
use parsec_protocol::relay::EndReason;
use tokio::sync::watch;

/// How far a pending enrolment is.
#[derive(Debug, Clone)]
pub enum Progress {
    /// The newcomer's keys are not known to be durable.
    Waiting,
    /// The receipt is here; the server is being given certificates and receipt.
    Registering,
    /// The receipt is here and durable; the server can't be reached for now.
    Kept,
    /// The certificates are in the log.
    Published,
    /// Set aside: the attempt is said to have ended without the enrolment.
    Void(EndReason),
    /// Can't be finished; kept and tried again after the next unlocking.
    Failed(Problem),
}

impl Progress {
    /// Whether nothing more happens to the enrolment now.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        match self {
            Self::Waiting | Self::Registering | Self::Kept => false,
            Self::Published | Self::Void(_) | Self::Failed(_) => true,
        }
    }
}

/// The pending enrolments of one unlocked device, by attempt.
#[derive(Debug, Default)]
pub struct Pending(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    followed: BTreeMap<AttemptId, watch::Receiver<Progress>>,
    /// Stored, and not followed yet. They wait from the moment the device is unlocked: it must not
    /// be shown, or forgotten, as one that has nothing to finish.
    stored: BTreeSet<AttemptId>,
}

/// What following a pending enrolment begins with.
#[derive(Debug)]
pub enum Followed {
    /// A task follows it already; the progress is shared.
    Already(watch::Receiver<Progress>),
    /// The caller follows it, and tells its progress.
    Begun(watch::Sender<Progress>, watch::Receiver<Progress>),
}

impl Pending {
    /// Those that a store holds when its device is unlocked.
    pub fn stored(attempts: impl IntoIterator<Item = AttemptId>) -> Self {
        let stored = attempts.into_iter().collect();
        Self(Mutex::new(Inner { followed: BTreeMap::new(), stored }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is whole before anything could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows an enrolment, unless a task does so already.
    pub fn follow(&self, attempt: AttemptId) -> Followed {
        let mut pending = self.lock();
        pending.stored.remove(&attempt);
        if let Some(progress) = pending.followed.get(&attempt)
            && !progress.borrow().is_over()
        {
            return Followed::Already(progress.clone());
        }
        // Those that are over were only kept for their watchers; those set aside are counted.
        pending.followed.retain(|_, progress| {
            matches!(&*progress.borrow(), Progress::Void(_)) || !progress.borrow().is_over()
        });
        let (tell, progress) = watch::channel(Progress::Waiting);
        pending.followed.insert(attempt, progress.clone());
        Followed::Begun(tell, progress)
    }

    fn count(&self, fits: impl Fn(&Progress) -> bool) -> u32 {
        let count = self.lock().followed.values().filter(|progress| fits(&progress.borrow())).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Enrolments that the device has signed, and that are not in the log yet.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        let stored = u32::try_from(self.lock().stored.len()).unwrap_or(u32::MAX);
        self.count(|progress| !progress.is_over()).saturating_add(stored)
    }

    /// Enrolments that are set aside.
    #[must_use]
    pub fn set_aside(&self) -> u32 {
        self.count(|progress| matches!(progress, Progress::Void(_)))
    }

    /// Why an enrolment can't be finished, for the last one that can't.
    #[must_use]
    pub fn failed(&self) -> Option<Problem> {
        let pending = self.lock();
        pending
            .followed
            .values()
            .filter_map(|progress| match &*progress.borrow() {
                Progress::Failed(problem) => Some(problem.clone()),
                Progress::Waiting
                | Progress::Registering
                | Progress::Kept
                | Progress::Published
                | Progress::Void(_) => None,
            })
            .next_back()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_waits_until_it_is_followed_and_counts_once() {
        let [one, two] = [1, 2].map(|n| AttemptId::from_bytes([n; 16]));
        let pending = Pending::stored([one, two]);
        assert_eq!(pending.waiting(), 2);
        let Followed::Begun(tell, _) = pending.follow(one) else { unreachable!("nobody follows it") };
        assert_eq!(pending.waiting(), 2);
        tell.send_replace(Progress::Published);
        assert_eq!(pending.waiting(), 1);
        assert!(matches!(pending.follow(two), Followed::Begun(..)));
    }
}
