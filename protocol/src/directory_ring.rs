//! The ring of a directory key as everybody sees it: its head, and whether head and parts fit the
//! certificate that names them (docs/protocol.md, *Changing the directory key*).
//!
//! Decides the bytes and the hash. Refuses a ring that is not the certificate's, or not one for the
//! members of the log before it. Names no key: the server asks it, too.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::codec::{self, CodecError};
use crate::ids::{DeviceId, OrganisationId, UserId};
use crate::limits::{DIRECTORY_RING_MAX_BYTES, RING_PART_BOXES};
use crate::public_keys::Hash;
use crate::safe_log::ring::{Recipient, RingPart};
use crate::sealing::SECRET_BOX_BYTES;

/// The head of a directory key's ring. For whom its boxes are, the log before its certificate says.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct DirectoryRing {
    /// The organisation whose key it is.
    #[n(0)]
    pub organisation: OrganisationId,
    /// Number of the key.
    #[n(1)]
    pub number: u32,
    /// Device that made it, and signs the certificate.
    #[n(2)]
    pub author: DeviceId,
    /// Hash of each part.
    #[n(3)]
    pub parts: Vec<Hash>,
    /// The earlier keys, sealed under this one.
    #[n(4)]
    pub past: ByteVec,
}

/// Why a ring does not fit its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RingFault {
    /// The head has another hash than the certificate names.
    #[error("the ring's head is not the one that the certificate names")]
    OtherHead,
    /// The head is of another organisation, number or author.
    #[error("the ring is of another organisation, number or author")]
    OtherOrigin,
    /// There are more or fewer parts than the members need.
    #[error("the ring has the wrong number of parts")]
    Parts,
    /// A part has another hash than the head names.
    #[error("a part of the ring is not the one that its head names")]
    OtherPart,
    /// A part has more or fewer places than there are members for it.
    #[error("a part of the ring has the wrong number of boxes")]
    PartLength,
    /// A box does not have [`SECRET_BOX_BYTES`].
    #[error("a box has the wrong length")]
    BoxLength,
}

/// Whose ring it must be: what a certificate, its author and the log before it say.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The organisation of the log.
    pub organisation: &'a OrganisationId,
    /// Number of the key.
    pub number: u32,
    /// Author of the certificate.
    pub author: DeviceId,
    /// Hash of the head that it names.
    pub ring: Hash,
    /// Members of the log before it who are neither revoked nor suspended, ascending.
    pub list: &'a [Recipient],
}

impl DirectoryRing {
    /// Reads a head as it came.
    ///
    /// # Errors
    /// [`CodecError`]; more than [`DIRECTORY_RING_MAX_BYTES`] are not looked at.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, DIRECTORY_RING_MAX_BYTES)
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

    /// Whether it is the head that the certificate names; for whom it is, is not asked.
    ///
    /// # Errors
    /// The first [`RingFault`] that is found.
    pub fn is_of(&self, expected: &Expected<'_>) -> Result<(), RingFault> {
        if self.hash() != expected.ring {
            return Err(RingFault::OtherHead);
        }
        let origin = (&self.organisation, self.number, self.author);
        if origin != (expected.organisation, expected.number, expected.author) {
            return Err(RingFault::OtherOrigin);
        }
        Ok(())
    }

    /// Whether it is the ring of the certificate, for the members that are expected.
    ///
    /// # Errors
    /// The first [`RingFault`] that is found.
    pub fn fits(&self, expected: &Expected<'_>) -> Result<(), RingFault> {
        self.is_of(expected)?;
        let parts = expected.list.len().div_ceil(RING_PART_BOXES);
        if self.parts.len() == parts { Ok(()) } else { Err(RingFault::Parts) }
    }

    /// Whether this is the part of that number of this head.
    ///
    /// # Errors
    /// The first [`RingFault`] that is found.
    pub fn part_fits(&self, number: usize, part: &RingPart, list: &[Recipient]) -> Result<(), RingFault> {
        let named = self.parts.get(number).ok_or(RingFault::Parts)?;
        if part.hash() != *named {
            return Err(RingFault::OtherPart);
        }
        let places = list.chunks(RING_PART_BOXES).nth(number).map_or(0, <[_]>::len);
        if part.0.len() != places {
            return Err(RingFault::PartLength);
        }
        let right = part.0.iter().flatten().all(|sealed| sealed.len() == SECRET_BOX_BYTES);
        if right { Ok(()) } else { Err(RingFault::BoxLength) }
    }
}

/// Where a user stands in a list, as number of the part and place in it.
#[must_use]
pub fn place_in(list: &[Recipient], user: &UserId) -> Option<(usize, usize)> {
    let at = list.binary_search_by_key(user, |recipient| recipient.user).ok()?;
    Some((at / RING_PART_BOXES, at % RING_PART_BOXES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealing::KeyHash;

    #[test]
    fn a_ring_fits_its_certificate_and_its_members_alone() {
        let acme: OrganisationId = "acme".parse().unwrap();
        let key = KeyHash::from_bytes([9; 32]);
        let of_user = |n: u16| {
            let mut id = [0; 16];
            id[..2].copy_from_slice(&n.to_be_bytes());
            Recipient { user: UserId::from_bytes(id), key }
        };
        let list: Vec<_> = (0..258).map(of_user).collect();
        let sealed = || Some(ByteVec::from(vec![7; SECRET_BOX_BYTES]));
        let parts = [RingPart(vec![None; 256]), RingPart(vec![None, sealed()])];
        let author = DeviceId::from_bytes([1; 16]);
        let ring = DirectoryRing {
            organisation: acme.clone(),
            number: 2,
            author,
            parts: parts.iter().map(RingPart::hash).collect(),
            past: vec![7; 40].into(),
        };
        let good = Expected { organisation: &acme, number: 2, author, ring: ring.hash(), list: &list };
        assert_eq!(ring.fits(&good), Ok(()));
        assert_eq!(DirectoryRing::decode(&ring.encode()), Ok(ring.clone()));
        assert_eq!(place_in(&list, &list[257].user), Some((1, 1)));
        let fits = |expected| ring.fits(&expected);
        assert_eq!(fits(Expected { ring: Hash::of(&[]), ..good }), Err(RingFault::OtherHead));
        assert_eq!(fits(Expected { number: 3, ..good }), Err(RingFault::OtherOrigin));
        let stranger = DeviceId::from_bytes([2; 16]);
        assert_eq!(fits(Expected { author: stranger, ..good }), Err(RingFault::OtherOrigin));
        assert_eq!(fits(Expected { list: &list[..256], ..good }), Err(RingFault::Parts));
        for (number, part) in parts.iter().enumerate() {
            assert_eq!(ring.part_fits(number, part, &list), Ok(()));
        }
        assert_eq!(ring.part_fits(0, &parts[1], &list), Err(RingFault::OtherPart));
        assert_eq!(ring.part_fits(1, &parts[1], &list[..257]), Err(RingFault::PartLength));
        assert_eq!(ring.part_fits(2, &parts[1], &list), Err(RingFault::Parts));
        let short = RingPart(vec![Some(vec![0; 9].into()); 2]);
        let lying = DirectoryRing { parts: vec![parts[0].hash(), short.hash()], ..ring.clone() };
        assert_eq!(lying.part_fits(1, &short, &list), Err(RingFault::BoxLength));
    }
}
