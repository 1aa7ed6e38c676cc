//! What an attacker on the same machine could leave where Parsec keeps its things: links, second
//! names, FIFOs, folders, sockets, things of other users. Each is put in every place in turn, under
//! a real daemon.
//!
//! The daemon refuses with a sentence that names the place, or goes on without having looked
//! through; it never waits, and what a link leads to is as before. The table of both is printed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use parsec_protocol::control::{
    DeviceListResult, DeviceSelector, DeviceUnlock, DeviceView, ProblemKind, SecretText, method,
};
use parsec_tests::ctl;
use parsec_tests::device::private_folder;
use parsec_tests::fixture::{ALICE_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::launch::{Launched, daemon, launch};
use parsec_tests::process::{NOBODY, as_nobody};
use parsec_tests::rpc::{Client, Failed};
use parsec_tests::skip;
use parsecd::store::{Devices, WorkFactor};
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// The device's folder, and the record of an attempt, as they are called in the places below.
const DEVICE: &str = "DEVICE";
const RECORD: &str = "00112233445566778899aabbccddeeff";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Object {
    /// A link to something that fits.
    Link,
    /// A link to what isn't there.
    Dangling,
    /// A second name of a file elsewhere.
    Hardlink,
    Fifo,
    /// A folder in a file's place, a file in a folder's.
    OtherKind,
    /// A socket nobody listens on.
    Socket,
    /// What belongs there, but another user's.
    Foreign,
    /// What belongs there, open to everybody.
    Open,
}

const OBJECTS: [Object; 8] = [
    Object::Link,
    Object::Dangling,
    Object::Hardlink,
    Object::Fifo,
    Object::OtherKind,
    Object::Socket,
    Object::Foreign,
    Object::Open,
];

/// A place, relative to the case's folder; whether a folder belongs there; what it takes to look
/// whether it is used.
struct Target {
    path: &'static str,
    folder: bool,
}

const fn file(path: &'static str) -> Target {
    Target { path, folder: false }
}

const fn folder(path: &'static str) -> Target {
    Target { path, folder: true }
}

const TARGETS: &[Target] = &[
    folder("run/parsecd"),
    file("run/parsecd/parsecd.sock"),
    file("run/parsecd/parsecd.sock.lock"),
    folder("data"),
    file("data/lock"),
    folder("data/devices"),
    folder("data/devices/.new-acme"),
    folder("data/devices/.gone-acme"),
    folder("data/attempts"),
    file("data/attempts/RECORD"),
    file("data/attempts/.writing-RECORD"),
    file("ready"),
    file("config/parsec/parsecd.toml"),
    file("ca.pem"),
    folder("data/devices/DEVICE"),
    file("data/devices/DEVICE/about"),
    file("data/devices/DEVICE/.writing-about"),
    file("data/devices/DEVICE/pending"),
    file("data/devices/DEVICE/key.age"),
    file("data/devices/DEVICE/store.db"),
    file("data/devices/DEVICE/store.db-wal"),
    file("data/devices/DEVICE/store.db-journal"),
    file("data/devices/DEVICE/store.db-shm"),
];

/// A certificate to trust: a file without one is refused for that alone.
static AUTHORITY: LazyLock<String> =
    LazyLock::new(|| rcgen::generate_simple_self_signed(["authority.test".to_owned()]).unwrap().cert.pem());

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// The daemon did not start.
    Refused(i32),
    /// It started, and the device can't be had.
    Kept(ProblemKind),
    /// Everything works.
    Works,
}

