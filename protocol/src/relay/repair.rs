//! How a member puts back what a restore of the server's database took off the end of a log.
//!
//! Decides the records and nothing else. Whether the certificates may stand there is for the log's
//! rules, which the server applies as every reader does.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::chain::head::Head;
use crate::limits::{CERTIFICATE_MAX_BYTES, LOG_PAGE_MAX_CERTIFICATES};
use crate::sealing::{ENCRYPTION_KEY_BYTES, EncryptionKey};

/// Largest body of the call: as many certificates as a page of the log has, each of the largest
/// size and its head of 3 bytes, with the key that each may name, and the framing around them.
pub const REPAIR_MAX_BYTES: usize =
    LOG_PAGE_MAX_CERTIFICATES * (CERTIFICATE_MAX_BYTES + 3 + ENCRYPTION_KEY_BYTES + 5) + 128;

/// Certificates of the log as the caller has verified it, from `from` on. What the server holds
/// already is compared and passed over, so equal bytes are answered alike.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct LogRepair {
    /// Where the first of them follows. The server's log must pass through it.
    #[n(0)]
    pub from: Head,
    /// Envelopes in order, 1 to [`LOG_PAGE_MAX_CERTIFICATES`].
    #[n(1)]
    pub certificates: Vec<ByteVec>,
    /// For each key that they name, in that order, the key, or none where the caller has not got
    /// it: a log without its keys is better than no log.
    #[n(2)]
    pub keys: Vec<Option<EncryptionKey>>,
}

/// They are in the log, all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct LogRepaired {
    /// How many certificates the log has now.
    #[n(0)]
    pub count: u64,
    /// How many of them this call has put back.
    #[n(1)]
    pub added: u64,
}
