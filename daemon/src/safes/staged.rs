//! Sealed objects on their way to the server.
//!
//! Decides which go out with a record: those that it adds and that the server does not have; and
//! how many calls carry them at once: one where the line is slow, several otherwise. What was
//! sealed under a key that is the present one no more is sealed anew first (`anew`).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures_util::future::try_join_all;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::relay::{OBJECTS_MAX, OBJECTS_MAX_BYTES, ObjectHead, ObjectHeads, ObjectIds};
use parsec_protocol::safes::state::State;
use tokio::sync::{Mutex, Semaphore};

use crate::session::Session;
use crate::session::open_safes::OpenSafe;
use crate::store::{ROW_MAX_BYTES, Store, StoreError, ToSend};
use crate::transport::retry::{BRISK, answered, carried};

/// Calls at once that carry objects of one record: what one waits for, a disk or the other side,
/// another one uses.
const CALLS_MAX: usize = 4;
/// Calls beyond the first of each record, in the whole process: each holds some two megabytes.
static MORE_CALLS: Semaphore = Semaphore::const_new(8);

/// Objects that are counted as shared in one commit: some megabytes of small ones in memory, and
/// nobody waits long for the store meanwhile.
const SHARED_AT_ONCE: usize = 256;

/// Gives the server the objects of a record that it does not have.
///
/// # Errors
/// The server's and the store's.
pub(super) async fn upload(session: &Session, safe: &OpenSafe, adds: &[ObjectId]) -> Result<(), Problem> {
    let sending =
        Sending { session, safe: safe.id, wanted: Mutex::new(adds.to_vec()), brisk: AtomicBool::new(false) };
    // The first call alone tells what the line is like.
    if !sending.next().await? {
        return Ok(());
    }
    let others = (1..CALLS_MAX).map(|_| async {
        let Ok(_share) = MORE_CALLS.try_acquire() else { return Ok(()) };
        loop {
            if !sending.brisk.load(Ordering::Relaxed) || !sending.next().await? {
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

/// Objects of one record on their way.
struct Sending<'a> {
    session: &'a Session,
    safe: SafeId,
    /// What is not under way yet; taken from the end.
    wanted: Mutex<Vec<ObjectId>>,
    /// Whether the last call was fast.
    brisk: AtomicBool,
}

impl Sending<'_> {
    /// Sends what one call takes; whether there was anything.
    async fn next(&self) -> Result<bool, Problem> {
        let (session, safe) = (self.session, self.safe);
        let (heads, sealed) = {
            let mut wanted = self.wanted.lock().await;
            let all = std::mem::take(&mut *wanted);
            let (batch, left) = session.store(move |store| Ok(one_call(store, safe, all))).await??;
            *wanted = left;
            batch
        };
        if heads.0.is_empty() {
            return Ok(false);
        }
        let begun = Instant::now();
        carried(heads.body_bytes(), || session.member.put_objects(safe, &heads, &sealed)).await?;
        let brisk = begun.elapsed() < BRISK;
        self.brisk.store(brisk, Ordering::Relaxed);
        // Where the line is fast, small ones go with the next try of their record once more, if
        // there is one: that costs less than to write down of each that it went.
        let noted = |head: &&ObjectHead| {
            !brisk || usize::try_from(head.length).is_ok_and(|length| length > ROW_MAX_BYTES)
        };
        let done: Vec<_> = heads.0.iter().filter(noted).map(|head| head.object).collect();
        if done.is_empty() {
            return Ok(true);
        }
        session.store(move |store| store.set_objects_uploaded(safe, &done, true)).await?;
        Ok(true)
    }
}

/// What one call carries: heads, and the bytes of each.
type Batch = (ObjectHeads, Vec<Vec<u8>>);

/// As many objects from the end of `wanted` as one call takes, and what is left.
fn one_call(
    store: &Store,
    safe: SafeId,
    mut wanted: Vec<ObjectId>,
) -> Result<(Batch, Vec<ObjectId>), Problem> {
    let (mut heads, mut sealed) = (ObjectHeads(Vec::new()), Vec::new());
    while let Some(object) = wanted.pop() {
        let lost = || Problem::new(ProblemKind::StoreDamaged, "Contents that wait are not in the store.");
        let found = match store.to_send(safe, object)?.ok_or_else(lost)? {
            ToSend::Object(found) => found,
            ToSend::Nothing => continue,
        };
        let length = u32::try_from(found.sealed.len()).unwrap_or(u32::MAX);
        heads.0.push(ObjectHead { object, hash: found.hash, length });
        if heads.0.len() > OBJECTS_MAX || heads.body_bytes() > OBJECTS_MAX_BYTES {
            heads.0.pop();
            wanted.push(object);
            break;
        }
        sealed.push(found.sealed);
    }
    Ok(((heads, sealed), wanted))
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

/// What accepted records have added is the server's to keep; here it may go, and is kept as long as
/// there is room. Some of it at a time: whether there is more.
///
/// # Errors
/// The store's.
pub(super) async fn drop_added(session: &Session, safe: &OpenSafe) -> Result<bool, Problem> {
    let id = safe.id;
    let staged = session.store(move |store| store.staged_objects(id)).await?;
    let mut added: Vec<_> = {
        let memory = safe.memory().await;
        let staged = staged.into_iter().map(|(object, _)| object);
        staged.filter(|object| memory.base.has_object(*object)).collect()
    };
    let more = added.len() > SHARED_AT_ONCE;
    added.truncate(SHARED_AT_ONCE);
    if !added.is_empty() {
        session.store(move |store| store.share_objects(id, &added)).await?;
    }
    Ok(more)
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