/// What must come of it.
fn wanted(place: &str, object: Object) -> Outcome {
    use Object as O;
    use Outcome::{Kept, Refused, Works};
    let unsafe_device = Kept(ProblemKind::UnsafePath);
    match (place, object) {
        // A place of its own, and the daemon's: a socket nobody listens on is what a killed daemon
        // leaves.
        ("run/parsecd/parsecd.sock", O::Socket) => Works,
        ("run/parsecd" | "run/parsecd/parsecd.sock" | "run/parsecd/parsecd.sock.lock", _) => Refused(77),
        // Leftovers of a crash are removed: a name is, what it leads to isn't.
        ("data/devices/.new-acme" | "data/devices/.gone-acme", _) => Refused(77),
        ("data/devices/DEVICE/.writing-about", O::OtherKind) => Refused(77),
        ("data/attempts/.writing-RECORD", O::OtherKind) => Refused(78),
        ("data/devices/DEVICE/.writing-about" | "data/attempts/.writing-RECORD", _) => Works,
        ("data/attempts", _) => Refused(78),
        // Said in the log, and left alone: an attempt's record is no reason to keep somebody from
        // the keys.
        ("data/attempts/RECORD", _) => Works,
        ("data" | "data/lock" | "data/devices", _) => Refused(77),
        // No secret is in it, and it is made anew: only where it would be written matters.
        ("ready", O::Open) => Works,
        ("ready", _) => Refused(71),
        // Where a link leads is the person's business, and so is a second name; what is there is
        // looked at.
        ("config/parsec/parsecd.toml" | "ca.pem", O::Link | O::Hardlink) => Works,
        // Nobody named the configuration, so it need not be there; the authorities were named.
        ("config/parsec/parsecd.toml", O::Dangling) => Works,
        ("config/parsec/parsecd.toml" | "ca.pem", _) => Refused(78),
        ("data/devices/DEVICE" | "data/devices/DEVICE/about", _) => Kept(ProblemKind::DeviceUnknown),
        // Read only while the device waits for its registration.
        ("data/devices/DEVICE/pending", _) => Works,
        ("data/devices/DEVICE/key.age" | "data/devices/DEVICE/store.db", _) => unsafe_device,
        (_, _) => unsafe_device,
    }
}

/// One case: its own copy of everything, with one thing changed.
struct Case<'a> {
    root: PathBuf,
    place: &'a Target,
    object: Object,
}

