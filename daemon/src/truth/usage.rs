//! What a safe takes at the server, by what it is for.
//!
//! Decides that each object counts once, with the first class that names it, and by the length that
//! the server counts it with: so the classes are parts of the server's own figure. What is left of
//! that figure is what nothing names. Refuses figures that contradict each other.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::control::{ObjectsUsed, Problem, ProblemKind, SafeUsed, USED_BY_MAX, UsedBy};
use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::relay::{OBJECT_MISSING_MAX, ObjectIds, SafeTotals};
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::named::Class;
use parsec_protocol::safes::state::State;
use parsec_protocol::safes::tree::Tree as _;

use super::pieces::{self, PageRead, Part};
use crate::safes::{refusals, views};
use crate::session::Session;
use crate::session::open_safes::OpenSafe;
use crate::transport::TransportError;
use crate::transport::retry::answered;

/// How often a safe is counted again that others write to meanwhile.
const TRIES: usize = 4;
/// How long its own task is given to read what others have written.
const READ_WAIT: Duration = Duration::from_secs(8);

/// Behind the classes of contents: what the snapshots hold that the tree still has.
const SNAPSHOTS: usize = Class::ALL.len();

/// Objects of some class, as far as they were counted.
#[derive(Debug, Default)]
struct Counted {
    classes: [ObjectsUsed; SNAPSHOTS + 1],
    missing: u64,
    fetched: u64,
    unread: u64,
}

/// Counts objects by the lengths that the server says.
struct Counting<'a> {
    session: &'a Session,
    safe: SafeId,
    met: HashSet<ObjectId>,
    together: Vec<(usize, ObjectId)>,
    counted: Counted,
}

impl Counting<'_> {
    async fn take(&mut self, class: usize, object: ObjectId) -> Result<(), Problem> {
        if self.met.insert(object) {
            self.together.push((class, object));
        }
        if self.together.len() >= OBJECT_MISSING_MAX { self.count().await } else { Ok(()) }
    }

    async fn count(&mut self) -> Result<(), Problem> {
        let together = std::mem::take(&mut self.together);
        let ids = together.iter().map(|(_, object)| *object).collect();
        let lengths = lengths(self.session, self.safe, ids).await?;
        for ((class, _), length) in together.into_iter().zip(lengths) {
            if length == 0 {
                self.counted.missing = self.counted.missing.saturating_add(1);
            } else if let Some(sum) = self.counted.classes.get_mut(class) {
                sum.objects = sum.objects.saturating_add(1);
                sum.bytes = sum.bytes.saturating_add(length);
            }
        }
        Ok(())
    }

    /// Counts all that a tree names.
    async fn all(mut self, state: &State, keys: &Arc<SafeKeys>) -> Result<Counted, Problem> {
        for held in state.contents() {
            for piece in pieces::named(held.content) {
                let object = piece.reference.object;
                let known = self.met.contains(&object);
                self.take(held.class as usize, object).await?;
                let Part::Page(number) = piece.part else { continue };
                // A page is one object: what it names was counted where it was met first.
                if known {
                    continue;
                }
                match pieces::page(self.session, self.safe, keys, piece).await? {
                    PageRead::Names(names, fetched) => {
                        self.counted.fetched = self.counted.fetched.saturating_add(u64::from(fetched));
                        for piece in pieces::of_page(held.content.size, number, names) {
                            self.take(held.class as usize, piece.reference.object).await?;
                        }
                    }
                    PageRead::Unread => self.counted.unread = self.counted.unread.saturating_add(1),
                }
            }
        }
        for snapshot in state.snapshots() {
            for reference in snapshot.content.objects() {
                self.take(SNAPSHOTS, reference.object).await?;
            }
        }
        self.count().await?;
        Ok(self.counted)
    }
}

/// How long objects are at the server; 0 for those that it does not have.
async fn lengths(session: &Session, safe: SafeId, objects: Vec<ObjectId>) -> Result<Vec<u64>, Problem> {
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let asked = ObjectIds { objects };
    let lengths = answered(|| session.member.object_lengths(safe, &asked)).await?;
    Ok(lengths.into_iter().map(u64::from).collect())
}

/// What is saved here and not shared: what of it the server has already, and what is here alone.
async fn saved(session: &Session, safe: &OpenSafe, state: &State) -> Result<[ObjectsUsed; 2], Problem> {
    let id = safe.id;
    let mut waiting = session.store(move |store| store.waiting_pieces(id)).await?;
    waiting.retain(|piece| !state.has_object(piece.object));
    let (mut sent, mut here) = (ObjectsUsed::default(), ObjectsUsed::default());
    for some in waiting.chunks(OBJECT_MISSING_MAX) {
        let lengths = lengths(session, id, some.iter().map(|piece| piece.object).collect()).await?;
        for (piece, length) in some.iter().zip(lengths) {
            let (sum, bytes) = if length > 0 { (&mut sent, length) } else { (&mut here, piece.length) };
            sum.objects = sum.objects.saturating_add(1);
            sum.bytes = sum.bytes.saturating_add(bytes);
        }
    }
    Ok([sent, here])
}

fn add(sums: &[ObjectsUsed]) -> ObjectsUsed {
    sums.iter().fold(ObjectsUsed::default(), |all, sum| ObjectsUsed {
        objects: all.objects.saturating_add(sum.objects),
        bytes: all.bytes.saturating_add(sum.bytes),
    })
}

