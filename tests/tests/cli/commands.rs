//! `parsecctl`'s commands against real daemons: what they find, what they follow, what they refuse,
//! and how they exit.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;

use parsec_tests::ctl::{self, Said};
use parsec_tests::device::{Device, private_folder};
use parsec_tests::fixture::{ALICE_PASSWORD, BOB_EMAIL, Fixture, FixtureOptions};
use serde_json::{Value, json};

/// Longest wait for words on a screen, in milliseconds.
const WAIT: u64 = 120_000;

/// What a doctor says: health by name and subject, and its exit code.
fn examined(said: &Said) -> (BTreeMap<String, String>, i32) {
    let result = said.json();
    assert_eq!(result["schema"], "parsec.doctor/1");
    let checks = result["checks"].as_array().unwrap_or_else(|| panic!("{said:?}"));
    for check in checks {
        let failed = check["health"] == "failed";
        assert_eq!(check["exit_code"] != 0, failed, "{check}");
        assert!(!failed || check["remedy"].is_string(), "{check}");
    }
    let health = |check: &Value| {
        (check["name"].as_str().unwrap().to_owned(), check["health"].as_str().unwrap().to_owned())
    };
    (checks.iter().map(health).collect(), said.code)
}

/// Runs the doctor, and checks what it says in words and as JSON about the same.
fn doctor(runtime: &Path) -> (BTreeMap<String, String>, i32) {
    let (found, code) = examined(&ctl::run(runtime, &["doctor", "--json"], ""));
    let words = ctl::run(runtime, &["doctor"], "");
    assert_eq!(words.code, code, "{words:?}");
    for name in found.keys() {
        assert!(words.stdout.contains(name.as_str()), "{name} in {words:?}");
    }
    (found, code)
}

#[test]
fn the_doctor_finds_nothing_wrong_with_a_sound_system() {
    let fixture = Fixture::found(FixtureOptions::default());
    let (found, code) = doctor(&fixture.alice.runtime());
    for name in [
        "runtime_folder",
        "socket_folder",
        "socket",
        "daemon",
        "version",
        "core_dumps",
        "key_file",
        "registration",
        "store",
        "outbox",
        "pieces",
        "server",
        "clock",
    ] {
        assert_eq!(found.get(name).map(String::as_str), Some("ok"), "{name} in {found:?}");
    }
    assert_eq!(code, 0, "{found:?}");
}

#[test]
fn the_doctor_works_without_a_daemon() {
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let runtime = folder.path().join("run");
    private_folder(&runtime);

    // No socket, no folder for it.
    let (found, code) = doctor(&runtime);
    assert_eq!((found["socket_folder"].as_str(), found["daemon"].as_str()), ("failed", "failed"));
    assert_eq!(code, 69);

    // A socket nobody answers at.
    let place = runtime.join("parsecd");
    private_folder(&place);
    drop(UnixListener::bind(place.join("parsecd.sock")).unwrap());
    std::fs::set_permissions(place.join("parsecd.sock"), Permissions::from_mode(0o600)).unwrap();
    let (found, code) = doctor(&runtime);
    assert_eq!((found["socket"].as_str(), found["daemon"].as_str(), code), ("ok", "failed", 69));

    // Somebody answers, and not as a daemon does.
    std::fs::remove_file(place.join("parsecd.sock")).unwrap();
    let listener = UnixListener::bind(place.join("parsecd.sock")).unwrap();
    std::fs::set_permissions(place.join("parsecd.sock"), Permissions::from_mode(0o600)).unwrap();
    let nonsense = std::thread::spawn(move || {
        for _ in 0..2 {
            let (stream, _) = listener.accept().unwrap();
            BufReader::new(&stream).read_line(&mut String::new()).unwrap();
            (&stream).write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        }
    });
    let (found, code) = doctor(&runtime);
    nonsense.join().unwrap();
    assert_eq!((found["daemon"].as_str(), code), ("failed", 70));

    // No runtime folder at all.
    let nowhere =
        ctl::command(&runtime, &["doctor", "--json"]).env_remove("XDG_RUNTIME_DIR").output().unwrap();
    let said = Said {
        code: nowhere.status.code().unwrap(),
        stdout: String::from_utf8(nowhere.stdout).unwrap(),
        stderr: String::new(),
    };
    let (found, code) = examined(&said);
    assert_eq!((found["runtime_folder"].as_str(), found["daemon"].as_str(), code), ("failed", "failed", 78));
}

