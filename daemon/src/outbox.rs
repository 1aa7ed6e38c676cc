//! What this device signed and is not in the log yet: each row is followed until it is published, or set aside.
//!
//! Decides when a row goes: once its certificates have been seen in the verified log, and for nobody's word. Whatever
//! anybody says of the attempt's end sets the row aside; after each unlocking it is tried once more. Works from the
//! stored record alone, so that a restart loses nothing; publishing twice is harmless.

use std::sync::{Arc, PoisonError};

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::{Problem, Registration};
use parsec_protocol::enrol::io::SealedEnrolment;
use parsec_protocol::ids::{AttemptId, Token};
use parsec_protocol::relay::{Completion, EndReason, ErrorCode, InvitationView, NewInvitation};
use tokio::sync::watch;

use crate::daemon::direct;
use crate::daemon::evidence::keep_receipt;
use crate::daemon::session::Session;
use crate::enrolment::resume;
use crate::store::{Sealed, Store, StoredInvitation};
use crate::transport::relay::{GreeterRoad, ended};
use crate::transport::retry::until_done;
use crate::transport::{Road as _, RoadError, Trouble};
use crate::{clock, finality, problems};

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
    /// Somebody says that the attempt ended without it: the row is set aside.
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
    /// Somebody has said that it is over.
    pub set_aside: bool,
}

impl Row {
    /// Of a ceremony that has just sent message 7.
    #[must_use]
    pub const fn new(attempt: AttemptId, token: Token, sealed: SealedEnrolment) -> Self {
        Self { attempt, token, sealed, sent: true, set_aside: false }
    }
}

/// Finishes a row in the background, once, however often it is asked.
pub fn finish(session: &Arc<Session>, row: Row) -> watch::Receiver<Progress> {
    let mut rows = session.rows.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(progress) = rows.get(&row.attempt)
        && !progress.borrow().is_over()
    {
        return progress.clone();
    }
    // Rows that are over were only kept for those who looked on; those set aside are counted.
    rows.retain(|_, progress| {
        matches!(&*progress.borrow(), Progress::Void(_)) || !progress.borrow().is_over()
    });
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
    for Sealed { attempt, token, sealed, set_aside } in session.store(Store::sealed).await? {
        finish(session, Row { attempt, token, sealed, sent: false, set_aside });
    }
    Ok(())
}

async fn one(session: &Arc<Session>, row: &Row, tell: &watch::Sender<Progress>) -> Result<Progress, Problem> {
    let attempt = row.attempt;
    if let Some(kept) = session.store(move |store| store.direct(attempt)).await? {
        if is_in(&session.log(), &row.sealed) {
            return published(session, attempt).await;
        }
        return direct::finish(session, row, kept, tell).await;
    }
    let road = GreeterRoad::new(session.member.clone(), row.token, row.attempt);
    loop {
        if is_in(&session.log(), &row.sealed) {
            return published(session, attempt).await;
        }
        let receipt = match receipt(session, &road, row).await {
            Ok(Ok(message)) => message,
            Ok(Err(reason)) => return over(session, row, reason).await,
            Err(error) => {
                forgotten(session, row, error).await?;
                continue;
            }
        };
        let publication = match row.sealed.open_receipt(&receipt) {
            Ok(publication) => publication,
            Err(closed) => {
                // Step 8 is final, so this enrolment is too; only cancelling the invitation ends the attempt.
                set_aside(session, row.attempt).await?;
                return Ok(Progress::Failed(problems::closed(closed)));
            }
        };
        keep_receipt(session, row.attempt, &row.sealed, &publication).await;
        tell.send_replace(Progress::Registering);
        let certificates = publication.certificates.into_iter().map(ByteVec::from).collect();
        match road.complete(&Completion { certificates, receipt: publication.receipt }).await {
            Ok(_) => return over(session, row, EndReason::Completed).await,
            Err(error) if error.code() == Some(ErrorCode::AttemptEnded) => {
                let reason = road.state().await?.ended.unwrap_or(EndReason::Abandoned);
                return over(session, row, reason).await;
            }
            // Lost in between; the newcomer's device has the receipt, and opens it again.
            Err(error) if error.code() == Some(ErrorCode::AttemptUnknown) => {}
            Err(error) => forgotten(session, row, error).await?,
        }
    }
}

