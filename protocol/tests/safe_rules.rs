//! The rules of a safe's log and journal, each with the bad input that breaks it and with its twin
//! that breaks nothing.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "support/safes.rs"]
mod safes;
mod support;

use std::collections::BTreeMap;
use std::convert::Infallible;

use parsec_protocol::chain::candidate::Candidate;
use parsec_protocol::chain::organisation::certificate::{self as org, Profile};
use parsec_protocol::chain::view::NotAccepted;
use parsec_protocol::codec;
use parsec_protocol::ids::{ObjectId, OrganisationId, SafeId, Timestamp, UserId};
use parsec_protocol::limits::{
    EPOCHS_MAX, RECORD_MAX_BYTES, RING_PART_BOXES, SAFE_CERTIFICATE_MAX_BYTES, SAFE_CHANGES_MAX,
    SAFE_LOG_KEPT_CERTIFICATES, SAFE_LOG_MAX_CERTIFICATES, SAFE_MEMBERS_MAX,
};
use parsec_protocol::public_keys::Context;
use parsec_protocol::safe_log::certificate::{Body, Key, State};
use parsec_protocol::safe_log::effects::Holders;
use parsec_protocol::safe_log::record;
use parsec_protocol::safe_log::ring::{
    BoxFor, Expected, Recipient, RingFault, RingHead, RingList, RingPart, boxes_hash,
};
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safe_log::rules::{self, Fault};
use parsec_protocol::safe_log::safe::{NotTaken, VerifiedSafe};
use parsec_protocol::safe_log::view::{Present, SafeView};
use parsec_protocol::sealing::{KeyHash, SECRET_BOX_BYTES};
use safes::{
    Bench, CONTRIBUTOR, MANAGER, OUTSIDER, OWNER, READER, STRANGER, changed, changes, hash, sharing, signed,
    written,
};
use support::{By, device, device_body, foreign_head, key_change, organisation, user, user_body};

const READS: Option<Role> = Some(Role::Reader);
const WRITES: Option<Role> = Some(Role::Contributor);
const MANAGES: Option<Role> = Some(Role::Manager);
const OWNS: Option<Role> = Some(Role::Owner);

/// Nothing but what is about a person's key: seen by everybody, and about nobody in the safe.
fn news() -> org::Body {
    key_change(0, 0, 900)
}

// --- form, place, author

#[test]
fn bytes_of_another_form_or_size_are_nothing() {
    let bench = Bench::shared();
    let fine = signed(OWNER, &bench.payload(OWNER, sharing(&[(STRANGER, READS)])));
    assert_eq!(bench.judge(&fine), Ok(()));
    let cut = &fine[..fine.len() - 1];
    let trailing = [fine.as_slice(), &[0]].concat();
    let long = vec![0; SAFE_CERTIFICATE_MAX_BYTES + 1];
    for bad in [cut, &trailing, &long, b""] {
        assert_eq!(bench.judge(bad), Err(NotTaken::Fault(Fault::Malformed)));
    }
    let mut large = bench.record(OWNER);
    large.ciphertext = vec![1; RECORD_MAX_BYTES - 1_000].into();
    assert_eq!(bench.judge_record(&written(OWNER, &large)), Ok(()));
    large.ciphertext = vec![1; RECORD_MAX_BYTES].into();
    assert_eq!(bench.judge_record(&written(OWNER, &large)), Err(NotTaken::Fault(Fault::Malformed)));
    // A certificate is no record, nor the other way round.
    assert_eq!(bench.judge_record(&fine), Err(NotTaken::Fault(Fault::Malformed)));
    let record = written(OWNER, &bench.record(OWNER));
    assert_eq!(bench.judge(&record), Err(NotTaken::Fault(Fault::Malformed)));
}

#[test]
fn another_organisation_or_safe_is_another() {
    let bench = Bench::shared();
    let other: OrganisationId = "other".parse().unwrap();
    let body = sharing(&[(STRANGER, READS)]);
    bench.refuses_change(OWNER, body.clone(), Fault::WrongOrganisation, |it| it.organisation = other.clone());
    bench.refuses_change(OWNER, body, Fault::WrongSafe, |it| it.safe = SafeId::from_bytes([6; 16]));
    bench.refuses_record(OWNER, Fault::WrongOrganisation, |it| it.organisation = other);
    bench.refuses_record(OWNER, Fault::WrongSafe, |it| it.safe = SafeId::from_bytes([6; 16]));
}

#[test]
fn previous_and_place_are_exactly_the_present_ends() {
    let mut bench = Bench::shared();
    bench.write(CONTRIBUTOR);
    let before = bench.safe.present().unwrap().log;
    let place = bench.safe.present().unwrap().journal;
    bench.say(OWNER, sharing(&[(STRANGER, READS)]));
    bench.write(CONTRIBUTOR);
    let body = changed(&[(STRANGER, WRITES)]);
    bench.refuses_change(OWNER, body.clone(), Fault::NotNext, |it| it.previous = before);
    bench.refuses_change(OWNER, body.clone(), Fault::NotNext, |it| it.previous.hash = hash("another"));
    bench.refuses_change(OWNER, body.clone(), Fault::NotNext, |it| it.previous.count += 1);
    bench.refuses_change(OWNER, body.clone(), Fault::OtherPlace, |it| it.place = place);
    bench.refuses_change(OWNER, body, Fault::OtherPlace, |it| it.place.hash = hash("another"));
    bench.refuses_record(CONTRIBUTOR, Fault::NotNext, |it| it.seq += 1);
    bench.refuses_record(CONTRIBUTOR, Fault::NotNext, |it| it.seq -= 1);
    bench.refuses_record(CONTRIBUTOR, Fault::NotNext, |it| it.previous = place.hash);
    bench.refuses_record(CONTRIBUTOR, Fault::OtherPlace, |it| it.log = before);
    bench.refuses_record(CONTRIBUTOR, Fault::OtherPlace, |it| it.log.hash = hash("another"));
}

