//! Encryption keys as others see them: sound ones only, and the hash they are named by.
//!
//! Decides which bytes are a key. Refuses second spellings, which would be one key under two
//! hashes, and keys whose shared secret anybody knows. Holds nothing secret; the metadata server
//! may use all of it.

use std::fmt;
use std::str::FromStr;

use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};
use ml_kem::kem::EncapsulationKey;
use ml_kem::{EncodedSizeUser as _, MlKem768Params};
use serde::{Deserialize, Serialize};

use super::Suite;
use crate::codec;
use crate::ids::{debug_as_hex, fixed_bytes};
use crate::public_keys::{Hash, is_sound_x25519};

/// Length of the ML-KEM-768 half (FIPS 203, section 8), in bytes.
const ML_KEM_BYTES: usize = 1_184;
/// Length of a public key of [`Suite::XWing`], in bytes: the ML-KEM-768 half, then the X25519 half.
pub const ENCRYPTION_KEY_BYTES: usize = ML_KEM_BYTES + 32;

/// What a key's hash begins with, so that it is the hash of nothing else.
const KEY_HASH_CONTEXT: &[u8] = b"parsec-key-v1\0";

fixed_bytes! {
    /// Names an encryption key and its suite: certificates carry this, because the key has 1,216
    /// bytes.
    KeyHash, 32
}
debug_as_hex!(KeyHash);

/// A key and its suite, not looked at: the record that a hash is over, and that travels.
#[derive(Encode)]
struct KeyRecord<'a>(#[n(0)] Suite, #[cbor(n(1), with = "minicbor::bytes")] &'a [u8]);

impl KeyHash {
    /// The hash of what is said to be a key, sound or not: whoever shows that a certified key is
    /// unsound shows bytes of this hash.
    #[must_use]
    pub fn of(suite: Suite, key: &[u8]) -> Self {
        let named = codec::encode(&KeyRecord(suite, key));
        Self::from_bytes(*Hash::of(&[KEY_HASH_CONTEXT, &named]).as_bytes())
    }
}

/// Why bytes are no encryption key. Their maker's fault, always: programs make none of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnsoundKey {
    /// Not [`ENCRYPTION_KEY_BYTES`] long.
    #[error("an encryption key has {ENCRYPTION_KEY_BYTES} bytes, not {0}")]
    Length(usize),
    /// A coefficient of the ML-KEM half is 3,329 or above: a second spelling of another key.
    #[error("the ML-KEM half of the key is not reduced")]
    NotReduced,
    /// The X25519 half is a second spelling, or of small order, as all zeros is: then every secret
    /// shared with it is zero, and ML-KEM stands alone.
    #[error("the X25519 half of the key is not sound")]
    X25519,
}

/// A public key of [`Suite::XWing`], of a user or a device: what others seal to. Always sound.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EncryptionKey(Box<[u8; ENCRYPTION_KEY_BYTES]>);

impl EncryptionKey {
    /// Takes bytes that are a sound key.
    ///
    /// # Errors
    /// [`UnsoundKey`]: by this, every reader refuses the same keys.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, UnsoundKey> {
        let whole: &[u8; ENCRYPTION_KEY_BYTES] =
            bytes.try_into().map_err(|_| UnsoundKey::Length(bytes.len()))?;
        let key = Self(Box::new(*whole));
        let (ml_kem, x25519) = key.halves();
        // Reading takes every 12 bits modulo 3,329, so what was above comes back as another number.
        if ml_kem.as_bytes().as_slice() != bytes.get(..ML_KEM_BYTES).unwrap_or_default() {
            return Err(UnsoundKey::NotReduced);
        }
        if !is_sound_x25519(&x25519) {
            return Err(UnsoundKey::X25519);
        }
        Ok(key)
    }

    /// The key as its bytes, without the suite.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; ENCRYPTION_KEY_BYTES] {
        &self.0
    }

    /// The suite of every box for this key.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        Suite::XWing
    }

    /// The hash that certificates and boxes name this key by.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(self.suite(), self.as_bytes())
    }

    /// The key of these halves, which were made from a seed and are sound by that.
    pub(super) fn from_halves(ml_kem: &EncapsulationKey<MlKem768Params>, x25519: &[u8; 32]) -> Self {
        let mut whole = Box::new([0; ENCRYPTION_KEY_BYTES]);
        let (first, second) = whole.split_at_mut(ML_KEM_BYTES);
        first.copy_from_slice(&ml_kem.as_bytes());
        second.copy_from_slice(x25519);
        Self(whole)
    }

    /// The two keys that this one consists of.
    pub(super) fn halves(&self) -> (EncapsulationKey<MlKem768Params>, [u8; 32]) {
        let (mut ml_kem, mut x25519) = (ml_kem::array::Array::default(), [0; 32]);
        let (first, second) = self.0.split_at(ML_KEM_BYTES);
        ml_kem.copy_from_slice(first);
        x25519.copy_from_slice(second);
        (EncapsulationKey::from_bytes(&ml_kem), x25519)
    }
}

/// By its hash: 1,216 bytes tell nobody anything.
impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncryptionKey({})", self.hash())
    }
}

/// The record `[suite, key]`.
impl<C> Encode<C> for EncryptionKey {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, ctx: &mut C) -> Result<(), encode::Error<W::Error>> {
        KeyRecord(self.suite(), self.as_bytes()).encode(e, ctx)
    }
}

impl<'b, C> Decode<'b, C> for EncryptionKey {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        let (fields, suite) = (d.array()?, Suite::decode(d, ctx)?);
        let key = Self::from_bytes(d.bytes()?).map_err(decode::Error::custom)?;
        // Which suite a key is of, its type says; a second suite makes this a match.
        if fields == Some(2) && suite == key.suite() {
            Ok(key)
        } else {
            Err(decode::Error::message("an encryption key is [suite, key]"))
        }
    }
}