/// What the server has and nothing names; none where its figures contradict each other.
fn unnamed(totals: &SafeTotals, named: ObjectsUsed) -> Option<ObjectsUsed> {
    let all = [totals.uploaded, totals.added, totals.dropped]
        .map(|sum| ObjectsUsed { objects: sum.objects, bytes: sum.bytes });
    let all = add(&all);
    let others = [totals.certificates, totals.records, totals.keys];
    let sum = others.into_iter().chain([all.bytes]).try_fold(0_u64, u64::checked_add)?;
    (sum == totals.bytes).then_some(())?;
    Some(ObjectsUsed {
        objects: all.objects.checked_sub(named.objects)?,
        bytes: all.bytes.checked_sub(named.bytes)?,
    })
}

/// Waits until a safe's own task has read something, or has had time for it.
async fn read_on(safe: &OpenSafe) {
    let mut progress = safe.progress();
    safe.wanted.notify_one();
    // Its sender is the safe's own; where nothing comes, the count is tried again all the same.
    let _ = tokio::time::timeout(READ_WAIT, progress.changed()).await;
}

/// What a safe takes.
///
/// # Errors
/// `not_shared_yet`; `server_busy` where others write to it all the time; `server_misbehaved` where
/// the server's figures contradict each other; the server's and the store's.
pub(crate) async fn usage(session: &Session, safe: &OpenSafe) -> Result<SafeUsed, Problem> {
    for _ in 0..TRIES {
        if let Some(used) = once(session, safe).await? {
            return Ok(used);
        }
        read_on(safe).await;
    }
    let text = "The safe is being written to all the time: it could not be counted as of one moment.";
    Err(Problem::new(ProblemKind::ServerBusy, text))
}

/// Counts a safe; nothing where it went on meanwhile.
async fn once(session: &Session, safe: &OpenSafe) -> Result<Option<SafeUsed>, Problem> {
    let (state, keys, name, certificates) = {
        let memory = safe.memory().await;
        let Some(now) = memory.verified.present() else {
            let text = "Nothing was heard from the server about this safe yet.";
            return Err(Problem::new(ProblemKind::NotSharedYet, text));
        };
        // What a word names is nothing to count by.
        if memory.started.is_some() {
            return Err(refusals::being_verified());
        }
        (memory.base.clone(), Arc::new(memory.keys.copied()), views::name(&memory), now.log.count)
    };
    let counting = Counting {
        session,
        safe: safe.id,
        met: HashSet::new(),
        together: Vec::new(),
        counted: Counted::default(),
    };
    let counted = counting.all(&state, &keys).await?;
    let [sent, waiting] = saved(session, safe, &state).await?;
    // Behind the lengths: what was sent meanwhile is in the sum, and not the other way round.
    let totals = answered(|| session.member.safe_totals(safe.id)).await?;
    if (totals.log, totals.seq) != (certificates, state.seq()) {
        return Ok(None);
    }
    let [live, history, trash, snapshots] = counted.classes;
    let Some(unnamed) = unnamed(&totals, add(&[live, history, trash, snapshots, sent])) else {
        return Err(TransportError::Misbehaved("its figures for a safe contradict each other").into());
    };
    let log = session.log();
    let named = totals.users.iter().take(USED_BY_MAX);
    let by: Vec<UsedBy> = named
        .map(|of| UsedBy { user: of.user, by: views::person(session, &log, of.user), bytes: of.bytes })
        .collect();
    let by_named = by.iter().map(|of| of.bytes).fold(0, u64::saturating_add);
    Ok(Some(SafeUsed {
        safe: safe.id,
        name,
        bytes: totals.bytes,
        live,
        history,
        trash,
        snapshots,
        sent,
        unnamed,
        journal_bytes: totals.records,
        log_bytes: totals.certificates,
        keys_bytes: totals.keys,
        waiting,
        missing: counted.missing,
        fetched: counted.fetched,
        unread: counted.unread,
        by,
        by_others: totals.bytes.saturating_sub(by_named),
        organisation_bytes: totals.organisation,
        organisation_limit: totals.limit,
        free: totals.limit.map(|limit| limit.saturating_sub(totals.organisation)),
    }))
}

#[cfg(test)]
mod tests {
    use parsec_protocol::relay::Sum;

    use super::*;

    fn totals() -> SafeTotals {
        SafeTotals {
            log: 1,
            seq: 1,
            bytes: 100,
            certificates: 10,
            records: 20,
            keys: 5,
            uploaded: Sum { objects: 1, bytes: 15 },
            added: Sum { objects: 3, bytes: 45 },
            dropped: Sum { objects: 1, bytes: 5 },
            users: Vec::new(),
            organisation: 100,
            limit: None,
        }
    }

    #[test]
    fn what_is_left_of_the_figure_is_what_nothing_names() {
        let named = ObjectsUsed { objects: 2, bytes: 40 };
        assert_eq!(unnamed(&totals(), named), Some(ObjectsUsed { objects: 3, bytes: 25 }));
        let all = ObjectsUsed { objects: 5, bytes: 65 };
        assert_eq!(unnamed(&totals(), all), Some(ObjectsUsed::default()));
        let more = ObjectsUsed { objects: 5, bytes: 66 };
        assert_eq!(unnamed(&totals(), more), None, "it says of objects what it does not count");
        assert_eq!(unnamed(&SafeTotals { bytes: 99, ..totals() }, named), None, "the parts are not the sum");
        let huge = SafeTotals { records: u64::MAX, ..totals() };
        assert_eq!(unnamed(&huge, named), None);
    }
}
