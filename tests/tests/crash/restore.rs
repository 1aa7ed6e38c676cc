//! A server whose database was restored from a backup, with the real programs: what it lost is
//! shown, and put back by those who have it; another past is not taken for a loss.

use std::path::{Path, PathBuf};

use parsec_protocol::codec;
use parsec_protocol::control::{ChoiceMode, DoctorResult, Health, ProblemKind, Registration, method};
use parsec_protocol::sealing::EncryptionKey;
use parsec_tests::device::{Device, private_folder};
use parsec_tests::fixture::{
    ALICE_EMAIL, ALICE_PASSWORD, BOB, BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions,
};
use parsec_tests::process::binary;
use parsec_tests::script::Newcomer;
use parsec_tests::server::copy_database;
use serde_json::{Value, json};

const CAROL: Newcomer<'static> =
    Newcomer { name: Some("Carol Ashgrove"), label: "Carol's oak desk", password: "carol hums nine sonatas" };
const CAROL_EMAIL: &str = "carol@acme.example";
const DAVE: Newcomer<'static> =
    Newcomer { name: Some("Dave Millrace"), label: "Dave's slate", password: "dave mends old clocks" };
const DAVE_EMAIL: &str = "dave@acme.example";

fn options() -> FixtureOptions {
    FixtureOptions { direct: true, ..FixtureOptions::default() }
}

/// Somebody joins, over the relay.
fn joined(fixture: &Fixture, folder: &str, email: &str, who: Newcomer<'_>) -> Device {
    let device = fixture.device(folder);
    let invitation = fixture.alice.invite(email).unwrap();
    let ends = fixture.enrol(&device, &invitation, who, ChoiceMode::Typed);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let _ = device.until_device(|device| device.registration == Registration::Registered);
    let _ = fixture.alice.until_device(|device| device.outbox == Some(0));
    device
}

fn json_of(device: &Device, line: &str) -> Value {
    let words: Vec<_> = line.split_whitespace().chain(["--json"]).collect();
    device.ctl(&words).well().json()
}

/// The server's database as it is now, put aside.
fn backed_up(fixture: &mut Fixture) -> PathBuf {
    let kept = fixture.path("kept");
    private_folder(&kept);
    fixture.server.process().stop();
    copy_database(fixture.server.folder(), &kept);
    fixture.server.restart();
    kept
}

fn restored(fixture: &mut Fixture, kept: &Path) {
    fixture.server.process().stop();
    copy_database(kept, fixture.server.folder());
    fixture.server.restart();
}

/// How many reads the server has refused because it is behind what their readers know.
fn said_behind(fixture: &Fixture) -> usize {
    fixture.server.log().lines().filter(|line| line.contains("behind") && line.contains("409")).count()
}

/// Manifests that the server has taken.
fn manifests(fixture: &Fixture) -> usize {
    let log = fixture.server.log();
    log.lines()
        .filter(|line| line.contains("PUT") && line.contains("manifest") && line.contains("204"))
        .count()
}

