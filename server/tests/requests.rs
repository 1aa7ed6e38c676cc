//! Requests that are not what they should be: forged, repeated, late, too large, unfinished.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use parsec_metadata::{Rate, Rates};
use parsec_protocol::chain::organisation::certificate::{Body, Profile};
use parsec_protocol::ids::{DeviceId, Timestamp, Token};
use parsec_protocol::limits::{REQUEST_TIME_SKEW_SECONDS, STEP_MAX_BYTES};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{
    self, AttemptView, CancelAttempt, EndReason, ErrorBody, ErrorCode, InvitationList, Least, path,
};
use support::{Bench, Claim, Member, drawn, founding, head};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test]
async fn only_what_was_signed_is_taken() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let token = alice.invite(&bench, "bob@example.org").await;
    let target = path::cancel(&path::invitation(&alice.organisation, &token));
    let nonce = || Token::from_bytes(drawn());
    let good = alice.sign("POST", &target, &[], bench.now(), nonce());
    let with = |name: &str, value: String| {
        let mut headers = good.clone();
        headers.iter_mut().find(|header| header.0 == name).unwrap().1 = value;
        headers
    };
    let stranger = founding("acme", bench.now()).1;
    let mut impostor = founding("acme", bench.now()).1;
    impostor.device = alice.device;
    let mut twice = good.clone();
    twice.push((relay::HEADER_DEVICE, alice.device.to_string()));
    let without = |name: &str| good.iter().filter(|header| header.0 != name).cloned().collect();
    let cases = [
        ("a stranger", stranger.sign("POST", &target, &[], bench.now(), nonce())),
        ("a stranger under a known name", impostor.sign("POST", &target, &[], bench.now(), nonce())),
        ("another method", alice.sign("PUT", &target, &[], bench.now(), nonce())),
        (
            "another target",
            alice.sign("POST", &target.replace("cancel", "events"), &[], bench.now(), nonce()),
        ),
        ("another body", alice.sign("POST", &target, b"x", bench.now(), nonce())),
        ("another time", with(relay::HEADER_TIME, (bench.now().0 + 1).to_string())),
        ("another nonce", with(relay::HEADER_NONCE, nonce().to_string())),
        ("another hash", with(relay::HEADER_BODY_HASH, Hash::of(&[b"x"]).to_string())),
        ("another device", with(relay::HEADER_DEVICE, DeviceId::from_bytes(drawn()).to_string())),
        ("upper case", with(relay::HEADER_DEVICE, alice.device.to_string().to_uppercase() + " ")),
        ("a header twice", twice),
        ("no signature", without(relay::HEADER_SIGNATURE)),
        ("no nonce", without(relay::HEADER_NONCE)),
        ("no hash", without(relay::HEADER_BODY_HASH)),
        ("nothing", vec![]),
    ];
    for (what, headers) in cases {
        let answer = bench.call("POST", &target, &headers, &[]).await;
        assert_eq!(answer.code(), ErrorCode::NotAuthenticated, "{what}");
    }
    let view = alice.see(&bench, &token).await;
    assert_eq!(view.status, relay::InvitationStatus::Pending);
    bench.call("POST", &target, &good, &[]).await.done();
}

/// The hash in the head is what was signed: a body that comes instead of it is nobody's, and a head
/// that nobody signed gets its answer while its body is still on the way.
#[tokio::test]
async fn a_body_is_read_for_whoever_signed_for_it_and_must_be_that_one() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let claim = Claim::new(&alice, alice.invite(&bench, "bob@example.org").await);
    claim.start(&bench).await.record::<AttemptView>();
    let target = path::cancel(&claim.greeter_path());
    let (meant, other) = [EndReason::Cancelled, EndReason::CodeMismatch]
        .map(|reason| parsec_protocol::codec::encode(&CancelAttempt { reason }))
        .into();
    let sign = |nonce| alice.sign("POST", &target, &meant, bench.now(), nonce);
    let changed = bench.call("POST", &target, &sign(Token::from_bytes(drawn())), &other).await;
    assert_eq!(changed.code(), ErrorCode::NotAuthenticated);
    assert_eq!(claim.view(&bench).await.ended, None);

    let mut forged = sign(Token::from_bytes(drawn()));
    let place = forged.iter().position(|header| header.0 == relay::HEADER_NONCE).unwrap();
    forged[place].1 = Token::from_bytes(drawn()).to_string();
    let mut stream = TcpStream::connect(bench.address).await.unwrap();
    stream.write_all(&head("POST", &target, &forged, meant.len())).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 401");

    bench.call("POST", &target, &sign(Token::from_bytes(drawn())), &meant).await.done();
}

