//! The calls about the directory key: another one with its ring, and what members get it by
//! (docs/protocol.md, *Changing the directory key*).
//!
//! Decides that certificate, head and parts come together, that boxes and parts are put by
//! administrators, how many, and how long earlier rings stay. Refuses a ring without a box for
//! somebody whose key is here: it would keep names from a member whom no log shows to be left out.
//! What is in a box, only who can make or open it finds out.

use axum::response::Response;
use minicbor::bytes::ByteVec;
use parsec_protocol::chain::organisation::certificate::Profile;
use parsec_protocol::directory_ring::{DirectoryRing, Expected, RingFault};
use parsec_protocol::ids::{OrganisationId, Timestamp, UserId};
use parsec_protocol::limits::{
    CERTIFICATE_MAX_BYTES, DIRECTORY_RING_MAX_BYTES, RING_PART_BOXES, RING_PART_MAX_BYTES,
};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{Completed, DirectoryKeyChange, ErrorCode, PostedBox, PostedBoxes};
use parsec_protocol::safe_log::ring::{Recipient, RingPart};
use parsec_protocol::sealing::SECRET_BOX_BYTES;

use super::authenticated::Caller;
use super::{App, body};
use crate::errors::Refusal;
use crate::intake::{DirectoryChange, IntakeFault, not_appended, refused};
use crate::store::{LoosePart, StoreError, Tx, log};
use crate::watchers::Topic;

/// A certificate, a ring's head, their framing.
const CHANGE_MAX_BYTES: usize = CERTIFICATE_MAX_BYTES + DIRECTORY_RING_MAX_BYTES + 16;
/// How long a part is kept that no ring has named: a change over a slow line takes minutes.
const PART_MICROSECONDS: u64 = 86_400 * 1_000_000;
/// Rings whose parts one user may have put before any of them is named: one that a device hands in,
/// and one that it had to make anew meanwhile. Of more, the user's own oldest go, whichever device
/// put them; nobody else's.
const LOOSE_RINGS: usize = 2;
/// Bytes of earlier rings, and of the boxes beside them, that are kept for an organisation: those
/// of 50 changes among 1,000 members. Whoever was away for longer gets the newest key, which leads
/// to the others.
const EARLIER_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Boxes with one key that one administrator posts: for members who were suspended when it was
/// made, or whom its ring has a wrong one for. A ring that was lost takes more than one of them.
const BOXES_MAX: u64 = 10_000;
/// Boxes that are given at once: one of each administrator who thinks the others wrong.
const POSTED_BOXES_MAX: usize = 200;

/// A call of this family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DirectoryCall {
    Change,
    Ring(Hash),
    Part(Hash),
    PutPart(Hash),
    Boxes(u32, UserId),
    PutBox(u32, UserId),
}

impl DirectoryCall {
    /// Reads what stands behind `directory`.
    pub(crate) fn of(method: &str, rest: &[&str]) -> Result<Self, ErrorCode> {
        let hash = |text: &str| text.parse().map_err(|_| ErrorCode::RingMissing);
        let of = |number: &str, user: &str| {
            let number = number.parse().ok().filter(|read: &u32| read.to_string() == number);
            Ok((number.ok_or(ErrorCode::BoxUnknown)?, user.parse().map_err(|_| ErrorCode::BoxUnknown)?))
        };
        match (method, rest) {
            ("POST", []) => Ok(Self::Change),
            ("GET", ["rings", ring]) => Ok(Self::Ring(hash(ring)?)),
            ("GET", ["parts", part]) => Ok(Self::Part(hash(part)?)),
            ("PUT", ["parts", part]) => Ok(Self::PutPart(hash(part)?)),
            ("GET", ["boxes", number, user]) => of(number, user).map(|(n, user)| Self::Boxes(n, user)),
            ("PUT", ["boxes", number, user]) => of(number, user).map(|(n, user)| Self::PutBox(n, user)),
            _ => Err(ErrorCode::UnknownCall),
        }
    }

    /// What the log calls it.
    pub(crate) const fn pattern(&self) -> &'static str {
        match self {
            Self::Change => "directory",
            Self::Ring(_) => "directory/rings/H",
            Self::Part(_) | Self::PutPart(_) => "directory/parts/H",
            Self::Boxes(..) | Self::PutBox(..) => "directory/boxes/N/U",
        }
    }

    /// The most that its body may have, in bytes.
    pub(crate) const fn body_max(&self) -> usize {
        match self {
            Self::Change => CHANGE_MAX_BYTES,
            Self::PutPart(_) => RING_PART_MAX_BYTES,
            Self::PutBox(..) => SECRET_BOX_BYTES,
            Self::Ring(_) | Self::Part(_) | Self::Boxes(..) => 0,
        }
    }

    /// Whether it would put something new at the end of the log.
    pub(crate) const fn enters_a_log(&self) -> bool {
        match self {
            Self::Change => true,
            Self::Ring(_) | Self::Part(_) | Self::PutPart(_) | Self::Boxes(..) | Self::PutBox(..) => false,
        }
    }
}

