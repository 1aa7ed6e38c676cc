//! One attempt of an invitation: what both sides see of it, and what may happen in it
//! (docs/protocol.md, *Attempts*).
//!
//! Decides who opens, joins, deposits, reads and ends, in which order, and when the next attempt
//! may begin. There is no second set of these rules: the metadata server keeps its attempts by
//! them, and so does the greeter's daemon, which is the server of one invitation on the
//! peer-to-peer transport. Refuses with the code that the caller is told. Pure: time is an
//! argument, and what has to be durable before an answer is its holder's part.

use std::time::Duration;

use minicbor::{Decode, Encode};
use subtle::ConstantTimeEq as _;

use super::ErrorCode;
use crate::ids::{AttemptId, DeviceId, UserId};
use crate::limits::{ATTEMPT_IDLE_SECONDS, ATTEMPTS_MAX, MISMATCHES_MAX, STEP_MAX_BYTES, STEPS};
use crate::public_keys::Hash;

/// The step with the handover (message 7): from here on the claimer may make its keys durable at
/// any moment.
pub const HANDOVER_STEP: u8 = 7;
/// The step with the receipt (message 8), the last one: once it is there, the claimer's keys are
/// durable.
pub const RECEIPT_STEP: u8 = 8;

/// Why an attempt ended. Said by a peer or the server: never a reason to trust anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum EndReason {
    /// A wrong code was chosen, or none of them.
    #[n(0)]
    CodeMismatch,
    /// A person stopped it.
    #[n(1)]
    Cancelled,
    /// A message failed verification.
    #[n(2)]
    BadMessage,
    /// No message for too long.
    #[n(3)]
    TimedOut,
    /// The invitation ended under it.
    #[n(4)]
    InvitationEnded,
    /// It is done; the certificates are in the log.
    #[n(5)]
    Completed,
    /// Replaced after [`ATTEMPT_IDLE_SECONDS`] without a request, or abandoned by a restarted
    /// daemon.
    #[n(6)]
    Abandoned,
}

/// The device that greets in an attempt, and its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct GreeterIds {
    /// The user who greets.
    #[n(0)]
    pub user: UserId,
    /// The device they greet with.
    #[n(1)]
    pub device: DeviceId,
}

/// One attempt, as both sides may see it. Each change is pushed, whole, to the event streams.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct AttemptView {
    /// The attempt's id, drawn by the claimer.
    #[n(0)]
    pub attempt: AttemptId,
    /// The deposited steps: bit `n` is set once step `n` is there. Ask [`AttemptView::has`].
    #[n(1)]
    pub steps: u16,
    /// Set once a greeter has joined.
    #[n(2)]
    pub greeter: Option<GreeterIds>,
    /// Set once it is over.
    #[n(3)]
    pub ended: Option<EndReason>,
}

/// One of the two parties of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Deposits even steps, reads odd ones.
    Claimer,
    /// Deposits odd steps, reads even ones.
    Greeter,
}

impl Side {
    /// The side that deposits this step.
    #[must_use]
    pub const fn depositing(step: u8) -> Self {
        if step.is_multiple_of(2) { Self::Claimer } else { Self::Greeter }
    }

    /// The steps that this side deposits, as bits of [`AttemptView::steps`].
    #[must_use]
    pub const fn own_steps(self) -> u16 {
        match self {
            Self::Claimer => 0b1_0101_0101,
            Self::Greeter => 0b0_1010_1010,
        }
    }

    const fn deposits(self, step: u8) -> bool {
        matches!(
            (self, Self::depositing(step)),
            (Self::Claimer, Self::Claimer) | (Self::Greeter, Self::Greeter)
        )
    }
}

/// What was deposited before under a step's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// No bytes at all.
    Nothing,
    /// The same bytes: an answer that got lost is asked for again.
    Same,
    /// Other bytes, or bytes that the holder has forgotten.
    Other,
}

impl Earlier {
    /// By the hashes of what was kept and of what comes now.
    #[must_use]
    pub fn of(kept: Option<&Hash>, now: &Hash) -> Self {
        match kept {
            None => Self::Nothing,
            Some(kept) if kept == now => Self::Same,
            Some(_) => Self::Other,
        }
    }
}

/// What a request to open an attempt comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// It was opened before by this claimer: the answer is its state as it is now.
    Known,
    /// It may be opened.
    New {
        /// An idle attempt has to end for it, as [`EndReason::Abandoned`].
        replaces_idle: bool,
    },
}

