//! Recovery kits that are split among members: what is kept of them, and who is given what.
//!
//! Decides that a plan is the new kit's own, and that there is one box for each of its members, for
//! the key that the member has now. Everybody is given what concerns them: the plans of their own
//! kits, and of those of which they have a share, with that share. Whether a share is the right
//! one, whoever opens it finds out.

use axum::response::Response;
use parsec_protocol::ids::{DeviceId, Invited, OrganisationId, UserId};
use parsec_protocol::public_keys::VerifyKey;
use parsec_protocol::relay::{
    ErrorCode, NewShares, PLANS_MAX, SHARES_HELD_MAX, ShareBox, SharesView, SplitKit, SplitKits,
};
use parsec_protocol::share_plan::{Plan, SHARE_BOX_BYTES};

use super::authenticated::Caller;
use super::{App, body};
use crate::errors::Refusal;
use crate::store::Tx;

/// Keeps how a new kit is split, in the transaction that brings the kit.
pub(super) fn keep(
    tx: &mut dyn Tx,
    organisation: &OrganisationId,
    of: SplitKit,
    key: &VerifyKey,
    split: &NewShares,
) -> Result<(), Refusal> {
    let plan = Plan::read(&split.plan, |_| Ok(*key)).map_err(|fault| {
        tracing::warn!(%fault, "a plan was refused");
        ErrorCode::BadRequest
    })?;
    if (&plan.organisation, plan.user, plan.kit) != (organisation, of.user, of.kit) {
        return Err(ErrorCode::BadRequest.into());
    }
    let members = plan.members.iter().map(|member| member.user);
    if !members.eq(split.boxes.iter().map(|given| given.member)) {
        return Err(ErrorCode::BadRequest.into());
    }
    if tx.plans_of(organisation, &of.user)? >= PLANS_MAX as u64 {
        return Err(ErrorCode::QuotaReached.into());
    }
    tx.insert_plan(organisation, of, &split.plan)?;
    for given in &split.boxes {
        may_hold(tx, organisation, given)?;
        tx.insert_share(organisation, &of.kit, given)?;
    }
    Ok(())
}

/// Refuses a box for somebody who is not there any more, or has another key now: who made it looks
/// at the log anew.
fn may_hold(tx: &dyn Tx, organisation: &OrganisationId, given: &ShareBox) -> Result<(), Refusal> {
    let ShareBox { member, key, sealed } = given;
    let user = tx.user(organisation, member)?.filter(|user| !user.revoked);
    if sealed.len() != SHARE_BOX_BYTES || user.is_none_or(|user| user.encryption_key != *key) {
        return Err(ErrorCode::BoxesRefused.into());
    }
    if tx.shares_held(organisation, member)? >= SHARES_HELD_MAX as u64 {
        return Err(ErrorCode::QuotaReached.into());
    }
    Ok(())
}

/// Refuses an invitation that brings a share which its maker has not.
pub(super) fn may_give(
    tx: &dyn Tx,
    organisation: &OrganisationId,
    by: &UserId,
    invited: &Invited,
) -> Result<(), Refusal> {
    let Invited::Share(user, kit) = invited else { return Ok(()) };
    let of_them = tx.plan(organisation, kit)?.is_some_and(|(owner, _)| owner == *user);
    if of_them && tx.share(organisation, kit, by)?.is_some() {
        Ok(())
    } else {
        Err(ErrorCode::NotAllowed.into())
    }
}

/// Says which split kits concern the caller.
pub(super) async fn list(app: &App, caller: Caller) -> Result<Response, Refusal> {
    let store = caller.store(app);
    let load = move |tx: &dyn Tx| {
        let user = caller.member(tx)?.user;
        let kits = tx.split_kits(&caller.organisation, &user, PLANS_MAX.saturating_add(SHARES_HELD_MAX))?;
        Ok(SplitKits { kits })
    };
    Ok(body::record(&store.read(load).await?))
}

/// Gives the plan of a kit to its user and to those who have a share, with that share.
pub(super) async fn of_kit(app: &App, caller: Caller, kit: DeviceId) -> Result<Response, Refusal> {
    let store = caller.store(app);
    let load = move |tx: &dyn Tx| {
        let user = caller.member(tx)?.user;
        let (owner, plan) = tx.plan(&caller.organisation, &kit)?.ok_or(ErrorCode::BoxUnknown)?;
        let own = tx.share(&caller.organisation, &kit, &user)?;
        if owner != user && own.is_none() {
            return Err(ErrorCode::BoxUnknown.into());
        }
        Ok(SharesView { plan: plan.into(), own })
    };
    Ok(body::record(&store.read(load).await?))
}
