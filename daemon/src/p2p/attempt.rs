//! The attempts of one invitation at the greeter's daemon, on the peer-to-peer transport: their
//! state, their steps and who follows them.
//!
//! Decides nothing: what may happen in which state is `parsec_protocol::relay::attempt`'s, the same
//! rules as at the server. Keeps what those rules ask about, in memory and bounded; what has to
//! outlive a restart is the [`HostStore`](super::HostStore)'s. Refuses with the rules' codes.

use std::sync::{Mutex, MutexGuard, PoisonError};

use parsec_protocol::ids::AttemptId;
use parsec_protocol::limits::{ATTEMPTS_MAX, STEPS};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::attempt::{self, Earlier, HANDOVER_STEP, Opening, RECEIPT_STEP, Side};
use parsec_protocol::relay::{AttemptView, EndReason, ErrorCode, GreeterIds};
use tokio::sync::watch;
use tokio::time::Instant;

/// A step that was deposited.
#[derive(Default)]
struct Step {
    /// The bytes' hash, unless they were deposited before a restart.
    hash: Option<Hash>,
    /// The bytes, while the attempt is open.
    bytes: Option<Vec<u8>>,
}

/// One attempt with what its answers need.
struct Kept {
    view: AttemptView,
    secret_hash: Hash,
    steps: [Step; STEPS as usize],
    /// The claimer's last sign of life.
    seen: Instant,
}

/// The attempts of one invitation.
pub struct Attempts {
    greeter: GreeterIds,
    /// In the order of their start: an id that was used is never opened again. Only the last can be
    /// open.
    kept: Mutex<Vec<Kept>>,
    /// The newest attempt as both sides see it.
    newest: watch::Sender<Option<AttemptView>>,
}

impl std::fmt::Debug for Attempts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Attempts({:?})", self.newest.borrow())
    }
}

impl Attempts {
    /// Of an invitation that nobody has tried yet.
    #[must_use]
    pub fn new(greeter: GreeterIds) -> Self {
        Self { greeter, kept: Mutex::default(), newest: watch::Sender::new(None) }
    }

    /// With an attempt that outlived a restart of the daemon: its handover is there, and the
    /// receipt may be.
    #[must_use]
    pub fn resumed(
        greeter: GreeterIds,
        attempt: AttemptId,
        secret_hash: Hash,
        handover: Vec<u8>,
        receipt: Option<Vec<u8>>,
    ) -> Self {
        let last = if receipt.is_some() { RECEIPT_STEP } else { HANDOVER_STEP };
        let view = AttemptView::resumed(attempt, greeter, last);
        let mut kept = Kept { view, secret_hash, steps: Default::default(), seen: Instant::now() };
        kept.keep(HANDOVER_STEP, handover);
        if let Some(receipt) = receipt {
            kept.keep(RECEIPT_STEP, receipt);
        }
        let attempts = Self::new(greeter);
        attempts.newest.send_replace(Some(kept.view.clone()));
        attempts.lock().push(kept);
        attempts
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        // Each change is whole before anything that could panic.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads one attempt.
    fn read<T>(
        &self,
        attempt: AttemptId,
        look: impl FnOnce(&Kept) -> Result<T, ErrorCode>,
    ) -> Result<T, ErrorCode> {
        let kept = self.lock();
        look(kept.iter().find(|kept| kept.view.attempt == attempt).ok_or(ErrorCode::AttemptUnknown)?)
    }

    /// Changes one attempt, and tells those who follow if their view changed.
    fn change<T>(
        &self,
        attempt: AttemptId,
        change: impl FnOnce(&mut Kept) -> Result<T, ErrorCode>,
    ) -> Result<T, ErrorCode> {
        let mut kept = self.lock();
        let found = kept.iter_mut().find(|kept| kept.view.attempt == attempt);
        let done = change(found.ok_or(ErrorCode::AttemptUnknown)?)?;
        self.tell(&kept);
        Ok(done)
    }

    fn tell(&self, kept: &[Kept]) {
        let newest = kept.last().map(|kept| kept.view.clone());
        self.newest.send_if_modified(|told| {
            let new = *told != newest;
            *told = newest;
            new
        });
    }

    /// The newest attempt, and every change of it.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Option<AttemptView>> {
        self.newest.subscribe()
    }

