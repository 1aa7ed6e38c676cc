//! Two ceremonies that both people take for one: messages of the one are given to the other.
//!
//! Decides which side is given a foreign message, and at which step. Refuses to ask a person for
//! the second ceremony: both its ends are the adversary's own, under the same link and prologue,
//! which is all that a stolen link allows.

use super::{Adversary, Interception as _};
use crate::enrol::dishonest::{Calling, FalseEnd};
use crate::lab::seeded_rng::SeededRng;
use crate::lab::simulation::Simulation;
use crate::lab::transcript::Side;

/// One of the messages between the handshake and the last code.
pub(super) fn splice(rng: &mut SeededRng) -> Splice {
    let step = 2 + u8::try_from(rng.below(4)).unwrap_or(0);
    let victim = if step.is_multiple_of(2) { Side::Greeter } else { Side::Claimer };
    Splice { rng: rng.clone(), step, victim, other: None, nonce: rng.block() }
}

/// One honest pair, and one channel of the adversary's own.
pub(super) struct Splice {
    rng: SeededRng,
    step: u8,
    victim: Side,
    other: Option<FalseEnd>,
    nonce: [u8; 32],
}

impl Splice {
    /// A finished channel between two ends of the adversary's own, under the same link and
    /// prologue.
    fn second_ceremony(&mut self, simulation: &Simulation<'_>) -> Option<FalseEnd> {
        let (prologue, link) = (simulation.prologue(), simulation.link());
        let (calling, first) = Calling::out(&prologue, &link, &mut self.rng)?;
        let (greeting, second) = FalseEnd::answer(&prologue, &link, &first, &mut self.rng)?;
        let claiming = calling.connected(&second)?;
        Some(if self.victim == Side::Greeter { claiming } else { greeting })
    }

    fn foreign(&mut self, simulation: &Simulation<'_>, step: u8) -> Option<Vec<u8>> {
        if self.other.is_none() {
            self.other = self.second_ceremony(simulation);
        }
        let nonce = self.nonce;
        let end = self.other.as_mut()?;
        match step {
            2 => Some(end.commit(&nonce)),
            3 => {
                let root_commitment = end.root_commitment(&nonce, &simulation.lab().organisation.root);
                let reply = crate::enrol::dishonest::Reply { nonce, root_commitment, typing_required: false };
                Some(end.reply(&reply))
            }
            4 => Some(end.reveal(&nonce)),
            5 => Some(end.recognised()),
            _ => None,
        }
    }
}

impl Adversary for Splice {
    fn carry(&mut self, simulation: &mut Simulation<'_>, from: Side, step: u8, bytes: Vec<u8>) {
        let foreign = if step == self.step { self.foreign(simulation, step) } else { None };
        match foreign {
            Some(foreign) => {
                simulation.slip(
                    self.victim,
                    step,
                    foreign,
                    "gives the message of another ceremony under the same link",
                );
            }
            None => simulation.pass_on(from, step, bytes),
        }
    }
}
