//! The user manifest: the user's own encrypted entry point (docs/protocol.md, *User manifest*).
//!
//! Decides what is signed, what is bound and in which order it is checked: place, then signature,
//! then encryption, then content. Refuses a manifest of another place, author or key before its
//! ciphertext is touched. Which version may be taken, [`floor`] decides.

pub mod floor;
pub mod safes;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload as Sealed};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use crate::chain::head::Head;
use crate::codec::{self, CodecError};
use crate::ids::{DeviceId, OrganisationId, Timestamp, UserId};
use crate::keys::{DeviceSigningKey, Entropy, ManifestKey, NoEntropy, random, then_wipe_stack};
use crate::limits::MANIFEST_MAX_BYTES;
use crate::name_keys::{DirectoryKeys, NumberedKey};
use crate::public_keys::{Context, Signature, VerifyKey};
use crate::sealing::KeyHash;
use safes::{SafeMark, are_in_order};

/// Keeps the associated data apart from every other use of a key.
const AD_CONTEXT: &[u8] = b"parsec-manifest-v1 ad\0";
/// Bytes of the nonce: random, so that two devices of a user need not agree on a counter.
const NONCE_BYTES: usize = 24;

/// What is bound to a manifest besides its content.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ManifestHeader {
    /// The organisation of the user.
    #[n(0)]
    pub organisation: OrganisationId,
    /// The user whose manifest it is.
    #[n(1)]
    pub user: UserId,
    /// Number of the version; the first is 1.
    #[n(2)]
    pub version: u64,
    /// The device that wrote this version.
    #[n(3)]
    pub author: DeviceId,
    /// When it was written, by the author's clock.
    #[n(4)]
    pub time: Timestamp,
    /// Hash of the user's key under whose seed it is sealed.
    #[n(5)]
    pub key: KeyHash,
}

impl ManifestHeader {
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
    key: KeyHash,
    #[n(6)]
    nonce: ByteArray<NONCE_BYTES>,
    #[n(7)]
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

/// The secret part.
#[derive(Encode, Decode)]
struct Content {
    /// By their numbers, ascending.
    #[n(0)]
    directory_keys: Vec<NumberedKey>,
    /// The organisation's log, as the author had verified it.
    #[n(1)]
    anchor: Head,
    /// Ascending by id.
    #[n(2)]
    safes: Vec<SafeMark>,
}

/// What a manifest says.
#[derive(Debug)]
pub struct Summary<'a> {
    /// Opens the members' names.
    pub directory_keys: &'a DirectoryKeys,
    /// Number of the key with which the user's own name is sealed.
    pub own_name: Option<u32>,
    /// The organisation's log, as the author has verified it.
    pub anchor: Head,
    /// The safes that the user has accepted, ascending by id.
    pub safes: Vec<SafeMark>,
}

/// Seals a manifest.
///
/// # Errors
/// [`NoEntropy`].
pub fn seal(
    header: &ManifestHeader,
    summary: Summary<'_>,
    key: &ManifestKey,
    author: &DeviceSigningKey,
    entropy: &mut dyn Entropy,
) -> Result<Vec<u8>, NoEntropy> {
    let directory_keys = summary.directory_keys.carried(summary.own_name);
    let content = Content { directory_keys, anchor: summary.anchor, safes: summary.safes };
    seal_content(header, &content, key, author, entropy)
}

/// Seals any content.
fn seal_content(
    header: &ManifestHeader,
    content: &Content,
    key: &ManifestKey,
    author: &DeviceSigningKey,
    entropy: &mut dyn Entropy,
) -> Result<Vec<u8>, NoEntropy> {
    let nonce: [u8; NONCE_BYTES] = random(entropy)?;
    let plaintext = codec::encode_secret(content);
    let aad = header.associated_data();
    let sealed = Sealed { msg: &plaintext, aad: &aad };
    #[expect(
        clippy::expect_used,
        reason = "fails only above 256 GiB; a manifest is held in memory and far below"
    )]
    let ciphertext = then_wipe_stack(|| {
        XChaCha20Poly1305::new(<&Key>::from(key.expose())).encrypt(&XNonce::from(nonce), sealed)
    })
    .expect("a manifest can be sealed");
    let ManifestHeader { organisation, user, version, author: device, time, key } = header.clone();
    let payload = codec::encode(&Payload {
        organisation,
        user,
        version,
        author: device,
        time,
        key,
        nonce: nonce.into(),
        ciphertext: ciphertext.into(),
    });
    let signature = author.sign(Context::Manifest, &payload);
    Ok(codec::encode(&Envelope { payload: payload.into(), signature }))
}

