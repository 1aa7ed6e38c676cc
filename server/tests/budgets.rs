//! What is stored is bounded by member first: nobody takes an administrator's room, and what is
//! over goes by itself.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use parsec_metadata::{Budgets, Share, UsageLine, organisation_usage, prune_organisation};
use parsec_protocol::chain::organisation::certificate::Profile;
use parsec_protocol::ids::{Invited, Token};
use parsec_protocol::limits::INVITATION_PAGE_MAX;
use parsec_protocol::relay::{
    AttemptView, Completed, EndReason, ErrorCode, InvitationList, InvitationStatus, InvitationView, path,
};
use support::stream::Stream;
use support::{Bench, Claim, DAY, Member, Newcomer};

fn tight() -> Budgets {
    Budgets {
        administrator: Share { live: 4, bytes: 1_000_000 },
        member: Share { live: 2, bytes: 150_000 },
        organisation: Share { live: 4, bytes: 1_000_000 },
    }
}

async fn device_for(bench: &Bench, member: &Member) -> Result<Token, ErrorCode> {
    let answer = member.invite_for(bench, Invited::Device(member.user)).await;
    if answer.status != 200 {
        return Err(answer.code());
    }
    Ok(list(bench, member).await[0].token)
}

async fn list(bench: &Bench, member: &Member) -> Vec<InvitationView> {
    let mut all = Vec::new();
    let mut target = path::invitations(&member.organisation);
    loop {
        let page: InvitationList = member.call(bench, "GET", &target, &[]).await.record();
        assert!(page.invitations.len() <= INVITATION_PAGE_MAX);
        all.extend(page.invitations);
        match page.next {
            Some(next) => target = path::invitations_before(&member.organisation, next),
            None => return all,
        }
    }
}

async fn cancel(bench: &Bench, member: &Member, token: &Token) -> support::Answer {
    member.call(bench, "POST", &path::cancel(&path::invitation(&member.organisation, token)), &[]).await
}

#[tokio::test]
async fn outsiders_at_the_end_of_their_budgets_are_in_no_administrators_way() {
    let bench = Bench::with(|config| config.budgets = tight()).await;
    let alice = bench.founded().await;
    let olga = alice.with(&bench, "olga@example.org", Profile::Outsider).await;
    let omar = alice.with(&bench, "omar@example.org", Profile::Outsider).await;
    let sam = alice.with(&bench, "sam@example.org", Profile::Standard).await;

    let first = device_for(&bench, &olga).await.unwrap();
    device_for(&bench, &olga).await.unwrap();
    assert_eq!(device_for(&bench, &olga).await, Err(ErrorCode::MemberBudgetSpent));
    // Hers is hers.
    for _ in 0..2 {
        device_for(&bench, &omar).await.unwrap();
    }
    // All of them together have a bound as well, and administrators have another.
    assert_eq!(device_for(&bench, &sam).await, Err(ErrorCode::OrganisationBudgetSpent));
    for number in 0..4 {
        alice.invite(&bench, &format!("m{number}@example.org")).await;
    }
    let fifth = Invited::User("m5@example.org".parse().unwrap());
    assert_eq!(alice.invite_for(&bench, fifth.clone()).await.code(), ErrorCode::MemberBudgetSpent);

    // An administrator sees all of it, and makes room where somebody took too much; others see
    // their own.
    let seen = list(&bench, &alice).await;
    let of = |seen: &[InvitationView], member: &Member| {
        seen.iter().filter(|it| it.created_by == member.user).count()
    };
    assert_eq!((of(&seen, &olga), of(&seen, &omar)), (2, 2));
    assert!(
        list(&bench, &olga)
            .await
            .iter()
            .all(|it| it.created_by == olga.user || it.invited == Invited::Device(olga.user))
    );
    assert_eq!(cancel(&bench, &sam, &first).await.code(), ErrorCode::InvitationUnknown);
    cancel(&bench, &alice, &first).await.done();
    device_for(&bench, &sam).await.unwrap();
    assert_eq!(device_for(&bench, &olga).await, Err(ErrorCode::OrganisationBudgetSpent));
    let own = list(&bench, &alice)
        .await
        .iter()
        .find(|it| it.created_by == alice.user && it.status == InvitationStatus::Pending)
        .unwrap()
        .token;
    cancel(&bench, &alice, &own).await.done();
    alice.make(&bench, fifth).await;

    // Whoever runs the server sees who it is.
    let lines = organisation_usage(&bench.folder.path().join("db"), "acme").unwrap();
    let of = |who: Option<&str>, kind: bool| {
        lines.iter().find_map(|line| match line {
            UsageLine::Part { member, administrators, live, bytes, limit, .. }
                if member.as_deref() == who && *administrators == kind =>
            {
                Some((*live, *bytes > 0, limit.live))
            }
            UsageLine::Part { .. } | UsageLine::Lasting { .. } => None,
        })
    };
    assert_eq!(of(None, false), Some((4, true, 4)));
    assert_eq!(of(Some("omar@example.org"), false), Some((2, true, 2)));
    assert_eq!(of(Some("alice@example.org"), true), Some((4, true, 4)));
    println!(
        "figure P6: an outsider's, and all outsiders', invitations beyond their budgets refused by name; the administrators' are their own"
    );
}

