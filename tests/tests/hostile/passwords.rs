//! Where a password goes on its way from a person to the daemon: from the terminal to one line on
//! the socket, by the system's own account of every call. And what a crash leaves of it: no core
//! file, of neither program.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use parsec_protocol::control::{DeviceView, ProblemKind, method};
use parsec_tests::device::{Device, private_folder};
use parsec_tests::fixture::{ALICE_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::logs::files;
use parsec_tests::process::{Daemon, NOBODY, as_nobody, binary};
use parsec_tests::unanswered::Unanswered;
use parsec_tests::{installed, skip};
use rexpect::session::spawn_command;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

const PASSWORD: &str = "seven purple tortoises sing";

#[test]
fn a_typed_password_is_read_once_and_written_once() {
    const NAME: &str = "a_typed_password_is_read_once_and_written_once";
    if !installed("strace") {
        return skip(NAME, "strace is not installed");
    }
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let mut device = Device::start_one(Daemon::Shipped, "owner", &folder.path().join("t"), &[]);
    // A file for each thread: in one for all, a call that another thread interrupts is cut into two
    // lines.
    let traces = folder.path().join("traces");
    private_folder(&traces);
    let mut command = Command::new("strace");
    command
        .args(["-ff", "-s", "9999", "-o"])
        .arg(traces.join("of"))
        .arg(binary("parsecctl"))
        .args(["device", "unlock"]);
    command.env("XDG_RUNTIME_DIR", device.runtime()).env("HOME", folder.path()).env("TERM", "dumb");
    let mut session = spawn_command(command, Some(60_000)).unwrap();
    session.exp_string("not shown): ").unwrap();
    session.send_line(PASSWORD).unwrap();
    let shown = session.exp_eof().unwrap();
    assert!(!shown.contains(PASSWORD), "shown on the terminal");
    let trace: String =
        files(&traces).into_iter().map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned()).collect();
    assert!(trace.contains("execve("), "nothing was traced");
    let socket = trace.lines().find(|line| line.contains("connect(") && line.contains("parsecd.sock"));
    let socket = socket.unwrap().split("connect(").nth(1).unwrap().split(',').next().unwrap().to_owned();
    let seen: Vec<&str> = trace.lines().filter(|line| line.contains(PASSWORD)).collect();
    let read = seen.iter().filter(|line| line.starts_with("read(0, ")).count();
    let written = ["write", "sendto"].map(|call| format!("{call}({socket}, "));
    let written = seen.iter().filter(|line| written.iter().any(|start| line.starts_with(start))).count();
    assert_eq!((read, written, seen.len()), (1, 1, 2), "{seen:#?}");
    // Nowhere else: not in what the programs wrote, not in any argument or variable of theirs.
    for (path, bytes) in files(&folder.path().join("t")) {
        assert!(!String::from_utf8_lossy(&bytes).contains(PASSWORD), "{path}");
    }
    let id = device.process().id();
    for file in ["cmdline", "environ"] {
        let text = std::fs::read(format!("/proc/{id}/{file}")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&text).contains(PASSWORD), "{file}");
    }
}

/// Starts a program with as large a core file as the system allows, crashes it, and says whether a
/// core was made.
fn crash(program: &Path, arguments: &[&str], folder: &Path) -> bool {
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -c unlimited 2>/dev/null; exec \"$@\"", "sh"])
        .arg(program)
        .args(arguments)
        .current_dir(folder)
        .env("XDG_RUNTIME_DIR", folder)
        .env("HOME", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.ends_with('\n'), "{} did not come up", program.display());
    // As a failed allocation or a panic while panicking would end it. The first SIGSEGV that only a
    // `kill` sent goes to Rust's own handler, which lets it pass.
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::ABORT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(6), "{status:?}");
    let files = std::fs::read_dir(folder).unwrap().flatten();
    status.core_dumped()
        || files.into_iter().any(|file| file.file_name().to_string_lossy().starts_with("core"))
}

#[test]
fn a_crash_leaves_no_core() {
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let other = folder.path().join("other");
    private_folder(&other);
    // The same crash of a program that does nothing about it, for this to prove anything.
    if !crash(Path::new("/bin/sh"), &["-c", "echo up; read wait < /dev/zero"], &other) {
        skip("a_crash_leaves_no_core", "this machine makes no core files at all");
    }
    let own = folder.path().join("own");
    private_folder(&own);
    assert!(!crash(&binary("parsecd"), &["--ready-fd", "1"], &own), "parsecd left a core");
}

