//! Changing an organisation's directory key: what fixes the key, how each member gets it, and what
//! opens the earlier ones (docs/protocol.md, *Changing the directory key*).
//!
//! Decides which key is that of a number: the one whose check the log names. A box is a function of
//! the key and of whom it is for, so that every holder can make the very same one. Refuses every
//! other key, whoever gave it, also in message 7, where a number that the log does not name would
//! stand above all others for ever; and a past that is not ascending.

use std::fmt;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload as Sealed};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use minicbor::Encode;
use minicbor::bytes::ByteVec;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::chain::organisation::log::VerifiedLog;
use crate::chain::organisation::members::{NameOf, open_name};
use crate::codec;
use crate::ids::{OrganisationId, UserId};
use crate::keys::{DirectoryKey, Entropy, NoEntropy, UserSeed, random, then_wipe_stack};
use crate::limits::{DIRECTORY_KEY_BYTES, DIRECTORY_KEYS_EVER, RING_PART_BOXES};
use crate::name_keys::{DirectoryKeys, NumberedKey};
use crate::public_keys::Hash;
use crate::safe_log::ring::{Recipient, RingPart};
use crate::sealing::{EncryptionKey, KeyHash, RANDOMNESS_BYTES, Randomness, SECRET_BOX_BYTES, seal};

/// What a key check is over, before the number it is of.
const CHECK_CONTEXT: &[u8] = b"parsec-directory-check-v1\0";
/// What everything that is derived from a directory key is bound to, before its purpose.
const DERIVED_CONTEXT: &[u8] = b"parsec-directory-v1 ";
/// Keeps these boxes apart from every other use of a user's key.
const BOX_USE: &str = "parsec-directory-box-v1";
/// Keeps the associated data of a past apart from every other use of a key.
const PAST_CONTEXT: &[u8] = b"parsec-directory-past-v1\0";
/// Bytes of the nonce of a past: random.
const NONCE_BYTES: usize = 24;
/// Largest list of earlier keys: each is a record of a number and 32 bytes.
const PAST_MAX_BYTES: usize = 8 + DIRECTORY_KEYS_EVER * DIRECTORY_KEY_BYTES;

/// Which key of which organisation: what the key, and everything derived from it, is bound to.
#[derive(Debug, Clone, Copy, Encode)]
struct Of<'a> {
    #[n(0)]
    organisation: &'a OrganisationId,
    #[n(1)]
    number: u32,
}

/// The same, with the one whom a box is for.
#[derive(Encode)]
struct For<'a> {
    #[n(0)]
    organisation: &'a OrganisationId,
    #[n(1)]
    number: u32,
    #[n(2)]
    user: UserId,
    #[n(3)]
    key: KeyHash,
}

/// The `info` of a box.
#[derive(Encode)]
struct BoxUse<'a> {
    #[n(0)]
    name: &'static str,
    #[n(1)]
    organisation: &'a OrganisationId,
    #[n(2)]
    number: u32,
    #[n(3)]
    user: UserId,
    #[n(4)]
    key: KeyHash,
}

/// The key is not that of its number, by the check that the log names; or there is none in what was
/// to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it does not give the directory key that the log names")]
pub struct WrongKey;

/// A directory key with its organisation and number.
#[derive(Clone, Copy)]
pub struct Directory<'a> {
    of: Of<'a>,
    key: &'a DirectoryKey,
}

impl fmt::Debug for Directory<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Directory({}, {}, ..)", self.of.organisation, self.of.number)
    }
}

impl<'a> Directory<'a> {
    /// Says of what a key is; nothing is checked.
    #[must_use]
    pub const fn new(organisation: &'a OrganisationId, number: u32, key: &'a DirectoryKey) -> Self {
        Self { of: Of { organisation, number }, key }
    }

    /// What the log says of this key: fixes it for everybody and tells nobody anything of it.
    #[must_use]
    pub fn check(&self) -> Hash {
        let of = codec::encode(&self.of);
        Hash::from_bytes(then_wipe_stack(|| {
            mac(self.key.expose())
                .chain_update(CHECK_CONTEXT)
                .chain_update(&of)
                .finalize()
                .into_bytes()
                .into()
        }))
    }

