//! The organisation's log at any of its places: what items of a safe are judged by that are put
//! back long after they were written.
//!
//! Decides nothing: the log is verified anew by the rules that let it in, as a member does. Some
//! organisations' are kept, since a repair is many calls of the same. Refuses to answer for a log
//! that is another one by now.

use std::sync::{Arc, Mutex, PoisonError};

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::at::{DeviceAt, MembersAt, UserAt};
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::chain::view::LogView;
use parsec_protocol::ids::{DeviceId, OrganisationId, UserId};

use crate::errors::Refusal;
use crate::store::{StoreError, Tx, log};

/// Logs that are kept: each takes its certificates' signatures to be read anew, and some tens of
/// megabytes where it is among the longest.
const KEPT: usize = 8;

/// The logs of the organisations that were repaired last, as far as they were read; the newest
/// last.
#[derive(Debug, Default)]
pub(crate) struct PastLogs(Mutex<Vec<Arc<VerifiedLog>>>);

impl PastLogs {
    fn kept(&self, organisation: &OrganisationId) -> Option<Arc<VerifiedLog>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|kept| kept.organisation() == organisation).map(Arc::clone)
    }

    fn keep(&self, log: &Arc<VerifiedLog>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|other| other.organisation() != log.organisation());
        kept.push(Arc::clone(log));
        let surplus = kept.len().saturating_sub(KEPT);
        kept.drain(..surplus);
    }

    /// The log as it is in this transaction.
    ///
    /// # Errors
    /// The store's.
    pub(crate) fn read(
        &self,
        tx: &dyn Tx,
        organisation: &OrganisationId,
    ) -> Result<Arc<VerifiedLog>, Refusal> {
        let end = log::end(tx, organisation)?;
        let mut known = None;
        if let Some(kept) = self.kept(organisation).filter(|kept| *kept.root() == end.root)
            && is_still(tx, organisation, kept.head())?
        {
            if kept.head() == end.head {
                return Ok(kept);
            }
            known = Some(VerifiedLog::clone(&kept));
        }
        let mut past = known.unwrap_or_else(|| VerifiedLog::empty(organisation.clone(), end.root));
        while past.count() < end.head.count {
            let page: Vec<Vec<u8>> =
                tx.page(organisation, past.count())?.certificates.into_iter().map(ByteVec::into).collect();
            let done = page.iter().try_for_each(|envelope| past.push(envelope));
            if done.is_err() || page.is_empty() {
                return Err(StoreError::Damaged("certificate").into());
            }
        }
        let past = Arc::new(past);
        self.keep(&past);
        Ok(past)
    }
}

/// Whether the log in this transaction passes through a head.
pub(super) fn is_still(tx: &dyn Tx, organisation: &OrganisationId, head: Head) -> Result<bool, StoreError> {
    let Some(position) = head.count.checked_sub(1) else { return Ok(true) };
    Ok(tx.head_after(organisation, position)? == Some(head.hash))
}

/// Such a log as the rules ask it beside rows.
pub(super) struct Past<'a>(pub(super) &'a VerifiedLog);

impl LogView for Past<'_> {
    type Error = StoreError;

    fn head(&self) -> Result<Head, StoreError> {
        Ok(self.0.head())
    }

    fn head_at(&self, count: u64) -> Result<Option<Head>, StoreError> {
        Ok(self.0.head_at(count))
    }
}

impl MembersAt for Past<'_> {
    fn organisation(&self) -> &OrganisationId {
        self.0.organisation()
    }

    fn user_at(&self, user: &UserId, n: u64) -> Result<Option<UserAt>, StoreError> {
        Ok(known(self.0.user_at(user, n)))
    }

    fn device_at(&self, device: &DeviceId, n: u64) -> Result<Option<DeviceAt>, StoreError> {
        Ok(known(self.0.device_at(device, n)))
    }

    fn changed_before(&self, n: u64) -> Result<Option<u64>, StoreError> {
        Ok(known(self.0.changed_before(n)))
    }
}

/// What memory answers.
fn known<T>(answer: Result<T, std::convert::Infallible>) -> T {
    match answer {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}
