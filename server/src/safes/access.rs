//! Who is told of a safe, and who may bring something.
//!
//! Decides by the roles of the safe's log as they are in this transaction. Refuses everybody else
//! as if there were no such safe: a stranger can't find out whether an id is one.

use parsec_protocol::ids::UserId;
use parsec_protocol::relay::ErrorCode;
use parsec_protocol::safe_log::certificate::State;
use parsec_protocol::safe_log::roles::Role;

use super::Asking;
use crate::errors::Refusal;
use crate::store::safes::{SafeKey, SafeRow};
use crate::store::{Tx, log};

/// The safe, for somebody to whom its log gives a role.
///
/// # Errors
/// `safe_unknown`.
pub(crate) fn reader(tx: &dyn Tx, asking: &Asking<'_>) -> Result<SafeRow, Refusal> {
    let role = tx.role(asking.of, &asking.user)?;
    let safe = role.map(|_| tx.safe(asking.of)).transpose()?.flatten();
    safe.ok_or_else(|| ErrorCode::SafeUnknown.into())
}

/// The safe, for somebody who may write to it now.
///
/// # Errors
/// `safe_unknown`, `not_allowed`, `safe_not_open`.
pub(crate) fn writer(tx: &dyn Tx, asking: &Asking<'_>) -> Result<SafeRow, Refusal> {
    let safe = may_bring_keys(tx, asking)?;
    match safe.present.state {
        State::Open => Ok(safe),
        State::ReadOnly | State::Deleted(_) => Err(ErrorCode::SafeNotOpen.into()),
    }
}

/// The safe, for somebody who may bring keys to it: also where it is read-only, so that somebody
/// can be removed from it.
///
/// # Errors
/// `safe_unknown`, `not_allowed`.
pub(super) fn may_bring_keys(tx: &dyn Tx, asking: &Asking<'_>) -> Result<SafeRow, Refusal> {
    let safe = reader(tx, asking)?;
    match counting(tx, asking.of, &asking.user)? {
        Some(role) if role.writes() => Ok(safe),
        Some(_) | None => Err(ErrorCode::NotAllowed.into()),
    }
}

/// Role\* of a user now, of one who is not suspended.
pub(super) fn counting(tx: &dyn Tx, of: SafeKey<'_>, user: &UserId) -> Result<Option<Role>, Refusal> {
    let n = log::end(tx, of.organisation)?.head.count;
    let (Some(role), Some(at)) = (tx.role(of, user)?, tx.user_at(of.organisation, user, n)?) else {
        return Ok(None);
    };
    Ok(role.at(&at).filter(|_| !at.suspended))
}
