//! What a safe takes, for its members.
//!
//! Decides who is told: every member, of the whole safe, of the organisation its sum and its limit,
//! and of what they have brought themselves. Refuses to tell how full the disk is: others'
//! organisations are on it, too. It says whether it has room for what somebody is about to bring.

use parsec_protocol::ids::ObjectId;
use parsec_protocol::relay::{ErrorCode, ObjectLengths, SafeRoom, SafeTotals, TOTALS_USERS_MAX};

use super::{Asking, Quotas, reader};
use crate::errors::Refusal;
use crate::store::Tx;

/// How many bytes the safe takes, and by what.
///
/// # Errors
/// `safe_unknown`.
pub(crate) fn totals(tx: &dyn Tx, asking: &Asking<'_>, quotas: &Quotas) -> Result<SafeTotals, Refusal> {
    reader(tx, asking)?;
    let totals = tx.safe_totals(asking.of, TOTALS_USERS_MAX)?.ok_or(ErrorCode::SafeUnknown)?;
    Ok(SafeTotals { limit: quotas.of(asking.of.organisation), ..totals })
}

/// What the organisation's safes take of what they may, this one of what each may, and what the
/// caller has brought of what each member may. Of the disk nothing is known here.
///
/// # Errors
/// `safe_unknown`.
pub(crate) fn room(tx: &dyn Tx, asking: &Asking<'_>, quotas: &Quotas) -> Result<SafeRoom, Refusal> {
    reader(tx, asking)?;
    let of = asking.of;
    Ok(SafeRoom {
        organisation: tx.safe_bytes(of.organisation)?,
        limit: quotas.of(of.organisation),
        disk: false,
        safe: quotas.of_safe(tx, of)?,
        member: quotas.of_member(tx, of.organisation, &asking.user)?,
    })
}

/// How long objects are, in the order of the question; those that are not here are 0.
///
/// # Errors
/// `safe_unknown`.
pub(crate) fn lengths(
    tx: &dyn Tx,
    asking: &Asking<'_>,
    objects: &[ObjectId],
) -> Result<ObjectLengths, Refusal> {
    reader(tx, asking)?;
    let length = |object| Ok(tx.object(asking.of, object)?.map_or(0, |there| there.length));
    Ok(ObjectLengths { lengths: objects.iter().map(length).collect::<Result<_, Refusal>>()? })
}
