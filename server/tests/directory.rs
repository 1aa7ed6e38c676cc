//! The directory key: certificate and ring, whole or not at all; parts that are their author's
//! alone; boxes beside the ring; and what stays of earlier rings.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::organisation::certificate::{Body, Profile};
use parsec_protocol::directory_ring::DirectoryRing;
use parsec_protocol::ids::{DeviceId, UserId};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{
    Completed, DirectoryKeyChange, EVENT_MANIFEST, ErrorCode, ManifestHint, PostedBoxes, path,
};
use parsec_protocol::safe_log::ring::RingPart;
use support::stream::Stream;
use support::{Answer, Bench, DAY, Member, repair_with, sealed};

/// A change as an honest device makes it, with the parts of its ring.
struct Made {
    change: DirectoryKeyChange,
    parts: Vec<RingPart>,
    ring: Hash,
}

/// What a change is made of.
struct Draft {
    number: u32,
    parts: Vec<RingPart>,
    author: DeviceId,
    past: ByteVec,
}

impl Draft {
    async fn honest(bench: &Bench, by: &Member) -> Self {
        let log = by.verified(bench).await;
        let number = log.directory_keys().last().map_or(1, |record| record.number) + 1;
        let list = log.directory_list(log.count());
        let parts = list.chunks(256).map(|part| RingPart(part.iter().map(|_| Some(sealed())).collect()));
        Self { number, parts: parts.collect(), author: by.device, past: vec![7; 60].into() }
    }

    async fn signed(self, bench: &Bench, by: &Member) -> Made {
        let ring = DirectoryRing {
            organisation: by.organisation.clone(),
            number: self.number,
            author: self.author,
            parts: self.parts.iter().map(RingPart::hash).collect(),
            past: self.past,
        };
        let key_check = Hash::of(&[&self.number.to_be_bytes()]);
        let body = Body::DirectoryKeyChanged { number: self.number, key_check, ring: ring.hash() };
        let certificate = by.certify(by.head(bench).await, bench.now(), body);
        let change = DirectoryKeyChange { certificate, ring: ring.encode().into() };
        Made { change, parts: self.parts, ring: ring.hash() }
    }
}

async fn put_part(bench: &Bench, by: &Member, part: &RingPart) -> Answer {
    let bytes = part.encode();
    by.call(bench, "PUT", &path::directory_part(&by.organisation, &Hash::of(&[&bytes])), &bytes).await
}

async fn put_parts(bench: &Bench, by: &Member, made: &Made) {
    for part in &made.parts {
        put_part(bench, by, part).await.done();
    }
}

async fn hand_in(bench: &Bench, by: &Member, change: &DirectoryKeyChange) -> Answer {
    by.post(bench, &path::directory_key(&by.organisation), change).await
}

async fn changed(bench: &Bench, by: &Member) -> Made {
    let made = Draft::honest(bench, by).await.signed(bench, by).await;
    put_parts(bench, by, &made).await;
    hand_in(bench, by, &made.change).await.record::<Completed>();
    made
}

/// What the server gives of a ring: whether it has the head, and how many of its parts.
async fn given(bench: &Bench, by: &Member, made: &Made) -> (bool, usize) {
    let head = by.get(bench, &path::directory_ring(&by.organisation, &made.ring)).await;
    let mut parts = 0;
    for part in &made.parts {
        let answer = by.get(bench, &path::directory_part(&by.organisation, &part.hash())).await;
        parts += usize::from(answer.status == 200 && answer.body == part.encode());
    }
    let there = head.status == 200 && head.body == *made.change.ring;
    assert!(there || head.code() == ErrorCode::RingMissing);
    (there, parts)
}

async fn post_box(bench: &Bench, by: &Member, number: u32, to: &UserId, sealed: &[u8]) -> Answer {
    by.call(bench, "PUT", &path::directory_box(&by.organisation, number, to), sealed).await
}

