//! A ceremony that was recorded, played to the next one.
//!
//! Decides from which step on the old messages stand in for the new ones. Refuses to know what is
//! in them: it has no link.

use super::Adversary;
use crate::lab::seeded_rng::SeededRng;
use crate::lab::simulation::Simulation;
use crate::lab::transcript::Side;

/// Records the first attempt up to some step, breaks it off, and replays into the second.
pub(super) fn replay(rng: &mut SeededRng) -> Replay {
    // Not further than message 7: with that, the newcomer has what it came for, and begins no
    // second ceremony.
    let last = rng.below(7);
    Replay { recorded: Vec::new(), stop: 1 + last, from: rng.below(1 + last), playing: false, again: true }
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
    fn carry(&mut self, simulation: &mut Simulation<'_>, from: Side, step: u8, bytes: Vec<u8>) {
        if !self.playing {
            self.recorded.push((from, step, bytes.clone()));
            if u64::from(step) >= self.stop {
                simulation.cut();
            } else {
                simulation.pass_on(from, step, bytes);
            }
            return;
        }
        let old = self.recorded.iter().find(|(side, at, _)| (*side, *at) == (from, step));
        match old {
            Some((_, _, old)) if u64::from(step) >= self.from => {
                simulation.slip(from.other(), step, old.clone(), "gives the message of the ceremony before");
            }
            Some(_) | None => simulation.pass_on(from, step, bytes),
        }
    }

    fn tempts_again(&mut self) -> bool {
        self.playing = true;
        std::mem::take(&mut self.again)
    }
}
