//! Profile changes and revocations: who may say them, what follows at once, and what nobody gets in
//! between.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use parsec_protocol::chain::head::Head;
use parsec_protocol::chain::organisation::certificate::{Author, Body, Payload, Profile};
use parsec_protocol::codec;
use parsec_protocol::ids::{DeviceId, Invited, Timestamp, Token, UserId};
use parsec_protocol::limits::ATTEMPTS_MAX;
use parsec_protocol::public_keys::{Context, Hash};
use parsec_protocol::relay::{
    AttemptView, Completed, EVENT_GONE, EVENT_INVITATION, EndReason, ErrorCode, Follow, InvitationGone,
    InvitationStatus, InvitationView, KeyBoxUpload, Least, ManifestUpload, ManifestView, NewCertificate,
    NewInvitation, path,
};
use support::stream::Stream;
use support::{Answer, Bench, Claim, DAY, Member, Newcomer, drawn, head, repair_with, sealed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long something that must happen at once may take on a busy machine. Far below the 20 seconds
/// after which a stream would speak by itself.
const AT_ONCE: Duration = Duration::from_secs(10);

fn profile(of: &Member, profile: Profile) -> Body {
    Body::ProfileChange { user: of.user, profile }
}

const fn user(of: &Member) -> Body {
    Body::UserRevoked { user: of.user }
}

const fn device(of: &Member) -> Body {
    Body::DeviceRevoked { device: of.device }
}

#[tokio::test]
async fn each_kind_is_taken_and_takes_effect_at_once() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let second = bob.with_device(&bench).await;
    let eve = Invited::User("eve@example.org".parse().unwrap());
    assert_eq!(bob.invite_for(&bench, eve.clone()).await.code(), ErrorCode::NotAllowed);

    let promote = alice.certify(alice.head(&bench).await, bench.now(), profile(&bob, Profile::Administrator));
    for _ in 0..2 {
        assert_eq!(alice.publish(&bench, vec![promote.clone()]).await.record::<Completed>().position, 5);
    }
    assert_eq!(bob.invite_for(&bench, eve.clone()).await.status, 200);
    alice.change(&bench, profile(&bob, Profile::Outsider)).await.record::<Completed>();
    assert_eq!(bob.invite_for(&bench, eve.clone()).await.code(), ErrorCode::NotAllowed);
    // The same bytes: the same answer, and nothing comes back to life.
    assert_eq!(alice.publish(&bench, vec![promote]).await.record::<Completed>().position, 5);
    assert_eq!(bob.invite_for(&bench, eve.clone()).await.code(), ErrorCode::NotAllowed);

    // A member's own device, without being an administrator.
    bob.change(&bench, device(&second)).await.record::<Completed>();
    for (method, target) in
        [("GET", path::log(&bob.organisation, 0, Least::NOTHING)), ("GET", path::manifest(&bob.organisation))]
    {
        assert_eq!(second.call(&bench, method, &target, &[]).await.code(), ErrorCode::Revoked);
    }
    bob.call(&bench, "GET", &path::manifest(&bob.organisation), &[]).await.record::<ManifestView>();

    let revoke = alice.certify(alice.head(&bench).await, bench.now(), user(&bob));
    for _ in 0..2 {
        alice.publish(&bench, vec![revoke.clone()]).await.record::<Completed>();
    }
    assert_eq!(bob.invite_for(&bench, Invited::Device(bob.user)).await.code(), ErrorCode::Revoked);
    let late = vec![bob.certify(alice.head(&bench).await, bench.now(), device(&alice))];
    assert_eq!(bob.publish(&bench, late).await.code(), ErrorCode::Revoked);
    let log = alice.verified(&bench).await;
    assert_eq!(log.count(), 9);
    assert!(log.user(&bob.user).unwrap().revoked.is_some());
    // The address is free again.
    alice.with(&bench, "bob@example.org", Profile::Standard).await;
    alice.verified(&bench).await;
}

