//! Whose word counts: an unlocked device vouches for a session that gave its password, and for no other program of the user.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::process::{Command, Stdio};

use parsec_protocol::control::{DeviceSelector, DeviceView, InviteResult, ProblemKind, method};
use parsec_tests::ctl::Said;
use parsec_tests::process::binary;
use parsec_tests::scene::{ALICE_PASSWORD, BOB_EMAIL, Scene, Setting};
use parsec_tests::terminal::Terminal;
use serde_json::json;

/// Runs a shell script in a session of its own; `$ctl` is parsecctl, asking this terminal's daemon.
fn in_another_session(terminal: &Terminal, script: &str) -> Said {
    let output = Command::new("setsid")
        .args(["--wait", "sh", "-c", script])
        .env("XDG_RUNTIME_DIR", terminal.runtime())
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
    let scene = Scene::found(Setting::default());
    let invite = format!("\"$ctl\" invite user {BOB_EMAIL} --no-mail --json");
    let unlock = |password: &str| {
        format!("printf '%s\\n' '{password}' | \"$ctl\" device unlock --password-file - --json")
    };

    // The session that founded did; another one only looks.
    let _: InviteResult = scene.alice.invite("first@acme.example").unwrap();
    let refused = in_another_session(&scene.alice, &invite);
    assert_eq!(refused.code, 77, "{refused:?}");
    assert!(format!("{refused:?}").contains("confirmation_required"), "{refused:?}");
    let looks = in_another_session(&scene.alice, "\"$ctl\" user list --json && \"$ctl\" invite list --json");
    let _ = looks.well();

    // A wrong password confirms nothing; the right one does, for that session alone.
    let wrong = format!("{}; {invite}", unlock("some other words"));
    assert_eq!(in_another_session(&scene.alice, &wrong).code, 77);
    let _ = in_another_session(&scene.alice, &format!("{} && {invite}", unlock(ALICE_PASSWORD))).well();
    assert_eq!(in_another_session(&scene.alice, &invite).code, 77);

    // A child of a session that has ended doesn't inherit its word.
    let orphan =
        format!("{} && ( setsid --wait sh -c '{}' )", unlock(ALICE_PASSWORD), invite.replace('\'', ""));
    assert_eq!(in_another_session(&scene.alice, &orphan).code, 77);

    // Locking ends every confirmation, and unlocking from elsewhere gives none.
    let _: DeviceView = scene.alice.call(method::DEVICE_LOCK, DeviceSelector::default()).unwrap();
    let _ = in_another_session(&scene.alice, &unlock(ALICE_PASSWORD)).well();
    let refused = scene.alice.invite("second@acme.example").unwrap_err();
    assert_eq!(refused.name(), Some(ProblemKind::ConfirmationRequired));
    let greet = scene
        .alice
        .call::<serde_json::Value>(method::GREET_START, json!({"token": "00112233445566778899aabbccddeeff"}));
    assert_eq!(greet.unwrap_err().name(), Some(ProblemKind::ConfirmationRequired));
    // What takes back needs none.
    let cancel = json!({"token": "00112233445566778899aabbccddeeff"});
    let unknown = scene.alice.call::<serde_json::Value>(method::INVITE_CANCEL, cancel).unwrap_err();
    assert_eq!(unknown.name(), Some(ProblemKind::InvitationUnknown));
    scene.alice.unlock(ALICE_PASSWORD).unwrap();
    let _: InviteResult = scene.alice.invite("second@acme.example").unwrap();
}

#[test]
fn a_daemon_can_be_told_to_trust_all_sessions() {
    let setting = Setting { daemon_options: &["--approval", "device"], ..Setting::default() };
    let scene = Scene::found(setting);
    let _ = in_another_session(&scene.alice, &format!("\"$ctl\" invite user {BOB_EMAIL} --no-mail --json"))
        .well();
}