impl Case<'_> {
    fn at(&self, device: &str) -> PathBuf {
        self.root.join(self.place.path.replace(DEVICE, device).replace("RECORD", RECORD))
    }

    /// Puts the object there; what was there is elsewhere, for links to lead to.
    fn plant(&self, device: &str) -> Option<()> {
        let place = self.at(device);
        private_folder(place.parent().unwrap());
        let victim = self.root.join("victim");
        if self.place.folder {
            private_folder(&place);
            fs::write(place.join("precious"), "precious").unwrap();
        } else if !place.exists() {
            private(&place, default_text(self.place.path));
        }
        match self.object {
            Object::Open => open_up(&place, self.place.folder),
            Object::Foreign => chown(&place, Some(NOBODY), Some(NOBODY)).unwrap(),
            Object::Hardlink if self.place.folder => return None,
            Object::Hardlink => fs::hard_link(&place, &victim).unwrap(),
            Object::Link => {
                fs::rename(&place, &victim).unwrap();
                symlink(&victim, &place).unwrap();
            }
            Object::Dangling | Object::Fifo | Object::OtherKind | Object::Socket => {
                fs::rename(&place, self.root.join("was")).unwrap();
                match self.object {
                    Object::Dangling => symlink(&victim, &place).unwrap(),
                    Object::Fifo => {
                        mknodat(CWD, &place, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
                    }
                    Object::Socket => {
                        // The name outlives the listener, and the path may be long: bound where it
                        // is short.
                        drop(UnixListener::bind(self.root.join("s")).unwrap());
                        fs::set_permissions(self.root.join("s"), fs::Permissions::from_mode(0o600)).unwrap();
                        fs::rename(self.root.join("s"), &place).unwrap();
                    }
                    _ if self.place.folder => private(&place, "a file"),
                    _ => {
                        private_folder(&place);
                        private(&place.join("precious"), "precious");
                    }
                }
            }
        }
        Some(())
    }

    /// Starts a daemon on it, asks for the device and its keys; what came of it, and what was said.
    fn run(&self) -> (Outcome, String) {
        let mut command = daemon();
        command
            .arg("--data-dir")
            .arg(self.root.join("data"))
            .arg("--ready-file")
            .arg(self.root.join("ready"))
            .arg("--ca-file")
            .arg(self.root.join("ca.pem"))
            .env("XDG_RUNTIME_DIR", self.root.join("run"))
            .env("XDG_CONFIG_HOME", self.root.join("config"))
            .env("HOME", &self.root);
        let log = self.root.join("log");
        let mut served = match launch(command, &log) {
            Launched::Refused { code, said } => return (Outcome::Refused(code), said),
            Launched::Serves(served) => served,
        };
        let mut client = Client::connect(&self.root.join("run/parsecd/parsecd.sock")).unwrap();
        let _: DeviceListResult = client.call(method::DEVICE_LIST, ()).unwrap();
        let password = SecretText::new(ALICE_PASSWORD.to_owned().into());
        let request = DeviceUnlock { select: DeviceSelector::default(), password };
        let (outcome, said) = match client.call::<DeviceView>(method::DEVICE_UNLOCK, request) {
            Ok(_) => (Outcome::Works, String::new()),
            Err(Failed::Problem(problem)) => (Outcome::Kept(problem.name), problem.message),
            Err(Failed::Gone) => panic!("the daemon died: {}", fs::read_to_string(&log).unwrap()),
        };
        // In order: its log has a thread of its own, which a kill would cut off.
        served.stop();
        (outcome, format!("{said}\n{}", fs::read_to_string(&log).unwrap()))
    }
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn open_up(path: &Path, folder: bool) {
    let mode = if folder { 0o777 } else { 0o666 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn default_text(place: &str) -> &'static str {
    match place {
        "config/parsec/parsecd.toml" => "idle_lock = 77\n",
        "ready" => "",
        "ca.pem" => &AUTHORITY,
        _ => "precious",
    }
}

/// Everything at and below a path, links not followed: kind, mode, owner, time, and the contents of
/// files.
fn picture(path: &Path) -> BTreeMap<PathBuf, (u32, u32, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut left = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        let Ok(about) = path.symlink_metadata() else { continue };
        let bytes = if about.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        if about.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        found.insert(path, (about.mode(), about.uid(), about.mtime(), bytes));
    }
    found
}

/// A data folder with Alice's device in it, whose key file opens at once.
fn template() -> (tempfile::TempDir, String) {
    let mut fixture = Fixture::found(FixtureOptions::default());
    fixture.alice.kill();
    let devices = Devices::open_with(&fixture.alice.data(), WorkFactor::for_tests()).unwrap();
    let device = devices.list().unwrap().remove(0);
    let password = SecretText::new(ALICE_PASSWORD.to_owned().into());
    devices.change_password(device.device, None, &password, &password).unwrap();
    drop(devices);
    let kept = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    copy(&fixture.alice.data(), &kept.path().join("data"));
    (kept, format!("{}.{}", device.organisation, device.device))
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

#[test]
fn whatever_stands_in_a_place_is_refused_or_harmless() {
    let root = rustix::process::getuid().is_root();
    if !root {
        skip(
            "whatever_stands_in_a_place_is_refused_or_harmless, things of other users",
            "giving files away takes root",
        );
    }
    let (template, device) = template();
    let mut table = String::new();
    let mut wrong = Vec::new();
    for place in TARGETS {
        for object in OBJECTS.into_iter().filter(|object| root || *object != Object::Foreign) {
            let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
            let case = Case { root: folder.path().to_owned(), place, object };
            copy(&template.path().join("data"), &case.root.join("data"));
            private_folder(&case.root.join("run"));
            private(&case.root.join("ca.pem"), &AUTHORITY);
            if case.plant(&device).is_none() {
                continue;
            }
            let victim = case.root.join("victim");
            let before = picture(&victim);
            let (outcome, said) = case.run();
            table +=
                &format!("{:<42} {object:<10} {outcome:?}\n", place.path, object = format!("{object:?}"));
            if outcome != wanted(place.path, object) {
                wrong.push(format!("{} {object:?}: {outcome:?}\n{said}", place.path));
            }
            let after = picture(&victim);
            if before != after {
                wrong.push(format!("{} {object:?}: what it leads to was changed", place.path));
            }
            // Whoever is refused must learn which of the files it is.
            let name = case.at(&device).file_name().unwrap().to_str().unwrap().to_owned();
            let unnamed = outcome != Outcome::Works && !said.contains(&name);
            if unnamed || matches!(outcome, Outcome::Refused(code) if !(64..=78).contains(&code)) {
                wrong.push(format!("{} {object:?}: {outcome:?} without naming it: {said}", place.path));
            }
        }
    }
    println!("{table}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A daemon with these variables and nothing else; how it ended.
fn with_environment(folder: &Path, environment: &[(&str, &Path)], options: &[&str]) -> Launched {
    let mut command = daemon();
    command.env_remove("HOME").args(options).envs(environment.iter().copied());
    launch(command, &folder.join("log"))
}

#[test]
fn a_runtime_folder_that_is_none_is_refused_in_words() {
    let root = rustix::process::getuid().is_root();
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let home = folder.path();
    let made = |name: &str, mode: u32| {
        let path = home.join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let (open, group, sticky) = (made("open", 0o777), made("group", 0o770), made("sticky", 0o1777));
    let (foreign, good, plain) = (made("foreign", 0o700), made("good", 0o700), home.join("plain"));
    private(&plain, "x");
    symlink(&good, home.join("link")).unwrap();
    symlink(&open, home.join("link-to-open")).unwrap();
    let long = home.join("l".repeat(110));
    let relative = PathBuf::from("run");
    // What it is, where, and with which code and words it is refused.
    type Case<'a> = (&'a str, PathBuf, Option<(i32, &'a str)>);
    let mut cases: Vec<Case<'_>> = vec![
        ("missing", home.join("nowhere"), Some((77, "does not exist"))),
        ("relative", relative, Some((78, "XDG_RUNTIME_DIR"))),
        ("empty", PathBuf::new(), Some((78, "XDG_RUNTIME_DIR"))),
        ("a file", plain, Some((77, "is not a folder"))),
        ("open to all", open, Some((77, "is open to other users"))),
        ("open to its group", group, Some((77, "is open to other users"))),
        ("a link to an open one", home.join("link-to-open"), Some((77, "is open to other users"))),
        ("too long", long, Some((78, "107"))),
        // As /tmp is: nobody else can put another folder in the place of ours.
        ("sticky", sticky, None),
        // Some systems have /run/user elsewhere; what it leads to was looked at.
        ("a link to a good one", home.join("link"), None),
        ("good", good, None),
    ];
    if root {
        chown(&foreign, Some(NOBODY), Some(NOBODY)).unwrap();
        cases.push(("another user's", foreign, Some((77, "belongs to another user"))));
    } else {
        skip(
            "a_runtime_folder_that_is_none_is_refused_in_words, another user's",
            "giving folders away takes root",
        );
    }
    for (what, runtime, wanted) in cases {
        let launched = with_environment(home, &[("XDG_RUNTIME_DIR", &runtime), ("HOME", home)], &[]);
        println!("XDG_RUNTIME_DIR {what}: {}", in_a_line(&launched));
        match (wanted, launched) {
            (None, Launched::Serves(_)) => {}
            (Some((code, words)), Launched::Refused { code: found, said }) => {
                assert!(found == code && said.contains(words), "{what}: {found} {said}");
            }
            (_, other) => panic!("{what}: {other:?}"),
        }
    }
    // No variable at all, and no home.
    for (what, environment, words) in [
        ("no XDG_RUNTIME_DIR", vec![("HOME", home)], "XDG_RUNTIME_DIR"),
        ("no HOME", vec![("XDG_RUNTIME_DIR", home)], "HOME"),
        ("a relative HOME", vec![("XDG_RUNTIME_DIR", home), ("HOME", Path::new("home"))], "HOME"),
    ] {
        let Launched::Refused { code, said } = with_environment(home, &environment, &[]) else {
            panic!("{what}: served")
        };
        assert!(code == 78 && said.contains(words), "{what}: {code} {said}");
    }
}

fn in_a_line(launched: &Launched) -> String {
    match launched {
        Launched::Serves(_) => "serves".into(),
        Launched::Refused { code, said } => format!("{code} {}", said.trim()),
    }
}

#[test]
fn a_runtime_folder_that_can_not_be_written_is_refused_in_words() {
    const NAME: &str = "a_runtime_folder_that_can_not_be_written_is_refused_in_words";
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let runtime = folder.path().join("run");
    private_folder(&runtime);
    if rustix::process::getuid().is_root() {
        // Modes don't bind root; a file system that is read-only does.
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "ro,mode=0700", "tmpfs"]).arg(&runtime).status();
        if !mounted.is_ok_and(|status| status.success()) {
            return skip(NAME, "this machine does not let root mount a tmpfs");
        }
    } else {
        fs::set_permissions(&runtime, fs::Permissions::from_mode(0o500)).unwrap();
    }
    let launched =
        with_environment(folder.path(), &[("XDG_RUNTIME_DIR", &runtime), ("HOME", folder.path())], &[]);
    let _ = Command::new("umount").arg("--lazy").arg(&runtime).stderr(std::process::Stdio::null()).status();
    let Launched::Refused { code, said } = launched else { panic!("served") };
    assert!(code == 74 && said.contains("making the socket's folder"), "{code} {said}");
}

#[test]
fn parsecctl_tells_what_stands_where_the_socket_should_be() {
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let base = folder.path();
    mknodat(CWD, base.join("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    private(&base.join("file"), "x");
    private_folder(&base.join("folder"));
    symlink(base.join("nothing"), base.join("dangling")).unwrap();
    symlink(base.join("loop"), base.join("loop")).unwrap();
    drop(UnixListener::bind(base.join("dead")).unwrap());
    let long = "l".repeat(120);
    for name in ["fifo", "file", "folder", "dangling", "loop", "dead", "nothing", "file/below", &long] {
        let path = base.join(name);
        let said = ctl::run(base, &["--socket", path.to_str().unwrap(), "status"], "");
        assert!(said.code == 69 && said.stderr.contains("can't be reached"), "{name}: {said:?}");
        assert!(said.stdout.is_empty(), "{name}: {said:?}");
        println!(
            "parsecctl --socket {name:.20}: {} {}",
            said.code,
            said.stderr.lines().next().unwrap_or_default()
        );
    }
}

/// A program of somebody else's at the socket would be given the password.
#[test]
fn parsecctl_gives_no_password_to_another_user() {
    const NAME: &str = "parsecctl_gives_no_password_to_another_user";
    if !rustix::process::getuid().is_root() {
        return skip(NAME, "becoming another user takes root");
    }
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let socket = folder.path().join("s");
    // Listens as nobody, and writes down all it is sent.
    let program = "use IO::Socket::UNIX; my $l = IO::Socket::UNIX->new(Local => $ARGV[0], Listen => 1) or die; $| = 1; \
        print \"ready\\n\"; my $s = $l->accept or die; while (my $n = sysread($s, my $b, 4096)) { print $b }";
    let mut thief = as_nobody("perl")
        .args(["-e", program])
        .arg(&socket)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stolen = std::io::BufReader::new(thief.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut stolen, &mut line).unwrap();
    assert_eq!(line, "ready\n");
    let arguments = ["--socket", socket.to_str().unwrap(), "device", "unlock", "--password-file", "-"];
    let said = ctl::run(folder.path(), &arguments, "hunter2hunter2\n");
    assert!(said.code == 77 && said.stderr.contains("another user"), "{said:?}");
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut stolen, &mut rest).unwrap();
    thief.wait().unwrap();
    assert_eq!(rest, "", "the thief was told something");
}
