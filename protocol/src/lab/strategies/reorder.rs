//! Messages twice, late, and after one another in another order than they were sent.
//!
//! Decides by chance. Refuses to change a byte: what a bad network does by itself must fail no
//! ceremony that nobody meddles with.

use super::Adversary;
use crate::lab::seeded_rng::SeededRng;
use crate::lab::simulation::Simulation;
use crate::lab::transcript::Side;

/// A bad network.
pub(super) fn reorder(rng: &mut SeededRng) -> Reorder {
    Reorder { rng: rng.clone(), held: Vec::new(), past: Vec::new() }
}

/// The bad network, with what it still has.
pub(super) struct Reorder {
    rng: SeededRng,
    held: Vec<(Side, u8, Vec<u8>)>,
    past: Vec<(Side, u8, Vec<u8>)>,
}

impl Adversary for Reorder {
    fn carry(&mut self, simulation: &mut Simulation<'_>, from: Side, step: u8, bytes: Vec<u8>) {
        self.past.push((from, step, bytes.clone()));
        // An old one in between, to where it was meant.
        let at = usize::try_from(self.rng.below(self.past.len() as u64)).unwrap_or(0);
        if let Some((from, step, bytes)) = self.past.get(at).cloned()
            && self.rng.below(2) == 0
        {
            simulation.slip(from.other(), step, bytes, "delivers once more, or early");
        }
        if self.rng.below(3) == 0 {
            self.held.push((from, step, bytes));
        } else {
            simulation.pass_on(from, step, bytes);
        }
    }

    fn idle(&mut self, simulation: &mut Simulation<'_>) -> bool {
        let Some((from, step, bytes)) = self.held.pop() else { return false };
        simulation.slip(from.other(), step, bytes, "delivers what it had held back");
        true
    }
}
