//! Enrolments whose ceremony the server did not relay, and what their newcomers are told of them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::sync::Arc;

use minicbor::bytes::ByteVec;
use parsec_metadata::Rates;
use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::certificate::{Body, Profile};
use parsec_protocol::claim_receipt::ClaimReceipt;
use parsec_protocol::codec;
use parsec_protocol::ids::{DeviceId, Invited, Token};
use parsec_protocol::limits::MISMATCHES_MAX;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{
    AttemptView, Completed, DirectEnrolment, EndReason, ErrorCode, InvitationStatus, InvitedInfo, Standing,
    StandingQuestion, path,
};
use support::{Bench, Claim, DAY, Member, Newcomer, drawn, founding};

const EMAIL: &str = "bob@example.org";

fn bob_invited() -> Invited {
    Invited::User(EMAIL.parse().unwrap())
}

/// Bob's enrolment by a member, as it should be.
async fn of_bob(bench: &Bench, bob: &Newcomer, by: &Member) -> DirectEnrolment {
    let completion = bob.enrolment(by, by.head(bench).await, bench.now(), EMAIL);
    bob.direct(by, bench.now(), bob_invited(), completion.certificates)
}

async fn ask(bench: &Bench, organisation: &Member, question: &StandingQuestion) -> support::Answer {
    bench.call("POST", &path::standing(&organisation.organisation), &vec![], &codec::encode(question)).await
}

#[tokio::test]
async fn a_direct_enrolment_is_registered_once_and_its_token_is_used_up() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = Newcomer::new();
    let enrolment = of_bob(&bench, &bob, &alice).await;
    // The days pass until the server is back.
    bench.pass(40 * DAY);
    for _ in 0..2 {
        assert_eq!(alice.enrol(&bench, &enrolment).await.record::<Completed>().position, 2);
    }
    // Other dates on the same enrolment are the same enrolment.
    let again = DirectEnrolment { expires: bench.now(), ..enrolment.clone() };
    assert_eq!(alice.enrol(&bench, &again).await.record::<Completed>().position, 2);
    let log = alice.verified(&bench).await;
    assert_eq!((log.count(), log.user(&bob.user).unwrap().revoked), (4, None));

    let claim = Claim::new(&alice, enrolment.token);
    let info = bench.call("GET", &path::invited(&claim.organisation), &claim.headers(), &[]).await;
    let info: InvitedInfo = info.record();
    assert_eq!((info.status, info.invited), (InvitationStatus::Completed, bob_invited()));
    assert_eq!(claim.start(&bench).await.code(), ErrorCode::InvitationCompleted);
    let view = alice.see(&bench, &enrolment.token).await;
    assert_eq!((view.created_by, view.created, view.attempts), (alice.user, enrolment.created, 0));

    // Another enrolment under it: by the same greeter, for the same address or another.
    let other = of_bob(&bench, &Newcomer::new(), &alice).await;
    let other = DirectEnrolment { token: enrolment.token, ..other };
    assert_eq!(alice.enrol(&bench, &other).await.code(), ErrorCode::InvitationCompleted);
    let other = DirectEnrolment { invited: Invited::User("eve@example.org".parse().unwrap()), ..other };
    assert_eq!(alice.enrol(&bench, &other).await.code(), ErrorCode::InvitationConflict);
    // The same enrolment under another token changes nothing: what was enrolled is, and the token
    // is nobody's.
    let moved = DirectEnrolment { token: Token::from_bytes(drawn()), ..enrolment };
    assert_eq!(alice.enrol(&bench, &moved).await.record::<Completed>().position, 2);
    assert_eq!(Claim::new(&alice, moved.token).start(&bench).await.code(), ErrorCode::InvitationUnknown);

    let bob = bob.member(&alice);
    assert_eq!(bob.log(&bench).await.count, 4);
    let second = bob.with_device(&bench).await;
    assert_eq!(second.verified(&bench).await.count(), 5);
}

