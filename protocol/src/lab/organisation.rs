//! The one made-up organisation: founded by Alice, alone, with all that her device holds. The lab
//! plays with it, and so does every test that needs keys behind its certificates.
//!
//! Decides nothing about the ceremony. Refuses to hold a real key: what it is made of is drawn from
//! the source that is handed in, so that the same seed makes the same organisation. Logs with a
//! fault in them are forged elsewhere (`protocol/tests/support`): this one can't hold any.

use crate::chain::organisation::bootstrap::{Founder, found};
use crate::chain::organisation::certificate::{Body, Profile};
use crate::chain::organisation::changes::certify;
use crate::chain::organisation::log::VerifiedLog;
use crate::enrol::io::{Approval, Prologue, TransportKind};
use crate::ids::{DeviceId, Email, IdError, Invited, OrganisationId, Timestamp, Token, UserId};
use crate::keys::{DeviceSeed, DeviceSigningKey, DirectoryKey, Entropy, LinkSecret, NoEntropy, UserSeed};
use crate::lab::seeded_rng::SeededRng;
use crate::name_keys::DirectoryKeys;
use crate::public_keys::VerifyKey;
use crate::sealing::EncryptionKey;

/// When a seeded organisation is founded: a moment in 2027, from which the lab counts by itself.
pub const START: Timestamp = Timestamp(1_800_000_000_000_000);
/// E-mail address of Alice.
pub const EMAIL: &str = "alice@acme.example";
/// Name that Alice gave herself.
pub const NAME: &str = "Alice";
/// Label of her device.
pub const LABEL: &str = "laptop";

/// Why an organisation can't be made up. None happens with the lab's own generator; each is a bug
/// in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoLab {
    /// Its generator gave nothing.
    #[error("the generator that was handed in gave nothing")]
    NoEntropy,
    /// A name or address of its people is none.
    #[error("a name in the lab is not one")]
    BadName,
    /// Its organisation's log does not verify.
    #[error("the lab's organisation does not verify")]
    BadLog,
    /// Its safe breaks a rule of safes.
    #[error("the lab's safe does not verify")]
    BadSafe,
}

impl From<NoEntropy> for NoLab {
    fn from(NoEntropy: NoEntropy) -> Self {
        Self::NoEntropy
    }
}

impl From<IdError> for NoLab {
    fn from(_: IdError) -> Self {
        Self::BadName
    }
}

/// Alice's organisation, and all that her device holds.
#[derive(Debug)]
pub struct Organisation {
    /// The verified log of its certificates.
    pub log: VerifiedLog,
    /// Envelopes of the certificates in the log.
    pub envelopes: Vec<Vec<u8>>,
    /// Root key, which every member pins.
    pub root: VerifyKey,
    /// Id of Alice, its founder.
    pub user: UserId,
    /// Id of her device.
    pub device: DeviceId,
    /// Keys that the founding certificates name, in their order.
    pub keys: Vec<EncryptionKey>,
    /// Key that her device signs with.
    pub signing_key: DeviceSigningKey,
    /// The key that seals the names, with its number.
    pub directory_keys: DirectoryKeys,
    /// Opens what is sealed to Alice.
    pub user_seed: UserSeed,
    /// Opens what is sealed to her device.
    pub device_seed: DeviceSeed,
    /// E-mail address of Bob, whom she has invited.
    pub invited: Email,
}

impl Organisation {
    /// The organisation of a seed: `acme`, founded at [`START`].
    ///
    /// # Errors
    /// [`NoLab`], which no seed comes to.
    pub fn of_seed(seed: u64) -> Result<Self, NoLab> {
        Self::found(&"acme".parse()?, START, &mut SeededRng::new(seed))
    }

    /// Founds an organisation of this id.
    ///
    /// # Errors
    /// [`NoLab::NoEntropy`], where the source has nothing.
    pub fn found(
        organisation: &OrganisationId,
        now: Timestamp,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, NoLab> {
        let signing_key = DeviceSigningKey::random(entropy)?;
        let directory_key = DirectoryKey::random(entropy)?;
        let user_seed = UserSeed::random(entropy)?;
        let device_seed = DeviceSeed::random(entropy)?;
        let founder = Founder {
            organisation,
            email: &EMAIL.parse()?,
            name: &NAME.parse()?,
            device_label: &LABEL.parse()?,
            user_seed: &user_seed,
            device_seed: &device_seed,
            signing_key: &signing_key,
            directory_key: &directory_key,
        };
        let founded = found(&founder, now, entropy)?;
        let mut made = Self {
            log: VerifiedLog::empty(organisation.clone(), founded.root),
            envelopes: Vec::new(),
            root: founded.root,
            user: founded.user,
            device: founded.device,
            keys: founded.keys,
            signing_key,
            directory_keys: DirectoryKeys::first(directory_key),
            user_seed,
            device_seed,
            invited: "bob@acme.example".parse()?,
        };
        made.append(founded.certificates)?;
        Ok(made)
    }

    /// Takes certificates into the log, whoever made them.
    ///
    /// # Errors
    /// [`NoLab::BadLog`], where a reader would refuse one; those before it are in the log then.
    pub fn append(&mut self, envelopes: impl IntoIterator<Item = Vec<u8>>) -> Result<(), NoLab> {
        for envelope in envelopes {
            self.log.push(&envelope).map_err(|_| NoLab::BadLog)?;
            self.envelopes.push(envelope);
        }
        Ok(())
    }

    /// Alice certifies this: a member or device more or less, another profile, another key.
    ///
    /// # Errors
    /// [`NoLab::BadLog`], where she may not.
    pub fn state(&mut self, body: Body) -> Result<(), NoLab> {
        let envelope = certify(&self.log, self.device, &self.signing_key, body, START);
        self.append([envelope.map_err(|_| NoLab::BadLog)?])
    }

    /// What both sides agree on where Alice greets somebody by the relay.
    #[must_use]
    pub fn prologue(&self, invited: Invited) -> Prologue {
        Prologue {
            organisation: self.log.organisation().clone(),
            token: Token::from_bytes([7; 16]),
            invited,
            greeter_user: self.user,
            greeter_device: self.device,
            transport: TransportKind::Relay,
        }
    }

    /// What both sides agree on where Alice greets Bob.
    #[must_use]
    pub fn bob(&self) -> Prologue {
        self.prologue(Invited::User(self.invited.clone()))
    }

    /// The same where she greets another device of her own.
    #[must_use]
    pub fn second_device(&self) -> Prologue {
        self.prologue(Invited::Device(self.user))
    }

    /// The secret of her invitation's link: everybody who has read the link has it, which is why it
    /// is not what the ceremony rests on.
    #[must_use]
    pub fn link_secret() -> LinkSecret {
        LinkSecret::from_bytes(&mut [9; 32])
    }

    /// Alice vouches for a standard member and has heard them.
    #[must_use]
    pub const fn approval(&self) -> Approval<'_> {
        Approval {
            claimer_confirmed: true,
            name: None,
            device_label: None,
            profile: Profile::Standard,
            signing_key: &self.signing_key,
            directory_keys: &self.directory_keys,
            user_seed: &self.user_seed,
            manifest: None,
            log: &self.log,
            attempts: 1,
            share: None,
        }
    }
}
