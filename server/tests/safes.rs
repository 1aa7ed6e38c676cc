//! Safes through the server: what members write is there for all of them, in one order; what breaks
//! a rule is not; and nobody else is told that there is a safe.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use parsec_protocol::chain::organisation::certificate::{Body as OrganisationBody, Profile};
use parsec_protocol::ids::{SafeId, Timestamp};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{
    Completed, EVENT_SAFE, ErrorCode, JournalPage, Least, PostedBoxes, RecordAnswer, SafeHint, SafeList,
    SafeLogged, path,
};
use parsec_protocol::safe_log::certificate::{Body, State};
use parsec_protocol::safe_log::roles::Role;
use support::safes::{Object, change};
use support::stream::Stream;
use support::{Bench, DAY, Member, drawn, sealed};

async fn safes(bench: &Bench, by: &Member) -> SafeList {
    by.get(bench, &path::safes(&by.organisation)).await.record()
}

fn journal(of: &Member, safe: &SafeId) -> String {
    path::safe_journal_page(&of.organisation, safe, 0, Least::NOTHING)
}

#[tokio::test]
async fn a_safe_is_made_shared_and_written_by_all_who_may() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let second = alice.with_device(&bench).await;
    let safe = alice.safe(&bench).await;
    assert_eq!(safes(&bench, &bob).await.safes, []);

    // Small ones are rows, large ones files; both come back.
    let objects = [Object::of(100), Object::of(524_304)];
    let ids = objects.clone().map(|object| object.id);
    assert_eq!(alice.missing(&bench, &safe, &ids).await, ids);
    alice.put_objects(&bench, &safe, &objects).await.done();
    assert_eq!(alice.missing(&bench, &safe, &ids).await, []);
    assert_eq!(alice.fetch(&bench, &safe, &ids).await, [], "no record has added them");
    assert_eq!(alice.write(&bench, &safe, &ids).await, 1);
    assert_eq!(alice.fetch(&bench, &safe, &ids).await, objects);

    let mut stream = Stream::follow(&bench, &bob, &[]).await;
    alice.share(&bench, &safe, &bob, Role::Contributor).await;
    let hint = SafeHint { safe, log: 2, seq: 1 };
    assert_eq!(stream.next_of::<SafeHint>(EVENT_SAFE).await, Some(hint));
    let listed = safes(&bench, &bob).await;
    assert_eq!(listed.safes.len(), 1);
    assert_eq!((listed.safes[0].safe, listed.safes[0].founder), (safe, alice.device));
    assert_eq!((listed.safes[0].role, listed.next), (Some(Role::Contributor), None));

    // Bob reads what was there before him and writes; Alice's other device follows.
    let posted: PostedBoxes =
        bob.get(&bench, &path::safe_box(&bob.organisation, &safe, 0, &bob.user)).await.record();
    assert_eq!((posted.boxes.len(), posted.boxes[0].author), (1, alice.user));
    assert_eq!(bob.fetch(&bench, &safe, &ids).await, objects);
    assert_eq!(bob.write(&bench, &safe, &[]).await, 2);
    let view = second.view(&bench, &safe).await;
    assert_eq!(view.safe.present().unwrap().journal.count, 2);
    let mut stream = Stream::follow(&bench, &second, &[]).await;
    assert_eq!(stream.next_of::<SafeHint>(EVENT_SAFE).await, Some(SafeHint { safe, log: 2, seq: 2 }));

    // Bob is removed: another key, and he is told that there is something new, and not what.
    let mut stream = Stream::follow(&bench, &bob, &[]).await;
    stream.next_of::<SafeHint>(EVENT_SAFE).await.unwrap();
    let view = alice.view(&bench, &safe).await;
    let (asked, ring) = alice.rekey(&bench, &view, vec![change(bob.user, None)]);
    assert_eq!(alice.append(&bench, &safe, &asked).await.code(), ErrorCode::RingMissing);
    alice.put_parts(&bench, &safe, &ring).await;
    assert_eq!(alice.append(&bench, &safe, &asked).await.record::<SafeLogged>().count, 3);
    assert_eq!(stream.next_of::<SafeHint>(EVENT_SAFE).await, Some(SafeHint { safe, log: 3, seq: 2 }));
    assert_eq!(bob.get(&bench, &journal(&bob, &safe)).await.code(), ErrorCode::SafeUnknown);
    assert_eq!(safes(&bench, &bob).await.safes[0].role, None);
    assert_eq!(second.write(&bench, &safe, &[]).await, 3);
    let head = second.get(&bench, &path::safe_ring(&second.organisation, &safe, &ring.key.ring)).await;
    assert_eq!((head.status, head.body.as_slice()), (200, ring.head.as_slice()));
    let part = path::safe_part(&second.organisation, &safe, &Hash::of(&[&ring.parts[0]]));
    assert_eq!(second.get(&bench, &part).await.body, ring.parts[0].as_slice());
}

