//! Starting from a snapshot: who has nothing of a safe need not fold all of its journal before its
//! files can be read.
//!
//! Decides which snapshot counts (docs/protocol.md, *Snapshots*): both logs were verified before,
//! its objects hold what its author states, nothing behind it is odd, and its author is an owner or
//! a manager now. Refuses one for the least doubt, and one that would take too much memory: then
//! the whole journal is folded, which costs time and nothing else. What it starts from is a word
//! until `behind` has folded up to it.

use std::sync::Arc;

use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::codec;
use parsec_protocol::control::Problem;
use parsec_protocol::ids::{DeviceId, SafeId, UserId};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::safe_log::record;
use parsec_protocol::safe_log::safe::VerifiedSafe;
use parsec_protocol::safes::content_ref::Content;
use parsec_protocol::safes::seal::open_record;
use parsec_protocol::safes::snapshot::{self, BadSnapshot};
use parsec_protocol::safes::state::State;
use parsec_protocol::safes::tree::Tree as _;

use super::due::{LastTry, role_at};
use super::folding::{self, Dropped, Found};
use super::views;
use crate::contents::snapshot::fetch;
use crate::os::blocking_in;
use crate::session::Session;
use crate::session::open_safes::{Memory, OpenSafe, Started};
use crate::store::{Folded, OpenDevice, Requeued, StoreError, Word};

/// Records that are opened to find a snapshot: honest devices write one each two thousand. Beyond
/// that, looking for one costs more than it saves.
const SEARCH_RECORDS: u64 = 4_500;
/// Most bytes of a snapshot that is fetched, or written. A state takes some 10 to 16 times its
/// encoding in memory while it is read, and the daemon has 2 GiB: a larger one, by whoever wants
/// that, would end it at every start. 100,000 entries are some 25 MB.
pub(super) const START_MAX_BYTES: u64 = 32 * 1024 * 1024;
/// Records that are looked through in one step.
const STEP_RECORDS: u64 = 64;
/// Snapshots that are tried, the newest first: a lost object must not cost all of it.
const TRIES: usize = 2;

/// A snapshot that stands in a record.
#[derive(Debug)]
struct Candidate {
    seq: u64,
    content: Content,
    root: Hash,
}

/// Why a snapshot is not started from.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Bad(#[from] BadSnapshot),
    #[error("its own record or one behind it is odd")]
    Contradicted,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The snapshots in the last records by owners and managers who vouch for them, the newest first.
fn candidates(
    open: &OpenDevice,
    memory: &Memory,
    log: &VerifiedLog,
    (safe, to): (SafeId, u64),
) -> Result<Vec<Candidate>, StoreError> {
    let mut found = Vec::new();
    let lost = |epoch| memory.verified.epoch(epoch).is_some_and(|epoch| epoch.lost);
    let (mut end, first) = (to, to.saturating_sub(SEARCH_RECORDS));
    while end > first && found.len() < TRIES {
        let from = end.saturating_sub(STEP_RECORDS).max(first);
        let records = open.store.safe_records(safe, from, end.saturating_sub(from))?;
        for stored in records.iter().rev().filter(|stored| stored.role.manages()) {
            let payload = record::Envelope::decode(&stored.envelope).and_then(|envelope| envelope.payload());
            let Ok(payload) = payload else { continue };
            let own = stored.author == open.summary.user;
            if lost(payload.epoch) || !vouches(&memory.verified, log, (stored.author, own), payload.author) {
                continue;
            }
            let Ok(inside) = open_record(&memory.keys, &payload) else { continue };
            if let Some((content, root)) = snapshot::of_changes(&inside.changes) {
                if content.size > START_MAX_BYTES {
                    continue;
                }
                found.push(Candidate { seq: payload.seq, content: content.clone(), root });
            }
        }
        end = from;
    }
    found.truncate(TRIES);
    Ok(found)
}

/// Whether the author of a snapshot vouches for it now: role\* by the organisation's log as it is
/// here, or one's own. A later record vouches for nothing: its state root covers no objects, and
/// an honest device that found the snapshot void writes the same one.
fn vouches(
    verified: &VerifiedSafe,
    log: &VerifiedLog,
    (user, own): (UserId, bool),
    device: DeviceId,
) -> bool {
    let manages = own || role_at(verified, log, &user).is_some_and(|role| role.manages());
    manages && log.device(&device).is_some_and(|device| device.revoked.is_none())
}

