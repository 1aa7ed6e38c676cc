//! What a restore of the database took off the end of a safe: put back by members who write in it,
//! judged as the first time, and by nobody else.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::organisation::certificate::{Body as OrganisationBody, Profile};
use parsec_protocol::ids::{SafeId, Timestamp};
use parsec_protocol::relay::{
    Completed, ErrorCode, JournalPage, Least, LogRepaired, RecordAnswer, RepairItem, SAFE_REPAIR_ITEMS_MAX,
    SAFE_REPAIR_MAX_BYTES, SafeCertificate, SafeList, SafeLogPage, SafeLogged, SafeRepair, SafeRepaired,
    path,
};
use parsec_protocol::safe_log::certificate::{self, Body, State};
use parsec_protocol::safe_log::ring::RingHead;
use parsec_protocol::safe_log::roles::Role;
use support::safes::{Object, change};
use support::{Answer, Bench, Member, drawn, repair_with};

/// The database of the bench as it is now, put aside.
fn backed_up(bench: &Bench) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let sql = rusqlite::Connection::open(bench.folder.path().join("db")).unwrap();
    sql.execute("VACUUM INTO ?1", [folder.path().join("db").to_str().unwrap()]).unwrap();
    folder
}

/// A server on that copy, without the folder of objects.
async fn restored(copy: &tempfile::TempDir, repairs_only: bool) -> Bench {
    let database = copy.path().join("db");
    Bench::with(|config| {
        std::fs::copy(&database, &config.database).unwrap();
        config.repairs_only = repairs_only;
    })
    .await
}

/// All items of a safe in their order, each with what belongs to it, but for boxes.
async fn items(by: &Member, bench: &Bench, safe: &SafeId) -> Vec<RepairItem> {
    let org = &by.organisation;
    let log: SafeLogPage = by.get(bench, &path::safe_log_page(org, safe, 0, Least::NOTHING)).await.record();
    let journal: JournalPage =
        by.get(bench, &path::safe_journal_page(org, safe, 0, Least::NOTHING)).await.record();
    let mut records = journal.records.into_iter();
    let (mut items, mut seq) = (Vec::new(), 0);
    for certificate in log.certificates {
        let payload = certificate::Envelope::decode(&certificate).unwrap().payload().unwrap();
        for record in records.by_ref().take(usize::try_from(payload.place.count - seq).unwrap()) {
            items.push(RepairItem::Record { record });
        }
        seq = payload.place.count;
        let named = match payload.body {
            Body::Created { ring, .. } => Some(ring),
            Body::Changed { key, .. } => key.map(|key| key.ring),
            Body::State { .. } => None,
        };
        let (mut ring, mut parts) = (None, Vec::new());
        if let Some(named) = named {
            let head = by.get(bench, &path::safe_ring(org, safe, &named)).await.body;
            for part in RingHead::decode(&head).unwrap().parts {
                parts.push(ByteVec::from(by.get(bench, &path::safe_part(org, safe, &part)).await.body));
            }
            ring = Some(ByteVec::from(head));
        }
        items.push(RepairItem::Certificate { certificate, ring, parts, boxes: vec![] });
    }
    items.extend(records.map(|record| RepairItem::Record { record }));
    items
}

async fn repair(by: &Member, bench: &Bench, safe: &SafeId, items: &[RepairItem]) -> Answer {
    let asked = SafeRepair { items: items.to_vec() };
    by.post(bench, &path::safe_repair(&by.organisation, safe), &asked).await
}

const fn done(log: u64, seq: u64, added: u64) -> SafeRepaired {
    SafeRepaired { log, seq, added }
}

async fn remove(by: &Member, bench: &Bench, safe: &SafeId, whom: &Member) {
    let view = by.view(bench, safe).await;
    let (asked, ring) = by.rekey(bench, &view, vec![change(whom.user, None)]);
    by.put_parts(bench, safe, &ring).await;
    by.append(bench, safe, &asked).await.record::<SafeLogged>();
}

/// Alice's safe with Bob, who contributes, and Rita, who reads; after the backup two records, Bob's
/// with objects, Carol, who joins as a manager, and Rita's removal with a new key.
struct Story {
    copy: tempfile::TempDir,
    safe: SafeId,
    items: Vec<RepairItem>,
    objects: [Object; 2],
    alice: Member,
    bob: Member,
    rita: Member,
    carol: Member,
}

