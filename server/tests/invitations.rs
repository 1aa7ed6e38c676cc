//! The life of invitations and attempts, by many hands at once and over time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::sync::Arc;

use parsec_protocol::ids::{Invited, Token};
use parsec_protocol::limits::{ATTEMPT_IDLE_SECONDS, ATTEMPTS_MAX, MISMATCHES_MAX};
use parsec_protocol::relay::{
    AttemptView, EndReason, ErrorCode, InvitationList, InvitationMade, InvitationStatus, InvitedInfo,
    NewInvitation, path,
};
use support::{Bench, Claim, DAY, Newcomer, drawn, keys_of};

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_claimers_at_once_one_gets_the_attempt() {
    let bench = Arc::new(Bench::start().await);
    let alice = bench.founded().await;
    let token = alice.invite(&bench, "bob@example.org").await;
    let claims: Vec<_> = (0..100).map(|_| Claim::new(&alice, token)).collect();
    let tasks: Vec<_> = claims
        .into_iter()
        .map(|claim| {
            let bench = Arc::clone(&bench);
            tokio::spawn(async move { claim.start(&bench).await })
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        let answer = task.await.unwrap();
        if answer.status == 200 {
            won += 1;
        } else {
            assert_eq!(answer.code(), ErrorCode::InvitationInUse);
        }
    }
    let view = alice.see(&bench, &token).await;
    assert_eq!((won, view.attempts, view.status), (1, 1, InvitationStatus::InUse));
    println!("figure S11: 100 claimers at once: 1 attempt; tokens have 128 bits");
}

#[tokio::test]
async fn a_thousand_previews_leave_the_invitation_as_it_was() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let token = alice.invite(&bench, "bob@example.org").await;
    let before = alice.see(&bench, &token).await;
    for number in 0..1_000 {
        let method = ["GET", "HEAD", "POST"][number % 3];
        let answer = bench.call(method, "/join/acme", &vec![], b"").await;
        assert_eq!(answer.status, 200);
        if number == 0 {
            let head = answer.head.to_ascii_lowercase();
            for header in [
                "content-security-policy: default-src 'none'",
                "cache-control: no-store",
                "referrer-policy: no-referrer",
                "x-robots-tag: noindex",
            ] {
                assert!(head.contains(header), "{header} in {head}");
            }
        }
    }
    assert_eq!(alice.see(&bench, &token).await, before);
    assert_eq!(before.status, InvitationStatus::Pending);
    Claim::new(&alice, token).start(&bench).await.record::<AttemptView>();
    println!("figure S12: 1,000 times GET, HEAD and POST: as it was, and claimed once");
}

#[tokio::test]
async fn what_an_outsider_can_probe_looks_the_same() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let claim = Claim::new(&alice, alice.invite(&bench, "bob@example.org").await);
    claim.start(&bench).await.record::<AttemptView>();

    let mut wrong_token = claim.clone();
    wrong_token.token = Token::from_bytes(drawn());
    let mut wrong_organisation = claim.clone();
    wrong_organisation.organisation = "other".parse().unwrap();
    let invited = |claim: &Claim| (path::invited(&claim.organisation), claim.headers());
    let mut seen = Vec::new();
    for claim in [&wrong_token, &wrong_organisation] {
        let (target, headers) = invited(claim);
        let answer = bench.call("GET", &target, &headers, &[]).await;
        assert_eq!(answer.code(), ErrorCode::InvitationUnknown);
        seen.push(answer.body);
    }
    assert_eq!(seen[0], seen[1]);

    let mut wrong_secret = claim.clone();
    wrong_secret.secret = drawn();
    let mut wrong_attempt = claim.clone();
    wrong_attempt.attempt = Claim::new(&alice, claim.token).attempt;
    for claim in [wrong_secret, wrong_attempt] {
        let answer = bench.call("GET", &claim.path(), &claim.headers(), &[]).await;
        assert_eq!(answer.code(), ErrorCode::AttemptUnknown);
        assert_eq!(claim.put(&bench, 0, b"x").await.code(), ErrorCode::AttemptUnknown);
        assert_eq!(claim.cancel(&bench, EndReason::Cancelled).await.code(), ErrorCode::AttemptUnknown);
    }
    assert_eq!(claim.view(&bench).await.ended, None);
}

