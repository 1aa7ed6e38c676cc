//! An organisation made by hand, certificate by certificate, so that each test can break exactly
//! one thing.
//!
//! Decides nothing about validity: every field can be set to something wrong before it is signed.
//! Everything is drawn from a seed, so that the same test makes the same bytes.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::certificate::{
    Author, Body, DeviceKind, ManifestMark, Payload, Profile, SEALED_NAME_BYTES,
};
use parsec_protocol::chain::organisation::log::{LogError, VerifiedLog};
use parsec_protocol::chain::organisation::rules::Fault;
use parsec_protocol::ids::{DeviceId, Email, OrganisationId, Timestamp, UserId};
use parsec_protocol::keys::{DeviceSigningKey, Entropy, NoEntropy, RootSigningKey};
use parsec_protocol::public_keys::{Context, Hash, Signature, VerifyKey};
use parsec_protocol::sealing::KeyHash;

/// The organisation of every test.
pub const ORGANISATION: &str = "acme";
/// When the organisation is founded.
pub const BEGINNING: u64 = 1_700_000_000_000_000;

/// SHA-256 of the seed and a counter: as good as random, and the same each time.
pub struct Seed(pub u64);

impl Entropy for Seed {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        for chunk in bytes.chunks_mut(32) {
            self.0 += 1;
            let block = Hash::of(&[b"parsec test entropy", &self.0.to_be_bytes()]);
            chunk.copy_from_slice(&block.as_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// A number below `end`, as the seed has it.
pub fn draw(seed: &mut Seed, end: usize) -> usize {
    let mut bytes = [0; 8];
    seed.fill(&mut bytes).unwrap();
    usize::try_from(u64::from_be_bytes(bytes) % end as u64).unwrap()
}

/// How many: as usual, or as a full run (`PARSEC_FULL=1`, `cargo xtask checks --full`) takes.
pub fn runs(usual: u64, full: u64) -> u64 {
    if is_full() { full } else { usual }
}

/// Whether the long figures were asked for.
pub fn is_full() -> bool {
    std::env::var_os("PARSEC_FULL").is_some_and(|value| value == "1")
}

/// The organisation's id.
pub fn organisation() -> OrganisationId {
    ORGANISATION.parse().unwrap()
}

/// A signing key of its own for each number.
pub fn signing_key(number: u64) -> DeviceSigningKey {
    DeviceSigningKey::from_bytes(
        &mut Hash::of(&[b"signing key", &number.to_be_bytes()]).as_bytes().to_owned(),
    )
}

/// The root key of a number.
pub fn root_key(number: u64) -> RootSigningKey {
    RootSigningKey::from_bytes(&mut Hash::of(&[b"root key", &number.to_be_bytes()]).as_bytes().to_owned())
}

/// The hash of a user's key, one of its own for each number. A log holds hashes alone, and can't
/// tell what is behind one; so nothing is behind these.
pub fn encryption_key(number: u64) -> KeyHash {
    KeyHash::from_bytes(*Hash::of(&[b"user key", &number.to_be_bytes()]).as_bytes())
}

/// The same of a device.
pub fn device_encryption_key(number: u64) -> KeyHash {
    KeyHash::from_bytes(*Hash::of(&[b"device key", &number.to_be_bytes()]).as_bytes())
}

/// The user of a number.
pub fn user(number: u64) -> UserId {
    UserId::from_bytes(Hash::of(&[b"user", &number.to_be_bytes()]).as_bytes()[..16].try_into().unwrap())
}

/// The device of a number.
pub fn device(number: u64) -> DeviceId {
    DeviceId::from_bytes(Hash::of(&[b"device", &number.to_be_bytes()]).as_bytes()[..16].try_into().unwrap())
}

/// The address of a number.
pub fn email(number: u64) -> Email {
    format!("member{number}@acme.test").parse().unwrap()
}

/// A user certificate's body for a number.
pub fn user_body(number: u64, profile: Profile) -> Body {
    Body::User {
        user: user(number),
        email: email(number),
        sealed_name: vec![7; SEALED_NAME_BYTES].into(),
        encryption_key: encryption_key(number),
        profile,
    }
}

/// A device certificate's body: device `number` of user `owner`, with signing key `number`.
pub fn device_body(number: u64, owner: u64) -> Body {
    Body::Device {
        device: device(number),
        user: user(owner),
        sealed_label: vec![8; SEALED_NAME_BYTES].into(),
        verify_key: signing_key(number).verify_key(),
        encryption_key: device_encryption_key(number),
        kind: DeviceKind::Device,
    }
}

/// The same for a recovery device.
pub fn recovery_body(number: u64, owner: u64) -> Body {
    let mut body = device_body(number, owner);
    if let Body::Device { kind, .. } = &mut body {
        *kind = DeviceKind::Recovery;
    }
    body
}

/// Names are sealed with the directory key of this number from here on.
pub fn directory_body(number: u32) -> Body {
    let hash = |what: &[u8]| Hash::of(&[what, &number.to_be_bytes()]);
    Body::DirectoryKeyChanged { number, key_check: hash(b"check"), ring: hash(b"ring") }
}

/// User `owner` changes from the key of one number to that of another, and abandons nobody.
pub fn key_change(owner: u64, previous: u64, next: u64) -> Body {
    Body::UserKeyChanged {
        user: user(owner),
        previous: encryption_key(previous),
        encryption_key: encryption_key(next),
        manifest: None,
        abandoned: Vec::new(),
    }
}

/// The same with the manifest that its author had verified, and devices that never came.
pub fn key_change_with(change: Body, mark: Option<ManifestMark>, mut devices: Vec<DeviceId>) -> Body {
    let mut body = change;
    if let Body::UserKeyChanged { manifest, abandoned, .. } = &mut body {
        *manifest = mark;
        abandoned.append(&mut devices);
    }
    body
}

/// Ids of devices that no log has, ascending.
pub fn abandoned(numbers: std::ops::Range<u64>) -> Vec<DeviceId> {
    let mut ids: Vec<DeviceId> = numbers.map(device).collect();
    ids.sort_unstable();
    ids
}

/// Who signs in a test.
#[derive(Debug, Clone, Copy)]
pub enum By {
    /// The root key of number 0.
    Root,
    /// The device of a number.
    Device(u64),
}

impl By {
    /// As it stands in the certificate.
    pub fn author(self) -> Author {
        match self {
            Self::Root => Author::Root,
            Self::Device(number) => Author::Device(device(number)),
        }
    }

    /// With the author's own key.
    pub fn sign(self, context: Context, message: &[u8]) -> Signature {
        match self {
            Self::Root => root_key(0).sign(context, message),
            Self::Device(number) => signing_key(number).sign(context, message),
        }
    }
}

/// A log that grows by good certificates.
#[derive(Clone)]
pub struct Org {
    /// What stands in it.
    pub envelopes: Vec<Vec<u8>>,
    /// It, verified.
    pub log: VerifiedLog,
}

impl Org {
    /// Nothing in it; the root is number 0.
    pub fn empty() -> Self {
        Self { envelopes: Vec::new(), log: VerifiedLog::empty(organisation(), root_key(0).verify_key()) }
    }

    /// User 0, an administrator, with device 0.
    pub fn founded() -> Self {
        let mut org = Self::empty();
        org.say(By::Root, user_body(0, Profile::Administrator));
        org.say(By::Root, device_body(0, 0));
        org
    }

    /// The usual cast. Users: 0 and 1 administrators, 2 standard, 3 outsider, 4 revoked (an
    /// administrator before). Each has the device of the same number; user 2 also has device 20,
    /// user 0 also device 10, which is revoked.
    pub fn staffed() -> Self {
        let mut org = Self::founded();
        for (number, profile) in [
            (1, Profile::Administrator),
            (2, Profile::Standard),
            (3, Profile::Outsider),
            (4, Profile::Administrator),
        ] {
            org.say(By::Device(0), user_body(number, profile));
            org.say(By::Device(0), device_body(number, number));
        }
        org.say(By::Device(2), device_body(20, 2));
        org.say(By::Device(0), device_body(10, 0));
        org.say(By::Device(0), Body::DeviceRevoked { device: device(10) });
        org.say(By::Device(0), Body::UserRevoked { user: user(4) });
        org
    }

    /// The next certificate as an honest author makes it.
    pub fn payload(&self, by: By, body: Body) -> Payload {
        let time = Timestamp(BEGINNING + self.log.head().count);
        Payload { organisation: organisation(), author: by.author(), time, seen: self.log.head(), body }
    }

    /// Makes and appends a good certificate.
    pub fn say(&mut self, by: By, body: Body) {
        let envelope = envelope(by, &self.payload(by, body));
        self.log.push(&envelope).unwrap();
        self.envelopes.push(envelope);
    }

    /// The rule that the next envelope breaks. The log must stay as it is.
    pub fn fault(&self, envelope: &[u8]) -> Result<(), Fault> {
        let before = self.log.head();
        let mut log = self.log.clone();
        let result = log.push(envelope);
        assert_eq!(self.log.extended([envelope]).map(|_| ()), result, "push and extended must agree");
        match result {
            Ok(()) => Ok(()),
            Err(LogError { position, fault }) => {
                assert_eq!(position, before.count, "the position names the certificate");
                assert_eq!(log.head(), before, "a refused certificate must leave nothing behind");
                Err(fault)
            }
        }
    }
}

/// Signs a payload.
pub fn envelope(by: By, payload: &Payload) -> Vec<u8> {
    payload.sign_with(|context, message| by.sign(context, message))
}

/// Reads a whole log.
pub fn read<'a>(envelopes: impl IntoIterator<Item = &'a Vec<u8>>) -> Result<VerifiedLog, LogError> {
    Org::empty().log.extended(envelopes.into_iter().map(Vec::as_slice))
}

/// A point of the Ed25519 curve whose order is small: the identity.
pub fn weak_verify_key() -> VerifyKey {
    let mut bytes = [0; 32];
    bytes[0] = 1;
    VerifyKey::from_bytes(bytes)
}

/// Some head that no log of these tests has.
pub fn foreign_head(count: u64) -> Head {
    Head { count, hash: Hash::of(&[b"another log"]) }
}

/// `bad` breaks `fault` in `org`, where `good` is accepted.
#[track_caller]
pub fn refused(org: &Org, fault: Fault, bad: &[u8], good: &[u8]) {
    assert_eq!(org.fault(good), Ok(()), "the twin without the fault");
    assert_eq!(org.fault(bad), Err(fault));
}

/// The same for two statements by the same author.
#[track_caller]
pub fn refused_body(org: &Org, by: By, fault: Fault, bad: Body, good: Body) {
    refused(org, fault, &envelope(by, &org.payload(by, bad)), &envelope(by, &org.payload(by, good)));
}

/// The same for one statement by two authors.
#[track_caller]
pub fn refused_author(org: &Org, fault: Fault, bad: By, good: By, body: Body) {
    refused(
        org,
        fault,
        &envelope(bad, &org.payload(bad, body.clone())),
        &envelope(good, &org.payload(good, body)),
    );
}

/// The same for a payload that is changed before it is signed.
#[track_caller]
pub fn refused_change(org: &Org, by: By, fault: Fault, change: impl FnOnce(&mut Payload)) {
    let good = org.payload(by, device_body(99, by_user(by)));
    let mut bad = good.clone();
    change(&mut bad);
    assert_ne!(bad, good);
    refused(org, fault, &envelope(by, &bad), &envelope(by, &good));
}

/// In these tests a device has its user's number, or ten times it.
pub fn by_user(by: By) -> u64 {
    match by {
        By::Device(20) => 2,
        By::Device(number) => number,
        By::Root => 0,
    }
}

/// A standard member's certificate.
pub fn standard(number: u64) -> Body {
    user_body(number, Profile::Standard)
}