#[tokio::test]
async fn an_administrator_sees_and_cancels_what_they_may_not_greet() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let olga = alice.with(&bench, "olga@example.org", Profile::Outsider).await;
    let claim = Claim::new(&olga, device_for(&bench, &olga).await.unwrap());
    claim.start(&bench).await.record::<AttemptView>();
    assert_eq!(claim.join(&bench, &alice).await.code(), ErrorCode::NotAllowed);
    claim.join(&bench, &olga).await.record::<AttemptView>();
    claim.put(&bench, 0, b"zero").await.done();
    let read = path::step(&claim.greeter_path(), 0);
    assert_eq!(alice.call(&bench, "GET", &read, &[]).await.code(), ErrorCode::NotAllowed);
    assert_eq!(claim.greeter_put(&bench, &alice, 1, b"one").await.code(), ErrorCode::NotAllowed);
    assert_eq!(alice.see(&bench, &claim.token).await.status, InvitationStatus::InUse);
    claim.greeter_cancel(&bench, &alice, EndReason::Cancelled).await.done();
    assert_eq!(claim.view(&bench).await.ended, Some(EndReason::Cancelled));
    cancel(&bench, &alice, &claim.token).await.done();
    assert_eq!(olga.see(&bench, &claim.token).await.status, InvitationStatus::Cancelled);
}

#[tokio::test]
async fn steps_count_to_whoever_invited_and_a_receipt_always_finds_room() {
    let bench = Bench::with(|config| config.budgets = tight()).await;
    let alice = bench.founded().await;
    let olga = alice.with(&bench, "olga@example.org", Profile::Outsider).await;
    let claim = Claim::new(&olga, device_for(&bench, &olga).await.unwrap());
    claim.start(&bench).await.record::<AttemptView>();
    claim.join(&bench, &olga).await.record::<AttemptView>();
    let large = vec![7; 60_000];
    claim.put(&bench, 0, &large).await.done();
    claim.greeter_put(&bench, &olga, 1, &large).await.done();
    assert_eq!(claim.put(&bench, 2, &large).await.code(), ErrorCode::MemberBudgetSpent);
    assert_eq!(claim.view(&bench).await.steps, 0b11, "refused, it left nothing");
    // Up to the edge, and over it with what makes keys good that are durable already.
    claim.put(&bench, 2, &vec![7; 26_000]).await.done();
    for (step, bytes) in [(3, 100), (4, 100), (5, 100), (6, 100), (7, 100)] {
        let content = vec![7; bytes];
        match step % 2 {
            0 => claim.put(&bench, step, &content).await.done(),
            _ => claim.greeter_put(&bench, &olga, step, &content).await.done(),
        }
    }
    assert_eq!(claim.put(&bench, 8, &vec![8; 5_000]).await.code(), ErrorCode::MemberBudgetSpent);
    claim.put(&bench, 8, &vec![8; 4_096]).await.done();
    // An administrator's ceremony is none of that.
    Claim::new(&alice, alice.invite(&bench, "bob@example.org").await).run_to(&bench, &alice, 8).await;
    // Cancelled, it makes room.
    cancel(&bench, &olga, &claim.token).await.done();
    let next = Claim::new(&olga, device_for(&bench, &olga).await.unwrap());
    next.start(&bench).await.record::<AttemptView>();
    next.join(&bench, &olga).await.record::<AttemptView>();
    next.put(&bench, 0, &large).await.done();
}

fn others_bytes(bench: &Bench) -> u64 {
    let lines = organisation_usage(&bench.folder.path().join("db"), "acme").unwrap();
    lines
        .iter()
        .find_map(|line| match line {
            UsageLine::Part { member: None, administrators: false, bytes, .. } => Some(*bytes),
            UsageLine::Part { .. } | UsageLine::Lasting { .. } => None,
        })
        .unwrap_or(0)
}