#[tokio::test]
async fn the_same_bytes_get_the_same_answer_and_whoever_is_late_hears_what_stands_there() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let id = SafeId::from_bytes(drawn());
    let founding = alice.new_safe(&bench, id).await;
    let target = path::safes(&alice.organisation);
    for _ in 0..2 {
        assert_eq!(alice.post(&bench, &target, &founding).await.record::<SafeLogged>().count, 1);
    }
    let another = alice.new_safe(&bench, id).await;
    assert_eq!(alice.post(&bench, &target, &another).await.code(), ErrorCode::SafeConflict);

    let view = alice.view(&bench, &id).await;
    let share = alice.sharing(&bench, &view, vec![change(bob.user, Some(Role::Manager))]);
    let late = alice.sharing(&bench, &view, vec![change(bob.user, Some(Role::Reader))]);
    for _ in 0..2 {
        assert_eq!(alice.append(&bench, &id, &share).await.record::<SafeLogged>().count, 2);
    }
    assert_eq!(alice.append(&bench, &id, &late).await.code(), ErrorCode::SafeConflict);

    // Of two records at one place, the second is answered with the first.
    let view = alice.view(&bench, &id).await;
    let first = alice.signed_record(&alice.record(&bench, &view, &[]));
    let late = bob.signed_record(&bob.record(&bench, &view, &[]));
    for _ in 0..2 {
        let answer = alice.post_record(&bench, &id, &first).await.record::<RecordAnswer>();
        assert_eq!(answer, RecordAnswer::Accepted { seq: 1 });
    }
    let moved_on = RecordAnswer::MovedOn { log: 2, seq: 1, records: vec![first.record.clone()] };
    assert_eq!(bob.post_record(&bench, &id, &late).await.record::<RecordAnswer>(), moved_on);
    // Where only the safe log went on, there is no record to be told of.
    let view = alice.view(&bench, &id).await;
    let record = bob.signed_record(&bob.record(&bench, &view, &[]));
    let body = Body::State { state: State::ReadOnly, format: 1, suite: 1 };
    let closed = alice.signed_certificate(&alice.safe_certificate(&bench, &view, body));
    let closed = parsec_protocol::relay::SafeCertificate { certificate: closed, ring: None, boxes: vec![] };
    alice.append(&bench, &id, &closed).await.record::<SafeLogged>();
    let moved_on = RecordAnswer::MovedOn { log: 3, seq: 1, records: vec![] };
    assert_eq!(bob.post_record(&bench, &id, &record).await.record::<RecordAnswer>(), moved_on);
    // Nothing is written to a safe that is not open, nor brought to it.
    let view = bob.view(&bench, &id).await;
    let record = bob.signed_record(&bob.record(&bench, &view, &[]));
    assert_eq!(bob.post_record(&bench, &id, &record).await.code(), ErrorCode::SafeNotOpen);
    let put = bob.put_objects(&bench, &id, &[Object::of(9)]).await;
    assert_eq!(put.code(), ErrorCode::SafeNotOpen);

    // Who has left hears so again.
    let body = Body::Changed { changes: vec![change(bob.user, None)], key: None, boxes: None };
    let left = bob.signed_certificate(&bob.safe_certificate(&bench, &view, body));
    let left = parsec_protocol::relay::SafeCertificate { certificate: left, ring: None, boxes: vec![] };
    for _ in 0..2 {
        assert_eq!(bob.append(&bench, &id, &left).await.record::<SafeLogged>().count, 4);
    }
    assert_eq!(bob.get(&bench, &journal(&bob, &id)).await.code(), ErrorCode::SafeUnknown);
}

