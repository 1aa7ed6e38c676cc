//! Pieces that are to be on this device without anybody who reads them now.
//!
//! Decides that each is compared with its hash before it is kept, and that one which can't be had
//! keeps no other from coming. Refuses to go on where there is no room: the disk keeps its floor.

use std::collections::BTreeMap;

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::relay::{OBJECT_FETCH_MAX, ObjectIds};
use parsec_protocol::safes::content_ref::Reference;

use super::room::room;
use crate::session::Session;

/// A piece that is wanted, and the most bytes that it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) reference: Reference,
    pub(crate) most: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Brought {
    /// Pieces that can't be had, and why.
    pub(crate) lost: Vec<(ObjectId, ProblemKind)>,
    /// Whether there was no room for all that came.
    pub(crate) no_room: bool,
}

/// Fetches pieces and keeps them: those that are pinned are durable when this returns.
///
/// # Errors
/// The server's; the disk's.
pub(crate) async fn bring(session: &Session, safe: SafeId, wanted: &[Want]) -> Result<Brought, Problem> {
    let _share = room().share().await?;
    let mut missing: BTreeMap<ObjectId, (ObjectHash, usize)> =
        wanted.iter().map(|want| (want.reference.object, (want.reference.blake3, want.most))).collect();
    let mut brought = Brought::default();
    while !missing.is_empty() && !brought.no_room {
        let asked = ObjectIds { objects: missing.keys().copied().take(OBJECT_FETCH_MAX).collect() };
        // Once: nobody waits for it, and whoever wants it tries again.
        let came = session.member.fetch_objects(safe, &asked).await?;
        let known = missing.len();
        let came: Vec<_> = came
            .into_iter()
            .filter_map(|(object, bytes)| Some((object, missing.remove(&object)?, bytes)))
            .collect();
        // As many as one answer takes, one at least: the server has none of these.
        if missing.len() == known {
            let gone = missing.keys().filter(|object| asked.objects.contains(object));
            brought.lost.extend(gone.map(|object| (*object, ProblemKind::ContentsUnavailable)));
            missing.retain(|object, _| !asked.objects.contains(object));
            continue;
        }
        let (kept, damaged) = session
            .store(move |store| {
                let right = |(_, (hash, most), bytes): &&(ObjectId, (ObjectHash, usize), Vec<u8>)| {
                    bytes.len() <= *most && ObjectHash::of(bytes) == *hash
                };
                let (good, bad): (Vec<_>, Vec<_>) = came.iter().partition(right);
                let good: Vec<_> = good
                    .iter()
                    .map(|(object, (hash, _), bytes)| (*object, *hash, bytes.as_slice()))
                    .collect();
                let bad: Vec<_> = bad.iter().map(|(object, _, _)| *object).collect();
                Ok((store.keep_pieces(safe, &good)?, bad))
            })
            .await?;
        brought.lost.extend(damaged.into_iter().map(|object| (object, ProblemKind::ContentsDamaged)));
        brought.no_room = !kept;
    }
    Ok(brought)
}
