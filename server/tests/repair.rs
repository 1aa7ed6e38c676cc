//! What a restore of the database took off the end of a log: put back by members, judged as the
//! first time, and by nobody else.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use minicbor::bytes::ByteVec;
use parsec_metadata::{Rate, Rates, ReinstateError, Reinstated, repair_organisation};
use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::certificate::{Body, Profile};
use parsec_protocol::chain::organisation::log::VerifiedLog;
use parsec_protocol::codec;
use parsec_protocol::evidence::export::LogExport;
use parsec_protocol::evidence::head::SignedHead;
use parsec_protocol::ids::{Invited, Timestamp, Token};
use parsec_protocol::limits::{CERTIFICATE_MAX_BYTES, LOG_PAGE_MAX_CERTIFICATES};
use parsec_protocol::public_keys::Hash;
use parsec_protocol::relay::{
    AttemptView, BootstrapRequest, Completed, EndReason, ErrorCode, HEADER_BOOTSTRAP, InvitationStatus,
    Least, LogRepair, LogRepaired, ManifestUpload, ManifestView, REPAIR_MAX_BYTES, path,
};
use support::{Answer, Bench, Claim, Member, Newcomer, drawn};

/// The database of the bench as it is now, put aside.
fn backed_up(bench: &Bench) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let sql = rusqlite::Connection::open(bench.folder.path().join("db")).unwrap();
    sql.execute("VACUUM INTO ?1", [folder.path().join("db").to_str().unwrap()]).unwrap();
    folder
}

/// A server on that copy.
async fn restored(copy: &tempfile::TempDir, repairs_only: bool) -> Bench {
    let database = copy.path().join("db");
    Bench::with(|config| {
        std::fs::copy(&database, &config.database).unwrap();
        config.repairs_only = repairs_only;
    })
    .await
}

/// What a member has verified: every head, and the certificates from one of them on.
struct Kept {
    heads: Vec<Head>,
    certificates: Vec<ByteVec>,
}

async fn kept(member: &Member, bench: &Bench) -> Kept {
    let certificates = member.log(bench).await.certificates;
    let mut heads = vec![Head::empty(&member.organisation, &member.root)];
    for envelope in &certificates {
        heads.push(heads.last().unwrap().after(envelope));
    }
    Kept { heads, certificates }
}

impl Kept {
    fn from(&self, count: usize) -> LogRepair {
        LogRepair { from: self.heads[count], certificates: self.certificates[count..].to_vec() }
    }
}

async fn repair(member: &Member, bench: &Bench, asked: &LogRepair) -> Answer {
    member.post(bench, &path::log_repair(&member.organisation), asked).await
}

const fn done(count: u64, added: u64) -> LogRepaired {
    LogRepaired { count, added }
}

/// Alice and Bob before the backup; Carol, Bob's second device, a promotion and a revocation after
/// it.
struct Story {
    copy: tempfile::TempDir,
    kept: Kept,
    alice: Member,
    bob: Member,
    carol: Member,
    second: Member,
    /// The device of Bob's that Carol has revoked.
    old: Member,
}

async fn story() -> Story {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let old = bob.with_device(&bench).await;
    let copy = backed_up(&bench);
    let carol = alice.with(&bench, "carol@example.org", Profile::Standard).await;
    let second = bob.with_device(&bench).await;
    let promotion = Body::ProfileChange { user: carol.user, profile: Profile::Administrator };
    alice.change(&bench, promotion).await.record::<Completed>();
    carol.change(&bench, Body::DeviceRevoked { device: old.device }).await.record::<Completed>();
    let kept = kept(&alice, &bench).await;
    assert_eq!(kept.certificates.len(), 10);
    Story { copy, kept, alice, bob, carol, second, old }
}

