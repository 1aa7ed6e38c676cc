//! An enrolment receipt: how somebody was let in, by the word of both devices.
//!
//! Decides which parts make a receipt and that they belong together. Refuses one whose
//! certificates, statement and message 8 are not about the same ceremony. Whether the greeter's
//! device was entitled, a log alone can say: [`CheckedReceipt::stands_in`].

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::{EvidenceError, VERSION, check_kind};
use crate::chain::head::Head;
use crate::chain::organisation::certificate::{Author, Body, Envelope};
use crate::chain::organisation::log::VerifiedLog;
use crate::claim_receipt::ClaimReceipt;
use crate::codec;
use crate::ids::{DeviceId, Email, OrganisationId, Timestamp, UserId};
use crate::limits::CERTIFICATE_MAX_BYTES;
use crate::public_keys::{Context, Hash, Signature, VerifyKey};

/// What stands first in the file.
const KIND: &str = "parsec-receipt";

/// Largest statement: nine values of 32 bytes and less, and an organisation id.
pub const STATEMENT_MAX_BYTES: usize = 512;
/// Largest receipt file: two certificates, and short fields.
pub const RECEIPT_FILE_MAX_BYTES: usize = 2 * CERTIFICATE_MAX_BYTES + 2 * STATEMENT_MAX_BYTES;

/// Bits of both codes: two of 20.
pub const CODE_BITS: u64 = 40;

/// How the greeter's person gave the code that they heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Method {
    /// The code was picked among four.
    #[n(0)]
    Picked,
    /// The code was typed as heard.
    #[n(1)]
    Typed,
}

/// Which transport a ceremony took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Transport {
    /// The metadata server's relay.
    #[n(0)]
    Relay,
    /// Directly between the two devices.
    #[n(1)]
    PeerToPeer,
}

/// What the greeter's device says about a ceremony it certified after.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Statement {
    /// The organisation that was joined.
    #[n(0)]
    pub organisation: OrganisationId,
    /// Public half of its root key.
    #[n(1)]
    pub root: VerifyKey,
    /// Whose word this is.
    #[n(2)]
    pub greeter: DeviceId,
    /// The greeter's key, which signed the statement.
    #[n(3)]
    pub greeter_key: VerifyKey,
    /// The transport of the ceremony.
    #[n(4)]
    pub transport: Transport,
    /// Attempts of the invitation that the greeter's device took part in, this one included, by its
    /// own count.
    #[n(5)]
    pub attempts: u64,
    /// How the greeter's person gave the claimer's code.
    #[n(6)]
    pub method: Method,
    /// [`CODE_BITS`].
    #[n(7)]
    pub bits: u64,
    /// The greeter stated that the claimer said aloud that the code was found. Always true: nothing
    /// is signed otherwise.
    #[n(8)]
    pub heard: bool,
    /// The greeter's view of the log.
    #[n(9)]
    pub seen: Head,
    /// The ceremony's handshake hash.
    #[n(10)]
    pub handshake: Hash,
    /// The device that was let in.
    #[n(11)]
    pub device: DeviceId,
    /// When it was certified.
    #[n(12)]
    pub time: Timestamp,
    /// What message 8 must show: that the boxes of message 7 were opened.
    #[n(13)]
    pub opened: Hash,
}

/// A statement and its signature.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SignedStatement {
    /// Encoding of a [`Statement`].
    #[n(0)]
    pub statement: ByteVec,
    /// By the greeter's device, under [`Context::Enrolled`].
    #[n(1)]
    pub signature: Signature,
}

impl SignedStatement {
    /// Signs with `sign`, which applies [`Context::Enrolled`].
    #[must_use]
    pub fn of(statement: &Statement, sign: impl FnOnce(Context, &[u8]) -> Signature) -> Self {
        let statement = codec::encode(statement);
        let signature = sign(Context::Enrolled, &statement);
        Self { statement: statement.into(), signature }
    }
}

/// An enrolment receipt as a file.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct EnrolmentReceipt {
    #[n(0)]
    kind: String,
    #[n(1)]
    version: u64,
    #[n(2)]
    statement: ByteVec,
    #[n(3)]
    signature: Signature,
    #[n(4)]
    certificates: Vec<ByteVec>,
    #[n(5)]
    receipt: ClaimReceipt,
}

/// What a receipt says, once its parts are known to belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedReceipt {
    /// What the greeter's device stated and signed.
    pub statement: Statement,
    /// The person that was let in, or whose device was.
    pub user: UserId,
    /// The person's address, where a person was let in.
    pub email: Option<Email>,
    /// The new device's key, which signed message 8.
    pub device_key: VerifyKey,
}

