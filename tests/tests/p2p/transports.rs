//! parsecctl and the two transports of a ceremony: what is asked for, what is said when the server
//! can't be reached, and what follows from an enrolment that the server does not have yet. A fake
//! daemon says what a real one says only when a network fails.

use std::process::Command;

use parsec_protocol::control::{Problem, ProblemKind, method};
use parsec_tests::ctl;
use parsec_tests::fake_daemon::{FakeDaemon, Reply, otherwise};
use parsec_tests::process::binary;
use rexpect::session::{PtySession, spawn_command};
use serde_json::{Value, json};

/// Longest wait for words on a screen, in milliseconds.
const WAIT: u64 = 120_000;
const TOKEN: &str = "00112233445566778899aabbccddeeff";
const LINK: &str = "https://parsec.example.org/join/acme#hAEA";

fn view(revision: u64, role: &str, stage: &str, transport: Option<&str>, outcome: &Value) -> Value {
    json!({ "id": 1, "revision": revision, "role": role, "organisation": "acme",
        "subject": { "kind": "user", "email": "bob@example.org" }, "token": null, "invited_by": "alice@example.org",
        "attempt": null, "stage": stage, "allowed": ["cancel"], "say": null, "choices": [], "typed_required": false,
        "claimer": null, "outcome": outcome, "note": null, "transport": transport })
}

fn enrolled(registered: bool) -> Value {
    json!({ "result": "enrolled", "user": "3f1c0a5e9b7d4c2e8f60a1b2c3d4e5f6", "device": "a0b1c2d3e4f5061728394a5b6c7d8e9f",
        "root_fingerprint": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "registered": registered })
}

fn device(registration: &str) -> Value {
    json!({ "device": "a0b1c2d3e4f5061728394a5b6c7d8e9f", "user": "3f1c0a5e9b7d4c2e8f60a1b2c3d4e5f6", "organisation": "acme",
        "server": "https://parsec.example.org", "state": "unlocked", "registration": registration,
        "name": "Bob", "email": "bob@example.org", "label": "laptop", "outbox": 0 })
}

/// Answers everything that starts something.
fn starting() -> FakeDaemon {
    FakeDaemon::start(|name, _, _| match name {
        method::INVITE_USER | method::INVITE_DEVICE => Reply::result(json!({ "token": TOKEN, "link": LINK,
            "link_alias": null, "expires": 0, "mail": "not_asked", "posted": true, "p2p": false })),
        method::GREET_START => Reply::result(view(1, "greeter", "connecting", None, &Value::Null)),
        method::CLAIM_START => Reply::result(view(1, "claimer", "connecting", None, &Value::Null)),
        _ => otherwise(name),
    })
}

/// What is left out is what every daemon does: one that is older than the option refuses a
/// parameter it doesn't know.
#[test]
fn a_transport_is_passed_on_and_the_default_is_left_out() {
    let daemon = starting();
    let commands = [
        (vec!["invite", "user", "bob@example.org"], method::INVITE_USER),
        (vec!["invite", "device"], method::INVITE_DEVICE),
        (vec!["greet", TOKEN, "--detach"], method::GREET_START),
        (vec!["claim", LINK, "--detach"], method::CLAIM_START),
    ];
    for (command, method) in commands {
        for (given, wanted) in
            [("", None), ("auto", None), ("server", Some(json!("server"))), ("p2p", Some(json!("p2p")))]
        {
            let mut words = command.clone();
            words.extend(if given.is_empty() { vec![] } else { vec!["--transport", given] });
            let said = daemon.ctl(&words);
            assert_eq!(said.code, 0, "{words:?}: {said:?}");
            let asked = daemon.asked(method).pop().unwrap();
            assert_eq!(asked.get("transport").cloned(), wanted, "{words:?}");
        }
    }
    let mail: Vec<Value> =
        daemon.asked(method::INVITE_USER).iter().map(|asked| asked["mail"].clone()).collect();
    assert_eq!(
        mail,
        [json!(true), json!(true), json!(true), json!(false)],
        "without the server nobody mails"
    );
}

