//! Two of a kind: a newcomer is brought together with a newcomer, a greeter with a greeter.
//!
//! Decides who gets whose message under which number. Refuses to change a byte of the messages; a
//! second newcomer speaks with the link, as anybody who read it can.

use super::{Adversary, Interception as _};
use crate::enrol::dishonest::{Calling, FalseEnd};
use crate::lab::seeded_rng::SeededRng;
use crate::lab::simulation::Simulation;
use crate::lab::transcript::Side;

/// Which kind is doubled.
pub(super) fn role_swap(rng: &mut SeededRng) -> Roles {
    Roles { doubled: if rng.below(2) == 0 { Side::Claimer } else { Side::Greeter }, rng: rng.clone() }
}

/// The matchmaker.
pub(super) struct Roles {
    doubled: Side,
    rng: SeededRng,
}

impl Roles {
    /// What another one of this kind would say first, in answer to `bytes` or to nobody.
    fn double(&mut self, simulation: &Simulation<'_>) -> Option<Vec<u8>> {
        let (prologue, link) = (simulation.prologue(), simulation.link());
        let (_, first) = Calling::out(&prologue, &link, &mut self.rng)?;
        match self.doubled {
            Side::Claimer => Some(first),
            Side::Greeter => {
                FalseEnd::answer(&prologue, &link, &first, &mut self.rng).map(|(_, second)| second)
            }
        }
    }
}

impl Adversary for Roles {
    fn carry(&mut self, simulation: &mut Simulation<'_>, from: Side, step: u8, bytes: Vec<u8>) {
        match (self.doubled, step) {
            // The greeter never hears of it; the claimer is answered by another newcomer's opening.
            (Side::Claimer, 0) => {
                if let Some(opening) = self.double(simulation) {
                    simulation.slip(Side::Claimer, 1, opening, "answers with another newcomer's opening");
                }
            }
            // The claimer's opening is kept; another greeter's answer opens instead.
            (Side::Greeter, 0) => {
                if let Some(answer) = self.double(simulation) {
                    simulation.slip(Side::Greeter, 0, answer, "opens with another greeter's answer");
                }
            }
            (Side::Claimer | Side::Greeter, _) => simulation.pass_on(from, step, bytes),
        }
    }
}
