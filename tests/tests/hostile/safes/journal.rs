//! A safe's two logs, as a server shows them that lies, alone or with a member's help: a shorter
//! past, another one, items left out, moved and played again, items of those who may not make them.

use parsec_protocol::codec;
use parsec_protocol::control::{
    DeviceRevoke, DeviceSelector, Member, ProblemKind, SafeRole, SafeSelector, SafeShowResult, UserRevoke,
    method,
};
use parsec_protocol::relay::{ErrorCode, SafeLogPage};
use parsec_protocol::safe_log::certificate::{Body, Change as Given};
use parsec_protocol::safe_log::roles::Role;
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_AGAIN, ALICE_PASSWORD, BOB, BOB_EMAIL, BOB_PASSWORD};
use parsec_tests::insider::{Insider, folder};
use parsec_tests::lying::{Asked, asked, lies, refuses, says, shows};
use parsec_tests::own_devices::enrol_own;
use parsec_tests::proxy::Honest;
use parsec_tests::safes::Safe;

use super::{
    CAROL, CAROL_EMAIL, PLANS, Shared, alarm, founded, let_in, made, nudge, own_device, share, stopped_by,
    until_alarm,
};

/// From now on, the server shows a safe as these items alone.
fn shown(shared: &Shared, certificates: Vec<Vec<u8>>, records: Vec<Vec<u8>>) {
    let safe = shared.safe;
    lies(&shared.fixture.proxy, move |request, answer| {
        shows(request, answer, safe, &certificates, &records);
    });
}

fn paths(device: &Device) -> Vec<String> {
    Safe { device, name: PLANS }.paths().unwrap()
}

/// T15: an earlier state of the journal, or of the safe log, to a device that runs, one that was
/// restarted, and one that is new; by an answer, and by saying that it is not there yet.
#[test]
fn a_shorter_past_is_told_by_a_running_a_restarted_and_a_new_device() {
    let mut shared = Shared::with(SafeRole::Reader);
    let _ = shared.alice().put_shared("/one", b"1");
    let _ = shared.alice().put_shared("/two", b"2");
    Safe { device: &shared.bob, name: PLANS }.sync();
    let bob = Insider::of(&mut shared.bob, BOB_PASSWORD, &shared.fixture.server);
    let view = bob.view(shared.safe);
    let (log, journal) = (view.certificates, view.records);
    assert_eq!((log.len(), journal.len()), (2, 3));

    let earlier = [(2, 2), (2, 0), (1, 1)];
    for (certificates, records) in earlier {
        shown(&shared, log[..certificates].to_vec(), journal[..records].to_vec());
        stopped_by(&shared.fixture.alice, shared.safe, ProblemKind::RolledBack);
        assert_eq!(paths(&shared.fixture.alice), ["/one", "/two"]);
        // What was verified stays, and goes on where the server does.
        shared.fixture.proxy.meddle(std::sync::Arc::new(Honest));
        shared.alice().sync();
    }
    let told = alarm(&shared.fixture.alice, ProblemKind::RolledBack);
    assert!(told.problem.message.contains("of which 2 and 3 were there"), "{told:?}");

    // Restarted: out of its store it knows as much.
    shown(&shared, log.clone(), journal[..2].to_vec());
    shared.fixture.alice.kill();
    shared.fixture.alice.restart();
    shared.fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    stopped_by(&shared.fixture.alice, shared.safe, ProblemKind::RolledBack);
    assert_eq!(paths(&shared.fixture.alice), ["/one", "/two"]);
    let said = shared.fixture.alice.ctl(&["safe", "sync", PLANS, "--wait", "1"]);
    assert_eq!(said.code, i32::from(ProblemKind::NotSharedYet.exit_code()), "{said:?}");
    assert!(said.stderr.contains("2 records of a safe, of which 2 and 3 were there"), "{said:?}");

    shared.fixture.proxy.meddle(std::sync::Arc::new(Honest));
    shared.alice().sync();

    // A server that only ever says to be behind hides it no better.
    let (safe, certificates, records) = (shared.safe, log.clone(), journal[..2].to_vec());
    lies(&shared.fixture.proxy, move |request, answer| {
        shows(request, answer, safe, &certificates, &records);
        if request.target.contains("least=") && request.target.contains("/journal?") {
            refuses(answer, ErrorCode::Behind);
        }
    });
    stopped_by(&shared.fixture.alice, shared.safe, ProblemKind::RolledBack);
    shared.fixture.proxy.meddle(std::sync::Arc::new(Honest));
    shared.alice().sync();

    // A new device of Alice's: her manifest says how far she had come when it was let in.
    shown(&shared, log, journal[..2].to_vec());
    let tablet = enrol_own(&shared.fixture, &shared.fixture.alice, "tablet", ALICE_AGAIN);
    let _ = tablet.until_safe(|found| found.safe == shared.safe);
    stopped_by(&tablet, shared.safe, ProblemKind::RolledBack);
    let _ = until_alarm(&tablet, ProblemKind::RolledBack);
    shared.fixture.proxy.meddle(std::sync::Arc::new(Honest));
    Safe { device: &tablet, name: &shared.safe.to_string() }.sync();
    assert_eq!(paths(&tablet), ["/one", "/two"]);
}

