//! Sealed objects on their way to the server.
//!
//! Decides which go out with a record: those that it adds and that the server does not have; and
//! how many calls carry them at once: one where the line is slow, several otherwise. What was
//! sealed under a key that is the present one no more is sealed anew first (`anew`), and does not
//! go ahead of its record: whoever was taken out has that key, and a server that works with them
//! would read what is new.

use std::collections::BTreeSet;
use std::time::Instant;

use futures_util::future::try_join_all;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::relay::{OBJECTS_MAX, OBJECTS_MAX_BYTES, ObjectHead, ObjectHeads, ObjectIds};
use parsec_protocol::safes::state::State;
use tokio::sync::{Mutex, Semaphore};

use crate::session::Session;
use crate::session::open_safes::{Brake, OpenSafe};
use crate::store::{SMALL_MAX_BYTES, Standing, Store, StoreError, ToSend};
use crate::transport::retry::{BRISK, answered, carried};

/// Calls at once that carry objects of one record: what one waits for, a disk or the other side,
/// another one uses.
const CALLS_MAX: usize = 4;
/// Calls beyond the first of each record, in the whole process: each holds some two megabytes.
static MORE_CALLS: Semaphore = Semaphore::const_new(8);

/// Objects that are counted as shared in one commit: some megabytes of small ones in memory, and
/// nobody waits long for the store meanwhile.
pub(super) const SHARED_AT_ONCE: usize = 256;

/// Which objects are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Those of a record: all of them.
    Record,
    /// Those of a record to come, sealed under the key of this epoch, as far as they are still
    /// there: their file may have been given up.
    Ahead(u64),
}

/// Gives the server objects that it does not have.
///
/// # Errors
/// The server's and the store's.
pub(super) async fn upload(
    session: &Session,
    safe: &OpenSafe,
    adds: &[ObjectId],
    wanted: Wanted,
) -> Result<(), Problem> {
    let _turn = safe.sending.turn.lock().await;
    let sending = Carrying { session, safe, left: Mutex::new(adds.to_vec()), wanted };
    // Where the last call was slow, or there was none, the first one alone tells what the line is
    // like.
    if !safe.sending.is_brisk() && !sending.next().await? {
        return Ok(());
    }
    let others = (1..CALLS_MAX).map(|_| async {
        let Ok(_share) = MORE_CALLS.try_acquire() else { return Ok(()) };
        loop {
            if !safe.sending.is_brisk() || !sending.next().await? {
                return Ok(());
            }
        }
    });
    let first = async {
        while sending.next().await? {}
        Ok(())
    };
    tokio::try_join!(first, try_join_all(others)).map(|_: ((), Vec<()>)| ())
}

/// Objects on their way in several calls.
struct Carrying<'a> {
    session: &'a Session,
    safe: &'a OpenSafe,
    /// What is not under way yet; taken from the end.
    left: Mutex<Vec<ObjectId>>,
    wanted: Wanted,
}

impl Carrying<'_> {
    /// Sends what one call takes; whether there was anything.
    async fn next(&self) -> Result<bool, Problem> {
        let (session, safe) = (self.session, self.safe.id);
        // Asked before each call: a key may have been replaced, and the line have become slow.
        if let Wanted::Ahead(epoch) = self.wanted
            && !(self.safe.sending.is_brisk() && goes_ahead(session, self.safe, epoch).await)
        {
            return Ok(false);
        }
        let (heads, sealed) = {
            let (mut left, wanted) = (self.left.lock().await, self.wanted);
            let all = std::mem::take(&mut *left);
            let (batch, rest) = session.store(move |store| Ok(one_call(store, safe, all, wanted))).await??;
            *left = rest;
            batch
        };
        if heads.0.is_empty() {
            return Ok(false);
        }
        let begun = Instant::now();
        let put = carried(heads.body_bytes(), || session.member.put_objects(safe, &heads, &sealed)).await;
        let brisk = put.is_ok() && begun.elapsed() < BRISK;
        self.safe.sending.was(brisk);
        put?;
        // Where the line is fast, small ones go with the next try of their record once more, if
        // there is one: that costs less than to write down of each that it went.
        let noted = |head: &&ObjectHead| {
            !brisk || usize::try_from(head.length).is_ok_and(|length| length > SMALL_MAX_BYTES)
        };
        let done: Vec<_> = heads.0.iter().filter(noted).map(|head| head.object).collect();
        if done.is_empty() {
            return Ok(true);
        }
        session.store(move |store| store.set_objects_uploaded(safe, &done, true)).await?;
        Ok(true)
    }
}

