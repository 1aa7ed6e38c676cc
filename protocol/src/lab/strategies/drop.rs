//! Messages that never arrive.
//!
//! Decides which. Refuses to say so to anybody: the sides find out by waiting.

use super::Adversary;
use crate::lab::seeded_rng::SeededRng;
use crate::lab::simulation::Simulation;
use crate::lab::transcript::{Side, Who};

/// From one step on, or that one alone.
pub(super) fn drop_from(rng: &mut SeededRng) -> Drops {
    Drops { step: rng.below(9), only: rng.below(2) == 0 }
}

/// The hole in the transport.
pub(super) struct Drops {
    step: u64,
    only: bool,
}

impl Adversary for Drops {
    fn carry(&mut self, simulation: &mut Simulation<'_>, from: Side, step: u8, bytes: Vec<u8>) {
        let at = u64::from(step);
        if at == self.step || (!self.only && at > self.step) {
            simulation.note(Who::Adversary, &format!("loses message {step}"));
        } else {
            simulation.pass_on(from, step, bytes);
        }
    }
}
