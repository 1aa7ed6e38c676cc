//! The bytes of a snapshot, into sealed objects and back: as a file's, but from memory and into it.
//!
//! Decides nothing about what they say. Refuses a piece that is not the one that its author sealed
//! for this place, and more bytes than a snapshot has.

use std::sync::Arc;

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::safes::content::{BUFFER_BYTES, CHUNK_LENGTH, Sealing, open_snapshot_chunk};
use parsec_protocol::safes::content_ref::Content;
use parsec_protocol::safes::snapshot::SNAPSHOT_MAX_BYTES;
use zeroize::Zeroizing;

use super::get::{GetError, Pieces};
use super::put::{Staging, Taken, of_sealing};
use super::room::room;
use super::{HereAndThere, StoreStage};
use crate::os::{blocking_in, entropy};
use crate::session::Session;
use crate::session::open_safes::OpenSafe;

/// Seals bytes, which are durable here when this returns and named by nothing yet.
///
/// # Errors
/// `safe_key_missing`, `disk_full`, the store's.
pub(crate) async fn seal(
    session: &Session,
    safe: &Arc<OpenSafe>,
    bytes: Zeroizing<Vec<u8>>,
) -> Result<Taken, Problem> {
    let _share = room().share().await?;
    let (keys, epoch) = {
        let memory = safe.memory().await;
        (memory.keys.copied(), memory.verified.present().map_or(0, |now| now.key.epoch))
    };
    let (open, safe) = (Arc::clone(&session.open), Arc::clone(safe));
    blocking_in(&session.tasks, move || {
        let missing = "This device has not been given the safe's present key yet.";
        let key = keys.at(epoch).ok_or_else(|| Problem::new(ProblemKind::SafeKeyMissing, missing))?;
        let mut stage = StoreStage { store: &open.store, safe: &safe, epoch };
        let mut staging = Staging::new(&mut stage);
        let mut sealing = Sealing::of_snapshot(key);
        // With room for padding and a tag it never moves.
        let mut buffer = Zeroizing::new(Vec::with_capacity(BUFFER_BYTES));
        let sealed = bytes.chunks(CHUNK_LENGTH).try_for_each(|piece| {
            buffer.clear();
            buffer.extend_from_slice(piece);
            sealing.piece(&mut buffer, &mut entropy::System, &mut staging)
        });
        let sealed = sealed.and_then(|()| sealing.finish(&mut entropy::System, &mut staging));
        let (content, objects) = staging.end(sealed.map_err(of_sealing))?;
        Ok::<_, Problem>(Taken { content, objects })
    })
    .await
}

/// The bytes of a snapshot, each verified as what its author sealed.
///
/// # Errors
/// `contents_unavailable`, `contents_damaged`, `safe_untrusted`, `safe_key_missing`, the server's.
pub(crate) async fn fetch(
    session: &Session,
    safe: &OpenSafe,
    content: &Content,
) -> Result<Zeroizing<Vec<u8>>, Problem> {
    if !content.fits() || content.size > SNAPSHOT_MAX_BYTES {
        return Err(GetError::Shape.into());
    }
    let keys = Arc::new(safe.memory().await.keys.copied());
    let _share = room().share().await?;
    let objects = HereAndThere::new(session, safe);
    let mut pieces = Pieces::new(&objects, &keys, content);
    // At once: it never moves, so that no half of it is left behind in memory.
    let size = usize::try_from(content.size).map_err(|_| GetError::Shape)?;
    let mut all = Zeroizing::new(Vec::with_capacity(size));
    loop {
        let window = pieces.window().await?;
        if window.is_empty() {
            return Ok(all);
        }
        let (keys, size) = (Arc::clone(&keys), content.size);
        let mut so_far = all;
        all = blocking_in(&session.tasks, move || {
            for (number, found) in window {
                let (reference, sealed) = found.ok_or(GetError::Shape)?;
                let mut bytes = Zeroizing::new(sealed.into_inner());
                open_snapshot_chunk(&keys, size, number, &reference, &mut bytes).map_err(GetError::from)?;
                so_far.extend_from_slice(&bytes);
            }
            Ok::<_, Problem>(so_far)
        })
        .await?;
    }
}
