//! Two of a kind: a newcomer is brought together with a newcomer, a greeter with a greeter.
//!
//! Decides who gets whose message under which number. Refuses to change a byte of the messages; a
//! second newcomer speaks with the link, as anybody who read it can.

use super::{Adversary, Ground as _};
use crate::enrol::dishonest::{Calling, FalseEnd};
use crate::lab::chance::Seeded;
use crate::lab::stage::Stage;
use crate::lab::transcript::Side;

/// Which kind is doubled.
pub(super) fn role_swap(chance: &mut Seeded) -> Roles {
    Roles {
        doubled: if chance.below(2) == 0 { Side::Claimer } else { Side::Greeter },
        chance: chance.clone(),
    }
}

/// The matchmaker.
pub(super) struct Roles {
    doubled: Side,
    chance: Seeded,
}

impl Roles {
    /// What another one of this kind would say first, in answer to `bytes` or to nobody.
    fn double(&mut self, stage: &Stage<'_>) -> Option<Vec<u8>> {
        let (setting, link) = (stage.setting(), stage.link());
        let (_, first) = Calling::out(&setting, &link, &mut self.chance)?;
        match self.doubled {
            Side::Claimer => Some(first),
            Side::Greeter => {
                FalseEnd::answer(&setting, &link, &first, &mut self.chance).map(|(_, second)| second)
            }
        }
    }
}

impl Adversary for Roles {
    fn carry(&mut self, stage: &mut Stage<'_>, from: Side, step: u8, bytes: Vec<u8>) {
        match (self.doubled, step) {
            // The greeter never hears of it; the claimer is answered by another newcomer's opening.
            (Side::Claimer, 0) => {
                if let Some(opening) = self.double(stage) {
                    stage.slip(Side::Claimer, 1, opening, "answers with another newcomer's opening");
                }
            }
            // The claimer's opening is kept; another greeter's answer opens instead.
            (Side::Greeter, 0) => {
                if let Some(answer) = self.double(stage) {
                    stage.slip(Side::Greeter, 0, answer, "opens with another greeter's answer");
                }
            }
            (Side::Claimer | Side::Greeter, _) => stage.pass_on(from, step, bytes),
        }
    }
}