/// Strangers to a safe are told the same of one that is there and of none; strangers to the
/// organisation are told nothing at all.
#[tokio::test]
async fn nobody_else_is_told_that_there_is_a_safe() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let carol = alice.with(&bench, "carol@example.org", Profile::Administrator).await;
    let bolt = bench.founded_as("bolt").await;
    let (safe, none) = (alice.safe(&bench).await, SafeId::from_bytes(drawn()));
    let view = alice.view(&bench, &safe).await;
    let record = carol.signed_record(&carol.record(&bench, &view, &[]));
    let share = carol.sharing(&bench, &view, vec![change(carol.user, Some(Role::Owner))]);
    let org = &carol.organisation;
    let (ring, part) = (view.safe.present().unwrap().key.ring, Hash::of(&[b"part"]));
    for target in [safe, none] {
        let of_carol = [
            carol.get(&bench, &journal(&carol, &target)).await,
            carol.get(&bench, &path::safe_log_page(org, &target, 0, Least(1))).await,
            carol.get(&bench, &path::safe_ring(org, &target, &ring)).await,
            carol.get(&bench, &path::safe_part(org, &target, &part)).await,
            carol.call(&bench, "PUT", &path::safe_part(org, &target, &part), b"part").await,
            carol.get(&bench, &path::safe_box(org, &target, 0, &alice.user)).await,
            carol.call(&bench, "PUT", &path::safe_box(org, &target, 0, &alice.user), &sealed()).await,
            carol.post_record(&bench, &target, &record).await,
            carol.append(&bench, &target, &share).await,
            carol.put_objects(&bench, &target, &[Object::of(9)]).await,
            carol
                .post(
                    &bench,
                    &path::safe_objects_fetch(org, &target),
                    &parsec_protocol::relay::ObjectIds { objects: vec![] },
                )
                .await,
        ];
        for (number, answer) in of_carol.iter().enumerate() {
            assert_eq!(answer.code(), ErrorCode::SafeUnknown, "call {number}");
        }
    }
    assert_eq!(safes(&bench, &carol).await.safes, []);
    // Another organisation's member, at this one's paths and at its own.
    assert_eq!(bolt.get(&bench, &journal(&alice, &safe)).await.code(), ErrorCode::NotAuthenticated);
    assert_eq!(bolt.get(&bench, &journal(&bolt, &safe)).await.code(), ErrorCode::SafeUnknown);
}

/// The server can't tell whether a manager may drop what they drop: it stays for a month, is given
/// out meanwhile, and every writer may take it back.
#[tokio::test]
async fn what_a_manager_drops_stays_for_a_month_and_whoever_writes_takes_it_back() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let carol = alice.with(&bench, "carol@example.org", Profile::Standard).await;
    let safe = alice.safe(&bench).await;
    alice.share(&bench, &safe, &carol, Role::Manager).await;
    let objects = [Object::of(100), Object::of(524_304)];
    let ids = objects.clone().map(|object| object.id);
    alice.put_objects(&bench, &safe, &objects).await.done();
    alice.write(&bench, &safe, &ids).await;
    let view = carol.view(&bench, &safe).await;
    let mut drops = carol.record(&bench, &view, &[]);
    drops.drops = ids.to_vec();
    let drops = carol.signed_record(&drops);
    let accepted: RecordAnswer = carol.post_record(&bench, &safe, &drops).await.record();
    assert_eq!(accepted, RecordAnswer::Accepted { seq: 2 });
    bench.pass(30 * DAY - 1);
    assert_eq!(alice.fetch(&bench, &safe, &ids).await, objects);
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    alice.share(&bench, &safe, &bob, Role::Contributor).await;
    let mut keeps = bob.record(&bench, &bob.view(&bench, &safe).await, &[]);
    keeps.keeps = ids[..1].to_vec();
    let keeps = bob.signed_record(&keeps);
    bob.post_record(&bench, &safe, &keeps).await.record::<RecordAnswer>();
    bench.pass(1);
    // The server looks every second.
    while alice.missing(&bench, &safe, &ids).await != ids[1..] {
        tokio::task::yield_now().await;
    }
    bench.pass(30 * DAY);
    assert_eq!(alice.fetch(&bench, &safe, &ids).await, objects[..1]);
    // What has gone can't be taken back, and what came again is another upload.
    let mut late = bob.record(&bench, &bob.view(&bench, &safe).await, &[]);
    late.keeps = ids[1..].to_vec();
    let late = bob.signed_record(&late);
    assert_eq!(bob.post_record(&bench, &safe, &late).await.code(), ErrorCode::ObjectMissing);
}

