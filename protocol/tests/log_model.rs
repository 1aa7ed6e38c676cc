//! Whatever members say, in whatever order: what an accepted log promises holds after every
//! certificate.
//!
//! Members chosen at random make statements chosen at random, well signed and with an honest view.
//! Most are refused; after each one that is accepted the promises below are checked against the
//! records.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use parsec_protocol::chain::organisation::certificate::{Author, Body, Profile};
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::chain::organisation::path::{Start, chain};
use support::{By, Org, Seed, device, device_body, envelope, user, user_body};

/// Logs grown, and statements tried in each.
const LOGS: u64 = 12;
const STATEMENTS: usize = 500;
/// People and devices there can be: few, so that they meet often.
const CAST: u64 = 12;

fn draw(seed: &mut Seed, end: u64) -> u64 {
    support::draw(seed, usize::try_from(end).unwrap()) as u64
}

fn statement(seed: &mut Seed) -> Body {
    let profiles = [Profile::Administrator, Profile::Administrator, Profile::Standard, Profile::Outsider];
    let profile = profiles[usize::try_from(draw(seed, 4)).unwrap()];
    let (one, other) = (draw(seed, CAST), draw(seed, CAST));
    // Enrolments more often than the rest, or everybody is soon revoked.
    match draw(seed, 12) {
        0..=3 => user_body(one, profile),
        4..=8 => device_body(one, if draw(seed, 2) == 0 { one } else { other }),
        9 => Body::ProfileChange { user: user(one), profile },
        10 => Body::UserRevoked { user: user(one) },
        _ => Body::DeviceRevoked { device: device(one) },
    }
}

fn kind(body: &Body) -> usize {
    match body {
        Body::User { .. } => 0,
        Body::Device { .. } => 1,
        Body::ProfileChange { .. } => 2,
        Body::UserRevoked { .. } => 3,
        Body::DeviceRevoked { .. } => 4,
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
    let keys: Vec<_> = log.users().map(|user| user.encryption_key).collect();
    all(keys.len(), keys.iter().collect::<BTreeSet<_>>().len());
    let keys: Vec<_> = log.devices().map(|device| device.verify_key).collect();
    all(keys.len(), keys.iter().collect::<BTreeSet<_>>().len());
    assert!(!keys.contains(log.root()));
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

#[test]
fn what_a_log_promises_holds_after_every_certificate() {
    let mut accepted = [0; 5];
    let mut refused = 0;
    for number in 0..LOGS {
        let mut seed = Seed(number << 32);
        let mut org = Org::founded();
        for _ in 0..STATEMENTS {
            let body = statement(&mut seed);
            let by = By::Device(draw(&mut seed, CAST));
            let bytes = envelope(by, &org.payload(by, body.clone()));
            match org.fault(&bytes) {
                Ok(()) => {
                    org.log.push(&bytes).unwrap();
                    org.envelopes.push(bytes);
                    accepted[kind(&body)] += 1;
                    check(&org.log);
                }
                Err(_) => refused += 1,
            }
        }
        assert_eq!(support::read(&org.envelopes).unwrap().head(), org.log.head());
    }
    assert!(accepted.iter().all(|count| *count >= 5) && refused > 100, "{accepted:?}, {refused} refused");
}
