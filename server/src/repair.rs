//! Puts back what a restore took off the end of a log: for the call of a member, and for the
//! operator's command.
//!
//! Decides where the log goes on and what of the certificates is there already. Refuses
//! certificates that do not follow a head which the log passes through, before any signature is
//! looked at, and any other certificate at a position that is held. The caller's transaction makes
//! it all or nothing.

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::rules::Fault;
use parsec_protocol::chain::view::{LogView as _, NotAccepted};
use parsec_protocol::ids::{OrganisationId, Timestamp};
use parsec_protocol::relay::ErrorCode;
use parsec_protocol::sealing::EncryptionKey;

use crate::errors::Refusal;
use crate::intake::{IntakeFault, Piece, pieces};
use crate::safes::note_restored;
use crate::store::log::{NotAppended, RightsChange};
use crate::store::{Tx, log};

/// What came of it.
#[derive(Debug)]
pub(crate) struct PutBack {
    /// Certificates that the log has now.
    pub(crate) count: u64,
    /// Of these, put back by this call.
    pub(crate) added: u64,
    /// Changes of rights that came with them.
    pub(crate) rights: Vec<RightsChange>,
}

/// Nothing of it says more to the caller than that they do not stand there; a full log is what it
/// is.
fn refused(fault: IntakeFault) -> Refusal {
    tracing::warn!(%fault, "certificates were not put back");
    let full = fault == IntakeFault::Log(Fault::LogFull);
    if full { ErrorCode::QuotaReached } else { ErrorCode::CertificateRefused }.into()
}

fn not_appended(error: NotAppended) -> Refusal {
    match error {
        NotAccepted::Fault(fault) => refused(fault.into()),
        NotAccepted::View(error) => error.into(),
    }
}

/// Puts back those of `certificates` that are missing, which follow `from`, and the keys that are
/// missing of those that they name.
pub(crate) fn put_back(
    tx: &mut dyn Tx,
    organisation: &OrganisationId,
    from: Head,
    certificates: &[ByteVec],
    keys: Result<Vec<EncryptionKey>, IntakeFault>,
    now: Timestamp,
) -> Result<PutBack, Refusal> {
    let mut log = log::lock(tx, organisation)?;
    let held = log.head().count;
    let mut head = from;
    if log.view(tx).head_at(from.count)? != Some(head) {
        return Err(ErrorCode::LogConflict.into());
    }
    let mut missing = certificates;
    while head.count < held
        && let Some((next, rest)) = missing.split_first()
    {
        head = head.after(next);
        if log.view(tx).head_at(head.count)? != Some(head) {
            return Err(ErrorCode::LogConflict.into());
        }
        missing = rest;
    }
    let keys = keys.map_err(refused)?;
    let mut rights = Vec::new();
    for piece in pieces(missing).map_err(refused)? {
        // Each is judged by what the log says up to there, as the first time.
        match piece {
            Piece::Enrolment(enrolment) => {
                enrolment.append(tx, &mut log).map_err(not_appended)?;
            }
            Piece::Change(change) => {
                rights.extend(change.append(tx, &mut log).map_err(not_appended)?.rights);
            }
        }
    }
    for key in &keys {
        tx.put_key(organisation, key)?;
    }
    let count = log.head().count;
    if count > held {
        note_restored(tx, organisation, held, now)?;
    }
    Ok(PutBack { count, added: count.saturating_sub(held), rights })
}
