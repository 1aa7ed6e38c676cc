//! Founding and completing: what gets into the log, whole or not at all.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::certificate::Profile;
use parsec_protocol::claim_receipt::ClaimReceipt;
use parsec_protocol::codec;
use parsec_protocol::ids::Invited;
use parsec_protocol::keys::DeviceSigningKey;
use parsec_protocol::lab;
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{
    self, AttemptView, Completed, Completion, EndReason, ErrorCode, InvitationStatus, Least, LogPage,
    ManifestUpload, ManifestView, path,
};
use parsec_protocol::sealing::EncryptionKey;
use support::{Bench, Claim, Member, Newcomer, Os, founding, keys_of, new_key};

#[tokio::test]
async fn founding_needs_the_token_and_happens_once() {
    let bench = Bench::start().await;
    let token = bench.reserve("acme");
    let (request, alice) = founding("acme", bench.now());
    let body = codec::encode(&request);
    let target = path::bootstrap(&alice.organisation);
    let headers = |token: &str| vec![(relay::HEADER_BOOTSTRAP, token.to_owned())];

    let wrong = bench.call("POST", &target, &headers(&"0".repeat(64)), &body).await;
    let absent = bench.call("POST", &target.replace("acme", "other"), &headers(&token), &body).await;
    assert_eq!((wrong.code(), absent.code()), (ErrorCode::BootstrapRefused, ErrorCode::BootstrapRefused));
    assert_eq!(wrong.body, absent.body);

    // By a key that isn't the root.
    let mut foreign = request.clone();
    foreign.root = DeviceSigningKey::random(&mut Os).unwrap().verify_key();
    let answer = bench.call("POST", &target, &headers(&token), &codec::encode(&foreign)).await;
    assert_eq!(answer.code(), ErrorCode::CertificateRefused);

    let [user_key, device_key] = request.keys.clone().try_into().unwrap();
    let with = |keys: &[EncryptionKey]| {
        codec::encode(&relay::BootstrapRequest { keys: keys.to_vec(), ..request.clone() })
    };
    let swapped = with(&[device_key.clone(), user_key.clone()]);
    let wrong = [
        swapped.clone(),
        with(&[]),
        with(std::slice::from_ref(&user_key)),
        with(&[user_key.clone(), new_key()]),
        with(&[user_key, device_key, new_key()]),
    ];
    for body in &wrong {
        let answer = bench.call("POST", &target, &headers(&token), body).await;
        assert_eq!(answer.code(), ErrorCode::CertificateRefused);
    }
    for _ in 0..2 {
        bench.call("POST", &target, &headers(&token), &body).await.done();
    }
    let answer = bench.call("POST", &target, &headers(&token), &swapped).await;
    assert_eq!(answer.code(), ErrorCode::CertificateRefused);
    for key in &request.keys {
        let target = path::key(&alice.organisation, &key.hash());
        assert_eq!(alice.get(&bench, &target).await.record::<EncryptionKey>(), *key);
    }
    let (again, _) = founding("acme", bench.now());
    let answer = bench.call("POST", &target, &headers(&token), &codec::encode(&again)).await;
    assert_eq!(answer.code(), ErrorCode::OrganisationExists);
    let page: LogPage = alice.log(&bench).await;
    assert_eq!((page.count, page.certificates), (2, request.certificates));
}

#[tokio::test]
async fn a_newcomer_is_enrolled_at_once_and_once() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let token = alice.invite(&bench, "bob@example.org").await;
    let claim = Claim::new(&alice, token);
    let log = path::invited_log(&alice.organisation, 1, Least::NOTHING);
    claim.run_to(&bench, &alice, 6).await;
    assert_eq!(bench.call("GET", &log, &claim.headers(), &[]).await.code(), ErrorCode::NotYet);
    claim.greeter_put(&bench, &alice, 7, b"step7").await.done();
    let page: LogPage = bench.call("GET", &log, &claim.headers(), &[]).await.record();
    assert_eq!((page.count, page.certificates.len()), (2, 1));

    let bob = Newcomer::new();
    let completion = bob.enrolment(&alice, alice.head(&bench).await, bench.now(), "bob@example.org");
    assert_eq!(claim.complete(&bench, &alice, &completion).await.code(), ErrorCode::NotYet);
    claim.put(&bench, 8, b"receipt").await.done();
    let mut positions = Vec::new();
    for _ in 0..2 {
        let completed: Completed = claim.complete(&bench, &alice, &completion).await.record();
        positions.push(completed.position);
    }
    assert_eq!(positions, [2, 2]);
    let other = Newcomer::new().enrolment(&alice, alice.head(&bench).await, bench.now(), "bob@example.org");
    assert_eq!(claim.complete(&bench, &alice, &other).await.code(), ErrorCode::AttemptEnded);

    let view = alice.see(&bench, &token).await;
    assert_eq!(view.status, InvitationStatus::Completed);
    assert_eq!(claim.view(&bench).await.ended, Some(EndReason::Completed));
    // The claimer's daemon may ask again whether its last step arrived.
    claim.put(&bench, 8, b"receipt").await.done();
    let late = Claim::new(&alice, token);
    assert_eq!(late.start(&bench).await.code(), ErrorCode::InvitationCompleted);
    let bob = bob.member(&alice);
    assert_eq!(bob.log(&bench).await.count, 4);
    assert_eq!(
        alice.invite_for(&bench, Invited::User("bob@example.org".parse().unwrap())).await.code(),
        ErrorCode::AlreadyMember
    );
    // Bob is no administrator: others' invitations don't exist for him, and he makes none for
    // people.
    let see = bob.call(&bench, "GET", &path::invitation(&alice.organisation, &token), &[]).await;
    assert_eq!(see.code(), ErrorCode::InvitationUnknown);
    let eve = bob.invite_for(&bench, Invited::User("eve@example.org".parse().unwrap())).await;
    assert_eq!(eve.code(), ErrorCode::NotAllowed);
    assert_eq!(bob.invite_for(&bench, Invited::Device(alice.user)).await.code(), ErrorCode::NotAllowed);
    own_device(&bench, &bob).await;
}

