//! A log that was verified from its first certificate: the type that only the rules can make.
//!
//! Decides what stays as it was when a certificate fails: everything before it. Refuses every
//! certificate that the rule set does not accept as the very next one.

use std::convert::Infallible;

use super::batch::{self, Executor};
use super::candidate::{Accepted, Candidate};
use super::head::Head;
use super::rules::Rules;
use super::view::LogView;
use crate::public_keys::Hash;

/// A log that verified from its origin to its head. Obtained from the verifier alone.
#[derive(Debug, Clone)]
pub struct Log<R: Rules> {
    origin: R::Origin,
    /// The running hash at every count from 0: a certificate may have seen any of them.
    heads: Vec<Hash>,
    state: R::State,
    /// Certificates that were not on a checkpoint's word.
    fresh: u64,
}

/// One certificate that fails makes the log invalid from there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("certificate {position} of the log: {fault}")]
pub struct LogError<F> {
    /// Position of the first bad certificate; 0 is the first.
    pub position: u64,
    /// The rule that it breaks.
    pub fault: F,
}

impl<R: Rules> Log<R> {
    /// The log before its first certificate.
    #[must_use]
    pub fn begin(origin: R::Origin) -> Self {
        let heads = vec![R::first_hash(&origin)];
        Self { origin, heads, state: R::State::default(), fresh: 0 }
    }

    /// Whether a certificate may stand next, without taking it in: so that a long log is not copied
    /// for the sake of one more.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn judge_within<'a>(
        &self,
        envelope: &'a [u8],
        around: &R::Around,
    ) -> Result<Accepted<'a, R>, LogError<R::Fault>> {
        self.accept(around, || Candidate::read(envelope))
    }

    /// Takes in the next certificate. On failure the log is as it was.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn push_within(&mut self, envelope: &[u8], around: &R::Around) -> Result<(), LogError<R::Fault>> {
        let accepted = self.judge_within(envelope, around)?;
        self.add(accepted);
        Ok(())
    }

    /// Like [`Self::push_within`] for one after the other, with the signatures checked by an
    /// executor: the same result, in less time.
    ///
    /// # Errors
    /// [`LogError`]; the certificates before the bad one are kept.
    pub fn extend_within<E: AsRef<[u8]>>(
        &mut self,
        envelopes: &[E],
        executor: &impl Executor,
        around: &R::Around,
    ) -> Result<(), LogError<R::Fault>> {
        for batch in envelopes.chunks(batch::SIZE) {
            for job in batch::prepare(self, around, batch, executor) {
                let accepted = self.accept(around, || job.done())?;
                self.add(accepted);
            }
        }
        Ok(())
    }

    /// Takes in what was judged to be next of this very log. `false`, and nothing done: it was
    /// another, or has grown since.
    #[must_use]
    pub fn follow(&mut self, next: Accepted<'_, R>) -> bool {
        let is_next = next.before() == self.head();
        if is_next {
            self.add(next);
        }
        is_next
    }

    /// The next certificate of this very log, if the rules find that it is one.
    fn accept<'a>(
        &self,
        around: &R::Around,
        read: impl FnOnce() -> Option<Candidate<'a, R>>,
    ) -> Result<Accepted<'a, R>, LogError<R::Fault>> {
        let judged = R::judge(self, around, read);
        let candidate = judged.map_err(|fault| LogError { position: self.count(), fault })?;
        Ok(candidate.accept(self.head()))
    }

    /// Takes in a certificate that was accepted for this very place.
    fn add(&mut self, accepted: Accepted<'_, R>) {
        self.fresh = self.fresh.saturating_add(1);
        let after = accepted.after();
        self.restore(accepted.into_payload(), after);
    }

    /// Takes in a certificate that is known to have been accepted here, and after which the log
    /// ends with `after`.
    pub(super) fn restore(&mut self, payload: R::Payload, after: Head) {
        let position = self.count();
        R::apply(&mut self.state, payload, position);
        self.heads.push(after.hash);
    }

    /// What names this log.
    #[must_use]
    pub const fn origin(&self) -> &R::Origin {
        &self.origin
    }

    /// What its certificates say together.
    #[must_use]
    pub const fn state(&self) -> &R::State {
        &self.state
    }

    /// How many certificates it has.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.heads.len().saturating_sub(1) as u64
    }

    /// Where it ends now.
    #[must_use]
    pub fn head(&self) -> Head {
        let first = || Head { count: 0, hash: R::first_hash(&self.origin) };
        self.head_at(self.count()).unwrap_or_else(first)
    }

    /// Where it was after `count` certificates; none if there are fewer.
    #[must_use]
    pub fn head_at(&self, count: u64) -> Option<Head> {
        let hash = *self.heads.get(usize::try_from(count).ok()?)?;
        Some(Head { count, hash })
    }

    /// Whether this log passes through `kept`, a head that was signed, handed over or stored: if
    /// not, it is a fork or a rollback, and must be refused.
    #[must_use]
    pub fn extends(&self, kept: &Head) -> bool {
        self.head_at(kept.count).as_ref() == Some(kept)
    }

    /// How many of its certificates were verified by this program since it started; the others were
    /// on a checkpoint's word.
    #[must_use]
    pub const fn freshly_verified(&self) -> u64 {
        self.fresh
    }
}

