//! Event streams of both sides: the state at once, then each change, until the server stops.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use parsec_protocol::chain::organisation::certificate::Profile;
use parsec_protocol::codec;
use parsec_protocol::ids::Token;
use parsec_protocol::limits::FOLLOWED_MAX;
use parsec_protocol::relay::{
    AttemptView, EVENT_GONE, EVENT_INVITATION, EVENT_LOG, EVENT_MANIFEST, EVENT_STEP, EndReason, ErrorCode,
    Follow, InvitationGone, InvitationStatus, InvitationView, LogLength, ManifestHint, ManifestUpload,
    STEP_TOLD_MAX_BYTES, StepTold, path,
};
use support::stream::Stream;
use support::{Bench, Claim, DAY, Member, drawn};

#[tokio::test]
async fn both_sides_hear_of_every_change() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let token = alice.invite(&bench, "bob@example.org").await;
    let claim = Claim::new(&alice, token);

    let mut greeter = Stream::follow(&bench, &alice, &[token]).await;
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
    // The claimer's own step is no news to the claimer; the next event shows it with the rest.
    claim.greeter_cancel(&bench, &alice, EndReason::CodeMismatch).await.done();
    let ended: AttemptView = claimer.next().await.unwrap();
    assert_eq!((ended.steps, ended.ended), (1, Some(EndReason::CodeMismatch)));

    assert!(claimer.ends().await, "nothing comes after the end");
    let pending: InvitationView = greeter.next().await.unwrap();
    assert_eq!(pending.status, InvitationStatus::Pending);

    // Streams end when the server stops, and it does stop while they are open.
    bench.stop.cancel();
    assert!(greeter.ends().await);
    bench.served.await.unwrap().unwrap();
}

/// A step is told to the side that reads it, before the state that announces it, and to nobody
/// else: not to the side that deposited it, nor to a member who sees the invitation and does not
/// greet.
#[tokio::test]
async fn a_step_is_told_to_the_side_that_reads_it() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let carol = alice.with(&bench, "carol@example.org", Profile::Administrator).await;
    let token = alice.invite(&bench, "bob@example.org").await;
    let claim = Claim::new(&alice, token);
    claim.start(&bench).await.record::<AttemptView>();
    claim.join(&bench, &alice).await.record::<AttemptView>();
    let mut greeter = Stream::follow(&bench, &alice, &[token]).await;
    let mut onlooker = Stream::follow(&bench, &carol, &[token]).await;
    let mut claimer = watch(&bench, &claim).await;
    // Each stream is open once it has said how things are.
    let (one, state) = ("invitation", "state");
    assert_eq!([greeter.names(1).await, onlooker.names(1).await], [[one], [one]]);
    assert_eq!(claimer.names(1).await, [state]);
    let told =
        |step, bytes: &[u8]| StepTold { token, attempt: claim.attempt, step, bytes: bytes.to_vec().into() };

    // Who deposits a step is told of it by the answer, and by the state that the next event brings.
    claim.put(&bench, 0, b"zero").await.done();
    assert_eq!([greeter.names(2).await, onlooker.names(1).await], [vec!["step", one], vec![one]]);
    claim.greeter_put(&bench, &alice, 1, b"one").await.done();
    assert_eq!(claimer.next_of::<StepTold>(EVENT_STEP).await, Some(told(1, b"one")));
    assert_eq!(claimer.next::<AttemptView>().await.unwrap().steps, 0b11);
    assert_eq!(onlooker.names(1).await, [one]);
    claim.put(&bench, 2, b"two").await.done();
    assert_eq!(greeter.next_of::<StepTold>(EVENT_STEP).await, Some(told(2, b"two")));
    let seen: InvitationView = greeter.next_of(EVENT_INVITATION).await.unwrap();
    assert_eq!(seen.attempt.unwrap().steps, 0b111);
    assert_eq!(onlooker.names(1).await, [one]);
    // What is too long to be told is fetched.
    let long = vec![3; STEP_TOLD_MAX_BYTES + 1];
    claim.greeter_put(&bench, &alice, 3, &long).await.done();
    assert_eq!([onlooker.names(1).await, claimer.names(1).await], [[one], [state]]);
    assert_eq!(claim.get(&bench, 3).await.body, long);
}

