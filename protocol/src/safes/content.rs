//! From bytes of a file to objects, and back.
//!
//! Decides where a file is cut, how its last piece is padded, when its references stand in pages of
//! their own, and which files may name again what was sealed for their content before. Refuses an
//! object that opens and is not the piece it should be, so that not one byte of a wrong length or
//! padding counts as content. Holds two pages of references and no piece of the file: whoever reads
//! and keeps the pieces, and compares those that are named again, is the caller.

use std::ops::Range;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

use super::content_ref::{
    CHUNK_BYTES, Content, ContentDigest, DIRECT_MAX, FILE_MAX_BYTES, PAGE_REFERENCES, Reference, References,
};
use super::keys::{EpochKey, SafeKeys};
use super::object::{self, Hashed, OBJECT_TAG_BYTES, ObjectError, ObjectKind, Wiped};
use crate::codec;
use crate::keys::{DigestKey, Entropy, NoEntropy, then_wipe_stack};

/// Bytes of a chunk, as a length in memory.
pub const CHUNK_LENGTH: usize = 524_288;
const _: () = assert!(CHUNK_LENGTH as u64 == CHUNK_BYTES, "a chunk has one length");
/// Room that a buffer for objects needs, in bytes: one that has it is never moved while it is
/// sealed.
pub const BUFFER_BYTES: usize = CHUNK_LENGTH + OBJECT_TAG_BYTES;
/// Size of a file, in bytes, above which its last chunk is padded to a whole one: it costs 6 % at
/// most there, and hides the size better than Padmé.
const WHOLE_LAST_ABOVE: u64 = 8 * 1_024 * 1_024;
/// Most bytes of a page's plaintext: the array's head, 3, and 1,024 references of 61 at most.
const PAGE_MAX_BYTES: usize = 3 + 1_024 * 61;

/// A length rounded up so that it tells little of itself (Padmé): to a multiple of 2^(E−S), E being
/// the place of its highest bit and S the number of bits that E takes. At most 12 % more.
#[must_use]
pub const fn padme(length: u64) -> u64 {
    if length < 2 {
        return length;
    }
    let e = length.ilog2();
    let step = 1 << (e - (e.ilog2() + 1));
    length.div_ceil(step) * step
}

/// Number of chunks of a file of `size` bytes.
#[must_use]
pub const fn chunks(size: u64) -> u64 {
    size.div_ceil(CHUNK_BYTES)
}

/// The chunks in which `length` bytes from `from` on lie, in a file of `size` bytes; what is behind
/// its end is in none.
#[must_use]
pub fn chunks_of(size: u64, from: u64, length: u64) -> Range<u64> {
    let end = from.saturating_add(length).min(size);
    if from >= end { 0..0 } else { from / CHUNK_BYTES..end.div_ceil(CHUNK_BYTES) }
}

/// Bytes of the file that its chunk `number` holds: all of them are whole but the last.
#[must_use]
pub fn chunk_length(size: u64, number: u64) -> usize {
    let from = number.saturating_mul(CHUNK_BYTES);
    usize::try_from(size.saturating_sub(from).min(CHUNK_BYTES)).unwrap_or(CHUNK_LENGTH)
}

/// Bytes of a chunk's plaintext: those of the file, and the zeros behind the last of them.
#[must_use]
pub fn padded_length(size: u64, number: u64) -> usize {
    let length = chunk_length(size, number);
    if size > WHOLE_LAST_ABOVE {
        return CHUNK_LENGTH;
    }
    usize::try_from(padme(length as u64)).unwrap_or(CHUNK_LENGTH).min(CHUNK_LENGTH)
}

/// Where a chunk is to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkSource<'a> {
    /// Nowhere: it is a hole of zeros.
    Hole,
    /// In the object of this reference.
    Chunk(&'a Reference),
    /// In the object that stands at a place of a page.
    Paged {
        /// The object with the page.
        page: &'a Reference,
        /// Number of the page, from 0.
        number: u64,
        /// ChunkSource in the page, from 0.
        at: usize,
    },
}

/// Where chunk `number` of a content is; none if it has no such chunk.
#[must_use]
pub fn place(content: &Content, number: u64) -> Option<ChunkSource<'_>> {
    if number >= chunks(content.size) {
        return None;
    }
    match &content.references {
        References::Direct(all) => {
            let found = all.get(usize::try_from(number).ok()?)?;
            Some(found.as_ref().map_or(ChunkSource::Hole, ChunkSource::Chunk))
        }
        References::Paged(pages) => {
            let (page, at) = (number / PAGE_REFERENCES, number % PAGE_REFERENCES);
            let found = pages.get(usize::try_from(page).ok()?)?;
            Some(ChunkSource::Paged { page: found, number: page, at: usize::try_from(at).ok()? })
        }
    }
}