#[tokio::test]
async fn making_an_invitation_again_is_harmless_and_another_under_its_token_refused() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let target = path::invitations(&alice.organisation);
    let mut asked = NewInvitation {
        token: Token::from_bytes(drawn()),
        invited: Invited::User("bob@example.org".parse().unwrap()),
        expires: bench.now().plus_seconds(DAY),
        mail_link: None,
    };
    for _ in 0..2 {
        alice.post(&bench, &target, &asked).await.record::<InvitationMade>();
    }
    let list: InvitationList = alice.call(&bench, "GET", &target, &[]).await.record();
    assert_eq!(list.invitations.len(), 1);
    asked.invited = Invited::User("eve@example.org".parse().unwrap());
    assert_eq!(alice.post(&bench, &target, &asked).await.code(), ErrorCode::InvitationConflict);
    for seconds in [0, 92 * DAY] {
        asked.token = Token::from_bytes(drawn());
        asked.expires = bench.now().plus_seconds(seconds);
        assert_eq!(alice.post(&bench, &target, &asked).await.code(), ErrorCode::BadRequest);
    }
}

#[tokio::test]
async fn pending_invitations_have_a_quota() {
    let bench = Bench::with(|config| config.budgets.administrator.live = 2).await;
    let alice = bench.founded().await;
    let first = alice.invite(&bench, "a@example.org").await;
    alice.invite(&bench, "b@example.org").await;
    let third = Invited::User("c@example.org".parse().unwrap());
    assert_eq!(alice.invite_for(&bench, third.clone()).await.code(), ErrorCode::MemberBudgetSpent);
    let cancel = path::cancel(&path::invitation(&alice.organisation, &first));
    alice.call(&bench, "POST", &cancel, &[]).await.done();
    alice.call(&bench, "POST", &cancel, &[]).await.done();
    alice.make(&bench, third).await;
    println!("figure P6: invitations beyond the quota refused by name; those there go on");
}

#[tokio::test]
async fn wrong_codes_and_attempts_are_counted() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    for (reason, most) in [(EndReason::CodeMismatch, MISMATCHES_MAX), (EndReason::Cancelled, ATTEMPTS_MAX)] {
        let token = alice.invite(&bench, "bob@example.org").await;
        for number in 1..=most {
            assert_eq!(alice.see(&bench, &token).await.status, InvitationStatus::Pending);
            let claim = Claim::new(&alice, token);
            claim.start(&bench).await.record::<AttemptView>();
            // Either side may say it; said again it counts once.
            claim.greeter_cancel(&bench, &alice, reason).await.done();
            claim.cancel(&bench, reason).await.done();
            assert_eq!(alice.see(&bench, &token).await.attempts, number);
            assert_eq!(claim.cancel(&bench, EndReason::BadMessage).await.code(), ErrorCode::AttemptEnded);
        }
        let claim = Claim::new(&alice, token);
        assert_eq!(claim.start(&bench).await.code(), ErrorCode::InvitationExhausted);
        assert_eq!(alice.see(&bench, &token).await.status, InvitationStatus::Exhausted);
    }
}

#[tokio::test]
async fn an_end_that_is_the_servers_to_say_is_not_taken_from_a_side() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let claim = Claim::new(&alice, alice.invite(&bench, "bob@example.org").await);
    claim.start(&bench).await.record::<AttemptView>();
    for reason in [EndReason::Completed, EndReason::InvitationEnded] {
        assert_eq!(claim.cancel(&bench, reason).await.code(), ErrorCode::BadRequest);
    }
    assert_eq!(claim.view(&bench).await.ended, None);
}

