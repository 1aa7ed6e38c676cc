//! The boxes of message 7: what outlasts the channel, and what proves that keys are held
//! (docs/protocol.md, *Message 7*).
//!
//! Decides what is sealed to which key of message 6, and for which use. Refuses, on the claimer's
//! side, a box that doesn't open: nothing of message 7 is believed then. The relay keeps the
//! messages, and the channel is X25519 alone; boxes of the suites of `sealing` stand behind it.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use super::io::Refused;
use crate::codec;
use crate::keys::{DeviceSeed, Entropy, UserSeed, random};
use crate::limits::STEP_MAX_BYTES;
use crate::name_keys::{DirectoryKeys, NumberedKey};
use crate::public_keys::Hash;
use crate::sealing::{EncryptionKey, OpenError, Opener, Plaintext, Randomness, SECRET_BOX_BYTES, seal};

/// The use of the box with the secrets.
const HANDOVER: &str = "parsec-handover-v1";
/// The use of the boxes that are to be opened as a proof.
const CHALLENGE: &str = "parsec-challenge-v1";
/// Keeps the hash of what was in them apart from every other.
const OPENED: &[u8] = b"parsec-opened-v1\0";
/// Bytes in a challenge: too many to guess.
const CHALLENGE_BYTES: usize = 32;

/// What a box of secrets is bound to.
#[derive(Encode)]
struct HandoverUse<'a>(#[n(0)] &'static str, #[n(1)] &'a Hash);

/// What a challenge is bound to.
#[derive(Encode)]
struct ChallengeUse<'a>(#[n(0)] &'static str, #[n(1)] &'a Hash, #[n(2)] Whose);

/// Whose key a challenge is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode)]
#[cbor(index_only)]
enum Whose {
    #[n(0)]
    Device,
    #[n(1)]
    User,
}

/// The plaintext of the first box.
#[derive(Encode, Decode)]
struct Secrets {
    #[n(0)]
    directory_keys: Vec<NumberedKey>,
    #[n(1)]
    user_seed: Option<UserSeed>,
}

/// The greeter's boxes, and what message 8 must answer.
pub(super) struct Boxes {
    pub(super) secrets: ByteVec,
    pub(super) challenges: Vec<ByteVec>,
    pub(super) opened: Hash,
}

/// What the greeter hands over.
pub(super) struct HandedOver<'a> {
    pub(super) directory_keys: &'a DirectoryKeys,
    /// Number of the key with which a new device's user's name is sealed.
    pub(super) own_name: Option<u32>,
    /// For a new device of a user who has some.
    pub(super) user_seed: Option<&'a UserSeed>,
}

/// Seals what is handed over to the keys of the claim: the device's, and a new user's.
///
/// # Errors
/// [`Refused::NoEntropy`]; [`Refused::MayNotCertify`] if a box can't be made, which no key of a
/// claim can cause.
pub(super) fn make(
    handshake: &Hash,
    handed: &HandedOver<'_>,
    device_key: &EncryptionKey,
    user_key: Option<&EncryptionKey>,
    entropy: &mut dyn Entropy,
) -> Result<Boxes, Refused> {
    let secrets = Secrets {
        directory_keys: handed.directory_keys.carried(handed.own_name),
        user_seed: handed.user_seed.map(|seed| UserSeed::from_bytes(&mut { *seed.expose() })),
    };
    let plaintext = codec::encode_secret(&secrets);
    let secrets = sealed(device_key, &codec::encode(&HandoverUse(HANDOVER, handshake)), &plaintext, entropy)?;
    let keys = [Some((Whose::Device, device_key)), user_key.map(|key| (Whose::User, key))];
    let mut drawn = Vec::new();
    let mut challenges = Vec::new();
    for (whose, key) in keys.into_iter().flatten() {
        let challenge: Zeroizing<[u8; CHALLENGE_BYTES]> = Zeroizing::new(random(entropy)?);
        let info = codec::encode(&ChallengeUse(CHALLENGE, handshake, whose));
        challenges.push(sealed(key, &info, challenge.as_slice(), entropy)?);
        drawn.push(challenge);
    }
    Ok(Boxes { secrets, challenges, opened: opened(drawn.iter().map(|drawn| drawn.as_slice())) })
}

fn sealed(
    key: &EncryptionKey,
    info: &[u8],
    plaintext: &[u8],
    entropy: &mut dyn Entropy,
) -> Result<ByteVec, Refused> {
    let randomness = Randomness::random(entropy)?;
    seal(key, info, &[], plaintext, randomness).map(ByteVec::from).map_err(|_| Refused::MayNotCertify)
}

fn opened<'a>(challenges: impl Iterator<Item = &'a [u8]>) -> Hash {
    let parts: Vec<&[u8]> = std::iter::once(OPENED).chain(challenges).collect();
    Hash::of(&parts)
}

/// What the claimer found in the boxes.
pub(super) struct Found {
    pub(super) directory_keys: DirectoryKeys,
    pub(super) user_seed: Option<UserSeed>,
    /// What goes into message 8.
    pub(super) opened: Hash,
}

/// Opens all boxes with the seeds of the claim.
///
/// # Errors
/// [`OpenError`], also where there is not exactly one challenge for each seed, or the
/// directory keys don't begin with the first.
pub(super) fn open(
    handshake: &Hash,
    device_seed: &DeviceSeed,
    user_seed: Option<&UserSeed>,
    secrets: &[u8],
    challenges: &[ByteVec],
) -> Result<Found, OpenError> {
    let challenge_use = |whose| codec::encode(&ChallengeUse(CHALLENGE, handshake, whose));
    let (of_device, of_user) = match (user_seed, challenges) {
        (None, [device]) => (device, None),
        (Some(seed), [device, user]) => (device, Some((seed, user))),
        (None | Some(_), _) => return Err(OpenError),
    };
    let (plaintext, of_device) = device_seed.to_open(|device: &Opener| {
        let plaintext = device.open(secrets, &codec::encode(&HandoverUse(HANDOVER, handshake)), &[])?;
        Ok((plaintext, device.open(of_device, &challenge_use(Whose::Device), &[])?))
    })?;
    let Secrets { directory_keys, user_seed: handed } =
        codec::decode(plaintext.expose(), STEP_MAX_BYTES).map_err(|_| OpenError)?;
    let directory_keys = DirectoryKeys::read(directory_keys).ok_or(OpenError)?;
    let of_user =
        of_user.map(|(seed, user)| seed.open(user, &challenge_use(Whose::User), &[])).transpose()?;
    let drawn: Vec<Plaintext> = std::iter::once(of_device).chain(of_user).collect();
    if drawn.iter().any(|drawn| drawn.expose().len() != CHALLENGE_BYTES) {
        return Err(OpenError);
    }
    let opened = opened(drawn.iter().map(|drawn| drawn.expose()));
    Ok(Found { directory_keys, user_seed: handed, opened })
}

const _: () = assert!(SECRET_BOX_BYTES < STEP_MAX_BYTES / 4, "message 7 must fit one step");
