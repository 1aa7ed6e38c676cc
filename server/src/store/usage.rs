//! Whether more fits a budget.
//!
//! Decides that what is over makes room before anybody is refused.

use parsec_protocol::ids::{OrganisationId, Timestamp};

use super::{StoreError, Tx, pruning};
use crate::budgets::{Budgets, Whose, Wish};
use crate::errors::Refusal;
use crate::invitations::Invitation;

/// Whether this fits what its maker and the maker's pool may take up; makes room for it where that
/// is all it takes. For one more invitation, `like` is the one that is about to be made.
///
/// # Errors
/// `member_budget_spent`, `organisation_budget_spent`: what is in the way is in use.
pub(crate) fn admit(
    tx: &mut dyn Tx,
    organisation: &OrganisationId,
    like: &Invitation,
    wish: Wish,
    budgets: &Budgets,
    now: Timestamp,
) -> Result<(), Refusal> {
    match make_room(tx, organisation, like, wish, budgets, now)? {
        None => Ok(()),
        Some(spent) => Err(spent.spent().into()),
    }
}

/// Makes room where there is too little, and says whose share is spent if that was not enough:
/// first of the member, then of the pool.
pub(crate) fn make_room(
    tx: &mut dyn Tx,
    organisation: &OrganisationId,
    like: &Invitation,
    wish: Wish,
    budgets: &Budgets,
    now: Timestamp,
) -> Result<Option<Whose>, StoreError> {
    let (maker, pool) = (&like.created_by, like.pool);
    for (whose, member, share) in
        [(Whose::Member, Some(maker), budgets.of_member(pool)), (Whose::Pool, None, budgets.organisation)]
    {
        let fits = |tx: &dyn Tx| -> Result<bool, StoreError> {
            Ok(wish.fits(tx.taken(organisation, member, pool)?, share))
        };
        if fits(tx)? {
            continue;
        }
        pruning::settle_due(tx, organisation, member, pool, now)?;
        let mut evicted = 0;
        while !fits(tx)? {
            let gone = pruning::evict(tx, organisation, member, pool)?;
            evicted += gone;
            if gone == 0 || evicted >= pruning::EVICTED_MAX {
                return Ok(Some(whose));
            }
        }
    }
    Ok(None)
}
