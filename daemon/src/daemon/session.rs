//! An unlocked device: its keys, its verified log, and the tasks that need them.
//!
//! Decides which log is believed: the stored one if it verifies and contains the head the keys were saved with, then
//! only what extends it. Refuses a server that shows fewer certificates than before, or others.

mod anew;
mod import;
mod repair;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use parsec_protocol::chain::candidate::Accepted;
use parsec_protocol::chain::checkpoint::Checkpoint;
use parsec_protocol::chain::organisation::Organisation;
use parsec_protocol::chain::organisation::log::{LogError, VerifiedLog};
use parsec_protocol::chain::organisation::rules::Fault;
use parsec_protocol::control::{DeviceState, DeviceView, Problem, ProblemKind};
use parsec_protocol::ids::{AttemptId, DeviceId};
use parsec_protocol::public::{Context, Signature};
use parsec_protocol::relay::ErrorCode;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::forks::ForkEvidence;
use super::net::Net;
use super::{alarms, direct, notices};
use crate::crew::ThreadPool;
use crate::events::Hub;
use crate::outbox::Progress;
use crate::problems;
use crate::store::{DeviceSummary, OpenDevice, Store, StoreError};
use crate::transport::RoadError;
use crate::transport::http::{Client, Server};
use crate::transport::relay::{Member, Signer};

impl Signer for OpenDevice {
    fn device(&self) -> DeviceId {
        self.summary.device
    }

    fn sign_request(&self, message: &[u8]) -> Signature {
        self.keys.signing_key.sign(Context::Request, message)
    }
}

/// Certificates verified anew after which it is noted how far the log has been: verifying fewer takes some milliseconds.
const CHECKPOINT_STEP: u64 = 64;

/// An unlocked device. When the last reference is dropped its keys are wiped.
#[derive(Debug)]
pub struct Session {
    /// Keys and store.
    pub open: Arc<OpenDevice>,
    /// The server, as this device.
    pub member: Member,
    /// Ends everything that runs for it.
    pub stop: CancellationToken,
    /// Everything that runs for it.
    pub tasks: TaskTracker,
    /// Set once the server has said, or the log, that the device or its user is revoked.
    revoked: watch::Sender<bool>,
    /// Rows of the outbox that are being finished.
    pub rows: Mutex<BTreeMap<AttemptId, watch::Receiver<Progress>>>,
    /// The direct road.
    pub net: Net,
    /// This device's ends of it that are open.
    pub hosts: direct::Hosts,
    events: Hub,
    log: Mutex<Arc<VerifiedLog>>,
    /// Held by who fetches: the others wait for what comes, and may go on with what is there.
    syncing: tokio::sync::Mutex<()>,
}

/// Runs a call of the store where it may block.
///
/// # Errors
/// The store's, as a problem.
pub async fn blocking<T: Send + 'static, E: Into<Problem> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => Err(Problem::new(ProblemKind::Internal, "A call of the store failed without an answer.")),
    }
}

/// What a certificate that fails means: another past, or no valid log at all.
fn not_believed(error: &LogError) -> Problem {
    match error.fault {
        Fault::ForkedView | Fault::SeenAhead => {
            Problem::new(ProblemKind::RolledBack, problems::log(error).message)
        }
        _ => problems::log(error),
    }
}

/// Notes how far the log has been verified. A disk that is full keeps nobody out: it only takes longer next time.
fn note_verified(open: &OpenDevice, log: &VerifiedLog) {
    if let Err(error) = open.store.put_checkpoint(&Checkpoint::of(log, &open.checkpoint_key).encode()) {
        tracing::warn!(%error, "how far the log was verified could not be noted");
    }
}

/// Of certificates from a position on, of which one fails: that one is evidence itself if it has seen another log, whoever handed it over.
fn stray(error: &LogError, from: u64, envelopes: &[Vec<u8>]) -> Option<SyncError> {
    let at = error.position.checked_sub(from).and_then(|at| usize::try_from(at).ok());
    let envelope = at.and_then(|at| envelopes.get(at)).filter(|_| error.fault == Fault::ForkedView)?;
    Some(SyncError::Past(not_believed(error), Box::new(ForkEvidence::ForeignView(envelope.clone()))))
}

