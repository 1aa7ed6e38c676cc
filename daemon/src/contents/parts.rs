//! What a content consists of, as far as that is known without the server.
//!
//! Decides that a page of a large file is read once and remembered. Reads no contents: a page says
//! where pieces are, and nothing of what is in them.

use std::sync::Arc;

use parsec_protocol::safes::content::{chunk_length, chunks, open_page, padded_length};
use parsec_protocol::safes::content_ref::{Content, PAGE_REFERENCES, Reference, References};
use parsec_protocol::safes::keys::SafeKeys;
use parsec_protocol::safes::object::OBJECT_TAG_BYTES;

use crate::session::keeping::Page;
use crate::session::open_safes::OpenSafe;
use crate::store::{Store, StoreError};

/// A part of a content, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// So many zeros, which are nowhere.
    Hole(u64),
    /// A piece with so many bytes of the file; and most bytes that the sealed object may have.
    Piece(Reference, u64, usize),
    /// The page that the following parts stand in.
    Page(Reference),
    /// So many bytes, in pieces that a page names which is not here.
    Unknown(u64),
}

/// The references of a page: remembered, or read if it is here.
///
/// # Errors
/// The store's.
fn page(
    (store, safe, keys): (&Store, &OpenSafe, &SafeKeys),
    content: &Content,
    number: u64,
    reference: &Reference,
) -> Result<Option<Page>, StoreError> {
    if let Some(known) = safe.keeping.page(reference.object) {
        return Ok(Some(known));
    }
    let wanted = [(reference.object, reference.blake3)];
    // What is damaged here is not here any more then, and fetched again.
    let mut found = store.pieces_here(safe.id, &wanted, usize::MAX)?.found;
    let Some(piece) = found.remove(&reference.object) else { return Ok(None) };
    let mut bytes = piece.into_inner();
    let opened = open_page(keys, content.size, number, reference, &mut bytes);
    let Ok(references) = opened else { return Ok(None) };
    let found: Page = Arc::new(references);
    safe.keeping.know_page(reference.object, Arc::clone(&found));
    Ok(Some(found))
}

/// Tells of each part of a content, in order.
///
/// # Errors
/// The store's.
pub(crate) fn each(
    with: (&Store, &OpenSafe, &SafeKeys),
    content: &Content,
    tell: &mut dyn FnMut(Part) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    // One that says no true place of its bytes has none of them.
    if !content.fits() {
        return tell(Part::Unknown(content.size));
    }
    let length = |number: u64| chunk_length(content.size, number) as u64;
    let part = |number: u64, reference: Option<&Reference>| match reference {
        Some(reference) => {
            let sealed = padded_length(content.size, number).saturating_add(OBJECT_TAG_BYTES);
            Part::Piece(*reference, length(number), sealed)
        }
        None => Part::Hole(length(number)),
    };
    match &content.references {
        References::Direct(all) => (0..).zip(all).try_for_each(|(at, found)| tell(part(at, found.as_ref()))),
        References::Paged(pages) => {
            for (number, reference) in (0..).zip(pages) {
                tell(Part::Page(*reference))?;
                let first = PAGE_REFERENCES.saturating_mul(number);
                match page(with, content, number, reference)? {
                    Some(found) => {
                        (first..).zip(&*found).try_for_each(|(at, found)| tell(part(at, found.as_ref())))?;
                    }
                    None => {
                        let end = first.saturating_add(PAGE_REFERENCES).min(chunks(content.size));
                        tell(Part::Unknown((first..end).map(length).sum()))?;
                    }
                }
            }
            Ok(())
        }
    }
}
