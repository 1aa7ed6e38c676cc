//! The peer-to-peer transport, with the real programs: no server while people meet, and the
//! registration when it is back.

use std::sync::Arc;

use parsec_protocol::control::{
    ChoiceMode, DeviceSelector, InviteResult, Member, Outcome, ProblemKind, Registration, TransportChoice,
    TransportName, UserRevoke, method,
};
use parsec_tests::ceremony::{Bell, Side};
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_AGAIN, BOB, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::script::{self, Ends, Newcomer, Phone};

fn fixture() -> Fixture {
    Fixture::found(FixtureOptions { direct: true, ..FixtureOptions::default() })
}

fn start(alice: &Device, bob: &Device, invitation: &InviteResult, choice: TransportChoice) -> (Side, Side) {
    let bell = Arc::new(Bell::default());
    let greeter = alice.greet_by(invitation.token, choice, &bell).unwrap();
    let claimer = bob.claim_by(invitation.link.expose(), choice, &bell).unwrap();
    (claimer, greeter)
}

fn meet(
    alice: &Device,
    bob: &Device,
    invitation: &InviteResult,
    choice: TransportChoice,
    newcomer: Newcomer<'_>,
) -> Ends {
    let (mut claimer, mut greeter) = start(alice, bob, invitation, choice);
    let ends = script::enrol(&mut claimer, &mut greeter, newcomer, Phone { mode: ChoiceMode::Picked });
    for side in [&claimer, &greeter] {
        assert_eq!(side.view().unwrap().transport, Some(TransportName::P2p), "{:?}", side.view());
    }
    ends
}

fn is_enrolled(ends: &Ends) {
    for end in [&ends.claimer, &ends.greeter] {
        assert!(matches!(end, Ok(Outcome::Enrolled { registered: false, .. })), "{ends:?}");
    }
}

#[test]
fn without_a_server_bob_joins_and_the_log_follows() {
    let mut fixture = fixture();
    fixture.server.kill();
    let bob = fixture.device("bob");
    // The server comes first, for both, and is not there: they find each other all the same.
    let invitation = fixture.alice.invite_by(BOB_EMAIL, TransportChoice::Auto).unwrap();
    assert!(invitation.p2p && !invitation.posted);
    let ends = meet(&fixture.alice, &bob, &invitation, TransportChoice::Auto, BOB);
    is_enrolled(&ends);
    assert_eq!(bob.devices()[0].registration, Registration::Pending);
    assert_eq!(fixture.alice.devices()[0].outbox, Some(1));
    // Killed and locked in between: both go on from what they kept.
    let (mut alice, mut bob) = (fixture.alice, bob);
    for device in [&mut alice, &mut bob] {
        device.restart();
    }
    alice.unlock(parsec_tests::fixture::ALICE_PASSWORD).unwrap();
    assert_eq!(alice.devices()[0].outbox, Some(1));
    fixture.server.restart();
    let _ = bob.until_device(|device| device.registration == Registration::Registered);
    let _ = alice.until_device(|device| device.outbox == Some(0));
    bob.unlock(parsec_tests::fixture::BOB_PASSWORD).unwrap();
    for device in [&alice, &bob] {
        let verified = device.verify().unwrap();
        assert_eq!((verified.count, verified.users, verified.devices), (4, 2, 2));
    }
    // Its token is used up.
    let bell = Arc::new(Bell::default());
    let mallory = Device::start("mallory", &fixture.server.folder().join("../mallory"));
    let claimer = mallory.claim_by(invitation.link.expose(), TransportChoice::Server, &bell).unwrap();
    let ended = claimer.outcome().unwrap_err();
    assert_eq!(ended.name(), ProblemKind::InvitationCompleted);
}

/// A server must not come to a name under a key that somebody who left has, by saying nothing.
#[test]
fn what_is_due_by_the_log_that_is_here_is_due_where_the_server_says_nothing() {
    let mut fixture = fixture();
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite_by(BOB_EMAIL, TransportChoice::P2p).unwrap();
    let ends = meet(&fixture.alice, &bob, &invitation, TransportChoice::P2p, BOB);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let _ = bob.until_device(|device| device.registration == Registration::Registered);
    let _ = fixture.alice.verify().unwrap();
    let users = fixture.alice.users().unwrap().users;
    let user = users.iter().find(|user| user.email.as_str() == BOB_EMAIL).unwrap().user;
    let asked = UserRevoke { select: DeviceSelector::default(), user };
    let _member: Member = fixture.alice.call(method::USER_REVOKE, asked).unwrap();
    let _ = fixture.alice.verify().unwrap();

    fixture.server.kill();
    let carol = fixture.device("carol");
    let invitation = fixture.alice.invite_by("carol@acme.example", TransportChoice::Auto).unwrap();
    let (mut claimer, mut greeter) = start(&fixture.alice, &carol, &invitation, TransportChoice::Auto);
    let newcomer =
        Newcomer { name: Some("Carol"), label: "Carol's notebook", password: "carol grows quinces" };
    script::up_to_approval(&mut claimer, &mut greeter, newcomer);
    let refused = greeter.approve(None).unwrap_err();
    assert_eq!(refused.name(), ProblemKind::DirectoryKeyDue, "{refused:?}");
}

#[test]
fn with_the_server_there_people_may_still_meet_directly() {
    let fixture = fixture();
    let tablet = fixture.device("alice2");
    let invitation = fixture.alice.invite_device().unwrap();
    assert!(invitation.p2p && invitation.posted);
    let ends = meet(&fixture.alice, &tablet, &invitation, TransportChoice::P2p, ALICE_AGAIN);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let _ = tablet.until_device(|device| device.registration == Registration::Registered);
    assert_eq!(tablet.verify().unwrap().devices, 2);
}
