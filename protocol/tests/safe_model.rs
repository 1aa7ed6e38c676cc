//! Random honest lives of a safe: members come, go, lose devices, change keys; the server takes
//! nothing that is behind. No honest item is refused, by nobody's floor; whoever must not have the
//! next key makes it due; and every due safe with somebody who may write can be mended.
//!
//! Beside the rules runs a model without their short-cuts: it looks at everybody after every item.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "support/safes.rs"]
mod safes;
mod support;

use std::collections::BTreeMap;

use parsec_protocol::chain::batch::Sequential;
use parsec_protocol::chain::checkpoint::{Checkpoint, CheckpointKey};
use parsec_protocol::chain::organisation::at::MembersAt;
use parsec_protocol::chain::organisation::certificate::{self as org, Profile};
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::codec;
use parsec_protocol::ids::UserId;
use parsec_protocol::keys::LocalStoreKey;
use parsec_protocol::safe_log::certificate::{Body, Key};
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safe_log::rules;
use parsec_protocol::safe_log::safe::VerifiedSafe;
use parsec_protocol::sealing::KeyHash;
use safes::{Bench, changes, hash, signed, sure, written};
use support::{By, Org, Seed, device, device_body, draw, organisation, root_key, runs, user, user_body};

/// Who there may be. 0 vouches for everybody and is never revoked.
const PEOPLE: u64 = 7;

/// One member's devices and keys, by number.
#[derive(Clone)]
struct Person {
    devices: Vec<u64>,
    key: u64,
    revoked: bool,
    outsider: bool,
}

/// What is known without the rules.
#[derive(Clone, Default)]
struct Model {
    roles: BTreeMap<u64, Role>,
    holders: BTreeMap<UserId, KeyHash>,
    left: bool,
}

struct Life {
    bench: Bench,
    /// The same safe, judged with the floor at all that was known when the one before was taken.
    reader: VerifiedSafe,
    people: BTreeMap<u64, Person>,
    model: Model,
    next: u64,
    seed: Seed,
    /// How often something happened, by name.
    seen: BTreeMap<&'static str, u64>,
}

impl Life {
    fn new(seed: u64) -> Self {
        let bench = Bench::created();
        let people = (0..PEOPLE).map(|number| {
            let devices = if number == 0 { vec![0] } else { vec![number, number * 10] };
            let outsider = number == safes::OUTSIDER;
            (number, Person { devices, key: number, revoked: false, outsider })
        });
        let reader = bench.safe.clone();
        let mut model = Model::default();
        model.roles.insert(safes::OWNER, Role::Owner);
        model.holders.insert(user(safes::OWNER), support::encryption_key(safes::OWNER));
        Self {
            people: people.collect(),
            bench,
            reader,
            model,
            next: 1_000,
            seed: Seed(seed * 1_000_000),
            seen: BTreeMap::new(),
        }
    }

    fn draw(&mut self, end: usize) -> usize {
        draw(&mut self.seed, end)
    }

