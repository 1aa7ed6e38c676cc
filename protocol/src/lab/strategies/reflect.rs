//! A side hears itself.
//!
//! Decides at which step, and under which number its own message comes back. Refuses to change a
//! byte.

use super::Adversary;
use crate::lab::chance::Seeded;
use crate::lab::stage::Stage;
use crate::lab::transcript::Side;

/// Under its own number, or as the answer to itself.
pub(super) fn reflect(chance: &mut Seeded) -> Reflect {
    Reflect { step: chance.below(8), as_answer: chance.below(2) == 0 }
}

/// The mirror.
pub(super) struct Reflect {
    step: u64,
    as_answer: bool,
}

impl Adversary for Reflect {
    fn carry(&mut self, stage: &mut Stage<'_>, from: Side, step: u8, bytes: Vec<u8>) {
        if u64::from(step) == self.step {
            let under = if self.as_answer { step.saturating_add(1) } else { step };
            stage.slip(from, under, bytes, "gives a side its own message back");
        } else {
            stage.pass_on(from, step, bytes);
        }
    }
}
