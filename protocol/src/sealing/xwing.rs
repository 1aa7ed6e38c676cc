//! X-Wing as a KEM of HPKE: ML-KEM-768 and X25519, and one secret out of both.
//!
//! Decides how a seed becomes keys and how the two shared secrets are combined
//! (draft-connolly-cfrg-xwing-kem; draft-ietf-hpke-pq, KEM 0x647a). Refuses encapsulations whose
//! X25519 half is not sound, as keys are refused, and the authenticated modes, which X-Wing has
//! not. The traits are `hpke`'s; nothing outside of this folder sees them.

use std::convert::Infallible;
use std::sync::Arc;

use hpke::hybrid_array::typenum::{Sum, U32, U64, U96, U128, U1024};
use hpke::kem::SharedSecret;
use hpke::rand_core::{CryptoRng, TryCryptoRng, TryRng};
use hpke::{Deserializable, HpkeError, Serializable};
use ml_kem::kem::{Decapsulate as _, DecapsulationKey};
use ml_kem::{B32, EncapsulateDeterministic as _, KemCore as _, MlKem768, MlKem768Params};
use sha3::digest::{ExtendableOutput as _, FixedOutput as _, Update as _, XofReader as _};
use sha3::{Sha3_256, Shake256};
use subtle::{Choice, ConstantTimeEq};
use x25519_dalek::{PublicKey as PublicPoint, SharedSecret as SharedPoint, StaticSecret};
use zeroize::{Zeroize as _, Zeroizing};

use super::{ENCAPSULATION_BYTES, EncryptionKey, RANDOMNESS_BYTES};
use crate::keys::then_wipe_stack_of;
use crate::public_keys::is_sound_x25519;

/// The other two algorithms of the suite.
pub(super) type Aead = hpke::aead::ChaCha20Poly1305;
/// HKDF-SHA256, from which HPKE takes key and nonce.
pub(super) type Kdf = hpke::kdf::HkdfSha256;

/// What the combined secret ends with: the X-Wing of the draft, as it draws itself.
const LABEL: &[u8] = br"\.//^\";
/// Length of ML-KEM-768's ciphertext (FIPS 203, section 8), in bytes.
const ML_KEM_CIPHERTEXT_BYTES: usize = ENCAPSULATION_BYTES - 32;

/// Stack overwritten after a seed or randomness was used, in words: 64 KiB. ML-KEM's keys are
/// values that move; without optimisation their traces reach beyond 16 KiB, and 32 are enough.
const USED_STACK_WORDS: usize = 8_192;

/// Uses a key, then overwrites where on the stack that was: the libraries wipe the keys that they
/// own, not the numbers on the way to them.
pub(super) fn then_wipe_stack<T>(work: impl FnOnce() -> T) -> T {
    then_wipe_stack_of::<USED_STACK_WORDS, T>(work)
}

/// The KEM with the number 0x647a, for `hpke`.
pub(super) struct XWing;

/// An [`EncryptionKey`], which is sound by its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PublicKey(pub(super) EncryptionKey);

/// A seed and the two private keys it expands to. `hpke` wants it to be `Clone`: a clone is the
/// same one, wiped when the last is dropped.
#[derive(Clone)]
pub(super) struct PrivateKey(Arc<Expanded>);

struct Expanded {
    seed: Zeroizing<[u8; 32]>,
    ml_kem: DecapsulationKey<MlKem768Params>,
    x25519: StaticSecret,
    /// What belongs to it: a part of the public key, and of each shared secret.
    point: PublicPoint,
}

/// What stands before the ciphertext in a box, its X25519 half sound.
#[derive(Clone)]
pub(super) struct EncappedKey(Box<[u8; ENCAPSULATION_BYTES]>);