#[tokio::test]
async fn an_invitation_that_the_server_knows_ends_with_it() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    for (number, steps) in [None, Some(0), Some(7), Some(8)].into_iter().enumerate() {
        let email = format!("m{number}@example.org");
        let claim = Claim::new(&alice, alice.invite(&bench, &email).await);
        if let Some(last) = steps {
            claim.run_to(&bench, &alice, last).await;
        }
        let newcomer = Newcomer::new();
        let completion = newcomer.enrolment(&alice, alice.head(&bench).await, bench.now(), &email);
        let invited = Invited::User(email.parse().unwrap());
        let direct = newcomer.direct(&alice, bench.now(), invited, completion.certificates);
        let direct = DirectEnrolment { token: claim.token, ..direct };
        alice.enrol(&bench, &direct).await.record::<Completed>();
        alice.enrol(&bench, &direct).await.record::<Completed>();
        assert_eq!(alice.see(&bench, &claim.token).await.status, InvitationStatus::Completed);
        if steps.is_some() {
            assert_eq!(claim.view(&bench).await.ended, Some(EndReason::InvitationEnded));
            let answer = claim
                .complete(
                    &bench,
                    &alice,
                    &newcomer.enrolment(&alice, alice.head(&bench).await, bench.now(), &email),
                )
                .await;
            assert_eq!(answer.code(), ErrorCode::AttemptEnded);
        }
        assert_eq!(
            Claim::new(&alice, claim.token).start(&bench).await.code(),
            ErrorCode::InvitationCompleted
        );
    }

    // Expired while nobody could reach the server.
    let token = alice.invite(&bench, EMAIL).await;
    let bob = Newcomer::new();
    let enrolment = DirectEnrolment { token, ..of_bob(&bench, &bob, &alice).await };
    bench.pass(31 * DAY);
    assert_eq!(alice.see(&bench, &token).await.status, InvitationStatus::Expired);
    alice.enrol(&bench, &enrolment).await.record::<Completed>();
    assert_eq!(alice.see(&bench, &token).await.status, InvitationStatus::Completed);
    assert_eq!(alice.verified(&bench).await.count(), 2 + 2 * 5);
}

#[tokio::test]
async fn an_invitation_that_is_over_refuses_under_its_name() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = Newcomer::new();

    let cancelled = alice.invite(&bench, EMAIL).await;
    let cancel = path::cancel(&path::invitation(&alice.organisation, &cancelled));
    alice.call(&bench, "POST", &cancel, &[]).await.done();
    let exhausted = alice.invite(&bench, EMAIL).await;
    for _ in 0..MISMATCHES_MAX {
        let claim = Claim::new(&alice, exhausted);
        claim.start(&bench).await.record::<AttemptView>();
        claim.cancel(&bench, EndReason::CodeMismatch).await.done();
    }
    let relayed = Claim::new(&alice, alice.invite(&bench, "carol@example.org").await);
    relayed.run_to(&bench, &alice, 8).await;
    let carol = Newcomer::new().enrolment(&alice, alice.head(&bench).await, bench.now(), "carol@example.org");
    relayed.complete(&bench, &alice, &carol).await.record::<Completed>();

    let good = of_bob(&bench, &bob, &alice).await;
    let other = Invited::User("carol@example.org".parse().unwrap());
    for (token, invited, code) in [
        (cancelled, bob_invited(), ErrorCode::InvitationCancelled),
        (exhausted, bob_invited(), ErrorCode::InvitationExhausted),
        (relayed.token, other.clone(), ErrorCode::InvitationCompleted),
        (relayed.token, bob_invited(), ErrorCode::InvitationConflict),
        (cancelled, other, ErrorCode::InvitationConflict),
        (exhausted, Invited::Device(alice.user), ErrorCode::InvitationConflict),
    ] {
        let asked = DirectEnrolment { token, invited, ..good.clone() };
        assert_eq!(alice.enrol(&bench, &asked).await.code(), code);
        assert_eq!(alice.log(&bench).await.count, 4, "{code:?}");
    }
    assert_eq!(alice.see(&bench, &cancelled).await.status, InvitationStatus::Cancelled);
    assert_eq!(alice.see(&bench, &exhausted).await.status, InvitationStatus::Exhausted);
    alice.enrol(&bench, &good).await.record::<Completed>();
}

