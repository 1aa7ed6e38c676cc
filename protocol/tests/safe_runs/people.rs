//! The organisation of a run: people with devices and keys that are real, and what happens to them.
//!
//! Decides nothing about safes. Boxes are sealed to these keys and opened by them: a device that
//! was revoked has none that came later.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::LazyLock;

use parsec_protocol::chain::organisation::certificate::{Body, Profile, SEALED_NAME_BYTES};
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::ids::{DeviceId, UserId};
use parsec_protocol::keys::UserSeed;
use parsec_protocol::sealing::{EncryptionKey, KeyHash};

use crate::support::{By, Org, Seed, device, device_body, email, user};

/// Keys of users in any run: a run that wants more changes no key any more.
const KEYS: u64 = 24;

/// Made once: the same in each run.
static ALL: LazyLock<Vec<(UserSeed, EncryptionKey, KeyHash)>> = LazyLock::new(|| {
    let made = |number: u64| {
        let seed = UserSeed::random(&mut Seed(number << 32)).unwrap();
        let key = seed.encryption_key();
        let hash = key.hash();
        (seed, key, hash)
    };
    (0..KEYS).map(made).collect()
});

/// The hash of the key of a number.
fn hash_of(number: u64) -> KeyHash {
    ALL[usize::try_from(number).unwrap()].2
}

/// Seed and key of a hash.
pub fn key_of(hash: KeyHash) -> &'static (UserSeed, EncryptionKey, KeyHash) {
    ALL.iter().find(|(_, _, known)| *known == hash).unwrap()
}

/// 64 bits that the seed and nothing else decides (splitmix64).
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }

    pub fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub fn of<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        all.get(self.below(all.len())).cloned()
    }
}

/// One person.
#[derive(Clone)]
pub struct Person {
    /// Numbers of the devices, revoked ones included.
    pub devices: Vec<u64>,
    /// Number of the present key.
    key: u64,
    /// Whether the safe was taken, on one device and so on all of them.
    pub accepted: bool,
}

/// Everybody, and the log that says so.
pub struct Organisation {
    org: Org,
    /// The log after so many certificates.
    logs: Vec<Rc<VerifiedLog>>,
    /// By number. 0 is the administrator who vouches, and is in no safe.
    pub people: BTreeMap<u64, Person>,
    next_key: u64,
    next_device: u64,
    /// Revocations that may still come: a run in which nobody is left says little.
    revocations: u32,
}

impl Organisation {
    /// These people, each with devices of these numbers.
    pub fn of(cast: &[(u64, &[u64])]) -> Self {
        let mut organisation = Self {
            org: Org::founded(),
            logs: Vec::new(),
            people: BTreeMap::new(),
            next_key: 10,
            next_device: 100,
            revocations: 2,
        };
        for (number, devices) in cast {
            let body = Body::User {
                user: user(*number),
                email: email(*number),
                sealed_name: vec![7; SEALED_NAME_BYTES].into(),
                encryption_key: hash_of(*number),
                profile: Profile::Standard,
            };
            organisation.org.say(By::Device(0), body);
            let mut by = 0;
            for device in *devices {
                organisation.org.say(By::Device(by), device_body(*device, *number));
                by = *device;
            }
            let person = Person { devices: devices.to_vec(), key: *number, accepted: false };
            organisation.people.insert(*number, person);
        }
        let now = Rc::new(organisation.org.log.clone());
        organisation.logs = std::iter::repeat_n(now, organisation.org.envelopes.len() + 1).collect();
        organisation
    }

    /// Certificates of the log.
    pub fn count(&self) -> u64 {
        self.org.log.count()
    }

    /// The log after so many certificates.
    pub fn at(&self, count: u64) -> Rc<VerifiedLog> {
        Rc::clone(&self.logs[usize::try_from(count).unwrap()])
    }

    /// The whole log.
    pub fn log(&self) -> &VerifiedLog {
        &self.org.log
    }

