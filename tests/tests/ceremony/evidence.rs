//! What can be shown to others, with the real programs: receipts of both transports, the log from
//! one device to another without a server, the proof that a server showed two pasts, and what a
//! person is told about their own devices.

use std::path::Path;

use parsec_protocol::control::{
    Alarm, ChoiceMode, EntryKind, Event, EventItem, InviteResult, ProblemKind, Registration, TransportChoice,
};
use parsec_tests::ceremony::Bell;
use parsec_tests::device::Device;
use parsec_tests::events::Follower;
use parsec_tests::fixture::{
    ALICE_AGAIN, ALICE_EMAIL, ALICE_PASSWORD, BOB, BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions,
};
use parsec_tests::script::{self, Phone};
use parsec_tests::server::copy_database;
use parsec_tests::{ctl, installed, metrics, skip};
use serde_json::{Value, json};

/// Bob joins, over the relay.
fn with_bob(options: FixtureOptions) -> (Fixture, Device) {
    let fixture = Fixture::found(options);
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let ends = fixture.enrol(&bob, &invitation, BOB, ChoiceMode::Typed);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let _ = bob.until_device(|device| device.registration == Registration::Registered);
    let _ = fixture.alice.until_device(|device| device.outbox == Some(0));
    (fixture, bob)
}

fn json_of(device: &Device, line: &str) -> Value {
    let words: Vec<_> = line.split_whitespace().chain(["--json"]).collect();
    device.ctl(&words).well().json()
}

/// Runs parsecctl where there is no daemon at all.
fn alone(folder: &Path, line: &str) -> ctl::Said {
    let words: Vec<_> = line.split_whitespace().collect();
    ctl::run(folder, &words, "")
}

/// Holds another program to what an evidence file is, one that was written from docs/protocol.md
/// alone.
#[track_caller]
fn second_reader_finds(sound: bool, path: &Path) {
    if !installed("python3") {
        return skip("second_reader_finds", "python3 is not installed");
    }
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("checker/check.py");
    let said = std::process::Command::new("python3").arg("-B").arg(program).arg("file").arg(path).output();
    assert_eq!(said.unwrap().status.success(), sound, "{}", path.display());
}

/// The file with one byte changed in the middle.
fn damaged(path: &Path) -> String {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let bad = path.with_extension("bad");
    std::fs::write(&bad, bytes).unwrap();
    bad.display().to_string()
}

#[test]
fn a_receipt_and_the_log_are_checked_where_there_is_no_daemon() {
    let (fixture, bob) = with_bob(FixtureOptions::default());
    let nobody = fixture.path("nobody");
    parsec_tests::device::private_folder(&nobody);
    let (log, receipt) = (fixture.path("acme.parsec-log"), fixture.path("bob.parsec-receipt"));
    let exported = json_of(&fixture.alice, &format!("trust export {}", log.display()));
    assert_eq!((&exported["count"], &exported["organisation"]), (&json!(4), &json!("acme")));
    let refused = fixture.alice.ctl(&["trust", "export", &log.display().to_string()]);
    assert_eq!(refused.code, 64, "a file is not written over: {refused:?}");

    let device = bob.devices()[0].device.to_string();
    let listed = json_of(&fixture.alice, "receipt list");
    assert_eq!(listed["receipts"][0]["device"], json!(device));
    assert!(listed["receipts"][0]["subject"].as_str().unwrap().contains(BOB.label), "{listed}");
    assert_eq!(json_of(&bob, "receipt list")["receipts"], json!([]), "the newcomer let nobody in");
    json_of(&fixture.alice, &format!("receipt export {} {}", &device[..8], receipt.display()));

    let verify = format!("receipt verify {} --log {} --json", receipt.display(), log.display());
    let said = alone(&nobody, &verify).well().json();
    let greeter = fixture.alice.devices()[0].device.to_string();
    for (field, value) in [
        ("device", json!(device)),
        ("greeter", json!(greeter)),
        ("email", json!(BOB_EMAIL)),
        ("method", json!("typed")),
        ("transport", json!("relay")),
        ("attempts", json!(1)),
        ("bits", json!(40)),
        ("heard", json!(true)),
        ("in_log", json!(true)),
    ] {
        assert_eq!(said[field], value, "{field}");
    }
    assert_eq!(said["seen"]["count"], 2);
    let words = alone(&nobody, &format!("receipt verify {}", receipt.display())).well().stdout;
    assert!(words.contains("only a log can say"), "{words}");
    second_reader_finds(true, &log);
    second_reader_finds(true, &receipt);
    // Changed, it shows nothing; beside another organisation's log neither.
    for bad in [damaged(&receipt), log.display().to_string()] {
        let refused = alone(&nobody, &format!("receipt verify {bad} --json"));
        assert_eq!((refused.code, &refused.json()["problem"]["name"]), (65, &json!("evidence_invalid")));
    }
    let other = Fixture::found(FixtureOptions { organisation: "other", ..FixtureOptions::default() });
    let foreign = other.path("other.parsec-log");
    json_of(&other.alice, &format!("trust export {}", foreign.display()));
    let beside = format!("receipt verify {} --log {}", receipt.display(), foreign.display());
    assert_eq!(alone(&nobody, &beside).code, 65);
    // Nor is it taken in by a device of another organisation.
    let refused = fixture.alice.ctl(&["trust", "import", &foreign.display().to_string(), "--yes", "--json"]);
    assert_eq!((refused.code, &refused.json()["problem"]["name"]), (64, &json!("invalid_request")));
    assert!(fixture.alice.status().alarms.is_empty());

    // Nothing secret is in any of them.
    for path in [&log, &receipt] {
        let bytes = std::fs::read(path).unwrap();
        for secret in [BOB.name.unwrap(), BOB.label, BOB_PASSWORD, ALICE_PASSWORD] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} in {}", path.display());
        }
    }
}