/// The short forms, for logs whose rules ask of nothing but the log.
impl<R: Rules<Around = ()>> Log<R> {
    /// This log with further certificates. On failure this one is as it was.
    ///
    /// # Errors
    /// [`LogError`] names the first certificate that fails verification.
    pub fn extended<'a>(
        &self,
        envelopes: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, LogError<R::Fault>> {
        let mut log = self.clone();
        envelopes.into_iter().try_for_each(|envelope| log.push(envelope))?;
        Ok(log)
    }

    /// Like [`Self::extended`], in place: certificates before the bad one are kept.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn push(&mut self, envelope: &[u8]) -> Result<(), LogError<R::Fault>> {
        self.push_within(envelope, &())
    }

    /// As [`Self::judge_within`].
    ///
    /// # Errors
    /// [`LogError`].
    pub fn judge<'a>(&self, envelope: &'a [u8]) -> Result<Accepted<'a, R>, LogError<R::Fault>> {
        self.judge_within(envelope, &())
    }

    /// As [`Self::extend_within`].
    ///
    /// # Errors
    /// [`LogError`]; the certificates before the bad one are kept.
    pub fn extend_with<E: AsRef<[u8]>>(
        &mut self,
        envelopes: &[E],
        executor: &impl Executor,
    ) -> Result<(), LogError<R::Fault>> {
        self.extend_within(envelopes, executor, &())
    }
}

impl<R: Rules> LogView for Log<R> {
    type Error = Infallible;

    fn head(&self) -> Result<Head, Infallible> {
        Ok(Log::head(self))
    }

    fn head_at(&self, count: u64) -> Result<Option<Head>, Infallible> {
        Ok(Log::head_at(self, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::organisation::log::VerifiedLog;
    use crate::chain::organisation::rules::Fault;
    use crate::limits::LOG_MAX_CERTIFICATES;
    use crate::public_keys::VerifyKey;

    #[test]
    fn a_full_log_looks_at_no_further_bytes() {
        let mut log = VerifiedLog::empty("acme".parse().unwrap(), VerifyKey::from_bytes([9; 32]));
        let hash = log.head().hash;
        // A log of n certificates has n + 1 heads.
        log.heads.resize(usize::try_from(LOG_MAX_CERTIFICATES).unwrap(), hash);
        let last = LOG_MAX_CERTIFICATES - 1;
        assert_eq!(log.push(b"junk"), Err(LogError { position: last, fault: Fault::Malformed }));
        log.heads.push(hash);
        let error = LogError { position: LOG_MAX_CERTIFICATES, fault: Fault::LogFull };
        assert_eq!(log.push(b"junk"), Err(error));
    }
}
