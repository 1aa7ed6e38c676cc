//! Objects of safes on their way in: whole and right or not at all, under one content for each id,
//! within what an organisation may store, and gone again where no record needs them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::path::PathBuf;

use parsec_protocol::chain::organisation::certificate::Profile;
use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::object_hash::ObjectHash;
use parsec_protocol::relay::{
    ErrorCode, Limited, OBJECTS_MAX, OBJECTS_MAX_BYTES, ObjectHeads, RoomWanted, SafeLogged, SafeRoom, path,
};
use parsec_protocol::safe_log::roles::Role;
use support::safes::{Object, body, change, heads};
use support::{Bench, DAY, Member, drawn};

/// The files of a safe's large objects; of none, where there is no folder yet.
fn files(bench: &Bench, safe: &SafeId) -> Vec<PathBuf> {
    let folder = bench.folder.path().join("db.objects/acme").join(safe.to_string());
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// What was written down and has no name.
fn incoming(bench: &Bench) -> usize {
    std::fs::read_dir(bench.folder.path().join("db.objects/-incoming")).unwrap().count()
}

#[tokio::test]
async fn a_body_with_one_fault_leaves_nothing() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let safe = alice.safe(&bench).await;
    let objects = [Object::of(50_000), Object::of(70), Object::of(60_000)];
    let ids = objects.clone().map(|object| object.id);
    let (heads, whole) = (heads(&objects), body(&heads(&objects), &objects));
    let before = heads.before().len();
    let changed = |at: usize| {
        let mut body = whole.clone();
        body[at] ^= 1;
        body
    };
    use ErrorCode::{BadRequest, NotAuthenticated, TooLarge};
    for (what, body, code) in [
        ("nothing", vec![], BadRequest),
        ("half a length", whole[..2].to_vec(), BadRequest),
        ("half of the heads", whole[..before - 1].to_vec(), BadRequest),
        ("the heads alone", whole[..before].to_vec(), BadRequest),
        ("a byte too few", whole[..whole.len() - 1].to_vec(), BadRequest),
        ("a byte too many", [whole.as_slice(), &[0]].concat(), BadRequest),
        ("other bytes in the first", changed(before), NotAuthenticated),
        ("other bytes in the last", changed(whole.len() - 1), NotAuthenticated),
        ("another head than was signed", changed(20), NotAuthenticated),
        ("a length of heads beyond all", changed(0), TooLarge),
        ("more than a call takes", vec![0; OBJECTS_MAX_BYTES + 1], TooLarge),
    ] {
        let answer = alice.put_body(&bench, &safe, &heads, &body).await;
        assert_eq!(answer.code(), code, "{what}");
        assert_eq!(alice.missing(&bench, &safe, &ids).await, ids, "{what}");
        assert_eq!((files(&bench, &safe).len(), incoming(&bench)), (0, 0), "{what}");
    }
    // Signed, and not what a call may promise.
    let twice = ObjectHeads(vec![objects[1].head(), objects[1].head()]);
    let none = ObjectHeads(vec![Object { id: ids[0], bytes: vec![] }.head()]);
    let many = ObjectHeads((0..=OBJECTS_MAX).map(|_| Object::of(1).head()).collect());
    for (heads, code) in [(twice, BadRequest), (none, BadRequest), (many, TooLarge)] {
        assert_eq!(alice.put_body(&bench, &safe, &heads, &heads.before()).await.code(), code);
    }
    alice.put_body(&bench, &safe, &heads, &whole).await.done();
    assert_eq!((files(&bench, &safe).len(), incoming(&bench)), (2, 0));
    assert_eq!(alice.missing(&bench, &safe, &ids).await, [] as [ObjectId; 0]);
}