/// Whether an attempt may be opened. `named` is the secret's hash of the attempt that already has
/// the asked id, `newest` the invitation's last attempt with the time since its claimer's last sign
/// of life.
///
/// # Errors
/// `attempt_unknown` for an id that was used with another secret; `invitation_in_use`.
pub fn open(
    named: Option<&Hash>,
    newest: Option<(&AttemptView, Duration)>,
    secret_hash: &Hash,
) -> Result<Opening, ErrorCode> {
    if let Some(named) = named {
        return if is_secret(named, secret_hash) {
            Ok(Opening::Known)
        } else {
            Err(ErrorCode::AttemptUnknown)
        };
    }
    match newest {
        Some((newest, idle)) if is_idle(newest, idle) => Ok(Opening::New { replaces_idle: true }),
        Some((newest, _)) if newest.is_open() => Err(ErrorCode::InvitationInUse),
        Some(_) | None => Ok(Opening::New { replaces_idle: false }),
    }
}

/// Whether another claimer may take an attempt's place: it is open, its claimer has given no sign
/// of life for `idle`, and nothing was signed for them.
#[must_use]
pub fn is_idle(attempt: &AttemptView, idle: Duration) -> bool {
    attempt.is_open() && idle >= Duration::from_secs(ATTEMPT_IDLE_SECONDS) && !attempt.has(HANDOVER_STEP)
}

/// Whether a claimer has shown the secret of an attempt. Compared in constant time.
#[must_use]
pub fn is_secret(kept: &Hash, shown: &Hash) -> bool {
    kept.as_bytes().ct_eq(shown.as_bytes()).into()
}

/// Whether an invitation that was tried so often takes no further attempt.
#[must_use]
pub const fn is_exhausted(attempts: u32, mismatches: u32) -> bool {
    mismatches >= MISMATCHES_MAX || attempts >= ATTEMPTS_MAX
}

/// Whether these bytes can be a step.
///
/// # Errors
/// `bad_request` for none at all, which could not be told from a step that isn't there;
/// `too_large`.
pub const fn check_step(bytes: &[u8]) -> Result<(), ErrorCode> {
    match bytes.len() {
        0 => Err(ErrorCode::BadRequest),
        1..=STEP_MAX_BYTES => Ok(()),
        _ => Err(ErrorCode::TooLarge),
    }
}

impl AttemptView {
    /// An attempt that has just been opened.
    #[must_use]
    pub const fn opened(attempt: AttemptId) -> Self {
        Self { attempt, steps: 0, greeter: None, ended: None }
    }

    /// An attempt as its holder finds it after a restart: joined, with every step up to this one.
    #[must_use]
    pub fn resumed(attempt: AttemptId, greeter: GreeterIds, last: u8) -> Self {
        let steps = (0..STEPS.min(last.saturating_add(1))).fold(0, |steps, step| steps | 1 << step);
        Self { attempt, steps, greeter: Some(greeter), ended: None }
    }

    /// Whether this step was deposited.
    #[must_use]
    pub const fn has(&self, step: u8) -> bool {
        step < STEPS && self.steps & (1 << step) != 0
    }

    /// The first step that is not there; [`STEPS`] if all are.
    #[must_use]
    pub fn missing(&self) -> u8 {
        (0..STEPS).find(|step| !self.has(*step)).unwrap_or(STEPS)
    }