    /// The box with the key for a member whose encryption key is `to`: always the same bytes.
    #[must_use]
    pub fn make_box(&self, user: UserId, to: &EncryptionKey) -> Vec<u8> {
        let Of { organisation, number } = self.of;
        let named = to.hash();
        let bound = codec::encode(&For { organisation, number, user, key: named });
        let mut drawn = Box::new(Zeroizing::new([0; RANDOMNESS_BYTES]));
        self.expand(&[DERIVED_CONTEXT, b"box\0", &bound], drawn.as_mut_slice());
        let info = info(organisation, number, user, named);
        let sealed = Randomness::from_slice(drawn.as_slice())
            .and_then(|randomness| seal(to, &info, &[], self.key.expose(), randomness).ok());
        #[expect(
            clippy::expect_used,
            reason = "fails only for a use of over 1,024 bytes; this has under 200"
        )]
        let sealed = sealed.expect("a key can be sealed");
        debug_assert_eq!(sealed.len(), SECRET_BOX_BYTES);
        sealed
    }

    /// Seals earlier keys under this one.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn seal_past(
        &self,
        earlier: &[NumberedKey],
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<u8>, NoEntropy> {
        let nonce: [u8; NONCE_BYTES] = random(entropy)?;
        let plaintext = codec::encode_secret(&earlier);
        let (key, aad) = (self.past_key(), self.past_data());
        let sealed = Sealed { msg: &plaintext, aad: &aad };
        #[expect(clippy::expect_used, reason = "fails only above 256 GiB; all keys take a megabyte")]
        let ciphertext = then_wipe_stack(|| {
            XChaCha20Poly1305::new(<&Key>::from(&**key)).encrypt(&XNonce::from(nonce), sealed)
        })
        .expect("keys can be sealed");
        Ok([nonce.as_slice(), &ciphertext].concat())
    }

    /// Opens earlier keys; each is to be held against the log before it is used.
    ///
    /// # Errors
    /// [`WrongKey`]: it was not sealed under this key, or what is in it is no ascending list of
    /// earlier keys.
    pub fn open_past(&self, past: &[u8]) -> Result<Vec<NumberedKey>, WrongKey> {
        let (nonce, ciphertext) = past.split_first_chunk::<NONCE_BYTES>().ok_or(WrongKey)?;
        let (key, aad) = (self.past_key(), self.past_data());
        let sealed = Sealed { msg: ciphertext, aad: &aad };
        let plaintext = then_wipe_stack(|| {
            XChaCha20Poly1305::new(<&Key>::from(&**key)).decrypt(&XNonce::from(*nonce), sealed)
        })
        .map(Zeroizing::new)
        .map_err(|_| WrongKey)?;
        let keys: Vec<NumberedKey> = codec::decode(&plaintext, PAST_MAX_BYTES).map_err(|_| WrongKey)?;
        let ascending = keys.is_sorted_by(|a, b| a.number < b.number);
        let earlier = keys.iter().all(|key| (1..self.of.number).contains(&key.number));
        if ascending && earlier { Ok(keys) } else { Err(WrongKey) }
    }

    fn past_data(&self) -> Vec<u8> {
        [PAST_CONTEXT, &codec::encode(&self.of)].concat()
    }

    fn past_key(&self) -> Box<Zeroizing<[u8; 32]>> {
        let mut key = Box::new(Zeroizing::new([0; 32]));
        self.expand(&[DERIVED_CONTEXT, b"past\0", &codec::encode(&self.of)], key.as_mut_slice());
        key
    }

    fn expand(&self, info: &[&[u8]], out: &mut [u8]) {
        let done =
            then_wipe_stack(|| Hkdf::<Sha256>::new(None, self.key.expose()).expand_multi_info(info, out));
        #[expect(clippy::expect_used, reason = "fails only above 255 blocks; these are one and two")]
        done.expect("HKDF gives 64 bytes");
    }
}

/// Whether this is a key behind the first that the log names under this number.
#[must_use]
pub fn is_named(log: &VerifiedLog, number: u32, key: &DirectoryKey) -> bool {
    let keys = log.directory_keys();
    let record = keys.binary_search_by_key(&number, |record| record.number).ok().and_then(|at| keys.get(at));
    record.is_some_and(|record| Directory::new(log.organisation(), number, key).check() == record.key_check)
}

/// The keys without those that the log does not name. The first is left as it is.
#[must_use]
pub fn named(log: &VerifiedLog, keys: &DirectoryKeys) -> DirectoryKeys {
    keys.only(|number, key| is_named(log, number, key))
}

/// Takes keys that somebody handed over: the first must open the name in the log's first
/// certificate, each other one must be what the log names under its number.
///
/// # Errors
/// [`WrongKey`]: one of them is not.
pub fn check_handed(log: &VerifiedLog, keys: &DirectoryKeys) -> Result<(), WrongKey> {
    let first = keys.copy_of_first();
    let founder = log.users().find(|user| user.position == 0).ok_or(WrongKey)?;
    let whose = NameOf::User(founder.user);
    if open_name(&first, log.organisation(), whose, &founder.sealed_name).is_none() {
        return Err(WrongKey);
    }
    let same = named(log, keys).numbers().eq(keys.numbers());
    if same { Ok(()) } else { Err(WrongKey) }
}

fn mac(key: &[u8; 32]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).expect("HMAC takes 32 bytes")
}

fn info(organisation: &OrganisationId, number: u32, user: UserId, key: KeyHash) -> Vec<u8> {
    codec::encode(&BoxUse { name: BOX_USE, organisation, number, user, key })
}

