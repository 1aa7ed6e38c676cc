//! A greeting without a server: waiting for the newcomer, and vouching for them.
//!
//! Decides how long a fresh log is waited for before signing, and that a server which answers is
//! heard.

use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::{ListeningFor, Problem, ProblemKind};
use parsec_protocol::enrol::io::{HeldShare, Prologue, SealedEnrolment, TransportKind};
use parsec_protocol::ids::{AttemptId, DeviceId, Token, UserId};
use parsec_protocol::name_keys::DirectoryKeys;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::AttemptView;

use super::host::{greeter_of, linger, open};
use crate::enrolment::follow::follow;
use crate::enrolment::greeter::{Greeted, Handed};
use crate::enrolment::pending::{self, PendingEnrolment};
use crate::enrolment::{CeremonyContext, finish, greeter, handed, outbox, tally, until_farewell};
use crate::os::clock;
use crate::p2p::{Attempts, Host, HostTransport};
use crate::session::host_store::DeviceHostStore;
use crate::session::{Session, SyncError};
use crate::store::{DeviceKeys, StoredInvitation};
use crate::transport::TransportError;

/// How long a fresh log is waited for before signing: without a server the stored one has to do.
const FRESH_LOG_WAIT: Duration = Duration::from_secs(3);

/// A claimer who has started.
#[derive(Debug)]
pub struct Arrived {
    attempt: AttemptId,
    host: Arc<Host<DeviceHostStore>>,
}

/// The wait for a claimer, once it has begun.
#[derive(Debug, Default)]
pub struct Meeting {
    host: Option<Arc<Host<DeviceHostStore>>>,
}

impl Meeting {
    /// Whether this device listens.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.host.is_some()
    }

    /// Begins to listen, if it hasn't.
    ///
    /// # Errors
    /// `transport_refused` for an invitation without a peer-to-peer transport;
    /// `transport_unavailable`.
    pub async fn open(
        &mut self,
        session: &Arc<Session>,
        invitation: &StoredInvitation,
        token: Token,
    ) -> Result<(), Problem> {
        if self.host.is_none() {
            if invitation.expires <= clock::now() {
                return Err(Problem::new(ProblemKind::InvitationExpired, "The invitation has expired."));
            }
            let greeter = greeter_of(session);
            let attempts = Attempts::new(greeter);
            self.host = Some(open(session, invitation, token, attempts, ListeningFor::Greeting).await?);
        }
        Ok(())
    }

    /// Returns once somebody has started; never while it does not listen.
    pub async fn arrived(&self) -> Arrived {
        let Some(host) = &self.host else { return std::future::pending().await };
        let mut seen = host.watch();
        let open = |view: &Option<AttemptView>| view.as_ref().is_some_and(|view| view.ended.is_none());
        let attempt = match seen.wait_for(open).await {
            Ok(view) => view.as_ref().map(|view| view.attempt),
            Err(_) => None,
        };
        match attempt {
            Some(attempt) => Arrived { attempt, host: Arc::clone(host) },
            None => std::future::pending().await,
        }
    }
}

/// The invitation is cancelled: whoever is in the middle of it is told.
pub async fn cancelled(session: &Session, token: Token) {
    if let Some(host) = session.hosts.live(token) {
        let attempt = host.watch().borrow().as_ref().map(|view| view.attempt);
        if let Some(attempt) = attempt
            && let Err(code) = host.withdraw(attempt).await
        {
            tracing::info!(code = code.name(), "a direct attempt could not be ended with its invitation");
        }
    }
}