    fn say(&mut self, by: u64, body: Body) {
        self.org.say(By::Device(by), body);
        self.logs.push(Rc::new(self.org.log.clone()));
    }

    /// Whose device it is.
    pub fn owner(&self, number: u64) -> u64 {
        let has = |(_, person): &(&u64, &Person)| person.devices.contains(&number);
        *self.people.iter().find(has).unwrap().0
    }

    /// The number of a user.
    pub fn number_of(&self, id: &UserId) -> u64 {
        *self.people.keys().find(|number| user(**number) == *id).unwrap()
    }

    /// Whether a device is one that the server listens to.
    pub fn counts(&self, id: &DeviceId) -> bool {
        let log = self.log();
        log.device(id).is_some_and(|found| {
            found.revoked.is_none() && log.user(&found.user).is_some_and(|user| user.revoked.is_none())
        })
    }

    /// Something happens to a member; what.
    pub fn event(&mut self, rng: &mut Rng) -> Option<&'static str> {
        let numbers: Vec<u64> = self.people.keys().copied().collect();
        let number = rng.of(&numbers)?;
        let person = self.people[&number].clone();
        let live: Vec<u64> =
            person.devices.iter().copied().filter(|number| self.counts(&device(*number))).collect();
        let revoked = self.log().user(&user(number))?.revoked.is_some();
        match rng.below(8) {
            0 | 1 if self.revocations > 0 && !live.is_empty() => {
                self.revocations -= 1;
                self.say(0, Body::DeviceRevoked { device: device(rng.of(&live)?) });
                Some("device revoked")
            }
            2 if self.revocations > 0 && !revoked => {
                self.revocations -= 1;
                self.say(0, Body::UserRevoked { user: user(number) });
                Some("user revoked")
            }
            3 if !revoked => {
                let outsider = self.log().user(&user(number))?.profile == Profile::Outsider;
                let profile = if outsider { Profile::Standard } else { Profile::Outsider };
                self.say(0, Body::ProfileChange { user: user(number), profile });
                Some("profile changed")
            }
            4 | 5 if !live.is_empty() => self.change_key(number).then_some("key changed"),
            _ => None,
        }
    }

    /// A user's daemon gives its user another key: by itself, once a device of theirs was revoked.
    pub fn change_key(&mut self, number: u64) -> bool {
        let person = self.people[&number].clone();
        let live = person.devices.iter().copied().find(|number| self.counts(&device(*number)));
        let Some(by) = live.filter(|_| self.next_key < KEYS) else { return false };
        let body = Body::UserKeyChanged {
            user: user(number),
            previous: hash_of(person.key),
            encryption_key: hash_of(self.next_key),
            manifest: None,
            abandoned: Vec::new(),
        };
        self.say(by, body);
        self.people.get_mut(&number).unwrap().key = self.next_key;
        self.next_key += 1;
        true
    }

    /// Another device of somebody; its number.
    pub fn enrol(&mut self, number: u64) -> Option<u64> {
        let devices = &self.people[&number].devices;
        // Who has one vouches for the next; the first is vouched for by whoever greets.
        let by = match devices.iter().copied().find(|number| self.counts(&device(*number))) {
            Some(own) => own,
            None if devices.is_empty() && self.log().user(&user(number))?.revoked.is_none() => 0,
            None => return None,
        };
        self.next_device += 1;
        let new = self.next_device;
        self.say(by, device_body(new, number));
        self.people.get_mut(&number)?.devices.push(new);
        Some(new)
    }

    /// Seeds that a device may have: those of its user's keys up to its revocation.
    pub fn seed(&self, number: u64, wanted: KeyHash, known: u64) -> Option<&'static UserSeed> {
        let log = self.at(known);
        let found = log.device(&device(number))?;
        let user = log.user(&found.user)?;
        // A key that came after the device's revocation is sealed to the others alone.
        let has = user.keys.iter().any(|record| record.key == wanted) && self.counts(&device(number));
        has.then(|| &key_of(wanted).0)
    }
}
