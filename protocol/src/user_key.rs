//! How the devices of a user get the user's key: a box for each of them, and one with the key
//! before (docs/protocol.md, *Changing a user's key*).
//!
//! Decides what each box is bound to. Refuses a seed whose key has another hash than the log
//! certifies, whoever made the box: nothing else makes one right. This file sees a seed's bytes: it
//! seals them.

use minicbor::Encode;

use crate::codec;
use crate::ids::{DeviceId, OrganisationId, UserId};
use crate::keys::{DeviceSeed, Entropy, NoEntropy, UserSeed};
use crate::sealing::{EncryptionKey, KeyHash, Randomness, SECRET_BOX_BYTES, seal};

/// The use of a box for a device.
const DEVICE_BOX: &str = "parsec-user-key-v1";
/// The use of the box with the key before.
const PAST_BOX: &str = "parsec-user-past-v1";

/// A key of a user, as the log names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserKey {
    /// The organisation whose log it is.
    pub organisation: OrganisationId,
    /// The user.
    pub user: UserId,
    /// The key.
    pub key: KeyHash,
}

/// The box does not hold the seed that it is for: it does not open, or the seed is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the box does not hold the key that the log names")]
pub struct WrongBox;

/// What a device's box is bound to.
#[derive(Encode)]
struct DeviceUse<'a>(
    #[n(0)] &'static str,
    #[n(1)] &'a OrganisationId,
    #[n(2)] UserId,
    #[n(3)] KeyHash,
    #[n(4)] DeviceId,
    #[n(5)] KeyHash,
);

/// What the box with the key before is bound to.
#[derive(Encode)]
struct PastUse<'a>(
    #[n(0)] &'static str,
    #[n(1)] &'a OrganisationId,
    #[n(2)] UserId,
    #[n(3)] KeyHash,
    #[n(4)] KeyHash,
);

impl UserKey {
    fn device_use(&self, device: DeviceId, to: KeyHash) -> Vec<u8> {
        codec::encode(&DeviceUse(DEVICE_BOX, &self.organisation, self.user, self.key, device, to))
    }

    fn past_use(&self, previous: KeyHash) -> Vec<u8> {
        codec::encode(&PastUse(PAST_BOX, &self.organisation, self.user, self.key, previous))
    }

