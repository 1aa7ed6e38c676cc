//! Public values of fixed length: keys that may be shown, signatures, digests.
//!
//! Decides how a signature is checked: always `verify_strict`, always over a context string and a
//! message. Holds nothing secret; the metadata server may use all of it.

use std::fmt;

use ed25519_dalek::VerifyingKey;
use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::str::FromStr;

use crate::ids::{debug_as_hex, fixed_bytes};

fixed_bytes! {
    /// An Ed25519 public key (RFC 8032), of a device or of the organisation's root.
    VerifyKey, 32
}
fixed_bytes! {
    /// An Ed25519 public key of a libp2p node, made for one invitation. Proves an end of a
    /// connection, and no person.
    PeerKey, 32
}
fixed_bytes! {
    /// Shows, once and to one other, that a claimer's daemon holds the link: HMAC-SHA256 under a
    /// key from its secret (docs/protocol.md, *Peer to peer*).
    Proof, 32
}
fixed_bytes! {
    /// A SHA-256 digest.
    Hash, 32
}
fixed_bytes! {
    /// An Ed25519 signature.
    Signature, 64
}
debug_as_hex!(VerifyKey, PeerKey, Proof, Hash, Signature);

/// The signature does not belong to this key, context and message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bad signature")]
pub struct BadSignature;

/// Keeps the meanings of signatures apart: no signature made under one context verifies under
/// another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// Signs the payload of a certificate.
    Certificate,
    /// A request to the metadata server.
    Request,
    /// The claimer's receipt, message 8.
    Receipt,
    /// The claimer's proof, in message 6, of holding the device key it asks to have certified.
    Possession,
    /// A user manifest's envelope.
    Manifest,
    /// A device's word for the head of its log, in an evidence file.
    Head,
    /// A greeter's statement about a ceremony, in an enrolment receipt.
    Enrolled,
    /// The payload of a certificate of a safe's log.
    SafeCertificate,
    /// A record of a safe's journal.
    Record,
    /// A device's word for where the logs of a safe end.
    SafeHead,
    /// A device's hello to another one of the same safe.
    Direct,
    /// A recovery kit's word for among whom it was split.
    SharePlan,
}

impl Context {
    /// All of them, for tests: what is made under one must not pass under another.
    pub const ALL: [Self; 12] = [
        Self::Certificate,
        Self::Request,
        Self::Receipt,
        Self::Possession,
        Self::Manifest,
        Self::Head,
        Self::Enrolled,
        Self::SafeCertificate,
        Self::Record,
        Self::SafeHead,
        Self::Direct,
        Self::SharePlan,
    ];

    /// The bytes put before the message. Each ends in a zero byte, so none is a prefix of another's
    /// use.
    #[must_use]
    pub const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Certificate => b"parsec-cert-v1\0",
            Self::Request => b"parsec-request-v1\0",
            Self::Receipt => b"parsec-receipt-v1\0",
            Self::Possession => b"parsec-possession-v1\0",
            Self::Manifest => b"parsec-manifest-v1\0",
            Self::Head => b"parsec-head-v1\0",
            Self::Enrolled => b"parsec-enrolled-v1\0",
            Self::SafeCertificate => b"parsec-safe-cert-v1\0",
            Self::Record => b"parsec-record-v1\0",
            Self::SafeHead => b"parsec-safe-head-v1\0",
            Self::Direct => b"parsec-direct-v1\0",
            Self::SharePlan => b"parsec-share-plan-v1\0",
        }
    }

    /// What is really signed: the context, then the message.
    #[must_use]
    pub fn message(self, message: &[u8]) -> Vec<u8> {
        [self.bytes(), message].concat()
    }
}

impl VerifyKey {
    /// Checks `signature` over `context ‖ message` by RFC 8032 with the strict rules (no
    /// small-order points, no malleable signature, no second encoding of key or R).
    ///
    /// # Errors
    /// [`BadSignature`], also where this key is not a point of the curve in its one encoding.
    pub fn verify(
        &self,
        context: Context,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), BadSignature> {
        self.prepare().ok_or(BadSignature)?.verify(context, message, signature)
    }

    /// Reads the key as a point, for checking many signatures under it; none if it is not one, or
    /// in another than its one encoding.
    #[must_use]
    pub fn prepare(&self) -> Option<PreparedKey> {
        // The library reads a y of p and above, too; another reader may not, and the two would
        // split over what was signed.
        let key = VerifyingKey::from_bytes(self.as_bytes()).ok().filter(|_| self.is_canonical())?;
        Some(PreparedKey(key))
    }

