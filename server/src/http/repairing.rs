//! The call with which a member puts back what a restore of the database took off the end of the
//! log.
//!
//! Decides who may: a device that the log as it stands knows and does not call revoked, before and
//! after. Refuses a newcomer who is alone with its own certificates: an enrolment that its greeter
//! or a member has cancelled since would come into the log that way. Checks and changes are one
//! transaction.

use axum::response::Response;
use parsec_protocol::ids::Timestamp;
use parsec_protocol::limits::LOG_PAGE_MAX_CERTIFICATES;
use parsec_protocol::relay::{ErrorCode, LogRepair, LogRepaired};

use super::authenticated::Caller;
use super::registering::settle_rights;
use super::{App, body};
use crate::errors::Refusal;
use crate::intake::repaired_keys;
use crate::repair::{PutBack, put_back};
use crate::store::{Tx, log};

/// Puts certificates back.
pub(super) async fn repair(
    app: &App,
    caller: Caller,
    asked: LogRepair,
    now: Timestamp,
) -> Result<Response, Refusal> {
    match asked.certificates.len() {
        0 => return Err(ErrorCode::BadRequest.into()),
        1..=LOG_PAGE_MAX_CERTIFICATES => {}
        _ => return Err(ErrorCode::TooLarge.into()),
    }
    let store = caller.store(app);
    let LogRepair { from, certificates, keys } = asked;
    // Hashed here, where nobody else waits.
    let keys = repaired_keys(&certificates, keys);
    let put_back = move |tx: &mut dyn Tx| {
        repair_in(tx, &caller, |tx| put_back(tx, &caller.organisation, from, &certificates, keys, now), now)
    };
    let repaired = store.write(put_back).await?;
    if repaired.added > 0 {
        tracing::warn!(repaired.added, repaired.count, "a member has put certificates back");
    }
    Ok(body::record(&repaired))
}

fn repair_in(
    tx: &mut dyn Tx,
    caller: &Caller,
    put_back: impl FnOnce(&mut dyn Tx) -> Result<PutBack, Refusal>,
    now: Timestamp,
) -> Result<LogRepaired, Refusal> {
    let org = &caller.organisation;
    log::lock(tx, org)?;
    caller.signer(tx)?;
    let done = put_back(tx)?;
    // Whoever is revoked by what they bring speaks for nobody.
    caller.signer(tx)?;
    for rights in done.rights {
        settle_rights(tx, org, rights, now)?;
    }
    caller.log_grew(tx)?;
    Ok(LogRepaired { count: done.count, added: done.added })
}