/// Why an object is not the piece of the file that it should be. Nothing of it was let out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PieceError {
    /// It was not opened.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// It was opened and has another length, padding or number of references than its place asks
    /// for: its author is at fault.
    #[error("the object is no piece of this file")]
    Shape,
}

/// Opens chunk `number` of a file of `size` bytes, in place: `buffer` holds the sealed object, and
/// then the file's bytes.
///
/// # Errors
/// [`PieceError`]: `buffer` is empty, and was wiped.
pub fn open_chunk(
    keys: &SafeKeys,
    size: u64,
    number: u64,
    reference: &Reference,
    buffer: &mut Vec<u8>,
) -> Result<(), PieceError> {
    open_piece(keys, ObjectKind::Chunk, (size, number), reference, buffer)
}

/// The same for an object that was hashed where it came in: the file's bytes, in the same room.
///
/// # Errors
/// [`PieceError`]: the bytes were wiped.
pub fn open_hashed_chunk(
    keys: &SafeKeys,
    size: u64,
    number: u64,
    reference: &Reference,
    sealed: Hashed,
) -> Result<Wiped, PieceError> {
    let mut bytes = object::open_hashed(keys, reference, ObjectKind::Chunk, sealed)?;
    let length = file_bytes(&bytes, size, number).ok_or(PieceError::Shape)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// How many of a chunk's bytes are the file's, where it has the length and padding of its place.
fn file_bytes(chunk: &[u8], size: u64, number: u64) -> Option<usize> {
    let length = chunk_length(size, number);
    let is_padding = |rest: &[u8]| rest.iter().all(|byte| *byte == 0);
    let fits = chunk.len() == padded_length(size, number) && chunk.get(length..).is_some_and(is_padding);
    fits.then_some(length)
}

/// The same for chunk `number` of a snapshot of `size` bytes.
///
/// # Errors
/// [`PieceError`]: `buffer` is empty, and was wiped.
pub fn open_snapshot_chunk(
    keys: &SafeKeys,
    size: u64,
    number: u64,
    reference: &Reference,
    buffer: &mut Vec<u8>,
) -> Result<(), PieceError> {
    open_piece(keys, ObjectKind::Snapshot, (size, number), reference, buffer)
}

fn open_piece(
    keys: &SafeKeys,
    kind: ObjectKind,
    (size, number): (u64, u64),
    reference: &Reference,
    buffer: &mut Vec<u8>,
) -> Result<(), PieceError> {
    object::open(keys, reference, kind, buffer)?;
    let Some(length) = file_bytes(buffer, size, number) else {
        buffer.zeroize();
        return Err(PieceError::Shape);
    };
    buffer.truncate(length);
    Ok(())
}

/// Opens page `number` of a file of `size` bytes: the references of its chunks. `buffer` holds the
/// sealed object, and nothing afterwards.
///
/// # Errors
/// [`PieceError`].
pub fn open_page(
    keys: &SafeKeys,
    size: u64,
    number: u64,
    reference: &Reference,
    buffer: &mut Vec<u8>,
) -> Result<Vec<Option<Reference>>, PieceError> {
    let found = open_any_page(keys, reference, buffer)?;
    let rest = chunks(size).saturating_sub(number.saturating_mul(PAGE_REFERENCES));
    if found.len() as u64 == rest.min(PAGE_REFERENCES) { Ok(found) } else { Err(PieceError::Shape) }
}

/// Opens a page wherever it stands: what it names. Whoever throws away what nothing names must not
/// go by what one content says of a page's place, when another one names the same page.
///
/// # Errors
/// [`PieceError`].
pub fn open_any_page(
    keys: &SafeKeys,
    reference: &Reference,
    buffer: &mut Vec<u8>,
) -> Result<Vec<Option<Reference>>, PieceError> {
    object::open(keys, reference, ObjectKind::Page, buffer)?;
    let read: Result<Vec<Option<Reference>>, _> = codec::decode(buffer, PAGE_MAX_BYTES);
    buffer.zeroize();
    read.map_err(|_| PieceError::Shape)
}

/// Where sealed objects go before anything names them.
pub trait Keep {
    /// Why an object could not be kept.
    type Error;

    /// Keeps an object: these bytes, under the reference's id and hash. Nothing else ever has them
    /// together.
    ///
    /// # Errors
    /// What went wrong; the content is then not made.
    fn keep(&mut self, reference: &Reference, sealed: &[u8]) -> Result<(), Self::Error>;
}

/// Why a content was not made. What was kept of it is named by nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealingError<E> {
    /// No random bytes for an id.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    /// The file is above 1 TiB.
    #[error("a file has {FILE_MAX_BYTES} bytes at most")]
    TooLarge,
    /// A piece behind the last one, an empty one, or a longer one than a chunk: the caller's fault.
    #[error("a file has whole chunks up to its last")]
    OutOfPlace,
    /// A reference that can't be named again: of another epoch than the file's objects are sealed
    /// in, or in a file that is too small for it. The caller's fault.
    #[error("what was sealed before is not named again here")]
    NotAgain,
    /// An object could not be kept.
    #[error("an object could not be kept")]
    Keep(E),
}