#[test]
fn an_invitation_that_the_server_lacks_says_so_and_what_follows() {
    for (posted, p2p) in [(true, true), (false, true), (false, false)] {
        let daemon = FakeDaemon::start(move |name, _, _| match name {
            method::INVITE_USER => Reply::result(json!({ "token": TOKEN, "link": LINK, "link_alias": null,
                "expires": 0, "mail": "not_asked", "posted": posted, "p2p": p2p })),
            method::INVITE_LIST => {
                Reply::result(json!({ "invitations": [{ "token": TOKEN, "status": "pending",
                "subject": { "kind": "user", "email": "bob@example.org" }, "created": 0, "expires": 0, "mismatches": 0,
                "attempts": 0, "can_greet": true, "posted": posted }] }))
            }
            _ => otherwise(name),
        });
        let said = daemon.ctl(&["invite", "user", "bob@example.org"]).well();
        assert_eq!(said.stdout, format!("{LINK}\n"), "the link alone is the result");
        let told = said.stderr.contains("this invitation was issued here alone, and nothing was mailed");
        assert_eq!(told, !posted, "{said:?}");
        assert_eq!(said.stderr.contains("\ngreeted from this device only, and directly"), !posted && p2p);
        assert_eq!(said.stderr.contains("nobody can use the link"), !posted && !p2p);
        let said = daemon.ctl(&["invite", "user", "bob@example.org", "--json"]).well();
        assert_eq!((&said.json()["posted"], &said.json()["p2p"]), (&json!(posted), &json!(p2p)));
        let said = daemon.ctl(&["invite", "list"]).well();
        assert_eq!(said.stdout.contains("pending, not on the server"), !posted, "{said:?}");
        if !posted {
            let said = daemon.ctl(&["invite", "user", "bob@example.org", "--transport", "p2p"]).well();
            assert!(said.stderr.contains("The server is not told of this invitation."), "{said:?}");
            assert!(!said.stderr.contains("told by itself"), "{said:?}");
        }
    }
}

/// A daemon without the field says nothing about transports.
#[test]
fn what_an_older_daemon_leaves_out_is_the_server() {
    let daemon = FakeDaemon::start(|name, _, _| match name {
        method::INVITE_USER => Reply::result(
            json!({ "token": TOKEN, "link": LINK, "link_alias": null, "expires": 0, "mail": "not_asked" }),
        ),
        method::CEREMONY_SHOW => {
            let mut view = view(1, "claimer", "connecting", None, &Value::Null);
            view.as_object_mut().unwrap().remove("transport");
            Reply::result(view)
        }
        _ => otherwise(name),
    });
    let said = daemon.ctl(&["invite", "user", "bob@example.org", "--json"]).well();
    assert_eq!((&said.json()["posted"], &said.json()["p2p"]), (&json!(true), &json!(false)));
    let said = daemon.ctl(&["ceremony", "show", "1"]).well();
    assert!(!said.stdout.contains("Transport:"), "{said:?}");
    assert_eq!(daemon.ctl(&["net", "status"]).code, 64);
}

/// A daemon whose ceremony goes through these views, and says them one after the other.
fn playing(views: &[Value]) -> FakeDaemon {
    let views = views.to_vec();
    FakeDaemon::start(move |name, _, _| match name {
        method::CEREMONY_SHOW => Reply::result(views[0].clone()),
        method::CEREMONY_WATCH => {
            let told = Reply::result(json!(1));
            views.iter().cloned().fold(told, |told, view| told.then(method::CEREMONY_CHANGED, view))
        }
        _ => otherwise(name),
    })
}

/// parsecctl at a terminal of its own.
fn open(daemon: &FakeDaemon, arguments: &[&str]) -> PtySession {
    let mut command = Command::new(binary("parsecctl"));
    command.args(arguments).env("XDG_RUNTIME_DIR", daemon.runtime()).env("TERM", "xterm");
    spawn_command(command, Some(WAIT)).unwrap()
}

