//! Every line of `parsecctl --json` is what the schema it names says: real commands, a real
//! enrolment, and a judge that refuses what a schema doesn't mention.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use parsec_protocol::control::Registration;
use parsec_protocol::ids::{SafeId, Token};
use parsec_tests::ceremony::Bell;
use parsec_tests::device::{Device, private_folder};
use parsec_tests::mounted::{Mounted, is_possible};
use parsec_tests::script::{self, Newcomer, Phone};
use parsec_tests::server::Server;
use parsec_tests::{ctl, json_output, openrpc};
use serde_json::{Value, json};

use crate::judge::{faults, judge};

const REMEDY: &str = "add it to tests/src/json_output.rs and run `cargo xtask openrpc`";

/// Printed by other tests: an alarm takes a server that lies, a token another socket, a move
/// another place, a conflict two devices at once, a
/// confirmation many removals.
const AWAITED: &[&str] = &[
    "parsec.org.server/1",
    "parsec.safe.confirm/1",
    "parsec.safe.conflicts/1",
    "parsec.token.create/1",
    "parsec.token.list/1",
    "parsec.token.revoke/1",
    "parsec.token.uses/1",
    "parsec.trust.acknowledge/1",
    "parsec.trust.check-fork/1",
    "parsec.trust.fork/1",
];

/// Every name of a schema that parsecctl's source has.
fn named() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../ctl/src")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            let texts = text.split('"').filter(|text| text.starts_with("parsec."));
            let versioned =
                |text: &&str| text.split_once('/').is_some_and(|(_, number)| number.parse::<u32>().is_ok());
            names.extend(texts.filter(versioned).map(str::to_owned));
        }
    }
    names
}

#[test]
fn every_name_has_a_file_and_every_file_is_what_the_types_make() {
    let made: BTreeMap<_, _> = json_output::schemas().collect();
    let known: BTreeSet<_> = made.keys().map(|name| (*name).to_owned()).collect();
    assert_eq!(named(), known, "{REMEDY}");
    let files = std::fs::read_dir(openrpc::docs("schemas")).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(files.count(), made.len(), "a file of docs/schemas has no name any more");
    for (name, schema) in made {
        let file = std::fs::read_to_string(json_output::file(name)).unwrap_or_default();
        assert!(file == openrpc::text(&schema), "the schema of {name} is old: run `cargo xtask openrpc`");
    }
}

/// Runs commands and keeps what they said.
#[derive(Default)]
struct Script {
    lines: RefCell<Vec<Value>>,
}

impl Script {
    fn keep(&self, stdout: &str) {
        self.lines.borrow_mut().extend(stdout.lines().map(|line| {
            serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        }));
    }

    /// Runs a command; `_` stands for a space within a word.
    fn run(&self, device: &Device, line: &str, input: &str) -> ctl::Said {
        let words: Vec<_> =
            line.split_whitespace().chain(["--json"]).map(|word| word.replace('_', " ")).collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let said = device.ctl_input(&words, input);
        self.keep(&said.stdout);
        said
    }

    /// Runs a command that must go well; its last line.
    fn ask(&self, device: &Device, line: &str, input: &str) -> Value {
        self.run(device, line, input).well().json()
    }
}

fn wait(script: &Script, device: &Device, id: &Value, stage: &str) -> Value {
    script.ask(device, &format!("ceremony wait {id} --until {stage}"), "")
}

