//! Commits: what was saved goes to the server, a record at a time, on the very end of the journal.
//!
//! Decides what a record holds: whole groups of changes, in order, as many as fit. It is folded
//! here before it goes out, and its bytes are durable before that. *Shared* means that the server
//! accepted it and that it was folded. Where the journal has gone on, what came is taken in, the
//! queue is rebased, and another record is made at once: nobody backs off from other writers.

use std::sync::Arc;

use parsec_protocol::chain::organisation::at::MembersAt as _;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::ObjectId;
use parsec_protocol::relay::{ErrorCode, NewRecord, RecordAnswer};
use parsec_protocol::safe_log::certificate::State as Condition;
use parsec_protocol::safe_log::record::{Payload, RECORD_NONCE_BYTES};
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safes::change::{Change, Inside, RULES_VERSION};
use parsec_protocol::safes::fold::{Outer, Void, would_fold};
use parsec_protocol::safes::seal::{SealRecordError, seal_record};
use parsec_protocol::safes::tree::Tree as _;
use tokio::time::Instant;

use super::brake::{self, Waiting};
use super::staged::Wanted;
use super::{anew, damaged, dropped, forgone, holding, reading, refusals, staged};
use crate::os::{blocking_in, clock, entropy};
use crate::problems;
use crate::session::Session;
use crate::session::open_safes::{Memory, OpenSafe, Queued};
use crate::session::safe_items::{Batch, ends};
use crate::store::OpenDevice;
use crate::transport::retry::answered;

/// Bytes of changes in a record: below what it may have, with its outside and padding.
const CHANGES_MAX_BYTES: usize = 96 * 1024;
/// Objects that one record adds: each takes 17 bytes. What a large file has above this is added by
/// records of their own, before the one that names it.
const ADDS_MAX: usize = 4_096;

/// Bytes of contents that go into one record from several files. All that a record names is at the
/// server before it, so whoever waits for one of many files would wait for the others, too: at
/// most for so much, a second or two of a slow line.
const TOGETHER_MAX_BYTES: u64 = 8 * 1024 * 1024;

/// What became of a try.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tried {
    /// Nothing waits.
    Nothing,
    /// A record was accepted.
    Accepted,
    /// The safe has gone on: the queue stands on its end again.
    MovedOn,
    /// The safe needs another key first.
    Due,
}

/// What goes into a record.
#[derive(Debug, Clone, Default)]
pub(super) struct Draft {
    pub(super) changes: Vec<Change>,
    pub(super) adds: Vec<ObjectId>,
    pub(super) drops: Vec<ObjectId>,
    pub(super) keeps: Vec<ObjectId>,
}

/// Whether the tree is somebody's word, of which no record may be made: what it would say there,
/// this device would have signed for.
pub(super) const fn is_a_word(memory: &Memory) -> bool {
    memory.started.is_some()
}

/// Whether anything may be written, by what is known here.
///
/// # Errors
/// Why it may not.
pub(super) fn may_write(open: &OpenDevice, memory: &Memory) -> Result<(), Problem> {
    if is_a_word(memory) {
        return Err(refusals::being_verified());
    }
    let Some(present) = memory.verified.present() else {
        return Err(Problem::new(ProblemKind::NotSharedYet, "The server does not have the safe yet."));
    };
    if !matches!(present.state, Condition::Open) {
        return Err(Problem::new(
            ProblemKind::SafeNotOpen,
            "The owners of the safe have closed it for writing.",
        ));
    }
    if memory.verified.role(&open.summary.user).is_none_or(|role| !role.writes()) {
        return Err(Problem::new(ProblemKind::SafeRoleTooLow, "You may not write in this safe any more."));
    }
    Ok(())
}

/// The acts that go out: those that wait for a person stay where they are.
fn going<'a>(memory: &'a Memory, waiting: &'a Waiting) -> impl Iterator<Item = &'a [Queued]> {
    let goes = move |act: &&[Queued]| !brake::group_of(act).is_some_and(|group| waiting.holds(group));
    brake::acts(&memory.queue).filter(goes)
}

