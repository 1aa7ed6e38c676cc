//! Folding: what accepted records make of a safe's tree, and the queue put on top of it.
//!
//! Decides that the fold never goes on without the queue being rebased onto it, in one transaction.
//! Stops where this device has no key of an epoch, or is too old; a record whose inside is no good
//! is void, for everybody alike, and an alarm that names its device. Another state root is an alarm
//! and decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parsec_protocol::codec;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{DeviceId, OperationId, SafeId, Timestamp};
use parsec_protocol::safe_log::{FORMAT, record};
use parsec_protocol::safes::fold::{Outer, Stamp, fold};
use parsec_protocol::safes::rebase::{Naming, Notice, Pending, rebase};
use parsec_protocol::safes::seal::{Unopened, open_record};
use parsec_protocol::safes::state::State;
use parsec_protocol::safes::tree::{PENDING_SEQ, Tree as _};

use super::{overlay, refusals};
use crate::os::{blocking_in, clock};
use crate::session::Session;
use crate::session::open_safes::{Memory, OpenSafe, Queued};
use crate::store::{Folded, OpenDevice, StoreError, StoredRecord};

/// Records folded in one step: some megabytes of them at most times.
const STEP_RECORDS: u64 = 64;

/// Records after which the folded tree is kept anew: so many are folded in a moment at the next
/// unlocking, and a tree of a hundred thousand entries is not written with each of them.
const KEEP_RECORDS: u64 = 512;

/// Something about a record that a person is told of.
#[derive(Debug)]
pub(super) enum Oddity {
    /// Its inside is no good: it changes nothing.
    Void(DeviceId, String),
    /// Its author's tree was another one.
    OtherRoot(DeviceId, u64),
}

/// Why folding stopped before the journal's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// This device has no key of an epoch.
    NoKey(u64),
    /// A record is by rules of a later version.
    TooNew,
}

impl From<Stop> for Problem {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::NoKey(epoch) => {
                let text = format!("This device has not been given key {epoch} of the safe yet.");
                Self::new(ProblemKind::SafeKeyMissing, text)
            }
            Stop::TooNew => {
                let text = "Somebody wrote in this safe with a newer Parsec than this one.";
                Self::new(ProblemKind::SafeTooNew, text)
            }
        }
    }
}

/// What folding some records found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) oddities: Vec<Oddity>,
    pub(super) known: BTreeSet<OperationId>,
    pub(super) stop: Option<Stop>,
}

/// Whether the safe has a format that this program doesn't know.
fn is_beyond(memory: &Memory) -> bool {
    memory.verified.present().is_some_and(|present| present.format > FORMAT)
}

/// Folds one record into a tree, or passes over it.
fn one(
    memory: &Memory,
    state: &mut State,
    stored: &StoredRecord,
    found: &mut Found,
) -> Result<(), StoreError> {
    let malformed = || StoreError::Damaged("a record of a safe in it is malformed");
    let payload = record::Envelope::decode(&stored.envelope).and_then(|envelope| envelope.payload());
    let payload = payload.map_err(|_| malformed())?;
    let outer = Outer::of(&payload, stored.author, stored.role);
    // Void for everybody, those who have the key included.
    if memory.verified.epoch(payload.epoch).is_some_and(|epoch| epoch.lost) {
        state.pass_over(&outer);
        return Ok(());
    }
    let inside = match open_record(&memory.keys, &payload) {
        Ok(inside) => inside,
        Err(Unopened::NoKey) => {
            found.stop = Some(Stop::NoKey(payload.epoch));
            return Ok(());
        }
        Err(Unopened::TooNew(_)) if is_beyond(memory) => {
            found.stop = Some(Stop::TooNew);
            return Ok(());
        }
        // Rules belong to a format. Where the safe's is one that this program knows, others are
        // nobody's: whoever claims them must not stop those who read.
        Err(why @ Unopened::TooNew(_)) => {
            found.oddities.push(Oddity::Void(payload.author, why.to_string()));
            state.pass_over(&outer);
            return Ok(());
        }
        Err(Unopened::Void(why)) => {
            found.oddities.push(Oddity::Void(payload.author, why.to_string()));
            state.pass_over(&outer);
            return Ok(());
        }
    };
    if inside.root != state.state_root() {
        found.oddities.push(Oddity::OtherRoot(payload.author, payload.seq));
    }
    match fold(state, &inside, &outer) {
        Ok(()) => found.known.extend(inside.changes.iter().map(|change| change.operation())),
        Err(why) => found.oddities.push(Oddity::Void(payload.author, why.to_string())),
    }
    Ok(())
}

/// Folds the records behind `state` up to record `to`, or as far as they can be read.
///
/// # Errors
/// The store's.
pub(super) fn fold_stored(
    open: &OpenDevice,
    memory: &Memory,
    safe: SafeId,
    state: &mut State,
    to: u64,
) -> Result<Found, StoreError> {
    let mut found = Found::default();
    while state.seq() < to && found.stop.is_none() {
        let most = to.saturating_sub(state.seq()).min(STEP_RECORDS);
        let records = open.store.safe_records(safe, state.seq(), most)?;
        if records.is_empty() {
            return Err(StoreError::Damaged("records of a safe in it are missing"));
        }
        for stored in &records {
            if found.stop.is_none() {
                one(memory, state, stored, &mut found)?;
            }
        }
    }
    Ok(found)
}

