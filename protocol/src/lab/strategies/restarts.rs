//! A new chance at the codes, again and again: breaks off once both are committed, and hopes that
//! people or devices begin anew.
//!
//! Decides when to break off, and tries to begin anew at once behind the people's backs. Refuses to
//! go beyond what an invitation survives: the server that counts is the organisation's, and what it
//! lets pass, people still see each time.

use super::middle::{Middle, two_handshakes};
use super::{Adversary, Interception as _};
use crate::enrol::dishonest::Calling;
use crate::lab::seeded_rng::SeededRng;
use crate::lab::simulation::Simulation;
use crate::lab::transcript::Side;
use crate::limits::ATTEMPTS_MAX;

/// Two people who are patient to the end.
pub(super) fn restarts(rng: &mut SeededRng) -> Restarts {
    let middle = two_handshakes(rng);
    Restarts { middle, rng: rng.clone(), attempts: 1, after: 2 + rng.below(3) }
}

/// The impatient one in the middle.
pub(super) struct Restarts {
    middle: Middle,
    rng: SeededRng,
    attempts: u32,
    /// The step after which it breaks off: the commitment is 2.
    after: u64,
}

impl Adversary for Restarts {
    fn carry(&mut self, simulation: &mut Simulation<'_>, from: Side, step: u8, bytes: Vec<u8>) {
        if u64::from(step) < self.after {
            return self.middle.carry(simulation, from, step, bytes);
        }
        // First in silence: a new call to the same greeter.
        let (prologue, link) = (simulation.prologue(), simulation.link());
        if let Some((_, first)) = Calling::out(&prologue, &link, &mut self.rng) {
            simulation.slip(Side::Greeter, 0, first, "begins anew with the greeter, behind its back");
        }
        simulation.cut();
    }

    fn tempts_again(&mut self) -> bool {
        self.middle = two_handshakes(&mut self.rng);
        self.attempts += 1;
        self.attempts <= ATTEMPTS_MAX
    }
}
