//! The step that an event stream told last, until it is fetched.
//!
//! Decides nothing of it: what was told is the answer that a fetch would have brought, and is
//! judged as one. Keeps one, the newest: whoever misses it asks.

use std::sync::{Mutex, PoisonError};

use parsec_protocol::ids::AttemptId;
use parsec_protocol::relay::StepTold;

/// Room for one step, of at most a line of the stream.
#[derive(Debug, Default)]
pub(super) struct ToldStep(Mutex<Option<StepTold>>);

impl ToldStep {
    pub(super) fn keep(&self, told: StepTold) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
    }

    /// This step of this attempt, if it is the one that was told.
    pub(super) fn take(&self, attempt: AttemptId, step: u8) -> Option<Vec<u8>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = held.take_if(|told| told.attempt == attempt && told.step == step);
        told.map(|told| told.bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use parsec_protocol::ids::Token;

    use super::*;

    /// A step of another attempt, or of another number, is not taken for the one that is asked for.
    #[test]
    fn what_was_told_is_given_once_and_for_its_own_step_alone() {
        let (told, [mine, other]) = (ToldStep::default(), [1, 2].map(|n| AttemptId::from_bytes([n; 16])));
        assert_eq!(told.take(mine, 2), None);
        for step in [0, 2] {
            let (token, bytes) = (Token::from_bytes([7; 16]), vec![step; 48].into());
            told.keep(StepTold { token, attempt: mine, step, bytes });
        }
        assert_eq!((told.take(mine, 0), told.take(other, 2)), (None, None));
        assert_eq!((told.take(mine, 2), told.take(mine, 2)), (Some(vec![2; 48]), None));
    }
}