/// The first changes of the queue that fit one record: whole groups, one at least. Where the first
/// adds too many objects, those alone.
fn drafted(memory: &Memory, waiting: &Waiting, groups_max: usize) -> Draft {
    let mut draft = Draft::default();
    let (mut bytes, mut contents) = (0, 0_u64);
    for group in going(memory, waiting).take(groups_max) {
        let adds: Vec<_> = group.iter().flat_map(|queued| queued.adds.iter().copied()).collect();
        let adds: Vec<_> = adds.into_iter().filter(|object| !memory.base.has_object(*object)).collect();
        let size: usize =
            group.iter().map(|queued| parsec_protocol::codec::encode(&queued.pending.change).len()).sum();
        if adds.len() > ADDS_MAX {
            if draft.changes.is_empty() {
                draft.adds = adds.into_iter().take(ADDS_MAX).collect();
            }
            break;
        }
        // What was copied, or was sent before, keeps nobody waiting.
        let brings = if adds.is_empty() { 0 } else { contents_of(group) };
        contents = contents.saturating_add(brings);
        let fits = bytes + size <= CHANGES_MAX_BYTES
            && draft.adds.len() + adds.len() <= ADDS_MAX
            && (brings == 0 || contents <= TOGETHER_MAX_BYTES);
        if !fits && !draft.changes.is_empty() {
            break;
        }
        bytes += size;
        draft.adds.extend(adds);
        draft.changes.extend(group.iter().map(|queued| queued.pending.change.clone()));
    }
    draft
}

/// Bytes of the contents that an act brings.
fn contents_of(act: &[Queued]) -> u64 {
    let sizes = act.iter().filter_map(|queued| queued.pending.change.content()).map(|content| content.size);
    sizes.fold(0, u64::saturating_add)
}

/// The user's role\* by the organisation's log as it is known here.
pub(super) fn role_here(open: &OpenDevice, memory: &Memory, members: &VerifiedLog) -> Result<Role, Problem> {
    let user = match members.user_at(&open.summary.user, members.count()) {
        Ok(user) => user,
        Err(never) => match never {},
    };
    let role = memory.verified.role(&open.summary.user).zip(user).and_then(|(role, user)| role.at(&user));
    role.ok_or_else(|| Problem::new(ProblemKind::SafeRoleTooLow, "You may not write in this safe any more."))
}

/// A record as it goes out, and the objects that it adds.
type Made = (Vec<u8>, Vec<ObjectId>);

/// Why there is no record of a draft.
enum Unmade {
    /// Fewer changes may fit.
    TooLong,
    /// It names an object that was dropped since: by a change that waits, of an earlier content.
    Dropped,
    Problem(Problem),
}

impl From<Unmade> for Problem {
    fn from(unmade: Unmade) -> Self {
        match unmade {
            Unmade::TooLong => Self::new(ProblemKind::Internal, "A change does not fit a record."),
            Unmade::Dropped => refusals::void(Void::UnknownObject),
            Unmade::Problem(problem) => problem,
        }
    }
}

