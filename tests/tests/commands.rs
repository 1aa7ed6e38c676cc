//! `parsecctl`'s commands against real daemons: what they find, what they follow, what they refuse, and how they exit.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;

use parsec_tests::ctl::{self, Said};
use parsec_tests::scene::{ALICE_PASSWORD, Scene, Setting};
use parsec_tests::terminal::private_folder;
use serde_json::{Value, json};

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
    let scene = Scene::found(Setting::default());
    let (found, code) = doctor(&scene.alice.runtime());
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
    let mut scene = Scene::found(Setting { direct: true, ..Setting::default() });
    assert_eq!(scene.alice.ctl(&["device", "lock"]).well().code, 0);
    let (found, code) = doctor(&scene.alice.runtime());
    assert_eq!((found["key_file"].as_str(), found["store"].as_str(), code), ("ok", "skipped", 0));

    scene.server.kill();
    let (found, code) = doctor(&scene.alice.runtime());
    assert_eq!((found["server"].as_str(), code), ("failed", 69));

    // One bit of the key file, and its rights.
    let devices = scene.alice.data().join("devices");
    let device = std::fs::read_dir(devices).unwrap().next().unwrap().unwrap().path();
    let key = device.join("key.age");
    let mut bytes = std::fs::read(&key).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&key, &bytes).unwrap();
    let (found, code) = doctor(&scene.alice.runtime());
    assert_eq!((found["key_file"].as_str(), code), ("failed", 65));
    bytes[100] ^= 1;
    std::fs::write(&key, &bytes).unwrap();
    std::fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let (found, code) = doctor(&scene.alice.runtime());
    assert_eq!((found["key_file"].as_str(), code), ("failed", 78));
}

#[test]
fn a_method_can_be_called_by_name_with_its_secrets_on_stdin() {
    let scene = Scene::found(Setting::default());
    let alice = &scene.alice;
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