/// Waits for message 8; or the reason why it never comes.
async fn receipt(
    session: &Session,
    road: &GreeterRoad,
    row: &Row,
) -> Result<Result<Vec<u8>, EndReason>, RoadError> {
    let (tell, mut seen) = watch::channel(None);
    let trouble = Trouble::new(None);
    let follow = session.member.follow(row.token, &trouble, &tell);
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
            Some(attempt) if attempt.attempt == row.attempt => attempt,
            Some(_) => return Ok(Err(over.unwrap_or(EndReason::Abandoned))),
            // The server has lost it: the newcomer's device opens it again, unless the invitation is over.
            None => match over {
                Some(reason) => return Ok(Err(reason)),
                None => continue,
            },
        };
        if let Some(reason) = attempt.ended.or(over) {
            return Ok(Err(reason));
        }
        if attempt.steps & STEP_8 != 0 {
            return road.fetch(8).await.map(Ok);
        }
        if !resume::greet(road, &attempt).await? && attempt.steps & STEP_7 == 0 && !row.sent {
            road.cancel(EndReason::Abandoned).await?;
            return Ok(Err(EndReason::Abandoned));
        }
    }
}

/// The server knows nothing of the invitation: it has ended so long ago that it was pruned, and then the verified log has what was
/// signed; or the server has lost it, and is told of it once more, as it was; nobody is mailed.
///
/// # Errors
/// Any other refusal; or that the invitation is over, or not here either: the row stays, with what went wrong.
async fn forgotten(session: &Session, row: &Row, error: RoadError) -> Result<(), Problem> {
    if error.code() != Some(ErrorCode::InvitationUnknown) {
        return Err(error.into());
    }
    let log = session.sync().await?;
    if is_in(&log, &row.sealed) {
        return Ok(());
    }
    let token = row.token;
    match session.store(move |store| store.invitation(token)).await? {
        // What somebody has said to be over is not begun again.
        Some(StoredInvitation { invited, expires, .. }) if !row.set_aside && expires > clock::now() => {
            let new = NewInvitation { token, invited, expires, mail_link: None };
            until_done(&Trouble::new(None), || session.member.invite(&new)).await?;
            Ok(())
        }
        Some(_) | None => Err(error.into()),
    }
}

/// The attempt is over, as somebody says: with the certificates in the log, or without.
pub(crate) async fn over(session: &Session, row: &Row, reason: EndReason) -> Result<Progress, Problem> {
    // Whatever is said: what counts is whether the verified log has them.
    let log = session.sync().await;
    if log.as_ref().is_ok_and(|log| is_in(log, &row.sealed)) {
        return published(session, row.attempt).await;
    }
    if finality::ended(reason) == Registration::Registered {
        let _ = log?;
        let text = "it says that the certificates are in the log, and they are not";
        return Ok(Progress::Failed(RoadError::Misbehaved(text).into()));
    }
    set_aside(session, row.attempt).await?;
    Ok(Progress::Void(reason))
}

/// Whether the log has the device of an enrolment.
fn is_in(log: &VerifiedLog, sealed: &SealedEnrolment) -> bool {
    log.device(&sealed.device).is_some_and(|device| device.verify_key == sealed.verify_key)
}

/// The row goes.
async fn published(session: &Session, attempt: AttemptId) -> Result<Progress, Problem> {
    session.store(move |store| store.published(attempt)).await?;
    Ok(Progress::Published)
}

pub(crate) async fn set_aside(session: &Session, attempt: AttemptId) -> Result<(), Problem> {
    session.store(move |store| store.set_aside(attempt)).await
}