#[test]
fn an_enrolment_of_the_p2p_transport_has_a_receipt_once_it_is_in_the_log() {
    let mut fixture = Fixture::found(FixtureOptions { direct: true, ..FixtureOptions::default() });
    let bob = fixture.device("bob");
    let invitation: InviteResult = fixture.alice.invite_by(BOB_EMAIL, TransportChoice::P2p).unwrap();
    fixture.server.kill();
    let bell = std::sync::Arc::new(Bell::default());
    let mut greeter = fixture.alice.greet_by(invitation.token, TransportChoice::P2p, &bell).unwrap();
    let mut claimer = bob.claim_by(invitation.link.expose(), TransportChoice::P2p, &bell).unwrap();
    let ends = script::enrol(&mut claimer, &mut greeter, BOB, Phone::default());
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    assert_eq!(
        json_of(&fixture.alice, "receipt list")["receipts"],
        json!([]),
        "nobody has seen it in the log"
    );
    fixture.server.restart();
    let _ = fixture.alice.until_device(|device| device.outbox == Some(0));
    let device = bob.devices()[0].device.to_string();
    let file = fixture.path("receipt");
    json_of(&fixture.alice, &format!("receipt export {device} {}", file.display()));
    let said = json_of(&bob, &format!("receipt verify {}", file.display()));
    assert_eq!((&said["transport"], &said["method"]), (&json!("p2p"), &json!("picked")));
}

#[test]
fn a_log_goes_from_device_to_device_without_a_server() {
    let (mut fixture, mut bob) = with_bob(FixtureOptions { direct: true, ..FixtureOptions::default() });
    // It has the log as it is, with its own enrolment in it, before it goes away.
    assert_eq!(json_of(&bob, "trust verify")["count"], json!(4));
    bob.restart();
    // Bob's device is locked while he becomes an administrator.
    json_of(&fixture.alice, &format!("user profile {BOB_EMAIL} --profile administrator --yes"));
    let log = fixture.path("log");
    json_of(&fixture.alice, &format!("trust export {}", log.display()));
    fixture.server.kill();
    bob.unlock(BOB_PASSWORD).unwrap();
    let mut events = Follower::start(&bob.socket(), None);
    let said = json_of(&bob, &format!("trust import {} --yes", log.display()));
    assert_eq!((&said["count"], &said["added"]), (&json!(5), &json!(1)));
    let again = json_of(&bob, &format!("trust import {} --yes", log.display()));
    assert_eq!((&again["count"], &again["added"]), (&json!(5), &json!(0)));
    let bad = damaged(&log);
    let refused = bob.ctl(&["trust", "import", &bad, "--yes"]);
    assert_eq!(refused.code, 65, "{refused:?}");
    assert!(bob.status().alarms.is_empty());
    let entries = json_of(&bob, "trust log")["entries"].clone();
    let kinds: Vec<_> = entries.as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["user", "device", "user", "device", "profile"]);
    assert_eq!(entries[4]["profile"], "administrator");
    // He is told of what was done to him, whichever way he heard of it.
    let told = events.until(|item| matches!(item, EventItem::Event { event: Event::OwnChange { .. }, .. }));
    let EventItem::Event { event: Event::OwnChange { change, subject, signed_by, .. }, .. } = told else {
        panic!()
    };
    assert_eq!(change, EntryKind::Profile);
    assert!(subject.unwrap().contains(BOB_EMAIL) && signed_by.unwrap().contains(ALICE_EMAIL));
    fixture.server.restart();
    assert_eq!(bob.verify().unwrap().count, 5);
}

