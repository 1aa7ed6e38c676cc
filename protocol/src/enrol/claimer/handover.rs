//! The checks of message 7, in the order of docs/protocol.md (*Message 7*).
//!
//! Decides whether what the greeter hands over is what the claimer asked for, and whether it hangs
//! together up to the root key that the codes covered. Refuses a single byte that doesn't fit: the
//! claimer is about to trust all of it for years.

use crate::chain::batch::Sequential;
use crate::chain::head::Head;
use crate::chain::organisation::certificate::{
    Author, Body, DeviceKind, Envelope, ManifestMark, Payload, Profile,
};
use crate::chain::organisation::log::VerifiedLog;
use crate::chain::organisation::members::{NameOf, open_name};
use crate::claim_receipt::ClaimReceipt;
use crate::directory::check_handed;
use crate::enrol::boxes;
use crate::enrol::io::{Closed, NewDevice, Prologue};
use crate::enrol::messages::Handover;
use crate::enrol::proofs::RootCovered;
use crate::ids::{DeviceId, Email, Invited, Label, UserId};
use crate::keys::{DeviceSeed, DeviceSigningKey, LocalStoreKey, UserSeed};
use crate::limits::LOG_MAX_CERTIFICATES;
use crate::name_keys::DirectoryKeys;
use crate::public_keys::{Hash, VerifyKey};
use crate::sealing::KeyHash;

/// A log begins with two certificates, so nobody who could greet has seen fewer.
pub(super) const SEEN_MIN: u64 = 2;
/// Something in message 7 isn't what was asked for.
pub(super) const UNFIT: Closed = Closed::BadMessage { step: 7 };

/// What the claimer drew for its claim. The user's seed is there for a new user; a new device is
/// given its user's.
pub(super) struct KeysOfClaim {
    pub(super) signing: DeviceSigningKey,
    pub(super) store: LocalStoreKey,
    pub(super) device: DeviceSeed,
    pub(super) user: Option<UserSeed>,
    /// What the claim says of both: their public keys.
    pub(super) named: Named,
}

/// The hashes of the keys that were claimed: certificates name keys so.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named {
    pub(super) device: KeyHash,
    /// Of a new user.
    pub(super) user: Option<KeyHash>,
}

/// Message 7 after the checks that need no log, with the claimer's own keys.
pub(super) struct Received {
    user: UserId,
    device: DeviceId,
    email: Email,
    name: Label,
    device_label: Label,
    profile: Profile,
    root: VerifyKey,
    directory_keys: DirectoryKeys,
    seen: Head,
    certificates: Vec<Vec<u8>>,
    manifest: Option<ManifestMark>,
    signing_key: DeviceSigningKey,
    store_key: LocalStoreKey,
    user_seed: UserSeed,
    device_seed: DeviceSeed,
    named: Named,
    opened: Hash,
    first_device: bool,
}

/// Checks message 7 against what was asked for: organisation, e-mail or user id, the claimer's own
/// keys, the number of certificates, the names as they are sealed.
///
/// # Errors
/// [`Closed::BadMessage`].
pub(super) fn read(
    prologue: &Prologue,
    keys: KeysOfClaim,
    handover: Handover,
    handshake: &Hash,
    _: RootCovered,
) -> Result<Received, Closed> {
    let Handover {
        user,
        device,
        email,
        name,
        device_label,
        profile,
        root,
        seen,
        certificates,
        manifest,
        secrets,
        challenges,
    } = handover;
    let KeysOfClaim { signing, store, device: device_seed, user: own, named } = keys;
    let found = boxes::open(handshake, &device_seed, own.as_ref(), &secrets, &challenges);
    let boxes::Found { directory_keys, user_seed: handed, opened } = found.map_err(|_| UNFIT)?;
    let first_device = own.is_some();
    let user_seed = match (own, handed) {
        (Some(seed), None) | (None, Some(seed)) => seed,
        (Some(_), Some(_)) | (None, None) => return Err(UNFIT),
    };
    let received = Received {
        user,
        device,
        email,
        name,
        device_label,
        profile,
        root,
        directory_keys,
        seen,
        certificates: certificates.into_iter().map(Vec::from).collect(),
        manifest,
        signing_key: signing,
        store_key: store,
        user_seed,
        device_seed,
        named,
        opened,
        first_device,
    };
    let fits = match (&prologue.invited, received.certificates.as_slice()) {
        (Invited::User(invited), [of_user, of_device]) => {
            received.email == *invited
                && received.manifest.is_none()
                && received.is_own_user(prologue, of_user)
                && received.is_own_device(prologue, of_device)
        }
        (Invited::Device(invited), [of_device]) => {
            // A person greets their own devices: nobody else should have the keys that are handed
            // over.
            prologue.greeter_user == *invited
                && received.user == *invited
                && received.is_own_device(prologue, of_device)
        }
        (Invited::User(_) | Invited::Device(_) | Invited::Share(..), _) => false,
    };
    if fits && (SEEN_MIN..=LOG_MAX_CERTIFICATES).contains(&received.seen.count) {
        Ok(received)
    } else {
        Err(UNFIT)
    }
}

impl Received {
    /// How much of the log the greeter had seen.
    pub(super) const fn seen_count(&self) -> u64 {
        self.seen.count
    }

