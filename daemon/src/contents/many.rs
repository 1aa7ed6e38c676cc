//! Several small files in one open file, one right behind the other: into sealed objects, and back.
//!
//! Decides that each is one piece at most. Nothing of them is kept where their bytes are not
//! exactly those that were promised, and nothing written before all of them were fetched; each is
//! verified before a byte of it leaves.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use parsec_protocol::control::{FILE_OF_MANY_MAX_BYTES, Problem, ProblemKind};
use parsec_protocol::keys::Entropy;
use parsec_protocol::safes::content::{ChunkSource, Sealing, chunks, padded_length, place};
use parsec_protocol::safes::content_ref::{CHUNK_BYTES, Content, Reference};
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::object::OBJECT_TAG_BYTES;
use rustix::fs::SeekFrom;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use super::get::{GetError, Objects, Piece, Sink};
use super::open_file::{FileError, OpenFile};
use super::put::{PutError, PutKeys, Stage, Staging, Taken, of_sealing, read_as_it_was};
use super::stop::stop;
use crate::os::blocking_in;

const _: () = assert!(FILE_OF_MANY_MAX_BYTES <= CHUNK_BYTES, "each is one piece");

/// Reads files of these sizes, each of [`FILE_OF_MANY_MAX_BYTES`] at most, and seals each.
///
/// # Errors
/// [`PutError`]; nothing of any is kept.
pub(super) fn take<S: Stage>(
    file: &OpenFile,
    sizes: &[u64],
    keys: PutKeys<'_>,
    stage: &mut S,
    entropy: &mut dyn Entropy,
) -> Result<Vec<Taken>, PutError> {
    let mut staging = Staging::new(stage);
    let sealed = read_and_seal(file, sizes, keys, &mut staging, entropy);
    let (contents, objects) = staging.end(sealed)?;
    let mut objects = objects.into_iter();
    Ok(contents
        .into_iter()
        .map(|content| {
            let objects = objects.by_ref().take(usize::from(content.size > 0)).collect();
            Taken { content, objects }
        })
        .collect())
}

fn read_and_seal<S: Stage>(
    file: &OpenFile,
    sizes: &[u64],
    keys: PutKeys<'_>,
    staging: &mut Staging<'_, S>,
    entropy: &mut dyn Entropy,
) -> Result<Vec<Content>, PutError> {
    let before = file.stat()?;
    let base = if file.is_seekable() { file.seek(SeekFrom::Current(0))?.unwrap_or_default() } else { 0 };
    let expected = sizes.iter().copied().fold(0, u64::saturating_add);
    let mut found = 0_u64;
    let mut contents = Vec::with_capacity(sizes.len());
    for size in sizes {
        let mut sealing = Sealing::new(keys.present, keys.first);
        let length = usize::try_from(*size).map_err(|_| PutError::TooLarge)?;
        if length > 0 {
            // Sealing adds padding and a tag: with room for them it never moves.
            let mut buffer = Zeroizing::new(Vec::with_capacity(length + length / 8 + 32));
            buffer.resize(length, 0);
            let read = file.fill(&mut buffer, base.saturating_add(found))?;
            found = found.saturating_add(read as u64);
            if read < length {
                return Err(PutError::OtherSize { expected, found });
            }
            sealing.piece(&mut buffer, entropy, staging).map_err(of_sealing)?;
        }
        contents.push(sealing.finish(entropy, staging).map_err(of_sealing)?);
    }
    if file.fill(&mut [0; 1], base.saturating_add(found))? > 0 {
        return Err(PutError::OtherSize { expected, found: found.saturating_add(1) });
    }
    read_as_it_was(file, &before, base.saturating_add(found))?;
    Ok(contents)
}

/// Where a file is that is one piece at most; none where it is empty, or a hole.
fn reference(content: &Content) -> Result<Option<Reference>, GetError> {
    if !content.fits() || chunks(content.size) > 1 {
        return Err(GetError::Shape);
    }
    match place(content, 0) {
        None | Some(ChunkSource::Hole) => Ok(None),
        Some(ChunkSource::Chunk(reference)) => Ok(Some(*reference)),
        Some(ChunkSource::Paged { .. }) => Err(GetError::Shape),
    }
}

/// Writes the contents of files to `file`, from where it is: how many bytes. Ends early when it is
/// dropped.
///
/// # Errors
/// [`GetError`] as a problem, and those of [`Objects::fetch`].
pub(super) async fn give<O: Objects>(
    tasks: &TaskTracker,
    objects: &O,
    keys: Arc<SafeKeys>,
    contents: Vec<Content>,
    file: OwnedFd,
) -> Result<u64, Problem> {
    let references: Vec<_> = contents.iter().map(reference).collect::<Result<_, _>>()?;
    let failed = |source| FileError::Io { what: "beginning to write", source };
    let (stopper, stop) = stop().map_err(failed)?;
    let file = OpenFile::to_write(file, stop)?;
    let wanted: Vec<Reference> = references.iter().copied().flatten().collect();
    let sealed = |content: &Content| padded_length(content.size, 0).saturating_add(OBJECT_TAG_BYTES);
    let most = contents.iter().map(sealed).fold(0, usize::saturating_add);
    let mut came = objects.fetch(&wanted, most).await?.into_iter();
    let lost = || Problem::new(ProblemKind::ContentsUnavailable, "A part of the contents did not come.");
    let mut pieces: Vec<(u64, Piece)> = Vec::with_capacity(contents.len());
    for (content, reference) in contents.iter().zip(references).filter(|(content, _)| content.size > 0) {
        let found = match reference {
            Some(reference) => Some((reference, came.next().ok_or_else(lost)?)),
            None => None,
        };
        pieces.push((content.size, (0, found)));
    }
    let written = blocking_in(tasks, move || {
        let mut sink = Sink::new(file, keys, 0)?;
        for (size, piece) in pieces {
            sink.write_of(size, vec![piece])?;
        }
        Ok::<_, GetError>(sink.finish()?)
    });
    written.await?;
    drop(stopper);
    Ok(contents.iter().map(|content| content.size).fold(0, u64::saturating_add))
}
