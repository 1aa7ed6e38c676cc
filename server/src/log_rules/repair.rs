//! Certificates that a restore took off the end of a log and a member puts back (docs/protocol.md, *Repair*).
//!
//! Decides how a row of certificates falls into the pieces in which an honest server takes them, an enrolment or a change, so that each is
//! judged by the same rules as the first time. Refuses a user without its first terminal: no honest server's log has one.

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::certificate::{Author, Body, Head};
use parsec_protocol::ids::{DeviceId, OrganisationId};

use super::changes::{Change, read_change};
use super::{Certifier, LogFault, Proposal, Statement, Surroundings, check_newcomer, check_statements, read};

/// What stands or falls together.
#[derive(Debug)]
pub(crate) enum Piece {
    /// A terminal, or a user and their first one.
    Enrolment(Proposal),
    /// A profile change or a revocation.
    Change(Change),
}

/// Reads all of them. None is believed yet.
pub(crate) fn pieces(organisation: &OrganisationId, envelopes: &[ByteVec]) -> Result<Vec<Piece>, LogFault> {
    let mut rest = envelopes;
    let mut pieces = Vec::new();
    while let Some(first) = rest.first() {
        let body = super::statement(organisation, first)?.payload.body;
        let length = match body {
            Body::User { .. } => 2,
            Body::Device { .. }
            | Body::ProfileChange { .. }
            | Body::UserRevoked { .. }
            | Body::DeviceRevoked { .. } => 1,
        };
        let (piece, after) = rest.split_at_checked(length).ok_or(LogFault::WrongKinds)?;
        pieces.push(match body {
            Body::User { .. } | Body::Device { .. } => Piece::Enrolment(read(organisation, piece)?),
            Body::ProfileChange { .. } | Body::UserRevoked { .. } | Body::DeviceRevoked { .. } => {
                Piece::Change(read_change(organisation, piece)?)
            }
        });
        rest = after;
    }
    Ok(pieces)
}

/// The device that a statement says has signed it. The root signs what a founding brings, and nothing that comes later.
fn device(statement: &Statement) -> Result<DeviceId, LogFault> {
    match statement.payload.author {
        Author::Device(device) => Ok(device),
        Author::Root => Err(LogFault::WrongAuthor),
    }
}

impl Piece {
    /// Who says so, all of it.
    pub(crate) fn author(&self) -> Result<DeviceId, LogFault> {
        match self {
            Self::Enrolment(proposal) => {
                proposal.statements.first().map_or(Err(LogFault::WrongKinds), device)
            }
            Self::Change(change) => device(&change.statement),
        }
    }
}

/// Checks an enrolment by `certifier`, who is not revoked at this place. The invitation and the receipt were looked at when it was taken the
/// first time; the member who puts it back stands for that.
pub(crate) fn check_again(
    proposal: &Proposal,
    certifier: &Certifier,
    log: &Surroundings<'_>,
) -> Result<Vec<Head>, LogFault> {
    let author = Author::Device(certifier.device);
    let after =
        check_statements(&proposal.statements, author, &certifier.verify_key, log.present, log.heads)?;
    check_newcomer(proposal, certifier, log)?;
    Ok(after)
}
