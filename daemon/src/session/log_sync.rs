//! Bringing a device's log up to date with its server.
//!
//! Decides which log is believed: only what extends the one that was verified. Refuses a server
//! that shows fewer certificates than before, or others; either is an alarm.

use std::sync::{Arc, Mutex, PoisonError};

use parsec_protocol::chain::candidate::Accepted;
use parsec_protocol::chain::checkpoint::Checkpoint;
use parsec_protocol::chain::organisation::Organisation;
use parsec_protocol::chain::organisation::log::{LogError, VerifiedLog};
use parsec_protocol::chain::organisation::rules::Fault;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::relay::{ErrorCode, Least};

use super::forks::ForkEvidence;
use super::{Session, alarms, own_changes};
use crate::os::blocking_in;
use crate::os::threads::ThreadPool;
use crate::problems;
use crate::store::{OpenDevice, StoreError};
use crate::transport::TransportError;

/// Certificates verified anew after which it is noted how far the log has been verified: fewer take
/// some milliseconds.
pub(super) const CHECKPOINT_STEP: u64 = 64;

/// Why the log could not be brought up to date.
#[derive(Debug)]
pub enum SyncError {
    /// The way to the server, or its refusal.
    Transport(TransportError),
    /// What it sent is not believed, or could not be kept.
    Log(Problem),
    /// It sent what can't go together with this device's log, and a member may have signed for it.
    Forked(Problem, Box<ForkEvidence>),
}

impl From<TransportError> for SyncError {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}

impl From<SyncError> for Problem {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::Transport(error) => error.into(),
            SyncError::Log(problem) | SyncError::Forked(problem, _) => problem,
        }
    }
}

/// What a certificate that fails means: a fork or a rollback, or no valid log at all.
pub(super) fn not_believed(error: &LogError) -> Problem {
    match error.fault {
        Fault::ForkedView | Fault::SeenAhead => {
            Problem::new(ProblemKind::RolledBack, problems::log(error).message)
        }
        _ => problems::log(error),
    }
}

/// Notes how far the log has been verified. A full disk keeps nobody out: it only takes longer next
/// time.
pub(super) fn note_verified(open: &OpenDevice, log: &VerifiedLog) {
    if let Err(error) = open.store.put_checkpoint(&Checkpoint::of(log, &open.checkpoint_key).encode()) {
        tracing::warn!(%error, "how far the log was verified could not be noted");
    }
}

/// The fork that a failing certificate proves by itself, whoever sent it: it names a head that is
/// not in this log. None where it fails for another reason. `from` is the position of the first of
/// `envelopes`.
pub(super) fn foreign_view(error: &LogError, from: u64, envelopes: &[Vec<u8>]) -> Option<SyncError> {
    let at = error.position.checked_sub(from).and_then(|at| usize::try_from(at).ok());
    let envelope = at.and_then(|at| envelopes.get(at)).filter(|_| error.fault == Fault::ForkedView)?;
    Some(SyncError::Forked(not_believed(error), Box::new(ForkEvidence::ForeignView(envelope.clone()))))
}

/// Adds a certificate to the log that everybody sees: in place, unless a reader holds the log just
/// now.
pub(super) fn followed(log: &Mutex<Arc<VerifiedLog>>, next: Accepted<'_, Organisation>) -> bool {
    Arc::make_mut(&mut log.lock().unwrap_or_else(PoisonError::into_inner)).follow(next)
}

impl Session {
    /// Fetches what is new in the log, verifies it and keeps it. Each page is durable before the
    /// next.
    ///
    /// # Errors
    /// The server's refusal; `rolled_back` or `chain_invalid`, and then the log is as it was before
    /// the bad page.
    pub async fn sync(&self) -> Result<Arc<VerifiedLog>, SyncError> {
        self.sync_to(0).await
    }

    /// The same where somebody says to have verified that many certificates: a server that has not
    /// got so far is given the time that it gets for what this device has seen itself. Whether they
    /// are there then, the log says.
    ///
    /// # Errors
    /// As [`Self::sync`].
    pub(super) async fn sync_to(&self, said: u64) -> Result<Arc<VerifiedLog>, SyncError> {
        let done = self.catch_up(said).await;
        self.note_server(match &done {
            Err(SyncError::Transport(error)) if error.code().is_none() => Err(error.clone().into()),
            Err(SyncError::Transport(_) | SyncError::Log(_) | SyncError::Forked(..)) | Ok(_) => Ok(()),
        });
        self.watched(done).await
    }

    /// The same in a task of its own, which locking ends: fetching that is broken off between disk
    /// and memory would leave them apart, so whoever stops waiting breaks nothing off.
    ///
    /// # Errors
    /// As [`Self::sync`]; `device_locked`.
    pub async fn sync_apart(self: &Arc<Self>) -> Result<Arc<VerifiedLog>, SyncError> {
        let (tell, told) = tokio::sync::oneshot::channel();
        let session = Arc::clone(self);
        self.run(async move {
            let _ = tell.send(session.sync().await);
        });
        let locked = || SyncError::Log(Problem::new(ProblemKind::DeviceLocked, "The device was locked."));
        told.await.unwrap_or_else(|_| Err(locked()))
    }

    /// Raises an alarm where a log is not believed, whatever it was fetched for.
    pub(super) async fn watched<T>(&self, done: Result<T, SyncError>) -> Result<T, SyncError> {
        match done {
            Err(SyncError::Forked(problem, evidence)) => {
                // A server that shows less was restored, perhaps.
                self.directory_may_be_lost();
                alarms::raise(self, self.log(), &problem, Some(*evidence)).await;
                Err(SyncError::Log(problem))
            }
            Err(SyncError::Log(problem)) => {
                self.alarm(&problem).await;
                Err(SyncError::Log(problem))
            }
            Err(SyncError::Transport(error)) => {
                if error.code() == Some(ErrorCode::Revoked) {
                    self.note_revoked();
                }
                Err(SyncError::Transport(error))
            }
            Ok(done) => Ok(done),
        }
    }