/// Why an envelope is not this user's manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Size or encoding is wrong.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Another organisation or user than asked for, or version 0.
    #[error("the manifest is of another user or organisation")]
    WrongHeader,
    /// The author's signature or the encryption fails verification.
    #[error("the manifest fails verification")]
    Forged,
    /// Sealed under a key that the user never had, or whose seed this device does not have.
    #[error("the manifest is sealed under a key that is not here")]
    UnknownKey,
}

/// A manifest that one of the user's devices has signed, and that nobody has opened yet.
#[derive(Debug)]
pub struct Signed {
    /// What is bound to it. It names the key that opens the rest.
    pub header: ManifestHeader,
    nonce: ByteArray<NONCE_BYTES>,
    ciphertext: ByteVec,
}

/// A manifest that was opened.
#[derive(Debug)]
pub struct Opened {
    /// What is bound to it.
    pub header: ManifestHeader,
    /// Opens the members' names. None where the list is not one that a device of the user would
    /// write.
    pub directory_keys: Option<DirectoryKeys>,
    /// The organisation's log, as the author had verified it.
    pub anchor: Head,
    /// The safes that the user has accepted, ascending by id.
    pub safes: Vec<SafeMark>,
}

/// Checks place and signature of a manifest. `author_key` gives the verify key of a device that may
/// have written for this user, and none for every other.
///
/// # Errors
/// [`ManifestError`].
pub fn verify(
    envelope: &[u8],
    organisation: &OrganisationId,
    user: &UserId,
    author_key: impl FnOnce(&DeviceId) -> Option<VerifyKey>,
) -> Result<Signed, ManifestError> {
    let envelope: Envelope = codec::decode(envelope, MANIFEST_MAX_BYTES)?;
    let payload: Payload = codec::decode(&envelope.payload, MANIFEST_MAX_BYTES)?;
    if payload.organisation != *organisation || payload.user != *user || payload.version == 0 {
        return Err(ManifestError::WrongHeader);
    }
    author_key(&payload.author)
        .and_then(|author| author.verify(Context::Manifest, &envelope.payload, &envelope.signature).ok())
        .ok_or(ManifestError::Forged)?;
    let Payload { organisation, user, version, author, time, key, nonce, ciphertext } = payload;
    let header = ManifestHeader { organisation, user, version, author, time, key };
    Ok(Signed { header, nonce, ciphertext })
}

impl Signed {
    /// Opens it with the key that belongs to the user's key in its header. Whether the version may
    /// be taken is for [`floor`].
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn open(self, key: &ManifestKey) -> Result<Opened, ManifestError> {
        let Self { header, nonce, ciphertext } = self;
        let aad = header.associated_data();
        let sealed = Sealed { msg: &ciphertext, aad: &aad };
        let plaintext = then_wipe_stack(|| {
            XChaCha20Poly1305::new(<&Key>::from(key.expose())).decrypt(&XNonce::from(*nonce), sealed)
        })
        .map(Zeroizing::new)
        .map_err(|_| ManifestError::Forged)?;
        let Content { directory_keys, anchor, safes } = codec::decode(&plaintext, MANIFEST_MAX_BYTES)?;
        if !are_in_order(&safes) {
            return Err(ManifestError::Codec(CodecError::Unexpected));
        }
        Ok(Opened { header, directory_keys: DirectoryKeys::read(directory_keys), anchor, safes })
    }
}