#[tokio::test]
async fn one_id_has_one_content() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let safe = alice.safe(&bench).await;
    alice.share(&bench, &safe, &bob, Role::Contributor).await;
    let object = Object::of(40_000);
    for by in [&alice, &bob, &alice] {
        by.put_objects(&bench, &safe, &[object.clone(), Object::of(3)]).await.done();
    }
    let another = Object { id: object.id, bytes: vec![1; 40_000] };
    let beside = Object::of(5);
    let answer = bob.put_objects(&bench, &safe, &[beside.clone(), another.clone()]).await;
    assert_eq!(answer.code(), ErrorCode::ObjectConflict);
    assert_eq!(alice.missing(&bench, &safe, &[object.id, beside.id]).await, [beside.id]);
    alice.write(&bench, &safe, &[object.id]).await;
    assert_eq!(
        bob.fetch(&bench, &safe, &[beside.id, object.id, object.id]).await,
        std::slice::from_ref(&object)
    );
    // In another safe it is another object.
    let other = alice.safe(&bench).await;
    alice.put_objects(&bench, &other, &[another]).await.done();
    // An answer carries as much as a body may; the rest is asked for again.
    let large: Vec<_> = (0..3).map(|_| Object::of(524_304)).collect();
    alice.put_objects(&bench, &safe, &large[..2]).await.done();
    alice.put_objects(&bench, &safe, &large[2..]).await.done();
    let ids: Vec<_> = large.iter().map(|object| object.id).collect();
    alice.write(&bench, &safe, &ids).await;
    assert_eq!(bob.fetch(&bench, &safe, &ids).await, large[..2]);
    // A file that the disk has lost is left out.
    for file in files(&bench, &safe) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with(&ids[0].to_string()) {
            assert!(name.contains(&ObjectHash::of(&large[0].bytes).to_string()[..32]));
            std::fs::remove_file(file).unwrap();
        }
    }
    assert_eq!(bob.fetch(&bench, &safe, &ids[..2]).await, large[1..2]);
}

#[tokio::test]
async fn what_no_record_adds_goes_and_what_one_has_added_stays() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let safe = alice.safe(&bench).await;
    let (kept, lost) = ([Object::of(50_000), Object::of(9)], [Object::of(50_000), Object::of(9)]);
    alice.put_objects(&bench, &safe, &kept).await.done();
    alice.put_objects(&bench, &safe, &lost).await.done();
    let of = |objects: &[Object]| objects.iter().map(|object| object.id).collect::<Vec<_>>();
    alice.write(&bench, &safe, &of(&kept)).await;
    bench.pass(14 * DAY - 1);
    assert_eq!(alice.missing(&bench, &safe, &of(&lost)).await, []);
    bench.pass(1);
    // The server looks every second.
    while alice.missing(&bench, &safe, &of(&lost)).await.len() < 2 {
        tokio::task::yield_now().await;
    }
    while files(&bench, &safe).len() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(alice.fetch(&bench, &safe, &of(&kept)).await, kept);
    // It may come again.
    alice.put_objects(&bench, &safe, &lost).await.done();
    alice.write(&bench, &safe, &of(&lost)).await;
    assert_eq!(alice.fetch(&bench, &safe, &of(&lost)).await, lost);
}