async fn story() -> Story {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let rita = alice.with(&bench, "rita@example.org", Profile::Standard).await;
    let carol = alice.with(&bench, "carol@example.org", Profile::Standard).await;
    let safe = alice.safe(&bench).await;
    alice.share(&bench, &safe, &bob, Role::Contributor).await;
    alice.share(&bench, &safe, &rita, Role::Reader).await;
    assert_eq!(alice.write(&bench, &safe, &[]).await, 1);
    let copy = backed_up(&bench);
    let objects = [Object::of(100), Object::of(524_304)];
    bob.put_objects(&bench, &safe, &objects).await.done();
    assert_eq!(bob.write(&bench, &safe, &objects.clone().map(|object| object.id)).await, 2);
    alice.share(&bench, &safe, &carol, Role::Manager).await;
    remove(&alice, &bench, &safe, &rita).await;
    assert_eq!(carol.write(&bench, &safe, &[]).await, 3);
    let items = items(&alice, &bench, &safe).await;
    assert_eq!(items.len(), 8);
    Story { copy, safe, items, objects, alice, bob, rita, carol }
}

#[tokio::test]
async fn members_put_back_what_a_restore_took_off_a_safe_and_everybody_goes_on() {
    let Story { copy, safe, items, objects, alice, bob, carol, rita } = story().await;
    for repairs_only in [true, false] {
        let bench = restored(&copy, repairs_only).await;
        assert_eq!(alice.view(&bench, &safe).await.safe.present().unwrap().journal.count, 1);
        // In parts, of which some is there already, and again; also by those whom the server does
        // not know as members yet.
        let part = repair(&bob, &bench, &safe, &items[..5]).await;
        assert_eq!(part.record::<SafeRepaired>(), done(3, 2, 1));
        for added in [3, 0] {
            let whole = repair(&carol, &bench, &safe, &items).await;
            assert_eq!(whole.record::<SafeRepaired>(), done(5, 3, added));
        }
        assert_eq!(repair(&alice, &bench, &safe, &items[7..]).await.record::<SafeRepaired>(), done(5, 3, 0));
        let view = alice.view(&bench, &safe).await;
        let present = *view.safe.present().unwrap();
        assert_eq!((present.log.count, present.journal.count, present.key.epoch), (5, 3, 1));
        let log = path::safe_log_page(&rita.organisation, &safe, 0, Least::NOTHING);
        assert_eq!(rita.get(&bench, &log).await.code(), ErrorCode::SafeUnknown);
        let ring = path::safe_ring(&carol.organisation, &safe, &present.key.ring);
        assert_eq!(carol.get(&bench, &ring).await.status, 200);

        // Whoever has the objects brings them; they are the record's at once.
        let ids = objects.clone().map(|object| object.id);
        assert_eq!(alice.missing(&bench, &safe, &ids).await, ids);
        let mut awaited = carol.missing(&bench, &safe, &[]).await;
        awaited.sort_unstable_by_key(|id| ids.iter().position(|named| named == id));
        assert_eq!(awaited, ids);
        if !repairs_only {
            // Also where nothing new is written any more.
            let view = alice.view(&bench, &safe).await;
            let body = Body::State { state: State::ReadOnly, format: 1, suite: 1 };
            let closed = alice.signed_certificate(&alice.safe_certificate(&bench, &view, body));
            let closed = SafeCertificate { certificate: closed, ring: None, boxes: vec![] };
            alice.append(&bench, &safe, &closed).await.record::<SafeLogged>();
            let new = alice.put_objects(&bench, &safe, &[Object::of(9)]).await;
            assert_eq!(new.code(), ErrorCode::SafeNotOpen);
        }
        alice.put_objects(&bench, &safe, &objects).await.done();
        assert_eq!(carol.fetch(&bench, &safe, &ids).await, objects);
        assert_eq!(carol.missing(&bench, &safe, &[]).await, []);
    }
}