/// A stream that begins late tells the step that its side is to read, and no other: not the step
/// before, nor its own side's, nor to a member who does not greet.
#[tokio::test]
async fn a_stream_that_begins_tells_the_step_that_waits() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let carol = alice.with(&bench, "carol@example.org", Profile::Administrator).await;
    let token = alice.invite(&bench, "bob@example.org").await;
    let claim = Claim::new(&alice, token);
    claim.start(&bench).await.record::<AttemptView>();
    claim.join(&bench, &alice).await.record::<AttemptView>();
    let told =
        |step, bytes: &[u8]| StepTold { token, attempt: claim.attempt, step, bytes: bytes.to_vec().into() };
    claim.put(&bench, 0, b"zero").await.done();
    let (one, state) = ("invitation", "state");
    let mut greeter = Stream::follow(&bench, &alice, &[token]).await;
    assert_eq!(greeter.next_of::<StepTold>(EVENT_STEP).await, Some(told(0, b"zero")));
    assert_eq!(Stream::follow(&bench, &carol, &[token]).await.names(1).await, [one]);
    assert_eq!(watch(&bench, &claim).await.names(1).await, [state]);
    claim.greeter_put(&bench, &alice, 1, b"one").await.done();
    let mut claimer = watch(&bench, &claim).await;
    assert_eq!(claimer.next_of::<StepTold>(EVENT_STEP).await, Some(told(1, b"one")));
    assert_eq!(claimer.next::<AttemptView>().await.unwrap().steps, 0b11);
    assert_eq!(Stream::follow(&bench, &alice, &[token]).await.names(1).await, [one]);
}

async fn follow(bench: &Bench, member: &Member, token: &Token) -> Stream {
    Stream::follow(bench, member, &[*token]).await
}

async fn watch(bench: &Bench, claim: &Claim) -> Stream {
    Stream::open(bench, &path::events(&claim.path()), &claim.headers()).await
}

/// Streams of an attempt that is over hold no place: they end after the state that says so, however
/// many there are.
#[tokio::test]
async fn streams_of_what_is_over_keep_nobody_from_theirs() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let token = alice.invite(&bench, "bob@example.org").await;
    let old = Claim::new(&alice, token);
    old.start(&bench).await.record::<AttemptView>();
    let mut open = watch(&bench, &old).await;
    open.next::<AttemptView>().await.unwrap();
    old.cancel(&bench, EndReason::Cancelled).await.done();
    assert_eq!(open.next::<AttemptView>().await.unwrap().ended, Some(EndReason::Cancelled));
    assert!(open.ends().await);
    for _ in 0..100 {
        let mut late = watch(&bench, &old).await;
        assert!(late.next::<AttemptView>().await.unwrap().ended.is_some());
        assert!(late.ends().await);
    }

    // An invitation goes on with the next attempt, until its own end.
    let mut greeter = follow(&bench, &alice, &token).await;
    assert_eq!(greeter.next::<InvitationView>().await.unwrap().status, InvitationStatus::Pending);
    let claim = Claim::new(&alice, token);
    claim.start(&bench).await.record::<AttemptView>();
    let mut claimer = watch(&bench, &claim).await;
    assert_eq!(claimer.next::<AttemptView>().await.unwrap().ended, None);
    assert_eq!(greeter.next::<InvitationView>().await.unwrap().status, InvitationStatus::InUse);
    let cancel = path::cancel(&path::invitation(&alice.organisation, &token));
    alice.call(&bench, "POST", &cancel, &[]).await.done();
    assert_eq!(greeter.next::<InvitationView>().await.unwrap().status, InvitationStatus::Cancelled);
    assert_eq!(claimer.next::<AttemptView>().await.unwrap().ended, Some(EndReason::InvitationEnded));
    assert!(claimer.ends().await);
}

/// Each side has places of its own: one stream too many costs that side its oldest, and the other
/// side nothing.
#[tokio::test]
async fn one_sides_streams_leave_the_other_side_theirs() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let token = alice.invite(&bench, "bob@example.org").await;
    let claim = Claim::new(&alice, token);
    claim.start(&bench).await.record::<AttemptView>();
    let mut greeter = follow(&bench, &alice, &token).await;
    greeter.next::<InvitationView>().await.unwrap();
    let mut wrong = claim.clone();
    wrong.secret = drawn();
    let mut claimers = Vec::new();
    for _ in 0..100 {
        let mut stream = watch(&bench, &claim).await;
        stream.next::<AttemptView>().await.unwrap();
        claimers.push(stream);
        // Who knows the token alone takes nobody's place.
        let answer = bench.call("GET", &path::events(&wrong.path()), &wrong.headers(), &[]).await;
        assert_eq!(answer.code(), ErrorCode::AttemptUnknown);
    }
    let live = claimers.split_off(96);
    for mut gone in claimers {
        assert!(gone.ends().await);
    }
    claim.join(&bench, &alice).await.record::<AttemptView>();
    assert!(greeter.next::<InvitationView>().await.unwrap().attempt.unwrap().greeter.is_some());
    for mut stream in live {
        assert!(stream.next::<AttemptView>().await.unwrap().greeter.is_some());
    }
    // The same for a greeter's device.
    let mut last = Vec::new();
    for _ in 0..5 {
        let mut stream = follow(&bench, &alice, &token).await;
        stream.next::<InvitationView>().await.unwrap();
        last.push(stream);
    }
    assert!(greeter.ends().await);
    assert!(last.remove(0).ends().await);
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

