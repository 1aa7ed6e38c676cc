//! A sealed archive of a safe: one file with all that a member needs to verify and to open it
//! without any server (docs/formats.md, *A sealed archive of a safe*).
//!
//! Decides the framing: kinds in their order, a length before each frame, a digest of everything at
//! the end, so that it is read as a stream and half of one is noticed. Refuses a length that its
//! kind can't have before a byte of it is taken. What is in the frames, whoever reads them judges:
//! nothing here says that a signature is right.

use minicbor::{Decode, Encode};
use sha2::{Digest as _, Sha256};

use crate::chain::head::Head;
use crate::codec::{self, CodecError};
use crate::ids::{DeviceId, ObjectId, OrganisationId, SafeId, Timestamp, UserId};
use crate::limits::{
    CERTIFICATE_MAX_BYTES, OBJECT_MAX_BYTES, RECORD_MAX_BYTES, RING_HEAD_MAX_BYTES, RING_PART_MAX_BYTES,
    SAFE_CERTIFICATE_MAX_BYTES,
};
use crate::object_hash::ObjectHash;
use crate::public_keys::{Hash, VerifyKey};
use crate::sealing::SECRET_BOX_BYTES;

/// What an archive begins with: its version is in it.
pub const MAGIC: &[u8; 18] = b"parsec-archive-v1\n";
/// Bytes before each frame's own: its kind, and how many follow.
pub const HEADER_BYTES: usize = 5;
/// Version of what the head says.
pub const VERSION: u64 = 1;
/// Bytes of an object's frame before the object: its id and its hash.
pub const OBJECT_PREFIX_BYTES: usize = ObjectId::LENGTH + ObjectHash::LENGTH;
/// Largest head: ids, a key, three heads, numbers; an organisation's name has 32 bytes.
const ABOUT_MAX_BYTES: usize = 512;
/// Largest frame of a posted box: the box, an epoch, a user, and what frames them.
const BOX_MAX_BYTES: usize = SECRET_BOX_BYTES + 64;
/// Largest last frame: a number and a digest.
const END_MAX_BYTES: usize = 64;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// What the archive is of: [`About`].
    About,
    /// A certificate of the organisation's log, as it was signed.
    Certificate,
    /// The head of the present key's ring, a part of it, or a block of earlier keys.
    Ring,
    /// A box that was posted beside the ring: [`Boxed`].
    Box,
    /// A certificate of the safe's log, as it was signed.
    SafeCertificate,
    /// A record of the safe's journal, as it was signed.
    Record,
    /// A sealed object, behind its id and its hash.
    Object,
    /// The last frame: [`End`].
    End,
}

impl Kind {
    /// All of them, in their order.
    pub const ALL: [Self; 8] = [
        Self::About,
        Self::Certificate,
        Self::Ring,
        Self::Box,
        Self::SafeCertificate,
        Self::Record,
        Self::Object,
        Self::End,
    ];

    /// Its number in the file.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::About => 0,
            Self::Certificate => 1,
            Self::Ring => 2,
            Self::Box => 3,
            Self::SafeCertificate => 4,
            Self::Record => 5,
            Self::Object => 6,
            Self::End => 7,
        }
    }

    /// The most bytes that a frame of it has.
    #[must_use]
    pub const fn max(self) -> usize {
        match self {
            Self::About => ABOUT_MAX_BYTES,
            Self::Certificate => CERTIFICATE_MAX_BYTES,
            Self::Ring if RING_HEAD_MAX_BYTES > RING_PART_MAX_BYTES => RING_HEAD_MAX_BYTES,
            Self::Ring => RING_PART_MAX_BYTES,
            Self::Box => BOX_MAX_BYTES,
            Self::SafeCertificate => SAFE_CERTIFICATE_MAX_BYTES,
            Self::Record => RECORD_MAX_BYTES,
            Self::Object => OBJECT_PREFIX_BYTES + OBJECT_MAX_BYTES,
            Self::End => END_MAX_BYTES,
        }
    }

    /// Whether a frame of this kind may stand behind one of `before`. Certificates and records of
    /// the safe stand in their one order, each behind all that it has seen.
    const fn may_follow(self, before: Option<Self>) -> bool {
        let Some(before) = before else { return matches!(self, Self::About) };
        match (before, self) {
            (Self::End, _) | (_, Self::About) => false,
            (Self::Record, Self::SafeCertificate) => true,
            _ => self.number() >= before.number(),
        }
    }
}

