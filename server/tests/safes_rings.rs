//! Keys of safes: a ring is here and fits the certificate that names it, or the key is refused;
//! boxes go to exactly those who need one; after a restore nothing new enters a safe.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::organisation::certificate::Profile;
use parsec_protocol::ids::SafeId;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{ErrorCode, SafeCertificate, SafeLogged, path};
use parsec_protocol::safe_log::certificate::{Body, Key};
use parsec_protocol::safe_log::ring::{BoxFor, RingHead, RingPart, boxes_hash};
use parsec_protocol::safe_log::roles::Role;
use parsec_protocol::safe_log::rules::ring_list;
use support::safes::{Ring, View, change};
use support::{Bench, Member, drawn, sealed};

/// A rekey whose ring has a fault that its certificate vouches for.
async fn faulty(
    bench: &Bench,
    by: &Member,
    view: &View,
    fault: &dyn Fn(&mut RingHead, &mut RingPart),
) -> SafeCertificate {
    let list = ring_list(&view.safe, &view.log, view.log.count(), &[]).unwrap();
    let named = list.hash();
    let Ring { head, parts, .. } = by.ring(view.safe.id(), list, 1, 0);
    let (mut head, mut part) = (RingHead::decode(&head).unwrap(), RingPart::decode(&parts[0]).unwrap());
    fault(&mut head, &mut part);
    if head.parts.len() == 1 {
        head.parts = vec![part.hash()];
    }
    let part = part.encode();
    let target = path::safe_part(&by.organisation, view.safe.id(), &Hash::of(&[&part]));
    by.call(bench, "PUT", &target, &part).await.done();
    let key = Key { epoch: 1, key_check: Hash::from_bytes(drawn()), list: named, ring: head.hash(), lost: 0 };
    let body = Body::Changed { changes: vec![], key: Some(key), boxes: None };
    let certificate = by.signed_certificate(&by.safe_certificate(bench, view, body));
    SafeCertificate { certificate, ring: Some(head.encode().into()), boxes: vec![] }
}

#[tokio::test]
async fn a_ring_that_does_not_fit_its_certificate_is_refused() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let safe = alice.safe(&bench).await;
    alice.share(&bench, &safe, &bob, Role::Reader).await;
    let view = alice.view(&bench, &safe).await;
    type Fault = fn(&mut RingHead, &mut RingPart);
    let faults: [(&str, Fault); 9] = [
        ("of another safe", |head, _| head.safe = SafeId::from_bytes([7; 16])),
        ("of another epoch", |head, _| head.epoch = 2),
        ("of another author", |head, _| head.author = parsec_protocol::ids::DeviceId::from_bytes([7; 16])),
        ("with another list", |head, _| head.list.0.truncate(1)),
        ("without a past", |head, _| head.past = None),
        ("with a part too many", |head, _| head.parts.push(Hash::of(&[b"part"]))),
        ("with a box too few", |_, part| part.0.truncate(1)),
        ("with a box of another length", |_, part| part.0[0] = Some(vec![1; 9].into())),
        ("without a box for somebody whose key is here", |_, part| part.0[1] = None),
    ];
    for (what, fault) in faults {
        let asked = faulty(&bench, &alice, &view, &fault).await;
        assert_eq!(alice.append(&bench, &safe, &asked).await.code(), ErrorCode::RingRefused, "{what}");
    }
    let good = faulty(&bench, &alice, &view, &|_, _| {}).await;
    for (what, ring) in [
        ("none", None),
        ("another one", Some(vec![7; 9].into())),
        ("the same in other bytes", Some([good.ring.clone().unwrap().as_slice(), &[0]].concat().into())),
    ] {
        let asked = SafeCertificate { ring, ..good.clone() };
        assert_eq!(alice.append(&bench, &safe, &asked).await.code(), ErrorCode::RingRefused, "{what}");
    }
    // A part under a name that is not its hash.
    let target = path::safe_part(&alice.organisation, &safe, &Hash::of(&[b"part"]));
    assert_eq!(alice.call(&bench, "PUT", &target, b"trap").await.code(), ErrorCode::RingRefused);
    assert_eq!(alice.get(&bench, &target).await.code(), ErrorCode::RingMissing);
    assert_eq!(alice.view(&bench, &safe).await.safe.present().unwrap().log.count, 2, "nothing has changed");
    assert_eq!(alice.append(&bench, &safe, &good).await.record::<SafeLogged>().count, 3);
}

#[tokio::test]
async fn boxes_are_for_exactly_those_who_need_one() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let safe = alice.safe(&bench).await;
    let view = alice.view(&bench, &safe).await;
    let good = alice.sharing(&bench, &view, vec![change(bob.user, Some(Role::Reader))]);
    let with = |boxes: Vec<BoxFor>| SafeCertificate { boxes, ..good.clone() };
    let of = |user, sealed: ByteVec| BoxFor { user, sealed };
    for boxes in [
        vec![],
        vec![of(bob.user, sealed())],
        vec![of(alice.user, good.boxes[0].sealed.clone())],
        vec![good.boxes[0].clone(), good.boxes[0].clone()],
        vec![of(bob.user, vec![1; 9].into())],
    ] {
        let answer = alice.append(&bench, &safe, &with(boxes)).await;
        assert_eq!(answer.code(), ErrorCode::BoxesRefused);
    }
    // The certificate vouches for them, and they are somebody else's.
    let others = vec![of(alice.user, sealed())];
    let body = Body::Changed {
        changes: vec![change(bob.user, Some(Role::Reader))],
        key: None,
        boxes: Some(boxes_hash(&others)),
    };
    let certificate = alice.signed_certificate(&alice.safe_certificate(&bench, &view, body));
    let asked = SafeCertificate { certificate, ring: None, boxes: others };
    assert_eq!(alice.append(&bench, &safe, &asked).await.code(), ErrorCode::BoxesRefused);
    // A ring where no key comes with it.
    let ring = alice.ring(&safe, ring_list(&view.safe, &view.log, view.log.count(), &[]).unwrap(), 1, 0);
    let asked = SafeCertificate { ring: Some(ring.head), ..good.clone() };
    assert_eq!(alice.append(&bench, &safe, &asked).await.code(), ErrorCode::RingRefused);
    // Another device of the same member hands it in.
    let second = alice.with_device(&bench).await;
    assert_eq!(second.append(&bench, &safe, &good).await.code(), ErrorCode::CertificateRefused);
    assert_eq!(alice.append(&bench, &safe, &good).await.record::<SafeLogged>().count, 2);
}

#[tokio::test]
async fn a_server_for_repairs_takes_nothing_new_into_a_safe() {
    let bench = Bench::with(|config| config.repairs_only = true).await;
    let alice = bench.founded().await;
    let founding = alice.new_safe(&bench, SafeId::from_bytes(drawn())).await;
    let answer = alice.post(&bench, &path::safes(&alice.organisation), &founding).await;
    assert_eq!(answer.code(), ErrorCode::LogHeld);
}
