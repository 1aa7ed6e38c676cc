//! parsecctl and a fake daemon: one that goes away, is older or newer, refuses once, or says what
//! nobody knows yet.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdout, Stdio};

use parsec_protocol::control::{ProblemKind, method};
use parsec_tests::ctl;
use parsec_tests::fake_daemon::{FakeDaemon, Reply, hello, otherwise};
use rexpect::session::{PtySession, spawn_command};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Longest wait for words on a screen, in milliseconds.
const WAIT: u64 = 120_000;
/// The stream of a fake daemon.
const STREAM: &str = "00112233445566778899aabbccddeeff";
/// Its device.
const DEVICE: &str = "a0b1c2d3e4f5061728394a5b6c7d8e9f";

fn device(state: &str) -> Value {
    json!({ "device": DEVICE, "user": "3f1c0a5e9b7d4c2e8f60a1b2c3d4e5f6", "organisation": "acme",
        "server": "https://parsec.example.org", "state": state, "registration": "registered",
        "name": null, "email": null, "label": (state == "unlocked").then_some("laptop"), "outbox": null })
}

fn devices(state: &str) -> Reply {
    Reply::result(json!({ "devices": [device(state)] }))
}

fn status(state: &str) -> Reply {
    Reply::result(json!({ "version": "9.9.9", "api_version": "2.7", "pid": 42, "devices": [device(state)],
        "ceremonies": [], "alarms": [], "moon": "full" }))
}

fn event(id: u64) -> Value {
    json!({ "kind": "event", "stream": STREAM, "id": id, "time": 0,
        "event": { "type": "device_forgotten", "device": DEVICE } })
}

/// A parsecctl that runs on, and its lines.
struct Running {
    child: Child,
    lines: Option<std::io::Lines<BufReader<ChildStdout>>>,
}