/// What an archive is of.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct About {
    /// Version of this record.
    #[n(0)]
    pub version: u64,
    /// The organisation, by name.
    #[n(1)]
    pub organisation: OrganisationId,
    /// Its root verify key.
    #[n(2)]
    pub root: VerifyKey,
    /// Id of the safe.
    #[n(3)]
    pub safe: SafeId,
    /// The device that founded it.
    #[n(4)]
    pub founder: DeviceId,
    /// When the archive was made, by that machine's clock.
    #[n(5)]
    pub made: Timestamp,
    /// Where the organisation's log ends in it.
    #[n(6)]
    pub members: Head,
    /// Where the safe's log ends in it.
    #[n(7)]
    pub log: Head,
    /// Where the safe's journal ends in it.
    #[n(8)]
    pub journal: Head,
}

/// A box with the present key that was posted beside the ring.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Boxed {
    /// Epoch of the key.
    #[n(0)]
    pub epoch: u64,
    /// Whom it is for.
    #[n(1)]
    pub user: UserId,
    /// The sealed safe key.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub sealed: Vec<u8>,
}

/// What an archive ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct End {
    /// Number of frames before this one.
    #[n(0)]
    pub frames: u64,
    /// SHA-256 of all bytes before this frame.
    #[n(1)]
    pub digest: Hash,
}

/// Why bytes are no archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveFault {
    /// It begins with other bytes.
    #[error("the file is no archive of a safe, or one of a later version")]
    NoArchive,
    /// A kind that there is not.
    #[error("frame {0} is of a kind that there is not")]
    UnknownKind(u64),
    /// A frame where none of its kind stands.
    #[error("frame {0} stands where none of its kind does")]
    OutOfOrder(u64),
    /// A frame that is longer than its kind may be.
    #[error("frame {0} says that it is longer than it can be")]
    TooLong(u64),
    /// A frame that can't be read.
    #[error("frame {number} is malformed: {why}")]
    Malformed {
        /// Number of the frame.
        number: u64,
        /// Why it is no record.
        why: CodecError,
    },
    /// It ends before its end.
    #[error("the file ends in its middle")]
    Truncated,
    /// Something stands behind its end.
    #[error("something stands behind the archive's end")]
    Behind,
    /// What it ends with is another digest or count.
    #[error("the archive is not what it was when it was made: its digest is another")]
    Digest,
}

/// Both directions' count of what went by.
#[derive(Debug, Clone)]
struct Passed {
    hasher: Sha256,
    frames: u64,
    before: Option<Kind>,
}

impl Passed {
    fn begin() -> Self {
        Self { hasher: Sha256::new_with_prefix(MAGIC), frames: 0, before: None }
    }

    fn end(&self) -> End {
        let digest: [u8; 32] = self.hasher.clone().finalize().into();
        End { frames: self.frames, digest: Hash::from_bytes(digest) }
    }
}

/// Frames of an archive that is being made.
#[derive(Debug)]
pub struct Writing(Passed);

impl Writing {
    /// Of one of which [`MAGIC`] was written.
    #[must_use]
    pub fn begin() -> Self {
        Self(Passed::begin())
    }

    /// What is written before the parts of the next frame.
    ///
    /// # Errors
    /// [`ArchiveFault::OutOfOrder`], [`ArchiveFault::TooLong`]: nobody would read it.
    pub fn frame(&mut self, kind: Kind, parts: &[&[u8]]) -> Result<[u8; HEADER_BYTES], ArchiveFault> {
        let number = self.0.frames;
        if !kind.may_follow(self.0.before) {
            return Err(ArchiveFault::OutOfOrder(number));
        }
        let length = parts.iter().map(|part| part.len()).fold(0, usize::saturating_add);
        let length = u32::try_from(length).ok().filter(|_| length <= kind.max());
        let [a, b, c, d] = length.ok_or(ArchiveFault::TooLong(number))?.to_be_bytes();
        let header = [kind.number(), a, b, c, d];
        if kind != Kind::End {
            self.0.hasher.update(header);
            parts.iter().for_each(|part| self.0.hasher.update(part));
            self.0.frames = number.saturating_add(1);
        }
        self.0.before = Some(kind);
        Ok(header)
    }

