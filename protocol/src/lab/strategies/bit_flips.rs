//! One bit.
//!
//! Decides which, in which message. Refuses to flip two.

use super::Adversary;
use crate::lab::chance::Seeded;
use crate::lab::stage::Stage;
use crate::lab::transcript::Side;

/// Anywhere.
pub(super) fn flip(chance: &mut Seeded) -> Flip {
    Flip { step: chance.below(9), chance: chance.clone() }
}

/// The cosmic ray.
pub(super) struct Flip {
    step: u64,
    chance: Seeded,
}

impl Adversary for Flip {
    fn carry(&mut self, stage: &mut Stage<'_>, from: Side, step: u8, mut bytes: Vec<u8>) {
        if u64::from(step) != self.step {
            return stage.pass_on(from, step, bytes);
        }
        let at = usize::try_from(self.chance.below(bytes.len() as u64)).unwrap_or(0);
        let bit = self.chance.below(8);
        bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << bit);
        stage.slip(from.other(), step, bytes, "flips one bit of it");
    }
}
