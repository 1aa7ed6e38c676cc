//! A person's word about what waits for them in a safe: removals that are many at once, and items
//! that this device didn't believe.
//!
//! Decides that a word is about exactly what was shown: whatever came or went since makes it void.
//! Refuses to let time, a restart or the server stand for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use parsec_protocol::codec;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::OperationId;
use parsec_protocol::public_keys::Hash;

use super::brake::{self, Waiting};
use super::{folding, holding, views};
use crate::os::blocking_in;
use crate::session::Session;
use crate::session::open_safes::{Brake, Memory, OpenSafe, Queued};
use crate::session::removed::RecentlyRemoved;
use crate::store::{Halt, OpenDevice};

/// Names exactly what a safe is halted for: where its logs would end with it.
pub(crate) fn what_halts(halt: &Halt) -> Hash {
    Hash::of(&[b"parsec-safe-halt\0", &codec::encode(&halt.heads)])
}

fn other() -> Problem {
    let text = "That is not what waits in this safe by now. Nothing was changed; look again.";
    Problem::new(ProblemKind::InvalidRequest, text)
}

/// What waits, if it is what the person was shown.
fn shown(open: &OpenDevice, memory: &Memory, what: &str) -> Result<Waiting, Problem> {
    let waiting = holding::waiting(open, memory);
    if waiting.is_empty() {
        let text = "No removal in this safe waits for anybody's word.";
        return Err(Problem::new(ProblemKind::InvalidRequest, text));
    }
    if waiting.what().to_string() == what { Ok(waiting) } else { Err(other()) }
}

/// Nothing waits for a person now.
fn decided(memory: &mut Memory) {
    memory.problem.take_if(|problem| problem.name == ProblemKind::RemovalWaits);
}

/// The removals that wait go out. What was removed before counts no more: a person has looked.
///
/// # Errors
/// `invalid_request` where other removals wait than those that were shown; the store's.
pub(crate) async fn remove(session: &Session, safe: &OpenSafe, what: String) -> Result<Waiting, Problem> {
    let mut memory = safe.memory().await;
    let (open, id) = (Arc::clone(&session.open), safe.id);
    let waiting = blocking_in(&session.tasks, move || {
        let waiting = shown(&open, &memory, &what)?;
        let mut queue = memory.queue.clone();
        for queued in queue.iter_mut().filter(|queued| waiting.is_removal(queued.pending.group)) {
            queued.brake = Some(Brake::Released);
        }
        open.store.decide_safe_queue(id, &folding::encoded(&queue))?;
        memory.queue = queue;
        memory.removed = RecentlyRemoved::default();
        decided(&mut memory);
        Ok::<_, Problem>(waiting)
    })
    .await?;
    went_on(session, safe).await;
    Ok(waiting)
}

/// The removals that wait are dropped. Everything else of the queue is put onto the tree without
/// them, as it is put onto a journal that has gone on.
///
/// # Errors
/// As [`remove`].
pub(crate) async fn discard(session: &Session, safe: &OpenSafe, what: String) -> Result<Waiting, Problem> {
    let mut memory = safe.memory().await;
    let (open, id) = (Arc::clone(&session.open), safe.id);
    let (waiting, notices) = blocking_in(&session.tasks, move || {
        let waiting = shown(&open, &memory, &what)?;
        let dropped: BTreeSet<OperationId> = memory
            .queue
            .iter()
            .filter(|queued| waiting.is_removal(queued.pending.group))
            .map(|queued| queued.pending.change.operation())
            .collect();
        let (mut queue, notices) = folding::rebased(&open, &memory, &memory.base, &dropped)?;
        // Removals behind them, of folders that they are in, would take along what was just kept.
        let behind = |queued: &Queued| {
            waiting.behind.contains(&queued.pending.group) && brake::removes(&queued.pending.change)
        };
        queue.iter_mut().filter(|queued| behind(queued)).for_each(|queued| queued.brake = Some(Brake::Waits));
        folding::requeue(&open, id, &mut memory, queue)?;
        decided(&mut memory);
        Ok::<_, Problem>((waiting, notices))
    })
    .await?;
    views::notify(session, safe, notices);
    went_on(session, safe).await;
    Ok(waiting)
}

/// What halted the safe is taken in after all, up to where it was shown to end.
///
/// # Errors
/// `invalid_request` where the safe is halted for something else by now, or not at all; the
/// store's.
pub(crate) async fn accept(session: &Session, safe: &OpenSafe, what: String) -> Result<Halt, Problem> {
    let id = safe.id;
    let halt = session.store(move |store| store.safe(id)).await?.and_then(|stored| stored.halt);
    let Some(halt) = halt else {
        let text = "This safe is not halted for anything.";
        return Err(Problem::new(ProblemKind::InvalidRequest, text));
    };
    if what_halts(&halt).to_string() != what {
        return Err(other());
    }
    let accepted = halt.clone();
    if !session.store(move |store| store.accept_halt(id, &accepted)).await? {
        return Err(other());
    }
    tracing::warn!(safe = %safe.id, found = %halt.found, "a person has accepted what halted a safe");
    went_on(session, safe).await;
    Ok(halt)
}

async fn went_on(session: &Session, safe: &OpenSafe) {
    views::tell(session, safe, "confirmed").await;
    safe.wanted.notify_one();
}