/// Each has one fault; the twin without it is taken after all of them.
#[tokio::test]
async fn what_breaks_a_rule_is_refused_under_its_name() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let carol = alice.with(&bench, "carol@example.org", Profile::Standard).await;
    let safe = alice.safe(&bench).await;
    alice.share(&bench, &safe, &bob, Role::Reader).await;
    alice.share(&bench, &safe, &carol, Role::Contributor).await;
    let view = alice.view(&bench, &safe).await;

    // A reader writes nothing, and brings nothing.
    let by_reader = bob.signed_record(&bob.record(&bench, &view, &[]));
    assert_eq!(bob.post_record(&bench, &safe, &by_reader).await.code(), ErrorCode::NotAllowed);
    assert_eq!(bob.put_objects(&bench, &safe, &[Object::of(9)]).await.code(), ErrorCode::NotAllowed);
    let part = path::safe_part(&bob.organisation, &safe, &Hash::of(&[b"part"]));
    assert_eq!(bob.call(&bench, "PUT", &part, b"part").await.code(), ErrorCode::NotAllowed);
    let own = path::safe_box(&bob.organisation, &safe, 0, &bob.user);
    assert_eq!(bob.call(&bench, "PUT", &own, &sealed()).await.code(), ErrorCode::NotAllowed);
    // A contributor shares nothing, and drops nothing.
    let dave = alice.with(&bench, "dave@example.org", Profile::Standard).await;
    let view = carol.view(&bench, &safe).await;
    let share = carol.sharing(&bench, &view, vec![change(dave.user, Some(Role::Reader))]);
    assert_eq!(carol.append(&bench, &safe, &share).await.code(), ErrorCode::NotAllowed);
    let mut drops = carol.record(&bench, &view, &[]);
    drops.drops = vec![Object::of(1).id];
    let drops = carol.signed_record(&drops);
    assert_eq!(carol.post_record(&bench, &safe, &drops).await.code(), ErrorCode::NotAllowed);

    let good = carol.record(&bench, &view, &[]);
    let with = |fault: &dyn Fn(&mut parsec_protocol::safe_log::record::Payload)| {
        let mut payload = good.clone();
        fault(&mut payload);
        carol.signed_record(&payload)
    };
    let far = bench.now().plus_seconds(601);
    let past = Timestamp(bench.now().0 - 601_000_000);
    for (record, code) in [
        (with(&|record| record.time = far), ErrorCode::ClockSkew),
        (with(&|record| record.time = past), ErrorCode::ClockSkew),
        (with(&|record| record.epoch = 1), ErrorCode::RecordRefused),
        (with(&|record| record.safe = SafeId::from_bytes([7; 16])), ErrorCode::RecordRefused),
        (with(&|record| record.organisation = "bolt".parse().unwrap()), ErrorCode::RecordRefused),
        (with(&|record| record.author = alice.device), ErrorCode::RecordRefused),
        (with(&|record| record.seen.hash = Hash::of(&[b"fork"])), ErrorCode::RecordRefused),
        (with(&|record| record.seen.count += 1), ErrorCode::Behind),
        (with(&|record| record.adds = vec![Object::of(1).id]), ErrorCode::ObjectMissing),
        (with(&|record| record.keeps = vec![Object::of(1).id]), ErrorCode::ObjectMissing),
        // Signed by another device than it names: the caller's own, but not with its key.
        (alice.signed_record(&good), ErrorCode::RecordRefused),
    ] {
        assert_eq!(carol.post_record(&bench, &safe, &record).await.code(), code, "{record:?}");
    }
    // Of a revoked device, everything is refused; what it put its name to before as well.
    let second = carol.with_device(&bench).await;
    let view = second.view(&bench, &safe).await;
    let by_second = second.signed_record(&second.record(&bench, &view, &[]));
    carol
        .change(&bench, OrganisationBody::DeviceRevoked { device: second.device })
        .await
        .record::<Completed>();
    assert_eq!(second.post_record(&bench, &safe, &by_second).await.code(), ErrorCode::Revoked);
    // Her user is suspended until her key is changed: the safe's key is due, and she makes none.
    let view = carol.view(&bench, &safe).await;
    let record = carol.signed_record(&carol.record(&bench, &view, &[]));
    assert_eq!(carol.post_record(&bench, &safe, &record).await.code(), ErrorCode::NotAllowed);
    let by_alice = alice.signed_record(&alice.record(&bench, &view, &[]));
    assert_eq!(alice.post_record(&bench, &safe, &by_alice).await.code(), ErrorCode::RekeyNeeded);
    let (asked, ring) = alice.rekey(&bench, &view, vec![]);
    alice.put_parts(&bench, &safe, &ring).await;
    alice.append(&bench, &safe, &asked).await.record::<SafeLogged>();
    assert_eq!(alice.write(&bench, &safe, &[]).await, 1);
    // With another key of her own she gets a box from whoever writes, and writes again.
    let change = carol.key_change(&bench).await;
    carol.change_key(&bench, &change).await.record::<Completed>();
    let own = path::safe_box(&alice.organisation, &safe, 1, &carol.user);
    for content in [sealed(), sealed()] {
        alice.call(&bench, "PUT", &own, &content).await.done();
        let posted: PostedBoxes = carol.get(&bench, &own).await.record();
        assert_eq!(posted.boxes.len(), 1, "one for each author");
        assert_eq!(posted.boxes[0].sealed, content);
    }
    let old = path::safe_box(&alice.organisation, &safe, 0, &carol.user);
    assert_eq!(alice.call(&bench, "PUT", &old, &sealed()).await.code(), ErrorCode::SafeConflict);
    assert_eq!(alice.call(&bench, "PUT", &own, b"short").await.code(), ErrorCode::BoxesRefused);
    let strangers = path::safe_box(&alice.organisation, &safe, 1, &dave.user);
    assert_eq!(alice.call(&bench, "PUT", &strangers, &sealed()).await.code(), ErrorCode::BoxesRefused);
    assert_eq!(carol.write(&bench, &safe, &[]).await, 2);
}

