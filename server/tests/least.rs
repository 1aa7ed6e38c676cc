//! Reads of what only grows, by somebody who knows how far it reaches.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use parsec_protocol::codec;
use parsec_protocol::ids::Token;
use parsec_protocol::relay::{
    Completed, ErrorBody, ErrorCode, Least, LogPage, ManifestUpload, ManifestView, path,
};
use support::{Bench, Claim, Member, Newcomer, drawn, founding};

/// What a member is answered who knows so many certificates, and reads from a position.
async fn read(bench: &Bench, alice: &Member, from: u64, least: u64) -> Result<LogPage, ErrorCode> {
    let answer = alice.call(bench, "GET", &path::log(&alice.organisation, from, Least(least)), &[]).await;
    if answer.status == 200 { Ok(answer.record()) } else { Err(answer.code()) }
}

#[tokio::test]
async fn a_log_that_falls_short_of_what_its_reader_knows_is_not_shown() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    for from in [0, 1, 2, 3] {
        for known in [1, 2] {
            assert_eq!(read(&bench, &alice, from, known).await.unwrap().count, 2, "{from} {known}");
        }
        for more in [3, u64::MAX] {
            assert_eq!(read(&bench, &alice, from, more).await, Err(ErrorCode::Behind), "{from} {more}");
        }
    }
    let target = path::log(&alice.organisation, 2, Least(3));
    let answer = alice.call(&bench, "GET", &target, &[]).await;
    let body: ErrorBody = codec::decode(&answer.body, 100).unwrap();
    // Never 503: whoever can make a server say that takes it out of use at the proxy before it.
    assert_eq!((answer.status, body.retry_after), (409, 1));

    // It is part of what is signed: nobody on the way puts it there or takes it off.
    let plain = path::log(&alice.organisation, 2, Least::NOTHING);
    for (signed, sent) in [(&target, &plain), (&plain, &target)] {
        let headers = alice.sign("GET", signed, &[], bench.now(), Token::from_bytes(drawn()));
        assert_eq!(bench.call("GET", sent, &headers, &[]).await.code(), ErrorCode::NotAuthenticated);
    }
    // How long the log is, is for members to learn.
    let stranger = founding("acme", bench.now()).1;
    for least in [1, u64::MAX] {
        assert_eq!(read(&bench, &stranger, 0, least).await, Err(ErrorCode::NotAuthenticated));
    }
}

#[tokio::test]
async fn a_newcomer_and_a_manifest_are_answered_so_too() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let claim = Claim::new(&alice, alice.invite(&bench, "bob@example.org").await);
    let invited = async |least| {
        let target = path::invited_log(&alice.organisation, 0, Least(least));
        let answer = bench.call("GET", &target, &claim.headers(), &[]).await;
        if answer.status == 200 { Ok(answer.record::<LogPage>().count) } else { Err(answer.code()) }
    };
    claim.run_to(&bench, &alice, 6).await;
    // A stolen link doesn't tell how long the log is.
    assert_eq!(invited(3).await, Err(ErrorCode::NotYet));
    claim.run_to(&bench, &alice, 8).await;
    assert_eq!((invited(2).await, invited(3).await), (Ok(2), Err(ErrorCode::Behind)));

    let manifest = async |least: u64| {
        let target = Least(least).on(path::manifest(&alice.organisation));
        let answer = alice.call(&bench, "GET", &target, &[]).await;
        if answer.status == 200 { Ok(answer.record::<ManifestView>().version) } else { Err(answer.code()) }
    };
    assert_eq!((manifest(0).await, manifest(1).await), (Ok(0), Err(ErrorCode::Behind)));
    let upload = codec::encode(&ManifestUpload { version: 1, envelope: vec![7; 100].into() });
    alice.call(&bench, "PUT", &path::manifest(&alice.organisation), &upload).await.done();
    assert_eq!((manifest(1).await, manifest(2).await), (Ok(1), Err(ErrorCode::Behind)));

    // Once it has grown it is shown.
    assert_eq!(read(&bench, &alice, 2, 4).await, Err(ErrorCode::Behind));
    let enrolment =
        Newcomer::new().enrolment(&alice, alice.head(&bench).await, bench.now(), "bob@example.org");
    claim.complete(&bench, &alice, &enrolment).await.record::<Completed>();
    assert_eq!(read(&bench, &alice, 2, 4).await.unwrap().certificates.len(), 2);
}
