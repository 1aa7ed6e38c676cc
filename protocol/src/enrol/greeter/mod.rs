//! The machine of the one who vouches.
//!
//! Decides in which order the greeter speaks and asks. Refuses every input that isn't awaited: a
//! message ahead of its turn closes the machine, a message seen before is passed over, anything
//! else leaves it as it is. What each state awaits and how it is left stands in `states`, who may
//! be certified and what is signed in `approval`, what is given of a kit in `share`, message 8 in
//! `receipt`.

mod approval;
mod receipt;
mod share;
mod states;

use std::fmt;

#[cfg(test)]
use super::io::Approval;
use super::io::{Closed, GreeterInput, GreeterOutput, Prologue, Refused};
use super::transition::{Deadline, Transition};
use crate::ids::Timestamp;
use crate::keys::{Entropy, LinkSecret};
use crate::public_keys::VerifyKey;
use states::{AwaitsOpening, State};

/// The greeter's side of one attempt.
pub struct Greeter {
    prologue: Prologue,
    state: State,
    deadline: Deadline,
}

impl Greeter {
    /// Begins: awaits message 0.
    ///
    /// # Errors
    /// [`Refused::NoEntropy`].
    pub fn start(
        prologue: Prologue,
        link_secret: &LinkSecret,
        root: VerifyKey,
        typed_codes: bool,
        now: Timestamp,
        entropy: &mut dyn Entropy,
    ) -> Result<(Self, Vec<GreeterOutput>), Refused> {
        let first = AwaitsOpening::begin(&prologue, link_secret, root, typed_codes, entropy)?;
        let deadline = Deadline::from(now);
        let greeter = Self { prologue, state: State::AwaitsOpening(first), deadline };
        Ok((greeter, deadline.wake_at().map(GreeterOutput::WakeAt).into_iter().collect()))
    }

    /// Takes what happened; returns what to do, in order.
    ///
    /// # Errors
    /// [`Refused`] changes nothing. What closes the machine is an output,
    /// [`GreeterOutput::Closed`].
    pub fn step(
        &mut self,
        input: GreeterInput<'_>,
        now: Timestamp,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<GreeterOutput>, Refused> {
        if !matches!(self.state, State::Over) && self.deadline.has_passed(now) {
            return Ok(self.close(Closed::TimedOut));
        }
        let state = std::mem::replace(&mut self.state, State::Over);
        match take(state, input, &self.prologue, now, entropy) {
            Transition::Next(state, mut outputs) => {
                self.deadline = state.deadline(now);
                outputs.extend(self.deadline.wake_at().map(GreeterOutput::WakeAt));
                self.state = state;
                Ok(outputs)
            }
            Transition::Reject(state, why) => {
                self.state = state;
                Err(why)
            }
            Transition::Ignore(state) => {
                self.state = state;
                Ok(self.deadline.wake_at().map(GreeterOutput::WakeAt).into_iter().collect())
            }
            Transition::Close(why) => Ok(self.close(why)),
        }
    }

    /// Message 7 with whatever share and plan, as a program would send it that checks neither.
    #[cfg(test)]
    pub(crate) fn give_anything(
        &mut self,
        approval: &Approval<'_>,
        entropy: &mut dyn Entropy,
    ) -> Option<Vec<u8>> {
        let State::AwaitsApproval(state) = &mut self.state else { return None };
        state.give_anything(approval, entropy)
    }

    /// Ends for good; whatever secrets the last state held are wiped by its drop.
    fn close(&mut self, why: Closed) -> Vec<GreeterOutput> {
        self.state = State::Over;
        self.deadline = Deadline::Never;
        vec![GreeterOutput::Closed(why)]
    }
}

/// Which state takes which input. One line for each thing that may happen.
fn take(
    state: State,
    input: GreeterInput<'_>,
    prologue: &Prologue,
    now: Timestamp,
    entropy: &mut dyn Entropy,
) -> Transition<State, GreeterOutput> {
    use GreeterInput as In;
    match (state, input) {
        (State::Over, In::Message { .. } | In::Tick | In::Cancel) => Transition::Ignore(State::Over),
        (_, In::Cancel) => Transition::Close(Closed::Cancelled),
        (state, In::Tick) => Transition::Ignore(state),
        (State::AwaitsOpening(state), In::Message { step: 0, bytes }) => state.take(&bytes).into(),
        (State::AwaitsCommitment(state), In::Message { step: 2, bytes }) => state.take(&bytes).into(),
        (State::AwaitsNonce(state), In::Message { step: 4, bytes }) => state.take(&bytes).into(),
        (State::AwaitsCode(state), In::Code(answer)) => state.take(answer),
        (State::AwaitsClaim(state), In::Message { step: 6, bytes }) => state.take(prologue, &bytes).into(),
        (State::AwaitsApproval(state), In::Approve(approval)) => {
            state.take(prologue, &approval, now, entropy)
        }
        (State::AwaitsReceipt(state), In::Message { step: 8, bytes }) => state.take(&bytes).into(),
        (State::AwaitsShareReceipt(state), In::Message { step: 8, bytes }) => state.take(&bytes).into(),
        (state, In::Message { step, .. }) if state.has_taken(step) => Transition::Ignore(state),
        (_, In::Message { step, .. }) => Transition::Close(Closed::BadMessage { step }),
        (state, In::Code(_) | In::Approve(_)) => Transition::Reject(state, Refused::NotNow),
    }
}

/// Names the state, never what is in it.
impl fmt::Debug for Greeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Greeter").field("awaits", &self.state.name()).finish_non_exhaustive()
    }
}
