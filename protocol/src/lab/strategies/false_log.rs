//! An honest ceremony, and a server that then shows the newcomer another log than the greeter has.
//!
//! Decides which: none, a shorter one, one out of order, one with a bit flipped, another
//! organisation's under the same name. Refuses to touch the ceremony's messages.

use super::Adversary;
use crate::lab::seeded_rng::SeededRng;
use crate::lab::simulation::Simulation;
use crate::lab::transcript::Side;

/// Which lie.
pub(super) fn false_log(rng: &mut SeededRng) -> FalseLog {
    FalseLog { lie: rng.below(6), at: rng.below(u64::MAX) }
}

/// The lying server.
pub(super) struct FalseLog {
    lie: u64,
    at: u64,
}

impl Adversary for FalseLog {
    fn carry(&mut self, simulation: &mut Simulation<'_>, from: Side, step: u8, bytes: Vec<u8>) {
        simulation.pass_on(from, step, bytes);
    }

    fn log(&mut self, simulation: &Simulation<'_>) -> Vec<Vec<u8>> {
        let mut log = simulation.lab().organisation.envelopes.clone();
        let impostor = &simulation.lab().impostor.envelopes;
        match self.lie {
            0 => log.clear(),
            1 => drop(log.pop()),
            2 => log.reverse(),
            3 => log.clone_from(impostor),
            4 => {
                log.truncate(1);
                log.extend(impostor.iter().skip(1).cloned());
            }
            _ => {
                if let Some(first) = log.first_mut() {
                    let at = usize::try_from(self.at % first.len().max(1) as u64).unwrap_or(0);
                    first.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1);
                }
            }
        }
        log
    }
}
