//! One bit.
//!
//! Decides which, in which message. Refuses to flip two.

use super::Adversary;
use crate::lab::seeded_rng::SeededRng;
use crate::lab::simulation::Simulation;
use crate::lab::transcript::Side;

/// Anywhere.
pub(super) fn flip(rng: &mut SeededRng) -> Flip {
    Flip { step: rng.below(9), rng: rng.clone() }
}

/// The cosmic ray.
pub(super) struct Flip {
    step: u64,
    rng: SeededRng,
}

impl Adversary for Flip {
    fn carry(&mut self, simulation: &mut Simulation<'_>, from: Side, step: u8, mut bytes: Vec<u8>) {
        if u64::from(step) != self.step {
            return simulation.pass_on(from, step, bytes);
        }
        let at = usize::try_from(self.rng.below(bytes.len() as u64)).unwrap_or(0);
        let bit = self.rng.below(8);
        bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << bit);
        simulation.slip(from.other(), step, bytes, "flips one bit of it");
    }
}
