//! Whose word counts: an unlocked device vouches for a session that gave its password, and for no
//! other program of the user.

use std::process::{Command, Stdio};
use std::sync::Arc;

use parsec_protocol::control::{
    ChoiceMode, DeviceSelector, DeviceView, InviteResult, ProblemKind, Stage, TokenCreated, method,
};
use parsec_tests::ceremony::Bell;
use parsec_tests::ctl::Said;
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_PASSWORD, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::process::binary;
use serde_json::json;

/// Runs a shell script in a session of its own; `$ctl` is parsecctl, asking this device's daemon.
fn in_another_session(device: &Device, script: &str) -> Said {
    let output = Command::new("setsid")
        .args(["--wait", "sh", "-c", script])
        .env("XDG_RUNTIME_DIR", device.runtime())
        .env("ctl", binary("parsecctl"))
        .env("password", ALICE_PASSWORD)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn a_session_vouches_once_it_has_given_the_password() {
    let fixture = Fixture::found(FixtureOptions::default());
    let invite = format!("\"$ctl\" invite user {BOB_EMAIL} --no-mail --json");
    let unlock = |password: &str| {
        format!("printf '%s\\n' '{password}' | \"$ctl\" device unlock --password-file - --json")
    };

    // The session that founded did; another one only looks.
    let _: InviteResult = fixture.alice.invite("first@acme.example").unwrap();
    let refused = in_another_session(&fixture.alice, &invite);
    assert_eq!(refused.code, 77, "{refused:?}");
    assert!(format!("{refused:?}").contains("confirmation_required"), "{refused:?}");
    let looks =
        in_another_session(&fixture.alice, "\"$ctl\" user list --json && \"$ctl\" invite list --json");
    let _ = looks.well();

    // A wrong password confirms nothing; the right one does, for that session alone.
    let wrong = format!("{}; {invite}", unlock("some other words"));
    assert_eq!(in_another_session(&fixture.alice, &wrong).code, 77);
    let _ = in_another_session(&fixture.alice, &format!("{} && {invite}", unlock(ALICE_PASSWORD))).well();
    assert_eq!(in_another_session(&fixture.alice, &invite).code, 77);

    // A child of a session that has ended doesn't inherit its word.
    let orphan =
        format!("{} && ( setsid --wait sh -c '{}' )", unlock(ALICE_PASSWORD), invite.replace('\'', ""));
    assert_eq!(in_another_session(&fixture.alice, &orphan).code, 77);

    // Locking ends every confirmation, and unlocking from elsewhere gives none.
    let _: DeviceView = fixture.alice.call(method::DEVICE_LOCK, DeviceSelector::default()).unwrap();
    let _ = in_another_session(&fixture.alice, &unlock(ALICE_PASSWORD)).well();
    let refused = fixture.alice.invite("second@acme.example").unwrap_err();
    assert_eq!(refused.name(), Some(ProblemKind::ConfirmationRequired));
    let greet = fixture
        .alice
        .call::<serde_json::Value>(method::GREET_START, json!({"token": "00112233445566778899aabbccddeeff"}));
    assert_eq!(greet.unwrap_err().name(), Some(ProblemKind::ConfirmationRequired));
    // What takes back needs none.
    let cancel = json!({"token": "00112233445566778899aabbccddeeff"});
    let unknown = fixture.alice.call::<serde_json::Value>(method::INVITE_CANCEL, cancel).unwrap_err();
    assert_eq!(unknown.name(), Some(ProblemKind::InvitationUnknown));
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    let _: InviteResult = fixture.alice.invite("second@acme.example").unwrap();
}

#[test]
fn a_daemon_can_be_told_to_trust_all_sessions() {
    let options = FixtureOptions { daemon_options: &["--approval", "device"], ..FixtureOptions::default() };
    let fixture = Fixture::found(options);
    let _ = in_another_session(&fixture.alice, &format!("\"$ctl\" invite user {BOB_EMAIL} --no-mail --json"))
        .well();
}

#[test]
fn the_greeters_code_is_chosen_only_where_the_password_was_given() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let bell = Arc::new(Bell::default());
    let claimer = bob.claim(invitation.link.expose(), &bell).unwrap();
    let mut greeter = fixture.alice.greet(invitation.token, &bell).unwrap();
    greeter.codes().unwrap();
    let code = claimer.code_to_say().unwrap();
    // A program that works with somebody in the middle would pick their code here, in the person's
    // place.
    let choose = format!("\"$ctl\" ceremony choose {} --code {code} --json", greeter.id().0);
    let refused = in_another_session(&fixture.alice, &choose);
    assert_eq!(refused.code, 77, "{refused:?}");
    assert!(format!("{refused:?}").contains("confirmation_required"), "{refused:?}");
    let none = format!("\"$ctl\" ceremony choose {} --none --json", greeter.id().0);
    assert_eq!(in_another_session(&fixture.alice, &none).code, 77, "nor may it say that none fits");
    assert_eq!(greeter.view().unwrap().stage, Stage::ChooseCode);
    // The claimer has no device yet: whoever sits there answers, from any session.
    greeter.choose(Some(&code), ChoiceMode::Picked).unwrap();
    claimer.codes().unwrap();
    let heard = greeter.code_to_say().unwrap();
    let choose = format!("\"$ctl\" ceremony choose {} --code {heard} --json", claimer.id().0);
    let _ = in_another_session(&bob, &choose).well();
    claimer.stage(Stage::Identify).unwrap();
}

#[test]
fn a_token_takes_the_password_of_every_device_it_would_show() {
    let fixture = Fixture::found(FixtureOptions::default());
    let create = |name: &str| format!("\"$ctl\" token create {name} --method status.show --json");
    let refused = |said: &Said| {
        assert_eq!(said.code, 77, "{said:?}");
        assert!(format!("{said:?}").contains("confirmation_required"), "{said:?}");
    };
    refused(&in_another_session(&fixture.alice, &create("one")));
    // A program founds an organisation of its own, under a password of its own, and locks what
    // isn't its own.
    let token = fixture.server.reserve("mallory");
    std::fs::write(fixture.path("token"), &token).unwrap();
    let found = format!(
        "printf '%s\\n' 'a password of my own' > {0}/password; \"$ctl\" org bootstrap --server {1} --organisation mallory \
         --email m@mallory.example --name M --device-label m --token-file {2} --password-file {0}/password --json",
        fixture.alice.folder().display(),
        fixture.server.url(),
        fixture.path("token").display(),
    );
    refused(&in_another_session(&fixture.alice, &format!("{found} >&2 && {}", create("two"))));
    let lock = "\"$ctl\" device lock --organisation acme --json";
    let unlock = "printf '%s\\n' 'a password of my own' | \"$ctl\" device unlock --organisation mallory --password-file - --json";
    refused(&in_another_session(
        &fixture.alice,
        &format!("{lock} >&2 && {unlock} >&2 && {}", create("three")),
    ));
    // With both passwords it is made.
    let both = format!(
        "{unlock} >&2 && printf '%s\\n' \"$password\" | \"$ctl\" device unlock --organisation acme --password-file - --json >&2"
    );
    let made: TokenCreated = serde_json::from_value(
        in_another_session(&fixture.alice, &format!("{both} && {}", create("four"))).well().json(),
    )
    .unwrap();
    assert_eq!(made.token.name, "four");
}
