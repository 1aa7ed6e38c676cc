//! What is pinned comes to this device, and stays.
//!
//! Decides when it is looked at: at the unlocking, when pins or the tree are others than before,
//! and again where something was in the way. What comes is durable piece by piece, so that the next
//! look goes on where this one was ended. Refuses to take the disk's floor: then it waits for room.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::limits::OBJECT_MAX_BYTES;
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::relay::OBJECT_FETCH_MAX;
use parsec_protocol::safes::content_ref::Content;
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::tree::Tree as _;
use tokio::time::Instant;

use super::presence::{LOOKED_AT_ONCE, pinned_contents};
use super::{overlay, views};
use crate::contents::bring::{Want, bring};
use crate::contents::parts::{Part, each};
use crate::os::blocking_in;
use crate::session::Session;
use crate::session::open_safes::OpenSafe;
use crate::store::{PINNED_MAX, Standing, Store, StoreError};
use crate::transport::retry::Pauses;

/// After which time pins are looked at though nothing has happened: what the disk has damaged or
/// lost is noticed by whoever reads it, and told to nobody.
const LOOK_AGAIN: Duration = Duration::from_secs(1_800);
/// After which time a disk that was full is looked at again: whoever makes room tells nobody. A
/// server that does not answer is not asked more often either, since the safe's own task hears when
/// it is back: each look is a walk through all that is pinned.
const WAIT: Duration = Duration::from_secs(60);
/// Pieces that are fetched before the next look: half a gigabyte of a large file at most.
const FETCHED_AT_ONCE: usize = 1_024;
/// Most bytes of the pieces of one call: so many are asked for together.
const CALL_BYTES: usize = 8 * OBJECT_MAX_BYTES;
/// Calls of one safe at once; how many there are of all, the session says.
const CALLS_MAX: usize = 2;

/// What a look has found.
#[derive(Debug, Default)]
struct Look {
    missing: Vec<Want>,
    /// Whether pins cover more than this device keeps for them.
    too_many: bool,
}

/// What pins cover, and the records that are in the tree. Nothing where there are no pins, and were
/// none at the last look.
async fn covered(safe: &OpenSafe) -> (Option<(Vec<Content>, SafeKeys)>, u64) {
    let pins = safe.keeping.pins();
    let memory = safe.memory().await;
    let seq = memory.base.seq();
    if pins.is_empty() && safe.keeping.was_marked() {
        return (None, seq);
    }
    // Of a safe that the user has left nothing is kept.
    let contents = match memory.standing {
        Standing::Accepted => pinned_contents(&overlay::view(&memory), &pins),
        Standing::Offered | Standing::Left => Vec::new(),
    };
    (Some((contents, memory.keys.copied())), seq)
}

/// Marks what pins cover, so that it stays, and says what of it is not here.
fn looked(
    store: &Store,
    safe: &OpenSafe,
    keys: &SafeKeys,
    contents: &[Content],
    most: usize,
) -> Result<Look, StoreError> {
    let lost = safe.keeping.lost();
    let mut look = Look::default();
    let mut wanted = BTreeSet::new();
    let mut open: Vec<Want> = Vec::new();
    let find = |open: &mut Vec<Want>, missing: &mut Vec<Want>| {
        let objects: Vec<(ObjectId, ObjectHash)> =
            open.iter().map(|want| (want.reference.object, want.reference.blake3)).collect();
        let here = store.are_here(safe.id, &objects)?;
        let gone = open.drain(..).zip(here).filter(|(_, here)| !here).map(|(want, _)| want);
        let gone = gone.filter(|want| !lost.contains_key(&want.reference.object));
        missing.extend(gone.take(most.saturating_sub(missing.len())));
        Ok::<_, StoreError>(())
    };
    for content in contents {
        each((store, safe, keys), content, &mut |part| {
            let want = match part {
                Part::Hole(_) | Part::Unknown(_) => return Ok(()),
                Part::Piece(reference, _, most) => Want { reference, most },
                Part::Page(reference) => Want { reference, most: OBJECT_MAX_BYTES },
            };
            if wanted.len() >= PINNED_MAX && !wanted.contains(&want.reference.object) {
                look.too_many = true;
                return Ok(());
            }
            // A copy names the pieces of the other one.
            if wanted.insert(want.reference.object) && look.missing.len() < most {
                open.push(want);
            }
            if open.len() >= LOOKED_AT_ONCE { find(&mut open, &mut look.missing) } else { Ok(()) }
        })?;
    }
    find(&mut open, &mut look.missing)?;
    store.pin_pieces(safe.id, wanted)?;
    Ok(look)
}

async fn look(session: &Session, safe: &Arc<OpenSafe>, most: usize) -> Result<(Look, u64), Problem> {
    let _turn = safe.keeping.turn.lock().await;
    let changes = safe.keeping.changes();
    let (covered, seq) = covered(safe).await;
    let found = match covered {
        None => Look::default(),
        Some((contents, keys)) => {
            let (open, beside) = (Arc::clone(&session.open), Arc::clone(safe));
            let look = move || looked(&open.store, &beside, &keys, &contents, most);
            blocking_in(&session.tasks, look).await?
        }
    };
    safe.keeping.set_marked(changes, seq);
    Ok((found, seq))
}