    /// The last frame's bytes.
    #[must_use]
    pub fn end(&self) -> Vec<u8> {
        codec::encode(&self.0.end())
    }
}

/// Frames of an archive that is being read, one after the other. Nothing of it is believed before
/// [`Self::ended`].
#[derive(Debug)]
pub struct Reading(Passed);

impl Reading {
    /// Of one that begins with these bytes.
    ///
    /// # Errors
    /// [`ArchiveFault::NoArchive`].
    pub fn begin(magic: &[u8; MAGIC.len()]) -> Result<Self, ArchiveFault> {
        if magic == MAGIC { Ok(Self(Passed::begin())) } else { Err(ArchiveFault::NoArchive) }
    }

    /// Number of the next frame.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.0.frames
    }

    /// What the next frame is, and how many bytes of it follow: never more than its kind may have.
    ///
    /// # Errors
    /// [`ArchiveFault`].
    pub fn header(&mut self, header: [u8; HEADER_BYTES]) -> Result<(Kind, usize), ArchiveFault> {
        let [kind, a, b, c, d] = header;
        let number = self.0.frames;
        let kind = Kind::ALL.into_iter().find(|known| known.number() == kind);
        let kind = kind.ok_or(ArchiveFault::UnknownKind(number))?;
        if !kind.may_follow(self.0.before) {
            return Err(ArchiveFault::OutOfOrder(number));
        }
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length > kind.max() {
            return Err(ArchiveFault::TooLong(number));
        }
        if kind != Kind::End {
            self.0.hasher.update(header);
        }
        self.0.before = Some(kind);
        Ok((kind, length))
    }

    /// Takes the bytes of the frame whose header came last.
    ///
    /// # Errors
    /// [`ArchiveFault::Digest`], [`ArchiveFault::Malformed`] of the last one.
    pub fn body(&mut self, bytes: &[u8]) -> Result<(), ArchiveFault> {
        if self.ended() {
            let end: End = read(self.0.frames, bytes)?;
            return if end == self.0.end() { Ok(()) } else { Err(ArchiveFault::Digest) };
        }
        self.0.hasher.update(bytes);
        self.0.frames = self.0.frames.saturating_add(1);
        Ok(())
    }

    /// Whether the last frame was the end.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.0.before == Some(Kind::End)
    }
}

/// Reads the record that a frame is.
///
/// # Errors
/// [`ArchiveFault::Malformed`].
pub fn read<T>(number: u64, bytes: &[u8]) -> Result<T, ArchiveFault>
where
    T: for<'b> Decode<'b, ()> + Encode<()>,
{
    codec::decode(bytes, bytes.len()).map_err(|why| ArchiveFault::Malformed { number, why })
}

