//! The inside of a record: sealed for whoever has the epoch's key, and bound to its outside.
//!
//! Decides how it is sealed and padded, and what becomes of one that can't be read: *void* where
//! its author is at fault, *stop* where this device is. Refuses to call anything void without the
//! epoch's key, which passed its check: two readers with one log would part.

use chacha20poly1305::aead::{Aead as _, Payload as Sealed};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::change::{BadInside, Inside};
use super::content::padme;
use super::keys::{EpochKey, SafeKeys};
use crate::codec;
use crate::keys::{DeviceSigningKey, Entropy, NoEntropy, random, then_wipe_stack};
use crate::limits::RECORD_MAX_BYTES;
use crate::safe_log::record::{Payload, RECORD_NONCE_BYTES};

/// Bytes of the length that a plaintext begins with.
const LENGTH_BYTES: usize = 4;

/// Why a record was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealRecordError {
    /// No random bytes for the nonce.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    /// The envelope would have more bytes than a record may have: fewer changes fit.
    #[error("the changes don't fit one record")]
    TooLong,
    /// The key is of another safe or epoch than the payload names: the caller's fault.
    #[error("the key is not of the record's epoch")]
    AnotherEpoch,
}

/// Why the inside of a valid record is not to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unopened {
    /// This device has no right key of the epoch. It stops here: what is inside may be good.
    #[error("no key of the record's epoch")]
    NoKey,
    /// Made by the rules of a later version. The program stops here and is too old.
    #[error("made by rules of version {0}")]
    TooNew(u64),
    /// The record is void, for everybody alike: an alarm that names its author.
    #[error("the record is void: {0}")]
    Void(VoidInside),
}

/// What is wrong with the inside of a record, found with the epoch's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VoidInside {
    /// The sealed inside doesn't open.
    #[error("its inside does not open")]
    Sealed,
    /// Length or padding is not the one that it should have.
    #[error("its inside is not padded as it should be")]
    Padding,
    /// It is no root and changes.
    #[error("its inside can't be read")]
    Unreadable,
}

/// Makes a record: seals the inside under `key`, and signs. `payload` has everything but nonce and
/// ciphertext, whatever stands there.
///
/// # Errors
/// [`SealRecordError`].
pub fn seal_record(
    key: &EpochKey<'_>,
    mut payload: Payload,
    inside: &Inside,
    author: &DeviceSigningKey,
    entropy: &mut dyn Entropy,
) -> Result<Vec<u8>, SealRecordError> {
    let of = key.epoch();
    if of.organisation != payload.organisation || of.safe != payload.safe || of.number != payload.epoch {
        return Err(SealRecordError::AnotherEpoch);
    }
    let plaintext = padded(&codec::encode(inside)).ok_or(SealRecordError::TooLong)?;
    let nonce: [u8; RECORD_NONCE_BYTES] = random(entropy)?;
    let ad = payload.associated_data();
    let record_key = key.record_key();
    let text = Sealed { msg: &plaintext, aad: &ad };
    #[expect(clippy::expect_used, reason = "fails only above 256 GiB; it is below 256 KiB")]
    let ciphertext = then_wipe_stack(|| {
        XChaCha20Poly1305::new(<&Key>::from(record_key.expose())).encrypt(&XNonce::from(nonce), text)
    })
    .expect("a record can be sealed");
    payload.nonce = nonce.into();
    payload.ciphertext = ciphertext.into();
    let envelope = payload.sign_with(|context, message| author.sign(context, message));
    if envelope.len() > RECORD_MAX_BYTES { Err(SealRecordError::TooLong) } else { Ok(envelope) }
}

/// The length, the encoding, and zeros up to the padded length; none if it is longer than a record.
fn padded(inside: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let length = u32::try_from(inside.len()).ok().filter(|_| inside.len() <= RECORD_MAX_BYTES)?;
    let whole = usize::try_from(padme((LENGTH_BYTES + inside.len()) as u64)).ok()?;
    let mut out = Zeroizing::new(Vec::with_capacity(whole));
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(inside);
    out.resize(whole, 0);
    Some(out)
}

/// Opens the inside of a record whose outside is valid.
///
/// # Errors
/// [`Unopened`].
pub fn open_record(keys: &SafeKeys, payload: &Payload) -> Result<Inside, Unopened> {
    let void = Unopened::Void;
    let key = keys.at(payload.epoch).ok_or(Unopened::NoKey)?;
    let ad = payload.associated_data();
    let record_key = key.record_key();
    let text = Sealed { msg: &payload.ciphertext, aad: &ad };
    let plaintext = then_wipe_stack(|| {
        XChaCha20Poly1305::new(<&Key>::from(record_key.expose())).decrypt(&XNonce::from(*payload.nonce), text)
    })
    .map(Zeroizing::new)
    .map_err(|_| void(VoidInside::Sealed))?;
    let inside = unpadded(&plaintext).ok_or(void(VoidInside::Padding))?;
    Inside::read(inside).map_err(|bad| match bad {
        BadInside::TooNew(version) => Unopened::TooNew(version),
        BadInside::Unreadable => void(VoidInside::Unreadable),
    })
}

/// What stands between the length and the padding; none where either is another than the one that
/// every writer makes.
fn unpadded(plaintext: &[u8]) -> Option<&[u8]> {
    let (length, rest) = plaintext.split_first_chunk::<LENGTH_BYTES>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (inside, zeros) = rest.split_at_checked(length)?;
    let whole = padme((LENGTH_BYTES + length) as u64);
    (plaintext.len() as u64 == whole && zeros.iter().all(|byte| *byte == 0)).then_some(inside)
}
