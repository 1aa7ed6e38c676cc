//! Secret keys: one type per purpose, wiped when dropped, silent when printed, impossible to clone.
//!
//! Decides how each key is made and used. Refuses to be serialised by accident: the only way out is
//! `expose`, whose callers are the key file, message 7 and nobody else (tests/tidy.rs counts them).

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey};
use hkdf::Hkdf;
use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::codec;
use crate::ids::{OrganisationId, UserId};
use crate::public_keys::{Context, PeerKey, Signature, VerifyKey};

/// Where random bytes come from: the operating system in the product, a seed in tests.
pub trait Entropy {
    /// Fills `bytes` with independent uniform random bytes.
    ///
    /// # Errors
    /// [`NoEntropy`] if the source has none; nothing may then be used.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy>;
}

/// The random source failed. Ours or the operating system's fault; never retried silently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system's random source failed")]
pub struct NoEntropy;

/// Draws `N` random bytes.
///
/// # Errors
/// [`NoEntropy`].
pub fn random<const N: usize>(entropy: &mut dyn Entropy) -> Result<[u8; N], NoEntropy> {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes)?;
    Ok(bytes)
}

/// Stack overwritten after a key was used, in words: 16 KiB, more than the primitives below take in
/// a build without optimisation.
const USED_STACK_WORDS: usize = 2_048;

/// Uses a key in frames of their own, then overwrites where those were. The primitives wipe what
/// they own, but not what a move left behind, and a thread's stack outlives the lock of a device.
pub(crate) fn then_wipe_stack<T>(work: impl FnOnce() -> T) -> T {
    then_wipe_stack_of::<USED_STACK_WORDS, T>(work)
}

/// As [`then_wipe_stack`], for work that takes more of the stack: that many words of 8 bytes.
pub(crate) fn then_wipe_stack_of<const WORDS: usize, T>(work: impl FnOnce() -> T) -> T {
    #[inline(never)]
    fn own_frame<T>(work: impl FnOnce() -> T) -> T {
        work()
    }
    #[inline(never)]
    fn wipe<const WORDS: usize>() {
        std::hint::black_box(&mut [0_u64; WORDS]);
    }
    let done = own_frame(work);
    wipe::<WORDS>();
    done
}

/// 32 secret bytes on the heap (so that a move leaves no copy behind), wiped when dropped.
struct Secret32(Box<Zeroizing<[u8; 32]>>);

impl Secret32 {
    fn random(entropy: &mut dyn Entropy) -> Result<Self, NoEntropy> {
        let mut secret = Self(Box::new(Zeroizing::new([0; 32])));
        entropy.fill(secret.0.as_mut_slice())?;
        Ok(secret)
    }

    fn from_bytes(bytes: &mut [u8; 32]) -> Self {
        let mut secret = Self(Box::new(Zeroizing::new([0; 32])));
        secret.0.copy_from_slice(bytes);
        bytes.zeroize();
        secret
    }

    /// From where it was read to the heap at once: an array on the way would leave a copy on the
    /// stack for each move.
    fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut secret = Self(Box::new(Zeroizing::new([0; 32])));
        (bytes.len() == secret.0.len()).then(|| secret.0.copy_from_slice(bytes))?;
        Some(secret)
    }
}

impl ZeroizeOnDrop for Secret32 {}

/// Defines a secret of 32 bytes with its own purpose.
macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name(Secret32);

        impl $name {
            /// A new one.
            ///
            /// # Errors
            /// [`NoEntropy`].
            pub fn random(entropy: &mut dyn Entropy) -> Result<Self, NoEntropy> {
                Secret32::random(entropy).map(Self)
            }

            /// Takes the bytes and wipes where they came from.
            #[must_use]
            pub fn from_bytes(bytes: &mut [u8; 32]) -> Self {
                Self(Secret32::from_bytes(bytes))
            }

            /// From where it was read to the heap at once; none if it has not 32 bytes. An array on
            /// the way would leave a copy on the stack for each move.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                Secret32::from_slice(bytes).map(Self)
            }

            /// The bytes. For the key file, message 7 and the primitive that needs them.
            #[must_use]
            pub fn expose(&self) -> &[u8; 32] {
                &self.0.0
            }

            /// Whether it is the same secret, in constant time.
            #[must_use]
            pub fn is_same(&self, other: &Self) -> bool {
                self.expose().as_slice().ct_eq(other.expose().as_slice()).into()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
                e.bytes(self.expose())?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
                let secret = Secret32::from_slice(d.bytes()?);
                secret.map(Self).ok_or_else(|| decode::Error::message("a secret key has 32 bytes"))
            }
        }
    };
}

