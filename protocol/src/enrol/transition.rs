//! What one input does to a machine, and when a machine has waited too long.
//!
//! Decides for both machines alike: a refused input leaves the state as it was, a failure leaves no
//! state, and the deadline is measured from the last progress. Refuses to let a machine wait
//! without end for a message of the ceremony.

use super::io::{Closed, Refused};
use crate::ids::Timestamp;
use crate::limits::MESSAGE_WAIT_SECONDS;

/// The outcome of one input on a state of kind `S`, which was consumed.
pub(super) enum Transition<S, O> {
    /// Progress: the next state, and what to do.
    Next(S, Vec<O>),
    /// The input was of no use; the state is handed back untouched.
    Reject(S, Refused),
    /// Nothing new in the input; the state is handed back untouched.
    Ignore(S),
    /// Over.
    Close(Closed),
}

impl<S, O> From<Result<(S, Vec<O>), Closed>> for Transition<S, O> {
    fn from(result: Result<(S, Vec<O>), Closed>) -> Self {
        match result {
            Ok((state, outputs)) => Self::Next(state, outputs),
            Err(closed) => Self::Close(closed),
        }
    }
}

/// Until when a machine goes on waiting.
#[derive(Debug, Clone, Copy)]
pub(super) enum Deadline {
    /// The moment at which the machine gives up.
    At(Timestamp),
    /// None: what is awaited may take days, and nothing depends on its being soon.
    Never,
}

impl Deadline {
    /// Measured from a moment of progress.
    pub(super) const fn from(now: Timestamp) -> Self {
        Self::At(now.plus_seconds(MESSAGE_WAIT_SECONDS))
    }

    /// Whether it has passed. Asked before every input, so that a driver whose timer comes late (a
    /// laptop that slept) does not keep an old ceremony alive.
    pub(super) fn has_passed(self, now: Timestamp) -> bool {
        match self {
            Self::At(moment) => now >= moment,
            Self::Never => false,
        }
    }

    /// When to be called again.
    pub(super) const fn wake_at(self) -> Option<Timestamp> {
        match self {
            Self::At(moment) => Some(moment),
            Self::Never => None,
        }
    }
}
