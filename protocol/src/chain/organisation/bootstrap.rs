//! Founding an organisation: the root key signs the first user and device, and is gone.
//!
//! Decides what the first two certificates say. Refuses to hand out the root's private half: it
//! lives in one function's frame and is wiped when that returns.

use minicbor::bytes::ByteVec;

use super::certificate::{Author, Body, DeviceKind, Payload, Profile};
use super::members::{NameOf, seal_name};
use crate::chain::head::Head;
use crate::ids::{DeviceId, Email, Label, OrganisationId, Timestamp, UserId};
use crate::keys::{
    DeviceSeed, DeviceSigningKey, DirectoryKey, Entropy, NoEntropy, RootSigningKey, UserSeed, random,
};
use crate::public_keys::VerifyKey;
use crate::sealing::EncryptionKey;

/// The first member, who founds the organisation.
#[derive(Debug)]
pub struct Founder<'a> {
    /// Id of the new organisation.
    pub organisation: &'a OrganisationId,
    /// Address of the first user.
    pub email: &'a Email,
    /// Name of the first user.
    pub name: &'a Label,
    /// Label of the first device.
    pub device_label: &'a Label,
    /// Opens what is sealed to the user.
    pub user_seed: &'a UserSeed,
    /// Opens what is sealed to the first device.
    pub device_seed: &'a DeviceSeed,
    /// Key that the first device signs with.
    pub signing_key: &'a DeviceSigningKey,
    /// Key that seals the names.
    pub directory_key: &'a DirectoryKey,
}

/// What an organisation begins with.
#[derive(Debug)]
pub struct Founded {
    /// Root key, which every member pins.
    pub root: VerifyKey,
    /// Id of the first user.
    pub user: UserId,
    /// Id of the first device.
    pub device: DeviceId,
    /// Envelopes of the two certificates.
    pub certificates: Vec<Vec<u8>>,
    /// The keys that they name, in that order.
    pub keys: Vec<EncryptionKey>,
}

/// Draws the root key and ids, signs, drops the root key.
///
/// # Errors
/// [`NoEntropy`].
pub fn found(founder: &Founder<'_>, now: Timestamp, entropy: &mut dyn Entropy) -> Result<Founded, NoEntropy> {
    let root_key = RootSigningKey::random(entropy)?;
    let root = root_key.verify_key();
    let user = UserId::from_bytes(random(entropy)?);
    let device = DeviceId::from_bytes(random(entropy)?);
    let Founder {
        organisation,
        email,
        name,
        device_label,
        user_seed,
        device_seed,
        signing_key,
        directory_key,
    } = *founder;
    let (user_key, device_key) = (user_seed.encryption_key(), device_seed.encryption_key());

    let mut seen = Head::empty(organisation, &root);
    let mut sign = |body: Body| {
        let payload =
            Payload { organisation: organisation.clone(), author: Author::Root, time: now, seen, body };
        let envelope = payload.sign_with(|context, message| root_key.sign(context, message));
        seen = seen.after(&envelope);
        envelope
    };
    let sealed_name = seal_name(directory_key, organisation, NameOf::User(user), name, entropy)?;
    let sealed_label = seal_name(directory_key, organisation, NameOf::Device(device), device_label, entropy)?;
    let certificates = vec![
        sign(Body::User {
            user,
            email: email.clone(),
            sealed_name: ByteVec::from(sealed_name),
            encryption_key: user_key.hash(),
            profile: Profile::Administrator,
        }),
        sign(Body::Device {
            device,
            user,
            sealed_label: ByteVec::from(sealed_label),
            verify_key: signing_key.verify_key(),
            encryption_key: device_key.hash(),
            kind: DeviceKind::Device,
        }),
    ];
    Ok(Founded { root, user, device, certificates, keys: vec![user_key, device_key] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::organisation::log::VerifiedLog;
    use crate::chain::organisation::members::open_name;

    struct Counter(u8);
    impl Entropy for Counter {
        fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
            for byte in bytes {
                *byte = self.0;
                self.0 = self.0.wrapping_add(7);
            }
            Ok(())
        }
    }

    #[test]
    fn a_founding_verifies_and_says_who() {
        let entropy = &mut Counter(1);
        let directory_key = DirectoryKey::random(entropy).unwrap();
        let (user_seed, device_seed) =
            (UserSeed::random(entropy).unwrap(), DeviceSeed::random(entropy).unwrap());
        let signing_key = DeviceSigningKey::random(entropy).unwrap();
        let organisation: OrganisationId = "acme".parse().unwrap();
        let founder = Founder {
            organisation: &organisation,
            email: &"alice@acme.test".parse().unwrap(),
            name: &"Alice".parse().unwrap(),
            device_label: &"laptop".parse().unwrap(),
            user_seed: &user_seed,
            device_seed: &device_seed,
            signing_key: &signing_key,
            directory_key: &directory_key,
        };
        let founded = found(&founder, Timestamp(5), entropy).unwrap();
        let log = VerifiedLog::empty(organisation.clone(), founded.root)
            .extended(founded.certificates.iter().map(Vec::as_slice))
            .unwrap();
        let user = log.user(&founded.user).unwrap();
        let device = log.device(&founded.device).unwrap();
        assert_eq!(
            (user.profile, user.encryption_key),
            (Profile::Administrator, user_seed.encryption_key().hash())
        );
        assert_eq!((device.user, device.verify_key), (founded.user, signing_key.verify_key()));
        assert_eq!(device.encryption_key, device_seed.encryption_key().hash());
        let name = open_name(&directory_key, &organisation, NameOf::User(founded.user), &user.sealed_name);
        let label =
            open_name(&directory_key, &organisation, NameOf::Device(founded.device), &device.sealed_label);
        assert_eq!((name, label), (Some("Alice".parse().unwrap()), Some("laptop".parse().unwrap())));
        assert_eq!(log.head().count, 2);
        let shown = format!("{founder:?}");
        assert!(shown.contains("UserSeed(..)") && shown.contains("DeviceSigningKey(..)"));
    }
}