/// Takes a certificate into the log that everybody sees: in its place, unless somebody is just looking at it.
fn followed(log: &Mutex<Arc<VerifiedLog>>, next: Accepted<'_, Organisation>) -> bool {
    Arc::make_mut(&mut log.lock().unwrap_or_else(PoisonError::into_inner)).follow(next)
}

impl Session {
    /// Verifies the stored log under the keys; no network.
    ///
    /// # Errors
    /// `store_damaged` where the stored log does not verify or lacks what the keys were saved with.
    pub async fn start(
        open: OpenDevice,
        client: Client,
        stop: CancellationToken,
        events: Hub,
        net: Net,
    ) -> Result<Arc<Self>, Problem> {
        let open = Arc::new(open);
        let server = Server::new(client, &open.summary.server)?;
        let signer: Arc<dyn Signer> = Arc::clone(&open) as Arc<dyn Signer>;
        let member = Member::new(server, open.summary.organisation.clone(), signer);
        let stored = Arc::clone(&open);
        let log = blocking(move || {
            let envelopes = stored.store.certificates()?;
            let note = stored.store.checkpoint()?;
            let note = note.as_deref().map(|note| (note, &stored.checkpoint_key));
            let organisation = stored.summary.organisation.clone();
            let log = VerifiedLog::resume(organisation, stored.keys.root, &envelopes, note, &ThreadPool)
                .map_err(|_| StoreError::Damaged("its log does not verify"))?;
            let (certificates, anew) = (log.count(), log.freshly_verified());
            tracing::info!(device = %stored.summary.device, certificates, anew, "the log is verified");
            if anew >= CHECKPOINT_STEP {
                note_verified(&stored, &log);
            }
            if log.extends(&stored.keys.head) {
                Ok(log)
            } else {
                Err(StoreError::Damaged("its log lacks what was there when the keys were saved"))
            }
        })
        .await?;
        let session = Arc::new(Self {
            open,
            member,
            stop,
            tasks: TaskTracker::new(),
            revoked: watch::Sender::new(false),
            rows: Mutex::default(),
            net,
            hosts: direct::Hosts::default(),
            events,
            log: Mutex::new(Arc::new(log)),
            syncing: tokio::sync::Mutex::default(),
        });
        alarms::show_again(&session).await?;
        // A full disk keeps nobody out.
        if let Err(problem) = notices::begin(&session).await {
            tracing::warn!(%problem, "up to where the log was looked through could not be noted");
        }
        Ok(session)
    }