#[test]
fn the_fallback_is_seen_before_anything_is_asked() {
    let mut fallen = view(2, "claimer", "connecting", Some("p2p"), &Value::Null);
    fallen["note"] = json!("the server can't be reached: no answer in time");
    let views = [
        view(1, "claimer", "connecting", None, &Value::Null),
        fallen,
        view(3, "claimer", "waiting_for_peer", Some("p2p"), &Value::Null),
        view(4, "claimer", "done", Some("p2p"), &enrolled(false)),
    ];
    let daemon = playing(&views);
    let mut session = open(&daemon, &["claim", "--ceremony", "1"]);
    // In this order. expect would pass over what is missing, so the whole is looked at, too.
    let screen = session.exp_eof().unwrap();
    let places = [
        "Connecting to the server...",
        "Directly, without the server.",
        "(the server can't be reached: no answer in time)",
        "Waiting for them...",
        "Done: you are a member of acme",
        "Pending registration: the server does not have the certificates yet.",
    ]
    .map(|words| screen.find(words).unwrap_or_else(|| panic!("{words} is not on\n{screen}")));
    assert!(places.is_sorted(), "{places:?} in\n{screen}");
    assert_eq!(screen.matches("Directly, without the server.").count(), 1, "{screen}");
    assert!(!screen.contains("Over the metadata server."), "{screen}");
}

#[test]
fn the_transport_over_the_server_is_named_and_promises_nothing_pending() {
    let views = [
        view(1, "greeter", "connecting", None, &Value::Null),
        view(2, "greeter", "waiting_for_peer", Some("server"), &Value::Null),
        view(3, "greeter", "done", Some("server"), &enrolled(true)),
    ];
    let daemon = playing(&views);
    let screen = open(&daemon, &["greet", "--ceremony", "1"]).exp_eof().unwrap();
    assert_eq!(screen.matches("Over the metadata server.").count(), 1, "{screen}");
    assert!(!screen.contains("Directly") && !screen.contains("Pending registration"), "{screen}");
}

#[test]
fn a_program_reads_the_transport_and_that_registration_is_pending() {
    let views = [
        view(1, "greeter", "connecting", None, &Value::Null),
        view(2, "greeter", "done", Some("p2p"), &enrolled(false)),
    ];
    let daemon = playing(&views);
    let said = daemon.ctl(&["greet", "--ceremony", "1", "--json"]).well();
    let last = said.json();
    assert_eq!(last["schema"], "parsec.ceremony.done/1");
    assert_eq!((&last["transport"], &last["registered"]), (&json!("p2p"), &json!(false)), "{said:?}");
}

#[test]
fn a_ceremony_is_shown_with_its_transport() {
    for (transport, words) in [
        (Some("server"), "Transport: over the metadata server"),
        (Some("p2p"), "Transport: directly, without the server"),
        (Some("pigeon"), "Transport: a way that this program is too old for"),
    ] {
        let daemon = playing(&[view(1, "claimer", "connecting", transport, &Value::Null)]);
        let said = daemon.ctl(&["ceremony", "show", "1"]).well();
        assert!(said.stdout.lines().any(|line| line == words), "{said:?}");
    }
    let daemon = playing(&[view(1, "claimer", "connecting", None, &Value::Null)]);
    assert!(!daemon.ctl(&["ceremony", "show", "1"]).well().stdout.contains("Transport:"));
}

#[test]
fn pending_registration_is_plain_to_see() {
    for (registration, pending) in [("pending", true), ("registered", false)] {
        let daemon = FakeDaemon::start(move |name, _, _| match name {
            method::DEVICE_LIST => Reply::result(json!({ "devices": [device(registration)] })),
            method::STATUS => Reply::result(json!({ "version": "1", "api_version": "2.0", "pid": 1,
                "devices": [device(registration)], "alarms": [],
                "ceremonies": [view(9, "claimer", "done", Some("p2p"), &enrolled(!pending))] })),
            _ => otherwise(name),
        });
        let said = daemon.ctl(&["device", "list"]).well();
        assert_eq!(said.stdout.contains("pending-registration"), pending, "{said:?}");
        assert_eq!(
            daemon.ctl(&["device", "list", "--json"]).well().json()["devices"][0]["registration"],
            registration
        );
        let said = daemon.ctl(&["status"]).well();
        assert_eq!(said.stdout.contains("pending-registration"), pending, "{said:?}");
        assert_eq!(
            said.stdout.contains("Device a0b1c2d3 (laptop) in acme is pending registration: "),
            pending
        );
        assert_eq!(said.stdout.contains("enrolled, pending registration"), pending, "{said:?}");
        let said = daemon.ctl(&["status", "--plain"]).well();
        assert_eq!(
            said.stdout.lines().any(|line| line == "Registration: pending-registration"),
            pending,
            "{said:?}"
        );
    }
}