impl Running {
    fn start(daemon: &FakeDaemon, arguments: &[&str]) -> Self {
        let mut command = ctl::command(daemon.runtime(), arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = child.stdout.take().map(|stdout| BufReader::new(stdout).lines());
        Self { child, lines }
    }

    /// The next line, which is whole.
    fn line(&mut self) -> Value {
        let line = self.lines.as_mut().unwrap().next().unwrap().unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn events_come_as_they_are_and_end_with_the_daemon() {
    let daemon = FakeDaemon::start(|name, _, _| match name {
        method::EVENTS_WATCH => Reply::result(json!(1))
            .then(method::EVENTS_ITEM, event(1))
            .then(method::EVENTS_ITEM, json!({ "kind": "rain", "inches": 3 }))
            .then(method::EVENTS_ITEM, json!({ "kind": "gap", "stream": STREAM, "from": 2, "to": 4 }))
            .then("moon.changed", json!({ "phase": "full" }))
            .then(method::EVENTS_ITEM, event(5))
            .hang_up(),
        _ => otherwise(name),
    });
    let said = daemon.ctl(&["events", "--json", "--after", &format!("{STREAM}:0")]);
    assert_eq!(said.code, 69, "{said:?}");
    let lines: Vec<Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = lines.iter().filter_map(|line| line["kind"].as_str()).collect();
    assert_eq!(kinds, ["event", "rain", "gap", "event"]);
    assert!(lines[..4].iter().all(|line| line["schema"] == "parsec.event/1"), "{lines:?}");
    assert_eq!(lines[1]["inches"], 3, "what is not understood is passed on");
    assert_eq!(lines[4]["problem"]["name"], "daemon_unreachable");
    assert_eq!(daemon.asked(method::EVENTS_WATCH), [json!({ "after": { "stream": STREAM, "id": 0 } })]);

    let words = daemon.ctl(&["events"]);
    assert_eq!(words.stdout.lines().count(), 4, "{words:?}");
    assert!(words.stdout.contains("events 2 to 4 are missing"), "{words:?}");
    assert_eq!(daemon.asked(method::EVENTS_WATCH)[1], json!({}));
}

#[test]
fn events_go_on_where_they_were_after_a_restart() {
    let daemon = FakeDaemon::start(|name, _, before| match (name, before) {
        (method::EVENTS_WATCH, 0) => Reply::result(json!(1))
            .then(method::EVENTS_ITEM, event(7))
            .then(method::EVENTS_ITEM, json!({ "kind": "rain" }))
            .hang_up(),
        // The next daemon is stopped at once; it has not said anything.
        (method::EVENTS_WATCH, 1) => Reply::problem(ProblemKind::ShuttingDown, "stopping").hang_up(),
        (method::EVENTS_WATCH, _) => Reply::result(json!(1))
            .then(method::EVENTS_ITEM, json!({ "kind": "gap", "stream": "ff", "from": null, "to": 0 }))
            .then(
                method::EVENTS_ITEM,
                json!({ "kind": "event", "stream": "ff", "id": 1, "time": 0, "event": {} }),
            ),
        _ => otherwise(name),
    });
    let mut events = Running::start(&daemon, &["events", "--json", "--follow-restarts"]);
    assert_eq!(events.line()["id"], 7);
    assert_eq!(events.line()["kind"], "rain", "something without a place does not lose it");
    let lost = events.line();
    assert_eq!((&lost["kind"], &lost["id"]), (&json!("disconnected"), &json!(7)));
    for kind in ["connected", "disconnected", "connected", "gap", "event"] {
        assert_eq!(events.line()["kind"], kind);
    }
    let after = json!({ "after": { "stream": STREAM, "id": 7 } });
    assert_eq!(daemon.asked(method::EVENTS_WATCH), [json!({}), after.clone(), after]);
}

/// Nobody reads any more, and no further event comes that would show it.
#[test]
fn events_end_when_their_reader_is_gone() {
    for arguments in [&["events", "--json"][..], &["status", "--watch", "--json"]] {
        let daemon = FakeDaemon::start(|name, _, _| match name {
            method::EVENTS_WATCH => Reply::result(json!(1)).then(method::EVENTS_ITEM, event(1)),
            method::STATUS => status("locked"),
            _ => otherwise(name),
        });
        let mut running = Running::start(&daemon, arguments);
        running.line();
        running.lines = None;
        assert_eq!(running.child.wait().unwrap().code(), Some(141));
    }
}

#[test]
fn an_interrupt_ends_events_between_two_lines() {
    let daemon = FakeDaemon::start(|name, _, _| match name {
        method::EVENTS_WATCH => Reply::result(json!(1)).then(method::EVENTS_ITEM, event(1)),
        _ => otherwise(name),
    });
    let mut events = Running::start(&daemon, &["events", "--json"]);
    assert_eq!(events.line()["id"], 1);
    let id = Pid::from_raw(i32::try_from(events.child.id()).unwrap()).unwrap();
    kill_process(id, Signal::INT).unwrap();
    assert_eq!(events.child.wait().unwrap().signal(), Some(2));
    assert!(events.lines.as_mut().unwrap().next().is_none());
}

#[test]
fn a_watched_status_is_told_once_for_each_change() {
    let daemon = FakeDaemon::start(|name, _, before| match (name, before) {
        (method::EVENTS_WATCH, _) => Reply::result(json!(1)).then(method::EVENTS_ITEM, event(1)),
        (method::STATUS, 0) => status("locked").then(method::EVENTS_ITEM, event(2)),
        (method::STATUS, 1) => status("locked").then(method::EVENTS_ITEM, event(3)),
        (method::STATUS, 2) => status("unlocked").then(method::EVENTS_ITEM, json!({ "kind": "rain" })),
        (method::STATUS, _) => status("unlocked").hang_up(),
        _ => otherwise(name),
    });
    let said = daemon.ctl(&["status", "--watch", "--json"]);
    assert_eq!(said.code, 69, "{said:?}");
    let lines: Vec<Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let states: Vec<_> = lines.iter().filter_map(|line| line["devices"][0]["state"].as_str()).collect();
    assert_eq!(states, ["locked", "unlocked"], "{said:?}");
}

#[test]
fn a_daemon_of_another_generation_is_told_by_its_hello() {
    let daemon = FakeDaemon::start(|name, _, _| match name {
        method::HELLO => {
            Reply::result(json!({ "version": "7.0.0", "api_version": "3.0", "api_oldest": "3.0",
            "socket": "user", "token": null, "methods": [] }))
        }
        _ => otherwise(name),
    });
    let said = daemon.ctl(&["status", "--json"]);
    assert_eq!((said.code, &said.json()["problem"]["name"]), (64, &json!("api_mismatch")));
    assert!(daemon.asked(method::STATUS).is_empty(), "it is not spoken to");

    // The daemon may be the one that notices.
    let daemon = FakeDaemon::start(|_, _, _| Reply::problem(ProblemKind::ApiMismatch, "too old"));
    assert_eq!(daemon.ctl(&["device", "list"]).code, 64);
}

#[test]
fn an_older_daemon_works_as_far_as_it_goes() {
    let daemon = FakeDaemon::start(|name, _, _| match name {
        method::DEVICE_LIST => devices("locked"),
        _ => Reply::problem(ProblemKind::UnknownMethod, "no such method"),
    });
    assert_eq!(daemon.ctl(&["device", "list"]).code, 0);
    for command in [&["events"][..], &["token", "list"], &["status", "--watch"], &["rpc", "hello"]] {
        let said = daemon.ctl(command);
        assert_eq!(said.code, 64, "{said:?}");
        assert!(said.stderr.contains("older or newer") && said.stderr.contains("unknown_method"), "{said:?}");
    }
}

fn token() -> Value {
    json!({ "id": "0011223344556677", "name": "files", "methods": ["status.show"], "created": 0, "expires": 0,
        "rate_per_minute": 120, "uses": 0, "refused": 0, "last_used": null })
}

#[test]
fn a_tokens_secret_goes_to_one_place() {
    let daemon = FakeDaemon::start(|name, _, before| match (name, before) {
        (method::TOKEN_CREATE, 2) => Reply::problem(ProblemKind::InvalidRequest, "no such method to allow"),
        (method::TOKEN_CREATE, _) => Reply::result(json!({ "token": token(), "secret": "s3cret" })),
        _ => otherwise(name),
    });
    let create = ["token", "create", "files", "--method", "status.show"];
    let said = daemon.ctl(&create).well();
    assert_eq!(said.stdout, "s3cret\n");
    assert!(!said.stderr.contains("s3cret"));

    let path = daemon.path("secret");
    let with_file: Vec<&str> = create.into_iter().chain(["--output", path.to_str().unwrap()]).collect();
    let said = daemon.ctl(&with_file).well();
    assert!(!format!("{said:?}").contains("s3cret"), "{said:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "s3cret\n");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    // A file that is there is not written over, and no token is made for it.
    assert_eq!(daemon.ctl(&with_file).code, 64);
    assert_eq!(daemon.asked(method::TOKEN_CREATE).len(), 2);
    // A token that was refused leaves no file.
    std::fs::remove_file(&path).unwrap();
    assert_eq!(daemon.ctl(&with_file).code, 64);
    assert!(!path.exists());
}

#[test]
fn a_device_is_forgotten_by_its_whole_id_twice() {
    let daemon = FakeDaemon::start(|name, _, _| match name {
        method::DEVICE_LIST => devices("locked"),
        method::DEVICE_FORGET => Reply::result(json!({})),
        _ => otherwise(name),
    });
    let other = "00000000000000000000000000000000";
    for refused in [&["device", "forget", DEVICE][..], &["device", "forget", DEVICE, "--confirm", other]] {
        assert_eq!(daemon.ctl(refused).code, 64);
    }
    assert!(daemon.asked(method::DEVICE_FORGET).is_empty());
    let done = daemon.ctl(&["device", "forget", DEVICE, "--confirm", DEVICE, "--json"]).well();
    assert_eq!(done.json()["device"], DEVICE);
    assert_eq!(daemon.asked(method::DEVICE_FORGET), [json!({ "device": DEVICE, "force": false })]);
}

#[test]
fn a_new_password_is_judged_before_it_is_sent() {
    let daemon = FakeDaemon::start(|name, _, _| match name {
        method::DEVICE_LIST => devices("unlocked"),
        method::DEVICE_PASSWORD => Reply::result(device("unlocked")),
        _ => otherwise(name),
    });
    let file = |name: &str, text: &str| {
        let path = daemon.path(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let old = file("old", "anything she had\n");
    let change = |new: &str| {
        daemon.ctl(&["device", "password", "--password-file", &old, "--new-password-file", new, "--json"])
    };
    assert_eq!(change(&file("weak", "12345678\n")).code, 65);
    assert_eq!(change(&file("short", "xK9!\n")).code, 65);
    assert_eq!(daemon.ctl(&["device", "password"]).code, 64, "nobody can be asked");
    let both = ["device", "password", "--password-file", "-", "--new-password-file", "-"];
    assert!(daemon.ctl(&both).stderr.contains("Only one of the two"));
    assert!(daemon.asked(method::DEVICE_PASSWORD).is_empty());
    let said = change(&file("new", "correct horse battery staple\n")).well();
    assert_eq!(said.json()["device"], DEVICE);
    let asked = daemon.asked(method::DEVICE_PASSWORD);
    assert_eq!(asked[0]["password"], "anything she had");
    assert_eq!(asked[0]["new_password"], "correct horse battery staple");
}

/// A person's screen.
fn screen(daemon: &FakeDaemon, arguments: &[&str]) -> PtySession {
    let mut command = ctl::command(daemon.runtime(), arguments);
    command.env("TERM", "dumb");
    spawn_command(command, Some(WAIT)).unwrap()
}

/// The rest of a screen, and how it ended.
fn end(mut session: PtySession) -> (String, String) {
    let rest = session.exp_eof().unwrap();
    (rest, format!("{:?}", session.process().wait().unwrap()))
}

/// A daemon that wants the password for `invite list`, once; its password is "right".
fn wants_password(kind: ProblemKind, state: &'static str) -> FakeDaemon {
    FakeDaemon::start(move |name, params, before| match (name, before) {
        (method::DEVICE_LIST, _) => devices(state),
        (method::INVITE_LIST, 0) => Reply::problem(kind, "This needs the device's password first"),
        (method::INVITE_LIST, _) => Reply::result(json!({ "invitations": [] })),
        (method::DEVICE_UNLOCK, _) if params["password"] == "right" => Reply::result(device("unlocked")),
        (method::DEVICE_UNLOCK, _) => Reply::problem(ProblemKind::WrongPassword, "That is not it"),
        _ => otherwise(name),
    })
}

#[test]
fn a_person_is_asked_for_the_password_and_the_command_goes_on() {
    for (kind, state) in
        [(ProblemKind::ConfirmationRequired, "unlocked"), (ProblemKind::DeviceLocked, "locked")]
    {
        let daemon = wants_password(kind, state);
        let mut alice = screen(&daemon, &["invite", "list"]);
        alice.exp_string("needs the device's password first").unwrap();
        alice.exp_string("(not shown): ").unwrap();
        alice.send_line("wrong").unwrap();
        alice.exp_string("That is not it").unwrap();
        alice.exp_string("(not shown): ").unwrap();
        alice.send_line("right").unwrap();
        let (rest, how) = end(alice);
        assert!(rest.contains("No invitations") && how.contains(", 0)"), "{how}: {rest}");
        assert!(!rest.contains("right"), "it is not shown: {rest}");
        let asked = daemon.asked(method::DEVICE_UNLOCK);
        assert_eq!(asked.len(), 2);
        assert_eq!(asked[1]["select"], json!({ "device": DEVICE }), "by its whole id");
        assert_eq!(daemon.asked(method::INVITE_LIST).len(), 2);
    }
}

#[test]
fn a_password_is_not_asked_for_without_end_and_can_be_refused() {
    let daemon = wants_password(ProblemKind::ConfirmationRequired, "unlocked");
    let mut alice = screen(&daemon, &["invite", "list"]);
    for _ in 0..3 {
        alice.exp_string("(not shown): ").unwrap();
        alice.send_line("wrong").unwrap();
    }
    assert!(end(alice).1.contains(", 77)"));
    assert_eq!(daemon.asked(method::DEVICE_UNLOCK).len(), 3);

    let daemon = wants_password(ProblemKind::ConfirmationRequired, "unlocked");
    let mut alice = screen(&daemon, &["invite", "list"]);
    alice.exp_string("(not shown): ").unwrap();
    alice.send_control('c').unwrap();
    assert!(end(alice).1.contains(", 130)"));
    assert!(daemon.asked(method::DEVICE_UNLOCK).is_empty());
}

#[test]
fn a_script_is_told_instead_of_asked() {
    for arguments in [&["invite", "list"][..], &["invite", "list", "--json"]] {
        let daemon = wants_password(ProblemKind::ConfirmationRequired, "unlocked");
        let said = daemon.ctl(arguments);
        assert_eq!(said.code, 77, "{said:?}");
        assert!(format!("{said:?}").contains("parsecctl device unlock"), "{said:?}");
        assert!(daemon.asked(method::DEVICE_UNLOCK).is_empty());
    }
    // A device where asking is forbidden.
    let daemon = wants_password(ProblemKind::ConfirmationRequired, "unlocked");
    let alice = screen(&daemon, &["invite", "list", "--no-input"]);
    assert!(end(alice).1.contains(", 77)"));
}

#[test]
fn a_device_is_forgotten_by_who_types_its_name() {
    let forgets = |state: &'static str| {
        FakeDaemon::start(move |name, _, _| match name {
            method::DEVICE_LIST => devices(state),
            method::DEVICE_FORGET => Reply::result(json!({})),
            _ => otherwise(name),
        })
    };
    for (state, typed, gone) in [
        ("unlocked", "laptop", true),
        ("locked", "acme", true),
        ("unlocked", "", false),
        ("unlocked", "yes", false),
        ("unlocked", "Laptop", false),
        ("locked", "laptop", false),
    ] {
        let daemon = forgets(state);
        let mut alice = screen(&daemon, &["device", "forget", DEVICE]);
        alice.exp_string("to go on: ").unwrap();
        alice.send_line(typed).unwrap();
        let (_, how) = end(alice);
        assert_eq!(how.contains(", 0)"), gone, "{state} {typed:?}: {how}");
        assert_eq!(daemon.asked(method::DEVICE_FORGET).len(), usize::from(gone));
    }
}

#[test]
fn hello_is_said_first_on_every_connection() {
    let daemon = FakeDaemon::start(|name, _, _| match name {
        method::HELLO => hello(),
        method::STATUS => status("locked"),
        _ => otherwise(name),
    });
    let said = daemon.ctl(&["status", "--json"]).well();
    assert_eq!(said.json()["version"], "9.9.9", "a field nobody knows yet does no harm");
    let asked = daemon.asked(method::HELLO);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0]["client"], concat!("parsecctl/", env!("CARGO_PKG_VERSION")));
}
