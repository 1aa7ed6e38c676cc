//! Opening boxes: with the seed, whose expanded parts live for one box, or for several that come
//! together.
//!
//! Decides what opens. Refuses everything else by one error: a reason would tell whoever tries how
//! far they came. This file sees a secret's bytes: it makes the keys out of a seed.

use std::fmt;

use hpke::aead::AeadTag;
use hpke::inout::InOutBuf;
use hpke::{Deserializable as _, Kem as _, OpModeR, setup_receiver};
use zeroize::Zeroizing;

use super::xwing::{Aead, EncappedKey, Kdf, PrivateKey, XWing, then_wipe_stack};
use super::{ENCAPSULATION_BYTES, EncryptionKey, INFO_MAX_BYTES, TAG_BYTES};
use crate::keys::{DeviceSeed, UserSeed};

/// The box is not one of this key, use and associated data. Which of them, or what else, nobody is
/// told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the box does not open")]
pub struct OpenError;

/// What was in a box: secret, and wiped when dropped.
pub struct Plaintext(Zeroizing<Vec<u8>>);

impl Plaintext {
    /// The plaintext, for the type of secret that is made of it.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plaintext(..)")
    }
}

/// A seed's private keys, for several boxes one after the other.
pub(crate) struct Opener(PrivateKey);

impl Opener {
    /// Opens a box that was sealed to this key for the use that `info` says.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) fn open(&self, sealed: &[u8], info: &[u8], associated: &[u8]) -> Result<Plaintext, OpenError> {
        let (encapsulation, ciphertext) = sealed.split_at_checked(ENCAPSULATION_BYTES).ok_or(OpenError)?;
        let length = ciphertext.len().checked_sub(TAG_BYTES).ok_or(OpenError)?;
        let (text, tag) = ciphertext.split_at_checked(length).ok_or(OpenError)?;
        if info.len() > INFO_MAX_BYTES {
            return Err(OpenError);
        }
        let encapsulation = EncappedKey::from_bytes(encapsulation).map_err(|_| OpenError)?;
        let tag = AeadTag::<Aead>::from_bytes(tag).map_err(|_| OpenError)?;
        let mut context = setup_receiver::<Aead, Kdf, XWing>(&OpModeR::Base, &self.0, &encapsulation, info)
            .map_err(|_| OpenError)?;
        let mut opened = Plaintext(Zeroizing::new(text.to_vec()));
        context
            .open_inout_detached(InOutBuf::from(opened.0.as_mut_slice()), associated, &tag)
            .map_err(|_| OpenError)?;
        Ok(opened)
    }
}

/// Defines a key and its boxes for a seed.
macro_rules! opens {
    ($name:ident) => {
        impl $name {
            /// The public key, recomputed from the seed.
            #[must_use]
            pub fn encryption_key(&self) -> EncryptionKey {
                then_wipe_stack(|| XWing::sk_to_pk(&PrivateKey::expand(self.expose())).0)
            }

            /// Opens a box that was sealed to this seed's key for the use that `info` says.
            ///
            /// # Errors
            /// [`OpenError`].
            pub fn open(
                &self,
                sealed: &[u8],
                info: &[u8],
                associated: &[u8],
            ) -> Result<Plaintext, OpenError> {
                self.to_open(|opener| opener.open(sealed, info, associated))
            }

            /// Expands the seed once for all boxes that `work` opens; the keys live no longer.
            pub(crate) fn to_open<T>(&self, work: impl FnOnce(&Opener) -> T) -> T {
                then_wipe_stack(|| work(&Opener(PrivateKey::expand(self.expose()))))
            }
        }
    };
}
opens!(UserSeed);
opens!(DeviceSeed);
