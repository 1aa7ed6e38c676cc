//! Past keys: whoever has the key of an epoch has those of all epochs before it.
//!
//! Decides how they are sealed: the last ones under a key derived from the present one, whole
//! blocks of 256 under keys of their own beside the ring, so that a ring doesn't grow with every
//! key that a safe ever had. A key that its author hadn't is null. What is in here is believed by
//! nobody: each key passes the check that the safe log names, or isn't taken.

use std::collections::BTreeSet;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use super::keys::{EpochKey, SafeKeys};
use crate::codec;
use crate::ids::{OrganisationId, SafeId};
use crate::keys::{Entropy, NoEntropy, PastBlockKey, SafeKey, random, then_wipe_stack};
use crate::limits::EPOCHS_MAX;
use crate::public_keys::Hash;

/// Keys in a block.
pub const BLOCK_KEYS: u64 = 256;
/// Bytes of a nonce of XChaCha20.
const NONCE_BYTES: usize = 24;
/// Keeps the last keys apart from every other use of a safe's key.
const PAST_CONTEXT: &[u8] = b"parsec-past-v1\0";
/// Keeps blocks apart from every other use of their keys.
const BLOCK_CONTEXT: &[u8] = b"parsec-past-block-v1\0";
/// Most bytes of an encoded key in a list: its head, 2, and 32.
const ENCODED_KEY_BYTES: usize = 34;
/// Most bytes of a block's plaintext: the array's head, 3, and its keys.
const BLOCK_PLAINTEXT_MAX_BYTES: usize = 3 + BLOCK_KEYS as usize * ENCODED_KEY_BYTES;
/// Most bytes of a sealed block: nonce and tag around its plaintext.
pub const BLOCK_MAX_BYTES: usize = NONCE_BYTES + BLOCK_PLAINTEXT_MAX_BYTES + 16;
/// Most bytes of what opens the past: a block's key and hash take 70, and there are at most 196 of
/// them.
pub const PAST_MAX_BYTES: usize = 32 * 1024;

/// What a block is bound to.
#[derive(Encode)]
struct BlockOf<'a> {
    #[n(0)]
    organisation: &'a OrganisationId,
    #[n(1)]
    safe: &'a SafeId,
    #[n(2)]
    block: u64,
}

/// Names a block and opens it: a secret.
#[derive(Encode, Decode)]
pub struct Block {
    /// Opens the block, and nothing else.
    #[n(0)]
    key: PastBlockKey,
    /// SHA-256 of its sealed bytes, by which it is fetched.
    #[n(1)]
    hash: Hash,
}

impl Block {
    /// SHA-256 of the block's sealed bytes, by which it is fetched.
    #[must_use]
    pub const fn hash(&self) -> &Hash {
        &self.hash
    }

    fn same(&self) -> Self {
        let key = PastBlockKey::from_bytes(&mut { *self.key.expose() });
        Self { key, hash: self.hash }
    }
}

/// As it is sealed.
#[derive(Encode, Decode)]
struct Sealed {
    #[n(0)]
    blocks: Vec<Block>,
    #[n(1)]
    keys: Vec<Option<SafeKey>>,
}

/// What opens all epochs before one: the last keys, and the blocks of the earlier ones.
pub struct Past {
    blocks: Vec<Block>,
    keys: Vec<Option<SafeKey>>,
    /// Numbers of the blocks whose keys are all there and right.
    whole: BTreeSet<u64>,
}

impl std::fmt::Debug for Past {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Past({} blocks, {} keys, ..)", self.blocks.len(), self.keys.len())
    }
}

/// The past is not one that an honest program made for this epoch: it doesn't open, or has another
/// number of keys. Its author is named by the certificate with the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the earlier keys of the safe do not open")]
pub struct WrongPast;

/// A new past, and the blocks that have to be uploaded beside it.
#[derive(Debug)]
pub struct MadePast {
    /// What stands in the ring's head; none for epoch 0.
    pub sealed: Option<Vec<u8>>,
    /// New blocks by their hashes.
    pub blocks: Vec<(Hash, Vec<u8>)>,
}

/// Seals the keys of the epochs before `key`'s under it. `before` is the past of the ring before,
/// as it was opened: its whole blocks ([`Past::found_whole`]) are used again. One with nulls or
/// lies is made anew, which heals it.
///
/// # Errors
/// [`NoEntropy`].
pub(super) fn seal(
    key: &EpochKey<'_>,
    keys: &SafeKeys,
    before: Option<&Past>,
    entropy: &mut dyn Entropy,
) -> Result<MadePast, NoEntropy> {
    let epoch = key.number();
    if epoch == 0 {
        return Ok(MadePast { sealed: None, blocks: Vec::new() });
    }
    let full = epoch / BLOCK_KEYS;
    let (mut blocks, mut made) = (Vec::new(), Vec::new());
    for number in 0..full {
        if let Some(known) = before.and_then(|before| before.whole_block(number)) {
            blocks.push(known.same());
            continue;
        }
        let (block, sealed) = seal_block(keys, number, entropy)?;
        made.push((block.hash, sealed));
        blocks.push(block);
    }
    let past = Sealed { blocks, keys: copied(keys, full * BLOCK_KEYS, epoch) };
    let plaintext = encoded(&past, PAST_MAX_BYTES);
    let ad = [PAST_CONTEXT, &codec::encode(&key.epoch())].concat();
    let sealed = sealed(key.past_key().expose(), &ad, &plaintext, entropy)?;
    Ok(MadePast { sealed: Some(sealed), blocks: made })
}

