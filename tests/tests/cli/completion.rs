//! Completion in the shells themselves: what is typed is finished as the definitions and the daemon
//! say, and no name that somebody gave themself can run anything.

use std::path::Path;
use std::process::Command;

use parsec_tests::fake_daemon::{FakeDaemon, Reply, documented};
use parsec_tests::hostile::names;
use parsec_tests::process::binary;
use parsec_tests::{ctl, installed, skip};
use rexpect::session::spawn_command;
use serde_json::{Value, json};

/// Longest wait for a shell, in milliseconds.
const WAIT: u64 = 60_000;

/// Addresses that pass for one and are a command, too. They are `local@domain` in ASCII, as the
/// server takes them.
const ADDRESSES: [&str; 6] = [
    "`touch${IFS}x`@evil.example",
    "$x;touch@evil.example",
    "b*@evil.example",
    "bob&touch@evil.example",
    "!!@evil.example",
    "~root@evil.example",
];

/// Names of members that a shell would act on.
const NAMES: [&str; 6] =
    ["$(touch x)", "`touch x`", "'; touch x; '", "\"; touch x; \"", "Bob %1F{red}", "-n \\c"];

/// Members: Bob, and all who would like to run something.
fn members() -> Value {
    let mut result = documented()["user.list"].clone();
    let one = result["users"][0].clone();
    let member = |email: &str, name: &str| {
        let mut member = one.clone();
        member["email"] = json!(email);
        member["name"] = json!(name);
        member
    };
    let mut all = vec![member("bob@acme.example", NAMES[0])];
    let parses = |email: &&&str| email.parse::<parsec_protocol::ids::Email>().is_ok();
    all.extend(ADDRESSES.iter().filter(parses).map(|email| member(email, "Eve")));
    all.extend(NAMES.iter().enumerate().map(|(index, name)| member(&format!("m{index}@acme.example"), name)));
    result["users"] = Value::Array(all);
    result
}

/// A daemon full of hostile names, in a folder of its own where nothing may appear.
fn stage() -> (FakeDaemon, tempfile::TempDir) {
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    std::fs::create_dir(folder.path().join("here")).unwrap();
    let daemon = FakeDaemon::start_in(&folder.path().join("run"), |method, _, _| match method {
        "user.list" => Reply::result(members()),
        other => documented().remove(other).map_or_else(Reply::unknown, Reply::result),
    });
    (daemon, folder)
}

