//! The call with which a member puts back what a restore of the database took off the end of a
//! safe.
//!
//! Decides that everything which can be found out beside the transaction is: the organisation's
//! log as its authors had seen it is read before, and signatures are checked there. Its rate is
//! that of the repairs of a log.

use std::sync::Arc;

use axum::response::Response;
use parsec_protocol::ids::{SafeId, Timestamp};
use parsec_protocol::relay::{ErrorCode, SAFE_REPAIR_ITEMS_MAX, SafeRepair};

use super::super::authenticated::Caller;
use super::super::{App, body};
use super::check_room;
use crate::errors::Refusal;
use crate::quota::Key;
use crate::safes::{self, Terms};
use crate::store::log;

/// Puts items back.
pub(super) async fn repair(
    app: &Arc<App>,
    caller: Caller,
    safe: SafeId,
    asked: SafeRepair,
    now: Timestamp,
) -> Result<Response, Refusal> {
    app.quota.take(&Key::Repair(caller.organisation.clone(), caller.device))?;
    match asked.items.len() {
        0 => return Err(ErrorCode::BadRequest.into()),
        1..=SAFE_REPAIR_ITEMS_MAX => {}
        _ => return Err(ErrorCode::TooLarge.into()),
    }
    // The body had its bound, and what is kept of it is not more.
    check_room(app, parsec_protocol::relay::SAFE_REPAIR_MAX_BYTES)?;
    let (store, shared) = (caller.store(app), Arc::clone(app));
    let organisation = caller.organisation.clone();
    let read = move |tx: &dyn crate::store::Tx| {
        let past = shared.past_logs.read(tx, &organisation)?;
        let items = safes::read_repair(asked, &past)?;
        Ok((past, items))
    };
    let (past, items) = store.read(read).await?;
    let shared = Arc::clone(app);
    let put_back = move |tx: &mut dyn crate::store::Tx| {
        let log = log::lock(tx, &caller.organisation)?;
        let asking = caller.asking(tx, &safe)?;
        safes::put_back(tx, &log, &asking, &past, items, &Terms::at(now, &shared.safe_quotas))
    };
    let repaired = store.write(put_back).await?;
    if repaired.added > 0 {
        tracing::warn!(repaired.added, repaired.log, repaired.seq, "a member has put items of a safe back");
    }
    Ok(body::record(&repaired))
}
