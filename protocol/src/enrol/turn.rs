//! What one input does to a machine, and when a machine has waited too long.
//!
//! Decides for both machines alike: a refused input leaves the state as it was, a failure leaves no
//! state, and patience is measured from the last progress. Refuses to let a machine wait without
//! end for a message of the ceremony.

use super::io::{Closed, Refused};
use crate::ids::Timestamp;
use crate::limits::MESSAGE_WAIT_SECONDS;

/// The outcome of one input on a state of kind `S`, which was consumed.
pub(super) enum Turn<S, O> {
    /// Progress: the next state, and what to do.
    Go(S, Vec<O>),
    /// The input was of no use; the state is handed back untouched.
    Refuse(S, Refused),
    /// Nothing new in the input; the state is handed back untouched.
    Pass(S),
    /// Over.
    Close(Closed),
}

impl<S, O> From<Result<(S, Vec<O>), Closed>> for Turn<S, O> {
    fn from(result: Result<(S, Vec<O>), Closed>) -> Self {
        match result {
            Ok((state, outputs)) => Self::Go(state, outputs),
            Err(closed) => Self::Close(closed),
        }
    }
}

/// How long a machine goes on waiting.
#[derive(Debug, Clone, Copy)]
pub(super) enum Patience {
    /// Until this moment.
    Until(Timestamp),
    /// For ever: what is awaited may take days, and nothing depends on its being soon.
    Endless,
}

impl Patience {
    /// Measured from a moment of progress.
    pub(super) const fn from(now: Timestamp) -> Self {
        Self::Until(now.plus_seconds(MESSAGE_WAIT_SECONDS))
    }

    /// Whether it is over. Asked before every input, so that a driver whose timer comes late (a
    /// laptop that slept) does not keep an old ceremony alive.
    pub(super) fn is_over(self, now: Timestamp) -> bool {
        match self {
            Self::Until(moment) => now >= moment,
            Self::Endless => false,
        }
    }

    /// When to be called again.
    pub(super) const fn wake_at(self) -> Option<Timestamp> {
        match self {
            Self::Until(moment) => Some(moment),
            Self::Endless => None,
        }
    }
}
