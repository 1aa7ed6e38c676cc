//! Making boxes: anybody who has the key can, and nobody learns from a box who did.
//!
//! Decides the form of a box: the encapsulation, then the ciphertext. Refuses an `info` that is too
//! long, and randomness that was used before, as far as a type can.

use std::fmt;

use hpke::inout::InOutBuf;
use hpke::{OpModeS, Serializable as _, setup_sender_with_rng};
use zeroize::{Zeroize as _, Zeroizing};

use super::xwing::{Aead, FixedRng, Kdf, PublicKey, XWing, then_wipe_stack};
use super::{EncryptionKey, INFO_MAX_BYTES, box_bytes};
use crate::keys::{Entropy, NoEntropy};

/// Length of what a box draws, in bytes: 32 for ML-KEM, 32 for the X25519 key of this one box.
pub const RANDOMNESS_BYTES: usize = 64;

/// What one box draws. Secret: whoever has it opens the box.
///
/// For one box and no other, which is why [`seal`] takes it away. It comes from the random source,
/// or is derived from a secret and *everything* that the box is of: plaintext, key and `info`. Two
/// different boxes of the same randomness for the same key and `info` give away both plaintexts.
pub struct Randomness(Box<Zeroizing<[u8; RANDOMNESS_BYTES]>>);

impl Randomness {
    /// A new one, for a box that nobody shall be able to make again.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn random(entropy: &mut dyn Entropy) -> Result<Self, NoEntropy> {
        let mut drawn = Self(Box::new(Zeroizing::new([0; RANDOMNESS_BYTES])));
        entropy.fill(drawn.0.as_mut_slice())?;
        Ok(drawn)
    }

    /// From where it was derived to the heap at once; none if it has not 64 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut given = Self(Box::new(Zeroizing::new([0; RANDOMNESS_BYTES])));
        (bytes.len() == given.0.len()).then(|| given.0.copy_from_slice(bytes))?;
        Some(given)
    }
}

impl fmt::Debug for Randomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Randomness(..)")
    }
}

/// Nothing was sealed: `info` has more than [`INFO_MAX_BYTES`]. Ours, always: nobody else says what
/// an `info` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing was sealed")]
pub struct SealError;

/// Seals `plaintext` to `key` for the use that `info` says; `associated` must be the same when it
/// is opened. A box of [`box_bytes`] bytes. The same arguments give the same box.
///
/// # Errors
/// [`SealError`].
pub fn seal(
    key: &EncryptionKey,
    info: &[u8],
    associated: &[u8],
    plaintext: &[u8],
    randomness: Randomness,
) -> Result<Vec<u8>, SealError> {
    if info.len() > INFO_MAX_BYTES {
        return Err(SealError);
    }
    let key = PublicKey(key.clone());
    then_wipe_stack(move || {
        let mut given = FixedRng::new(&randomness.0);
        let (encapsulation, mut context) =
            setup_sender_with_rng::<Aead, Kdf, XWing>(&OpModeS::Base, &key, info, &mut given)
                .map_err(|_| SealError)?;
        // Its room from the start: growing would leave a copy of the plaintext.
        let mut sealed = Vec::with_capacity(box_bytes(plaintext.len()));
        sealed.extend_from_slice(&encapsulation.to_bytes());
        let start = sealed.len();
        sealed.extend_from_slice(plaintext);
        let text = InOutBuf::from(sealed.get_mut(start..).unwrap_or_default());
        match context.seal_inout_detached(text, associated) {
            Ok(tag) if given.is_used_up() => {
                sealed.extend_from_slice(&tag.to_bytes());
                Ok(sealed)
            }
            Ok(_) | Err(_) => {
                sealed.zeroize();
                Err(SealError)
            }
        }
    })
}