#[test]
fn seen_is_a_head_of_the_organisation_and_never_falls() {
    let mut bench = Bench::shared();
    let old = bench.org.log.head();
    bench.org(0, user_body(7, Profile::Standard));
    bench.write(CONTRIBUTOR);
    let ahead = foreign_head(bench.org.log.count() + 1);
    let forked = foreign_head(bench.org.log.count());
    for (seen, fault) in [(ahead, Fault::SeenAhead), (forked, Fault::ForkedView), (old, Fault::SeenWentBack)]
    {
        bench.refuses_change(OWNER, sharing(&[(STRANGER, READS)]), fault, |it| it.seen = seen);
        bench.refuses_record(CONTRIBUTOR, fault, |it| it.seen = seen);
    }
}

#[test]
fn authors_are_known_ordinary_devices_and_sign_themselves() {
    let mut bench = Bench::shared();
    bench.org(1, org::Body::DeviceRevoked { device: device(10) });
    bench.org(1, key_change(1, 1, 901));
    bench.org(0, org::Body::UserRevoked { user: user(CONTRIBUTOR) });
    let rekey = bench.rekey(&[]);
    bench.takes(OWNER, rekey.clone());
    for (by, fault) in [
        (777, Fault::AuthorUnknown),
        (10, Fault::AuthorRevoked),
        (CONTRIBUTOR, Fault::AuthorRevoked),
        (200, Fault::RecoveryDevice),
    ] {
        bench.refuses(by, rekey.clone(), fault);
        bench.refuses_writer(by, fault);
    }
    let payload = bench.payload(OWNER, rekey);
    assert_eq!(bench.judge(&signed(MANAGER, &payload)), Err(NotTaken::Fault(Fault::BadSignature)));
}

#[test]
fn signatures_of_other_contexts_are_none() {
    let bench = Bench::shared();
    let payload = bench.payload(OWNER, sharing(&[(STRANGER, READS)]));
    let record = bench.record(OWNER);
    for context in Context::ALL {
        let bad = payload.sign_with(|_, message| By::Device(OWNER).sign(context, message));
        assert_eq!(bench.judge(&bad).is_ok(), context == Context::SafeCertificate);
        let bad = record.sign_with(|_, message| By::Device(OWNER).sign(context, message));
        assert_eq!(bench.judge_record(&bad).is_ok(), context == Context::Record);
    }
}

// --- created

#[test]
fn a_safe_begins_with_its_creation_and_has_one() {
    let bench = Bench::empty();
    bench.takes(OWNER, bench.creation(OWNER));
    bench.refuses(OWNER, changed(&[]), Fault::Beginning);
    let mut created = Bench::created();
    created.refuses(OWNER, created.creation(OWNER), Fault::Beginning);
    let record = written(OWNER, &created.record(OWNER));
    assert_eq!(bench.judge_record(&record), Err(NotTaken::Fault(Fault::Beginning)));
    assert_eq!(created.safe.role(&user(OWNER)), OWNS);
    created.write(OWNER);
    // Whose id it is first is part of both chains: the same id by another device is another safe.
    let theirs = bench.payload(MANAGER, bench.creation(MANAGER));
    assert_ne!(theirs.previous, bench.payload(OWNER, bench.creation(OWNER)).previous);
    bench.refuses_change(OWNER, bench.creation(OWNER), Fault::NotNext, |it| it.previous = theirs.previous);
    bench.refuses_change(OWNER, bench.creation(OWNER), Fault::OtherPlace, |it| it.place = theirs.place);
}

#[test]
fn outsiders_and_the_suspended_create_no_safe() {
    let mut bench = Bench::empty();
    bench.refuses(OUTSIDER, bench.creation(OUTSIDER), Fault::OutsiderCreates);
    bench.org(0, org::Body::DeviceRevoked { device: device(10) });
    bench.refuses(OWNER, bench.creation(OWNER), Fault::Suspended);
    bench.org(1, key_change(1, 1, 901));
    bench.takes(OWNER, bench.creation(OWNER));
}

#[test]
fn a_creation_is_of_a_known_form_for_its_author_alone() {
    let bench = Bench::empty();
    let change = |with: fn(&mut Body)| {
        let mut body = bench.creation(OWNER);
        with(&mut body);
        body
    };
    for (body, fault) in [
        (
            change(|it| {
                if let Body::Created { suite, .. } = it {
                    *suite = 2
                }
            }),
            Fault::UnknownFormat,
        ),
        (
            change(|it| {
                if let Body::Created { format, .. } = it {
                    *format = 2
                }
            }),
            Fault::UnknownFormat,
        ),
        (
            change(|it| {
                if let Body::Created { format, .. } = it {
                    *format = 0
                }
            }),
            Fault::UnknownFormat,
        ),
        (
            change(|it| {
                if let Body::Created { list, .. } = it {
                    *list = hash("list")
                }
            }),
            Fault::WrongList,
        ),
        (bench.creation(MANAGER), Fault::WrongList),
    ] {
        bench.refuses(OWNER, body, fault);
    }
}

