//! Rings as everybody sees them: a key's head, its parts, and the lists that certificates name by
//! hash (docs/protocol.md, *Rings and boxes*).
//!
//! Decides the bytes, the hashes, and whether head and parts fit the certificate that names them.
//! Refuses nothing about what is in a box: whoever opens it finds out.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::certificate::Key;
use crate::codec::{self, CodecError};
use crate::ids::{DeviceId, OrganisationId, SafeId, UserId};
use crate::limits::{RING_HEAD_MAX_BYTES, RING_PART_BOXES, RING_PART_MAX_BYTES};
use crate::public_keys::Hash;
use crate::sealing::{KeyHash, SECRET_BOX_BYTES};

/// One user in a ring's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Recipient {
    /// User who gets the key.
    #[n(0)]
    pub user: UserId,
    /// Hash of the user's encryption key at the certificate's `seen`.
    #[n(1)]
    pub key: KeyHash,
}

/// Those who get a key, ascending by user id.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct RingList(#[n(0)] pub Vec<Recipient>);

impl RingList {
    /// The hash by which a certificate names it.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(&[b"parsec-ring-list-v1\0", &codec::encode(self)])
    }

    /// How many parts its ring has.
    #[must_use]
    pub const fn parts(&self) -> usize {
        self.0.len().div_ceil(RING_PART_BOXES)
    }

    /// Where the user stands, as number of the part and place in it.
    #[must_use]
    pub fn place_of(&self, user: &UserId) -> Option<(usize, usize)> {
        let at = self.0.binary_search_by_key(user, |recipient| recipient.user).ok()?;
        Some((at / RING_PART_BOXES, at % RING_PART_BOXES))
    }
}

/// The head of a ring.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RingHead {
    /// Organisation of the safe.
    #[n(0)]
    pub organisation: OrganisationId,
    /// Safe whose key it is.
    #[n(1)]
    pub safe: SafeId,
    /// Epoch of the key.
    #[n(2)]
    pub epoch: u64,
    /// Device that made it, and signs the certificate.
    #[n(3)]
    pub author: DeviceId,
    /// Those who get the key.
    #[n(4)]
    pub list: RingList,
    /// Hash of each part.
    #[n(5)]
    pub parts: Vec<Hash>,
    /// What opens all earlier keys, sealed; none in epoch 0.
    #[n(6)]
    pub past: Option<ByteVec>,
}

impl RingHead {
    /// Reads a head as it came.
    ///
    /// # Errors
    /// [`CodecError`]; more than [`RING_HEAD_MAX_BYTES`] are not looked at.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, RING_HEAD_MAX_BYTES)
    }

    /// The one encoding of the head.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The hash by which a certificate names it.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(&[&self.encode()])
    }
}

/// Boxes of a ring: 256 of the list, the last part those of the rest.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct RingPart(
    /// Box of each; none where there is no sound key of the hash in the list.
    #[n(0)]
    pub Vec<Option<ByteVec>>,
);

impl RingPart {
    /// Reads a part as it came.
    ///
    /// # Errors
    /// [`CodecError`]; more than [`RING_PART_MAX_BYTES`] are not looked at.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, RING_PART_MAX_BYTES)
    }

    /// The one encoding of the part.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The hash by which a head names it.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(&[&self.encode()])
    }
}

/// Why a ring does not fit its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RingFault {
    /// The head has another hash than the certificate names.
    #[error("the ring's head is not the one that the certificate names")]
    OtherHead,
    /// The head is of another organisation, safe, epoch or author.
    #[error("the ring is of another safe, epoch or author")]
    OtherOrigin,
    /// The list has another hash than the certificate names.
    #[error("the ring's list is not the one that the certificate names")]
    OtherList,
    /// A ring of epoch 0 has a past, or a later one has none.
    #[error("the ring has a past where none belongs, or has none")]
    Past,
    /// There are more or fewer parts than the list needs.
    #[error("the ring has the wrong number of parts")]
    Parts,
    /// A part has another hash than the head names.
    #[error("a part of the ring is not the one that its head names")]
    OtherPart,
    /// A part has more or fewer places than the list has for it.
    #[error("a part of the ring has the wrong number of boxes")]
    PartLength,
    /// A box does not have [`SECRET_BOX_BYTES`].
    #[error("a box has the wrong length")]
    BoxLength,
}

/// Whose ring it must be: what a certificate and its author say.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Organisation of the safe.
    pub organisation: &'a OrganisationId,
    /// Safe of the certificate.
    pub safe: &'a SafeId,
    /// Author of the certificate.
    pub author: &'a DeviceId,
    /// The key that it brings.
    pub key: &'a Key,
}

impl RingHead {
    /// Whether it is the ring of the certificate.
    ///
    /// # Errors
    /// The first [`RingFault`] that is found.
    pub fn fits(&self, expected: &Expected<'_>) -> Result<(), RingFault> {
        let Expected { organisation, safe, author, key } = *expected;
        if self.hash() != key.ring {
            return Err(RingFault::OtherHead);
        }
        let origin = (&self.organisation, &self.safe, &self.author, self.epoch);
        if origin != (organisation, safe, author, key.epoch) {
            return Err(RingFault::OtherOrigin);
        }
        if self.list.hash() != key.list {
            return Err(RingFault::OtherList);
        }
        if self.past.is_none() != (self.epoch == 0) {
            return Err(RingFault::Past);
        }
        if self.parts.len() == self.list.parts() { Ok(()) } else { Err(RingFault::Parts) }
    }

    /// Whether this is the part of that number of this head.
    ///
    /// # Errors
    /// The first [`RingFault`] that is found.
    pub fn part_fits(&self, number: usize, part: &RingPart) -> Result<(), RingFault> {
        let named = self.parts.get(number).ok_or(RingFault::Parts)?;
        if part.hash() != *named {
            return Err(RingFault::OtherPart);
        }
        let places = self.list.0.chunks(RING_PART_BOXES).nth(number).map_or(0, <[_]>::len);
        if part.0.len() != places {
            return Err(RingFault::PartLength);
        }
        let right = part.0.iter().flatten().all(|sealed| sealed.len() == SECRET_BOX_BYTES);
        if right { Ok(()) } else { Err(RingFault::BoxLength) }
    }
}

/// A box for one user, that comes with a certificate and no ring.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct BoxFor {
    /// User for whom it is.
    #[n(0)]
    pub user: UserId,
    /// The key, sealed to the user's encryption key.
    #[n(1)]
    pub sealed: ByteVec,
}

/// The hash by which a certificate names the boxes that come with it, ascending by user id.
#[must_use]
pub fn boxes_hash(boxes: &[BoxFor]) -> Hash {
    Hash::of(&[b"parsec-boxes-v1\0", &codec::encode(&boxes)])
}
