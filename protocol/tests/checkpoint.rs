//! Verifying by several threads, and going on from a checkpoint: the same verdicts as one
//! certificate after the other, on good logs and bad.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use parsec_protocol::chain::batch::{Executor, Sequential, Task};
use parsec_protocol::chain::checkpoint::{Checkpoint, CheckpointKey};
use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::certificate::{Body, Profile};
use parsec_protocol::chain::organisation::log::{LogError, VerifiedLog};
use parsec_protocol::chain::organisation::rules::Fault;
use parsec_protocol::keys::LocalStoreKey;
use parsec_protocol::public_keys::Hash;
use support::{
    By, Org, Seed, abandoned, device, device_body, draw, envelope, key_change, key_change_with, organisation,
    read, root_key, runs, user, user_body,
};

/// Three threads with a share each.
struct Threads;

impl Executor for Threads {
    fn run<T: Task>(&self, tasks: &mut [T]) {
        let share = tasks.len().div_ceil(3).max(1);
        std::thread::scope(|scope| {
            for part in tasks.chunks_mut(share) {
                scope.spawn(|| part.iter_mut().for_each(Task::run));
            }
        });
    }
}

/// One that does half of its work, backwards, and some of it twice.
struct Lazy;

impl Executor for Lazy {
    fn run<T: Task>(&self, tasks: &mut [T]) {
        for task in tasks.iter_mut().rev().step_by(2) {
            task.run();
            task.run();
        }
    }
}

/// Counts what it is given.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Executor for Counting {
    fn run<T: Task>(&self, tasks: &mut [T]) {
        self.0.fetch_add(tasks.len(), Ordering::Relaxed);
        Sequential.run(tasks);
    }
}

/// A log with devices that certify as soon as they are certified, and now and then something wrong
/// in it.
fn log(seed: &mut Seed, base: &Org) -> Vec<Vec<u8>> {
    let mut org = base.clone();
    let mut by = By::Device(0);
    for number in 100..100 + draw(seed, 6) as u64 {
        org.say(by, user_body(number, Profile::Administrator));
        org.say(by, device_body(number, number));
        by = By::Device(number);
    }
    let mut log = org.envelopes.clone();
    let (at, to) = (draw(seed, log.len()), draw(seed, log.len()));
    match draw(seed, 9) {
        0 => {
            let byte = draw(seed, log[at].len());
            log[at][byte] ^= 1 << draw(seed, 8);
        }
        1 => drop(log.remove(at)),
        2 => log.swap(at, to),
        3 => log.insert(to, log[at].clone()),
        // By a device that is named later, under a key that the log never gives it; by one that was
        // named twice.
        4 => log.insert(
            at,
            envelope(By::Device(77), &org.payload(By::Device(77), user_body(77, Profile::Standard))),
        ),
        5 => {
            let mut twice = org.payload(by, device_body(78, 0));
            if let Body::Device { device: named, .. } = &mut twice.body {
                *named = device(100);
            }
            log.insert(at, envelope(by, &twice));
        }
        6 => log[at].truncate(20),
        _ => {}
    }
    log
}

fn take(envelopes: &[Vec<u8>], executor: &impl Executor) -> (Result<(), LogError>, VerifiedLog) {
    let mut log = Org::empty().log;
    (log.extend_with(envelopes, executor), log)
}

#[test]
fn an_executor_finds_what_one_after_the_other_finds() {
    let base = Org::staffed();
    let (mut good, mut bad) = (0, 0);
    for number in 0..runs(150, 5_000) {
        let envelopes = log(&mut Seed(number << 32), &base);
        let mut one = Org::empty().log;
        let said = envelopes.iter().try_for_each(|envelope| one.push(envelope));
        let by_executors =
            [take(&envelopes, &Sequential), take(&envelopes, &Threads), take(&envelopes, &Lazy)];
        for (by_executor, log) in by_executors {
            assert_eq!((&by_executor, log.head()), (&said, one.head()), "seed {number}");
        }
        if said.is_ok() { good += 1 } else { bad += 1 }
    }
    assert!(good > 10 && bad > 10, "{good} good, {bad} bad");
}

fn key(number: u8) -> CheckpointKey {
    CheckpointKey::of(&LocalStoreKey::from_bytes(&mut [number; 32]))
}

fn resume(envelopes: &[Vec<u8>], note: &[u8], key: &CheckpointKey) -> Result<VerifiedLog, LogError> {
    VerifiedLog::resume(organisation(), root_key(0).verify_key(), envelopes, Some((note, key)), &Sequential)
}

