//! A greeter's wait for the newcomer, on the transport that they take.
//!
//! Decides when this device begins to listen for itself: at once where that was asked for; where
//! the choice is open, when the server doesn't answer or doesn't know the invitation. Joins the
//! attempt that comes first, and no second.

use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::control::{Action, Problem, ProblemKind, Stage, TransportChoice, TransportName};
use parsec_protocol::ids::{AttemptId, Token};
use parsec_protocol::relay::{AttemptView, EndReason, ErrorCode, InvitationStatus, InvitationView};
use tokio::sync::watch;
use tokio::time::Instant;

use super::p2p::{Arrived, Meeting};
use super::pending;
use super::waiting::{Way, hint};
use super::{CeremonyContext, End, not_now};
use crate::events::TransportReason;
use crate::session::Session;
use crate::store::StoredInvitation;
use crate::transport::relay::GreeterTransport;
use crate::transport::{HELD_BACK, Transport as _, Trouble};

/// How long the server may say nothing before this device listens for itself, too. A slow server
/// answers in one second.
const SERVER_TIMEOUT: Duration = Duration::from_secs(3);
/// The greeter's first step: once it is there, a machine of this side was under way.
const OUR_FIRST_STEP: u8 = 1;
/// What is shown while this device waits for both.
const BOTH_TRANSPORTS: &str = "The server can't be reached; this device also waits directly, on the local network and at the addresses in the link.";
/// The same, where the server does not have the invitation.
const P2P_ONLY: &str = "The server doesn't know this invitation; this device waits directly, on the local network and at the addresses in the link.";

/// An attempt that this device greets in.
pub(super) enum Joined {
    /// Over the server.
    Relay(AttemptId, GreeterTransport),
    /// Directly.
    P2p(Arrived),
}

/// Waits for the newcomer and becomes the greeter of their attempt.
pub(super) async fn join(
    context: &mut CeremonyContext,
    session: &Arc<Session>,
    invitation: &StoredInvitation,
    token: Token,
    choice: TransportChoice,
) -> Result<Joined, End> {
    let mut meeting = Meeting::default();
    let summary = &session.open.summary;
    let server = session.member.server().address();
    let way = match choice {
        TransportChoice::P2p => Way::P2p,
        TransportChoice::Server | TransportChoice::Auto => Way::Server(&server),
    };
    context.waits(hint(way, &summary.organisation, &token));
    match choice {
        TransportChoice::P2p => {
            context.wait(meeting.open(session, invitation, token)).await?.map_err(End::Here)?;
            context.shown.transport(TransportName::P2p, TransportReason::Asked);
            context.shown.stage(Stage::WaitingForPeer, &[Action::Cancel]);
            meet(context, &meeting).await.map(Joined::P2p)
        }
        TransportChoice::Server | TransportChoice::Auto => {
            let may_meet =
                choice == TransportChoice::Auto && invitation.direct.is_some() && session.net.has_p2p();
            if choice == TransportChoice::Server {
                context.shown.transport(TransportName::Server, TransportReason::Asked);
            }
            match over_relay(context, session, invitation, token, may_meet.then_some(&mut meeting)).await {
                // It was made while the server was away, and the server has not been told yet.
                Err(End::Transport(error))
                    if may_meet && error.code() == Some(ErrorCode::InvitationUnknown) =>
                {
                    context.wait(meeting.open(session, invitation, token)).await?.map_err(End::Here)?;
                    context.shown.stage(Stage::WaitingForPeer, &[Action::Cancel]);
                    context.shown.note(Some(P2P_ONLY.to_owned()));
                    let arrived = meet(context, &meeting).await?;
                    context.shown.transport(TransportName::P2p, TransportReason::InvitationUnknown);
                    Ok(Joined::P2p(arrived))
                }
                joined => joined,
            }
        }
    }
}

/// Waits for a claimer over the peer-to-peer transport alone.
async fn meet(context: &mut CeremonyContext, meeting: &Meeting) -> Result<Arrived, End> {
    loop {
        tokio::select! {
            arrived = meeting.arrived() => return Ok(arrived),
            request = context.request() => {
                let _ = request?.reply.send(Err(not_now()));
            }
        }
    }
}

