//! The whole ceremony by a script: `parsecctl` alone, `--json`, secrets on standard input, codes
//! given as heard.

use parsec_tests::device::{Device, private_folder};
use parsec_tests::server::Server;
use serde_json::Value;

fn ask(device: &Device, line: &str, input: &str) -> Value {
    let arguments: Vec<_> = line.split(' ').chain(["--json"]).map(|word| word.replace('_', " ")).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    device.ctl_input(&arguments, input).well().json()
}

/// The first text under this key, at any depth.
fn find(value: &Value, key: &str) -> Option<Value> {
    match value {
        Value::Object(map) => map
            .get(key)
            .filter(|found| !found.is_null())
            .cloned()
            .or_else(|| map.values().find_map(|inner| find(inner, key))),
        Value::Array(items) => items.iter().find_map(|inner| find(inner, key)),
        _ => None,
    }
}

fn text(value: &Value, key: &str) -> String {
    match find(value, key) {
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
        None => panic!("no {key} in {value}"),
    }
}

#[test]
fn a_script_enrols_bob_and_asks_afterwards() {
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    private_folder(&folder.path().join("server"));
    let server = Server::start(&folder.path().join("server"), &[]);
    let token = server.reserve("acme");
    let alice = Device::start("alice", &folder.path().join("alice"));
    let bob = Device::start("bob", &folder.path().join("bob"));
    let password = folder.path().join("password");
    std::fs::write(&password, "alice walks seven dogs\n").unwrap();

    let line = format!(
        "org bootstrap --server {} --organisation acme --email alice@acme.example --name Alice --device-label desktop \
         --token-file - --password-file {}",
        server.url(),
        password.display()
    );
    ask(&alice, &line, &token);
    let invited = ask(&alice, "invite user bob@acme.example --no-mail", "");
    let claiming = text(&ask(&bob, "claim --link-file - --detach", &text(&invited, "link")), "id");
    let greeting = text(&ask(&alice, "greet bob@acme.example --detach", ""), "id");

    let said = text(&ask(&bob, &format!("ceremony wait {claiming} --until say-code"), "")["say"], "code");
    ask(&alice, &format!("ceremony wait {greeting} --until choose-code"), "");
    ask(&alice, &format!("ceremony choose {greeting} --code {said}"), "");
    let said = text(&ask(&alice, &format!("ceremony wait {greeting} --until say-code"), "")["say"], "code");
    ask(&bob, &format!("ceremony wait {claiming} --until choose-code"), "");
    ask(&bob, &format!("ceremony choose {claiming} --code {said}"), "");
    ask(&bob, &format!("ceremony wait {claiming} --until identify"), "");
    ask(&bob, &format!("ceremony identify {claiming} --name Bob_Quillfeather --device-label laptop"), "");
    ask(&alice, &format!("ceremony wait {greeting} --until approve"), "");
    // Without the statement nothing is signed.
    assert_eq!(alice.ctl(&["ceremony", "approve", &greeting, "--json"]).code, 64);
    ask(&alice, &format!("ceremony approve {greeting} --claimer-confirmed"), "");
    ask(&bob, &format!("ceremony wait {claiming} --until set-password"), "");
    ask(&bob, &format!("ceremony finish {claiming} --password-file -"), "bob counts grey herons\n");
    ask(&alice, &format!("ceremony wait {greeting} --until done"), "");
    ask(&bob, &format!("ceremony wait {claiming} --until done"), "");

    for device in [&alice, &bob] {
        let verified = ask(device, "trust verify", "");
        assert_eq!(
            (text(&verified, "count"), text(&verified, "users")),
            ("4".into(), "2".into()),
            "{verified}"
        );
        let users = ask(device, "user list", "");
        assert!(users.to_string().contains("Bob Quillfeather"), "{users}");
        let chain = ask(device, "trust show bob@acme.example", "");
        let links = find(&chain, "chain").unwrap();
        assert_eq!(links.as_array().unwrap().last().unwrap()["signed_by"], "root", "{chain}");
    }
    ask(&bob, "device lock", "");
    assert_eq!(bob.ctl(&["trust", "verify", "--json"]).code, 77);
    assert_eq!(
        bob.ctl_input(&["device", "unlock", "--json", "--password-file", "-"], "wrong one\n").code,
        77
    );
    ask(&bob, "device unlock --password-file -", "bob counts grey herons\n");
    assert_eq!(text(&ask(&bob, "device list", ""), "state"), "unlocked");
    assert_eq!(text(&ask(&bob, "status", ""), "registration"), "registered");
}
