//! Folding: what accepted records make of a safe's tree, and the queue put on top of it.
//!
//! Decides that the fold never goes on without the queue being rebased onto it, in one transaction.
//! Stops where this device has no key of an epoch; a record whose inside is no good is void, for
//! everybody alike, and an alarm that names its device. Another state root is an alarm and decides
//! nothing, but on a tree that was started from a snapshot: then the whole journal is folded at
//! once. That a safe is of a later format, its log says: nothing behind that is ever read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parsec_protocol::codec;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{DeviceId, ObjectId, OperationId, SafeId, Timestamp};
use parsec_protocol::safe_log::record;
use parsec_protocol::safe_log::safe::VerifiedSafe;
use parsec_protocol::safes::fold::{Outer, Stamp, apply, fold};
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::rebase::{Naming, Notice, Pending, rebase};
use parsec_protocol::safes::scratch::Scratch;
use parsec_protocol::safes::seal::{Unopened, open_record};
use parsec_protocol::safes::state::State;
use parsec_protocol::safes::tree::{PENDING_SEQ, Tree as _};

use super::{brake, overlay, refusals, views};
use crate::os::{blocking_in, clock};
use crate::session::Session;
use crate::session::open_safes::{Brake, Memory, OpenSafe, Queued};
use crate::store::{Folded, OpenDevice, Requeued, StoreError, StoredRecord, Word};

/// Records folded in one step: some megabytes of them at most times.
const STEP_RECORDS: u64 = 64;

/// Records after which the folded tree is kept anew: so many are folded in a moment at the next
/// unlocking, and a tree of a hundred thousand entries is not written with each of them.
const KEEP_RECORDS: u64 = 512;

/// Something about a record that a person is told of.
#[derive(Debug)]
pub(crate) enum Oddity {
    /// Its inside is no good: it changes nothing.
    Void(DeviceId, String),
    /// Its author's tree was another one.
    OtherRoot(DeviceId, u64),
}

/// Why folding stopped before the journal's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// This device has no key of an epoch.
    NoKey(u64),
}

impl From<Stop> for Problem {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::NoKey(epoch) => {
                let text = format!("This device has not been given key {epoch} of the safe yet.");
                Self::new(ProblemKind::SafeKeyMissing, text)
            }
        }
    }
}

/// What folding some records found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) oddities: Vec<Oddity>,
    pub(crate) known: BTreeSet<OperationId>,
    /// Objects that accepted records dropped, and whose word it was.
    pub(crate) dropped: Dropped,
    pub(crate) stop: Option<Stop>,
}

/// Objects that records dropped, with the device of each record.
pub(crate) type Dropped = Vec<(DeviceId, Vec<ObjectId>)>;

/// Folds one record into a tree, or passes over it.
///
/// # Errors
/// [`StoreError::Damaged`] where it is none.
pub(crate) fn one(
    verified: &VerifiedSafe,
    keys: &SafeKeys,
    state: &mut State,
    stored: &StoredRecord,
    found: &mut Found,
) -> Result<(), StoreError> {
    let malformed = || StoreError::Damaged("a record of a safe in it is malformed");
    let payload = record::Envelope::decode(&stored.envelope).and_then(|envelope| envelope.payload());
    let payload = payload.map_err(|_| malformed())?;
    let outer = Outer::of(&payload, stored.author, stored.role);
    // Void for everybody, those who have the key included.
    if verified.epoch(payload.epoch).is_some_and(|epoch| epoch.lost) {
        state.pass_over(&outer);
        return Ok(());
    }
    let inside = match open_record(keys, &payload) {
        Ok(inside) => inside,
        Err(Unopened::NoKey) => {
            found.stop = Some(Stop::NoKey(payload.epoch));
            return Ok(());
        }
        // Rules belong to a format, and the safe's is one that this program knows. Others are
        // nobody's: whoever claims them must not stop those who read.
        Err(why @ (Unopened::TooNew(_) | Unopened::Void(_))) => {
            found.oddities.push(Oddity::Void(payload.author, why.to_string()));
            state.pass_over(&outer);
            return Ok(());
        }
    };
    if inside.root != state.state_root() {
        found.oddities.push(Oddity::OtherRoot(payload.author, payload.seq));
    }
    match fold(state, &inside, &outer) {
        Ok(()) => {
            found.known.extend(inside.changes.iter().map(|change| change.operation()));
            if !outer.drops.is_empty() {
                found.dropped.push((outer.device, outer.drops.to_vec()));
            }
        }
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
    (verified, keys): (&VerifiedSafe, &SafeKeys),
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
                one(verified, keys, state, stored, &mut found)?;
            }
        }
    }
    Ok(found)
}

/// The encoded queue, as the store keeps it.
pub(crate) fn encoded(queue: &[Queued]) -> Vec<Vec<u8>> {
    queue.iter().map(codec::encode).collect()
}

