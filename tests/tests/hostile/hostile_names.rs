//! Whatever a daemon, a server or a member calls itself: nothing of it steers the terminal, forges
//! a line or changes a value in JSON.
//!
//! A fake one stands in for the daemon, because a real one refuses most of these names before they
//! get as far. What it answers are the examples of docs/local-api.md with hostile text in every
//! field that takes any.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use parsec_protocol::control::{Problem, ProblemKind};
use parsec_tests::ctl::{self, Said};
use parsec_tests::fake_daemon::{FakeDaemon, Reply, documented};
use parsec_tests::hostile::{effect_in, names};
use serde_json::{Value, json};

/// Commands that print what others say.
const COMMANDS: &[&str] = &[
    "status",
    "device list",
    "device lock",
    "invite list",
    "invite user bob@example.org --no-mail",
    "invite device",
    "ceremony list",
    "ceremony show 1",
    "ceremony cancel 1",
    "user list",
    "user show bob@example.org",
    "trust verify",
    "trust show bob@example.org",
    "net status",
    "net peers",
    "net ping",
    "token list",
    "token uses",
    "rpc hello",
    "rpc call status.show",
];
/// How each is run.
const WAYS: [&[&str]; 3] = [&[], &["--plain"], &["--json"]];
/// Names in one run: 676 are 26 times 26.
const AT_ONCE: usize = 26;
/// Fewest fields that take any text; fewer means that the examples aren't read any more.
const PLACES_MIN: usize = 25;

/// The daemon's answers, by method, as a test sets them.
#[derive(Default)]
struct Answers(BTreeMap<String, Reply>);

/// Pointers to every text in a value.
fn texts(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::String(_) => found.push(at.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| texts(item, &format!("{at}/{index}"), found));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| texts(field, &format!("{at}/{name}"), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Every text in a value.
fn strings(value: &Value, found: &mut Vec<String>) {
    let mut places = Vec::new();
    texts(value, "", &mut places);
    found.extend(places.iter().filter_map(|place| value.pointer(place)?.as_str().map(str::to_owned)));
}

/// Nothing on either stream has an effect, and no line is there that a harmless name doesn't make.
fn assert_harmless(said: &Said, harmless: &Said, what: &str) {
    for (stream, usual) in [(&said.stdout, &harmless.stdout), (&said.stderr, &harmless.stderr)] {
        if let Some(c) = effect_in(stream) {
            panic!("{what}: U+{:04X} got through in {stream:?}", u32::from(c));
        }
        assert_eq!(
            stream.lines().count(),
            usual.lines().count(),
            "{what}: forged lines in\n{stream}\nnot\n{usual}"
        );
        let longest = stream.chars().fold((0, 0), |(longest, run), c| {
            let run = if ('\u{300}'..='\u{36f}').contains(&c) { run + 1 } else { 0 };
            (longest.max(run), run)
        });
        assert!(longest.0 <= 4, "{what}: {} marks on one letter", longest.0);
    }
}

struct TestBed {
    // Before the folder that its socket is in.
    daemon: FakeDaemon,
    _folder: tempfile::TempDir,
    answers: Arc<Mutex<Answers>>,
}

impl TestBed {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
        let answers = Arc::new(Mutex::new(Answers::default()));
        let asked = Arc::clone(&answers);
        let daemon = FakeDaemon::start_in(folder.path(), move |method, _, _| {
            asked.lock().unwrap().0.get(method).cloned().unwrap_or_else(Reply::unknown)
        });
        Self { daemon, _folder: folder, answers }
    }

    fn say(&self, method: &str, reply: Reply) {
        self.answers.lock().unwrap().0.insert(method.to_owned(), reply);
    }

    fn run(&self, command: &str, way: &[&str]) -> Said {
        let arguments: Vec<&str> = command.split(' ').chain(way.iter().copied()).collect();
        ctl::run(self.daemon.runtime(), &arguments, "")
    }
}

/// The method a command calls: the one whose absence it notices.
fn method_of(command: &str) -> &'static str {
    match command {
        "status" | "rpc call status.show" => "status.show",
        "device list" => "device.list",
        "device lock" => "device.lock",
        "invite list" => "invite.list",
        "invite device" => "invite.device",
        "ceremony list" => "ceremony.list",
        "ceremony show 1" => "ceremony.show",
        "ceremony cancel 1" => "ceremony.cancel",
        "user list" => "user.list",
        "trust verify" => "trust.verify",
        "net status" => "net.status",
        "net peers" => "net.peers",
        "net ping" => "net.ping",
        "token list" => "token.list",
        "token uses" => "token.uses",
        "rpc hello" => "rpc.hello",
        other if other.starts_with("invite user") => "invite.user",
        other if other.starts_with("user show") => "user.show",
        other if other.starts_with("trust show") => "trust.show",
        other => panic!("{other}"),
    }
}

