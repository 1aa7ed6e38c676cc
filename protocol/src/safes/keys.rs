//! The keys of a safe, one for each epoch, and everything that is derived from them.
//!
//! Decides which key is an epoch's: the one whose check the safe log names. Refuses every other, so
//! that what can't be opened says something about what was sealed, and never about the key. Each
//! derived key is of one purpose, one safe and one epoch.

use std::collections::BTreeMap;
use std::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use minicbor::{Decode, Encode};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::codec;
use crate::ids::{OrganisationId, SafeId, UserId};
use crate::keys::{
    DigestKey, DirectKey, Entropy, NoEntropy, ObjectsKey, PastKey, RecordKey, SafeKey, then_wipe_stack,
};
use crate::public_keys::Hash;
use crate::sealing::{KeyHash, RANDOMNESS_BYTES, Randomness};

/// What a key check is over, before the epoch it is of.
const CHECK_CONTEXT: &[u8] = b"parsec-safe-check-v1\0";
/// What every key that is derived from a safe's is bound to, before its purpose.
const DERIVED_CONTEXT: &[u8] = b"parsec-safe-v1 ";

/// One epoch of one safe: what its key, and everything derived from it, is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Epoch {
    /// The organisation that the safe is one of.
    #[n(0)]
    pub organisation: OrganisationId,
    /// The safe itself, by its id.
    #[n(1)]
    pub safe: SafeId,
    /// Number of the epoch, from 0.
    #[n(2)]
    pub number: u64,
}

/// For whom a box with the key of an epoch is.
#[derive(Encode)]
struct Recipient<'a> {
    #[n(0)]
    organisation: &'a OrganisationId,
    #[n(1)]
    safe: &'a SafeId,
    #[n(2)]
    number: u64,
    #[n(3)]
    user: UserId,
    #[n(4)]
    key: KeyHash,
}

/// The key is not the epoch's, by the check that the safe log names. Whoever handed it out made a
/// wrong box, a wrong `past` or a wrong manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key is not the one that the safe's log names")]
pub struct WrongKey;

/// The key of one epoch, with what it is of.
#[derive(Clone, Copy)]
pub struct EpochKey<'a> {
    organisation: &'a OrganisationId,
    safe: &'a SafeId,
    number: u64,
    key: &'a SafeKey,
}

impl fmt::Debug for EpochKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EpochKey({}, {}, ..)", self.safe, self.number)
    }
}

impl<'a> EpochKey<'a> {
    /// Says of which safe and epoch a key is; nothing is checked.
    #[must_use]
    pub const fn new(
        organisation: &'a OrganisationId,
        safe: &'a SafeId,
        number: u64,
        key: &'a SafeKey,
    ) -> Self {
        Self { organisation, safe, number, key }
    }

    /// Number of the epoch, from 0.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// What the key is of, as one value.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        Epoch { organisation: self.organisation.clone(), safe: *self.safe, number: self.number }
    }

    /// What the safe log says of this key: fixes it for everybody and tells nobody anything of it.
    #[must_use]
    pub fn check(&self) -> Hash {
        let of = codec::encode(&self.epoch());
        Hash::from_bytes(then_wipe_stack(|| {
            mac(self.key.expose())
                .chain_update(CHECK_CONTEXT)
                .chain_update(&of)
                .finalize()
                .into_bytes()
                .into()
        }))
    }

    /// Seals the inside of this epoch's records.
    #[must_use]
    pub fn record_key(&self) -> RecordKey {
        self.derived(b"record", RecordKey::from_slice)
    }

    /// Makes the keys of this epoch's objects.
    #[must_use]
    pub fn objects_key(&self) -> ObjectsKey {
        self.derived(b"object", ObjectsKey::from_slice)
    }

    /// Seals the keys of the epochs before.
    #[must_use]
    pub fn past_key(&self) -> PastKey {
        self.derived(b"past", PastKey::from_slice)
    }

    /// Seals who two devices of the safe are when they meet directly.
    #[must_use]
    pub fn direct_key(&self) -> DirectKey {
        self.derived(b"direct", DirectKey::from_slice)
    }

    /// Makes the digests of files; none but of epoch 0, so that they stay comparable.
    #[must_use]
    pub fn digest_key(&self) -> Option<DigestKey> {
        (self.number == 0).then(|| self.derived(b"digest", DigestKey::from_slice))
    }

    /// What the box for this user's key draws: a function of safe key and recipient, so that every
    /// holder makes the very same box, and can tell a wrong one.
    pub(super) fn box_randomness(&self, user: UserId, key: KeyHash) -> Randomness {
        let Self { organisation, safe, number, .. } = *self;
        let of = codec::encode(&Recipient { organisation, safe, number, user, key });
        let mut drawn = Box::new(Zeroizing::new([0; RANDOMNESS_BYTES]));
        self.expand(&[DERIVED_CONTEXT, b"box\0", &of], drawn.as_mut_slice());
        #[expect(clippy::expect_used, reason = "fails only for another length; it is the constant's")]
        Randomness::from_slice(drawn.as_slice()).expect("64 bytes are a box's randomness")
    }

    /// The key itself, for the box that it is sealed in and for a list of past ones.
    pub(super) const fn key(&self) -> &'a SafeKey {
        self.key
    }

    fn derived<T>(&self, purpose: &[u8], take: fn(&[u8]) -> Option<T>) -> T {
        let of = codec::encode(&self.epoch());
        let mut key = Box::new(Zeroizing::new([0; 32]));
        self.expand(&[DERIVED_CONTEXT, purpose, b"\0", &of], key.as_mut_slice());
        #[expect(clippy::expect_used, reason = "fails only for another length; it is 32")]
        take(key.as_slice()).expect("32 bytes are a key")
    }

    fn expand(&self, info: &[&[u8]], out: &mut [u8]) {
        let done =
            then_wipe_stack(|| Hkdf::<Sha256>::new(None, self.key.expose()).expand_multi_info(info, out));
        #[expect(clippy::expect_used, reason = "fails only above 255 blocks; these are one and two")]
        done.expect("HKDF gives 64 bytes");
    }
}