    /// Whether anything can still happen in it.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.ended.is_none()
    }

    /// Whether it is open and the claimer holds durable keys: it can only be completed, or end with
    /// its invitation.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.is_open() && self.has(RECEIPT_STEP)
    }

    /// Whether its claimer may see the log: the greeter has approved them, and verifying is what
    /// comes next. A link alone is no reason to show the members' addresses.
    #[must_use]
    pub const fn may_see_log(&self) -> bool {
        self.is_open() && self.has(HANDOVER_STEP)
    }

    /// Binds the greeter's device to the attempt. Asked again by the same device, nothing changes.
    ///
    /// # Errors
    /// `greeter_taken`, `attempt_ended`.
    pub fn join(&mut self, me: GreeterIds) -> Result<(), ErrorCode> {
        match self.greeter {
            Some(greeter) if greeter == me => Ok(()),
            Some(_) => Err(ErrorCode::GreeterTaken),
            None if self.is_open() => {
                self.greeter = Some(me);
                Ok(())
            }
            None => Err(ErrorCode::AttemptEnded),
        }
    }

    /// Whether this device greets in this attempt.
    ///
    /// # Errors
    /// `greeter_taken` where another one does, `step_refused` where none has joined.
    pub fn greets(&self, device: &DeviceId) -> Result<(), ErrorCode> {
        match self.greeter {
            Some(greeter) if greeter.device == *device => Ok(()),
            Some(_) => Err(ErrorCode::GreeterTaken),
            None => Err(ErrorCode::StepRefused),
        }
    }

    /// Whether this side may deposit this step now. `false`: it is there already, and that is the
    /// answer.
    ///
    /// # Errors
    /// `step_conflict` for other bytes than before, `attempt_ended`; `step_refused` for the other
    /// side's step, for one out of order, and before a greeter has joined.
    pub fn may_deposit(&self, side: Side, step: u8, earlier: Earlier) -> Result<bool, ErrorCode> {
        if step >= STEPS || !side.deposits(step) {
            return Err(ErrorCode::StepRefused);
        }
        // Before the question whether the attempt is over: an answer that got lost is given again.
        match earlier {
            Earlier::Same => return Ok(false),
            Earlier::Other => return Err(ErrorCode::StepConflict),
            Earlier::Nothing => {}
        }
        if !self.is_open() {
            return Err(ErrorCode::AttemptEnded);
        }
        if self.greeter.is_none() || self.steps != (1 << step) - 1 {
            return Err(ErrorCode::StepRefused);
        }
        Ok(true)
    }

    /// Takes a step. `false`: it was there already.
    ///
    /// # Errors
    /// As [`Self::may_deposit`].
    pub fn deposit(&mut self, side: Side, step: u8, earlier: Earlier) -> Result<bool, ErrorCode> {
        let new = self.may_deposit(side, step, earlier)?;
        if new {
            self.steps |= 1 << step;
        }
        Ok(new)
    }

    /// Whether this side may read this step, and it is there.
    ///
    /// # Errors
    /// `step_refused` for the side's own steps, `attempt_ended`, `not_yet`.
    pub const fn readable(&self, side: Side, step: u8) -> Result<(), ErrorCode> {
        if step >= STEPS || side.deposits(step) {
            return Err(ErrorCode::StepRefused);
        }
        if !self.is_open() {
            return Err(ErrorCode::AttemptEnded);
        }
        if self.has(step) { Ok(()) } else { Err(ErrorCode::NotYet) }
    }

    /// Whether a side may end the attempt for this reason. `false`: it has ended that way already.
    ///
    /// # Errors
    /// `bad_request` for a reason that is the holder's to say, `attempt_ended` where it ended
    /// another way, `attempt_sealed`.
    pub fn may_cancel(&self, reason: EndReason) -> Result<bool, ErrorCode> {
        match reason {
            EndReason::CodeMismatch
            | EndReason::Cancelled
            | EndReason::BadMessage
            | EndReason::TimedOut
            | EndReason::Abandoned => {}
            EndReason::InvitationEnded | EndReason::Completed => return Err(ErrorCode::BadRequest),
        }
        match self.ended {
            Some(ended) if ended == reason => Ok(false),
            Some(_) => Err(ErrorCode::AttemptEnded),
            None if self.is_sealed() => Err(ErrorCode::AttemptSealed),
            None => Ok(true),
        }
    }

    /// Ends the attempt for one side's reason. `false`: it had ended that way before.
    ///
    /// # Errors
    /// As [`Self::may_cancel`].
    pub fn cancel(&mut self, reason: EndReason) -> Result<bool, ErrorCode> {
        let new = self.may_cancel(reason)?;
        if new {
            self.end(reason);
        }
        Ok(new)
    }

    /// Whether the attempt may end because its invitation is over for the greeter, which is less
    /// than an invitation's own end at the server: a sealed attempt goes on, and its completion is
    /// judged when the server hears of it. `false`: it is over already.
    ///
    /// # Errors
    /// `attempt_sealed`.
    pub const fn may_withdraw(&self) -> Result<bool, ErrorCode> {
        if self.is_sealed() { Err(ErrorCode::AttemptSealed) } else { Ok(self.is_open()) }
    }

    /// Completes: what a completion needs was checked, and is durable with this.
    ///
    /// # Errors
    /// `attempt_ended`; `not_yet` before the receipt is there.
    pub const fn complete(&mut self) -> Result<(), ErrorCode> {
        if !self.is_open() {
            return Err(ErrorCode::AttemptEnded);
        }
        if !self.is_sealed() {
            return Err(ErrorCode::NotYet);
        }
        self.ended = Some(EndReason::Completed);
        Ok(())
    }

    /// Ends it by its holder's own word, a sealed one too. `false`: it was over, and stays as it
    /// was.
    pub const fn end(&mut self, reason: EndReason) -> bool {
        let open = self.is_open();
        if open {
            self.ended = Some(reason);
        }
        open
    }
}

#[cfg(test)]
mod tests;