impl PrivateKey {
    /// The private keys of a seed: 96 bytes of SHAKE256, two thirds for ML-KEM.
    pub(super) fn expand(seed: &[u8; 32]) -> Self {
        let (mut d, mut z, mut x25519) = (B32::default(), B32::default(), [0; 32]);
        let mut expanded = Shake256::default().chain(seed).finalize_xof();
        expanded.read(&mut d);
        expanded.read(&mut z);
        expanded.read(&mut x25519);
        let (ml_kem, _) = MlKem768::generate_deterministic(&d, &z);
        let secret = StaticSecret::from(x25519);
        let point = PublicPoint::from(&secret);
        let key = Expanded { seed: Zeroizing::new(*seed), ml_kem, x25519: secret, point };
        d.as_mut_slice().zeroize();
        z.as_mut_slice().zeroize();
        x25519.zeroize();
        Self(Arc::new(key))
    }
}

/// One secret out of both: SHA3-256 over them, and over what of the exchange ML-KEM doesn't bind by
/// itself.
fn combine(ml_kem: &[u8], x25519: &SharedPoint, encapsulated: &[u8], key: &[u8]) -> SharedSecret<XWing> {
    let parts = [ml_kem, x25519.as_bytes(), encapsulated, key, LABEL];
    let hash = parts.into_iter().fold(Sha3_256::default(), |hash, part| hash.chain(part));
    let mut combined = SharedSecret::default();
    combined.0.copy_from_slice(&hash.finalize_fixed());
    combined
}

impl hpke::Kem for XWing {
    type PublicKey = PublicKey;
    type PrivateKey = PrivateKey;
    type EncappedKey = EncappedKey;
    type NSecret = U32;
    const KEM_ID: u16 = 0x647a;

    fn sk_to_pk(key: &PrivateKey) -> PublicKey {
        PublicKey(EncryptionKey::from_halves(key.0.ml_kem.encapsulation_key(), key.0.point.as_bytes()))
    }

    /// HPKE's own way to a key pair, SHAKE256 with labels. Nothing here goes it, since our seeds
    /// are drawn; it is what the draft's vectors begin with.
    fn derive_keypair(input: &[u8]) -> (PrivateKey, PublicKey) {
        let mut seed = Zeroizing::new([0; 32]);
        Shake256::default()
            .chain(input)
            .chain(b"HPKE-v1")
            .chain(b"KEM")
            .chain(Self::KEM_ID.to_be_bytes())
            .chain(13_u16.to_be_bytes())
            .chain(b"DeriveKeyPair")
            .chain(32_u16.to_be_bytes())
            .finalize_xof()
            .read(seed.as_mut_slice());
        let key = PrivateKey::expand(&seed);
        let public = Self::sk_to_pk(&key);
        (key, public)
    }

    fn decap(
        key: &PrivateKey,
        sender: Option<&PublicKey>,
        encapsulation: &EncappedKey,
    ) -> Result<SharedSecret<Self>, HpkeError> {
        if sender.is_some() {
            return Err(HpkeError::DecapError);
        }
        let (first, point) = encapsulation.halves();
        let ciphertext = first.try_into().map_err(|_| HpkeError::DecapError)?;
        let mut ml_kem = key.0.ml_kem.decapsulate(ciphertext).map_err(|()| HpkeError::DecapError)?;
        let x25519 = key.0.x25519.diffie_hellman(&point.into());
        let combined = combine(&ml_kem, &x25519, &point, key.0.point.as_bytes());
        ml_kem.as_mut_slice().zeroize();
        Ok(combined)
    }

    fn encap_with_rng(
        key: &PublicKey,
        sender: Option<(&PrivateKey, &PublicKey)>,
        random: &mut impl CryptoRng,
    ) -> Result<(SharedSecret<Self>, EncappedKey), HpkeError> {
        if sender.is_some() {
            return Err(HpkeError::EncapError);
        }
        let (mut message, mut scalar) = (B32::default(), Zeroizing::new([0; 32]));
        random.fill_bytes(&mut message);
        random.fill_bytes(scalar.as_mut_slice());
        let (to, point) = key.0.halves();
        let (first, mut ml_kem) =
            to.encapsulate_deterministic(&message).map_err(|()| HpkeError::EncapError)?;
        let own = StaticSecret::from(*scalar);
        let public = PublicPoint::from(&own);
        let combined = combine(&ml_kem, &own.diffie_hellman(&point.into()), public.as_bytes(), &point);
        message.as_mut_slice().zeroize();
        ml_kem.as_mut_slice().zeroize();
        Ok((combined, EncappedKey::from_halves(&first, public.as_bytes())))
    }
}