/// Everything that readers would refuse, each beside its twin without the fault, which is taken
/// after all of them.
#[tokio::test]
async fn what_readers_would_refuse_is_not_taken() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let second = alice.with_device(&bench).await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let carol = alice.with(&bench, "carol@example.org", Profile::Administrator).await;
    let dave = alice.with(&bench, "dave@example.org", Profile::Standard).await;
    let gone = alice.with(&bench, "gone@example.org", Profile::Standard).await;
    alice.change(&bench, user(&gone)).await.record::<Completed>();
    let (seen, now) = (alice.head(&bench).await, bench.now());
    let by = |member: &Member, body| vec![member.certify(seen, now, body)];
    let with = |seen, time, body| vec![alice.certify(seen, time, body)];
    let bobs = || user(&bob);

    use ErrorCode::{CertificateRefused, NotAllowed};
    let foreign = |change: &dyn Fn(&mut Payload)| {
        let author = Author::Device(alice.device);
        let mut payload =
            Payload { organisation: alice.organisation.clone(), author, time: now, seen, body: bobs() };
        change(&mut payload);
        vec![payload.sign_with(|context, message| alice.key.sign(context, message)).into()]
    };
    let forged = {
        let organisation = alice.organisation.clone();
        let payload =
            Payload { organisation, author: Author::Device(alice.device), time: now, seen, body: bobs() };
        let by_bob = payload.sign_with(|context, message| bob.key.sign(context, message));
        let request = payload.sign_with(|_, message| alice.key.sign(Context::Request, message));
        [vec![by_bob.into()], vec![request.into()]]
    };
    let mut changed = by(&alice, bobs());
    *changed[0].last_mut().unwrap() ^= 1;
    let [by_bob, request] = forged;
    let unknown = (UserId::from_bytes(drawn()), DeviceId::from_bytes(drawn()));

    let cases = [
        (&alice, "nothing", vec![], CertificateRefused),
        (&alice, "two", [by(&alice, bobs()), by(&alice, user(&dave))].concat(), CertificateRefused),
        (&alice, "junk", vec![vec![0x82].into()], CertificateRefused),
        (
            &alice,
            "a user",
            by(&alice, Newcomer::new().user_body("x@example.org", Profile::Standard)),
            CertificateRefused,
        ),
        (
            &alice,
            "another organisation",
            foreign(&|payload| payload.organisation = "other".parse().unwrap()),
            CertificateRefused,
        ),
        (&alice, "by the root", foreign(&|payload| payload.author = Author::Root), CertificateRefused),
        (&alice, "by the caller's other device", by(&second, bobs()), CertificateRefused),
        (&alice, "by another administrator", by(&carol, bobs()), CertificateRefused),
        (&alice, "another's signature", by_bob, CertificateRefused),
        (&alice, "the signature of a request", request, CertificateRefused),
        (&alice, "a changed signature", changed, CertificateRefused),
        (&alice, "another log", with(Head { hash: Hash::of(&[]), ..seen }, now, bobs()), CertificateRefused),
        (
            &alice,
            "a log that isn't yet",
            with(Head { count: seen.count + 1, ..seen }, now, bobs()),
            CertificateRefused,
        ),
        (&alice, "an older time than before", with(seen, Timestamp(now.0 - 1), bobs()), CertificateRefused),
        (&alice, "oneself", by(&alice, user(&alice)), CertificateRefused),
        (&alice, "one's own profile", by(&alice, profile(&alice, Profile::Standard)), CertificateRefused),
        (&alice, "one's own device", by(&alice, device(&alice)), CertificateRefused),
        (&alice, "somebody revoked", by(&alice, user(&gone)), CertificateRefused),
        (&alice, "a revoked user's device", by(&alice, device(&gone)), CertificateRefused),
        (
            &alice,
            "a revoked user's profile",
            by(&alice, profile(&gone, Profile::Outsider)),
            CertificateRefused,
        ),
        (&alice, "an unknown user", by(&alice, Body::UserRevoked { user: unknown.0 }), CertificateRefused),
        (
            &alice,
            "an unknown device",
            by(&alice, Body::DeviceRevoked { device: unknown.1 }),
            CertificateRefused,
        ),
        (&alice, "the profile there is", by(&alice, profile(&bob, Profile::Standard)), CertificateRefused),
        (&bob, "a user, by no administrator", by(&bob, user(&dave)), NotAllowed),
        (&bob, "a profile, by no administrator", by(&bob, profile(&dave, Profile::Outsider)), NotAllowed),
        (&bob, "another's device, by no administrator", by(&bob, device(&dave)), NotAllowed),
        (&gone, "by somebody revoked", by(&gone, user(&dave)), ErrorCode::Revoked),
    ];
    let before = alice.log(&bench).await;
    for (caller, what, certificates, code) in cases {
        assert_eq!(caller.publish(&bench, certificates).await.code(), code, "{what}");
        assert_eq!(alice.log(&bench).await, before, "{what}");
    }
    for (caller, certificates) in [
        (&alice, by(&alice, profile(&bob, Profile::Outsider))),
        (&alice, by(&alice, bobs())),
        (&alice, by(&alice, device(&second))),
        (&carol, by(&carol, user(&dave))),
    ] {
        caller.publish(&bench, certificates).await.record::<Completed>();
    }
    alice.verified(&bench).await;
}

