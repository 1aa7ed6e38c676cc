//! Standard input and output as they come: closed, full, a pipe that nobody reads, a socket.
//! Nothing panics, the exit code is the right one, and what was done is said though it can't be
//! shown.

use std::fs::File;
use std::io::Write as _;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use parsec_protocol::control::{DeviceSelector, DeviceState, InviteListResult, TokenListResult, method};
use parsec_tests::ctl::{self, Said};
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_PASSWORD, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::process::{Daemon, binary};

/// Every command is a session of its own, and the device was unlocked by none of them.
const CONFIRMED: FixtureOptions = FixtureOptions {
    organisation: "acme",
    typed_codes: false,
    direct: false,
    daemon: Daemon::LightKeyFiles,
    server_options: &[],
    daemon_options: &["--approval", "device"],
    within: "/tmp",
};

/// The disk and the pipe, by the exit codes of docs/cli.md.
const DISK: i32 = 74;
const NOT_MADE: i32 = 1;
const CLOSED: i32 = 141;

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// A pipe whose reader has gone.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// Runs parsecctl with such an output.
fn run(device: &Device, arguments: &[&str], stdout: Stdio) -> Said {
    let mut command = ctl::command(&device.runtime(), arguments);
    command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
    ctl::said(&command.output().unwrap())
}

/// Runs parsecctl with its output closed, as `>&-` does.
fn run_closed(device: &Device, arguments: &[&str]) -> Said {
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" >&-", "sh"]).arg(binary("parsecctl")).args(arguments);
    command.env("XDG_RUNTIME_DIR", device.runtime()).stdin(Stdio::null()).stderr(Stdio::piped());
    ctl::said(&command.output().unwrap())
}

fn invitations(device: &Device) -> usize {
    let all: InviteListResult = device.call(method::INVITE_LIST, DeviceSelector::default()).unwrap();
    all.invitations.iter().filter(|it| it.status == "pending").count()
}

fn tokens(device: &Device) -> usize {
    device.call::<TokenListResult>(method::TOKEN_LIST, ()).unwrap().tokens.len()
}

#[test]
fn what_was_done_is_said_though_it_cannot_be_shown() {
    let fixture = Fixture::found(CONFIRMED);
    let alice = &fixture.alice;
    for (stdout, code) in [(full as fn() -> Stdio, DISK), (unread, CLOSED)] {
        let before = invitations(alice);
        let said = run(alice, &["invite", "user", BOB_EMAIL, "--no-mail", "--quiet"], stdout());
        assert_eq!(said.code, code, "{}", said.stderr);
        assert!(
            said.stderr.contains("stands") && said.stderr.contains("parsecctl invite cancel "),
            "{}",
            said.stderr
        );
        assert_eq!(invitations(alice), before + 1);

        let said = run(alice, &["token", "create", "x", "--method", "status.show"], stdout());
        assert_eq!(said.code, code, "{}", said.stderr);
        assert!(said.stderr.contains("was revoked again"), "{}", said.stderr);
        assert_eq!(tokens(alice), 0, "nobody has its secret");

        // The words are for a person, with --json too: stdout takes nothing.
        for json in [false, true] {
            let arguments = if json { &["device", "lock", "--json"][..] } else { &["device", "lock"] };
            let said = run(alice, arguments, stdout());
            assert_eq!(said.code, code, "{}", said.stderr);
            assert!(
                said.stderr.contains("is locked") && said.stderr.contains("device list"),
                "{}",
                said.stderr
            );
            assert_eq!(alice.devices()[0].state, DeviceState::Locked);
        }
        alice.unlock(ALICE_PASSWORD).unwrap();
    }
    // Who only looks has done nothing: a full disk is named, a reader that went away is not.
    let said = run(alice, &["status"], full());
    assert_eq!((said.code, said.stderr.contains("What was done")), (DISK, false), "{}", said.stderr);
    let said = run(alice, &["status"], unread());
    assert_eq!((said.code, said.stderr.as_str()), (CLOSED, ""));
}

#[test]
fn a_secret_that_would_be_lost_is_not_made() {
    let fixture = Fixture::found(CONFIRMED);
    let alice = &fixture.alice;
    for arguments in [
        &["invite", "user", BOB_EMAIL, "--no-mail", "--quiet"][..],
        &["invite", "device"],
        &["token", "create", "x", "--method", "status.show"],
    ] {
        let said = run_closed(alice, arguments);
        assert_eq!(said.code, NOT_MADE, "{}", said.stderr);
        assert!(said.stderr.contains("would be lost"), "{}", said.stderr);
    }
    assert_eq!((invitations(alice), tokens(alice)), (0, 0));
    // Whoever throws a result away on purpose may.
    let null = || File::options().write(true).open("/dev/null").unwrap().into();
    assert_eq!(run(alice, &["invite", "user", BOB_EMAIL, "--no-mail"], null()).code, 0);
}

