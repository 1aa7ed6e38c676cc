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
use rusqlite::Connection;

use crate::errors::Refusal;
use crate::log_rules::changes::{self, Ground, Kind};
use crate::log_rules::repair::{Piece, check_again, pieces};
use crate::log_rules::{Certifier, LogFault, Surroundings};
use crate::store::{changes as change_rows, members};

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
    sql: &Connection,
    organisation: &OrganisationId,
    root: &VerifyKey,
    from: Head,
    certificates: &[ByteVec],
) -> Result<PutBack, Refusal> {
    let held = members::count(sql, organisation)?;
    let mut head = from;
    if members::head_at(sql, organisation, root, from.count)? != Some(head) {
        return Err(ErrorCode::LogConflict.into());
    }
    let mut missing = certificates;
    while head.count < held
        && let Some((next, rest)) = missing.split_first()
    {
        head = head.after(next);
        if members::head_at(sql, organisation, root, head.count)? != Some(head) {
            return Err(ErrorCode::LogConflict.into());
        }
        missing = rest;
    }
    let mut rights = Vec::new();
    for piece in pieces(organisation, missing).map_err(refused)? {
        rights.extend(put_piece(sql, organisation, root, &piece)?);
    }
    let count = members::count(sql, organisation)?;
    Ok(PutBack { count, added: count.saturating_sub(held), rights })
}

/// Puts one piece at the end of the log, if it may stand there by what the log says up to there.
fn put_piece(
    sql: &Connection,
    organisation: &OrganisationId,
    root: &VerifyKey,
    piece: &Piece,
) -> Result<Option<(Kind, UserId)>, Refusal> {
    let author = piece.author().map_err(refused)?;
    let signer = members::signer(sql, organisation, &author)?.filter(|signer| !signer.revoked);
    let signer = signer.ok_or_else(|| refused(LogFault::AuthorGone))?;
    let certifier = Certifier {
        user: signer.member.user,
        device: author,
        profile: signer.member.profile,
        verify_key: signer.verify_key,
    };
    let head_at = |count| members::head_at(sql, organisation, root, count);
    let count = members::count(sql, organisation)?;
    let present = head_at(count)?.ok_or(ErrorCode::Internal)?;
    match piece {
        Piece::Enrolment(proposal) => {
            let mut heads = Vec::new();
            for seen in proposal.seen_counts() {
                heads.extend(head_at(seen)?);
            }
            let known = members::known(sql, organisation, proposal)?;
            let around = Surroundings { root: *root, present, heads: &heads, known: &known };
            let after = check_again(proposal, &certifier, &around).map_err(refused)?;
            members::append(sql, organisation, proposal, &after)?;
            Ok(None)
        }
        Piece::Change(change) => {
            let subject = change_rows::subject(sql, organisation, &change.kind)?;
            let ground = Ground {
                present,
                seen: head_at(change.seen_count())?,
                last_word: change_rows::last_word(sql, organisation, &author)?,
                subject,
            };
            let after = changes::check_change(change, &certifier, &ground).map_err(refused)?;
            change_rows::append(sql, organisation, &author, change, &after)?;
            Ok(subject.map(|subject| (change.kind, subject.user)))
        }
    }
}
