//! The real binary under a service manager that is played by the test: which sockets it takes over,
//! and what it says.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests may fail loudly"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process};

/// A daemon that says nothing for so long is broken.
const DEADLINE: Duration = Duration::from_secs(60);
const ASK: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status.show\",\"params\":{}}\n";

/// A home, and a service manager's end of things.
struct Manager {
    home: tempfile::TempDir,
    notices: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let home = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
        let notices = UnixDatagram::bind(home.path().join("notify")).unwrap();
        notices.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { home, notices }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn socket(&self) -> PathBuf {
        self.path("parsecd/parsecd.sock")
    }

    /// Listens as a socket unit with the modes of ours would.
    fn listen(&self, path: &Path) -> UnixListener {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
        let listener = UnixListener::bind(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        listener
    }

    /// The daemon with up to two descriptors handed over. `$$` stays the same through `exec`: only
    /// so can the variable hold the id of a process that isn't there yet.
    fn command(&self, passed: Vec<OwnedFd>, pid: &str) -> Command {
        let count = passed.len();
        let moved = ["", "3<&0", "3<&0 4<&1"][count];
        let script = format!("LISTEN_PID={pid} LISTEN_FDS={count} exec \"$@\" {moved}");
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_parsecd")]);
        command.env_clear().env("XDG_RUNTIME_DIR", self.home.path()).env("HOME", self.home.path());
        command.env("NOTIFY_SOCKET", self.path("notify"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut passed = passed.into_iter();
        if let Some(first) = passed.next() {
            command.stdin(first);
        }
        if let Some(second) = passed.next() {
            command.stdout(second);
        }
        command
    }

    /// The next notice that says something of this.
    fn hears(&self, wanted: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let length =
                self.notices.recv(&mut buffer).unwrap_or_else(|error| panic!("no {wanted}: {error}"));
            let said = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if said.lines().any(|line| line.starts_with(wanted)) {
                return said;
            }
        }
    }

    /// What the daemon says when it can't use what it was given.
    fn refused(&self, passed: Vec<OwnedFd>, code: i32) -> String {
        let mut child = self.command(passed, "$$").spawn().unwrap();
        let ended = rustix::process::pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        loop {
            let mut polled = [PollFd::new(&ended, PollFlags::IN), PollFd::new(&self.notices, PollFlags::IN)];
            poll(&mut polled, None).unwrap();
            if !polled[0].revents().is_empty() {
                break;
            }
            let mut buffer = [0; 4096];
            let length = self.notices.recv(&mut buffer).unwrap();
            if String::from_utf8_lossy(&buffer[..length]).contains("READY=1") {
                child.kill().unwrap();
                panic!("it took over what it should refuse");
            }
        }
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        said
    }
}

fn terminate(mut child: Child) -> String {
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    said
}

fn answer(mut client: UnixStream) -> String {
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client.write_all(ASK).unwrap();
    let mut line = String::new();
    BufReader::new(client).read_line(&mut line).unwrap();
    line
}

#[test]
fn a_connection_that_came_before_the_daemon_is_answered_and_the_name_stays() {
    let manager = Manager::new();
    let listener = manager.listen(&manager.socket());
    let early = UnixStream::connect(manager.socket()).unwrap();
    let kept = listener.try_clone().unwrap();
    let child = manager.command(vec![listener.into()], "$$").env("WATCHDOG_USEC", "90000").spawn().unwrap();
    manager.hears("READY=1");
    assert!(manager.hears("STATUS=").contains("0 of 0 devices unlocked"));
    assert!(answer(early).contains("\"version\""));
    for _ in 0..3 {
        manager.hears("WATCHDOG=1");
    }
    terminate(child);
    manager.hears("STOPPING=1");
    // The manager goes on listening: whoever connects now starts the next daemon.
    assert!(manager.socket().exists());
    UnixStream::connect(manager.socket()).unwrap();
    drop(kept);
}

#[test]
fn another_process_s_watchdog_is_not_fed() {
    let manager = Manager::new();
    let mut command = manager.command(vec![], "$$");
    command.env("WATCHDOG_USEC", "30000").env("WATCHDOG_PID", std::process::id().to_string());
    let child = command.spawn().unwrap();
    manager.hears("READY=1");
    assert!(answer(UnixStream::connect(manager.socket()).unwrap()).contains("\"version\""));
    let said = terminate_and_hear(&manager, child);
    assert!(!said.contains("WATCHDOG"), "{said}");
}

/// Everything that is said up to the end.
fn terminate_and_hear(manager: &Manager, child: Child) -> String {
    terminate(child);
    let mut all = String::new();
    while !all.contains("STOPPING=1") {
        all.push_str(&manager.hears(""));
    }
    all
}

#[test]
fn what_was_meant_for_another_process_is_ignored() {
    let manager = Manager::new();
    for pid in ["1", "", "x", "-1", "99999999999999999999"] {
        // A socket elsewhere: taken over, it would be refused.
        let elsewhere = manager.path("elsewhere");
        let _ = fs::remove_file(&elsewhere);
        let listener = UnixListener::bind(&elsewhere).unwrap();
        let child = manager.command(vec![listener.into()], pid).spawn().unwrap();
        manager.hears("READY=1");
        assert!(answer(UnixStream::connect(manager.socket()).unwrap()).contains("\"version\""));
        terminate(child);
        manager.hears("STOPPING=1");
        // It bound the name itself, so it takes it away.
        assert!(!manager.socket().exists(), "LISTEN_PID={pid}");
    }
}

#[test]
fn sockets_that_are_none_of_ours_are_refused() {
    let manager = Manager::new();
    let elsewhere = manager.listen(&manager.path("other/parsecd.sock"));
    assert!(manager.refused(vec![elsewhere.into()], 78).contains("other/parsecd.sock"));
    // The right name with something else behind it.
    let (one, _two) = UnixStream::pair().unwrap();
    assert!(manager.refused(vec![one.into()], 78).contains("descriptor 3"));
    let file = fs::File::create(manager.path("file")).unwrap();
    assert!(manager.refused(vec![file.into()], 78).contains("not a socket"));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(manager.refused(vec![port.into()], 78).contains("unix stream"));
    let datagrams = UnixDatagram::unbound().unwrap();
    assert!(manager.refused(vec![datagrams.into()], 78).contains("unix stream"));
    let socket = manager.listen(&manager.socket());
    let twice = vec![socket.try_clone().unwrap().into(), socket.into()];
    assert!(manager.refused(twice, 78).contains("two sockets"));
    let connected = UnixStream::connect(manager.socket());
    assert!(connected.is_err(), "nobody listens any more");
    // A count that is no count, or would be a list without end.
    for count in ["3", "-1", "x", "4000000000"] {
        let script = format!("LISTEN_PID=$$ LISTEN_FDS={count} exec \"$@\"");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_parsecd")]).env_clear();
        let output = shell.env("XDG_RUNTIME_DIR", manager.home.path()).env("HOME", manager.home.path());
        let output = output.stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(78), "LISTEN_FDS={count}");
    }
}

#[test]
fn a_socket_that_others_can_open_or_that_is_taken_is_refused() {
    let manager = Manager::new();
    let socket = manager.listen(&manager.socket());
    fs::set_permissions(manager.socket(), fs::Permissions::from_mode(0o660)).unwrap();
    assert!(manager.refused(vec![socket.try_clone().unwrap().into()], 77).contains("0600"));
    fs::set_permissions(manager.socket(), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(manager.path("parsecd"), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(manager.refused(vec![socket.try_clone().unwrap().into()], 77).contains("0700"));
    fs::set_permissions(manager.path("parsecd"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::rename(manager.socket(), manager.path("parsecd/away")).unwrap();
    fs::write(manager.socket(), "").unwrap();
    assert!(manager.refused(vec![socket.try_clone().unwrap().into()], 77).contains("not a socket"));
    fs::remove_file(manager.socket()).unwrap();
    fs::rename(manager.path("parsecd/away"), manager.socket()).unwrap();

    let first = manager.command(vec![socket.try_clone().unwrap().into()], "$$").spawn().unwrap();
    manager.hears("READY=1");
    assert!(manager.refused(vec![socket.into()], 69).contains("another daemon"));
    assert!(answer(UnixStream::connect(manager.socket()).unwrap()).contains("\"version\""));
    terminate(first);
}
