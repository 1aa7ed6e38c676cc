//! A safe made by hand, item by item, in an organisation made by hand.
//!
//! Decides nothing about validity: every field can be set to something wrong before it is signed.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::convert::Infallible;

use parsec_protocol::chain::organisation::certificate::{self as org_certificate, Profile};
use parsec_protocol::ids::{SafeId, Timestamp};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::safe_log::certificate::{Body, Change, Key, Payload};
use parsec_protocol::safe_log::effects::Effects;
use parsec_protocol::safe_log::record;
use parsec_protocol::safe_log::ring::{Recipient, RingList};
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safe_log::rules::{self, Fault};
use parsec_protocol::safe_log::safe::{NotTaken, VerifiedSafe};
use parsec_protocol::safe_log::{FORMAT, SUITE};

use crate::support::{
    BEGINNING, By, Org, device, device_body, encryption_key, organisation, recovery_body, user, user_body,
};

/// Who is in the safe of [`Bench::shared`]; the numbers are those of users and of their devices.
pub const OWNER: u64 = 1;
pub const MANAGER: u64 = 2;
pub const CONTRIBUTOR: u64 = 3;
pub const READER: u64 = 4;
/// An outsider who is a reader.
pub const OUTSIDER: u64 = 5;
/// A member of the organisation who has no role in the safe.
pub const STRANGER: u64 = 6;

/// An organisation with a safe in it.
#[derive(Clone)]
pub struct Bench {
    pub org: Org,
    pub safe: VerifiedSafe,
}

/// The safe of every test.
pub fn safe_id() -> SafeId {
    SafeId::from_bytes([5; 16])
}

/// Some hash, another for each text.
pub fn hash(text: &str) -> Hash {
    Hash::of(&[text.as_bytes()])
}

/// Changes in their order.
pub fn changes(list: &[(u64, Option<Role>)]) -> Vec<Change> {
    let mut changes: Vec<Change> =
        list.iter().map(|(number, role)| Change { user: user(*number), role: *role }).collect();
    changes.sort_unstable_by_key(|change| change.user);
    changes
}

/// A *changed* without key and boxes.
pub fn changed(list: &[(u64, Option<Role>)]) -> Body {
    Body::Changed { changes: changes(list), key: None, boxes: None }
}

/// A *changed* that gives somebody a role who had none: boxes come with it.
pub fn sharing(list: &[(u64, Option<Role>)]) -> Body {
    Body::Changed { changes: changes(list), key: None, boxes: Some(hash("boxes")) }
}

impl Bench {
    /// User 0 is the administrator who vouches; users 1 to 6 have the device of their number and
    /// one of ten times it; 2 has a recovery device 200, too. There is no safe.
    pub fn empty() -> Self {
        let mut org = Org::founded();
        for number in 1..=6 {
            let profile = if number == OUTSIDER { Profile::Outsider } else { Profile::Standard };
            org.say(By::Device(0), user_body(number, profile));
            org.say(By::Device(0), device_body(number, number));
            org.say(By::Device(number), device_body(number * 10, number));
        }
        org.say(By::Device(2), recovery_body(200, 2));
        Self { org, safe: VerifiedSafe::empty(organisation(), safe_id()) }
    }

    /// User 1 has a safe.
    pub fn created() -> Self {
        let mut bench = Self::empty();
        let created = bench.creation(OWNER);
        bench.say(OWNER, created);
        bench
    }

    /// The safe has one of each role, and the outsider.
    pub fn shared() -> Self {
        let mut bench = Self::created();
        let roles = [
            (MANAGER, Some(Role::Manager)),
            (CONTRIBUTOR, Some(Role::Contributor)),
            (READER, Some(Role::Reader)),
            (OUTSIDER, Some(Role::Reader)),
        ];
        bench.say(OWNER, sharing(&roles));
        bench
    }

    /// What begins a safe of a user.
    pub fn creation(&self, owner: u64) -> Body {
        let log = &self.org.log;
        let key = log.user(&user(owner)).map_or(encryption_key(owner), |user| user.encryption_key);
        let list = RingList(vec![Recipient { user: user(owner), key }]).hash();
        Body::Created { suite: SUITE, format: FORMAT, key_check: hash("check"), list, ring: hash("ring") }
    }

    /// A right key for those who have a role after these changes.
    pub fn key_for(&self, list: &[(u64, Option<Role>)]) -> Key {
        self.key_at(list, self.org.log.count())
    }

    /// The same by somebody who has seen `n` certificates of the organisation.
    pub fn key_at(&self, list: &[(u64, Option<Role>)], n: u64) -> Key {
        let list = match rules::ring_list(&self.safe, &self.org.log, n, &changes(list)) {
            Ok(list) => list.hash(),
            Err(never) => match never {},
        };
        let epoch = self.safe.present().unwrap().key.epoch + 1;
        Key { epoch, key_check: hash("check"), list, ring: hash("ring"), lost: 0 }
    }

