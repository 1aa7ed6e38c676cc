//! A greeting on the direct road: waiting for the newcomer, and vouching for them.
//!
//! Decides that one invitation has one end at a time, and that whoever is told of an ending gets a moment to hear it.

use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::{Listening, ListeningFor, Problem, ProblemKind};
use parsec_protocol::enrol::io::{SealedEnrolment, Setting, TransportKind};
use parsec_protocol::ids::{AttemptId, Token};
use parsec_protocol::keys::LinkSecret;
use parsec_protocol::public::Hash;
use parsec_protocol::relay::{AttemptView, EndReason, GreeterIds};

use super::clerk::StoreClerk;
use super::{relays, shown};
use crate::clock;
use crate::daemon::ceremonies::{follow_earlier, follow_row, note_end, until_farewell};
use crate::daemon::session::{Session, SyncError};
use crate::enrolment::{self, Desk, greeter};
use crate::outbox::{self, Row};
use crate::store::{DeviceKeys, StoredInvitation};
use crate::transport::RoadError;
use crate::transport::p2p::{Host, HostRoad, Invitation, NodeError, Place, peer_id};

/// How long an end stays open after an attempt is over, for the newcomer's terminal to hear why.
const LINGER: Duration = Duration::from_secs(5);
/// How long a fresh log is waited for before signing: without a server the stored one has to do.
const FRESH_LOG_WAIT: Duration = Duration::from_secs(3);

/// A claimer who has started.
#[derive(Debug)]
pub struct Arrived {
    attempt: AttemptId,
    host: Arc<Host<StoreClerk>>,
}

/// The wait for a claimer, once it has begun.
#[derive(Debug, Default)]
pub struct Meeting {
    host: Option<Arc<Host<StoreClerk>>>,
}

impl Meeting {
    /// Whether this terminal listens.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.host.is_some()
    }

    /// Begins to listen, if it hasn't.
    ///
    /// # Errors
    /// `transport_refused` for an invitation without a direct road; `transport_unavailable`.
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
            let place = Place::new(greeter);
            self.host = Some(open(session, invitation, token, place, ListeningFor::Greeting).await?);
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

/// This device, as a claimer is told.
pub(super) fn greeter_of(session: &Session) -> GreeterIds {
    let summary = &session.open.summary;
    GreeterIds { user: summary.user, device: summary.device }
}

/// Opens this terminal's end for an invitation, or takes the one that is open.
pub(super) async fn open(
    session: &Arc<Session>,
    invitation: &StoredInvitation,
    token: Token,
    place: Place,
    purpose: ListeningFor,
) -> Result<Arc<Host<StoreClerk>>, Problem> {
    let _turn = session.hosts.opening.lock().await;
    if let Some(host) = session.hosts.live(token) {
        return Ok(host);
    }
    if !session.net.direct() {
        return Err(Problem::new(ProblemKind::TransportUnavailable, "The direct road is switched off."));
    }
    let Some(end) = &invitation.direct else {
        let text = "This invitation was made without a direct road.";
        return Err(Problem::new(ProblemKind::TransportRefused, text));
    };
    let relays = relays::resolved(session.net.relays()).await;
    let summary = &session.open.summary;
    let Some(link_secret) = LinkSecret::from_slice(invitation.link_secret.expose()) else {
        return Err(Problem::new(ProblemKind::Internal, "A secret has another length."));
    };
    let told = Invitation {
        organisation: summary.organisation.clone(),
        token,
        link_secret,
        invited: invitation.invited.clone(),
        invited_by: session.open.keys.email.clone(),
        expires: invitation.expires,
    };
    let clerk = StoreClerk { session: Arc::clone(session), token };
    let host = Host::open(&end.secret, end.port, &relays, told, place, clerk).map_err(setup)?;
    session.hosts.put(token, &host);
    let listening = Listening {
        organisation: summary.organisation.clone(),
        token,
        peer: peer_id(&host.key()),
        addresses: Vec::new(),
        relays: Vec::new(),
        mdns: false,
        purpose,
    };
    let show = shown::show(session.net.clone(), host.status(), Some(listening), Some(token));
    let stop = session.stop.clone();
    session.tasks.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = show => {}
        }
    });
    Ok(host)
}

/// A node that can't be set up.
pub(super) fn setup(error: NodeError) -> Problem {
    Problem::new(ProblemKind::TransportUnavailable, RoadError::from(error).to_string())
}

