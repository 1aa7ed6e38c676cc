//! Event streams of both sides: the state at once, then each change, until the server stops.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use parsec_protocol::ids::Token;
use parsec_protocol::relay::{AttemptView, EndReason, ErrorCode, InvitationStatus, InvitationView, path};
use support::stream::Stream;
use support::{Bench, Claim, drawn};

#[tokio::test]
async fn both_sides_hear_of_every_change() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let token = alice.invite(&bench, "bob@example.org").await;
    let claim = Claim::new(&alice, token);

    let target = path::events(&path::invitation(&alice.organisation, &token));
    let headers = alice.sign("GET", &target, &[], bench.now(), Token::from_bytes(drawn()));
    let mut greeter = Stream::open(&bench, &target, &headers).await;
    let first: InvitationView = greeter.next().await.unwrap();
    assert_eq!((first.status, first.attempt), (InvitationStatus::Pending, None));

    claim.start(&bench).await.record::<AttemptView>();
    let started: InvitationView = greeter.next().await.unwrap();
    assert_eq!((started.status, started.attempt.unwrap().attempt), (InvitationStatus::InUse, claim.attempt));

    let mut claimer = Stream::open(&bench, &path::events(&claim.path()), &claim.headers()).await;
    let first: AttemptView = claimer.next().await.unwrap();
    assert_eq!(first.greeter, None);
    claim.join(&bench, &alice).await.record::<AttemptView>();
    let joined: AttemptView = claimer.next().await.unwrap();
    assert_eq!(joined.greeter.unwrap().device, alice.device);
    greeter.next::<InvitationView>().await.unwrap();

    claim.put(&bench, 0, b"zero").await.done();
    let seen: InvitationView = greeter.next().await.unwrap();
    assert_eq!(seen.attempt.unwrap().steps, 1);
    claimer.next::<AttemptView>().await.unwrap();
    claim.greeter_cancel(&bench, &alice, EndReason::CodeMismatch).await.done();
    let ended: AttemptView = claimer.next().await.unwrap();
    assert_eq!(ended.ended, Some(EndReason::CodeMismatch));

    // Streams end when the server stops, and it does stop while they are open.
    bench.stop.cancel();
    assert!(claimer.next::<AttemptView>().await.is_none());
    bench.served.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stream_is_refused_like_any_call() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let mut claim = Claim::new(&alice, alice.invite(&bench, "bob@example.org").await);
    claim.start(&bench).await.record::<AttemptView>();
    claim.secret = drawn();
    let answer = bench.call("GET", &path::events(&claim.path()), &claim.headers(), &[]).await;
    assert_eq!(answer.code(), ErrorCode::AttemptUnknown);
}
