//! What the server is asked about objects, and what is made of its answers.
//!
//! Decides that an answer which can't be read is a fault of what was asked for alone: other objects
//! are asked for without it. Believes nothing about an object but its bytes.

use std::collections::{BTreeMap, BTreeSet};

use parsec_protocol::control::Problem;
use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::limits::OBJECT_MAX_BYTES;
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::relay::{OBJECTS_MAX_BYTES, ObjectHead, ObjectHeads, ObjectIds};

use crate::session::Session;
use crate::store::PieceHere;
use crate::transport::TransportError;
use crate::transport::retry::{answered, carried};

/// Objects that are asked for at once: an answer has as many as fit it, and the others are asked
/// for again.
const FETCHED_AT_ONCE: usize = 32;

/// An object that came, whatever it is.
#[derive(Debug)]
pub(crate) struct Came {
    pub(crate) object: ObjectId,
    pub(crate) bytes: Vec<u8>,
}

/// What one question for objects brought.
#[derive(Debug, Default)]
pub(crate) struct Brought {
    pub(crate) came: Vec<Came>,
    /// Those that were asked for and did not come, with whatever answer.
    pub(crate) garbled: Vec<ObjectId>,
}

/// Those of some objects that the server says it does not have.
pub(super) async fn missing(
    session: &Session,
    safe: SafeId,
    objects: Vec<ObjectId>,
) -> Result<BTreeSet<ObjectId>, Problem> {
    let asked = ObjectIds { objects };
    let missing = answered(|| session.member.missing_objects(safe, &asked)).await?;
    Ok(missing.objects.into_iter().collect())
}

/// Takes the next objects off `left`, those that one answer brings. Those that the server leaves
/// out although there was room for them are taken off, too.
pub(crate) async fn next(
    session: &Session,
    safe: SafeId,
    left: &mut BTreeSet<ObjectId>,
) -> Result<Brought, Problem> {
    let asked: Vec<ObjectId> = left.iter().copied().take(FETCHED_AT_ONCE).collect();
    match once(session, safe, &asked).await {
        Ok(came) => {
            let came: Vec<Came> = came.into_iter().filter(|came| left.remove(&came.object)).collect();
            if came.is_empty() {
                left.retain(|object| !asked.contains(object));
            }
            Ok(Brought { came, garbled: Vec::new() })
        }
        // Something in it is no object: which one shows where each is asked for alone.
        Err(TransportError::Misbehaved(_)) => {
            let mut brought = Brought::default();
            for object in asked {
                left.remove(&object);
                match once(session, safe, &[object]).await {
                    Ok(came) => brought.came.extend(came.into_iter().filter(|came| came.object == object)),
                    Err(TransportError::Misbehaved(_)) => brought.garbled.push(object),
                    Err(error) => return Err(error.into()),
                }
                // As much as any other answer has: the rest is asked for again.
                let bytes: usize = brought.came.iter().map(|came| came.bytes.len()).sum();
                if bytes > OBJECTS_MAX_BYTES {
                    break;
                }
            }
            Ok(brought)
        }
        Err(error) => Err(error.into()),
    }
}

async fn once(session: &Session, safe: SafeId, asked: &[ObjectId]) -> Result<Vec<Came>, TransportError> {
    let ids = ObjectIds { objects: asked.to_vec() };
    let most = OBJECTS_MAX_BYTES.min(asked.len().saturating_mul(OBJECT_MAX_BYTES));
    let came = carried(most, || session.member.fetch_objects(safe, &ids)).await?;
    Ok(came.into_iter().map(|(object, bytes)| Came { object, bytes }).collect())
}

/// Gives the server objects of which this device has the very bytes. Which of them it gives back
/// afterwards, bit for bit: no other is repaired. A refusal repairs nothing, and ends nothing.
/// `records` have added those of which the server may have lost even that.
pub(super) async fn put_back(
    session: &Session,
    safe: SafeId,
    objects: BTreeMap<ObjectId, ObjectHash>,
    records: BTreeSet<u64>,
) -> Result<BTreeSet<ObjectId>, Problem> {
    let mut put: BTreeMap<ObjectId, ObjectHash> = BTreeMap::new();
    let mut left: Vec<(ObjectId, ObjectHash)> = objects.into_iter().collect();
    while !left.is_empty() {
        let call = session.store(move |store| {
            let (mut heads, mut sealed) = (ObjectHeads(Vec::new()), Vec::new());
            while let Some((object, hash)) = left.pop() {
                let PieceHere::Right(mut bytes) = store.look_at_piece(safe, object, &hash)? else { continue };
                let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                heads.0.push(ObjectHead { object, hash, length });
                if heads.0.len() > FETCHED_AT_ONCE || heads.body_bytes() > OBJECTS_MAX_BYTES {
                    heads.0.pop();
                    left.push((object, hash));
                    break;
                }
                sealed.push(std::mem::take(&mut *bytes));
            }
            Ok(((heads, sealed), left))
        });
        let ((heads, sealed), rest) = call.await?;
        left = rest;
        if heads.0.is_empty() {
            continue;
        }
        let call = carried(heads.body_bytes(), || session.member.put_objects(safe, &heads, &sealed)).await;
        if is_taken(call)? {
            put.extend(heads.0.iter().map(|head| (head.object, head.hash)));
        }
    }
    for seq in records {
        is_taken(answered(|| session.member.objects_added(safe, seq)).await)?;
    }
    let (mut right, mut asked) = (BTreeSet::new(), put.keys().copied().collect::<BTreeSet<_>>());
    while !asked.is_empty() {
        for Came { object, bytes } in next(session, safe, &mut asked).await?.came {
            if put.get(&object).is_some_and(|hash| ObjectHash::of(&bytes) == *hash) {
                right.insert(object);
            }
        }
    }
    Ok(right)
}

/// Whether the server did it. That it does not want to is no failure of the work.
fn is_taken(answer: Result<(), TransportError>) -> Result<bool, Problem> {
    match answer {
        Ok(()) => Ok(true),
        Err(error @ TransportError::Refused { .. }) if !error.passes() => {
            tracing::warn!(%error, "the server does not take back what it has lost");
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}