/// The encoded queue, as the store keeps it.
pub(super) fn encoded(queue: &[Queued]) -> Vec<Vec<u8>> {
    queue.iter().map(codec::encode).collect()
}

/// Who speaks in a queue, and how conflict names are made of it.
pub(super) fn stamp(open: &OpenDevice) -> Stamp {
    Stamp { seq: PENDING_SEQ, user: open.summary.user, device: open.summary.device, time: clock::now() }
}

/// The queue on a later tree. What was kept beside a change goes with its group: when it was saved,
/// and which objects it adds.
fn rebased(
    open: &OpenDevice,
    memory: &Memory,
    new: &State,
    known: &BTreeSet<OperationId>,
) -> Result<(Vec<Queued>, Vec<Notice>), Problem> {
    let queue: Vec<Pending> = memory.queue.iter().map(|queued| queued.pending.clone()).collect();
    let moment = clock::moment(clock::now());
    let moment = moment.get(..16).unwrap_or_default().replace(':', ".");
    let naming = Naming { label: open.keys.device_label.as_str(), moment: &moment, stamp: stamp(open) };
    let rebased = rebase(&memory.base, new, &queue, known, &naming);
    // Where the safe is full, or by a fault of this program. Nothing is taken in then: what was
    // saved is worth more than what is new.
    if let Some((_, void)) = rebased.aside.first() {
        return Err(refusals::void(*void));
    }
    let mut beside: BTreeMap<OperationId, (Timestamp, Vec<_>)> = BTreeMap::new();
    for queued in &memory.queue {
        let (saved, adds) = beside.entry(queued.pending.group).or_insert((queued.saved, Vec::new()));
        *saved = (*saved).min(queued.saved);
        adds.extend(queued.adds.iter().copied());
    }
    let queue = rebased
        .queue
        .into_iter()
        .map(|pending| {
            let beside = beside.get_mut(&pending.group);
            let (saved, adds) = beside.map_or_else(
                || (clock::now(), Vec::new()),
                // With the first change of the group; the others stand in the same record.
                |(saved, adds)| (*saved, std::mem::take(adds)),
            );
            Queued { pending, saved, adds }
        })
        .collect();
    Ok((queue, rebased.notices))
}

/// What folding came to.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) notices: Vec<Notice>,
    /// Whether the tree is another one.
    pub(super) grown: bool,
}

/// Folds all that was verified, as far as it can be read, and rebases the queue onto it. The caller
/// holds the safe's turn.
///
/// # Errors
/// `safe_key_missing`, `safe_too_new`: what comes before is folded. `safe_full` where a change that
/// waits has no room any more: nothing is folded. The store's.
pub(super) async fn fold_up(session: &Session, safe: &OpenSafe) -> Result<Outcome, Problem> {
    let mut memory = safe.memory().await;
    let open = Arc::clone(&session.open);
    let id = safe.id;
    let (oddities, outcome, stop) = blocking_in(&session.tasks, move || {
        let to = memory.verified.present().map_or(0, |now| now.journal.count);
        let mut state = if memory.refold { State::new(id) } else { memory.base.clone() };
        let before = memory.base.seq();
        let found = fold_stored(&open, &memory, id, &mut state, to)?;
        let grown = state.seq() != before || memory.refold;
        let mut notices = Vec::new();
        if grown {
            let (queue, told) = rebased(&open, &memory, &state, &found.known)?;
            notices = told;
            let delta = overlay::of(&state, &queue, &stamp(&open));
            let worth = memory.refold || before / KEEP_RECORDS != state.seq() / KEEP_RECORDS;
            let kept = worth.then(|| codec::encode(&state));
            let folded = Folded { seq: state.seq(), state: kept, queue: encoded(&queue) };
            open.store.fold_safe(id, &folded)?;
            memory.base = state;
            memory.queue = queue;
            memory.delta = delta;
            memory.refold = false;
        }
        Ok::<_, Problem>((found.oddities, Outcome { notices, grown }, found.stop))
    })
    .await?;
    for oddity in oddities {
        alarm(session, safe, oddity).await;
    }
    match stop {
        None => Ok(outcome),
        Some(stop) => Err(stop.into()),
    }
}

async fn alarm(session: &Session, safe: &OpenSafe, oddity: Oddity) {
    let log = session.log();
    let names = crate::session::names::Names::new(&session.open.keys.directory_key, &log);
    let text = match oddity {
        Oddity::Void(device, why) => format!(
            "A record of safe {} by {} is void, and changes nothing: {why}.",
            safe.id,
            names.device_in_words(&device)
        ),
        Oddity::OtherRoot(device, seq) => format!(
            "{} had another tree of safe {} than this device before record {seq}.",
            names.device_in_words(&device),
            safe.id
        ),
    };
    session.alarm(&Problem::new(ProblemKind::SafeUntrusted, text)).await;
}
