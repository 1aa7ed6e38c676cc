//! The pieces of contents: the objects that a content names itself, and those that its pages name.
//!
//! Decides that a page is read here where it is here, and fetched otherwise: without it nobody
//! knows what it names. Refuses a page that is not the very one that was named.

use std::collections::BTreeSet;
use std::sync::Arc;

use parsec_protocol::control::Problem;
use parsec_protocol::ids::SafeId;
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::safes::content::{open_chunk, open_page};
use parsec_protocol::safes::content_ref::{Content, PAGE_REFERENCES, Reference, References};
use parsec_protocol::safes::keys::SafeKeys;

use super::server;
use crate::os::blocking_in;
use crate::session::Session;
use crate::store::{PieceHere, StoreError};

/// Which piece of a file an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Chunk(u64),
    Page(u64),
}

/// One object of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) reference: Reference,
    /// Size of the file that it is a piece of.
    pub(crate) size: u64,
    pub(crate) part: Part,
}

impl Piece {
    /// Opens its very bytes, and looks whether they are what their place asks for.
    pub(super) fn opens(&self, keys: &SafeKeys, bytes: &mut Vec<u8>) -> bool {
        use parsec_protocol::safes::content::PieceError;
        use parsec_protocol::safes::object::ObjectError;
        let opened = match self.part {
            Part::Chunk(number) => open_chunk(keys, self.size, number, &self.reference, bytes),
            Part::Page(number) => open_page(keys, self.size, number, &self.reference, bytes).map(drop),
        };
        match opened {
            // Whoever lacks the key can't tell, and says so by the key.
            Ok(()) | Err(PieceError::Object(ObjectError::NoKey)) => true,
            Err(PieceError::Object(ObjectError::Hash | ObjectError::Sealed) | PieceError::Shape) => false,
        }
    }
}

/// What is known of a page.
#[derive(Debug)]
pub(crate) enum PageRead {
    /// What it names; and whether it had to be fetched.
    Names(Vec<Option<Reference>>, bool),
    /// Nobody has it, or it is none.
    Unread,
}

/// The objects that a content names itself: its chunks, or its pages.
pub(crate) fn named(content: &Content) -> impl Iterator<Item = Piece> {
    let size = content.size;
    let (chunks, pages): (&[Option<Reference>], &[Reference]) = match &content.references {
        References::Direct(chunks) => (chunks, &[]),
        References::Paged(pages) => (&[], pages),
    };
    let chunks = (0..).zip(chunks).filter_map(move |(number, reference)| {
        reference.map(|reference| Piece { reference, size, part: Part::Chunk(number) })
    });
    let pages = (0..).zip(pages);
    let pages =
        pages.map(move |(number, reference)| Piece { reference: *reference, size, part: Part::Page(number) });
    chunks.chain(pages)
}

/// The chunks that a page names.
pub(crate) fn of_page(size: u64, page: u64, names: Vec<Option<Reference>>) -> impl Iterator<Item = Piece> {
    let from = page.saturating_mul(PAGE_REFERENCES);
    (from..).zip(names).filter_map(move |(number, reference)| {
        reference.map(|reference| Piece { reference, size, part: Part::Chunk(number) })
    })
}

/// Reads a page, here or from the server.
///
/// # Errors
/// The server's and the store's.
pub(crate) async fn page(
    session: &Session,
    safe: SafeId,
    keys: &Arc<SafeKeys>,
    piece: Piece,
) -> Result<PageRead, Problem> {
    let (open, with) = (Arc::clone(&session.open), Arc::clone(keys));
    let here = blocking_in(&session.tasks, move || {
        let Reference { object, blake3, .. } = piece.reference;
        Ok::<_, StoreError>(match open.store.look_at_piece(safe, object, &blake3)? {
            PieceHere::Right(mut bytes) => Some(names(&with, piece, &mut bytes)),
            PieceHere::Absent | PieceHere::Damaged => None,
        })
    })
    .await?;
    if let Some(names) = here {
        return Ok(names.map_or(PageRead::Unread, |names| PageRead::Names(names, false)));
    }
    let mut asked = BTreeSet::from([piece.reference.object]);
    let came = server::next(session, safe, &mut asked).await?.came.pop();
    let Some(mut came) = came.filter(|came| ObjectHash::of(&came.bytes) == piece.reference.blake3) else {
        return Ok(PageRead::Unread);
    };
    let with = Arc::clone(keys);
    let names =
        blocking_in(&session.tasks, move || Ok::<_, StoreError>(names(&with, piece, &mut came.bytes)))
            .await?;
    Ok(names.map_or(PageRead::Unread, |names| PageRead::Names(names, true)))
}

fn names(keys: &SafeKeys, piece: Piece, bytes: &mut Vec<u8>) -> Option<Vec<Option<Reference>>> {
    let Part::Page(number) = piece.part else { return None };
    open_page(keys, piece.size, number, &piece.reference, bytes).ok()
}
