//! How two devices of one safe show each other who they are, and nobody else anything.
//!
//! Decides what is bound: organisation, safe, epoch, which side says it, the peer keys of both ends
//! as the connection proves them, and the one knock. A hello that somebody overheard, kept, or was
//! sent by a node in the middle is one for another connection. To who lacks the safe's key all of
//! it is random bytes. Whether the device is a member's, its caller asks the logs.

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use minicbor::Encode;
use minicbor::bytes::ByteArray;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::codec;
use crate::ids::DeviceId;
use crate::keys::{Entropy, NoEntropy, random, then_wipe_stack};
use crate::public_keys::{Context, PeerKey, Signature, VerifyKey};
use crate::safes::keys::{Epoch, EpochKey};

/// Bytes of a tag.
const TAG_BYTES: usize = 16;
/// Bytes of a knock's own nonce: no two knocks on a connection have the same.
pub const MEETING_NONCE_BYTES: usize = 16;
/// Bytes of the nonce of a hello.
const NONCE_BYTES: usize = 24;
/// Bytes of what is sealed: a device's id and its signature.
const PLAIN_BYTES: usize = DeviceId::LENGTH + Signature::LENGTH;
/// Bytes of a sealed hello: nonce, what is sealed, its tag.
pub const HELLO_BYTES: usize = NONCE_BYTES + PLAIN_BYTES + 16;
/// Bytes of an entry of a knock: its tag, and the hello of who knocks.
pub const ENTRY_BYTES: usize = TAG_BYTES + HELLO_BYTES;
/// Keeps tags apart from the keys that seal.
const TAG_CONTEXT: &[u8] = b"parsec-direct-v1 tag\0";
/// Keeps the keys that seal apart from tags.
const SEAL_CONTEXT: &[u8] = b"parsec-direct-v1 seal\0";

/// By what an entry is found by who has the same safe.
pub type Tag = [u8; TAG_BYTES];

/// Both ends of a connection, each by the peer key that the connection proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode)]
pub struct Ends {
    /// Who opened the stream.
    #[n(0)]
    pub asker: PeerKey,
    /// Who answers on it.
    #[n(1)]
    pub answerer: PeerKey,
}

/// One knock on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode)]
pub struct Meeting {
    /// Both ends of the connection.
    #[n(0)]
    pub ends: Ends,
    /// Drawn for the knock by who asks: without it the tags of two knocks on one connection would
    /// be the same, and random entries others, so that anybody could count the safes.
    #[n(1)]
    pub nonce: ByteArray<MEETING_NONCE_BYTES>,
}

impl Meeting {
    /// A knock that is made now.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn draw(ends: Ends, entropy: &mut dyn Entropy) -> Result<Self, NoEntropy> {
        Ok(Self { ends, nonce: random::<MEETING_NONCE_BYTES>(entropy)?.into() })
    }
}

/// Who of the two speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode)]
#[cbor(index_only)]
pub enum Side {
    /// Who opened the stream.
    #[n(0)]
    Asker,
    /// Who answers on it.
    #[n(1)]
    Answerer,
}

/// What is signed, and what a sealed hello is bound to.
#[derive(Encode)]
struct Bound {
    #[n(0)]
    epoch: Epoch,
    #[n(1)]
    side: Side,
    #[n(2)]
    at: Meeting,
}

/// A device says that it is at one end of a connection, and has a safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Device that says so.
    pub device: DeviceId,
    /// Its signature under [`Context::Direct`].
    signature: Signature,
}

impl Hello {
    /// Signs as this device.
    #[must_use]
    pub fn of(
        key: &EpochKey<'_>,
        side: Side,
        at: Meeting,
        device: DeviceId,
        sign: impl FnOnce(Context, &[u8]) -> Signature,
    ) -> Self {
        let message = codec::encode(&Bound { epoch: key.epoch(), side, at });
        Self { device, signature: sign(Context::Direct, &[device.as_bytes(), message.as_slice()].concat()) }
    }

    /// Whether the device with this key said it, on this side of this connection, of this safe.
    #[must_use]
    pub fn is_by(&self, key: &EpochKey<'_>, side: Side, at: Meeting, by: &VerifyKey) -> bool {
        let message = codec::encode(&Bound { epoch: key.epoch(), side, at });
        let message = [self.device.as_bytes(), message.as_slice()].concat();
        by.verify(Context::Direct, &message, &self.signature).is_ok()
    }

    /// Seals it for whoever has the key.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn seal(
        &self,
        key: &EpochKey<'_>,
        side: Side,
        at: Meeting,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<u8>, NoEntropy> {
        let nonce: [u8; NONCE_BYTES] = random(entropy)?;
        let plain = Zeroizing::new([self.device.as_bytes().as_slice(), self.signature.as_bytes()].concat());
        let ad = codec::encode(&Bound { epoch: key.epoch(), side, at });
        let seal = sealing_key(key);
        let text = Payload { msg: &plain, aad: &ad };
        #[expect(clippy::expect_used, reason = "fails only above 256 GiB; these are 80 bytes")]
        let sealed = then_wipe_stack(|| {
            XChaCha20Poly1305::new(<&Key>::from(&*seal)).encrypt(&XNonce::from(nonce), text)
        })
        .expect("a hello can be sealed");
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens one; none where it is not sealed under this key, for this side of this connection.
    #[must_use]
    pub fn open(key: &EpochKey<'_>, side: Side, at: Meeting, sealed: &[u8]) -> Option<Self> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let ad = codec::encode(&Bound { epoch: key.epoch(), side, at });
        let seal = sealing_key(key);
        let text = Payload { msg: sealed, aad: &ad };
        let plain = then_wipe_stack(|| {
            XChaCha20Poly1305::new(<&Key>::from(&*seal)).decrypt(&XNonce::from(*nonce), text)
        });
        let plain = Zeroizing::new(plain.ok()?);
        let (device, signature) = plain.split_first_chunk::<{ DeviceId::LENGTH }>()?;
        let signature = Signature::from_bytes(signature.try_into().ok()?);
        Some(Self { device: DeviceId::from_bytes(*device), signature })
    }

    /// An entry of a knock: the tag by which it is found, and the hello.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn entry(
        &self,
        key: &EpochKey<'_>,
        at: Meeting,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<u8>, NoEntropy> {
        Ok([key.direct_tag(at).as_slice(), &self.seal(key, Side::Asker, at, entropy)?].concat())
    }
}

impl EpochKey<'_> {
    /// By what an entry of a knock is found that was made with this key for this knock.
    #[must_use]
    pub fn direct_tag(&self, at: Meeting) -> Tag {
        let whole = mac(self, TAG_CONTEXT, &codec::encode(&at));
        let mut tag = [0; TAG_BYTES];
        tag.iter_mut().zip(whole.iter()).for_each(|(to, from)| *to = *from);
        tag
    }
}

