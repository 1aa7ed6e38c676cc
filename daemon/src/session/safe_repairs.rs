//! When a device gives a server back what it lacks of a safe, and what is still to be done about
//! it.
//!
//! Decides how often that is tried: a server that pretends to have lost something gets the same
//! bytes again, and no more often than this. Refuses nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use parsec_protocol::ids::ObjectId;
use tokio::time::Instant;

/// Tries that need not wait: a restore is one loss, and the organisation's log may have to be
/// repaired in between.
const AT_ONCE: u32 = 3;
/// The first pause behind these; each next one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_secs(30);
/// The longest: a server that goes on lacking it costs a device's line no more than that.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// The tries for one safe since the device was unlocked.
#[derive(Debug, Default)]
pub struct Repairs {
    tries: u32,
    /// When the next may be.
    next: Option<Instant>,
    /// When to look again, where something is still missing.
    again: Option<Instant>,
    /// Whether an alarm says that something is missing which may come back.
    pub open: bool,
    /// Whether boxes beside the rings may be missing, too.
    pub boxes: bool,
    /// Whether objects may be.
    pub objects: bool,
    /// Objects that were given back since: a server that asks for them again gets them no more.
    pub returned: BTreeSet<ObjectId>,
}

impl Repairs {
    /// Whether it may be tried now; then that is noted.
    pub fn begin(&mut self, now: Instant) -> bool {
        if self.next.is_some_and(|next| now < next) {
            return false;
        }
        self.tries = self.tries.saturating_add(1);
        let doubled = 1_u32.checked_shl(self.tries.saturating_sub(AT_ONCE)).unwrap_or(u32::MAX);
        let pause = PAUSE_FIRST.saturating_mul(doubled).min(PAUSE_MAX);
        self.again = now.checked_add(pause);
        self.next = self.again.filter(|_| self.tries >= AT_ONCE);
        self.returned.clear();
        true
    }

    /// All is there again.
    pub const fn end(&mut self) {
        self.again = None;
    }

    /// A person wants it tried now, and everything looked at.
    pub fn by_word(&mut self) {
        *self = Self { open: self.open, boxes: true, objects: true, ..Self::default() };
    }

    /// When to look again.
    #[must_use]
    pub const fn again(&self) -> Option<Instant> {
        self.again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_goes_on_lacking_it_is_given_it_less_and_less_often() {
        let mut repairs = Repairs::default();
        let mut now = Instant::now();
        for _ in 0..AT_ONCE {
            assert!(repairs.begin(now));
        }
        assert!(!repairs.begin(now));
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let next = repairs.again().unwrap();
            pauses.push((next - now).as_secs());
            assert!(!repairs.begin(next - Duration::from_secs(1)));
            now = next;
            assert!(repairs.begin(now));
        }
        assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
        // What has come back may be lost again.
        repairs.end();
        assert_eq!(repairs.again(), None);
        assert!(!repairs.begin(now));
        repairs.by_word();
        assert!(repairs.begin(now) && repairs.boxes && repairs.objects);
    }
}