/// How one queue follows from another one, as the store keeps it.
fn requeued(before: &[Queued], after: &[Queued]) -> Requeued {
    let gone = before.len().saturating_sub(after.len());
    match before.get(gone..) {
        Some(rest) if rest == after => Requeued::Shorter(gone),
        Some(_) | None => Requeued::Anew(encoded(after)),
    }
}

/// Who speaks in a queue, and how conflict names are made of it.
pub(crate) fn stamp(open: &OpenDevice) -> Stamp {
    Stamp { seq: PENDING_SEQ, user: open.summary.user, device: open.summary.device, time: clock::now() }
}

/// The queue is this from now on, durably and in memory, on the tree that is there. Nothing has
/// changed where it can't be kept.
///
/// # Errors
/// The store's.
pub(crate) fn requeue(
    open: &OpenDevice,
    safe: SafeId,
    memory: &mut Memory,
    queue: Vec<Queued>,
) -> Result<(), StoreError> {
    open.store.replace_safe_queue(safe, &encoded(&queue))?;
    memory.delta = overlay::of(&memory.base, &queue, &stamp(open));
    memory.queue = queue;
    Ok(())
}

/// The queue on a later tree. What was kept beside a change goes with its group: when it was saved,
/// and which objects it adds.
pub(super) fn rebased(
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
    let mut beside: BTreeMap<OperationId, (Timestamp, Vec<_>, Option<Brake>)> = BTreeMap::new();
    for queued in &memory.queue {
        let (saved, adds, brake) =
            beside.entry(queued.pending.group).or_insert((queued.saved, Vec::new(), None));
        *saved = (*saved).min(queued.saved);
        adds.extend(queued.adds.iter().copied());
        *brake = brake.or(queued.brake);
    }
    let queue = rebased
        .queue
        .into_iter()
        .map(|pending| {
            let beside = beside.get_mut(&pending.group);
            let (saved, adds, brake) = beside.map_or_else(
                || (clock::now(), Vec::new(), None),
                // With the first change of the group; the others stand in the same record.
                |(saved, adds, brake)| (*saved, std::mem::take(adds), *brake),
            );
            Queued { pending, saved, adds, brake }
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
    /// What was dropped on the way.
    pub(super) dropped: Dropped,
}

/// What one step of folding came to.
#[derive(Debug, Default)]
struct Step {
    oddities: Vec<Oddity>,
    notices: Vec<Notice>,
    grown: bool,
    dropped: Dropped,
    stop: Option<Stop>,
}

impl Step {
    /// What the step behind it came to.
    fn extend(&mut self, more: Self) {
        self.oddities.extend(more.oddities);
        self.notices.extend(more.notices);
        self.grown |= more.grown;
        self.dropped.extend(more.dropped);
        self.stop = more.stop;
    }
}

/// Whether the next record to be folded is this device's own.
fn own_is_next(open: &OpenDevice, memory: &Memory, safe: SafeId) -> Result<bool, StoreError> {
    if memory.refold {
        return Ok(false);
    }
    let next = open.store.safe_records(safe, memory.base.seq(), 1)?;
    let author = |stored: &StoredRecord| {
        record::Envelope::decode(&stored.envelope).and_then(|envelope| envelope.payload()).ok()
    };
    let author = next.first().and_then(author).map(|payload| payload.author);
    Ok(author == Some(open.summary.device))
}

/// What is left of the queue after a record that holds nothing but changes of it: nobody else has
/// written, so the rest stands on the tree that it was made on. None where there is more to it:
/// what went out overtook something that waits for a person, and that doesn't fit behind it.
fn rest(memory: &Memory, found: &Found, records: u64, state: &State, stamp: &Stamp) -> Option<Vec<Queued>> {
    let waits: BTreeSet<_> = memory.queue.iter().map(|queued| queued.pending.change.operation()).collect();
    let own = !memory.refold && records == 1 && !found.known.is_empty() && found.known.is_subset(&waits);
    let left = |queued: &&Queued| !found.known.contains(&queued.pending.change.operation());
    if !own {
        return None;
    }
    let rest: Vec<_> = memory.queue.iter().filter(left).cloned().collect();
    let mut tree = Scratch::new(state);
    let fits = rest.iter().all(|queued| apply(&mut tree, &queued.pending.change, stamp).is_ok());
    fits.then_some(rest)
}

/// Folds up to record `to`, and puts the queue onto it, in one transaction.
///
/// # Errors
/// `safe_full` where a change that waits has no room any more: nothing is folded. The store's.
fn step(open: &OpenDevice, memory: &mut Memory, id: SafeId, to: u64) -> Result<Step, Problem> {
    let mut state = if memory.refold { State::new(id) } else { memory.base.clone() };
    let before = memory.base.seq();
    let word = memory.started.is_some() && !memory.refold;
    let mut found = fold_stored(open, (&memory.verified, &memory.keys), id, &mut state, to)?;
    if word {
        // Where a tree is somebody's word, the odd one may be the word: nothing that was folded
        // onto it is kept, and the whole journal is folded instead.
        if found.oddities.iter().any(|odd| matches!(odd, Oddity::OtherRoot(..))) {
            memory.refold = true;
            return step(open, memory, id, to);
        }
        // What is odd is told by the fold from the first record on: no honest record may be
        // accused by a word.
        found.oddities.clear();
    }
    let grown = state.seq() != before || memory.refold;
    let from_first = memory.refold;
    let notices = if grown { stand_on(open, memory, id, state, &found, from_first)? } else { Vec::new() };
    let Found { oddities, dropped, stop, .. } = found;
    Ok(Step { oddities, notices, grown, dropped, stop })
}

/// The tree is this from now on, durably and in memory, with the queue on top of it. `from_first`
/// says that the journal was folded from its first record on, and no snapshot is believed any more.
///
/// # Errors
/// As [`step`]: nothing has changed then.
pub(super) fn stand_on(
    open: &OpenDevice,
    memory: &mut Memory,
    id: SafeId,
    state: State,
    found: &Found,
    from_first: bool,
) -> Result<Vec<Notice>, Problem> {
    let before = memory.base.seq();
    let records = state.seq().saturating_sub(before);
    let (queue, notices) = match rest(memory, found, records, &state, &stamp(open)) {
        Some(rest) => (rest, Vec::new()),
        None => rebased(open, memory, &state, &found.known)?,
    };
    let delta = overlay::of(&state, &queue, &stamp(open));
    let worth = from_first || before / KEEP_RECORDS != state.seq() / KEEP_RECORDS;
    let kept = worth.then(|| codec::encode(&state));
    let mut removed = memory.removed.clone();
    let entries = brake::accepted(memory, &found.known, &stamp(open));
    if entries > 0 {
        removed.add(entries, clock::since_boot());
    }
    let folded = Folded {
        seq: state.seq(),
        state: kept,
        queue: requeued(&memory.queue, &queue),
        removed: (entries > 0).then(|| codec::encode(&removed)),
        word: if from_first { Word::Nobodys } else { Word::AsBefore },
    };
    open.store.fold_safe(id, &folded)?;
    memory.removed = removed;
    memory.base = state;
    memory.queue = queue;
    memory.delta = delta;
    if memory.queue.is_empty() {
        memory.fixed.clear();
    }
    if from_first {
        memory.refold = false;
        memory.started = None;
    }
    Ok(notices)
}

/// Folds all that was verified, as far as it can be read, and rebases the queue onto it. The caller
/// holds the safe's turn.
///
/// # Errors
/// `safe_key_missing`, `safe_too_new`: what comes before is folded. `safe_full` where a change that
/// waits has no room any more: nothing of what would take it is folded. The store's.
pub(super) async fn fold_up(session: &Session, safe: &OpenSafe) -> Result<Outcome, Problem> {
    let mut memory = safe.memory().await;
    let open = Arc::clone(&session.open);
    let id = safe.id;
    let (oddities, outcome, failed) = blocking_in(&session.tasks, move || {
        let to = memory.verified.present().map_or(0, |now| now.journal.count);
        let mut all = Step::default();
        // A record of this device stands on what it had folded: it is the first, and alone.
        if own_is_next(&open, &memory, id)? {
            let own = memory.base.seq().saturating_add(1).min(to);
            all = step(&open, &mut memory, id, own)?;
        }
        let mut failed = None;
        if all.stop.is_none() {
            match step(&open, &mut memory, id, to) {
                Ok(more) => all.extend(more),
                // What the first step found is told all the same.
                Err(problem) => failed = Some(problem),
            }
        }
        let Step { oddities, notices, grown, dropped, stop } = all;
        let failed = failed.or_else(|| stop.map(Problem::from));
        Ok::<_, Problem>((oddities, Outcome { notices, grown, dropped }, failed))
    })
    .await?;
    tell(session, safe, oddities).await;
    match failed {
        None => Ok(outcome),
        Some(problem) => {
            // What came before is durable, and told only now.
            views::notify(session, safe, outcome.notices);
            if outcome.grown {
                safe.went_on();
            }
            Err(problem)
        }
    }
}

/// Tells of what was odd about records, each an alarm that names a device.
pub(super) async fn tell(session: &Session, safe: &OpenSafe, oddities: Vec<Oddity>) {
    for oddity in oddities {
        alarm(session, safe, oddity).await;
    }
}

async fn alarm(session: &Session, safe: &OpenSafe, oddity: Oddity) {
    let log = session.log();
    let names = crate::session::names::Names::new(session.open.directory(), &log);
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