impl From<Problem> for Unmade {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// Makes a record, folds it, and keeps its bytes.
fn recorded(
    open: &OpenDevice,
    safe: &OpenSafe,
    memory: &mut Memory,
    members: &VerifiedLog,
    draft: Draft,
) -> Result<Vec<u8>, Unmade> {
    let present =
        memory.verified.present().copied().ok_or_else(|| {
            Problem::new(ProblemKind::NotSharedYet, "The server does not have the safe yet.")
        })?;
    let root = memory.base.state_root();
    let role = role_here(open, memory, members)?;
    let [log, journal] = ends(safe, &memory.verified);
    let payload = Payload {
        organisation: safe.organisation.clone(),
        safe: safe.id,
        seq: journal.count.saturating_add(1),
        previous: journal.hash,
        epoch: present.key.epoch,
        seen: members.head(),
        log,
        author: open.summary.device,
        time: clock::now(),
        adds: draft.adds,
        drops: draft.drops,
        keeps: draft.keeps,
        nonce: [0; RECORD_NONCE_BYTES].into(),
        ciphertext: Vec::new().into(),
    };
    let inside = Inside { rules: RULES_VERSION, root, changes: draft.changes };
    let outer = Outer::of(&payload, open.summary.user, role);
    would_fold(&memory.base, &inside, &outer).map_err(|void| match void {
        Void::UnknownObject => Unmade::Dropped,
        other => refusals::void(other).into(),
    })?;
    let key = memory.keys.at(present.key.epoch).ok_or_else(|| {
        Problem::new(
            ProblemKind::SafeKeyMissing,
            "This device has not been given the safe's present key yet.",
        )
    })?;
    match seal_record(&key, payload, &inside, &open.keys.signing_key, &mut entropy::System) {
        Ok(envelope) => {
            memory.verified.judge_record(&envelope, members).map_err(refusals::not_taken)?;
            memory.fixed.extend(inside.changes.iter().map(Change::operation));
            open.store.put_safe_posting(safe.id, &envelope).map_err(Problem::from)?;
            Ok(envelope)
        }
        Err(SealRecordError::TooLong) => Err(Unmade::TooLong),
        Err(SealRecordError::NoEntropy(error)) => Err(problems::no_entropy(error).into()),
        Err(SealRecordError::AnotherEpoch) => {
            Err(Problem::new(ProblemKind::Internal, "A record was to be sealed under another key.").into())
        }
    }
}

/// Makes a record of the first changes that go out; nothing where all of them wait.
fn made(
    open: &OpenDevice,
    safe: &OpenSafe,
    memory: &mut Memory,
    members: &VerifiedLog,
) -> Result<Option<Made>, Unmade> {
    // What waits may have been decided meanwhile, and what goes may have been taken back.
    let waiting = holding::mark(open, safe.id, memory).map_err(Problem::from)?;
    let mut most = going(memory, &waiting).count();
    if most == 0 {
        return Ok(None);
    }
    loop {
        let draft = drafted(memory, &waiting, most);
        let adds = draft.adds.clone();
        match recorded(open, safe, memory, members, draft) {
            Ok(envelope) => return Ok(Some((envelope, adds))),
            Err(Unmade::TooLong) if most > 1 => most /= 2,
            Err(other) => return Err(other),
        }
    }
}

/// What waits for a person, marked so that it stays waiting.
async fn braked(session: &Session, safe: &OpenSafe) -> Result<Waiting, Problem> {
    let mut memory = safe.memory().await;
    let (open, id) = (Arc::clone(&session.open), safe.id);
    blocking_in(&session.tasks, move || holding::mark(&open, id, &mut memory)).await
}

/// Contents that wait can't be read: the next record is made without them, unless they were left
/// out already.
async fn unreadable(session: &Session, safe: &OpenSafe, problem: Problem) -> Result<Tried, Problem> {
    let of_contents = [ProblemKind::StoreDamaged, ProblemKind::UnsafePath].contains(&problem.name);
    if of_contents && damaged::look(session, safe).await? {
        return Ok(Tried::MovedOn);
    }
    Err(problem)
}

/// Posts one record. The caller holds the safe's turn, and has read and folded all there was.
///
/// # Errors
/// Why nothing can be written; the server's and the store's.
pub(super) async fn post(session: &Session, safe: &Arc<OpenSafe>) -> Result<Tried, Problem> {
    {
        let mut memory = safe.memory().await;
        if memory.queue.is_empty() || is_a_word(&memory) {
            return Ok(Tried::Nothing);
        }
        // Whoever makes it quiet wakes the task when it is over; and so does the round itself.
        if memory.quiet_until.is_some_and(|until| until > Instant::now()) {
            return Ok(Tried::Nothing);
        }
        memory.quiet_until = None;
        may_write(&session.open, &memory)?;
        // Whoever made a key has read what came meanwhile: it is folded first.
        let end = memory.verified.present().map_or(0, |now| now.journal.count);
        if memory.base.seq() < end {
            return Ok(Tried::MovedOn);
        }
    }
    damaged::settle(session, safe).await?;
    let waiting = braked(session, safe).await?;
    if going(&*safe.memory().await, &waiting).next().is_none() {
        return Ok(Tried::Nothing);
    }
    let members = session.log();
    if safe.memory().await.verified.is_due(&*members, members.count()) {
        return Ok(Tried::Due);
    }
    let role = role_here(&session.open, &*safe.memory().await, &members)?;
    forgone::drop_owners(session, safe, role).await?;
    if safe.memory().await.queue.is_empty() {
        return Ok(Tried::Nothing);
    }
    if let Err(problem) = anew::seal_anew(session, safe).await {
        return unreadable(session, safe, problem).await;
    }
    let (open, this) = (Arc::clone(&session.open), Arc::clone(safe));
    let mut memory = safe.memory().await;
    let made = blocking_in(&session.tasks, move || {
        Ok::<_, Problem>(match made(&open, &this, &mut memory, &members) {
            Ok(made) => Ok(made),
            Err(Unmade::Dropped) => Err(()),
            Err(other) => return Err(other.into()),
        })
    });
    let Ok(made) = made.await? else {
        return take_back(session, safe).await;
    };
    let Some((envelope, adds)) = made else { return Ok(Tried::Nothing) };
    if let Err(problem) = staged::upload(session, safe, &adds, Wanted::Record).await {
        return unreadable(session, safe, problem).await;
    }
    sent(session, safe, envelope, &adds).await
}

/// A change that waits names objects that were dropped since: they are taken back where the server
/// still has them. Else it waits, and its person is told.
async fn take_back(session: &Session, safe: &Arc<OpenSafe>) -> Result<Tried, Problem> {
    let keeps = dropped::named_and_dropped(session, safe).await?;
    if !keeps.is_empty() {
        return post_apart(session, safe, Draft { keeps, ..Draft::default() }).await;
    }
    if damaged::look(session, safe).await? {
        return Ok(Tried::MovedOn);
    }
    Err(refusals::void(Void::UnknownObject))
}

/// Posts a record of its own, which is made for exactly the present end and thrown away where
/// somebody else was faster. The caller holds the safe's turn, and has read and folded all there
/// was.
///
/// # Errors
/// Why nothing can be written; the server's and the store's.
pub(super) async fn post_apart(
    session: &Session,
    safe: &Arc<OpenSafe>,
    draft: Draft,
) -> Result<Tried, Problem> {
    let members = session.log();
    let mut memory = safe.memory().await;
    may_write(&session.open, &memory)?;
    let end = memory.verified.present().map_or(0, |now| now.journal.count);
    if memory.base.seq() < end {
        return Ok(Tried::MovedOn);
    }
    if memory.verified.is_due(&*members, members.count()) {
        return Ok(Tried::Due);
    }
    let (open, this) = (Arc::clone(&session.open), Arc::clone(safe));
    let envelope = blocking_in(&session.tasks, move || {
        recorded(&open, &this, &mut memory, &members, draft).map_err(Problem::from)
    });
    let envelope = envelope.await?;
    sent(session, safe, envelope, &[]).await
}

/// Sends a record, and takes in what the server says: that it stands, or what stands in its place.
async fn sent(
    session: &Session,
    safe: &Arc<OpenSafe>,
    envelope: Vec<u8>,
    adds: &[ObjectId],
) -> Result<Tried, Problem> {
    let new = NewRecord { record: envelope.clone().into() };
    match answered(|| session.member.post_record(safe.id, &new)).await {
        Ok(RecordAnswer::Accepted { .. }) => {
            reading::take(session, safe, Batch { certificates: Vec::new(), records: vec![envelope] }).await?;
            Ok(Tried::Accepted)
        }
        Ok(RecordAnswer::MovedOn { log, records, .. }) => {
            let known = safe.memory().await.verified.present().map_or(0, |now| now.log.count);
            if log == known && !records.is_empty() {
                let records = records.into_iter().map(Vec::from).collect();
                reading::take(session, safe, Batch { certificates: Vec::new(), records }).await?;
            } else {
                reading::read(session, safe).await?;
            }
            Ok(Tried::MovedOn)
        }
        Err(error) => match error.code() {
            Some(ErrorCode::Behind | ErrorCode::RekeyNeeded) => {
                session.sync().await?;
                reading::read(session, safe).await?;
                Ok(Tried::MovedOn)
            }
            Some(ErrorCode::ObjectMissing) => {
                staged::look_again(session, safe, adds).await?;
                Err(error.into())
            }
            Some(_) | None => Err(error.into()),
        },
    }
}

#[cfg(test)]
mod tests {

