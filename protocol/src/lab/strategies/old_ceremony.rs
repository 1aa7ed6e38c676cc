//! A ceremony that was recorded, played to the next one.
//!
//! Decides from which step on the old messages stand in for the new ones. Refuses to know what is
//! in them: it has no link.

use super::Adversary;
use crate::lab::chance::Seeded;
use crate::lab::stage::Stage;
use crate::lab::transcript::Side;

/// Records the first attempt up to some step, breaks it off, and replays into the second.
pub(super) fn replay(chance: &mut Seeded) -> Replay {
    // Not further than message 7: with that, the newcomer has what it came for, and begins no
    // second ceremony.
    let last = chance.below(7);
    Replay { recorded: Vec::new(), stop: 1 + last, from: chance.below(1 + last), playing: false, again: true }
}

/// The recorder.
pub(super) struct Replay {
    recorded: Vec<(Side, u8, Vec<u8>)>,
    /// After this step the first attempt is broken off.
    stop: u64,
    /// From this step on the old is played.
    from: u64,
    playing: bool,
    again: bool,
}

impl Adversary for Replay {
    fn carry(&mut self, stage: &mut Stage<'_>, from: Side, step: u8, bytes: Vec<u8>) {
        if !self.playing {
            self.recorded.push((from, step, bytes.clone()));
            if u64::from(step) >= self.stop {
                stage.cut();
            } else {
                stage.pass_on(from, step, bytes);
            }
            return;
        }
        let old = self.recorded.iter().find(|(side, at, _)| (*side, *at) == (from, step));
        match old {
            Some((_, _, old)) if u64::from(step) >= self.from => {
                stage.slip(from.other(), step, old.clone(), "gives the message of the ceremony before");
            }
            Some(_) | None => stage.pass_on(from, step, bytes),
        }
    }

    fn tempts_again(&mut self) -> bool {
        self.playing = true;
        std::mem::take(&mut self.again)
    }
}