/// Everything a script can ask for, in the order a life has it.
fn live(script: &Script, alice: &Device, bob: &Device, server: &Server, folder: &Path) {
    script.ask(alice, "status", "");
    script.ask(alice, "rpc call status.show", "");
    script.ask(alice, "rpc discover", "");
    script.ask(alice, "rpc hello", "");
    script.run(alice, "doctor", "");
    script.ask(alice, "lab --list", "");
    script.ask(alice, "lab --runs 2", "");
    script.ask(alice, "lab --adversary two-handshakes", "");
    script.ask(alice, "lab --adversary safe-fork", "");
    assert_eq!(script.run(alice, "device unlock --password-file -", "no device\n").code, 68);
    script.ask(alice, "net status", "");
    let password = folder.join("password");
    std::fs::write(&password, "alice walks seven dogs\n").unwrap();
    let line = format!(
        "org bootstrap --server {} --organisation acme --email alice@acme.example --name Alice --device-label desktop \
         --token-file - --password-file {}",
        server.url(),
        password.display()
    );
    script.ask(alice, &line, &server.reserve("acme"));
    // Nobody has tried the server for the sake of it: reading the log says that it is there.
    script.ask(alice, "user list", "");
    assert_eq!(script.ask(alice, "net status", "")["servers"][0]["reachable"], true);
    let tablet = script.ask(alice, "invite device", "");
    script.ask(alice, &format!("invite cancel {}", tablet["token"].as_str().unwrap()), "");
    let invited = script.ask(alice, "invite user bob@acme.example --no-mail", "");
    script.ask(alice, "net ping", "");
    // Nobody greets yet: the server answers, and the other device can't.
    let tried = script.ask(bob, "net ping --link-file -", invited["link"].as_str().unwrap());
    assert_eq!(
        (&tried["servers"][0]["ping"]["reached"], &tried["p2p"]["reached"]),
        (&json!(true), &json!(false))
    );
    script.ask(alice, "net status", "");
    script.ask(alice, "net peers", "");
    script.ask(alice, "invite list", "");

    let claiming =
        script.ask(bob, "claim --link-file - --detach", invited["link"].as_str().unwrap())["id"].clone();
    let greeting = script.ask(alice, "greet bob@acme.example --detach", "")["id"].clone();
    // A program that follows gets each state, then the end.
    let follower = ctl::command(&alice.runtime(), &["greet", "--ceremony", &greeting.to_string(), "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = wait(script, bob, &claiming, "say-code")["say"]["code"].as_str().unwrap().to_owned();
    wait(script, alice, &greeting, "choose-code");
    script.ask(alice, "ceremony list", "");
    script.ask(alice, &format!("ceremony choose {greeting} --code {said}"), "");
    let said = wait(script, alice, &greeting, "say-code")["say"]["code"].as_str().unwrap().to_owned();
    wait(script, bob, &claiming, "choose-code");
    script.ask(bob, &format!("ceremony choose {claiming} --code {said}"), "");
    wait(script, bob, &claiming, "identify");
    script.ask(
        bob,
        &format!("ceremony identify {claiming} --name Bob_Quillfeather --device-label laptop"),
        "",
    );
    wait(script, alice, &greeting, "approve");
    script.ask(alice, "status", "");
    script.ask(alice, &format!("ceremony approve {greeting} --claimer-confirmed"), "");
    wait(script, bob, &claiming, "set-password");
    script.ask(bob, &format!("ceremony finish {claiming} --password-file -"), "bob counts grey herons\n");
    wait(script, alice, &greeting, "done");
    wait(script, bob, &claiming, "done");
    let followed = follower.wait_with_output().unwrap();
    assert!(followed.status.success());
    script.keep(&String::from_utf8(followed.stdout).unwrap());

    script.ask(bob, "ceremony list", "");
    script.ask(bob, "user list", "");
    script.ask(bob, "trust verify", "");
    script.ask(bob, "trust show alice@acme.example", "");
    let place = |name: &str| folder.join(name).display().to_string();
    let (log, receipt) = (place("log"), place("receipt"));
    script.ask(alice, "trust log", "");
    script.ask(alice, "trust repair", "");
    script.ask(alice, &format!("trust export {log}"), "");
    script.ask(bob, &format!("trust import {log} --yes"), "");
    let let_in = script.ask(alice, "receipt list", "")["receipts"][0]["device"].clone();
    script.ask(alice, &format!("receipt export {} {receipt}", let_in.as_str().unwrap()), "");
    script.ask(bob, &format!("receipt verify {receipt} --log {log}"), "");
    live_in_a_safe(script, alice, bob, folder);
    script.ask(bob, "device lock", "");
    assert_eq!(script.run(bob, "trust verify", "").code, 77);
    script.ask(bob, "device unlock --password-file -", "bob counts grey herons\n");
    script.ask(bob, "device list", "");
    script.ask(bob, "user show alice@acme.example", "");
    live_with_shares(script, alice, bob, folder);

    let new = folder.join("new");
    std::fs::write(&new, "bob counts grey geese\n").unwrap();
    let line = format!("device password --password-file - --new-password-file {}", new.display());
    let device = script.ask(bob, &line, "bob counts grey herons\n")["device"].clone();
    let device = device.as_str().unwrap();
    script.ask(bob, &format!("device restore {device}"), "");
    script.ask(bob, &format!("device forget {device} --confirm {device}"), "");
    script.ask(bob, "status", "");
    live_with_kits(script, alice, bob, folder);

    script.ask(alice, "user profile bob@acme.example --profile outsider --yes", "");
    script.ask(alice, &format!("device revoke {device} --yes"), "");
    script.ask(alice, "user revoke bob@acme.example --yes", "");
    script.ask(alice, "safe takeover Later --yes", "");
    script.ask(alice, "user rekey --yes", "");
}

/// Kits, and a device that one of them brings back.
fn live_with_kits(script: &Script, alice: &Device, bob: &Device, folder: &Path) {
    let kit = folder.join("kit").display().to_string();
    script.ask(alice, "recovery create", "");
    script.ask(alice, &format!("recovery create --page {kit}"), "");
    script.ask(alice, "recovery list", "");
    script.ask(alice, &format!("recovery drill --page {kit}"), "");
    let line = format!("recovery use --page {kit} --device-label again --password-file -");
    script.ask(bob, &line, "alice walks seven geese\n");
}

/// A kit that is split among two, who bring its user back.
fn live_with_shares(script: &Script, alice: &Device, bob: &Device, folder: &Path) {
    let carol = Device::start("carol", &folder.join("carol"));
    let again = Device::start("again", &folder.join("again"));
    let invited = alice.invite("carol@acme.example").unwrap();
    let newcomer = Newcomer { name: Some("Carol"), label: "laptop", password: "carol counts grey herons" };
    ceremony(alice, invited.token, &carol, invited.link.expose(), newcomer);
    let _ = carol.until_device(|device| device.registration == Registration::Registered);
    script.ask(alice, "recovery share --threshold 2 bob@acme.example carol@acme.example --yes", "");
    script.ask(alice, "recovery list", "");
    script.ask(bob, "recovery list", "");
    let password = "alice walks nine geese";
    for giver in [bob, &carol] {
        let given = script.ask(giver, "recovery give alice@acme.example", "");
        let (token, link) = (given["token"].as_str().unwrap(), given["link"].as_str().unwrap());
        let newcomer = Newcomer { name: None, label: "again", password };
        ceremony(giver, token.parse().unwrap(), &again, link, newcomer);
    }
    script.ask(&again, "ceremony list", "");
    let line = "recovery collect --finish --device-label again --password-file -";
    script.ask(&again, line, &format!("{password}\n"));
}

fn ceremony(by: &Device, token: Token, to: &Device, link: &str, newcomer: Newcomer<'_>) {
    let bell = Arc::new(Bell::default());
    let mut claimer = to.claim(link, &bell).unwrap();
    let mut greeter = by.greet(token, &bell).unwrap();
    let ends = script::enrol(&mut claimer, &mut greeter, newcomer, Phone::default());
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
}

/// The life of a safe, from its founding until both are out of it.
fn live_in_a_safe(script: &Script, alice: &Device, bob: &Device, folder: &Path) {
    let place = |name: &str| folder.join(name).display().to_string();
    std::fs::create_dir(folder.join("tree")).unwrap();
    std::fs::write(folder.join("tree/file"), "a file").unwrap();
    let safe: SafeId = script.ask(alice, "safe create Plans", "")["safe"].as_str().unwrap().parse().unwrap();
    script.ask(alice, "safe list", "");
    script.ask(alice, "safe show Plans", "");
    script.ask(alice, "safe mkdir -p Plans:/a/b --wait 120", "");
    script.ask(alice, "safe put - Plans:/a/file --wait 120", "from a pipe");
    script.ask(alice, &format!("safe put -r {} Plans:/tree --wait 120", place("tree")), "");
    script.ask(alice, "safe ls -R Plans:/", "");
    script.ask(alice, "safe stat Plans:/a/file", "");
    script.ask(alice, "safe cp Plans:/a/file /copy --wait 120", "");
    script.ask(alice, "safe mv Plans:/copy /moved --wait 120", "");
    script.ask(alice, "safe rm Plans:/moved --wait 120", "");
    script.ask(alice, "safe trash Plans", "");
    script.ask(alice, "safe restore Plans:/moved --wait 120", "");
    script.ask(alice, "safe log Plans", "");
    script.ask(alice, "safe verify Plans --fetch", "");
    script.ask(alice, "safe usage Plans", "");
    script.ask(alice, "safe restore Plans:/ --record 2 --dry-run", "");
    script.ask(alice, "safe restore Plans:/moved --at 0m --wait 120", "");
    script.ask(alice, "safe history Plans:/moved", "");
    script.ask(alice, &format!("safe get Plans:/a/file {}", place("got")), "");
    script.ask(alice, &format!("safe get -r Plans:/tree {}", place("got-tree")), "");
    script.ask(alice, "safe ls Plans:/ --record 3", "");
    script.ask(alice, &format!("safe export Plans {}", place("exported")), "");
    script.ask(alice, &format!("safe import {} Plans:/imported --wait 120", place("exported")), "");
    script.ask(alice, &format!("safe export --sealed Plans {}", place("plans.parsec-safe")), "");
    script.ask(alice, &format!("safe import --sealed {} Again --wait 120", place("plans.parsec-safe")), "");
    script.ask(alice, "safe retention Plans", "");
    script.ask(alice, "safe retention Plans 365 --wait 120", "");
    script.ask(alice, "safe prune Plans --yes", "");
    script.ask(alice, "safe pin Plans:/a", "");
    script.ask(alice, "safe pins", "");
    script.ask(alice, "safe unpin Plans:/a", "");
    if is_possible("safe mount, as JSON") {
        let mounted = Mounted::on(&folder.join("mounted"));
        script.ask(alice, &format!("safe mount Plans {}", place("mounted")), "");
        script.ask(alice, "safe mounts", "");
        script.ask(alice, "safe unmount Plans", "");
        drop(mounted);
    }
    script.ask(alice, "safe cache --limit 100M", "");
    script.ask(alice, "safe cache", "");
    script.ask(alice, "safe rename Plans Designs --wait 120", "");
    script.ask(alice, "safe share Designs bob@acme.example --role reader --yes", "");
    script.ask(alice, "safe members Designs", "");
    script.ask(alice, "safe status", "");
    script.ask(alice, "safe sync Designs --wait 120", "");
    assert_eq!(script.run(alice, "safe show nowhere", "").code, 68);
    let _ = bob.until_safe(|offered| offered.safe == safe);
    script.ask(bob, "safe list", "");
    script.ask(bob, &format!("safe accept {safe}"), "");
    script.ask(bob, &format!("safe leave {safe} --yes"), "");
    script.ask(alice, "safe sync Designs --wait 120", "");
    script.ask(alice, "safe share Designs bob@acme.example --yes", "");
    script.ask(alice, "safe unshare Designs bob@acme.example --yes", "");
    // One that has no owner once Bob is revoked.
    let later: SafeId = script.ask(bob, "safe create Later", "")["safe"].as_str().unwrap().parse().unwrap();
    script.ask(bob, "safe share Later alice@acme.example --role manager --yes", "");
    let _ = alice.until_safe(|offered| offered.safe == later);
    script.ask(alice, &format!("safe accept {later}"), "");
    script.ask(alice, "safe sync Later --wait 120", "");
}

/// Follows events over a restart of the daemon.
fn follow(script: &Script, device: &mut Device) {
    let mut follower = ctl::command(&device.runtime(), &["events", "--follow-restarts", "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut until = |what: &str| loop {
        let line = lines.next().unwrap_or_else(|| panic!("no {what}"));
        script.keep(&line);
        if line.contains(what) {
            return;
        }
    };
    until("\"snapshot\"");
    device.process().stop();
    until("\"disconnected\"");
    device.restart();
    until("\"connected\"");
    until("\"snapshot\"");
    follower.kill().unwrap();
    follower.wait().unwrap();
}

#[test]
fn every_line_is_what_its_schema_says() {
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    private_folder(&folder.path().join("server"));
    let server = Server::start(&folder.path().join("server"), &[]);
    let mut alice = Device::start("alice", &folder.path().join("alice"));
    let bob = Device::start("bob", &folder.path().join("bob"));
    let script = Script::default();
    live(&script, &alice, &bob, &server, folder.path());
    follow(&script, &mut alice);

    let mut judges: BTreeMap<_, _> =
        json_output::schemas().map(|(name, _)| (name.to_owned(), None)).collect();
    for line in script.lines.borrow().iter() {
        let name = line["schema"].as_str().unwrap_or_else(|| panic!("a line without a schema: {line}"));
        let known = judges.get_mut(name).unwrap_or_else(|| panic!("{name} has no schema: {REMEDY}"));
        let known = known.get_or_insert_with(|| {
            let schema: Value =
                serde_json::from_str(&std::fs::read_to_string(json_output::file(name)).unwrap()).unwrap();
            let mut around = schema.clone();
            around.as_object_mut().unwrap().retain(|key, _| key == "definitions");
            judge(&schema, &around)
        });
        assert_eq!(faults(known, line), Vec::<String>::new(), "{line}");
    }
    let unused = judges.iter().filter(|(_, judge)| judge.is_none()).map(|(name, _)| name);
    let can_mount = is_possible("mounting, as JSON");
    let left_out = |name: &str| !can_mount && name.contains("mount");
    let unused: Vec<_> = unused.filter(|name| !AWAITED.contains(&name.as_str()) && !left_out(name)).collect();
    assert_eq!(unused, Vec::<&String>::new(), "no command of this test printed these");
}

/// A schema that says something untrue is found.
#[test]
fn the_judge_finds_what_is_missing_wrong_or_too_much() {
    let (_, schema) = json_output::schemas().find(|(name, _)| *name == "parsec.invite.cancel/1").unwrap();
    let judge = judge(&schema, &json!({"definitions": schema["definitions"]}));
    let good = json!({"schema": "parsec.invite.cancel/1", "token": "00112233445566778899aabbccddeeff"});
    assert_eq!(faults(&judge, &good), Vec::<String>::new());
    for (field, value) in [
        ("schema", json!("parsec.status/1")),
        ("token", json!("zz")),
        ("token", json!(7)),
        ("more", json!(1)),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        assert_ne!(faults(&judge, &bad), Vec::<String>::new(), "{bad}");
    }
    assert_ne!(faults(&judge, &json!({"schema": "parsec.invite.cancel/1"})), Vec::<String>::new());
}