#[test]
fn what_a_restore_lost_is_put_back_and_everybody_goes_on() {
    let mut fixture = Fixture::found(options());
    let mut bob = joined(&fixture, "bob", BOB_EMAIL, BOB);
    let kept = backed_up(&mut fixture);
    bob.kill();
    let carol = joined(&fixture, "carol", CAROL_EMAIL, CAROL);
    json_of(&fixture.alice, &format!("user profile {BOB_EMAIL} --profile administrator --yes"));
    let dave = fixture.device("dave");
    let invitation = fixture.alice.invite(DAVE_EMAIL).unwrap();
    assert_eq!(fixture.alice.verify().unwrap().count, 7);
    restored(&mut fixture, &kept);
    let before = manifests(&fixture);

    // It says that it is behind and is given time, once; then it is seen, and what to do about it
    // is said wherever somebody looks.
    for _ in 0..2 {
        assert_eq!(fixture.alice.verify().unwrap_err().name(), Some(ProblemKind::RolledBack));
        assert_eq!(said_behind(&fixture), 4);
    }
    let raised = fixture.alice.status().alarms[0].clone();
    assert!(raised.problem.hint.contains("parsecctl trust repair"), "{raised:?}");
    let status = fixture.alice.ctl(&["status"]).well().stdout;
    assert!(status.contains("parsecctl trust repair"), "{status}");
    let examined: DoctorResult = fixture.alice.call(method::DOCTOR, json!({})).unwrap();
    let log = examined.checks.iter().find(|check| check.name == "log").unwrap();
    assert_eq!(log.health, Health::Failed);
    assert!(log.remedy.as_ref().unwrap().contains("parsecctl trust repair"), "{log:?}");

    // The newcomer is alone with her certificates: the server can't tell them from some that were
    // cancelled.
    assert_eq!(carol.verify().unwrap_err().name(), Some(ProblemKind::RolledBack));
    assert_eq!(carol.status().alarms.len(), 1);
    let refused = carol.ctl(&["trust", "repair", "--json"]);
    assert_eq!((refused.code, &refused.json()["problem"]["name"]), (77, &json!("not_authenticated")));
    assert!(refused.json()["problem"]["hint"].as_str().unwrap().contains(ALICE_EMAIL), "{refused:?}");

    // She could help herself out by a file, to a member or to whoever runs the server.
    let file = fixture.path("carol.parsec-log");
    assert_eq!(json_of(&carol, &format!("trust export {}", file.display()))["count"], 6);

    // Alice has it all.
    let said = json_of(&fixture.alice, "trust repair");
    assert_eq!(
        (&said["added"], &said["count"], &said["invitations"]),
        (&json!(3), &json!(7), &json!(1)),
        "{said}"
    );
    assert_eq!(said["alarms"][0]["id"], json!(raised.id), "{said}");
    assert!(fixture.alice.status().alarms.is_empty());
    assert_eq!(fixture.alice.verify().unwrap().count, 7);
    let again = json_of(&fixture.alice, "trust repair");
    assert_eq!(
        (&again["added"], &again["invitations"], &again["alarms"]),
        (&json!(0), &json!(0), &json!([]))
    );

    // Carol is a member again, and so is what is hers; Bob, who slept, is an administrator; Dave
    // comes in by his old link.
    assert_eq!(carol.verify().unwrap().count, 7);
    assert_eq!(carol.status().alarms.len(), 1, "what a person has not seen to stays");
    let said = json_of(&carol, "trust repair");
    assert_eq!((&said["added"], said["alarms"].as_array().unwrap().len()), (&json!(0), 1), "{said}");
    assert!(carol.status().alarms.is_empty());
    // Hers, by the repair or by herself as soon as the log has her again.
    assert!(manifests(&fixture) > before, "the manifest that the server had lost");
    bob.restart();
    bob.unlock(BOB_PASSWORD).unwrap();
    assert_eq!(bob.verify().unwrap().count, 7);
    json_of(&bob, &format!("user profile {CAROL_EMAIL} --profile outsider --yes"));
    let ends = fixture.enrol(&dave, &invitation, DAVE, ChoiceMode::Typed);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let _ = dave.until_device(|device| device.registration == Registration::Registered);
    for device in [&fixture.alice, &bob, &carol, &dave] {
        assert_eq!(device.verify().unwrap().count, 10);
    }

    // The same loss again is news again: closing an alarm made nothing believed.
    restored(&mut fixture, &kept);
    assert_eq!(fixture.alice.verify().unwrap_err().name(), Some(ProblemKind::RolledBack));
    assert_eq!(fixture.alice.status().alarms.len(), 1);
}

/// Keys of which the log has the hash and the server nothing else.
fn keys_lost(fixture: &Fixture) -> u32 {
    let sql = rusqlite::Connection::open(fixture.server.database()).unwrap();
    let lost = "SELECT count(*) FROM encryption_key WHERE key IS NULL";
    sql.query_row(lost, [], |row| row.get(0)).unwrap()
}

