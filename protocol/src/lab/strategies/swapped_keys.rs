//! Other keys in the messages that carry keys: 6 with the claim, 7 with what is handed over, 8 with
//! the receipt.
//!
//! Decides how: by exclusive or over the place where a key stands (the cipher is a stream, so that
//! this would set the key if nothing else looked), or with a whole message sealed by a channel of
//! its own. Refuses to touch the ceremony before the codes agree, so that two honest people have
//! agreed by then.

use super::{Adversary, Interception as _};
use crate::enrol::dishonest::{Calling, FalseEnd, FalseKeys};
use crate::lab::seeded_rng::SeededRng;
use crate::lab::simulation::Simulation;
use crate::lab::transcript::Side;

/// Which message, and how.
pub(super) fn swap(rng: &mut SeededRng) -> Swap {
    Swap { step: 6 + rng.below(3), whole: rng.below(2) == 0, rng: rng.clone() }
}

/// The swapper.
pub(super) struct Swap {
    step: u64,
    whole: bool,
    rng: SeededRng,
}

impl Swap {
    /// Message 6 with keys of its own, from a channel of its own.
    fn own_claim(&mut self, simulation: &mut Simulation<'_>) -> Option<Vec<u8>> {
        let keys = FalseKeys::random(&mut self.rng).ok()?;
        simulation.watch_key(keys.signing.verify_key());
        let (prologue, link) = (simulation.prologue(), simulation.link());
        let (calling, first) = Calling::out(&prologue, &link, &mut self.rng)?;
        let (_, second) = FalseEnd::answer(&prologue, &link, &first, &mut self.rng)?;
        let mut end = calling.connected(&second)?;
        let (name, label) = simulation.names();
        Some(end.introduce(name, label, &keys))
    }
}

impl Adversary for Swap {
    fn carry(&mut self, simulation: &mut Simulation<'_>, from: Side, step: u8, mut bytes: Vec<u8>) {
        if u64::from(step) != self.step {
            return simulation.pass_on(from, step, bytes);
        }
        if self.whole && step == 6 {
            if let Some(claim) = self.own_claim(simulation) {
                simulation.slip(Side::Greeter, 6, claim, "gives a claim with its own keys, sealed by itself");
            }
            return;
        }
        let room = bytes.len().saturating_sub(32) as u64;
        let at = usize::try_from(self.rng.below(room)).unwrap_or(0);
        let mask = self.rng.block();
        for (byte, bits) in bytes.iter_mut().skip(at).zip(mask) {
            *byte ^= bits;
        }
        simulation.slip(from.other(), step, bytes, "turns 32 bytes of it into others");
    }
}
