//! The state of one invitation's attempts at the greeter's daemon, on the direct road: what the server would decide.
//!
//! Decides who owns an attempt, which step comes next, and when another may start: the rules of docs/protocol.md, *Attempts*,
//! without any I/O; time is an argument. Refuses what the server would refuse, with the same codes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parsec_protocol::ids::AttemptId;
use parsec_protocol::limits::{ATTEMPT_IDLE_SECONDS, STEP_MAX_BYTES, STEPS};
use parsec_protocol::public::Hash;
use parsec_protocol::relay::{AttemptView, EndReason, ErrorCode, GreeterIds};
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;
use tokio::time::Instant;

/// After so long without a question another claimer may start.
const IDLE: Duration = Duration::from_secs(ATTEMPT_IDLE_SECONDS);
/// The handover. Once it is there, an attempt no longer ends by idleness.
const HANDOVER: u8 = 7;
/// The receipt. Once it is there, nothing but its completion ends an attempt.
const RECEIPT: u8 = 8;

/// An attempt: ended, if the view says so.
struct Attempt {
    secret_hash: Hash,
    /// What was deposited; those of an attempt that was resumed after a restart are gone up to the handover.
    steps: [Option<Vec<u8>>; STEPS as usize],
    view: AttemptView,
    seen: Instant,
}

/// The place of one invitation.
pub struct Place {
    greeter: GreeterIds,
    attempt: Mutex<Option<Attempt>>,
    /// The newest attempt as both sides see it.
    view: watch::Sender<Option<AttemptView>>,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Place({:?})", self.view.borrow())
    }
}

impl Place {
    /// A place where nobody is yet.
    #[must_use]
    pub fn new(greeter: GreeterIds) -> Self {
        Self { greeter, attempt: Mutex::new(None), view: watch::Sender::new(None) }
    }

    /// A place whose attempt outlived a restart of the daemon: its handover is there, and the receipt may be.
    #[must_use]
    pub fn resumed(
        greeter: GreeterIds,
        attempt: AttemptId,
        secret_hash: Hash,
        handover: Vec<u8>,
        receipt: Option<Vec<u8>>,
    ) -> Self {
        let place = Self::new(greeter);
        let bits = |last: u8| (1_u16 << (last + 1)) - 1;
        let steps = if receipt.is_some() { bits(RECEIPT) } else { bits(HANDOVER) };
        let view = AttemptView { attempt, steps, greeter: Some(greeter), ended: None };
        let mut kept: [Option<Vec<u8>>; STEPS as usize] = Default::default();
        for (slot, bytes) in kept.iter_mut().rev().zip([receipt, Some(handover)]) {
            *slot = bytes;
        }
        place.view.send_replace(Some(view.clone()));
        *place.lock() = Some(Attempt { secret_hash, steps: kept, view, seen: Instant::now() });
        place
    }

    fn lock(&self) -> MutexGuard<'_, Option<Attempt>> {
        // Each change is whole before anything that could panic.
        self.attempt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest attempt, and every change of it.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Option<AttemptView>> {
        self.view.subscribe()
    }

    /// Whether a claimer with these values may start now: the answer where they have started already, nothing where this would be
    /// a new attempt. The caller counts it before [`Self::start`].
    ///
    /// # Errors
    /// `invitation_in_use`, `attempt_ended`, `attempt_unknown` for a name that was used with another secret.
    pub fn may_start(
        &self,
        attempt: AttemptId,
        secret_hash: &Hash,
        now: Instant,
    ) -> Result<Option<AttemptView>, ErrorCode> {
        let guard = self.lock();
        let Some(there) = &*guard else { return Ok(None) };
        if there.view.attempt == attempt {
            if !bool::from(there.secret_hash.as_bytes().ct_eq(secret_hash.as_bytes())) {
                return Err(ErrorCode::AttemptUnknown);
            }
            return if there.view.ended.is_some() {
                Err(ErrorCode::AttemptEnded)
            } else {
                Ok(Some(there.view.clone()))
            };
        }
        let left = now.saturating_duration_since(there.seen) >= IDLE && !there.has(HANDOVER);
        if there.view.ended.is_some() || left { Ok(None) } else { Err(ErrorCode::InvitationInUse) }
    }

    /// Opens an attempt, and ends an idle one that it replaces.
    ///
    /// # Errors
    /// As [`Self::may_start`]: somebody else may have come in between.
    pub fn start(
        &self,
        attempt: AttemptId,
        secret_hash: Hash,
        now: Instant,
    ) -> Result<AttemptView, ErrorCode> {
        if let Some(view) = self.may_start(attempt, &secret_hash, now)? {
            return Ok(view);
        }
        let view = AttemptView { attempt, steps: 0, greeter: Some(self.greeter), ended: None };
        let mut guard = self.lock();
        *guard = Some(Attempt { secret_hash, steps: Default::default(), view: view.clone(), seen: now });
        self.view.send_replace(Some(view.clone()));
        Ok(view)
    }