#[test]
fn what_a_checkpoint_covers_is_not_verified_again() {
    let mut org = Org::staffed();
    org.say(By::Device(1), key_change_with(key_change(1, 1, 71), None, abandoned(40..42)));
    let note = Checkpoint::of(&org.log, &key(1)).encode();
    let covered = org.envelopes.len() as u64;
    org.say(By::Device(0), user_body(60, Profile::Standard));
    org.say(By::Device(0), device_body(60, 60));
    let executor = Counting::default();
    let root = root_key(0).verify_key();
    let log =
        VerifiedLog::resume(organisation(), root, &org.envelopes, Some((&note, &key(1))), &executor).unwrap();
    // Twice: to be read, and to be checked.
    assert_eq!((executor.0.load(Ordering::Relaxed), log.freshly_verified()), (4, 2));
    assert_eq!(log.head(), org.log.head());
    // It goes on as the verified one does: everything that the rules ask is there.
    let whole = read(&org.envelopes).unwrap();
    assert_eq!(whole.freshly_verified(), covered + 2);
    let next = |by: By, body: Body| {
        let envelope = envelope(by, &org.payload(by, body));
        assert_eq!(
            log.extended([envelope.as_slice()]).map(|log| log.head()),
            whole.extended([envelope.as_slice()]).map(|log| log.head())
        );
    };
    for number in 0..6 {
        for by in [0, 1, 2, 4, 10, 20, 60] {
            let by = By::Device(by);
            next(by, user_body(number, Profile::Standard));
            next(by, device_body(number + 40, number));
            next(by, Body::ProfileChange { user: user(number), profile: Profile::Outsider });
            next(by, Body::UserRevoked { user: user(number) });
            next(by, Body::DeviceRevoked { device: device(number * 10) });
            next(by, key_change(number, number, 70));
            next(by, key_change(number, 71, 70));
        }
    }
    for number in 0..org.log.count() {
        assert_eq!(log.head_at(number), whole.head_at(number));
    }
    assert!(log.users().eq(whole.users()) && log.devices().eq(whole.devices()));
}

#[test]
fn a_checkpoint_that_is_not_exactly_ours_is_none() {
    let org = Org::staffed();
    let good = Checkpoint::of(&org.log, &key(1)).encode();
    assert_eq!(resume(&org.envelopes, &good, &key(1)).unwrap().freshly_verified(), 0);
    let count = org.log.count();
    let none = |note: &[u8], key: &CheckpointKey, what: &str| {
        assert_eq!(resume(&org.envelopes, note, key).unwrap().freshly_verified(), count, "{what}");
    };
    for at in 0..good.len() {
        for change in [1, 0x80] {
            let mut bad = good.clone();
            bad[at] ^= change;
            none(&bad, &key(1), "a byte changed");
        }
        none(&good[..at], &key(1), "cut off");
    }
    none(&[good.as_slice(), &[0]].concat(), &key(1), "longer");
    none(&good, &key(2), "another device's");
    let foreign = VerifiedLog::empty("other".parse().unwrap(), root_key(0).verify_key());
    none(&Checkpoint::of(&foreign, &key(1)).encode(), &key(1), "another organisation's");
    let foreign = VerifiedLog::empty(organisation(), root_key(1).verify_key());
    none(&Checkpoint::of(&foreign, &key(1)).encode(), &key(1), "another root's");
    // One of a longer log than is there.
    let mut longer = org.clone();
    longer.say(By::Device(0), user_body(61, Profile::Standard));
    none(&Checkpoint::of(&longer.log, &key(1)).encode(), &key(1), "of more than there is");
}

/// The mutant: certificates that were changed in the store under a good checkpoint are not believed
/// on its word.
#[test]
fn a_checkpoint_says_nothing_of_other_certificates() {
    let org = Org::staffed();
    let note = Checkpoint::of(&org.log, &key(1)).encode();
    for at in 0..org.envelopes.len() {
        let mut bad = org.envelopes.clone();
        let last = bad[at].len() - 1;
        bad[at][last] ^= 1;
        let refused = Err(LogError { position: at as u64, fault: Fault::BadSignature });
        assert_eq!(resume(&bad, &note, &key(1)).map(|log| log.head()), refused);
        // Nor where the head in it is moved along: `[[count, hash], MAC]`, and the MAC is over the
        // head.
        let head = Head::empty(&organisation(), &root_key(0).verify_key());
        let head = bad.iter().fold(head, |head, envelope| head.after(envelope));
        let mut moved = note.clone();
        let end = moved.len() - 34;
        moved[end - 32..end].copy_from_slice(head.hash.as_bytes());
        assert_eq!(resume(&bad, &moved, &key(1)).map(|log| log.head()), refused);
    }
    // A MAC by hand, without the key: what a server could put together.
    let mut forged = note;
    let mac = Hash::of(&[b"guess"]);
    let at = forged.len() - 32;
    forged[at..].copy_from_slice(mac.as_bytes());
    let log = resume(&org.envelopes, &forged, &key(1)).unwrap();
    assert_eq!(log.freshly_verified(), org.log.count());
}
