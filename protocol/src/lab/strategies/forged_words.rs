//! Words that only a person may bring about, said by a server that has no link.
//!
//! Decides what the forgeries look like: the plain word, the word with room for a tag, an old
//! message, chance. Refuses to wait: the forgery comes before the true one could.

use super::Adversary;
use crate::lab::seeded_rng::SeededRng;
use crate::lab::simulation::Simulation;
use crate::lab::transcript::Side;

/// "Recognised".
pub(super) fn recognised(rng: &mut SeededRng) -> Forger {
    Forger { rng: rng.clone(), certified: false, last: Vec::new() }
}

/// "Certified" and "registered".
pub(super) fn certified(rng: &mut SeededRng) -> Forger {
    Forger { rng: rng.clone(), certified: true, last: Vec::new() }
}

/// A server that speaks for people.
pub(super) struct Forger {
    rng: SeededRng,
    certified: bool,
    /// The newest message of the greeter's, to be said again.
    last: Vec<u8>,
}

impl Forger {
    fn forgery(&mut self, length: usize) -> Vec<u8> {
        // An array with the number 1: what message 5 says inside the channel.
        let mut word = vec![0x81, 0x01];
        match self.rng.below(5) {
            0 => word,
            1 => {
                word.resize(2 + crate::enrol::channel::TAG_BYTES, 0);
                word
            }
            2 => self.last.clone(),
            3 => Vec::new(),
            _ => {
                let mut noise = Vec::new();
                while noise.len() < length {
                    noise.extend(self.rng.block());
                }
                noise.truncate(length);
                noise
            }
        }
    }
}

impl Adversary for Forger {
    fn carry(&mut self, simulation: &mut Simulation<'_>, from: Side, step: u8, bytes: Vec<u8>) {
        if from == Side::Greeter {
            self.last.clone_from(&bytes);
        }
        let length = bytes.len();
        match (self.certified, step) {
            (false, 4) => {
                let forged = self.forgery(2 + crate::enrol::channel::TAG_BYTES);
                simulation.slip(Side::Claimer, 5, forged, "says \"recognised\"");
                simulation.pass_on(from, step, bytes);
            }
            (true, 6) => {
                let forged = self.forgery(1_000);
                simulation.slip(Side::Claimer, 7, forged, "says \"certified\", and hands something over");
                simulation.pass_on(from, step, bytes);
            }
            (true, 8) => {
                let forged = self.forgery(length);
                simulation.slip(Side::Greeter, 8, forged, "says \"registered\" with a receipt of its own");
            }
            (false | true, _) => simulation.pass_on(from, step, bytes),
        }
    }
}