fn mac(key: &[u8; 32]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    Hmac::new_from_slice(key).expect("HMAC takes 32 bytes")
}

/// The keys of one safe that this device has, by their epochs. Each passed its check.
pub struct SafeKeys {
    organisation: OrganisationId,
    safe: SafeId,
    keys: BTreeMap<u64, SafeKey>,
}

impl fmt::Debug for SafeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SafeKeys({}, {:?}, ..)", self.safe, self.keys.keys())
    }
}

impl SafeKeys {
    /// No keys of this safe yet.
    #[must_use]
    pub const fn new(organisation: OrganisationId, safe: SafeId) -> Self {
        Self { organisation, safe, keys: BTreeMap::new() }
    }

    /// The organisation that the safe is one of.
    #[must_use]
    pub const fn organisation(&self) -> &OrganisationId {
        &self.organisation
    }

    /// The safe whose keys these are.
    #[must_use]
    pub const fn safe(&self) -> &SafeId {
        &self.safe
    }

    /// Draws a key for an epoch that has none yet. It is in use once the safe log names its check,
    /// and so is kept apart until then.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn draw(entropy: &mut dyn Entropy) -> Result<SafeKey, NoEntropy> {
        SafeKey::random(entropy)
    }

    /// Takes the key of an epoch; `check` is what the safe log says of it.
    ///
    /// # Errors
    /// [`WrongKey`]: nothing was taken.
    pub fn insert(&mut self, epoch: u64, key: SafeKey, check: &Hash) -> Result<(), WrongKey> {
        let found = EpochKey::new(&self.organisation, &self.safe, epoch, &key).check();
        // Both are public: the log says one, and what comes out of HMAC tells nothing of the key.
        if found != *check {
            return Err(WrongKey);
        }
        self.keys.insert(epoch, key);
        Ok(())
    }

    /// The key of an epoch; none where this device has none that is right.
    #[must_use]
    pub fn at(&self, epoch: u64) -> Option<EpochKey<'_>> {
        let key = self.keys.get(&epoch)?;
        Some(EpochKey::new(&self.organisation, &self.safe, epoch, key))
    }

    /// The newest of them; none where there is none.
    #[must_use]
    pub fn newest(&self) -> Option<EpochKey<'_>> {
        let (epoch, key) = self.keys.last_key_value()?;
        Some(EpochKey::new(&self.organisation, &self.safe, *epoch, key))
    }

    /// The same keys once more, for work that goes on while others come.
    #[must_use]
    pub fn copied(&self) -> Self {
        let copy = |(epoch, key): (&u64, &SafeKey)| Some((*epoch, SafeKey::from_slice(key.expose())?));
        let keys = self.keys.iter().filter_map(copy).collect();
        Self { organisation: self.organisation.clone(), safe: self.safe, keys }
    }

    /// All of them, ascending by epoch, for the store that keeps them.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &SafeKey)> {
        self.keys.iter().map(|(epoch, key)| (*epoch, key))
    }
}
