//! The vectors of a safe's two logs: each a whole safe in a whole organisation, whose last item has
//! one fault, or none.
//!
//! Decides one vector for each rule of docs/protocol.md that a short log can break. Those that take
//! thousands of items (a full log, its kept tenth, members and keys without number) are tests of
//! `safe_rules.rs` alone.

use parsec_protocol::chain::organisation::certificate::{self as org, Profile};
use parsec_protocol::ids::{ObjectId, SafeId, Timestamp};
use parsec_protocol::safe_log::certificate::{Body, Key, Payload, State};
use parsec_protocol::safe_log::record;
use parsec_protocol::safe_log::roles::Role;
use serde_json::{Value, json};

use crate::check::hex;
use crate::make::Set;
use crate::safes::{
    Bench, CONTRIBUTOR, MANAGER, OUTSIDER, OWNER, READER, STRANGER, changed, changes, hash, safe_id, sharing,
    signed, written,
};
use crate::support::{
    BEGINNING, By, device, foreign_head, key_change, organisation, root_key, user, user_body,
};

const READS: Option<Role> = Some(Role::Reader);
const WRITES: Option<Role> = Some(Role::Contributor);
const MANAGES: Option<Role> = Some(Role::Manager);
const OWNS: Option<Role> = Some(Role::Owner);

/// A safe, with the items that made it.
#[derive(Clone)]
struct Life {
    bench: Bench,
    items: Vec<(bool, Vec<u8>)>,
}

impl Life {
    fn empty() -> Self {
        Self { bench: Bench::empty(), items: Vec::new() }
    }

    fn created() -> Self {
        let mut life = Self::empty();
        let creation = life.bench.creation(OWNER);
        life.say(OWNER, creation);
        life
    }

    /// One of each role, and an outsider who reads.
    fn shared() -> Self {
        let mut life = Self::created();
        let roles = [(MANAGER, MANAGES), (CONTRIBUTOR, WRITES), (READER, READS), (OUTSIDER, READS)];
        life.say(OWNER, sharing(&roles));
        life
    }

    fn say(&mut self, by: u64, body: Body) {
        self.items.push((false, signed(by, &self.bench.payload(by, body.clone()))));
        self.bench.say(by, body);
    }

    fn write(&mut self, by: u64) {
        self.items.push((true, written(by, &self.bench.record(by))));
        self.bench.write(by);
    }

    fn org(&mut self, by: u64, body: org::Body) {
        self.bench.org(by, body);
    }

    /// What it gives, with a last item behind its own.
    fn given(&self, last: Option<(bool, Vec<u8>)>) -> Value {
        let items: Vec<Value> = self
            .items
            .iter()
            .cloned()
            .chain(last)
            .map(|(is_record, bytes)| json!([u8::from(is_record), hex(&bytes)]))
            .collect();
        let envelopes: Vec<String> = self.bench.org.envelopes.iter().map(|bytes| hex(bytes)).collect();
        json!({
            "organisation": organisation(), "root": hex(root_key(0).verify_key().as_bytes()),
            "envelopes": envelopes, "safe": safe_id(), "items": items,
        })
    }
}

/// Vectors of one kind: what is said of them, and where they go.
struct Logs<'a>(&'a mut Set);

impl Logs<'_> {
    fn stands(&mut self, about: &str, life: &Life) {
        let now = life.bench.safe.present().unwrap();
        let gives = json!({
            "items": life.items.len(), "log": now.log.hash, "journal": now.journal.hash,
            "due": life.bench.is_due(),
        });
        self.0.put(about, &life.given(None), Ok(gives));
    }

    fn bytes(&mut self, about: &str, life: &Life, last: (bool, Vec<u8>), fault: &str) {
        self.0.put(about, &life.given(Some(last)), Err(fault));
    }

    fn refuses(&mut self, about: &str, life: &Life, by: u64, body: Body, fault: &str) {
        self.changed(about, life, (by, body), fault, |_| {});
    }

    fn changed(
        &mut self,
        about: &str,
        life: &Life,
        (by, body): (u64, Body),
        fault: &str,
        change: impl FnOnce(&mut Payload),
    ) {
        let mut payload = life.bench.payload(by, body);
        change(&mut payload);
        self.bytes(about, life, (false, signed(by, &payload)), fault);
    }

    fn record(
        &mut self,
        about: &str,
        life: &Life,
        by: u64,
        fault: &str,
        change: impl FnOnce(&mut record::Payload),
    ) {
        let mut payload = life.bench.record(by);
        change(&mut payload);
        self.bytes(about, life, (true, written(by, &payload)), fault);
    }
}

