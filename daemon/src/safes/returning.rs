//! Objects of a safe that a restored server lacks and this device keeps: put back.
//!
//! Decides which are offered: those that accepted records have added, as they were verified when
//! they came. Refuses to fetch anything for it: what is nowhere but here is the point.

use std::collections::BTreeSet;

use parsec_protocol::control::Problem;
use parsec_protocol::ids::ObjectId;
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::relay::{
    ErrorCode, OBJECT_MISSING_MAX, OBJECTS_MAX, OBJECTS_MAX_BYTES, ObjectHead, ObjectHeads, ObjectIds,
};

use crate::session::Session;
use crate::session::open_safes::OpenSafe;
use crate::transport::retry::{answered, carried};

/// Calls at once that give objects back: then others have their turn, who wait for what is new.
const CALLS_AT_ONCE: usize = 32;

/// Gives the server objects that it awaits and that are here, each once until the next repair: a
/// server that goes on asking gets no more. Whether there is more to give.
///
/// # Errors
/// The server's and the store's.
pub(super) async fn give(session: &Session, safe: &OpenSafe) -> Result<bool, Problem> {
    let id = safe.id;
    let role = safe.memory().await.verified.role(&session.open.summary.user);
    if role.is_none_or(|role| !role.writes()) {
        return Ok(false);
    }
    let none = ObjectIds { objects: Vec::new() };
    let awaited = answered(|| session.member.missing_objects(id, &none)).await?.objects;
    if awaited.is_empty() {
        return Ok(false);
    }
    let awaited: BTreeSet<_> = awaited.into_iter().collect();
    let mut here = session.store(move |store| Ok(store.kept_objects(id))).await?;
    {
        // As accepted records have added them: another content under such an id is none.
        let memory = safe.memory().await;
        let fresh = |object: &ObjectId| !memory.repairs.returned.contains(object);
        here.retain(|(object, _)| memory.base.has_object(*object) && fresh(object));
    }
    let (mut given, mut calls) = (0, 0_usize);
    // What it awaits may be more than one answer names, and of that nothing may be here: asked is
    // for what is.
    for part in here.chunks(OBJECT_MISSING_MAX) {
        let asked = ObjectIds { objects: part.iter().map(|(object, _)| *object).collect() };
        let missing = answered(|| session.member.missing_objects(id, &asked)).await?.objects;
        let missing: BTreeSet<_> = missing.into_iter().collect();
        let lacks = |object: &ObjectId| missing.contains(object) || awaited.contains(object);
        let wanted: Vec<_> = part.iter().filter(|(object, _)| lacks(object)).copied().collect();
        let mut rest = wanted.as_slice();
        while !rest.is_empty() {
            if calls == CALLS_AT_ONCE {
                return Ok(true);
            }
            let (heads, sealed, after) = one_call(session, safe, rest).await?;
            rest = after;
            if heads.0.is_empty() {
                continue;
            }
            calls += 1;
            given += put(session, safe, heads, sealed).await?;
        }
    }
    if given > 0 {
        tracing::warn!(safe = %id, given, "the server had lost objects of a safe; they were given back");
    }
    Ok(false)
}

/// Gives some back; how many the server took.
async fn put(
    session: &Session,
    safe: &OpenSafe,
    heads: ObjectHeads,
    sealed: Vec<Vec<u8>>,
) -> Result<usize, Problem> {
    let id = safe.id;
    let all: Vec<ObjectId> = heads.0.iter().map(|head| head.object).collect();
    let mut given = 0;
    match carried(heads.body_bytes(), || session.member.put_objects(id, &heads, &sealed)).await {
        Ok(()) => given = all.len(),
        // Of one of them the server has other bytes: whoever added it brings the right ones. The
        // others go alone.
        Err(error) if error.code() == Some(ErrorCode::ObjectConflict) => {
            for (head, bytes) in heads.0.into_iter().zip(sealed) {
                let (one, bytes) = (ObjectHeads(vec![head]), vec![bytes]);
                match carried(one.body_bytes(), || session.member.put_objects(id, &one, &bytes)).await {
                    Ok(()) => given += 1,
                    Err(error) if error.code() == Some(ErrorCode::ObjectConflict) => {
                        tracing::warn!(safe = %id, "the server has other bytes under the id of an object");
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Err(error) => return Err(error.into()),
    }
    safe.memory().await.repairs.returned.extend(all);
    Ok(given)
}

/// Objects and their hashes.
type Wanted = [(ObjectId, ObjectHash)];

/// As many of these as one call takes and are here, and the rest.
async fn one_call<'a>(
    session: &Session,
    safe: &OpenSafe,
    wanted: &'a Wanted,
) -> Result<(ObjectHeads, Vec<Vec<u8>>, &'a Wanted), Problem> {
    let id = safe.id;
    let (mut heads, mut sealed) = (ObjectHeads(Vec::new()), Vec::new());
    let mut rest = wanted;
    while let Some(((object, hash), after)) = rest.split_first() {
        let one = [(*object, *hash)];
        let here = session.store(move |store| store.pieces_here(id, &one, OBJECTS_MAX_BYTES)).await?;
        if let Some(piece) = here.found.get(object) {
            let length = u32::try_from(piece.bytes().len()).unwrap_or(u32::MAX);
            heads.0.push(ObjectHead { object: *object, hash: *hash, length });
            if heads.0.len() > OBJECTS_MAX || heads.body_bytes() > OBJECTS_MAX_BYTES {
                heads.0.pop();
                break;
            }
            sealed.push(piece.bytes().to_vec());
        }
        rest = after;
    }
    Ok((heads, sealed, rest))
}