    use parsec_protocol::ids::{EntryId, OperationId, SafeId, Timestamp};

    use parsec_protocol::safes::content_ref::{Content, References};
    use parsec_protocol::safes::rebase::Pending;

    use super::*;

    use crate::store::Standing;

    /// A removal of some entry, of a group of changes, with objects that it adds.
    fn queued(group: u8, adds: usize) -> Queued {
        let operation = OperationId::from_bytes([group; 16]);
        let change = Change::Remove { operation, entry: EntryId::from_bytes([group; 16]) };
        let object = |number: usize| {
            let mut id = [group; 16];
            id[..8].copy_from_slice(&(number as u64).to_be_bytes());
            ObjectId::from_bytes(id)
        };
        Queued {
            pending: Pending { change, group: operation },
            saved: Timestamp(1),
            adds: (0..adds).map(object).collect(),
            brake: None,
        }
    }

    fn with(queue: Vec<Queued>) -> Memory {
        let (organisation, safe) = ("acme".parse().unwrap(), SafeId::from_bytes([9; 16]));
        Memory { queue, ..Memory::new(organisation, safe, Standing::Accepted) }
    }

    fn sizes(queue: Vec<Queued>, groups: usize) -> (usize, usize) {
        let draft = drafted(&with(queue), &Waiting::default(), groups);
        (draft.changes.len(), draft.adds.len())
    }