// --- who may change what

#[test]
fn who_may_make_which_change() {
    let bench = Bench::shared();
    let add = |role| (STRANGER, role);
    // By whom, what, and the fault, if it is one.
    type Case = (u64, (u64, Option<Role>), Option<Fault>);
    let cases: &[Case] = &[
        (OWNER, add(OWNS), None),
        (OWNER, add(MANAGES), None),
        (OWNER, (MANAGER, READS), None),
        (OWNER, (READER, OWNS), None),
        (MANAGER, add(WRITES), None),
        (MANAGER, add(READS), None),
        (MANAGER, (CONTRIBUTOR, READS), None),
        (MANAGER, (READER, WRITES), None),
        (MANAGER, add(MANAGES), Some(Fault::NotOwner)),
        (MANAGER, add(OWNS), Some(Fault::NotOwner)),
        (MANAGER, (CONTRIBUTOR, MANAGES), Some(Fault::NotOwner)),
        (MANAGER, (OWNER, READS), Some(Fault::NotOwner)),
        (MANAGER, (MANAGER, WRITES), Some(Fault::NotOwner)),
        (CONTRIBUTOR, add(READS), Some(Fault::NotManager)),
        (CONTRIBUTOR, (READER, WRITES), Some(Fault::NotManager)),
        (CONTRIBUTOR, (CONTRIBUTOR, MANAGES), Some(Fault::OwnRole)),
        (CONTRIBUTOR, (CONTRIBUTOR, READS), Some(Fault::NotManager)),
        (READER, (READER, WRITES), Some(Fault::OwnRole)),
        (READER, (CONTRIBUTOR, READS), Some(Fault::NotManager)),
        (STRANGER, add(READS), Some(Fault::NoRole)),
    ];
    for (by, change, fault) in cases {
        let body = if change.0 == STRANGER { sharing(&[*change]) } else { changed(&[*change]) };
        match fault {
            Some(fault) => bench.refuses(*by, body, *fault),
            None => bench.takes(*by, body),
        }
    }
    let refused = cases.iter().filter(|(_, _, fault)| fault.is_some()).count();
    println!(
        "figure S17: {} changes by members of every role: {refused} refused, the others taken",
        cases.len()
    );
    // Taking over needs that nobody is an owner.
    bench.refuses(MANAGER, changed(&[(MANAGER, OWNS)]), Fault::TakeOver);
    // Taking a role away.
    bench.takes(MANAGER, bench.rekey(&[(READER, None)]));
    bench.refuses(MANAGER, bench.rekey(&[(OWNER, None)]), Fault::NotOwner);
    bench.refuses(CONTRIBUTOR, bench.rekey(&[(READER, None)]), Fault::NotManager);
    // Everybody leaves as they like.
    for by in [MANAGER, CONTRIBUTOR, READER, OUTSIDER] {
        bench.takes(by, changed(&[(by, None)]));
    }
}

#[test]
fn changes_are_few_in_order_and_about_people_who_are_there() {
    let mut bench = Bench::shared();
    bench.org(0, user_body(7, Profile::Standard));
    bench.org(0, device_body(7, 7));
    bench.org(0, org::Body::UserRevoked { user: user(7) });
    let two = changes(&[(MANAGER, READS), (CONTRIBUTOR, READS)]);
    let body = |changes| Body::Changed { changes, key: None, boxes: None };
    bench.takes(OWNER, body(two.clone()));
    bench.refuses(OWNER, body(vec![two[1], two[0]]), Fault::Changes);
    bench.refuses(OWNER, body(vec![two[0], two[0]]), Fault::Changes);
    let many: Vec<(u64, Option<Role>)> = (0..=SAFE_CHANGES_MAX as u64).map(|at| (100 + at, READS)).collect();
    bench.refuses(OWNER, sharing(&many), Fault::Changes);
    bench.refuses(OWNER, sharing(&many[1..]), Fault::SubjectUnknown);
    bench.refuses(OWNER, sharing(&[(7, READS)]), Fault::SubjectRevoked);
    bench.refuses(OWNER, changed(&[(READER, READS)]), Fault::SameRole);
    bench.refuses(OWNER, changed(&[(STRANGER, None)]), Fault::SameRole);
    bench.takes(OWNER, changed(&[(OUTSIDER, WRITES)]));
    bench.refuses(OWNER, changed(&[(OUTSIDER, MANAGES)]), Fault::OutsiderRole);
    bench.refuses(OWNER, changed(&[(OUTSIDER, OWNS)]), Fault::OutsiderRole);
}