#[test]
fn there_are_676_different_names() {
    let mut all = names();
    assert_eq!(all.len(), 676);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 676, "some are there twice");
}

#[test]
fn no_name_in_any_place_has_an_effect() {
    let stage = TestBed::new();
    let examples = documented();
    let all = names();
    let mut places = 0;
    for command in COMMANDS {
        let method = method_of(command);
        let Some(example) = examples.get(method) else {
            // What no daemon serves yet is shown in no document.
            eprintln!("{method} has no example in docs/local-api.md");
            continue;
        };
        let mut found = Vec::new();
        texts(example, "", &mut found);
        let with = |value: &str, free: &[String]| {
            let mut answer = example.clone();
            free.iter().for_each(|place| *answer.pointer_mut(place).unwrap() = json!(value));
            stage.say(method, Reply::result(answer));
        };
        // Fields of a type of their own refuse what is not one; the others take any text.
        let free: Vec<String> = found
            .into_iter()
            .filter(|place| {
                with("a\u{1b}[2J\nb", std::slice::from_ref(place));
                stage.run(command, &[]).code == 0
            })
            .collect();
        places += free.len();
        for way in WAYS {
            with("harmless", &free);
            let harmless = stage.run(command, way);
            assert_eq!(harmless.code, 0, "{command} {way:?}: {harmless:?}");
            if free.is_empty() {
                continue;
            }
            for some in all.chunks(AT_ONCE) {
                let name = some.concat();
                with(&name, &free);
                let said = stage.run(command, way);
                let what = format!("{command} {way:?} with {name:?}");
                assert_eq!(said.code, 0, "{what}: {said:?}");
                assert_harmless(&said, &harmless, &what);
                if way == ["--json"] {
                    let mut values = Vec::new();
                    strings(&said.json(), &mut values);
                    assert!(values.contains(&name), "{what}: the value itself is not in {}", said.stdout);
                }
            }
        }
    }
    eprintln!("{} names in {places} places of {} commands, three ways each", all.len(), COMMANDS.len());
    assert!(places >= PLACES_MIN, "only {places} places");
}

#[test]
fn no_problem_speaks_for_us() {
    let stage = TestBed::new();
    let mut problem = serde_json::to_value(Problem::new(ProblemKind::CodeMismatch, "m")).unwrap();
    let mut with = |name: &str| {
        ["message", "hint", "name"].into_iter().for_each(|field| problem[field] = json!(name));
        stage.say("device.list", Reply::problem_data(problem.clone()));
    };
    let all = names();
    for way in [WAYS[0], WAYS[2]] {
        with("harmless");
        let harmless = stage.run("device list", way);
        for name in &all {
            with(name);
            let said = stage.run("device list", way);
            assert_eq!(said.code, 76, "{name:?}: {said:?}");
            assert_harmless(&said, &harmless, &format!("{name:?}"));
            if way == ["--json"] {
                assert_eq!(said.json()["problem"]["message"], json!(name));
            }
        }
    }
    eprintln!("{} names in three fields of a problem, two ways each", all.len());
}

#[test]
fn no_event_and_no_argument_has_an_effect() {
    let stage = TestBed::new();
    let says = |name: &str| {
        let item = |event: Value| {
            json!({"jsonrpc": "2.0", "method": "events.item", "params": {"subscription": 1, "result":
                {"kind": "event", "stream": "ab", "id": 1, "time": 0, "event": event}}})
        };
        let items = vec![
            item(json!({"type": "token_created", "id": name, "name": name})),
            item(json!({"type": "token_refused", "id": name, "method": name, "problem": "token_invalid"})),
            item(json!({"type": "transport_changed", "ceremony": 1, "transport": name, "reason": name})),
            item(json!({"type": name, "what": name})),
        ];
        stage
            .say("events.watch", items.into_iter().fold(Reply::result(json!(1)), Reply::then_line).hang_up());
    };
    for way in WAYS {
        says("harmless");
        let harmless = stage.run("events", way);
        assert!(harmless.stdout.lines().count() >= 4, "{harmless:?}");
        for some in names().chunks(AT_ONCE) {
            let name = some.concat();
            says(&name);
            let said = stage.run("events", way);
            assert_harmless(&said, &harmless, &format!("events {way:?} with {name:?}"));
        }
    }
    // A name can come from a script's list, too: what is wrong with it is said without doing what
    // it says.
    for name in names().iter().filter(|name| !name.contains('\0')) {
        let said = ctl::run(stage.daemon.runtime(), &["invite", "user", name], "");
        assert_eq!(said.code, 64, "{said:?}");
        let bad = effect_in(&said.stderr);
        assert!(bad.is_none() && said.stdout.is_empty(), "{name:?}: {bad:?} got through: {said:?}");
    }
}