#[tokio::test]
async fn steps_come_in_order_from_their_side_and_once() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let claim = Claim::new(&alice, alice.invite(&bench, "bob@example.org").await);
    claim.start(&bench).await.record::<AttemptView>();
    assert_eq!(claim.put(&bench, 0, b"zero").await.code(), ErrorCode::StepRefused, "nobody greets yet");
    assert_eq!(claim.greeter_put(&bench, &alice, 1, b"x").await.code(), ErrorCode::StepRefused);
    claim.join(&bench, &alice).await.record::<AttemptView>();
    claim.join(&bench, &alice).await.record::<AttemptView>();
    assert_eq!(claim.put(&bench, 1, b"x").await.code(), ErrorCode::StepRefused, "the other side's");
    assert_eq!(claim.put(&bench, 2, b"x").await.code(), ErrorCode::StepRefused, "too early");
    assert_eq!(claim.put(&bench, 9, b"x").await.code(), ErrorCode::StepRefused, "no such step");
    assert_eq!(claim.put(&bench, 0, b"").await.code(), ErrorCode::BadRequest, "nothing");
    assert_eq!(claim.get(&bench, 1).await.code(), ErrorCode::NotYet);
    assert_eq!(claim.get(&bench, 0).await.code(), ErrorCode::StepRefused, "one's own");
    claim.put(&bench, 0, b"zero").await.done();
    claim.put(&bench, 0, b"zero").await.done();
    assert_eq!(claim.put(&bench, 0, b"other").await.code(), ErrorCode::StepConflict);
    let read = path::step(&claim.greeter_path(), 0);
    assert_eq!(alice.call(&bench, "GET", &read, &[]).await.body, b"zero");
    claim.greeter_put(&bench, &alice, 1, b"one").await.done();
    assert_eq!(claim.get(&bench, 1).await.body, b"one");
    assert_eq!(claim.view(&bench).await.steps, 0b11);
    claim.cancel(&bench, EndReason::Cancelled).await.done();
    assert_eq!(claim.put(&bench, 2, b"two").await.code(), ErrorCode::AttemptEnded);
    assert_eq!(claim.get(&bench, 1).await.code(), ErrorCode::AttemptEnded);
}

#[tokio::test]
async fn the_second_greeter_is_told_and_can_do_nothing() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    // Carol, another administrator.
    let claim = Claim::new(&alice, alice.invite(&bench, "carol@example.org").await);
    claim.run_to(&bench, &alice, 8).await;
    let carol = Newcomer::new();
    let seen = alice.head(&bench).await;
    let body = carol.user_body(
        "carol@example.org",
        parsec_protocol::chain::organisation::certificate::Profile::Administrator,
    );
    let certificates =
        vec![alice.certify(seen, bench.now(), body), alice.certify(seen, bench.now(), carol.device_body())];
    let receipt = carol.receipt(&certificates, alice.root);
    let completion =
        parsec_protocol::relay::Completion { keys: keys_of(&certificates), certificates, receipt };
    claim.complete(&bench, &alice, &completion).await.record::<parsec_protocol::relay::Completed>();
    let carol = carol.member(&alice);

    let claim = Claim::new(&alice, alice.invite(&bench, "bob@example.org").await);
    claim.start(&bench).await.record::<AttemptView>();
    let view: AttemptView = claim.join(&bench, &carol).await.record();
    assert_eq!(view.greeter.unwrap().user, carol.user);
    assert_eq!(claim.join(&bench, &alice).await.code(), ErrorCode::GreeterTaken);
    claim.put(&bench, 0, b"zero").await.done();
    assert_eq!(claim.greeter_put(&bench, &alice, 1, b"one").await.code(), ErrorCode::GreeterTaken);
    let read = path::step(&claim.greeter_path(), 0);
    assert_eq!(alice.call(&bench, "GET", &read, &[]).await.code(), ErrorCode::GreeterTaken);
    // But any administrator may stop it.
    claim.greeter_cancel(&bench, &alice, EndReason::Cancelled).await.done();
}

