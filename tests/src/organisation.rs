//! An organisation of one administrator, in memory: what a machine on the greeter's side takes.
//!
//! Decides nothing: what it is made of is drawn from the source that is handed in, so that the same
//! seed makes the same organisation.

use parsec_protocol::chain::organisation::bootstrap::{Founder, found};
use parsec_protocol::chain::organisation::certificate::Profile;
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::enrol::io::{Approval, Prologue, TransportKind};
use parsec_protocol::ids::{DeviceId, Invited, OrganisationId, Timestamp, Token, UserId};
use parsec_protocol::keys::{DeviceSeed, DeviceSigningKey, DirectoryKey, Entropy, UserSeed};
use parsec_protocol::sealing::EncryptionKey;

/// Alice's address in it.
pub const EMAIL: &str = "alice@acme.example";
/// Her name.
pub const NAME: &str = "Alice";
/// What her device is called.
pub const LABEL: &str = "laptop";

/// Alice's organisation, and all that her device holds.
#[derive(Debug)]
pub struct Organisation {
    /// The log of its founding.
    pub log: VerifiedLog,
    /// Its certificates.
    pub envelopes: Vec<Vec<u8>>,
    /// Alice.
    pub user: UserId,
    /// Her device.
    pub device: DeviceId,
    /// Signs for it.
    pub signing_key: DeviceSigningKey,
    /// Seals names.
    pub directory_key: DirectoryKey,
    /// Alice's own.
    pub user_seed: UserSeed,
    /// Her device's own.
    pub device_seed: DeviceSeed,
    /// The keys that the certificates name.
    pub keys: Vec<EncryptionKey>,
}

impl Organisation {
    /// Founds it.
    ///
    /// # Panics
    /// If there is no randomness.
    #[must_use]
    pub fn found(organisation: &OrganisationId, now: Timestamp, entropy: &mut dyn Entropy) -> Self {
        let signing_key = DeviceSigningKey::random(entropy).unwrap();
        let directory_key = DirectoryKey::random(entropy).unwrap();
        let user_seed = UserSeed::random(entropy).unwrap();
        let device_seed = DeviceSeed::random(entropy).unwrap();
        let founder = Founder {
            organisation,
            email: &EMAIL.parse().unwrap(),
            name: &NAME.parse().unwrap(),
            device_label: &LABEL.parse().unwrap(),
            user_seed: &user_seed,
            device_seed: &device_seed,
            signing_key: &signing_key,
            directory_key: &directory_key,
        };
        let founded = found(&founder, now, entropy).unwrap();
        let log = VerifiedLog::empty(organisation.clone(), founded.root);
        let log = log.extended(founded.certificates.iter().map(Vec::as_slice)).unwrap();
        let (user, device) = (founded.user, founded.device);
        let (envelopes, keys) = (founded.certificates, founded.keys);
        Self { log, envelopes, user, device, signing_key, directory_key, user_seed, device_seed, keys }
    }

    /// Alice greets Bob, over the relay.
    ///
    /// # Panics
    /// Never: Bob's address is one.
    #[must_use]
    pub fn bob(&self) -> Prologue {
        Prologue {
            organisation: self.log.organisation().clone(),
            token: Token::from_bytes([7; 16]),
            invited: Invited::User("bob@acme.example".parse().unwrap()),
            greeter_user: self.user,
            greeter_device: self.device,
            transport: TransportKind::Relay,
        }
    }

    /// Alice vouches.
    #[must_use]
    pub const fn approval(&self) -> Approval<'_> {
        Approval {
            claimer_confirmed: true,
            name: None,
            device_label: None,
            profile: Profile::Standard,
            signing_key: &self.signing_key,
            directory_key: &self.directory_key,
            user_seed: &self.user_seed,
            manifest: None,
            log: &self.log,
            attempts: 1,
        }
    }
}