#[tokio::test]
async fn an_authors_view_and_time_do_not_go_back() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let old = alice.head(&bench).await;
    let say = async |seen: Head, time: Timestamp, to: Profile| {
        alice.publish(&bench, vec![alice.certify(seen, time, profile(&bob, to))]).await
    };
    let now = bench.now();
    say(old, now, Profile::Administrator).await.record::<Completed>();
    let newer = alice.head(&bench).await;
    // The promotion is known by now: this view is from before it.
    assert_eq!(say(old, now, Profile::Outsider).await.code(), ErrorCode::CertificateRefused);
    say(newer, now, Profile::Outsider).await.record::<Completed>();
    let newest = alice.head(&bench).await;
    assert_eq!(
        say(newest, Timestamp(now.0 - 1), Profile::Standard).await.code(),
        ErrorCode::CertificateRefused
    );
    let revoke = |seen, time| vec![alice.certify(seen, time, user(&bob))];
    // A revocation from an older view than the author's last one, too.
    assert_eq!(alice.publish(&bench, revoke(old, now)).await.code(), ErrorCode::CertificateRefused);
    // Any time there is, exactly as readers take it.
    say(newest, Timestamp(u64::MAX - 1), Profile::Standard).await.record::<Completed>();
    let newest = alice.head(&bench).await;
    assert_eq!(
        alice.publish(&bench, revoke(newest, Timestamp(u64::MAX - 2))).await.code(),
        ErrorCode::CertificateRefused
    );
    alice.publish(&bench, revoke(newest, Timestamp(u64::MAX - 1))).await.record::<Completed>();
    alice.verified(&bench).await;
}

#[tokio::test]
async fn bodies_of_other_lengths_and_fields_are_refused() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Standard).await;
    let certificate = alice.certify(alice.head(&bench).await, bench.now(), user(&bob));
    let good = codec::encode(&NewCertificate { certificates: vec![certificate] });
    let target = path::certificates(&alice.organisation);
    let post = async |body: &[u8]| alice.call(&bench, "POST", &target, body).await.code();
    for at in (0..good.len()).step_by(5) {
        assert_eq!(post(&good[..at]).await, ErrorCode::BadRequest, "cut at {at}");
    }
    assert_eq!(post(&[good.as_slice(), &[0]].concat()).await, ErrorCode::BadRequest);
    assert_eq!(post(&[&[0x82], &good[1..], &[0xf6]].concat()).await, ErrorCode::BadRequest);
    // The envelope itself in place of the array of envelopes.
    assert_eq!(post(&[&[0x81], &good[2..]].concat()).await, ErrorCode::BadRequest);
    let longest =
        |length: usize| codec::encode(&NewCertificate { certificates: vec![vec![0; length].into()] });
    assert_eq!(post(&longest(2_049)).await, ErrorCode::CertificateRefused);
    assert_eq!(post(&longest(2_200)).await, ErrorCode::TooLarge);
    assert_eq!(post(&vec![0; 2_000_000]).await, ErrorCode::TooLarge);
    assert_eq!(alice.log(&bench).await.count, 4);
    alice.call(&bench, "POST", &target, &good).await.record::<Completed>();
}

async fn stream(bench: &Bench, member: &Member, token: &Token) -> Stream {
    let mut stream = Stream::follow(bench, member, &[*token]).await;
    stream.next::<InvitationView>().await.unwrap();
    stream
}

/// The stream's end; anything else it says, and every wait, is a failure.
async fn ends_at_once(stream: &mut Stream) {
    let next = tokio::time::timeout(AT_ONCE, stream.next_of::<InvitationView>(EVENT_INVITATION)).await;
    assert_eq!(next.expect("the stream goes on"), None);
}

