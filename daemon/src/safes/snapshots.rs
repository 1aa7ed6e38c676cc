//! Writing snapshots: of the whole tree, now and then, for whoever comes new.
//!
//! Decides when one is due, by the records since the last one, and who writes it: owners before
//! managers, each after a time of which half is random; whoever finds it done does nothing. Refuses
//! to write one while changes of this device wait, or of a tree that is itself a snapshot's word.
//! It is nobody's need: what keeps it from being written is no matter for a person.

use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::codec;
use parsec_protocol::control::Problem;
use parsec_protocol::ids::OperationId;
use parsec_protocol::keys::random;
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safes::change::Change;
use parsec_protocol::safes::snapshot::{SNAPSHOT_EVERY_RECORDS, root_of};
use parsec_protocol::safes::tree::Tree as _;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::committing::{Draft, Tried, may_write, post_apart, role_here};
use super::due::half_random;
use super::staged::{self, Wanted};
use super::starting::START_MAX_BYTES;
use super::{folding, keys, views};
use crate::contents::snapshot::seal;
use crate::os::{blocking_in, entropy};
use crate::problems;
use crate::session::Session;
use crate::session::open_safes::{Memory, OpenSafe};

/// How long an owner's device waits when one is due: another one may be at it.
const OWNER_WAITS: Duration = Duration::from_secs(10);
/// The same for a manager's, after the owners.
const MANAGER_WAITS: Duration = Duration::from_secs(60);
/// How long until it is tried again where it was in vain: each try sends the whole of it.
const AGAIN_AFTER: Duration = Duration::from_secs(60 * 60);
/// Tries in a row that may lose the race for the journal's end: who has lost three has a turn, by
/// the server, and a second one where sending took longer than that.
const MOVED_ON_MAX: u32 = 5;

/// Whether this device writes one, and in whose turn; by the tree at the journal's end.
fn due(session: &Session, memory: &Memory) -> Option<Role> {
    let end = memory.verified.present().map_or(0, |now| now.journal.count);
    let at_end = memory.base.seq() == end && memory.started.is_none() && memory.queue.is_empty();
    let due = at_end && memory.base.records_since_snapshot() >= SNAPSHOT_EVERY_RECORDS;
    let log = session.log();
    // Before all of it is sealed and sent in vain.
    let may = may_write(&session.open, memory).is_ok() && !memory.verified.is_due(&*log, log.count());
    let due = due && may;
    role_here(&session.open, memory, &log).ok().filter(|role| due && role.manages())
}

/// Writes one where it is time to. The caller holds the safe's turn, and has read and folded all
/// there was.
pub(super) async fn keep_up(
    session: &Session,
    safe: &Arc<OpenSafe>,
    next: &mut Option<Instant>,
    too_large: &mut Option<u64>,
) {
    let (role, end) = {
        let memory = safe.memory().await;
        (due(session, &memory), memory.base.seq())
    };
    // A tree that was too large is looked at again when as much was written as is from one to the
    // next: each look encodes all of it.
    let given_up = too_large.is_some_and(|at| end.saturating_sub(at) < SNAPSHOT_EVERY_RECORDS);
    let Some(role) = role.filter(|_| !given_up) else {
        *next = None;
        return;
    };
    let waits = if role == Role::Owner { OWNER_WAITS } else { MANAGER_WAITS };
    let now = Instant::now();
    let at = *next.get_or_insert_with(|| now + half_random(waits));
    if now < at {
        return;
    }
    *next = Some(now + AGAIN_AFTER);
    match write(session, safe).await {
        Ok(Written::Stands) => *next = None,
        Ok(Written::TooLarge(at)) => (*next, *too_large) = (None, Some(at)),
        Ok(Written::Vain) => {}
        Err(problem) => {
            tracing::info!(safe = %safe.id, name = problem.name.name(), %problem, "no snapshot is written");
        }
    }
}

/// What writing one came to.
enum Written {
    /// It stands in the journal.
    Stands,
    /// Others were faster, each time.
    Vain,
    /// Nobody would start from it: the tree after so many records is too large.
    TooLarge(u64),
}

/// Writes one, where the tree is not too large for it.
async fn write(session: &Session, safe: &Arc<OpenSafe>) -> Result<Written, Problem> {
    for _ in 0..MOVED_ON_MAX {
        let state = safe.memory().await.base.clone();
        let at = state.seq();
        let made = blocking_in(&session.tasks, move || {
            Ok::<_, Problem>((Zeroizing::new(codec::encode(&state)), root_of(&state)))
        });
        let (bytes, root) = made.await?;
        if bytes.len() as u64 > START_MAX_BYTES {
            return Ok(Written::TooLarge(at));
        }
        let taken = seal(session, safe, bytes).await?;
        let operation = OperationId::from_bytes(random(&mut entropy::System).map_err(problems::no_entropy)?);
        let changes = vec![Change::Snapshot { operation, content: taken.content, root }];
        let draft = Draft { changes, adds: taken.objects.clone(), ..Draft::default() };
        let tried = match staged::upload(session, safe, &taken.objects, Wanted::Record).await {
            Ok(()) => post_apart(session, safe, draft).await,
            Err(problem) => Err(problem),
        };
        if tried.as_ref().ok() != Some(&Tried::Accepted) {
            // The server has them, or nobody needs them.
            let id = safe.id;
            session.store(move |store| store.drop_objects(id, &taken.objects)).await?;
        }
        let tried = tried?;
        keys::complete(session, safe).await?;
        let outcome = folding::fold_up(session, safe).await?;
        views::notify(session, safe, outcome.notices);
        if outcome.grown {
            safe.went_on();
        }
        match tried {
            Tried::Accepted => {
                tracing::info!(safe = %safe.id, "a snapshot was written");
                views::tell(session, safe, "snapshot").await;
                return Ok(Written::Stands);
            }
            Tried::MovedOn if due(session, &*safe.memory().await).is_some() => {}
            Tried::MovedOn | Tried::Nothing | Tried::Due => break,
        }
    }
    Ok(Written::Vain)
}