#[test]
fn a_person_is_told_of_devices_that_another_one_let_in_or_revoked() {
    let fixture = Fixture::found(FixtureOptions::default());
    let mut tablet = fixture.device("alice2");
    let invitation = fixture.alice.invite_device().unwrap();
    let mut at_desk = Follower::start(&fixture.alice.socket(), None);
    let ends = fixture.enrol(&tablet, &invitation, ALICE_AGAIN, ChoiceMode::Picked);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let _ = tablet.until_device(|device| device.registration == Registration::Registered);

    // The tablet lets in a third one while the desktop looks on; the tablet, which did it, is not
    // told.
    let third = fixture.device("alice3");
    let invitation = tablet.invite_device().unwrap();
    let bell = std::sync::Arc::new(Bell::default());
    let mut claimer = third.claim(invitation.link.expose(), &bell).unwrap();
    let mut greeter = tablet.greet(invitation.token, &bell).unwrap();
    let newcomer = script::Newcomer { label: "Somebody's black box", ..ALICE_AGAIN };
    let ends = script::enrol(&mut claimer, &mut greeter, newcomer, Phone::default());
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let _ = third.until_device(|device| device.registration == Registration::Registered);
    fixture.alice.verify().unwrap();
    let own = |item: &EventItem| matches!(item, EventItem::Event { event: Event::OwnChange { .. }, .. });
    let EventItem::Event { event: Event::OwnChange { change, about, subject, signed_by, .. }, .. } =
        at_desk.until(own)
    else {
        panic!()
    };
    let device = third.devices()[0].device;
    assert_eq!((change, about), (EntryKind::Device, Some(device)));
    assert!(subject.unwrap().contains("Somebody's black box"));
    assert!(signed_by.unwrap().contains(ALICE_AGAIN.label));
    // Only this: the first of its own making, the tablet, was no news.
    assert_eq!(at_desk.lines.iter().filter(|line| line.contains("own_change")).count(), 1);

    // Revoked while the tablet's daemon is off: told once it has looked.
    tablet.kill();
    json_of(&fixture.alice, &format!("device revoke {device} --yes"));
    tablet.restart();
    let mut at_tablet = Follower::start(&tablet.socket(), None);
    tablet.unlock(ALICE_AGAIN.password).unwrap();
    let EventItem::Event { event: Event::OwnChange { change, about, .. }, .. } = at_tablet.until(own) else {
        panic!()
    };
    assert_eq!((change, about), (EntryKind::DeviceRevoked, Some(device)));
}

/// The only alarm, once it is raised.
fn alarm(device: &Device) -> Alarm {
    let mut events = Follower::start(&device.socket(), None);
    loop {
        if let Some(alarm) = events.state.as_ref().and_then(|state| state.alarms.first()) {
            return alarm.clone();
        }
        let _ = events.item().unwrap();
    }
}