/// Puts each envelope and item once, and in its place in the vectors its number: most are in most.
pub(crate) fn numbered(mut made: Value) -> Value {
    let mut bytes: Vec<Value> = Vec::new();
    let mut number = |one: &mut Value| {
        let at = bytes.iter().position(|other| other == one).unwrap_or_else(|| {
            bytes.push(one.clone());
            bytes.len() - 1
        });
        *one = json!(at);
    };
    for vector in made["vectors"].as_array_mut().unwrap() {
        vector["given"]["envelopes"].as_array_mut().unwrap().iter_mut().for_each(&mut number);
        vector["given"]["items"].as_array_mut().unwrap().iter_mut().for_each(|item| number(&mut item[1]));
    }
    made["bytes"] = json!(bytes);
    made
}

pub(crate) fn all(set: &mut Set) {
    let set = &mut Logs(set);
    form_and_place(set);
    authors(set);
    beginning(set);
    roles(set);
    keys(set);
    states(set);
    records(set);
}

fn form_and_place(set: &mut Logs<'_>) {
    let life = Life::shared();
    set.stands("a safe that is shared", &life);
    let add = || (OWNER, sharing(&[(STRANGER, READS)]));
    let fine = signed(OWNER, &life.bench.payload(OWNER, add().1));
    set.bytes("a certificate that was cut", &life, (false, fine[..fine.len() - 1].to_vec()), "Malformed");
    set.bytes("a byte behind a certificate", &life, (false, [&fine[..], &[0]].concat()), "Malformed");
    set.bytes("a certificate in the place of a record", &life, (true, fine.clone()), "Malformed");
    let mut flipped = fine;
    *flipped.last_mut().unwrap() ^= 1;
    set.bytes("a signature with another last bit", &life, (false, flipped), "BadSignature");
    let other = || "other".parse().unwrap();
    set.changed("of another organisation", &life, add(), "WrongOrganisation", |it| it.organisation = other());
    set.changed("of another safe", &life, add(), "WrongSafe", |it| it.safe = SafeId::from_bytes([6; 16]));
    set.record("a record of another organisation", &life, OWNER, "WrongOrganisation", |it| {
        it.organisation = other();
    });
    set.record("a record of another safe", &life, OWNER, "WrongSafe", |it| {
        it.safe = SafeId::from_bytes([6; 16]);
    });
    let mut life = Life::shared();
    life.write(CONTRIBUTOR);
    let (before, place) = {
        let now = life.bench.safe.present().unwrap();
        (now.log, now.journal)
    };
    life.say(OWNER, sharing(&[(STRANGER, READS)]));
    life.write(CONTRIBUTOR);
    set.stands("certificates and records between each other", &life);
    let change = || (OWNER, changed(&[(STRANGER, WRITES)]));
    set.changed("behind a certificate that has one behind it", &life, change(), "NotNext", |it| {
        it.previous = before;
    });
    set.changed("behind another certificate", &life, change(), "NotNext", |it| {
        it.previous.hash = hash("another");
    });
    set.changed("one further than the next", &life, change(), "NotNext", |it| it.previous.count += 1);
    set.changed("for an earlier end of the journal", &life, change(), "OtherPlace", |it| it.place = place);
    set.record("a record with the next but one number", &life, CONTRIBUTOR, "NotNext", |it| it.seq += 1);
    set.record("a record behind another", &life, CONTRIBUTOR, "NotNext", |it| it.previous = place.hash);
    set.record("a record for an earlier end of the log", &life, CONTRIBUTOR, "OtherPlace", |it| {
        it.log = before;
    });
    let mut life = Life::shared();
    let old = life.bench.org.log.head();
    life.org(0, user_body(7, Profile::Standard));
    life.write(CONTRIBUTOR);
    let count = life.bench.org.log.count();
    let heads = [
        ("more than the organisation's log has", foreign_head(count + 1), "SeenAhead"),
        ("another log of the organisation", foreign_head(count), "ForkedView"),
        ("less than the item before", old, "SeenWentBack"),
    ];
    for (what, head, fault) in heads {
        set.changed(&format!("its author has seen {what}"), &life, add(), fault, |it| it.seen = head);
        let about = format!("a record whose author has seen {what}");
        set.record(&about, &life, CONTRIBUTOR, fault, |it| it.seen = head);
    }
}