    /// The key's seed, sealed to a device of the user: [`SECRET_BOX_BYTES`].
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn seal_to_device(
        &self,
        seed: &UserSeed,
        device: DeviceId,
        to: &EncryptionKey,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<u8>, NoEntropy> {
        sealed(to, &self.device_use(device, to.hash()), seed, entropy)
    }

    /// Opens the box for a device with the device's own seed.
    ///
    /// # Errors
    /// [`WrongBox`].
    pub fn open_at_device(
        &self,
        sealed: &[u8],
        device: DeviceId,
        seed: &DeviceSeed,
    ) -> Result<UserSeed, WrongBox> {
        let info = self.device_use(device, seed.encryption_key().hash());
        let opened = seed.open(sealed, &info, &[]).map_err(|_| WrongBox)?;
        is_of(opened.expose(), self.key)
    }

    /// The seed of the key before this one, sealed to this one: [`SECRET_BOX_BYTES`].
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn seal_past(
        &self,
        previous: &UserSeed,
        to: &EncryptionKey,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<u8>, NoEntropy> {
        sealed(to, &self.past_use(previous.encryption_key().hash()), previous, entropy)
    }

    /// Opens the box with the key before, by this key's seed.
    ///
    /// # Errors
    /// [`WrongBox`].
    pub fn open_past(&self, sealed: &[u8], previous: KeyHash, seed: &UserSeed) -> Result<UserSeed, WrongBox> {
        let opened = seed.open(sealed, &self.past_use(previous), &[]).map_err(|_| WrongBox)?;
        is_of(opened.expose(), previous)
    }
}

fn sealed(
    to: &EncryptionKey,
    info: &[u8],
    seed: &UserSeed,
    entropy: &mut dyn Entropy,
) -> Result<Vec<u8>, NoEntropy> {
    let sealed = seal(to, info, &[], seed.expose(), Randomness::random(entropy)?);
    #[expect(clippy::expect_used, reason = "fails only for a use of over 1,024 bytes; both have under 250")]
    let sealed = sealed.expect("a seed can be sealed");
    debug_assert_eq!(sealed.len(), SECRET_BOX_BYTES);
    Ok(sealed)
}

/// A seed whose key the log names, and no other.
fn is_of(bytes: &[u8], key: KeyHash) -> Result<UserSeed, WrongBox> {
    UserSeed::from_slice(bytes).filter(|seed| seed.encryption_key().hash() == key).ok_or(WrongBox)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Seeded;

    fn key_of(seed: &UserSeed) -> UserKey {
        UserKey {
            organisation: "acme".parse().unwrap(),
            user: UserId::from_bytes([1; 16]),
            key: seed.encryption_key().hash(),
        }
    }

    const DEVICE: DeviceId = DeviceId::from_bytes([2; 16]);

    #[test]
    fn a_box_opens_at_its_device_for_its_key_and_nowhere_else() {
        let entropy = &mut Seeded::new(1);
        let (seed, other) = (UserSeed::random(entropy).unwrap(), UserSeed::random(entropy).unwrap());
        let (device, thief) = (DeviceSeed::random(entropy).unwrap(), DeviceSeed::random(entropy).unwrap());
        let key = key_of(&seed);
        let sealed = key.seal_to_device(&seed, DEVICE, &device.encryption_key(), entropy).unwrap();
        assert_eq!(sealed.len(), SECRET_BOX_BYTES);
        assert!(key.open_at_device(&sealed, DEVICE, &device).unwrap().is_same(&seed));
        assert!(key.open_at_device(&sealed, DEVICE, &thief).is_err());
        assert!(key.open_at_device(&sealed, DeviceId::from_bytes([3; 16]), &device).is_err());
        let elsewhere = UserKey { organisation: "other".parse().unwrap(), ..key.clone() };
        let anothers = UserKey { user: UserId::from_bytes([9; 16]), ..key.clone() };
        for wrong in [key_of(&other), elsewhere, anothers] {
            assert!(wrong.open_at_device(&sealed, DEVICE, &device).is_err(), "{wrong:?}");
        }
    }

    /// Whoever seals can put anything into a box: what the log names decides.
    #[test]
    fn another_seed_in_a_right_box_is_taken_for_no_key() {
        let entropy = &mut Seeded::new(2);
        let (seed, other) = (UserSeed::random(entropy).unwrap(), UserSeed::random(entropy).unwrap());
        let device = DeviceSeed::random(entropy).unwrap();
        let key = key_of(&seed);
        let sealed = key.seal_to_device(&other, DEVICE, &device.encryption_key(), entropy).unwrap();
        assert_eq!(key.open_at_device(&sealed, DEVICE, &device).unwrap_err(), WrongBox);
        let past = key.past_use(other.encryption_key().hash());
        let randomness = Randomness::random(entropy).unwrap();
        let sealed = seal(&seed.encryption_key(), &past, &[], &[7; 32], randomness).unwrap();
        assert_eq!(key.open_past(&sealed, other.encryption_key().hash(), &seed).unwrap_err(), WrongBox);
    }

    #[test]
    fn the_key_before_opens_with_the_key_after_it() {
        let entropy = &mut Seeded::new(3);
        let (before, seed) = (UserSeed::random(entropy).unwrap(), UserSeed::random(entropy).unwrap());
        let key = key_of(&seed);
        let sealed = key.seal_past(&before, &seed.encryption_key(), entropy).unwrap();
        let previous = before.encryption_key().hash();
        assert!(key.open_past(&sealed, previous, &seed).unwrap().is_same(&before));
        assert!(key.open_past(&sealed, previous, &before).is_err(), "the seed before opens nothing later");
        assert!(key.open_past(&sealed, key.key, &seed).is_err());
    }
}
