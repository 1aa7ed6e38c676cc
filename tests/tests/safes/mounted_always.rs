//! Safes that are mounted whenever their device is unlocked, by the program that the user's unit
//! runs; and safes that are mounted as they were.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Stdio};

use parsec_protocol::control::{DeviceSelector, MountListResult, method};
use parsec_tests::ctl;
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::mounted::{Mounted, is_possible};
use parsec_tests::safes::create;

use super::PLANS;
use super::mounted::{EROFS, errno, mounted, safe, until};

/// The program that the user's unit runs; what it says is in a file.
struct Unit {
    process: Child,
    said: std::path::PathBuf,
}

impl Unit {
    fn start(device: &Device) -> Self {
        let said = device.folder().join("unit-said");
        let file = File::options().append(true).create(true).open(&said).unwrap();
        let mut command = ctl::command(&device.runtime(), &["safe", "mount", "--marked", "--follow"]);
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        Self { process: command.spawn().unwrap(), said }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Its folder beside the device's data.
fn folder(device: &Device, name: &str) -> Mounted {
    Mounted::on(&device.folder().join(name))
}

fn marked(device: &Device) -> Vec<String> {
    let list: MountListResult = device.call(method::MOUNT_LIST, DeviceSelector::default()).unwrap();
    list.marked.into_iter().map(|mark| mark.folder).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn lock(fixture: &Fixture) {
    let _ = fixture.alice.ctl(&["device", "lock"]).well();
}

#[test]
fn a_marked_safe_is_mounted_at_each_unlocking_until_it_is_not_marked_any_more() {
    if !is_possible("a_marked_safe_is_mounted_at_each_unlocking_until_it_is_not_marked_any_more") {
        return;
    }
    let mut fixture = Fixture::found(FixtureOptions::default());
    for name in [PLANS, "Later", "Full"] {
        let _ = create(&fixture.alice, name);
    }
    let plans = folder(&fixture.alice, "plans");
    let later = folder(&fixture.alice, "z-later");
    let full = folder(&fixture.alice, "full");
    let said = fixture.alice.ctl(&["safe", "mount", PLANS, text(plans.folder()), "--always"]).well();
    assert!(said.stdout.contains("whenever this device is unlocked"), "{said:?}");
    // Again, and as it is mounted already: that is no failure.
    let _ = fixture.alice.ctl(&["safe", "mount", PLANS, text(plans.folder()), "--always"]).well();
    fs::write(plans.path("file"), b"in the safe").unwrap();
    for (name, place) in [("Later", &later), ("Full", &full)] {
        let _ = fixture.alice.ctl(&["safe", "mount", name, text(place.folder()), "--always"]).well();
    }
    assert_eq!(marked(&fixture.alice).len(), 3);
    let unit = Unit::start(&fixture.alice);
    lock(&fixture);
    until(|| !plans.is_there() && !later.is_there() && !full.is_there());
    // Somebody has put something into one of the folders.
    fs::write(full.path("in the way"), b"").unwrap();
    let _ = fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    until(|| plans.is_there() && later.is_there());
    until(|| fs::read(plans.path("file")).is_ok_and(|found| found == b"in the safe"));
    until(|| unit.said().contains("is not mounted on") && unit.said().contains("not empty"));
    assert!(unit.said().contains("Plans is mounted on"), "{}", unit.said());
    // Once more a moment later, by itself.
    fs::remove_file(full.path("in the way")).unwrap();
    until(|| full.is_there());
    lock(&fixture);
    until(|| !plans.is_there() && !later.is_there() && !full.is_there());
    until(|| unit.said().contains("is locked"));
    // A daemon that dies takes them with it, and the next one has them again. A call of the unit
    // may have the store still for a moment after the lock: unlocking says so, and to try again.
    until(|| fixture.alice.unlock(ALICE_PASSWORD).is_ok());
    until(|| plans.is_there() && later.is_there() && full.is_there());
    fixture.alice.kill();
    until(|| !plans.is_there() && !later.is_there() && !full.is_there());
    fixture.alice.restart();
    // The unit asks the new daemon at the same moment.
    until(|| fixture.alice.unlock(ALICE_PASSWORD).is_ok());
    until(|| plans.is_there() && later.is_there() && full.is_there());
    // Not any more, though it is mounted now: the one behind it in the list says when it was due.
    let said = fixture.alice.ctl(&["safe", "unmount", PLANS, "--always"]).well();
    assert!(said.stdout.contains("Nothing is mounted"), "{said:?}");
    assert!(!plans.is_there());
    assert_eq!(marked(&fixture.alice).len(), 2);
    lock(&fixture);
    until(|| !later.is_there());
    let _ = fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    until(|| later.is_there());
    assert!(!plans.is_there());
    let said = fixture.alice.ctl(&["safe", "mounts"]).well();
    assert!(said.stdout.contains("always"), "{said:?}");
    let again = fixture.alice.ctl(&["safe", "unmount", PLANS, "--always"]);
    assert_ne!(again.code, 0, "it has no mark any more: {again:?}");
    drop(unit);
    // And what it does once, without going on.
    lock(&fixture);
    until(|| !later.is_there() && !full.is_there());
    let _ = fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    let said = fixture.alice.ctl(&["safe", "mount", "--marked"]).well();
    assert!(said.stdout.contains("Later is mounted on"), "{said:?}");
    assert!(later.is_there() && full.is_there() && !plans.is_there());
}

#[test]
fn a_safe_is_mounted_as_it_was_and_stays_so() {
    if !is_possible("a_safe_is_mounted_as_it_was_and_stays_so") {
        return;
    }
    let (fixture, now) = mounted(FixtureOptions::default());
    let alice = safe(&fixture.alice);
    let large = vec![5; 3_000_000];
    fs::create_dir(now.path("2027")).unwrap();
    fs::write(now.path("2027/report"), b"first").unwrap();
    fs::write(now.path("large"), &large).unwrap();
    fs::write(now.path("gone"), b"removed since").unwrap();
    let _ = alice.sync();
    let said = fixture.alice.ctl(&["safe", "log", PLANS, "--json"]).well();
    let record = said
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()?.get("seq")?.as_u64());
    let record = record.max().unwrap();
    fs::write(now.path("2027/report"), b"second, and longer").unwrap();
    fs::write(now.path("large"), b"small").unwrap();
    fs::remove_file(now.path("gone")).unwrap();
    fs::write(now.path("new"), b"new").unwrap();
    let _ = alice.sync();
    let then = folder(&fixture.alice, "then");
    let number = record.to_string();
    let said = fixture.alice.ctl(&["safe", "mount", PLANS, text(then.folder()), "--record", &number]).well();
    assert!(said.stdout.contains("as of") && said.stdout.contains("read only"), "{said:?}");
    let seen = || {
        assert_eq!(fs::read(then.path("2027/report")).unwrap(), b"first");
        assert!(fs::read(then.path("large")).unwrap() == large);
        assert_eq!(fs::read(then.path("gone")).unwrap(), b"removed since");
        assert!(!then.path("new").exists());
        assert_eq!(fs::read_dir(then.folder()).unwrap().count(), 3);
    };
    seen();
    assert_eq!(errno(fs::write(then.path("2027/report"), b"x")), EROFS);
    assert_eq!(errno(fs::remove_file(then.path("gone"))), EROFS);
    assert_eq!(errno(fs::create_dir(then.path("folder"))), EROFS);
    // What happens now is nothing to it.
    fs::write(now.path("2027/report"), b"third").unwrap();
    let _ = alice.sync();
    seen();
    assert_eq!(fs::read(now.path("2027/report")).unwrap(), b"third");
    let list: MountListResult = fixture.alice.call(method::MOUNT_LIST, DeviceSelector::default()).unwrap();
    let [first, second] = &list.mounts[..] else { panic!("{list:?}") };
    assert_eq!((first.record, second.record, second.read_only), (None, Some(record), true));
    lock(&fixture);
    until(|| !then.is_there());
    // A moment before there was anything is no time of this safe.
    let _ = fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    let at = ["safe", "mount", PLANS, text(then.folder()), "--at", "2020-01-01 00:00"];
    let said = fixture.alice.ctl(&at);
    assert_ne!(said.code, 0, "{said:?}");
    assert!(!then.is_there());
    let both = ["safe", "mount", PLANS, text(then.folder()), "--record", &number, "--always"];
    assert_eq!(fixture.alice.ctl(&both).code, 64);
}
