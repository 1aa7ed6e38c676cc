//! What somebody tries who means harm: a server that sends old things again, members who were
//! demoted or removed, thieves of devices; each against the rules of a safe's items.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "support/safes.rs"]
mod safes;
mod support;

use parsec_protocol::chain::organisation::certificate::{self as org, Profile};
use parsec_protocol::codec;
use parsec_protocol::ids::ObjectId;
use parsec_protocol::safe_log::certificate::{Body, Key, State};
use parsec_protocol::safe_log::ring::{Recipient, RingList};
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safe_log::rules::Fault;
use parsec_protocol::safe_log::safe::{NotTaken, VerifiedSafe};
use safes::{
    Bench, CONTRIBUTOR, MANAGER, OUTSIDER, OWNER, READER, STRANGER, changed, sharing, signed, written,
};
use support::{device, encryption_key, key_change, user, user_body};

const READS: Option<Role> = Some(Role::Reader);
const WRITES: Option<Role> = Some(Role::Contributor);
const OWNS: Option<Role> = Some(Role::Owner);

// --- 1: one order

#[test]
fn an_old_promotion_is_not_played_again() {
    let mut bench = Bench::shared();
    let promotion = signed(OWNER, &bench.payload(OWNER, changed(&[(READER, WRITES)])));
    bench.safe.push_certificate(&promotion, &bench.org.log).unwrap();
    bench.say(OWNER, changed(&[(READER, READS)]));
    // The organisation's log stands still, so the promotion has seen all there is of it.
    assert_eq!(bench.judge(&promotion), Err(NotTaken::Fault(Fault::NotNext)));
    // Nor an old *open* after a *read-only*.
    let state = |state| Body::State { state, format: 1, suite: 1 };
    bench.say(OWNER, state(State::ReadOnly));
    let open = signed(OWNER, &bench.payload(OWNER, state(State::Open)));
    bench.safe.push_certificate(&open, &bench.org.log).unwrap();
    bench.say(OWNER, state(State::ReadOnly));
    assert_eq!(bench.judge(&open), Err(NotTaken::Fault(Fault::NotNext)));
}

#[test]
fn who_lost_a_race_has_signed_something_that_never_fits() {
    let mut bench = Bench::shared();
    let lost = signed(MANAGER, &bench.payload(MANAGER, sharing(&[(STRANGER, READS)])));
    let lost_record = written(CONTRIBUTOR, &bench.record(CONTRIBUTOR));
    assert_eq!((bench.judge(&lost), bench.judge_record(&lost_record)), (Ok(()), Ok(())));
    bench.say(OWNER, changed(&[(READER, WRITES)]));
    assert_eq!(bench.judge_record(&lost_record), Err(NotTaken::Fault(Fault::OtherPlace)));
    for _ in 0..3 {
        assert_eq!(bench.judge(&lost), Err(NotTaken::Fault(Fault::NotNext)));
        bench.write(OWNER);
        bench.say(OWNER, bench.rekey(&[]));
    }
    assert_eq!(bench.judge_record(&lost_record), Err(NotTaken::Fault(Fault::NotNext)));
}

#[test]
fn who_was_demoted_puts_no_record_behind_it() {
    let mut bench = Bench::shared();
    bench.write(CONTRIBUTOR);
    let before = bench.record(CONTRIBUTOR);
    bench.say(OWNER, changed(&[(CONTRIBUTOR, READS)]));
    // With the safe log of before, in a journal that stands still.
    assert_eq!(bench.judge_record(&written(CONTRIBUTOR, &before)), Err(NotTaken::Fault(Fault::OtherPlace)));
    bench.refuses_writer(CONTRIBUTOR, Fault::NotWriter);
    // Nor behind *read-only*.
    let before = bench.record(MANAGER);
    bench.say(OWNER, Body::State { state: State::ReadOnly, format: 1, suite: 1 });
    assert_eq!(bench.judge_record(&written(MANAGER, &before)), Err(NotTaken::Fault(Fault::OtherPlace)));
    bench.refuses_writer(MANAGER, Fault::NotOpen);
}

#[test]
fn a_record_has_seen_what_the_certificate_before_it_has() {
    let mut bench = Bench::shared();
    let old = bench.org.log.head();
    bench.org(0, org::Body::UserRevoked { user: user(CONTRIBUTOR) });
    bench.say(OWNER, bench.rekey(&[(CONTRIBUTOR, None)]));
    let mut late = bench.record(CONTRIBUTOR);
    late.seen = old;
    assert_eq!(bench.judge_record(&written(CONTRIBUTOR, &late)), Err(NotTaken::Fault(Fault::SeenWentBack)));
    let mut late = bench.payload(CONTRIBUTOR, changed(&[(CONTRIBUTOR, None)]));
    late.seen = old;
    assert_eq!(bench.judge(&signed(CONTRIBUTOR, &late)), Err(NotTaken::Fault(Fault::SeenWentBack)));
}

