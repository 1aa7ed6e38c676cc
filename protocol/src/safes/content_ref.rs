//! What an entry says of its content: a size, a digest, and which objects hold the bytes.
//!
//! Decides how references are written and which number of them fits a size. Refuses none of the
//! bytes behind them: what an object holds is found by who opens it.

use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

use crate::ids::{ObjectId, debug_as_hex, fixed_bytes};
use crate::object_hash::ObjectHash;

/// Bytes of a file in one chunk, and so behind one reference.
pub const CHUNK_BYTES: u64 = 524_288;
/// Most references that stand in an entry itself; above, they are in pages.
pub const DIRECT_MAX: usize = 16;
/// References in one page. The last page holds the rest.
pub const PAGE_REFERENCES: u64 = 1_024;
/// Largest file, in bytes: 1 TiB. Its pages' references still fit a record (2,048 of them).
pub const FILE_MAX_BYTES: u64 = 1 << 40;

fixed_bytes! {
    /// A keyed digest of a file's plaintext, under a key that only members of the safe have: two
    /// equal files show as equal, and nothing else can be learned of it.
    ContentDigest, 32
}
debug_as_hex!(ContentDigest);

/// One object, as what names it says: whoever fetches it compares before opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Reference {
    /// Id of the object.
    #[n(0)]
    pub object: ObjectId,
    /// Epoch of the safe key that it is sealed under.
    #[n(1)]
    pub epoch: u64,
    /// BLAKE3-256 of the sealed object.
    #[n(2)]
    pub blake3: ObjectHash,
}

/// Where the bytes of a file are.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum References {
    /// The chunks themselves, in order; a missing one is a hole of zeros.
    #[n(0)]
    Direct(#[n(0)] List<Option<Reference>>),
    /// Pages of references, in order.
    #[n(1)]
    Paged(#[n(0)] Vec<Reference>),
}

/// A list that holds one item without memory of its own. Most files have one reference, and each
/// entry of a safe stays in memory: 80 bytes of each would be the list's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T>(Held<T>);

#[derive(Debug, Clone)]
enum Held<T> {
    One([T; 1]),
    Others(Box<[T]>),
}

impl<T: PartialEq> PartialEq for Held<T> {
    fn eq(&self, other: &Self) -> bool {
        self.items() == other.items()
    }
}

impl<T: Eq> Eq for Held<T> {}

impl<T> Held<T> {
    fn items(&self) -> &[T] {
        match self {
            Self::One(item) => item,
            Self::Others(items) => items,
        }
    }
}

impl<T> std::ops::Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.items()
    }
}

impl<T> std::ops::DerefMut for List<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.0 {
            Held::One(item) => item,
            Held::Others(items) => items,
        }
    }
}

impl<T> From<Vec<T>> for List<T> {
    fn from(items: Vec<T>) -> Self {
        Self(match <[T; 1]>::try_from(items) {
            Ok(one) => Held::One(one),
            Err(others) => Held::Others(others.into()),
        })
    }
}

impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Vec::from_iter(items).into()
    }
}

impl<'a, T> IntoIterator for &'a List<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<C, T: Encode<C>> Encode<C> for List<T> {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, ctx: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.encode_with(&**self, ctx)?.ok()
    }
}

impl<'b, C, T: Decode<'b, C>> Decode<'b, C> for List<T> {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        Ok(Vec::decode(d, ctx)?.into())
    }
}

/// The content of a file.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Content {
    /// Size of the plaintext, in bytes.
    #[n(0)]
    pub size: u64,
    /// Digest of the plaintext; none where nobody read all of it.
    #[n(1)]
    pub digest: Option<ContentDigest>,
    /// The objects that hold it.
    #[n(2)]
    pub references: References,
}

impl Content {
    /// Whether the size is allowed and has exactly the references that it needs.
    #[must_use]
    pub fn fits(&self) -> bool {
        let chunks = self.size.div_ceil(CHUNK_BYTES);
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        self.size <= FILE_MAX_BYTES
            && match &self.references {
                References::Direct(chunk) => chunk.len() <= DIRECT_MAX && count(chunk.len()) == chunks,
                References::Paged(page) => {
                    chunks > count(DIRECT_MAX) && count(page.len()) == chunks.div_ceil(PAGE_REFERENCES)
                }
            }
    }

    /// Whether both are known to be the same bytes: by their digests, or because the very same
    /// objects hold them.
    #[must_use]
    pub fn same_bytes(&self, other: &Self) -> bool {
        self.size == other.size
            && match (&self.digest, &other.digest) {
                (Some(one), Some(another)) => one == another,
                (None, _) | (_, None) => self.references == other.references,
            }
    }

    /// The objects that the entry itself names; what pages name isn't among them.
    pub fn objects(&self) -> impl Iterator<Item = &Reference> {
        let (direct, paged): (&[Option<Reference>], &[Reference]) = match &self.references {
            References::Direct(chunks) => (chunks, &[]),
            References::Paged(pages) => (&[], pages),
        };
        direct.iter().flatten().chain(paged)
    }
}

#[cfg(test)]
mod tests {
    use super::List;

    #[test]
    fn a_list_of_any_length_is_written_and_read_as_any_other_is() {
        for length in [0, 1, 2, 16] {
            let items: Vec<u64> = (0..length).collect();
            let mut list = List::from(items.clone());
            assert_eq!(*list, *items);
            let bytes = minicbor::to_vec(&list).unwrap();
            assert_eq!(bytes, minicbor::to_vec(&items).unwrap());
            assert_eq!(minicbor::decode::<List<u64>>(&bytes).unwrap(), list);
            if let Some(first) = list.first_mut() {
                *first = 9;
                assert_ne!(*list, *items);
            }
        }
    }
}