#[tokio::test]
async fn members_put_back_what_a_restore_lost_and_everybody_goes_on() {
    let Story { copy, kept, alice, bob, carol, second, .. } = story().await;
    let bench = restored(&copy, false).await;
    assert_eq!(alice.log(&bench).await.count, 5);
    let log = path::log(&carol.organisation, 0, Least::NOTHING);
    assert_eq!(carol.call(&bench, "GET", &log, &[]).await.code(), ErrorCode::NotAuthenticated);

    // In parts, of which some is there already, and again.
    let part = LogRepair { certificates: kept.certificates[4..7].to_vec(), ..kept.from(4) };
    assert_eq!(repair(&alice, &bench, &part).await.record::<LogRepaired>(), done(7, 2));
    assert_eq!(repair(&bob, &bench, &kept.from(3)).await.record::<LogRepaired>(), done(10, 3));
    for from in [0, 3, 9] {
        assert_eq!(repair(&alice, &bench, &kept.from(from)).await.record::<LogRepaired>(), done(10, 0));
    }
    let log = alice.verified(&bench).await;
    assert_eq!(log.head(), *kept.heads.last().unwrap());

    // Whoever was certified in the lost part is a member again, with the rights they had; whoever
    // was revoked is none.
    assert_eq!(second.log(&bench).await.count, 10);
    let demotion = Body::ProfileChange { user: bob.user, profile: Profile::Outsider };
    carol.change(&bench, demotion).await.record::<Completed>();
    let upload = ManifestUpload { version: 1, envelope: vec![7; 40].into() };
    let manifest = path::manifest(&carol.organisation);
    carol.call(&bench, "PUT", &manifest, &codec::encode(&upload)).await.done();
    assert_eq!(carol.call(&bench, "GET", &manifest, &[]).await.record::<ManifestView>().version, 1);
    alice.verified(&bench).await;
}

#[tokio::test]
async fn a_revocation_that_is_put_back_has_effect_at_once() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Administrator).await;
    let claim = Claim::new(&bob, bob.invite(&bench, "eve@example.org").await);
    let own = bob.make(&bench, Invited::Device(bob.user)).await;
    claim.run_to(&bench, &bob, 3).await;
    let copy = backed_up(&bench);
    alice.change(&bench, Body::UserRevoked { user: bob.user }).await.record::<Completed>();
    let kept = kept(&alice, &bench).await;

    let bench = restored(&copy, false).await;
    assert_eq!(claim.view(&bench).await.ended, None);
    // Bob can't be the one who brings his own revocation, either.
    assert_eq!(repair(&bob, &bench, &kept.from(4)).await.code(), ErrorCode::Revoked);
    assert_eq!(repair(&alice, &bench, &kept.from(4)).await.record::<LogRepaired>(), done(5, 1));
    assert_eq!(claim.view(&bench).await.ended, Some(EndReason::InvitationEnded));
    assert_eq!(alice.see(&bench, &claim.token).await.status, InvitationStatus::Pending);
    let log = path::log(&bob.organisation, 0, Least::NOTHING);
    assert_eq!(bob.call(&bench, "GET", &log, &[]).await.code(), ErrorCode::Revoked);
    let claim = Claim::new(&bob, own);
    assert_eq!(claim.start(&bench).await.code(), ErrorCode::InvitationCancelled);
}

#[tokio::test]
async fn another_past_is_a_conflict_and_changes_nothing() {
    let Story { copy, kept, alice, bob, .. } = story().await;
    let bench = restored(&copy, false).await;
    // Somebody went on before the lost certificates were back.
    bob.with_device(&bench).await;
    for from in [0, 4, 5, 6, 9] {
        assert_eq!(repair(&alice, &bench, &kept.from(from)).await.code(), ErrorCode::LogConflict, "{from}");
    }
    assert_eq!(alice.log(&bench).await.count, 6);
    // As far as they agree there is nothing to do.
    let common = LogRepair { certificates: kept.certificates[2..5].to_vec(), ..kept.from(2) };
    assert_eq!(repair(&alice, &bench, &common).await.record::<LogRepaired>(), done(6, 0));
}

