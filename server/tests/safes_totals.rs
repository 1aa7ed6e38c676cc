//! What a safe takes, as its members are told: parts that add up to the figure that the server
//! counts by, and objects that a disk has lost or changed, which a member puts back.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::path::PathBuf;

use parsec_protocol::chain::organisation::certificate::Profile;
use parsec_protocol::codec;
use parsec_protocol::ids::{ObjectId, SafeId};
use parsec_protocol::relay::{AddedBy, ErrorCode, ObjectIds, ObjectLengths, SafeTotals, Sum, path};
use parsec_protocol::safe_log::roles::Role;
use support::safes::Object;
use support::{Bench, Member, drawn};

async fn totals(bench: &Bench, by: &Member, safe: &SafeId) -> SafeTotals {
    by.call(bench, "GET", &path::safe_usage(&by.organisation, safe), &[]).await.record()
}

async fn lengths(bench: &Bench, by: &Member, safe: &SafeId, objects: &[ObjectId]) -> Vec<u32> {
    let asked = codec::encode(&ObjectIds { objects: objects.to_vec() });
    let target = path::safe_objects_lengths(&by.organisation, safe);
    by.call(bench, "POST", &target, &asked).await.record::<ObjectLengths>().lengths
}

fn files(bench: &Bench, safe: &SafeId) -> Vec<PathBuf> {
    let folder = bench.folder.path().join("db.objects/acme").join(safe.to_string());
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn the_parts_add_up_to_the_figure_for_members_alone() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let safe = alice.safe(&bench).await;
    let target = path::safe_usage(&bob.organisation, &safe);
    assert_eq!(bob.call(&bench, "GET", &target, &[]).await.code(), ErrorCode::SafeUnknown);
    let asked = codec::encode(&ObjectIds { objects: vec![] });
    let of_objects = path::safe_objects_lengths(&bob.organisation, &safe);
    assert_eq!(bob.call(&bench, "POST", &of_objects, &asked).await.code(), ErrorCode::SafeUnknown);

    alice.share(&bench, &safe, &bob, Role::Contributor).await;
    let (added, uploaded) = ([Object::of(50_000), Object::of(70)], Object::of(300));
    alice.put_objects(&bench, &safe, &added).await.done();
    bob.put_objects(&bench, &safe, std::slice::from_ref(&uploaded)).await.done();
    let ids = added.each_ref().map(|object| object.id);
    alice.write(&bench, &safe, &ids).await;
    let seen = totals(&bench, &alice, &safe).await;
    assert_eq!((seen.log, seen.seq), (2, 1));
    assert_eq!(seen.added, Sum { objects: 2, bytes: 50_070 });
    assert_eq!(seen.uploaded, Sum { objects: 1, bytes: 300 });
    assert_eq!(seen.dropped, Sum::default());
    assert!(seen.certificates > 0 && seen.records > 0 && seen.keys > 0, "{seen:?}");
    let parts = seen.certificates + seen.records + seen.keys + seen.added.bytes + seen.uploaded.bytes;
    assert_eq!((seen.bytes, seen.organisation, seen.limit), (parts, parts, None));
    let of: Vec<_> = seen.users.iter().map(|of| of.user).collect();
    assert_eq!(of, [alice.user, bob.user], "the most first");
    assert_eq!(seen.users[1].bytes, 300);
    assert_eq!(seen.users.iter().map(|of| of.bytes).sum::<u64>(), seen.bytes);
    assert_eq!(totals(&bench, &bob, &safe).await, seen);
    let asked = [ids[1], ObjectId::from_bytes(drawn()), uploaded.id, ids[0]];
    assert_eq!(lengths(&bench, &bob, &safe, &asked).await, [70, 0, 300, 50_000]);
    // Another safe is another figure; the organisation has both.
    let other = alice.safe(&bench).await;
    let beside = totals(&bench, &alice, &other).await;
    assert_eq!(beside.organisation, seen.bytes + beside.bytes);
}

#[tokio::test]
async fn what_a_disk_has_lost_is_missing_and_is_taken_again() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let safe = alice.safe(&bench).await;
    alice.share(&bench, &safe, &bob, Role::Contributor).await;
    let (large, small) = (Object::of(50_000), Object::of(70));
    let both = [large.clone(), small.clone()];
    let ids = [large.id, small.id];
    alice.put_objects(&bench, &safe, &both).await.done();
    alice.write(&bench, &safe, &ids).await;
    let before = totals(&bench, &alice, &safe).await;

    let file = files(&bench, &safe).pop().unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(alice.missing(&bench, &safe, &ids).await, [large.id]);
    bob.put_objects(&bench, &safe, &both).await.done();
    assert_eq!(alice.missing(&bench, &safe, &ids).await, []);
    assert_eq!(alice.fetch(&bench, &safe, &ids).await, both);
    // Other bytes under the right name, and in a row.
    std::fs::write(&file, vec![7; 50_000]).unwrap();
    let sql = rusqlite::Connection::open(bench.folder.path().join("db")).unwrap();
    assert_eq!(sql.execute("UPDATE safe_object_bytes SET bytes = zeroblob(70)", []).unwrap(), 1);
    bob.put_objects(&bench, &safe, &both).await.done();
    assert_eq!(alice.fetch(&bench, &safe, &ids).await, both);
    assert_eq!(sql.execute("DELETE FROM safe_object_bytes", []).unwrap(), 1);
    bob.put_objects(&bench, &safe, &both).await.done();
    assert_eq!(alice.fetch(&bench, &safe, &ids).await, both);
    // It counts as before, for whoever brought it.
    assert_eq!(totals(&bench, &alice, &safe).await, before);
    // Even that there were such objects: the record that added them is the proof.
    assert_eq!(sql.execute("DELETE FROM safe_object", []).unwrap(), 2);
    bob.put_objects(&bench, &safe, &both).await.done();
    assert_eq!(alice.fetch(&bench, &safe, &ids).await, []);
    let target = path::safe_objects_added(&bob.organisation, &safe);
    let named = |seq| codec::encode(&AddedBy { seq });
    let unknown = bob.call(&bench, "POST", &target, &named(2)).await;
    assert_eq!(unknown.code(), ErrorCode::BadRequest);
    let stranger = alice.with(&bench, "carol@example.org", Profile::Standard).await;
    assert_eq!(stranger.call(&bench, "POST", &target, &named(1)).await.code(), ErrorCode::SafeUnknown);
    for _ in 0..2 {
        bob.call(&bench, "POST", &target, &named(1)).await.done();
        assert_eq!(alice.fetch(&bench, &safe, &ids).await, both);
    }
    // What nobody's record added is nobody's to read.
    let other = Object::of(80);
    bob.put_objects(&bench, &safe, std::slice::from_ref(&other)).await.done();
    bob.call(&bench, "POST", &target, &named(1)).await.done();
    assert_eq!(alice.fetch(&bench, &safe, &[other.id]).await, []);
    let now = totals(&bench, &alice, &safe).await;
    assert_eq!((now.added, now.uploaded.bytes), (before.added, 80));
}
