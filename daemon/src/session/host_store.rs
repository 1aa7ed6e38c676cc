//! What the greeter's end of a peer-to-peer transport keeps: counts, messages 7 and 8, and the log
//! it hands on.
//!
//! Decides nothing about the ceremony. Every call returns once its change is on disk. Also the list
//! of hosts that are open, so that a greeting and the outbox share one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{AttemptId, Token};
use parsec_protocol::relay::{ErrorCode, LogPage};

use super::device::Device;
use crate::p2p::{Host, HostStore};
use crate::store::{DirectStep, Store, Tally};

/// A page of the log that a peer is given: relays of the usual kind carry 128 KiB on a connection,
/// and cut it then.
const PAGE_MAX_BYTES: usize = 48 * 1024;

/// Keeps for one invitation in its device's store.
#[derive(Debug)]
pub struct DeviceHostStore {
    /// The greeter's device, whose store it is.
    pub device: Arc<Device>,
    /// Token of the invitation that is served.
    pub token: Token,
}

/// What a failed disk means to a claimer: nothing was changed, and it may work later.
fn failed(problem: &Problem) -> ErrorCode {
    tracing::error!(%problem, "the store failed while a peer was served");
    match problem.name {
        ProblemKind::DiskFull => ErrorCode::QuotaReached,
        _ => ErrorCode::Internal,
    }
}

impl HostStore for DeviceHostStore {
    async fn attempt(&self) -> Result<(), ErrorCode> {
        let token = self.token;
        let counted = self
            .device
            .store(move |store| {
                let Some(invitation) = store.invitation(token)? else {
                    return Ok(Err(ErrorCode::InvitationCancelled));
                };
                if store.is_sealed(token)? {
                    return Ok(Err(ErrorCode::InvitationCompleted));
                }
                if invitation.tally.is_exhausted() {
                    return Ok(Err(ErrorCode::InvitationExhausted));
                }
                store.count(token, Tally { attempts: 1, mismatches: 0 })?;
                Ok(Ok(()))
            })
            .await;
        counted.map_err(|problem| failed(&problem))?
    }

    async fn handover(&self, attempt: AttemptId, bytes: Vec<u8>) -> Result<(), ErrorCode> {
        let keep = move |store: &Store| store.put_step(attempt, DirectStep::Seven, &bytes);
        self.device.store(keep).await.map_err(|problem| failed(&problem))
    }

    async fn receipt(&self, attempt: AttemptId, bytes: Vec<u8>) -> Result<(), ErrorCode> {
        let keep = move |store: &Store| store.put_step(attempt, DirectStep::Eight, &bytes);
        self.device.store(keep).await.map_err(|problem| failed(&problem))
    }

    async fn cancelled(&self, attempt: AttemptId) -> Result<(), ErrorCode> {
        self.device
            .store(move |store| store.set_aside_unreceived(attempt))
            .await
            .map_err(|problem| failed(&problem))
    }

    async fn log_page(&self, from: u64) -> Result<LogPage, ErrorCode> {
        let page = self.device.store(move |store| store.page(from)).await;
        let (count, mut certificates) = page.map_err(|problem| failed(&problem))?;
        let mut room = PAGE_MAX_BYTES;
        let fits = |envelope: &&Vec<u8>| {
            let left = room.checked_sub(envelope.len());
            room = left.unwrap_or_default();
            left.is_some()
        };
        let most = certificates.iter().take_while(fits).count();
        certificates.truncate(most.max(1));
        Ok(LogPage { count, certificates: certificates.into_iter().map(Into::into).collect() })
    }
}

/// The hosts that are open, one for each invitation. None is kept open by being listed here.
#[derive(Debug, Default)]
pub struct Hosts {
    open: Mutex<BTreeMap<Token, Weak<Host<DeviceHostStore>>>>,
    /// Held while a host is opened: two with one identity would take each other's claimers.
    pub opening: tokio::sync::Mutex<()>,
}

impl Hosts {
    /// The open host of this invitation.
    pub fn live(&self, token: Token) -> Option<Arc<Host<DeviceHostStore>>> {
        let mut hosts = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.retain(|_, host| host.strong_count() > 0);
        hosts.get(&token).and_then(Weak::upgrade)
    }

    /// Lists a host that was just opened.
    pub fn put(&self, token: Token, host: &Arc<Host<DeviceHostStore>>) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(token, Arc::downgrade(host));
    }
}
