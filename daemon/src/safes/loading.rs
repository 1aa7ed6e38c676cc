//! A safe out of the store: what was verified, folded and saved of it, in memory again.
//!
//! Decides that the tree is folded anew from the records that are kept, up to where the queue
//! stands. Refuses a store whose parts do not fit together.

use std::sync::Arc;

use parsec_protocol::codec;
use parsec_protocol::control::Problem;
use parsec_protocol::ids::SafeId;
use parsec_protocol::limits::RECORD_MAX_BYTES;
use parsec_protocol::safe_log::safe::VerifiedSafe;
use parsec_protocol::safes::state::State;

use super::{folding, keys, overlay, staged};
use crate::os::blocking_in;
use crate::session::Session;
use crate::session::keeping::Keeping;
use crate::session::open_safes::{Memory, OpenSafe, Queued, Started};
use crate::session::removed::RecentlyRemoved;
use crate::store::{OpenDevice, Standing, Store, StoreError, StoredSafe};

/// Largest encoding of what was verified: as many members and epochs as a safe may have, twice.
const VERIFIED_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Largest encoding of what was removed of late: two numbers for each ten seconds, twice.
const REMOVED_MAX_BYTES: usize = 8 * 1024;

/// Largest encoding of a tree: some 250 bytes for each of a million entries, twice.
const STATE_MAX_BYTES: usize = 512 * 1024 * 1024;

fn remembered(open: &OpenDevice, stored: &StoredSafe) -> Result<Memory, StoreError> {
    let malformed = |_| StoreError::Damaged("what was verified of a safe in it is malformed");
    let malformed_removals = |_| StoreError::Damaged("what was removed of a safe in it is malformed");
    let (organisation, id) = (open.summary.organisation.clone(), stored.safe);
    let verified = match &stored.verified {
        Some(bytes) => codec::decode(bytes, VERIFIED_MAX_BYTES).map_err(malformed)?,
        None => VerifiedSafe::empty(organisation.clone(), id),
    };
    let queue = open.store.safe_queue(id)?;
    let queue: Result<Vec<Queued>, _> =
        queue.iter().map(|bytes| codec::decode(bytes, RECORD_MAX_BYTES)).collect();
    let mut memory = Memory {
        founded: stored.founding.is_none(),
        said: stored.role,
        verified,
        queue: queue.map_err(|_| StoreError::Damaged("a change in it is malformed"))?,
        removed: match &stored.removed {
            Some(bytes) => codec::decode(bytes, REMOVED_MAX_BYTES).map_err(malformed_removals)?,
            None => RecentlyRemoved::default(),
        },
        ..Memory::new(organisation, id, stored.standing)
    };
    // Whatever was posted before the device was locked: the record may have been taken.
    memory.fixed = memory.queue.iter().map(|queued| queued.pending.change.operation()).collect();
    keys::take_stored(&open.store, id, &mut memory)?;
    memory.repairs.open = open.store.is_safe_lacking(&id)?;
    memory.started = stored.started.map(|seq| Started { seq, folded: 0 });
    // One that does not fit, or is of a later version, is folded anew.
    let kept = open.store.safe_state(id)?.filter(|(seq, _)| *seq <= stored.folded);
    let kept = kept.and_then(|(_, bytes)| codec::decode(&bytes, STATE_MAX_BYTES).ok());
    let mut state = kept.unwrap_or_else(|| State::new(id));
    let found = folding::fold_stored(open, (&memory.verified, &memory.keys), id, &mut state, stored.folded)?;
    if found.stop.is_some() && memory.started.is_some() {
        // Who started from a snapshot may never have had a key of what comes before it: what was
        // kept does not fit any more, and nothing is broken.
        memory.refold = true;
    } else if found.stop.is_some() {
        return Err(StoreError::Damaged("a key of a safe in it is gone"));
    }
    let named = memory.queue.iter().flat_map(|queued| queued.adds.iter().copied()).collect();
    let accepted = (stored.standing == Standing::Accepted).then_some(&state);
    staged::drop_unnamed(&open.store, id, &named, accepted)?;
    memory.delta = overlay::of(&state, &memory.queue, &folding::stamp(open));
    memory.base = state;
    Ok(memory)
}

/// A safe that the device knows; none if it knows no such safe.
///
/// # Errors
/// The store's.
pub(crate) async fn open(session: &Session, id: SafeId) -> Result<Option<Arc<OpenSafe>>, Problem> {
    if let Some(found) = session.safes.get(id) {
        return Ok(Some(found));
    }
    let _turn = session.safes.opening.lock().await;
    if let Some(found) = session.safes.get(id) {
        return Ok(Some(found));
    }
    let open = Arc::clone(&session.open);
    let read = blocking_in(&session.tasks, move || {
        let Some(stored) = open.store.safe(id)? else { return Ok::<_, StoreError>(None) };
        let memory = remembered(&open, &stored)?;
        let mut found = OpenSafe::new(id, open.summary.organisation.clone(), stored.founder, memory);
        found.keeping = Keeping::new(open.store.pins(id)?);
        Ok(Some(found))
    })
    .await?;
    let Some(found) = read.map(Arc::new) else { return Ok(None) };
    session.safes.insert(&found);
    Ok(Some(found))
}

/// A safe is known no more, here and in the store. Nobody who is about to open it puts it back.
///
/// # Errors
/// The store's.
pub(super) async fn forget(session: &Session, id: SafeId) -> Result<(), Problem> {
    let _turn = session.safes.opening.lock().await;
    session.safes.remove(id);
    session.store(move |store| store.erase_safe(id)).await
}

/// All safes that the device knows, ascending by id.
///
/// # Errors
/// The store's.
pub(crate) async fn open_all(session: &Session) -> Result<Vec<Arc<OpenSafe>>, Problem> {
    let mut all = Vec::new();
    for id in session.store(Store::safe_ids).await? {
        all.extend(open(session, id).await?);
    }
    Ok(all)
}