/// What the kernel says of a running process: its core limit, and to whom its memory belongs.
fn closed(id: u32) {
    let limits = std::fs::read_to_string(format!("/proc/{id}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let values: Vec<_> = core.split_whitespace().skip(4).take(2).collect();
    assert_eq!(values, ["0", "0"], "{core}");
    // Not dumpable: what tells of its memory is root's, though the process is nobody's.
    for file in ["mem", "environ", "maps"] {
        assert_eq!(std::fs::metadata(format!("/proc/{id}/{file}")).unwrap().uid(), 0, "{file}");
    }
}

#[test]
fn both_programs_close_their_memory() {
    const NAME: &str = "both_programs_close_their_memory";
    if !rustix::process::getuid().is_root() {
        return skip(NAME, "becoming another user takes root");
    }
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let home = folder.path().join("home");
    private_folder(&home);
    chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    let started = |name: &str, arguments: &[&str]| {
        // The built one may lie in a folder that nobody can't enter.
        let program = folder.path().join(name);
        if !program.exists() {
            // By a process of its own: a descriptor for writing here would be inherited by what
            // other tests start, and the program could not be run (ETXTBSY).
            assert!(Command::new("cp").arg(binary(name)).arg(&program).status().unwrap().success());
        }
        let mut command = as_nobody(&program);
        command.args(arguments);
        command.env("XDG_RUNTIME_DIR", &home).env("HOME", &home).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "{name} did not come up");
        child
    };
    let mut daemon = started("parsecd", &["--ready-fd", "1"]);
    closed(daemon.id());
    let mut ctl = started("parsecctl", &["status", "--watch"]);
    closed(ctl.id());
    for child in [&mut ctl, &mut daemon] {
        let _ = child.kill();
        let _ = child.wait();
    }
    // A program that does nothing about it belongs to who runs it: the check can fail.
    let mut plain = as_nobody("sh")
        .args(["-c", "echo up; read wait"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(plain.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(std::fs::metadata(format!("/proc/{}/environ", plain.id())).unwrap().uid(), NOBODY);
    let _ = plain.kill();
    let _ = plain.wait();
}

/// A key file with nothing of the device's in it, that opens with a password of whoever made it.
fn planted(password: &str) -> Vec<u8> {
    let mut recipient = age::scrypt::Recipient::new(age::secrecy::SecretString::from(password.to_owned()));
    recipient.set_work_factor(2);
    let recipients = std::iter::once(&recipient as &dyn age::Recipient);
    let mut sealed = Vec::new();
    let writer = age::Encryptor::with_recipients(recipients).unwrap().wrap_output(&mut sealed).unwrap();
    writer.finish().unwrap();
    sealed
}

#[test]
fn a_key_file_that_somebody_put_there_confirms_nothing() {
    let fixture = Fixture::found(FixtureOptions::default());
    let (path, own) =
        files(&fixture.alice.data()).into_iter().find(|(path, _)| path.ends_with("key.age")).unwrap();
    let path = fixture.alice.data().join(path);
    std::fs::write(&path, planted("chosen by a program")).unwrap();
    let refused = fixture.alice.unlock("chosen by a program").unwrap_err();
    assert_eq!(refused.name(), Some(ProblemKind::KeyFileDamaged));
    let change = json!({"password": "chosen by a program", "new_password": "another of its choice"});
    let refused = fixture.alice.call::<DeviceView>(method::DEVICE_PASSWORD, change).unwrap_err();
    assert_eq!(refused.name(), Some(ProblemKind::KeyFileDamaged));
    std::fs::write(&path, own).unwrap();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
}

#[test]
fn guessing_the_password_of_an_unfinished_founding_is_as_slow_as_any_guessing() {
    let founding = Unanswered::found(Daemon::Shipped);
    let names: Vec<_> = (0..8)
        .map(|_| founding.again(&founding.token, "not this one").unwrap_err().name().unwrap())
        .collect();
    assert_eq!(names[..3], [ProblemKind::WrongPassword; 3], "{names:?}");
    assert!(names.contains(&ProblemKind::TooManyGuesses), "{names:?}");
}
