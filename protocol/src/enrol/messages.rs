//! What the encrypted messages say (docs/protocol.md, the table of *The ceremony*).
//!
//! Decides the records and their largest sizes. Refuses, through the codec, everything but the one
//! spelling of each: a nonce of another length, a further field, a byte after the end.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use super::channel::Channel;
use super::io::{Claim, Closed};
use crate::chain::head::Head;
use crate::chain::organisation::certificate::{ManifestMark, Profile};
use crate::codec;
use crate::ids::{DeviceId, Email, Label, UserId};
use crate::limits::STEP_MAX_BYTES;
use crate::public_keys::{Hash, Signature, VerifyKey};
use crate::sealing::EncryptionKey;

/// Receipts are 32-byte values and framing: 1 + 34 + (1 + 2·34) + 34 + 34 + 66 bytes.
pub(super) const RECEIPT_MAX_BYTES: usize = 256;

/// A number used once: 32 bytes, so that no birthday and no guess ever meets one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Nonce(pub(super) [u8; 32]);

impl<C> Encode<C> for Nonce {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Nonce {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let bytes = d.bytes()?.try_into();
        bytes.map(Self).map_err(|_| minicbor::decode::Error::message("a nonce has 32 bytes"))
    }
}

/// Message 2.
#[derive(Debug, Encode, Decode)]
pub(super) struct Commit {
    #[n(0)]
    pub(super) commitment: Hash,
}

/// Message 3.
#[derive(Debug, Encode, Decode)]
pub(super) struct GreeterReply {
    #[n(0)]
    pub(super) nonce: Nonce,
    #[n(1)]
    pub(super) root_commitment: Hash,
    #[n(2)]
    pub(super) typing_required: bool,
}

/// Message 4.
#[derive(Debug, Encode, Decode)]
pub(super) struct Reveal {
    #[n(0)]
    pub(super) nonce: Nonce,
}

/// The content of message 5.
pub(super) const RECOGNISED: u8 = 1;

/// Message 5.
#[derive(Debug, Encode, Decode)]
pub(super) struct Recognised {
    #[n(0)]
    pub(super) word: u8,
}

/// The claim inside message 6.
#[derive(Debug, Clone, Encode, Decode)]
pub(super) struct ClaimRecord {
    #[n(0)]
    pub(super) name: Option<Label>,
    #[n(1)]
    pub(super) device_label: Label,
    #[n(2)]
    pub(super) encryption_key: Option<EncryptionKey>,
    #[n(3)]
    pub(super) verify_key: VerifyKey,
    #[n(4)]
    pub(super) device_key: EncryptionKey,
}

impl From<ClaimRecord> for Claim {
    fn from(record: ClaimRecord) -> Self {
        let ClaimRecord { name, device_label, encryption_key, verify_key, device_key } = record;
        Self { name, device_label, encryption_key, verify_key, device_key }
    }
}

/// Message 6.
#[derive(Debug, Encode, Decode)]
pub(super) struct Introduction {
    #[n(0)]
    pub(super) claim: ClaimRecord,
    #[n(1)]
    pub(super) possession: Signature,
}

/// What the signature in message 6 is over: this claim, in this ceremony.
#[derive(Encode)]
struct PossessionOf<'a> {
    #[n(0)]
    handshake: &'a Hash,
    #[n(1)]
    claim: &'a ClaimRecord,
}

/// The bytes the new device signs to prove that it holds its key.
pub(super) fn possession_message(handshake: &Hash, claim: &ClaimRecord) -> Vec<u8> {
    codec::encode(&PossessionOf { handshake, claim })
}

/// Message 7. Its secrets are in boxes ([`super::boxes`]).
#[derive(Debug, Encode, Decode)]
pub(super) struct Handover {
    #[n(0)]
    pub(super) user: UserId,
    #[n(1)]
    pub(super) device: DeviceId,
    #[n(2)]
    pub(super) email: Email,
    #[n(3)]
    pub(super) name: Label,
    #[n(4)]
    pub(super) device_label: Label,
    #[n(5)]
    pub(super) profile: Profile,
    #[n(6)]
    pub(super) root: VerifyKey,
    #[n(7)]
    pub(super) seen: Head,
    #[n(8)]
    pub(super) certificates: Vec<ByteVec>,
    #[n(9)]
    pub(super) manifest: Option<ManifestMark>,
    #[n(10)]
    pub(super) secrets: ByteVec,
    #[n(11)]
    pub(super) challenges: Vec<ByteVec>,
}

/// Message 7 of a ceremony that gives a share.
#[derive(Debug, Encode, Decode)]
pub(super) struct ShareHandover {
    #[n(0)]
    pub(super) root: VerifyKey,
    #[n(1)]
    pub(super) seen: Head,
    #[n(2)]
    pub(super) plan: ByteVec,
    #[n(3)]
    pub(super) share: ByteVec,
}

/// Encodes and encrypts the next message.
pub(super) fn seal<T: Encode<()>>(channel: &mut Channel, value: &T) -> Vec<u8> {
    channel.seal(&Zeroizing::new(codec::encode(value)))
}

/// Decrypts and decodes the next message.
///
/// # Errors
/// [`Closed::BadMessage`].
pub(super) fn open<T>(channel: &mut Channel, step: u8, message: &[u8]) -> Result<T, Closed>
where
    T: for<'b> Decode<'b, ()> + Encode<()>,
{
    let plaintext = channel.open(step, message)?;
    codec::decode(&plaintext, STEP_MAX_BYTES).map_err(|_| Closed::BadMessage { step })
}
