//! Messages that never arrive.
//!
//! Decides which. Refuses to say so to anybody: the sides find out by waiting.

use super::Adversary;
use crate::lab::chance::Seeded;
use crate::lab::stage::Stage;
use crate::lab::transcript::{Side, Who};

/// From one step on, or that one alone.
pub(super) fn drop_from(chance: &mut Seeded) -> Drops {
    Drops { step: chance.below(9), only: chance.below(2) == 0 }
}

/// The hole in the transport.
pub(super) struct Drops {
    step: u64,
    only: bool,
}

impl Adversary for Drops {
    fn carry(&mut self, stage: &mut Stage<'_>, from: Side, step: u8, bytes: Vec<u8>) {
        let at = u64::from(step);
        if at == self.step || (!self.only && at > self.step) {
            stage.note(Who::Adversary, &format!("loses message {step}"));
        } else {
            stage.pass_on(from, step, bytes);
        }
    }
}