    /// A *changed* with a right key.
    pub fn rekey(&self, list: &[(u64, Option<Role>)]) -> Body {
        Body::Changed { changes: changes(list), key: Some(self.key_for(list)), boxes: None }
    }

    /// The next certificate by a device that has seen everything.
    pub fn payload(&self, by: u64, body: Body) -> Payload {
        let time = Timestamp(BEGINNING + self.org.log.count());
        self.safe.next_certificate(self.org.log.head(), device(by), time, body)
    }

    /// The next record by a device that has seen everything.
    pub fn record(&self, by: u64) -> record::Payload {
        let present = self.safe.present().unwrap();
        record::Payload {
            organisation: organisation(),
            safe: safe_id(),
            seq: present.journal.count + 1,
            previous: present.journal.hash,
            epoch: present.key.epoch,
            seen: self.org.log.head(),
            log: present.log,
            author: device(by),
            time: Timestamp(BEGINNING + self.org.log.count()),
            adds: Vec::new(),
            drops: Vec::new(),
            keeps: Vec::new(),
            nonce: [3; 24].into(),
            ciphertext: vec![4; 32].into(),
        }
    }

    /// Takes in a good certificate.
    #[track_caller]
    pub fn say(&mut self, by: u64, body: Body) -> Effects {
        let envelope = signed(by, &self.payload(by, body));
        let judged = self.safe.push_certificate(&envelope, &self.org.log).unwrap();
        judged.into_parts().1
    }

    /// Takes in a good record.
    #[track_caller]
    pub fn write(&mut self, by: u64) {
        let envelope = written(by, &self.record(by));
        self.safe.push_record(&envelope, &self.org.log).unwrap();
    }

    /// Takes in a certificate of the organisation.
    #[track_caller]
    pub fn org(&mut self, by: u64, body: org_certificate::Body) {
        self.org.say(By::Device(by), body);
    }

    /// Whether a new key is due for who knows all of the organisation's log.
    pub fn is_due(&self) -> bool {
        self.safe.is_due(&self.org.log, self.org.log.count())
    }

    /// Why a certificate would be refused; the safe stays as it is.
    pub fn judge(&self, envelope: &[u8]) -> Result<(), NotTaken> {
        let mut safe = self.safe.clone();
        let result = safe.push_certificate(envelope, &self.org.log).map(|_| ());
        assert!(result.is_ok() || safe == self.safe, "what is refused leaves nothing behind");
        result
    }

    /// The same of a record.
    pub fn judge_record(&self, envelope: &[u8]) -> Result<(), NotTaken> {
        let mut safe = self.safe.clone();
        let result = safe.push_record(envelope, &self.org.log).map(|_| ());
        assert!(result.is_ok() || safe == self.safe, "what is refused leaves nothing behind");
        result
    }

    /// A statement is refused by this rule.
    #[track_caller]
    pub fn refuses(&self, by: u64, body: Body, fault: Fault) {
        let envelope = signed(by, &self.payload(by, body));
        assert_eq!(self.judge(&envelope), Err(NotTaken::Fault(fault)));
    }

    /// A statement would be taken.
    #[track_caller]
    pub fn takes(&self, by: u64, body: Body) {
        assert_eq!(self.judge(&signed(by, &self.payload(by, body))), Ok(()));
    }

    /// A certificate is refused by this rule once it is changed, and was fine before.
    #[track_caller]
    pub fn refuses_change(&self, by: u64, body: Body, fault: Fault, change: impl FnOnce(&mut Payload)) {
        let mut payload = self.payload(by, body);
        assert_eq!(self.judge(&signed(by, &payload)), Ok(()), "the twin without the fault");
        change(&mut payload);
        assert_eq!(self.judge(&signed(by, &payload)), Err(NotTaken::Fault(fault)));
    }

    /// The same of a record.
    #[track_caller]
    pub fn refuses_record(&self, by: u64, fault: Fault, change: impl FnOnce(&mut record::Payload)) {
        let mut payload = self.record(by);
        assert_eq!(self.judge_record(&written(by, &payload)), Ok(()), "the twin without the fault");
        change(&mut payload);
        assert_eq!(self.judge_record(&written(by, &payload)), Err(NotTaken::Fault(fault)));
    }

    /// A record by this device is refused by this rule.
    #[track_caller]
    pub fn refuses_writer(&self, by: u64, fault: Fault) {
        assert_eq!(self.judge_record(&written(by, &self.record(by))), Err(NotTaken::Fault(fault)));
    }
}

/// Signs a certificate by a device.
pub fn signed(by: u64, payload: &Payload) -> Vec<u8> {
    payload.sign_with(|context, message| By::Device(by).sign(context, message))
}

/// Signs a record by a device.
pub fn written(by: u64, payload: &record::Payload) -> Vec<u8> {
    payload.sign_with(|context, message| By::Device(by).sign(context, message))
}

/// What can't fail.
pub fn sure<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}