/// T11, T15, T16: items left out of the middle, exchanged, doubled, changed.
#[test]
fn items_left_out_moved_doubled_or_changed_end_what_is_taken_there() {
    let mut shared = Shared::with(SafeRole::Reader);
    Safe { device: &shared.bob, name: PLANS }.sync();
    // Alice's other device has nothing of it yet.
    let mut tablet = own_device(&shared);
    tablet.kill();
    for name in ["/one", "/two", "/three", "/four"] {
        let _ = shared.alice().put_shared(name, name.as_bytes());
    }
    let bob = Insider::of(&mut shared.bob, BOB_PASSWORD, &shared.fixture.server);
    let view = bob.view(shared.safe);
    let (log, all) = (view.certificates, view.records);
    assert_eq!(all.len(), 5);
    let without = |number: usize| [&all[..number], &all[number + 1..]].concat();
    let exchanged = [&all[..2], &[all[3].clone(), all[2].clone()], &all[4..]].concat();
    let doubled = [&all[..3], &all[2..]].concat();
    let mut changed = all.clone();
    let last = changed[3].len() - 1;
    changed[3][last] ^= 1;
    let mut cut = all.clone();
    let _ = cut[3].pop();
    tablet.restart();
    let cases = [
        ("left out", log.clone(), without(2)),
        ("exchanged", log.clone(), exchanged),
        ("doubled", log.clone(), doubled),
        ("changed", log.clone(), changed),
        ("cut", log.clone(), cut),
    ];
    for (number, (what, certificates, records)) in cases.into_iter().enumerate() {
        shown(&shared, certificates, records);
        if number == 0 {
            tablet.unlock(ALICE_AGAIN.password).unwrap();
        }
        stopped_by(&tablet, shared.safe, ProblemKind::ChainInvalid);
        let found = paths(&tablet);
        assert!(found.iter().all(|path| path == "/one" || path == "/two"), "{what}: {found:?}");
        assert!(!found.contains(&"/four".to_owned()), "{what}");
        // What it has, and nothing more: it has nothing to complain of.
        let asked = SafeSelector { select: DeviceSelector::default(), safe: shared.safe.to_string() };
        let has: SafeShowResult = tablet.call(method::SAFE_SHOW, asked).unwrap();
        let has = usize::try_from(has.records).unwrap();
        shown(&shared, log.clone(), all[..has].to_vec());
        Safe { device: &tablet, name: PLANS }.sync();
    }
    let told = alarm(&tablet, ProblemKind::ChainInvalid);
    assert!(told.problem.message.contains("is not valid"), "{told:?}");
    shared.fixture.proxy.meddle(std::sync::Arc::new(Honest));
    Safe { device: &tablet, name: PLANS }.sync();
    assert_eq!(paths(&tablet), ["/four", "/one", "/three", "/two"]);
}

/// What a lie does to a page of records.
type Change = fn(&mut Vec<minicbor::bytes::ByteVec>);

