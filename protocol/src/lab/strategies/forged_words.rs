//! Words that only a person may bring about, said by a server that has no link.
//!
//! Decides what the forgeries look like: the plain word, the word with room for a tag, an old
//! message, chance. Refuses to wait: the forgery comes before the true one could.

use super::Adversary;
use crate::lab::chance::Seeded;
use crate::lab::stage::Stage;
use crate::lab::transcript::Side;

/// "Recognised".
pub(super) fn recognised(chance: &mut Seeded) -> Forger {
    Forger { chance: chance.clone(), certified: false, last: Vec::new() }
}

/// "Certified" and "registered".
pub(super) fn certified(chance: &mut Seeded) -> Forger {
    Forger { chance: chance.clone(), certified: true, last: Vec::new() }
}

/// A server that speaks for people.
pub(super) struct Forger {
    chance: Seeded,
    certified: bool,
    /// The newest message of the greeter's, to be said again.
    last: Vec<u8>,
}

impl Forger {
    fn forgery(&mut self, length: usize) -> Vec<u8> {
        // An array with the number 1: what message 5 says inside the channel.
        let mut word = vec![0x81, 0x01];
        match self.chance.below(5) {
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
                    noise.extend(self.chance.block());
                }
                noise.truncate(length);
                noise
            }
        }
    }
}

impl Adversary for Forger {
    fn carry(&mut self, stage: &mut Stage<'_>, from: Side, step: u8, bytes: Vec<u8>) {
        if from == Side::Greeter {
            self.last.clone_from(&bytes);
        }
        let length = bytes.len();
        match (self.certified, step) {
            (false, 4) => {
                let forged = self.forgery(2 + crate::enrol::channel::TAG_BYTES);
                stage.slip(Side::Claimer, 5, forged, "says \"recognised\"");
                stage.pass_on(from, step, bytes);
            }
            (true, 6) => {
                let forged = self.forgery(1_000);
                stage.slip(Side::Claimer, 7, forged, "says \"certified\", and hands something over");
                stage.pass_on(from, step, bytes);
            }
            (true, 8) => {
                let forged = self.forgery(length);
                stage.slip(Side::Greeter, 8, forged, "says \"registered\" with a receipt of its own");
            }
            (false | true, _) => stage.pass_on(from, step, bytes),
        }
    }
}
