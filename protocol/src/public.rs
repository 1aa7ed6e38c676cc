//! Public values of fixed length: keys that may be shown, signatures, digests.
//!
//! Decides how a signature is checked: always `verify_strict`, always over a context string and a message.
//! Holds nothing secret; the metadata server may use all of it.

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
    /// An X25519 public key (RFC 7748): what others encrypt to a user with.
    EncryptionKey, 32
}
fixed_bytes! {
    /// An Ed25519 public key of a libp2p node, made for one invitation. Proves an end of a connection, and no person.
    PeerKey, 32
}
fixed_bytes! {
    /// Shows, once and to one other, that a claimer's daemon holds the link: HMAC-SHA256 under a key from its secret
    /// (docs/protocol.md, *The direct road*).
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
debug_as_hex!(VerifyKey, EncryptionKey, PeerKey, Proof, Hash, Signature);

/// The signature does not belong to this key, context and message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bad signature")]
pub struct BadSignature;

/// Keeps the meanings of signatures apart: no signature made under one context verifies under another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// A certificate's payload.
    Certificate,
    /// A request to the metadata server.
    Request,
    /// The claimer's receipt, message 8.
    Receipt,
    /// The claimer's proof, in message 6, of holding the device key it asks to have certified.
    Possession,
    /// A user manifest's envelope.
    Manifest,
    /// A terminal's word for the head of its log, in an evidence file.
    Head,
    /// A greeter's statement about a ceremony, in an enrolment receipt.
    Enrolled,
}

impl Context {
    /// The bytes put before the message. Each ends in a zero byte, so none is a prefix of another's use.
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
        }
    }

    /// What is really signed: the context, then the message.
    #[must_use]
    pub fn message(self, message: &[u8]) -> Vec<u8> {
        [self.bytes(), message].concat()
    }
}

impl VerifyKey {
    /// Checks `signature` over `context ‖ message` by RFC 8032 with the strict rules (no small-order points, no
    /// malleable signature).
    ///
    /// # Errors
    /// [`BadSignature`], also where this key is not a point of the curve.
    pub fn verify(
        &self,
        context: Context,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), BadSignature> {
        self.prepare().ok_or(BadSignature)?.verify(context, message, signature)
    }

    /// Reads the key as a point, for checking many signatures under it; none if it is not one.
    #[must_use]
    pub fn prepare(&self) -> Option<PreparedKey> {
        VerifyingKey::from_bytes(self.as_bytes()).ok().map(PreparedKey)
    }

    /// Whether this is a usable key at all: canonical, on the curve, not of small order. Checked before a key is
    /// certified, so that a certificate never names a key that anyone's signature verifies under.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        VerifyingKey::from_bytes(self.as_bytes())
            .is_ok_and(|key| !key.is_weak() && key.to_edwards().compress().as_bytes() == self.as_bytes())
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

impl EncryptionKey {
    /// Whether this is a usable key at all: canonical, not of small order. With a key of small order every
    /// shared secret is the same; a second spelling of a key would pass for somebody else's.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        // Not below p = 2^255 - 19, little-endian; the top bit is ignored by X25519, so it may not be used here.
        let [low, middle @ .., high] = self.as_bytes();
        let reduced =
            *high < 0x7f || (*high == 0x7f && (*low < 0xed || middle.iter().any(|byte| *byte != 0xff)));
        // Any clamped scalar is a multiple of 8 and takes exactly the points of small order to zero.
        let scalar = x25519_dalek::StaticSecret::from([1; 32]);
        reduced && scalar.diffie_hellman(&x25519_dalek::PublicKey::from(*self.as_bytes())).was_contributory()
    }
}

impl Hash {
    /// SHA-256 of the parts, one after the other. Callers keep the split unambiguous: at most one part has a
    /// length of its own.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        Self::from_bytes(hasher.finalize().into())
    }
}
