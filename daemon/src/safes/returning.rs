//! Objects of a safe that a restored server lacks and this device keeps: put back.
//!
//! Decides which are offered: those that accepted records have added, as they were verified when
//! they came. Refuses to fetch anything for it: what is nowhere but here is the point.

use parsec_protocol::control::Problem;
use parsec_protocol::ids::ObjectId;
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::relay::{
    ErrorCode, OBJECT_MISSING_MAX, OBJECTS_MAX, OBJECTS_MAX_BYTES, ObjectHead, ObjectHeads, ObjectIds,
};

use crate::session::Session;
use crate::session::open_safes::OpenSafe;
use crate::transport::retry::{answered, carried};

/// Gives the server the objects that it lacks and that are here; how many.
///
/// # Errors
/// The server's and the store's.
pub(super) async fn give(session: &Session, safe: &OpenSafe) -> Result<u64, Problem> {
    let id = safe.id;
    let mut kept = session.store(move |store| Ok(store.kept_objects(id))).await?;
    {
        let memory = safe.memory().await;
        if memory.verified.role(&session.open.summary.user).is_none_or(|role| !role.writes()) {
            return Ok(0);
        }
        kept.retain(|(object, _)| memory.base.has_object(*object));
    }
    let mut given = 0_u64;
    for part in kept.chunks(OBJECT_MISSING_MAX) {
        let asked = ObjectIds { objects: part.iter().map(|(object, _)| *object).collect() };
        let missing = answered(|| session.member.missing_objects(id, &asked)).await?.objects;
        let missing: Vec<_> = part.iter().filter(|(object, _)| missing.contains(object)).copied().collect();
        let mut rest = missing.as_slice();
        while !rest.is_empty() {
            let (heads, sealed, after) = one_call(session, safe, rest).await?;
            rest = after;
            if heads.0.is_empty() {
                continue;
            }
            let put = carried(heads.body_bytes(), || session.member.put_objects(id, &heads, &sealed)).await;
            match put {
                Ok(()) => given = given.saturating_add(heads.0.len() as u64),
                // Others are there under one of these ids: what is right, whoever added it brings.
                Err(error) if error.code() == Some(ErrorCode::ObjectConflict) => {
                    tracing::warn!(safe = %id, "the server has other bytes under the id of an object");
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    if given > 0 {
        tracing::warn!(safe = %id, given, "the server had lost objects of a safe; they were given back");
    }
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
        if let Some(bytes) = here.found.get(object) {
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            heads.0.push(ObjectHead { object: *object, hash: *hash, length });
            if heads.0.len() > OBJECTS_MAX || heads.body_bytes() > OBJECTS_MAX_BYTES {
                heads.0.pop();
                break;
            }
            sealed.push(bytes.to_vec());
        }
        rest = after;
    }
    Ok((heads, sealed, rest))
}