#[tokio::test]
async fn time_and_nonce_keep_old_requests_out() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let target = path::invitations(&alice.organisation);
    let headers = alice.sign("GET", &target, &[], bench.now(), Token::from_bytes(drawn()));
    bench.call("GET", &target, &headers, &[]).await.record::<InvitationList>();
    assert_eq!(bench.call("GET", &target, &headers, &[]).await.code(), ErrorCode::Replayed);
    bench.pass(REQUEST_TIME_SKEW_SECONDS);
    assert_eq!(bench.call("GET", &target, &headers, &[]).await.code(), ErrorCode::Replayed);
    bench.pass(1);
    let answer = bench.call("GET", &target, &headers, &[]).await;
    assert_eq!(answer.code(), ErrorCode::ClockSkew);
    let body: ErrorBody = parsec_protocol::codec::decode(&answer.body, 100).unwrap();
    assert_eq!(body.server_time, bench.now(), "the server's clock is named");

    let early = Timestamp(bench.now().plus_seconds(REQUEST_TIME_SKEW_SECONDS).0 + 1);
    let headers = alice.sign("GET", &target, &[], early, Token::from_bytes(drawn()));
    assert_eq!(bench.call("GET", &target, &headers, &[]).await.code(), ErrorCode::ClockSkew);
}

#[tokio::test]
async fn bodies_end_where_their_call_ends() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let claim = Claim::new(&alice, alice.invite(&bench, "bob@example.org").await);
    claim.start(&bench).await.record::<AttemptView>();
    claim.join(&bench, &alice).await.record::<AttemptView>();
    assert_eq!(claim.put(&bench, 0, &vec![1; STEP_MAX_BYTES + 1]).await.code(), ErrorCode::TooLarge);
    claim.put(&bench, 0, &vec![1; STEP_MAX_BYTES]).await.done();
    let answer = claim.greeter_put(&bench, &alice, 1, &vec![1; STEP_MAX_BYTES + 1]).await;
    assert_eq!(answer.code(), ErrorCode::TooLarge);
    let upload = alice.call(&bench, "PUT", &path::manifest(&alice.organisation), &vec![0; 400_000]).await;
    assert_eq!(upload.code(), ErrorCode::TooLarge);
    // Where none is taken, none is.
    let answer = alice.call(&bench, "POST", &path::join(&claim.greeter_path()), b"x").await;
    assert_eq!(answer.code(), ErrorCode::TooLarge);
    let target = path::invited_attempts(&claim.organisation);
    let answer = bench.call("POST", &target, &claim.headers(), &[0x80; 300]).await;
    assert_eq!(answer.code(), ErrorCode::TooLarge);

    let good = parsec_protocol::codec::encode(&CancelAttempt { reason: EndReason::Cancelled });
    for bad in [
        [good.as_slice(), &[0]].concat(),
        vec![],
        vec![0x81, 0x18, 0x01],
        vec![0x81, 0x18, 0x63],
        b"{}".to_vec(),
    ] {
        let answer = bench.call("POST", &path::cancel(&claim.path()), &claim.headers(), &bad).await;
        assert_eq!(answer.code(), ErrorCode::BadRequest, "{bad:?}");
    }
    assert_eq!(claim.view(&bench).await.ended, None);
}

#[tokio::test]
async fn half_a_body_changes_nothing() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let claim = Claim::new(&alice, alice.invite(&bench, "bob@example.org").await);
    claim.start(&bench).await.record::<AttemptView>();
    claim.join(&bench, &alice).await.record::<AttemptView>();
    let mut stream = TcpStream::connect(bench.address).await.unwrap();
    stream.write_all(&head("PUT", &path::step(&claim.path(), 0), &claim.headers(), 100)).await.unwrap();
    stream.write_all(&[1; 99]).await.unwrap();
    // Others are served meanwhile, and after the peer has gone nothing of it is there.
    assert_eq!(claim.view(&bench).await.steps, 0);
    drop(stream);
    claim.put(&bench, 0, b"zero").await.done();
    assert_eq!(claim.view(&bench).await.steps, 1);
}

#[tokio::test]
async fn one_address_that_asks_too_much_is_told_to_wait_and_members_are_served() {
    let bench = Bench::with(|config| {
        let mut rates = Rates::default();
        rates.address.burst = 20;
        rates.address.per_second = 1;
        config.rates = Some(rates);
    })
    .await;
    let alice = bench.founded().await;
    let mut limited = 0;
    for _ in 0..100 {
        let answer = bench.call("GET", "/join/acme", &vec![], &[]).await;
        if answer.status == 429 {
            let body: ErrorBody = parsec_protocol::codec::decode(&answer.body, 100).unwrap();
            assert!(body.retry_after > 0 && answer.head.to_ascii_lowercase().contains("retry-after: "));
            limited += 1;
        }
    }
    assert!(limited > 0);
    alice.log(&bench).await;
    println!("figure P6: an address that asks too much waits; members are served");
}

