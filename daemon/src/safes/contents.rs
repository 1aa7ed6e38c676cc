//! Contents of files: sealed piece by piece out of an open file, and opened piece by piece into
//! one.
//!
//! Decides that sealed pieces are durable before anything names them, and that nothing is written
//! before its hash and its seal were right. Holds a few pieces at a time, never a file.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::relay::ObjectIds;
use parsec_protocol::safe_log::safe::VerifiedSafe;
use parsec_protocol::safes::content::{
    BUFFER_BYTES, CHUNK_LENGTH, Keep, PieceError, Place, Sealing, SealingError, chunks, open_chunk,
    open_page, place,
};
use parsec_protocol::safes::content_ref::{Content, FILE_MAX_BYTES, PAGE_REFERENCES, Reference};
use parsec_protocol::safes::keys::{EpochKey, SafeKeys};
use parsec_protocol::safes::object::ObjectError;

use crate::os::{blocking_in, entropy};
use crate::problems;
use crate::session::Session;
use crate::session::open_safes::OpenSafe;
use crate::store::{StagedObject, Store, StoreError};
use crate::transport::retry::answered;

/// Sealed pieces that are kept in one commit: 4 MiB, so that a commit's cost is spread.
const STAGED_AT_ONCE: usize = 8;
/// Objects asked for at once: an answer holds two whole ones, or many small ones.
const FETCHED_AT_ONCE: usize = 2;

/// What was sealed of a file.
#[derive(Debug)]
pub(crate) struct Taken {
    /// What an entry says of it.
    pub(crate) content: Content,
    /// The objects that were sealed for it.
    pub(crate) objects: Vec<ObjectId>,
}

/// Keeps sealed pieces in the store, a few in one commit.
struct Staging<'a> {
    store: &'a Store,
    safe: SafeId,
    waiting: Vec<StagedObject>,
    objects: Vec<ObjectId>,
}

impl Staging<'_> {
    fn flush(&mut self) -> Result<(), StoreError> {
        self.store.stage_objects(self.safe, &self.waiting)?;
        self.waiting.clear();
        Ok(())
    }
}

impl Keep for Staging<'_> {
    type Error = StoreError;

    fn keep(&mut self, reference: &Reference, sealed: &[u8]) -> Result<(), StoreError> {
        let (object, hash) = (reference.object, reference.blake3);
        self.objects.push(object);
        self.waiting.push(StagedObject { object, hash, sealed: sealed.to_vec() });
        if self.waiting.len() < STAGED_AT_ONCE { Ok(()) } else { self.flush() }
    }
}

fn not_sealed(error: SealingError<StoreError>) -> Problem {
    match error {
        SealingError::NoEntropy(error) => problems::no_entropy(error),
        SealingError::Keep(error) => error.into(),
        SealingError::TooLarge => Problem::new(ProblemKind::TooLarge, "A file has 1 TiB at most."),
        SealingError::OutOfPlace => {
            Problem::new(ProblemKind::Internal, "A file was cut where it must not be.")
        }
    }
}

fn unread(error: &std::io::Error) -> Problem {
    Problem::new(ProblemKind::InvalidRequest, format!("The passed file can't be read: {error}."))
}

/// Seals what is in an open file under the safe's present key. Where `size` says how much there
/// must be, other amounts are refused. Durable when it returns.
///
/// # Errors
/// `contents_changed`, `too_large`, `safe_key_missing`; the file's and the store's.
pub(crate) async fn take(
    session: &Session,
    safe: &OpenSafe,
    file: File,
    size: Option<u64>,
) -> Result<Taken, Problem> {
    let epoch = safe.memory().await.verified.present().map_or(0, |now| now.key.epoch);
    let (open, id, organisation) = (Arc::clone(&session.open), safe.id, safe.organisation.clone());
    blocking_in(&session.tasks, move || {
        let keys: BTreeMap<_, _> = open.store.safe_keys(id)?.into_iter().collect();
        let missing = || {
            let text = "This device has not been given the safe's present key yet.";
            Problem::new(ProblemKind::SafeKeyMissing, text)
        };
        let key = EpochKey::new(&organisation, &id, epoch, keys.get(&epoch).ok_or_else(missing)?);
        let first = keys.get(&0).map(|key| EpochKey::new(&organisation, &id, 0, key));
        let mut staging = Staging { store: &open.store, safe: id, waiting: Vec::new(), objects: Vec::new() };
        let sealed = seal(&file, size, Sealing::new(key, first), &mut staging);
        if sealed.is_err() {
            // Nothing names them.
            open.store.drop_objects(id, &staging.objects)?;
        }
        Ok::<_, Problem>(Taken { content: sealed?, objects: staging.objects })
    })
    .await
}

fn seal(
    mut file: &File,
    size: Option<u64>,
    mut sealing: Sealing<'_>,
    staging: &mut Staging<'_>,
) -> Result<Content, Problem> {
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    loop {
        buffer.clear();
        let mut piece = file.take(CHUNK_LENGTH as u64);
        let length = piece.read_to_end(&mut buffer).map_err(|error| unread(&error))?;
        file = piece.into_inner();
        if length > 0 {
            if sealing.size().saturating_add(length as u64) > FILE_MAX_BYTES {
                return Err(not_sealed(SealingError::TooLarge));
            }
            sealing.piece(&mut buffer, &mut entropy::System, staging).map_err(not_sealed)?;
        }
        if length < CHUNK_LENGTH {
            break;
        }
    }
    if size.is_some_and(|size| size != sealing.size()) {
        let text = "The file has another size than was said.";
        return Err(Problem::new(ProblemKind::ContentsChanged, text));
    }
    let content = sealing.finish(&mut entropy::System, staging).map_err(not_sealed)?;
    staging.flush()?;
    Ok(content)
}

