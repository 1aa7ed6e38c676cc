//! The outbox: follows what this device signed until it is published, or set aside.
//!
//! Decides what is done next for an enrolment over the server's relay. Works from the stored record
//! alone, so that a restart loses nothing; publishing twice is harmless. After each unlocking, what
//! was set aside is tried once more.

use std::sync::Arc;

use minicbor::bytes::ByteVec;
use parsec_protocol::control::Problem;
use parsec_protocol::relay::attempt::{HANDOVER_STEP, RECEIPT_STEP};
use parsec_protocol::relay::{Completion, EndReason, ErrorCode, InvitationView, NewInvitation};
use tokio::sync::watch;

use super::pending::{PendingEnrolment, is_in, keep_receipt, over, published, set_aside};
use super::{p2p, resume};
use crate::os::clock;
use crate::problems;
use crate::session::Session;
use crate::session::progress::{Followed, Progress};
use crate::store::{Store, StoredInvitation};
use crate::transport::relay::{GreeterTransport, ended};
use crate::transport::retry::until_done;
use crate::transport::{Transport as _, TransportError, Trouble};

/// Finishes an enrolment in the background, once, however often that is asked for.
pub fn finish(session: &Arc<Session>, enrolment: PendingEnrolment) -> watch::Receiver<Progress> {
    let (tell, progress) = match session.pending.follow(enrolment.attempt) {
        Followed::Already(progress) => return progress,
        Followed::Begun(tell, progress) => (tell, progress),
    };
    session.outbox_changed();
    let inner = Arc::clone(session);
    session.run(async move {
        let end = one(&inner, &enrolment, &tell).await.unwrap_or_else(Progress::Failed);
        if let Progress::Failed(problem) = &end {
            inner.saw(problem);
        }
        tell.send_replace(end);
        inner.outbox_changed();
    });
    progress
}

/// Starts finishing everything the store holds.
///
/// # Errors
/// The store's.
pub async fn finish_all(session: &Arc<Session>) -> Result<(), Problem> {
    for sealed in session.store(Store::sealed).await? {
        finish(session, sealed.into());
    }
    Ok(())
}

async fn one(
    session: &Arc<Session>,
    enrolment: &PendingEnrolment,
    tell: &watch::Sender<Progress>,
) -> Result<Progress, Problem> {
    let attempt = enrolment.attempt;
    if let Some(kept) = session.store(move |store| store.direct(attempt)).await? {
        if is_in(&session.log(), &enrolment.sealed) {
            return published(session, attempt).await;
        }
        return p2p::finish(session, enrolment, kept, tell).await;
    }
    let transport = GreeterTransport::new(session.member.clone(), enrolment.token, enrolment.attempt);
    loop {
        if is_in(&session.log(), &enrolment.sealed) {
            return published(session, attempt).await;
        }
        let receipt = match receipt(session, &transport, enrolment).await {
            Ok(Ok(message)) => message,
            Ok(Err(reason)) => return over(session, enrolment, reason).await,
            Err(error) => {
                forgotten(session, enrolment, error).await?;
                continue;
            }
        };
        let publication = match enrolment.sealed.open_receipt(&receipt) {
            Ok(publication) => publication,
            Err(closed) => {
                // Step 8 is final, so this enrolment is too; only cancelling the invitation ends
                // the attempt.
                set_aside(session, enrolment.attempt).await?;
                return Ok(Progress::Failed(problems::closed(closed)));
            }
        };
        keep_receipt(session, enrolment, &publication).await;
        tell.send_replace(Progress::Registering);
        let certificates = publication.certificates.into_iter().map(ByteVec::from).collect();
        let (receipt, keys) = (publication.receipt, publication.keys);
        let completion = Completion { certificates, receipt, keys };
        match transport.complete(&completion).await {
            Ok(_) => return over(session, enrolment, EndReason::Completed).await,
            Err(error) if error.code() == Some(ErrorCode::AttemptEnded) => {
                let reason = transport.state().await?.ended.unwrap_or(EndReason::Abandoned);
                return over(session, enrolment, reason).await;
            }
            // Lost in between; the newcomer's device has the receipt, and opens it again.
            Err(error) if error.code() == Some(ErrorCode::AttemptUnknown) => {}
            Err(error) => forgotten(session, enrolment, error).await?,
        }
    }
}

/// Waits for message 8; or the reason why it never comes.
async fn receipt(
    session: &Session,
    transport: &GreeterTransport,
    enrolment: &PendingEnrolment,
) -> Result<Result<Vec<u8>, EndReason>, TransportError> {
    let (tell, mut seen) = watch::channel(None);
    let trouble = Trouble::new(None);
    let follow = session.member.follow(enrolment.token, &trouble, &tell);
    tokio::pin!(follow);
    loop {
        let view: InvitationView = tokio::select! {
            error = &mut follow => return Err(error),
            Ok(()) = seen.changed() => match seen.borrow_and_update().clone() {
                Some(view) => view,
                None => continue,
            },
        };
        let over = ended(view.status);
        let attempt = match view.attempt {
            Some(attempt) if attempt.attempt == enrolment.attempt => attempt,
            Some(_) => return Ok(Err(over.unwrap_or(EndReason::Abandoned))),
            // The server has lost it: the newcomer's device opens it again, unless the invitation
            // is over.
            None => match over {
                Some(reason) => return Ok(Err(reason)),
                None => continue,
            },
        };
        if let Some(reason) = attempt.ended.or(over) {
            return Ok(Err(reason));
        }
        if attempt.has(RECEIPT_STEP) {
            return transport.fetch(RECEIPT_STEP).await.map(Ok);
        }
        if !resume::greet(transport, &attempt).await? && !attempt.has(HANDOVER_STEP) && !enrolment.sent {
            transport.cancel(EndReason::Abandoned).await?;
            return Ok(Err(EndReason::Abandoned));
        }
    }
}

/// The server knows nothing of the invitation: it has ended so long ago that it was pruned, and
/// then the verified log has what was signed; or the server has lost it, and is told of it once
/// more, as it was; nobody is mailed.
///
/// # Errors
/// Any other refusal; or that the invitation is over, or not here either: the row stays, with what
/// went wrong.
async fn forgotten(
    session: &Session,
    enrolment: &PendingEnrolment,
    error: TransportError,
) -> Result<(), Problem> {
    if error.code() != Some(ErrorCode::InvitationUnknown) {
        return Err(error.into());
    }
    let log = session.sync().await?;
    if is_in(&log, &enrolment.sealed) {
        return Ok(());
    }
    let token = enrolment.token;
    match session.store(move |store| store.invitation(token)).await? {
        // What somebody has said to be over is not begun again.
        Some(StoredInvitation { invited, expires, .. }) if !enrolment.set_aside && expires > clock::now() => {
            let new = NewInvitation { token, invited, expires, mail_link: None };
            until_done(&Trouble::new(None), || session.member.invite(&new)).await?;
            Ok(())
        }
        Some(_) | None => Err(error.into()),
    }
}
