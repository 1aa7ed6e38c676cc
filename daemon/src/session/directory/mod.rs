//! The organisation's directory keys: which of them are here, and what a device does about them by
//! itself.
//!
//! Decides that a key is that of its number if it passes the check that the verified log names,
//! whoever gave it; that the present one is missed where it is not here, and of earlier ones those
//! that some name carries; and that what is not to be had is asked for less and less often, unless
//! something may have changed. `getting` opens what others made, `making` makes the next one,
//! `giving` hands it to members whose ring has no right box for them. A wrong ring, box or past is
//! an alarm that names its author.

mod getting;
mod giving;
mod making;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use parsec_protocol::chain::organisation::certificate::{Author, Profile};
use parsec_protocol::chain::organisation::log::{DirectoryKeyRecord, VerifiedLog};
use parsec_protocol::chain::organisation::members::sealed_with;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::directory::is_named;
use parsec_protocol::directory_ring::{DirectoryRing, Expected};
use parsec_protocol::ids::UserId;
use parsec_protocol::name_keys::{NameKeys as _, NumberedKey};
use parsec_protocol::relay::ErrorCode;
use parsec_protocol::safe_log::ring::Recipient;
use parsec_protocol::sealing::KeyHash;
use tokio::time::Instant;

use super::Session;
use super::names::Names;
use crate::os::blocking_in;
use crate::store::{OwnDirectoryChange, Store};
use crate::transport::TransportError;
use crate::transport::retry::answered;

/// How long a device waits before it asks again for a key that was not to be had; each time twice
/// as long.
const PAUSE_FIRST: Duration = Duration::from_secs(10);
/// The longest of these pauses: what may bring the key tells the device so.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// What is remembered while the device is unlocked.
#[derive(Debug, Default)]
pub(super) struct DirectoryWork {
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
    /// Members who were seen to have a right box, by the number of the key.
    boxed: Mutex<BTreeSet<(u32, UserId, KeyHash)>>,
    /// Numbers of own keys whose ring was seen at the server.
    there: Mutex<BTreeSet<u32>>,
    asked: Mutex<Asked>,
}

/// When keys that are missing were asked for last, and how often in vain.
#[derive(Debug, Default)]
struct Asked {
    /// How long the log was, and how many keys were here.
    by: (u64, usize),
    failures: u32,
    again: Option<Instant>,
    /// Numbers that were asked for since all that are missing were: what one request has no room
    /// for comes with the next.
    tried: BTreeSet<u32>,
}

/// A change of the key that this device made and the log names.
#[derive(Debug)]
struct Adopted {
    record: DirectoryKeyRecord,
    change: OwnDirectoryChange,
    /// Whether its key was not in use before.
    new: bool,
}

impl Asked {
    /// How long nothing is asked; none where something may have changed, or the pause is over.
    fn rest(&self, by: (u64, usize), now: Instant) -> Option<Duration> {
        let again = self.again.filter(|_| self.by == by)?;
        again.checked_duration_since(now).filter(|rest| !rest.is_zero())
    }

    /// It was asked in vain: how long to wait now.
    fn in_vain(&mut self, by: (u64, usize), now: Instant) -> Duration {
        let pause =
            PAUSE_FIRST.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(PAUSE_MAX);
        *self = Self {
            by,
            failures: self.failures.saturating_add(1),
            again: Some(now + pause),
            tried: std::mem::take(&mut self.tried),
        };
        pause
    }
}

/// For whom a key is that stands behind the first `n` certificates.
fn list(log: &VerifiedLog, n: u64) -> Vec<Recipient> {
    log.directory_list(n).into_iter().map(|(user, key)| Recipient { user, key }).collect()
}