/// The same of the safe log, to one who reads it for the first time.
#[test]
fn a_safe_log_that_was_changed_is_no_offer() {
    let fixture = founded();
    let bob = let_in(&fixture, "bob", BOB_EMAIL, BOB);
    let safe = made(&fixture.alice);
    let bobs = parsec_tests::own_devices::only(&bob);
    let lie: [(Change, ProblemKind); 2] = [
        // Neither stands where it is shown.
        (|all| all.swap(0, 1), ProblemKind::ServerMisbehaved),
        (|all| all[1][60] ^= 1, ProblemKind::ChainInvalid),
    ];
    for (number, (lie, kind)) in lie.into_iter().enumerate() {
        lies(&fixture.proxy, move |request, answer| {
            let mut reads = request.is_by(bobs) && answer.status == 200;
            reads &= asked(request, safe) == Some(Asked::Log(0));
            if reads {
                let mut page: SafeLogPage = codec::decode(&answer.body, 1_000_000).unwrap();
                lie(&mut page.certificates);
                says(answer, &page);
            }
        });
        if number == 0 {
            let owner = Safe { device: &fixture.alice, name: PLANS };
            owner.share(BOB_EMAIL, SafeRole::Reader).unwrap();
            let _ = bob.until_safe(|found| found.safe == safe);
        }
        stopped_by(&bob, safe, kind);
    }
    let _ = until_alarm(&bob, ProblemKind::ChainInvalid);
    fixture.proxy.meddle(std::sync::Arc::new(Honest));
    nudge(&bob, safe);
    let _ = bob.until_safe(|found| found.safe == safe && found.problem.is_none() && found.members == 2);
}

/// A certificate that is held back: nothing that stands behind it is taken without it.
#[test]
fn a_certificate_that_is_held_back_lets_nothing_behind_it_in() {
    let mut shared = Shared::with(SafeRole::Contributor);
    let bob = Insider::of(&mut shared.bob, BOB_PASSWORD, &shared.fixture.server);
    let tablet = own_device(&shared);
    // From here on the tablet, and it alone, is not told that Bob was taken out.
    let (safe, tablets) = (shared.safe, parsec_tests::own_devices::only(&tablet));
    let before = bob.view(safe).certificates;
    lies(&shared.fixture.proxy, move |request, answer| {
        if request.is_by(tablets) && request.target.contains("/log?from=") {
            shows(request, answer, safe, &before, &[]);
        }
    });
    shared.alice().unshare(BOB_EMAIL).unwrap();
    let _ = shared.alice().put_shared("/after", b"not for Bob");
    nudge(&tablet, safe);
    // The record leads to a certificate that the server doesn't show; or, where Alice's manifest is
    // there first, it shows less than she had.
    let told = [Some(ProblemKind::ServerMisbehaved), Some(ProblemKind::RolledBack)];
    let _ = tablet.until_safe(|found| found.safe == safe && told.contains(&found.problem));
    assert!(paths(&tablet).is_empty());
    shared.fixture.proxy.meddle(std::sync::Arc::new(Honest));
    Safe { device: &tablet, name: PLANS }.sync();
    assert_eq!(paths(&tablet), ["/after"]);
}

/// T16: two pasts, each of records that their author signed; whoever crosses over finds out.
#[test]
fn two_pasts_of_a_safe_are_found_by_whoever_crosses_over() {
    let mut shared = Shared::with(SafeRole::Contributor);
    let safe = shared.safe;
    let tablet = own_device(&shared);
    let bob = Insider::of(&mut shared.bob, BOB_PASSWORD, &shared.fixture.server);
    let mut view = bob.view(safe);
    let two = ["mine", "yours"].map(|name| {
        let payload = bob.next_record(&view);
        bob.write(&mut view, payload, vec![folder(safe, name)])
    });
    let tablets = parsec_tests::own_devices::only(&tablet);
    let (log, ours) = (view.certificates.clone(), [view.records.as_slice(), &two[1..]].concat());
    lies(&shared.fixture.proxy, move |request, answer| {
        if request.is_by(tablets) {
            shows(request, answer, safe, &log, &ours);
        }
    });
    let _ = bob.posted(safe, &two[0]);
    shared.alice().sync();
    Safe { device: &tablet, name: PLANS }.sync();
    assert_eq!((paths(&shared.fixture.alice), paths(&tablet)), (vec!["/mine".into()], vec!["/yours".into()]));
    // The first item of the one past that is shown to a device on the other.
    shared.fixture.proxy.meddle(std::sync::Arc::new(Honest));
    let _ = shared.alice().put_shared("/more", b"after the fork");
    stopped_by(&tablet, safe, ProblemKind::ChainInvalid);
    let _ = until_alarm(&tablet, ProblemKind::ChainInvalid);
    assert_eq!(paths(&tablet), ["/yours"]);
    assert_eq!(shared.alice().get("/more").unwrap(), b"after the fork");
}

