//! Whatever members say, in whatever order: what an accepted log promises holds after every
//! certificate.
//!
//! Members chosen at random make statements chosen at random, well signed and with an honest view.
//! Most are refused; after each one that is accepted the promises below are checked against the
//! records.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use parsec_protocol::chain::organisation::certificate::{Author, Body, DeviceKind, Profile};
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::chain::organisation::path::{Start, chain};
use parsec_protocol::ids::{DeviceId, UserId};
use support::{
    By, Org, Seed, abandoned, device, device_body, directory_body, encryption_key, envelope, recovery_body,
    user, user_body,
};

/// Logs grown, and statements tried in each.
const LOGS: u64 = 12;
const STATEMENTS: usize = 1_200;
/// People and devices there can be: few, so that they meet often.
const CAST: u64 = 12;

fn draw(seed: &mut Seed, end: u64) -> u64 {
    support::draw(seed, usize::try_from(end).unwrap()) as u64
}

fn statement(seed: &mut Seed, org: &Org, by: u64) -> Body {
    let profiles = [Profile::Administrator, Profile::Administrator, Profile::Standard, Profile::Outsider];
    let profile = profiles[usize::try_from(draw(seed, 4)).unwrap()];
    let (one, other) = (draw(seed, CAST), draw(seed, CAST));
    // Enrolments more often than the rest, or everybody is soon revoked.
    match draw(seed, 16) {
        0..=3 => user_body(one, profile),
        4..=8 => device_body(one, if draw(seed, 2) == 0 { one } else { other }),
        9 => Body::ProfileChange { user: user(one), profile },
        10 => Body::UserRevoked { user: user(one) },
        11 => Body::DeviceRevoked { device: device(one) },
        // More of these than there can be devices: ids and keys begin where the cast ends.
        12 => recovery_body(CAST + one, other),
        13 => device_body(CAST + one, other),
        // The next number, or one beside it.
        14 => directory_body(
            org.log.directory_keys().last().map_or(1, |key| key.number) + u32::from(draw(seed, 4) > 0),
        ),
        _ => {
            let mine = org.log.device(&device(by)).map_or(user(one), |device| device.user);
            let whose = if draw(seed, 4) == 0 { user(one) } else { mine };
            let present = org.log.user(&whose).map_or(encryption_key(one), |user| user.encryption_key);
            let previous = if draw(seed, 4) == 0 { encryption_key(other) } else { present };
            let first = draw(seed, 3 * CAST);
            Body::UserKeyChanged {
                user: whose,
                previous,
                encryption_key: encryption_key(draw(seed, 8 * CAST)),
                manifest: None,
                abandoned: if draw(seed, 2) == 0 {
                    abandoned(first..first + draw(seed, 3))
                } else {
                    Vec::new()
                },
            }
        }
    }
}

fn kind(body: &Body) -> usize {
    match body {
        Body::User { .. } => 0,
        Body::Device { .. } => 1,
        Body::ProfileChange { .. } => 2,
        Body::UserRevoked { .. } => 3,
        Body::DeviceRevoked { .. } => 4,
        Body::UserKeyChanged { .. } => 5,
        Body::DirectoryKeyChanged { .. } => 6,
    }
}

