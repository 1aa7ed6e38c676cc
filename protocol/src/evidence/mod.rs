//! What somebody may have to show to others: exported logs, proofs of a fork, enrolment receipts
//! (docs/protocol.md, *Evidence files*).
//!
//! Decides the form of each file and what must hold before its word is passed on. Refuses to take
//! anything for granted that is not in the file: no store, no server, no clock is asked. Holds no
//! secret.

pub mod export;
pub mod fork;
pub mod head;
pub mod receipt;

use crate::chain::organisation::log::LogError;
use crate::codec::CodecError;
use crate::limits::LOG_MAX_CERTIFICATES;

/// Largest evidence file: a log of 100,000 certificates of the usual 400 bytes is 40 MB. Decoding
/// takes about three times as much.
pub const EVIDENCE_MAX_BYTES: usize = 64 * 1024 * 1024;
// What can't be shown is no evidence: the longest log fits.
const _: () = assert!(EVIDENCE_MAX_BYTES as u64 >= LOG_MAX_CERTIFICATES * 400);

/// The version that every file's second field gives.
const VERSION: u64 = 1;

/// Why a file shows nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// Not bytes of the protocol's encoding, or too many.
    #[error("it is damaged or no evidence file ({0})")]
    Malformed(#[from] CodecError),
    /// Another kind of file, or of a later version.
    #[error("it is not {expected} of a version this program knows")]
    OtherKind {
        /// What was asked for, in words.
        expected: &'static str,
    },
    /// A log in it does not stand.
    #[error("{0}")]
    Log(#[from] LogError),
    /// A signed head that nobody can answer for, or that is not this log's.
    #[error("its signed head {0}")]
    Head(HeadFault),
    /// The two branches are no fork.
    #[error("it proves no fork: {0}")]
    NoFork(&'static str),
    /// The parts of a receipt don't belong together.
    #[error("its parts don't belong together: {0}")]
    Unfitting(&'static str),
}

/// What is wrong with a signed head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadFault {
    /// The log has no such device.
    #[error("is by a device that the log does not know")]
    UnknownDevice,
    /// It, or its user, is revoked at the end of the log.
    #[error("is by a device that was revoked")]
    Revoked,
    /// The signature is not that device's over this head.
    #[error("has a signature that does not verify")]
    Signature,
    /// The log does not pass through it, or not where it must.
    #[error("is not one of this log")]
    Elsewhere,
}

/// Checks what a file says of itself.
fn check_kind(
    kind: &str,
    version: u64,
    expected: &'static str,
    words: &'static str,
) -> Result<(), EvidenceError> {
    if kind == expected && version == VERSION {
        Ok(())
    } else {
        Err(EvidenceError::OtherKind { expected: words })
    }
}
