//! What `tests/checker/check.py` says of safes, which was written from docs/protocol.md alone,
//! against what this crate says: logs of safes made at random, by whoever is there, right and wrong
//! (docs/assurance.md, B5).
//!
//! Decides what is compared: how many items stand, where both chains end, and whether a key is due
//! then; the words for why are each program's own.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

#[path = "support/checker.rs"]
mod asked;
#[path = "support/safes.rs"]
mod made;
mod support;

use std::collections::BTreeMap;

use asked::{Checker, hex, python_is_here};
use made::{Bench, hash, safe_id, signed, written};
use parsec_protocol::chain::organisation::certificate::{Body as OrgBody, Profile};
use parsec_protocol::ids::{ObjectId, Timestamp};
use parsec_protocol::safe_log::certificate::{Body, Change, State};
use parsec_protocol::safe_log::roles::Role;
use serde_json::{Value, json};
use support::{By, Seed, device, device_body, draw, envelope, key_change, root_key, runs, user, user_body};

/// Why items were refused here, and how often.
type Refused = BTreeMap<String, u64>;

/// Lives in all: as usual, and in a full run.
const LIVES: (u64, u64) = (40, 3_000);
/// Items that are tried in one life.
const TRIES: usize = 120;
/// An item that may not stand is one of so many that end a life; the others are nobody's.
const ENDS: usize = 60;

const ROLES: [Option<Role>; 5] =
    [Some(Role::Owner), Some(Role::Manager), Some(Role::Contributor), Some(Role::Reader), None];

/// Somebody says something in the organisation, if they may.
fn in_the_organisation(bench: &mut Bench, seed: &mut Seed) {
    let number = 1 + draw(seed, 6) as u64;
    let (by, body) = match draw(seed, 6) {
        0 => (0, OrgBody::UserRevoked { user: user(number) }),
        1 => (0, OrgBody::DeviceRevoked { device: device(number * [1, 10][draw(seed, 2)]) }),
        2 => {
            let profiles = [Profile::Administrator, Profile::Standard, Profile::Outsider];
            (0, OrgBody::ProfileChange { user: user(number), profile: profiles[draw(seed, 3)] })
        }
        3 => {
            let mine = bench.org.log.user(&user(number)).unwrap().encryption_key;
            let mut change = key_change(number, number, 100 + draw(seed, 900) as u64);
            if let OrgBody::UserKeyChanged { previous, .. } = &mut change {
                *previous = mine;
            }
            (number * [1, 10][draw(seed, 2)], change)
        }
        4 => (number, device_body(300 + draw(seed, 100) as u64, number)),
        _ => (0, user_body(20 + draw(seed, 100) as u64, Profile::Standard)),
    };
    let next = envelope(By::Device(by), &bench.org.payload(By::Device(by), body));
    if bench.org.log.push(&next).is_ok() {
        bench.org.envelopes.push(next);
    }
}

/// What somebody says in the safe.
fn body(bench: &Bench, seed: &mut Seed, by: u64) -> Body {
    let mut list: Vec<(u64, Option<Role>)> =
        (0..draw(seed, 3)).map(|_| (1 + draw(seed, 6) as u64, ROLES[draw(seed, 5)])).collect();
    list.sort_unstable_by_key(|(number, _)| user(*number));
    list.dedup_by_key(|(number, _)| *number);
    let people = made::changes(&list);
    let states = [State::Open, State::ReadOnly, State::Deleted(Timestamp(support::BEGINNING * 2))];
    // Somebody has to make the key that is due, or nothing goes on.
    let due = bench.is_due() && draw(seed, 2) == 0;
    let mut body = match if due { 9 } else { draw(seed, 9) } {
        9 => bench.rekey(&[]),
        0 => Body::State { state: states[draw(seed, 3)], format: 1, suite: 1 },
        1 | 2 => made::changed(&list),
        3 | 4 => made::sharing(&list),
        // By themselves.
        5 => Body::Changed { changes: vec![Change { user: user(by), role: None }], key: None, boxes: None },
        6 => made::changed(&[]),
        _ => bench.rekey(&list),
    };
    if let Body::Changed { changes, key, boxes } = &mut body {
        if let Some(key) = key {
            match draw(seed, 12) {
                0 => key.lost = 1 + draw(seed, 2) as u64,
                1 => key.epoch += 1,
                2 => key.list = hash("list"),
                _ => {}
            }
        }
        if draw(seed, 20) == 0 {
            changes.reverse();
        }
        if draw(seed, 20) == 0 {
            *boxes = boxes.is_none().then(|| hash("boxes"));
        }
        if draw(seed, 30) == 0 {
            changes.clone_from(&people);
        }
    }
    body
}

/// The owner lets one of each role in.
fn let_in(owner: u64) -> Body {
    let roles = [
        (2, Role::Manager),
        (3, Role::Contributor),
        (4, Role::Manager),
        (5, Role::Reader),
        (1, Role::Contributor),
    ];
    let others = roles.into_iter().filter(|(number, _)| *number != owner);
    made::sharing(&others.map(|(number, role)| (number, Some(role))).collect::<Vec<_>>())
}

/// A device: mostly one that was there at the beginning.
fn author(seed: &mut Seed) -> u64 {
    let number = 1 + draw(seed, 5) as u64;
    match draw(seed, 12) {
        0 => 6,
        1 => 200,
        2 => 300,
        3 | 4 => number * 10,
        _ => number,
    }
}

