//! Split kits at the server: plan and boxes come with the kit or not at all, and everybody is given
//! what concerns them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use minicbor::bytes::ByteVec;
use parsec_protocol::chain::organisation::certificate::{Body, DeviceKind, Profile};
use parsec_protocol::ids::{DeviceId, Invited, OrganisationId};
use parsec_protocol::keys::DeviceSigningKey;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{
    Completed, ErrorCode, NewOwnDevice, NewShares, ShareBox, SharesView, SplitKit, SplitKits, path,
};
use parsec_protocol::share_plan::{Plan, PlanMember, SHARE_BOX_BYTES};
use support::{Bench, Member, Newcomer, sealed};

/// A kit of `by`'s user, with these shares.
async fn kit(
    bench: &Bench,
    by: &Member,
    members: &[&Member],
    change: impl FnOnce(&mut Plan, &mut Vec<ShareBox>),
) -> (DeviceId, NewOwnDevice) {
    let mut newcomer = Newcomer::new();
    newcomer.user = by.user;
    let Body::Device { device, user, sealed_label, verify_key, encryption_key, .. } = newcomer.device_body()
    else {
        panic!()
    };
    let kind = DeviceKind::Recovery;
    let body = Body::Device { device, user, sealed_label, verify_key, encryption_key, kind };
    let certificate = by.certify(by.head(bench).await, bench.now(), body);
    let key = support::keys_of(std::slice::from_ref(&certificate)).remove(0);
    let log = by.verified(bench).await;
    let mut members: Vec<_> = members.iter().map(|member| member.user).collect();
    members.sort_unstable();
    let mut plan = Plan {
        organisation: by.organisation.clone(),
        user,
        kit: device,
        threshold: 2,
        members: members
            .iter()
            .map(|user| PlanMember { user: *user, commitment: Hash::of(&[b"c"]) })
            .collect(),
    };
    let of = |member| ShareBox {
        member,
        key: log.user(&member).unwrap().encryption_key,
        sealed: vec![7; SHARE_BOX_BYTES].into(),
    };
    let mut boxes: Vec<ShareBox> = members.into_iter().map(of).collect();
    change(&mut plan, &mut boxes);
    let signing_key = newcomer.key;
    let plan = plan.sign_with(|context, message| signing_key.sign(context, message)).into();
    let user_key = log.user(&by.user).unwrap().encryption_key;
    let shares = Some(NewShares { plan, boxes });
    (device, NewOwnDevice { certificate, key, user_key, sealed: sealed(), shares })
}

struct Cast {
    bench: Bench,
    alice: Member,
    bob: Member,
    carol: Member,
    dave: Member,
}

async fn cast() -> Cast {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let carol = alice.with(&bench, "carol@example.org", Profile::Outsider).await;
    let dave = alice.with(&bench, "dave@example.org", Profile::Standard).await;
    Cast { bench, alice, bob, carol, dave }
}

#[tokio::test]
async fn everybody_is_given_what_concerns_them() {
    let Cast { bench, alice, bob, carol, dave } = cast().await;
    let org = &alice.organisation;
    let (device, asked) = kit(&bench, &alice, &[&bob, &carol], |_, _| ()).await;
    alice.post(&bench, &path::devices(org), &asked).await.record::<Completed>();
    let concerned = vec![SplitKit { user: alice.user, kit: device }];
    for (who, kits, own) in [
        (&alice, concerned.clone(), false),
        (&bob, concerned.clone(), true),
        (&carol, concerned, true),
        (&dave, vec![], false),
    ] {
        let found: SplitKits = who.get(&bench, &path::shares(org)).await.record();
        assert_eq!(found.kits, kits);
        let view = who.get(&bench, &path::shares_of(org, &device)).await;
        if kits.is_empty() {
            assert_eq!(view.code(), ErrorCode::BoxUnknown);
            continue;
        }
        let view: SharesView = view.record();
        assert_eq!(view.plan, asked.shares.as_ref().unwrap().plan);
        assert_eq!(view.own.map(|own| own.member), own.then_some(who.user));
    }
    // Bob's box goes with Bob, everything with the kit.
    alice.change(&bench, Body::UserRevoked { user: bob.user }).await.record::<Completed>();
    let left: SharesView = carol.get(&bench, &path::shares_of(org, &device)).await.record();
    assert!(left.own.is_some());
    alice.change(&bench, Body::DeviceRevoked { device }).await.record::<Completed>();
    for who in [&alice, &carol] {
        let found: SplitKits = who.get(&bench, &path::shares(org)).await.record();
        assert_eq!(found.kits, vec![]);
    }
}