#[tokio::test]
async fn an_organisation_stores_what_it_may_and_a_full_safe_still_changes_its_key() {
    let bench = Bench::with(|config| config.safe_quotas = vec!["acme:1".parse().unwrap()]).await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let bolt = bench.founded_as("bolt").await;
    let safe = alice.safe(&bench).await;
    alice.share(&bench, &safe, &bob, Role::Contributor).await;
    let (first, second) = (Object::of(524_304), Object::of(524_304));
    bob.put_objects(&bench, &safe, std::slice::from_ref(&first)).await.done();
    assert_eq!(
        bob.put_objects(&bench, &safe, std::slice::from_ref(&second)).await.code(),
        ErrorCode::QuotaReached
    );
    // What is here costs nothing more.
    bob.put_objects(&bench, &safe, &[first]).await.done();
    let rest = Object::of(510_000);
    bob.put_objects(&bench, &safe, &[rest]).await.done();
    let mut room = 0;
    while alice.put_objects(&bench, &safe, &[Object::of(1_000)]).await.status == 204 {
        room += 1;
    }
    assert!(room < 15, "{room}");
    let view = alice.view(&bench, &safe).await;
    let large = alice.record(&bench, &view, &drawn_ids(200));
    let answer = alice.post_record(&bench, &safe, &alice.signed_record(&large)).await;
    assert_eq!(answer.code(), ErrorCode::QuotaReached);
    let (asked, ring) = alice.rekey(&bench, &view, vec![change(bob.user, None)]);
    alice.put_parts(&bench, &safe, &ring).await;
    alice.append(&bench, &safe, &asked).await.record::<SafeLogged>();
    // Others have their own.
    let other = bolt.safe(&bench).await;
    bolt.put_objects(&bench, &other, &[second, Object::of(524_304)]).await.done();
    bolt.put_objects(&bench, &other, &[Object::of(524_304)]).await.done();
}

async fn room(member: &Member, bench: &Bench, safe: &SafeId) -> SafeRoom {
    let target = path::safe_room(&member.organisation, safe);
    member.post(bench, &target, &RoomWanted { bytes: 0 }).await.record()
}

/// Each safe, and each member over all safes, has what the operator says, and a full one still lets
/// keys change: nobody fills everything for all others.
#[tokio::test]
async fn one_safe_and_one_member_have_their_own_limits() {
    let limit = || vec!["acme:1".parse().unwrap()];
    let bench = Bench::with(|config| config.safe_quotas_member = limit()).await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let (one, other) = (alice.safe(&bench).await, alice.safe(&bench).await);
    for safe in [&one, &other] {
        alice.share(&bench, safe, &bob, Role::Manager).await;
        let object = Object::of(500_000);
        bob.put_objects(&bench, safe, &[object]).await.done();
    }
    let Limited { bytes, limit: most } = room(&bob, &bench, &one).await.member.unwrap();
    assert!(most == 1_048_576 && (1_000_000..1_010_000).contains(&bytes), "{bytes}");
    // What bob has brought counts in both; alice has her own.
    for safe in [&one, &other] {
        let more = bob.put_objects(&bench, safe, &[Object::of(100_000)]).await;
        assert_eq!(more.code(), ErrorCode::QuotaReached);
        alice.put_objects(&bench, safe, &[Object::of(100_000)]).await.done();
    }
    let mut left = 0;
    while bob.put_objects(&bench, &one, &[Object::of(1_000)]).await.status == 204 {
        left += 1;
    }
    assert!(left < 60, "{left}");
    let view = bob.view(&bench, &one).await;
    let (asked, ring) = bob.rekey(&bench, &view, Vec::new());
    bob.put_parts(&bench, &one, &ring).await;
    bob.append(&bench, &one, &asked).await.record::<SafeLogged>();

    let bench = Bench::with(|config| config.safe_quotas_each = limit()).await;
    let alice = bench.founded().await;
    let (full, other) = (alice.safe(&bench).await, alice.safe(&bench).await);
    alice.put_objects(&bench, &full, &[Object::of(524_304), Object::of(500_000)]).await.done();
    assert_eq!(
        alice.put_objects(&bench, &full, &[Object::of(100_000)]).await.code(),
        ErrorCode::QuotaReached
    );
    alice.put_objects(&bench, &other, &[Object::of(524_304), Object::of(500_000)]).await.done();
    let Limited { bytes, limit: most } = room(&alice, &bench, &full).await.safe.unwrap();
    assert!(most == 1_048_576 && bytes > 1_024_304 && bytes <= most, "{bytes}");
}

fn drawn_ids(count: usize) -> Vec<ObjectId> {
    (0..count).map(|_| ObjectId::from_bytes(drawn())).collect()
}
