//! Objects of a safe that a restored server lacks and this device keeps: put back.
//!
//! Decides which are offered: those that accepted records have added, as they were verified when
//! they came. Refuses to fetch anything for it: what is nowhere but here is the point.

use std::collections::BTreeSet;

use parsec_protocol::control::Problem;
use parsec_protocol::ids::ObjectId;
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::relay::{ErrorCode, OBJECTS_MAX, OBJECTS_MAX_BYTES, ObjectHead, ObjectHeads, ObjectIds};

use crate::session::Session;
use crate::session::open_safes::OpenSafe;
use crate::transport::retry::{answered, carried};

/// Gives the server the objects that it awaits and that are here; how many.
///
/// # Errors
/// The server's and the store's.
pub(super) async fn give(session: &Session, safe: &OpenSafe) -> Result<u64, Problem> {
    let id = safe.id;
    let role = safe.memory().await.verified.role(&session.open.summary.user);
    if role.is_none_or(|role| !role.writes()) {
        return Ok(0);
    }
    let mut given = 0_u64;
    loop {
        let none = ObjectIds { objects: Vec::new() };
        let awaited = answered(|| session.member.missing_objects(id, &none)).await?.objects;
        if awaited.is_empty() {
            break;
        }
        let awaited: BTreeSet<_> = awaited.into_iter().collect();
        let mut here = session.store(move |store| Ok(store.kept_objects(id))).await?;
        {
            // As accepted records have added them: another content under such an id is none.
            let memory = safe.memory().await;
            here.retain(|(object, _)| awaited.contains(object) && memory.base.has_object(*object));
        }
        let before = given;
        let mut rest = here.as_slice();
        while !rest.is_empty() {
            let (heads, sealed, after) = one_call(session, safe, rest).await?;
            rest = after;
            if heads.0.is_empty() {
                continue;
            }
            let put = carried(heads.body_bytes(), || session.member.put_objects(id, &heads, &sealed)).await;
            match put {
                Ok(()) => given = given.saturating_add(heads.0.len() as u64),
                // Another device was faster, with other bytes: whoever added it brings the right
                // ones.
                Err(error) if error.code() == Some(ErrorCode::ObjectConflict) => {
                    tracing::warn!(safe = %id, "the server has other bytes under the id of an object");
                }
                Err(error) => return Err(error.into()),
            }
        }
        // The rest is not here. Where there are more than one answer names, what was given has made
        // room.
        if given == before {
            tracing::warn!(safe = %id, lacking = awaited.len(), "the server lacks objects that are not here");
            break;
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
