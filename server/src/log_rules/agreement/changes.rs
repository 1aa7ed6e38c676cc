//! Server and readers agree on profile changes and revocations, and on enrolments among them.
//!
//! Whole logs grow from the founding, each by hundreds of statements that are good but for one thing or none. Both judges see the same
//! ones at the same moment, so that whatever the server keeps in its tables is held against what a reader works out from the log.

use std::collections::BTreeMap;

use parsec_protocol::chain::certificate::{Body, Payload, Profile};
use parsec_protocol::ids::{Timestamp, UserId};
use parsec_protocol::public::Hash;

use super::super::changes::{Ground, check_change, read_change};
use super::super::{LogFault, Statement, statement};
use super::support::{
    BEGINNING, By, Org, device, device_body, envelope, foreign_head, organisation, user, user_body,
};
use super::{certifier, check_repair, found, present, reader, server};
use crate::store::{Beside, log};

/// Logs grown, and statements tried in each.
const LOGS: u64 = 12;
const STATEMENTS: usize = 500;
/// People and terminals there can be: few, so that they meet often.
const CAST: u64 = 30;

/// Numbers that look random, and are the same each time.
struct Seed(u64);

fn draw(seed: &mut Seed, end: u64) -> u64 {
    seed.0 += 1;
    let hash = Hash::of(&[b"changes", &seed.0.to_be_bytes()]);
    u64::from_be_bytes(*hash.as_bytes().first_chunk().unwrap()) % end
}

fn pick<T: Copy>(seed: &mut Seed, all: &[T]) -> T {
    all[usize::try_from(draw(seed, all.len() as u64)).unwrap()]
}

fn profile(seed: &mut Seed) -> Profile {
    use Profile::{Administrator, Outsider, Standard};
    pick(seed, &[Administrator, Administrator, Standard, Outsider])
}

/// A user with a device, a device, or a change.
fn bodies(seed: &mut Seed) -> Vec<Body> {
    let profile = profile(seed);
    let (one, other) = (draw(seed, CAST), draw(seed, CAST));
    match draw(seed, 20) {
        0..=3 => vec![user_body(one, profile), device_body(one, one)],
        4..=7 => vec![device_body(one, other)],
        8..=14 => vec![Body::ProfileChange { user: user(one), profile }],
        15..=16 => vec![Body::UserRevoked { user: user(one) }],
        _ => vec![Body::DeviceRevoked { device: device(one) }],
    }
}

/// One thing that is wrong, or unusual, or nothing.
fn spoil(seed: &mut Seed, org: &Org, payload: &mut Payload) {
    let count = org.log.count();
    match draw(seed, 40) {
        0 => payload.organisation = "other".parse().unwrap(),
        1 => payload.seen = foreign_head(payload.seen.count),
        2 => payload.seen.count += 1,
        3 => payload.seen.count = u64::MAX,
        4..=6 => payload.seen = org.log.head_at(draw(seed, count)).unwrap(),
        // A view that is a little old: often below the author's last one, or the profile's.
        7..=12 => payload.seen = org.log.head_at(count - draw(seed, 12.min(count))).unwrap(),
        13 => payload.author = By::Root.author(),
        14 => payload.author = By::Device(draw(seed, CAST)).author(),
        15..=18 => payload.time = Timestamp(payload.time.0 - draw(seed, 30)),
        // As large as times can be: after one of these, the author has little left to say.
        19 => payload.time = Timestamp(u64::MAX - draw(seed, 3)),
        20 => payload.time = Timestamp((1 << 63) - 1 + draw(seed, 3)),
        _ => {}
    }
}