    /// Whether this claimer owns the attempt; notes that they live.
    ///
    /// # Errors
    /// `attempt_unknown` for another attempt and for another secret alike.
    pub fn claimer(&self, attempt: AttemptId, secret_hash: &Hash, now: Instant) -> Result<(), ErrorCode> {
        let mut guard = self.lock();
        match &mut *guard {
            Some(there)
                if there.view.attempt == attempt
                    && bool::from(there.secret_hash.as_bytes().ct_eq(secret_hash.as_bytes())) =>
            {
                there.seen = now;
                Ok(())
            }
            Some(_) | None => Err(ErrorCode::AttemptUnknown),
        }
    }

    /// The hash of an attempt's secret.
    #[must_use]
    pub fn secret_hash(&self, attempt: AttemptId) -> Option<Hash> {
        Attempt::named(&self.lock(), attempt).ok().map(|there| there.secret_hash)
    }

    /// Whether a step could be deposited: `true` where it is there already, with the same bytes.
    ///
    /// # Errors
    /// `attempt_unknown`, `attempt_ended`, `step_refused` out of order, `step_conflict` for other bytes.
    pub fn may_deposit(&self, attempt: AttemptId, step: u8, bytes: &[u8]) -> Result<bool, ErrorCode> {
        if bytes.len() > STEP_MAX_BYTES {
            return Err(ErrorCode::TooLarge);
        }
        let guard = self.lock();
        let there = Attempt::named(&guard, attempt)?;
        if there.view.ended.is_some() {
            return Err(ErrorCode::AttemptEnded);
        }
        if there.has(step) {
            let same = there.steps.get(usize::from(step)).is_some_and(|kept| kept.as_deref() == Some(bytes));
            return if same { Ok(true) } else { Err(ErrorCode::StepConflict) };
        }
        let next = there.view.steps.trailing_ones() == u32::from(step);
        if next && step < STEPS { Ok(false) } else { Err(ErrorCode::StepRefused) }
    }

    /// Deposits a step. What must be durable with it is so already.
    ///
    /// # Errors
    /// As [`Self::may_deposit`].
    pub fn deposit(&self, attempt: AttemptId, step: u8, bytes: Vec<u8>) -> Result<(), ErrorCode> {
        if self.may_deposit(attempt, step, &bytes)? {
            return Ok(());
        }
        let mut guard = self.lock();
        if let Some(there) = &mut *guard
            && let Some(slot) = there.steps.get_mut(usize::from(step))
        {
            *slot = Some(bytes);
            there.view.steps |= 1 << step;
            self.view.send_replace(Some(there.view.clone()));
        }
        Ok(())
    }

    /// A step.
    ///
    /// # Errors
    /// `not_yet`, `attempt_unknown`, `attempt_ended`.
    pub fn fetch(&self, attempt: AttemptId, step: u8) -> Result<Vec<u8>, ErrorCode> {
        let guard = self.lock();
        let there = Attempt::named(&guard, attempt)?;
        if there.view.ended.is_some() {
            return Err(ErrorCode::AttemptEnded);
        }
        there.steps.get(usize::from(step)).cloned().flatten().ok_or(ErrorCode::NotYet)
    }

    /// The attempt of this name.
    ///
    /// # Errors
    /// `attempt_unknown`.
    pub fn state(&self, attempt: AttemptId) -> Result<AttemptView, ErrorCode> {
        Attempt::named(&self.lock(), attempt).map(|there| there.view.clone())
    }

    /// Whether the log may be shown: once the greeter has signed for this claimer.
    #[must_use]
    pub fn shows_log(&self, attempt: AttemptId) -> bool {
        Attempt::named(&self.lock(), attempt).is_ok_and(|there| there.has(HANDOVER))
    }

    /// Whether a person may still end an attempt. The caller makes that durable before [`Self::end`].
    ///
    /// # Errors
    /// `attempt_sealed` once the receipt is there; `attempt_unknown`.
    pub fn may_cancel(&self, attempt: AttemptId) -> Result<(), ErrorCode> {
        let sealed = Attempt::named(&self.lock(), attempt)?.has(RECEIPT);
        if sealed { Err(ErrorCode::AttemptSealed) } else { Ok(()) }
    }

    /// Ends an attempt, whatever stands in it; `true` if it was open until now. Its steps are forgotten.
    pub fn end(&self, attempt: AttemptId, reason: EndReason) -> bool {
        let mut guard = self.lock();
        match &mut *guard {
            Some(there) if there.view.attempt == attempt && there.view.ended.is_none() => {
                there.view.ended = Some(reason);
                there.steps = Default::default();
                self.view.send_replace(Some(there.view.clone()));
                true
            }
            Some(_) | None => false,
        }
    }
}

impl Attempt {
    fn named(attempt: &Option<Self>, name: AttemptId) -> Result<&Self, ErrorCode> {
        attempt.as_ref().filter(|there| there.view.attempt == name).ok_or(ErrorCode::AttemptUnknown)
    }

