//! Objects: sealed pieces of files, which the server keeps and can't read.
//!
//! Decides the seal: AES-256-GCM under a key for this one object, then BLAKE3 over what was sealed,
//! for the signed record. Refuses to open what another hash names: the server, which can swap any
//! object for another, learns nothing from how far it came. An id is drawn in the call that seals
//! and handed out with the hash alone: a store that kept ids to be sealed later and was restored
//! from a backup would seal two contents under one key and nonce, and give away both.

use std::fmt;
use std::ops::Deref;

use hkdf::Hkdf;
use minicbor::Encode;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

use super::content_ref::Reference;
use super::keys::{EpochKey, SafeKeys};
use crate::codec;
use crate::ids::{ObjectId, OrganisationId, SafeId};
use crate::keys::{Entropy, NoEntropy, ObjectKey, ObjectsKey, random, then_wipe_stack};
use crate::object_hash::ObjectHash;

/// What an object's key is derived with, before its id.
const KEY_CONTEXT: &[u8] = b"parsec-object-v1\0";
/// Keeps the associated data apart from every other use of a key.
const AD_CONTEXT: &[u8] = b"parsec-object-v1 ad\0";
/// The nonce of every object: its key is used once.
const NONCE: [u8; 12] = [0; 12];

/// Bytes that a sealed object is longer than its plaintext: the tag of AES-256-GCM.
pub const OBJECT_TAG_BYTES: usize = 16;

/// What is in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode)]
#[cbor(index_only)]
pub enum ObjectKind {
    /// A piece of a file, padded.
    #[n(0)]
    Chunk,
    /// References to pieces of a file.
    #[n(1)]
    Page,
    /// A piece of a snapshot, padded.
    #[n(2)]
    Snapshot,
}

/// What an object is bound to.
#[derive(Encode)]
struct Binding<'a> {
    #[n(0)]
    organisation: &'a OrganisationId,
    #[n(1)]
    safe: &'a SafeId,
    #[n(2)]
    epoch: u64,
    #[n(3)]
    object: ObjectId,
    #[n(4)]
    kind: ObjectKind,
}

impl Binding<'_> {
    fn associated_data(&self) -> Vec<u8> {
        [AD_CONTEXT, &codec::encode(self)].concat()
    }
}

/// Why an object was not opened. In each case nothing of it was let out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// This device has no key of the object's epoch.
    #[error("no key of the object's epoch")]
    NoKey,
    /// Other bytes than the reference names: damaged on the way or where it lay, or swapped by the
    /// server. Another copy may be right.
    #[error("not the object that the reference names")]
    Hash,
    /// The bytes that the reference names, and they don't open at this place: its author is at
    /// fault.
    #[error("the object does not open")]
    Sealed,
}

/// Makes the key of one object. It lives for one sealing or opening.
fn object_key(objects: &ObjectsKey, object: ObjectId) -> ObjectKey {
    let mut key = Box::new(Zeroizing::new([0; 32]));
    let info = [KEY_CONTEXT, object.as_bytes().as_slice()];
    #[expect(clippy::expect_used, reason = "fails only for an input below 32 bytes and above 255 blocks")]
    then_wipe_stack(|| {
        Hkdf::<Sha256>::from_prk(objects.expose())
            .expect("32 bytes are a pseudorandom key")
            .expand_multi_info(&info, key.as_mut_slice())
    })
    .expect("HKDF gives 32 bytes");
    #[expect(clippy::expect_used, reason = "fails only for another length; it is 32")]
    ObjectKey::from_slice(key.as_slice()).expect("32 bytes are a key")
}

/// Runs `work` with the cipher of one object, and overwrites where its expanded key was.
fn with_cipher<T>(key: &ObjectKey, work: impl FnOnce(&LessSafeKey) -> T) -> T {
    then_wipe_stack(|| {
        #[expect(clippy::expect_used, reason = "fails only for another length; it is 32")]
        let cipher =
            LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.expose()).expect("a key has 32 bytes"));
        work(&cipher)
    })
}

