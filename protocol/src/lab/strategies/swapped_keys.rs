//! Other keys in the messages that carry keys: 6 with the claim, 7 with what is handed over, 8 with
//! the receipt.
//!
//! Decides how: by exclusive or over the place where a key stands (the cipher is a stream, so that
//! this would set the key if nothing else looked), or with a whole message sealed by a channel of
//! its own. Refuses to touch the ceremony before the codes agree, so that two honest people have
//! agreed by then.

use super::{Adversary, Ground as _};
use crate::enrol::dishonest::{Calling, FalseEnd, FalseKeys};
use crate::lab::chance::Seeded;
use crate::lab::stage::Stage;
use crate::lab::transcript::Side;

/// Which message, and how.
pub(super) fn swap(chance: &mut Seeded) -> Swap {
    Swap { step: 6 + chance.below(3), whole: chance.below(2) == 0, chance: chance.clone() }
}

/// The swapper.
pub(super) struct Swap {
    step: u64,
    whole: bool,
    chance: Seeded,
}

impl Swap {
    /// Message 6 with keys of its own, from a channel of its own.
    fn own_claim(&mut self, stage: &mut Stage<'_>) -> Option<Vec<u8>> {
        let keys = FalseKeys::random(&mut self.chance).ok()?;
        stage.watch_key(keys.signing.verify_key());
        let (setting, link) = (stage.setting(), stage.link());
        let (calling, first) = Calling::out(&setting, &link, &mut self.chance)?;
        let (_, second) = FalseEnd::answer(&setting, &link, &first, &mut self.chance)?;
        let mut end = calling.connected(&second)?;
        let (name, label) = stage.names();
        Some(end.introduce(name, label, &keys))
    }
}

impl Adversary for Swap {
    fn carry(&mut self, stage: &mut Stage<'_>, from: Side, step: u8, mut bytes: Vec<u8>) {
        if u64::from(step) != self.step {
            return stage.pass_on(from, step, bytes);
        }
        if self.whole && step == 6 {
            if let Some(claim) = self.own_claim(stage) {
                stage.slip(Side::Greeter, 6, claim, "gives a claim with its own keys, sealed by itself");
            }
            return;
        }
        let room = bytes.len().saturating_sub(32) as u64;
        let at = usize::try_from(self.chance.below(room)).unwrap_or(0);
        let mask = self.chance.block();
        for (byte, bits) in bytes.iter_mut().skip(at).zip(mask) {
            *byte ^= bits;
        }
        stage.slip(from.other(), step, bytes, "turns 32 bytes of it into others");
    }
}