#[test]
fn the_last_owner_stays_one() {
    let mut bench = Bench::shared();
    bench.refuses(OWNER, changed(&[(OWNER, READS)]), Fault::LastOwner);
    bench.refuses(OWNER, changed(&[(OWNER, None)]), Fault::LastOwner);
    bench.say(OWNER, changed(&[(MANAGER, OWNS)]));
    bench.takes(OWNER, changed(&[(OWNER, READS)]));
    bench.takes(OWNER, changed(&[(OWNER, None)]));
    // An owner who is an outsider is none.
    bench.org(0, org::Body::ProfileChange { user: user(MANAGER), profile: Profile::Outsider });
    bench.refuses(OWNER, changed(&[(OWNER, READS)]), Fault::LastOwner);
}

#[test]
fn who_has_no_role_that_counts_does_nothing() {
    let bench = Bench::shared();
    bench.refuses(STRANGER, changed(&[(STRANGER, READS)]), Fault::NoRole);
    bench.refuses_writer(STRANGER, Fault::NoRole);
    bench.refuses_writer(READER, Fault::NotWriter);
}

#[test]
fn the_suspended_leave_and_do_nothing_else() {
    let mut bench = Bench::shared();
    bench.org(2, org::Body::DeviceRevoked { device: device(20) });
    bench.refuses(MANAGER, bench.rekey(&[]), Fault::Suspended);
    bench.refuses(MANAGER, changed(&[]), Fault::Suspended);
    bench.refuses_writer(MANAGER, Fault::Suspended);
    bench.takes(MANAGER, changed(&[(MANAGER, None)]));
    bench.say(OWNER, bench.rekey(&[]));
    bench.refuses_writer(MANAGER, Fault::Suspended);
    let mut owner = Bench::shared();
    owner.say(OWNER, changed(&[(MANAGER, OWNS)]));
    owner.org(2, org::Body::DeviceRevoked { device: device(20) });
    let state = Body::State { state: State::ReadOnly, format: 1, suite: 1 };
    owner.refuses(MANAGER, state.clone(), Fault::Suspended);
    owner.takes(OWNER, state);
}

#[test]
fn a_takeover_is_by_the_highest_who_is_no_outsider_and_alone() {
    let mut bench = Bench::shared();
    bench.org(0, org::Body::ProfileChange { user: user(OWNER), profile: Profile::Outsider });
    bench.takes(MANAGER, changed(&[(MANAGER, OWNS)]));
    bench.refuses(CONTRIBUTOR, changed(&[(CONTRIBUTOR, OWNS)]), Fault::TakeOver);
    bench.refuses(OUTSIDER, changed(&[(OUTSIDER, OWNS)]), Fault::TakeOver);
    bench.refuses(OWNER, changed(&[(OWNER, OWNS)]), Fault::TakeOver);
    let mut two = changes(&[(MANAGER, OWNS), (READER, WRITES)]);
    two.sort_unstable_by_key(|change| change.user);
    bench.refuses(MANAGER, Body::Changed { changes: two, key: None, boxes: None }, Fault::OwnRole);
    // An owner who is an outsider for a minute is not removed by a manager meanwhile.
    bench.refuses(MANAGER, bench.rekey(&[(OWNER, None)]), Fault::NotOwner);
    bench.say(MANAGER, changed(&[(MANAGER, OWNS)]));
    bench.takes(MANAGER, bench.rekey(&[(OWNER, None)]));
}

#[test]
fn a_takeover_brings_a_key_only_where_one_is_due() {
    let mut bench = Bench::shared();
    for number in [OWNER, MANAGER, CONTRIBUTOR] {
        bench.org(0, org::Body::ProfileChange { user: user(number), profile: Profile::Outsider });
    }
    assert!(!bench.is_due());
    bench.refuses(READER, bench.rekey(&[(READER, OWNS)]), Fault::NotManager);
    bench.takes(READER, changed(&[(READER, OWNS)]));
}

#[test]
fn no_more_members_than_a_safe_takes() {
    let mut bench = Bench::created();
    let people: Vec<u64> = (1_000..1_000 + SAFE_MEMBERS_MAX as u64).collect();
    for number in &people {
        bench.org(0, user_body(*number, Profile::Standard));
        bench.org(0, device_body(*number, *number));
    }
    // The owner is one of them.
    let (last, others) = people.split_last().unwrap();
    for group in others.chunks(SAFE_CHANGES_MAX) {
        let group: Vec<(u64, Option<Role>)> = group.iter().map(|number| (*number, READS)).collect();
        bench.say(OWNER, sharing(&group));
    }
    assert_eq!(bench.safe.roles().count(), SAFE_MEMBERS_MAX);
    bench.refuses(OWNER, sharing(&[(*last, READS)]), Fault::TooManyMembers);
    let taken = sharing(&[(*last, READS), (others[0], None)]);
    bench.refuses(OWNER, taken, Fault::KeyMissing);
    // A ring of all fits its parts.
    let list = rules::ring_list(&bench.safe, &bench.org.log, bench.org.log.count(), &[]).unwrap();
    assert_eq!((list.0.len(), list.parts()), (SAFE_MEMBERS_MAX, SAFE_MEMBERS_MAX.div_ceil(RING_PART_BOXES)));
    bench.say(OWNER, bench.rekey(&[]));
    let bytes = codec::encode(&bench.safe);
    assert_eq!(codec::decode::<VerifiedSafe>(&bytes, 1 << 20), Ok(bench.safe));
}

// --- keys