fn seal_block(
    keys: &SafeKeys,
    number: u64,
    entropy: &mut dyn Entropy,
) -> Result<(Block, Vec<u8>), NoEntropy> {
    let key = PastBlockKey::random(entropy)?;
    let from = number * BLOCK_KEYS;
    let plaintext = encoded(&copied(keys, from, from + BLOCK_KEYS), BLOCK_PLAINTEXT_MAX_BYTES);
    let ad = block_ad(keys.organisation(), keys.safe(), number);
    let sealed = sealed(key.expose(), &ad, &plaintext, entropy)?;
    Ok((Block { key, hash: Hash::of(&[&sealed]) }, sealed))
}

fn block_ad(organisation: &OrganisationId, safe: &SafeId, block: u64) -> Vec<u8> {
    [BLOCK_CONTEXT, &codec::encode(&BlockOf { organisation, safe, block })].concat()
}

/// Opens the past of an epoch by its key; `sealed` is what stands in its ring's head.
///
/// # Errors
/// [`WrongPast`].
pub fn open(key: &EpochKey<'_>, sealed: &[u8]) -> Result<Past, WrongPast> {
    let ad = [PAST_CONTEXT, &codec::encode(&key.epoch())].concat();
    let plaintext = opened(key.past_key().expose(), &ad, sealed, PAST_MAX_BYTES)?;
    let Sealed { blocks, keys } = codec::decode(&plaintext, PAST_MAX_BYTES).map_err(|_| WrongPast)?;
    let past = Past { blocks, keys, whole: BTreeSet::new() };
    let before = past.first_key().checked_add(past.keys.len() as u64).ok_or(WrongPast)?;
    // Each key has one place: as many whole blocks as there are, and the rest.
    let full = past.blocks.len() as u64 == key.number() / BLOCK_KEYS;
    if full && before == key.number() && key.number() < EPOCHS_MAX { Ok(past) } else { Err(WrongPast) }
}

impl Past {
    /// The blocks with the earliest keys, in order: each of [`BLOCK_KEYS`] epochs.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Says that all keys of a block were in it and passed their checks: rings that are made after
    /// this one may name it, too.
    pub fn found_whole(&mut self, number: u64) {
        self.whole.insert(number);
    }

    fn whole_block(&self, number: u64) -> Option<&Block> {
        self.blocks.get(usize::try_from(number).ok()?).filter(|_| self.whole.contains(&number))
    }

    fn first_key(&self) -> u64 {
        self.blocks.len() as u64 * BLOCK_KEYS
    }

    /// The last keys by their epochs, to be checked one by one; an epoch whose key its author
    /// hadn't is passed over.
    pub fn into_keys(self) -> impl Iterator<Item = (u64, SafeKey)> {
        let from = self.first_key();
        (from..).zip(self.keys).filter_map(|(epoch, key)| Some((epoch, key?)))
    }

    /// Opens one of the blocks, whose sealed bytes were fetched by its hash. Its keys by their
    /// epochs, to be checked one by one.
    ///
    /// # Errors
    /// [`WrongPast`].
    pub fn open_block(
        &self,
        organisation: &OrganisationId,
        safe: &SafeId,
        number: u64,
        bytes: &[u8],
    ) -> Result<impl Iterator<Item = (u64, SafeKey)> + use<>, WrongPast> {
        let block = usize::try_from(number).ok().and_then(|at| self.blocks.get(at)).ok_or(WrongPast)?;
        if Hash::of(&[bytes]) != block.hash {
            return Err(WrongPast);
        }
        let ad = block_ad(organisation, safe, number);
        let plaintext = opened(block.key.expose(), &ad, bytes, BLOCK_PLAINTEXT_MAX_BYTES)?;
        let keys: Vec<Option<SafeKey>> =
            codec::decode(&plaintext, BLOCK_PLAINTEXT_MAX_BYTES).map_err(|_| WrongPast)?;
        if keys.len() != BLOCK_KEYS as usize {
            return Err(WrongPast);
        }
        Ok((number * BLOCK_KEYS..).zip(keys).filter_map(|(epoch, key)| Some((epoch, key?))))
    }
}

/// The keys of these epochs, null where this device has none.
fn copied(keys: &SafeKeys, from: u64, to: u64) -> Vec<Option<SafeKey>> {
    (from..to)
        .map(|epoch| keys.at(epoch).map(|key| SafeKey::from_bytes(&mut { *key.key().expose() })))
        .collect()
}

/// The encoding of secrets, in room that doesn't grow: growing would leave a copy.
fn encoded<T: Encode<()>>(value: &T, max: usize) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(max));
    if minicbor::encode(value, &mut *out).is_err() {
        out.clear();
    }
    out
}

fn sealed(
    key: &[u8; 32],
    ad: &[u8],
    plaintext: &[u8],
    entropy: &mut dyn Entropy,
) -> Result<Vec<u8>, NoEntropy> {
    let nonce: [u8; NONCE_BYTES] = random(entropy)?;
    let text = Payload { msg: plaintext, aad: ad };
    #[expect(clippy::expect_used, reason = "fails only above 256 GiB; it is in memory and far below")]
    let sealed =
        then_wipe_stack(|| XChaCha20Poly1305::new(<&Key>::from(key)).encrypt(&XNonce::from(nonce), text))
            .expect("keys can be sealed");
    Ok([nonce.as_slice(), &sealed].concat())
}

fn opened(key: &[u8; 32], ad: &[u8], bytes: &[u8], max: usize) -> Result<Zeroizing<Vec<u8>>, WrongPast> {
    let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(WrongPast)?;
    if sealed.len() > max + 16 {
        return Err(WrongPast);
    }
    let text = Payload { msg: sealed, aad: ad };
    then_wipe_stack(|| XChaCha20Poly1305::new(<&Key>::from(key)).decrypt(&XNonce::from(*nonce), text))
        .map(Zeroizing::new)
        .map_err(|_| WrongPast)
}
