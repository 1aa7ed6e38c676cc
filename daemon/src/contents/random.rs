//! Single chunks of a content, wherever in the file: what a mount reads.
//!
//! Decides that a page of references is opened once and remembered. Refuses to let out a byte that
//! was not verified, as everything that reads contents does.

use std::ops::Range;
use std::sync::Arc;

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::limits::OBJECT_MAX_BYTES;
use parsec_protocol::safes::content::{
    ChunkSource, EarlierPage, PieceError, Sealing, chunk_length, open_hashed_chunk, open_page, place,
};
use parsec_protocol::safes::content_ref::{Content, Reference};
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::object::{self, ObjectKind};
use parsec_protocol::safes::state::State;
use zeroize::Zeroizing;

use super::get::{GetError, Objects as _};
use super::put::{PutError, Staging, Taken, of_sealing};
use super::{HereAndThere, StoreStage};
use crate::os::{blocking_in, entropy};
use crate::problems;
use crate::session::Session;
use crate::session::open_safes::OpenSafe;
use crate::store::StagedObject;

/// Bytes of a chunk in the clear; none for a hole.
pub(crate) type Chunk = Option<Zeroizing<Vec<u8>>>;

fn lost() -> Problem {
    Problem::new(ProblemKind::ContentsUnavailable, "A part of the contents did not come.")
}

/// The object that chunk `number` of a content is in; none for a hole.
///
/// # Errors
/// `contents_unavailable`, `contents_damaged`, `safe_untrusted`, `safe_key_missing`, the server's.
pub(crate) async fn reference(
    session: &Session,
    safe: &OpenSafe,
    keys: &SafeKeys,
    content: &Content,
    number: u64,
) -> Result<Option<Reference>, Problem> {
    let (page, page_number, at) = match place(content, number).ok_or(GetError::Shape)? {
        ChunkSource::Hole => return Ok(None),
        ChunkSource::Chunk(reference) => return Ok(Some(*reference)),
        ChunkSource::Paged { page, number, at } => (page, number, at),
    };
    let known = match safe.keeping.page(page.object) {
        Some(known) => known,
        None => {
            let objects = HereAndThere::new(session, safe);
            let came = objects.fetch(&[*page], OBJECT_MAX_BYTES).await?.pop();
            let mut bytes = came.ok_or_else(lost)?.into_inner();
            let opened = open_page(keys, content.size, page_number, page, &mut bytes);
            let references = Arc::new(opened.map_err(GetError::from)?);
            safe.keeping.know_page(page.object, Arc::clone(&references));
            references
        }
    };
    Ok(*known.get(at).ok_or(GetError::Shape)?)
}

/// These chunks of a content, each verified. Those that are not here come from the server.
///
/// # Errors
/// As [`reference`].
pub(crate) async fn chunks(
    session: &Session,
    safe: &OpenSafe,
    keys: &Arc<SafeKeys>,
    content: &Content,
    numbers: Range<u64>,
) -> Result<Vec<Chunk>, Problem> {
    if !content.fits() {
        return Err(GetError::Shape.into());
    }
    let mut places = Vec::new();
    for number in numbers {
        places.push((number, reference(session, safe, keys, content, number).await?));
    }
    let wanted: Vec<Reference> = places.iter().filter_map(|(_, reference)| *reference).collect();
    if wanted.is_empty() {
        return Ok(places.iter().map(|_| None).collect());
    }
    let objects = HereAndThere::new(session, safe);
    let most = wanted.len().saturating_mul(OBJECT_MAX_BYTES);
    let mut came = objects.fetch(&wanted, most).await?.into_iter();
    let (keys, size) = (Arc::clone(keys), content.size);
    blocking_in(&session.tasks, move || {
        let open = |(number, reference): (u64, Option<Reference>)| {
            let Some(reference) = reference else { return Ok(None) };
            let sealed = came.next().ok_or_else(lost)?;
            let opened = open_hashed_chunk(&keys, size, number, &reference, sealed);
            let bytes = opened.map_err(GetError::from)?.into_inner();
            if bytes.len() != chunk_length(size, number) {
                return Err(GetError::Shape.into());
            }
            Ok(Some(Zeroizing::new(bytes)))
        };
        places.into_iter().map(open).collect::<Result<Vec<_>, Problem>>()
    })
    .await
}