// --- 2: who counts

#[test]
fn a_safe_goes_on_when_its_only_owner_is_revoked() {
    let mut bench = Bench::shared();
    bench.org(0, org::Body::UserRevoked { user: user(OWNER) });
    assert!(bench.is_due());
    bench.takes(MANAGER, bench.rekey(&[]));
    bench.say(CONTRIBUTOR, bench.rekey(&[]));
    assert!(!bench.is_due(), "the revoked owner is not in the ring, so it is not due again");
    bench.write(CONTRIBUTOR);
    bench.refuses(CONTRIBUTOR, changed(&[(CONTRIBUTOR, OWNS)]), Fault::TakeOver);
    bench.say(MANAGER, changed(&[(MANAGER, OWNS)]));
    bench.takes(MANAGER, bench.rekey(&[(OWNER, None)]));
}

#[test]
fn a_revoked_manager_is_left_out_and_nothing_is_sealed_to_her() {
    let mut bench = Bench::shared();
    bench.org(0, org::Body::UserRevoked { user: user(MANAGER) });
    let key = bench.key_for(&[]);
    let mut members: Vec<Recipient> =
        bench.safe.holders().map(|(user, key)| Recipient { user: *user, key: *key }).collect();
    let with = |list: &[Recipient]| {
        let key = Key { list: RingList(list.to_vec()).hash(), ..key };
        Body::Changed { changes: Vec::new(), key: Some(key), boxes: None }
    };
    bench.refuses(OWNER, with(&members), Fault::WrongList);
    members.retain(|recipient| recipient.user != user(MANAGER));
    bench.say(CONTRIBUTOR, with(&members));
    assert!(!bench.is_due());
    assert!(bench.safe.holders().all(|(id, _)| *id != user(MANAGER)));
}

#[test]
fn devices_of_a_revoked_user_write_nothing_and_outsiders_manage_nothing() {
    let mut bench = Bench::shared();
    bench.org(0, org::Body::ProfileChange { user: user(MANAGER), profile: Profile::Outsider });
    bench.refuses(MANAGER, sharing(&[(STRANGER, READS)]), Fault::NotManager);
    bench.refuses(MANAGER, bench.rekey(&[]), Fault::NotManager);
    let mut drops = bench.record(MANAGER);
    assert_eq!(bench.judge_record(&written(MANAGER, &drops)), Ok(()));
    drops.drops = vec![ObjectId::from_bytes([1; 16])];
    assert_eq!(bench.judge_record(&written(MANAGER, &drops)), Err(NotTaken::Fault(Fault::NotManager)));
    bench.org(0, org::Body::UserRevoked { user: user(CONTRIBUTOR) });
    for number in [CONTRIBUTOR, 10 * CONTRIBUTOR] {
        bench.refuses_writer(number, Fault::AuthorRevoked);
    }
}

#[test]
fn an_owner_without_a_device_is_none() {
    let mut bench = Bench::shared();
    bench.org(0, org::Body::DeviceRevoked { device: device(OWNER) });
    bench.refuses(MANAGER, changed(&[(MANAGER, OWNS)]), Fault::TakeOver);
    bench.org(0, org::Body::DeviceRevoked { device: device(10 * OWNER) });
    let takeover = bench.rekey(&[(MANAGER, OWNS)]);
    // What is due comes with it.
    bench.refuses(MANAGER, changed(&[(MANAGER, OWNS)]), Fault::Due);
    bench.say(MANAGER, takeover);
    assert_eq!(bench.safe.role(&user(MANAGER)), OWNS);
    bench.write(MANAGER);
}

#[test]
fn readers_alone_take_a_due_safe_over() {
    let mut bench = Bench::shared();
    for number in [OWNER, MANAGER, CONTRIBUTOR] {
        bench.org(0, org::Body::UserRevoked { user: user(number) });
    }
    bench.refuses(READER, bench.rekey(&[]), Fault::NotManager);
    bench.refuses(OUTSIDER, bench.rekey(&[(OUTSIDER, OWNS)]), Fault::TakeOver);
    bench.say(READER, bench.rekey(&[(READER, OWNS)]));
    bench.write(READER);
}

// --- 3: suspension

