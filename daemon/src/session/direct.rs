//! Other devices of the safes that this one meets directly, for whoever wants something of them.
//!
//! Decides what is remembered of them: who is there now, and how much came from whom since the
//! device was unlocked. Says nothing about who is believed: what comes was compared with its hash
//! by who fetched it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parsec_protocol::ids::{DeviceId, ObjectId, SafeId, Timestamp};
use parsec_protocol::object_hash::ObjectHash;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Session;
use crate::os::clock;

/// Objects of which one device is asked in one go.
const ASKED_MAX: usize = 64;
/// How long one answer may take before another device is asked: one of the largest size over a slow
/// wireless network.
const ANSWER_WAIT: Duration = Duration::from_secs(15);
/// How long all of them may take: who is slow must not keep a person from the server.
const FETCH_WAIT: Duration = Duration::from_secs(30);

/// Histories for which one device's word may raise an alarm until this one is locked: as many as a
/// person will look at. A member can make up what it has seen, anew with each word.
const ALARMED_MAX: usize = 8;

/// Sealed objects that came, each with its id; they have the hashes that were asked for.
pub(crate) type Objects = Vec<(ObjectId, Vec<u8>)>;

/// Somebody wants objects of a safe.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// The safe that they are of.
    pub(crate) safe: SafeId,
    /// Each with the hash that it must have.
    pub(crate) objects: Vec<(ObjectId, ObjectHash)>,
    /// Where those go that came, and are right.
    pub(crate) answer: oneshot::Sender<Objects>,
}

/// A device that is there now.
#[derive(Debug)]
struct There {
    device: DeviceId,
    safes: BTreeSet<SafeId>,
    wanted: mpsc::Sender<Wanted>,
}

/// What came from one device for one safe, since this one was unlocked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Came {
    /// Bytes of sealed contents.
    pub(crate) bytes: u64,
    /// When something came last; absent where nothing did.
    pub(crate) last: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    there: BTreeMap<u64, There>,
    came: BTreeMap<(SafeId, DeviceId), Came>,
    /// Safes for which an alarm was raised at a device's word; none for the organisation's log.
    alarmed: BTreeMap<DeviceId, BTreeSet<Option<SafeId>>>,
}

/// The devices that are met directly.
#[derive(Debug, Default)]
pub(crate) struct Direct {
    state: Arc<Mutex<State>>,
    /// Held by the one task that looks for them.
    pub(crate) running: tokio::sync::Mutex<()>,
}

/// A device is there until this is dropped.
#[derive(Debug)]
pub(crate) struct Joined {
    state: Arc<Mutex<State>>,
    number: u64,
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Every change is one step.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Joined {
    fn drop(&mut self) {
        locked(&self.state).there.remove(&self.number);
    }
}

impl Direct {
    /// A device is there, for these safes.
    pub(crate) fn join(
        &self,
        device: DeviceId,
        safes: BTreeSet<SafeId>,
        wanted: mpsc::Sender<Wanted>,
    ) -> Joined {
        let mut state = locked(&self.state);
        let number = state.next;
        state.next = state.next.wrapping_add(1);
        state.there.insert(number, There { device, safes, wanted });
        Joined { state: Arc::clone(&self.state), number }
    }

    /// Contents came from a device.
    pub(crate) fn came(&self, safe: SafeId, device: DeviceId, bytes: u64) {
        let mut state = locked(&self.state);
        let came = state.came.entry((safe, device)).or_default();
        came.bytes = came.bytes.saturating_add(bytes);
        came.last = Some(clock::now());
    }

    /// Whether a device's word for another history, of a safe or else of the organisation's log,
    /// may be an alarm: one for each, and not of more than [`ALARMED_MAX`].
    pub(crate) fn may_alarm(&self, device: DeviceId, about: Option<SafeId>) -> bool {
        let mut state = locked(&self.state);
        let alarmed = state.alarmed.entry(device).or_default();
        alarmed.len() < ALARMED_MAX && alarmed.insert(about)
    }

    /// Devices that are there for a safe, or from which something came: whether they are there.
    pub(crate) fn of(&self, safe: SafeId) -> BTreeMap<DeviceId, (bool, Came)> {
        let state = locked(&self.state);
        let came = state.came.iter().filter(|((of, _), _)| *of == safe);
        let mut all: BTreeMap<_, _> = came.map(|((_, device), came)| (*device, (false, *came))).collect();
        for there in state.there.values().filter(|there| there.safes.contains(&safe)) {
            all.entry(there.device).or_default().0 = true;
        }
        all
    }

    /// Whether somebody is there to be asked about a safe.
    pub(crate) fn has(&self, safe: SafeId) -> bool {
        locked(&self.state).there.values().any(|there| there.safes.contains(&safe))
    }

    /// Those of some objects that devices which are there have: of at most `most` bytes, and what
    /// the last answer brought beyond; as long as `go_on` says so.
    pub(crate) async fn fetch(
        &self,
        safe: SafeId,
        wanted: &[(ObjectId, ObjectHash)],
        most: usize,
        go_on: impl Fn() -> bool + Send,
    ) -> Objects {
        let asked: Vec<_> = {
            let state = locked(&self.state);
            let there = state.there.values().filter(|there| there.safes.contains(&safe));
            there.map(|there| there.wanted.clone()).collect()
        };
        let (mut missing, mut found) = (wanted.to_vec(), Objects::new());
        let deadline = Instant::now() + FETCH_WAIT;
        for device in asked {
            // As long as it has some.
            while !missing.is_empty() && found.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() < most {
                if !go_on() || Instant::now() >= deadline {
                    return found;
                }
                let objects = missing.iter().copied().take(ASKED_MAX).collect();
                let (answer, came) = oneshot::channel();
                let asked = async {
                    device.send(Wanted { safe, objects, answer }).await.ok()?;
                    came.await.ok()
                };
                let until = deadline.min(Instant::now() + ANSWER_WAIT);
                let Ok(Some(came)) = tokio::time::timeout_at(until, asked).await else { break };
                if came.is_empty() {
                    break;
                }
                let ids: BTreeSet<_> = came.iter().map(|(object, _)| *object).collect();
                missing.retain(|(object, _)| !ids.contains(object));
                found.extend(came);
            }
        }
        found
    }
}

impl Session {
    /// Whether the server did not answer when it was asked last.
    pub(crate) fn server_is_away(&self) -> bool {
        let server = (self.open.summary.organisation.clone(), self.member.server().address());
        self.net.reach([server]).iter().any(|reach| reach.reachable == Some(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_devices_words_raise_few_alarms_and_hide_nobody_elses() {
        let direct = Direct::default();
        let (liar, other) = (DeviceId::from_bytes([1; 16]), DeviceId::from_bytes([2; 16]));
        let safe = |number| Some(SafeId::from_bytes([number; 16]));
        assert!(direct.may_alarm(liar, None));
        let raised = (0..100).filter(|number| direct.may_alarm(liar, safe(*number))).count();
        assert_eq!(raised, ALARMED_MAX - 1);
        assert!(direct.may_alarm(other, safe(0)));
        assert!(!direct.may_alarm(other, safe(0)), "once for each");
        assert!(direct.may_alarm(other, safe(1)) && direct.may_alarm(other, None));
    }
}
