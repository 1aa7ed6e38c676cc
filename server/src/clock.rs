//! What time it is: the operating system's clock, or one that a test moves by hand.
//!
//! Decides nothing; every rule takes the time as an argument.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parsec_protocol::ids::Timestamp;

/// A clock. Copies show the same time.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The operating system's clock.
    #[default]
    System,
    /// Microseconds since 1970, moved by whoever holds it too.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// Now. Before 1970 it is 1970.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
            }
            Self::Manual(time) => Timestamp(time.load(Ordering::SeqCst)),
        }
    }
}