#[test]
fn the_doctor_looks_at_locked_devices_and_unreachable_servers() {
    let mut fixture = Fixture::found(FixtureOptions { direct: true, ..FixtureOptions::default() });
    assert_eq!(fixture.alice.ctl(&["device", "lock"]).well().code, 0);
    let (found, code) = doctor(&fixture.alice.runtime());
    assert_eq!((found["key_file"].as_str(), found["store"].as_str(), code), ("ok", "skipped", 0));

    fixture.server.kill();
    let (found, code) = doctor(&fixture.alice.runtime());
    assert_eq!((found["server"].as_str(), code), ("failed", 69));

    // One bit of the key file, and its rights.
    let devices = fixture.alice.data().join("devices");
    let device = std::fs::read_dir(devices).unwrap().next().unwrap().unwrap().path();
    let key = device.join("key.age");
    let mut bytes = std::fs::read(&key).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&key, &bytes).unwrap();
    let (found, code) = doctor(&fixture.alice.runtime());
    assert_eq!((found["key_file"].as_str(), code), ("failed", 65));
    bytes[100] ^= 1;
    std::fs::write(&key, &bytes).unwrap();
    std::fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let (found, code) = doctor(&fixture.alice.runtime());
    assert_eq!((found["key_file"].as_str(), code), ("failed", 78));
}

