//! What time ends, and what goes: invitations that have expired are made so, with their attempts;
//! those that have been over for their time go, with attempts and steps. Nothing that a log rests
//! on is here.
//!
//! Decides how much is done at once: a piece, which other work waits for no longer than for a
//! change of its own. Each is a change like any other, whole or not at all, so that a crash between
//! two of them leaves nothing half done.

use std::time::{Duration, Instant};

use parsec_protocol::ids::{OrganisationId, Timestamp, Token, UserId};

use super::invitations::Loaded;
use super::{StoreError, Tx};
use crate::invitations::Pool;
use crate::watchers::Topic;

/// Invitations in a piece.
const PIECE_ROWS: usize = 32;
/// How long a piece may take, an invitation begun in it aside: a fraction of the time that a busy
/// server's commit takes.
const PIECE_TIME: Duration = Duration::from_millis(20);
/// Invitations that are over which go together where room is needed now.
const EVICTED: usize = 8;
/// Most of them for one request: each has 256 bytes and more, so that the largest step finds room.
pub(super) const EVICTED_MAX: usize = 256 + 2 * EVICTED;
/// When an invitation that can't be read is looked at again: it must not keep the others from
/// going.
const DAMAGED_PAUSE: u64 = 24 * 60 * 60;

/// What a piece did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Piece {
    /// Invitations that were made expired.
    pub(crate) expired: u64,
    /// Invitations that went.
    pub(crate) gone: u64,
    /// Whether there is more to do.
    pub(crate) more: bool,
}

/// Does a piece of what is due, for all organisations, the longest overdue first.
pub(crate) fn piece(tx: &mut dyn Tx, now: Timestamp) -> Result<Piece, StoreError> {
    let due = tx.due(now, PIECE_ROWS, now.plus_seconds(DAMAGED_PAUSE))?;
    let begun = Instant::now();
    let mut done = Piece { more: due.len() >= PIECE_ROWS, ..Piece::default() };
    for (organisation, token) in due {
        match settle(tx, &organisation, &token, now)? {
            Settled::Expired => done.expired += 1,
            Settled::Gone => done.gone += 1,
            Settled::Later => {}
        }
        if begun.elapsed() >= PIECE_TIME {
            done.more = true;
            break;
        }
    }
    done.more |= tx.give_back_room()?;
    Ok(done)
}

enum Settled {
    Expired,
    Gone,
    Later,
}

/// What becomes of one invitation.
fn settle(
    tx: &mut dyn Tx,
    organisation: &OrganisationId,
    token: &Token,
    now: Timestamp,
) -> Result<Settled, StoreError> {
    tx.lock_invitation(organisation, token)?;
    let stored = match tx.invitation(organisation, token) {
        Ok(Some(stored)) => stored,
        Ok(None) => return Ok(Settled::Gone),
        // A failing disk fails the change below too, and with it the piece.
        Err(_) => {
            tracing::error!("an invitation could not be read; it is looked at again tomorrow");
            tx.put_off(organisation, token, now.plus_seconds(DAMAGED_PAUSE))?;
            return Ok(Settled::Later);
        }
    };
    let topic = Topic::Invitation { organisation: organisation.clone(), token: *token };
    let was_over = stored.invitation.is_final();
    if was_over {
        tx.remove_invitation(organisation, token)?;
        tx.changed(topic.into());
        return Ok(Settled::Gone);
    }
    let loaded = Loaded::new(organisation, stored, now);
    loaded.save(tx)?;
    if !loaded.invitation.is_final() {
        return Ok(Settled::Later);
    }
    tx.changed(topic.into());
    Ok(Settled::Expired)
}

/// Makes expired what is so of one member, or of a whole pool, a piece of it.
pub(super) fn settle_due(
    tx: &mut dyn Tx,
    organisation: &OrganisationId,
    member: Option<&UserId>,
    pool: Pool,
    now: Timestamp,
) -> Result<(), StoreError> {
    for token in tx.due_of(organisation, member, pool, now, PIECE_ROWS)? {
        settle(tx, organisation, &token, now)?;
    }
    Ok(())
}

/// Removes some of what is over of one member, or of a whole pool, before its time: what would have
/// gone next first. How many.
pub(super) fn evict(
    tx: &mut dyn Tx,
    organisation: &OrganisationId,
    member: Option<&UserId>,
    pool: Pool,
) -> Result<usize, StoreError> {
    let over = tx.over_of(organisation, member, pool, EVICTED)?;
    for token in &over {
        tx.remove_invitation(organisation, token)?;
    }
    Ok(over.len())
}

/// Removes a piece of what is over in one organisation, whatever its time; what has expired first
/// becomes so.
pub(crate) fn sweep(
    tx: &mut dyn Tx,
    organisation: &OrganisationId,
    now: Timestamp,
) -> Result<Piece, StoreError> {
    let mut done = Piece::default();
    for pool in [Pool::Administrators, Pool::Others] {
        settle_due(tx, organisation, None, pool, now)?;
        let over = tx.over_of(organisation, None, pool, PIECE_ROWS)?;
        done.more |= !over.is_empty();
        for token in over {
            tx.remove_invitation(organisation, &token)?;
            done.gone += 1;
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests;
