//! The one way to a password, and how long somebody who guesses has to wait.
//!
//! Decides that one password is tried at a time, whatever for, and the delay after wrong ones in a
//! row, for each device. Kept while the daemon runs: scrypt's second for each guess is the
//! protection that lasts; this one keeps a program from spending this machine's time and memory on
//! it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parsec_protocol::control::{Event, Problem, ProblemKind};
use parsec_protocol::ids::DeviceId;
use tokio::time::Instant;

use crate::events::Hub;
use crate::os::blocking;
use crate::recovery::Passwords;
use crate::store::{Collection, OpenDevice, StoreError};

/// Wrong passwords in a row that cost nothing: capital letters, the other keyboard, the password of
/// yesterday.
const FREE: u32 = 3;
/// The first delay. It doubles with each further wrong password.
const DELAY_MIN: Duration = Duration::from_secs(1);
/// The longest delay: 1,440 guesses a day, and no more than a minute lost for the person who
/// remembers at last.
const DELAY_MAX: Duration = Duration::from_secs(60);

/// The wrong passwords of one device.
#[derive(Debug)]
struct Failures {
    wrong: u32,
    /// Before this, no password is tried.
    until: Instant,
}

/// The wrong passwords of this run.
#[derive(Debug, Default)]
pub struct Guesses {
    devices: BTreeMap<DeviceId, Failures>,
}

impl Guesses {
    /// How long to wait before a password of this device is tried; nothing if it may be tried now.
    #[must_use]
    pub fn wait(&self, device: DeviceId, now: Instant) -> Option<Duration> {
        let left = self.devices.get(&device)?.until.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// A password was wrong.
    pub fn wrong(&mut self, device: DeviceId, now: Instant) {
        let failures = self.devices.entry(device).or_insert(Failures { wrong: 0, until: now });
        failures.wrong = failures.wrong.saturating_add(1);
        if let Some(doublings) = failures.wrong.checked_sub(FREE) {
            let delay = 2_u32.checked_pow(doublings).map_or(DELAY_MAX, |factor| DELAY_MIN * factor);
            failures.until = now + delay.min(DELAY_MAX);
        }
    }

    /// A password was right, or the device is gone.
    pub fn clear(&mut self, device: DeviceId) {
        self.devices.remove(&device);
    }
}

fn too_many(wait: Duration) -> Problem {
    let seconds = wait.as_millis().div_ceil(1_000);
    let text = format!("Too many wrong passwords: the next one is tried in {seconds} s.");
    Problem::new(ProblemKind::TooManyGuesses, text)
}

/// Where every password goes through that somebody gives for keys that are there: unlocking,
/// changing it, going on with a founding. A second way would be a way without the delay.
#[derive(Debug, Clone)]
pub struct Backoff {
    guesses: Arc<Mutex<Guesses>>,
    /// Whose password is tried; the others wait in the order they came.
    turn: Arc<tokio::sync::Mutex<()>>,
    hub: Hub,
}

impl Backoff {
    /// One for the daemon; `hub` hears of wrong passwords.
    #[must_use]
    pub fn new(hub: Hub) -> Self {
        Self { guesses: Arc::default(), turn: Arc::default(), hub }
    }

    /// Whether a password of this device may be tried now.
    ///
    /// # Errors
    /// `too_many_guesses`, with how long to wait.
    pub fn may_try(&self, device: DeviceId) -> Result<(), Problem> {
        self.guesses().wait(device, Instant::now()).map_or(Ok(()), |wait| Err(too_many(wait)))
    }

    /// Tries a password. `open` does the work and fails with [`StoreError::WrongPassword`] where it
    /// was wrong.
    ///
    /// # Errors
    /// `too_many_guesses`; what `open` says.
    pub async fn attempt<T: Send + 'static>(
        &self,
        device: DeviceId,
        open: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let _turn = self.turn.lock().await;
        // Only now: a hundred that were given at once are three guesses and 97 refusals.
        self.may_try(device)?;
        let guesses = Arc::clone(&self.guesses);
        // Counted where it is found out: whoever asked may be gone by then, and it was a guess all
        // the same.
        let tried = blocking(move || {
            let opened = open();
            let mut guesses = guesses.lock().unwrap_or_else(PoisonError::into_inner);
            match &opened {
                Ok(_) => guesses.clear(device),
                Err(StoreError::WrongPassword) => guesses.wrong(device, Instant::now()),
                Err(_) => {}
            }
            opened
        })
        .await;
        if tried.as_ref().is_err_and(|problem| problem.name == ProblemKind::WrongPassword) {
            // No more often than passwords are tried, so nobody can push other events out of the
            // ring by it.
            self.hub.publish(Event::UnlockRefused { device });
        }
        tried
    }

    /// Forgets what was guessed about a device that is gone.
    pub fn forget(&self, device: DeviceId) {
        self.guesses().clear(device);
    }

    fn guesses(&self) -> MutexGuard<'_, Guesses> {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Passwords for Backoff {
    async fn unlock(
        &self,
        device: DeviceId,
        work: impl FnOnce() -> Result<OpenDevice, StoreError> + Send + 'static,
    ) -> Result<OpenDevice, Problem> {
        self.attempt(device, work).await
    }

    async fn open(
        &self,
        kit: DeviceId,
        work: impl FnOnce() -> Result<Option<Collection>, StoreError> + Send + 'static,
    ) -> Result<Option<Collection>, Problem> {
        self.attempt(kit, work).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_delay_doubles_up_to_a_minute_and_ends_with_the_right_password() {
        let (one, other) = (DeviceId::from_bytes([1; 16]), DeviceId::from_bytes([2; 16]));
        let mut guesses = Guesses::default();
        let mut now = Instant::now();
        let mut delays = Vec::new();
        for _ in 0..50 {
            guesses.wrong(one, now);
            let wait = guesses.wait(one, now).unwrap_or_default();
            assert!(wait.is_zero() || guesses.wait(one, now + wait - Duration::from_nanos(1)).is_some());
            assert_eq!(guesses.wait(one, now + wait), None);
            delays.push(wait.as_secs());
            now += wait;
        }
        assert_eq!(delays.get(..10), Some(&[0, 0, 1, 2, 4, 8, 16, 32, 60, 60][..]));
        assert!(delays.iter().skip(8).all(|delay| *delay == 60));
        assert_eq!(guesses.wait(other, now), None);
        guesses.wrong(one, now);
        guesses.clear(one);
        assert_eq!(guesses.wait(one, now), None);
        guesses.wrong(one, now);
        guesses.wrong(one, now);
        assert_eq!(guesses.wait(one, now + SECOND), None);
    }

    #[tokio::test]
    async fn every_password_that_is_tried_counts_whatever_for() {
        let backoff = Backoff::new(Hub::new(Vec::new()).unwrap());
        let device = DeviceId::from_bytes([1; 16]);
        for _ in 0..FREE {
            let wrong = backoff.attempt(device, || Err::<(), _>(StoreError::WrongPassword)).await;
            assert_eq!(wrong.unwrap_err().name, ProblemKind::WrongPassword);
        }
        let late = backoff.attempt(device, || -> Result<(), StoreError> { panic!("it was tried") }).await;
        assert_eq!(late.unwrap_err().name, ProblemKind::TooManyGuesses);
        backoff.attempt(DeviceId::from_bytes([2; 16]), || Ok(())).await.unwrap();
        backoff.forget(device);
        backoff.attempt(device, || Ok(())).await.unwrap();
    }
}