#[test]
fn help_that_cannot_be_written_is_no_success() {
    for program in ["parsecctl", "parsecd"] {
        for option in ["--help", "--version"] {
            for (stdout, code) in [(full as fn() -> Stdio, DISK), (unread, CLOSED)] {
                let mut command = Command::new(binary(program));
                command.arg(option).stdin(Stdio::null()).stdout(stdout()).stderr(Stdio::piped());
                let said = ctl::said(&command.output().unwrap());
                assert_eq!(said.code, code, "{program} {option}: {}", said.stderr);
                assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
            }
        }
    }
}

/// What refuses to start says so with its exit code even where its words go nowhere.
#[test]
fn a_daemon_whose_words_cannot_be_written_does_not_panic() {
    let mut command = Command::new(binary("parsecd"));
    // A folder can't be made below a file, whoever asks.
    command.args(["--data-dir", "/dev/null/data", "--socket", "/dev/null/run/socket"]);
    command.stdin(Stdio::null()).stdout(full()).stderr(full());
    let code = command.status().unwrap().code();
    assert!(code.is_some_and(|code| (64..=78).contains(&code)), "{code:?}");
}

#[test]
fn a_file_on_standard_output_is_the_file_and_comes_back_in() {
    let fixture = Fixture::found(CONFIRMED);
    let folder = fixture.path("elsewhere");
    std::fs::create_dir_all(&folder).unwrap();
    let run = |arguments: &[&str], stdin: Stdio| {
        let mut command = ctl::command(&fixture.alice.runtime(), arguments);
        command.current_dir(&folder).stdin(stdin);
        command.output().unwrap()
    };
    let written = run(&["trust", "export", "-"], Stdio::null());
    assert!(written.status.success(), "{written:?}");
    assert!(std::fs::read_dir(&folder).unwrap().next().is_none(), "no file is called -");
    assert!(run(&["trust", "export", "named"], Stdio::null()).status.success());
    let named = std::fs::read(folder.join("named")).unwrap();
    // The time in the signed head differs.
    assert_eq!(written.stdout.len(), named.len());
    let back = run(&["trust", "import", "-", "--yes"], File::open(folder.join("named")).unwrap().into());
    assert!(back.status.success(), "{back:?}");
    let refused = run(&["trust", "export", "-", "--json"], Stdio::null());
    assert_eq!(refused.status.code(), Some(64));
    assert_eq!(fixture.alice.ctl(&["trust", "export", "-"]).code, 0);
    let full = self::run(&fixture.alice, &["trust", "export", "-"], full());
    assert_eq!(full.code, DISK, "{}", full.stderr);
}

/// A secret on a descriptor that is a socket, as Node gives it, one end of which may stay open.
#[test]
fn a_secret_is_read_from_the_descriptor_as_it_is() {
    let fixture = Fixture::found(CONFIRMED);
    let unlock = |options: &[&str], ends: bool| {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        // Whoever shares it may have made it so.
        ours.set_nonblocking(true).unwrap();
        let _locked = fixture.alice.ctl(&["device", "lock"]).well();
        let mut command = ctl::command(&fixture.alice.runtime(), &[&["device", "unlock"], options].concat());
        command.stdin(Stdio::from(OwnedFd::from(ours))).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        writeln!(theirs, "{ALICE_PASSWORD}").unwrap();
        if ends {
            theirs.shutdown(Shutdown::Write).unwrap();
        }
        let said = ctl::said(&child.wait_with_output().unwrap());
        drop(theirs);
        said
    };
    for options in [
        &["--password-file", "-"][..],
        &["--password-file", "/dev/stdin"],
        &["--password-file", "/dev/fd/0"],
        &["--password-fd", "0"],
    ] {
        for ends in [true, false] {
            let said = unlock(options, ends).well();
            assert!(said.stdout.contains("is unlocked"), "{said:?}");
        }
    }
}

/// What comes behind the first line is the next reader's.
#[test]
fn two_secrets_come_from_one_descriptor() {
    let fixture = Fixture::found(CONFIRMED);
    let path: &Path = &fixture.path("secrets");
    std::fs::write(path, format!("{ALICE_PASSWORD}\nanother word for alice 77\n")).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" 3<\"$0\""]).arg(path).arg(binary("parsecctl"));
    command.args(["device", "password", "--password-fd", "3", "--new-password-fd", "3"]);
    command.env("XDG_RUNTIME_DIR", fixture.alice.runtime()).stdin(Stdio::null());
    let said = ctl::said(&command.output().unwrap());
    assert_eq!(said.code, 0, "{}", said.stderr);
    let _locked = fixture.alice.ctl(&["device", "lock"]).well();
    fixture.alice.unlock("another word for alice 77").unwrap();
}
