//! Puts back what a restore took off the end of a log: for the call of a member, and for the operator's command.
//!
//! Decides where the log goes on and what of the certificates is there already. Refuses whatever does not follow a head that the log passes
//! through, before any signature is looked at, and any other certificate at a position that is held. The caller's transaction makes it all
//! or nothing.

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::certificate::Head;
use parsec_protocol::ids::{OrganisationId, UserId};
use parsec_protocol::public::VerifyKey;
use parsec_protocol::relay::ErrorCode;

use crate::errors::Refusal;
use crate::log_rules::changes::{self, Ground, Kind};
use crate::log_rules::repair::{Piece, check_again, pieces};
use crate::log_rules::{Certifier, LogFault, Surroundings};
use crate::store::{Tx, log};

/// What came of it.
#[derive(Debug)]
pub(crate) struct PutBack {
    /// Certificates that the log has now.
    pub(crate) count: u64,
    /// Of these, put back by this call.
    pub(crate) added: u64,
    /// Whose rights are others now, and by what.
    pub(crate) rights: Vec<(Kind, UserId)>,
}

/// Nothing of it says more to the caller than that they do not stand there; a full log is what it is.
fn refused(fault: LogFault) -> Refusal {
    tracing::warn!(%fault, "certificates were not put back");
    if fault == LogFault::Full { ErrorCode::QuotaReached } else { ErrorCode::CertificateRefused }.into()
}

/// Puts back those of `certificates` that are missing, which follow `from`.
pub(crate) fn put_back(
    tx: &mut dyn Tx,
    organisation: &OrganisationId,
    root: &VerifyKey,
    from: Head,
    certificates: &[ByteVec],
) -> Result<PutBack, Refusal> {
    let held = log::lock(tx, organisation)?.head.count;
    let mut head = from;
    if log::head_at(tx, organisation, root, from.count)? != Some(head) {
        return Err(ErrorCode::LogConflict.into());
    }
    let mut missing = certificates;
    while head.count < held
        && let Some((next, rest)) = missing.split_first()
    {
        head = head.after(next);
        if log::head_at(tx, organisation, root, head.count)? != Some(head) {
            return Err(ErrorCode::LogConflict.into());
        }
        missing = rest;
    }
    let mut rights = Vec::new();
    for piece in pieces(organisation, missing).map_err(refused)? {
        rights.extend(put_piece(tx, organisation, root, &piece)?);
    }
    let count = log::end(tx, organisation)?.head.count;
    Ok(PutBack { count, added: count.saturating_sub(held), rights })
}

/// Puts one piece at the end of the log, if it may stand there by what the log says up to there.
fn put_piece(
    tx: &mut dyn Tx,
    organisation: &OrganisationId,
    root: &VerifyKey,
    piece: &Piece,
) -> Result<Option<(Kind, UserId)>, Refusal> {
    let author = piece.author().map_err(refused)?;
    let signer = tx.signer(organisation, &author)?.filter(|signer| !signer.revoked);
    let signer = signer.ok_or_else(|| refused(LogFault::AuthorGone))?;
    let certifier = Certifier {
        user: signer.member.user,
        device: author,
        profile: signer.member.profile,
        verify_key: signer.verify_key,
    };
    let present = log::end(tx, organisation)?.head;
    match piece {
        Piece::Enrolment(proposal) => {
            let mut heads = Vec::new();
            for seen in proposal.seen_counts() {
                heads.extend(log::head_at(tx, organisation, root, seen)?);
            }
            let known = log::known(tx, organisation, proposal)?;
            let around = Surroundings { root: *root, present, heads: &heads, known: &known };
            let after = check_again(proposal, &certifier, &around).map_err(refused)?;
            log::append(tx, organisation, proposal, &after)?;
            Ok(None)
        }
        Piece::Change(change) => {
            let subject = log::subject(tx, organisation, &change.kind)?;
            let ground = Ground {
                present,
                seen: log::head_at(tx, organisation, root, change.seen_count())?,
                last_word: log::last_word(tx, organisation, &author)?,
                subject,
            };
            let after = changes::check_change(change, &certifier, &ground).map_err(refused)?;
            log::append_change(tx, organisation, &author, change, &after)?;
            Ok(subject.map(|subject| (change.kind, subject.user)))
        }
    }
}