    /// Whether a claimer with these values may open an attempt now: the answer where they have
    /// opened it already, nothing where it would be a new one. The caller counts that before
    /// [`Self::start`].
    ///
    /// # Errors
    /// Those of [`attempt::open`].
    pub fn may_start(
        &self,
        attempt: AttemptId,
        secret_hash: &Hash,
        now: Instant,
    ) -> Result<Option<AttemptView>, ErrorCode> {
        opening(&self.lock(), attempt, secret_hash, now).map(|(known, _)| known)
    }

    /// Opens an attempt, and ends an idle one that it replaces.
    ///
    /// # Errors
    /// As [`Self::may_start`]: another claimer may have come in between.
    pub fn start(
        &self,
        attempt: AttemptId,
        secret_hash: Hash,
        now: Instant,
    ) -> Result<AttemptView, ErrorCode> {
        let mut kept = self.lock();
        let (known, replaces_idle) = opening(&kept, attempt, &secret_hash, now)?;
        if let Some(view) = known {
            return Ok(view);
        }
        if replaces_idle && let Some(idle) = kept.last_mut() {
            idle.end(EndReason::Abandoned);
        }
        // The store counts them and refuses more: this bounds the memory, whatever it does.
        if kept.len() >= ATTEMPTS_MAX as usize {
            kept.remove(0);
        }
        let new = Kept::opened(attempt, self.greeter, secret_hash, now);
        let view = new.view.clone();
        kept.push(new);
        self.tell(&kept);
        Ok(view)
    }

    /// Whether this claimer owns the attempt; notes that they live.
    ///
    /// # Errors
    /// `attempt_unknown` for another attempt and for another secret alike.
    pub fn claimer(&self, attempt: AttemptId, secret_hash: &Hash, now: Instant) -> Result<(), ErrorCode> {
        self.change(attempt, |kept| {
            if !attempt::is_secret(&kept.secret_hash, secret_hash) {
                return Err(ErrorCode::AttemptUnknown);
            }
            kept.seen = now;
            Ok(())
        })
    }

    /// The hash of an attempt's secret.
    #[must_use]
    pub fn secret_hash(&self, attempt: AttemptId) -> Option<Hash> {
        self.read(attempt, |kept| Ok(kept.secret_hash)).ok()
    }

    /// Whether a step would be a new one: `false` where it is there already, with the same bytes.
    ///
    /// # Errors
    /// `attempt_unknown`, and those of [`attempt::check_step`] and [`AttemptView::may_deposit`].
    pub fn may_deposit(
        &self,
        attempt: AttemptId,
        side: Side,
        step: u8,
        bytes: &[u8],
    ) -> Result<bool, ErrorCode> {
        attempt::check_step(bytes)?;
        self.read(attempt, |kept| kept.view.may_deposit(side, step, kept.earlier(step, bytes)))
    }

    /// Deposits a step. What must be durable with it is so already.
    ///
    /// # Errors
    /// As [`Self::may_deposit`].
    pub fn deposit(&self, attempt: AttemptId, side: Side, step: u8, bytes: Vec<u8>) -> Result<(), ErrorCode> {
        attempt::check_step(&bytes)?;
        self.change(attempt, |kept| {
            let earlier = kept.earlier(step, &bytes);
            if kept.view.deposit(side, step, earlier)? {
                kept.keep(step, bytes);
            }
            Ok(())
        })
    }

    /// A step, for the side that reads it.
    ///
    /// # Errors
    /// `attempt_unknown`, those of [`AttemptView::readable`], and `not_yet` for one that a restart
    /// lost.
    pub fn fetch(&self, attempt: AttemptId, side: Side, step: u8) -> Result<Vec<u8>, ErrorCode> {
        self.read(attempt, |kept| {
            kept.view.readable(side, step)?;
            let found = kept.steps.get(usize::from(step)).and_then(|step| step.bytes.clone());
            found.ok_or(ErrorCode::NotYet)
        })
    }

    /// The attempt of this name as it is now.
    ///
    /// # Errors
    /// `attempt_unknown`.
    pub fn state(&self, attempt: AttemptId) -> Result<AttemptView, ErrorCode> {
        self.read(attempt, |kept| Ok(kept.view.clone()))
    }

    /// Whether one side may end an attempt. The caller makes that durable before [`Self::end`].
    ///
    /// # Errors
    /// `attempt_unknown`, and those of [`AttemptView::may_cancel`].
    pub fn may_cancel(&self, attempt: AttemptId, reason: EndReason) -> Result<bool, ErrorCode> {
        self.read(attempt, |kept| kept.view.may_cancel(reason))
    }

