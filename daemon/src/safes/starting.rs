//! Starting from a snapshot: who has nothing of a safe need not fold all of its journal before its
//! files can be read.
//!
//! Decides which snapshot counts (docs/protocol.md, *Snapshots*): both logs were verified before,
//! its objects hold what its author states, nobody behind it contradicts, and an owner or a manager
//! of now vouches for it. Refuses one for the least doubt: then the whole journal is folded, which
//! costs time and nothing else. What it starts from is a word until `behind` has folded up to it.

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

use super::due::role_at;
use super::folding::{self, Dropped, Found};
use super::views;
use crate::contents::snapshot::fetch;
use crate::os::blocking_in;
use crate::session::Session;
use crate::session::open_safes::{Memory, OpenSafe, Started};
use crate::store::{Folded, OpenDevice, Requeued, StoreError, StoredRecord, Word};

/// Records that are opened to find a snapshot: honest devices write one each two thousand. Beyond
/// that, looking for one costs more than it saves.
const SEARCH_RECORDS: u64 = 4_500;
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
    #[error("a record behind it has another tree, or its own record is void")]
    Contradicted,
    #[error("no owner or manager of now vouches for it")]
    Unvouched,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The snapshots in the last records by owners and managers, the newest first.
fn candidates(
    open: &OpenDevice,
    memory: &Memory,
    safe: SafeId,
    to: u64,
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
            if lost(payload.epoch) {
                continue;
            }
            let Ok(inside) = open_record(&memory.keys, &payload) else { continue };
            if let Some((content, root)) = snapshot::of_changes(&inside.changes) {
                found.push(Candidate { seq: payload.seq, content: content.clone(), root });
            }
        }
        end = from;
    }
    found.truncate(TRIES);
    Ok(found)
}

/// Whether somebody may vouch for a tree now: role\* by the organisation's log as it is here.
fn vouches(verified: &VerifiedSafe, log: &VerifiedLog, user: UserId, device: DeviceId) -> bool {
    let manages = role_at(verified, log, &user).is_some_and(|role| role.manages());
    manages && log.device(&device).is_some_and(|device| device.revoked.is_none())
}

/// The tree at the journal's end, from a snapshot that counts, and what was dropped on the way.
fn counted(
    open: &OpenDevice,
    memory: &Memory,
    log: &VerifiedLog,
    (safe, to): (SafeId, u64),
    from: &Candidate,
    bytes: &[u8],
) -> Result<(State, Dropped), Refused> {
    let mut state = snapshot::open(bytes, from.root, safe, from.seq)?;
    let (mut vouched, mut dropped) = (false, Vec::new());
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
                return if vouched { Ok((state, dropped)) } else { Err(Refused::Unvouched) };
            }
            let odd = found.oddities.iter().any(|odd| matches!(odd, folding::Oddity::OtherRoot(..)));
            let void = state.seq() == from.seq && !state.snapshots().iter().any(|it| it.seq == from.seq);
            if odd || void {
                return Err(Refused::Contradicted);
            }
            // Whoever states the root of this tree has it, by their own fold.
            vouched |= found.oddities.is_empty() && author_vouches(memory, log, stored);
            dropped.extend(found.dropped);
        }
    }
    if vouched { Ok((state, dropped)) } else { Err(Refused::Unvouched) }
}

fn author_vouches(memory: &Memory, log: &VerifiedLog, stored: &StoredRecord) -> bool {
    let payload = record::Envelope::decode(&stored.envelope).and_then(|envelope| envelope.payload());
    payload.is_ok_and(|payload| {
        let lost = memory.verified.epoch(payload.epoch).is_some_and(|epoch| epoch.lost);
        !lost && vouches(&memory.verified, log, stored.author, payload.author)
    })
}

/// Starts from the newest snapshot that counts, where nothing of the safe is folded here; what
/// records behind it have dropped. Where none counts, nothing has changed. The caller holds the
/// safe's turn, and has read all there is.
///
/// # Errors
/// The store's.
pub(super) async fn start(session: &Session, safe: &OpenSafe) -> Result<Dropped, Problem> {
    let (id, open) = (safe.id, Arc::clone(&session.open));
    let (all, to) = {
        let memory = safe.memory().await;
        let to = memory.verified.present().map_or(0, |now| now.journal.count);
        // What waits may have been posted before by a copy of this device: only the journal knows.
        let fresh = memory.base.seq() == 0 && !memory.refold && memory.queue.is_empty();
        if !fresh || memory.started.is_some() || to == 0 {
            return Ok(Dropped::new());
        }
        let looked = blocking_in(&session.tasks, move || {
            Ok::<_, StoreError>((candidates(&open, &memory, id, to)?, to))
        });
        looked.await?
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
        let (open, log) = (Arc::clone(&session.open), session.log());
        let mut memory = safe.memory().await;
        let started = blocking_in(&session.tasks, move || {
            let (state, dropped) = match counted(&open, &memory, &log, (id, to), &candidate, &bytes) {
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
