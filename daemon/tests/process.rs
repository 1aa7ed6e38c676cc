//! The real binary as a process: what it lets others see, how it starts, refuses to start, and
//! stops.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "tests may fail loudly"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A user that is not root, where the tests run as root: the modes must hold for ordinary users.
const NOBODY: u32 = 65_534;

/// A home, and the program where that user can reach it: the built one may lie in a folder of
/// somebody's own.
struct Home(tempfile::TempDir, tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        if rustix::process::geteuid().is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let programs = tempfile::tempdir().unwrap();
        fs::set_permissions(programs.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // By a process of its own: what this one has open for writing, every process that another
        // test starts meanwhile has open, too, until it runs its program; and a program that is
        // open for writing can't be run (ETXTBSY).
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_parsecd")).arg(programs.path()).status();
        assert!(copied.unwrap().success());
        Self(folder, programs)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("sh");
        // Through a shell that gives all rights away: the daemon must not need a careful parent.
        command.args(["-c", "umask 000; exec \"$0\" \"$@\""]).arg(self.1.path().join("parsecd"));
        command.env_clear().env("XDG_RUNTIME_DIR", self.0.path()).env("HOME", self.0.path());
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts it and waits until it says that it is ready, on a descriptor.
    fn start(&self) -> (Child, PathBuf) {
        let mut child = self.command().args(["--ready-fd", "1"]).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line.is_empty() {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("did not start: {said}");
        }
        (child, PathBuf::from(line.trim_end()))
    }
}

fn stop(mut child: Child) -> String {
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    said
}

fn tree(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.to_owned()];
    if fs::symlink_metadata(path).unwrap().is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            found.extend(tree(&entry.unwrap().path()));
        }
    }
    found
}

#[test]
fn nothing_it_makes_is_open_to_others_and_its_memory_neither() {
    let home = Home::new();
    let (child, socket) = home.start();
    assert_eq!(socket, home.0.path().join("parsecd/parsecd.sock"));
    for path in tree(home.0.path()).into_iter().skip(1) {
        let meta = fs::symlink_metadata(&path).unwrap();
        assert_eq!(meta.mode() & 0o077, 0, "{}", path.display());
    }
    let proc = PathBuf::from(format!("/proc/{}", child.id()));
    let limits = fs::read_to_string(proc.join("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
    // The kernel gives the memory of a process that may not be dumped to root.
    assert_eq!(fs::metadata(proc.join("mem")).unwrap().uid(), 0);
    // No network: the only sockets are local ones.
    let inodes: Vec<String> = fs::read_dir(proc.join("fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    assert!(!inodes.is_empty());
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let table = fs::read_to_string(proc.join("net").join(table)).unwrap_or_default();
        for line in table.lines().skip(1) {
            let inode = line.split_whitespace().nth(9).unwrap_or_default();
            assert!(!inodes.iter().any(|ours| ours == inode), "a network socket: {line}");
        }
    }
    stop(child);
    assert!(!socket.exists());
}

#[test]
fn a_second_one_says_so_and_the_first_goes_on() {
    let home = Home::new();
    let (child, socket) = home.start();
    for (options, what) in [(vec![], "data"), (vec!["--data-dir", "other"], "socket")] {
        let second = home.command().current_dir(home.0.path()).args(options).output().unwrap();
        let said = String::from_utf8_lossy(&second.stderr).into_owned();
        assert_eq!(second.status.code(), Some(69), "{what}: {said}");
        assert!(said.contains("another daemon") && said.contains("hint"), "{said}");
    }
    assert!(std::os::unix::net::UnixStream::connect(&socket).is_ok());
    stop(child);
}

#[test]
fn killed_it_leaves_nothing_in_the_way() {
    let home = Home::new();
    let (mut child, socket) = home.start();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(socket.exists());
    let (child, _) = home.start();
    stop(child);
}

#[test]
fn what_it_can_not_use_is_refused_with_a_remedy() {
    let refused = |home: &Home, options: &[&str], code: i32, word: &str| {
        let output = home.command().args(options).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{options:?}: {said}");
        assert!(said.contains(word), "{options:?}: {said}");
    };
    let home = Home::new();
    refused(&home, &["--no-such-option"], 64, "--help");
    refused(&home, &["--password", "hunter2"], 64, "--help");
    refused(&home, &["--config", "/nowhere/parsecd.toml"], 78, "/nowhere/parsecd.toml");
    refused(&home, &["--socket", &format!("/{}", "x".repeat(120))], 78, "--socket");
    let open = home.0.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
    if rustix::process::geteuid().is_root() {
        refused(&home, &["--data-dir", open.to_str().unwrap()], 77, "another user");
        chown(&open, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    refused(&home, &["--data-dir", open.to_str().unwrap()], 77, "0700");
    refused(&home, &["--socket", open.join("s").to_str().unwrap()], 77, "0700");
}