    /// What a certificate says, if it belongs to this ceremony. Its signature is checked with the
    /// log.
    fn body(&self, prologue: &Prologue, envelope: &[u8]) -> Option<Body> {
        let Payload { organisation, author, time: _, seen, body } =
            Envelope::decode(envelope).ok()?.payload().ok()?;
        let fits = organisation == prologue.organisation
            && author == Author::Device(prologue.greeter_device)
            && seen == self.seen;
        fits.then_some(body)
    }

    fn is_own_user(&self, prologue: &Prologue, envelope: &[u8]) -> bool {
        let Some(Body::User { user, email, sealed_name, encryption_key, profile }) =
            self.body(prologue, envelope)
        else {
            return false;
        };
        user == self.user
            && email == self.email
            && profile == self.profile
            && Some(encryption_key) == self.named.user
            && self.is_sealed(prologue, NameOf::User(user), &sealed_name, &self.name)
    }

    fn is_own_device(&self, prologue: &Prologue, envelope: &[u8]) -> bool {
        let Some(Body::Device { device, user, sealed_label, verify_key, encryption_key, kind }) =
            self.body(prologue, envelope)
        else {
            return false;
        };
        kind == DeviceKind::Device
            && encryption_key == self.named.device
            && device == self.device
            && user == self.user
            && verify_key == self.signing_key.verify_key()
            && self.is_sealed(prologue, NameOf::Device(device), &sealed_label, &self.device_label)
    }

    fn is_sealed(&self, prologue: &Prologue, whose: NameOf, sealed: &[u8], name: &Label) -> bool {
        open_name(&self.directory_keys, &prologue.organisation, whose, sealed).as_ref() == Some(name)
    }

    /// Checks the log as far as the greeter had seen it, what it says about greeter and user, then
    /// the new certificates on top of it.
    ///
    /// # Errors
    /// [`Closed::ChainInvalid`]; [`Closed::BadMessage`] if the user keys are not those of the
    /// certified user, or a directory key is not the one that the log names.
    pub(super) fn verify(self, prologue: &Prologue, log: Vec<Vec<u8>>) -> Result<Verified, Closed> {
        let mut chain = VerifiedLog::empty(prologue.organisation.clone(), self.root);
        // Not more than asked for: the rest would be work without use, ordered by a server.
        if log.len() as u64 != self.seen.count {
            return Err(Closed::ChainInvalid);
        }
        chain.extend_with(&log, &Sequential).map_err(|_| Closed::ChainInvalid)?;
        if chain.head() != self.seen || !is_greeter(&chain, prologue) {
            return Err(Closed::ChainInvalid);
        }
        if !self.first_device {
            self.check_user(&chain, prologue)?;
        }
        check_handed(&chain, &self.directory_keys).map_err(|_| UNFIT)?;
        let on_top = self.certificates.iter().try_for_each(|envelope| chain.push(envelope));
        on_top.map_err(|_| Closed::ChainInvalid)?;
        Ok(Verified { received: self, log })
    }

    /// For a new device: the user is the one in the log, under the name and with the key that
    /// stand there.
    fn check_user(&self, chain: &VerifiedLog, prologue: &Prologue) -> Result<(), Closed> {
        let record = chain.user(&self.user).ok_or(Closed::ChainInvalid)?;
        let fits = record.email == self.email
            && record.profile == self.profile
            && record.encryption_key == self.user_seed.encryption_key().hash()
            && self.is_sealed(prologue, NameOf::User(record.user), &record.sealed_name, &self.name);
        if fits { Ok(()) } else { Err(UNFIT) }
    }
}

/// Whether the log knows the greeter of the prologue as that user's device.
fn is_greeter(chain: &VerifiedLog, prologue: &Prologue) -> bool {
    // A recovery kit greets nobody.
    chain
        .device(&prologue.greeter_device)
        .is_some_and(|device| device.user == prologue.greeter_user && device.kind == DeviceKind::Device)
}

/// Message 7, and the log that bears it out. Made by [`Received::verify`] alone.
pub(super) struct Verified {
    received: Received,
    log: Vec<Vec<u8>>,
}

impl Verified {
    /// Signs the receipt; with it, everything the device needs from here on.
    pub(super) fn into_device(self, prologue: &Prologue, handshake: Hash, typed_codes: bool) -> NewDevice {
        let Self { received, log } = self;
        let certified = received.certificates.iter().map(|bytes| Hash::of(&[bytes])).collect();
        let receipt =
            ClaimReceipt::sign(&received.signing_key, handshake, certified, received.root, received.opened);
        NewDevice {
            organisation: prologue.organisation.clone(),
            user: received.user,
            device: received.device,
            email: received.email,
            name: received.name,
            device_label: received.device_label,
            profile: received.profile,
            root: received.root,
            typed_codes,
            user_seed: received.user_seed,
            device_seed: received.device_seed,
            manifest: received.manifest,
            signing_key: received.signing_key,
            store_key: received.store_key,
            directory_keys: received.directory_keys,
            seen: received.seen,
            log,
            certificates: received.certificates,
            receipt,
            first_device: received.first_device,
        }
    }
}
