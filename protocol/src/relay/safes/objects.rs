//! Objects on their way: heads first, then the bytes of each.
//!
//! Decides the form of both directions and what a request that puts objects signs. Refuses heads
//! that promise more than a call may carry, an object of no bytes or too many, and one id twice,
//! before a byte of an object is read.

use minicbor::{Decode, Encode};

use crate::codec;
use crate::ids::ObjectId;
use crate::limits::OBJECT_MAX_BYTES;
use crate::object_hash::ObjectHash;
use crate::public_keys::Hash;

/// Objects in one call, either way: as many of 4 KiB as its bytes hold. Each call is a commit.
pub const OBJECTS_MAX: usize = 256;
/// Largest body with objects, either way: two whole ones and their heads.
pub const OBJECTS_MAX_BYTES: usize = 1_100_000;
/// Ids in one question which objects are missing.
pub const OBJECT_MISSING_MAX: usize = 4_096;
/// Ids in one question for objects.
pub const OBJECT_FETCH_MAX: usize = 256;
/// Bytes before the heads: their length.
pub const OBJECT_HEADS_LENGTH_BYTES: usize = 4;
/// Bytes of one encoded head: its array, an id, a hash, a length, with their own heads.
const HEAD_MAX_BYTES: usize = 1 + 17 + 34 + 5;
/// Largest encoding of heads: as many as a fetch can answer.
pub const OBJECT_HEADS_MAX_BYTES: usize = 3 + OBJECT_FETCH_MAX * HEAD_MAX_BYTES;
/// What the signed hash begins with, so that heads can't be taken for another body.
const SIGNED_PREFIX: &[u8] = b"parsec-objects-v1\0";

/// What stands before the bytes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct ObjectHead {
    /// Id of the object.
    #[n(0)]
    pub object: ObjectId,
    /// BLAKE3-256 of its sealed bytes.
    #[n(1)]
    pub hash: ObjectHash,
    /// Number of its sealed bytes.
    #[n(2)]
    pub length: u32,
}

/// The heads of all objects of a body, in the order of their bytes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct ObjectHeads(#[n(0)] pub Vec<ObjectHead>);

/// Why heads are none that a call may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ObjectsFault {
    /// Not the encoding of heads.
    #[error("the heads of the objects can't be read")]
    Unreadable,
    /// More objects, or more bytes, than one call may have.
    #[error("more objects than one call takes")]
    TooLarge,
    /// An object of no bytes, or one id twice.
    #[error("an object without bytes, or twice")]
    Misshapen,
}

impl ObjectHeads {
    /// Reads the heads of a body that puts objects.
    ///
    /// # Errors
    /// [`ObjectsFault`].
    pub fn read(bytes: &[u8]) -> Result<Self, ObjectsFault> {
        let heads: Self =
            codec::decode(bytes, OBJECT_HEADS_MAX_BYTES).map_err(|_| ObjectsFault::Unreadable)?;
        heads.check()?;
        Ok(heads)
    }

    fn check(&self) -> Result<(), ObjectsFault> {
        if self.0.len() > OBJECTS_MAX || self.body_bytes() > OBJECTS_MAX_BYTES {
            return Err(ObjectsFault::TooLarge);
        }
        let mut ids: Vec<_> = self.0.iter().map(|head| head.object).collect();
        ids.sort_unstable();
        ids.dedup();
        let sized = |head: &ObjectHead| (1..=OBJECT_MAX_BYTES).contains(&bytes_of(head));
        if ids.len() == self.0.len() && self.0.iter().all(sized) {
            Ok(())
        } else {
            Err(ObjectsFault::Misshapen)
        }
    }

    /// Length of the whole body that has these heads, in bytes.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        let objects = self.0.iter().map(bytes_of).fold(0, usize::saturating_add);
        self.before().len().saturating_add(objects)
    }

    /// What stands before the objects: the length of the heads, and the heads.
    #[must_use]
    pub fn before(&self) -> Vec<u8> {
        let heads = codec::encode(self);
        // Heads of as many objects as any body has fit four bytes many times over.
        let length = u32::try_from(heads.len()).unwrap_or(u32::MAX);
        [&length.to_be_bytes(), heads.as_slice()].concat()
    }

    /// The body hash that a request with these heads signs.
    #[must_use]
    pub fn signed_hash(&self) -> Hash {
        Self::signed_hash_of(&codec::encode(self))
    }

    /// The same from the heads as they came.
    #[must_use]
    pub fn signed_hash_of(heads: &[u8]) -> Hash {
        Hash::of(&[SIGNED_PREFIX, heads])
    }
}

fn bytes_of(head: &ObjectHead) -> usize {
    usize::try_from(head.length).unwrap_or(usize::MAX)
}

/// Ids of objects: what is asked about, and what is answered to be missing.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ObjectIds {
    /// At most [`OBJECT_MISSING_MAX`], or [`OBJECT_FETCH_MAX`] to fetch.
    #[n(0)]
    pub objects: Vec<ObjectId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(number: u8, length: u32) -> ObjectHead {
        ObjectHead {
            object: ObjectId::from_bytes([number; 16]),
            hash: ObjectHash::from_bytes([number; 32]),
            length,
        }
    }

    fn read(heads: Vec<ObjectHead>) -> Result<ObjectHeads, ObjectsFault> {
        ObjectHeads::read(&codec::encode(&ObjectHeads(heads)))
    }

    #[test]
    fn heads_promise_no_more_than_a_call_carries() {
        let whole = u32::try_from(OBJECT_MAX_BYTES).unwrap();
        assert_eq!(read(vec![head(1, whole), head(2, whole)]).unwrap().0.len(), 2);
        assert_eq!(read(vec![head(1, whole), head(2, whole), head(3, whole)]), Err(ObjectsFault::TooLarge));
        let other = |number: usize| {
            let mut id = [7; 16];
            id[..8].copy_from_slice(&(number as u64).to_be_bytes());
            ObjectHead { object: ObjectId::from_bytes(id), ..head(1, 1) }
        };
        let many = |count: usize| (0..count).map(other).collect::<Vec<_>>();
        assert!(read(many(OBJECTS_MAX)).is_ok());
        assert_eq!(read(many(OBJECTS_MAX + 1)), Err(ObjectsFault::TooLarge));
        assert_eq!(read(vec![head(1, 0)]), Err(ObjectsFault::Misshapen));
        assert_eq!(read(vec![head(1, whole + 1)]), Err(ObjectsFault::Misshapen));
        assert_eq!(read(vec![head(1, 7), head(1, 7)]), Err(ObjectsFault::Misshapen));
        assert_eq!(ObjectHeads::read(&[0x81, 0x80]), Err(ObjectsFault::Unreadable));
    }

    #[test]
    fn what_stands_before_the_objects_is_counted_with_them() {
        let heads = ObjectHeads(vec![head(1, 300)]);
        let before = heads.before();
        let (length, encoded) = before.split_at(OBJECT_HEADS_LENGTH_BYTES);
        assert_eq!(usize::try_from(u32::from_be_bytes(length.try_into().unwrap())), Ok(encoded.len()));
        assert_eq!(heads.body_bytes(), before.len() + 300);
        assert_eq!(heads.signed_hash(), ObjectHeads::signed_hash_of(encoded));
        assert_ne!(heads.signed_hash(), Hash::of(&[encoded]), "heads are no other call's body");
    }
}