/// Opens one's own box; `check` is what the log says of the key.
///
/// # Errors
/// [`WrongKey`].
pub fn open_box(
    organisation: &OrganisationId,
    number: u32,
    check: &Hash,
    user: UserId,
    sealed: &[u8],
    seed: &UserSeed,
) -> Result<DirectoryKey, WrongKey> {
    let info = info(organisation, number, user, seed.encryption_key().hash());
    let opened = seed.open(sealed, &info, &[]).map_err(|_| WrongKey)?;
    let key = DirectoryKey::from_slice(opened.expose()).ok_or(WrongKey)?;
    if Directory::new(organisation, number, &key).check() == *check { Ok(key) } else { Err(WrongKey) }
}

/// The parts of a ring for these members; without a box where somebody's key is not to be had.
#[must_use]
pub fn make_parts(of: &Directory<'_>, list: &[(Recipient, Option<EncryptionKey>)]) -> Vec<RingPart> {
    let sealed = |(recipient, key): &(Recipient, Option<EncryptionKey>)| {
        key.as_ref().map(|key| ByteVec::from(of.make_box(recipient.user, key)))
    };
    list.chunks(RING_PART_BOXES).map(|part| RingPart(part.iter().map(sealed).collect())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u8);
    impl Entropy for Fixed {
        fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
            bytes.fill(self.0);
            Ok(())
        }
    }

    fn key(byte: u8) -> DirectoryKey {
        DirectoryKey::from_bytes(&mut [byte; 32])
    }

    fn numbered(number: u32) -> NumberedKey {
        NumberedKey { number, key: key(u8::try_from(number).unwrap()) }
    }

    fn organisation() -> OrganisationId {
        "acme".parse().unwrap()
    }

    const CAROL: UserId = UserId::from_bytes([3; 16]);

    #[test]
    fn a_box_opens_in_its_place_with_its_key_and_is_always_the_same() {
        let (acme, seed) = (organisation(), UserSeed::from_bytes(&mut [9; 32]));
        let (two, to) = (key(2), seed.encryption_key());
        let of = Directory::new(&acme, 2, &two);
        let sealed = of.make_box(CAROL, &to);
        assert_eq!(sealed, of.make_box(CAROL, &to));
        let open = |number, check: &Hash, user, seed: &UserSeed| {
            open_box(&acme, number, check, user, &sealed, seed).map(|key| *key.expose())
        };
        let check = of.check();
        assert_eq!(open(2, &check, CAROL, &seed), Ok([2; 32]));
        assert_eq!(open(3, &check, CAROL, &seed), Err(WrongKey), "another number");
        assert_eq!(open(2, &check, UserId::from_bytes([4; 16]), &seed), Err(WrongKey), "another user");
        let other = UserSeed::from_bytes(&mut [8; 32]);
        assert_eq!(open(2, &check, CAROL, &other), Err(WrongKey), "another user's seed");
        let lie = Directory::new(&acme, 2, &key(5)).check();
        assert_eq!(open(2, &lie, CAROL, &seed), Err(WrongKey), "not the key that the log names");
    }

    #[test]
    fn a_check_is_of_one_key_one_number_and_one_organisation() {
        let (acme, other) = (organisation(), "other".parse().unwrap());
        let (two, three) = (key(2), key(3));
        let check = Directory::new(&acme, 2, &two).check();
        assert_ne!(check, Directory::new(&acme, 3, &two).check());
        assert_ne!(check, Directory::new(&acme, 2, &three).check());
        assert_ne!(check, Directory::new(&other, 2, &two).check());
    }

    #[test]
    fn a_past_holds_earlier_keys_in_order() {
        let (acme, four) = (organisation(), key(4));
        let of = Directory::new(&acme, 4, &four);
        let opened = |numbers: &[u32]| {
            let keys: Vec<_> = numbers.iter().map(|number| numbered(*number)).collect();
            let sealed = of.seal_past(&keys, &mut Fixed(6)).unwrap();
            of.open_past(&sealed).map(|keys| keys.iter().map(|key| key.number).collect::<Vec<_>>())
        };
        assert_eq!(opened(&[1, 2, 3]), Ok(vec![1, 2, 3]));
        assert_eq!(opened(&[2]), Ok(vec![2]), "its author did not have the others");
        for bad in [&[4][..], &[2, 1], &[1, 1], &[0]] {
            assert_eq!(opened(bad), Err(WrongKey), "{bad:?}");
        }
        let sealed = of.seal_past(&[numbered(1)], &mut Fixed(6)).unwrap();
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert_eq!(of.open_past(&bad).map(|_| ()), Err(WrongKey), "byte {at}");
            assert_eq!(of.open_past(&sealed[..at]).map(|_| ()), Err(WrongKey), "cut at {at}");
        }
        let five = Directory::new(&acme, 5, &four);
        assert_eq!(five.open_past(&sealed).map(|_| ()), Err(WrongKey), "of another number");
    }
}
