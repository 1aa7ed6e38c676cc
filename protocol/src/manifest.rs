//! The user manifest: the user's own encrypted entry point (docs/protocol.md, *User manifest*).
//!
//! Decides what is signed, what is bound and in which order it is checked: place, then signature, then
//! encryption, then content. Refuses a manifest of another place or author before its ciphertext is touched.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload as Sealed};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use crate::codec::{self, CodecError};
use crate::ids::{DeviceId, OrganisationId, Timestamp, UserId};
use crate::keys::{DeviceSigningKey, Entropy, ManifestKey, NoEntropy, random};
use crate::limits::MANIFEST_MAX_BYTES;
use crate::public::{Context, Signature, VerifyKey};

/// Keeps the associated data apart from every other use of a key.
const AD_CONTEXT: &[u8] = b"parsec-manifest-v1 ad\0";
/// Bytes of the nonce: random, so that two devices of a user need not agree on a counter.
const NONCE_BYTES: usize = 24;

/// What is bound to a manifest besides its content.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ManifestPlace {
    /// Where.
    #[n(0)]
    pub organisation: OrganisationId,
    /// Whose.
    #[n(1)]
    pub user: UserId,
    /// Counts from 1.
    #[n(2)]
    pub version: u64,
    /// Who wrote it.
    #[n(3)]
    pub author: DeviceId,
    /// When.
    #[n(4)]
    pub time: Timestamp,
}

impl ManifestPlace {
    /// The associated data of the content.
    fn associated_data(&self) -> Vec<u8> {
        [AD_CONTEXT, &codec::encode(self)].concat()
    }
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct Payload {
    #[n(0)]
    organisation: OrganisationId,
    #[n(1)]
    user: UserId,
    #[n(2)]
    version: u64,
    #[n(3)]
    author: DeviceId,
    #[n(4)]
    time: Timestamp,
    #[n(5)]
    nonce: ByteArray<NONCE_BYTES>,
    #[n(6)]
    ciphertext: ByteVec,
}

/// The payload's bytes with the author's signature over them.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct Envelope {
    #[n(0)]
    payload: ByteVec,
    #[n(1)]
    signature: Signature,
}

/// The secret part. Version 1 of this issue writes it empty and counts what others wrote.
#[derive(Encode, Decode)]
struct Content {
    #[n(0)]
    safes: Vec<Safe>,
}

/// One safe a user can open.
#[derive(Encode, Decode)]
struct Safe {
    #[n(0)]
    id: ByteArray<16>,
    #[n(1)]
    key: crate::keys::SafeKey,
    #[n(2)]
    role: u64,
}

/// Seals the manifest that every user starts with: no safes.
///
/// # Errors
/// [`NoEntropy`].
pub fn seal_empty(
    place: &ManifestPlace,
    key: &ManifestKey,
    author: &DeviceSigningKey,
    entropy: &mut dyn Entropy,
) -> Result<Vec<u8>, NoEntropy> {
    seal(place, &Content { safes: Vec::new() }, key, author, entropy)
}

/// Seals any content.
fn seal(
    place: &ManifestPlace,
    content: &Content,
    key: &ManifestKey,
    author: &DeviceSigningKey,
    entropy: &mut dyn Entropy,
) -> Result<Vec<u8>, NoEntropy> {
    let nonce: [u8; NONCE_BYTES] = random(entropy)?;
    let plaintext = Zeroizing::new(codec::encode(content));
    let aad = place.associated_data();
    #[expect(
        clippy::expect_used,
        reason = "fails only above 256 GiB; a manifest is held in memory and far below"
    )]
    let ciphertext = XChaCha20Poly1305::new(<&Key>::from(key.expose()))
        .encrypt(&XNonce::from(nonce), Sealed { msg: &plaintext, aad: &aad })
        .expect("a manifest can be sealed");
    let ManifestPlace { organisation, user, version, author: device, time } = place.clone();
    let payload = codec::encode(&Payload {
        organisation,
        user,
        version,
        author: device,
        time,
        nonce: nonce.into(),
        ciphertext: ciphertext.into(),
    });
    let signature = author.sign(Context::Manifest, &payload);
    Ok(codec::encode(&Envelope { payload: payload.into(), signature }))
}

/// Why an envelope is not this user's manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Size or encoding.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Another organisation or user than asked for, or version 0.
    #[error("the manifest belongs to another place")]
    WrongPlace,
    /// The author's signature or the encryption does not check.
    #[error("the manifest does not check")]
    Forged,
}

/// Number of safes in a manifest that checks, and its place. `author_key` gives the verify key of a device that
/// may write for this user, and none for every other; the caller compares the version with the newest it has seen.
///
/// # Errors
/// [`ManifestError`].
pub fn open(
    envelope: &[u8],
    organisation: &OrganisationId,
    user: &UserId,
    key: &ManifestKey,
    author_key: impl FnOnce(&DeviceId) -> Option<VerifyKey>,
) -> Result<(ManifestPlace, usize), ManifestError> {
    let envelope: Envelope = codec::decode(envelope, MANIFEST_MAX_BYTES)?;
    let payload: Payload = codec::decode(&envelope.payload, MANIFEST_MAX_BYTES)?;
    if payload.organisation != *organisation || payload.user != *user || payload.version == 0 {
        return Err(ManifestError::WrongPlace);
    }
    author_key(&payload.author)
        .and_then(|author| author.verify(Context::Manifest, &envelope.payload, &envelope.signature).ok())
        .ok_or(ManifestError::Forged)?;
    let Payload { organisation, user, version, author, time, nonce, ciphertext } = payload;
    let place = ManifestPlace { organisation, user, version, author, time };
    let plaintext = XChaCha20Poly1305::new(<&Key>::from(key.expose()))
        .decrypt(&XNonce::from(*nonce), Sealed { msg: &ciphertext, aad: &place.associated_data() })
        .map(Zeroizing::new)
        .map_err(|_| ManifestError::Forged)?;
    let content: Content = codec::decode(&plaintext, MANIFEST_MAX_BYTES)?;
    Ok((place, content.safes.len()))
}