fn authors(set: &mut Logs<'_>) {
    let mut life = Life::shared();
    life.org(1, org::Body::DeviceRevoked { device: device(10) });
    life.org(1, key_change(1, 1, 901));
    life.org(0, org::Body::UserRevoked { user: user(CONTRIBUTOR) });
    let rekey = life.bench.rekey(&[]);
    for (what, by, fault) in [
        ("a device that nobody knows", 777, "AuthorUnknown"),
        ("a revoked device", 10, "AuthorRevoked"),
        ("a device of a revoked user", CONTRIBUTOR, "AuthorRevoked"),
        ("a recovery device", 200, "RecoveryDevice"),
    ] {
        set.refuses(&format!("by {what}"), &life, by, rekey.clone(), fault);
        set.record(&format!("a record by {what}"), &life, by, fault, |_| {});
    }
    let payload = life.bench.payload(OWNER, rekey.clone());
    set.bytes("signed by another device", &life, (false, signed(MANAGER, &payload)), "BadSignature");
    let other = payload.sign_with(|_, message| {
        By::Device(OWNER).sign(parsec_protocol::public_keys::Context::Record, message)
    });
    set.bytes("signed as a record", &life, (false, other), "BadSignature");
    life.say(OWNER, rekey);
    set.stands("a key for those who are left", &life);
    let mut life = Life::shared();
    life.org(2, org::Body::DeviceRevoked { device: device(20) });
    set.refuses("by somebody suspended", &life, MANAGER, life.bench.rekey(&[]), "Suspended");
    set.record("a record by somebody suspended", &life, MANAGER, "Suspended", |_| {});
    life.say(MANAGER, changed(&[(MANAGER, None)]));
    set.stands("somebody suspended leaves", &life);
}

fn beginning(set: &mut Logs<'_>) {
    let life = Life::empty();
    let creation = |by| life.bench.creation(by);
    set.refuses("a change of nothing", &life, OWNER, changed(&[]), "Beginning");
    set.refuses("a safe of an outsider", &life, OUTSIDER, creation(OUTSIDER), "OutsiderCreates");
    set.refuses("a first key for somebody else", &life, OWNER, creation(MANAGER), "WrongList");
    let with = |suite, format| match creation(OWNER) {
        Body::Created { key_check, list, ring, .. } => Body::Created { suite, format, key_check, list, ring },
        other => other,
    };
    set.refuses("of an unknown suite", &life, OWNER, with(2, 1), "UnknownFormat");
    set.refuses("of an unknown format", &life, OWNER, with(1, 2), "UnknownFormat");
    let theirs = life.bench.payload(MANAGER, creation(MANAGER));
    set.changed("on the beginning of another founder", &life, (OWNER, creation(OWNER)), "NotNext", |it| {
        it.previous = theirs.previous;
    });
    let life = Life::created();
    set.stands("a safe that was made", &life);
    set.refuses("made twice", &life, OWNER, life.bench.creation(OWNER), "Beginning");
}