#[test]
fn who_may_bring_a_key() {
    let mut bench = Bench::shared();
    let rekey = bench.rekey(&[]);
    bench.takes(OWNER, rekey.clone());
    bench.takes(MANAGER, rekey.clone());
    bench.refuses(CONTRIBUTOR, rekey.clone(), Fault::NotManager);
    bench.refuses(READER, rekey, Fault::NotManager);
    bench.say(READER, changed(&[(READER, None)]));
    assert!(bench.is_due());
    bench.takes(CONTRIBUTOR, bench.rekey(&[]));
    bench.refuses(OUTSIDER, bench.rekey(&[]), Fault::NotManager);
}

#[test]
fn who_loses_a_role_must_not_have_the_next_key() {
    let bench = Bench::shared();
    bench.takes(OWNER, bench.rekey(&[(READER, None)]));
    bench.refuses(OWNER, changed(&[(READER, None)]), Fault::KeyMissing);
    // Lowering needs none: who reads keeps the key.
    bench.takes(OWNER, changed(&[(CONTRIBUTOR, READS)]));
}

#[test]
fn who_leaves_carries_no_key_and_changes_nothing_else() {
    let bench = Bench::shared();
    bench.takes(MANAGER, changed(&[(MANAGER, None)]));
    bench.refuses(MANAGER, bench.rekey(&[(MANAGER, None)]), Fault::LeavesAlone);
    bench.refuses(MANAGER, changed(&[(MANAGER, None), (READER, WRITES)]), Fault::LeavesAlone);
    let mut owners = bench.clone();
    owners.say(OWNER, changed(&[(MANAGER, OWNS)]));
    owners.refuses(OWNER, owners.rekey(&[(OWNER, None)]), Fault::LeavesAlone);
}

#[test]
fn a_key_is_the_next_one_for_exactly_those_who_count() {
    let mut bench = Bench::shared();
    bench.org(4, org::Body::DeviceRevoked { device: device(40) });
    let change = |with: fn(&mut Key)| {
        let mut key = bench.key_for(&[]);
        with(&mut key);
        Body::Changed { changes: Vec::new(), key: Some(key), boxes: None }
    };
    bench.takes(OWNER, change(|_| {}));
    bench.refuses(OWNER, change(|key| key.epoch = 0), Fault::WrongEpoch);
    bench.refuses(OWNER, change(|key| key.epoch = 2), Fault::WrongEpoch);
    bench.refuses(OWNER, change(|key| key.list = hash("list")), Fault::WrongList);
    // Who is suspended is not in it, who is no member isn't, and who is one is.
    let all = rules::ring_list(&bench.safe, &bench.org.log, bench.org.log.count(), &[]).unwrap();
    assert_eq!(all.0.len(), 4);
    assert!(all.0.iter().all(|recipient| recipient.user != user(READER)));
    let entry = |number| Recipient { user: user(number), key: support::encryption_key(number) };
    let with = |change: &dyn Fn(&mut RingList)| {
        let mut list = all.clone();
        change(&mut list);
        list.0.sort_unstable_by_key(|recipient| recipient.user);
        let key = Key { list: list.hash(), ..bench.key_for(&[]) };
        Body::Changed { changes: Vec::new(), key: Some(key), boxes: None }
    };
    bench.takes(OWNER, with(&|_| {}));
    bench.refuses(OWNER, with(&|list| list.0.push(entry(READER))), Fault::WrongList);
    bench.refuses(OWNER, with(&|list| list.0.push(entry(STRANGER))), Fault::WrongList);
    bench.refuses(OWNER, with(&|list| list.0.truncate(3)), Fault::WrongList);
    bench.refuses(OWNER, with(&|list| list.0[0].key = support::encryption_key(STRANGER)), Fault::WrongList);
}

#[test]
fn lost_keys_are_the_latest_and_an_owners_word() {
    let mut bench = Bench::shared();
    bench.say(OWNER, bench.rekey(&[]));
    bench.say(OWNER, bench.rekey(&[]));
    let lost = |bench: &Bench, lost| {
        let key = Key { lost, ..bench.key_for(&[]) };
        Body::Changed { changes: Vec::new(), key: Some(key), boxes: None }
    };
    bench.refuses(MANAGER, lost(&bench, 1), Fault::NotOwner);
    bench.takes(OWNER, lost(&bench, 3));
    bench.refuses(OWNER, lost(&bench, 4), Fault::LostTooMany);
    bench.say(OWNER, lost(&bench, 2));
    let marked: Vec<bool> = bench.safe.epochs().iter().map(|epoch| epoch.lost).collect();
    assert_eq!(marked, [false, true, true, false]);
}

#[test]
fn while_a_key_is_due_nothing_is_shared_without_one() {
    let mut bench = Bench::shared();
    bench.org(0, org::Body::UserRevoked { user: user(READER) });
    bench.refuses(OWNER, sharing(&[(STRANGER, READS)]), Fault::Due);
    bench.refuses(OWNER, changed(&[]), Fault::Due);
    bench.refuses(CONTRIBUTOR, changed(&[]), Fault::Due);
    bench.refuses_writer(CONTRIBUTOR, Fault::Due);
    // Who may not bring one witnesses, and whoever wants to leaves.
    bench.takes(OUTSIDER, changed(&[]));
    bench.takes(CONTRIBUTOR, changed(&[(CONTRIBUTOR, None)]));
    bench.takes(CONTRIBUTOR, bench.rekey(&[]));
    bench.takes(OWNER, bench.rekey(&[(STRANGER, READS)]));
}

