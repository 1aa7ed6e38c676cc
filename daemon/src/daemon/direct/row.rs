//! An enrolment of the direct road in the outbox: from message 7 to the log.
//!
//! Decides which of the server's answers make it void for good. Works from the stored record alone, so that a restart loses nothing;
//! the server takes the same enrolment once, however often it is sent.

use std::sync::Arc;

use minicbor::bytes::ByteVec;
use parsec_protocol::control::{ListeningFor, Problem, ProblemKind};
use parsec_protocol::enrol::io::Publication;
use parsec_protocol::relay::{DirectEnrolment, EndReason, ErrorCode};
use tokio::sync::watch;

use super::clerk::StoreClerk;
use super::greeting::{greeter_of, linger, open};
use crate::daemon::session::Session;
use crate::outbox::{Progress, Row, drop_row, over};
use crate::problems;
use crate::store::{DirectRow, StoredInvitation};
use crate::transport::p2p::{Host, Place};
use crate::transport::retry::until_done;
use crate::transport::{RoadError, Trouble};

/// Message 8's bit in an attempt's state.
const STEP_8: u16 = 1 << 8;

/// Finishes one row.
///
/// # Errors
/// It can't be finished now; the row is kept.
pub async fn finish(
    session: &Arc<Session>,
    row: &Row,
    kept: DirectRow,
    tell: &watch::Sender<Progress>,
) -> Result<Progress, Problem> {
    let token = row.token;
    let Some(invitation) = session.store(move |store| store.invitation(token)).await? else {
        drop_row(session, row.attempt).await?;
        return Ok(Progress::Void(EndReason::InvitationEnded));
    };
    let (host, receipt) = match kept.step_8 {
        Some(receipt) => (session.hosts.live(token), receipt),
        None => {
            // Without it nobody can have fetched it, and nobody can send it any more.
            let Some(handover) = kept.step_7 else {
                drop_row(session, row.attempt).await?;
                return Ok(Progress::Void(EndReason::Abandoned));
            };
            let place = Place::resumed(greeter_of(session), row.attempt, kept.secret_hash, handover, None);
            let host = open(session, &invitation, token, place, ListeningFor::Receipt).await?;
            match receipt(&host, row).await {
                Ok(receipt) => (Some(host), receipt),
                Err(reason) => {
                    drop_row(session, row.attempt).await?;
                    linger(session, host);
                    return Ok(Progress::Void(reason));
                }
            }
        }
    };
    let end = |reason| {
        if let Some(host) = &host {
            host.end(row.attempt, reason);
            linger(session, Arc::clone(host));
        }
    };
    let publication = match row.sealed.open_receipt(&receipt) {
        Ok(publication) => publication,
        Err(closed) => {
            drop_row(session, row.attempt).await?;
            end(EndReason::BadMessage);
            return Ok(Progress::Failed(problems::closed(closed)));
        }
    };
    tell.send_replace(Progress::Registering);
    match upload(session, row, &invitation, publication, tell).await {
        Ok(()) => {
            let progress = over(session, row, EndReason::Completed).await?;
            if matches!(progress, Progress::Published) {
                end(EndReason::Completed);
            }
            Ok(progress)
        }
        Err(error) if error.code().is_some_and(is_final) => {
            tracing::warn!(%error, "an enrolment of the direct road is void");
            drop_row(session, row.attempt).await?;
            end(EndReason::InvitationEnded);
            Ok(Progress::Void(EndReason::InvitationEnded))
        }
        Err(error) => Ok(Progress::Failed(error.into())),
    }
}

/// Waits for message 8; or the reason why it never comes.
async fn receipt(host: &Host<StoreClerk>, row: &Row) -> Result<Vec<u8>, EndReason> {
    let mut seen = host.watch();
    loop {
        let view = seen.borrow_and_update().clone();
        match view {
            Some(view) if view.attempt == row.attempt => {
                if let Some(reason) = view.ended {
                    return Err(reason);
                }
                if view.steps & STEP_8 != 0 {
                    return host.step_8(row.attempt).ok_or(EndReason::Abandoned);
                }
            }
            Some(_) | None => return Err(EndReason::Abandoned),
        }
        if seen.changed().await.is_err() {
            return Err(EndReason::Abandoned);
        }
    }
}

/// Gives the enrolment to the server, as soon as it can be reached.
async fn upload(
    session: &Session,
    row: &Row,
    invitation: &StoredInvitation,
    publication: Publication,
    tell: &watch::Sender<Progress>,
) -> Result<(), RoadError> {
    let enrolment = DirectEnrolment {
        token: row.token,
        invited: invitation.invited.clone(),
        created: invitation.created,
        expires: invitation.expires,
        certificates: publication.certificates.into_iter().map(ByteVec::from).collect(),
        receipt: publication.receipt,
    };
    let trouble = Trouble::new(None);
    let mut troubled = trouble.subscribe();
    let work = until_done(&trouble, || session.member.enrol_direct(&enrolment));
    tokio::pin!(work);
    let summary = &session.open.summary;
    loop {
        tokio::select! {
            biased;
            done = &mut work => {
                session.net.server_seen(&summary.organisation, &summary.server, Ok(()));
                return done.map(|_| ());
            }
            Ok(()) = troubled.changed() => {
                // The keys are durable on both sides, and nobody has to wait for a server.
                if let Some(why) = troubled.borrow_and_update().clone() {
                    let found = Err(Problem::new(ProblemKind::ServerUnreachable, why));
                    session.net.server_seen(&summary.organisation, &summary.server, found);
                    tell.send_if_modified(|now| {
                        let first = matches!(now, Progress::Registering);
                        if first {
                            *now = Progress::Kept;
                        }
                        first
                    });
                }
            }
        }
    }
}

/// A refusal after which these certificates can never stand in the log, whatever happens.
const fn is_final(code: ErrorCode) -> bool {
    match code {
        ErrorCode::Revoked
        | ErrorCode::NotAllowed
        | ErrorCode::InvitationCancelled
        | ErrorCode::InvitationExhausted
        | ErrorCode::InvitationCompleted
        | ErrorCode::InvitationConflict
        | ErrorCode::AlreadyMember
        | ErrorCode::CertificateRefused => true,
        ErrorCode::BadRequest
        | ErrorCode::TooLarge
        | ErrorCode::UnknownCall
        | ErrorCode::OrganisationUnknown
        | ErrorCode::OrganisationExists
        | ErrorCode::BootstrapRefused
        | ErrorCode::NotAuthenticated
        | ErrorCode::ClockSkew
        | ErrorCode::Replayed
        | ErrorCode::InvitationUnknown
        | ErrorCode::InvitationInUse
        | ErrorCode::InvitationExpired
        | ErrorCode::AttemptUnknown
        | ErrorCode::AttemptEnded
        | ErrorCode::GreeterTaken
        | ErrorCode::NotYet
        | ErrorCode::StepConflict
        | ErrorCode::StepRefused
        | ErrorCode::AttemptSealed
        | ErrorCode::ManifestConflict
        | ErrorCode::RateLimited
        | ErrorCode::QuotaReached
        | ErrorCode::Internal
        | ErrorCode::Unavailable => false,
    }
}
