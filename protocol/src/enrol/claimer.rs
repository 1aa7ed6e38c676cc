//! The machine of the one who joins.

use super::io::{ClaimerInput, ClaimerOutput, Refused, Setting};
use crate::ids::Timestamp;
use crate::keys::{Entropy, LinkSecret};

/// The claimer's side of one attempt.
#[derive(Debug)]
pub struct Claimer {}

impl Claimer {
    /// Begins: the first output is message 0.
    ///
    /// # Errors
    /// [`Refused::NoEntropy`].
    pub fn start(
        setting: Setting,
        link_secret: &LinkSecret,
        now: Timestamp,
        entropy: &mut dyn Entropy,
    ) -> Result<(Self, Vec<ClaimerOutput>), Refused> {
        todo!("{setting:?} {link_secret:?} {now:?} {:p}", entropy)
    }

    /// Takes what happened; returns what to do, in order.
    ///
    /// # Errors
    /// [`Refused`] changes nothing: the machine still awaits what it awaited. What closes the machine is an
    /// output, [`ClaimerOutput::Closed`].
    pub fn step(
        &mut self,
        input: ClaimerInput,
        now: Timestamp,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<ClaimerOutput>, Refused> {
        todo!("{input:?} {now:?} {:p}", entropy)
    }
}