#[test]
fn a_witness_has_seen_something() {
    let mut bench = Bench::shared();
    bench.refuses(READER, changed(&[]), Fault::NothingNew);
    bench.org(0, user_body(7, Profile::Standard));
    bench.refuses(READER, changed(&[]), Fault::NothingNew);
    bench.org(0, news());
    bench.say(READER, changed(&[]));
    bench.refuses(READER, changed(&[]), Fault::NothingNew);
    let with_boxes = Body::Changed { changes: Vec::new(), key: None, boxes: Some(hash("boxes")) };
    bench.org(0, key_change(0, 900, 902));
    bench.refuses(READER, with_boxes, Fault::Boxes);
}

#[test]
fn boxes_come_exactly_where_somebody_needs_one() {
    let mut bench = Bench::shared();
    let both = |body: Body, list: &[(u64, Option<Role>)]| match body {
        Body::Changed { key, boxes: None, .. } => {
            Body::Changed { changes: changes(list), key, boxes: Some(hash("boxes")) }
        }
        other => other,
    };
    let add = [(STRANGER, READS)];
    bench.takes(OWNER, sharing(&add));
    bench.refuses(OWNER, changed(&add), Fault::Boxes);
    bench.refuses(OWNER, sharing(&[(READER, WRITES)]), Fault::Boxes);
    bench.takes(OWNER, bench.rekey(&add));
    bench.refuses(OWNER, both(bench.rekey(&add), &add), Fault::Boxes);
    // Nobody seals to somebody suspended: a box comes later.
    bench.org(6, org::Body::DeviceRevoked { device: device(60) });
    bench.refuses(OWNER, sharing(&add), Fault::Boxes);
    let effects = bench.say(OWNER, changed(&add));
    assert_eq!((effects.boxes_for, effects.holders), (Vec::new(), Holders::Joined(RingList(Vec::new()))));
    assert!(!bench.is_due());
    bench.org(6, key_change(6, 6, 906));
    bench.write(CONTRIBUTOR);
    let holder = bench.safe.holders().find(|(id, _)| **id == user(STRANGER));
    assert_eq!(holder.map(|(_, key)| *key), Some(support::encryption_key(906)));
}

// --- state

#[test]
fn an_owner_closes_opens_and_deletes() {
    let mut bench = Bench::shared();
    let state = |state| Body::State { state, format: 1, suite: 1 };
    let end = Timestamp(support::BEGINNING * 2);
    bench.refuses(MANAGER, state(State::ReadOnly), Fault::NotOwner);
    bench.refuses(OWNER, state(State::Open), Fault::SameState);
    for (format, suite, fault) in [(2, 1, Fault::UnknownFormat), (1, 2, Fault::UnknownFormat)] {
        bench.refuses(OWNER, Body::State { state: State::ReadOnly, format, suite }, fault);
    }
    bench.say(OWNER, state(State::ReadOnly));
    bench.refuses_writer(OWNER, Fault::NotOpen);
    bench.say(OWNER, state(State::Deleted(end)));
    bench.refuses_writer(OWNER, Fault::NotOpen);
    bench.refuses_change(OWNER, state(State::Open), Fault::Deleted, |it| it.time = end);
    bench.refuses_change(READER, changed(&[(READER, None)]), Fault::Deleted, |it| it.time = end);
    bench.say(OWNER, state(State::Open));
    bench.write(OWNER);
}

// --- records

#[test]
fn records_are_of_the_present_epoch_and_drops_are_a_managers() {
    let mut bench = Bench::shared();
    bench.refuses_record(CONTRIBUTOR, Fault::WrongEpoch, |it| it.epoch = 1);
    bench.say(OWNER, bench.rekey(&[]));
    bench.refuses_record(CONTRIBUTOR, Fault::WrongEpoch, |it| it.epoch = 0);
    let object = ObjectId::from_bytes([1; 16]);
    bench.refuses_record(CONTRIBUTOR, Fault::NotManager, |it| it.drops = vec![object]);
    for by in [OWNER, MANAGER] {
        let mut payload = bench.record(by);
        payload.drops = vec![object];
        assert_eq!(bench.judge_record(&written(by, &payload)), Ok(()));
    }
    let mut payload = bench.record(CONTRIBUTOR);
    (payload.adds, payload.keeps) = (vec![object], vec![object]);
    assert_eq!(bench.judge_record(&written(CONTRIBUTOR, &payload)), Ok(()));
}