#[test]
fn a_stolen_device_reads_no_longer_than_until_the_next_key() {
    let mut bench = Bench::shared();
    bench.org(3, org::Body::DeviceRevoked { device: device(30) });
    assert!(bench.is_due(), "before the user has changed anything");
    bench.refuses_writer(MANAGER, Fault::Due);
    bench.say(MANAGER, bench.rekey(&[]));
    assert!(bench.safe.holders().all(|(id, _)| *id != user(CONTRIBUTOR)));
    assert_eq!(bench.safe.role(&user(CONTRIBUTOR)), WRITES, "suspended, and still a member");
    bench.refuses_writer(CONTRIBUTOR, Fault::Suspended);
    // With a new key of the user's the present epoch is theirs by a box; no second key is due.
    bench.org(3, key_change(3, 3, 903));
    assert!(!bench.is_due());
    bench.write(CONTRIBUTOR);
    let holder = bench.safe.holders().find(|(id, _)| **id == user(CONTRIBUTOR));
    assert_eq!(holder.map(|(_, key)| *key), Some(encryption_key(903)));
}

#[test]
fn a_changed_key_of_a_holder_makes_the_next_due() {
    let mut bench = Bench::shared();
    bench.org(4, key_change(4, 4, 904));
    assert!(bench.is_due());
    bench.refuses_writer(OWNER, Fault::Due);
    bench.say(CONTRIBUTOR, bench.rekey(&[]));
    bench.write(CONTRIBUTOR);
}

// --- 4: holders, not the ring alone

#[test]
fn who_has_the_key_by_a_box_is_a_holder() {
    let mut bench = Bench::created();
    bench.say(OWNER, sharing(&[(STRANGER, READS)]));
    bench.org(0, org::Body::UserRevoked { user: user(STRANGER) });
    assert!(bench.is_due());
    bench.refuses_writer(OWNER, Fault::Due);
}

#[test]
fn who_leaves_makes_a_key_due_and_brings_none() {
    for leaver in [MANAGER, CONTRIBUTOR, READER] {
        let mut bench = Bench::shared();
        bench.refuses(leaver, bench.rekey(&[(leaver, None)]), Fault::LeavesAlone);
        bench.say(leaver, changed(&[(leaver, None)]));
        assert!(bench.is_due());
        bench.refuses_writer(OWNER, Fault::Due);
        bench.say(OWNER, bench.rekey(&[]));
        assert!(!bench.is_due());
    }
}

#[test]
fn who_leaves_without_being_a_holder_makes_a_key_due_too() {
    let mut bench = Bench::shared();
    bench.org(3, org::Body::DeviceRevoked { device: device(30) });
    bench.say(OWNER, bench.rekey(&[]));
    bench.say(CONTRIBUTOR, changed(&[(CONTRIBUTOR, None)]));
    assert!(bench.is_due());
}

// --- 5: old views

#[test]
fn what_fails_by_what_the_reader_knew_is_not_taken() {
    let mut bench = Bench::shared();
    // A thief has the owner's device. The owner's other device revokes it; the server, who keeps
    // that from the others, appends what the thief says with the view of before.
    let before = bench.clone();
    bench.org(1, org::Body::DeviceRevoked { device: device(10) });
    let gives_away = before.payload(10, sharing(&[(STRANGER, OWNS)]));
    let envelope = signed(10, &gives_away);
    assert_eq!(bench.judge(&envelope), Ok(()), "valid at what its author had seen");
    let record = written(10, &before.record(10));
    assert_eq!(bench.judge_record(&record), Ok(()));
    let mut knows = bench.clone();
    knows.safe.raise_floor(bench.org.log.count());
    assert_eq!(knows.judge(&envelope), Err(NotTaken::BelowFloor(Fault::AuthorRevoked)));
    assert_eq!(knows.judge_record(&record), Err(NotTaken::BelowFloor(Fault::AuthorRevoked)));
    // A floor never falls, and is kept with the safe.
    knows.safe.raise_floor(0);
    assert_eq!(knows.safe.floor(), bench.org.log.count());
    let again: VerifiedSafe = codec::decode(&codec::encode(&knows.safe), 1 << 20).unwrap();
    assert_eq!(again, knows.safe);
}

#[test]
fn the_floor_knows_due_keys_and_lists_too() {
    let mut bench = Bench::shared();
    let before = bench.clone();
    bench.org(4, key_change(4, 4, 904));
    bench.safe.raise_floor(bench.org.log.count());
    // A contributor goes on writing in an epoch that is due, with an old view.
    let record = written(CONTRIBUTOR, &before.record(CONTRIBUTOR));
    assert_eq!(bench.judge_record(&record), Err(NotTaken::BelowFloor(Fault::Due)));
    // A key sealed to the encryption key of before.
    let envelope = signed(OWNER, &before.payload(OWNER, before.rekey(&[])));
    assert_eq!(bench.judge(&envelope), Err(NotTaken::BelowFloor(Fault::WrongList)));
    // Enrolments between are no reason to refuse.
    let mut fine = Bench::shared();
    let before = fine.clone();
    fine.org(0, user_body(7, Profile::Standard));
    fine.safe.raise_floor(fine.org.log.count());
    assert_eq!(fine.judge(&signed(OWNER, &before.payload(OWNER, before.rekey(&[])))), Ok(()));
    assert_eq!(fine.judge_record(&written(OWNER, &before.record(OWNER))), Ok(()));
}

