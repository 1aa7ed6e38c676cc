//! From sealed objects into an open file.
//!
//! Decides in which order objects are asked for: a few at a time, the next ones while those before
//! are still on their way or written, so that memory is bounded whatever the size. Refuses to write
//! a single byte that was not verified: each piece has its hash compared, is opened, and has the
//! length that its place asks for, before any of it leaves. What was written before a failure is a
//! true beginning.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::limits::OBJECT_MAX_BYTES;
use parsec_protocol::safes::content::{
    ChunkSource, PieceError, chunk_length, chunks, open_hashed_chunk, open_page, place,
};
use parsec_protocol::safes::content_ref::{Content, Reference};
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::object::{Hashed, ObjectError};
use rustix::fs::SeekFrom;
use tokio_util::task::TaskTracker;

use super::open_file::{FileError, OpenFile};
use super::stop::stop;
use crate::os::blocking_in;

/// Pieces that are asked for together: 2 MiB.
const WINDOW: u64 = 4;
/// Windows that are asked for, or have come and wait, while one is written: where nothing is slow.
/// Together with that one 8 MiB.
pub(super) const AHEAD: usize = 3;
/// Zeros that are written at once where a hole can't be left.
static ZEROS: [u8; 65_536] = [0; 65_536];

/// Who gets sealed objects.
pub(crate) trait Objects: Sync {
    /// The bytes of each, in their order, as they came, `most` together, with the hash that they
    /// have: whoever asks compares it with the one that they should have.
    ///
    /// # Errors
    /// `contents_damaged` where they are more; `contents_unavailable`, the server's, the store's.
    fn fetch(
        &self,
        wanted: &[Reference],
        most: usize,
    ) -> impl Future<Output = Result<Vec<Hashed>, Problem>> + Send;

    /// Windows that may be asked for at once: one, where it is not known how fast they come.
    fn ahead(&self) -> usize {
        1
    }

    /// A page was opened, with these references in it.
    fn opened(&self, _page: &Reference, _references: &[Option<Reference>]) {}
}

/// Why contents were not let out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GetError {
    /// The open file.
    #[error(transparent)]
    File(#[from] FileError),
    /// An object is not the piece it should be.
    #[error(transparent)]
    Piece(#[from] PieceError),
    /// The entry names another number of objects than its size asks for.
    #[error("the file's entry does not say where its contents are")]
    Shape,
}

impl From<GetError> for Problem {
    fn from(error: GetError) -> Self {
        match error {
            GetError::File(error) => error.into(),
            GetError::Piece(PieceError::Object(ObjectError::NoKey)) => {
                Self::new(ProblemKind::SafeKeyMissing, "This device has no key for a part of the contents.")
            }
            GetError::Piece(PieceError::Object(ObjectError::Hash)) => Self::new(
                ProblemKind::ContentsDamaged,
                "What came is not what the file's author sealed; nothing of it was let through.",
            ),
            GetError::Piece(PieceError::Object(ObjectError::Sealed) | PieceError::Shape)
            | GetError::Shape => Self::new(
                ProblemKind::SafeUntrusted,
                "The member who wrote the file sealed something that is no part of one.",
            ),
        }
    }
}

/// One piece: its number, and the object that it is in; none for a hole.
pub(super) type Piece = (u64, Option<(Reference, Hashed)>);

/// The pieces of a file, a window at a time.
pub(super) struct Pieces<'a, O> {
    objects: &'a O,
    keys: &'a SafeKeys,
    content: &'a Content,
    next: u64,
    /// The page that was opened last.
    page: Option<(u64, Vec<Option<Reference>>)>,
}

impl<'a, O: Objects> Pieces<'a, O> {
    pub(super) const fn new(objects: &'a O, keys: &'a SafeKeys, content: &'a Content) -> Self {
        Self { objects, keys, content, next: 0, page: None }
    }

    /// The next window, whole; empty behind the last.
    pub(super) async fn window(&mut self) -> Result<Vec<Piece>, Problem> {
        let places = self.places().await?;
        self.bring(places).await
    }

    /// Where the pieces of the next window are; none behind the last.
    async fn places(&mut self) -> Result<Vec<(u64, Option<Reference>)>, Problem> {
        let end = self.next.saturating_add(WINDOW).min(chunks(self.content.size));
        let mut places = Vec::new();
        for number in self.next..end {
            places.push((number, self.reference(number).await?));
        }
        self.next = end;
        Ok(places)
    }

