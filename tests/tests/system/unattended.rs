//! Unlocking without a person, by a credential of the service manager: what it opens, what it
//! doesn't confirm, what it says.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use parsec_protocol::control::{DeviceState, ProblemKind};
use parsec_tests::device::private_folder;
use parsec_tests::fixture::{ALICE_PASSWORD, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::process::{Daemon, binary};
use rustix::process::{Pid, Signal, kill_process};

/// A daemon that says nothing for so long is broken; opening a key file takes about a second.
const DEADLINE: Duration = Duration::from_secs(120);

/// Reads what the daemon tells its service manager, up to a notice with these words.
fn hear(notices: &UnixDatagram, words: &str) {
    let mut buffer = [0; 4096];
    loop {
        let length =
            notices.recv(&mut buffer).unwrap_or_else(|error| panic!("never said `{words}`: {error}"));
        if String::from_utf8_lossy(&buffer[..length]).contains(words) {
            return;
        }
    }
}

fn service_manager(place: &Path) -> UnixDatagram {
    let notices = UnixDatagram::bind(place).unwrap();
    notices.set_read_timeout(Some(DEADLINE)).unwrap();
    notices
}

#[test]
fn a_credential_unlocks_and_confirms_nothing() {
    let mut fixture = Fixture::found(FixtureOptions { daemon: Daemon::Shipped, ..FixtureOptions::default() });
    let (folder, place) = (fixture.path("credentials"), fixture.path("notify"));
    private_folder(&folder);
    let notices = service_manager(&place);
    // The one for all is wrong here: the organisation's own goes before it.
    std::fs::write(folder.join("parsecd.password"), "some other words\n").unwrap();
    std::fs::write(folder.join("parsecd.password.acme"), format!("{ALICE_PASSWORD}\n")).unwrap();
    let environment =
        [("CREDENTIALS_DIRECTORY", folder.to_str().unwrap()), ("NOTIFY_SOCKET", place.to_str().unwrap())];
    fixture.alice.set_environment(&environment);
    fixture.alice.restart();
    hear(&notices, "STATUS=1 of 1 devices unlocked");
    let status = fixture.alice.status();
    assert_eq!(status.devices[0].state, DeviceState::Unlocked);
    // It looks, and vouches for nobody: no session has given the password.
    let refused = fixture.alice.invite(BOB_EMAIL).unwrap_err();
    assert_eq!(refused.name(), Some(ProblemKind::ConfirmationRequired), "{refused:?}");
    // All of it is written once it has ended.
    fixture.alice.process().stop();
    let log = fixture.alice.log();
    assert!(log.contains("unlocked with a credential"), "{log}");
    assert!(!log.contains(ALICE_PASSWORD) && !log.contains("some other words"), "{log}");
}

#[test]
fn a_wrong_credential_is_said_once_and_not_tried_again() {
    let mut fixture = Fixture::found(FixtureOptions { daemon: Daemon::Shipped, ..FixtureOptions::default() });
    let folder = fixture.path("credentials");
    private_folder(&folder);
    std::fs::write(folder.join("parsecd.password"), "some other words").unwrap();
    fixture.alice.kill();
    let mut daemon = Command::new(binary("parsecd"))
        .arg("--data-dir")
        .arg(fixture.alice.data())
        .env("XDG_RUNTIME_DIR", fixture.alice.runtime())
        .env("CREDENTIALS_DIRECTORY", &folder)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(daemon.stderr.take().unwrap());
    let mut log = String::new();
    while !log.contains("did not unlock a device") {
        assert!(said.read_line(&mut log).unwrap() > 0, "{log}");
    }
    assert_eq!(fixture.alice.devices()[0].state, DeviceState::Locked);
    // A person can, at once.
    assert_eq!(fixture.alice.unlock(ALICE_PASSWORD).unwrap().state, DeviceState::Unlocked);
    kill_process(Pid::from_child(&daemon), Signal::TERM).unwrap();
    said.read_to_string(&mut log).unwrap();
    assert!(daemon.wait().unwrap().success(), "{log}");
    assert_eq!(log.matches("did not unlock a device").count(), 1, "{log}");
    assert!(!log.contains("unlocked with a credential") && !log.contains("some other words"), "{log}");
}
