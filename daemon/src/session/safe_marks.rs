//! The safes in the user's manifest: what this device says of each there, and what it takes from
//! the user's other devices.
//!
//! Decides safe by safe: a larger epoch and heads that go further are taken, and a safe that only
//! one side names is both sides'. Refuses to take one that is missing for one that was removed:
//! leaving is a mark. Two heads at one place are an alarm, and neither is taken for the other.

use std::collections::BTreeMap;

use parsec_protocol::chain::head::Head;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{OrganisationId, SafeId};
use parsec_protocol::manifest::Opened;
use parsec_protocol::manifest::safes::{MarksFork, SafeMark, further};
use parsec_protocol::safe_log::certificate::{first_journal_head, first_log_head};
use parsec_protocol::safe_log::roles::Role;

use super::Session;
use crate::problems;
use crate::store::{Standing, Store, StoreError, StoredSafe};

/// What this device says of the user's safes, ascending by id: of those whose key it has.
///
/// # Errors
/// The store's.
pub(super) fn of(store: &Store, organisation: &OrganisationId) -> Result<Vec<SafeMark>, StoreError> {
    let mut marks = Vec::new();
    for safe in store.safes()? {
        if safe.standing == Standing::Offered {
            continue;
        }
        let Some((epoch, key)) = store.safe_keys(safe.safe)?.pop() else { continue };
        let [log, journal] = known_heads(organisation, &safe);
        let left = safe.standing == Standing::Left;
        // Founded here a moment ago, and not at the server yet: its founder owns it.
        let role = safe.role.or_else(|| safe.founding.is_some().then_some(Role::Owner));
        marks.push(SafeMark {
            safe: safe.safe,
            founder: safe.founder,
            epoch,
            key,
            role: role.filter(|_| !left),
            log,
            journal,
            floor: safe.floor,
        });
    }
    Ok(marks)
}

/// The furthest heads of a safe that are known here: verified, or marked by another device.
fn known_heads(organisation: &OrganisationId, safe: &StoredSafe) -> [Head; 2] {
    let first = [
        first_log_head(organisation, &safe.safe, &safe.founder),
        first_journal_head(organisation, &safe.safe, &safe.founder),
    ];
    let mut known = safe.heads.unwrap_or(first);
    for (known, marked) in known.iter_mut().zip(safe.marked.into_iter().flatten()) {
        if marked.count > known.count {
            *known = marked;
        }
    }
    known
}

/// Takes what another device of the user says of the safes. Whether this device knows more, so
/// that the next version has to be written; with `heads`, also where only a safe has gone on.
///
/// # Errors
/// The store's.
pub(super) async fn take(session: &Session, opened: Opened, heads: bool) -> Result<bool, Problem> {
    let organisation = session.open.summary.organisation.clone();
    let taken = session.store(move |store| merge(store, &organisation, opened.safes, heads)).await?;
    if taken.forked {
        let problem = Problem::new(ProblemKind::RolledBack, problems::sentence(&MarksFork.to_string()));
        session.alarm(&problem).await;
    }
    for (safe, standing) in &taken.news {
        if let Some(open) = session.safes.get(*safe) {
            let mut memory = open.memory().await;
            // Its person may have said something else meanwhile.
            if memory.standing == Standing::Offered && *standing == Standing::Accepted {
                memory.standing = *standing;
            }
            drop(memory);
            open.wanted.notify_one();
        }
    }
    if !taken.news.is_empty() {
        session.safes_changed();
    }
    Ok(taken.says_more)
}

#[derive(Default)]
struct Taken {
    /// Safes of which there is something new here, and how the device stands to each.
    news: Vec<(SafeId, Standing)>,
    /// This device knows more than the version.
    says_more: bool,
    forked: bool,
}

fn merge(
    store: &Store,
    organisation: &OrganisationId,
    theirs: Vec<SafeMark>,
    heads: bool,
) -> Result<Taken, StoreError> {
    let mut taken = Taken::default();
    let mut named = BTreeMap::new();
    for mark in theirs {
        named.insert(mark.safe, (mark.epoch, mark.role, [mark.log.count, mark.journal.count]));
        let standing = if mark.role.is_some() { Standing::Accepted } else { Standing::Left };
        let new = store.know_safe(mark.safe, mark.founder, standing)?;
        let Some(known) = store.safe(mark.safe)? else { continue };
        // That another device refused it, the server's list says by then: a mark of leaving may be
        // older than the offer.
        let takes = known.standing == Standing::Offered && standing == Standing::Accepted;
        if takes {
            store.set_safe_standing(mark.safe, standing)?;
        }
        // Until the safe's own log says it here.
        if known.heads.is_none() && known.founding.is_none() {
            store.set_safe_role(mark.safe, mark.role)?;
        }
        let mut marked = known_heads(organisation, &known);
        let before = marked;
        for (known, shown) in marked.iter_mut().zip([mark.log, mark.journal]) {
            match further(*known, shown) {
                Ok(head) => *known = head,
                Err(MarksFork) => taken.forked = true,
            }
        }
        if marked != before {
            store.mark_safe(mark.safe, marked)?;
        }
        let newest = store.safe_keys(mark.safe)?.pop().map(|(epoch, _)| epoch);
        let newer = newest.is_none_or(|epoch| epoch < mark.epoch);
        if newer {
            store.put_safe_keys(mark.safe, &[(mark.epoch, mark.key)])?;
        }
        if new || takes || newer || marked != before {
            let stands = if takes { standing } else { known.standing };
            taken.news.push((mark.safe, stands));
        }
    }
    let own = of(store, organisation)?;
    taken.says_more = own.iter().any(|mark| {
        let theirs = named.get(&mark.safe);
        theirs.is_none_or(|(epoch, role, [log, journal])| {
            let further = *log < mark.log.count || *journal < mark.journal.count;
            // Who leaves has the last word at its place of the log; beyond that, whoever knows
            // more. Two devices that stand differently would write versions without end.
            let later = mark.log.count > *log || (mark.log.count == *log && mark.role.is_none());
            *epoch < mark.epoch || (*role != mark.role && later) || heads && further
        })
    });
    Ok(taken)
}
