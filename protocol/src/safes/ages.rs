//! How old a change is: by the times that owners and managers gave, and by nobody else's.
//!
//! Decides which records tell the time: at most one a day. A contributor who dates a record decades
//! back would otherwise have what they removed thrown away by the next honest prune. Refuses an age
//! to what no owner or manager has written behind.

use minicbor::{Decode, Encode};

use crate::ids::Timestamp;
use crate::safes::fold::Outer;

/// Seconds of a day.
const DAY_SECONDS: u64 = 86_400;
/// A day, as times are counted here.
const DAY: u64 = DAY_SECONDS * Timestamp::SECOND;

/// A record by whose time others are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
struct Mark {
    #[n(0)]
    seq: u64,
    #[n(1)]
    time: Timestamp,
}

/// The marks of a safe, ascending (docs/protocol.md, *Folding*).
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Marks(#[n(0)] Vec<Mark>);

impl Marks {
    /// Takes a record as a mark, if it is one.
    pub(super) fn note(&mut self, record: &Outer<'_>) {
        if record.role.manages() && self.is_due(record.time) {
            self.0.push(Mark { seq: record.seq, time: record.time });
        }
    }

    /// Whether a record by an owner or a manager at `now` would be a mark.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.0.last().is_none_or(|last| now >= last.time.plus_seconds(DAY_SECONDS))
    }

    /// Whole days that what happened in record `seq` is old at `now`; none where no owner or
    /// manager has written since.
    #[must_use]
    pub fn days_old(&self, seq: u64, now: Timestamp) -> Option<u64> {
        let at = self.0.partition_point(|mark| mark.seq < seq);
        let since = self.0.get(at)?.time;
        Some(now.0.saturating_sub(since.0) / DAY)
    }
}