    /// Whether an attempt may end with its invitation. The caller makes that durable before
    /// [`Self::end`].
    ///
    /// # Errors
    /// `attempt_unknown`, and those of [`AttemptView::may_withdraw`].
    pub fn may_withdraw(&self, attempt: AttemptId) -> Result<bool, ErrorCode> {
        self.read(attempt, |kept| kept.view.may_withdraw())
    }

    /// Ends an attempt by this daemon's own word, a sealed one too; `true` if it was open until
    /// now. The bytes of its steps are forgotten.
    pub fn end(&self, attempt: AttemptId, reason: EndReason) -> bool {
        self.change(attempt, |kept| Ok(kept.end(reason))).is_ok_and(|open| open)
    }

    /// Ends an idle attempt that another claimer may take the place of, although none can: the
    /// invitation is exhausted.
    pub fn end_idle(&self, now: Instant) {
        let mut kept = self.lock();
        if let Some(last) = kept.last_mut()
            && attempt::is_idle(&last.view, now.saturating_duration_since(last.seen))
        {
            last.end(EndReason::Abandoned);
            self.tell(&kept);
        }
    }
}

/// What opening comes to: the attempt where it is known, and whether an idle one would have to end.
fn opening(
    kept: &[Kept],
    attempt: AttemptId,
    secret_hash: &Hash,
    now: Instant,
) -> Result<(Option<AttemptView>, bool), ErrorCode> {
    let named = kept.iter().find(|kept| kept.view.attempt == attempt);
    let newest = kept.last().map(|kept| (&kept.view, now.saturating_duration_since(kept.seen)));
    match attempt::open(named.map(|kept| &kept.secret_hash), newest, secret_hash)? {
        Opening::Known => Ok((named.map(|kept| kept.view.clone()), false)),
        Opening::New { replaces_idle } => Ok((None, replaces_idle)),
    }
}

impl Kept {
    /// An attempt that has just been opened: on this transport its greeter has joined from the
    /// start.
    fn opened(attempt: AttemptId, greeter: GreeterIds, secret_hash: Hash, seen: Instant) -> Self {
        let view = AttemptView { greeter: Some(greeter), ..AttemptView::opened(attempt) };
        Self { view, secret_hash, steps: Default::default(), seen }
    }

    /// What is known of a step's bytes. Those that a restart lost can't be told from others.
    fn earlier(&self, step: u8, bytes: &[u8]) -> Earlier {
        if !self.view.has(step) {
            return Earlier::Nothing;
        }
        let hash = self.steps.get(usize::from(step)).and_then(|step| step.hash.as_ref());
        hash.map_or(Earlier::Other, |hash| Earlier::of(Some(hash), &Hash::of(&[bytes])))
    }

    fn keep(&mut self, step: u8, bytes: Vec<u8>) {
        if let Some(slot) = self.steps.get_mut(usize::from(step)) {
            *slot = Step { hash: Some(Hash::of(&[&bytes])), bytes: Some(bytes) };
        }
    }

