//! The outside of a record: what the server sees of what members write (docs/protocol.md,
//! *Records*).
//!
//! Decides the bytes, and what the sealed inside is bound to. Refuses nothing: `rules` judges the
//! outside, `safes` opens the inside.

use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};

use crate::chain::envelope;
use crate::chain::head::Head;
use crate::chain::rules::Signed;
use crate::codec;
use crate::ids::{DeviceId, ObjectId, OrganisationId, SafeId, Timestamp};
use crate::limits::RECORD_MAX_BYTES;
use crate::public_keys::{Context, Hash, Signature};

/// Length of a record's nonce, in bytes: that of XChaCha20-Poly1305.
pub const RECORD_NONCE_BYTES: usize = 24;

/// Records of a safe's journal, as what is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalRecord {}

impl Signed for JournalRecord {
    type Payload = Payload;
    type Findings = ();

    const CONTEXT: Context = Context::Record;
    const ENVELOPE_MAX_BYTES: usize = RECORD_MAX_BYTES;

    fn inspect(_: &Payload) {}
}

/// The payload's bytes with the signature over them, under [`Context::Record`].
pub type Envelope = envelope::Envelope<JournalRecord>;

/// What a record's signature covers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Payload {
    /// Organisation of the safe.
    #[n(0)]
    pub organisation: OrganisationId,
    /// Safe that it belongs to.
    #[n(1)]
    pub safe: SafeId,
    /// Number of the record; the first is 1.
    #[n(2)]
    pub seq: u64,
    /// Hash of the journal's head before it.
    #[n(3)]
    pub previous: Hash,
    /// Epoch whose key sealed the inside.
    #[n(4)]
    pub epoch: u64,
    /// The author's view of the organisation's log.
    #[n(5)]
    pub seen: Head,
    /// Where the safe's log ends: exactly, when the record is accepted.
    #[n(6)]
    pub log: Head,
    /// Device whose key signed it.
    #[n(7)]
    pub author: DeviceId,
    /// Time by the author's clock.
    #[n(8)]
    pub time: Timestamp,
    /// Objects that count as the safe's from now on.
    #[n(9)]
    pub adds: Vec<ObjectId>,
    /// Objects that may go.
    #[n(10)]
    pub drops: Vec<ObjectId>,
    /// Objects that were dropped and are taken back.
    #[n(11)]
    pub keeps: Vec<ObjectId>,
    /// Nonce of the ciphertext, drawn anew for each.
    #[n(12)]
    pub nonce: ByteArray<RECORD_NONCE_BYTES>,
    /// The inside, sealed with the epoch's key.
    #[n(13)]
    pub ciphertext: ByteVec,
}

/// The fields before the nonce.
#[derive(Encode)]
struct Outside<'a> {
    #[n(0)]
    organisation: &'a OrganisationId,
    #[n(1)]
    safe: &'a SafeId,
    #[n(2)]
    seq: u64,
    #[n(3)]
    previous: &'a Hash,
    #[n(4)]
    epoch: u64,
    #[n(5)]
    seen: &'a Head,
    #[n(6)]
    log: &'a Head,
    #[n(7)]
    author: &'a DeviceId,
    #[n(8)]
    time: Timestamp,
    #[n(9)]
    adds: &'a [ObjectId],
    #[n(10)]
    drops: &'a [ObjectId],
    #[n(11)]
    keeps: &'a [ObjectId],
}

impl Payload {
    /// What the ciphertext is bound to: every field before the nonce.
    #[must_use]
    pub fn associated_data(&self) -> Vec<u8> {
        let outside = Outside {
            organisation: &self.organisation,
            safe: &self.safe,
            seq: self.seq,
            previous: &self.previous,
            epoch: self.epoch,
            seen: &self.seen,
            log: &self.log,
            author: &self.author,
            time: self.time,
            adds: &self.adds,
            drops: &self.drops,
            keeps: &self.keeps,
        };
        [b"parsec-record-v1 ad\0", codec::encode(&outside).as_slice()].concat()
    }

    /// Signs with `sign`, which applies [`Context::Record`], and returns the envelope's bytes.
    #[must_use]
    pub fn sign_with(&self, sign: impl FnOnce(Context, &[u8]) -> Signature) -> Vec<u8> {
        Envelope::sign(self, sign)
    }
}
