//! From an open file into sealed objects.
//!
//! Decides how a file is read: to its end, piece by piece, holes of a sparse one passed over; what
//! has not changed since the content before is named again, as `unchanged` says. Keeps nothing of
//! it where it has another size than its program said, or was written to meanwhile: half of an old
//! file and half of a new one are nobody's contents. Each object is durable here, with its id and
//! hash, before anything names it.

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::ObjectId;
use parsec_protocol::keys::{Entropy, NoEntropy};
use parsec_protocol::safes::content::{BUFFER_BYTES, CHUNK_LENGTH, Keep, Sealing, SealingError};
use parsec_protocol::safes::content_ref::{CHUNK_BYTES, Content, DIRECT_MAX, FILE_MAX_BYTES, Reference};
use parsec_protocol::safes::keys::EpochKey;
use rustix::fs::{SeekFrom, Stat};
use zeroize::Zeroizing;

use super::open_file::{FileError, OpenFile};
use super::unchanged::{Earlier, Unchanged};
use crate::problems;
use crate::store::{StagedObject, StoreError};

/// Sealed bytes that are kept in one go: one sync for eight chunks, or for a thousand small files.
const BATCH_BYTES: usize = 4 * 1_024 * 1_024;
/// Chunks of the largest file that needs no pages: nothing of one is named again.
const SMALL_CHUNKS: u64 = DIRECT_MAX as u64;

/// Where sealed objects wait until they are shared.
pub(crate) trait Stage {
    /// Keeps objects, all or none. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], the disk's.
    fn stage(&mut self, objects: &[StagedObject]) -> Result<(), StoreError>;

    /// Drops objects that were kept and that nothing names.
    ///
    /// # Errors
    /// The disk's.
    fn forget(&mut self, objects: &[ObjectId]) -> Result<(), StoreError>;
}

/// Why contents were not taken. Nothing of them is kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PutError {
    /// The open file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Here is no room, or the disk failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The random source.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    /// Another number of bytes than its program said.
    #[error("{found} bytes came where {expected} were to come")]
    OtherSize {
        /// Bytes that the program said.
        expected: u64,
        /// Bytes that came, as far as they were read.
        found: u64,
    },
    /// It was written to while it was read.
    #[error("the file was written to while it was read")]
    Changed,
    /// Above 1 TiB.
    #[error("a file of a safe has {FILE_MAX_BYTES} bytes at most")]
    TooLarge,
}

impl From<PutError> for Problem {
    fn from(error: PutError) -> Self {
        let kind = match error {
            PutError::File(error) => return error.into(),
            PutError::Store(error) => return error.into(),
            PutError::NoEntropy(error) => return problems::no_entropy(error),
            PutError::OtherSize { .. } | PutError::Changed => ProblemKind::ContentsChanged,
            PutError::TooLarge => ProblemKind::TooLarge,
        };
        Self::new(kind, problems::sentence(&error.to_string()))
    }
}

/// Contents that were taken.
#[derive(Debug)]
pub(crate) struct Taken {
    /// What an entry says of them.
    pub(crate) content: Content,
    /// The objects that were sealed for them, for the record that names them.
    pub(crate) objects: Vec<ObjectId>,
}

/// Objects on their way into the stage, a batch at a time.
pub(super) struct Staging<'a, S> {
    stage: &'a mut S,
    batch: Vec<StagedObject>,
    bytes: usize,
    adds: Vec<ObjectId>,
}

impl<'a, S: Stage> Staging<'a, S> {
    pub(super) const fn new(stage: &'a mut S) -> Self {
        Self { stage, batch: Vec::new(), bytes: 0, adds: Vec::new() }
    }