    fn end(&mut self, reason: EndReason) -> bool {
        let open = self.view.end(reason);
        for step in &mut self.steps {
            step.bytes = None;
        }
        open
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parsec_protocol::ids::{DeviceId, UserId};
    use parsec_protocol::limits::{ATTEMPT_IDLE_SECONDS, STEP_MAX_BYTES};

    use super::*;

    const GREETER: GreeterIds =
        GreeterIds { user: UserId::from_bytes([1; 16]), device: DeviceId::from_bytes([2; 16]) };
    const A: AttemptId = AttemptId::from_bytes([1; 16]);
    const B: AttemptId = AttemptId::from_bytes([2; 16]);
    const IDLE: Duration = Duration::from_secs(ATTEMPT_IDLE_SECONDS);

    fn hash(text: &str) -> Hash {
        Hash::of(&[text.as_bytes()])
    }

    impl Attempts {
        /// A deposit by the side whose step it is.
        fn put(&self, attempt: AttemptId, step: u8, bytes: Vec<u8>) -> Result<(), ErrorCode> {
            self.deposit(attempt, Side::depositing(step), step, bytes)
        }

        /// A look by the side that reads this step.
        fn get(&self, attempt: AttemptId, step: u8) -> Result<Vec<u8>, ErrorCode> {
            self.fetch(attempt, Side::depositing(step + 1), step)
        }

        fn shows_log(&self, attempt: AttemptId) -> bool {
            self.state(attempt).unwrap().may_see_log()
        }
    }

    #[test]
    fn one_attempt_belongs_to_who_knows_its_secret() {
        let (attempts, now) = (Attempts::new(GREETER), Instant::now());
        let view = attempts.start(A, hash("a"), now).unwrap();
        assert_eq!(view.greeter, Some(GREETER));
        assert_eq!(attempts.start(A, hash("a"), now), Ok(view));
        assert_eq!(attempts.start(A, hash("b"), now), Err(ErrorCode::AttemptUnknown));
        assert_eq!(attempts.start(B, hash("b"), now), Err(ErrorCode::InvitationInUse));
        assert_eq!(attempts.claimer(A, &hash("a"), now), Ok(()));
        assert_eq!(attempts.claimer(A, &hash("b"), now), Err(ErrorCode::AttemptUnknown));
        assert_eq!(attempts.claimer(B, &hash("a"), now), Err(ErrorCode::AttemptUnknown));
        assert!(attempts.end(A, EndReason::Cancelled) && !attempts.end(A, EndReason::Cancelled));
        // Asked again, it answers as before: with the attempt, and that is over.
        assert_eq!(attempts.start(A, hash("a"), now).unwrap().ended, Some(EndReason::Cancelled));
        assert!(attempts.start(B, hash("b"), now).is_ok());
    }

    /// No restart of an attempt: an id that was used stands for what became of it, also when
    /// another attempt has come after it.
    #[test]
    fn an_attempt_that_another_took_the_place_of_is_not_opened_again() {
        let (attempts, now) = (Attempts::new(GREETER), Instant::now());
        attempts.start(A, hash("a"), now).unwrap();
        attempts.put(A, 0, vec![0]).unwrap();
        assert!(attempts.end(A, EndReason::CodeMismatch));
        attempts.start(B, hash("b"), now).unwrap();
        assert!(attempts.end(B, EndReason::CodeMismatch));
        let again = attempts.start(A, hash("a"), now).unwrap();
        assert_eq!((again.steps, again.ended), (1, Some(EndReason::CodeMismatch)));
        assert_eq!(attempts.start(A, hash("c"), now), Err(ErrorCode::AttemptUnknown));
        assert_eq!(attempts.watch().borrow().as_ref().unwrap().attempt, B);
    }

    #[test]
    fn no_more_attempts_are_kept_than_an_invitation_takes() {
        let (attempts, now) = (Attempts::new(GREETER), Instant::now());
        for byte in 0..=u8::try_from(ATTEMPTS_MAX).unwrap() {
            let attempt = AttemptId::from_bytes([byte; 16]);
            attempts.start(attempt, hash("a"), now).unwrap();
            assert!(attempts.end(attempt, EndReason::Cancelled));
        }
        assert_eq!(attempts.lock().len(), ATTEMPTS_MAX as usize);
    }

    #[test]
    fn an_idle_attempt_is_replaced_until_something_was_signed() {
        let (attempts, now) = (Attempts::new(GREETER), Instant::now());
        attempts.start(A, hash("a"), now).unwrap();
        let nearly = now + IDLE - Duration::from_secs(1);
        assert_eq!(attempts.start(B, hash("b"), nearly), Err(ErrorCode::InvitationInUse));
        attempts.claimer(A, &hash("a"), nearly).unwrap();
        assert_eq!(attempts.start(B, hash("b"), now + IDLE), Err(ErrorCode::InvitationInUse));
        attempts.end_idle(now + IDLE);
        assert!(attempts.state(A).unwrap().is_open());
        assert!(attempts.start(B, hash("b"), nearly + IDLE).is_ok());
        assert_eq!(attempts.state(A).unwrap().ended, Some(EndReason::Abandoned));
        for step in 0..=HANDOVER_STEP {
            attempts.put(B, step, vec![step]).unwrap();
        }
        let c = AttemptId::from_bytes([3; 16]);
        assert_eq!(attempts.start(c, hash("c"), now + 9 * IDLE), Err(ErrorCode::InvitationInUse));
        attempts.end_idle(now + 9 * IDLE);
        assert!(attempts.state(B).unwrap().is_open());
    }

    #[test]
    fn an_idle_attempt_ends_with_an_exhausted_invitation() {
        let (attempts, now) = (Attempts::new(GREETER), Instant::now());
        attempts.start(A, hash("a"), now).unwrap();
        let mut seen = attempts.watch();
        seen.mark_unchanged();
        attempts.end_idle(now + IDLE);
        assert!(seen.has_changed().unwrap());
        assert_eq!(attempts.state(A).unwrap().ended, Some(EndReason::Abandoned));
    }

    #[test]
    fn steps_come_in_order_and_once() {
        let (attempts, now) = (Attempts::new(GREETER), Instant::now());
        assert_eq!(attempts.put(A, 0, vec![0]), Err(ErrorCode::AttemptUnknown));
        attempts.start(A, hash("a"), now).unwrap();
        for step in 0..STEPS {
            assert_eq!(attempts.get(A, step), Err(ErrorCode::NotYet));
            assert_eq!(attempts.shows_log(A), step > HANDOVER_STEP);
            for wrong in step + 1..=u8::MAX {
                assert_eq!(attempts.put(A, wrong, vec![0]), Err(ErrorCode::StepRefused), "{wrong}");
            }
            assert_eq!(attempts.put(A, step, vec![0; STEP_MAX_BYTES + 1]), Err(ErrorCode::TooLarge));
            assert_eq!(attempts.put(A, step, Vec::new()), Err(ErrorCode::BadRequest));
            attempts.put(A, step, vec![step]).unwrap();
            attempts.put(A, step, vec![step]).unwrap();
            assert_eq!(attempts.put(A, step, vec![step, 0]), Err(ErrorCode::StepConflict));
            assert_eq!(attempts.get(A, step), Ok(vec![step]));
            // Neither side says or reads what is the other's.
            assert_eq!(attempts.fetch(A, Side::depositing(step), step), Err(ErrorCode::StepRefused));
            let other = Side::depositing(step + 1);
            assert_eq!(attempts.deposit(A, other, step, vec![step]), Err(ErrorCode::StepRefused));
        }
        // The receipt is there: nobody's wish ends it any more.
        assert_eq!(attempts.may_cancel(A, EndReason::Cancelled), Err(ErrorCode::AttemptSealed));
        assert_eq!(attempts.may_withdraw(A), Err(ErrorCode::AttemptSealed));
        assert!(attempts.end(A, EndReason::Completed));
        assert_eq!(attempts.get(A, 7), Err(ErrorCode::AttemptEnded));
    }

    /// Bytes go with the end of their attempt; a deposit that is repeated is answered as before.
    #[test]
    fn after_the_end_a_repeated_step_is_answered_and_nothing_else() {
        let (attempts, now) = (Attempts::new(GREETER), Instant::now());
        attempts.start(A, hash("a"), now).unwrap();
        for step in 0..3 {
            attempts.put(A, step, vec![step]).unwrap();
        }
        assert!(attempts.end(A, EndReason::Cancelled));
        assert_eq!(attempts.put(A, 2, vec![2]), Ok(()));
        assert_eq!(attempts.put(A, 2, vec![3]), Err(ErrorCode::StepConflict));
        assert_eq!(attempts.put(A, 3, vec![3]), Err(ErrorCode::AttemptEnded));
        assert!(attempts.lock()[0].steps.iter().all(|step| step.bytes.is_none()));
        assert_eq!(attempts.may_cancel(A, EndReason::Cancelled), Ok(false));
        assert_eq!(attempts.may_cancel(A, EndReason::TimedOut), Err(ErrorCode::AttemptEnded));
        assert_eq!(attempts.may_cancel(B, EndReason::Cancelled), Err(ErrorCode::AttemptUnknown));
    }

    #[test]
    fn after_a_restart_the_handover_can_be_fetched_and_the_receipt_left() {
        let attempts = Attempts::resumed(GREETER, A, hash("a"), vec![7], None);
        assert_eq!(attempts.state(A).unwrap().steps, 0xff);
        assert!(attempts.shows_log(A));
        assert_eq!((attempts.get(A, 7), attempts.get(A, 5)), (Ok(vec![7]), Err(ErrorCode::NotYet)));
        // What was forgotten can't be said anew.
        assert_eq!(attempts.put(A, 6, vec![6]), Err(ErrorCode::StepConflict));
        attempts.put(A, 8, vec![8]).unwrap();
        let attempts = Attempts::resumed(GREETER, A, hash("a"), vec![7], Some(vec![8]));
        assert_eq!((attempts.state(A).unwrap().steps, attempts.get(A, 7)), (0x1ff, Ok(vec![7])));
        assert_eq!(attempts.put(A, 8, vec![8]), Ok(()));
    }
}
