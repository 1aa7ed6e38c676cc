//! A server whose database was restored from a backup, with the real programs: what it lost is shown, and put back by those who have it; another
//! past is not taken for a loss.

use std::path::{Path, PathBuf};

use parsec_protocol::control::{ChoiceMode, DoctorResult, Health, ProblemKind, Registration, method};
use parsec_tests::people::Newcomer;
use parsec_tests::process::binary;
use parsec_tests::scene::{ALICE_EMAIL, ALICE_PASSWORD, BOB, BOB_EMAIL, BOB_PASSWORD, Scene, Setting};
use parsec_tests::server::copy_database;
use parsec_tests::terminal::{Terminal, private_folder};
use serde_json::{Value, json};

const CAROL: Newcomer<'static> =
    Newcomer { name: Some("Carol Ashgrove"), label: "Carol's oak desk", password: "carol hums nine sonatas" };
const CAROL_EMAIL: &str = "carol@acme.example";
const DAVE: Newcomer<'static> =
    Newcomer { name: Some("Dave Millrace"), label: "Dave's slate", password: "dave mends old clocks" };
const DAVE_EMAIL: &str = "dave@acme.example";

fn setting() -> Setting {
    Setting { direct: true, ..Setting::default() }
}

/// Somebody joins, over the relay.
fn joined(scene: &Scene, folder: &str, email: &str, who: Newcomer<'_>) -> Terminal {
    let terminal = scene.terminal(folder);
    let invitation = scene.alice.invite(email).unwrap();
    let ends = scene.enrol(&terminal, &invitation, who, ChoiceMode::Typed);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let _ = terminal.until_device(|device| device.registration == Registration::Registered);
    let _ = scene.alice.until_device(|device| device.outbox == Some(0));
    terminal
}

fn json_of(terminal: &Terminal, line: &str) -> Value {
    let words: Vec<_> = line.split_whitespace().chain(["--json"]).collect();
    terminal.ctl(&words).well().json()
}

/// The server's database as it is now, put aside.
fn backed_up(scene: &mut Scene) -> PathBuf {
    let kept = scene.path("kept");
    private_folder(&kept);
    scene.server.process().stop();
    copy_database(scene.server.folder(), &kept);
    scene.server.restart();
    kept
}

fn restored(scene: &mut Scene, kept: &Path) {
    scene.server.process().stop();
    copy_database(kept, scene.server.folder());
    scene.server.restart();
}

/// Manifests that the server has taken.
fn manifests(scene: &Scene) -> usize {
    let log = scene.server.log();
    log.lines()
        .filter(|line| line.contains("PUT") && line.contains("manifest") && line.contains("204"))
        .count()
}

#[test]
fn what_a_restore_lost_is_put_back_and_everybody_goes_on() {
    let mut scene = Scene::found(setting());
    let mut bob = joined(&scene, "bob", BOB_EMAIL, BOB);
    let kept = backed_up(&mut scene);
    bob.kill();
    let carol = joined(&scene, "carol", CAROL_EMAIL, CAROL);
    json_of(&scene.alice, &format!("user profile {BOB_EMAIL} --profile administrator --yes"));
    let dave = scene.terminal("dave");
    let invitation = scene.alice.invite(DAVE_EMAIL).unwrap();
    assert_eq!(scene.alice.verify().unwrap().count, 7);
    restored(&mut scene, &kept);

    // It is seen, and what to do about it is said wherever somebody looks.
    assert_eq!(scene.alice.verify().unwrap_err().name(), Some(ProblemKind::RolledBack));
    let raised = scene.alice.status().alarms[0].clone();
    assert!(raised.problem.hint.contains("parsecctl trust repair"), "{raised:?}");
    let status = scene.alice.ctl(&["status"]).well().stdout;
    assert!(status.contains("parsecctl trust repair"), "{status}");
    let examined: DoctorResult = scene.alice.call(method::DOCTOR, json!({})).unwrap();
    let log = examined.checks.iter().find(|check| check.name == "log").unwrap();
    assert_eq!(log.health, Health::Failed);
    assert!(log.remedy.as_ref().unwrap().contains("parsecctl trust repair"), "{log:?}");

    // The newcomer is alone with her certificates: the server can't tell them from some that were cancelled.
    assert_eq!(carol.verify().unwrap_err().name(), Some(ProblemKind::RolledBack));
    assert_eq!(carol.status().alarms.len(), 1);
    let refused = carol.ctl(&["trust", "repair", "--json"]);
    assert_eq!((refused.code, &refused.json()["problem"]["name"]), (77, &json!("not_authenticated")));
    assert!(refused.json()["problem"]["hint"].as_str().unwrap().contains(ALICE_EMAIL), "{refused:?}");

    // She could help herself out by a file, to a member or to whoever runs the server.
    let file = scene.path("carol.parsec-log");
    assert_eq!(json_of(&carol, &format!("trust export {}", file.display()))["count"], 6);

    // Alice has it all.
    let said = json_of(&scene.alice, "trust repair");
    assert_eq!(
        (&said["added"], &said["count"], &said["invitations"]),
        (&json!(3), &json!(7), &json!(1)),
        "{said}"
    );
    assert_eq!(said["alarms"][0]["id"], json!(raised.id), "{said}");
    assert!(scene.alice.status().alarms.is_empty());
    assert_eq!(scene.alice.verify().unwrap().count, 7);
    let again = json_of(&scene.alice, "trust repair");
    assert_eq!(
        (&again["added"], &again["invitations"], &again["alarms"]),
        (&json!(0), &json!(0), &json!([]))
    );

    // Carol is a member again, and so is what is hers; Bob, who slept, is an administrator; Dave comes in by his old link.
    assert_eq!(carol.verify().unwrap().count, 7);
    assert_eq!(carol.status().alarms.len(), 1, "what a person has not seen to stays");
    let before = manifests(&scene);
    let said = json_of(&carol, "trust repair");
    assert_eq!((&said["added"], said["alarms"].as_array().unwrap().len()), (&json!(0), 1), "{said}");
    assert!(carol.status().alarms.is_empty());
    assert_eq!(manifests(&scene), before + 1, "the manifest that the server had lost");
    bob.restart();
    bob.unlock(BOB_PASSWORD).unwrap();
    assert_eq!(bob.verify().unwrap().count, 7);
    json_of(&bob, &format!("user profile {CAROL_EMAIL} --profile outsider --yes"));
    let ends = scene.enrol(&dave, &invitation, DAVE, ChoiceMode::Typed);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let _ = dave.until_device(|device| device.registration == Registration::Registered);
    for terminal in [&scene.alice, &bob, &carol, &dave] {
        assert_eq!(terminal.verify().unwrap().count, 10);
    }

    // The same loss again is news again: closing an alarm made nothing believed.
    restored(&mut scene, &kept);
    assert_eq!(scene.alice.verify().unwrap_err().name(), Some(ProblemKind::RolledBack));
    assert_eq!(scene.alice.status().alarms.len(), 1);
}

