//! A full disk at the worst moment: Bob has chosen his password and there is no room for the keys.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::process::Command;

use parsec_protocol::control::{ProblemKind, ProfileName, Stage};
use parsec_tests::people;
use parsec_tests::scene::{BOB, BOB_EMAIL, Scene, Setting};
use parsec_tests::skip;
use parsec_tests::terminal::private_folder;

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
    let scene = Scene::found(Setting::default());
    let data = scene.path("bob").join("data");
    private_folder(&data);
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs"]).arg(&data).status();
    if !mounted.is_ok_and(|status| status.success()) {
        skip(NAME, "this machine does not let root mount a tmpfs");
        return;
    }
    let _mounted = Mounted(data.clone());
    let bob = scene.terminal("bob");
    let filler = data.join("filler");

    let invitation = scene.alice.invite(BOB_EMAIL).unwrap();
    let (mut claimer, mut greeter) = scene.both(&bob, &invitation);
    people::up_to_password(&mut claimer, &mut greeter, BOB, Some(ProfileName::Standard));
    claimer.stage(Stage::SetPassword).unwrap();
    fill(&filler);
    let refused = claimer.finish(BOB.password).unwrap_err();
    assert_eq!(refused.name(), ProblemKind::DiskFull);
    assert!(bob.devices().is_empty());
    assert_eq!(scene.alice.verify().unwrap().count, 2);

    // Room again: the same command, and nothing was lost.
    std::fs::remove_file(&filler).unwrap();
    claimer.stage(Stage::SetPassword).unwrap();
    claimer.finish(BOB.password).unwrap();
    claimer.outcome().unwrap();
    greeter.outcome().unwrap();
    assert_eq!(bob.verify().unwrap().users, 2);
}

fn fill(file: &std::path::Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(file).unwrap();
    for size in [65_536, 4_096, 1] {
        while file.write_all(&vec![b'x'; size]).is_ok() {}
    }
}