/// Answers a call of this family.
pub(super) async fn answer(
    app: &App,
    caller: Caller,
    call: DirectoryCall,
    content: axum::body::Bytes,
    now: Timestamp,
) -> Result<Response, Refusal> {
    let store = caller.store(app);
    match call {
        DirectoryCall::Change => {
            let asked: DirectoryKeyChange = body::decode(&content)?;
            let change = DirectoryChange::read(&asked.certificate, &caller.key);
            let position = store.write(move |tx| change_in(tx, &caller, change, &asked.ring)).await?;
            Ok(body::record(&Completed { position }))
        }
        DirectoryCall::Ring(ring) => {
            let load = move |tx: &dyn Tx| {
                caller.member(tx)?;
                tx.directory_head(&caller.organisation, &ring)?.ok_or_else(|| ErrorCode::RingMissing.into())
            };
            Ok(body::octets(store.read(load).await?))
        }
        DirectoryCall::Part(part) => {
            let load = move |tx: &dyn Tx| {
                caller.member(tx)?;
                tx.directory_part(&caller.organisation, &part)?.ok_or_else(|| ErrorCode::RingMissing.into())
            };
            Ok(body::octets(store.read(load).await?))
        }
        DirectoryCall::PutPart(hash) => {
            if Hash::of(&[&content]) != hash || RingPart::decode(&content).is_err() {
                return Err(ErrorCode::RingRefused.into());
            }
            store.write(move |tx| put_part(tx, &caller, &hash, &content, now)).await?;
            Ok(body::done())
        }
        DirectoryCall::Boxes(number, user) => {
            let load = move |tx: &dyn Tx| {
                caller.member(tx)?;
                Ok::<_, Refusal>(tx.directory_boxes(&caller.organisation, number, &user, POSTED_BOXES_MAX)?)
            };
            let boxes = store.read(load).await?;
            if boxes.is_empty() {
                return Err(ErrorCode::BoxUnknown.into());
            }
            Ok(body::record(&PostedBoxes { boxes }))
        }
        DirectoryCall::PutBox(number, user) => {
            store.write(move |tx| post_box(tx, &caller, (number, &user), &content, now)).await?;
            Ok(body::done())
        }
    }
}

/// The calling member, an administrator.
fn administrator(tx: &dyn Tx, caller: &Caller) -> Result<UserId, Refusal> {
    let member = caller.member(tx)?;
    match member.profile {
        Profile::Administrator => Ok(member.user),
        Profile::Standard | Profile::Outsider => Err(ErrorCode::NotAllowed.into()),
    }
}

/// Everything that another key checks and brings with it.
fn change_in(
    tx: &mut dyn Tx,
    caller: &Caller,
    change: Result<DirectoryChange, IntakeFault>,
    ring: &ByteVec,
) -> Result<u64, Refusal> {
    let organisation = &caller.organisation;
    let mut log = log::lock(tx, organisation)?;
    administrator(tx, caller)?;
    let DirectoryChange { certificate, number, ring: hash } = change.map_err(refused)?;
    let head = DirectoryRing::decode(ring).map_err(|_| ErrorCode::RingRefused)?;
    certificate.check_call(caller.device).map_err(refused)?;
    let of = Expected { organisation, number, author: caller.device, ring: hash, list: &[] };
    if let Some(position) = tx.position_of(organisation, &certificate.hash())? {
        // After a restore the certificate may be back, and its ring not.
        if tx.directory_head(organisation, &hash)?.is_none() {
            fits_again(tx, &of, &head)?;
            keep_ring(tx, &of, &head, ring)?;
        }
        return Ok(position);
    }
    let position = certificate.append(tx, &mut log).map_err(not_appended)?.position;
    let list = list(tx, organisation, position)?;
    fits(tx, &Expected { list: &list, ..of }, &head)?;
    keep_ring(tx, &of, &head, ring)?;
    caller.log_grew(tx)?;
    Ok(position)
}

/// Refuses a ring that is not one for the members of its place, by parts that its author has put.
fn fits(tx: &dyn Tx, expected: &Expected<'_>, head: &DirectoryRing) -> Result<(), Refusal> {
    let Expected { organisation, author, list, .. } = *expected;
    head.fits(expected).map_err(ring_refused)?;
    for (place, hash) in head.parts.iter().enumerate() {
        let part = put(tx, LoosePart { organisation, device: &author, hash })?;
        head.part_fits(place, &part, list).map_err(ring_refused)?;
        let recipients = list.chunks(RING_PART_BOXES).nth(place).unwrap_or_default();
        for (recipient, sealed) in recipients.iter().zip(&part.0) {
            if sealed.is_none() && tx.key(organisation, &recipient.key)?.is_some() {
                return Err(ErrorCode::RingRefused.into());
            }
        }
    }
    Ok(())
}