/// Waits for a claimer on the server's relay, and with `meeting` over the peer-to-peer transport as
/// well once the server gives trouble.
async fn over_relay(
    context: &mut CeremonyContext,
    session: &Arc<Session>,
    invitation: &StoredInvitation,
    token: Token,
    mut meeting: Option<&mut Meeting>,
) -> Result<Joined, End> {
    let trouble = Trouble::new(None);
    let mut troubled = trouble.subscribe();
    let (tell, mut seen) = watch::channel::<Option<InvitationView>>(None);
    let follow = session.member.follow(token, &trouble, &tell);
    tokio::pin!(follow);
    let mut left = None;
    let mut deadline = meeting.is_some().then(|| Instant::now() + SERVER_TIMEOUT);
    loop {
        let mut listen = false;
        let arrived = async {
            match &meeting {
                Some(meeting) => meeting.arrived().await,
                None => std::future::pending().await,
            }
        };
        let view = tokio::select! {
            error = &mut follow => return Err(End::Transport(error)),
            Ok(()) = seen.changed() => {
                deadline = None;
                seen.borrow_and_update().clone()
            }
            arrived = arrived => {
                context.shown.transport(TransportName::P2p, TransportReason::ServerUnreachable);
                return Ok(Joined::P2p(arrived));
            }
            request = context.request() => {
                let _ = request?.reply.send(Err(not_now()));
                continue;
            }
            Ok(()) = troubled.changed() => {
                let now = troubled.borrow_and_update().clone();
                // A server that is only heard late is there.
                listen = now.as_deref().is_some_and(|now| now != HELD_BACK);
                context.shown.note(now);
                None
            }
            () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                listen = true;
                None
            }
        };
        if let Some(meeting) = &mut meeting
            && listen
        {
            deadline = None;
            if !meeting.is_open() {
                context.wait(meeting.open(session, invitation, token)).await?.map_err(End::Here)?;
            }
            if context.shown.now().stage != Stage::WaitingForPeer {
                context.shown.stage(Stage::WaitingForPeer, &[Action::Cancel]);
            }
            context.shown.note(Some(BOTH_TRANSPORTS.to_owned()));
        }
        let Some(view) = view else { continue };
        // The server speaks again: what was said of it is no longer so.
        context.shown.note(None);
        if let Some(kind) = over(view.status) {
            return Err(End::Here(Problem::new(kind, "This invitation has ended.")));
        }
        if context.shown.now().stage != Stage::WaitingForPeer {
            context.shown.stage(Stage::WaitingForPeer, &[Action::Cancel]);
        }
        let Some(view) = view.attempt.filter(AttemptView::is_open) else { continue };
        let attempt = view.attempt;
        if left == Some(attempt) {
            continue;
        }
        let transport = GreeterTransport::new(session.member.clone(), token, attempt);
        let ours = view.greeter.is_some_and(|greeter| greeter.device == session.open.summary.device);
        let signed = pending::of_attempt(session, attempt).await.map_err(End::Here)?.is_some();
        // Steps of ours that no machine here remembers: the channel died with an earlier daemon.
        if ours && view.has(OUR_FIRST_STEP) && !signed {
            context.carry(&transport, transport.cancel(EndReason::Abandoned)).await?;
            left = Some(attempt);
            continue;
        }
        match context.carry(&transport, transport.join()).await {
            Ok(AttemptView { ended: None, .. }) => {
                context.shown.transport(TransportName::Server, TransportReason::ServerReached);
                return Ok(Joined::Relay(attempt, transport));
            }
            // It ended between the event and the call, also where this device had joined it before;
            // another will come.
            Ok(AttemptView { ended: Some(_), .. }) | Err(End::Peer(_)) => left = Some(attempt),
            Err(end) => return Err(end),
        }
    }
}

/// Why an invitation can't be greeted for any more.
const fn over(status: InvitationStatus) -> Option<ProblemKind> {
    match status {
        InvitationStatus::Pending | InvitationStatus::InUse => None,
        InvitationStatus::Completed => Some(ProblemKind::InvitationCompleted),
        InvitationStatus::Cancelled => Some(ProblemKind::InvitationCancelled),
        InvitationStatus::Expired => Some(ProblemKind::InvitationExpired),
        InvitationStatus::Exhausted => Some(ProblemKind::InvitationExhausted),
    }
}