/// An object's frame: its id, the hash that its maker gave it, its bytes.
///
/// # Errors
/// [`ArchiveFault::Truncated`]: it is too short to have all of them.
pub fn object(bytes: &[u8]) -> Result<(ObjectId, ObjectHash, &[u8]), ArchiveFault> {
    let (id, rest) = bytes.split_first_chunk().ok_or(ArchiveFault::Truncated)?;
    let (hash, sealed) = rest.split_first_chunk().ok_or(ArchiveFault::Truncated)?;
    Ok((ObjectId::from_bytes(*id), ObjectHash::from_bytes(*hash), sealed))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn made(frames: &[(Kind, Vec<u8>)]) -> Vec<u8> {
        let (mut writing, mut bytes) = (Writing::begin(), MAGIC.to_vec());
        for (kind, body) in frames {
            bytes.extend(writing.frame(*kind, &[body]).unwrap());
            bytes.extend(body);
        }
        let end = writing.end();
        bytes.extend(writing.frame(Kind::End, &[&end]).unwrap());
        bytes.extend(end);
        bytes
    }

    fn taken(mut bytes: &[u8]) -> Result<Vec<(Kind, Vec<u8>)>, ArchiveFault> {
        let mut next = |count: usize| -> Result<Vec<u8>, ArchiveFault> {
            let (head, rest) = bytes.split_at_checked(count).ok_or(ArchiveFault::Truncated)?;
            bytes = rest;
            Ok(head.to_vec())
        };
        let mut reading = Reading::begin(&next(MAGIC.len())?.try_into().unwrap())?;
        let mut frames = Vec::new();
        while !reading.ended() {
            let (kind, length) = reading.header(next(HEADER_BYTES)?.try_into().unwrap())?;
            let body = next(length)?;
            reading.body(&body)?;
            frames.push((kind, body));
        }
        frames.pop();
        if bytes.is_empty() { Ok(frames) } else { Err(ArchiveFault::Behind) }
    }

    fn some() -> Vec<(Kind, Vec<u8>)> {
        vec![
            (Kind::About, vec![1; 10]),
            (Kind::Certificate, vec![2; 2_048]),
            (Kind::Certificate, vec![]),
            (Kind::SafeCertificate, vec![3; 5]),
            (Kind::Record, vec![4; 300]),
            (Kind::SafeCertificate, vec![5; 6]),
            (Kind::Object, vec![6; 60]),
        ]
    }

    #[test]
    fn what_was_framed_comes_out_and_no_beginning_of_it_passes() {
        let bytes = made(&some());
        assert_eq!(taken(&bytes), Ok(some()));
        for end in 0..bytes.len() {
            assert!(taken(&bytes[..end]).is_err(), "{end}");
        }
        let behind = [bytes.as_slice(), &[0]].concat();
        assert_eq!(taken(&behind), Err(ArchiveFault::Behind));
    }

    #[test]
    fn no_bit_of_it_can_be_another() {
        let bytes = made(&some());
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut other = bytes.clone();
                other[at] ^= 1 << bit;
                assert!(taken(&other).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn frames_have_an_order_and_a_most() {
        let fault = |frames: &[(Kind, usize)]| {
            let mut writing = Writing::begin();
            frames.iter().try_for_each(|(kind, length)| writing.frame(*kind, &[&vec![0; *length]]).map(drop))
        };
        for kind in Kind::ALL.into_iter().filter(|kind| !matches!(kind, Kind::About | Kind::End)) {
            assert_eq!(fault(&[(kind, 1)]), Err(ArchiveFault::OutOfOrder(0)), "{kind:?}");
            assert_eq!(fault(&[(Kind::About, 1), (kind, kind.max())]), Ok(()));
            let more = [(Kind::About, 1), (kind, kind.max() + 1)];
            assert_eq!(fault(&more), Err(ArchiveFault::TooLong(1)), "{kind:?}");
            assert_eq!(
                fault(&[(Kind::About, 1), (kind, 1), (Kind::About, 1)]),
                Err(ArchiveFault::OutOfOrder(2))
            );
        }
        let back = [(Kind::About, 1), (Kind::Object, 1), (Kind::Record, 1)];
        assert_eq!(fault(&back), Err(ArchiveFault::OutOfOrder(2)));
        // A length of the reader's, before a byte of it is taken.
        let mut reading = Reading::begin(MAGIC).unwrap();
        assert_eq!(reading.header([0, 0xff, 0xff, 0xff, 0xff]), Err(ArchiveFault::TooLong(0)));
        assert_eq!(reading.header([8, 0, 0, 0, 0]), Err(ArchiveFault::UnknownKind(0)));
        assert_eq!(Reading::begin(b"parsec-archive-v2\n").unwrap_err(), ArchiveFault::NoArchive);
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_refused_and_nothing_else(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let with = [MAGIC.as_slice(), &bytes].concat();
            let _ = taken(&bytes);
            prop_assert!(taken(&with).is_err());
        }
    }
}
