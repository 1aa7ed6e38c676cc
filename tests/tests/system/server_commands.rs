//! The server's program as its operator meets it: mistyped paths, outputs that can't be written,
//! two servers on one file, hang-ups.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use parsec_protocol::control::DeviceState;
use parsec_tests::fixture::{Fixture, FixtureOptions};
use parsec_tests::process::{binary, signal_by_id};
use parsec_tests::ready::{Ready, in_file, logged};
use parsec_tests::server::{NO_LIMITS, Server, metadata};
use rexpect::session::spawn_command;
use rustix::process::{Pid, Signal, kill_process};

/// Longest wait for a program at a terminal, in milliseconds.
const WAIT: u64 = 60_000;

fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_mistyped_database_is_an_error_that_names_it_and_makes_nothing() {
    let folder = folder();
    let (typo, backup) = (folder.path().join("tpyo.sqlite"), folder.path().join("backup"));
    // The first one is made, and that is said; what stands beside it is a slip.
    let first = metadata(&["organisation", "create", "acme"], &folder.path().join("db.sqlite"));
    assert!(first.status.success(), "{}", said(&first));
    assert!(String::from_utf8_lossy(&first.stderr).contains("a new database was made"), "{}", said(&first));
    let there = || std::fs::read_dir(folder.path()).unwrap().count();
    let before = there();
    for command in [
        &["organisation", "list"][..],
        &["organisation", "token", "acme"],
        &["organisation", "create", "acme"],
        &["backup", backup.to_str().unwrap()],
        &["restore", backup.to_str().unwrap()],
        &["serve", "--listen", "127.0.0.1:0"],
    ] {
        let output = metadata(command, &typo);
        let code = if command[0] == "serve" { 78 } else { 1 };
        assert_eq!(output.status.code(), Some(code), "{command:?}: {}", said(&output));
        assert!(said(&output).contains(typo.to_str().unwrap()), "{command:?}: {}", said(&output));
    }
    assert_eq!(there(), before, "something was made");
    let made = metadata(&["organisation", "create", "acme", "--create"], &typo);
    assert!(made.status.success(), "{}", said(&made));
}

#[test]
fn settings_with_which_nothing_could_work_stop_the_start() {
    let folder = folder();
    let database = folder.path().join("db.sqlite");
    let absent = folder.path().join("absent");
    let mail = folder.path().join("mail");
    std::fs::write(&mail, "a file").unwrap();
    for (options, wanted) in [
        (&["--mail-directory", absent.to_str().unwrap()][..], absent.to_str().unwrap()),
        (&["--mail-directory", mail.to_str().unwrap()], mail.to_str().unwrap()),
        (&["--behind-proxy"], "--public-url is missing"),
        (&["--public-url", "http://parsec.example.org"], "--public-url must be"),
        (&["--public-url", "https://parsec.example.org/path"], "--public-url must be"),
        (&["--public-url", "https://parsec_server.example.org"], "--public-url must be"),
    ] {
        let command = [&["serve", "--create", "--listen", "127.0.0.1:0"], options].concat();
        let output = metadata(&command, &database);
        assert_eq!(output.status.code(), Some(78), "{options:?}: {}", said(&output));
        assert!(said(&output).contains(wanted), "{options:?}: {}", said(&output));
    }
}

#[test]
fn a_second_server_on_one_file_is_refused_under_every_name_of_it() {
    let folder = folder();
    let mut server = Server::start(folder.path(), NO_LIMITS);
    let link = folder.path().join("link.sqlite");
    std::os::unix::fs::symlink(server.database(), &link).unwrap();
    for name in [server.database(), link] {
        let output = metadata(&["serve", "--listen", "127.0.0.1:0"], &name);
        assert_eq!(output.status.code(), Some(69), "{}", said(&output));
        assert!(said(&output).contains("another parsec-metadata"), "{}", said(&output));
    }
    // A killed one leaves no lock behind.
    server.restart();
    let _token = server.reserve("acme");
}