/// Each has one fault; none may leave a trace, and the good one is taken after all of them.
#[tokio::test]
async fn one_fault_and_nothing_changes() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let dave = alice.with(&bench, "dave@example.org", Profile::Standard).await;
    let second = alice.with_device(&bench).await;
    let (seen, now) = (alice.head(&bench).await, bench.now());
    let bob = Newcomer::new();
    let good = of_bob(&bench, &bob, &alice).await;
    let with = |certificates: Vec<ByteVec>| {
        let receipt = bob.receipt(&certificates, alice.root);
        DirectEnrolment { certificates, receipt, ..good.clone() }
    };
    let user = |by: &Member| by.certify(seen, now, bob.user_body(EMAIL, Profile::Standard));
    let device = |by: &Member, who: &Newcomer| by.certify(seen, now, who.device_body());
    let mut stranger = founding("acme", now).1;
    stranger.device = alice.device;
    let mut reused = Newcomer::new();
    (reused.user, reused.device) = (bob.user, alice.device);
    let mut device_of_dave = Newcomer::new();
    device_of_dave.user = dave.user;
    let mut tampered = good.certificates.clone();
    *tampered[1].last_mut().unwrap() ^= 1;
    let hashes: Vec<Hash> = good.receipt.certificates.clone();
    let forged = ClaimReceipt::sign(&alice.key, Hash::from_bytes([9; 32]), hashes, alice.root);
    let for_dave = Invited::Device(dave.user);

    use ErrorCode::{AlreadyMember, BadRequest, CertificateRefused, NotAllowed};
    let cases = vec![
        (
            "another e-mail",
            with(bob.enrolment(&alice, seen, now, "eve@example.org").certificates),
            CertificateRefused,
        ),
        (
            "a member's e-mail",
            DirectEnrolment {
                invited: Invited::User("dave@example.org".parse().unwrap()),
                ..with(bob.enrolment(&alice, seen, now, "dave@example.org").certificates)
            },
            AlreadyMember,
        ),
        ("no certificate", with(vec![]), CertificateRefused),
        ("the user alone", with(vec![user(&alice)]), CertificateRefused),
        ("the device alone", with(vec![device(&alice, &bob)]), CertificateRefused),
        ("the other order", with(good.certificates.iter().rev().cloned().collect()), CertificateRefused),
        (
            "a third",
            with([good.certificates.clone(), vec![device(&alice, &Newcomer::new())]].concat()),
            CertificateRefused,
        ),
        ("a used device id", with(vec![user(&alice), device(&alice, &reused)]), CertificateRefused),
        (
            "by the caller's other device",
            with(vec![user(&second), device(&second, &bob)]),
            CertificateRefused,
        ),
        ("by another in part", with(vec![user(&alice), device(&second, &bob)]), CertificateRefused),
        ("another's signature", with(vec![user(&stranger), device(&stranger, &bob)]), CertificateRefused),
        ("a broken signature", with(tampered), CertificateRefused),
        (
            "another log",
            with(bob.enrolment(&alice, Head { hash: Hash::of(&[]), ..seen }, now, EMAIL).certificates),
            CertificateRefused,
        ),
        (
            "a log that isn't yet",
            with(bob.enrolment(&alice, Head { count: 99, ..seen }, now, EMAIL).certificates),
            CertificateRefused,
        ),
        (
            "a revocation",
            with(vec![alice.certify(seen, now, Body::UserRevoked { user: dave.user })]),
            CertificateRefused,
        ),
        (
            "another's device",
            DirectEnrolment { invited: for_dave, ..with(vec![device(&alice, &device_of_dave)]) },
            NotAllowed,
        ),
        (
            "the root key again",
            DirectEnrolment {
                receipt: bob.receipt(&good.certificates, dave.key.verify_key()),
                ..good.clone()
            },
            CertificateRefused,
        ),
        (
            "a receipt for other certificates",
            DirectEnrolment { receipt: bob.receipt(&good.certificates[..1], alice.root), ..good.clone() },
            CertificateRefused,
        ),
        ("a receipt by another key", DirectEnrolment { receipt: forged, ..good.clone() }, CertificateRefused),
        ("it ends before it begins", DirectEnrolment { expires: good.created, ..good.clone() }, BadRequest),
        (
            "ninety days and a bit",
            DirectEnrolment {
                expires: parsec_protocol::ids::Timestamp(good.created.plus_seconds(90 * DAY).0 + 1),
                ..good.clone()
            },
            BadRequest,
        ),
    ];
    let before = alice.log(&bench).await;
    for (what, bad, code) in cases {
        assert_eq!(alice.enrol(&bench, &bad).await.code(), code, "{what}");
        assert_eq!(alice.log(&bench).await, before, "{what}");
        let see = path::invitation(&alice.organisation, &bad.token);
        let answer = alice.call(&bench, "GET", &see, &[]).await;
        assert_eq!(answer.code(), ErrorCode::InvitationUnknown, "{what}");
    }
    // A member who may not vouch, with certificates that are sound but for that.
    let by_dave = bob.enrolment(&dave, seen, now, EMAIL).certificates;
    assert_eq!(dave.enrol(&bench, &with(by_dave)).await.code(), NotAllowed);
    // Somebody else's enrolment, by a member who may: the caller must be the author.
    assert_eq!(second.enrol(&bench, &good).await.code(), CertificateRefused);
    assert_eq!(alice.log(&bench).await, before);

    let longest = DirectEnrolment { expires: good.created.plus_seconds(90 * DAY), ..good };
    alice.enrol(&bench, &longest).await.record::<Completed>();
    alice.verified(&bench).await;
}