#[test]
fn a_method_can_be_called_by_name_with_its_secrets_on_stdin() {
    let fixture = Fixture::found(FixtureOptions::default());
    let alice = &fixture.alice;
    let status: Value =
        serde_json::from_str(&alice.ctl(&["rpc", "call", "status.show"]).well().stdout).unwrap();
    assert_eq!(status["devices"][0]["state"], "unlocked");
    let wrapped = alice.ctl(&["rpc", "call", "status.show", "{}", "--json"]).well().json();
    assert_eq!(wrapped["schema"], "parsec.rpc.call/1");
    assert_eq!(wrapped["result"]["devices"], status["devices"]);

    let refused = alice.ctl(&["rpc", "call", "device.unlock", r#"{"password":"alice walks seven dogs"}"#]);
    assert_eq!(refused.code, 64);
    assert!(!refused.stderr.contains("seven"), "{refused:?}");
    let parameters = json!({ "password": ALICE_PASSWORD }).to_string();
    assert_eq!(alice.ctl_input(&["rpc", "call", "device.unlock", "-"], &parameters).well().code, 0);
    let wrong = json!({ "password": "not hers at all" }).to_string();
    assert_eq!(alice.ctl_input(&["rpc", "call", "device.unlock", "-"], &wrong).code, 77);

    for (method, parameters, code) in [
        ("no.such", "{}", 64),
        ("status.show", "[]", 64),
        ("status.show", "{\"x\":1}", 64),
        ("ceremony.show", "{\"ceremony\":9}", 68),
    ] {
        let said = alice.ctl(&["rpc", "call", method, parameters, "--json"]);
        assert_eq!(said.code, code, "{method} {parameters}: {said:?}");
        assert_eq!(said.json()["problem"]["exit_code"], code);
    }
}

/// The exit code of a device unlocked by a script with this password.
fn unlocks(device: &Device, password: &str) -> i32 {
    device.ctl_input(&["device", "unlock", "--password-file", "-"], password).code
}

#[test]
fn a_password_is_changed_and_a_device_forgotten() {
    let fixture = Fixture::found(FixtureOptions::default());
    let alice = &fixture.alice;
    let new = fixture.path("new");
    std::fs::write(&new, "alice feeds nine geese\n").unwrap();
    let change = |old: &str| {
        let options = [
            "device",
            "password",
            "--password-file",
            "-",
            "--new-password-file",
            new.to_str().unwrap(),
            "--json",
        ];
        alice.ctl_input(&options, old)
    };
    let wrong = change("not hers at all");
    assert_eq!((wrong.code, &wrong.json()["problem"]["name"]), (77, &json!("wrong_password")));
    assert_eq!(change(ALICE_PASSWORD).well().json()["schema"], "parsec.device.password/1");
    assert_eq!(alice.ctl(&["device", "lock"]).well().code, 0);
    assert_eq!(unlocks(alice, ALICE_PASSWORD), 77);
    assert_eq!(unlocks(alice, "alice feeds nine geese"), 0);

    let member = alice.ctl(&["user", "show", "--json"]).well().json();
    assert_eq!(member["member"]["devices"].as_array().unwrap().len(), 1);
    assert!(alice.ctl(&["user", "show"]).well().stdout.contains("root key, where every chain ends"));
    assert_eq!(alice.ctl(&["user", "show", "nobody@acme.example"]).code, 64);

    let id = alice.devices()[0].device.to_string();
    assert_eq!(alice.ctl(&["device", "forget", &id]).code, 64, "nobody can be asked");
    assert_eq!(alice.devices().len(), 1);
    let gone = alice.ctl(&["device", "forget", &id, "--confirm", &id, "--json"]).well();
    assert_eq!(gone.json()["device"], id);
    assert!(alice.devices().is_empty());
    assert_eq!(alice.ctl(&["device", "forget", &id, "--confirm", &id]).code, 68);
}

#[test]
fn events_and_the_watched_status_follow_a_real_daemon() {
    let fixture = Fixture::found(FixtureOptions::default());
    let alice = &fixture.alice;
    let mut events = Follower::start(alice, &["events", "--json"]);
    let snapshot = events.until("the state", |line| line["kind"] == "snapshot");
    let mut watched = Follower::start(alice, &["status", "--watch", "--json"]);
    let state = |line: &Value, state: &str| line["devices"][0]["state"] == state;
    watched.until("unlocked", |line| state(line, "unlocked"));

    assert_eq!(alice.ctl(&["device", "lock"]).well().code, 0);
    let locked = events.until("locking", |line| line["event"]["reason"] == "locked");
    watched.until("locked", |line| state(line, "locked"));
    assert_eq!(unlocks(alice, ALICE_PASSWORD), 0);
    watched.until("unlocked again", |line| state(line, "unlocked"));

    // Taken up again after the event that was seen: nothing is missing, nothing comes twice.
    let place = format!("{}:{}", locked["stream"].as_str().unwrap(), locked["id"]);
    let mut again = Follower::start(alice, &["events", "--json", "--after", &place]);
    let next = again.until("anything", |_| true);
    assert_eq!(next["id"].as_u64(), locked["id"].as_u64().map(|id| id + 1), "{next}");
    assert_eq!(next["stream"], snapshot["stream"]);
    // A place in another run: said to be one.
    let mut lost =
        Follower::start(alice, &["events", "--json", "--after", "00112233445566778899aabbccddeeff:1"]);
    assert_eq!(lost.until("anything", |_| true)["kind"], "gap");
    assert_eq!(lost.until("the state", |_| true)["kind"], "snapshot");
}

#[test]
fn events_go_on_with_the_next_daemon() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let mut events = Follower::start(&fixture.alice, &["events", "--json", "--follow-restarts"]);
    let first = events.until("the state", |line| line["kind"] == "snapshot");
    fixture.alice.kill();
    events.until("the end", |line| line["kind"] == "disconnected");
    fixture.alice.restart();
    events.until("the next daemon", |line| line["kind"] == "connected");
    let gap = events.until("what is missing", |line| line["kind"] == "gap");
    assert_ne!(gap["stream"], first["stream"]);
    events.until("the state", |line| line["kind"] == "snapshot");
}

/// A terminal window is a session of its own: the password given elsewhere does not speak for who
/// sits at it.
#[test]
fn inviting_at_a_new_device_asks_for_the_password_and_goes_on() {
    let fixture = Fixture::found(FixtureOptions::default());
    let mut command = ctl::command(&fixture.alice.runtime(), &["invite", "user", BOB_EMAIL, "--no-mail"]);
    command.env("TERM", "dumb");
    let mut window = rexpect::session::spawn_command(command, Some(WAIT)).unwrap();
    window.exp_string("(not shown): ").unwrap();
    window.send_line("not hers at all").unwrap();
    window.exp_string("(not shown): ").unwrap();
    window.send_line(ALICE_PASSWORD).unwrap();
    window.exp_string("/join/acme#").unwrap();
    window.exp_eof().unwrap();
    assert_eq!(
        fixture.alice.ctl(&["invite", "list", "--json"]).well().json()["invitations"][0]["status"],
        "pending"
    );
}

/// A parsecctl that runs on, and its lines as JSON.
struct Follower {
    child: std::process::Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Follower {
    fn start(device: &Device, arguments: &[&str]) -> Self {
        let mut command = ctl::command(&device.runtime(), arguments);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line for which this holds.
    fn until(&mut self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let mut seen = Vec::new();
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            let value: Value =
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"));
            if holds(&value) {
                return value;
            }
            seen.push(line);
        }
        panic!("it ended before {what}; seen: {seen:#?}");
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