/// Marks what pins cover in the tree as it is now, if that is another one than at the last look.
/// Where that fails, the next look does it.
pub(super) async fn mark(session: &Session, safe: &Arc<OpenSafe>) {
    if safe.keeping.is_marked(safe.memory().await.base.seq()) {
        return;
    }
    if let Err(problem) = look(session, safe, 0).await {
        tracing::info!(safe = %safe.id, %problem, "what is pinned is not marked yet");
    }
}

/// Pieces for one call after the other.
fn calls(missing: Vec<Want>) -> Vec<Vec<Want>> {
    let mut calls: Vec<Vec<Want>> = Vec::new();
    let mut bytes = 0_usize;
    for want in missing {
        let room = calls.last().is_some_and(|call| call.len() < OBJECT_FETCH_MAX);
        match calls.last_mut().filter(|_| room && bytes.saturating_add(want.most) <= CALL_BYTES) {
            Some(call) => call.push(want),
            None => {
                bytes = 0;
                calls.push(vec![want]);
            }
        }
        bytes = bytes.saturating_add(want.most);
    }
    calls
}

/// One call's pieces; whether there was room for them.
async fn brought(session: &Session, safe: &OpenSafe, id: SafeId, call: Vec<Want>) -> Result<bool, Problem> {
    let turn = session.safes.bringing.0.acquire().await;
    let _turn = turn.map_err(|_| Problem::new(ProblemKind::ShuttingDown, "The device is being locked."))?;
    let brought = bring(session, id, &call).await?;
    safe.keeping.note_lost(brought.lost);
    Ok(!brought.no_room)
}

/// Fetches what pins cover and is not here, until all of it is. Whether there was anything.
///
/// # Errors
/// `disk_full` where there is no room; `too_large`; the server's; the store's.
async fn fetched(session: &Session, safe: &Arc<OpenSafe>) -> Result<bool, Problem> {
    safe.keeping.forget_lost();
    let mut any = false;
    loop {
        let changes = safe.keeping.changes();
        let (look, seq) = look(session, safe, FETCHED_AT_ONCE).await?;
        safe.keeping.set_looked_at(changes, seq);
        if look.missing.is_empty() && look.too_many {
            let text = format!("Pins cover more than the {PINNED_MAX} pieces that this device keeps.");
            return Err(Problem::new(ProblemKind::TooLarge, text));
        }
        if look.missing.is_empty() {
            return Ok(any);
        }
        any = true;
        safe.keeping.set_trouble(None);
        let calls = calls(look.missing).into_iter().map(|call| brought(session, safe, safe.id, call));
        let mut calls = futures_util::stream::iter(calls).buffer_unordered(CALLS_MAX);
        while let Some(room) = calls.next().await {
            if !room? {
                let text = "The disk has no room for all that is pinned.";
                return Err(Problem::new(ProblemKind::DiskFull, text));
            }
        }
    }
}

/// When to try again.
fn again_after(problem: &Problem, pauses: &mut Pauses) -> Duration {
    match problem.name {
        ProblemKind::DiskFull | ProblemKind::TooLarge => WAIT,
        _ if problem.retryable && pauses.failed_before() => WAIT,
        _ if problem.retryable => pauses.next_own(),
        _ => LOOK_AGAIN,
    }
}

/// Runs for as long as the safe's task does.
pub(super) async fn run(session: Arc<Session>, safe: Arc<OpenSafe>) {
    let mut pauses = Pauses::default();
    let mut progress = safe.progress();
    loop {
        safe.keeping.set_busy();
        let changes = safe.keeping.changes();
        let before = safe.keeping.trouble();
        let done = fetched(&session, &safe).await;
        let next = match &done {
            Ok(_) => {
                pauses.reset();
                LOOK_AGAIN
            }
            Err(problem) => {
                session.saw(problem);
                tracing::info!(safe = %safe.id, name = problem.name.name(), %problem, "what is pinned waits");
                again_after(problem, &mut pauses)
            }
        };
        let came = matches!(done, Ok(true));
        let trouble = done.err();
        let others = trouble.as_ref().map(|now| now.name) != before.map(|before| before.name);
        safe.keeping.set_trouble(trouble);
        safe.keeping.set_idle(changes);
        if came || others {
            views::tell(&session, &safe, "pins").await;
        }
        let until = Instant::now() + next;
        loop {
            tokio::select! {
                () = safe.keeping.wanted.notified() => break,
                () = tokio::time::sleep_until(until) => break,
                // Its sender is the safe's own.
                _ = progress.changed() => {}
            }
            if is_news(&safe).await {
                break;
            }
        }
    }
}

/// Whether something that has happened is a reason to look.
async fn is_news(safe: &OpenSafe) -> bool {
    let waits = safe
        .keeping
        .trouble()
        .is_some_and(|problem| problem.retryable && problem.name != ProblemKind::DiskFull);
    let memory = safe.memory().await;
    // The server was heard again: no pause is waited for.
    waits && memory.problem.is_none() || !safe.keeping.is_looked_at(memory.base.seq())
}