    /// The log as verified last.
    pub fn log(&self) -> Arc<VerifiedLog> {
        Arc::clone(&self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Fetches what is new in the log, verifies it and keeps it. Each page is durable before the next.
    ///
    /// # Errors
    /// The server's refusal; `rolled_back` or `chain_invalid`, and then the log is as it was before the bad page.
    pub async fn sync(&self) -> Result<Arc<VerifiedLog>, SyncError> {
        let done = self.catch_up().await;
        self.note_server(done.as_ref().err());
        self.watched(done).await
    }

    /// The same in a task of its own, which locking ends: fetching that is broken off between disk and memory would leave them
    /// apart, so whoever stops waiting breaks nothing off.
    ///
    /// # Errors
    /// As [`Self::sync`]; `device_locked`.
    pub async fn sync_apart(self: &Arc<Self>) -> Result<Arc<VerifiedLog>, SyncError> {
        let (tell, told) = tokio::sync::oneshot::channel();
        let session = Arc::clone(self);
        self.tasks.spawn(async move {
            tokio::select! {
                () = session.stop.cancelled() => {}
                synced = session.sync() => {
                    let _ = tell.send(synced);
                }
            }
        });
        let locked = || SyncError::Log(Problem::new(ProblemKind::DeviceLocked, "The device was locked."));
        told.await.unwrap_or_else(|_| Err(locked()))
    }

    /// What became of a call says whether there is a server. A refusal is an answer, and so is what is not believed.
    fn note_server(&self, error: Option<&SyncError>) {
        let found = match error {
            Some(SyncError::Road(error)) if error.code().is_none() => Err(error.clone().into()),
            Some(SyncError::Road(_) | SyncError::Log(_) | SyncError::Past(..)) | None => Ok(()),
        };
        self.net.server_seen(&self.open.summary.organisation, &self.member.server().address(), found);
    }

    /// Whoever asked, and if it was nobody: a log that is not believed is an alarm.
    async fn watched<T>(&self, done: Result<T, SyncError>) -> Result<T, SyncError> {
        match done {
            Err(SyncError::Past(problem, suspect)) => {
                alarms::raise(self, &problem, Some(*suspect)).await;
                Err(SyncError::Log(problem))
            }
            Err(SyncError::Log(problem)) => {
                self.alarm(&problem).await;
                Err(SyncError::Log(problem))
            }
            Err(SyncError::Road(error)) => {
                if error.code() == Some(ErrorCode::Revoked) {
                    self.revoked.send_replace(true);
                }
                Err(SyncError::Road(error))
            }
            Ok(done) => Ok(done),
        }
    }

    /// Takes note of a problem that says more about this device than about what was asked of it.
    pub fn saw(&self, problem: &Problem) {
        if problem.name == ProblemKind::Revoked {
            self.revoked.send_replace(true);
        }
    }

    /// Returns once somebody has been told that this device, or its user, is revoked.
    pub async fn until_revoked(&self) {
        // Fails without a sender alone, which is here.
        let _ = self.revoked.subscribe().wait_for(|revoked| *revoked).await;
    }

    /// Raises an alarm where a problem is one of trust. Returns once it is kept and told.
    pub async fn alarm(&self, problem: &Problem) {
        alarms::raise(self, problem, None).await;
    }

    /// The daemon's events.
    #[must_use]
    pub const fn events(&self) -> &Hub {
        &self.events
    }

    async fn catch_up(&self) -> Result<Arc<VerifiedLog>, SyncError> {
        let _turn = self.syncing.lock().await;
        loop {
            let log = self.log();
            let have = log.count();
            let page = match self.member.log_page(have).await {
                Err(error) if error.code() == Some(ErrorCode::NotAuthenticated) => {
                    return Err(self.unknown_there(&log, error));
                }
                page => page?,
            };
            if page.count < have {
                let text = format!(
                    "The server's log has {} certificates; this device has verified {have}.",
                    page.count
                );
                let problem = Problem::new(ProblemKind::RolledBack, text);
                return Err(SyncError::Past(problem, Box::new(ForkEvidence::Shorter)));
            }
            if page.certificates.is_empty() {
                return if page.count == have {
                    self.look_through(&log).await;
                    Ok(log)
                } else {
                    Err(SyncError::Road(RoadError::Misbehaved("a page of the log lacks its certificates")))
                };
            }
            let mut envelopes: Vec<Vec<u8>> = page.certificates.into_iter().map(Vec::from).collect();
            if let [only] = envelopes.as_mut_slice() {
                self.take_one(log, std::mem::take(only)).await?;
                continue;
            }
            let (before, open) = (Arc::clone(&log), Arc::clone(&self.open));
            let longer = blocking(move || {
                let mut longer = VerifiedLog::clone(&before);
                if let Err(error) = longer.extend_with(&envelopes, &ThreadPool) {
                    let suspected = stray(&error, have, &envelopes);
                    return Ok::<_, StoreError>(Err(
                        suspected.unwrap_or_else(|| SyncError::Log(not_believed(&error)))
                    ));
                }
                open.store.append_certificates(have, &envelopes)?;
                // Whole pages come at a device's first look and after a long time off: what was verified then is worth a note.
                if envelopes.len() as u64 >= CHECKPOINT_STEP {
                    note_verified(&open, &longer);
                }
                Ok(Ok(longer))
            })
            .await
            .map_err(SyncError::Log)??;
            self.keep(longer);
        }
    }

    /// One certificate more, as nearly always: the log, which may be long, is not copied for it.
    async fn take_one(&self, log: Arc<VerifiedLog>, envelope: Vec<u8>) -> Result<(), SyncError> {
        let open = Arc::clone(&self.open);
        let next = blocking(move || {
            let next = match log.judge(&envelope) {
                Ok(next) => next,
                Err(error) => {
                    let suspected = stray(&error, log.count(), std::slice::from_ref(&envelope));
                    return Ok::<_, StoreError>(Err(
                        suspected.unwrap_or_else(|| SyncError::Log(not_believed(&error)))
                    ));
                }
            };
            open.store.append_certificates(log.count(), std::slice::from_ref(&envelope))?;
            Ok(Ok(next.into_owned()))
        })
        .await
        .map_err(SyncError::Log)??;
        if followed(&self.log, next) {
            Ok(())
        } else {
            let text = "The log has grown beside the one who fetches.";
            Err(SyncError::Log(Problem::new(ProblemKind::Internal, text)))
        }
    }

    /// The server says that it doesn't know this device. Where the verified log does, certificates are missing there.
    fn unknown_there(&self, log: &VerifiedLog, error: RoadError) -> SyncError {
        if log.device(&self.open.summary.device).is_none_or(|device| device.revoked.is_some()) {
            return SyncError::Road(error);
        }
        let text = "The server does not know this device, which the log has that this device verified: it lost certificates.";
        SyncError::Past(Problem::new(ProblemKind::RolledBack, text), Box::new(ForkEvidence::Shorter))
    }

    /// Tells the person what is new about them. What can't be told now is told with the next.
    async fn look_through(&self, log: &VerifiedLog) {
        if let Err(problem) = notices::tell(self, log).await {
            tracing::warn!(%problem, "the log could not be looked through");
        }
    }

    /// This is the log from here on: it is on disk.
    fn keep(&self, longer: VerifiedLog) -> Arc<VerifiedLog> {
        let longer = Arc::new(longer);
        *self.log.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&longer);
        longer
    }

    /// Runs a call of this device's store where it may block.
    ///
    /// # Errors
    /// The store's, as a problem.
    pub async fn store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let open = Arc::clone(&self.open);
        blocking(move || work(&open.store)).await
    }

