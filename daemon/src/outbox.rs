//! What this device signed and is not in the log yet: each row is followed until it is published or void.
//!
//! Decides when a row may go: once the server has the certificates, or once the attempt ended without them. Works from
//! the stored record alone, so that a restart loses nothing; publishing twice is harmless.

use std::sync::{Arc, PoisonError};

use minicbor::bytes::ByteVec;
use parsec_protocol::control::Problem;
use parsec_protocol::enrol::io::SealedEnrolment;
use parsec_protocol::ids::{AttemptId, Token};
use parsec_protocol::relay::{AttemptView, Completion, EndReason, ErrorCode};
use tokio::sync::watch;

use crate::daemon::direct;
use crate::daemon::evidence::keep_receipt;
use crate::daemon::session::Session;
use crate::problems;
use crate::transport::relay::GreeterRoad;
use crate::transport::{Road as _, RoadError};

/// Step 7's bit in an attempt's state.
const STEP_7: u16 = 1 << 7;
/// Step 8's.
const STEP_8: u16 = 1 << 8;

/// How far a row is.
#[derive(Debug, Clone)]
pub enum Progress {
    /// The newcomer's keys are not known to be durable.
    Waiting,
    /// The receipt is here; the server is being given certificates and receipt.
    Registering,
    /// The receipt is here and durable; the server can't be reached for now.
    Kept,
    /// In the log.
    Published,
    /// The attempt ended without it; the row is dropped.
    Void(EndReason),
    /// It can't be finished; the row is kept and tried again after the next unlocking.
    Failed(Problem),
}

impl Progress {
    /// Whether nothing more happens to the row now.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        match self {
            Self::Waiting | Self::Registering | Self::Kept => false,
            Self::Published | Self::Void(_) | Self::Failed(_) => true,
        }
    }
}

/// A row.
#[derive(Debug, Clone)]
pub struct Row {
    /// Which run of the ceremony.
    pub attempt: AttemptId,
    /// Which invitation.
    pub token: Token,
    /// What was signed.
    pub sealed: SealedEnrolment,
    /// Whether message 7 went out in this life of the daemon. If not, and it is not on the relay, nobody can send it
    /// any more: the channel is gone.
    pub sent: bool,
}

/// Finishes a row in the background, once, however often it is asked.
pub fn finish(session: &Arc<Session>, row: Row) -> watch::Receiver<Progress> {
    let mut rows = session.rows.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(progress) = rows.get(&row.attempt)
        && !progress.borrow().is_over()
    {
        return progress.clone();
    }
    // Rows that are over were only kept for those who looked on.
    rows.retain(|_, progress| !progress.borrow().is_over());
    let (tell, progress) = watch::channel(Progress::Waiting);
    rows.insert(row.attempt, progress.clone());
    drop(rows);
    session.outbox_changed();
    let (session, tasks) = (Arc::clone(session), session.tasks.clone());
    tasks.spawn(async move {
        let work = async {
            let end = match one(&session, &row, &tell).await {
                Ok(end) => end,
                Err(problem) => Progress::Failed(problem),
            };
            if let Progress::Failed(problem) = &end {
                session.saw(problem);
            }
            tell.send_replace(end);
            session.outbox_changed();
        };
        tokio::select! {
            () = session.stop.cancelled() => {}
            () = work => {}
        }
    });
    progress
}

/// Starts finishing everything the store holds.
///
/// # Errors
/// The store's.
pub async fn finish_all(session: &Arc<Session>) -> Result<(), Problem> {
    for (attempt, token, sealed) in session.store(crate::store::Store::sealed).await? {
        finish(session, Row { attempt, token, sealed, sent: false });
    }
    Ok(())
}

async fn one(session: &Arc<Session>, row: &Row, tell: &watch::Sender<Progress>) -> Result<Progress, Problem> {
    let attempt = row.attempt;
    if let Some(kept) = session.store(move |store| store.direct(attempt)).await? {
        return direct::finish(session, row, kept, tell).await;
    }
    let road = GreeterRoad::new(session.member.clone(), row.token, row.attempt);
    let receipt = match receipt(&road, row).await? {
        Ok(message) => message,
        Err(reason) => return over(session, row, reason).await,
    };
    let publication = match row.sealed.open_receipt(&receipt) {
        Ok(publication) => publication,
        Err(closed) => {
            // Step 8 is final, so this enrolment is too; only cancelling the invitation ends the attempt.
            drop_row(session, row.attempt).await?;
            return Ok(Progress::Failed(problems::closed(closed)));
        }
    };
    keep_receipt(session, row.attempt, &row.sealed, &publication).await;
    tell.send_replace(Progress::Registering);
    let certificates = publication.certificates.into_iter().map(ByteVec::from).collect();
    match road.complete(&Completion { certificates, receipt: publication.receipt }).await {
        Ok(_) => over(session, row, EndReason::Completed).await,
        Err(error) if error.code() == Some(ErrorCode::AttemptEnded) => {
            let reason = road.state().await?.ended.unwrap_or(EndReason::Abandoned);
            over(session, row, reason).await
        }
        Err(error) => Ok(Progress::Failed(error.into())),
    }
}

/// Waits for message 8; or the reason why it never comes.
async fn receipt(road: &GreeterRoad, row: &Row) -> Result<Result<Vec<u8>, EndReason>, RoadError> {
    let (tell, mut seen) = watch::channel(None);
    let follow = road.follow(tell);
    tokio::pin!(follow);
    loop {
        let view: AttemptView = tokio::select! {
            error = &mut follow => return Err(error),
            Ok(()) = seen.changed() => match seen.borrow_and_update().clone() {
                Some(view) => view,
                None => continue,
            },
        };
        if let Some(reason) = view.ended {
            return Ok(Err(reason));
        }
        if view.steps & STEP_8 != 0 {
            return road.fetch(8).await.map(Ok);
        }
        if view.steps & STEP_7 == 0 && !row.sent {
            road.cancel(EndReason::Abandoned).await?;
            return Ok(Err(EndReason::Abandoned));
        }
    }
}

/// The attempt is over: with the certificates in the log, or without.
pub(crate) async fn over(session: &Session, row: &Row, reason: EndReason) -> Result<Progress, Problem> {
    match reason {
        EndReason::Completed => {
            // The row goes only when the certificates have been seen in the verified log: the server's word is not it.
            let log = session.sync().await?;
            if log.device(&row.sealed.device).is_none_or(|device| device.verify_key != row.sealed.verify_key)
            {
                return Ok(Progress::Failed(
                    RoadError::Misbehaved("it says that the certificates are in the log, and they are not")
                        .into(),
                ));
            }
            let attempt = row.attempt;
            session.store(move |store| store.published(attempt)).await?;
            Ok(Progress::Published)
        }
        EndReason::CodeMismatch
        | EndReason::Cancelled
        | EndReason::BadMessage
        | EndReason::TimedOut
        | EndReason::InvitationEnded
        | EndReason::Abandoned => {
            drop_row(session, row.attempt).await?;
            Ok(Progress::Void(reason))
        }
    }
}

pub(crate) async fn drop_row(session: &Session, attempt: AttemptId) -> Result<(), Problem> {
    session.store(move |store| store.drop_sealed(attempt)).await
}