/// The same of a ring whose certificate is in the log already: that fixes head and parts. Whom its
/// boxes are for is not asked: the rows tell of the present members alone. So no box may be
/// missing: a certificate that comes by a repair must not be a way round that check.
fn fits_again(tx: &dyn Tx, of: &Expected<'_>, head: &DirectoryRing) -> Result<(), Refusal> {
    let Expected { organisation, author, .. } = *of;
    head.is_of(of).map_err(ring_refused)?;
    // One part that is named again and again would be read as often.
    if head.parts.len() > tx.all_users(organisation)?.len().div_ceil(RING_PART_BOXES) {
        return Err(ring_refused(RingFault::Parts));
    }
    for hash in &head.parts {
        let part = put(tx, LoosePart { organisation, device: &author, hash })?;
        let whole =
            part.0.iter().all(|sealed| matches!(sealed, Some(sealed) if sealed.len() == SECRET_BOX_BYTES));
        if !whole {
            return Err(ErrorCode::RingRefused.into());
        }
    }
    Ok(())
}

/// A part that its ring's author has put.
fn put(tx: &dyn Tx, part: LoosePart<'_>) -> Result<RingPart, Refusal> {
    let bytes = tx.loose_directory_part(part)?.ok_or(ErrorCode::RingMissing)?;
    Ok(RingPart::decode(&bytes).map_err(|_| ErrorCode::RingRefused)?)
}

/// Keeps a ring that fits, of parts that its author has put; and of earlier ones what there is room
/// for. The one before the present key's always stays: whoever lacks it may be in no later list.
fn keep_ring(tx: &mut dyn Tx, of: &Expected<'_>, head: &DirectoryRing, ring: &[u8]) -> Result<(), Refusal> {
    let Expected { organisation, number, author, .. } = *of;
    // All were looked at before: two parts may be the same, and the first to be kept is no loose
    // one any more.
    for hash in &head.parts {
        tx.keep_directory_part(LoosePart { organisation, device: &author, hash }, number)?;
    }
    tx.put_directory_head(organisation, number, &of.ring, ring)?;
    let mut bytes = 0_u64;
    for (number, size) in tx.directory_sizes(organisation)?.into_iter().skip(2) {
        bytes = bytes.saturating_add(size);
        if bytes > EARLIER_MAX_BYTES {
            tx.remove_directory(organisation, number)?;
            break;
        }
    }
    Ok(())
}

/// Removes parts that no ring has named in time, so many. Whether there may be more.
pub(crate) fn sweep(tx: &mut dyn Tx, now: Timestamp, most: usize) -> Result<bool, StoreError> {
    tx.remove_loose_directory_parts(before(now), most)
}

/// Whether [`sweep`] has something to do.
pub(crate) fn is_due(tx: &dyn Tx, now: Timestamp) -> Result<bool, StoreError> {
    tx.is_directory_due(before(now))
}

const fn before(now: Timestamp) -> Timestamp {
    Timestamp(now.0.saturating_sub(PART_MICROSECONDS))
}

/// Whom a key is for that was certified right now: the rows are those of its place.
fn list(tx: &dyn Tx, organisation: &OrganisationId, position: u64) -> Result<Vec<Recipient>, Refusal> {
    let mut list = Vec::new();
    for user in tx.all_users(organisation)? {
        let at = tx.user_at(organisation, &user, position.saturating_add(1))?;
        list.extend(
            at.filter(|at| !at.revoked && !at.suspended).map(|at| Recipient { user, key: at.encryption_key }),
        );
    }
    Ok(list)
}

fn ring_refused(fault: RingFault) -> Refusal {
    tracing::warn!(%fault, "the ring of a directory key was refused");
    ErrorCode::RingRefused.into()
}

fn put_part(
    tx: &mut dyn Tx,
    caller: &Caller,
    hash: &Hash,
    part: &[u8],
    now: Timestamp,
) -> Result<(), Refusal> {
    administrator(tx, caller)?;
    let users = tx.all_users(&caller.organisation)?.len();
    let others = (users.div_ceil(RING_PART_BOXES) * LOOSE_RINGS).saturating_sub(1);
    let loose = LoosePart { organisation: &caller.organisation, device: &caller.device, hash };
    Ok(tx.put_loose_directory_part(loose, part, now, others)?)
}

fn post_box(
    tx: &mut dyn Tx,
    caller: &Caller,
    (number, user): (u32, &UserId),
    sealed: &[u8],
    now: Timestamp,
) -> Result<(), Refusal> {
    let organisation = &caller.organisation;
    tx.lock_log(organisation)?;
    let author = administrator(tx, caller)?;
    if tx.directory(organisation)?.number != number {
        return Err(ErrorCode::BoxUnknown.into());
    }
    let member = tx.user(organisation, user)?.is_some_and(|user| !user.revoked);
    if sealed.len() != SECRET_BOX_BYTES || !member {
        return Err(ErrorCode::BoxesRefused.into());
    }
    if tx.directory_boxes_by(organisation, number, &author)? >= BOXES_MAX {
        return Err(ErrorCode::QuotaReached.into());
    }
    let posted = PostedBox { author, sealed: ByteVec::from(sealed.to_vec()) };
    tx.post_directory_box(organisation, number, user, &posted, now)?;
    // Whoever lacks the key asks again for it: as after any word of what is theirs alone.
    let topic = Topic::Manifest { organisation: organisation.clone(), user: *user };
    tx.changed(topic.into());
    Ok(())
}