#[tokio::test]
async fn a_sealed_attempt_only_completes_or_ends_with_its_invitation() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let claim = Claim::new(&alice, alice.invite(&bench, "bob@example.org").await);
    claim.run_to(&bench, &alice, 8).await;
    assert_eq!(claim.cancel(&bench, EndReason::Cancelled).await.code(), ErrorCode::AttemptSealed);
    let greeter = claim.greeter_cancel(&bench, &alice, EndReason::CodeMismatch).await;
    assert_eq!(greeter.code(), ErrorCode::AttemptSealed);
    bench.pass(31 * DAY);
    assert_eq!(alice.see(&bench, &claim.token).await.status, InvitationStatus::InUse);
    assert_eq!(Claim::new(&alice, claim.token).start(&bench).await.code(), ErrorCode::InvitationInUse);
    let cancel = path::cancel(&path::invitation(&alice.organisation, &claim.token));
    alice.call(&bench, "POST", &cancel, &[]).await.done();
    assert_eq!(claim.view(&bench).await.ended, Some(EndReason::InvitationEnded));
    let completion =
        Newcomer::new().enrolment(&alice, alice.head(&bench).await, bench.now(), "bob@example.org");
    assert_eq!(claim.complete(&bench, &alice, &completion).await.code(), ErrorCode::AttemptEnded);
}

#[tokio::test]
async fn an_idle_claimer_makes_room_but_not_after_the_handover() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let token = alice.invite(&bench, "bob@example.org").await;
    let (idle, next) = (Claim::new(&alice, token), Claim::new(&alice, token));
    idle.start(&bench).await.record::<AttemptView>();
    bench.pass(ATTEMPT_IDLE_SECONDS - 1);
    assert_eq!(next.start(&bench).await.code(), ErrorCode::InvitationInUse);
    // Looking is a sign of life.
    idle.view(&bench).await;
    bench.pass(ATTEMPT_IDLE_SECONDS - 1);
    assert_eq!(next.start(&bench).await.code(), ErrorCode::InvitationInUse);
    bench.pass(1);
    next.start(&bench).await.record::<AttemptView>();
    assert_eq!(idle.view(&bench).await.ended, Some(EndReason::Abandoned));
    idle.start(&bench).await.record::<AttemptView>();
    assert_eq!(alice.see(&bench, &token).await.attempts, 2);

    next.run_to(&bench, &alice, 7).await;
    bench.pass(2 * ATTEMPT_IDLE_SECONDS);
    assert_eq!(Claim::new(&alice, token).start(&bench).await.code(), ErrorCode::InvitationInUse);
}

#[tokio::test]
async fn cancelled_and_expired_invitations_say_so_and_end_their_attempts() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let expired = Claim::new(&alice, alice.invite(&bench, "bob@example.org").await);
    expired.run_to(&bench, &alice, 7).await;
    bench.pass(29 * DAY);
    let cancelled = Claim::new(&alice, alice.invite(&bench, "bob@example.org").await);
    cancelled.start(&bench).await.record::<AttemptView>();
    let cancel = path::cancel(&path::invitation(&alice.organisation, &cancelled.token));
    alice.call(&bench, "POST", &cancel, &[]).await.done();
    bench.pass(DAY);
    for (claim, status, code) in [
        (&expired, InvitationStatus::Expired, ErrorCode::InvitationExpired),
        (&cancelled, InvitationStatus::Cancelled, ErrorCode::InvitationCancelled),
    ] {
        let info = bench.call("GET", &path::invited(&claim.organisation), &claim.headers(), &[]).await;
        assert_eq!(info.record::<InvitedInfo>().status, status);
        assert_eq!(claim.view(&bench).await.ended, Some(EndReason::InvitationEnded));
        assert_eq!(Claim::new(&alice, claim.token).start(&bench).await.code(), code);
        assert_eq!(claim.put(&bench, 8, b"late").await.status, 410);
    }
}
