//! Two ceremonies that both people take for one: messages of the one are given to the other.
//!
//! Decides at which step the exchange begins. Refuses to hide the first ceremony: it was begun by the two people and ended before
//! their eyes; but the adversary still has a newcomer of its own in it, with the link.

use super::Adversary;
use crate::enrol::dishonest::{Calling, FalseEnd};
use crate::lab::chance::Seeded;
use crate::lab::stage::Stage;
use crate::lab::transcript::Side;

/// The claimer's half goes on with the greeter; the greeter is given messages of another channel from some step on, or the other
/// way round.
pub(super) fn splice(chance: &mut Seeded) -> Splice {
    let side = if chance.below(2) == 0 { Side::Claimer } else { Side::Greeter };
    Splice { chance: chance.clone(), victim: side, other: None, nonce: chance.block() }
}

/// One honest pair, and one channel of the adversary's own with the victim's peer in mind.
pub(super) struct Splice {
    chance: Seeded,
    victim: Side,
    other: Option<FalseEnd>,
    nonce: [u8; 32],
}

impl Splice {
    /// A finished channel between two ends of the adversary's own, under the same link and setting.
    fn second_ceremony(&mut self, stage: &Stage<'_>) -> Option<FalseEnd> {
        let (setting, link) = (stage.world().setting(), stage.world().link());
        let (calling, first) = Calling::out(&setting, &link, &mut self.chance)?;
        let (greeting, second) = FalseEnd::answer(&setting, &link, &first, &mut self.chance)?;
        let claiming = calling.connected(&second)?;
        Some(if self.victim == Side::Greeter { claiming } else { greeting })
    }

    fn foreign(&mut self, stage: &Stage<'_>, step: u8) -> Option<Vec<u8>> {
        if self.other.is_none() {
            self.other = self.second_ceremony(stage);
        }
        let nonce = self.nonce;
        let end = self.other.as_mut()?;
        match step {
            2 => Some(end.commit(&nonce)),
            3 => {
                let root_commitment = end.root_commitment(&nonce, &stage.world().founded.root);
                let turn = crate::enrol::dishonest::Turn { nonce, root_commitment, typing_required: false };
                Some(end.turn(&turn))
            }
            4 => Some(end.reveal(&nonce)),
            5 => Some(end.recognised()),
            _ => None,
        }
    }
}

impl Adversary for Splice {
    fn carry(&mut self, stage: &mut Stage<'_>, from: Side, step: u8, bytes: Vec<u8>) {
        // At which step is the seed's choice: at each of the victim's steps from 2 on, one in three.
        let here = from.other() == self.victim && step >= 2 && self.chance.below(3) == 0;
        match if here { self.foreign(stage, step) } else { None } {
            Some(foreign) => {
                stage.slip(
                    self.victim,
                    step,
                    foreign,
                    "gives the message of another ceremony under the same link",
                );
            }
            None => stage.pass_on(from, step, bytes),
        }
    }
}