fn roles(set: &mut Logs<'_>) {
    let life = Life::shared();
    let add = |role| sharing(&[(STRANGER, role)]);
    let one = |number, role| changed(&[(number, role)]);
    for (about, by, body, fault) in [
        ("a manager makes a manager", MANAGER, add(MANAGES), "NotOwner"),
        ("a manager lowers an owner", MANAGER, one(OWNER, READS), "NotOwner"),
        ("a manager raises a contributor to themselves", MANAGER, one(CONTRIBUTOR, MANAGES), "NotOwner"),
        ("a contributor shares", CONTRIBUTOR, add(READS), "NotManager"),
        ("a contributor raises themselves", CONTRIBUTOR, one(CONTRIBUTOR, MANAGES), "OwnRole"),
        ("a reader raises themselves", READER, one(READER, WRITES), "OwnRole"),
        ("a reader lowers somebody", READER, one(CONTRIBUTOR, READS), "NotManager"),
        ("somebody without a role shares with themselves", STRANGER, add(READS), "NoRole"),
        ("a manager takes over while there is an owner", MANAGER, one(MANAGER, OWNS), "TakeOver"),
        ("the only owner lowers themselves", OWNER, one(OWNER, READS), "LastOwner"),
        ("the only owner leaves", OWNER, one(OWNER, None), "LastOwner"),
        ("the role that somebody has", OWNER, one(READER, READS), "SameRole"),
        ("none for somebody who has none", OWNER, one(STRANGER, None), "SameRole"),
        ("an outsider manages", OWNER, one(OUTSIDER, MANAGES), "OutsiderRole"),
        ("for somebody whom nobody knows", OWNER, sharing(&[(999, READS)]), "SubjectUnknown"),
        ("boxes for nobody", OWNER, sharing(&[(READER, WRITES)]), "Boxes"),
        ("no boxes for somebody new", OWNER, changed(&[(STRANGER, READS)]), "Boxes"),
        ("somebody goes, and the key stays", OWNER, one(READER, None), "KeyMissing"),
        ("who leaves brings a key", MANAGER, life.bench.rekey(&[(MANAGER, None)]), "LeavesAlone"),
        ("who leaves changes others", MANAGER, changed(&[(MANAGER, None), (READER, WRITES)]), "LeavesAlone"),
        ("a witness of nothing new", READER, changed(&[]), "NothingNew"),
    ] {
        set.refuses(about, &life, by, body, fault);
    }
    let two = changes(&[(MANAGER, READS), (CONTRIBUTOR, READS)]);
    for (about, list) in [("changes in another order", [two[1], two[0]]), ("one change twice", [two[0]; 2])] {
        let body = Body::Changed { changes: list.to_vec(), key: None, boxes: None };
        set.refuses(about, &life, OWNER, body, "Changes");
    }
    let mut gone = life.clone();
    gone.org(0, org::Body::UserRevoked { user: user(STRANGER) });
    set.refuses("for somebody revoked", &gone, OWNER, add(READS), "SubjectRevoked");
    let mut alone = life.clone();
    alone.org(0, org::Body::ProfileChange { user: user(OWNER), profile: Profile::Outsider });
    set.refuses("a takeover by a lower one", &alone, CONTRIBUTOR, one(CONTRIBUTOR, OWNS), "TakeOver");
    alone.say(MANAGER, one(MANAGER, OWNS));
    set.stands("a takeover by the highest who is left", &alone);
    let mut seen = life;
    seen.org(0, key_change(0, 0, 900));
    seen.say(READER, changed(&[]));
    set.stands("a witness", &seen);
}

