//! A pending enrolment: signed by this device, and not in the log yet.
//!
//! Decides when one is over: once its certificates have been seen in the verified log, and for
//! nobody's word. Whatever is said of the attempt's end sets the enrolment aside. Keeps the receipt
//! before the server gets it.

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::{Problem, Registration};
use parsec_protocol::enrol::io::{Publication, SealedEnrolment};
use parsec_protocol::evidence::receipt::EnrolmentReceipt;
use parsec_protocol::ids::{AttemptId, Token};
use parsec_protocol::relay::EndReason;

use super::finality;
use crate::session::Session;
use crate::session::device::Device;
use crate::session::progress::Progress;
use crate::store::{Sealed, Store};
use crate::transport::TransportError;

/// An enrolment that waits in the outbox.
#[derive(Debug, Clone)]
pub struct PendingEnrolment {
    /// The attempt of the ceremony.
    pub attempt: AttemptId,
    /// The invitation of the newcomer.
    pub token: Token,
    /// The signed enrolment, sealed for the newcomer.
    pub sealed: SealedEnrolment,
    /// Whether message 7 went out in this life of the daemon. If not, and it is not on the relay,
    /// nobody can send it any more: the channel is gone.
    pub sent: bool,
    /// Said to be over, by the server or by the peer.
    pub set_aside: bool,
}

impl PendingEnrolment {
    /// The enrolment of a ceremony that has just sent message 7.
    #[must_use]
    pub const fn new(attempt: AttemptId, token: Token, sealed: SealedEnrolment) -> Self {
        Self { attempt, token, sealed, sent: true, set_aside: false }
    }
}

impl From<Sealed> for PendingEnrolment {
    fn from(Sealed { attempt, token, sealed, set_aside }: Sealed) -> Self {
        Self { attempt, token, sealed, sent: false, set_aside }
    }
}

/// The enrolment of an attempt, if this device signed for it.
///
/// # Errors
/// The store's.
pub(super) async fn of_attempt(
    device: &Device,
    attempt: AttemptId,
) -> Result<Option<PendingEnrolment>, Problem> {
    let all = device.store(Store::sealed).await?;
    Ok(all.into_iter().find(|enrolment| enrolment.attempt == attempt).map(Into::into))
}

/// The attempt is over, as somebody says: with the certificates in the log, or without.
pub(super) async fn over(
    session: &Session,
    enrolment: &PendingEnrolment,
    reason: EndReason,
) -> Result<Progress, Problem> {
    // Whatever is said: what counts is whether the verified log has them.
    let log = session.sync().await;
    if log.as_ref().is_ok_and(|log| is_in(log, &enrolment.sealed)) {
        return published(session, enrolment.attempt).await;
    }
    if finality::ended(reason) == Registration::Registered {
        let _ = log?;
        let text = "it says that the certificates are in the log, and they are not";
        return Ok(Progress::Failed(TransportError::Misbehaved(text).into()));
    }
    set_aside(session, enrolment.attempt).await?;
    Ok(Progress::Void(reason))
}

/// Whether the log has the device of an enrolment.
pub(super) fn is_in(log: &VerifiedLog, sealed: &SealedEnrolment) -> bool {
    log.device(&sealed.device).is_some_and(|device| device.verify_key == sealed.verify_key)
}

/// The enrolment is in the verified log: it leaves the outbox.
pub(super) async fn published(device: &Device, attempt: AttemptId) -> Result<Progress, Problem> {
    device.store(move |store| store.published(attempt)).await?;
    Ok(Progress::Published)
}

/// Sets an enrolment aside: kept whole, and tried again after the next unlocking.
pub(super) async fn set_aside(device: &Device, attempt: AttemptId) -> Result<(), Problem> {
    device.store(move |store| store.set_aside(attempt)).await
}

/// Keeps the receipt of an enrolment whose newcomer has answered, before it goes to the server. A
/// full disk must not keep the newcomer out.
pub(super) async fn keep_receipt(
    device: &Device,
    PendingEnrolment { attempt, sealed, .. }: &PendingEnrolment,
    publication: &Publication,
) {
    let signed = sealed.statement.clone();
    let certificates = publication.certificates.iter().cloned().map(ByteVec::from).collect();
    let receipt = EnrolmentReceipt::new(signed, certificates, publication.receipt.clone());
    match receipt.verify() {
        Ok(checked) => {
            let (said, file) = (checked.statement, receipt.encode());
            let attempt = *attempt;
            let keep = move |store: &Store| store.put_receipt(attempt, said.device, said.time, &file);
            let kept = device.store(keep).await;
            if let Err(problem) = kept {
                tracing::error!(%problem, "the receipt of an enrolment could not be kept");
            }
        }
        // Ours is the statement: it can be wrong by a bug alone, which must not keep the newcomer
        // out.
        Err(error) => {
            tracing::error!(%error, "the receipt of an enrolment fails verification");
        }
    }
}