secret! {
    /// The seed of a device's Ed25519 key. Only the seed is stored; the public half is always
    /// recomputed, because signing with a public key that doesn't belong to the seed gives the seed
    /// away.
    DeviceSigningKey
}
secret! {
    /// The organisation's root key. Signs the first user and device, then is dropped for ever.
    RootSigningKey
}
secret! {
    /// The seed of a user's key: opens what is sealed to the user. The same on all devices of the
    /// user; another one after each *user key changed*.
    UserSeed
}
secret! {
    /// The seed of a device's key: opens what is sealed to the device. Never leaves it.
    DeviceSeed
}
secret! {
    /// Encrypts the user's manifest. Derived from the user's seed, so that it changes with it.
    ManifestKey
}
secret! {
    /// Encrypts this device's store. Never leaves the device.
    LocalStoreKey
}
secret! {
    /// Seals names of people and devices inside certificates against the server; every member
    /// holds it.
    DirectoryKey
}
secret! {
    /// The key of a safe. Enrolment hands none out; a manifest may hold some.
    SafeKey
}
secret! {
    /// Seals the inside of a safe's records. Derived from the safe's key of the records' epoch.
    RecordKey
}
secret! {
    /// What the key of each object of a safe is derived from. Derived from the safe's key of the
    /// objects' epoch.
    ObjectsKey
}
secret! {
    /// Seals exactly one object of a safe: derived from an [`ObjectsKey`] and the object's id.
    ObjectKey
}
secret! {
    /// Seals the keys of a safe's earlier epochs. Derived from the safe's key of the epoch after.
    PastKey
}
secret! {
    /// Seals one block of a safe's earlier keys; stands in what is sealed under a [`PastKey`].
    PastBlockKey
}
secret! {
    /// Seals who two devices of a safe are when they meet without a server. Derived from the safe's
    /// key of one epoch.
    DirectKey
}
secret! {
    /// Makes the digests by which members tell equal files. Derived from a safe's first key, so
    /// that they stay comparable.
    DigestKey
}
secret! {
    /// The link's secret: the pre-shared key of the ceremony's channel is derived from it.
    LinkSecret
}
secret! {
    /// What the words of a recovery kit say: 20 random bytes, and 12 of a hash of the root key.
    KitSeed
}
secret! {
    /// One share of a recovery kit: 32 values, of which fewer than the plan needs say nothing.
    ShareSecret
}
secret! {
    /// The seed of a libp2p identity (Ed25519), made for one invitation. It proves an end of a
    /// connection and no person.
    PeerSecret
}

impl PeerSecret {
    /// Its public half, as a link carries it.
    #[must_use]
    pub fn peer_key(&self) -> PeerKey {
        PeerKey::from_bytes(then_wipe_stack(|| {
            SigningKey::from_bytes(self.expose()).verifying_key().to_bytes()
        }))
    }
}

/// Defines signing for a seed.
macro_rules! signs {
    ($name:ident) => {
        impl $name {
            /// The public half, recomputed from the seed.
            #[must_use]
            pub fn verify_key(&self) -> VerifyKey {
                then_wipe_stack(|| {
                    VerifyKey::from_bytes(SigningKey::from_bytes(self.expose()).verifying_key().to_bytes())
                })
            }

            /// Signs `context ‖ message` (RFC 8032).
            #[must_use]
            pub fn sign(&self, context: Context, message: &[u8]) -> Signature {
                then_wipe_stack(|| {
                    let key = SigningKey::from_bytes(self.expose());
                    Signature::from_bytes(key.sign(&context.message(message)).to_bytes())
                })
            }
        }
    };
}
signs!(DeviceSigningKey);
signs!(RootSigningKey);

