//! Sealing to keys: what is secret goes to a person or a device as a box that their seed alone
//! opens.
//!
//! Decides the suites: by which algorithms a box is made, and what a key's hash is over
//! (docs/protocol.md, *Sealing to keys*). Refuses unsound keys where they enter, so that no
//! [`EncryptionKey`] is one. Holds no randomness of its own: what a box draws is an argument, and
//! the same arguments give the same box.
//!
//! Whoever seals says for what in `info`, and no two uses may have the same: each is the encoding
//! of a record that begins with a text of its own. docs/protocol.md has that of each use, and each
//! is built beside the code that has the use; here it is bytes.
//!
//! ```
//! use parsec_protocol::keys::{UserSeed, Entropy, NoEntropy};
//! use parsec_protocol::sealing::{Randomness, box_bytes, seal};
//!
//! // In the product this is the operating system's generator.
//! struct Counter(u8);
//! impl Entropy for Counter {
//!     fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
//!         for byte in bytes {
//!             *byte = self.0;
//!             self.0 = self.0.wrapping_add(1);
//!         }
//!         Ok(())
//!     }
//! }
//!
//! // The recipient keeps 32 bytes and shows the key that belongs to them.
//! let seed = UserSeed::random(&mut Counter(0))?;
//! let key = seed.encryption_key();
//!
//! // Anybody who has the key seals to it.
//! let randomness = Randomness::random(&mut Counter(32))?;
//! let sealed = seal(&key, b"an example", b"", &[7; 32], randomness)?;
//! assert_eq!(sealed.len(), box_bytes(32));
//!
//! // It opens with the seed, for the use it was sealed for, and not otherwise.
//! assert_eq!(seed.open(&sealed, b"an example", b"")?.expose(), [7; 32]);
//! assert!(seed.open(&sealed, b"another use", b"").is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use minicbor::{Decode, Encode};

mod key;
mod open;
mod seal;
mod xwing;

#[cfg(test)]
mod tests;

pub use key::{ENCRYPTION_KEY_BYTES, EncryptionKey, KeyHash, UnsoundKey};
pub(crate) use open::Opener;
pub use open::{OpenError, Plaintext};
pub use seal::{RANDOMNESS_BYTES, Randomness, SealError, seal};

/// Length of what stands before the ciphertext in a box, in bytes: the encapsulation of ML-KEM-768,
/// 1,088, and that of X25519, 32.
pub const ENCAPSULATION_BYTES: usize = 1_120;
/// Length of the tag that a ciphertext ends with, in bytes (RFC 8439).
pub const TAG_BYTES: usize = 16;
/// Length of a box of one 32-byte secret, in bytes.
pub const SECRET_BOX_BYTES: usize = box_bytes(32);
/// Longest `info`, in bytes. The longest record that names a use has some 200; `hpke` says that it
/// may panic at 65,531.
pub const INFO_MAX_BYTES: usize = 1_024;

/// Length of a box of that many bytes of plaintext, in bytes.
#[must_use]
pub const fn box_bytes(plaintext: usize) -> usize {
    ENCAPSULATION_BYTES + plaintext + TAG_BYTES
}

/// The algorithms of a key and of every box for it. Encoded as its number wherever either is named;
/// a later one is larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Suite {
    /// HPKE in base mode (RFC 9180) with X-Wing (KEM 0x647a), HKDF-SHA256 and ChaCha20-Poly1305.
    #[n(1)]
    XWing,
}