#[test]
fn a_change_of_transport_is_told_with_its_reason() {
    let daemon = FakeDaemon::start(|name, _, _| match name {
        method::EVENTS_WATCH => [
            "asked",
            "server_reached",
            "server_unreachable",
            "invitation_unknown",
            "rain",
        ]
        .iter()
        .zip(1..)
        .fold(Reply::result(json!(1)), |told, (reason, id)| {
            let event =
                json!({ "type": "transport_changed", "ceremony": 7, "transport": "p2p", "reason": reason });
            let item = json!({ "kind": "event", "stream": TOKEN, "id": id, "time": 0, "event": event });
            told.then(method::EVENTS_ITEM, item)
        })
        .hang_up(),
        _ => otherwise(name),
    });
    let said = daemon.ctl(&["events"]);
    let reasons: Vec<&str> = said
        .stdout
        .lines()
        .map(|line| line.split_once("Ceremony 7 goes directly, without the server: ").unwrap().1)
        .collect();
    let wanted = [
        "it was asked for",
        "the server answers",
        "the server can't be reached",
        "the server does not have the invitation",
        "rain",
    ];
    assert_eq!(reasons, wanted, "{said:?}");
}

fn network(p2p: bool) -> Value {
    let problem =
        Problem::new(ProblemKind::ServerUnreachable, "the server can't be reached: no answer in time");
    json!({ "p2p": p2p, "relays": [], "waiting": 2, "pending": 1,
        "servers": [
            { "organisation": "acme", "server": "https://parsec.example.org", "reachable": false, "problem": problem, "since": 0 },
            { "organisation": "other", "server": "https://other.example.org", "reachable": null, "problem": null, "since": null }],
        "listening": [{ "organisation": "acme", "token": TOKEN, "peer": "12D3KooW", "relays": [], "mdns": true,
            "addresses": ["/ip4/192.0.2.7/udp/4001/quic-v1", "/ip4/192.0.2.7/tcp/4001"], "purpose": "greeting" }] })
}

#[test]
fn the_network_in_words() {
    for p2p in [true, false] {
        let daemon = FakeDaemon::start(move |name, _, _| match name {
            method::NET_STATUS => Reply::result(network(p2p)),
            _ => otherwise(name),
        });
        let said = daemon.ctl(&["net", "status"]).well();
        assert_eq!(said.stdout.starts_with("There is a peer-to-peer transport: "), p2p, "{said:?}");
        let fits = |start: &str, end: &str| {
            assert!(
                said.stdout.lines().any(|line| line.starts_with(start) && line.ends_with(end)),
                "{start}…{end}: {said:?}"
            );
        };
        fits("acme          https://parsec.example.org  no             1970-", "no answer in time");
        fits("other         https://other.example.org   not asked yet  -", "-");
        fits("00112233    acme          a newcomer  yes", "/ip4/192.0.2.7/tcp/4001          12D3KooW");
        fits("2 enrolment(s) wait for ", "by themselves.");
        fits("1 device(s) of this machine are pending registration", "reached.");
        let plain = daemon.ctl(&["net", "status", "--plain"]).well();
        for line in ["Reachable: no", "Reachable: not asked yet", "Waits for: a newcomer", "Announced: yes"] {
            assert!(plain.stdout.lines().any(|said| said == line), "{line}: {plain:?}");
        }
        assert_eq!(daemon.ctl(&["net", "status", "--json"]).well().json()["p2p"], p2p);
    }
}