    /// The pieces that are there.
    fn bring(
        &self,
        places: Vec<(u64, Option<Reference>)>,
    ) -> impl Future<Output = Result<Vec<Piece>, Problem>> + Send + use<'a, O> {
        let objects = self.objects;
        async move {
            let wanted: Vec<Reference> = places.iter().filter_map(|(_, reference)| *reference).collect();
            let mut came = if wanted.is_empty() {
                Vec::new().into_iter()
            } else {
                objects.fetch(&wanted, wanted.len().saturating_mul(OBJECT_MAX_BYTES)).await?.into_iter()
            };
            let lost =
                || Problem::new(ProblemKind::ContentsUnavailable, "A part of the contents did not come.");
            places
                .into_iter()
                .map(|(number, reference)| {
                    let found = reference.map(|reference| Some((reference, came.next()?)));
                    found.map_or(Ok((number, None)), |found| Ok((number, Some(found.ok_or_else(lost)?))))
                })
                .collect()
        }
    }

    async fn reference(&mut self, number: u64) -> Result<Option<Reference>, Problem> {
        let at = match place(self.content, number).ok_or(GetError::Shape)? {
            ChunkSource::Hole => return Ok(None),
            ChunkSource::Chunk(reference) => return Ok(Some(*reference)),
            ChunkSource::Paged { page, number, at } => {
                if self.page.as_ref().is_none_or(|(known, _)| *known != number) {
                    let came = self.objects.fetch(&[*page], OBJECT_MAX_BYTES).await?.pop();
                    let lost =
                        || Problem::new(ProblemKind::ContentsUnavailable, "The contents did not come.");
                    let mut bytes = came.ok_or_else(lost)?.into_inner();
                    let opened = open_page(self.keys, self.content.size, number, page, &mut bytes);
                    let references = opened.map_err(GetError::from)?;
                    self.objects.opened(page, &references);
                    self.page = Some((number, references));
                }
                at
            }
        };
        let found = self.page.as_ref().and_then(|(_, references)| references.get(at));
        Ok(*found.ok_or(GetError::Shape)?)
    }
}

/// Where contents go.
pub(super) struct Sink {
    file: OpenFile,
    keys: Arc<SafeKeys>,
    size: u64,
    /// Whether a hole can be left by moving on: a regular file with nothing where it is.
    sparse: bool,
    /// Whether the last piece was such a hole, so that the file's length has yet to be set.
    open_end: bool,
}

impl Sink {
    /// For contents of `size` bytes.
    pub(super) fn new(file: OpenFile, keys: Arc<SafeKeys>, size: u64) -> Result<Self, FileError> {
        let sparse = file.is_seekable() && !file.appends() && {
            let end = u64::try_from(file.stat()?.st_size).unwrap_or_default();
            // What was there before would show through a hole.
            file.seek(SeekFrom::Current(0))?.is_some_and(|place| place >= end)
        };
        Ok(Self { file, keys, size, sparse, open_end: false })
    }

    fn write(&mut self, pieces: Vec<Piece>) -> Result<(), GetError> {
        self.write_of(self.size, pieces)
    }

    /// Pieces of other contents, of that size.
    pub(super) fn write_of(&mut self, size: u64, pieces: Vec<Piece>) -> Result<(), GetError> {
        for (number, found) in pieces {
            match found {
                Some((reference, sealed)) => {
                    let bytes = open_hashed_chunk(&self.keys, size, number, &reference, sealed)?;
                    self.file.write(&bytes)?;
                    self.open_end = false;
                }
                None => self.hole(chunk_length(size, number))?,
            }
        }
        Ok(())
    }

    fn hole(&mut self, length: usize) -> Result<(), FileError> {
        if self.sparse {
            self.file.seek(SeekFrom::Current(i64::try_from(length).unwrap_or_default()))?;
            self.open_end = true;
            return Ok(());
        }
        let mut left = length;
        while left > 0 {
            let piece = ZEROS.get(..left).unwrap_or(&ZEROS);
            self.file.write(piece)?;
            left -= piece.len();
        }
        Ok(())
    }

    /// Makes the file as long as what was written, holes at its end included.
    pub(super) fn finish(&self) -> Result<(), FileError> {
        if self.open_end {
            let place = self.file.seek(SeekFrom::Current(0))?;
            self.file.set_length(place.unwrap_or_default())?;
        }
        Ok(())
    }
}

/// Writes the contents to `file`, from where it is: how many bytes. Ends early when it is dropped.
///
/// # Errors
/// [`GetError`] as a problem, and those of [`Objects::fetch`].
pub(crate) async fn get<O: Objects>(
    tasks: &TaskTracker,
    objects: &O,
    keys: Arc<SafeKeys>,
    content: &Content,
    file: OwnedFd,
) -> Result<u64, Problem> {
    if !content.fits() {
        return Err(GetError::Shape.into());
    }
    let failed = |source| FileError::Io { what: "beginning to write", source };
    let (stopper, stop) = stop().map_err(failed)?;
    let file = OpenFile::to_write(file, stop)?;
    let mut sink = Sink::new(file, Arc::clone(&keys), content.size)?;
    let mut pieces = Pieces::new(objects, &keys, content);
    // In their order, however they come: those on their way, and those that have come.
    let (mut coming, mut come) = (FuturesOrdered::new(), VecDeque::new());
    let mut ended = Ok(());
    loop {
        while ended.is_ok() && coming.len().saturating_add(come.len()) < objects.ahead() {
            match pieces.places().await {
                Ok(places) if places.is_empty() => break,
                Ok(places) => coming.push_back(pieces.bring(places)),
                // What comes before it is written all the same.
                Err(problem) => ended = Err(problem),
            }
        }
        let window = match come.pop_front() {
            Some(window) => window,
            None => match coming.next().await {
                Some(window) => window?,
                None => break,
            },
        };
        let mut writing = pin!(blocking_in(tasks, move || sink.write(window).map(|()| sink)));
        sink = loop {
            tokio::select! {
                written = &mut writing => break written?,
                Some(window) = coming.next(), if !coming.is_empty() => match window {
                    Ok(window) => come.push_back(window),
                    Err(problem) => {
                        ended = Err(problem);
                        coming.clear();
                    }
                },
            }
        };
    }
    ended?;
    blocking_in(tasks, move || sink.finish()).await?;
    drop(stopper);
    Ok(content.size)
}