#[tokio::test]
async fn what_does_not_stand_there_is_refused_and_leaves_nothing() {
    let Story { copy, kept, alice, bob, carol, second, old } = story().await;
    let bench = restored(&copy, false).await;
    let refused = async |asked: LogRepair, code: ErrorCode, what: &str| {
        assert_eq!(repair(&alice, &bench, &asked).await.code(), code, "{what}");
        assert_eq!(alice.log(&bench).await.count, 5, "{what}");
    };
    let good = || kept.from(5);
    let head = |count: u64, hash: Hash| Head { count, hash };
    let hash = kept.heads[5].hash;
    refused(
        LogRepair { from: head(5, kept.heads[4].hash), ..good() },
        ErrorCode::LogConflict,
        "another head",
    )
    .await;
    refused(LogRepair { from: head(4, hash), ..good() }, ErrorCode::LogConflict, "another count").await;
    refused(LogRepair { from: head(6, hash), ..good() }, ErrorCode::LogConflict, "behind the end").await;
    refused(LogRepair { from: head(u64::MAX, hash), ..good() }, ErrorCode::LogConflict, "far behind it")
        .await;
    refused(kept.from(7), ErrorCode::LogConflict, "a gap").await;
    refused(LogRepair { certificates: vec![], ..good() }, ErrorCode::BadRequest, "nothing").await;

    let spoilt = |change: &dyn Fn(&mut Vec<ByteVec>)| {
        let mut asked = good();
        change(&mut asked.certificates);
        asked
    };
    let bad = ErrorCode::CertificateRefused;
    refused(spoilt(&|all| all.swap(0, 1)), bad, "reordered inside an enrolment").await;
    refused(spoilt(&|all| all.swap(3, 4)), bad, "reordered").await;
    refused(spoilt(&|all| drop(all.remove(2))), bad, "one left out").await;
    refused(spoilt(&|all| all.truncate(1)), bad, "a user without the first device").await;
    refused(spoilt(&|all| all.insert(1, all[0].clone())), bad, "one twice").await;
    refused(spoilt(&|all| *all.last_mut().unwrap().last_mut().unwrap() ^= 1), bad, "an altered signature")
        .await;
    refused(spoilt(&|all| all[2][20] ^= 1), bad, "an altered payload").await;
    refused(spoilt(&|all| all.push(kept.certificates[0].clone())), bad, "the founding again").await;
    refused(spoilt(&|all| all.push(vec![0; CERTIFICATE_MAX_BYTES].into())), bad, "noise").await;

    // By an author who is revoked at that place, or not there.
    let end = *kept.heads.last().unwrap();
    let late = |by: &Member, body| by.certify(end, bench.now(), body);
    refused(
        spoilt(&|all| all.push(late(&old, Body::DeviceRevoked { device: second.device }))),
        bad,
        "a revoked author",
    )
    .await;
    let nobody = Newcomer::new().member(&alice);
    refused(
        spoilt(&|all| all.push(late(&nobody, Body::UserRevoked { user: bob.user }))),
        bad,
        "an unknown author",
    )
    .await;
    // By somebody who may not, and what one may say once.
    refused(
        spoilt(&|all| all.push(late(&bob, Body::UserRevoked { user: carol.user }))),
        bad,
        "no administrator",
    )
    .await;
    refused(
        spoilt(&|all| all.push(late(&alice, Body::DeviceRevoked { device: old.device }))),
        bad,
        "revoked twice",
    )
    .await;
    let stranger = Newcomer::new();
    let taken = [stranger.user_body("bob@example.org", Profile::Standard), stranger.device_body()];
    refused(
        spoilt(&|all| all.extend(taken.iter().map(|body| late(&alice, body.clone())))),
        bad,
        "a taken e-mail",
    )
    .await;

    // And the good ones, after all of that.
    assert_eq!(repair(&alice, &bench, &good()).await.record::<LogRepaired>(), done(10, 5));
    alice.verified(&bench).await;
}

#[tokio::test]
async fn a_newcomer_alone_puts_back_nothing() {
    // Signed, then cancelled by the greeter: the newcomer has the certificates, and a head that the
    // server knows.
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let claim = Claim::new(&alice, alice.invite(&bench, "eve@example.org").await);
    claim.run_to(&bench, &alice, 7).await;
    let eve = Newcomer::new();
    let seen = alice.head(&bench).await;
    let completion = eve.enrolment(&alice, seen, bench.now(), "eve@example.org");
    claim.greeter_cancel(&bench, &alice, EndReason::Cancelled).await.done();
    let asked = LogRepair { from: seen, certificates: completion.certificates };
    let eve = eve.member(&alice);
    assert_eq!(repair(&eve, &bench, &asked).await.code(), ErrorCode::NotAuthenticated);
    let body = codec::encode(&asked);
    let target = path::log_repair(&alice.organisation);
    assert_eq!(bench.call("POST", &target, &vec![], &body).await.code(), ErrorCode::NotAuthenticated);
    assert_eq!(alice.log(&bench).await.count, 2);
}

