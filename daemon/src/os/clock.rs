//! The one place that reads the clocks.
//!
//! Decides what "now" is: the system's UTC clock, because certificates and signed requests carry it
//! to others. A clock before 1970 reads as 0; the server then says that it is wrong. And what a
//! duration is measured by: a clock that nobody sets, and that goes on while the machine sleeps.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parsec_protocol::ids::Timestamp;

/// Microseconds since 1970-01-01 UTC.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// A moment as a person reads it: UTC, to the second.
#[must_use]
pub fn moment(time: Timestamp) -> String {
    let seconds = time.0 / Timestamp::SECOND;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Civil date from days since 1970-01-01, in years that begin in March (so that leap days come
    // last).
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest % 3_600 / 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Since the machine started, its sleep included. Setting the clock changes nothing.
#[must_use]
pub fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// A ceremony's time: by the world's clock where it begins, and from then on by the one that nobody
/// sets. A clock that is set in its middle neither ends it nor makes it last.
#[derive(Debug, Clone, Copy)]
pub struct Steady {
    began: Timestamp,
    boot: Duration,
}

impl Steady {
    /// A time that begins now, by both clocks.
    #[must_use]
    pub fn start() -> Self {
        Self { began: now(), boot: since_boot() }
    }

    /// The present moment, in microseconds since 1970.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.at(since_boot())
    }

    /// How long it is until `moment`; nothing if it is past.
    #[must_use]
    pub fn until(&self, moment: Timestamp) -> Duration {
        Duration::from_micros(moment.0.saturating_sub(self.now().0))
    }

    fn at(&self, boot: Duration) -> Timestamp {
        let since = boot.saturating_sub(self.boot).as_micros();
        Timestamp(self.began.0.saturating_add(u64::try_from(since).unwrap_or(u64::MAX)))
    }
}

/// How long it is until `moment`; nothing if it is past.
#[must_use]
pub fn until(moment: Timestamp) -> Duration {
    Duration::from_micros(moment.0.saturating_sub(now().0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ceremony_goes_by_the_clock_that_nobody_sets() {
        // The world's clock was a day ahead when it began, and is set right in its middle.
        let began = Timestamp(now().0 + 86_400 * Timestamp::SECOND);
        let steady = Steady { began, boot: Duration::from_secs(100) };
        assert_eq!(steady.at(Duration::from_secs(700)), began.plus_seconds(600));
        assert_eq!(steady.at(Duration::from_secs(99)), began, "it never goes back");
        let steady = Steady { began, boot: since_boot() };
        let left = steady.until(began.plus_seconds(600));
        assert!(left <= Duration::from_secs(600) && left > Duration::from_secs(60), "{left:?}");
    }
}