/// Both in one, for a reader who has the user's keys at hand: `manifest_key` gives the one that
/// belongs to the user's key with this hash.
///
/// # Errors
/// [`ManifestError`].
pub fn open(
    envelope: &[u8],
    organisation: &OrganisationId,
    user: &UserId,
    author_key: impl FnOnce(&DeviceId) -> Option<VerifyKey>,
    manifest_key: impl FnOnce(&KeyHash) -> Option<ManifestKey>,
) -> Result<Opened, ManifestError> {
    let signed = verify(envelope, organisation, user, author_key)?;
    let key = manifest_key(&signed.header.key).ok_or(ManifestError::UnknownKey)?;
    signed.open(&key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SafeId;
    use crate::keys::DirectoryKey;

    struct Fixed(u8);
    impl Entropy for Fixed {
        fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
            bytes.fill(self.0);
            Ok(())
        }
    }

    fn key(byte: u8) -> ManifestKey {
        ManifestKey::from_bytes(&mut [byte; 32])
    }

    fn author(byte: u8) -> DeviceSigningKey {
        DeviceSigningKey::from_bytes(&mut [byte; 32])
    }

    fn header() -> ManifestHeader {
        ManifestHeader {
            organisation: "acme".parse().unwrap(),
            user: UserId::from_bytes([1; 16]),
            version: 1,
            author: DeviceId::from_bytes([2; 16]),
            time: Timestamp(3),
            key: KeyHash::from_bytes([7; 32]),
        }
    }

    fn anchor() -> Head {
        Head { count: 2, hash: crate::public_keys::Hash::of(&[b"head"]) }
    }

    /// What was opened, as far as it can be compared.
    type Seen = (ManifestHeader, Head, Vec<SafeId>);

    fn opened(safes: &[u8]) -> Seen {
        (header(), anchor(), safes.iter().map(|byte| SafeId::from_bytes([*byte; 16])).collect())
    }

    fn mark(byte: u8) -> SafeMark {
        SafeMark {
            safe: SafeId::from_bytes([byte; 16]),
            founder: DeviceId::from_bytes([2; 16]),
            epoch: 3,
            key: crate::keys::SafeKey::from_bytes(&mut [8; 32]),
            role: None,
            log: anchor(),
            journal: anchor(),
            floor: 2,
        }
    }

    fn seal_by(header: &ManifestHeader, with: u8, by: u8) -> Vec<u8> {
        let directory_keys = DirectoryKeys::first(DirectoryKey::from_bytes(&mut [1; 32]));
        let summary =
            Summary { directory_keys: &directory_keys, own_name: None, anchor: anchor(), safes: Vec::new() };
        seal(header, summary, &key(with), &author(by), &mut Fixed(6)).unwrap()
    }

    fn seal_at(header: &ManifestHeader) -> Vec<u8> {
        seal_by(header, 4, 5)
    }

    fn read(envelope: &[u8]) -> Result<Seen, ManifestError> {
        let ManifestHeader { organisation, user, author: device, key: of, .. } = header();
        let opened = open(
            envelope,
            &organisation,
            &user,
            |id| (*id == device).then(|| author(5).verify_key()),
            |hash| (*hash == of).then(|| key(4)),
        )?;
        Ok((opened.header, opened.anchor, opened.safes.iter().map(|mark| mark.safe).collect()))
    }

    /// Signs a changed payload with the true author's key: what the server can't, but a device
    /// without the manifest key could.
    fn resigned(change: impl FnOnce(&mut Payload)) -> Vec<u8> {
        let envelope: Envelope = codec::decode(&seal_at(&header()), MANIFEST_MAX_BYTES).unwrap();
        let mut payload: Payload = codec::decode(&envelope.payload, MANIFEST_MAX_BYTES).unwrap();
        change(&mut payload);
        let payload = codec::encode(&payload);
        let signature = author(5).sign(Context::Manifest, &payload);
        codec::encode(&Envelope { payload: payload.into(), signature })
    }

    #[test]
    fn an_empty_manifest_opens() {
        assert_eq!(read(&seal_at(&header())), Ok(opened(&[])));
        assert_eq!(read(&resigned(|_| {})), Ok(opened(&[])));
    }

    #[test]
    fn safes_come_in_one_order_and_each_once() {
        let read = |safes: &[u8]| {
            let safes = safes.iter().map(|byte| mark(*byte)).collect();
            let content = Content { directory_keys: Vec::new(), anchor: anchor(), safes };
            read(&seal_content(&header(), &content, &key(4), &author(5), &mut Fixed(6)).unwrap())
        };
        assert_eq!(read(&[7, 8]), Ok(opened(&[7, 8])));
        for bad in [[8, 7], [7, 7]] {
            assert_eq!(read(&bad), Err(ManifestError::Codec(CodecError::Unexpected)), "{bad:?}");
        }
    }

    #[test]
    fn another_place_is_refused() {
        let other_org = ManifestHeader { organisation: "other".parse().unwrap(), ..header() };
        let other_user = ManifestHeader { user: UserId::from_bytes([9; 16]), ..header() };
        let zero = ManifestHeader { version: 0, ..header() };
        for bad in [other_org, other_user, zero] {
            assert_eq!(read(&seal_at(&bad)), Err(ManifestError::WrongHeader), "{bad:?}");
        }
    }

    #[test]
    fn another_author_is_refused() {
        let stranger = ManifestHeader { author: DeviceId::from_bytes([9; 16]), ..header() };
        assert_eq!(read(&seal_at(&stranger)), Err(ManifestError::Forged));
        assert_eq!(read(&seal_by(&header(), 4, 9)), Err(ManifestError::Forged));
    }

    #[test]
    fn the_ciphertext_belongs_to_its_place_and_key() {
        assert_eq!(read(&resigned(|it| it.version = 2)), Err(ManifestError::Forged));
        assert_eq!(read(&resigned(|it| it.time = Timestamp(4))), Err(ManifestError::Forged));
        assert_eq!(read(&resigned(|it| it.nonce[0] ^= 1)), Err(ManifestError::Forged));
        assert_eq!(read(&resigned(|it| it.ciphertext[0] ^= 1)), Err(ManifestError::Forged));
        assert_eq!(read(&seal_by(&header(), 9, 5)), Err(ManifestError::Forged));
        let other = KeyHash::from_bytes([8; 32]);
        assert_eq!(read(&resigned(|it| it.key = other)), Err(ManifestError::UnknownKey));
    }

    #[test]
    fn no_byte_can_be_changed_added_or_cut() {
        let envelope = seal_at(&header());
        for at in 0..envelope.len() {
            let mut bad = envelope.clone();
            bad[at] ^= 1;
            assert!(read(&bad).is_err(), "byte {at}");
            assert!(read(&envelope[..at]).is_err(), "cut at {at}");
        }
        let longer = [envelope.as_slice(), &[0]].concat();
        assert_eq!(read(&longer), Err(ManifestError::Codec(CodecError::Trailing)));
        let huge = vec![0; MANIFEST_MAX_BYTES + 1];
        assert!(matches!(read(&huge), Err(ManifestError::Codec(CodecError::TooLong { .. }))));
    }

    #[test]
    fn a_sealed_name_is_no_manifest_under_the_same_bytes_of_key() {
        // A3: even if one key served both, the associated data keep the two apart.
        let (organisation, user) = (header().organisation, header().user);
        let directory_key = DirectoryKey::from_bytes(&mut [4; 32]);
        let whose = crate::chain::organisation::members::NameOf::User(user);
        let name = "Alice".parse().unwrap();
        let sealed = crate::chain::organisation::members::seal_name(
            &directory_key,
            &organisation,
            whose,
            &name,
            &mut Fixed(6),
        )
        .unwrap();
        let moved = resigned(|it| it.ciphertext = sealed[4 + NONCE_BYTES..].to_vec().into());
        assert_eq!(read(&moved), Err(ManifestError::Forged));
    }
}
