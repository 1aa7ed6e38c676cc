//! An enrolment of the peer-to-peer transport in the outbox: from message 7 to the log.
//!
//! Decides nothing for good: what anybody says of its end sets it aside (`finality`). Works from
//! the stored record alone, so that a restart loses nothing; the server takes the same enrolment
//! once, however often it is sent.

use std::sync::Arc;
use std::time::Duration;

use minicbor::bytes::ByteVec;
use parsec_protocol::control::{ListeningFor, Problem, ProblemKind};
use parsec_protocol::enrol::io::Publication;
use parsec_protocol::ids::Timestamp;
use parsec_protocol::relay::attempt::RECEIPT_STEP;
use parsec_protocol::relay::{DirectEnrolment, EndReason, ErrorCode};
use tokio::sync::watch;

use super::host::{greeter_of, linger, open};
use crate::enrolment::finality;
use crate::enrolment::pending::{PendingEnrolment, keep_receipt, over, set_aside};
use crate::os::clock;
use crate::p2p::{Attempts, Host};
use crate::problems;
use crate::session::Session;
use crate::session::host_store::DeviceHostStore;
use crate::session::progress::Progress;
use crate::store::{DirectAttempt, StoredInvitation};
use crate::transport::retry::until_done;
use crate::transport::{TransportError, Trouble};

/// Between uploads that failed for a reason that takes somebody to mend.
const UPLOAD_PAUSE: Duration = Duration::from_secs(60);

/// Finishes one enrolment.
///
/// # Errors
/// It can't be finished now; the enrolment is kept.
pub async fn finish(
    session: &Arc<Session>,
    enrolment: &PendingEnrolment,
    kept: DirectAttempt,
    tell: &watch::Sender<Progress>,
) -> Result<Progress, Problem> {
    let token = enrolment.token;
    let Some(invitation) = session.store(move |store| store.invitation(token)).await? else {
        set_aside(session, enrolment.attempt).await?;
        return Ok(Progress::Void(EndReason::InvitationEnded));
    };
    let (host, receipt) = match kept.step_8 {
        Some(receipt) => (session.hosts.live(token), receipt),
        None => {
            // Without it nobody can have fetched it, and nobody can send it any more. And whatever
            // was set aside without a receipt keeps no place from the next newcomer.
            let Some(handover) = kept.step_7.filter(|_| !enrolment.set_aside) else {
                set_aside(session, enrolment.attempt).await?;
                return Ok(Progress::Void(EndReason::Abandoned));
            };
            let attempts =
                Attempts::resumed(greeter_of(session), enrolment.attempt, kept.secret_hash, handover, None);
            let host = open(session, &invitation, token, attempts, ListeningFor::Receipt).await?;
            match receipt(&host, enrolment, invitation.expires).await? {
                Ok(receipt) => (Some(host), receipt),
                Err(reason) => {
                    set_aside(session, enrolment.attempt).await?;
                    linger(session, host);
                    return Ok(Progress::Void(reason));
                }
            }
        }
    };
    let end = |host: &Option<Arc<Host<DeviceHostStore>>>, reason| {
        if let Some(host) = host {
            host.end(enrolment.attempt, reason);
            linger(session, Arc::clone(host));
        }
    };
    let publication = match enrolment.sealed.open_receipt(&receipt) {
        Ok(publication) => publication,
        Err(closed) => {
            set_aside(session, enrolment.attempt).await?;
            end(&host, EndReason::BadMessage);
            return Ok(Progress::Failed(problems::closed(closed)));
        }
    };
    keep_receipt(session, enrolment, &publication).await;
    tell.send_replace(Progress::Registering);
    let mut host = host;
    match upload(session, enrolment, &invitation, publication, tell, &mut host).await {
        Ok(()) => {
            let progress = over(session, enrolment, EndReason::Completed).await?;
            if matches!(progress, Progress::Published) {
                end(&host, EndReason::Completed);
            }
            Ok(progress)
        }
        Err(error) if error.code().is_some_and(finality::enrolment_refused) => {
            tracing::warn!(%error, "an enrolment of the peer-to-peer transport is void");
            set_aside(session, enrolment.attempt).await?;
            end(&host, EndReason::InvitationEnded);
            Ok(Progress::Void(EndReason::InvitationEnded))
        }
        Err(error) => Ok(Progress::Failed(error.into())),
    }
}

