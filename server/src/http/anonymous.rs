//! Calls without an identity: founding an organisation with the token that the server's
//! administrator handed out, and a newcomer's question what became of a direct enrolment.
//!
//! Decides that a founding is complete and consistent before anything of it is stored. An unknown
//! name and a wrong token get the same answer; so do, to the newcomer, everything unknown and
//! everything that may still come.

use std::net::IpAddr;

use axum::body::Body;
use axum::http::request::Parts;
use axum::response::Response;
use parsec_protocol::ids::OrganisationId;
use parsec_protocol::limits::CERTIFICATE_MAX_BYTES;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{BootstrapRequest, ErrorCode, HEADER_BOOTSTRAP, Standing, StandingQuestion};

use super::{App, body};
use crate::errors::Refusal;
use crate::intake::{self, not_appended, refused};
use crate::store::Party;
use crate::store::log::OpenLog;

/// Two certificates, a key, their framing.
const FOUNDING_MAX_BYTES: usize = 2 * CERTIFICATE_MAX_BYTES + 64;
/// An id, a hash, their framing.
const QUESTION_MAX_BYTES: usize = 64;

/// Founds.
pub(crate) async fn bootstrap(
    app: &App,
    organisation: OrganisationId,
    address: IpAddr,
    parts: &Parts,
    content: Body,
) -> Result<Response, Refusal> {
    // The token is 32 random bytes; hashes are what is compared, so the comparison's time tells
    // nothing.
    let token: Hash = body::header(&parts.headers, HEADER_BOOTSTRAP).ok_or(ErrorCode::BootstrapRefused)?;
    let token_hash = Hash::of(&[token.as_bytes()]);
    let (org, store) = (organisation.clone(), app.store.of(Party::address(address)));
    let stored = store.read(move |tx| Ok(tx.organisation(&org)?)).await?;
    if stored.map(|stored| stored.bootstrap_hash) != Some(token_hash) {
        return Err(ErrorCode::BootstrapRefused.into());
    }

    let content = body::read(content, FOUNDING_MAX_BYTES).await?;
    let request: BootstrapRequest = body::decode(&content)?;
    let request_hash = Hash::of(&[&content]);
    let founding = intake::read_founding(&request.certificates, &request.root);
    store
        .write(move |tx| {
            tx.lock_log(&organisation)?;
            let stored = tx.organisation(&organisation)?.ok_or(ErrorCode::BootstrapRefused)?;
            if stored.bootstrap_hash != token_hash {
                return Err(ErrorCode::BootstrapRefused.into());
            }
            match stored.founded {
                Some((_, hash)) if hash == request_hash => return Ok(()),
                Some(_) => return Err(ErrorCode::OrganisationExists.into()),
                None => {}
            }
            let founding = founding.map_err(refused)?;
            tx.set_founded(&organisation, &request.root, request_hash)?;
            let mut log = OpenLog::empty(&organisation, request.root);
            for certificate in founding {
                log.append(tx, certificate).map_err(not_appended)?;
            }
            Ok(())
        })
        .await?;
    Ok(body::done())
}

/// Tells what became of an enrolment, from one state of the log.
pub(crate) async fn standing(
    app: &App,
    organisation: OrganisationId,
    address: IpAddr,
    content: Body,
) -> Result<Response, Refusal> {
    let content = body::read(content, QUESTION_MAX_BYTES).await?;
    let asked: StandingQuestion = body::decode(&content)?;
    let standing = app
        .store
        .of(Party::address(address))
        .read(move |tx| {
            if tx.position_of(&organisation, &asked.certificate)?.is_some() {
                return Ok(Standing::Registered);
            }
            let greeter = tx.signer(&organisation, &asked.greeter)?;
            Ok(if greeter.is_some_and(|greeter| greeter.revoked) {
                Standing::Void
            } else {
                Standing::Waiting
            })
        })
        .await?;
    Ok(body::record(&standing))
}
