//! A safe, or a part of it, as it was: the tree that its first records make.
//!
//! Decides which records an earlier moment had: those before the first that is dated later. Their
//! dates are their authors', and no honest server took one that was off by more than ten minutes.
//! Refuses a moment before the safe's first record, and to bring anything back that this device
//! can't read.

use std::sync::Arc;

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{SafeId, Timestamp};
use parsec_protocol::safe_log::record;
use parsec_protocol::safe_log::safe::VerifiedSafe;
use parsec_protocol::safes::as_of::{Sums, as_of};
use parsec_protocol::safes::content_ref::Content;
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::rebase::Naming;
use parsec_protocol::safes::state::State;
use parsec_protocol::safes::tree::Tree as _;

use super::acts::{Done, may_write, operation, save};
use super::folding::{self, fold_stored};
use super::overlay;
use super::paths::{self, Path};
use crate::os::{blocking_in, clock};
use crate::session::Session;
use crate::session::open_safes::{Memory, OpenSafe, Past};
use crate::store::{OpenDevice, StoreError};

/// Records that are looked through in one go: some megabytes of them at most times.
const STEP_RECORDS: u64 = 64;
/// How far the dates of two honest records may be out of order: each is within ten minutes of the
/// server's clock (docs/protocol.md, *Safes* at the server).
const CLOCKS_APART_SECONDS: u64 = 20 * 60;

/// Up to where the journal is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Up to this moment.
    Moment(Timestamp),
    /// Up to this record, itself included.
    Record(u64),
}

impl Until {
    /// Of what a program says: a moment or a record, and not both; nothing where it says neither.
    ///
    /// # Errors
    /// `invalid_request`.
    pub(crate) fn of(at: Option<Timestamp>, record: Option<u64>) -> Result<Option<Self>, Problem> {
        match (at, record) {
            (Some(at), None) => Ok(Some(Self::Moment(at))),
            (None, Some(record)) => Ok(Some(Self::Record(record))),
            (None, None) => Ok(None),
            (Some(_), Some(_)) => {
                let text = "Say as of when, or as of which record, and not both.";
                Err(Problem::new(ProblemKind::InvalidRequest, text))
            }
        }
    }
}

/// What folding an earlier tree takes of a safe's memory. Folding a long journal takes minutes, and
/// everything else that the safe does must not wait for it.
struct Journal {
    verified: VerifiedSafe,
    keys: SafeKeys,
    /// Records that are here.
    end: u64,
}

impl Journal {
    fn of(memory: &Memory) -> Self {
        Self { verified: memory.verified.clone(), keys: memory.keys.copied(), end: memory.base.seq() }
    }

    fn lost_keys(&self) -> usize {
        self.verified.epochs().iter().filter(|epoch| epoch.lost).count()
    }
}

/// The safe as it was, to be looked at. Who asks for the same record again gets the same tree.
///
/// # Errors
/// `path_not_found`: the safe is younger; `invalid_request`; `safe_key_missing`; the store's.
pub(crate) async fn past(session: &Session, safe: &OpenSafe, until: Until) -> Result<Arc<Past>, Problem> {
    let journal = Journal::of(&*safe.memory().await);
    let lost_keys = journal.lost_keys();
    let known = session.safes.past().filter(|known| {
        known.safe == safe.id && known.lost_keys == lost_keys && until == Until::Record(known.seq)
    });
    if let Some(known) = known {
        return Ok(known);
    }
    let (open, id) = (Arc::clone(&session.open), safe.id);
    let past = blocking_in(&session.tasks, move || {
        let (tree, seq, time) = tree_of(&open, &journal, id, until)?;
        Ok::<_, Problem>(Arc::new(Past { safe: id, seq, time, lost_keys, tree }))
    })
    .await?;
    session.safes.set_past(&past);
    Ok(past)
}

/// Whether the safe still has all that a content names: nothing of it was thrown away.
pub(crate) fn is_kept(now: &State, content: &Content) -> bool {
    content.objects().all(|reference| now.has_object(reference.object))
}

/// What was, and what bringing it back came to.
#[derive(Debug)]
pub(crate) struct Restored {
    /// The last record of what was.
    pub(crate) seq: u64,
    /// Its date, as its author says.
    pub(crate) time: Timestamp,
    pub(crate) sums: Sums,
    /// Nothing where it was only looked at.
    pub(crate) done: Option<Done>,
}