/// One stream for all of a device's invitations: each is told at once and with each change, what
/// the member doesn't see is said to be gone, and that the log has grown is told without its
/// certificates.
#[tokio::test]
async fn a_device_hears_of_all_its_invitations_and_of_the_log_on_one_stream() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let mut tokens = Vec::new();
    for email in ["eve@example.org", "mallory@example.org", "trent@example.org"] {
        tokens.push(alice.invite(&bench, email).await);
    }
    let nobody = Token::from_bytes(drawn());
    let mut stream = Stream::follow(&bench, &alice, &[tokens[0], nobody, tokens[1]]).await;
    let told: Token = stream.next_of::<InvitationView>(EVENT_INVITATION).await.unwrap().token;
    let gone: InvitationGone = stream.next_of(EVENT_GONE).await.unwrap();
    let then = stream.next_of::<InvitationView>(EVENT_INVITATION).await.unwrap().token;
    assert_eq!((told, gone.token, then), (tokens[0], nobody, tokens[1]));

    // Others' changes are not told; the log's growth is.
    Claim::new(&alice, tokens[2]).start(&bench).await.record::<AttemptView>();
    bob.with_device(&bench).await;
    let longer: LogLength = stream.next_of(EVENT_LOG).await.unwrap();
    assert_eq!(longer.count, alice.log(&bench).await.count);
    Claim::new(&alice, tokens[1]).start(&bench).await.record::<AttemptView>();
    assert_eq!(stream.next::<InvitationView>().await.unwrap().token, tokens[1]);

    // A new manifest is the member's own devices' news: the next thing that each hears of.
    let target = path::manifest(&alice.organisation);
    let mut bobs = Stream::follow(&bench, &bob, &[]).await;
    for version in [1, 2] {
        let upload = ManifestUpload { version, envelope: b"sealed".to_vec().into() };
        alice.call(&bench, "PUT", &target, &codec::encode(&upload)).await.done();
        assert_eq!(stream.next_of(EVENT_MANIFEST).await, Some(ManifestHint { version }));
    }
    alice.invite(&bench, "oscar@example.org").await;
    bob.with_device(&bench).await;
    let first = bobs.next::<LogLength>().await.unwrap();
    assert_eq!(first.count, alice.log(&bench).await.count, "Bob hears of the log, and of no manifest");

    // A stream tells no more than the read it stands for: Bob sees none of Alice's invitations.
    let mut blind = Stream::follow(&bench, &bob, &tokens).await;
    for token in &tokens {
        assert_eq!(blind.next_of::<InvitationGone>(EVENT_GONE).await.unwrap().token, *token);
    }
    Claim::new(&alice, tokens[0]).start(&bench).await.record::<AttemptView>();
    alice.invite(&bench, "peggy@example.org").await;
    bob.with_device(&bench).await;
    assert_eq!(blind.next::<LogLength>().await.unwrap().count, alice.log(&bench).await.count);
}

/// At its date an invitation is over, whether or not anybody asks: the stream tells it.
#[tokio::test]
async fn an_invitation_that_expires_is_told_and_followed_no_longer() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let token = alice.invite(&bench, "bob@example.org").await;
    let mut stream = Stream::follow(&bench, &alice, &[token]).await;
    assert_eq!(stream.next::<InvitationView>().await.unwrap().status, InvitationStatus::Pending);
    bench.pass(30 * DAY);
    assert_eq!(stream.next::<InvitationView>().await.unwrap().status, InvitationStatus::Expired);
}

#[tokio::test]
async fn no_stream_follows_more_than_its_bound() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let target = path::device_events(&alice.organisation);
    let tokens = (0..=FOLLOWED_MAX).map(|_| Token::from_bytes(drawn())).collect();
    let answer = alice.post(&bench, &target, &Follow { tokens }).await;
    assert_eq!(answer.code(), ErrorCode::TooLarge);
    assert_eq!(alice.call(&bench, "POST", &target, b"junk").await.code(), ErrorCode::BadRequest);
}
