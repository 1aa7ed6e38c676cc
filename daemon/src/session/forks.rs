//! Fork proofs: what a device's own log and another one, or a certificate that has seen another,
//! show to anybody.
//!
//! Decides what a device signs for it: the head of its own verified log. Refuses to keep a file
//! that would not pass at the other end.

use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::evidence::EVIDENCE_MAX_BYTES;
use parsec_protocol::evidence::fork::ForkProof;
use parsec_protocol::evidence::head::SignedHead;

use crate::os::clock;
use crate::store::{OpenDevice, StoreError};

/// What does not go together with a device's own log.
#[derive(Debug)]
pub enum ForkEvidence {
    /// A certificate that has seen another log.
    ForeignView(Vec<u8>),
    /// The server shows less than this device has verified: perhaps a restored backup, and nobody's
    /// word against anything.
    Shorter,
    /// Another log, valid by itself, and somebody's word for its end where there is one.
    Log(Vec<Vec<u8>>, Option<SignedHead>),
}

/// This device's word for where its log ends now.
pub(crate) fn word(open: &OpenDevice, log: &VerifiedLog) -> SignedHead {
    SignedHead::of(log, open.summary.device, clock::now(), |context, message| {
        open.keys.signing_key.sign(context, message)
    })
}

/// The proof as a file; nothing where there is none to be had: two honest certificates can stand in
/// either order, and nobody has signed for a log that is only shorter. Reads and verifies whole
/// logs.
///
/// # Errors
/// The disk's.
pub(crate) fn proof(
    open: &OpenDevice,
    log: &VerifiedLog,
    found: ForkEvidence,
) -> Result<Option<Vec<u8>>, StoreError> {
    if matches!(found, ForkEvidence::Shorter) {
        return Ok(None);
    }
    let mut own = open.store.certificates()?;
    // The store may be a page ahead of what is in memory.
    own.truncate(usize::try_from(log.count()).unwrap_or(usize::MAX));
    let (organisation, root) = (log.organisation().clone(), *log.root());
    let proof = match found {
        ForkEvidence::ForeignView(envelope) => {
            ForkProof::of_foreign_view(organisation, root, &own, word(open, log), &envelope)
        }
        ForkEvidence::Shorter => None,
        ForkEvidence::Log(other, head) => {
            let of = |head| {
                let logs = [(own.as_slice(), Some(word(open, log))), (other.as_slice(), head)];
                ForkProof::of(organisation.clone(), root, logs)
            };
            // A head that does not fit the other log is nobody's word for it; its certificates may
            // be.
            head.and_then(|head| of(Some(head))).or_else(|| of(None))
        }
    };
    Ok(proof.map(|proof| proof.encode()).filter(|file| file.len() <= EVIDENCE_MAX_BYTES))
}
