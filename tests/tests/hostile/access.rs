//! Who may speak to a daemon: modes of the socket and its folder whatever the umask, and another
//! user of the machine.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use parsec_tests::device::{Device, private_folder};
use parsec_tests::logs::files;
use parsec_tests::process::{Daemon, Process, as_nobody, binary};
use parsec_tests::ready::Ready;
use parsec_tests::skip;

/// Starts under watch; enough that a window of microseconds between making and closing shows up now
/// and then.
const STARTS: usize = 1_000;

fn root() -> bool {
    rustix::process::getuid().is_root()
}

#[test]
fn nothing_is_ever_open_to_others_whatever_the_umask() {
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let runtime = folder.path().join("run");
    let data = folder.path().join("data");
    private_folder(&runtime);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen_socket = 0_u64;
            let mut open = Vec::new();
            let directory = runtime.join("parsecd");
            while !ended.load(Ordering::SeqCst) {
                for path in [directory.clone(), directory.join("parsecd.sock")] {
                    let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
                    seen_socket += u64::from(path.ends_with("parsecd.sock"));
                    if metadata.mode() & 0o077 != 0 {
                        open.push(format!("{}: {:o}", path.display(), metadata.mode()));
                    }
                }
            }
            (seen_socket, open)
        });
        for _ in 0..STARTS {
            let ready = Ready::new(&folder.path().join("ready"));
            let mut command = Command::new("sh");
            command
                .args(["-c", "umask 000; exec \"$@\"", "sh"])
                .arg(binary("parsecd"))
                .arg("--data-dir")
                .arg(&data)
                .arg("--ready-file")
                .arg(ready.path())
                .env("XDG_RUNTIME_DIR", &runtime);
            let mut process = Process::start("parsecd", command, &folder.path().join("log"));
            let _ = ready.wait(&mut process);
            process.stop();
        }
        ended.store(true, Ordering::SeqCst);
        let (seen, open) = watcher.join().unwrap();
        assert!(seen > 0, "the watcher never saw the socket");
        assert!(open.is_empty(), "{:?}", open.first());
    });
    for path in [&data, &runtime.join("parsecd")] {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o077, 0, "{}", path.display());
    }
    for (path, _) in files(&data) {
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o077, 0, "{path}");
    }
}

#[test]
fn another_user_of_the_machine_is_refused() {
    if !root() {
        skip("another_user_of_the_machine_is_refused", "becoming another user takes root");
        return;
    }
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let device = Device::start_one(Daemon::Shipped, "owner", &folder.path().join("t"), &[]);
    let status = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status.show\",\"params\":{}}\n";
    // With the modes as they are, the kernel refuses.
    let (answered, said) = ask_as_nobody(&device.socket(), status);
    assert!(!answered, "the kernel let nobody in: {said}");
    // With every folder left open by mistake, the daemon itself does.
    let mut path = device.socket();
    while path != Path::new("/tmp") {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
        path.pop();
    }
    let (_, said) = ask_as_nobody(&device.socket(), status);
    assert!(!said.contains("version"), "the daemon answered nobody: {said}");
    assert!(said.contains("access_denied") || said.is_empty(), "{said}");
    // The owner is still served.
    assert!(!device.status().version.is_empty());
}

/// Connects as the user nobody and sends a line; whether the connection was made, and what came
/// back.
fn ask_as_nobody(socket: &Path, line: &str) -> (bool, String) {
    const PROGRAM: &str = "use IO::Socket::UNIX; $SIG{PIPE} = 'IGNORE'; \
        my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die \"refused: $!\\n\"; \
        $| = 1; print \"connected\\n\"; print $s $ARGV[1]; $s->flush; my $answer = <$s>; print $answer if defined $answer;";
    let output = as_nobody("/usr/bin/perl").args(["-e", PROGRAM]).arg(socket).arg(line).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let refused = String::from_utf8_lossy(&output.stderr);
    match said.strip_prefix("connected\n") {
        Some(answer) => (true, answer.trim().to_owned()),
        None => {
            assert!(refused.contains("Permission denied"), "nobody could not even try: {refused}");
            (false, String::new())
        }
    }
}

#[test]
fn no_port_is_opened() {
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let mut device = Device::start_one(Daemon::Shipped, "owner", &folder.path().join("t"), &[]);
    let id = device.process().id();
    let sockets: Vec<String> = std::fs::read_dir(format!("/proc/{id}/fd"))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned))
        .collect();
    assert!(!sockets.is_empty(), "not even the local socket was seen");
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let text = std::fs::read_to_string(format!("/proc/{id}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let inode = line.split_whitespace().nth(9).unwrap_or_default();
            assert!(!sockets.iter().any(|socket| socket == inode), "{table}: {line}");
        }
    }
}

#[test]
fn passwords_are_in_no_argument_and_no_environment() {
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let mut device = Device::start_one(Daemon::Shipped, "owner", &folder.path().join("t"), &[]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", device.process().id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    // A process that is not dumpable has its files in /proc owned by root; for root's own daemon
    // the flag itself is not shown.
    if !root() {
        let owner = std::fs::metadata(format!("/proc/{}/mem", device.process().id())).unwrap().uid();
        assert_eq!(owner, 0, "dumpable");
    }
    for command in
        [vec!["org", "bootstrap", "--help"], vec!["claim", "--help"], vec!["device", "unlock", "--help"]]
    {
        let help = device.ctl(&command).well().stdout;
        let takes_one = help
            .lines()
            .any(|line| line.trim_start().starts_with("--password ") || line.contains("--password <"));
        assert!(!takes_one, "{help}");
    }
}