/// The tree at the journal's end, from a snapshot that counts, and what was dropped on the way.
fn counted(
    open: &OpenDevice,
    memory: &Memory,
    (safe, to): (SafeId, u64),
    from: &Candidate,
    bytes: &[u8],
) -> Result<(State, Dropped), Refused> {
    let mut state = snapshot::open(bytes, from.root, safe, from.seq)?;
    let mut dropped = Vec::new();
    while state.seq() < to {
        let records = open.store.safe_records(safe, state.seq(), STEP_RECORDS)?;
        if records.is_empty() {
            return Err(StoreError::Damaged("records of a safe in it are missing").into());
        }
        for stored in &records {
            if state.seq() >= to {
                break;
            }
            let mut found = Found::default();
            folding::one(&memory.verified, &memory.keys, &mut state, stored, &mut found)?;
            // Behind a key that is not here, nothing more can be said.
            if found.stop.is_some() {
                return Ok((state, dropped));
            }
            // Whatever it is: where the tree is a lie, a good record behind it may be the odd one.
            let odd = !found.oddities.is_empty();
            let void = state.seq() == from.seq && !state.snapshots().iter().any(|it| it.seq == from.seq);
            if odd || void {
                return Err(Refused::Contradicted);
            }
            dropped.extend(found.dropped);
        }
    }
    Ok((state, dropped))
}

/// Whether nothing is folded and nothing waits. What waits may have been posted before by a copy of
/// this device: only the journal knows.
fn is_fresh(memory: &Memory) -> bool {
    let nothing = memory.base.seq() == 0 && !memory.refold && memory.queue.is_empty();
    nothing && memory.started.is_none()
}

/// Starts from the newest snapshot that counts, where nothing of the safe is folded here; what
/// records behind it have dropped. Where none counts, nothing has changed, and none is looked for
/// again before there is something new. The caller holds the safe's turn, and has read all there
/// is.
///
/// # Errors
/// The store's.
pub(super) async fn start(
    session: &Session,
    safe: &OpenSafe,
    last: &mut LastTry,
) -> Result<Dropped, Problem> {
    let (id, open) = (safe.id, Arc::clone(&session.open));
    let (all, to) = {
        let memory = safe.memory().await;
        let to = memory.verified.present().map_or(0, |now| now.journal.count);
        let this = Some((to, memory.keys.iter().count()));
        if !is_fresh(&memory) || to == 0 || *last == this {
            return Ok(Dropped::new());
        }
        let log = session.log();
        let looked = blocking_in(&session.tasks, move || {
            Ok::<_, StoreError>((candidates(&open, &memory, &log, (id, to))?, to))
        });
        let looked = looked.await?;
        *last = this;
        looked
    };
    for candidate in all {
        let seq = candidate.seq;
        let bytes = match fetch(session, safe, &candidate.content).await {
            Ok(bytes) => bytes,
            Err(problem) => {
                tracing::info!(safe = %id, seq, %problem, "a snapshot can't be had");
                continue;
            }
        };
        let open = Arc::clone(&session.open);
        let mut memory = safe.memory().await;
        // Something was saved while it was fetched: it was put onto nothing, and stays there.
        if !is_fresh(&memory) {
            return Ok(Dropped::new());
        }
        let started = blocking_in(&session.tasks, move || {
            let (state, dropped) = match counted(&open, &memory, (id, to), &candidate, &bytes) {
                Ok(counted) => counted,
                Err(Refused::Store(error)) => return Err(error),
                Err(why) => return Ok(Err(why)),
            };
            let folded = Folded {
                seq: state.seq(),
                state: Some(codec::encode(&state)),
                queue: Requeued::Shorter(0),
                removed: None,
                word: Word::Snapshot(seq),
            };
            open.store.fold_safe(id, &folded)?;
            memory.base = state;
            memory.started = Some(Started { seq, folded: 0 });
            Ok(Ok(dropped))
        });
        match started.await? {
            Ok(dropped) => {
                tracing::info!(safe = %id, seq, "a safe is started from a snapshot");
                safe.went_on();
                views::tell(session, safe, "started").await;
                return Ok(dropped);
            }
            Err(why) => tracing::warn!(safe = %id, seq, %why, "a snapshot is not started from"),
        }
    }
    Ok(Dropped::new())
}
