//! A new chance at the codes, again and again: breaks off once both are committed, and hopes that
//! people or devices begin anew.
//!
//! Decides when to break off, and tries to begin anew at once behind the people's backs. Refuses to
//! go beyond what an invitation survives: the server that counts is the organisation's, and what it
//! lets pass, people still see each time.

use super::middle::{Middle, two_handshakes};
use super::{Adversary, Ground as _};
use crate::enrol::dishonest::Calling;
use crate::lab::chance::Seeded;
use crate::lab::stage::Stage;
use crate::lab::transcript::Side;
use crate::limits::ATTEMPTS_MAX;

/// Two people who are patient to the end.
pub(super) fn restarts(chance: &mut Seeded) -> Restarts {
    let middle = two_handshakes(chance);
    Restarts { middle, chance: chance.clone(), attempts: 1, after: 2 + chance.below(3) }
}

/// The impatient one in the middle.
pub(super) struct Restarts {
    middle: Middle,
    chance: Seeded,
    attempts: u32,
    /// The step after which it breaks off: the commitment is 2.
    after: u64,
}

impl Adversary for Restarts {
    fn carry(&mut self, stage: &mut Stage<'_>, from: Side, step: u8, bytes: Vec<u8>) {
        if u64::from(step) < self.after {
            return self.middle.carry(stage, from, step, bytes);
        }
        // First in silence: a new call to the same greeter.
        let (setting, link) = (stage.setting(), stage.link());
        if let Some((_, first)) = Calling::out(&setting, &link, &mut self.chance) {
            stage.slip(Side::Greeter, 0, first, "begins anew with the greeter, behind its back");
        }
        stage.cut();
    }

    fn tempts_again(&mut self) -> bool {
        self.middle = two_handshakes(&mut self.chance);
        self.attempts += 1;
        self.attempts <= ATTEMPTS_MAX
    }
}