#[tokio::test]
async fn the_streams_of_the_revoked_end_at_once_and_others_go_on() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Administrator).await;
    let second = bob.with_device(&bench).await;
    let token = alice.invite(&bench, "eve@example.org").await;
    let mut streams = [
        stream(&bench, &alice, &token).await,
        stream(&bench, &bob, &token).await,
        stream(&bench, &second, &token).await,
    ];
    // Nothing about the invitation changes: what wakes them is the revocation alone.
    alice.change(&bench, device(&second)).await.record::<Completed>();
    ends_at_once(&mut streams[2]).await;
    let target = path::device_events(&alice.organisation);
    let follow = Follow { tokens: vec![token] };
    assert_eq!(second.post(&bench, &target, &follow).await.code(), ErrorCode::Revoked);

    alice.change(&bench, profile(&bob, Profile::Standard)).await.record::<Completed>();
    ends_at_once(&mut streams[1]).await;
    let mut again = Stream::follow(&bench, &bob, &[token]).await;
    assert_eq!(again.next_of::<InvitationGone>(EVENT_GONE).await.unwrap().token, token);

    alice.change(&bench, profile(&bob, Profile::Administrator)).await.record::<Completed>();
    let mut again = stream(&bench, &bob, &token).await;
    alice.change(&bench, user(&bob)).await.record::<Completed>();
    ends_at_once(&mut again).await;

    let claim = Claim::new(&alice, token);
    claim.start(&bench).await.record::<AttemptView>();
    let view: InvitationView = streams[0].next_of(EVENT_INVITATION).await.unwrap();
    assert_eq!(view.status, InvitationStatus::InUse);
}

#[tokio::test]
async fn an_attempt_whose_greeter_is_gone_ends_and_its_invitation_goes_on() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Administrator).await;
    let second = bob.with_device(&bench).await;
    let third = bob.with_device(&bench).await;
    let mut claims = Vec::new();
    for (greeter, last) in [(&second, 2), (&second, 8), (&third, 7), (&bob, 8), (&alice, 8)] {
        let claim = Claim::new(&alice, alice.invite(&bench, "eve@example.org").await);
        claim.run_to(&bench, greeter, last).await;
        claims.push(claim);
    }
    let ended = async || {
        let mut ended = Vec::new();
        for claim in &claims {
            ended.push(claim.view(&bench).await.ended.is_some());
        }
        ended
    };
    let mut heard = Stream::open(&bench, &path::events(&claims[0].path()), &claims[0].headers()).await;
    heard.next::<AttemptView>().await.unwrap();
    alice.change(&bench, device(&second)).await.record::<Completed>();
    let end = tokio::time::timeout(AT_ONCE, heard.next::<AttemptView>()).await.unwrap().unwrap();
    assert_eq!(end.ended, Some(EndReason::InvitationEnded));
    assert_eq!(ended().await, [true, true, false, false, false]);
    let seen = alice.head(&bench).await;
    let eve = Newcomer::new().enrolment(&second, seen, bench.now(), "eve@example.org");
    assert_eq!(claims[1].complete(&bench, &second, &eve).await.code(), ErrorCode::Revoked);

    // No administrator any more: a user's enrolment can't be completed by any device of this
    // member.
    alice.change(&bench, profile(&bob, Profile::Standard)).await.record::<Completed>();
    assert_eq!(ended().await, [true, true, true, true, false]);
    for claim in &claims[..4] {
        assert_eq!(alice.see(&bench, &claim.token).await.status, InvitationStatus::Pending);
        Claim::new(&alice, claim.token).run_to(&bench, &alice, 1).await;
    }
    let eve = Newcomer::new().enrolment(&alice, alice.head(&bench).await, bench.now(), "eve@example.org");
    claims[4].complete(&bench, &alice, &eve).await.record::<Completed>();
}

#[tokio::test]
async fn the_last_attempt_of_an_invitation_ends_it() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Administrator).await;
    let token = alice.invite(&bench, "eve@example.org").await;
    for _ in 1..ATTEMPTS_MAX {
        let claim = Claim::new(&alice, token);
        claim.start(&bench).await.record::<AttemptView>();
        claim.cancel(&bench, EndReason::Cancelled).await.done();
    }
    Claim::new(&alice, token).run_to(&bench, &bob, 3).await;
    alice.change(&bench, user(&bob)).await.record::<Completed>();
    assert_eq!(alice.see(&bench, &token).await.status, InvitationStatus::Exhausted);
}