#[test]
fn a_server_that_showed_two_pasts_is_proved_to_anybody() {
    let (mut fixture, mut bob) = with_bob(FixtureOptions { direct: true, ..FixtureOptions::default() });
    json_of(&fixture.alice, &format!("user profile {BOB_EMAIL} --profile administrator --yes"));
    assert_eq!(bob.verify().unwrap().count, 5);
    bob.kill();
    fixture.server.process().stop();
    let (kept, live) = (fixture.path("kept"), fixture.server.folder().to_owned());
    parsec_tests::device::private_folder(&kept);
    copy_database(&live, &kept);
    // To Alice the server shows that she has made him a standard member again...
    fixture.server.restart();
    json_of(&fixture.alice, &format!("user profile {BOB_EMAIL} --profile standard --yes"));
    let alices = fixture.path("alices.parsec-log");
    json_of(&fixture.alice, &format!("trust export {}", alices.display()));
    fixture.alice.kill();
    // ... and to Bob a log without that, in which he goes on.
    fixture.server.process().stop();
    copy_database(&kept, &live);
    fixture.server.restart();
    bob.restart();
    bob.unlock(BOB_PASSWORD).unwrap();
    for profile in ["standard", "administrator"] {
        json_of(&bob, &format!("user profile {ALICE_EMAIL} --profile {profile} --yes"));
    }

    // Alice's device is shown Bob's second certificate, which has seen his first.
    fixture.alice.restart();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    let raised = alarm(&fixture.alice);
    assert_eq!((raised.problem.name, raised.proof), (ProblemKind::RolledBack, true), "{raised:?}");
    // What she had verified before, she can still show.
    let own = fixture.path("own.parsec-log");
    assert_eq!(json_of(&fixture.alice, &format!("trust export {}", own.display()))["count"], 6);
    assert_eq!(json_of(&fixture.alice, "trust log")["count"], 6);
    let status = fixture.alice.ctl(&["status"]).well().stdout;
    assert!(status.contains("parsecctl trust fork"), "{status}");
    let proof = fixture.path("foreign-view.parsec-fork");
    let written = json_of(&fixture.alice, &format!("trust fork {}", proof.display()));
    let nobody = fixture.path("nobody");
    parsec_tests::device::private_folder(&nobody);
    let said = alone(&nobody, &format!("trust check-fork {} --json", proof.display())).well().json();
    for field in ["organisation", "common", "words", "root_fingerprint"] {
        assert_eq!(said[field], written[field]);
    }
    assert_eq!(
        (&said["words"][0]["email"], &said["words"][1]["email"], &said["words"][1]["form"]),
        (&json!(ALICE_EMAIL), &json!(BOB_EMAIL), &json!("foreign_view"))
    );
    let words = alone(&nobody, &format!("trust check-fork {}", proof.display())).well().stdout;
    assert!(words.contains("can't both be true"), "{words}");
    assert_eq!(alone(&nobody, &format!("trust check-fork {}", damaged(&proof))).code, 65);
    // A proof is kept when the alarm is dealt with.
    json_of(&fixture.alice, "trust acknowledge --yes");
    let again = fixture.path("again");
    let id = raised.id.unwrap();
    json_of(&fixture.alice, &format!("trust fork {} --alarm {id}", again.display()));
    assert_eq!(std::fs::read(&again).unwrap(), std::fs::read(&proof).unwrap());

    // Shown each other's logs as files, Bob's device proves it with both whole.
    let refused = bob.ctl(&["trust", "import", &alices.display().to_string(), "--yes", "--json"]);
    assert_eq!((refused.code, &refused.json()["problem"]["name"]), (76, &json!("rolled_back")));
    assert!(alarm(&bob).proof);
    let both = fixture.path("both.parsec-fork");
    let written = json_of(&bob, &format!("trust fork {}", both.display()));
    assert_eq!(
        (&written["words"][0]["email"], &written["words"][1]["email"], &written["common"]),
        (&json!(BOB_EMAIL), &json!(ALICE_EMAIL), &json!(5))
    );
    assert_eq!(written["words"][1]["form"], "head");
    second_reader_finds(true, &proof);
    second_reader_finds(true, &both);
    second_reader_finds(false, Path::new(&damaged(&both)));
    // What was refused is refused still.
    assert_eq!(bob.verify().unwrap().count, 7);
    metrics::figure(
        "S4",
        "two daemons, two pasts by one server: an alarm and a proof at the first certificate that crosses",
    );
}