/// An entry that nobody can read, beside those that somebody can.
///
/// # Errors
/// [`NoEntropy`].
pub fn random_entry(entropy: &mut dyn Entropy) -> Result<Vec<u8>, NoEntropy> {
    Ok(random::<ENTRY_BYTES>(entropy)?.to_vec())
}

/// The tag of an entry, and the sealed hello in it; none where it has another length.
#[must_use]
pub fn read_entry(entry: &[u8]) -> Option<(Tag, &[u8])> {
    let (tag, hello) = entry.split_first_chunk::<TAG_BYTES>()?;
    (hello.len() == HELLO_BYTES).then_some((*tag, hello))
}

fn sealing_key(key: &EpochKey<'_>) -> Zeroizing<[u8; 32]> {
    mac(key, SEAL_CONTEXT, &[])
}

fn mac(key: &EpochKey<'_>, context: &[u8], of: &[u8]) -> Zeroizing<[u8; 32]> {
    let direct = key.direct_key();
    then_wipe_stack(|| {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mac =
            <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(direct.expose()).expect("HMAC takes 32 bytes");
        Zeroizing::new(mac.chain_update(context).chain_update(of).finalize().into_bytes().into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{OrganisationId, SafeId};
    use crate::keys::{DeviceSigningKey, SafeKey};

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

    fn peer(number: u8) -> PeerKey {
        PeerKey::from_bytes([number; 32])
    }

    #[test]
    fn a_hello_is_for_one_connection_one_side_one_safe_and_one_device() {
        let organisation: OrganisationId = "acme".parse().unwrap();
        let safe = SafeId::from_bytes([1; 16]);
        let secret = SafeKey::from_bytes(&mut [9; 32]);
        let key = EpochKey::new(&organisation, &safe, 3, &secret);
        let signing = DeviceSigningKey::from_bytes(&mut [7; 32]);
        let device = DeviceId::from_bytes([2; 16]);
        let at = |asker, answerer, nonce: u8| Meeting {
            ends: Ends { asker: peer(asker), answerer: peer(answerer) },
            nonce: [nonce; MEETING_NONCE_BYTES].into(),
        };
        let ends = at(1, 2, 7);
        let by = signing.verify_key();
        let hello =
            Hello::of(&key, Side::Asker, ends, device, |context, message| signing.sign(context, message));
        assert!(hello.is_by(&key, Side::Asker, ends, &by));
        let entry = hello.entry(&key, ends, &mut Counter(0)).unwrap();
        assert_eq!(entry.len(), ENTRY_BYTES);
        let (found, sealed) = read_entry(&entry).unwrap();
        assert_eq!(found, key.direct_tag(ends));
        assert_eq!(Hello::open(&key, Side::Asker, ends, sealed), Some(hello.clone()));

        // Replayed at another connection, from either end or in the middle, or in another knock.
        for other in [at(3, 2, 7), at(1, 3, 7), at(2, 1, 7), at(1, 2, 8)] {
            assert!(!hello.is_by(&key, Side::Asker, other, &by), "{other:?}");
            assert_eq!(Hello::open(&key, Side::Asker, other, sealed), None);
            assert_ne!(found, key.direct_tag(other));
        }
        // Given back to who said it.
        assert!(!hello.is_by(&key, Side::Answerer, ends, &by));
        assert_eq!(Hello::open(&key, Side::Answerer, ends, sealed), None);
        // Another epoch, another safe, another key.
        let later = EpochKey::new(&organisation, &safe, 4, &secret);
        let elsewhere = SafeId::from_bytes([5; 16]);
        let elsewhere = EpochKey::new(&organisation, &elsewhere, 3, &secret);
        let stranger = SafeKey::from_bytes(&mut [8; 32]);
        let stranger = EpochKey::new(&organisation, &safe, 3, &stranger);
        for other in [later, elsewhere, stranger] {
            assert_eq!(Hello::open(&other, Side::Asker, ends, sealed), None);
            assert_ne!(found, other.direct_tag(ends));
        }
        assert!(!hello.is_by(&later, Side::Asker, ends, &by));
        assert!(!hello.is_by(&elsewhere, Side::Asker, ends, &by));
        // Who claims to be another device.
        let other = Hello { device: DeviceId::from_bytes([4; 16]), ..hello.clone() };
        assert!(!other.is_by(&key, Side::Asker, ends, &by));
        let thief = DeviceSigningKey::from_bytes(&mut [6; 32]);
        assert!(!hello.is_by(&key, Side::Asker, ends, &thief.verify_key()));
    }
}