async fn boxes(bench: &Bench, by: &Member, number: u32, of: &UserId) -> Vec<(UserId, Vec<u8>)> {
    let answer = by.get(bench, &path::directory_box(&by.organisation, number, of)).await;
    if answer.status != 200 {
        assert_eq!(answer.code(), ErrorCode::BoxUnknown);
        return Vec::new();
    }
    let posted = answer.record::<PostedBoxes>().boxes;
    posted.into_iter().map(|posted| (posted.author, posted.sealed.into())).collect()
}

/// Somebody comes and is revoked, so that the key is due.
async fn somebody_left(bench: &Bench, by: &Member, email: &str) {
    let gone = by.with(bench, email, Profile::Standard).await;
    by.change(bench, Body::UserRevoked { user: gone.user }).await.record::<Completed>();
}

/// Bytes that the organisation is charged with beside those of directory keys.
fn charged_beside(bench: &Bench) -> i64 {
    let sql = rusqlite::Connection::open(bench.folder.path().join("db")).unwrap();
    let one =
        |query: &str| sql.query_row(query, [], |row| row.get::<_, Option<i64>>(0)).unwrap().unwrap_or(0);
    let there = [
        "SELECT sum(length(head)) FROM directory_ring",
        "SELECT sum(length(bytes)) FROM directory_part",
        "SELECT sum(length(bytes)) FROM directory_loose",
        "SELECT sum(length(sealed)) FROM directory_box",
    ];
    one("SELECT key_bytes FROM organisation") - there.iter().map(|query| one(query)).sum::<i64>()
}

#[tokio::test]
async fn a_key_changes_with_its_ring_and_every_member_is_given_it() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    somebody_left(&bench, &alice, "gone@example.org").await;
    let made = Draft::honest(&bench, &alice).await.signed(&bench, &alice).await;
    assert_eq!(hand_in(&bench, &alice, &made.change).await.code(), ErrorCode::RingMissing);
    put_parts(&bench, &alice, &made).await;
    let position = alice.head(&bench).await.count;
    for _ in 0..2 {
        assert_eq!(hand_in(&bench, &alice, &made.change).await.record::<Completed>().position, position);
    }
    let log = bob.verified(&bench).await;
    assert_eq!(log.directory_keys().last().unwrap().ring, made.ring);
    assert_eq!(given(&bench, &bob, &made).await, (true, 1));
    assert!(!log.is_directory_key_due());
}

