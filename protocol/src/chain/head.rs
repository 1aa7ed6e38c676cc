//! A head: one place in a log, and every byte before it.
//!
//! Decides how the running hash goes on. Refuses nothing: whether a head is one of this log is the
//! log's to say.

use minicbor::{Decode, Encode};

use crate::public_keys::Hash;

/// A place in a log: how many certificates stand before it, and the running hash over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Head {
    /// Certificates before this place.
    #[n(0)]
    pub count: u64,
    /// The running hash over these certificates.
    #[n(1)]
    pub hash: Hash,
}

impl Head {
    /// The head after one more certificate: headₙ = SHA-256(headₙ₋₁ ‖ SHA-256(envelopeₙ)).
    #[must_use]
    pub fn after(&self, envelope: &[u8]) -> Self {
        let hash = Hash::of(&[self.hash.as_bytes(), Hash::of(&[envelope]).as_bytes()]);
        Self { count: self.count.saturating_add(1), hash }
    }
}