/// Nobody writes by a view from before a revocation: not the revoked, nor who hasn't seen it.
#[tokio::test]
async fn an_old_view_of_the_organisation_is_behind() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let safe = alice.safe(&bench).await;
    let old = alice.view(&bench, &safe).await;
    // An enrolment takes nothing from anybody.
    let carol = alice.with(&bench, "carol@example.org", Profile::Standard).await;
    let record = alice.signed_record(&alice.record(&bench, &old, &[]));
    alice.post_record(&bench, &safe, &record).await.record::<RecordAnswer>();
    let old = alice.view(&bench, &safe).await;
    alice.change(&bench, OrganisationBody::UserRevoked { user: bob.user }).await.record::<Completed>();
    let record = alice.signed_record(&alice.record(&bench, &old, &[]));
    assert_eq!(alice.post_record(&bench, &safe, &record).await.code(), ErrorCode::Behind);
    let share = alice.sharing(&bench, &old, vec![change(bob.user, Some(Role::Reader))]);
    assert_eq!(alice.append(&bench, &safe, &share).await.code(), ErrorCode::Behind);
    let mut founding = alice.new_safe(&bench, SafeId::from_bytes(drawn())).await;
    let payload = parsec_protocol::safe_log::certificate::Envelope::decode(&founding.certificate).unwrap();
    let payload = parsec_protocol::safe_log::certificate::Payload {
        seen: old.log.head(),
        ..payload.payload().unwrap()
    };
    founding.certificate = alice.signed_certificate(&payload);
    let answer = alice.post(&bench, &path::safes(&alice.organisation), &founding).await;
    assert_eq!(answer.code(), ErrorCode::Behind);
    alice.share(&bench, &safe, &carol, Role::Reader).await;
    assert_eq!(alice.write(&bench, &safe, &[]).await, 2);

    // What only grows is read with the least that its reader knows.
    let org = &alice.organisation;
    let page: JournalPage =
        carol.get(&bench, &path::safe_journal_page(org, &safe, 1, Least(2))).await.record();
    assert_eq!((page.seq, page.records.len()), (2, 1));
    let answer = carol.get(&bench, &path::safe_journal_page(org, &safe, 1, Least(3))).await;
    assert_eq!(answer.code(), ErrorCode::Behind);
    let answer = carol.get(&bench, &path::safe_log_page(org, &safe, 0, Least(3))).await;
    assert_eq!(answer.code(), ErrorCode::Behind);
}

/// Enrolments alone stand behind what an author must have seen, and they count by their places: the
/// server must take nothing that a reader, who looks at the author's view, would refuse.
#[tokio::test]
async fn who_came_later_is_unknown_at_an_earlier_place() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let safe = alice.safe(&bench).await;
    let old = alice.view(&bench, &safe).await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let second = alice.with_device(&bench).await;
    let share = alice.sharing(&bench, &old, vec![change(bob.user, Some(Role::Reader))]);
    assert_eq!(alice.append(&bench, &safe, &share).await.code(), ErrorCode::CertificateRefused);
    let record = second.signed_record(&second.record(&bench, &old, &[]));
    assert_eq!(second.post_record(&bench, &safe, &record).await.code(), ErrorCode::RecordRefused);
    alice.share(&bench, &safe, &bob, Role::Reader).await;
    assert_eq!(second.write(&bench, &safe, &[]).await, 1);
}