/// Each has one fault; the twin without it is taken after all of them.
#[tokio::test]
async fn one_fault_and_nothing_changes() {
    use ErrorCode::{CertificateRefused, NotAllowed, RingMissing, RingRefused};
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let carol = alice.with(&bench, "carol@example.org", Profile::Administrator).await;
    let early = Draft::honest(&bench, &alice).await.signed(&bench, &alice).await;
    put_parts(&bench, &alice, &early).await;
    assert_eq!(hand_in(&bench, &alice, &early.change).await.code(), CertificateRefused);
    somebody_left(&bench, &alice, "gone@example.org").await;
    // Signed before somebody came: to exactly those who are members at its place, or to nobody.
    assert_eq!(hand_in(&bench, &alice, &early.change).await.code(), CertificateRefused);

    let good = Draft::honest(&bench, &alice).await.signed(&bench, &alice).await;
    put_parts(&bench, &alice, &good).await;
    let (at, by) = (&bench, &alice);
    let with = |change: fn(&mut Draft)| async move {
        let mut draft = Draft::honest(at, by).await;
        change(&mut draft);
        let made = draft.signed(at, by).await;
        put_parts(at, by, &made).await;
        hand_in(at, by, &made.change).await.code()
    };
    assert_eq!(with(|draft| draft.number = 3).await, CertificateRefused, "another number");
    assert_eq!(with(|draft| draft.author = DeviceId::from_bytes([1; 16])).await, RingRefused);
    assert_eq!(with(|draft| drop(draft.parts.pop())).await, RingRefused, "no parts");
    assert_eq!(with(|draft| drop(draft.parts[0].0.pop())).await, RingRefused, "a box too few");
    assert_eq!(with(|draft| draft.parts[0].0[1] = None).await, RingRefused, "somebody is left out");
    assert_eq!(with(|draft| draft.parts[0].0[1] = Some(vec![7; 9].into())).await, RingRefused, "a short box");
    put_parts(&bench, &alice, &good).await;
    let other = DirectoryKeyChange { ring: early.change.ring.clone(), ..good.change.clone() };
    assert_eq!(hand_in(&bench, &alice, &other).await.code(), RingRefused, "another ring");

    // The parts are Alice's: another administrator's ring needs that one's own.
    let carols =
        Draft { number: 2, parts: good.parts.clone(), author: carol.device, past: vec![7; 60].into() };
    let carols = carols.signed(&bench, &carol).await;
    assert_eq!(hand_in(&bench, &carol, &carols.change).await.code(), RingMissing);
    // Neither the certificate of another, nor one by somebody who is no administrator.
    assert_eq!(hand_in(&bench, &carol, &good.change).await.code(), CertificateRefused);
    let bobs = Draft::honest(&bench, &bob).await.signed(&bench, &bob).await;
    assert_eq!(put_part(&bench, &bob, &bobs.parts[0]).await.code(), NotAllowed);
    assert_eq!(hand_in(&bench, &bob, &bobs.change).await.code(), NotAllowed);
    let wrong = path::directory_part(&alice.organisation, &Hash::of(&[b"other"]));
    assert_eq!(alice.call(&bench, "PUT", &wrong, &good.parts[0].encode()).await.code(), RingRefused);

    hand_in(&bench, &alice, &good.change).await.record::<Completed>();
    assert_eq!(hand_in(&bench, &carol, &carols.change).await.code(), CertificateRefused, "one wins");
}

/// One user's parts are their own: a stolen device, or many of them, fill nobody else's places.
#[tokio::test]
async fn whoever_puts_parts_without_end_loses_their_own_and_is_in_nobodys_way() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let carol = alice.with(&bench, "carol@example.org", Profile::Administrator).await;
    let stolen = carol.with_device(&bench).await;
    somebody_left(&bench, &alice, "gone@example.org").await;
    let beside = charged_beside(&bench);
    let made = Draft::honest(&bench, &carol).await.signed(&bench, &carol).await;
    put_parts(&bench, &carol, &made).await;
    let hers = Draft::honest(&bench, &alice).await.signed(&bench, &alice).await;
    put_parts(&bench, &alice, &hers).await;
    let junk = path::directory_part(&carol.organisation, &Hash::of(&[b"no part"]));
    assert_eq!(stolen.call(&bench, "PUT", &junk, b"no part").await.code(), ErrorCode::RingRefused);
    for _ in 0..20 {
        put_part(&bench, &stolen, &RingPart(vec![Some(sealed()); 3])).await.done();
    }
    let sql = rusqlite::Connection::open(bench.folder.path().join("db")).unwrap();
    let count = |device: &Member| {
        let query = "SELECT count(*) FROM directory_loose WHERE device = ?1";
        sql.query_row(query, [device.device.as_bytes()], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!((count(&stolen), count(&carol), count(&alice)), (2, 0, 1));
    assert_eq!(charged_beside(&bench), beside);
    put_parts(&bench, &carol, &made).await;
    assert_eq!((count(&stolen), count(&carol), count(&alice)), (1, 1, 1));
    hand_in(&bench, &carol, &made.change).await.record::<Completed>();
    assert_eq!(count(&carol), 0, "a ring has them now");
    // What no ring names goes after a day, whether or not anybody calls.
    bench.pass(DAY + 1);
    while count(&stolen) + count(&alice) > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(charged_beside(&bench), beside);
    assert_eq!(given(&bench, &alice, &made).await, (true, 1));
}

#[tokio::test]
async fn boxes_beside_a_ring_are_an_administrators_and_their_members_are_told() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    somebody_left(&bench, &alice, "gone@example.org").await;
    let (right, beside) = (sealed(), charged_beside(&bench));
    assert_eq!(post_box(&bench, &alice, 2, &bob.user, &right).await.code(), ErrorCode::BoxUnknown);
    changed(&bench, &alice).await;
    assert!(boxes(&bench, &bob, 2, &bob.user).await.is_empty());
    let mut stream = Stream::follow(&bench, &bob, &[]).await;
    post_box(&bench, &alice, 2, &bob.user, &right).await.done();
    assert!(stream.next_of::<ManifestHint>(EVENT_MANIFEST).await.is_some());
    assert_eq!(boxes(&bench, &bob, 2, &bob.user).await, [(alice.user, right.to_vec())]);
    let nobody = UserId::from_bytes([9; 16]);
    for (by, number, to, sealed, expected) in [
        (&bob, 2, bob.user, right.to_vec(), ErrorCode::NotAllowed),
        (&alice, 3, bob.user, right.to_vec(), ErrorCode::BoxUnknown),
        (&alice, 2, nobody, right.to_vec(), ErrorCode::BoxesRefused),
        (&alice, 2, bob.user, vec![7; 9], ErrorCode::BoxesRefused),
    ] {
        assert_eq!(post_box(&bench, by, number, &to, &sealed).await.code(), expected);
    }
    assert_eq!(charged_beside(&bench), beside);
}