/// Whatever does not fit, kit and certificate stay out with it.
#[tokio::test]
async fn a_plan_comes_with_its_kit_or_not_at_all() {
    let Cast { bench, alice, bob, carol, dave } = cast().await;
    let org: &OrganisationId = &alice.organisation;
    let count = alice.head(&bench).await.count;
    type Change<'a> = Box<dyn FnOnce(&mut Plan, &mut Vec<ShareBox>) + 'a>;
    let cases: Vec<(&str, Change<'_>, ErrorCode)> = vec![
        (
            "another kit's",
            Box::new(|plan, _| plan.kit = DeviceId::from_bytes([9; 16])),
            ErrorCode::BadRequest,
        ),
        ("another user's", Box::new(|plan, _| plan.user = dave.user), ErrorCode::BadRequest),
        (
            "of another organisation",
            Box::new(|plan, _| plan.organisation = "other".parse().unwrap()),
            ErrorCode::BadRequest,
        ),
        ("one is enough", Box::new(|plan, _| plan.threshold = 1), ErrorCode::BadRequest),
        ("a box too few", Box::new(|_, boxes| drop(boxes.pop())), ErrorCode::BadRequest),
        ("a box for somebody else", Box::new(|_, boxes| boxes[0].member = dave.user), ErrorCode::BadRequest),
        (
            "another length",
            Box::new(|_, boxes| boxes[0].sealed = vec![7; 40].into()),
            ErrorCode::BoxesRefused,
        ),
        (
            "another key",
            Box::new(|_, boxes| boxes[0].key = support::new_key().hash()),
            ErrorCode::BoxesRefused,
        ),
    ];
    for (about, change, code) in cases {
        let (_, asked) = kit(&bench, &alice, &[&bob, &carol], change).await;
        assert_eq!(alice.post(&bench, &path::devices(org), &asked).await.code(), code, "{about}");
    }
    let (_, mut asked) = kit(&bench, &alice, &[&bob, &carol], |_, _| ()).await;
    let key = DeviceSigningKey::from_bytes(&mut [8; 32]);
    let plan = Plan::unverified(&asked.shares.as_ref().unwrap().plan).unwrap();
    let forged = plan.sign_with(|context, message| key.sign(context, message));
    asked.shares.as_mut().unwrap().plan = ByteVec::from(forged);
    assert_eq!(alice.post(&bench, &path::devices(org), &asked).await.code(), ErrorCode::BadRequest);
    assert_eq!(alice.head(&bench).await.count, count, "nothing of a refused call is kept");
    for _ in 0..8 {
        let (_, asked) = kit(&bench, &alice, &[&bob, &carol], |_, _| ()).await;
        alice.post(&bench, &path::devices(org), &asked).await.record::<Completed>();
    }
    let (_, ninth) = kit(&bench, &alice, &[&bob, &carol], |_, _| ()).await;
    assert_eq!(alice.post(&bench, &path::devices(org), &ninth).await.code(), ErrorCode::QuotaReached);
}

#[tokio::test]
async fn whoever_has_no_share_invites_for_none() {
    let Cast { bench, alice, bob, carol, dave } = cast().await;
    let org = &alice.organisation;
    let (device, asked) = kit(&bench, &alice, &[&bob, &carol], |_, _| ()).await;
    alice.post(&bench, &path::devices(org), &asked).await.record::<Completed>();
    let share = Invited::Share(alice.user, device);
    assert_eq!(dave.invite_for(&bench, share.clone()).await.code(), ErrorCode::NotAllowed);
    assert_eq!(alice.invite_for(&bench, share.clone()).await.code(), ErrorCode::NotAllowed);
    let of_another = Invited::Share(dave.user, device);
    assert_eq!(bob.invite_for(&bench, of_another).await.code(), ErrorCode::NotAllowed);
    assert_eq!(bob.invite_for(&bench, share).await.status, 200);
}