#[tokio::test]
async fn a_repair_is_bounded_signed_and_paid_for() {
    let Story { copy, kept, alice, bob, .. } = story().await;
    let bench = restored(&copy, false).await;
    let target = path::log_repair(&alice.organisation);
    let many = |count: usize, size: usize| LogRepair {
        from: kept.heads[5],
        certificates: vec![vec![0; size].into(); count],
    };
    let most = LOG_PAGE_MAX_CERTIFICATES;
    // The largest that fits is looked at, whatever it is.
    let full = many(most, CERTIFICATE_MAX_BYTES);
    assert!(codec::encode(&full).len() <= REPAIR_MAX_BYTES);
    assert_eq!(repair(&alice, &bench, &full).await.code(), ErrorCode::CertificateRefused);
    assert_eq!(repair(&alice, &bench, &many(most + 1, 1)).await.code(), ErrorCode::TooLarge);
    assert_eq!(
        repair(&alice, &bench, &many(most + 9, CERTIFICATE_MAX_BYTES)).await.code(),
        ErrorCode::TooLarge
    );
    for noise in [vec![], vec![0x80], vec![0xff; 40], vec![0x82, 0x80, 0x80]] {
        assert_eq!(alice.call(&bench, "POST", &target, &noise).await.code(), ErrorCode::BadRequest);
    }
    // A request that somebody overheard.
    let body = codec::encode(&kept.from(5));
    let headers = alice.sign("POST", &target, &body, bench.now(), Token::from_bytes(drawn()));
    bench.call("POST", &target, &headers, &body).await.record::<LogRepaired>();
    assert_eq!(bench.call("POST", &target, &headers, &body).await.code(), ErrorCode::Replayed);
    let other = codec::encode(&kept.from(4));
    assert_eq!(bench.call("POST", &target, &headers, &other).await.code(), ErrorCode::Replayed);
    let headers = alice.sign("POST", &target, &body, bench.now(), Token::from_bytes(drawn()));
    assert_eq!(bench.call("POST", &target, &headers, &other).await.code(), ErrorCode::NotAuthenticated);

    // The address pays before the body is read, whoever signs.
    let bench = {
        let database = copy.path().join("db");
        Bench::with(|config| {
            std::fs::copy(&database, &config.database).unwrap();
            config.rates = Some(Rates { address: Rate { per_second: 1, burst: 3 }, ..Rates::default() });
        })
        .await
    };
    for _ in 0..3 {
        assert_eq!(repair(&bob, &bench, &kept.from(9)).await.code(), ErrorCode::LogConflict);
    }
    let mut codes = Vec::new();
    for _ in 0..3 {
        codes.push(repair(&bob, &bench, &kept.from(9)).await.code());
    }
    assert!(codes.contains(&ErrorCode::RateLimited), "{codes:?}");
    // Other calls of members are not counted there.
    bob.log(&bench).await;
}

#[tokio::test]
async fn after_a_restore_nothing_new_gets_in_between_until_the_operator_says_so() {
    let Story { copy, kept, alice, bob, carol, .. } = story().await;
    let bench = restored(&copy, true).await;
    let change = Body::ProfileChange { user: bob.user, profile: Profile::Outsider };
    let early = alice.change(&bench, change.clone()).await;
    assert_eq!((early.status, early.code()), (503, ErrorCode::LogHeld));
    let newcomer = Newcomer::new();
    let seen = alice.head(&bench).await;
    let enrolment = newcomer.enrolment(&alice, seen, bench.now(), "eve@example.org");
    let invited = Invited::User("eve@example.org".parse().unwrap());
    let direct = newcomer.direct(&alice, bench.now(), invited, enrolment.certificates.clone());
    assert_eq!(alice.enrol(&bench, &direct).await.code(), ErrorCode::LogHeld);
    let claim = Claim::new(&alice, alice.invite(&bench, "eve@example.org").await);
    claim.run_to(&bench, &alice, 8).await;
    assert_eq!(claim.complete(&bench, &alice, &enrolment).await.code(), ErrorCode::LogHeld);
    assert_eq!(claim.view(&bench).await, AttemptView { ended: None, ..claim.view(&bench).await });

    assert_eq!(repair(&bob, &bench, &kept.from(5)).await.record::<LogRepaired>(), done(10, 5));
    assert_eq!(carol.log(&bench).await.count, 10);
    assert_eq!(alice.change(&bench, change.clone()).await.code(), ErrorCode::LogHeld);
    // Started as ever, it takes what is new, what was signed before the repair too.
    let bench = restored(&backed_up(&bench), false).await;
    alice.change(&bench, change).await.record::<Completed>();
    claim.complete(&bench, &alice, &enrolment).await.record::<Completed>();
    assert_eq!(alice.verified(&bench).await.count(), 13);
}

