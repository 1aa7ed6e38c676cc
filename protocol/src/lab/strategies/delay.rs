//! One message comes late, or all of them a little.
//!
//! Decides which. Refuses to lose any: what was held back is delivered, to whoever still listens.

use super::Adversary;
use crate::lab::seeded_rng::SeededRng;
use crate::lab::simulation::Simulation;
use crate::lab::transcript::{Side, Who};
use crate::limits::MESSAGE_WAIT_SECONDS;

/// Past the limit, at one step before the newcomer has its keys.
pub(super) fn delay(rng: &mut SeededRng) -> Delay {
    Delay { step: rng.below(8), seconds: MESSAGE_WAIT_SECONDS + rng.below(86_400) }
}

/// The slow transport.
pub(super) struct Delay {
    step: u64,
    seconds: u64,
}

impl Adversary for Delay {
    fn carry(&mut self, simulation: &mut Simulation<'_>, from: Side, step: u8, bytes: Vec<u8>) {
        if u64::from(step) == self.step {
            simulation
                .note(Who::Adversary, &format!("holds message {step} back for {} seconds", self.seconds));
            let _told = simulation.wait(self.seconds);
        }
        simulation.pass_on(from, step, bytes);
    }
}