/// Certificates and records of one life, the last of which may not stand.
fn life(seed: &mut Seed, refused: &mut Refused) -> (Bench, Vec<(bool, Vec<u8>)>) {
    let mut bench = Bench::empty();
    let mut items = Vec::new();
    let owner = 1 + draw(seed, 4) as u64;
    if draw(seed, 8) == 0 {
        in_the_organisation(&mut bench, seed);
    }
    for number in 0..TRIES {
        if draw(seed, 20) == 0 {
            in_the_organisation(&mut bench, seed);
        }
        let by = if number < 2 { owner } else { author(seed) };
        let there = bench.org.log.head_at(draw(seed, bench.org.envelopes.len() + 1) as u64).unwrap();
        let stale = number > 1 && draw(seed, 25) == 0;
        let is_record = number > 1 && draw(seed, 3) == 0;
        let item = if is_record {
            let mut payload = bench.record(by);
            if stale {
                payload.seen = there;
            }
            match draw(seed, 30) {
                0 => payload.seq += 1,
                1 => payload.previous = hash("previous"),
                2 => payload.log.hash = hash("log"),
                3 => payload.epoch += 1,
                4 => payload.drops = vec![ObjectId::from_bytes([1; 16])],
                _ => {}
            }
            written(by, &payload)
        } else {
            let body = match number {
                0 => bench.creation(by),
                1 => let_in(owner),
                _ => body(&bench, seed, by),
            };
            let mut payload = bench.payload(by, body);
            if stale {
                payload.seen = there;
            }
            match draw(seed, 30) {
                0 => payload.previous.count += 1,
                1 => payload.place.hash = hash("place"),
                2 => payload.time = Timestamp(support::BEGINNING * 3),
                _ => {}
            }
            signed(by, &payload)
        };
        let taken = if is_record {
            bench.safe.push_record(&item, &bench.org.log).map(drop)
        } else {
            bench.safe.push_certificate(&item, &bench.org.log).map(drop)
        };
        if let Err(why) = &taken {
            *refused.entry(why.to_string()).or_default() += 1;
        }
        if taken.is_ok() {
            items.push((is_record, item));
        } else if number == 0 || draw(seed, ENDS) == 0 {
            items.push((is_record, item));
            break;
        }
    }
    (bench, items)
}

/// One question; whether both say the same, and how many items stood.
fn agrees(checker: &mut Checker, seed: &mut Seed, refused: &mut Refused) -> (bool, u64) {
    let (bench, items) = life(seed, refused);
    let present = bench.safe.present();
    let stands = present.map_or(0, |now| now.log.count + now.journal.count);
    let envelopes: Vec<String> = bench.org.envelopes.iter().map(|envelope| hex(envelope)).collect();
    let listed: Vec<Value> =
        items.iter().map(|(is_record, item)| json!([u8::from(*is_record), hex(item)])).collect();
    let said = checker.ask(&json!({
        "kind": "safe", "organisation": "acme", "root": hex(root_key(0).verify_key().as_bytes()),
        "envelopes": envelopes, "safe": hex(safe_id().as_bytes()), "items": listed,
    }));
    let due = bench.safe.is_due(&bench.org.log, bench.org.log.count());
    let same = said["items"] == stands
        && present.is_none_or(|now| {
            said["log"] == now.log.hash.to_string()
                && said["journal"] == now.journal.hash.to_string()
                && said["due"] == due
        });
    if !same {
        println!("{stands} of {} items stand, due {due}; the other says {said}", items.len());
    }
    (same, stands)
}

/// What a life is drawn from.
const fn of_life(number: u64) -> Seed {
    Seed(number << 32 | 5)
}

fn disagreements(count: u64) -> (u64, u64, Refused) {
    let mut checker = Checker::start(None);
    let (mut wrong, mut items, mut refused) = (0, 0, Refused::new());
    for number in 0..count {
        let (same, stands) = agrees(&mut checker, &mut of_life(number), &mut refused);
        if !same {
            println!("they disagree about life {number}");
        }
        wrong += u64::from(!same);
        items += stands;
    }
    (wrong, items, refused)
}

#[test]
fn two_readers_of_one_document_agree_about_safes() {
    if !python_is_here() {
        return;
    }
    let count = runs(LIVES.0, LIVES.1);
    let (wrong, items, refused) = disagreements(count);
    println!("{refused:#?}");
    println!(
        "figure B5: {count} random lives of safes, {items} items that stand, others refused by {} rules: {wrong} disagreements",
        refused.len()
    );
    assert_eq!(wrong, 0);
    assert!(items > 6 * count, "{items} items: hardly anything stood");
}

/// The mutants: a reader that forgets a rule is found out.
#[test]
fn a_reader_of_safes_that_forgets_a_rule_disagrees() {
    if !python_is_here() {
        return;
    }
    for rule in ["may not", "list", "boxes"] {
        let mut checker = Checker::start(Some(rule));
        let mut refused = Refused::new();
        let mut differs = |number| !agrees(&mut checker, &mut of_life(number), &mut refused).0;
        assert!((0..4 * LIVES.0).any(&mut differs), "{rule}");
    }
}