/// Runs a greeting with somebody who has come directly to its end.
pub async fn greet(
    mut context: CeremonyContext,
    session: Arc<Session>,
    invitation: StoredInvitation,
    token: Token,
    arrived: Arrived,
    ask_server: bool,
) {
    let Arrived { attempt, host } = arrived;
    context.shown.attempt(attempt);
    let summary = &session.open.summary;
    let prologue = Prologue {
        organisation: summary.organisation.clone(),
        token,
        invited: invitation.invited,
        greeter_user: summary.user,
        greeter_device: summary.device,
        transport: TransportKind::PeerToPeer { peer: host.key() },
    };
    let Some(secret_hash) = host.secret_hash(attempt) else {
        return context.shown.closed(Problem::new(ProblemKind::AttemptLost, "The attempt is gone."));
    };
    let transport = HostTransport::new(Arc::clone(&host), attempt);
    match pending::of_attempt(&session, attempt).await {
        // Signed for already, in an earlier life of the ceremony: only the receipt is missing.
        Ok(Some(enrolment)) => return follow(context, &session, &transport, enrolment).await,
        Ok(None) => {}
        Err(problem) => return context.shown.closed(problem),
    }
    let issuer = PeerIssuer { session: Arc::clone(&session), attempt, token, secret_hash, ask_server };
    match greeter::run(&mut context, &transport, prologue, &invitation.link_secret, &issuer).await {
        Ok(Greeted::Signed(sealed)) => {
            follow(context, &session, &transport, PendingEnrolment::new(attempt, token, *sealed)).await
        }
        // Its issuer has no share to give.
        Ok(Greeted::Given(_)) => context.shown.closed(no_share()),
        Err(end) => {
            tally::note_end(&session, token, &end).await;
            until_farewell(&session.stop, finish(end, &context, &transport)).await;
            // What was signed and never sent is set aside.
            if let Ok(Some(enrolment)) = pending::of_attempt(&session, attempt).await {
                outbox::finish(&session, enrolment);
            }
        }
    }
    linger(&session, host);
}

/// Shares go by the server alone, whose log shows that the kit stands.
fn no_share() -> Problem {
    Problem::new(ProblemKind::TransportRefused, "A share of a recovery kit is given over the server alone.")
}

/// Vouches with an unlocked device, without counting on a server.
struct PeerIssuer {
    session: Arc<Session>,
    attempt: AttemptId,
    token: Token,
    secret_hash: Hash,
    ask_server: bool,
}

impl greeter::Issuer for PeerIssuer {
    fn keys(&self) -> &DeviceKeys {
        &self.session.open.keys
    }

    fn directory(&self) -> Arc<DirectoryKeys> {
        self.session.open.directory()
    }

    /// The newest log that can be had. A server that answers and refuses, or that shows another
    /// past, is heard; one that can't be reached, or whose answer could be anybody's, is not waited
    /// for, unless a key for names is due or missing: being slow must not get it an older one.
    async fn fresh_log(&self) -> Result<Arc<VerifiedLog>, Problem> {
        if !self.ask_server {
            return Ok(self.session.log());
        }
        match tokio::time::timeout(FRESH_LOG_WAIT, self.session.sync_apart()).await {
            // Where the server is at hand, no name is sealed with a key that is due.
            Ok(Ok(log)) => self.session.fresh_directory_apart(log).await,
            Ok(Err(
                error @ (SyncError::Log(_)
                | SyncError::Forked(..)
                | SyncError::Transport(TransportError::Refused { .. })),
            )) => Err(error.into()),
            Ok(Err(SyncError::Transport(_))) | Err(_) => {
                let log = self.session.log();
                self.session.directory_without_answer(&log)?;
                Ok(log)
            }
        }
    }

    async fn handed(&self, log: Arc<VerifiedLog>) -> Result<(Arc<VerifiedLog>, Handed), Problem> {
        handed::own(&self.session, log).await
    }

    async fn share(&self, _: Arc<VerifiedLog>, _: UserId, _: DeviceId) -> Result<HeldShare, Problem> {
        Err(no_share())
    }

    async fn attempts(&self) -> Result<u64, Problem> {
        tally::attempts(&self.session, self.token).await
    }

    async fn persist(&self, sealed: &SealedEnrolment) -> Result<(), Problem> {
        let (attempt, token, hash, sealed) = (self.attempt, self.token, self.secret_hash, sealed.clone());
        self.session.store(move |store| store.put_direct(attempt, token, &sealed, hash)).await
    }
}