#[test]
fn a_moment_in_which_the_owner_was_an_outsider_is_over_for_who_knows() {
    let mut bench = Bench::shared();
    bench.org(0, org::Body::ProfileChange { user: user(OWNER), profile: Profile::Outsider });
    let then = bench.clone();
    bench.org(0, org::Body::ProfileChange { user: user(OWNER), profile: Profile::Standard });
    bench.safe.raise_floor(bench.org.log.count());
    let takeover = signed(MANAGER, &then.payload(MANAGER, changed(&[(MANAGER, OWNS)])));
    assert_eq!(then.judge(&takeover), Ok(()));
    assert_eq!(bench.judge(&takeover), Err(NotTaken::BelowFloor(Fault::TakeOver)));
}

#[test]
fn a_readers_witness_closes_what_the_server_kept_open() {
    let mut bench = Bench::shared();
    let before = bench.clone();
    bench.org(0, org::Body::UserRevoked { user: user(OWNER) });
    bench.say(READER, changed(&[]));
    // Whoever doesn't look further than the certificates refuses it now.
    let mut gives_away = bench.payload(OWNER, sharing(&[(STRANGER, OWNS)]));
    gives_away.seen = before.org.log.head();
    assert_eq!(bench.judge(&signed(OWNER, &gives_away)), Err(NotTaken::Fault(Fault::SeenWentBack)));
}

// --- 6: keys as weapons

#[test]
fn the_hash_of_nothing_stops_no_key() {
    let mut bench = Bench::shared();
    // A reader publishes a key that nobody can seal to. The list names it; its place in the ring
    // has no box, and the certificate is right for everybody, whoever can fetch the key.
    bench.org(4, key_change(4, 4, 999_999));
    bench.say(CONTRIBUTOR, bench.rekey(&[]));
    bench.write(CONTRIBUTOR);
    assert!(!bench.is_due());
}

// --- 7: lost keys

#[test]
fn a_key_that_nobody_has_is_declared_lost_by_an_owner_alone() {
    let mut bench = Bench::shared();
    let lost = |bench: &Bench| {
        let key = Key { lost: 1, ..bench.key_for(&[]) };
        Body::Changed { changes: Vec::new(), key: Some(key), boxes: None }
    };
    bench.refuses(MANAGER, lost(&bench), Fault::NotOwner);
    // A manager brings a key at any time, a contributor doesn't.
    bench.takes(MANAGER, bench.rekey(&[]));
    bench.refuses(CONTRIBUTOR, bench.rekey(&[]), Fault::NotManager);
    bench.say(OWNER, lost(&bench));
    assert!(bench.safe.epoch(0).unwrap().lost && !bench.safe.epoch(1).unwrap().lost);
}

// --- 8: destroying

#[test]
fn a_contributor_lets_nothing_go() {
    let bench = Bench::shared();
    let object = ObjectId::from_bytes([1; 16]);
    bench.refuses_record(CONTRIBUTOR, Fault::NotManager, |it| it.drops = vec![object]);
}

// --- 14: the place

#[test]
fn a_certificate_names_exactly_the_journals_end() {
    let mut bench = Bench::shared();
    let removal = signed(OWNER, &bench.payload(OWNER, bench.rekey(&[(CONTRIBUTOR, None)])));
    bench.write(CONTRIBUTOR);
    assert_eq!(bench.judge(&removal), Err(NotTaken::Fault(Fault::OtherPlace)));
    // Nothing that it binds but the ends has to be made anew: ring and list are the same.
    let again = bench.rekey(&[(CONTRIBUTOR, None)]);
    bench.say(OWNER, again);
    bench.refuses_writer(CONTRIBUTOR, Fault::NoRole);
}

// --- 18: smaller

#[test]
fn an_administrator_has_no_power_over_a_safe() {
    let mut bench = Bench::shared();
    bench.refuses(0, changed(&[(0, OWNS)]), Fault::NoRole);
    bench.refuses_writer(0, Fault::NoRole);
    // Who makes everybody else one who counts for nothing still has no role.
    for number in [OWNER, MANAGER, CONTRIBUTOR, READER, OUTSIDER] {
        bench.org(0, org::Body::UserRevoked { user: user(number) });
    }
    bench.refuses(0, bench.rekey(&[(0, OWNS)]), Fault::NoRole);
}