/// A page of the content that a file had before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlierPage {
    /// Number of the page, from 0.
    pub number: u64,
    /// The object that it is in.
    pub page: Reference,
    /// What stands in it.
    pub references: Vec<Option<Reference>>,
}

/// A file that is being sealed, piece by piece, from its beginning.
pub struct Sealing<'a> {
    key: EpochKey<'a>,
    /// What its pieces are.
    kind: ObjectKind,
    /// The hash of all bytes so far, and what makes a digest of it; none where there is no such
    /// key, or a hole: hashing a terabyte of nothing would take minutes.
    digest: Option<(DigestKey, Box<Zeroizing<blake3::Hasher>>)>,
    size: u64,
    /// References that stand in no page yet.
    waiting: Vec<Option<Reference>>,
    pages: Vec<Reference>,
    /// The page that stands again if the next one turns out to be the same.
    earlier: Option<EarlierPage>,
    /// Whether a piece was named again.
    again: bool,
    /// Room for one page, which comes and goes.
    page: Vec<u8>,
}

impl<'a> Sealing<'a> {
    /// Begins a file whose objects are sealed under `key`. `first` is the safe's key of epoch 0,
    /// where this device has it: only then the content gets a digest.
    #[must_use]
    pub fn new(key: EpochKey<'a>, first: Option<EpochKey<'_>>) -> Self {
        let digest = first.and_then(|first| first.digest_key()).map(|key| (key, Box::default()));
        let (waiting, pages, page) = (Vec::new(), Vec::new(), Vec::new());
        let kind = ObjectKind::Chunk;
        Self { key, kind, digest, size: 0, waiting, pages, earlier: None, again: false, page }
    }

    /// Begins a snapshot: what is sealed can't be taken for a file's, and has no digest.
    #[must_use]
    pub fn of_snapshot(key: EpochKey<'a>) -> Self {
        Self { kind: ObjectKind::Snapshot, ..Self::new(key, None) }
    }

    /// Bytes of the file so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Seals the next bytes of the file, a whole chunk or the last piece, and keeps them. They are
    /// sealed where they are: `buffer` is of no use to anybody afterwards but as room.
    ///
    /// # Errors
    /// [`SealingError`].
    pub fn piece<K: Keep>(
        &mut self,
        buffer: &mut Vec<u8>,
        entropy: &mut dyn Entropy,
        keep: &mut K,
    ) -> Result<(), SealingError<K::Error>> {
        let number = self.take(buffer.len() as u64)?;
        if let Some((_, hasher)) = &mut self.digest {
            hasher.update(buffer);
        }
        buffer.resize(padded_length(self.size, number), 0);
        let reference = object::seal(&self.key, self.kind, buffer, entropy)?;
        keep.keep(&reference, buffer).map_err(SealingError::Keep)?;
        self.push(Some(reference), entropy, keep)
    }

    /// Names again the object that holds the next bytes of the file, a whole chunk or the last
    /// piece, since the content that it had before. Nothing is sealed: the caller has opened that
    /// object as this chunk, and found these very bytes and their padding in it.
    ///
    /// # Errors
    /// [`SealingError`]: [`SealingError::NotAgain`] for an object of an earlier key, which somebody
    /// may have who is in the safe no more.
    pub fn again<K: Keep>(
        &mut self,
        reference: &Reference,
        plaintext: &[u8],
        entropy: &mut dyn Entropy,
        keep: &mut K,
    ) -> Result<(), SealingError<K::Error>> {
        if reference.epoch != self.key.epoch().number {
            return Err(SealingError::NotAgain);
        }
        self.take(plaintext.len() as u64)?;
        if let Some((_, hasher)) = &mut self.digest {
            hasher.update(plaintext);
        }
        self.again = true;
        self.push(Some(*reference), entropy, keep)
    }