fn check(log: &VerifiedLog) {
    // Somebody can always go on: an administrator and a device of theirs, neither revoked.
    assert!(log.devices().any(|device| {
        let owner = log.user(&device.user).unwrap();
        device.revoked.is_none() && owner.revoked.is_none() && owner.profile == Profile::Administrator
    }));
    // A revoked person has no trusted device.
    for device in log.devices() {
        assert!(log.user(&device.user).unwrap().revoked.is_none() || device.revoked.is_some());
    }
    // One address, one member; one key, one owner, for ever.
    let all = |count: usize, set: usize| assert_eq!(count, set);
    let members: Vec<_> = log.users().filter(|user| user.revoked.is_none()).map(|user| &user.email).collect();
    all(members.len(), members.iter().collect::<BTreeSet<_>>().len());
    let of_users = log.users().flat_map(|user| user.keys.iter().map(|key| key.key));
    let keys: Vec<_> = of_users.chain(log.devices().map(|device| device.encryption_key)).collect();
    all(keys.len(), keys.iter().collect::<BTreeSet<_>>().len());
    let keys: Vec<_> = log.devices().map(|device| device.verify_key).collect();
    all(keys.len(), keys.iter().collect::<BTreeSet<_>>().len());
    assert!(!keys.contains(log.root()));
    // A recovery device has let in ordinary devices of its user, and nobody has begun with one.
    let recovery = |author: &Author| match author {
        Author::Root => None,
        Author::Device(id) => log.device(id).filter(|it| it.kind == DeviceKind::Recovery),
    };
    for record in log.users() {
        assert!(recovery(&record.author).is_none());
        assert!(record.keys.iter().all(|key| recovery(&key.author).is_none()));
        assert_eq!(record.keys.last().map(|key| key.key), Some(record.encryption_key));
        assert!(record.keys.is_sorted_by(|earlier, later| earlier.position < later.position));
        let first = log.devices_of(&record.user).next();
        assert!(first.is_none_or(|device| device.kind == DeviceKind::Device));
    }
    for it in log.devices() {
        let by = recovery(&it.author);
        assert!(by.is_none_or(|by| by.user == it.user && it.kind == DeviceKind::Device));
    }
    // Everybody's chain ends at the root, and goes backwards all the way.
    for device in log.devices() {
        let links = chain(log, Start::Device(device.device));
        assert!(links.is_sorted_by(|later, earlier| later.position > earlier.position));
        assert_eq!(links.last().unwrap().author, Author::Root);
        // A device is vouched for by its own person, or together with that person by one author.
        match device.author {
            Author::Root => assert_eq!(device.position, 1),
            Author::Device(author) => {
                let own = log.device(&author).unwrap().user == device.user;
                assert!(own || log.user(&device.user).unwrap().author == device.author);
            }
        }
    }
}

/// Who is suspended and who has abandoned what, counted from the statements alone.
#[derive(Default)]
struct Counted {
    suspended: BTreeSet<UserId>,
    abandoned: BTreeSet<DeviceId>,
    changes: BTreeMap<UserId, usize>,
    /// Number of the present directory key, less 1, and whether somebody left since.
    directory: (u32, bool),
}

impl Counted {
    fn take(&mut self, log: &VerifiedLog, body: &Body) {
        match body {
            Body::DeviceRevoked { device } => {
                self.directory.1 = true;
                self.suspended.insert(log.device(device).unwrap().user);
            }
            Body::UserKeyChanged { user, abandoned, .. } => {
                self.suspended.remove(user);
                for device in abandoned {
                    assert!(self.abandoned.insert(*device), "named twice");
                }
                let changes = self.changes.entry(*user).or_default();
                *changes += usize::from(abandoned.is_empty());
                let revoked = log.devices_of(user).filter(|device| device.revoked.is_some()).count();
                assert!(*changes <= 20 + revoked);
            }
            Body::User { .. } | Body::Device { .. } | Body::ProfileChange { .. } => {}
            Body::UserRevoked { .. } => self.directory.1 = true,
            Body::DirectoryKeyChanged { number, .. } => {
                assert!(self.directory.1, "nobody had left");
                self.directory = (self.directory.0 + 1, false);
                assert_eq!(*number, self.directory.0 + 1);
                let record = log.directory_keys().last().unwrap();
                assert_eq!(record.position + 1, log.count());
                for (user, key) in log.directory_list(record.position) {
                    let user = log.user(&user).unwrap();
                    assert!(user.revoked.is_none() && user.encryption_key == key);
                    assert!(!self.suspended.contains(&user.user));
                }
            }
        }
        for record in log.users() {
            assert_eq!(log.is_suspended(&record.user), self.suspended.contains(&record.user));
        }
    }
}

#[test]
fn what_a_log_promises_holds_after_every_certificate() {
    let mut accepted = [0; 7];
    let mut refused = 0;
    for number in 0..LOGS {
        let mut seed = Seed(number << 32);
        let mut org = Org::founded();
        let mut counted = Counted::default();
        for _ in 0..STATEMENTS {
            let first = if draw(&mut seed, 4) == 0 { CAST } else { 0 };
            let author = first + draw(&mut seed, CAST / 2 + CAST / 2 * u64::from(first == 0));
            let body = statement(&mut seed, &org, author);
            let by = By::Device(author);
            let bytes = envelope(by, &org.payload(by, body.clone()));
            match org.fault(&bytes) {
                Ok(()) => {
                    org.log.push(&bytes).unwrap();
                    org.envelopes.push(bytes);
                    accepted[kind(&body)] += 1;
                    check(&org.log);
                    counted.take(&org.log, &body);
                }
                Err(_) => refused += 1,
            }
        }
        assert_eq!(support::read(&org.envelopes).unwrap().head(), org.log.head());
    }
    assert!(accepted.iter().all(|count| *count >= 5) && refused > 100, "{accepted:?}, {refused} refused");
}