/// Keeps the key of manifests apart from whatever else is derived from a user's seed.
const MANIFEST_KEY_CONTEXT: &[u8] = b"parsec-manifest-v1 key\0";

impl UserSeed {
    /// The key of the user's manifests, as long as this is the user's seed: HKDF-SHA256, bound to
    /// organisation and user (docs/protocol.md, *Identifiers and keys*).
    #[must_use]
    pub fn manifest_key(&self, organisation: &OrganisationId, user: &UserId) -> ManifestKey {
        let of = codec::encode(&ManifestOf { organisation, user });
        let mut key = ManifestKey(Secret32(Box::new(Zeroizing::new([0; 32]))));
        let info = [MANIFEST_KEY_CONTEXT, &of];
        let derived = then_wipe_stack(|| {
            Hkdf::<Sha256>::new(None, self.expose()).expand_multi_info(&info, key.0.0.as_mut_slice())
        });
        #[expect(clippy::expect_used, reason = "fails only above 255 blocks; this is one")]
        derived.expect("HKDF gives 32 bytes");
        key
    }
}

/// Whose manifest a key is for.
#[derive(Encode)]
struct ManifestOf<'a> {
    #[n(0)]
    organisation: &'a OrganisationId,
    #[n(1)]
    user: &'a UserId,
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counter(u8);
    impl Entropy for Counter {
        fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
            for byte in bytes {
                *byte = self.0;
                self.0 = self.0.wrapping_add(1);
            }
            Ok(())
        }
    }

    #[test]
    fn debug_is_silent() {
        let shown = [
            format!("{:?}", DeviceSigningKey::random(&mut Counter(0)).unwrap()),
            format!("{:?}", RootSigningKey::random(&mut Counter(0)).unwrap()),
            format!("{:?}", UserSeed::random(&mut Counter(0)).unwrap()),
            format!("{:?}", DeviceSeed::random(&mut Counter(0)).unwrap()),
            format!("{:?}", ManifestKey::random(&mut Counter(0)).unwrap()),
            format!("{:?}", LocalStoreKey::random(&mut Counter(0)).unwrap()),
            format!("{:?}", DirectoryKey::random(&mut Counter(0)).unwrap()),
            format!("{:?}", LinkSecret::random(&mut Counter(0)).unwrap()),
        ];
        let silent = [
            "DeviceSigningKey(..)",
            "RootSigningKey(..)",
            "UserSeed(..)",
            "DeviceSeed(..)",
            "ManifestKey(..)",
            "LocalStoreKey(..)",
            "DirectoryKey(..)",
            "LinkSecret(..)",
        ];
        assert_eq!(shown, silent);
    }

    #[test]
    fn a_signature_has_one_meaning() {
        let key = DeviceSigningKey::random(&mut Counter(1)).unwrap();
        for made in Context::ALL {
            let signature = key.sign(made, b"message");
            for read in Context::ALL {
                assert_eq!(key.verify_key().verify(read, b"message", &signature).is_ok(), made == read);
            }
        }
    }

    #[test]
    fn a_weak_key_verifies_nothing() {
        // R = identity, S = 0 satisfies the plain equation under a key of small order, for many
        // messages.
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut forged = [0; 64];
        forged[0] = 1;
        let (key, forged) = (VerifyKey::from_bytes(identity), Signature::from_bytes(forged));
        assert!(key.verify(Context::Certificate, b"anything", &forged).is_err());
    }

    #[test]
    fn weak_verify_keys_are_not_sound() {
        // The identity point: every signature of small order would verify.
        let mut identity = [0; 32];
        identity[0] = 1;
        assert!(!VerifyKey::from_bytes(identity).is_sound());
        assert!(!VerifyKey::from_bytes([0; 32]).is_sound());
        assert!(!VerifyKey::from_bytes([0xff; 32]).is_sound());
        assert!(DeviceSigningKey::random(&mut Counter(1)).unwrap().verify_key().is_sound());
    }
}