#[test]
fn what_is_sealed_is_bound_to_every_field_outside() {
    let bench = Bench::shared();
    let payload = bench.record(OWNER);
    let bound = payload.associated_data();
    let object = ObjectId::from_bytes([1; 16]);
    let changes: &[fn(&mut record::Payload, ObjectId)] = &[
        |it, _| it.organisation = "other".parse().unwrap(),
        |it, _| it.safe = SafeId::from_bytes([9; 16]),
        |it, _| it.seq += 1,
        |it, _| it.previous = hash("previous"),
        |it, _| it.epoch += 1,
        |it, _| it.seen.count += 1,
        |it, _| it.log.count += 1,
        |it, _| it.author = device(9),
        |it, _| it.time = Timestamp(1),
        |it, object| it.adds = vec![object],
        |it, object| it.drops = vec![object],
        |it, object| it.keeps = vec![object],
    ];
    for change in changes {
        let mut other = payload.clone();
        change(&mut other, object);
        assert_ne!(other.associated_data(), bound);
    }
    // It is the encoding of the payload without its last two fields.
    let whole = codec::encode(&payload);
    let inside = &bound[b"parsec-record-v1 ad\0".len() + 1..];
    assert_eq!((whole[0], bound[bound.len() - inside.len() - 1]), (0x8e, 0x8c));
    assert!(whole[1..].starts_with(inside));
}

// --- room

/// A safe whose log is said to be longer, or which has had more keys.
struct Longer<'a>(&'a VerifiedSafe, fn(&mut Present));

impl SafeView for Longer<'_> {
    type Error = Infallible;

    fn organisation(&self) -> &OrganisationId {
        SafeView::organisation(self.0)
    }

    fn safe(&self) -> &SafeId {
        SafeView::safe(self.0)
    }

    fn present(&self) -> Result<Option<Present>, Infallible> {
        let mut present = *self.0.present().unwrap();
        (self.1)(&mut present);
        Ok(Some(present))
    }

    fn role(&self, user: &UserId) -> Result<Option<Role>, Infallible> {
        SafeView::role(self.0, user)
    }

    fn roles(&self) -> Result<BTreeMap<UserId, Role>, Infallible> {
        SafeView::roles(self.0)
    }

    fn holders(&self) -> Result<BTreeMap<UserId, KeyHash>, Infallible> {
        SafeView::holders(self.0)
    }
}

fn judged_longer(bench: &Bench, longer: fn(&mut Present), by: u64, body: Body) -> Result<(), Fault> {
    let view = Longer(&bench.safe, longer);
    let mut payload = bench.payload(by, body);
    payload.previous = view.present().unwrap().unwrap().log;
    let envelope = signed(by, &payload);
    let read = || Candidate::read(envelope.as_slice());
    rules::judge_certificate(&view, &bench.org.log, read).map(|_| ()).map_err(NotAccepted::fault)
}

#[test]
fn the_last_tenth_of_a_log_is_kept_for_owners_and_due_keys() {
    let mut bench = Bench::shared();
    let nearly: fn(&mut Present) = |it| {
        it.log.count = SAFE_LOG_MAX_CERTIFICATES - SAFE_LOG_KEPT_CERTIFICATES;
    };
    let before: fn(&mut Present) = |it| {
        it.log.count = SAFE_LOG_MAX_CERTIFICATES - SAFE_LOG_KEPT_CERTIFICATES - 1;
    };
    let last: fn(&mut Present) = |it| it.log.count = SAFE_LOG_MAX_CERTIFICATES - 1;
    let full: fn(&mut Present) = |it| it.log.count = SAFE_LOG_MAX_CERTIFICATES;
    let add = sharing(&[(STRANGER, READS)]);
    assert_eq!(judged_longer(&bench, before, MANAGER, add.clone()), Ok(()));
    assert_eq!(judged_longer(&bench, nearly, MANAGER, add.clone()), Err(Fault::LogKept));
    assert_eq!(judged_longer(&bench, nearly, MANAGER, bench.rekey(&[(READER, None)])), Err(Fault::LogKept));
    assert_eq!(judged_longer(&bench, last, OWNER, add.clone()), Ok(()));
    assert_eq!(judged_longer(&bench, full, OWNER, add), Err(Fault::LogFull));
    bench.say(READER, changed(&[(READER, None)]));
    assert_eq!(judged_longer(&bench, nearly, CONTRIBUTOR, bench.rekey(&[])), Ok(()));
    let leaving = changed(&[(CONTRIBUTOR, None)]);
    assert_eq!(judged_longer(&bench, nearly, CONTRIBUTOR, leaving), Err(Fault::LogKept));
}

#[test]
fn a_full_log_looks_at_no_further_bytes() {
    let bench = Bench::shared();
    let view = Longer(&bench.safe, |it| it.log.count = SAFE_LOG_MAX_CERTIFICATES);
    let read = || panic!("nothing is read");
    let judged = rules::judge_certificate(&view, &bench.org.log, read).map(|_| ());
    assert_eq!(judged, Err(NotAccepted::Fault(Fault::LogFull)));
}

#[test]
fn a_safe_has_so_many_keys() {
    let bench = Bench::shared();
    let keyed = |epoch| {
        let key = Key { epoch, ..bench.key_for(&[]) };
        Body::Changed { changes: Vec::new(), key: Some(key), boxes: None }
    };
    let last: fn(&mut Present) = |it| it.key.epoch = EPOCHS_MAX - 2;
    let full: fn(&mut Present) = |it| it.key.epoch = EPOCHS_MAX - 1;
    assert_eq!(judged_longer(&bench, last, OWNER, keyed(EPOCHS_MAX - 1)), Ok(()));
    assert_eq!(judged_longer(&bench, full, OWNER, keyed(EPOCHS_MAX)), Err(Fault::TooManyKeys));
}

// --- rings

