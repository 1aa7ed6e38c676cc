//! This device's end of a peer-to-peer transport for one invitation.
//!
//! Decides that one invitation has one host at a time, and that a peer that is told of an ending
//! gets a moment to hear it.

use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::control::{Listening, ListeningFor, Problem, ProblemKind};
use parsec_protocol::ids::Token;
use parsec_protocol::keys::LinkSecret;
use parsec_protocol::relay::GreeterIds;

use super::{relays, status};
use crate::p2p::{Attempts, Host, Invitation, NodeError, peer_id};
use crate::session::Session;
use crate::session::host_store::DeviceHostStore;
use crate::store::StoredInvitation;
use crate::transport::TransportError;

/// How long an end stays open after an attempt is over, for the newcomer's device to hear why.
const LINGER: Duration = Duration::from_secs(5);

/// This device, as a claimer is told.
pub(super) fn greeter_of(session: &Session) -> GreeterIds {
    let summary = &session.open.summary;
    GreeterIds { user: summary.user, device: summary.device }
}

/// Opens this device's end for an invitation, or takes the one that is open.
pub(super) async fn open(
    session: &Arc<Session>,
    invitation: &StoredInvitation,
    token: Token,
    attempts: Attempts,
    purpose: ListeningFor,
) -> Result<Arc<Host<DeviceHostStore>>, Problem> {
    let _turn = session.hosts.opening.lock().await;
    if let Some(host) = session.hosts.live(token) {
        return Ok(host);
    }
    if !session.net.has_p2p() {
        return Err(Problem::new(
            ProblemKind::TransportUnavailable,
            "The peer-to-peer transport is switched off.",
        ));
    }
    let Some(end) = &invitation.direct else {
        let text = "This invitation was made without a peer-to-peer transport.";
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
    let store = DeviceHostStore { device: Arc::clone(session.device()), token };
    let host = Host::open(&end.secret, end.port, &relays, told, attempts, store).map_err(setup)?;
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
    let show = status::show(session.net.clone(), host.status(), Some(listening), Some(token));
    session.run(show);
    Ok(host)
}

/// A node that can't be set up.
pub(super) fn setup(error: NodeError) -> Problem {
    Problem::new(ProblemKind::TransportUnavailable, TransportError::from(error).to_string())
}

/// Keeps an end open until those who follow have heard, and no longer than that takes.
pub(super) fn linger(session: &Arc<Session>, host: Arc<Host<DeviceHostStore>>) {
    session.run(async move {
        let mut status = host.status();
        let gone = status.wait_for(|status| status.peers.iter().all(|peer| !peer.inbound));
        let _ = tokio::time::timeout(LINGER, gone).await;
        drop(host);
    });
}
