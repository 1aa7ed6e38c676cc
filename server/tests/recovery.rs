//! Recovery kits at the server: what lets one in, what one lets in, and that it is given nothing
//! else.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::organisation::certificate::{Body, DeviceKind, Profile};
use parsec_protocol::relay::{
    Completed, EVENT_LOG, ErrorCode, Follow, KeyBox, LogLength, NewOwnDevice, RootKey, path,
};
use support::stream::Stream;
use support::{Answer, Bench, Member, Newcomer, sealed};

/// A device of `by`'s user, of this kind, certified by `by`.
async fn new_device(bench: &Bench, by: &Member, kind: DeviceKind) -> (Member, NewOwnDevice) {
    let mut newcomer = Newcomer::new();
    newcomer.user = by.user;
    let asked = of_body(bench, by, newcomer.device_body(), kind).await;
    (newcomer.member(by), asked)
}

async fn of_body(bench: &Bench, by: &Member, body: Body, new: DeviceKind) -> NewOwnDevice {
    let Body::Device { device, user, sealed_label, verify_key, encryption_key, .. } = body else { panic!() };
    let body = Body::Device { device, user, sealed_label, verify_key, encryption_key, kind: new };
    let certificate = by.certify(by.head(bench).await, bench.now(), body);
    let key = support::keys_of(std::slice::from_ref(&certificate)).remove(0);
    let user_key = by.verified(bench).await.user(&user).unwrap().encryption_key;
    NewOwnDevice { certificate, key, user_key, sealed: sealed(), shares: None }
}

async fn add(bench: &Bench, by: &Member, asked: &NewOwnDevice) -> Answer {
    by.post(bench, &path::devices(&by.organisation), asked).await
}

#[tokio::test]
async fn a_device_adds_a_kit_and_the_kit_a_device() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let mut stream = Stream::follow(&bench, &alice, &[]).await;
    let (kit, asked) = new_device(&bench, &bob, DeviceKind::Recovery).await;
    // An answer that was lost is given again.
    for _ in 0..2 {
        assert_eq!(add(&bench, &bob, &asked).await.record::<Completed>().position, 4);
    }
    assert_eq!(stream.next_of::<LogLength>(EVENT_LOG).await.unwrap().count, 5);
    let (next, came_back) = new_device(&bench, &kit, DeviceKind::Device).await;
    assert_eq!(add(&bench, &kit, &came_back).await.record::<Completed>().position, 5);

    let log = alice.verified(&bench).await;
    let [found_kit, found] = [&kit, &next].map(|device| log.device(&device.device).unwrap());
    assert_eq!((found_kit.kind, found.kind), (DeviceKind::Recovery, DeviceKind::Device));
    assert_eq!((found_kit.user, found.user), (bob.user, bob.user));
    // Each was given what opens the user's key.
    let key = log.user(&bob.user).unwrap().encryption_key;
    for (device, given) in [(&kit, &asked), (&next, &came_back)] {
        let target = path::key_box(&bob.organisation, &bob.user, &key, &device.device);
        let found: KeyBox = device.get(&bench, &target).await.record();
        assert_eq!(found.sealed, Some(given.sealed.clone()));
    }
    let root: RootKey = kit.get(&bench, &path::root(&bob.organisation)).await.record();
    assert_eq!(root.root, alice.root);
}

/// Whatever else a device could be added by, or for, is refused, and nothing of it is kept.
#[tokio::test]
async fn nothing_else_comes_in_without_a_ceremony() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let (kit, asked) = new_device(&bench, &bob, DeviceKind::Recovery).await;
    add(&bench, &bob, &asked).await.record::<Completed>();
    let count = alice.head(&bench).await.count;

    let (_, ordinary) = new_device(&bench, &bob, DeviceKind::Device).await;
    assert_eq!(add(&bench, &bob, &ordinary).await.code(), ErrorCode::CertificateRefused);
    let (_, another_kit) = new_device(&bench, &kit, DeviceKind::Recovery).await;
    assert_eq!(add(&bench, &kit, &another_kit).await.code(), ErrorCode::CertificateRefused);
    // For somebody else, an administrator too.
    let mut newcomer = Newcomer::new();
    newcomer.user = bob.user;
    let foreign = of_body(&bench, &alice, newcomer.device_body(), DeviceKind::Recovery).await;
    assert_eq!(add(&bench, &alice, &foreign).await.code(), ErrorCode::NotAllowed);
    // Signed by another than who hands it in; with another key, or no box.
    let (_, good) = new_device(&bench, &bob, DeviceKind::Recovery).await;
    assert_eq!(add(&bench, &alice, &good).await.code(), ErrorCode::CertificateRefused);
    let wrong_key = NewOwnDevice { key: support::new_key(), ..good.clone() };
    assert_eq!(add(&bench, &bob, &wrong_key).await.code(), ErrorCode::CertificateRefused);
    let no_box = NewOwnDevice { sealed: ByteVec::from(vec![1; 7]), ..good.clone() };
    assert_eq!(add(&bench, &bob, &no_box).await.code(), ErrorCode::BoxesRefused);
    // The key changed after the box was sealed: it would be a box of another.
    let stale = NewOwnDevice { user_key: support::new_key().hash(), ..good.clone() };
    assert_eq!(add(&bench, &bob, &stale).await.code(), ErrorCode::BoxesRefused);
    assert_eq!(alice.head(&bench).await.count, count, "nothing of a refused call is kept");
    add(&bench, &bob, &good).await.record::<Completed>();
}

/// Whoever finds the words reads what a new device begins with, lets one in, and does nothing else
/// in the user's name; a kit that was revoked does nothing at all.
#[tokio::test]
async fn a_kit_is_given_nothing_but_the_way_back() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let (kit, asked) = new_device(&bench, &alice, DeviceKind::Recovery).await;
    add(&bench, &alice, &asked).await.record::<Completed>();
    let org = &alice.organisation;
    let token = alice.invite(&bench, "bob@example.org").await;
    for target in [path::invitations(org), path::invitation(org, &token), path::safes(org)] {
        assert_eq!(kit.get(&bench, &target).await.code(), ErrorCode::NotAllowed, "{target}");
    }
    let cancel = path::cancel(&path::invitation(org, &token));
    assert_eq!(kit.call(&bench, "POST", &cancel, &[]).await.code(), ErrorCode::NotAllowed);
    let events = kit.post(&bench, &path::device_events(org), &Follow { tokens: vec![] }).await;
    assert_eq!(events.code(), ErrorCode::NotAllowed);
    assert_eq!(
        kit.invite_for(&bench, parsec_protocol::ids::Invited::Device(alice.user)).await.code(),
        ErrorCode::NotAllowed
    );
    let revoke = kit.change(&bench, Body::DeviceRevoked { device: alice.device }).await;
    assert_eq!(revoke.code(), ErrorCode::NotAllowed);
    for target in [path::root(org), path::manifest(org)] {
        assert_eq!(kit.get(&bench, &target).await.status, 200, "{target}");
    }
    alice.change(&bench, Body::DeviceRevoked { device: kit.device }).await.record::<Completed>();
    assert_eq!(kit.get(&bench, &path::root(org)).await.code(), ErrorCode::Revoked);
    let (_, late) = new_device(&bench, &alice, DeviceKind::Device).await;
    assert_eq!(add(&bench, &kit, &late).await.code(), ErrorCode::Revoked);
}