    /// Keeps what is left of them, or nothing of all where `done` is an error: what was made, and
    /// the ids of its objects.
    pub(super) fn end<T>(mut self, mut done: Result<T, PutError>) -> Result<(T, Vec<ObjectId>), PutError> {
        if done.is_ok()
            && let Err(error) = self.flush()
        {
            done = Err(error.into());
        }
        match done {
            Ok(done) => Ok((done, self.adds)),
            Err(error) => {
                // What stays behind is dropped when the device is unlocked next: nothing names it.
                if let Err(left) = self.stage.forget(&self.adds) {
                    tracing::warn!(error = %left, "objects that nothing names stay for now");
                }
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        // Noted before: what was kept of a batch that failed is dropped, too.
        self.adds.extend(self.batch.iter().map(|object| object.object));
        let done = self.stage.stage(&self.batch);
        self.batch.clear();
        self.bytes = 0;
        done
    }
}

impl<S: Stage> Keep for Staging<'_, S> {
    type Error = StoreError;

    fn keep(&mut self, reference: &Reference, sealed: &[u8]) -> Result<(), StoreError> {
        self.batch.push(StagedObject {
            object: reference.object,
            hash: reference.blake3,
            sealed: sealed.to_vec(),
        });
        self.bytes += sealed.len();
        if self.bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }
}

/// With which keys a file is sealed.
#[derive(Clone, Copy)]
pub(crate) struct PutKeys<'a> {
    /// The present one.
    pub(crate) present: EpochKey<'a>,
    /// That of epoch 0, where it is here: for digests.
    pub(crate) first: Option<EpochKey<'a>>,
}

/// Reads `file` to its end and seals it. `expected` is its size, where its program knows it;
/// `earlier` the content that it is written over, where something of that may be named again.
///
/// # Errors
/// [`PutError`].
pub(super) fn put<S: Stage>(
    file: &OpenFile,
    expected: Option<u64>,
    keys: PutKeys<'_>,
    earlier: Option<Earlier<'_>>,
    stage: &mut S,
    entropy: &mut dyn Entropy,
) -> Result<Taken, PutError> {
    put_as(file, expected, keys, earlier, false, stage, entropy)
}

/// The same for contents that come through a pipe out of a safe: whole chunks of zeros become
/// holes again. As bytes, a few references of an archive would fill the disk with zeros.
///
/// # Errors
/// [`PutError`].
pub(super) fn put_again<S: Stage>(
    file: &OpenFile,
    size: u64,
    keys: PutKeys<'_>,
    stage: &mut S,
    entropy: &mut dyn Entropy,
) -> Result<Taken, PutError> {
    put_as(file, Some(size), keys, None, true, stage, entropy)
}

fn put_as<S: Stage>(
    file: &OpenFile,
    expected: Option<u64>,
    keys: PutKeys<'_>,
    earlier: Option<Earlier<'_>>,
    are_holes: bool,
    stage: &mut S,
    entropy: &mut dyn Entropy,
) -> Result<Taken, PutError> {
    let mut staging = Staging::new(stage);
    let sealed = std::thread::scope(|scope| {
        // A file that is known to be small names nothing again.
        let may = expected.is_none_or(|size| size > SMALL_CHUNKS * CHUNK_BYTES);
        let unchanged = earlier.filter(|_| may).and_then(|earlier| Unchanged::begin(scope, earlier));
        read_and_seal(file, expected, (keys, are_holes), unchanged, &mut staging, entropy)
    });
    let (content, objects) = staging.end(sealed)?;
    Ok(Taken { content, objects })
}

