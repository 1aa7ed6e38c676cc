//! A checkpoint: this device's note to itself that it has verified a log up to a head.
//!
//! Decides that a log which passes through that head need not be verified again up to there: the
//! head fixes every byte before it, and a program that can make the note holds the key of the local
//! store, with which it could put anything into it anyway. Refuses a note for another log, root or
//! head, or under another key, by saying that there is none: then the log is verified from the
//! beginning.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use minicbor::{Decode, Encode};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::batch::Executor;
use super::envelope::Envelope;
use super::head::Head;
use super::log::{Log, LogError};
use super::rules::Rules;
use crate::codec;
use crate::keys::{LocalStoreKey, then_wipe_stack};
use crate::public_keys::Hash;

/// Keeps this use of the store key apart from every other.
const INFO: &[u8] = b"parsec-checkpoint-v1";

/// Largest encoding of a [`Checkpoint`]: a count and two hashes.
pub const CHECKPOINT_MAX_BYTES: usize = 128;

/// Makes and recognises checkpoints of one device.
pub struct CheckpointKey(Box<Zeroizing<[u8; 32]>>);

impl std::fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CheckpointKey(..)")
    }
}

impl CheckpointKey {
    /// HKDF-SHA256(salt: none, input: local store key, info: "parsec-checkpoint-v1", 32 bytes).
    #[must_use]
    pub fn of(store_key: &LocalStoreKey) -> Self {
        let mut key = Box::new(Zeroizing::new([0; 32]));
        then_wipe_stack(|| {
            #[expect(clippy::expect_used, reason = "HKDF-SHA256 gives up to 8,160 bytes; 32 are asked for")]
            Hkdf::<Sha256>::new(None, store_key.expose())
                .expand(INFO, key.as_mut_slice())
                .expect("32 bytes are not too many");
        });
        Self(key)
    }

    /// Whether it is made from the same store key, in constant time.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }

    fn mac(&self, message: &[u8]) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_slice()).expect("any key");
        mac.update(message);
        mac
    }
}

/// `[head, MAC]`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Checkpoint {
    #[n(0)]
    head: Head,
    #[n(1)]
    mac: Hash,
}

impl Checkpoint {
    /// Notes that this log has been verified.
    #[must_use]
    pub fn of<R: Rules>(log: &Log<R>, key: &CheckpointKey) -> Self {
        let head = log.head();
        let mac = key.mac(&R::statement(log.origin(), &head)).finalize().into_bytes();
        Self { head, mac: Hash::from_bytes(mac.into()) }
    }

    /// The bytes that the store keeps, at most [`CHECKPOINT_MAX_BYTES`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// How many certificates it says were verified. Hearsay until [`Log::resume`] has looked.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.head.count
    }
}

impl<R: Rules> Log<R> {
    /// The log of these envelopes, in order: as far as the checkpoint `note`, made by its key, fits
    /// them, on its word; verified from there on, or from the beginning if it doesn't fit. The note
    /// is a checkpoint's encoding, as the store has it.
    ///
    /// # Errors
    /// [`LogError`] for the first certificate that fails verification.
    pub fn resume_within<E: AsRef<[u8]>>(
        origin: R::Origin,
        envelopes: &[E],
        note: Option<(&[u8], &CheckpointKey)>,
        executor: &impl Executor,
        around: &R::Around,
    ) -> Result<Self, LogError<R::Fault>> {
        let empty = Self::begin(origin);
        let resumed = note.and_then(|(bytes, key)| resumed(&empty, envelopes, bytes, key));
        let mut log = resumed.unwrap_or(empty);
        let rest = usize::try_from(log.count()).ok().and_then(|known| envelopes.get(known..));
        log.extend_within(rest.unwrap_or_default(), executor, around)?;
        Ok(log)
    }
}

/// The log up to the checkpoint, if it is ours and these are the certificates that it is about.
fn resumed<R: Rules, E: AsRef<[u8]>>(
    empty: &Log<R>,
    envelopes: &[E],
    bytes: &[u8],
    key: &CheckpointKey,
) -> Option<Log<R>> {
    let checkpoint: Checkpoint = codec::decode(bytes, CHECKPOINT_MAX_BYTES).ok()?;
    let statement = R::statement(empty.origin(), &checkpoint.head);
    key.mac(&statement).verify_slice(checkpoint.mac.as_bytes()).ok()?;
    let known = envelopes.get(..usize::try_from(checkpoint.head.count).ok()?)?;
    let mut log = empty.clone();
    for envelope in known {
        let payload = Envelope::<R>::decode(envelope.as_ref()).ok()?.payload().ok()?;
        let after = log.head().after(envelope.as_ref());
        log.restore(payload, after);
    }
    (log.head() == checkpoint.head).then_some(log)
}
