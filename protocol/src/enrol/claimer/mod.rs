//! The machine of the one who joins.
//!
//! Decides in which order the claimer speaks and asks. Refuses every input that isn't awaited: a
//! message ahead of its turn closes the machine, a message seen before is passed over, anything
//! else leaves it as it is. What each state awaits and how it is left stands in `states`, the
//! checks of message 7 in `handover`, and in `share` where it carries a share of a kit.

mod handover;
mod share;
mod states;

use std::fmt;

use super::io::{ClaimerInput, ClaimerOutput, Closed, Prologue, Refused};
use super::transition::{Deadline, Transition};
use crate::ids::Timestamp;
use crate::keys::{Entropy, LinkSecret};
use states::{AwaitsAnswer, State};

/// The claimer's side of one attempt.
pub struct Claimer {
    prologue: Prologue,
    state: State,
    deadline: Deadline,
}

impl Claimer {
    /// Begins: the first output is message 0.
    ///
    /// # Errors
    /// [`Refused::NoEntropy`].
    pub fn start(
        prologue: Prologue,
        link_secret: &LinkSecret,
        now: Timestamp,
        entropy: &mut dyn Entropy,
    ) -> Result<(Self, Vec<ClaimerOutput>), Refused> {
        let (first, bytes) = AwaitsAnswer::begin(&prologue, link_secret, entropy)?;
        let deadline = Deadline::from(now);
        let claimer = Self { prologue, state: State::AwaitsAnswer(first), deadline };
        let mut outputs = vec![ClaimerOutput::Send { step: 0, bytes }];
        outputs.extend(deadline.wake_at().map(ClaimerOutput::WakeAt));
        Ok((claimer, outputs))
    }

    /// Takes what happened; returns what to do, in order.
    ///
    /// # Errors
    /// [`Refused`] changes nothing: the machine still awaits what it awaited. What closes the
    /// machine is an output, [`ClaimerOutput::Closed`].
    pub fn step(
        &mut self,
        input: ClaimerInput,
        now: Timestamp,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<ClaimerOutput>, Refused> {
        if !matches!(self.state, State::Over) && self.deadline.has_passed(now) {
            return Ok(self.close(Closed::TimedOut));
        }
        let state = std::mem::replace(&mut self.state, State::Over);
        match take(state, input, &self.prologue, entropy) {
            Transition::Next(state, mut outputs) => {
                self.deadline = state.deadline(now);
                outputs.extend(self.deadline.wake_at().map(ClaimerOutput::WakeAt));
                self.state = state;
                Ok(outputs)
            }
            Transition::Reject(state, why) => {
                self.state = state;
                Err(why)
            }
            Transition::Ignore(state) => {
                self.state = state;
                Ok(self.deadline.wake_at().map(ClaimerOutput::WakeAt).into_iter().collect())
            }
            Transition::Close(why) => Ok(self.close(why)),
        }
    }

    /// Ends for good; whatever secrets the last state held are wiped by its drop.
    fn close(&mut self, why: Closed) -> Vec<ClaimerOutput> {
        self.state = State::Over;
        self.deadline = Deadline::Never;
        vec![ClaimerOutput::Closed(why)]
    }
}

/// Which state takes which input. One line for each thing that may happen.
fn take(
    state: State,
    input: ClaimerInput,
    prologue: &Prologue,
    entropy: &mut dyn Entropy,
) -> Transition<State, ClaimerOutput> {
    use ClaimerInput as In;
    match (state, input) {
        (State::Over, In::Message { .. } | In::Tick | In::Cancel) => Transition::Ignore(State::Over),
        (_, In::Cancel) => Transition::Close(Closed::Cancelled),
        (state, In::Tick) => Transition::Ignore(state),
        (State::AwaitsAnswer(state), In::Message { step: 1, bytes }) => state.take(&bytes).into(),
        (State::AwaitsGreeterReply(state), In::Message { step: 3, bytes }) => state.take(&bytes).into(),
        (State::AwaitsRecognised(state), In::Message { step: 5, bytes }) => state.take(&bytes).into(),
        (State::AwaitsCode(state), In::Code(answer)) => state.take(answer),
        (State::AwaitsIdentity(state), In::Identity { name, device_label }) => {
            state.take(prologue, name, device_label, entropy)
        }
        (State::AwaitsHandover(state), In::Message { step: 7, bytes }) => state.take(prologue, &bytes).into(),
        (State::AwaitsLog(state), In::Log(envelopes)) => state.take(prologue, envelopes).into(),
        (State::AwaitsShareLog(state), In::Log(envelopes)) => state.take(prologue, &envelopes).into(),
        (State::AwaitsSaved(state), In::Saved) => state.take(),
        (state, In::Message { step, .. }) if state.has_taken(step) => Transition::Ignore(state),
        (_, In::Message { step, .. }) => Transition::Close(Closed::BadMessage { step }),
        (state, In::Code(_) | In::Identity { .. } | In::Log(_) | In::Saved) => {
            Transition::Reject(state, Refused::NotNow)
        }
    }
}

/// Names the state, never what is in it.
impl fmt::Debug for Claimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claimer").field("awaits", &self.state.name()).finish_non_exhaustive()
    }
}