/// What is answered to a head whose body never comes.
async fn answer_to_head(bench: &Bench, member: &Member, target: &str, length: usize) -> ErrorCode {
    let headers = member.sign("PUT", target, &[], bench.now(), Token::from_bytes(drawn()));
    let mut stream = TcpStream::connect(bench.address).await.unwrap();
    stream.write_all(&head("PUT", target, &headers, length)).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    parsec_protocol::codec::decode::<ErrorBody>(&bytes[end + 4..], 100).unwrap().code
}

/// Whoever gets no work done for a body doesn't get it read either.
#[tokio::test]
async fn a_head_that_says_enough_is_answered_without_its_body() {
    let bench = Bench::with(|config| {
        let mut rates = Rates::default();
        rates.device.burst = 10;
        rates.device.per_second = 1;
        config.rates = Some(rates);
    })
    .await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let stranger = founding("acme", bench.now()).1;
    let target = path::manifest(&alice.organisation);
    assert_eq!(answer_to_head(&bench, &stranger, &target, 100).await, ErrorCode::NotAuthenticated);
    assert_eq!(answer_to_head(&bench, &bob, &target, 1_000_000).await, ErrorCode::TooLarge);
    while bob.call(&bench, "GET", &path::log(&bob.organisation, 0, Least::NOTHING), &[]).await.status == 200 {
    }
    assert_eq!(answer_to_head(&bench, &bob, &target, 100).await, ErrorCode::RateLimited);
    let body = Body::DeviceRevoked { device: bob.device };
    alice.change(&bench, body).await.record::<relay::Completed>();
    assert_eq!(answer_to_head(&bench, &bob, &target, 100).await, ErrorCode::Revoked);
}

/// One person with many devices has one share, and neither they nor the revoked nor strangers spend
/// what is the organisation's.
#[tokio::test]
async fn a_members_devices_share_one_rate_and_leave_the_others_theirs() {
    let bench = Bench::with(|config| {
        let mut rates = Rates::default();
        for (rate, burst) in
            [(&mut rates.device, 30), (&mut rates.member, 40), (&mut rates.organisation, 100)]
        {
            *rate = Rate { per_second: 1, burst };
        }
        config.rates = Some(rates);
    })
    .await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let second = bob.with_device(&bench).await;
    let target = path::log(&alice.organisation, 0, Least::NOTHING);
    let mut served = 0;
    for device in [&bob, &second].into_iter().cycle().take(200) {
        let answer = device.call(&bench, "GET", &target, &[]).await;
        if answer.status == 200 {
            served += 1;
        } else {
            assert_eq!(answer.code(), ErrorCode::RateLimited);
            assert!(answer.head.to_ascii_lowercase().contains("retry-after: "));
        }
    }
    // Enrolling the second device took some; what a second or two put back is little.
    assert!((30..50).contains(&served), "{served}");
    let body = Body::DeviceRevoked { device: second.device };
    alice.change(&bench, body).await.record::<relay::Completed>();
    for _ in 0..100 {
        assert_eq!(second.call(&bench, "GET", &target, &[]).await.code(), ErrorCode::Revoked);
    }
    for _ in 0..5 {
        alice.log(&bench).await;
    }
}

/// Whoever read what a member once sent can't spend the member's share with it.
#[tokio::test]
async fn what_is_repeated_costs_its_member_nothing() {
    let bench = Bench::with(|config| {
        config.rates = Some(Rates { device: Rate { per_second: 1, burst: 20 }, ..Rates::default() });
    })
    .await;
    let alice = bench.founded().await;
    let target = path::log(&alice.organisation, 0, Least::NOTHING);
    let headers = alice.sign("GET", &target, &[], bench.now(), Token::from_bytes(drawn()));
    assert_eq!(bench.call("GET", &target, &headers, &[]).await.status, 200);
    for _ in 0..100 {
        assert_eq!(bench.call("GET", &target, &headers, &[]).await.code(), ErrorCode::Replayed);
    }
    alice.log(&bench).await;
}

#[tokio::test]
async fn the_log_of_the_server_and_its_database_hold_no_secret() {
    let bench = Bench::start().await;
    let token = bench.reserve("beta");
    let alice = bench.founded().await;
    let claim = Claim::new(&alice, alice.invite(&bench, "bob@example.org").await);
    claim.start(&bench).await.record::<AttemptView>();
    bench.stop.cancel();
    bench.served.await.unwrap().unwrap();
    for bytes in support::all_files(bench.folder.path()) {
        let bootstrap: Hash = token.parse().unwrap();
        for secret in [bootstrap.as_bytes().as_slice(), token.as_bytes(), &claim.secret, alice.key.expose()] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
    }
}
