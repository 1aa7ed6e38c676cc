//! What stands behind the pages of large files: which chunks they name.
//!
//! Decides that a page which nobody can open names nothing. Refuses to go on without a page that it
//! was to look into: whoever throws away what nothing names must have looked everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_protocol::ids::ObjectId;
use parsec_protocol::limits::OBJECT_MAX_BYTES;
use parsec_protocol::safes::content::{PieceError, open_any_page};
use parsec_protocol::safes::content_ref::{Content, Reference, References};
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::object::{Hashed, ObjectError};
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

/// Every page once: by all that its reference says, since one content may name another's page with
/// an epoch or hash that is none of it.
fn pages_of(contents: &[Content]) -> Vec<Reference> {
    let mut seen = BTreeSet::new();
    let mut pages = Vec::new();
    for content in contents {
        let References::Paged(named) = &content.references else { continue };
        let fresh =
            named.iter().filter(|page| seen.insert((page.object, page.epoch, *page.blake3.as_bytes())));
        pages.extend(fresh.copied());
    }
    pages
}

/// What came of one page.
enum Looked {
    /// The chunks that it names; none where its author sealed what is no page, or under a key that
    /// nobody has: nobody reads a file by it.
    Named(Vec<ObjectId>),
    /// The bytes are not those that this reference says. Another one may be right.
    Other(Problem),
}

fn looked(
    keys: &SafeKeys,
    lost: &dyn Fn(u64) -> bool,
    page: &Reference,
    mut bytes: Zeroizing<Vec<u8>>,
) -> Result<Looked, Problem> {
    match open_any_page(keys, page, &mut bytes) {
        Ok(references) => {
            Ok(Looked::Named(references.into_iter().flatten().map(|reference| reference.object).collect()))
        }
        Err(PieceError::Object(ObjectError::Sealed) | PieceError::Shape) => Ok(Looked::Named(Vec::new())),
        Err(PieceError::Object(ObjectError::NoKey)) if lost(page.epoch) => Ok(Looked::Named(Vec::new())),
        Err(error @ PieceError::Object(ObjectError::NoKey)) => Err(GetError::from(error).into()),
        Err(error @ PieceError::Object(ObjectError::Hash)) => Ok(Looked::Other(GetError::from(error).into())),
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
    let (keys, epochs) = {
        let memory = safe.memory().await;
        // Of an epoch that never was nobody has a key; of one that was declared lost neither.
        let lost: Vec<bool> = memory.verified.epochs().iter().map(|epoch| epoch.lost).collect();
        (Arc::new(memory.keys.copied()), Arc::new(lost))
    };
    let objects = HereAndThere::new(session, safe);
    let (mut opened, mut others) = (BTreeSet::new(), BTreeMap::new());
    for part in pages_of(contents).chunks(PAGES_AT_ONCE) {
        let most = part.len().saturating_mul(OBJECT_MAX_BYTES);
        let found = match source {
            Source::Anywhere => {
                let found = objects.fetch(part, most).await?;
                if found.len() != part.len() {
                    let text = "A part of the contents did not come.";
                    return Err(Problem::new(ProblemKind::ContentsUnavailable, text));
                }
                part.iter().copied().zip(found).collect::<Vec<_>>()
            }
            Source::Here => {
                let id = safe.id;
                let asked: Vec<_> = part.iter().map(|page| (page.object, page.blake3)).collect();
                let mut here = session.store(move |store| store.pieces_here(id, &asked, most)).await?;
                part.iter().filter_map(|page| Some((*page, here.found.remove(&page.object)?))).collect()
            }
        };
        let (keys, epochs) = (Arc::clone(&keys), Arc::clone(&epochs));
        let looked = blocking_in(&session.tasks, move || {
            let lost = |epoch: u64| {
                usize::try_from(epoch).ok().and_then(|epoch| epochs.get(epoch)).copied().unwrap_or(true)
            };
            let look = |(page, sealed): (Reference, Hashed)| {
                let bytes = Zeroizing::new(sealed.into_inner());
                Ok::<_, Problem>((page.object, looked(&keys, &lost, &page, bytes)?))
            };
            found.into_iter().map(look).collect::<Result<Vec<_>, _>>()
        });
        for (page, looked) in looked.await? {
            match looked {
                Looked::Named(chunks) => {
                    opened.insert(page);
                    chunks.into_iter().for_each(&mut tell);
                }
                Looked::Other(problem) => {
                    others.insert(page, problem);
                }
            }
        }
    }
    // A page that no reference fits: what it names, nobody can say.
    match others.into_iter().find(|(page, _)| !opened.contains(page)) {
        Some((_, problem)) if source == Source::Anywhere => Err(problem),
        Some(_) | None => Ok(()),
    }
}