#[tokio::test]
async fn another_past_a_gap_and_a_foreign_signature_are_not_put_back() {
    let Story { copy, safe, items, alice, bob, carol, .. } = story().await;
    let bench = restored(&copy, false).await;
    // What breaks a rule takes all of its call with it.
    assert_eq!(repair(&alice, &bench, &safe, &items[5..]).await.code(), ErrorCode::SafeConflict);
    let RepairItem::Record { record } = &items[4] else { panic!("Bob's record") };
    let mut forged = record.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let forged = [RepairItem::Record { record: forged.into() }];
    assert_eq!(repair(&bob, &bench, &safe, &forged).await.code(), ErrorCode::RecordRefused);
    let RepairItem::Certificate { certificate, ring, parts, .. } = items[6].clone() else {
        panic!("the key")
    };
    let mut without = items.clone();
    without[6] = RepairItem::Certificate {
        certificate: certificate.clone(),
        ring: None,
        parts: parts.clone(),
        boxes: vec![],
    };
    assert_eq!(repair(&alice, &bench, &safe, &without).await.code(), ErrorCode::RingMissing);
    let mut forged = certificate.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    without[6] = RepairItem::Certificate { certificate: forged.into(), ring, parts, boxes: vec![] };
    assert_eq!(repair(&alice, &bench, &safe, &without).await.code(), ErrorCode::CertificateRefused);
    assert_eq!(alice.view(&bench, &safe).await.safe.present().unwrap().journal.count, 1);
    // Items of another safe.
    let other = alice.safe(&bench).await;
    assert_eq!(repair(&alice, &bench, &other, &items[4..5]).await.code(), ErrorCode::RecordRefused);
    // No more than one call takes.
    let target = path::safe_repair(&alice.organisation, &safe);
    let many = vec![items[4].clone(); SAFE_REPAIR_ITEMS_MAX + 1];
    assert_eq!(repair(&alice, &bench, &safe, &many).await.code(), ErrorCode::TooLarge);
    assert_eq!(repair(&alice, &bench, &safe, &[]).await.code(), ErrorCode::BadRequest);
    let huge = vec![0; SAFE_REPAIR_MAX_BYTES + 1];
    assert_eq!(alice.call(&bench, "POST", &target, &huge).await.code(), ErrorCode::TooLarge);

    // Somebody has written where the lost ones stood: that is another past, whoever offers it.
    assert_eq!(bob.write(&bench, &safe, &[]).await, 2);
    for by in [&alice, &bob] {
        assert_eq!(repair(by, &bench, &safe, &items).await.code(), ErrorCode::SafeConflict);
        assert_eq!(repair(by, &bench, &safe, &items[..5]).await.code(), ErrorCode::SafeConflict);
    }
    assert_eq!(repair(&carol, &bench, &safe, &items).await.code(), ErrorCode::SafeUnknown);
    assert_eq!(alice.view(&bench, &safe).await.safe.present().unwrap().journal.count, 2);
}

#[tokio::test]
async fn who_may_not_write_puts_nothing_back() {
    let Story { copy, safe, items, alice, rita, .. } = story().await;
    let bench = restored(&copy, false).await;
    // A reader, before and after her removal comes back; a member of the organisation alone; and
    // somebody of another.
    assert_eq!(repair(&rita, &bench, &safe, &items[..5]).await.code(), ErrorCode::NotAllowed);
    assert_eq!(repair(&rita, &bench, &safe, &items).await.code(), ErrorCode::SafeUnknown);
    let dave = alice.with(&bench, "dave@example.org", Profile::Administrator).await;
    assert_eq!(repair(&dave, &bench, &safe, &items).await.code(), ErrorCode::SafeUnknown);
    let bolt = bench.founded_as("bolt").await;
    assert_eq!(repair(&bolt, &bench, &safe, &items).await.code(), ErrorCode::SafeUnknown);
    // Nor are strangers told whether there is such a safe.
    let none = SafeId::from_bytes(drawn());
    for safe in [safe, none] {
        assert_eq!(repair(&dave, &bench, &safe, &items[4..5]).await.code(), ErrorCode::SafeUnknown);
    }
    assert_eq!(alice.view(&bench, &safe).await.safe.present().unwrap().journal.count, 1);
}

#[tokio::test]
async fn a_safe_that_the_backup_does_not_know_comes_back_whole() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let copy = backed_up(&bench);
    let safe = alice.safe(&bench).await;
    alice.share(&bench, &safe, &bob, Role::Contributor).await;
    alice.write(&bench, &safe, &[]).await;
    let items = items(&alice, &bench, &safe).await;

    let bench = restored(&copy, false).await;
    let listed: SafeList = alice.get(&bench, &path::safes(&alice.organisation)).await.record();
    assert_eq!(listed.safes, []);
    assert_eq!(repair(&bob, &bench, &safe, &items[1..]).await.code(), ErrorCode::SafeUnknown);
    assert_eq!(repair(&bob, &bench, &safe, &items).await.record::<SafeRepaired>(), done(2, 1, 3));
    let listed: SafeList = alice.get(&bench, &path::safes(&alice.organisation)).await.record();
    assert_eq!((listed.safes[0].safe, listed.safes[0].founder), (safe, alice.device));
    assert_eq!(bob.write(&bench, &safe, &[]).await, 2);
    assert_eq!(alice.view(&bench, &safe).await.safe.present().unwrap().journal.count, 2);
}

