//! Turns: who alone may put items into a safe, for a moment.
//!
//! Decides that whoever loses races for a safe's end gets a turn, in the order of what they lose
//! them with, and that nobody has more than a fifth of a safe's time: whoever is slow gets through,
//! and losing on purpose gains nobody a safe. It is an order of coming, and no rule of a safe's
//! logs: no reader judges by it. Source: docs/protocol.md, *Metadata server*, *Safes*.

use parsec_protocol::ids::{Timestamp, UserId};
use parsec_protocol::safe_log::roles::Role;

use crate::store::safes::{Races, SafeKey, SafeTurn, Urgency};
use crate::store::{StoreError, Tx};

/// Length of a turn at most: enough for a few round trips of 300 ms, and short enough that nobody
/// who waits gives up.
pub(crate) const TURN_SECONDS: u64 = 2;
/// Lost races with records after which a turn is due: fewer are what everybody has who writes
/// beside others.
const RECORD_RACES: u32 = 3;
/// How long lost races count as being in a row.
const REMEMBERED_SECONDS: u64 = 60;
/// Who has lost no race for so long has gone away: another's turn is next.
const ACTIVE_SECONDS: u64 = 10;
/// After a turn, its user's next one begins no sooner than after so many times its length: a fifth
/// of the time is what one user can hold.
const PAUSE_SHARE: u64 = 4;
/// What a turn costs that was not used, by how many were not used before it.
const LAPSE_SECONDS: [u64; 3] = [10, 60, 600];

/// Whether an item that stands next may be put there now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It may.
    Free,
    /// It is somebody else's turn until then.
    Held(Timestamp),
}

impl Urgency {
    /// For what a certificate is urgent.
    pub(super) const fn of(author: Role, brings_due_key: bool) -> Self {
        match (author, brings_due_key) {
            (Role::Owner, _) => Self::Owner,
            (Role::Manager | Role::Contributor | Role::Reader, true) => Self::Key,
            (Role::Manager | Role::Contributor | Role::Reader, false) => Self::Certificate,
        }
    }

    /// Lost races after which a turn is due.
    const fn races(self) -> u32 {
        match self {
            Self::Owner | Self::Key | Self::Certificate => 1,
            Self::Record => RECORD_RACES,
        }
    }
}

/// Whether a user's item may be put into a safe. The safe is locked.
pub(super) fn admit(
    tx: &mut dyn Tx,
    of: SafeKey<'_>,
    user: &UserId,
    now: Timestamp,
) -> Result<Admission, StoreError> {
    Ok(match present(tx, of, now)? {
        Some(turn) if turn.user != *user => Admission::Held(turn.ends),
        Some(_) | None => Admission::Free,
    })
}

/// A user has lost a race. The safe is locked.
pub(super) fn lost(
    tx: &mut dyn Tx,
    of: SafeKey<'_>,
    user: &UserId,
    urgency: Urgency,
    now: Timestamp,
) -> Result<(), StoreError> {
    let turn = present(tx, of, now)?;
    let before = tx.races(of, user)?;
    let races = counted(before, urgency, now, turn.is_some_and(|turn| turn.user == *user));
    tx.set_races(of, user, Some(&races))?;
    if turn.is_none() {
        give_next(tx, of, now)?;
    }
    Ok(())
}

/// An item of a user was put into the safe, which is locked.
pub(super) fn used(
    tx: &mut dyn Tx,
    of: SafeKey<'_>,
    user: &UserId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let turn = tx.turn(of)?.filter(|turn| turn.user == *user);
    match (&turn, tx.races(of, user)?) {
        (Some(turn), Some(races)) => {
            let took = now.0.saturating_sub(turn.began.0);
            let not_before = Timestamp(now.0.saturating_add(took.saturating_mul(PAUSE_SHARE)));
            tx.set_races(of, user, Some(&Races { lost: 0, due: None, lapsed: 0, not_before, ..races }))?;
        }
        (None, Some(races)) if races.not_before > now => {
            tx.set_races(of, user, Some(&Races { lost: 0, due: None, ..races }))?;
        }
        (None, Some(_)) => tx.set_races(of, user, None)?,
        (Some(_) | None, None) => {}
    }
    if turn.is_some() {
        tx.set_turn(of, None)?;
        give_next(tx, of, now)?;
    }
    Ok(())
}