/// T11, T18, T21, and a promotion played again: a reader, a demoted and a removed writer, each with
/// the server's help.
#[test]
fn who_may_not_write_writes_nothing_with_the_servers_help() {
    let mut shared = Shared::with(SafeRole::Contributor);
    let safe = shared.safe;
    let _ = shared.alice().put_shared("/one", b"1");
    Safe { device: &shared.bob, name: PLANS }.sync();
    let mut bob = Insider::of(&mut shared.bob, BOB_PASSWORD, &shared.fixture.server);
    let mut as_writer = bob.view(safe);
    let payload = bob.next_record(&as_writer);
    let kept = bob.write(&mut as_writer, payload, vec![folder(safe, "kept for later")]);

    // Demoted, promoted, demoted again: the record of before, one of now, and the old promotion.
    for role in [SafeRole::Reader, SafeRole::Contributor, SafeRole::Reader] {
        let _ = shared.alice().share(BOB_EMAIL, role).unwrap();
    }
    bob.refresh();
    let mut now = bob.view(safe);
    assert_eq!(now.certificates.len(), 5);
    let payload = bob.next_record(&now);
    let of_a_reader = bob.write(&mut now, payload, vec![folder(safe, "by a reader")]);
    assert_eq!(bob.post_record(safe, &of_a_reader).unwrap_err(), ErrorCode::NotAllowed);
    let own_promotion = bob.certificate(
        &now,
        Body::Changed {
            changes: vec![Given { user: bob.user(), role: Some(Role::Owner) }],
            key: None,
            boxes: None,
        },
    );
    let (log, journal) = (now.certificates.clone(), now.records.clone());
    let more = |item: &Vec<u8>| [log.as_slice(), std::slice::from_ref(item)].concat();
    let written = |item: &Vec<u8>| [journal.as_slice(), std::slice::from_ref(item)].concat();
    let cases = [
        ("a reader's record", log.clone(), written(&of_a_reader)),
        ("a record of before the demotion", log.clone(), written(&kept)),
        ("an old promotion", more(&log[3]), journal.clone()),
        ("an own promotion", more(&own_promotion), journal.clone()),
    ];
    for (what, certificates, records) in cases {
        shown(&shared, certificates, records);
        stopped_by(&shared.fixture.alice, safe, ProblemKind::ChainInvalid);
        assert_eq!(paths(&shared.fixture.alice), ["/one"], "{what}");
        shared.fixture.proxy.meddle(std::sync::Arc::new(Honest));
        shared.alice().sync();
    }
    let _ = alarm(&shared.fixture.alice, ProblemKind::ChainInvalid);

    // Removed: in the epoch that he has the key of, behind the certificate that took it.
    shared.alice().unshare(BOB_EMAIL).unwrap();
    let tablet = own_device(&shared);
    let view = Insider::of(&mut { tablet }, ALICE_AGAIN.password, &shared.fixture.server).view(safe);
    let mut late = bob.next_record(&view);
    late.epoch = 0;
    let mut state = bob.read(safe, now.certificates.clone(), now.records.clone());
    let late = bob.write(&mut state, late, vec![folder(safe, "after the removal")]);
    let records = [view.records.as_slice(), &[late]].concat();
    shown(&shared, view.certificates, records);
    stopped_by(&shared.fixture.alice, safe, ProblemKind::ChainInvalid);
    assert_eq!(paths(&shared.fixture.alice), ["/one"]);
    shared.fixture.proxy.meddle(std::sync::Arc::new(Honest));
    shared.alice().sync();
}

