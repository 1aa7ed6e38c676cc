//! What file managers' plug-ins ask: paths of every kind, tokens of every kind, a device that is
//! locked, a daemon that goes and comes; and the plug-ins' client with it.

use std::io::{BufRead, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use parsec_protocol::control::paths::write_path;
use parsec_protocol::control::{
    FM_PATHS_MAX, FmAct, FmInvoked, FmItem, FmMark, FmMenuResult, FmState, FmStatusResult,
    PLUGIN_SOCKET_NAME, ProblemKind, TokenCreated, method,
};
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::mounted::{Mounted, has, is_possible};
use parsec_tests::rpc::Client;
use parsec_tests::safes::{Safe, create};
use parsec_tests::{installed, skip};
use serde_json::{Value, json};

const PLANS: &str = "Plans";
const ALL: [&str; 4] = [method::FM_STATUS, method::FM_MENU, method::FM_INVOKE, method::EVENTS_WATCH];

fn safe(device: &Device) -> Safe<'_> {
    Safe { device, name: PLANS }
}

fn plugin_socket(device: &Device) -> PathBuf {
    device.socket().with_file_name(PLUGIN_SOCKET_NAME)
}

fn token(device: &Device, methods: &[&str]) -> TokenCreated {
    let name = format!("files, {} methods", methods.len());
    let request = json!({"name": name, "methods": methods, "rate_per_minute": 3000});
    device.call(method::TOKEN_CREATE, request).unwrap()
}

fn enter(device: &Device, secret: &str) -> Client {
    let mut client = Client::connect(&plugin_socket(device)).unwrap();
    let _: Value = client.call(method::HELLO, json!({"client": "test/1", "token": secret})).unwrap();
    client
}

/// A path of this machine as the API writes it.
fn written(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let names = path.components().skip(1).map(|name| name.as_os_str().as_bytes());
    write_path(names)
}

fn ask(plugin: &mut Client, paths: &[String]) -> FmStatusResult {
    plugin.call(method::FM_STATUS, json!({"paths": paths})).unwrap()
}

/// The same once everything is known.
fn known(plugin: &mut Client, paths: &[String]) -> Vec<Option<FmItem>> {
    loop {
        let told = ask(plugin, paths);
        if told.complete {
            return told.items;
        }
        std::thread::yield_now();
    }
}

/// How long what was shared may look as if it were not here.
const LOOKED_WITHIN: Duration = Duration::from_secs(30);

fn states(items: &[Option<FmItem>]) -> Vec<Option<FmState>> {
    items.iter().map(|item| item.as_ref().map(|item| item.state)).collect()
}

