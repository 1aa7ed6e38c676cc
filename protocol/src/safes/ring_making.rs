//! Making a ring: the key of a new epoch for everybody who shall have it.
//!
//! Decides what stands in head, parts and past. Refuses a list that is out of order or names
//! another key than it seals to: every reader would refuse the certificate. It seals to exactly
//! whom it is told; who that is, the safe log's rules say.

use super::boxes::make_box;
use super::keys::{EpochKey, SafeKeys};
use super::past::{self, MadePast, Past};
use crate::ids::DeviceId;
use crate::keys::{Entropy, NoEntropy};
use crate::limits::{EPOCHS_MAX, RING_PART_BOXES, SAFE_MEMBERS_MAX};
use crate::public_keys::Hash;
use crate::safe_log::ring::{Recipient, RingHead, RingList, RingPart};
use crate::sealing::EncryptionKey;

/// A ring, ready to be uploaded, and what its certificate says of it.
#[derive(Debug)]
pub struct MadeRing {
    /// The head, as it is encoded.
    pub head: Vec<u8>,
    /// Hash of the head, for the certificate.
    pub ring: Hash,
    /// Hash of the list, for the certificate.
    pub list: Hash,
    /// Key check of the epoch's key, for the certificate.
    pub key_check: Hash,
    /// Parts as they are encoded, by their hashes, in order.
    pub parts: Vec<(Hash, Vec<u8>)>,
    /// New blocks of past keys by their hashes, to be uploaded as parts are.
    pub blocks: Vec<(Hash, Vec<u8>)>,
}

/// One who gets the key.
#[derive(Debug, Clone, Copy)]
pub struct SealTo<'a> {
    /// The member, and the hash of the encryption key that counts for them.
    pub recipient: Recipient,
    /// That key; none where the bytes of that hash are unsound, and so no box can be made.
    pub key: Option<&'a EncryptionKey>,
}

/// What the keys before are sealed from.
#[derive(Debug, Clone, Copy)]
pub struct Before<'a> {
    /// All keys of earlier epochs that this device has.
    pub keys: &'a SafeKeys,
    /// The past of the ring before, as it was opened, whose blocks are used again; none where they
    /// are to be made anew.
    pub past: Option<&'a Past>,
}

/// Why no ring was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// No random bytes for a nonce or a block.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    /// Nobody, too many, or not ascending by user id, each once: the caller's fault.
    #[error("a ring is for 1 to {SAFE_MEMBERS_MAX} members in order")]
    List,
    /// A key has another hash than its place in the list names.
    #[error("an encryption key is not the one that the log names")]
    OtherKey,
    /// The epoch is beyond the last one that a safe may have.
    #[error("a safe has {EPOCHS_MAX} keys at most")]
    Epoch,
}

/// Seals `key` to everybody in `list`, and the keys before it under it.
///
/// # Errors
/// [`RingError`].
pub fn make_ring(
    key: &EpochKey<'_>,
    author: DeviceId,
    list: &[SealTo<'_>],
    before: Before<'_>,
    entropy: &mut dyn Entropy,
) -> Result<MadeRing, RingError> {
    if key.number() >= EPOCHS_MAX {
        return Err(RingError::Epoch);
    }
    let ascending = list.is_sorted_by(|one, next| one.recipient.user < next.recipient.user);
    if list.is_empty() || list.len() > SAFE_MEMBERS_MAX || !ascending {
        return Err(RingError::List);
    }
    if list.iter().any(|to| to.key.is_some_and(|key| key.hash() != to.recipient.key)) {
        return Err(RingError::OtherKey);
    }
    let parts: Vec<(Hash, Vec<u8>)> = list
        .chunks(RING_PART_BOXES)
        .map(|part| {
            let sealed = |to: &SealTo<'_>| to.key.map(|own| make_box(key, to.recipient.user, own).into());
            let part = RingPart(part.iter().map(sealed).collect());
            (part.hash(), part.encode())
        })
        .collect();
    let MadePast { sealed, blocks } = past::seal(key, before.keys, before.past, entropy)?;
    let of = key.epoch();
    let head = RingHead {
        organisation: of.organisation,
        safe: of.safe,
        epoch: of.number,
        author,
        list: RingList(list.iter().map(|to| to.recipient).collect()),
        parts: parts.iter().map(|(hash, _)| *hash).collect(),
        past: sealed.map(Into::into),
    };
    let (ring, list) = (head.hash(), head.list.hash());
    Ok(MadeRing { head: head.encode(), ring, list, key_check: key.check(), parts, blocks })
}