/// Whoever was suspended, or away, while keys changed may need what an earlier one left.
#[tokio::test]
async fn rings_and_boxes_of_earlier_keys_stay_as_long_as_there_is_room() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    somebody_left(&bench, &alice, "one@example.org").await;
    let first = changed(&bench, &alice).await;
    let box_of_first = sealed();
    post_box(&bench, &alice, 2, &bob.user, &box_of_first).await.done();
    somebody_left(&bench, &alice, "two@example.org").await;
    let second = changed(&bench, &alice).await;
    somebody_left(&bench, &alice, "three@example.org").await;
    let third = changed(&bench, &alice).await;
    for made in [&first, &second, &third] {
        assert_eq!(given(&bench, &bob, made).await, (true, 1));
    }
    assert_eq!(boxes(&bench, &bob, 2, &bob.user).await, [(alice.user, box_of_first.to_vec())]);

    // No room: the oldest go, and the one before the present never.
    let sql = rusqlite::Connection::open(bench.folder.path().join("db")).unwrap();
    let large = "UPDATE directory_ring SET head = zeroblob(70000000) WHERE number = 2";
    assert_eq!(sql.execute(large, []).unwrap(), 1);
    somebody_left(&bench, &alice, "four@example.org").await;
    let fourth = changed(&bench, &alice).await;
    assert!(boxes(&bench, &bob, 2, &bob.user).await.is_empty());
    let numbers: Vec<u32> = sql
        .prepare("SELECT number FROM directory_ring ORDER BY number")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(numbers, [3, 4, 5]);
    assert_eq!(given(&bench, &bob, &fourth).await, (true, 1));
}