/// The reader's floor: a writer who was revoked, and a server that puts his records into a safe
/// where nobody has seen the revocation yet, but for those who know of it.
#[test]
fn a_revoked_writers_record_is_not_taken_by_who_knew_and_the_safe_stands_still() {
    let fixture = founded();
    let mut bob = let_in(&fixture, "bob", BOB_EMAIL, BOB);
    let mut carol = let_in(&fixture, "carol", CAROL_EMAIL, CAROL);
    let safe = made(&carol);
    share(&carol, &fixture.alice, "alice@acme.example", safe, SafeRole::Reader);
    share(&carol, &bob, BOB_EMAIL, safe, SafeRole::Contributor);
    Safe { device: &fixture.alice, name: PLANS }.sync();
    // The owner is away: nobody makes the key that will be due.
    carol.kill();
    let shared = Shared { safe, fixture, bob: carol };
    let bob = Insider::of(&mut bob, BOB_PASSWORD, &shared.fixture.server);
    let mut view = bob.view(safe);
    let payload = bob.next_record(&view);
    let late = bob.write(&mut view, payload, vec![folder(safe, "after the revocation")]);

    let asked = UserRevoke { select: DeviceSelector::default(), user: bob.user() };
    let _: Member = shared.fixture.alice.call(method::USER_REVOKE, asked).unwrap();
    // Alice knows of it, and has asked the server since how far the safe goes.
    shared.alice().sync();
    assert_eq!(bob.post_record(safe, &late).unwrap_err(), ErrorCode::Revoked);
    shown(&shared, view.certificates.clone(), [view.records.as_slice(), &[late]].concat());
    stopped_by(&shared.fixture.alice, safe, ProblemKind::RolledBack);
    let told = alarm(&shared.fixture.alice, ProblemKind::RolledBack);
    assert!(told.problem.message.contains("by what is known here"), "{told:?}");
    assert!(paths(&shared.fixture.alice).is_empty());

    // It stays so, after a restart and with an honest server, until a person has looked.
    shared.fixture.proxy.meddle(std::sync::Arc::new(Honest));
    nudge(&shared.fixture.alice, safe);
    stopped_by(&shared.fixture.alice, safe, ProblemKind::RolledBack);
    let mut shared = shared;
    shared.fixture.alice.kill();
    shared.fixture.alice.restart();
    shared.fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    stopped_by(&shared.fixture.alice, safe, ProblemKind::RolledBack);
    assert!(paths(&shared.fixture.alice).is_empty());
}

/// Of a device that was revoked, by whoever has it: the same.
#[test]
fn a_stolen_devices_record_behind_its_revocation_is_taken_by_nobody() {
    let mut shared = Shared::with(SafeRole::Contributor);
    let safe = shared.safe;
    let mut stolen = own_device(&shared);
    let thief = Insider::of(&mut stolen, ALICE_AGAIN.password, &shared.fixture.server);
    let mut view = thief.view(safe);
    let payload = thief.next_record(&view);
    let late = thief.write(&mut view, payload, vec![folder(safe, "by a thief")]);
    let asked = DeviceRevoke { select: DeviceSelector::default(), device: thief.device() };
    let _: Member = shared.fixture.alice.call(method::DEVICE_REVOKE, asked).unwrap();
    assert_eq!(thief.post_record(safe, &late).unwrap_err(), ErrorCode::Revoked);
    // Alice's key is changed and the safe's is due: both by themselves.
    let _ = shared.fixture.alice.until_safe(|found| found.safe == safe && found.epoch == 1);
    let bobs = Safe { device: &shared.bob, name: PLANS };
    bobs.sync();
    let bob = Insider::of(&mut shared.bob, BOB_PASSWORD, &shared.fixture.server);
    let now = bob.view(safe);
    shown(&shared, now.certificates, [now.records.as_slice(), &[late]].concat());
    stopped_by(&shared.fixture.alice, safe, ProblemKind::ChainInvalid);
    assert!(paths(&shared.fixture.alice).is_empty());
}