/// The server's judgement of one change, by its tables; what it accepts is in them afterwards.
fn change(store: &Beside, org: &Org, by: u64, bytes: &[u8]) -> Result<(), LogFault> {
    let (id, root) = (organisation(), *org.log.root());
    let change = read_change(&id, &[bytes.to_vec().into()])?;
    let ground = Ground {
        present: present(store, &root),
        seen: store.read(|tx| log::head_at(tx, &id, &root, change.seen_count())).unwrap(),
        last_word: store.read(|tx| log::last_word(tx, &id, &device(by))).unwrap(),
        subject: store.read(|tx| log::subject(tx, &id, &change.kind)).unwrap(),
    };
    let after = check_change(&change, &certifier(store, by), &ground)?;
    store.change(|tx| log::append_change(tx, &id, &device(by), &change, &after)).unwrap();
    Ok(())
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

/// Whether a server that judges by its caller may refuse what a reader, who has no caller, takes.
fn is_about_the_call(fault: LogFault, first: &Statement, by: u64) -> bool {
    let own = first.payload.author == By::Device(by).author();
    match fault {
        LogFault::WrongAuthor => !own,
        LogFault::WrongKinds | LogFault::BadReceipt | LogFault::NotInvited => true,
        _ => false,
    }
}

#[test]
fn server_and_readers_agree_on_every_change() {
    let (mut accepted, mut refused, mut replayed) = ([0; 5], BTreeMap::<String, u32>::new(), 0);
    for number in 0..LOGS {
        let dir = tempfile::tempdir().unwrap();
        let (store, mut org) = found(&dir);
        let mut seed = Seed(number << 32);
        // Whose profile was given where, newest last.
        let mut given: Vec<(UserId, u64)> = Vec::new();
        for round in 0..STATEMENTS {
            let able: Vec<u64> = (0..CAST)
                .filter(|n| org.log.device(&device(*n)).is_some_and(|device| device.revoked.is_none()))
                .collect();
            let by = pick(&mut seed, &able);
            let mut payloads: Vec<_> =
                bodies(&mut seed).into_iter().map(|body| org.payload(By::Device(by), body)).collect();
            for payload in &mut payloads {
                payload.time = Timestamp(BEGINNING + round as u64);
                spoil(&mut seed, &org, payload);
            }
            if draw(&mut seed, 5) == 0
                && let Some((user, position)) =
                    given.iter().rev().nth(usize::try_from(draw(&mut seed, 3)).unwrap())
            {
                // From a view at the very edge of what the newest word about somebody allows.
                let mut payload = org.payload(
                    By::Device(by),
                    Body::ProfileChange { user: *user, profile: profile(&mut seed) },
                );
                payload.seen = org.log.head_at((position + draw(&mut seed, 3)).min(org.log.count())).unwrap();
                payloads = vec![payload];
            }
            let mut envelopes: Vec<_> =
                payloads.iter().map(|payload| envelope(By::Device(by), payload)).collect();
            match draw(&mut seed, 30) {
                0 => envelopes[0] = envelope(By::Device(draw(&mut seed, CAST)), &payloads[0]),
                // What somebody said before, once more.
                1 | 2 => {
                    envelopes = vec![pick(&mut seed, &org.envelopes.iter().collect::<Vec<_>>()).clone()];
                    payloads = vec![statement(&organisation(), &envelopes[0]).unwrap().payload];
                    replayed += 1;
                }
                _ => {}
            }
            check_repair(&store, &org, &envelopes, &format!("log {number}, round {round}: {payloads:?}"));
            let said = if payloads[0].body.is_enrolment() {
                server(&store, &org, by, draw(&mut seed, CAST), &payloads, &envelopes)
            } else {
                change(&store, &org, by, &envelopes[0])
            };
            if let Err(fault) = said {
                *refused.entry(format!("{fault:?}")).or_default() += 1;
            }
            let place = format!("log {number}, round {round}: {payloads:?}");
            match (said, reader(&org, &envelopes)) {
                (Ok(()), Some(log)) => {
                    org.log = log;
                    for (position, payload) in (org.log.count() - payloads.len() as u64..).zip(&payloads) {
                        accepted[kind(&payload.body)] += 1;
                        if let Body::User { user, .. } | Body::ProfileChange { user, .. } = payload.body {
                            given.push((user, position));
                        }
                    }
                    org.envelopes.extend(envelopes);
                }
                (Ok(()), None) => panic!("the server took what readers refuse, {place}"),
                (Err(fault), Some(_)) => {
                    let first = statement(&organisation(), &envelopes[0]).unwrap();
                    assert!(
                        is_about_the_call(fault, &first, by),
                        "the server refused what readers take, {fault}, {place}"
                    );
                }
                (Err(_), None) => {}
            }
            assert_eq!(present(&store, org.log.root()), org.log.head(), "{place}");
        }
        same_members(&store, &org);
    }
    assert!(accepted.iter().all(|count| *count >= 30) && replayed > 100, "{accepted:?}, {replayed}");
    // Each rule was tried alone, often.
    for fault in [
        LogFault::Unreadable,
        LogFault::WrongAuthor,
        LogFault::BadSignature,
        LogFault::OtherLog,
        LogFault::NotAdministrator,
        LogFault::WentBack,
        LogFault::BadSubject,
        LogFault::StaleProfile,
        LogFault::EmailTaken,
        LogFault::Taken,
        LogFault::NotAllowed,
    ] {
        assert!(refused.get(&format!("{fault:?}")).is_some_and(|count| *count >= 10), "{fault}: {refused:?}");
    }
}

/// Whatever the server would judge the next one by, it has as the readers have it.
fn same_members(store: &Beside, org: &Org) {
    for record in org.log.devices() {
        let signer = store.read(|tx| tx.signer(&organisation(), &record.device)).unwrap().unwrap();
        let owner = org.log.user(&record.user).unwrap();
        assert_eq!(signer.revoked, record.revoked.is_some());
        assert_eq!((signer.member.user, signer.member.profile), (record.user, owner.profile));
    }
}