/// Whether objects of this safe that are sealed under the key of an epoch will go out as they are.
async fn goes_ahead(session: &Session, safe: &OpenSafe, epoch: u64) -> bool {
    let members = session.log();
    let memory = safe.memory().await;
    let present = memory.verified.present().is_some_and(|now| now.key.epoch == epoch);
    let waits = memory.queue.iter().any(|queued| queued.brake == Some(Brake::Waits));
    let held = waits || !memory.unreadable.is_empty();
    let writes = memory.verified.role(&session.open.summary.user).is_some_and(|role| role.writes());
    let due = || memory.verified.is_due(&*members, members.count());
    memory.standing == Standing::Accepted && memory.founded && present && writes && !held && !due()
}

/// What one call carries: heads, and the bytes of each.
type Batch = (ObjectHeads, Vec<Vec<u8>>);

/// As many objects from the end of `left` as one call takes, and the rest.
fn one_call(
    store: &Store,
    safe: SafeId,
    mut left: Vec<ObjectId>,
    wanted: Wanted,
) -> Result<(Batch, Vec<ObjectId>), Problem> {
    let (mut heads, mut sealed) = (ObjectHeads(Vec::new()), Vec::new());
    while let Some(object) = left.pop() {
        let lost = || Problem::new(ProblemKind::StoreDamaged, "Contents that wait are not in the store.");
        let found = match store.to_send(safe, object)? {
            Some(ToSend::Object(found)) => found,
            Some(ToSend::Nothing) => continue,
            None if wanted != Wanted::Record => continue,
            None => return Err(lost()),
        };
        let length = u32::try_from(found.sealed.len()).unwrap_or(u32::MAX);
        heads.0.push(ObjectHead { object, hash: found.hash, length });
        if heads.0.len() > OBJECTS_MAX || heads.body_bytes() > OBJECTS_MAX_BYTES {
            heads.0.pop();
            left.push(object);
            break;
        }
        sealed.push(found.sealed);
    }
    Ok(((heads, sealed), left))
}

/// The server says that it lacks some of these: what was noted of them is wrong.
///
/// # Errors
/// The server's and the store's.
pub(super) async fn look_again(session: &Session, safe: &OpenSafe, adds: &[ObjectId]) -> Result<(), Problem> {
    let id = safe.id;
    let asked = ObjectIds { objects: adds.to_vec() };
    let missing = answered(|| session.member.missing_objects(id, &asked)).await?;
    session.store(move |store| store.set_objects_uploaded(id, &missing.objects, false)).await
}

/// What waits here although accepted records have added it: that is the server's to keep. Here it
/// may go, and is kept as long as there is room.
///
/// # Errors
/// The store's.
pub(super) async fn added(session: &Session, safe: &OpenSafe) -> Result<Vec<ObjectId>, Problem> {
    let id = safe.id;
    let staged = session.store(move |store| store.staged_objects(id)).await?;
    let memory = safe.memory().await;
    let staged = staged.into_iter().map(|(object, _)| object);
    Ok(staged.filter(|object| memory.base.has_object(*object)).collect())
}

/// Objects that no change names any more: what accepted records have added is kept, if the user is
/// in the safe; of the rest a program went away while its file was being sealed. To be called where
/// nobody can be sealing.
///
/// # Errors
/// The store's.
pub(super) fn drop_unnamed(
    store: &Store,
    safe: SafeId,
    named: &BTreeSet<ObjectId>,
    accepted: Option<&State>,
) -> Result<(), StoreError> {
    let staged = store.staged_objects(safe)?;
    let unnamed = staged.into_iter().map(|(object, _)| object).filter(|object| !named.contains(object));
    let is_added = |object: &ObjectId| accepted.is_some_and(|state| state.has_object(*object));
    let (added, unnamed): (Vec<_>, Vec<_>) = unnamed.partition(is_added);
    added.chunks(SHARED_AT_ONCE).try_for_each(|part| store.share_objects(safe, part))?;
    if unnamed.is_empty() { Ok(()) } else { store.drop_objects(safe, &unnamed) }
}