#[tokio::test]
async fn nobody_can_use_what_a_revoked_user_invited_for_themself() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = alice.with(&bench, "bob@example.org", Profile::Administrator).await;
    let second = bob.with_device(&bench).await;
    let claim = Claim::new(&bob, bob.make(&bench, Invited::Device(bob.user)).await);
    claim.start(&bench).await.record::<AttemptView>();
    let of_bob = bob.invite(&bench, "eve@example.org").await;
    // A device's revocation takes nothing from the user's other devices.
    alice.change(&bench, device(&second)).await.record::<Completed>();
    assert_eq!(claim.view(&bench).await.ended, None);

    alice.change(&bench, user(&bob)).await.record::<Completed>();
    assert_eq!(claim.view(&bench).await.ended, Some(EndReason::InvitationEnded));
    assert_eq!(Claim::new(&bob, claim.token).start(&bench).await.code(), ErrorCode::InvitationCancelled);
    // What was for others, any administrator greets.
    assert_eq!(alice.see(&bench, &of_bob).await.status, InvitationStatus::Pending);
    Claim::new(&alice, of_bob).run_to(&bench, &alice, 1).await;
}

/// Races run: enough that each of the calls comes before and after the revocation many times.
const RACES: u64 = 40;

/// What Bob tries while he is being revoked.
async fn last_acts(bench: Arc<Bench>, bob: Member, dave: UserId, claim: Claim, seen: Head) -> Vec<Answer> {
    let now = bench.now();
    let (relayed, direct) = (Newcomer::new(), Newcomer::new());
    let completion = relayed.enrolment(&bob, seen, now, "relayed@example.org");
    let certificates = direct.enrolment(&bob, seen, now, "direct@example.org").certificates;
    let enrolment =
        direct.direct(&bob, now, Invited::User("direct@example.org".parse().unwrap()), certificates);
    let body = Body::ProfileChange { user: dave, profile: Profile::Outsider };
    let change = vec![bob.certify(seen, now, body)];
    let answers = tokio::join!(
        claim.complete(&bench, &bob, &completion),
        bob.enrol(&bench, &enrolment),
        bob.publish(&bench, change),
    );
    vec![answers.0, answers.1, answers.2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_by_the_revoked_gets_in_after_the_revocation() {
    let bench = Arc::new(Bench::start().await);
    let (mut in_time, mut too_late) = (0, 0);
    for race in 0..RACES {
        let alice = bench.founded_as(&format!("race{race}")).await;
        let bob = alice.with(&bench, "bob@example.org", Profile::Administrator).await;
        let dave = alice.with(&bench, "dave@example.org", Profile::Standard).await;
        let claim = Claim::new(&alice, alice.invite(&bench, "relayed@example.org").await);
        claim.run_to(&bench, &bob, 8).await;
        let seen = alice.head(&bench).await;

        // The seed decides which body is signed, and how long Alice's call waits before it goes.
        let body = if race % 2 == 0 { device(&bob) } else { user(&bob) };
        let revocation = vec![alice.certify(seen, bench.now(), body)];
        let bobs = bob.device;
        let acts = tokio::spawn(last_acts(Arc::clone(&bench), bob, dave.user, claim, seen));
        for _ in 0..race {
            tokio::task::yield_now().await;
        }
        let revoked: Completed = alice.publish(&bench, revocation).await.record();
        for answer in acts.await.unwrap() {
            if answer.status == 200 {
                assert!(answer.record::<Completed>().position < revoked.position, "race {race}");
                in_time += 1;
            } else {
                assert!(
                    matches!(answer.code(), ErrorCode::Revoked | ErrorCode::AttemptEnded),
                    "race {race}: {:?}",
                    answer.code()
                );
                too_late += 1;
            }
        }
        let log = alice.verified(&bench).await;
        assert!(log.device(&bobs).unwrap().revoked.is_some());
    }
    assert!(in_time >= 5 && too_late >= 5, "no race: {in_time} in time, {too_late} too late");
    println!(
        "figure S6: {RACES} races: {in_time} acts before the revocation, {too_late} refused after it, 0 certificates behind it in a log"
    );
}

/// A request whose head has been let in, and whose body has yet to come.
struct Half(TcpStream);

impl Half {
    /// Sends the head, and waits until the server asks for the body: by then it has checked the
    /// signature.
    async fn begin(bench: &Bench, by: &Member, method: &str, target: &str, body: &[u8]) -> Self {
        let mut headers = by.sign(method, target, body, bench.now(), Token::from_bytes(drawn()));
        headers.push(("expect", "100-continue".to_owned()));
        let mut stream = TcpStream::connect(bench.address).await.unwrap();
        stream.write_all(&head(method, target, &headers, body.len())).await.unwrap();
        let asked = b"HTTP/1.1 100 Continue\r\n\r\n";
        let mut answer = vec![0; asked.len()];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, asked);
        Self(stream)
    }

    async fn end(mut self, body: &[u8]) -> ErrorCode {
        self.0.write_all(body).await.unwrap();
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).await.unwrap();
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let status = String::from_utf8(bytes[9..12].to_vec()).unwrap().parse().unwrap();
        Answer { status, head: String::new(), body: bytes[end + 4..].to_vec() }.code()
    }
}

