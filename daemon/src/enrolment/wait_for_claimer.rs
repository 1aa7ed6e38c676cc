//! A greeter's wait for the newcomer, on the road that they take.
//!
//! Decides when this terminal begins to listen for itself: at once where that was asked for; where
//! the choice is open, when the server doesn't answer or doesn't know the invitation. Joins the
//! attempt that comes first, and no second.

use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::control::{Action, Problem, ProblemKind, RoadName, Stage, TransportChoice};
use parsec_protocol::ids::{AttemptId, Token};
use parsec_protocol::relay::{AttemptView, EndReason, ErrorCode, InvitationStatus, InvitationView};
use tokio::sync::watch;
use tokio::time::Instant;

use super::p2p::{Arrived, Meeting};
use super::pending;
use super::waiting::{Way, hint};
use super::{CeremonyContext, End, not_now};
use crate::events::RoadReason;
use crate::session::Session;
use crate::store::StoredInvitation;
use crate::transport::relay::GreeterRoad;
use crate::transport::{HELD_BACK, Road as _, Trouble};

/// How long the server may say nothing before this terminal listens for itself, too. A slow server
/// answers in one second.
const SERVER_PATIENCE: Duration = Duration::from_secs(3);
/// The greeter's first step: once it is there, a machine of this side was under way.
const OUR_FIRST_STEP: u8 = 1;
/// What is shown while this terminal waits for both.
const BOTH_ROADS: &str = "The server can't be reached; this terminal also waits directly, on the local network and at the addresses in the link.";
/// The same, where the server does not have the invitation.
const DIRECT_ONLY: &str = "The server doesn't know this invitation; this terminal waits directly, on the local network and at the addresses in the link.";

/// An attempt that this device greets in.
pub(super) enum Joined {
    /// Over the server.
    Relay(AttemptId, GreeterRoad),
    /// Directly.
    Direct(Arrived),
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
        TransportChoice::P2p => Way::Direct,
        TransportChoice::Server | TransportChoice::Auto => Way::Server(&server),
    };
    context.waits(hint(way, &summary.organisation, &token));
    match choice {
        TransportChoice::P2p => {
            context.wait(meeting.open(session, invitation, token)).await?.map_err(End::Here)?;
            context.shown.road(RoadName::P2p, RoadReason::Asked);
            context.shown.stage(Stage::WaitingForPeer, &[Action::Cancel]);
            meet(context, &meeting).await.map(Joined::Direct)
        }
        TransportChoice::Server | TransportChoice::Auto => {
            let may_meet =
                choice == TransportChoice::Auto && invitation.direct.is_some() && session.net.direct();
            if choice == TransportChoice::Server {
                context.shown.road(RoadName::Server, RoadReason::Asked);
            }
            match over_relay(context, session, invitation, token, may_meet.then_some(&mut meeting)).await {
                // It was made while the server was away, and the server has not been told yet.
                Err(End::Road(error)) if may_meet && error.code() == Some(ErrorCode::InvitationUnknown) => {
                    context.wait(meeting.open(session, invitation, token)).await?.map_err(End::Here)?;
                    context.shown.stage(Stage::WaitingForPeer, &[Action::Cancel]);
                    context.shown.note(Some(DIRECT_ONLY.to_owned()));
                    let arrived = meet(context, &meeting).await?;
                    context.shown.road(RoadName::P2p, RoadReason::InvitationUnknown);
                    Ok(Joined::Direct(arrived))
                }
                joined => joined,
            }
        }
    }
}

/// Waits for a claimer on the direct road alone.
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

/// Waits for a claimer on the server's relay, and with `meeting` on the direct road as well once
/// the server gives trouble.
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
    let mut patience = meeting.is_some().then(|| Instant::now() + SERVER_PATIENCE);
    loop {
        let mut listen = false;
        let arrived = async {
            match &meeting {
                Some(meeting) => meeting.arrived().await,
                None => std::future::pending().await,
            }
        };
        let view = tokio::select! {
            error = &mut follow => return Err(End::Road(error)),
            Ok(()) = seen.changed() => {
                patience = None;
                seen.borrow_and_update().clone()
            }
            arrived = arrived => {
                context.shown.road(RoadName::P2p, RoadReason::ServerUnreachable);
                return Ok(Joined::Direct(arrived));
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
            () = tokio::time::sleep_until(patience.unwrap_or_else(Instant::now)), if patience.is_some() => {
                listen = true;
                None
            }
        };
        if let Some(meeting) = &mut meeting
            && listen
        {
            patience = None;
            if !meeting.is_open() {
                context.wait(meeting.open(session, invitation, token)).await?.map_err(End::Here)?;
            }
            if context.shown.now().stage != Stage::WaitingForPeer {
                context.shown.stage(Stage::WaitingForPeer, &[Action::Cancel]);
            }
            context.shown.note(Some(BOTH_ROADS.to_owned()));
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
        let road = GreeterRoad::new(session.member.clone(), token, attempt);
        let ours = view.greeter.is_some_and(|greeter| greeter.device == session.open.summary.device);
        let signed = pending::of_attempt(session, attempt).await.map_err(End::Here)?.is_some();
        // Steps of ours that no machine here remembers: the channel died with an earlier daemon.
        if ours && view.has(OUR_FIRST_STEP) && !signed {
            context.carry(&road, road.cancel(EndReason::Abandoned)).await?;
            left = Some(attempt);
            continue;
        }
        match context.carry(&road, road.join()).await {
            Ok(AttemptView { ended: None, .. }) => {
                context.shown.road(RoadName::Server, RoadReason::ServerReached);
                return Ok(Joined::Relay(attempt, road));
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
