//! What stands behind the pages of large files: which chunks they name.
//!
//! Decides that a page which nobody can open names nothing. Refuses to go on without a page that it
//! was to look into: whoever throws away what nothing names must have looked everywhere.

use std::collections::BTreeSet;
use std::sync::Arc;

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::ObjectId;
use parsec_protocol::limits::OBJECT_MAX_BYTES;
use parsec_protocol::safes::content::{PieceError, open_page};
use parsec_protocol::safes::content_ref::{Content, Reference, References};
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::object::ObjectError;
use zeroize::Zeroizing;

use super::HereAndThere;
use super::get::{GetError, Objects as _};
use crate::os::blocking_in;
use crate::session::Session;
use crate::session::open_safes::OpenSafe;

/// Pages that are looked into at once: half a megabyte each, at most.
const PAGES_AT_ONCE: usize = 4;

/// Where pages are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// On this device alone; others are passed over.
    Here,
    /// At the server too; without one of them nothing is said.
    Anywhere,
}

/// A page, and where it stands: the size of its file, its number in it.
type LocatedPage = (u64, u64, Reference);

/// Each page once, wherever it is repeated.
fn places(contents: &[Content]) -> Vec<LocatedPage> {
    let mut seen = BTreeSet::new();
    let mut places = Vec::new();
    for content in contents.iter().filter(|content| content.fits()) {
        let References::Paged(pages) = &content.references else { continue };
        let fresh = pages.iter().zip(0..).filter(|(page, _)| seen.insert(page.object));
        places.extend(fresh.map(|(page, number)| (content.size, number, *page)));
    }
    places
}

/// The chunks that a page names; nothing where its author sealed what is no page: nobody reads a
/// file by it.
fn chunks_of(
    keys: &SafeKeys,
    (size, number, page): &LocatedPage,
    mut bytes: Zeroizing<Vec<u8>>,
) -> Result<Vec<ObjectId>, Problem> {
    match open_page(keys, *size, *number, page, &mut bytes) {
        Ok(references) => Ok(references.into_iter().flatten().map(|reference| reference.object).collect()),
        Err(PieceError::Object(ObjectError::Sealed) | PieceError::Shape) => Ok(Vec::new()),
        Err(error @ PieceError::Object(ObjectError::Hash | ObjectError::NoKey)) => {
            Err(GetError::from(error).into())
        }
    }
}

/// Tells of every chunk that stands behind a page of these contents, once for each page.
///
/// # Errors
/// `contents_unavailable`, `contents_damaged`, `safe_key_missing`: a page could not be looked into.
pub(crate) async fn behind(
    session: &Session,
    safe: &OpenSafe,
    contents: &[Content],
    source: Source,
    mut tell: impl FnMut(ObjectId),
) -> Result<(), Problem> {
    let keys = Arc::new(safe.memory().await.keys.copied());
    let objects = HereAndThere::new(session, safe);
    for part in places(contents).chunks(PAGES_AT_ONCE) {
        let most = part.len().saturating_mul(OBJECT_MAX_BYTES);
        let wanted: Vec<Reference> = part.iter().map(|(_, _, page)| *page).collect();
        let found = match source {
            Source::Anywhere => {
                let found = objects.fetch(&wanted, most).await?;
                if found.len() != wanted.len() {
                    let text = "A part of the contents did not come.";
                    return Err(Problem::new(ProblemKind::ContentsUnavailable, text));
                }
                part.iter().copied().zip(found).collect::<Vec<_>>()
            }
            Source::Here => {
                let id = safe.id;
                let asked: Vec<_> = wanted.iter().map(|page| (page.object, page.blake3)).collect();
                let mut here = session.store(move |store| store.pieces_here(id, &asked, most)).await?;
                part.iter().filter_map(|at| Some((*at, here.found.remove(&at.2.object)?))).collect()
            }
        };
        let keys = Arc::clone(&keys);
        let chunks = blocking_in(&session.tasks, move || {
            found.into_iter().map(|(at, bytes)| chunks_of(&keys, &at, bytes)).collect::<Result<Vec<_>, _>>()
        });
        chunks.await?.into_iter().flatten().for_each(&mut tell);
    }
    Ok(())
}
