//! What the server takes outside an attempt: enrolments whose ceremony it did not relay, and single
//! certificates.
//!
//! Decides the records and nothing else. Whether a certificate may stand in the log is for the
//! log's rules, which the server applies as every reader does.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::claim_receipt::ClaimReceipt;
use crate::ids::{DeviceId, Invited, Timestamp, Token};
use crate::public_keys::Hash;
use crate::sealing::EncryptionKey;

/// An enrolment whose ceremony ran directly between two daemons, to be registered: certificates,
/// receipt and the invitation's completion, all or nothing. Idempotent for equal certificates.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct DirectEnrolment {
    /// The invitation's. The server may know it, or never have heard of it.
    #[n(0)]
    pub token: Token,
    /// The person or member who was invited.
    #[n(1)]
    pub invited: Invited,
    /// When the invitation was made, by its maker's clock.
    #[n(2)]
    pub created: Timestamp,
    /// End of it; at most [`crate::limits::INVITATION_DAYS_MAX`] days after.
    #[n(3)]
    pub expires: Timestamp,
    /// One envelope (a device) or two (a user, then its device).
    #[n(4)]
    pub certificates: Vec<ByteVec>,
    /// The claimer's receipt: message 8.
    #[n(5)]
    pub receipt: ClaimReceipt,
    /// The keys that the certificates name, in that order.
    #[n(6)]
    pub keys: Vec<EncryptionKey>,
}

/// A newcomer who was enrolled directly asks what became of it, before the server knows its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct StandingQuestion {
    /// Who signed the certificates.
    #[n(0)]
    pub greeter: DeviceId,
    /// SHA-256 of the first of them.
    #[n(1)]
    pub certificate: Hash,
}

/// What became of it, by the server's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Standing {
    /// Not in the log; it may still come.
    #[n(0)]
    Waiting,
    /// The certificates are in the log.
    #[n(1)]
    Registered,
    /// Not in the log, and its author has been revoked: it never will be.
    #[n(2)]
    Void,
}

/// Puts a profile change, a user's or a device's revocation into the log. Idempotent for equal
/// bytes. Answered by [`super::Completed`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct NewCertificate {
    /// Exactly one envelope, signed by the calling device.
    #[n(0)]
    pub certificates: Vec<ByteVec>,
}