/// Keeps an end open until those who follow have heard, and no longer than that takes.
pub(super) fn linger(session: &Arc<Session>, host: Arc<Host<StoreClerk>>) {
    let stop = session.stop.clone();
    session.tasks.spawn(async move {
        let mut status = host.status();
        let gone = status.wait_for(|status| status.peers.iter().all(|peer| !peer.inbound));
        tokio::select! {
            () = stop.cancelled() => {}
            _ = tokio::time::timeout(LINGER, gone) => {}
        }
        drop(host);
    });
}

/// The invitation is cancelled: whoever is in the middle of it is told.
pub async fn cancelled(session: &Session, token: Token) {
    if let Some(host) = session.hosts.live(token) {
        let attempt = host.watch().borrow().as_ref().map(|view| view.attempt);
        if let Some(attempt) = attempt
            && let Err(code) = host.cancel(attempt, EndReason::InvitationEnded).await
        {
            tracing::info!(code = code.name(), "a direct attempt could not be ended with its invitation");
        }
    }
}

/// Runs a greeting with somebody who has come directly to its end.
pub async fn greet(
    mut desk: Desk,
    session: Arc<Session>,
    invitation: StoredInvitation,
    token: Token,
    arrived: Arrived,
    ask_server: bool,
) {
    let Arrived { attempt, host } = arrived;
    desk.board.attempt(attempt);
    let summary = &session.open.summary;
    let setting = Setting {
        organisation: summary.organisation.clone(),
        token,
        invited: invitation.invited,
        greeter_user: summary.user,
        greeter_device: summary.device,
        transport: TransportKind::PeerToPeer { peer: host.key() },
    };
    let Some(secret_hash) = host.secret_hash(attempt) else {
        return desk.board.closed(Problem::new(ProblemKind::AttemptLost, "The attempt is gone."));
    };
    let road = HostRoad::new(Arc::clone(&host), attempt);
    match follow_earlier(&session, attempt).await {
        // Signed for already, in an earlier life of the ceremony: only the receipt is missing.
        Ok(Some(row)) => return follow_row(desk, &session, &road, row).await,
        Ok(None) => {}
        Err(problem) => return desk.board.closed(problem),
    }
    let voucher = DirectVoucher { session: Arc::clone(&session), attempt, token, secret_hash, ask_server };
    match greeter::run(&mut desk, &road, setting, &invitation.link_secret, &voucher).await {
        Ok(sealed) => follow_row(desk, &session, &road, Row::new(attempt, token, sealed)).await,
        Err(end) => {
            note_end(&session, token, &end).await;
            until_farewell(&session.stop, enrolment::finish(end, &desk, &road)).await;
            // What was signed and never sent is set aside.
            if let Ok(Some(row)) = follow_earlier(&session, attempt).await {
                outbox::finish(&session, row);
            }
        }
    }
    linger(&session, host);
}

/// Vouches with an unlocked device, without counting on a server.
struct DirectVoucher {
    session: Arc<Session>,
    attempt: AttemptId,
    token: Token,
    secret_hash: Hash,
    ask_server: bool,
}

impl greeter::Voucher for DirectVoucher {
    fn keys(&self) -> &DeviceKeys {
        &self.session.open.keys
    }

    /// The newest log that can be had. A server that answers and refuses, or that shows another past, is heard; one that can't be
    /// reached, or whose answer could be anybody's, is not waited for.
    async fn fresh_log(&self) -> Result<Arc<VerifiedLog>, Problem> {
        if !self.ask_server {
            return Ok(self.session.log());
        }
        match tokio::time::timeout(FRESH_LOG_WAIT, self.session.sync_apart()).await {
            Ok(Ok(log)) => Ok(log),
            Ok(Err(
                error
                @ (SyncError::Log(_) | SyncError::Past(..) | SyncError::Road(RoadError::Refused { .. })),
            )) => Err(error.into()),
            Ok(Err(SyncError::Road(_))) | Err(_) => Ok(self.session.log()),
        }
    }

    async fn attempts(&self) -> Result<u64, Problem> {
        crate::daemon::invitations::attempts(&self.session, self.token).await
    }

    async fn persist(&self, sealed: &SealedEnrolment) -> Result<(), Problem> {
        let (attempt, token, hash, sealed) = (self.attempt, self.token, self.secret_hash, sealed.clone());
        self.session.store(move |store| store.put_direct(attempt, token, &sealed, hash)).await
    }
}