#[test]
fn paths_of_every_kind_are_told_apart_byte_by_byte() {
    if !is_possible("paths of file managers") {
        return;
    }
    let fixture = Fixture::found(FixtureOptions::default());
    let alice = &fixture.alice;
    let _ = create(alice, PLANS);
    let mounted = Mounted::new(alice, PLANS);
    let mut plugin = enter(alice, token(alice, &ALL).secret.expose());
    let names: [&[u8]; 7] =
        [b"a:b", b"new\nline", b"tab\t", b"\xff\xfe", "\u{202e}gpj.exe".as_bytes(), b"back\\slash", b"--x"];
    use std::os::unix::ffi::OsStrExt as _;
    let paths: Vec<PathBuf> =
        names.map(|name| mounted.path("").join(std::ffi::OsStr::from_bytes(name))).into();
    for path in &paths {
        std::fs::write(path, "x").unwrap();
    }
    let _ = safe(alice).sync();
    let folder = written(mounted.folder());
    let mut asked: Vec<String> = paths.iter().map(|path| written(path)).collect();
    // What was only just shared may be looked for once more; a person's own program may ask often.
    let end = Instant::now() + LOOKED_WITHIN;
    let is_plain = |item: &FmItem| item.words == "Synced" && item.marks.is_empty();
    loop {
        let told: FmStatusResult = alice.call(method::FM_STATUS, json!({"paths": asked})).unwrap();
        if told.items.iter().flatten().all(is_plain) || Instant::now() > end {
            break;
        }
    }
    let synced = known(&mut plugin, &asked);
    assert_eq!(states(&synced), vec![Some(FmState::Synced); names.len()], "{synced:?}");
    assert!(synced.iter().flatten().all(is_plain), "{synced:?}");
    // The folder stands for the safe; what only begins alike is nobody's, and what is no path is
    // no reason to refuse the others.
    asked = vec![
        folder.clone(),
        format!("{folder}/"),
        format!("{folder}x"),
        format!("{folder}/none"),
        format!("{folder}/../mounted/a:b"),
        format!("{folder}//a:b"),
        "/etc/passwd".to_owned(),
        "no path".to_owned(),
        String::new(),
        format!("{folder}/back\\slash"),
        "/x".repeat(5_000),
    ];
    let told = ask(&mut plugin, &asked);
    let expected: Vec<_> =
        [Some(FmState::Synced), Some(FmState::Synced)].into_iter().chain([None; 9]).collect();
    assert_eq!(states(&told.items), expected);
    assert_eq!(told.folders, std::slice::from_ref(&folder));
    let many = vec![folder.clone(); FM_PATHS_MAX + 1];
    for method in [method::FM_STATUS, method::FM_MENU] {
        let refused = plugin.call::<Value>(method, json!({"paths": many})).unwrap_err();
        assert_eq!(refused.name(), Some(ProblemKind::TooLarge), "{method}");
    }
    // What a person does about them.
    let line = |items: &FmMenuResult, id| items.items.iter().find(|line| line.id == id).unwrap().enabled;
    let file = written(&paths[1]);
    let menu: FmMenuResult = plugin.call(method::FM_MENU, json!({"paths": [file]})).unwrap();
    assert_eq!(menu.items.len(), 6, "{menu:?}");
    assert!(line(&menu, FmAct::Pin) && !line(&menu, FmAct::Unpin) && line(&menu, FmAct::History));
    let none: FmMenuResult = plugin.call(method::FM_MENU, json!({"paths": [file, "/etc/passwd"]})).unwrap();
    assert_eq!(none.items, [], "not all of it is ours");
    let invoke = |plugin: &mut Client, id: &str, path: &str| {
        plugin.call::<FmInvoked>(method::FM_INVOKE, json!({"id": id, "paths": [path]}))
    };
    let copied = invoke(&mut plugin, "copy_path", &file).unwrap();
    assert_eq!(copied.copy.as_deref(), Some("Plans:/new\\x0aline"), "one line, whatever it is called");
    let shown = invoke(&mut plugin, "history", &file).unwrap().command;
    let id = safe(alice).show().unwrap().safe.safe.to_string();
    assert_eq!(shown.last(), Some(&format!("{id}:/new\\x0aline")));
    let arguments: Vec<&str> = shown.iter().skip(1).map(String::as_str).collect();
    let said = alice.ctl(&arguments);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(invoke(&mut plugin, "pin", &file).unwrap().changed, 1);
    assert_eq!(invoke(&mut plugin, "pin", &file).unwrap().changed, 0, "it is pinned");
    let item = known(&mut plugin, std::slice::from_ref(&file)).remove(0).unwrap();
    assert_eq!((item.marks.as_slice(), item.words.as_str()), (&[FmMark::Pinned][..], "Synced, pinned"));
    assert_eq!(invoke(&mut plugin, "unpin", &file).unwrap().changed, 1);
    for (id, path, why) in [
        ("history", folder.as_str(), ProblemKind::InvalidRequest),
        ("explode", file.as_str(), ProblemKind::InvalidRequest),
        ("pin", "/etc/passwd", ProblemKind::PathNotFound),
    ] {
        let refused = invoke(&mut plugin, id, path).map(|_| ()).unwrap_err();
        assert_eq!(refused.name(), Some(why), "{id} {path}");
    }
}