fn read_and_seal<S: Stage>(
    file: &OpenFile,
    expected: Option<u64>,
    (keys, are_holes): (PutKeys<'_>, bool),
    mut unchanged: Option<Unchanged<'_>>,
    staging: &mut Staging<'_, S>,
    entropy: &mut dyn Entropy,
) -> Result<Content, PutError> {
    let before = file.stat()?;
    let base = if file.is_seekable() { file.seek(SeekFrom::Current(0))?.unwrap_or_default() } else { 0 };
    let size = expected.or_else(|| file.is_seekable().then(|| left(&before, base)));
    let is_large = size.is_some_and(|size| size > SMALL_CHUNKS * CHUNK_BYTES);
    let mut sealing = Sealing::new(keys.present, keys.first);
    let mut buffer = Zeroizing::new(Vec::new());
    loop {
        let at = base.saturating_add(sealing.size());
        let number = sealing.size() / CHUNK_BYTES;
        let hole = if file.is_seekable() { hole_at(file, at)? } else { 0 };
        if hole > 0 {
            go_on(&mut unchanged, &mut sealing);
            sealing.hole(hole, entropy, staging).map_err(of_sealing)?;
        } else {
            let room = room(file, &before, at);
            if buffer.capacity() == 0 {
                // Sealing adds padding and a tag: with room for them it never moves.
                *buffer =
                    Vec::with_capacity(if room < CHUNK_LENGTH { room + room / 8 + 32 } else { BUFFER_BYTES });
            }
            buffer.resize(room, 0);
            let read = file.fill(&mut buffer, at)?;
            if read == 0 {
                break;
            }
            buffer.truncate(read);
            go_on(&mut unchanged, &mut sealing);
            // Of a pipe nobody knows how large it is, until it is large.
            let may = is_large || number >= SMALL_CHUNKS;
            let with = sealing.size().saturating_add(read as u64);
            let old = unchanged.as_mut().filter(|_| may);
            let is_hole = are_holes && read == CHUNK_LENGTH && buffer.iter().all(|byte| *byte == 0);
            let done = match old.and_then(|old| old.reference(number, with, &buffer)) {
                _ if is_hole => sealing.hole(CHUNK_BYTES, entropy, staging),
                Some(same) => sealing.again(&same, &buffer, entropy, staging),
                None => sealing.piece(&mut buffer, entropy, staging),
            };
            done.map_err(of_sealing)?;
        }
        let found = sealing.size();
        match expected {
            Some(expected) if found > expected => return Err(PutError::OtherSize { expected, found }),
            Some(_) | None => {}
        }
        if !found.is_multiple_of(CHUNK_BYTES) {
            break;
        }
    }
    let found = sealing.size();
    if let Some(expected) = expected.filter(|expected| *expected != found) {
        return Err(PutError::OtherSize { expected, found });
    }
    read_as_it_was(file, &before, base.saturating_add(found))?;
    sealing.finish(entropy, staging).map_err(of_sealing)
}

/// The content before goes on by a chunk, too.
fn go_on(unchanged: &mut Option<Unchanged<'_>>, sealing: &mut Sealing<'_>) {
    if let Some(page) = unchanged.as_mut().and_then(Unchanged::go_on) {
        sealing.page_again(page);
    }
}

/// Bytes of a file from `at` on.
fn left(stat: &Stat, at: u64) -> u64 {
    u64::try_from(stat.st_size).unwrap_or_default().saturating_sub(at)
}

/// Refuses a file that was written to while it was read; leaves it at `end`, where a program that
/// had read it itself would be.
///
/// # Errors
/// [`PutError::Changed`]; the open file's.
pub(super) fn read_as_it_was(file: &OpenFile, before: &Stat, end: u64) -> Result<(), PutError> {
    if !file.is_seekable() {
        return Ok(());
    }
    let mark = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
    if mark(before) != mark(&file.stat()?) {
        return Err(PutError::Changed);
    }
    file.seek(SeekFrom::Start(end))?;
    Ok(())
}

/// How many bytes are read at once: a chunk, or all of a small file and one more, which shows that
/// it grew.
fn room(file: &OpenFile, stat: &Stat, at: u64) -> usize {
    if !file.is_seekable() {
        return CHUNK_LENGTH;
    }
    usize::try_from(left(stat, at).saturating_add(1)).unwrap_or(CHUNK_LENGTH).min(CHUNK_LENGTH)
}

/// Bytes of the hole at `at`, as far as it is a piece of its own: a whole chunk, or all up to the
/// end. 0 where bytes have to be read.
fn hole_at(file: &OpenFile, at: u64) -> Result<u64, FileError> {
    let data = match file.seek(SeekFrom::Data(at)) {
        Ok(data) => data,
        // A file system that knows no holes: everything is data.
        Err(FileError::Io { .. }) => return Ok(0),
        Err(error) => return Err(error),
    };
    match data {
        Some(data) if data.saturating_sub(at) >= CHUNK_BYTES => Ok(CHUNK_BYTES),
        Some(_) => Ok(0),
        // No data from here on: up to the end, and not beyond, where it got shorter meanwhile.
        None => {
            let end = u64::try_from(file.stat()?.st_size).unwrap_or_default();
            Ok(end.saturating_sub(at).min(CHUNK_BYTES))
        }
    }
}

pub(super) fn of_sealing(error: SealingError<StoreError>) -> PutError {
    match error {
        SealingError::NoEntropy(error) => PutError::NoEntropy(error),
        // A piece is out of place only behind a short one, and a short one was the end: it grew.
        SealingError::OutOfPlace => PutError::Changed,
        // A large file that turned out to be a small one.
        SealingError::NotAgain => PutError::Changed,
        SealingError::TooLarge => PutError::TooLarge,
        SealingError::Keep(error) => PutError::Store(error),
    }
}
