//! Messages twice, late, and after one another in another order than they were sent.
//!
//! Decides by chance. Refuses to change a byte: what a bad network does by itself must fail no
//! ceremony that nobody meddles with.

use super::Adversary;
use crate::lab::chance::Seeded;
use crate::lab::stage::Stage;
use crate::lab::transcript::Side;

/// A bad network.
pub(super) fn reorder(chance: &mut Seeded) -> Reorder {
    Reorder { chance: chance.clone(), held: Vec::new(), past: Vec::new() }
}

/// The bad network, with what it still has.
pub(super) struct Reorder {
    chance: Seeded,
    held: Vec<(Side, u8, Vec<u8>)>,
    past: Vec<(Side, u8, Vec<u8>)>,
}

impl Adversary for Reorder {
    fn carry(&mut self, stage: &mut Stage<'_>, from: Side, step: u8, bytes: Vec<u8>) {
        self.past.push((from, step, bytes.clone()));
        // An old one in between, to where it was meant.
        let at = usize::try_from(self.chance.below(self.past.len() as u64)).unwrap_or(0);
        if let Some((from, step, bytes)) = self.past.get(at).cloned()
            && self.chance.below(2) == 0
        {
            stage.slip(from.other(), step, bytes, "delivers once more, or early");
        }
        if self.chance.below(3) == 0 {
            self.held.push((from, step, bytes));
        } else {
            stage.pass_on(from, step, bytes);
        }
    }

    fn idle(&mut self, stage: &mut Stage<'_>) -> bool {
        let Some((from, step, bytes)) = self.held.pop() else { return false };
        stage.slip(from.other(), step, bytes, "delivers what it had held back");
        true
    }
}
