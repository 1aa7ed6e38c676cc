//! How long somebody who guesses passwords has to wait.
//!
//! Decides the delay after wrong passwords in a row, for each device. Kept while the daemon runs: scrypt's second for
//! each guess is the protection that lasts; this one keeps a program from spending this machine's time and memory on it.

use std::collections::BTreeMap;
use std::time::Duration;

use parsec_protocol::ids::DeviceId;
use tokio::time::Instant;

/// Wrong passwords in a row that cost nothing: capital letters, the other keyboard, the password of yesterday.
const FREE: u32 = 3;
/// The first delay. It doubles with each further wrong password.
const DELAY_MIN: Duration = Duration::from_secs(1);
/// The longest delay: 1,440 guesses a day, and no more than a minute lost for the person who remembers at last.
const DELAY_MAX: Duration = Duration::from_secs(60);

/// What is known of one device.
#[derive(Debug)]
struct Row {
    wrong: u32,
    /// Before this, no password is tried.
    until: Instant,
}

/// The wrong passwords of this run.
#[derive(Debug, Default)]
pub struct Guesses {
    rows: BTreeMap<DeviceId, Row>,
}

impl Guesses {
    /// How long to wait before a password of this device is tried; nothing if it may be tried now.
    #[must_use]
    pub fn wait(&self, device: DeviceId, now: Instant) -> Option<Duration> {
        let left = self.rows.get(&device)?.until.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// A password was wrong.
    pub fn wrong(&mut self, device: DeviceId, now: Instant) {
        let row = self.rows.entry(device).or_insert(Row { wrong: 0, until: now });
        row.wrong = row.wrong.saturating_add(1);
        if let Some(doublings) = row.wrong.checked_sub(FREE) {
            let delay = 2_u32.checked_pow(doublings).map_or(DELAY_MAX, |factor| DELAY_MIN * factor);
            row.until = now + delay.min(DELAY_MAX);
        }
    }

    /// A password was right, or the device is gone.
    pub fn clear(&mut self, device: DeviceId) {
        self.rows.remove(&device);
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
}