/// Items name places of the organisation's log: that is repaired first. Then an item is judged by
/// what its author had seen of it, and counts as before, however much came behind.
#[tokio::test]
async fn items_are_judged_by_what_their_authors_had_seen_once_the_log_is_repaired() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let second = bob.with_device(&bench).await;
    let safe = alice.safe(&bench).await;
    alice.share(&bench, &safe, &bob, Role::Contributor).await;
    let copy = backed_up(&bench);
    let before = alice.log(&bench).await.certificates;
    second.write(&bench, &safe, &[]).await;
    alice
        .change(&bench, OrganisationBody::DeviceRevoked { device: second.device })
        .await
        .record::<Completed>();
    let view = alice.view(&bench, &safe).await;
    let (asked, ring) = alice.rekey(&bench, &view, vec![]);
    alice.put_parts(&bench, &safe, &ring).await;
    alice.append(&bench, &safe, &asked).await.record::<SafeLogged>();
    alice.write(&bench, &safe, &[]).await;
    let items = items(&alice, &bench, &safe).await;
    let log = alice.log(&bench).await.certificates;
    let head = |count: usize| {
        let start = parsec_protocol::chain::head::Head::empty(&alice.organisation, &alice.root);
        log[..count].iter().fold(start, |head, envelope| head.after(envelope))
    };

    let bench = restored(&copy, false).await;
    assert_eq!(repair(&alice, &bench, &safe, &items).await.code(), ErrorCode::Behind);
    let lost = repair_with(head(before.len()), log[before.len()..].to_vec());
    let repaired = alice.post(&bench, &path::log_repair(&alice.organisation), &lost).await;
    assert_eq!(repaired.record::<LogRepaired>().added, 1);
    assert_eq!(repair(&alice, &bench, &safe, &items).await.record::<SafeRepaired>(), done(3, 2, 3));
    alice.view(&bench, &safe).await;
    assert_eq!(alice.write(&bench, &safe, &[]).await, 3);
}

/// Whoever may write could else put in what every reader stops at: a record of a moment before
/// somebody was revoked.
#[tokio::test]
async fn a_server_that_lost_nothing_takes_no_item_by_an_old_view() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let eve = alice.with(&bench, "eve@example.org", Profile::Standard).await;
    let safe = alice.safe(&bench).await;
    alice.share(&bench, &safe, &bob, Role::Contributor).await;
    alice.share(&bench, &safe, &eve, Role::Contributor).await;
    let view = bob.view(&bench, &safe).await;
    let old = RepairItem::Record { record: bob.signed_record(&bob.record(&bench, &view, &[])).record };
    alice.change(&bench, OrganisationBody::UserRevoked { user: eve.user }).await.record::<Completed>();
    assert_eq!(repair(&bob, &bench, &safe, std::slice::from_ref(&old)).await.code(), ErrorCode::Behind);
    // Nor one of the day after tomorrow.
    let safe = alice.safe(&bench).await;
    let view = alice.view(&bench, &safe).await;
    let mut record = alice.record(&bench, &view, &[]);
    record.time = Timestamp(record.time.0 + 86_400 * Timestamp::SECOND);
    let late = RepairItem::Record { record: alice.signed_record(&record).record };
    assert_eq!(repair(&alice, &bench, &safe, &[late]).await.code(), ErrorCode::ClockSkew);
}

/// The server knows no hash of an object that it lost: whoever brings other bytes under its id
/// gives way to those who are sure to mean well.
#[tokio::test]
async fn lost_objects_are_taken_from_all_who_write_and_best_from_whose_they_are() {
    let Story { copy, safe, items, objects, alice, bob, carol, .. } = story().await;
    let bench = restored(&copy, false).await;
    repair(&carol, &bench, &safe, &items).await.record::<SafeRepaired>();
    let ivan = alice.with(&bench, "ivan@example.org", Profile::Standard).await;
    alice.share(&bench, &safe, &ivan, Role::Contributor).await;
    let ids = objects.clone().map(|object| object.id);
    let wrong = objects.clone().map(|object| Object { bytes: vec![0; 77], ..object });
    ivan.put_objects(&bench, &safe, &wrong).await.done();
    assert_eq!(alice.fetch(&bench, &safe, &ids).await, wrong);
    // By a manager, and by whose record it is.
    carol.put_objects(&bench, &safe, &objects[..1]).await.done();
    bob.put_objects(&bench, &safe, &objects[1..]).await.done();
    assert_eq!(alice.fetch(&bench, &safe, &ids).await, objects);
    for by in [&ivan, &alice, &bob] {
        let again = by.put_objects(&bench, &safe, &wrong).await;
        assert_eq!(again.code(), ErrorCode::ObjectConflict);
    }
    let RecordAnswer::Accepted { seq } = ({
        let view = ivan.view(&bench, &safe).await;
        let asked = ivan.signed_record(&ivan.record(&bench, &view, &[]));
        ivan.post_record(&bench, &safe, &asked).await.record()
    }) else {
        panic!("nobody else writes")
    };
    assert_eq!(seq, 4);
}