/// A log that was put back, from a device or from an exported file, has certificates and no rings.
#[tokio::test]
async fn a_ring_that_a_restore_lost_comes_back_after_its_certificate() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let carol = alice.with(&bench, "carol@example.org", Profile::Standard).await;
    somebody_left(&bench, &alice, "gone@example.org").await;
    let before = alice.head(&bench).await;
    let made = changed(&bench, &alice).await;

    // Another server with the log up to there: the certificate comes by a repair.
    let sql = rusqlite::Connection::open(bench.folder.path().join("db")).unwrap();
    for table in ["directory_ring", "directory_part"] {
        sql.execute(&format!("DELETE FROM {table}"), []).unwrap();
    }
    assert_eq!(given(&bench, &bob, &made).await, (false, 0));
    let repair = repair_with(before, vec![made.change.certificate.clone()]);
    let target = path::log_repair(&alice.organisation);
    assert_eq!(alice.post(&bench, &target, &repair).await.status, 200);
    assert_eq!(given(&bench, &bob, &made).await, (false, 0));
    assert_eq!(hand_in(&bench, &alice, &made.change).await.code(), ErrorCode::RingMissing);
    // The members are others now than those of its list.
    let promoted = Body::ProfileChange { user: carol.user, profile: Profile::Administrator };
    alice.change(&bench, promoted).await.record::<Completed>();
    put_parts(&bench, &alice, &made).await;
    let other = DirectoryKeyChange { ring: vec![0x80].into(), ..made.change.clone() };
    assert_eq!(hand_in(&bench, &alice, &other).await.code(), ErrorCode::RingRefused);
    hand_in(&bench, &alice, &made.change).await.record::<Completed>();
    assert_eq!(given(&bench, &bob, &made).await, (true, 1));

    // An earlier one as well, after the next.
    somebody_left(&bench, &alice, "two@example.org").await;
    changed(&bench, &alice).await;
    for table in ["directory_ring", "directory_part"] {
        sql.execute(&format!("DELETE FROM {table} WHERE number = 2"), []).unwrap();
    }
    alice.change(&bench, Body::UserRevoked { user: carol.user }).await.record::<Completed>();
    put_parts(&bench, &alice, &made).await;
    hand_in(&bench, &alice, &made.change).await.record::<Completed>();
    assert_eq!(given(&bench, &bob, &made).await, (true, 1));
}

/// Any administrator can put a certificate at the log's end by a repair, without a ring.
#[tokio::test]
async fn a_repair_is_no_way_round_a_box_for_everybody() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    somebody_left(&bench, &alice, "gone@example.org").await;
    let before = alice.head(&bench).await;
    let mut draft = Draft::honest(&bench, &alice).await;
    draft.parts[0].0[1] = None;
    let made = draft.signed(&bench, &alice).await;
    put_parts(&bench, &alice, &made).await;
    let repair = repair_with(before, vec![made.change.certificate.clone()]);
    assert_eq!(alice.post(&bench, &path::log_repair(&alice.organisation), &repair).await.status, 200);
    assert_eq!(hand_in(&bench, &alice, &made.change).await.code(), ErrorCode::RingRefused);
    assert!(!given(&bench, &bob, &made).await.0);
}

/// Two parts without a single box are the same bytes: neither is in the other's way.
#[tokio::test]
async fn two_parts_of_a_ring_may_be_the_same() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    somebody_left(&bench, &alice, "gone@example.org").await;
    // Members behind Alice in the list, whose keys the server does not have: three parts in all.
    let sql = rusqlite::Connection::open(bench.folder.path().join("db")).unwrap();
    sql.execute_batch("BEGIN").unwrap();
    for n in 0..767_u16 {
        let mut id = [0xff_u8; 16];
        id[14..].copy_from_slice(&n.to_be_bytes());
        let insert = "INSERT INTO user (organisation, user, email, encryption_key, profile, profile_position)
            SELECT organisation, ?2, ?3, ?4, profile, 0 FROM user WHERE user = ?1";
        let row = (alice.user.as_bytes(), id, format!("{n}@example.org"), [7_u8; 32]);
        assert_eq!(sql.execute(insert, row).unwrap(), 1);
    }
    sql.execute_batch("COMMIT").unwrap();
    let mut parts = vec![RingPart(vec![None; 256]); 3];
    parts[0].0[0] = Some(sealed());
    let draft = Draft { number: 2, parts, author: alice.device, past: vec![7; 60].into() };
    let made = draft.signed(&bench, &alice).await;
    put_parts(&bench, &alice, &made).await;
    hand_in(&bench, &alice, &made.change).await.record::<Completed>();
    assert_eq!(given(&bench, &alice, &made).await, (true, 3));
}
