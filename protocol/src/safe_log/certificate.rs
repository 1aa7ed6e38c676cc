//! What a certificate of a safe's log says (docs/protocol.md, *The safe log*).
//!
//! Decides the bytes of each kind, and where both chains of a safe begin. Refuses nothing: whether
//! the author had the right to say it is a question for `rules`.

use minicbor::{Decode, Encode};

use super::roles::Role;
use crate::chain::envelope;
use crate::chain::head::Head;
use crate::chain::rules::Signed;
use crate::codec;
use crate::ids::{DeviceId, OrganisationId, SafeId, Timestamp, UserId};
use crate::limits::SAFE_CERTIFICATE_MAX_BYTES;
use crate::public_keys::{Context, Hash, Signature};

/// Certificates of a safe's log, as what is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SafeCertificate {}

impl Signed for SafeCertificate {
    type Payload = Payload;
    type Findings = ();

    const CONTEXT: Context = Context::SafeCertificate;
    const ENVELOPE_MAX_BYTES: usize = SAFE_CERTIFICATE_MAX_BYTES;

    fn inspect(_: &Payload) {}
}

/// The payload's bytes with the signature over them, under [`Context::SafeCertificate`].
pub type Envelope = envelope::Envelope<SafeCertificate>;

/// What a certificate's signature covers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Payload {
    /// Organisation of the safe.
    #[n(0)]
    pub organisation: OrganisationId,
    /// Safe that it belongs to.
    #[n(1)]
    pub safe: SafeId,
    /// Where the safe's log ends: exactly, when the certificate is accepted.
    #[n(2)]
    pub previous: Head,
    /// Where the journal ends: exactly, too. So both are one order.
    #[n(3)]
    pub place: Head,
    /// The author's view of the organisation's log.
    #[n(4)]
    pub seen: Head,
    /// Device whose key signed it.
    #[n(5)]
    pub author: DeviceId,
    /// Time by the author's clock.
    #[n(6)]
    pub time: Timestamp,
    /// The statement that it makes.
    #[n(7)]
    pub body: Body,
}

impl Payload {
    /// Signs with `sign`, which applies [`Context::SafeCertificate`], and returns the envelope's
    /// bytes.
    #[must_use]
    pub fn sign_with(&self, sign: impl FnOnce(Context, &[u8]) -> Signature) -> Vec<u8> {
        Envelope::sign(self, sign)
    }
}

/// The statement itself. Each kind has its own tag, under the signature.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Body {
    /// The safe begins, with its author as the only member and owner.
    #[n(0)]
    Created {
        /// Suite of keys and boxes.
        #[n(0)]
        suite: u32,
        /// Kinds of changes that the safe knows.
        #[n(1)]
        format: u32,
        /// Fixes the key of epoch 0.
        #[n(2)]
        key_check: Hash,
        /// Hash of the list that has the author's user alone.
        #[n(3)]
        list: Hash,
        /// Hash of the ring's head.
        #[n(4)]
        ring: Hash,
    },
    /// Roles change, a new key comes, or both; neither is a witness.
    #[n(1)]
    Changed {
        /// Ascending by user id, at most [`SAFE_CHANGES_MAX`](crate::limits::SAFE_CHANGES_MAX).
        #[n(0)]
        changes: Vec<Change>,
        /// The key of the next epoch, if it comes with one.
        #[n(1)]
        key: Option<Key>,
        /// Hash of the boxes that come with it for those who get a role and no ring.
        #[n(2)]
        boxes: Option<Hash>,
    },
    /// The safe as a whole is open, read-only or deleted from here on.
    #[n(2)]
    State {
        /// State from here on.
        #[n(0)]
        state: State,
        /// Format from here on: not lower than before.
        #[n(1)]
        format: u32,
        /// Suite from here on: not lower than before.
        #[n(2)]
        suite: u32,
    },
}

/// One user's role from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Change {
    /// User whose role it is.
    #[n(0)]
    pub user: UserId,
    /// The role; none takes it away.
    #[n(1)]
    pub role: Option<Role>,
}

/// A new key, without the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Key {
    /// Number of the epoch: the present one and 1 more.
    #[n(0)]
    pub epoch: u64,
    /// Fixes the key for everybody.
    #[n(1)]
    pub key_check: Hash,
    /// Hash of the list of those who get it.
    #[n(2)]
    pub list: Hash,
    /// Hash of the ring's head.
    #[n(3)]
    pub ring: Hash,
    /// How many of the latest epochs before it are declared lost.
    #[n(4)]
    pub lost: u64,
}

/// What a safe as a whole is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum State {
    /// Records are taken from writers.
    #[n(0)]
    Open,
    /// Records are refused; an owner opens it again.
    #[n(1)]
    ReadOnly,
    /// Records are refused, and from this time on everything is. Until then an owner takes it back.
    #[n(2)]
    Deleted(#[n(0)] Timestamp),
}

/// What the first hash of either chain is over: whose first certificate it is, too, so that two who
/// take one id for their safes have two safes.
#[derive(Encode)]
struct Origin<'a>(#[n(0)] &'a OrganisationId, #[n(1)] &'a SafeId, #[n(2)] &'a DeviceId);

/// Where a safe's log begins, before its first certificate by the device `author`.
#[must_use]
pub fn first_log_head(organisation: &OrganisationId, safe: &SafeId, author: &DeviceId) -> Head {
    let origin = codec::encode(&Origin(organisation, safe, author));
    Head { count: 0, hash: Hash::of(&[b"parsec-safe-log-v1\0", &origin]) }
}

/// Where a safe's journal begins, before its first record; `author` is the device of the first
/// certificate.
#[must_use]
pub fn first_journal_head(organisation: &OrganisationId, safe: &SafeId, author: &DeviceId) -> Head {
    let origin = codec::encode(&Origin(organisation, safe, author));
    Head { count: 0, hash: Hash::of(&[b"parsec-journal-v1\0", &origin]) }
}