impl EnrolmentReceipt {
    /// Puts one together; [`Self::verify`] says what it is worth.
    #[must_use]
    pub fn new(signed: SignedStatement, certificates: Vec<ByteVec>, receipt: ClaimReceipt) -> Self {
        let SignedStatement { statement, signature } = signed;
        Self { kind: KIND.to_owned(), version: VERSION, statement, signature, certificates, receipt }
    }

    /// Bytes of the file, canonical CBOR.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a file; nothing in it is checked yet but its form.
    ///
    /// # Errors
    /// [`EvidenceError::Malformed`], [`EvidenceError::OtherKind`]; more than
    /// [`RECEIPT_FILE_MAX_BYTES`] are not looked at.
    pub fn decode(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let file: Self = codec::decode(bytes, RECEIPT_FILE_MAX_BYTES)?;
        check_kind(&file.kind, file.version, KIND, "an enrolment receipt")?;
        Ok(file)
    }

    /// Checks all signatures under the keys that the file names, and that its parts are about one
    /// ceremony.
    ///
    /// # Errors
    /// [`EvidenceError::Malformed`], [`EvidenceError::Unfitting`].
    pub fn verify(&self) -> Result<CheckedReceipt, EvidenceError> {
        let statement: Statement = codec::decode(&self.statement, STATEMENT_MAX_BYTES)?;
        let unfitting = |what| Err(EvidenceError::Unfitting(what));
        if statement.greeter_key.verify(Context::Enrolled, &self.statement, &self.signature).is_err() {
            return unfitting("the greeter's signature does not verify");
        }
        if statement.bits != CODE_BITS || !statement.heard {
            return unfitting("no ceremony of this protocol was checked so");
        }
        let bodies = self
            .certificates
            .iter()
            .map(|envelope| certified(&statement, envelope))
            .collect::<Result<Vec<_>, _>>()?;
        let (email, device, user, device_key) = match bodies.as_slice() {
            [Body::Device { device, user, verify_key, .. }] => (None, device, user, verify_key),
            [Body::User { user: member, email, .. }, Body::Device { device, user, verify_key, .. }]
                if member == user =>
            {
                (Some(email.clone()), device, user, verify_key)
            }
            _ => return unfitting("it is not one enrolment"),
        };
        if *device != statement.device {
            return unfitting("another device is certified than the statement names");
        }
        let hashes: Vec<Hash> = self.certificates.iter().map(|envelope| Hash::of(&[envelope])).collect();
        let fits = self.receipt.handshake == statement.handshake
            && self.receipt.root == statement.root
            && self.receipt.opened == statement.opened
            && self.receipt.certificates == hashes;
        if !fits {
            return unfitting("the newcomer's receipt is about something else");
        }
        if self.receipt.verify(device_key).is_err() {
            return unfitting("the newcomer's signature does not verify");
        }
        Ok(CheckedReceipt { user: *user, email, device_key: *device_key, statement })
    }
}

/// Reads one certificate of the greeter's.
fn certified(statement: &Statement, envelope: &[u8]) -> Result<Body, EvidenceError> {
    let envelope = Envelope::decode(envelope)?;
    if envelope.verify(&statement.greeter_key).is_err() {
        return Err(EvidenceError::Unfitting("a certificate is not by the greeter"));
    }
    let payload = envelope.payload()?;
    let fits = payload.organisation == statement.organisation
        && payload.author == Author::Device(statement.greeter)
        && payload.seen == statement.seen
        && payload.time == statement.time;
    if fits {
        Ok(payload.body)
    } else {
        Err(EvidenceError::Unfitting("a certificate was made elsewhere or at another time"))
    }
}

impl CheckedReceipt {
    /// Whether the log of the same organisation bears the receipt out: the greeter's key is that of
    /// its device there, and the newcomer is in it, certified by the greeter.
    ///
    /// # Errors
    /// [`EvidenceError::Unfitting`] says what doesn't fit.
    pub fn stands_in(&self, log: &VerifiedLog) -> Result<(), EvidenceError> {
        let Self { statement, device_key, user, .. } = self;
        let unfitting = |what| Err(EvidenceError::Unfitting(what));
        if *log.organisation() != statement.organisation || *log.root() != statement.root {
            return unfitting("the log is another organisation's");
        }
        if !log.extends(&statement.seen) {
            return unfitting("the log does not pass through what the greeter had seen");
        }
        if log.device(&statement.greeter).is_none_or(|greeter| greeter.verify_key != statement.greeter_key) {
            return unfitting("the log has another key for the greeter's device");
        }
        let there = log.device(&statement.device).is_some_and(|device| {
            device.verify_key == *device_key
                && device.user == *user
                && device.author == Author::Device(statement.greeter)
                && device.certified == statement.time
        });
        if there { Ok(()) } else { unfitting("the log does not have the new device") }
    }
}