/// The turn that stands. One that its user let lapse is ended, and the next begins.
fn present(tx: &mut dyn Tx, of: SafeKey<'_>, now: Timestamp) -> Result<Option<SafeTurn>, StoreError> {
    let Some(turn) = tx.turn(of)? else { return Ok(None) };
    // One that ends too late was given by a clock that has been put back since.
    if now < turn.ends && turn.ends <= now.plus_seconds(TURN_SECONDS) {
        return Ok(Some(turn));
    }
    if let Some(races) = tx.races(of, &turn.user)? {
        tx.set_races(of, &turn.user, Some(&lapsed(races, now)))?;
    }
    tx.set_turn(of, None)?;
    give_next(tx, of, now)
}

fn give_next(tx: &mut dyn Tx, of: SafeKey<'_>, now: Timestamp) -> Result<Option<SafeTurn>, StoreError> {
    let active = Timestamp(now.0.saturating_sub(ACTIVE_SECONDS.saturating_mul(Timestamp::SECOND)));
    let Some(user) = tx.next_turn(of, now, active)? else { return Ok(None) };
    let turn = SafeTurn { user, began: now, ends: now.plus_seconds(TURN_SECONDS) };
    tx.set_turn(of, Some(&turn))?;
    Ok(Some(turn))
}

/// One lost race more.
fn counted(before: Option<Races>, urgency: Urgency, now: Timestamp, has_turn: bool) -> Races {
    let none = Races { lost: 0, lost_last: now, urgency, due: None, lapsed: 0, not_before: Timestamp(0) };
    let before = match before {
        Some(races) if races.lost_last.plus_seconds(REMEMBERED_SECONDS) < now => {
            Races { lost: 0, due: None, ..races }
        }
        Some(races) => races,
        None => none,
    };
    let lost = before.lost.saturating_add(1);
    let is_due = !has_turn && lost >= urgency.races();
    let due = is_due.then(|| before.due.unwrap_or(now));
    Races { lost, lost_last: now, urgency, due, ..before }
}

/// A turn more that was not used.
fn lapsed(races: Races, now: Timestamp) -> Races {
    let before = usize::try_from(races.lapsed).unwrap_or(usize::MAX);
    let last = LAPSE_SECONDS.len().saturating_sub(1);
    let seconds = LAPSE_SECONDS.get(before.min(last)).copied().unwrap_or_default();
    let lapsed = races.lapsed.saturating_add(1);
    Races { lost: 0, due: None, lapsed, not_before: now.plus_seconds(seconds), ..races }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000 * Timestamp::SECOND);

    fn after(count: u32, urgency: Urgency) -> Races {
        (1..count)
            .fold(counted(None, urgency, NOW, false), |races, _| counted(Some(races), urgency, NOW, false))
    }

    #[test]
    fn a_turn_is_due_sooner_for_what_is_more_urgent() {
        assert_eq!(after(1, Urgency::Certificate).due, Some(NOW));
        assert_eq!(after(RECORD_RACES - 1, Urgency::Record).due, None);
        assert_eq!(after(RECORD_RACES, Urgency::Record).due, Some(NOW));
        assert_eq!(Urgency::of(Role::Owner, false), Urgency::Owner);
        assert_eq!(Urgency::of(Role::Contributor, true), Urgency::Key);
        assert_eq!(Urgency::of(Role::Manager, false), Urgency::Certificate);
        assert!(Urgency::Owner < Urgency::Key && Urgency::Certificate < Urgency::Record);
    }

    #[test]
    fn lost_races_are_forgotten_and_what_a_lapse_costs_is_not() {
        let later = NOW.plus_seconds(REMEMBERED_SECONDS + 1);
        let races = lapsed(after(RECORD_RACES, Urgency::Record), NOW);
        let again = counted(Some(races), Urgency::Record, later, false);
        assert_eq!((again.lost, again.due, again.lapsed), (1, None, 1));
        assert_eq!(again.not_before, NOW.plus_seconds(10));
    }

    #[test]
    fn every_turn_that_is_not_used_costs_more_than_the_last() {
        let mut races = after(1, Urgency::Owner);
        let mut paused = Vec::new();
        for _ in 0..4 {
            races = lapsed(races, NOW);
            paused.push((races.not_before.0 - NOW.0) / Timestamp::SECOND);
        }
        assert_eq!(paused, [10, 60, 600, 600]);
    }

    #[test]
    fn who_has_the_turn_asks_for_no_other() {
        let races = after(RECORD_RACES, Urgency::Record);
        assert_eq!(counted(Some(races), Urgency::Record, NOW, true).due, None);
    }
}
