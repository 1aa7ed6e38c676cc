//! A whole log, fetched and verified from its beginning: the server's own, or what another place
//! shows.
//!
//! Decides that a log is this device's only if it holds the head that this device has verified.
//! Takes nothing over from a place that is not the device's server.

use std::sync::Arc;

use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::relay::Least;

use super::forks::ForkEvidence;
use super::log_sync::not_believed;
use super::{Session, SyncError};
use crate::os::threads::ThreadPool;
use crate::transport::TransportError;
use crate::transport::behind::Seen;
use crate::transport::relay::Member;

impl Session {
    /// The whole log from the server, verified anew and compared with the stored one.
    ///
    /// # Errors
    /// As [`Self::sync`].
    pub async fn verify_anew(&self) -> Result<Arc<VerifiedLog>, SyncError> {
        let done = self.whole_log().await;
        self.watched(done).await
    }

    /// Whether another place shows this device's log, every certificate of it; how many it shows.
    /// Nothing is taken from there, and no alarm is raised: it is not this device's server.
    ///
    /// # Errors
    /// As [`Self::sync`].
    pub async fn is_shown_at(&self, member: &Member) -> Result<u64, SyncError> {
        let elsewhere = || {
            let text = "The log that is shown there is not the one that this device has verified. Nothing was changed.";
            Problem::new(ProblemKind::RolledBack, text)
        };
        let stored = self.log();
        let page = member.log_page(stored.count(), member.seen(&stored)).await?;
        if page.count < stored.count() {
            let text = format!(
                "The log that is shown there has {} certificates; this device has verified {}. Nothing was changed.",
                page.count,
                stored.count()
            );
            return Err(SyncError::Log(Problem::new(ProblemKind::RolledBack, text)));
        }
        let (there, _) = fetched(member, &stored, stored.count()).await?;
        if there.extends(&stored.head()) { Ok(there.count()) } else { Err(SyncError::Log(elsewhere())) }
    }

    async fn whole_log(&self) -> Result<Arc<VerifiedLog>, SyncError> {
        let stored = self.sync().await?;
        let shown = self.shown(&stored, stored.count()).await;
        let (log, shown) = shown.map_err(|error| self.lacking(&stored, error))?;
        if log.extends(&stored.head()) {
            Ok(Arc::new(log))
        } else {
            let text = "The server's log is valid, but not the one this device verified before.";
            let problem = Problem::new(ProblemKind::RolledBack, text);
            Err(SyncError::Forked(problem, Box::new(ForkEvidence::Log(shown, None))))
        }
    }

    /// The server's log, with `count` certificates at least, verified by itself under this
    /// organisation's root key; and its envelopes.
    pub(super) async fn shown(
        &self,
        own: &VerifiedLog,
        count: u64,
    ) -> Result<(VerifiedLog, Vec<Vec<u8>>), SyncError> {
        fetched(&self.member, own, count).await
    }
}

/// The log that somebody shows, with `count` certificates at least, verified from its beginning,
/// and the certificates themselves.
async fn fetched(
    member: &Member,
    own: &VerifiedLog,
    count: u64,
) -> Result<(VerifiedLog, Vec<Vec<u8>>), SyncError> {
    let mut log = VerifiedLog::empty(own.organisation().clone(), *own.root());
    let mut shown = Vec::new();
    let seen = Seen { least: Least(count), ..member.seen(own) };
    while log.count() < count {
        let page = member.log_page(log.count(), seen).await?;
        if page.certificates.is_empty() {
            return Err(SyncError::Transport(TransportError::Misbehaved(
                "a page of the log lacks its certificates",
            )));
        }
        shown.extend(page.certificates.iter().map(|envelope| envelope.to_vec()));
        log = tokio::task::spawn_blocking(move || {
            let envelopes: Vec<&[u8]> = page.certificates.iter().map(|it| it.as_slice()).collect();
            log.extend_with(&envelopes, &ThreadPool).map(|()| log)
        })
        .await
        .map_err(|_| {
            SyncError::Log(Problem::new(ProblemKind::Internal, "Verifying failed without an answer."))
        })?
        .map_err(|error| SyncError::Log(not_believed(&error)))?;
    }
    Ok((log, shown))
}