/// The signature of a request is checked before the transaction that does its work. Whoever is
/// revoked between the two gets nothing in.
#[tokio::test]
async fn a_signer_revoked_between_the_head_and_the_change_gets_nothing_in() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    for call in 0..10 {
        let bob = alice.with(&bench, &format!("bob{call}@example.org"), Profile::Administrator).await;
        let claim = Claim::new(&bob, bob.invite(&bench, &format!("carol{call}@example.org")).await);
        claim.run_to(&bench, &bob, if call == 0 { 8 } else { 2 }).await;
        let (seen, now, organisation) = (bob.head(&bench).await, bench.now(), &bob.organisation);
        let newcomer = Newcomer::new();
        let email = format!("carol{call}@example.org");
        let enrolment = newcomer.enrolment(&bob, seen, now, &email);
        let promotion = Body::ProfileChange { user: alice.user, profile: Profile::Outsider };
        let direct = || {
            let invited = Invited::User(email.parse().unwrap());
            newcomer.direct(&bob, now, invited, enrolment.certificates.clone())
        };
        let invitation = NewInvitation {
            token: Token::from_bytes(drawn()),
            invited: Invited::Device(bob.user),
            expires: now.plus_seconds(DAY),
            mail_link: None,
        };
        let (method, target, body) = match call {
            0 => ("POST", path::complete(&claim.greeter_path()), codec::encode(&enrolment)),
            1 => ("POST", path::enrolments(organisation), codec::encode(&direct())),
            2 => {
                let certificates = vec![bob.certify(seen, now, promotion)];
                ("POST", path::certificates(organisation), codec::encode(&NewCertificate { certificates }))
            }
            3 => {
                let certificates = vec![bob.certify(seen, now, promotion)];
                let repair = repair_with(seen, certificates);
                ("POST", path::log_repair(organisation), codec::encode(&repair))
            }
            4 => ("PUT", path::step(&claim.greeter_path(), 3), b"three".to_vec()),
            5 => {
                let upload = ManifestUpload { version: 1, envelope: vec![7; 40].into() };
                ("PUT", path::manifest(organisation), codec::encode(&upload))
            }
            6 => {
                let change = bob.key_change(&bench).await;
                ("POST", path::user_key(organisation), codec::encode(&change))
            }
            7 | 8 => {
                let key = bob.verified(&bench).await.user(&bob.user).unwrap().encryption_key;
                let upload = KeyBoxUpload { replaces: None, sealed: sealed() };
                let target = match call {
                    7 => path::key_box(organisation, &bob.user, &key, &bob.device),
                    _ => path::past_box(organisation, &bob.user, &key),
                };
                ("PUT", target, codec::encode(&upload))
            }
            _ => ("POST", path::invitations(organisation), codec::encode(&invitation)),
        };
        let half = Half::begin(&bench, &bob, method, &target, &body).await;
        alice.change(&bench, Body::UserRevoked { user: bob.user }).await.record::<Completed>();
        let log = alice.head(&bench).await;
        assert_eq!(half.end(&body).await, ErrorCode::Revoked, "{method} {target}");
        assert_eq!(alice.head(&bench).await, log, "nothing entered the log");
        assert_eq!(
            alice.see(&bench, &claim.token).await.status,
            InvitationStatus::Pending,
            "nor ended the invitation"
        );
        let handle = path::invitation(organisation, &invitation.token);
        assert_eq!(alice.call(&bench, "GET", &handle, &[]).await.code(), ErrorCode::InvitationUnknown);
    }
    alice.verified(&bench).await;
}