/// A ring of 300, in parts of 256, with the certificate's key that names it.
fn ring() -> (RingHead, Vec<RingPart>, Key) {
    let mut list: Vec<Recipient> =
        (0..300).map(|at| Recipient { user: user(at), key: support::encryption_key(at) }).collect();
    list.sort_unstable_by_key(|recipient| recipient.user);
    let sealed = |_: &Recipient| Some(vec![7; SECRET_BOX_BYTES].into());
    let parts: Vec<RingPart> =
        list.chunks(RING_PART_BOXES).map(|chunk| RingPart(chunk.iter().map(sealed).collect())).collect();
    let head = RingHead {
        organisation: organisation(),
        safe: safes::safe_id(),
        epoch: 1,
        author: device(OWNER),
        list: RingList(list),
        parts: parts.iter().map(RingPart::hash).collect(),
        past: Some(vec![1; 40].into()),
    };
    let key = key_of(&head);
    (head, parts, key)
}

fn key_of(head: &RingHead) -> Key {
    Key { epoch: 1, key_check: hash("check"), list: head.list.hash(), ring: head.hash(), lost: 0 }
}

#[test]
fn a_ring_fits_the_certificate_that_names_it_and_no_other() {
    let (head, parts, key) = ring();
    let (organisation, safe, author) = (organisation(), safes::safe_id(), device(OWNER));
    let fits = |head: &RingHead, key: &Key| {
        head.fits(&Expected { organisation: &organisation, safe: &safe, author: &author, key })
    };
    assert_eq!(fits(&head, &key), Ok(()));
    assert_eq!(RingHead::decode(&head.encode()), Ok(head.clone()));
    for (number, part) in parts.iter().enumerate() {
        assert_eq!(head.part_fits(number, part), Ok(()));
        assert_eq!(RingPart::decode(&part.encode()).as_ref(), Ok(part));
    }
    let last = head.list.0.last().unwrap().user;
    assert_eq!(head.list.place_of(&last), Some((1, 299 - RING_PART_BOXES)));
    // Another head than the one that is named.
    let other = Key { ring: hash("ring"), ..key };
    assert_eq!(fits(&head, &other), Err(RingFault::OtherHead));
    // A head that is named, and is of something else.
    type Case = (RingFault, fn(&mut RingHead));
    let cases: &[Case] = &[
        (RingFault::OtherOrigin, |it| it.organisation = "other".parse().unwrap()),
        (RingFault::OtherOrigin, |it| it.safe = SafeId::from_bytes([9; 16])),
        (RingFault::OtherOrigin, |it| it.author = device(MANAGER)),
        (RingFault::OtherOrigin, |it| it.epoch = 2),
        (RingFault::Past, |it| it.past = None),
        (RingFault::Parts, |it| it.parts.truncate(1)),
        (RingFault::Parts, |it| it.parts.push(hash("part"))),
    ];
    for (fault, change) in cases {
        let mut bad = head.clone();
        change(&mut bad);
        let named = key_of(&bad);
        assert_eq!(fits(&bad, &named), Err(*fault));
    }
    let mut bad = head.clone();
    bad.list.0.pop();
    let named = Key { list: key.list, ..key_of(&bad) };
    assert_eq!(fits(&bad, &named), Err(RingFault::OtherList));
}

#[test]
fn parts_have_their_places_and_boxes_their_length() {
    let (head, parts, _) = ring();
    assert_eq!(head.part_fits(0, &parts[1]), Err(RingFault::OtherPart));
    assert_eq!(head.part_fits(2, &parts[1]), Err(RingFault::Parts));
    let with = |number: usize, part: &RingPart| {
        let mut head = head.clone();
        head.parts[number] = part.hash();
        head.part_fits(number, part)
    };
    let mut part = parts[1].clone();
    part.0.pop();
    assert_eq!(with(1, &part), Err(RingFault::PartLength));
    let mut part = parts[1].clone();
    part.0[0] = Some(vec![7; SECRET_BOX_BYTES - 1].into());
    assert_eq!(with(1, &part), Err(RingFault::BoxLength));
    part.0[0] = None;
    assert_eq!(with(1, &part), Ok(()));
    // Every box and its user are in the hash.
    let sealed = |number, byte| BoxFor { user: user(number), sealed: vec![byte; SECRET_BOX_BYTES].into() };
    assert_ne!(boxes_hash(&[sealed(1, 1)]), boxes_hash(&[sealed(2, 1)]));
    assert_ne!(boxes_hash(&[sealed(1, 1)]), boxes_hash(&[sealed(1, 2)]));
}

#[test]
fn the_largest_certificate_fits_its_bound() {
    let bench = Bench::shared();
    let many: Vec<(u64, Option<Role>)> = (0..SAFE_CHANGES_MAX as u64).map(|at| (100 + at, READS)).collect();
    let key = Key { epoch: EPOCHS_MAX, lost: EPOCHS_MAX, ..bench.key_for(&[]) };
    let boxes = Some(hash("boxes"));
    let mut payload = bench.payload(OWNER, Body::Changed { changes: changes(&many), key: Some(key), boxes });
    payload.organisation = "x".repeat(32).parse().unwrap();
    payload.time = Timestamp(u64::MAX);
    let length = signed(OWNER, &payload).len();
    assert!(length < 1_400, "{length}");
}