    #[test]
    fn a_record_takes_whole_groups_in_their_order() {
        let queue = || vec![queued(1, 3), queued(1, 0), queued(2, 1), queued(3, 0), queued(3, 0)];
        assert_eq!(sizes(queue(), 9), (5, 4));
        assert_eq!(sizes(queue(), 2), (3, 4));
        assert_eq!(sizes(queue(), 1), (2, 3));
        assert_eq!(sizes(Vec::new(), 9), (0, 0));
    }

    /// Whoever waits for the first of many large files does not wait for the last.
    #[test]
    fn several_large_files_are_not_one_record() {
        let file = |group: u8, size: u64| {
            let mut queued = queued(group, 1);
            let operation = OperationId::from_bytes([group; 16]);
            queued.pending.change = Change::Content {
                operation,
                entry: EntryId::from_bytes([group; 16]),
                base: operation,
                content: Content { size, digest: None, references: References::Direct(Vec::new().into()) },
                mtime: 0,
            };
            queued
        };
        let three = TOGETHER_MAX_BYTES / 3;
        assert_eq!(sizes((1..=5).map(|group| file(group, three)).collect(), 9), (3, 3));
        // One is as large as it is; and what brings nothing goes with it.
        assert_eq!(sizes(vec![file(1, 9 * three), queued(2, 0), file(3, 1)], 9), (2, 1));
        let mut copied = file(2, 9 * three);
        copied.adds.clear();
        assert_eq!(sizes(vec![file(1, three), copied, file(3, three)], 9), (3, 2));
    }

    #[test]
    fn what_does_not_fit_waits_for_the_next_record() {
        let full = ADDS_MAX - 1;
        assert_eq!(sizes(vec![queued(1, full), queued(2, 2), queued(3, 0)], 9), (1, full));
        // More than any record adds: first its objects, in records of their own.
        let large = || vec![queued(1, ADDS_MAX + 5), queued(2, 0)];
        assert_eq!(sizes(large(), 9), (0, ADDS_MAX));
        let small_first = [vec![queued(7, 0)], large()].concat();
        assert_eq!(sizes(small_first, 9), (1, 0));
    }
}
