//! The direct road, with the real programs: no server while people meet, and the registration when it is back.

use std::sync::Arc;

use parsec_protocol::control::{
    ChoiceMode, InviteResult, Outcome, ProblemKind, Registration, RoadName, TransportChoice,
};
use parsec_tests::ceremony::{Bell, Side};
use parsec_tests::people::{self, Ends, Newcomer, Phone};
use parsec_tests::scene::{ALICE_AGAIN, BOB, BOB_EMAIL, Scene, Setting};
use parsec_tests::terminal::Terminal;

fn scene() -> Scene {
    Scene::found(Setting { direct: true, ..Setting::default() })
}

fn start(
    alice: &Terminal,
    bob: &Terminal,
    invitation: &InviteResult,
    choice: TransportChoice,
) -> (Side, Side) {
    let bell = Arc::new(Bell::default());
    let greeter = alice.greet_by(invitation.token, choice, &bell).unwrap();
    let claimer = bob.claim_by(invitation.link.expose(), choice, &bell).unwrap();
    (claimer, greeter)
}

fn meet(
    alice: &Terminal,
    bob: &Terminal,
    invitation: &InviteResult,
    choice: TransportChoice,
    newcomer: Newcomer<'_>,
) -> Ends {
    let (mut claimer, mut greeter) = start(alice, bob, invitation, choice);
    let ends = people::enrol(&mut claimer, &mut greeter, newcomer, Phone { mode: ChoiceMode::Picked });
    for side in [&claimer, &greeter] {
        assert_eq!(side.view().unwrap().transport, Some(RoadName::P2p), "{:?}", side.view());
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
    let mut scene = scene();
    scene.server.kill();
    let bob = scene.terminal("bob");
    // The server comes first, for both, and is not there: they find each other all the same.
    let invitation = scene.alice.invite_by(BOB_EMAIL, TransportChoice::Auto).unwrap();
    assert!(invitation.direct && !invitation.posted);
    let ends = meet(&scene.alice, &bob, &invitation, TransportChoice::Auto, BOB);
    is_enrolled(&ends);
    assert_eq!(bob.devices()[0].registration, Registration::Pending);
    assert_eq!(scene.alice.devices()[0].outbox, Some(1));
    // Killed and locked in between: both go on from what they kept.
    let (mut alice, mut bob) = (scene.alice, bob);
    for terminal in [&mut alice, &mut bob] {
        terminal.restart();
    }
    alice.unlock(parsec_tests::scene::ALICE_PASSWORD).unwrap();
    assert_eq!(alice.devices()[0].outbox, Some(1));
    scene.server.restart();
    let _ = bob.until_device(|device| device.registration == Registration::Registered);
    let _ = alice.until_device(|device| device.outbox == Some(0));
    bob.unlock(parsec_tests::scene::BOB_PASSWORD).unwrap();
    for terminal in [&alice, &bob] {
        let verified = terminal.verify().unwrap();
        assert_eq!((verified.count, verified.users, verified.devices), (4, 2, 2));
    }
    // Its token is used up.
    let bell = Arc::new(Bell::default());
    let mallory = Terminal::start("mallory", &scene.server.folder().join("../mallory"));
    let claimer = mallory.claim_by(invitation.link.expose(), TransportChoice::Server, &bell).unwrap();
    let ended = claimer.outcome().unwrap_err();
    assert_eq!(ended.name(), ProblemKind::InvitationCompleted);
}

#[test]
fn with_the_server_there_people_may_still_meet_directly() {
    let scene = scene();
    let tablet = scene.terminal("alice2");
    let invitation = scene.alice.invite_device().unwrap();
    assert!(invitation.direct && invitation.posted);
    let ends = meet(&scene.alice, &tablet, &invitation, TransportChoice::P2p, ALICE_AGAIN);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let _ = tablet.until_device(|device| device.registration == Registration::Registered);
    assert_eq!(tablet.verify().unwrap().devices, 2);
}