#[tokio::test]
async fn bodies_of_other_lengths_and_fields_are_refused() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let enrolment = of_bob(&bench, &Newcomer::new(), &alice).await;
    let good = codec::encode(&enrolment);
    let target = path::enrolments(&alice.organisation);
    let post = async |body: &[u8]| alice.call(&bench, "POST", &target, body).await.code();
    // A certificate of any size up to the call's bound is read; beyond, nothing is.
    let padded = |length: usize| {
        let certificates = vec![vec![0; length].into()];
        codec::encode(&DirectEnrolment { certificates, ..enrolment.clone() })
    };
    assert_eq!(post(&padded(4_000)).await, ErrorCode::CertificateRefused);
    assert_eq!(post(&padded(5_200)).await, ErrorCode::TooLarge);
    assert_eq!(post(&vec![0; 2_000_000]).await, ErrorCode::TooLarge);
    assert_eq!(post(&[]).await, ErrorCode::BadRequest);
    for (at, _) in good.iter().enumerate().step_by(7) {
        assert_eq!(post(&good[..at]).await, ErrorCode::BadRequest, "cut at {at}");
    }
    let mut more = good.clone();
    more[0] += 1;
    more.push(0xf6);
    assert_eq!(post(&more).await, ErrorCode::BadRequest, "a field more");
    // The token a byte shorter, and a byte longer.
    assert_eq!((good[0], good[1]), (0x86, 0x50));
    let shorter = [&[0x86, 0x4f], &good[3..]].concat();
    let longer = [&[0x86, 0x51, 0], &good[2..]].concat();
    assert_eq!(post(&shorter).await, ErrorCode::BadRequest);
    assert_eq!(post(&longer).await, ErrorCode::BadRequest);

    let target = path::standing(&alice.organisation);
    let question = StandingQuestion { greeter: alice.device, certificate: Hash::of(&[]) };
    let question = codec::encode(&question);
    let post = async |body: &[u8]| bench.call("POST", &target, &vec![], body).await;
    assert_eq!(post(&question).await.record::<Standing>(), Standing::Waiting);
    for bad in [
        &question[..question.len() - 1],
        &[question.as_slice(), &[0]].concat(),
        &[],
        &[&[0x82, 0x4f], &question[3..]].concat(),
        &[&[0x82, 0x51, 0], &question[2..]].concat(),
    ] {
        assert_eq!(post(bad).await.code(), ErrorCode::BadRequest);
    }
    assert_eq!(post(&[0; 65]).await.code(), ErrorCode::TooLarge);
    assert_eq!(alice.log(&bench).await.count, 2);
}

#[tokio::test]
async fn an_enrolment_by_a_greeter_revoked_meanwhile_is_void() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let device = alice.with_device(&bench).await;
    let carol = alice.with(&bench, "carol@example.org", Profile::Administrator).await;
    let dave = alice.with(&bench, "dave@example.org", Profile::Administrator).await;
    let (first, second, third) = (Newcomer::new(), Newcomer::new(), Newcomer::new());
    let by_device = of_bob(&bench, &first, &device).await;
    let by_carol = of_bob(&bench, &second, &carol).await;
    let by_dave = of_bob(&bench, &third, &dave).await;
    let question = |enrolment: &DirectEnrolment, by: &Member| StandingQuestion {
        greeter: by.device,
        certificate: Hash::of(&[&enrolment.certificates[0]]),
    };
    let questions = [question(&by_device, &device), question(&by_carol, &carol), question(&by_dave, &dave)];
    let standings = async || {
        let mut standings = Vec::new();
        for question in &questions {
            standings.push(ask(&bench, &alice, question).await.record::<Standing>());
        }
        standings
    };
    assert_eq!(standings().await, [Standing::Waiting, Standing::Waiting, Standing::Waiting]);

    // A device, and a user with all devices.
    alice.change(&bench, Body::DeviceRevoked { device: device.device }).await.record::<Completed>();
    assert_eq!(standings().await, [Standing::Void, Standing::Waiting, Standing::Waiting]);
    alice.change(&bench, Body::UserRevoked { user: carol.user }).await.record::<Completed>();
    assert_eq!(standings().await, [Standing::Void, Standing::Void, Standing::Waiting]);
    let before = alice.log(&bench).await;
    for (by, enrolment) in [(&device, &by_device), (&carol, &by_carol)] {
        assert_eq!(by.enrol(&bench, enrolment).await.code(), ErrorCode::Revoked);
        // Nor can anybody else bring it in.
        assert_eq!(alice.enrol(&bench, enrolment).await.code(), ErrorCode::CertificateRefused);
    }
    assert_eq!(alice.log(&bench).await, before);

    // What was registered in time stays, and its newcomer is told so, whatever became of the
    // greeter.
    dave.enrol(&bench, &by_dave).await.record::<Completed>();
    assert_eq!(standings().await, [Standing::Void, Standing::Void, Standing::Registered]);
    alice.change(&bench, Body::UserRevoked { user: dave.user }).await.record::<Completed>();
    assert_eq!(standings().await, [Standing::Void, Standing::Void, Standing::Registered]);
    assert_eq!(dave.enrol(&bench, &by_dave).await.code(), ErrorCode::Revoked, "the same call again, too");
    alice.verified(&bench).await;

    // Whatever is unknown may still come.
    let other = bench.founded_as("other").await;
    let unknown = StandingQuestion { greeter: DeviceId::from_bytes(drawn()), ..questions[0] };
    assert_eq!(ask(&bench, &alice, &unknown).await.record::<Standing>(), Standing::Waiting);
    for question in &questions {
        assert_eq!(ask(&bench, &other, question).await.record::<Standing>(), Standing::Waiting);
    }
    let nowhere = path::standing(&"nowhere".parse().unwrap());
    let answer = bench.call("POST", &nowhere, &vec![], &codec::encode(&questions[0])).await;
    assert_eq!(answer.record::<Standing>(), Standing::Waiting);
}

