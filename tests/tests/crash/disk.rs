//! A full disk at the worst moment: Bob has chosen his password and there is no room for the keys;
//! and a server's.

use std::process::Command;

use parsec_protocol::control::{ProblemKind, ProfileName, Stage};
use parsec_tests::device::{Device, Founding, private_folder};
use parsec_tests::fixture::{BOB, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::server::Server;
use parsec_tests::skip;

struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_named_and_costs_nothing_once_there_is_room() {
    const NAME: &str = "a_full_disk_is_named_and_costs_nothing_once_there_is_room";
    if !rustix::process::getuid().is_root() {
        skip(NAME, "mounting a small disk takes root");
        return;
    }
    let fixture = Fixture::found(FixtureOptions::default());
    let data = fixture.path("bob").join("data");
    private_folder(&data);
    let Some(_mounted) = mount(&data) else {
        skip(NAME, "this machine does not let root mount a tmpfs");
        return;
    };
    let bob = fixture.device("bob");
    let filler = data.join("filler");

    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let (mut claimer, greeter) = fixture.up_to_password(&bob, &invitation, ProfileName::Standard);
    fill(&filler);
    let refused = claimer.finish(BOB.password).unwrap_err();
    assert_eq!(refused.name(), ProblemKind::DiskFull);
    assert!(bob.devices().is_empty());
    assert_eq!(fixture.alice.verify().unwrap().count, 2);

    // Room again: the same command, and nothing was lost.
    std::fs::remove_file(&filler).unwrap();
    claimer.stage(Stage::SetPassword).unwrap();
    claimer.finish(BOB.password).unwrap();
    claimer.outcome().unwrap();
    greeter.outcome().unwrap();
    assert_eq!(bob.verify().unwrap().users, 2);
}

#[test]
fn a_servers_full_disk_is_named_and_costs_nothing_once_there_is_room() {
    const NAME: &str = "a_servers_full_disk_is_named_and_costs_nothing_once_there_is_room";
    if !rustix::process::getuid().is_root() {
        skip(NAME, "mounting a small disk takes root");
        return;
    }
    let folder = tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap();
    let place = folder.path().join("server");
    private_folder(&place);
    let Some(_mounted) = mount(&place) else {
        skip(NAME, "this machine does not let root mount a tmpfs");
        return;
    };
    let server = Server::start(&place, &[]);
    let alice = Device::start("alice", &folder.path().join("alice"));
    let founding = Founding {
        server: &server.url(),
        organisation: "acme",
        token: &server.reserve("acme"),
        email: "alice@acme.example",
        name: "Alice",
        label: "desk",
        password: "alice walks seven dogs",
        typed_codes: false,
    };
    alice.found(&founding).unwrap();
    let filler = place.join("filler");
    fill(&filler);
    let invite = |number: u32| alice.invite(&format!("member{number}@acme.example"));
    // What the database's own files have room for is taken first.
    let refused = (0..200).find_map(|number| invite(number).err()).unwrap();
    assert_eq!(refused.name(), Some(ProblemKind::QuotaReached));
    std::fs::remove_file(&filler).unwrap();
    invite(999).unwrap();
    assert_eq!(alice.verify().unwrap().count, 2);
}

/// A small disk.
fn mount(at: &std::path::Path) -> Option<Mounted> {
    let options = ["-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs"];
    let mounted = Command::new("mount").args(options).arg(at).status();
    mounted.is_ok_and(|status| status.success()).then(|| Mounted(at.to_owned()))
}

fn fill(file: &std::path::Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(file).unwrap();
    for size in [65_536, 4_096, 1] {
        while file.write_all(&vec![b'x'; size]).is_ok() {}
    }
}
