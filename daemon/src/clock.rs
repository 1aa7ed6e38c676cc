//! The one place that reads the clock.
//!
//! Decides what "now" is: the system's UTC clock, because certificates and signed requests carry it to others. A
//! clock before 1970 reads as 0; the server then says that it is wrong.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parsec_protocol::ids::Timestamp;

/// Microseconds since 1970-01-01 UTC.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// How long it is until `moment`; nothing if it is past.
#[must_use]
pub fn until(moment: Timestamp) -> Duration {
    Duration::from_micros(moment.0.saturating_sub(now().0))
}
