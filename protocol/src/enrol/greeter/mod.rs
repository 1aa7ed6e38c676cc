//! The machine of the one who vouches.
//!
//! Decides in which order the greeter speaks and asks. Refuses every input that isn't awaited: a
//! message ahead of its turn closes the machine, a message seen before is passed over, anything
//! else leaves it as it is. What each state awaits and how it is left stands in `states`, who may
//! be certified and what is signed in `approval`, message 8 in `receipt`.

mod approval;
mod receipt;
mod states;

use std::fmt;

use super::io::{Closed, GreeterInput, GreeterOutput, Refused, Setting};
use super::turn::{Patience, Turn};
use crate::ids::Timestamp;
use crate::keys::{Entropy, LinkSecret};
use crate::public::VerifyKey;
use states::{AwaitsOpening, State};

/// The greeter's side of one attempt.
pub struct Greeter {
    setting: Setting,
    state: State,
    patience: Patience,
}

impl Greeter {
    /// Begins: awaits message 0.
    ///
    /// # Errors
    /// [`Refused::NoEntropy`].
    pub fn start(
        setting: Setting,
        link_secret: &LinkSecret,
        root: VerifyKey,
        typed_codes: bool,
        now: Timestamp,
        entropy: &mut dyn Entropy,
    ) -> Result<(Self, Vec<GreeterOutput>), Refused> {
        let first = AwaitsOpening::begin(&setting, link_secret, root, typed_codes, entropy)?;
        let patience = Patience::from(now);
        let greeter = Self { setting, state: State::AwaitsOpening(first), patience };
        Ok((greeter, patience.wake_at().map(GreeterOutput::WakeAt).into_iter().collect()))
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
        if !matches!(self.state, State::Over) && self.patience.is_over(now) {
            return Ok(self.close(Closed::TimedOut));
        }
        let state = std::mem::replace(&mut self.state, State::Over);
        match take(state, input, &self.setting, now, entropy) {
            Turn::Go(state, mut outputs) => {
                self.patience = state.patience(now);
                outputs.extend(self.patience.wake_at().map(GreeterOutput::WakeAt));
                self.state = state;
                Ok(outputs)
            }
            Turn::Refuse(state, why) => {
                self.state = state;
                Err(why)
            }
            Turn::Pass(state) => {
                self.state = state;
                Ok(self.patience.wake_at().map(GreeterOutput::WakeAt).into_iter().collect())
            }
            Turn::Close(why) => Ok(self.close(why)),
        }
    }

    /// Ends for good; whatever secrets the last state held are wiped by its drop.
    fn close(&mut self, why: Closed) -> Vec<GreeterOutput> {
        self.state = State::Over;
        self.patience = Patience::Endless;
        vec![GreeterOutput::Closed(why)]
    }
}

/// Which state takes which input. One line for each thing that may happen.
fn take(
    state: State,
    input: GreeterInput<'_>,
    setting: &Setting,
    now: Timestamp,
    entropy: &mut dyn Entropy,
) -> Turn<State, GreeterOutput> {
    use GreeterInput as In;
    match (state, input) {
        (State::Over, In::Message { .. } | In::Tick | In::Cancel) => Turn::Pass(State::Over),
        (_, In::Cancel) => Turn::Close(Closed::Cancelled),
        (state, In::Tick) => Turn::Pass(state),
        (State::AwaitsOpening(state), In::Message { step: 0, bytes }) => state.take(&bytes).into(),
        (State::AwaitsCommitment(state), In::Message { step: 2, bytes }) => state.take(&bytes).into(),
        (State::AwaitsNonce(state), In::Message { step: 4, bytes }) => state.take(&bytes).into(),
        (State::AwaitsCode(state), In::Code(answer)) => state.take(answer),
        (State::AwaitsClaim(state), In::Message { step: 6, bytes }) => state.take(setting, &bytes).into(),
        (State::AwaitsApproval(state), In::Approve(approval)) => state.take(setting, &approval, now, entropy),
        (State::AwaitsReceipt(state), In::Message { step: 8, bytes }) => state.take(&bytes).into(),
        (state, In::Message { step, .. }) if state.has_taken(step) => Turn::Pass(state),
        (_, In::Message { step, .. }) => Turn::Close(Closed::BadMessage { step }),
        (state, In::Code(_) | In::Approve(_)) => Turn::Refuse(state, Refused::NotNow),
    }
}

/// Names the state, never what is in it.
impl fmt::Debug for Greeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Greeter").field("awaits", &self.state.name()).finish_non_exhaustive()
    }
}