    fn has(&self, step: u8) -> bool {
        self.view.steps.checked_shr(u32::from(step)).unwrap_or(0) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use parsec_protocol::ids::{DeviceId, UserId};

    use super::*;

    const GREETER: GreeterIds =
        GreeterIds { user: UserId::from_bytes([1; 16]), device: DeviceId::from_bytes([2; 16]) };
    const A: AttemptId = AttemptId::from_bytes([1; 16]);
    const B: AttemptId = AttemptId::from_bytes([2; 16]);

    fn hash(text: &str) -> Hash {
        Hash::of(&[text.as_bytes()])
    }

    #[test]
    fn one_attempt_belongs_to_who_knows_its_secret() {
        let (place, now) = (Place::new(GREETER), Instant::now());
        let view = place.start(A, hash("a"), now).unwrap();
        assert_eq!(view.greeter, Some(GREETER));
        assert_eq!(place.start(A, hash("a"), now), Ok(view));
        assert_eq!(place.start(A, hash("b"), now), Err(ErrorCode::AttemptUnknown));
        assert_eq!(place.start(B, hash("b"), now), Err(ErrorCode::InvitationInUse));
        assert_eq!(place.claimer(A, &hash("a"), now), Ok(()));
        assert_eq!(place.claimer(A, &hash("b"), now), Err(ErrorCode::AttemptUnknown));
        assert_eq!(place.claimer(B, &hash("a"), now), Err(ErrorCode::AttemptUnknown));
        assert!(place.end(A, EndReason::Cancelled) && !place.end(A, EndReason::Cancelled));
        assert_eq!(place.start(A, hash("a"), now), Err(ErrorCode::AttemptEnded));
        assert!(place.start(B, hash("b"), now).is_ok());
    }

    #[test]
    fn an_idle_attempt_is_replaced_until_something_was_signed() {
        let (place, now) = (Place::new(GREETER), Instant::now());
        place.start(A, hash("a"), now).unwrap();
        let nearly = now + IDLE - Duration::from_secs(1);
        assert_eq!(place.start(B, hash("b"), nearly), Err(ErrorCode::InvitationInUse));
        place.claimer(A, &hash("a"), nearly).unwrap();
        assert_eq!(place.start(B, hash("b"), now + IDLE), Err(ErrorCode::InvitationInUse));
        assert!(place.start(B, hash("b"), nearly + IDLE).is_ok());
        for step in 0..=HANDOVER {
            place.deposit(B, step, vec![step]).unwrap();
        }
        assert_eq!(place.start(A, hash("a"), now + 9 * IDLE), Err(ErrorCode::InvitationInUse));
    }

    #[test]
    fn steps_come_in_order_and_once() {
        let (place, now) = (Place::new(GREETER), Instant::now());
        assert_eq!(place.deposit(A, 0, vec![0]), Err(ErrorCode::AttemptUnknown));
        place.start(A, hash("a"), now).unwrap();
        for step in 0..STEPS {
            assert_eq!(place.fetch(A, step), Err(ErrorCode::NotYet));
            assert_eq!(place.shows_log(A), step > HANDOVER);
            for wrong in step + 1..=u8::MAX {
                assert_eq!(place.deposit(A, wrong, vec![0]), Err(ErrorCode::StepRefused), "{wrong}");
            }
            assert_eq!(place.deposit(A, step, vec![0; STEP_MAX_BYTES + 1]), Err(ErrorCode::TooLarge));
            place.deposit(A, step, vec![step]).unwrap();
            place.deposit(A, step, vec![step]).unwrap();
            assert_eq!(place.deposit(A, step, vec![step, 0]), Err(ErrorCode::StepConflict));
            assert_eq!(place.fetch(A, step), Ok(vec![step]));
        }
        // The receipt is there: nobody's wish ends it any more.
        assert_eq!(place.may_cancel(A), Err(ErrorCode::AttemptSealed));
        assert!(place.end(A, EndReason::Completed));
        assert_eq!(place.deposit(A, 8, vec![8]), Err(ErrorCode::AttemptEnded));
        assert_eq!(place.fetch(A, 7), Err(ErrorCode::AttemptEnded));
    }

    #[test]
    fn after_a_restart_the_handover_can_be_fetched_and_the_receipt_left() {
        let place = Place::resumed(GREETER, A, hash("a"), vec![7], None);
        assert_eq!(place.state(A).unwrap().steps, 0xff);
        assert!(place.shows_log(A));
        assert_eq!((place.fetch(A, 7), place.fetch(A, 5)), (Ok(vec![7]), Err(ErrorCode::NotYet)));
        // What was forgotten can't be said anew.
        assert_eq!(place.deposit(A, 6, vec![6]), Err(ErrorCode::StepConflict));
        place.deposit(A, 8, vec![8]).unwrap();
        let place = Place::resumed(GREETER, A, hash("a"), vec![7], Some(vec![8]));
        assert_eq!((place.state(A).unwrap().steps, place.fetch(A, 7)), (0x1ff, Ok(vec![7])));
        assert_eq!(place.deposit(A, 8, vec![8]), Ok(()));
    }
}