fn shell(program: &str, arguments: &[&str], daemon: &FakeDaemon, folder: &Path) -> Command {
    let mut path = vec![binary("parsecctl").parent().unwrap().to_owned()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(folder.join("here"))
        .env("PATH", std::env::join_paths(path).unwrap())
        .env("XDG_RUNTIME_DIR", daemon.runtime())
        .env("HOME", folder)
        .env("XDG_CONFIG_HOME", folder)
        .env("TERM", "dumb")
        .env_remove("HISTFILE");
    command
}

/// Types lines at an interactive shell, a TAB behind each, and reads what became of them: they are
/// echoed, not run.
fn typed(command: Command, prepare: &str, lines: &[&str]) -> Vec<String> {
    let mut session = spawn_command(command, Some(WAIT)).unwrap();
    session.send_line(prepare).unwrap();
    let mut became = Vec::new();
    for line in lines {
        session.exp_string("ready> ").unwrap();
        // Ctrl-A: to the start of the line; Ctrl-E: to its end. The quotes tell what is typed from
        // what is said.
        session.send(&format!("{line}\t\x01echo BEC''AME \x05\r")).unwrap();
        session.flush().unwrap();
        session.exp_string("BECAME ").unwrap();
        became.push(session.exp_string("\n").unwrap().trim().to_owned());
    }
    // An interactive shell shrugs at a polite signal: it would be waited for as long as for an
    // answer.
    session.exp_string("ready> ").unwrap();
    session.send_line("exit").unwrap();
    session.exp_eof().unwrap();
    became
}

/// What is typed, and what the shell makes of it.
const LINES: [(&str, &str); 7] = [
    ("parsecctl gre", "parsecctl greet"),
    ("parsecctl trust ver", "parsecctl trust verify"),
    ("parsecctl trust show b", "parsecctl trust show bob@acme.example"),
    ("parsecctl trust show bob@ac", "parsecctl trust show bob@acme.example"),
    ("parsecctl greet --profile=st", "parsecctl greet --profile=standard"),
    ("parsecctl status --organisation=ac", "parsecctl status --organisation=acme"),
    // Nothing but what cannot be offered begins like this.
    ("parsecctl trust show '`'", "parsecctl trust show `"),
];

fn assert_finished(became: &[String], folder: &Path) {
    for ((line, wanted), became) in LINES.iter().zip(became) {
        assert_eq!(became, wanted, "{line}");
    }
    assert_eq!(became.len(), LINES.len());
    let left: Vec<_> = std::fs::read_dir(folder.join("here")).unwrap().collect();
    assert!(left.is_empty(), "something ran: {left:?}");
}

#[test]
fn bash_finishes_what_is_typed() {
    if !installed("bash") {
        return skip("bash_finishes_what_is_typed", "bash is not installed");
    }
    let (daemon, folder) = stage();
    let command = shell("bash", &["--norc", "--noprofile", "-i"], &daemon, folder.path());
    let prepare = "source <(parsecctl completion bash); PS1=re''ady'> '";
    assert_finished(&typed(command, prepare, &LINES.map(|(line, _)| line)), folder.path());
}

#[test]
fn zsh_finishes_what_is_typed() {
    if !installed("zsh") {
        return skip("zsh_finishes_what_is_typed", "zsh is not installed");
    }
    let (daemon, folder) = stage();
    let command = shell("zsh", &["-f", "-i"], &daemon, folder.path());
    let prepare = "bindkey -e; autoload -U compinit; compinit -u -D; source <(parsecctl completion zsh); PS1=re''ady'> '";
    assert_finished(&typed(command, prepare, &LINES.map(|(line, _)| line)), folder.path());
}

#[test]
fn fish_finishes_what_is_typed() {
    if !installed("fish") {
        return skip("fish_finishes_what_is_typed", "fish is not installed");
    }
    let (daemon, folder) = stage();
    for (line, wanted) in &LINES[..6] {
        let script = "parsecctl completion fish | source; complete -C $argv[1]";
        let mut command = shell("fish", &["--no-config", "-c", script, line], &daemon, folder.path());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let last = wanted.rsplit(' ').next().unwrap();
        let offered: Vec<&str> = said.lines().map(|line| line.split('\t').next().unwrap()).collect();
        assert_eq!(offered, [last], "{line}: {said} {}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(std::fs::read_dir(folder.path().join("here")).unwrap().count(), 0, "something ran");
}

/// What the scripts are given, for every hostile name as a member's, a token's and an address.
#[test]
fn only_words_are_offered() {
    let (daemon, _folder) = stage();
    let offered = ctl::run(daemon.runtime(), &["__complete"], "parsecctl\0trust\0show\0\0").well().stdout;
    let values: Vec<&str> = offered.lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(values.len(), 1 + NAMES.len(), "{offered}");
    assert!(values.iter().all(|value| value.ends_with("@acme.example")), "{values:?}");

    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let tokens: Vec<Value> = names()
        .iter()
        .map(|name| {
            json!({"id": name, "name": name, "methods": [], "created": 0, "expires": 0, "rate_per_minute": 1,
                "uses": 0, "refused": 0, "last_used": null, "revoked": false, "expired": false})
        })
        .collect();
    let good = json!({"id": "abcd", "name": "$(touch x)\nforged\tline", "methods": [], "created": 0, "expires": 0,
        "rate_per_minute": 1, "uses": 0, "refused": 0, "last_used": null, "revoked": false, "expired": false});
    let all: Vec<Value> = tokens.into_iter().chain([good]).collect();
    let daemon = FakeDaemon::start_in(folder.path(), move |method, _, _| match method {
        "token.list" => Reply::result(json!({ "tokens": all })),
        _ => Reply::unknown(),
    });
    let offered = ctl::run(daemon.runtime(), &["__complete"], "parsecctl\0token\0revoke\0\0").well().stdout;
    assert!(offered.lines().any(|line| line.starts_with("abcd\t")), "{offered}");
    for line in offered.lines() {
        let (value, about) = line.split_once('\t').unwrap();
        assert!(value.chars().all(|c| c.is_ascii_alphanumeric() || "@._+-".contains(c)), "{value:?}");
        assert!(!about.chars().any(parsec_tests::hostile::has_effect), "{about:?}");
    }
}

/// Somebody at a prompt must not wait for a daemon that doesn't answer, nor read its excuses.
#[test]
fn a_daemon_that_says_nonsense_leaves_the_line_alone() {
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let daemon = FakeDaemon::start_in(folder.path(), |_, _, _| Reply::raw(b"HTTP/1.1 400\r\n\r\n".to_vec()));
    let said = ctl::run(daemon.runtime(), &["__complete"], "parsecctl\0greet\0\0").well();
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", ""));
}