    /// Whether this is a usable key at all: canonical, on the curve, not of small order. Checked
    /// before a key is certified, so that a certificate never names a key that anyone's signature
    /// verifies under.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.prepare_sound().is_some()
    }

    /// As [`Self::prepare`], for a key that is usable at all; none if it is not.
    pub(crate) fn prepare_sound(&self) -> Option<PreparedKey> {
        self.prepare().filter(|key| !key.0.is_weak())
    }

    /// Whether y is below p. The sign bit has a second spelling only at x = 0, and both points
    /// there are of small order.
    fn is_canonical(&self) -> bool {
        let mut y = *self.as_bytes();
        if let Some(top) = y.last_mut() {
            *top &= 0x7f;
        }
        below_p(&y)
    }

    /// The fingerprint people may compare: SHA-256 of the key.
    #[must_use]
    pub fn fingerprint(&self) -> Hash {
        Hash::of(&[self.as_bytes()])
    }
}

/// A [`VerifyKey`] as a point of the curve.
#[derive(Debug, Clone)]
pub struct PreparedKey(VerifyingKey);

impl PreparedKey {
    /// As [`VerifyKey::verify`].
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(
        &self,
        context: Context,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), BadSignature> {
        let signature = ed25519_dalek::Signature::from_bytes(signature.as_bytes());
        self.0.verify_strict(&context.message(message), &signature).map_err(|_| BadSignature)
    }
}

/// Whether an X25519 public key is canonical and not of small order. With a key of small order
/// every shared secret is the same; a second spelling of a key would pass for another.
pub(crate) fn is_sound_x25519(key: &[u8; 32]) -> bool {
    // The top bit is ignored by X25519, so it may not be used here.
    below_p(key) && !SMALL_ORDER.contains(key)
}

/// Whether a number, little-endian, is below p = 2^255 - 19.
fn below_p([low, middle @ .., high]: &[u8; 32]) -> bool {
    *high < 0x7f || (*high == 0x7f && (*low < 0xed || middle.iter().any(|byte| *byte != 0xff)))
}

/// The points of small order on Curve25519 and its twist, below p: every clamped scalar takes
/// exactly these to zero (RFC 7748, section 6.1). A list, because a reader of a log looks at each
/// member's key; the test below holds it against the arithmetic.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    ],
    [
        0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    ],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda,
        0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04,
        0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
    ],
];

impl Hash {
    /// SHA-256 of the parts, one after the other. Callers keep the split unambiguous: at most one
    /// part has a length of its own.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        Self::from_bytes(hasher.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any clamped scalar is a multiple of 8.
    fn contributes(key: [u8; 32]) -> bool {
        let scalar = x25519_dalek::StaticSecret::from([1; 32]);
        scalar.diffie_hellman(&x25519_dalek::PublicKey::from(key)).was_contributory()
    }

    #[test]
    fn the_points_of_small_order_are_those_that_arithmetic_finds() {
        for key in SMALL_ORDER {
            assert!(!contributes(key) && !is_sound_x25519(&key));
            // Their neighbours are none, and no other spelling of them is taken.
            for bit in 0..255 {
                let mut near = key;
                if let Some(byte) = near.get_mut(bit / 8) {
                    *byte ^= 1 << (bit % 8);
                }
                let sound = is_sound_x25519(&near);
                assert!(!sound || contributes(near), "{near:02x?}");
            }
        }
        for number in 0..2_000_u32 {
            let mut key = *Hash::of(&[&number.to_be_bytes()]).as_bytes();
            key[31] &= 0x7f;
            assert_eq!(is_sound_x25519(&key), contributes(key));
        }
    }

    /// A key's second spellings are told by its bytes alone; arithmetic would find the same: a
    /// point that is written as it came.
    #[test]
    fn signing_keys_are_sound_where_arithmetic_says_so() {
        let by_arithmetic = |bytes: &[u8; 32]| {
            VerifyingKey::from_bytes(bytes)
                .is_ok_and(|key| !key.is_weak() && key.to_edwards().compress().as_bytes() == bytes)
        };
        let mut keys: Vec<[u8; 32]> = Vec::new();
        // 0 to 40, and p - 20 to 2^255 - 1, which has second spellings from p on; each with both
        // signs.
        for low in 0..=40 {
            let mut key = [0; 32];
            key[0] = low;
            keys.push(key);
        }
        for low in 0xd9..=0xff {
            let mut key = [0xff; 32];
            (key[0], key[31]) = (low, 0x7f);
            keys.push(key);
        }
        keys.extend(SMALL_ORDER);
        keys.extend((0..2_000_u32).map(|number| *Hash::of(&[&number.to_be_bytes()]).as_bytes()));
        let (mut sound, mut others) = (0, 0);
        for key in keys {
            for sign in [0, 0x80] {
                let mut key = key;
                key[31] ^= sign;
                let found = VerifyKey::from_bytes(key).is_sound();
                assert_eq!(found, by_arithmetic(&key), "{key:02x?}");
                if found { sound += 1 } else { others += 1 }
            }
        }
        assert!(sound > 1_000 && others > 1_000);
    }
}