/// The last record that belongs to it, and its date.
///
/// Dates are their authors': one record that is dated years ahead would cut off all that came after
/// it. So where later ones are dated before the moment again, the moment says nothing.
fn last(open: &OpenDevice, safe: SafeId, to: u64, until: Until) -> Result<Option<(u64, Timestamp)>, Problem> {
    let malformed = || StoreError::Damaged("a record of a safe in it is malformed");
    let (mut found, mut first_later, mut after) = (None, None, 0_u64);
    while after < to {
        let records = open.store.safe_records(safe, after, STEP_RECORDS.min(to.saturating_sub(after)))?;
        if records.is_empty() {
            break;
        }
        for stored in records {
            let payload = record::Envelope::decode(&stored.envelope).and_then(|envelope| envelope.payload());
            let payload = payload.map_err(|_| malformed())?;
            after = after.saturating_add(1);
            match (until, first_later) {
                (Until::Record(seq), _) if payload.seq > seq => return Ok(found),
                (Until::Moment(moment), None) if payload.time > moment => first_later = Some(payload.seq),
                (Until::Moment(moment), Some(later)) => {
                    if payload.time.plus_seconds(CLOCKS_APART_SECONDS) < moment {
                        let text = format!(
                            "The dates of the safe's records contradict each other: record {later} is dated after that moment, and record {} before it.",
                            payload.seq
                        );
                        let hint =
                            "Look which record you mean (`parsecctl safe log`), and name it: `--record N`.";
                        let problem = Problem::new(ProblemKind::InvalidRequest, text);
                        return Err(Problem { hint: hint.to_owned(), ..problem });
                    }
                }
                (Until::Moment(_), None) | (Until::Record(_), _) => found = Some((payload.seq, payload.time)),
            }
        }
    }
    Ok(found)
}

/// The tree of the first records, and the last of them.
fn tree_of(
    open: &OpenDevice,
    journal: &Journal,
    safe: SafeId,
    until: Until,
) -> Result<(State, u64, Timestamp), Problem> {
    let there = journal.end;
    if let Until::Record(seq) = until
        && (seq == 0 || seq > there)
    {
        let text = format!("The safe has records 1 to {there} here.");
        let hint = "`parsecctl safe log` shows them.".to_owned();
        return Err(Problem { hint, ..Problem::new(ProblemKind::InvalidRequest, text) });
    }
    let (seq, time) = last(open, safe, there, until)?.ok_or_else(|| {
        Problem::new(
            ProblemKind::PathNotFound,
            "The safe had nothing at that time: its first record is later.",
        )
    })?;
    let mut state = State::new(safe);
    let found = fold_stored(open, (&journal.verified, &journal.keys), safe, &mut state, seq)?;
    match found.stop {
        Some(stop) => Err(stop.into()),
        None => Ok((state, seq, time)),
    }
}

/// Makes a file, or what is in a folder, what it was. `exact`: what has come since goes to the
/// trash; `look`: nothing is changed.
///
/// # Errors
/// `path_not_found`: it was not there then; why nothing may be written; `safe_key_missing`; the
/// store's.
pub(crate) async fn restore(
    session: &Session,
    safe: &OpenSafe,
    path: Path,
    until: Until,
    (exact, look): (bool, bool),
) -> Result<Restored, Problem> {
    let journal = {
        let memory = safe.memory().await;
        if !look {
            may_write(session, &memory)?;
        }
        Journal::of(&memory)
    };
    let (open, id) = (Arc::clone(&session.open), safe.id);
    let (then, seq, time) = blocking_in(&session.tasks, move || tree_of(&open, &journal, id, until)).await?;
    let memory = safe.memory().await;
    // It may have changed while the journal was folded.
    if !look {
        may_write(session, &memory)?;
    }
    let open = Arc::clone(&session.open);
    let (memory, plan, top, path) = blocking_in(&session.tasks, move || {
        let mut path = path;
        let (plan, top) = {
            let now = overlay::view(&memory);
            let was_not = || {
                let text = format!("There was no {} in the safe then.", paths::written(&path));
                Problem::new(ProblemKind::PathNotFound, text)
            };
            // What stood there goes back there. A folder that has the path since, and stood
            // somewhere else then, stays where it is.
            let stood = paths::find(&then, &path).ok();
            let here = paths::find(&now, &path).ok().filter(|found| then.is_live(*found));
            let top = stood.or(here).ok_or_else(was_not)?;
            let itself = stood.is_some() || !then.is_folder(top);
            let parent = then.entry(top).and_then(|found| found.parent).filter(|_| itself);
            if let Some(parent) = parent.filter(|parent| !now.is_live(*parent)) {
                let above = paths::written(&paths::of(&then, parent).unwrap_or_default());
                let text = format!("The folder that it was in, {above}, is in the trash.");
                let hint = format!(
                    "Make {above} what it was, by the same command: it comes back with what was in it."
                );
                return Err(Problem { hint, ..Problem::new(ProblemKind::PathNotFound, text) });
            }
            if itself && stood.is_none() {
                path = paths::of(&then, top).unwrap_or(path);
            }
            let moment = clock::moment(clock::now());
            let moment = moment.get(..16).unwrap_or_default().replace(':', ".");
            let label = open.keys.device_label.as_str();
            let naming = Naming { label, moment: &moment, stamp: folding::stamp(&open) };
            (as_of(&now, &then, (top, itself), exact, &naming, &mut operation)?, top)
        };
        Ok::<_, Problem>((memory, plan, top, path))
    })
    .await?;
    let sums = plan.sums;
    if look {
        return Ok(Restored { seq, time, sums, done: None });
    }
    let acts: Vec<_> = plan.changes.into_iter().map(|change| (change, Vec::new())).collect();
    let operations = match acts.is_empty() {
        true => Vec::new(),
        false => save(session, safe, memory, acts).await?,
    };
    let entries = sums.restored + sums.moved + sums.contents + sums.attributes + sums.removed + sums.renamed;
    Ok(Restored { seq, time, sums, done: Some(Done { entry: top, path, entries, operations }) })
}