#[test]
fn connections_say_whether_the_other_side_holds_the_link() {
    let daemon = FakeDaemon::start(|name, _, before| match (name, before) {
        (method::NET_PEERS, 0) => Reply::result(json!({ "peers": [
            { "token": TOKEN, "ceremony": 2, "peer": "12D3KooWA", "address": "/ip4/192.0.2.9/udp/5/quic-v1",
              "direction": "in", "carrier": "quic", "proven": true, "since": 0 },
            { "token": null, "ceremony": null, "peer": "12D3KooWB", "address": "/ip4/192.0.2.8/tcp/6",
              "direction": "out", "carrier": "pigeon", "proven": false, "since": 0 }] })),
        (method::NET_PEERS, _) => Reply::result(json!({ "peers": [] })),
        _ => otherwise(name),
    });
    let said = daemon.ctl(&["net", "peers"]).well();
    let rows: Vec<Vec<&str>> = said
        .stdout
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    assert_eq!(rows[1][..5], ["00112233", "2", "yes", "in", "QUIC"], "{said:?}");
    assert_eq!(rows[2][..5], ["-", "-", "not yet", "out", "something new"], "{said:?}");
    assert_eq!(daemon.ctl(&["net", "peers"]).well().stdout, "No other device is connected.\n");
}

fn tried(reached: bool, carrier: Option<&str>, kind: ProblemKind) -> Value {
    let problem = (!reached).then(|| Problem::new(kind, "Nobody answered."));
    json!({ "reached": reached, "micros": reached.then_some(18_250), "carrier": carrier, "problem": problem })
}

/// One way is enough for a ceremony; that is what somebody wants to know who has a link.
#[test]
fn a_ping_fails_when_no_way_leads_there() {
    for (server, peer, code) in [(true, true, 0), (true, false, 0), (false, true, 0), (false, false, 69)] {
        let daemon = FakeDaemon::start(move |name, _, _| match name {
            method::NET_PING => Reply::result(json!({
                "servers": [{ "server": "https://parsec.example.org", "ping": tried(server, None, ProblemKind::ServerUnreachable) }],
                "p2p": tried(peer, peer.then_some("quic"), ProblemKind::PeerUnreachable) })),
            _ => otherwise(name),
        });
        let said =
            ctl::run(daemon.runtime(), &["net", "ping", "--link-file", "-"], &format!("  {LINK}  \nmore\n"));
        assert_eq!(said.code, code, "{said:?}");
        // The daemon finds the link in it.
        assert_eq!(daemon.asked(method::NET_PING), [json!({ "link": format!("  {LINK}  \nmore\n") })]);
        let answers = |what: &str| {
            said.stdout.lines().any(|line| line.starts_with(&format!("{what}: answers in 18.2 ms")))
        };
        assert_eq!(
            (answers("https://parsec.example.org"), answers("The other device")),
            (server, peer),
            "{said:?}"
        );
        assert_eq!(said.stdout.contains("(peer_unreachable)"), !peer, "{said:?}");
        assert!(said.stderr.is_empty(), "the result says it all: {said:?}");
    }
}

#[test]
fn a_ping_without_a_link_fails_with_the_worst_of_the_servers() {
    let daemon = FakeDaemon::start(move |name, _, _| match name {
        method::NET_PING => Reply::result(json!({ "p2p": null, "servers": [
            { "server": "https://a.example.org", "ping": tried(true, None, ProblemKind::Internal) },
            { "server": "https://b.example.org", "ping": tried(false, None, ProblemKind::ServerTls) },
            { "server": "https://c.example.org", "ping": tried(false, None, ProblemKind::ServerUnreachable) }] })),
        _ => otherwise(name),
    });
    let said = daemon.ctl(&["net", "ping"]);
    assert_eq!(said.code, 76, "{said:?}");
    assert_eq!(daemon.asked(method::NET_PING), [json!({})]);
    assert_eq!(daemon.ctl(&["net", "ping", "--json"]).code, 76, "a program is told by the code, too");
}

/// Where the daemon says no, the remedy names the option that leads out.
#[test]
fn a_daemon_without_the_transport_says_so() {
    let daemon = FakeDaemon::start(|name, _, _| match name {
        method::CLAIM_START => {
            Reply::problem(ProblemKind::TransportUnavailable, "There is no peer-to-peer transport here.")
        }
        _ => otherwise(name),
    });
    let said = daemon.ctl(&["claim", LINK, "--transport", "p2p", "--detach"]);
    assert_eq!(said.code, 78, "{said:?}");
    assert!(said.stderr.contains("--transport server"), "{said:?}");
}