fn keys(set: &mut Logs<'_>) {
    let mut life = Life::shared();
    life.say(OWNER, life.bench.rekey(&[(READER, None)]));
    set.stands("somebody goes, and the key changes", &life);
    let keyed = |life: &Life, change: fn(&mut Key)| {
        let mut key = life.bench.key_for(&[]);
        change(&mut key);
        Body::Changed { changes: Vec::new(), key: Some(key), boxes: None }
    };
    for (about, by, body, fault) in [
        ("a key of the present epoch", OWNER, keyed(&life, |key| key.epoch -= 1), "WrongEpoch"),
        ("a key of the next epoch but one", OWNER, keyed(&life, |key| key.epoch += 1), "WrongEpoch"),
        ("a key for others", OWNER, keyed(&life, |key| key.list = hash("list")), "WrongList"),
        ("a key by a contributor, and none is due", CONTRIBUTOR, keyed(&life, |_| {}), "NotManager"),
        ("more lost epochs than there were", OWNER, keyed(&life, |key| key.lost = 3), "LostTooMany"),
        ("a manager declares a key lost", MANAGER, keyed(&life, |key| key.lost = 1), "NotOwner"),
    ] {
        set.refuses(about, &life, by, body, fault);
    }
    life.say(OWNER, keyed(&life, |key| key.lost = 2));
    set.stands("two keys are declared lost", &life);
    let mut due = Life::shared();
    due.org(0, org::Body::UserRevoked { user: user(READER) });
    set.stands("somebody is revoked, and a key is due", &due);
    set.refuses("shared while a key is due", &due, OWNER, sharing(&[(STRANGER, READS)]), "Due");
    set.record("a record while a key is due", &due, CONTRIBUTOR, "Due", |_| {});
    due.say(CONTRIBUTOR, due.bench.rekey(&[]));
    set.stands("a contributor brings the key that is due", &due);
}

fn states(set: &mut Logs<'_>) {
    let mut life = Life::shared();
    let state = |state| Body::State { state, format: 1, suite: 1 };
    let end = Timestamp(BEGINNING * 2);
    set.refuses("a manager closes a safe", &life, MANAGER, state(State::ReadOnly), "NotOwner");
    set.refuses("what is open is opened", &life, OWNER, state(State::Open), "SameState");
    let unknown = Body::State { state: State::ReadOnly, format: 2, suite: 1 };
    set.refuses("raised to an unknown format", &life, OWNER, unknown, "UnknownFormat");
    life.say(OWNER, state(State::ReadOnly));
    set.stands("a safe that is closed for writing", &life);
    set.record("a record in a closed safe", &life, OWNER, "NotOpen", |_| {});
    life.say(OWNER, state(State::Deleted(end)));
    set.changed("opened after its time", &life, (OWNER, state(State::Open)), "Deleted", |it| it.time = end);
    life.say(OWNER, state(State::Open));
    life.write(OWNER);
    set.stands("a safe that was to be deleted, and is open", &life);
}

fn records(set: &mut Logs<'_>) {
    let life = Life::shared();
    let object = ObjectId::from_bytes([1; 16]);
    set.record("a record of a later epoch", &life, CONTRIBUTOR, "WrongEpoch", |it| it.epoch = 1);
    set.record("a record by a reader", &life, READER, "NotWriter", |_| {});
    set.record("a record by somebody without a role", &life, STRANGER, "NoRole", |_| {});
    set.record("a contributor drops an object", &life, CONTRIBUTOR, "NotManager", |it| {
        it.drops = vec![object];
    });
    let mut dropped = life.clone();
    let mut payload = dropped.bench.record(MANAGER);
    payload.drops = vec![object];
    let record = written(MANAGER, &payload);
    dropped.bench.safe.push_record(&record, &dropped.bench.org.log).unwrap();
    dropped.items.push((true, record));
    set.stands("a manager drops an object", &dropped);
    let mut rekeyed = life;
    rekeyed.say(OWNER, rekeyed.bench.rekey(&[]));
    set.record("a record of an earlier epoch", &rekeyed, CONTRIBUTOR, "WrongEpoch", |it| it.epoch = 0);
}