/// Runs a program with an output that takes nothing.
fn to(output: Stdio, program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary(program));
    command.args(arguments).stdin(Stdio::null()).stdout(output).stderr(Stdio::piped());
    command.env_remove("XDG_RUNTIME_DIR");
    command.spawn().unwrap().wait_with_output().unwrap()
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// A pipe whose reader has gone.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// The same with standard output closed before the program starts.
fn without(program: &str, arguments: &[&str]) -> Output {
    Command::new("sh")
        .args(["-c", "exec \"$@\" >&-", "sh"])
        .arg(binary(program))
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn an_output_that_takes_nothing_is_a_failure_without_a_panic() {
    let folder = folder();
    let database = folder.path().join("db.sqlite");
    assert!(metadata(&["organisation", "create", "one", "--create"], &database).status.success());
    let list = ["organisation", "list", "--database", database.to_str().unwrap()];
    for (program, arguments) in [
        ("parsec-metadata", &["--version"][..]),
        ("parsec-metadata", &["--help"]),
        ("parsec-metadata", &["serve", "--help"]),
        ("parsec-metadata", &list),
        ("parsecd", &["--version"]),
        ("parsecd", &["--help"]),
    ] {
        for (output, code) in [
            (to(full(), program, arguments), 74),
            (without(program, arguments), 74),
            (to(closed_pipe(), program, arguments), 141),
        ] {
            let words = said(&output);
            assert_eq!(output.status.code(), Some(code), "{program} {arguments:?}: {words}");
            assert!(!words.contains("panicked"), "{program} {arguments:?}: {words}");
            assert_eq!(words.is_empty(), code == 141, "quiet where nobody reads: {words}");
        }
        assert!(to(Stdio::null(), program, arguments).status.success(), "who discards it has it");
    }
    // Errors that can't be said: the code says them.
    let output = Command::new(binary("parsec-metadata")).arg("--nonsense").stderr(full()).status().unwrap();
    assert_eq!(output.code(), Some(64));
}

#[test]
fn a_token_that_could_not_be_shown_can_be_had_again() {
    let folder = folder();
    let database = folder.path().join("db.sqlite");
    let path = database.to_str().unwrap();
    assert!(metadata(&["organisation", "create", "zero", "--create"], &database).status.success());
    for (number, code) in [(1, 74), (2, 141), (3, 74)] {
        let name = format!("org{number}");
        for verb in ["create", "token"] {
            let arguments = ["organisation", verb, &name, "--database", path];
            let output = match number {
                1 => to(full(), "parsec-metadata", &arguments),
                2 => to(closed_pipe(), "parsec-metadata", &arguments),
                _ => without("parsec-metadata", &arguments),
            };
            assert_eq!(output.status.code(), Some(code), "{}", said(&output));
            let remedy = format!("parsec-metadata organisation token {name} --database {path}");
            assert!(said(&output).contains(&remedy), "{}", said(&output));
        }
        let again = metadata(&["organisation", "token", &name], &database);
        assert_eq!(again.stdout.len(), 65, "{}", said(&again));
    }
}

#[test]
fn a_log_that_nobody_takes_ends_no_server() {
    let folder = folder();
    for stderr in [full(), closed_pipe()] {
        let mut child = Command::new(binary("parsec-metadata"))
            .args(["serve", "--create", "--listen", "127.0.0.1:0", "--ready-fd", "1", "--database"])
            .arg(folder.path().join("db.sqlite"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("127.0.0.1:"), "{line:?}");
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn a_hang_up_takes_no_keys_from_a_daemon_that_has_no_terminal() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    fixture.alice.process().signal(Signal::HUP);
    logged(fixture.alice.process(), "a hang-up that means nothing here", 1);
    assert_eq!(fixture.alice.status().devices[0].state, DeviceState::Unlocked);
}

/// A program in the background of a terminal that goes away once the program is ready; its log
/// afterwards, from when it has these words.
fn terminal_goes(folder: &Path, before: &[&str], program: &[&str], words: &str) -> String {
    let [ready, log, id] = ["ready", "log", "id"].map(|name| folder.join(name));
    let waiting = Ready::new(&ready);
    // Whoever runs the tests may ignore hang-ups, and what it starts would, too.
    let mut shell = Command::new("env");
    shell.args([
        "--default-signal=HUP",
        "sh",
        "-c",
        "log=$1; id=$2; shift 2; \"$@\" 2>\"$log\" & echo $! >\"$id\"; wait",
        "sh",
    ]);
    shell.arg(&log).arg(&id).args(before).arg(binary(program[0])).args(&program[1..]);
    shell.arg("--ready-file").arg(&ready).env("XDG_RUNTIME_DIR", folder).env("HOME", folder);
    let session = spawn_command(shell, Some(WAIT)).unwrap();
    waiting.appeared();
    // The shell is ended, as by a window that is closed, and the kernel takes the terminal from
    // what it leaves behind.
    drop(session);
    let found = in_file(&log, words);
    let id: u32 = std::fs::read_to_string(id).unwrap().trim().parse().unwrap();
    if !before.is_empty() {
        signal_by_id(id, Signal::TERM);
        let _ = in_file(&log, "stopp");
    }
    found
}

#[test]
fn what_was_started_in_a_terminal_ends_with_it_unless_it_was_told_to_stay() {
    let place = folder();
    let (data, database) = (place.path().join("data"), place.path().join("db.sqlite"));
    let daemon = ["parsecd", "--data-dir", data.to_str().unwrap()];
    let server = [
        "parsec-metadata",
        "serve",
        "--create",
        "--listen",
        "127.0.0.1:0",
        "--database",
        database.to_str().unwrap(),
    ];
    terminal_goes(place.path(), &[], &daemon, "the terminal it was started in is gone");
    terminal_goes(place.path(), &["nohup"], &daemon, "a hang-up that means nothing here");
    terminal_goes(place.path(), &[], &server, "the terminal that this server was started in is gone");
    terminal_goes(place.path(), &["nohup"], &server, "reloaded");
}