    /// Tells that the outbox has changed.
    pub fn outbox_changed(&self) {
        self.events.outbox(self.open.summary.device, &self.stop, || (self.outbox(), self.set_aside()));
    }

    /// Enrolments this device signed that are not in the log yet.
    #[must_use]
    pub fn outbox(&self) -> u32 {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let open = rows.values().filter(|progress| !progress.borrow().is_over()).count();
        u32::try_from(open).unwrap_or(u32::MAX)
    }

    /// Enrolments this device signed that somebody says are over.
    #[must_use]
    pub fn set_aside(&self) -> u32 {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let aside = rows.values().filter(|progress| matches!(&*progress.borrow(), Progress::Void(_))).count();
        u32::try_from(aside).unwrap_or(u32::MAX)
    }
}

/// Why the log could not be brought up to date.
#[derive(Debug)]
pub enum SyncError {
    /// The way to the server, or its refusal.
    Road(RoadError),
    /// What it sent is not believed, or could not be kept.
    Log(Problem),
    /// It sent what can't go together with this device's log, and a member may have signed for it.
    Past(Problem, Box<ForkEvidence>),
}

impl From<RoadError> for SyncError {
    fn from(error: RoadError) -> Self {
        Self::Road(error)
    }
}

impl From<SyncError> for Problem {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::Road(error) => error.into(),
            SyncError::Log(problem) | SyncError::Past(problem, _) => problem,
        }
    }
}

/// A device as the local API shows it.
#[must_use]
pub fn view(summary: &DeviceSummary, session: Option<&Session>) -> DeviceView {
    let keys = session.map(|session| &session.open.keys);
    DeviceView {
        device: summary.device,
        user: summary.user,
        organisation: summary.organisation.clone(),
        server: summary.server.clone(),
        state: if session.is_some() { DeviceState::Unlocked } else { DeviceState::Locked },
        registration: summary.registration,
        name: keys.map(|keys| keys.name.clone()),
        email: keys.map(|keys| keys.email.clone()),
        label: keys.map(|keys| keys.device_label.clone()),
        outbox: session.map(Session::outbox),
        outbox_set_aside: session.map(Session::set_aside),
    }
}

#[cfg(test)]
mod tests;
