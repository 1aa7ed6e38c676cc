//! What waits and nobody may do any more: an owner's own changes, by somebody who is no owner now.
//!
//! Decides that they go, by the role that a record would be judged with: one record holds them and
//! the files behind them, everybody would find it void, and the queue would wait for ever. Contents
//! are never among them.

use std::sync::Arc;

use parsec_protocol::control::Problem;
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safes::change::Change;

use super::folding;
use crate::os::blocking_in;
use crate::session::Session;
use crate::session::open_safes::{OpenSafe, Queued};

fn is_owners(queued: &Queued) -> bool {
    matches!(queued.pending.change, Change::SafeName { .. } | Change::Retention { .. })
}

/// What is left of a queue; nothing where it stays as it is.
fn left(queue: &[Queued], role: Role) -> Option<Vec<Queued>> {
    let goes = role != Role::Owner && queue.iter().any(is_owners);
    goes.then(|| queue.iter().filter(|queued| !is_owners(queued)).cloned().collect())
}

/// Drops from the queue what takes an owner, where the user is none. The caller holds the safe's
/// turn.
///
/// # Errors
/// The store's.
pub(super) async fn drop_owners(session: &Session, safe: &OpenSafe, role: Role) -> Result<(), Problem> {
    let mut memory = safe.memory().await;
    let Some(queue) = left(&memory.queue, role) else { return Ok(()) };
    let (open, id) = (Arc::clone(&session.open), safe.id);
    tracing::warn!(safe = %id, "a change that takes an owner is dropped: the user is none any more");
    blocking_in(&session.tasks, move || {
        folding::requeue(&open, id, &mut memory, queue)?;
        Ok::<_, Problem>(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use parsec_protocol::ids::{EntryId, OperationId, Timestamp};
    use parsec_protocol::safes::rebase::Pending;

    use super::*;

    #[test]
    fn an_owners_changes_go_with_the_role_and_nothing_else_does() {
        let operation = OperationId::from_bytes([1; 16]);
        let of = |change: Change| Queued {
            pending: Pending::from(change),
            saved: Timestamp(1),
            adds: Vec::new(),
            brake: None,
        };
        let queue = [
            of(Change::SafeName { operation, name: "Plans".parse().unwrap() }),
            of(Change::Remove { operation, entry: EntryId::from_bytes([2; 16]) }),
            of(Change::Retention { operation, days: 30 }),
        ];
        assert!(left(&queue, Role::Owner).is_none());
        for role in [Role::Manager, Role::Contributor] {
            let left = left(&queue, role).unwrap();
            assert!(matches!(left.as_slice(), [one] if one.pending == queue[1].pending), "{left:?}");
        }
        assert!(left(&queue[1..2], Role::Contributor).is_none());
    }
}