#[tokio::test]
async fn a_greeter_demoted_meanwhile_enrols_nobody() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let carol = alice.with(&bench, "carol@example.org", Profile::Administrator).await;
    let enrolment = of_bob(&bench, &Newcomer::new(), &carol).await;
    let demoted = Body::ProfileChange { user: carol.user, profile: Profile::Standard };
    alice.change(&bench, demoted).await.record::<Completed>();
    assert_eq!(carol.enrol(&bench, &enrolment).await.code(), ErrorCode::NotAllowed);
    // It is not void: an administrator again, Carol may bring it in.
    let promoted = Body::ProfileChange { user: carol.user, profile: Profile::Administrator };
    alice.change(&bench, promoted).await.record::<Completed>();
    carol.enrol(&bench, &enrolment).await.record::<Completed>();
    alice.verified(&bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_equal_calls_at_once_all_get_the_same_answer() {
    let bench = Arc::new(Bench::start().await);
    let alice = Arc::new(bench.founded().await);
    let enrolment = Arc::new(of_bob(&bench, &Newcomer::new(), &alice).await);
    let tasks: Vec<_> = (0..30)
        .map(|_| {
            let (bench, alice, enrolment) = (Arc::clone(&bench), Arc::clone(&alice), Arc::clone(&enrolment));
            tokio::spawn(async move { alice.enrol(&bench, &enrolment).await.record::<Completed>() })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().position, 2);
    }
    assert_eq!(alice.verified(&bench).await.count(), 4);
}

#[tokio::test]
async fn an_enrolment_is_refused_for_no_budget() {
    let bench = Bench::with(|config| {
        config.budgets.administrator.live = 1;
        config.budgets.administrator.bytes = 1_000;
    })
    .await;
    let alice = bench.founded().await;
    alice.invite(&bench, "else@example.org").await;
    for number in 0..10 {
        alice.with(&bench, &format!("m{number}@example.org"), Profile::Standard).await;
    }
    let other = Invited::User(EMAIL.parse().unwrap());
    assert_eq!(alice.invite_for(&bench, other).await.code(), ErrorCode::MemberBudgetSpent);
    let enrolment = of_bob(&bench, &Newcomer::new(), &alice).await;
    alice.enrol(&bench, &enrolment).await.record::<Completed>();
}

#[tokio::test]
async fn an_address_that_asks_for_standings_too_often_is_told_to_wait() {
    let bench = Bench::with(|config| {
        let mut rates = Rates::default();
        rates.address.burst = 20;
        rates.address.per_second = 1;
        config.rates = Some(rates);
    })
    .await;
    let alice = bench.founded().await;
    let question = StandingQuestion { greeter: alice.device, certificate: Hash::of(&[]) };
    let mut limited = 0;
    for _ in 0..100 {
        let answer = ask(&bench, &alice, &question).await;
        limited += u32::from(answer.status == 429);
    }
    assert!(limited > 0);
    alice.log(&bench).await;
}