/// Objects that have come, and those that are still to be asked for.
struct Source<'a> {
    session: &'a Session,
    safe: SafeId,
    here: BTreeMap<ObjectId, Vec<u8>>,
}

impl Source<'_> {
    /// The sealed bytes of an object, and with it those of the next ones.
    async fn get(&mut self, wanted: &Reference, next: &[ObjectId]) -> Result<Vec<u8>, Problem> {
        if let Some(found) = self.here.remove(&wanted.object) {
            return Ok(found);
        }
        let (safe, object) = (self.safe, wanted.object);
        if let Some(staged) = self.session.store(move |store| store.staged_object(safe, object)).await? {
            return Ok(staged.sealed);
        }
        let objects = std::iter::once(object).chain(next.iter().copied()).take(FETCHED_AT_ONCE).collect();
        let asked = ObjectIds { objects };
        let came = answered(|| self.session.member.fetch_objects(safe, &asked)).await;
        let came = came.map_err(|error| {
            let text = format!("The contents are not on this device, and {error}.");
            Problem::new(ProblemKind::ContentsUnavailable, text)
        })?;
        self.here.extend(came);
        self.here.remove(&object).ok_or_else(|| {
            Problem::new(ProblemKind::ContentsUnavailable, "The server does not have the contents.")
        })
    }
}

fn not_opened(error: PieceError) -> Problem {
    let (kind, text) = match error {
        PieceError::Object(ObjectError::NoKey) => {
            (ProblemKind::SafeKeyMissing, "This device has not been given the key of these contents yet.")
        }
        PieceError::Object(ObjectError::Hash) => {
            (ProblemKind::ContentsDamaged, "The server gave other bytes than a member wrote.")
        }
        PieceError::Object(ObjectError::Sealed) | PieceError::Shape => {
            (ProblemKind::ContentsDamaged, "The contents are not what their writer says.")
        }
    };
    Problem::new(kind, text)
}

fn unwritten(error: &std::io::Error) -> Problem {
    Problem::new(ProblemKind::InvalidRequest, format!("The passed file can't be written to: {error}."))
}

/// The keys of a safe that are kept, each right by the log: for work that takes longer than the
/// safe may be held.
fn keys_of(store: &Store, safe: &OpenSafe, verified: &VerifiedSafe) -> Result<SafeKeys, StoreError> {
    let mut keys = SafeKeys::new(safe.organisation.clone(), safe.id);
    for (epoch, key) in store.safe_keys(safe.id)? {
        match verified.epoch(epoch) {
            // A wrong one is as good as none.
            Some(record) => {
                let _ = keys.insert(epoch, key, &record.key.key_check);
            }
            None if verified.present().is_none() => {
                let check = EpochKey::new(&safe.organisation, &safe.id, epoch, &key).check();
                let _ = keys.insert(epoch, key, &check);
            }
            None => {}
        }
    }
    Ok(keys)
}

/// Writes a file's contents into an open file; how many bytes.
///
/// # Errors
/// `contents_unavailable`, `contents_damaged`, `safe_key_missing`; the file's.
pub(crate) async fn give(
    session: &Session,
    safe: &Arc<OpenSafe>,
    content: Content,
    file: File,
) -> Result<u64, Problem> {
    let verified = safe.memory().await.verified.clone();
    let (open, this) = (Arc::clone(&session.open), Arc::clone(safe));
    let keys = blocking_in(&session.tasks, move || keys_of(&open.store, &this, &verified)).await?;
    let (keys, file) = (Arc::new(keys), Arc::new(file));
    let mut source = Source { session, safe: safe.id, here: BTreeMap::new() };
    let size = content.size;
    let mut page: (u64, VecDeque<Option<Reference>>) = (u64::MAX, VecDeque::new());
    for number in 0..chunks(size) {
        let at = place(&content, number).ok_or_else(|| not_opened(PieceError::Shape))?;
        let reference = match at {
            Place::Hole => None,
            Place::Chunk(reference) => Some(*reference),
            Place::Paged { page: of, number: which, .. } => {
                if page.0 != which {
                    let mut sealed = source.get(of, &[]).await?;
                    let all = open_page(&keys, size, which, of, &mut sealed).map_err(not_opened)?;
                    page = (which, all.into());
                    debug_assert!(page.1.len() as u64 <= PAGE_REFERENCES);
                }
                page.1.pop_front().flatten()
            }
        };
        let next: Vec<_> = page.1.iter().flatten().map(|reference| reference.object).take(1).collect();
        let sealed = match &reference {
            Some(reference) => Some(source.get(reference, &next).await?),
            None => None,
        };
        let (keys, file) = (Arc::clone(&keys), Arc::clone(&file));
        blocking_in(&session.tasks, move || {
            let bytes = match (reference, sealed) {
                (Some(reference), Some(mut sealed)) => {
                    open_chunk(&keys, size, number, &reference, &mut sealed).map_err(not_opened)?;
                    sealed
                }
                _ => vec![0; parsec_protocol::safes::content::chunk_length(size, number)],
            };
            (&*file).write_all(&bytes).map_err(|error| unwritten(&error))
        })
        .await?;
    }
    Ok(size)
}