/// A whole chunk that was sealed alone and is not named by anything yet.
///
/// # Errors
/// As [`reference`].
pub(crate) async fn alone(
    session: &Session,
    safe: &OpenSafe,
    keys: &Arc<SafeKeys>,
    reference: Reference,
) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let objects = HereAndThere::new(session, safe);
    let sealed = objects.fetch(&[reference], OBJECT_MAX_BYTES).await?.pop().ok_or_else(lost)?;
    let keys = Arc::clone(keys);
    blocking_in(&session.tasks, move || {
        let opened = object::open_hashed(&keys, &reference, ObjectKind::Chunk, sealed);
        let bytes = opened.map_err(|error| GetError::from(PieceError::from(error)))?;
        Ok::<_, Problem>(Zeroizing::new(bytes.into_inner()))
    })
    .await
}

/// Whose content is sealed, and with which key: what works on a thread of its own needs.
pub(crate) struct Sealer<'a> {
    /// The session, for its store.
    pub(crate) session: &'a Session,
    /// The safe that it is sealed for.
    pub(crate) safe: &'a OpenSafe,
    /// Epoch of the key that seals.
    pub(crate) epoch: u64,
}

impl Sealer<'_> {
    /// Seals whole chunks alone, durably; nothing names them yet. It blocks.
    ///
    /// # Errors
    /// `safe_key_missing`, `disk_full`, the store's.
    pub(crate) fn spill(
        &self,
        keys: &SafeKeys,
        chunks: Vec<Zeroizing<Vec<u8>>>,
    ) -> Result<Vec<Reference>, Problem> {
        let key = keys.at(self.epoch).ok_or_else(missing)?;
        let mut references = Vec::with_capacity(chunks.len());
        let mut objects = Vec::with_capacity(chunks.len());
        for mut chunk in chunks {
            let sealed = object::seal(&key, ObjectKind::Chunk, &mut chunk, &mut entropy::System);
            let reference = sealed.map_err(problems::no_entropy)?;
            let (object, hash) = (reference.object, reference.blake3);
            objects.push(StagedObject { object, hash, sealed: std::mem::take(&mut *chunk) });
            references.push(reference);
        }
        // Not offered to the server before something names them: they may be written over.
        self.session.open.store.stage_objects(self.safe.id, &objects)?;
        Ok(references)
    }

    /// Seals a content of so many bytes, durably. `next` gives its chunks, in order. It blocks.
    ///
    /// # Errors
    /// `safe_key_missing`, `disk_full`, the store's; those of `next`.
    pub(crate) fn seal(
        &self,
        keys: &SafeKeys,
        chunks: u64,
        mut next: impl FnMut(u64) -> Result<Next, Problem>,
    ) -> Result<Taken, Problem> {
        let key = keys.at(self.epoch).ok_or_else(missing)?;
        let mut stage = StoreStage { store: &self.session.open.store, safe: self.safe, epoch: self.epoch };
        let mut staging = Staging::new(&mut stage);
        let mut sealing = Sealing::new(key, keys.at(0));
        let mut problem = None;
        let mut pieces = || {
            for number in 0..chunks {
                let next = match next(number) {
                    Ok(next) => next,
                    Err(found) => {
                        problem = Some(found);
                        return Err(PutError::Changed);
                    }
                };
                let rng = &mut entropy::System;
                match next {
                    Next::Bytes(mut bytes) => sealing.piece(&mut bytes, rng, &mut staging),
                    Next::Hole(length) => sealing.hole(length, rng, &mut staging),
                    Next::Untouched { reference, fresh, page } => {
                        if let Some(page) = page {
                            sealing.page_again(page);
                        }
                        sealing.untouched(&reference, fresh, rng, &mut staging)
                    }
                }
                .map_err(of_sealing)?;
            }
            Ok(())
        };
        let done = pieces();
        let done = done.and_then(|()| sealing.finish(&mut entropy::System, &mut staging).map_err(of_sealing));
        match (staging.end(done), problem) {
            (_, Some(problem)) => Err(problem),
            (Ok((content, objects)), None) => Ok(Taken { content, objects }),
            (Err(error), None) => Err(error.into()),
        }
    }

    /// Whether a chunk of the content before may be named again, by what an accepted record has
    /// added.
    pub(crate) fn may_name(&self, reference: &Reference, accepted: &State) -> bool {
        reference.epoch == self.epoch && accepted.has_object(reference.object)
    }
}

fn missing() -> Problem {
    Problem::new(ProblemKind::SafeKeyMissing, "This device has not been given the safe's present key yet.")
}

/// The next chunk of a content that is sealed.
pub(crate) enum Next {
    /// Its bytes; the buffer has room for the seal.
    Bytes(Zeroizing<Vec<u8>>),
    /// So many zeros.
    Hole(u64),
    /// A whole chunk as it is in an object.
    Untouched {
        /// The object.
        reference: Reference,
        /// Whether it was sealed for this very content.
        fresh: bool,
        /// With the first chunk of a page: the page of the content before.
        page: Option<EarlierPage>,
    },
}