#[test]
fn a_token_gets_what_it_names_and_a_locked_safe_gives_nothing_away() {
    if !is_possible("tokens of file managers") {
        return;
    }
    let fixture = Fixture::found(FixtureOptions::default());
    let alice = &fixture.alice;
    let _ = create(alice, PLANS);
    let mounted = Mounted::with(alice, PLANS, &["--read-only"]).0;
    let _ = safe(alice).put_shared("/report.odt", b"whole");
    let file = written(&mounted.path("report.odt"));
    let mut foreign = enter(alice, token(alice, &[method::STATUS, method::EVENTS_WATCH]).secret.expose());
    for method in [method::FM_STATUS, method::FM_MENU, method::FM_INVOKE] {
        let refused = foreign.call::<Value>(method, json!({"paths": [file], "id": "pin"})).unwrap_err();
        assert_eq!(refused.name(), Some(ProblemKind::AccessDenied), "{method}");
    }
    let mut plugin = enter(alice, token(alice, &[method::FM_STATUS]).secret.expose());
    let refused = plugin.call::<Value>(method::FM_INVOKE, json!({"paths": [file], "id": "pin"})).unwrap_err();
    assert_eq!(refused.name(), Some(ProblemKind::AccessDenied), "a token that sees doesn't act");
    let item = known(&mut plugin, std::slice::from_ref(&file)).remove(0).unwrap();
    assert_eq!((item.state, item.marks.as_slice()), (FmState::Synced, &[FmMark::ReadOnly][..]));
    let of = alice.devices()[0].device;
    let _: Value = alice.call(method::DEVICE_LOCK, json!({"device": of.to_string()})).unwrap();
    let told = ask(&mut plugin, &[file.clone(), written(mounted.folder()), "/etc".to_owned()]);
    assert_eq!(states(&told.items), [Some(FmState::Locked), Some(FmState::Locked), None]);
    assert_eq!(told.folders, [""; 0], "no folder is named any more");
    let _ = alice.unlock(ALICE_PASSWORD).unwrap();
    let told = ask(&mut plugin, &[file]);
    assert_eq!(states(&told.items), [None], "it is not mounted");
}

/// The plug-ins' client, following one path.
struct Follower {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Follower {
    fn start(device: &Device, secret: &str, path: &Path) -> Self {
        let file = device.folder().join("token");
        std::fs::write(&file, secret).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let mut python = Command::new("python3");
        python.arg(script("follow_file.py")).arg(plugin_socket(device)).arg(file).arg(path);
        let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn until(&mut self, wanted: &str) {
        for line in self.lines.by_ref() {
            if line.unwrap() == wanted {
                return;
            }
        }
        panic!("it ended before it said {wanted}");
    }

    fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name)
}

#[test]
fn the_client_follows_a_file_over_a_restart_of_the_daemon() {
    let test = "the client of file managers";
    if !is_possible(test) || !has(test, "python3") {
        return;
    }
    let mut fixture = Fixture::found(FixtureOptions::default());
    let _ = create(&fixture.alice, PLANS);
    let mounted = Mounted::new(&fixture.alice, PLANS);
    let made = token(&fixture.alice, &ALL);
    let path = mounted.path("report.odt");
    let mut follower = Follower::start(&fixture.alice, made.secret.expose(), &path);
    follower.until("nothing");
    std::fs::write(&path, "first").unwrap();
    let _ = safe(&fixture.alice).sync();
    follower.until("synced Synced");
    follower.say("menu");
    follower.until(
        "menu Who is in this safe|Earlier versions|Conflicts in this safe|Keep on this device|Keep on this device no longer|Copy path in the safe",
    );
    follower.say("invoke pin");
    follower.until("synced Synced, pinned");
    // The menu is open while the daemon goes: what is chosen in it does nothing, and hangs nobody.
    fixture.alice.kill();
    follower.until("nothing");
    follower.say("invoke unpin");
    follower.until("invoked nothing");
    follower.say("menu");
    follower.until("menu ");
    fixture.alice.restart();
    let _ = fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    drop(mounted);
    let mounted = Mounted::new(&fixture.alice, PLANS);
    follower.until("synced Synced, pinned");
    drop(mounted);
}

#[test]
fn the_client_takes_nothing_amiss_from_a_daemon_that_lies_or_hangs() {
    if !installed("python3") {
        return skip("the client of file managers, alone", "python3 is not installed");
    }
    let done = Command::new("python3").arg(script("file_manager_client.py")).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