#[test]
fn keys_that_a_restore_lost_come_back_from_those_whose_they_are() {
    let mut fixture = Fixture::found(options());
    let bob = joined(&fixture, "bob", BOB_EMAIL, BOB);
    let kept = backed_up(&mut fixture);
    let changed = json_of(&fixture.alice, "user rekey --yes");
    assert_eq!(bob.verify().unwrap().count, 5);
    restored(&mut fixture, &kept);
    // Bob has the certificate; of a key he never needed, he has the hash alone.
    let said = json_of(&bob, "trust repair");
    assert_eq!((&said["added"], keys_lost(&fixture)), (&json!(1), 1), "{said}");
    let said = json_of(&fixture.alice, "trust repair");
    assert_eq!((&said["added"], keys_lost(&fixture)), (&json!(0), 0), "{said}");
    let sql = rusqlite::Connection::open(fixture.server.database()).unwrap();
    let record: Vec<u8> = sql
        .query_row("SELECT e.key FROM encryption_key e JOIN past_box p ON p.key = e.hash", [], |row| {
            row.get(0)
        })
        .expect("the key, and the box that leads back from it");
    let key: EncryptionKey = codec::decode(&record, record.len()).unwrap();
    assert_eq!(json!(key.hash().to_string()), changed["key"]);
}

#[test]
fn a_newcomer_who_is_alone_with_the_certificates_is_helped_by_the_operator() {
    let mut fixture = Fixture::found(options());
    let kept = backed_up(&mut fixture);
    let bob = joined(&fixture, "bob", BOB_EMAIL, BOB);
    assert_eq!(bob.verify().unwrap().count, 4);
    fixture.alice.kill();
    restored(&mut fixture, &kept);
    let refused = bob.ctl(&["trust", "repair", "--json"]);
    let hint = refused.json()["problem"]["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("parsec-metadata organisation repair acme FILE"), "{hint}");
    let file = fixture.path("bob.parsec-log");
    json_of(&bob, &format!("trust export {}", file.display()));
    let done = std::process::Command::new(binary("parsec-metadata"))
        .args(["organisation", "repair", "acme"])
        .arg(&file)
        .arg("--database")
        .arg(fixture.server.folder().join("metadata.sqlite"))
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
    let mut fixture = Fixture::found(options());
    let mut bob = joined(&fixture, "bob", BOB_EMAIL, BOB);
    json_of(&fixture.alice, &format!("user profile {BOB_EMAIL} --profile administrator --yes"));
    assert_eq!(bob.verify().unwrap().count, 5);
    bob.kill();
    let kept = backed_up(&mut fixture);
    for profile in ["standard", "administrator", "standard", "administrator"] {
        json_of(&fixture.alice, &format!("user profile {BOB_EMAIL} --profile {profile} --yes"));
    }
    fixture.alice.kill();
    restored(&mut fixture, &kept);
    // Bob hasn't heard of any of it, and goes on where the server is.
    bob.restart();
    bob.unlock(BOB_PASSWORD).unwrap();
    for profile in ["standard", "administrator"] {
        json_of(&bob, &format!("user profile {ALICE_EMAIL} --profile {profile} --yes"));
    }

    fixture.alice.restart();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    let refused = fixture.alice.ctl(&["trust", "repair", "--json"]);
    let problem = refused.json()["problem"].clone();
    assert_eq!((refused.code, &problem["name"]), (76, &json!("rolled_back")), "{refused:?}");
    assert!(problem["message"].as_str().unwrap().contains("from certificate 5 on"), "{problem}");
    assert!(problem["message"].as_str().unwrap().contains("Nothing was put back"), "{problem}");
    assert!(fixture.alice.status().alarms.iter().any(|alarm| alarm.proof), "Bob has signed in the other log");
    assert_eq!(bob.verify().unwrap().count, 7);
    // With that proof it is no mere loss any more.
    assert_eq!(fixture.alice.ctl(&["trust", "repair"]).code, 76);
    assert!(!fixture.alice.status().alarms.is_empty());
}
