//! Rings, their parts and posted boxes.
//!
//! Decides whether what lies behind a certificate's hashes is here and fits: readers judge a log
//! without it, so nobody but the server can refuse a key that was never handed out. What is in a
//! box, only who opens it finds out.

use minicbor::bytes::ByteVec;
use parsec_protocol::ids::{Timestamp, UserId};
use parsec_protocol::limits::{RING_PART_BOXES, RING_PART_MAX_BYTES};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{ErrorCode, PostedBox};
use parsec_protocol::safe_log::certificate::Key;
use parsec_protocol::safe_log::effects::Effects;
use parsec_protocol::safe_log::ring::{BoxFor, Expected, Recipient, RingHead, RingPart, boxes_hash};
use parsec_protocol::sealing::SECRET_BOX_BYTES;

use super::access::{may_bring_keys, reader};
use super::faults::ring_refused;
use super::quota::Wish;
use super::{Asking, Terms};
use crate::errors::Refusal;
use crate::store::safes::{PartRow, SafeKey, StoredItem};
use crate::store::{StoreError, Tx};

/// How long a part is kept that no ring has named: a rekey over a slow line takes minutes.
const PART_SECONDS: u64 = 86_400;

/// Keeps the ring of a key, if head and parts are here and fit it.
pub(super) fn keep_ring(
    tx: &mut dyn Tx,
    asking: &Asking<'_>,
    key: &Key,
    ring: &ByteVec,
) -> Result<(), Refusal> {
    let of = asking.of;
    let head = RingHead::decode(ring).map_err(|_| ErrorCode::RingRefused)?;
    let expected = Expected { organisation: of.organisation, safe: of.safe, author: &asking.device, key };
    head.fits(&expected).map_err(ring_refused)?;
    for (number, hash) in head.parts.iter().enumerate() {
        let bytes = tx.part(of, hash)?.ok_or(ErrorCode::RingMissing)?;
        let part = RingPart::decode(&bytes).map_err(|_| ErrorCode::RingRefused)?;
        head.part_fits(number, &part).map_err(ring_refused)?;
        check_boxes(tx, of, head.list.0.chunks(RING_PART_BOXES).nth(number).unwrap_or_default(), &part)?;
        tx.keep_part(of, hash)?;
    }
    Ok(tx.insert_ring(of, &key.ring, &StoredItem { author: &asking.user, bytes: ring })?)
}

/// Refuses a part that leaves somebody out whose key is here: it would lock a member out whom no
/// log shows to be. A box for a key that is not here is no harm: others may have it.
fn check_boxes(
    tx: &dyn Tx,
    of: SafeKey<'_>,
    recipients: &[Recipient],
    part: &RingPart,
) -> Result<(), Refusal> {
    for (recipient, sealed) in recipients.iter().zip(&part.0) {
        if sealed.is_none() && tx.key(of.organisation, &recipient.key)?.is_some() {
            return Err(ErrorCode::RingRefused.into());
        }
    }
    Ok(())
}

/// Keeps the boxes of those who get a role without a new key: exactly these, as the certificate
/// names them.
pub(super) fn keep_boxes(
    tx: &mut dyn Tx,
    asking: &Asking<'_>,
    effects: &Effects,
    named: Option<Hash>,
    boxes: &[BoxFor],
    now: Timestamp,
) -> Result<(), Refusal> {
    let fit = boxes.iter().map(|given| &given.user).eq(&effects.boxes_for)
        && boxes.iter().all(|given| given.sealed.len() == SECRET_BOX_BYTES)
        && named.is_none_or(|named| boxes_hash(boxes) == named);
    if !fit {
        return Err(ErrorCode::BoxesRefused.into());
    }
    for given in boxes {
        let posted = PostedBox { author: asking.user, sealed: given.sealed.clone() };
        tx.post_box(asking.of, effects.present.key.epoch, &given.user, &posted, now)?;
    }
    Ok(())
}

/// Keeps a part that came with the certificate which needs it.
pub(super) fn keep_new_part(
    tx: &mut dyn Tx,
    asking: &Asking<'_>,
    bytes: &[u8],
    now: Timestamp,
) -> Result<(), Refusal> {
    let hash = Hash::of(&[bytes]);
    let part = PartRow { hash: &hash, author: &asking.user, bytes };
    Ok(tx.put_part(asking.of, &part, now.plus_seconds(PART_SECONDS))?)
}

/// Keeps a part for a ring that is to come.
///
/// # Errors
/// `safe_unknown`, `not_allowed`; `ring_refused`: it has another hash; `too_large`;
/// `quota_reached`.
pub(crate) fn put_part(
    tx: &mut dyn Tx,
    asking: &Asking<'_>,
    named: &Hash,
    bytes: &[u8],
    terms: &Terms<'_>,
) -> Result<(), Refusal> {
    tx.lock_safe(asking.of)?;
    may_bring_keys(tx, asking)?;
    if bytes.len() > RING_PART_MAX_BYTES {
        return Err(ErrorCode::TooLarge.into());
    }
    if Hash::of(&[bytes]) != *named {
        return Err(ErrorCode::RingRefused.into());
    }
    if tx.part(asking.of, named)?.is_none() {
        terms.quotas.admit(tx, asking.bringer(), bytes.len(), Wish::Keys)?;
    }
    keep_new_part(tx, asking, bytes, terms.now)
}

/// Keeps a box of the present epoch for a member, in the place of the one that the same author
/// posted before.
///
/// # Errors
/// `safe_unknown`, `not_allowed`; `safe_conflict`: there is a newer key; `boxes_refused`: nobody
/// has a use of it, or it has another length; `quota_reached`.
pub(crate) fn post_box(
    tx: &mut dyn Tx,
    asking: &Asking<'_>,
    (epoch, user): (u64, &UserId),
    sealed: &[u8],
    terms: &Terms<'_>,
) -> Result<(), Refusal> {
    tx.lock_safe(asking.of)?;
    let safe = may_bring_keys(tx, asking)?;
    if epoch != safe.present.key.epoch {
        return Err(ErrorCode::SafeConflict.into());
    }
    if sealed.len() != SECRET_BOX_BYTES || tx.role(asking.of, user)?.is_none() {
        return Err(ErrorCode::BoxesRefused.into());
    }
    terms.quotas.admit(tx, asking.bringer(), sealed.len(), Wish::Keys)?;
    let posted = PostedBox { author: asking.user, sealed: ByteVec::from(sealed.to_vec()) };
    Ok(tx.post_box(asking.of, epoch, user, &posted, terms.now)?)
}

/// A ring's head, for a member.
///
/// # Errors
/// `safe_unknown`, `ring_missing`.
pub(crate) fn ring(tx: &dyn Tx, asking: &Asking<'_>, hash: &Hash) -> Result<Vec<u8>, Refusal> {
    reader(tx, asking)?;
    tx.ring(asking.of, hash)?.ok_or_else(|| ErrorCode::RingMissing.into())
}

/// A part of a ring, or a block of past keys, for a member.
///
/// # Errors
/// `safe_unknown`, `ring_missing`.
pub(crate) fn part(tx: &dyn Tx, asking: &Asking<'_>, hash: &Hash) -> Result<Vec<u8>, Refusal> {
    reader(tx, asking)?;
    tx.part(asking.of, hash)?.ok_or_else(|| ErrorCode::RingMissing.into())
}

/// Removes parts that no ring has named in time, of all safes. Whether there are more.
pub(crate) fn remove_parts(tx: &mut dyn Tx, now: Timestamp, most: usize) -> Result<bool, StoreError> {
    tx.remove_due_parts(now, most)
}