#[test]
fn a_newcomer_who_is_alone_with_the_certificates_is_helped_by_the_operator() {
    let mut scene = Scene::found(setting());
    let kept = backed_up(&mut scene);
    let bob = joined(&scene, "bob", BOB_EMAIL, BOB);
    assert_eq!(bob.verify().unwrap().count, 4);
    scene.alice.kill();
    restored(&mut scene, &kept);
    let refused = bob.ctl(&["trust", "repair", "--json"]);
    let hint = refused.json()["problem"]["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("parsec-metadata organisation repair acme FILE"), "{hint}");
    let file = scene.path("bob.parsec-log");
    json_of(&bob, &format!("trust export {}", file.display()));
    let done = std::process::Command::new(binary("parsec-metadata"))
        .args(["organisation", "repair", "acme"])
        .arg(&file)
        .arg("--database")
        .arg(scene.server.folder().join("metadata.sqlite"))
        .arg("--json")
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&said["added"], &said["count"]), (&json!(2), &json!(4)), "{said}");
    let log = json_of(&bob, "trust verify");
    assert_eq!((&log["count"], &log["root_fingerprint"]), (&json!(4), &said["root_fingerprint"]));
    json_of(&bob, "trust repair");
    assert!(bob.status().alarms.is_empty());
}

#[test]
fn a_log_that_went_on_elsewhere_gets_nothing_back_and_is_an_alarm() {
    let mut scene = Scene::found(setting());
    let mut bob = joined(&scene, "bob", BOB_EMAIL, BOB);
    json_of(&scene.alice, &format!("user profile {BOB_EMAIL} --profile administrator --yes"));
    assert_eq!(bob.verify().unwrap().count, 5);
    bob.kill();
    let kept = backed_up(&mut scene);
    for profile in ["standard", "administrator", "standard", "administrator"] {
        json_of(&scene.alice, &format!("user profile {BOB_EMAIL} --profile {profile} --yes"));
    }
    scene.alice.kill();
    restored(&mut scene, &kept);
    // Bob hasn't heard of any of it, and goes on where the server is.
    bob.restart();
    bob.unlock(BOB_PASSWORD).unwrap();
    for profile in ["standard", "administrator"] {
        json_of(&bob, &format!("user profile {ALICE_EMAIL} --profile {profile} --yes"));
    }

    scene.alice.restart();
    scene.alice.unlock(ALICE_PASSWORD).unwrap();
    let refused = scene.alice.ctl(&["trust", "repair", "--json"]);
    let problem = refused.json()["problem"].clone();
    assert_eq!((refused.code, &problem["name"]), (76, &json!("rolled_back")), "{refused:?}");
    assert!(problem["message"].as_str().unwrap().contains("from certificate 5 on"), "{problem}");
    assert!(problem["message"].as_str().unwrap().contains("Nothing was put back"), "{problem}");
    assert!(scene.alice.status().alarms.iter().any(|alarm| alarm.proof), "Bob has signed in the other log");
    assert_eq!(bob.verify().unwrap().count, 7);
    // With that proof it is no mere loss any more.
    assert_eq!(scene.alice.ctl(&["trust", "repair"]).code, 76);
    assert!(!scene.alice.status().alarms.is_empty());
}
