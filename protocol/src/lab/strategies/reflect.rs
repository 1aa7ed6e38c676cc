//! A side hears itself.
//!
//! Decides at which step, and under which number its own message comes back. Refuses to change a
//! byte.

use super::Adversary;
use crate::lab::seeded_rng::SeededRng;
use crate::lab::simulation::Simulation;
use crate::lab::transcript::Side;

/// Under its own number, or as the answer to itself.
pub(super) fn reflect(rng: &mut SeededRng) -> Reflect {
    Reflect { step: rng.below(8), as_answer: rng.below(2) == 0 }
}

/// The mirror.
pub(super) struct Reflect {
    step: u64,
    as_answer: bool,
}

impl Adversary for Reflect {
    fn carry(&mut self, simulation: &mut Simulation<'_>, from: Side, step: u8, bytes: Vec<u8>) {
        if u64::from(step) == self.step {
            let under = if self.as_answer { step.saturating_add(1) } else { step };
            simulation.slip(from, under, bytes, "gives a side its own message back");
        } else {
            simulation.pass_on(from, step, bytes);
        }
    }
}
