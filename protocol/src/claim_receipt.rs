//! The claimer's receipt: proof that a device holds the keys which certificates are about to
//! name.
//!
//! Decides what is signed and how it is checked. Public: the metadata server checks it too, before
//! it lets the certificates into the log.

use minicbor::{Decode, Encode};

use crate::codec;
use crate::keys::DeviceSigningKey;
use crate::public_keys::{BadSignature, Context, Hash, Signature, VerifyKey};

/// Message 8 and what it is over (docs/protocol.md, *Message 8*).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ClaimReceipt {
    /// The ceremony's Noise handshake hash.
    #[n(0)]
    pub handshake: Hash,
    /// SHA-256 of each certificate envelope, in order.
    #[n(1)]
    pub certificates: Vec<Hash>,
    /// The root key the claimer pinned.
    #[n(2)]
    pub root: VerifyKey,
    /// SHA-256 over what the claimer found in the boxes of message 7: it holds the keys that the
    /// certificates name.
    #[n(3)]
    pub opened: Hash,
    /// By the claimer's new device key, under [`Context::Receipt`], over the four fields above.
    #[n(4)]
    pub signature: Signature,
}

/// What the signature is over: the receipt without its signature.
#[derive(Encode)]
struct Signed<'a> {
    #[n(0)]
    handshake: &'a Hash,
    #[n(1)]
    certificates: &'a [Hash],
    #[n(2)]
    root: &'a VerifyKey,
    #[n(3)]
    opened: &'a Hash,
}

impl ClaimReceipt {
    /// Signs a receipt with the new device's key.
    #[must_use]
    pub fn sign(
        key: &DeviceSigningKey,
        handshake: Hash,
        certificates: Vec<Hash>,
        root: VerifyKey,
        opened: Hash,
    ) -> Self {
        let message = codec::encode(&Signed {
            handshake: &handshake,
            certificates: &certificates,
            root: &root,
            opened: &opened,
        });
        let signature = key.sign(Context::Receipt, &message);
        Self { handshake, certificates, root, opened, signature }
    }

    /// Checks the signature under the key that the certificates give the new device.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self, device: &VerifyKey) -> Result<(), BadSignature> {
        let message = codec::encode(&Signed {
            handshake: &self.handshake,
            certificates: &self.certificates,
            root: &self.root,
            opened: &self.opened,
        });
        device.verify(Context::Receipt, &message, &self.signature)
    }
}