    fn count(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    fn log(&self) -> &VerifiedLog {
        &self.bench.org.log
    }

    /// Role\* by the model, at the end of the organisation's log.
    fn star(&self, number: u64) -> Option<Role> {
        let person = &self.people[&number];
        let role = *self.model.roles.get(&number)?;
        if person.revoked || person.devices.is_empty() {
            return None;
        }
        Some(if person.outsider { role.max(Role::Contributor) } else { role })
    }

    fn is_suspended(&self, number: u64) -> bool {
        self.log().is_suspended(&user(number))
    }

    /// Whether a key is due, by looking at everybody.
    fn due(&self) -> bool {
        self.model.left
            || self.model.holders.iter().any(|(id, key)| {
                let number = (0..PEOPLE).find(|number| user(*number) == *id).unwrap();
                let person = &self.people[&number];
                self.star(number).is_none()
                    || self.is_suspended(number)
                    || support::encryption_key(person.key) != *key
            })
    }

    /// Something happens in the organisation.
    fn organisation(&mut self) {
        let number = 1 + self.draw(usize::try_from(PEOPLE).unwrap() - 1) as u64;
        let person = self.people[&number].clone();
        match self.draw(12) {
            0 if !person.revoked && self.people.values().filter(|person| !person.revoked).count() > 4 => {
                self.bench.org(0, org::Body::UserRevoked { user: user(number) });
                self.people.get_mut(&number).unwrap().revoked = true;
                self.count("revoked");
            }
            1 | 2 if !person.revoked && !person.devices.is_empty() => {
                let at = self.draw(person.devices.len());
                self.bench.org(0, org::Body::DeviceRevoked { device: device(person.devices[at]) });
                self.people.get_mut(&number).unwrap().devices.remove(at);
                self.count("lost a device");
            }
            3..=5 if !person.revoked && !person.devices.is_empty() => {
                self.next += 1;
                let body = support::key_change(number, person.key, self.next);
                self.bench.org(person.devices[0], body);
                self.people.get_mut(&number).unwrap().key = self.next;
                self.count("changed a key");
            }
            6 | 7 if !person.revoked && !person.devices.is_empty() => {
                self.next += 1;
                self.bench.org(person.devices[0], device_body(self.next, number));
                self.people.get_mut(&number).unwrap().devices.push(self.next);
                self.count("new device");
            }
            8 if !person.revoked => {
                let profile = if person.outsider { Profile::Standard } else { Profile::Outsider };
                self.bench.org(0, org::Body::ProfileChange { user: user(number), profile });
                self.people.get_mut(&number).unwrap().outsider = !person.outsider;
                self.count("another profile");
            }
            _ => {
                self.next += 1;
                self.bench.org(0, user_body(self.next, Profile::Standard));
            }
        }
    }

    /// How much of the organisation's log an honest author may have seen for the server to take it.
    fn view(&mut self) -> u64 {
        let last = self.bench.safe.present().unwrap().seen;
        let newest = sure(self.log().changed_before(u64::MAX)).map_or(0, |at| at + 1);
        let (from, to) = (last.max(newest), self.log().count());
        from + self.draw(usize::try_from(to - from + 1).unwrap()) as u64
    }

    /// An honest certificate: it must be taken, by everybody.
    fn certificate(&mut self, by: u64, list: &[(u64, Option<Role>)], with_key: bool, n: u64) {
        let boxes = list.iter().any(|(number, role)| {
            role.is_some() && !self.model.roles.contains_key(number) && !self.is_suspended(*number)
        });
        let key: Option<Key> = with_key.then(|| self.bench.key_at(list, n));
        let boxes = (boxes && !with_key).then(|| hash("boxes"));
        let body = Body::Changed { changes: changes(list), key, boxes };
        let author = self.people[&by].devices[0];
        let mut payload = self.bench.payload(author, body);
        payload.seen = self.log().head_at(n).unwrap();
        let envelope = signed(author, &payload);
        let Bench { org, safe } = &mut self.bench;
        self.reader.push_certificate(&envelope, &org.log).unwrap();
        safe.push_certificate(&envelope, &org.log).unwrap();
        if with_key {
            self.model.holders.clear();
            self.model.left = false;
        }
        for (number, role) in list {
            match role {
                Some(role) => self.model.roles.insert(*number, *role),
                None => self.model.roles.remove(number),
            };
            self.model.left |= *number == by && role.is_none();
        }
        self.taken();
    }

    /// An honest record.
    fn record(&mut self, by: u64, n: u64) {
        let author = self.people[&by].devices[0];
        let mut payload = self.bench.record(author);
        payload.seen = self.log().head_at(n).unwrap();
        let envelope = written(author, &payload);
        let Bench { org, safe } = &mut self.bench;
        self.reader.push_record(&envelope, &org.log).unwrap();
        safe.push_record(&envelope, &org.log).unwrap();
        self.taken();
    }

    /// After each item the rules and the model know the same.
    fn taken(&mut self) {
        for number in 0..PEOPLE {
            if self.star(number).is_some() && !self.is_suspended(number) {
                let key = support::encryption_key(self.people[&number].key);
                self.model.holders.entry(user(number)).or_insert(key);
            }
        }
        let safe = &self.bench.safe;
        let roles: BTreeMap<UserId, Role> =
            self.model.roles.iter().map(|(number, role)| (user(*number), *role)).collect();
        assert_eq!(safe.roles().map(|(id, role)| (*id, role)).collect::<BTreeMap<_, _>>(), roles);
        let holders: BTreeMap<UserId, KeyHash> = safe.holders().map(|(id, key)| (*id, *key)).collect();
        assert_eq!(holders, self.model.holders);
        // What is kept is what was there.
        let kept: VerifiedSafe = codec::decode(&codec::encode(safe), 1 << 20).unwrap();
        assert_eq!(kept, *safe);
        // The server has said where the safe ends, to somebody who asked with all that there is.
        let known = self.log().count();
        self.reader.raise_floor(known);
        self.count("items");
    }

    /// Somebody does something in the safe that they may do, as they see it.
    fn act(&mut self) {
        let due = self.due();
        let n = self.view();
        assert_eq!(self.bench.safe.is_due(&self.bench.org.log, n), due);
        let able: Vec<(u64, Role)> = (0..PEOPLE)
            .filter(|number| !self.is_suspended(*number))
            .filter_map(|number| Some((number, self.star(number)?)))
            .collect();
        let owned = (0..PEOPLE).any(|number| self.star(number) == Some(Role::Owner));
        if able.is_empty() {
            return self.count("nobody left");
        }
        let at = self.draw(able.len());
        let (by, role) = able[at];
        if due {
            return self.mend(&able, owned, n);
        }
        if role.writes() && self.draw(3) > 0 {
            self.count("records");
            return self.record(by, n);
        }
        if self.draw(12) == 0 && (role != Role::Owner || self.owners() > 1) {
            self.count("leaving");
            return self.certificate(by, &[(by, None)], false, n);
        }
        if !owned {
            return self.take_over(&able, false, n);
        }
        if role == Role::Owner {
            self.share(by, n);
        }
    }

    fn owners(&self) -> usize {
        (0..PEOPLE).filter(|number| self.star(*number) == Some(Role::Owner)).count()
    }

    /// A due safe with somebody who may write is mended by each of them.
    fn mend(&mut self, able: &[(u64, Role)], owned: bool, n: u64) {
        let writers: Vec<u64> = able.iter().filter(|(_, role)| role.writes()).map(|(by, _)| *by).collect();
        if writers.is_empty() {
            return if owned { self.count("writers suspended") } else { self.take_over(able, true, n) };
        }
        let at = self.draw(writers.len());
        self.certificate(writers[at], &[], true, n);
        assert!(!self.due() && !self.bench.safe.present().unwrap().due);
        self.count("mended");
    }

    /// The highest who is no outsider takes over; a suspended one keeps the others from it.
    fn take_over(&mut self, able: &[(u64, Role)], due: bool, n: u64) {
        let inside: Vec<(Role, u64)> = (0..PEOPLE)
            .filter(|number| !self.people[number].outsider)
            .filter_map(|number| Some((self.star(number)?, number)))
            .collect();
        let Some((highest, _)) = inside.iter().min() else { return self.count("outsiders left") };
        let heirs = inside
            .iter()
            .filter(|(role, number)| role == highest && able.iter().any(|(able, _)| able == number));
        let Some((_, by)) = heirs.min().copied() else { return self.count("heirs suspended") };
        self.certificate(by, &[(by, Some(Role::Owner))], due, n);
        self.count("taken over");
    }

    fn share(&mut self, by: u64, n: u64) {
        let other = self.draw(usize::try_from(PEOPLE).unwrap()) as u64;
        let person = self.people[&other].clone();
        if other == by {
            return;
        }
        let roles = [Role::Owner, Role::Manager, Role::Contributor, Role::Reader];
        let from = if person.outsider { 2 } else { 0 };
        let role = roles[from + self.draw(4 - from)];
        let has = self.model.roles.get(&other).copied();
        match has {
            Some(_) if self.draw(3) == 0 => {
                self.certificate(by, &[(other, None)], true, n);
                self.count("removed");
            }
            has if has != Some(role) && !person.revoked => {
                let with_key = self.draw(4) == 0;
                self.certificate(by, &[(other, Some(role))], with_key, n);
                self.count("shared");
            }
            _ => {}
        }
    }
}

#[test]
fn honest_lives_are_never_refused_and_due_safes_are_mended() {
    let mut all: BTreeMap<&'static str, u64> = BTreeMap::new();
    let lives = runs(100, 2_000);
    for seed in 0..lives {
        let mut life = Life::new(seed);
        for _ in 0..60 {
            if life.draw(3) == 0 {
                life.organisation();
            }
            life.act();
        }
        for (what, times) in life.seen {
            *all.entry(what).or_default() += times;
        }
    }
    let (items, mended) = (all["items"], all["mended"]);
    println!(
        "figure S18: {lives} lives of a safe, {items} honest items, {mended} due keys mended: none refused"
    );
    println!("{all:?}");
    for what in [
        "items",
        "records",
        "mended",
        "shared",
        "removed",
        "leaving",
        "taken over",
        "revoked",
        "lost a device",
        "changed a key",
        "new device",
        "another profile",
    ] {
        assert!(all.get(what).copied().unwrap_or_default() > 0, "{what} never happened");
    }
}

/// The log as it was after n certificates is the log of these n.
#[test]
fn a_log_knows_itself_at_every_place() {
    let mut life = Life::new(77);
    for _ in 0..60 {
        life.organisation();
    }
    let whole = &life.bench.org.log;
    let mut short = Org::empty();
    for n in 0..=whole.count() {
        let at = |log: &VerifiedLog, n| {
            let users: Vec<_> = (0..life.next).map(|number| sure(log.user_at(&user(number), n))).collect();
            let devices: Vec<_> =
                (0..life.next).map(|number| sure(log.device_at(&device(number), n))).collect();
            (users, devices, sure(log.changed_before(n)))
        };
        assert_eq!(at(whole, n), at(&short.log, u64::MAX));
        for number in 0..PEOPLE {
            let suspended = sure(whole.user_at(&user(number), n)).is_some_and(|user| user.suspended);
            assert_eq!(suspended, short.log.is_suspended(&user(number)));
        }
        if let Some(envelope) = life.bench.org.envelopes.get(usize::try_from(n).unwrap()) {
            short.log.push(envelope).unwrap();
        }
    }
    // On a checkpoint's word, too.
    let key = CheckpointKey::of(&LocalStoreKey::from_bytes(&mut [7; 32]));
    let note = Checkpoint::of(whole, &key).encode();
    let root = root_key(0).verify_key();
    let envelopes = &life.bench.org.envelopes;
    let resumed =
        VerifiedLog::resume(organisation(), root, envelopes, Some((&note, &key)), &Sequential).unwrap();
    assert_eq!(resumed.freshly_verified(), 0);
    for n in 0..=whole.count() {
        for number in 0..life.next {
            assert_eq!(resumed.user_at(&user(number), n), whole.user_at(&user(number), n));
            assert_eq!(resumed.device_at(&device(number), n), whole.device_at(&device(number), n));
        }
        assert_eq!(resumed.changed_before(n), whole.changed_before(n));
    }
}

/// A device that the organisation's log doesn't have yet is no holder, and one that comes is.
#[test]
fn who_gets_a_first_device_becomes_a_holder_without_news() {
    let mut bench = Bench::created();
    bench.org(0, user_body(8, Profile::Standard));
    let share = safes::sharing(&[(8, Some(Role::Reader))]);
    bench.say(safes::OWNER, share);
    assert!(bench.safe.holders().all(|(id, _)| *id != user(8)));
    bench.org.say(By::Device(0), device_body(8, 8));
    bench.write(safes::OWNER);
    assert!(bench.safe.holders().any(|(id, _)| *id == user(8)));
    let n = bench.org.log.count();
    assert_eq!(sure(rules::ring_list(&bench.safe, &bench.org.log, n, &[])).0.len(), 2);
}