async fn own_device(bench: &Bench, bob: &Member) {
    let token = bob.make(bench, Invited::Device(bob.user)).await;
    let claim = Claim::new(bob, token);
    claim.run_to(bench, bob, 8).await;
    let mut second = Newcomer::new();
    second.user = bob.user;
    let seen = bob.head(bench).await;
    let certificates = vec![bob.certify(seen, bench.now(), second.device_body())];
    let receipt = second.receipt(&certificates, bob.root);
    let completed: Completed = claim
        .complete(bench, bob, &Completion { keys: keys_of(&certificates), certificates, receipt })
        .await
        .record();
    assert_eq!(completed.position, 4);
    assert_eq!(second.member(bob).log(bench).await.count, 5);
}

/// Each completion has one fault; none may leave a trace, and the good one is taken after all of
/// them.
#[tokio::test]
async fn one_fault_and_nothing_changes() {
    const EMAIL: &str = "bob@example.org";
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let claim = Claim::new(&alice, alice.invite(&bench, EMAIL).await);
    claim.run_to(&bench, &alice, 8).await;
    let (seen, now) = (alice.head(&bench).await, bench.now());
    let bob = Newcomer::new();
    let good = bob.enrolment(&alice, seen, now, EMAIL);
    let with = |certificates: Vec<minicbor::bytes::ByteVec>| {
        let receipt = bob.receipt(&certificates, alice.root);
        Completion { keys: keys_of(&certificates), certificates, receipt }
    };
    let user = |profile| alice.certify(seen, now, bob.user_body(EMAIL, profile));
    let device = |who: &Newcomer| alice.certify(seen, now, who.device_body());

    let mut stranger = founding("acme", now).1;
    let by_stranger_key = {
        stranger.device = alice.device;
        bob.enrolment(&stranger, seen, now, EMAIL).certificates
    };
    let by_unknown_device = {
        stranger.device = Newcomer::new().device;
        bob.enrolment(&stranger, seen, now, EMAIL).certificates
    };
    let mut reused_user = Newcomer::new();
    reused_user.user = alice.user;
    let mut reused_device = Newcomer::new();
    (reused_device.user, reused_device.device) = (bob.user, alice.device);
    let mut other_users_device = Newcomer::new();
    other_users_device.user = alice.user;
    let other_log = Head { count: 1, hash: Hash::from_bytes([1; 32]) };
    let future = Head { count: 9, ..seen };
    let mut tampered = good.certificates.clone();
    *tampered[0].last_mut().unwrap() ^= 1;
    let foreign = { founding("other", now).0.certificates };

    let mut cases = vec![
        ("another e-mail", bob.enrolment(&alice, seen, now, "eve@example.org")),
        ("a member's e-mail", bob.enrolment(&alice, seen, now, lab::EMAIL)),
        ("no certificate", with(vec![])),
        ("the user alone", with(vec![user(Profile::Standard)])),
        ("the device alone", with(vec![device(&bob)])),
        ("the other order", with(good.certificates.iter().rev().cloned().collect())),
        ("a third", with([good.certificates.clone(), vec![device(&Newcomer::new())]].concat())),
        ("another's device", with(vec![user(Profile::Standard), device(&other_users_device)])),
        ("a used user id", reused_user.enrolment(&alice, seen, now, EMAIL)),
        ("a used device id", with(vec![user(Profile::Standard), device(&reused_device)])),
        ("another's signature", with(by_stranger_key)),
        ("an unknown author", with(by_unknown_device)),
        ("another log", bob.enrolment(&alice, other_log, now, EMAIL)),
        ("a log that isn't yet", bob.enrolment(&alice, future, now, EMAIL)),
        ("a broken signature", with(tampered)),
        ("another organisation", with(foreign)),
        (
            "the root key again",
            Completion { receipt: bob.receipt(&good.certificates, bob.key.verify_key()), ..good.clone() },
        ),
        (
            "a receipt for other certificates",
            Completion { receipt: bob.receipt(&[device(&bob)], alice.root), ..good.clone() },
        ),
    ];
    let [user_key, device_key] = good.keys.clone().try_into().unwrap();
    for (what, keys) in [
        ("no keys", vec![]),
        ("a key too few", vec![user_key.clone()]),
        ("a key too many", vec![user_key.clone(), device_key.clone(), new_key()]),
        ("keys swapped", vec![device_key.clone(), user_key.clone()]),
        ("a key twice", vec![user_key.clone(), user_key.clone()]),
        ("another key", vec![user_key, new_key()]),
        ("another's key", vec![keys_of(&alice.log(&bench).await.certificates)[0].clone(), device_key]),
    ] {
        cases.push((what, Completion { keys, ..good.clone() }));
    }
    let mut forged = good.clone();
    let hashes: Vec<Hash> = good.receipt.certificates.clone();
    forged.receipt =
        ClaimReceipt::sign(&alice.key, Hash::from_bytes([9; 32]), hashes, alice.root, Hash::of(&[]));
    cases.push(("a receipt by another key", forged));
    for (what, bad) in cases {
        let code = claim.complete(&bench, &alice, &bad).await.code();
        assert_eq!(code, ErrorCode::CertificateRefused, "{what}");
        assert_eq!(alice.log(&bench).await.count, 2, "{what}");
        assert_eq!(alice.see(&bench, &claim.token).await.status, InvitationStatus::InUse, "{what}");
    }
    claim.complete(&bench, &alice, &good).await.record::<Completed>();
    assert_eq!(alice.log(&bench).await.count, 4);
}