/// By the streams, which end with what they tell of: nobody asks for anything meanwhile.
#[tokio::test]
async fn expired_attempts_and_then_their_invitations_go_by_themselves() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let olga = alice.with(&bench, "olga@example.org", Profile::Outsider).await;
    let claim = Claim::new(&olga, device_for(&bench, &olga).await.unwrap());
    claim.run_to(&bench, &olga, 5).await;
    claim.put(&bench, 6, &vec![7; 60_000]).await.done();
    assert!(others_bytes(&bench) > 60_000);

    let mut stream = Stream::follow(&bench, &olga, &[claim.token]).await;
    assert_eq!(stream.next::<InvitationView>().await.unwrap().status, InvitationStatus::InUse);
    bench.pass(30 * DAY);
    assert_eq!(stream.next::<InvitationView>().await.unwrap().status, InvitationStatus::Expired);
    // Told once the change is durable: the bytes have gone.
    assert!(others_bytes(&bench) < 2_000);
    // For a week it is answered about.
    assert_eq!(Claim::new(&olga, claim.token).start(&bench).await.code(), ErrorCode::InvitationExpired);
    bench.pass(8 * DAY);
    while others_bytes(&bench) > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(Claim::new(&olga, claim.token).start(&bench).await.code(), ErrorCode::InvitationUnknown);
    assert!(list(&bench, &olga).await.iter().all(|it| it.token != claim.token));
}

#[tokio::test]
async fn a_list_of_any_length_comes_in_pages_newest_first_and_whole() {
    let bench = Bench::with(|config| config.budgets.administrator.live = 1_000).await;
    let alice = bench.founded().await;
    let olga = alice.with(&bench, "olga@example.org", Profile::Outsider).await;
    let mut made = vec![device_for(&bench, &olga).await.unwrap()];
    for number in 0..2 * INVITATION_PAGE_MAX + 7 {
        made.push(alice.invite(&bench, &format!("m{number}@example.org")).await);
    }
    let claim = Claim::new(&alice, *made.last().unwrap());
    claim.start(&bench).await.record::<AttemptView>();
    let all = list(&bench, &alice).await;
    // Olga's own enrolment is the oldest of them.
    let listed: Vec<Token> = all.iter().rev().map(|it| it.token).skip(1).collect();
    assert_eq!(listed, made);
    assert_eq!(all.len(), all.iter().map(|it| it.token).collect::<BTreeSet<_>>().len());
    assert_eq!(all[0], alice.see(&bench, &claim.token).await, "with its newest attempt");
    assert_eq!(list(&bench, &olga).await.len(), 1);
}

#[tokio::test]
async fn the_operator_removes_what_is_over_and_nothing_else() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let database = bench.folder.path().join("db");
    let over = alice.invite(&bench, "a@example.org").await;
    cancel(&bench, &alice, &over).await.done();
    // The clock of the command is the system's, later than the tests': what it calls expired is so.
    let completed = Claim::new(&alice, alice.invite(&bench, "bob@example.org").await);
    completed.run_to(&bench, &alice, 8).await;
    let bob = Newcomer::new();
    let completion = bob.enrolment(&alice, alice.head(&bench).await, bench.now(), "bob@example.org");
    completed.complete(&bench, &alice, &completion).await.record::<Completed>();
    let log = alice.log(&bench).await;

    let pruned = prune_organisation(&database, "acme").unwrap();
    assert_eq!(pruned.invitations, 2);
    assert!(pruned.bytes > 500, "{pruned:?}");
    assert_eq!(prune_organisation(&database, "acme").unwrap().invitations, 0);
    assert!(prune_organisation(&database, "other").is_err());
    assert_eq!(alice.log(&bench).await, log, "the log is as it was");
    bob.member(&alice).log(&bench).await;
    assert_eq!(Claim::new(&alice, over).start(&bench).await.code(), ErrorCode::InvitationUnknown);
    let lines = organisation_usage(&database, "acme").unwrap();
    let [UsageLine::Lasting { manifests: 0, log, keys, safes: 0 }] = lines.as_slice() else {
        panic!("{lines:?}")
    };
    assert!(*log > 1_000, "certificates and the receipt");
    assert!((4 * 1_216..4 * 1_230).contains(keys), "two people's keys and two devices'");
    assert!(lines[0].json("acme").starts_with(r#"{"organisation":"acme","kind":"lasting","#));
}

/// Its row has gone, and the same call is answered as before: the log remembers.
#[tokio::test]
async fn an_enrolment_is_registered_once_also_when_its_invitation_has_gone() {
    let bench = Bench::start().await;
    let alice = bench.founded().await;
    let bob = Newcomer::new();
    let (seen, now) = (alice.head(&bench).await, bench.now());
    let email = "bob@example.org";
    let certificates = vec![
        alice.certify(seen, now, bob.user_body(email, Profile::Standard)),
        alice.certify(seen, now, bob.device_body()),
    ];
    let enrolment = bob.direct(&alice, now, Invited::User(email.parse().unwrap()), certificates);
    let first: Completed = alice.enrol(&bench, &enrolment).await.record();
    assert_eq!(prune_organisation(&bench.folder.path().join("db"), "acme").unwrap().invitations, 1);
    let again: Completed = alice.enrol(&bench, &enrolment).await.record();
    assert_eq!((first.position, again.position), (2, 2));
    assert_eq!(alice.verified(&bench).await.count(), 4);
}