impl EncappedKey {
    fn from_halves(ml_kem: &[u8], x25519: &[u8; 32]) -> Self {
        let mut whole = Box::new([0; ENCAPSULATION_BYTES]);
        let (first, second) = whole.split_at_mut(ML_KEM_CIPHERTEXT_BYTES);
        first.copy_from_slice(ml_kem);
        second.copy_from_slice(x25519);
        Self(whole)
    }

    fn halves(&self) -> (&[u8], [u8; 32]) {
        let (first, second) = self.0.split_at(ML_KEM_CIPHERTEXT_BYTES);
        let mut x25519 = [0; 32];
        x25519.copy_from_slice(second);
        (first, x25519)
    }
}

impl Serializable for EncappedKey {
    type OutputSize = Sum<U1024, U96>;
    fn write_exact(&self, to: &mut [u8]) {
        to.copy_from_slice(self.0.as_slice());
    }
}

impl Deserializable for EncappedKey {
    fn from_bytes(bytes: &[u8]) -> Result<Self, HpkeError> {
        let whole: &[u8; ENCAPSULATION_BYTES] = bytes
            .try_into()
            .map_err(|_| HpkeError::IncorrectInputLength(ENCAPSULATION_BYTES, bytes.len()))?;
        let key = Self(Box::new(*whole));
        // X-Wing itself takes any: the secret then hangs on ML-KEM alone. No honest program makes
        // one.
        if is_sound_x25519(&key.halves().1) { Ok(key) } else { Err(HpkeError::ValidationError) }
    }
}

impl Serializable for PublicKey {
    type OutputSize = Sum<Sum<U1024, U128>, U64>;
    fn write_exact(&self, to: &mut [u8]) {
        to.copy_from_slice(self.0.as_bytes());
    }
}

impl Deserializable for PublicKey {
    fn from_bytes(bytes: &[u8]) -> Result<Self, HpkeError> {
        EncryptionKey::from_bytes(bytes).map(Self).map_err(|_| HpkeError::ValidationError)
    }
}

impl Serializable for PrivateKey {
    type OutputSize = U32;
    fn write_exact(&self, to: &mut [u8]) {
        to.copy_from_slice(self.0.seed.as_slice());
    }
}

impl Deserializable for PrivateKey {
    fn from_bytes(bytes: &[u8]) -> Result<Self, HpkeError> {
        let seed = bytes.try_into().map_err(|_| HpkeError::IncorrectInputLength(32, bytes.len()))?;
        Ok(Self::expand(seed))
    }
}

impl ConstantTimeEq for PrivateKey {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.seed.as_slice().ct_eq(other.0.seed.as_slice())
    }
}

/// Hands out the randomness it was given, from the front, to the last byte and no further.
pub(super) struct FixedRng<'a> {
    rest: &'a [u8],
    overdrawn: bool,
}

impl<'a> FixedRng<'a> {
    pub(super) fn new(bytes: &'a [u8; RANDOMNESS_BYTES]) -> Self {
        Self { rest: bytes, overdrawn: false }
    }

    /// Whether exactly all of it was drawn: a library that drew otherwise would make another box
    /// of it than every other program.
    pub(super) fn is_used_up(&self) -> bool {
        self.rest.is_empty() && !self.overdrawn
    }
}

impl TryRng for FixedRng<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes).map(|()| u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes).map(|()| u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        match self.rest.split_at_checked(to.len()) {
            Some((given, rest)) => {
                to.copy_from_slice(given);
                self.rest = rest;
            }
            None => self.overdrawn = true,
        }
        Ok(())
    }
}

impl TryCryptoRng for FixedRng<'_> {}