#[tokio::test]
async fn two_ceremonies_begun_on_the_same_log_both_end() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let seen = alice.head(&bench).await;
    for email in ["bob@example.org", "carol@example.org"] {
        let claim = Claim::new(&alice, alice.invite(&bench, email).await);
        claim.run_to(&bench, &alice, 8).await;
        let completion = Newcomer::new().enrolment(&alice, seen, bench.now(), email);
        claim.complete(&bench, &alice, &completion).await.record::<Completed>();
    }
    assert_eq!(alice.log(&bench).await.count, 6);
}

#[tokio::test]
async fn one_address_invited_twice_is_certified_once() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let seen = alice.head(&bench).await;
    let mut answers = Vec::new();
    for _ in 0..2 {
        let claim = Claim::new(&alice, alice.invite(&bench, "bob@example.org").await);
        claim.run_to(&bench, &alice, 8).await;
        answers.push((claim, Newcomer::new().enrolment(&alice, seen, bench.now(), "bob@example.org")));
    }
    answers[0].0.complete(&bench, &alice, &answers[0].1).await.record::<Completed>();
    assert_eq!(answers[1].0.complete(&bench, &alice, &answers[1].1).await.code(), ErrorCode::AlreadyMember);
    assert_eq!(alice.log(&bench).await.count, 4);
}

#[tokio::test]
async fn manifests_follow_one_another() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let target = path::manifest(&alice.organisation);
    let none: ManifestView = alice.call(&bench, "GET", &target, &[]).await.record();
    assert_eq!((none.version, none.envelope), (0, None));
    let put = |version, content: &[u8]| {
        codec::encode(&ManifestUpload { version, envelope: content.to_vec().into() })
    };
    let largest = vec![1; parsec_protocol::limits::MANIFEST_MAX_BYTES];
    for (version, content, expected) in [
        (2, b"x".as_slice(), Err(ErrorCode::ManifestConflict)),
        (1, b"a", Ok(())),
        (1, b"a", Ok(())),
        (1, b"b", Err(ErrorCode::ManifestConflict)),
        (2, &largest, Ok(())),
        (3, b"", Err(ErrorCode::TooLarge)),
    ] {
        let answer = alice.call(&bench, "PUT", &target, &put(version, content)).await;
        assert_eq!(if answer.status == 204 { Ok(()) } else { Err(answer.code()) }, expected);
    }
    let view: ManifestView = alice.call(&bench, "GET", &target, &[]).await.record();
    assert_eq!((view.version, view.envelope.unwrap().len()), (2, largest.len()));
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let claim = Claim::new(&alice, alice.invite(&bench, "bob@example.org").await);
    claim.run_to(&bench, &alice, 3).await;
    bench.stop.cancel();
    bench.served.await.unwrap().unwrap();

    let folder = bench.folder;
    let config = |config: &mut parsec_metadata::Config| config.database = folder.path().join("db");
    let bench = Bench::with(config).await;
    let view: AttemptView = claim.view(&bench).await;
    assert_eq!(view.steps, 0b1111);
    assert_eq!(claim.get(&bench, 3).await.body, b"step\x03");
}