impl Session {
    /// Takes in those of the keys that are the log's and not here yet. Whether there were any.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn take_directory_keys(
        &self,
        log: &VerifiedLog,
        keys: Vec<NumberedKey>,
    ) -> Result<bool, Problem> {
        let held = self.open.directory();
        let new: Vec<_> = keys
            .into_iter()
            .filter(|given| held.opening(given.number).is_none() && is_named(log, given.number, &given.key))
            .collect();
        if new.is_empty() {
            return Ok(false);
        }
        let open = Arc::clone(&self.open);
        blocking_in(&self.tasks, move || open.add_directory_keys(new)).await
    }

    /// Gets the keys that the log names and that are not here, gives the server back what it lost,
    /// posts boxes for members who lack one, and has members' public keys ready where the next key
    /// is due. How long to wait before asking again for a key that is missing, if one is.
    ///
    /// # Errors
    /// The server's; the store's.
    pub(super) async fn keep_directory(&self, log: &Arc<VerifiedLog>) -> Result<Option<Duration>, Problem> {
        if log.is_directory_key_due()
            && self.is_administrator(log)
            && let Err(problem) = self.list_with_keys(log).await
        {
            tracing::info!(%problem, "members' public keys can't be fetched ahead");
        }
        let Some(record) = log.directory_keys().last().copied() else { return Ok(None) };
        let own = self.adopt_own(log).await?;
        let pause = self.get_directory_keys(log).await?;
        if self.open.directory().opening(record.number).is_none() {
            return Ok(pause);
        }
        if let Some(own) = &own
            && let Err(problem) = self.put_ring_back(&own.record, &own.change).await
        {
            // Boxes beside the ring do as well.
            let number = own.record.number;
            tracing::warn!(number, %problem, "the ring of a key for names could not be given back");
        }
        let own = own.filter(|own| own.record.number == record.number).map(|own| own.change);
        self.give_directory_boxes(log, &record, own).await?;
        Ok(pause)
    }

    /// The same for whoever says that the server may have lost something: everything is looked at
    /// again.
    ///
    /// # Errors
    /// As `keep_directory`.
    pub async fn put_directory_back(&self, log: &Arc<VerifiedLog>) -> Result<(), Problem> {
        self.directory_may_be_lost();
        self.directory_may_be_there();
        self.keep_directory(log).await.map(drop)
    }

    /// The server has lost something: what was seen there of rings and boxes is looked at again.
    pub(super) fn directory_may_be_lost(&self) {
        let work = &self.directory_work;
        work.there.lock().unwrap_or_else(PoisonError::into_inner).clear();
        work.boxed.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whether the present key of the log, or one that a name carries, is not here.
    pub fn lacks_directory_key(&self) -> bool {
        !self.has_all(&self.log())
    }

    /// What is missing is asked for at once, whenever that is done next.
    pub fn directory_may_be_there(&self) {
        self.asked().again = None;
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, Asked> {
        self.directory_work.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_all(&self, log: &VerifiedLog) -> bool {
        self.missing(log).is_empty()
    }

    /// The present key, and those that some name of the log carries, as far as they are not here;
    /// the newest first. A key that nobody has and nothing is sealed with is nothing to ask for.
    fn missing(&self, log: &VerifiedLog) -> Vec<DirectoryKeyRecord> {
        let held = self.open.directory();
        let not_here = |record: &&DirectoryKeyRecord| held.opening(record.number).is_none();
        let mut missing: Vec<_> = log.directory_keys().iter().rev().filter(not_here).copied().collect();
        if missing.is_empty() {
            return missing;
        }
        let users = log.users().filter_map(|user| sealed_with(&user.sealed_name));
        let devices = log.devices().filter_map(|device| sealed_with(&device.sealed_label));
        let carried: BTreeSet<u32> = users.chain(devices).collect();
        let present = log.directory_keys().last().map(|record| record.number);
        missing.retain(|record| Some(record.number) == present || carried.contains(&record.number));
        missing
    }

    /// Which key to ask for next, of those that are missing and not in `asked`: one that was not
    /// tried lately, so that keys which nobody has keep none back that is to be had.
    fn next_missing(&self, log: &VerifiedLog, asked: &BTreeSet<u32>) -> Option<DirectoryKeyRecord> {
        let mut missing = self.missing(log);
        missing.retain(|record| !asked.contains(&record.number));
        let mut work = self.asked();
        if missing.iter().all(|record| work.tried.contains(&record.number)) {
            work.tried.clear();
        }
        let next = missing.into_iter().find(|record| !work.tried.contains(&record.number))?;
        work.tried.insert(next.number);
        Some(next)
    }

    /// Gets what is missing, unless that was tried in vain a short while ago.
    async fn get_directory_keys(&self, log: &Arc<VerifiedLog>) -> Result<Option<Duration>, Problem> {
        if self.has_all(log) {
            *self.asked() = Asked::default();
            return Ok(None);
        }
        let known = || (log.count(), self.open.directory().numbers().count());
        if let Some(rest) = self.asked().rest(known(), Instant::now()) {
            return Ok(Some(rest));
        }
        let fetched = self.fetch_directory(log).await;
        if fetched.is_ok() && self.has_all(log) {
            *self.asked() = Asked::default();
            return Ok(None);
        }
        // Also where the server failed: one that fails each time is not to be asked each time.
        let first = self.asked().failures == 0;
        let pause = self.asked().in_vain(known(), Instant::now());
        if let Err(problem) = self.present_directory_key(log) {
            tracing::warn!(name = problem.name.name(), %problem, ?pause, "a key for names is not here");
        }
        if first {
            // From now on the log is followed.
            self.tell_news();
        }
        fetched.map(|()| Some(pause))
    }

    /// Refuses where the present key is not here.
    fn present_directory_key(&self, log: &VerifiedLog) -> Result<(), Problem> {
        let Some(record) = log.directory_keys().last() else { return Ok(()) };
        if self.open.directory().opening(record.number).is_some() {
            return Ok(());
        }
        let who = self.in_words(log, record);
        let text = format!("The key for names that {who} made (number {}) is not here yet.", record.number);
        Err(Problem::new(ProblemKind::DirectoryKeyMissing, text))
    }

    fn in_words(&self, log: &VerifiedLog, record: &DirectoryKeyRecord) -> String {
        Names::new(self.open.directory(), log).author_in_words(record.author)
    }

    async fn wrong(&self, log: &VerifiedLog, record: &DirectoryKeyRecord, what: &str) {
        let who = self.in_words(log, record);
        let text =
            format!("{what} of the key for names (number {}) that {who} made is wrong.", record.number);
        self.alarm(&Problem::new(ProblemKind::DirectoryUntrusted, text)).await;
    }

    /// The newest change that this device made, if the log names it, also where others followed;
    /// its key is used from now on.
    async fn adopt_own(&self, log: &Arc<VerifiedLog>) -> Result<Option<Adopted>, Problem> {
        let me = Author::Device(self.open.summary.device);
        if log.directory_keys().iter().all(|record| record.author != me) {
            return Ok(None);
        }
        let Some(change) = self.store(Store::directory_change).await? else { return Ok(None) };
        let record = log.directory_keys().iter().find(|record| record.number == change.number).copied();
        let record = record.filter(|record| record.author == me && is_named(log, record.number, &change.key));
        let Some(record) = record else { return Ok(None) };
        let new = self.take_directory_keys(log, vec![change.numbered()]).await?;
        Ok(Some(Adopted { record, change, new }))
    }

    /// The head of a key's ring, with those for whom its boxes are; none where the server has none,
    /// or the author made a wrong one.
    async fn ring_of(
        &self,
        log: &VerifiedLog,
        record: &DirectoryKeyRecord,
    ) -> Result<Option<(DirectoryRing, Vec<Recipient>)>, Problem> {
        let bytes = match answered(|| self.member.directory_ring(&record.ring)).await {
            Ok(bytes) => bytes,
            Err(error) if error.code() == Some(ErrorCode::RingMissing) => return Ok(None),
            Err(TransportError::Misbehaved(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Author::Device(author) = record.author else { return Ok(None) };
        let list = list(log, record.position);
        let (organisation, number, ring) = (log.organisation(), record.number, record.ring);
        let expected = Expected { organisation, number, author, ring, list: &list };
        match DirectoryRing::decode(&bytes).ok().filter(|head| head.fits(&expected).is_ok()) {
            Some(head) => Ok(Some((head, list))),
            None => {
                self.wrong(log, record, "The ring").await;
                Ok(None)
            }
        }
    }

    /// Whether this user is an administrator now.
    pub(super) fn is_administrator(&self, log: &VerifiedLog) -> bool {
        let own = log.user(&self.open.summary.user);
        own.is_some_and(|user| user.profile == Profile::Administrator && user.revoked.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_not_to_be_had_is_asked_for_less_and_less_often() {
        let (now, mut asked) = (Instant::now(), Asked::default());
        let by = (7, 1);
        assert_eq!(asked.rest(by, now), None, "nothing was asked yet");
        let pauses: Vec<_> = (0..20).map(|_| asked.in_vain(by, now)).collect();
        assert_eq!(pauses[..3], [PAUSE_FIRST, PAUSE_FIRST * 2, PAUSE_FIRST * 4]);
        assert_eq!(pauses[19], PAUSE_MAX);
        assert_eq!(asked.rest(by, now), Some(PAUSE_MAX));
        assert_eq!(asked.rest(by, now + PAUSE_MAX), None, "the pause is over");
        assert_eq!(asked.rest((8, 1), now), None, "the log has grown");
        assert_eq!(asked.rest((7, 2), now), None, "another key came");
        asked.tried.insert(5);
        let _ = asked.in_vain(by, now);
        assert!(asked.tried.contains(&5), "what was tried is remembered across requests");
    }
}