    /// Raises an alarm where a problem is one of trust. Returns once it is kept and told.
    pub async fn alarm(&self, problem: &Problem) {
        alarms::raise(self, self.log(), problem, None).await;
    }

    async fn catch_up(&self, said: u64) -> Result<Arc<VerifiedLog>, SyncError> {
        let _turn = self.syncing.lock().await;
        loop {
            let log = self.log();
            let have = log.count();
            let mut seen = self.member.seen(&log);
            seen.least = seen.least.max(Least(said));
            let page = self.member.log_page(have, seen).await;
            let page = page.map_err(|error| self.lacking(&log, error.into()))?;
            if page.count < have {
                let text = format!(
                    "The server's log has {} certificates; this device has verified {have}.",
                    page.count
                );
                let problem = Problem::new(ProblemKind::RolledBack, text);
                return Err(SyncError::Forked(problem, Box::new(ForkEvidence::Shorter)));
            }
            if page.certificates.is_empty() {
                return if page.count == have {
                    self.look_through(&log).await;
                    Ok(log)
                } else {
                    Err(SyncError::Transport(TransportError::Misbehaved(
                        "a page of the log lacks its certificates",
                    )))
                };
            }
            let mut envelopes: Vec<Vec<u8>> = page.certificates.into_iter().map(Vec::from).collect();
            let is_whole = have.saturating_add(envelopes.len() as u64) == page.count;
            if let [only] = envelopes.as_mut_slice() {
                self.take_one(log, std::mem::take(only)).await?;
                if is_whole {
                    return Ok(self.caught_up().await);
                }
                continue;
            }
            let (before, open) = (Arc::clone(&log), Arc::clone(&self.open));
            let longer = blocking_in(&self.tasks, move || {
                let mut longer = VerifiedLog::clone(&before);
                if let Err(error) = longer.extend_with(&envelopes, &ThreadPool) {
                    let foreign = foreign_view(&error, have, &envelopes);
                    return Ok::<_, StoreError>(Err(
                        foreign.unwrap_or_else(|| SyncError::Log(not_believed(&error)))
                    ));
                }
                open.store.append_certificates(have, &envelopes)?;
                // Whole pages come at a device's first look and after a long time off: what was
                // verified then is worth a note.
                if envelopes.len() as u64 >= CHECKPOINT_STEP {
                    note_verified(&open, &longer);
                }
                Ok(Ok(longer))
            })
            .await
            .map_err(SyncError::Log)??;
            self.keep(longer);
            if is_whole {
                return Ok(self.caught_up().await);
            }
        }
    }

    /// The log is as long as the server has said with its last page: it is not asked once more.
    async fn caught_up(&self) -> Arc<VerifiedLog> {
        let log = self.log();
        self.look_through(&log).await;
        log
    }

    /// One certificate more, as nearly always: the log, which may be long, is not copied for it.
    async fn take_one(&self, log: Arc<VerifiedLog>, envelope: Vec<u8>) -> Result<(), SyncError> {
        let open = Arc::clone(&self.open);
        let next = blocking_in(&self.tasks, move || {
            let next = match log.judge(&envelope) {
                Ok(next) => next,
                Err(error) => {
                    let foreign = foreign_view(&error, log.count(), std::slice::from_ref(&envelope));
                    return Ok::<_, StoreError>(Err(
                        foreign.unwrap_or_else(|| SyncError::Log(not_believed(&error)))
                    ));
                }
            };
            open.store.append_certificates(log.count(), std::slice::from_ref(&envelope))?;
            Ok(Ok(next.into_owned()))
        })
        .await
        .map_err(SyncError::Log)??;
        if followed(&self.log, next) {
            self.tell_news();
            Ok(())
        } else {
            let text = "The log has grown beside the one who fetches.";
            Err(SyncError::Log(Problem::new(ProblemKind::Internal, text)))
        }
    }

    /// A refusal that stood after the server was given time: where it says that certificates are
    /// missing there which the verified log has, it is as if it had shown a shorter log.
    pub(super) fn lacking(&self, log: &VerifiedLog, error: SyncError) -> SyncError {
        let SyncError::Transport(refusal) = &error else { return error };
        let text = match refusal.code() {
            Some(ErrorCode::Behind) => {
                let have = log.count();
                format!("The server says that its log lacks some of the {have} certificates that this device has verified.")
            }
            Some(ErrorCode::NotAuthenticated) if self.member.seen(log).itself => {
                "The server does not know this device, which the log has that this device verified: it lost certificates.".to_owned()
            }
            Some(_) | None => return error,
        };
        SyncError::Forked(Problem::new(ProblemKind::RolledBack, text), Box::new(ForkEvidence::Shorter))
    }

    /// Tells the person what is new about them. What can't be told now is told with the next.
    pub(super) async fn look_through(&self, log: &VerifiedLog) {
        if let Err(problem) = own_changes::tell(self, log).await {
            tracing::warn!(%problem, "the log could not be looked through");
        }
    }

    /// This is the log from here on: it is on disk.
    pub(super) fn keep(&self, longer: VerifiedLog) -> Arc<VerifiedLog> {
        let longer = Arc::new(longer);
        *self.log.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&longer);
        self.tell_news();
        longer
    }
}
