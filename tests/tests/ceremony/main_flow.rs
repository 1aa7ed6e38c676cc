//! The main job, with the real programs: Alice founds, Bob joins, Alice adds a device; what is on
//! disk and on the server after.

use std::sync::Arc;

use parsec_protocol::control::{ChoiceMode, Outcome, ProblemKind, Registration};
use parsec_tests::ceremony::Bell;
use parsec_tests::fixture::{ALICE_AGAIN, ALICE_EMAIL, BOB, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::logs::files;
use parsec_tests::process::Daemon;

#[test]
fn bob_joins_and_alice_adds_a_device() {
    let fixture = Fixture::found(FixtureOptions { daemon: Daemon::Shipped, ..FixtureOptions::default() });
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let ends = fixture.enrol(&bob, &invitation, BOB, ChoiceMode::Picked);
    let Ok(Outcome::Enrolled { user, device, root_fingerprint, .. }) = &ends.claimer else {
        panic!("{ends:?}")
    };
    let Ok(Outcome::Enrolled { user: user_greeted, registered: true, .. }) = &ends.greeter else {
        panic!("{ends:?}")
    };
    assert_eq!(user, user_greeted);

    let tablet = fixture.device("alice2");
    let invitation = fixture.alice.invite_device().unwrap();
    let ends = fixture.enrol(&tablet, &invitation, ALICE_AGAIN, ChoiceMode::Typed);
    assert!(matches!(&ends.claimer, Ok(Outcome::Enrolled { .. })), "{ends:?}");
    assert!(matches!(&ends.greeter, Ok(Outcome::Enrolled { registered: true, .. })), "{ends:?}");

    for at in [&fixture.alice, &bob, &tablet] {
        let verified = at.verify().unwrap();
        assert_eq!((verified.count, verified.users, verified.devices), (5, 2, 3));
        assert_eq!(&verified.root_fingerprint, root_fingerprint);
        let users = at.users().unwrap().users;
        let emails: Vec<_> = users.iter().map(|user| user.email.to_string()).collect();
        assert_eq!(emails, [ALICE_EMAIL, BOB_EMAIL]);
        assert_eq!(users[1].name.as_ref().unwrap().to_string(), BOB.name.unwrap());
        assert_eq!(users[0].devices.len(), 2);
        assert_eq!(users[1].devices[0].device, *device);
    }
    let devices = bob.devices();
    assert_eq!(devices[0].registration, Registration::Registered);
    // Most tests run a daemon whose key files take no work. What is shipped pins it.
    for at in [&fixture.alice, &bob, &tablet] {
        let key = files(&at.data()).into_iter().find(|(path, _)| path.ends_with("key.age")).unwrap().1;
        let stanza = key.split(|byte| *byte == b'\n').nth(1).unwrap();
        assert!(stanza.ends_with(b" 18"), "{}", String::from_utf8_lossy(stanza));
    }
}

#[test]
fn where_codes_must_be_typed_a_picked_one_is_refused() {
    let fixture = Fixture::found(FixtureOptions {
        organisation: "typists",
        typed_codes: true,
        ..FixtureOptions::default()
    });
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let bell = Arc::new(Bell::default());
    let claimer = bob.claim(invitation.link.expose(), &bell).unwrap();
    let mut greeter = fixture.alice.greet(invitation.token, &bell).unwrap();
    let said = claimer.code_to_say().unwrap();
    let view = greeter.stage(parsec_protocol::control::Stage::ChooseCode).unwrap();
    assert!(view.typed_required && view.choices.is_empty(), "{view:?}");
    let refused = greeter.choose(Some(&said), ChoiceMode::Picked).unwrap_err();
    assert_eq!(refused.name(), ProblemKind::TypingRequired);
    drop((claimer, greeter));

    let carol = fixture.device("carol");
    let invitation = fixture.alice.invite("carol@acme.example").unwrap();
    let ends = fixture.enrol(&carol, &invitation, BOB, ChoiceMode::Typed);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
}

#[test]
fn unlocking_what_is_unlocked_checks_the_password_and_changes_nothing() {
    let fixture = Fixture::found(FixtureOptions::default());
    assert_eq!(
        fixture.alice.unlock("another password").unwrap_err().name(),
        Some(ProblemKind::WrongPassword)
    );
    let view = fixture.alice.unlock(parsec_tests::fixture::ALICE_PASSWORD).unwrap();
    assert_eq!(view.state, parsec_protocol::control::DeviceState::Unlocked);
    assert_eq!(fixture.alice.verify().unwrap().count, 2);
}