/// Waits for message 8, no longer than the invitation lasts; or the reason why it never comes.
///
/// # Errors
/// This device's end is taken by another attempt for the same invitation: the enrolment is kept.
async fn receipt(
    host: &Host<DeviceHostStore>,
    enrolment: &PendingEnrolment,
    expires: Timestamp,
) -> Result<Result<Vec<u8>, EndReason>, Problem> {
    let mut seen = host.watch();
    let end = tokio::time::sleep(clock::until(expires));
    tokio::pin!(end);
    loop {
        let view = seen.borrow_and_update().clone();
        match view {
            Some(view) if view.attempt == enrolment.attempt => {
                if let Some(reason) = view.ended {
                    return Ok(Err(reason));
                }
                if view.has(RECEIPT_STEP) {
                    return Ok(host.receipt(enrolment.attempt).ok_or(EndReason::Abandoned));
                }
            }
            Some(_) | None => {
                let text = "Somebody else is being greeted for the same invitation.";
                return Err(Problem::new(ProblemKind::InvitationInUse, text));
            }
        }
        tokio::select! {
            changed = seen.changed() => {
                if changed.is_err() {
                    let text = "The peer-to-peer node has ended.";
                    return Err(Problem::new(ProblemKind::Internal, text));
                }
            }
            () = &mut end => {
                // Refused where the receipt came at the last moment: then the next look finds it.
                if host.withdraw(enrolment.attempt).await.is_ok() {
                    return Ok(Err(EndReason::InvitationEnded));
                }
                end.as_mut().reset(tokio::time::Instant::now() + UPLOAD_PAUSE);
            }
        }
    }
}

/// Gives the enrolment to the server, as soon as it can be reached and takes it.
async fn upload(
    session: &Arc<Session>,
    enrolment: &PendingEnrolment,
    invitation: &StoredInvitation,
    publication: Publication,
    tell: &watch::Sender<Progress>,
    host: &mut Option<Arc<Host<DeviceHostStore>>>,
) -> Result<(), TransportError> {
    let enrolment = DirectEnrolment {
        token: enrolment.token,
        invited: invitation.invited.clone(),
        created: invitation.created,
        expires: invitation.expires,
        certificates: publication.certificates.into_iter().map(ByteVec::from).collect(),
        receipt: publication.receipt,
        keys: publication.keys,
    };
    let summary = &session.open.summary;
    // The keys are durable on both sides, and nobody has to wait for a server.
    let away = |why: String| {
        let found = Err(Problem::new(ProblemKind::ServerUnreachable, why));
        session.net.server_seen(&summary.organisation, &session.member.server().address(), found);
        tell.send_if_modified(|now| {
            let first = matches!(now, Progress::Registering);
            if first {
                *now = Progress::Kept;
            }
            first
        });
    };
    loop {
        let trouble = Trouble::new(None);
        let mut troubled = trouble.subscribe();
        let work = until_done(&trouble, || session.member.enrol_direct(&enrolment));
        tokio::pin!(work);
        let done = loop {
            tokio::select! {
                biased;
                done = &mut work => break done,
                Ok(()) = troubled.changed() => {
                    if let Some(why) = troubled.borrow_and_update().clone() {
                        away(why);
                        // The receipt is here, and the newcomer can ask the server: nobody is
                        // waited for any more.
                        if let Some(host) = host.take() {
                            linger(session, host);
                        }
                    }
                }
            }
        };
        match done {
            Ok(_) => {
                session.net.server_seen(&summary.organisation, &session.member.server().address(), Ok(()));
                return Ok(());
            }
            // A login page in the server's place, a clock, a full server: not for ever, and nobody
            // sits here to try again.
            Err(error) if may_pass(&error) => {
                tracing::warn!(%error, "an enrolment of the peer-to-peer transport can't be uploaded yet");
                away(error.to_string());
                tokio::time::sleep(UPLOAD_PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether a failure that does not pass by itself may pass all the same, when somebody does
/// something elsewhere.
const fn may_pass(error: &TransportError) -> bool {
    match error {
        TransportError::Refused { code, .. } => {
            matches!(
                code,
                ErrorCode::ClockSkew
                    | ErrorCode::NotAuthenticated
                    | ErrorCode::QuotaReached
                    | ErrorCode::MemberBudgetSpent
                    | ErrorCode::OrganisationBudgetSpent
            )
        }
        TransportError::Tls(_)
        | TransportError::NotServer(_)
        | TransportError::Misbehaved(_)
        | TransportError::Unreachable(_) => true,
        TransportError::PlainHttp(_)
        | TransportError::Address(_)
        | TransportError::Setup(_)
        | TransportError::PeerUnreachable(_)
        | TransportError::PeerMisbehaved(_) => false,
    }
}
