//! Nautilus, Nemo and Caja with the plug-in, real ones, on a screen that nobody sees: what a person
//! reads in the column and in the menu is read over AT-SPI, and a click arrives at the daemon.
//!
//! `.ci/run` installs none of them: skipped by name where one is missing.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use parsec_protocol::control::{FilePins, FilePinsResult, method};
use parsec_tests::device::private_folder;
use parsec_tests::fixture::{Fixture, FixtureOptions};
use parsec_tests::mounted::{Mounted, has, is_possible};
use parsec_tests::safes::{Safe, create};
use parsec_tests::skip;

const PLANS: &str = "Plans";
const MENU: &str = "yes | Parsec: Who is in this safe | Parsec: Earlier versions | Parsec: Conflicts in this safe | Parsec: Keep on this device | Parsec: Keep on this device no longer | Parsec: Copy path in the safe";

/// Whether the manager, its Python and a screen are there; says by name what is left out.
fn can_run(test: &str, manager: &str) -> bool {
    let programs = [manager, "xvfb-run", "dbus-run-session", "xdotool"];
    if !is_possible(test) || !programs.iter().all(|program| has(test, program)) {
        return false;
    }
    let look = "import gi; gi.require_version('Atspi', '2.0')";
    let found = Command::new("/usr/bin/python3").args(["-c", look]).stderr(Stdio::null()).status();
    let plug = format!("/usr/share/{manager}-python");
    let libraries = Path::new("/usr/lib/x86_64-linux-gnu").join(manager);
    let has_python = Path::new(&plug).exists() || libraries.exists();
    if !found.is_ok_and(|status| status.success()) || !has_python {
        skip(test, "AT-SPI or the manager's Python is not installed");
        return false;
    }
    true
}

fn shows_and_clicks(manager: &str) {
    if !can_run(manager, manager) {
        return;
    }
    let fixture = Fixture::found(FixtureOptions::default());
    let alice = &fixture.alice;
    let _ = create(alice, PLANS);
    let mounted = Mounted::new(alice, PLANS);
    std::fs::write(mounted.path("report.odt"), "whole").unwrap();
    let _ = Safe { device: alice, name: PLANS }.sync();
    let token = alice.folder().join("token");
    let methods = ["fm.status", "fm.menu", "fm.invoke", "events.watch"];
    let mut made =
        vec!["token", "create", "file manager", "--rate", "3000", "--output", token.to_str().unwrap()];
    made.extend(methods.iter().flat_map(|method| ["--method", method]));
    let _ = alice.ctl(&made).well();
    let home = alice.folder().join("home");
    private_folder(&home);
    let mut screen = Command::new("xvfb-run");
    screen.args(["-a", "-s", "-screen 0 1100x700x24", "dbus-run-session", "--", "/usr/bin/python3"]);
    screen.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python/file_manager_seen.py"));
    screen.arg(manager).arg(&home).arg(mounted.folder());
    screen.env("PARSEC_FM_TOKEN", &token).env("XDG_RUNTIME_DIR", alice.runtime());
    screen.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = screen.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut ask = |line: &str| {
        writeln!(input, "{line}").unwrap();
        // Others write there, too.
        lines.by_ref().find(|said| said.starts_with("yes") || said.starts_with("no")).unwrap()
    };
    let asked = ["column Synced", "menu report.odt", "click report.odt\tParsec: Keep on this device"];
    let said = asked.map(&mut ask);
    let after = [ask("column Synced, pinned"), ask("alive")];
    drop(input);
    let _ = child.wait();
    assert_eq!(said, ["yes", MENU, "yes"], "{manager}");
    assert_eq!(after, ["yes", "yes"], "{manager}");
    let asked = FilePins {
        select: parsec_protocol::control::DeviceSelector::default(),
        safe: PLANS.to_owned(),
        after: None,
    };
    let pins: FilePinsResult = alice.call(method::FILE_PINS, asked).unwrap();
    assert_eq!(pins.pins.len(), 1, "the click has arrived");
}

#[test]
fn nautilus_shows_where_a_file_stands_and_a_click_arrives() {
    shows_and_clicks("nautilus");
}

#[test]
fn nemo_shows_where_a_file_stands_and_a_click_arrives() {
    shows_and_clicks("nemo");
}

#[test]
fn caja_shows_where_a_file_stands_and_a_click_arrives() {
    shows_and_clicks("caja");
}