    /// Names the object that holds the next whole chunk of the file, of which the caller knows that
    /// nobody has written to it: one of the content that it had before (`fresh` is false), or one
    /// that was sealed for this very content already. Nobody reads it for that, so there is no
    /// digest.
    ///
    /// # Errors
    /// [`SealingError`]: [`SealingError::NotAgain`] for an object of an earlier key, as
    /// [`Self::again`].
    pub fn untouched<K: Keep>(
        &mut self,
        reference: &Reference,
        fresh: bool,
        entropy: &mut dyn Entropy,
        keep: &mut K,
    ) -> Result<(), SealingError<K::Error>> {
        if reference.epoch != self.key.epoch().number {
            return Err(SealingError::NotAgain);
        }
        self.take(CHUNK_BYTES)?;
        self.digest = None;
        self.again |= !fresh;
        self.push(Some(*reference), entropy, keep)
    }

    /// A page of the content before: it stands again, if the page of its number turns out to have
    /// the very same references. Forgotten with the next page, whichever that is.
    pub fn page_again(&mut self, earlier: EarlierPage) {
        self.earlier = Some(earlier);
    }

    /// Notes a hole of zeros: a whole chunk, or the last piece.
    ///
    /// # Errors
    /// [`SealingError`].
    pub fn hole<K: Keep>(
        &mut self,
        length: u64,
        entropy: &mut dyn Entropy,
        keep: &mut K,
    ) -> Result<(), SealingError<K::Error>> {
        self.take(length)?;
        self.digest = None;
        self.push(None, entropy, keep)
    }

    /// The number of the next piece, whose length now counts.
    fn take<E>(&mut self, length: u64) -> Result<u64, SealingError<E>> {
        if !self.size.is_multiple_of(CHUNK_BYTES) || length == 0 || length > CHUNK_BYTES {
            return Err(SealingError::OutOfPlace);
        }
        let number = self.size / CHUNK_BYTES;
        self.size = self.size.saturating_add(length);
        if self.size > FILE_MAX_BYTES { Err(SealingError::TooLarge) } else { Ok(number) }
    }

    fn push<K: Keep>(
        &mut self,
        reference: Option<Reference>,
        entropy: &mut dyn Entropy,
        keep: &mut K,
    ) -> Result<(), SealingError<K::Error>> {
        self.waiting.push(reference);
        if self.waiting.len() as u64 == PAGE_REFERENCES { self.seal_page(entropy, keep) } else { Ok(()) }
    }

    fn seal_page<K: Keep>(
        &mut self,
        entropy: &mut dyn Entropy,
        keep: &mut K,
    ) -> Result<(), SealingError<K::Error>> {
        let (number, epoch) = (self.pages.len() as u64, self.key.epoch().number);
        let same = |earlier: &EarlierPage| {
            earlier.number == number && earlier.page.epoch == epoch && earlier.references == self.waiting
        };
        if let Some(earlier) = self.earlier.take().filter(same) {
            self.pages.push(earlier.page);
            self.waiting.clear();
            return Ok(());
        }
        self.page.clear();
        self.page.extend_from_slice(&codec::encode(&self.waiting));
        let reference = object::seal(&self.key, ObjectKind::Page, &mut self.page, entropy)?;
        keep.keep(&reference, &self.page).map_err(SealingError::Keep)?;
        self.pages.push(reference);
        self.waiting.clear();
        Ok(())
    }

    /// Ends the file: what an entry says of it. One whose references need no page has all of its
    /// objects anew: who keeps them must not see how much of a small file has changed.
    ///
    /// # Errors
    /// [`SealingError`]: [`SealingError::NotAgain`] where a small file names one again.
    pub fn finish<K: Keep>(
        mut self,
        entropy: &mut dyn Entropy,
        keep: &mut K,
    ) -> Result<Content, SealingError<K::Error>> {
        let references = if self.pages.is_empty() && self.waiting.len() <= DIRECT_MAX {
            if self.again {
                return Err(SealingError::NotAgain);
            }
            References::Direct(self.waiting.into())
        } else {
            if !self.waiting.is_empty() {
                self.seal_page(entropy, keep)?;
            }
            References::Paged(self.pages)
        };
        let digest = self.digest.map(|(key, hasher)| digest(&key, hasher.finalize().as_bytes()));
        Ok(Content { size: self.size, digest, references })
    }
}

/// The digest of a plaintext whose BLAKE3 this is.
fn digest(key: &DigestKey, plaintext: &[u8; 32]) -> ContentDigest {
    ContentDigest::from_bytes(then_wipe_stack(|| {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mac = Hmac::<Sha256>::new_from_slice(key.expose()).expect("HMAC takes 32 bytes");
        mac.chain_update(plaintext).finalize().into_bytes().into()
    }))
}