/// What `trust export` writes: the first `count` certificates, and a member's word for their end or
/// none.
fn exported(kept: &Kept, by: &Member, count: usize, vouched: bool) -> LogExport {
    let certificates = kept.certificates[..count].to_vec();
    let empty = VerifiedLog::empty(by.organisation.clone(), by.root);
    let log = empty.extended(certificates.iter().map(|envelope| envelope.as_slice())).unwrap();
    let sign = |context, message: &[u8]| by.key.sign(context, message);
    let head = vouched.then(|| SignedHead::of(&log, by.device, Timestamp(7), sign));
    LogExport::new(by.organisation.clone(), by.root, certificates, head)
}

fn put_back_from(bench: &Bench, name: &str, file: &[u8]) -> Result<Reinstated, ReinstateError> {
    let path = bench.folder.path().join("exported");
    std::fs::write(&path, file).unwrap();
    repair_organisation(&bench.folder.path().join("db"), name, &path)
}

#[tokio::test]
async fn an_operator_puts_a_log_back_from_a_members_file() {
    let Story { copy, kept, alice, carol, .. } = story().await;
    // By Carol, who is alone with it: the server doesn't know her any more.
    let file = exported(&kept, &carol, 10, true).encode();
    let back =
        |added| Reinstated { added, count: 10, root_fingerprint: alice.root.fingerprint().to_string() };
    let bench = restored(&copy, false).await;
    for added in [5, 0] {
        assert_eq!(put_back_from(&bench, "acme", &file).unwrap(), back(added));
    }
    assert_eq!(carol.verified(&bench).await.head(), *kept.heads.last().unwrap());

    // An organisation that was lost whole, beside a running server; its founder's device is
    // answered as ever.
    let bench = Bench::start().await;
    assert!(matches!(put_back_from(&bench, "acme", &file), Err(ReinstateError::Unknown)));
    let token = bench.reserve("acme");
    assert_eq!(put_back_from(&bench, "acme", &file).unwrap(), back(10));
    assert_eq!(carol.verified(&bench).await.count(), 10);
    let request = BootstrapRequest { root: alice.root, certificates: kept.certificates[..2].to_vec() };
    let target = path::bootstrap(&alice.organisation);
    bench.call("POST", &target, &vec![(HEADER_BOOTSTRAP, token)], &codec::encode(&request)).await.done();
}

#[tokio::test]
async fn a_file_that_shows_nothing_puts_nothing_back() {
    let Story { copy, kept, alice, bob, .. } = story().await;
    let bench = restored(&copy, false).await;
    let refused = |name: &str, file: &[u8]| put_back_from(&bench, name, file).unwrap_err();
    let good = exported(&kept, &alice, 10, true);
    let mut damaged = good.encode();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    assert!(matches!(refused("acme", &damaged), ReinstateError::Evidence(_)));
    assert!(matches!(refused("acme", b"noise"), ReinstateError::Evidence(_)));
    let unvouched = exported(&kept, &alice, 10, false).encode();
    assert!(matches!(refused("acme", &unvouched), ReinstateError::Unvouched));
    let cut = kept.certificates[..9].to_vec();
    let shorter = LogExport::new(alice.organisation.clone(), alice.root, cut, good.head.clone()).encode();
    assert!(matches!(refused("acme", &shorter), ReinstateError::Evidence(_)));
    assert!(matches!(refused("other", &good.encode()), ReinstateError::OtherOrganisation(_)));
    assert!(matches!(refused("A B", &good.encode()), ReinstateError::Name(_)));
    // Another organisation of this name, under another root key.
    let elsewhere = Bench::start().await;
    let eve = elsewhere.founded().await;
    let hers = exported(&self::kept(&eve, &elsewhere).await, &eve, 2, true).encode();
    assert!(matches!(refused("acme", &hers), ReinstateError::Conflict));
    assert_eq!(alice.log(&bench).await.count, 5);
    // A log that went on elsewhere.
    bob.with_device(&bench).await;
    assert!(matches!(refused("acme", &good.encode()), ReinstateError::Conflict));
    assert_eq!(alice.log(&bench).await.count, 6);
}