/// Seals what is in `buffer`, in place: it then holds the object's bytes. Its room should be there
/// from the start ([`OBJECT_TAG_BYTES`] more), or it is copied. What this gives back is the only
/// place where the object's id is.
///
/// # Errors
/// [`NoEntropy`]: `buffer` is as it was.
pub fn seal(
    key: &EpochKey<'_>,
    kind: ObjectKind,
    buffer: &mut Vec<u8>,
    entropy: &mut dyn Entropy,
) -> Result<Reference, NoEntropy> {
    let object = ObjectId::from_bytes(random(entropy)?);
    let of = key.epoch();
    let binding = Binding { organisation: &of.organisation, safe: &of.safe, epoch: of.number, object, kind };
    let ad = binding.associated_data();
    let once = object_key(&key.objects_key(), object);
    #[expect(clippy::expect_used, reason = "fails only above 64 GiB; it is in memory and far below")]
    let tag = with_cipher(&once, |cipher| {
        cipher.seal_in_place_separate_tag(Nonce::assume_unique_for_key(NONCE), Aad::from(&ad), buffer)
    })
    .expect("an object can be sealed");
    buffer.extend_from_slice(tag.as_ref());
    Ok(Reference { object, epoch: of.number, blake3: ObjectHash::of(buffer) })
}

/// Bytes that are wiped when they are dropped, all at once: of gigabytes that pass through, a loop
/// over each byte is felt.
#[derive(Default, Clone)]
pub struct Wiped(Vec<u8>);

impl Wiped {
    /// The bytes themselves, which are their new owner's to wipe.
    #[must_use]
    pub fn into_inner(mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }

    /// Only the first so many bytes; the others are wiped with them.
    pub(super) fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
        self.0.spare_capacity_mut().zeroize();
    }
}

impl Deref for Wiped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

// What is in it may be anybody's contents: no log line gets them by accident.
impl fmt::Debug for Wiped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wiped(..)")
    }
}

/// The bytes of a sealed object beside their hash, which was made of these very bytes and by nobody
/// else: so they are hashed once, where they come in, however often they are compared afterwards.
#[derive(Debug, Clone)]
pub struct Hashed {
    bytes: Wiped,
    hash: ObjectHash,
}

impl Hashed {
    /// Hashes bytes, and keeps them as they are.
    #[must_use]
    pub fn of(bytes: Vec<u8>) -> Self {
        let hash = ObjectHash::of(&bytes);
        Self { bytes: Wiped(bytes), hash }
    }

    /// The hash that the bytes have.
    #[must_use]
    pub const fn hash(&self) -> &ObjectHash {
        &self.hash
    }

    /// The sealed bytes, as they came in.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The sealed bytes, for somebody who needs no hash of them.
    #[must_use]
    pub fn into_inner(self) -> Vec<u8> {
        self.bytes.into_inner()
    }
}

/// Opens an object that was hashed where it came in: its plaintext, in the same room.
///
/// # Errors
/// [`ObjectError`]: the bytes were wiped.
pub fn open_hashed(
    keys: &SafeKeys,
    reference: &Reference,
    kind: ObjectKind,
    sealed: Hashed,
) -> Result<Wiped, ObjectError> {
    let Hashed { mut bytes, hash } = sealed;
    let length = open_in(keys, reference, kind, &hash, &mut bytes.0)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Opens the object in `buffer`, in place: it then holds the plaintext, or nothing.
///
/// # Errors
/// [`ObjectError`]: `buffer` is empty, and was wiped.
pub fn open(
    keys: &SafeKeys,
    reference: &Reference,
    kind: ObjectKind,
    buffer: &mut Vec<u8>,
) -> Result<(), ObjectError> {
    let opened = open_in(keys, reference, kind, &ObjectHash::of(buffer), buffer);
    match opened {
        Ok(length) => buffer.truncate(length),
        Err(_) => {
            buffer.zeroize();
        }
    }
    opened.map(|_| ())
}

fn open_in(
    keys: &SafeKeys,
    reference: &Reference,
    kind: ObjectKind,
    hash: &ObjectHash,
    buffer: &mut [u8],
) -> Result<usize, ObjectError> {
    // First the hash, which its author signed: it needs no key, and no cipher sees chosen bytes.
    if *hash != reference.blake3 {
        return Err(ObjectError::Hash);
    }
    let key = keys.at(reference.epoch).ok_or(ObjectError::NoKey)?;
    let binding = Binding {
        organisation: keys.organisation(),
        safe: keys.safe(),
        epoch: reference.epoch,
        object: reference.object,
        kind,
    };
    let ad = binding.associated_data();
    let once = object_key(&key.objects_key(), reference.object);
    with_cipher(&once, |cipher| {
        cipher
            .open_in_place(Nonce::assume_unique_for_key(NONCE), Aad::from(&ad), buffer)
            .map(|plaintext| plaintext.len())
            .map_err(|_| ObjectError::Sealed)
    })
}
