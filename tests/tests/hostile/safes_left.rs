//! What is left of a safe where nobody should find it: on the server's disk, in a device's folder
//! and logs, and, once the device is locked, in its daemon's memory.
//!
//! A safe with a life behind it: files put, moved, copied, written over at both ends of a network
//! that was away, removed; the safe renamed, shared, left. Each search is shown to find things:
//! what the server knows, and the names and keys in the memory of a daemon that is unlocked.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use parsec_protocol::control::{
    ChoiceMode, DeviceForget, DeviceSelector, DeviceState, DeviceView, Empty, Registration, SafeRole,
    SafeStanding, SecretText, method,
};
use parsec_tests::ctl;
use parsec_tests::device::{Device, copy_folder};
use parsec_tests::fixture::{ALICE_PASSWORD, BOB, BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::logs::{Planted, files, search};
use parsec_tests::process::Daemon;
use parsec_tests::safes::Safe;
use parsec_tests::server::metadata;
use parsec_tests::{memory, skip};

/// Names of safes, folders and files, words of contents: none occurs anywhere by chance.
const WORDS: &[&str] = &[
    "Quarzkobold",
    "Zirkelfalter",
    "Zwergpalme",
    "Ankerwinde",
    "Nebelwurz",
    "Mondkalbsturm",
    "Tiefenlot",
    "Hagebuttenrost",
    "Kupferdohle",
    "Lindwurmtee",
    "Pechnelke",
    "Wartesaalgeist",
    "Sternenfalke",
    "Birkenspanner",
    "Dornfelderblues",
    "Eisvogelkreisel",
    "Flintenweib",
];
/// Bytes of the large file: two chunks, and a part of a third.
const LARGE_BYTES: usize = 1_200_000;

/// Every word, in each of its disguises.
fn planted() -> Vec<Planted> {
    WORDS.iter().flat_map(|word| Planted::text(word, word)).collect()
}

struct Lived {
    fixture: Fixture,
    bob: Device,
    /// Whole ids of the safe that they work in, and of another one.
    safe: String,
    other: String,
}

impl Lived {
    fn devices(&self) -> [&Device; 2] {
        [&self.fixture.alice, &self.bob]
    }

    /// Everything that a device's programs could have left behind: its data, runtime and home
    /// folder with its logs, and the folder for temporary files.
    fn at_the_devices(&self) -> Vec<(String, Vec<u8>)> {
        self.devices().into_iter().flat_map(|device| files(device.folder())).collect()
    }
}

fn well(device: &Device, arguments: &[&str]) {
    let _ = device.ctl(arguments).well();
}

/// A device whose daemon logs all that it can, with its temporary files in its own folder.
fn restarted(device: &mut Device, password: &str) {
    let temporary = device.folder().join("tmp");
    std::fs::create_dir_all(&temporary).unwrap();
    device.set_environment(&[("TMPDIR", temporary.to_str().unwrap()), ("RUST_LOG", "trace")]);
    device.restart();
    device.unlock(password).unwrap();
}

/// Files of Alice's own, outside of what is searched.
fn own_files(folder: &Path) -> PathBuf {
    let tree = folder.join("mine/Ankerwinde");
    std::fs::create_dir_all(tree.join("Nebelwurz")).unwrap();
    std::fs::write(tree.join("Mondkalbsturm.odt"), "Sternenfalke: all of it in one small file").unwrap();
    let lines = (0..).flat_map(|line| format!("Birkenspanner {line}\n").into_bytes());
    std::fs::write(tree.join("Nebelwurz/Hagebuttenrost"), lines.take(LARGE_BYTES).collect::<Vec<_>>())
        .unwrap();
    std::fs::write(tree.join("Kupferdohle -> Tiefenlot"), "named like a link").unwrap();
    symlink("Flintenweib", tree.join("left-out")).unwrap();
    tree
}

/// A safe that has been lived in. Its last change is saved at Alice's, and the server is away.
fn lived_in() -> Lived {
    let options = FixtureOptions { daemon_options: &["--verbose"], ..FixtureOptions::default() };
    let mut fixture = Fixture::found(options);
    let mut bob = Device::start_one(Daemon::default(), "bob", &fixture.path("bob"), &["--verbose"]);
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let ends = fixture.enrol(&bob, &invitation, BOB, ChoiceMode::Picked);
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
    let _ = bob.until_device(|device| device.registration == Registration::Registered);
    restarted(&mut fixture.alice, ALICE_PASSWORD);
    restarted(&mut bob, BOB_PASSWORD);
    let tree = own_files(&fixture.path("own"));

    let alice = &fixture.alice;
    let safe = alice.ctl(&["safe", "create", "Quarzkobold", "--json"]).well().json();
    let safe = safe["safe"].as_str().unwrap().to_owned();
    well(alice, &["safe", "put", "-r", tree.to_str().unwrap(), "Quarzkobold:/Ankerwinde"]);
    let other = alice.ctl(&["safe", "create", "Zwergpalme", "--json"]).well().json();
    let other = other["safe"].as_str().unwrap().to_owned();
    well(alice, &["safe", "mkdir", "-p", "Zwergpalme:/Lindwurmtee"]);
    for safe in [&safe, &other] {
        Safe { device: alice, name: safe }.share(BOB_EMAIL, SafeRole::Contributor).unwrap();
        let offered = bob.until_safe(|it| it.safe.to_string() == *safe);
        assert_eq!(offered.standing, SafeStanding::Offered);
        well(&bob, &["safe", "accept", safe]);
        Safe { device: &bob, name: safe }.sync();
    }
    let input = "Dornfelderblues, out of a pipe";
    let _ = ctl::run(bob.runtime().as_path(), &["safe", "put", "-", "Quarzkobold:/Pechnelke"], input).well();
    for line in [
        &["safe", "mv", "Quarzkobold:/Pechnelke", "/Ankerwinde/"][..],
        &["safe", "cp", "Quarzkobold:/Ankerwinde/Pechnelke", "/Lindwurmtee"],
        &["safe", "rm", "Quarzkobold:/Lindwurmtee"],
        &["safe", "ls", "-lR", "Quarzkobold:/"],
    ] {
        well(&bob, line);
    }
    Safe { device: alice, name: &safe }.sync();
    well(alice, &["safe", "rename", "Quarzkobold", "Zirkelfalter"]);
    Safe { device: &bob, name: &safe }.sync();

    fixture.server.kill();
    for device in [&fixture.alice, &bob] {
        // Each its own: the same contents twice would be no conflict.
        let text = format!("Eisvogelkreisel, written in {}", device.folder().display());
        Safe { device, name: &safe }.put("/Ankerwinde/Pechnelke", text.as_bytes(), 0).unwrap();
    }
    fixture.restart_server();
    for device in [&fixture.alice, &bob, &fixture.alice] {
        Safe { device, name: &safe }.sync();
    }
    assert_eq!(Safe { device: &bob, name: &safe }.conflicts().conflicts.len(), 1);
    fixture.server.kill();
    let saved = Safe { device: &fixture.alice, name: &safe }.put("/Wartesaalgeist", b"Flintenweib", 0);
    assert!(saved.is_ok_and(|saved| !saved.shared));
    Lived { fixture, bob, safe, other }
}

#[test]
fn no_name_and_no_word_of_a_safe_is_readable_at_the_server_or_on_a_disk() {
    let mut lived = lived_in();
    let server = lived.fixture.path("server");
    let whole = files(&server);
    assert!(whole.iter().any(|(path, _)| path.contains(".objects/")), "large pieces lie in files");
    lived.fixture.restart_server();
    Safe { device: &lived.fixture.alice, name: &lived.safe }.sync();
    let backup = server.join("backup.sqlite");
    let made = metadata(&["backup", backup.to_str().unwrap()], &lived.fixture.server.database());
    assert!(made.status.success() && backup.exists(), "{made:?}");

    // Before and after the last change, with what lies beside the database; and the copy of it.
    let mut everywhere = [whole, files(&server)].concat();
    let known = Planted { what: "Bob's address".into(), bytes: BOB_EMAIL.into() };
    let seen = search(&everywhere, std::slice::from_ref(&known));
    for place in ["metadata.sqlite", "backup.sqlite"] {
        assert!(seen.iter().any(|hit| hit.contains(place)), "the search finds what is there: {seen:?}");
    }
    everywhere.extend(lived.at_the_devices());
    for device in lived.devices() {
        assert!(device.log().contains("DEBUG"), "nothing finer than that is logged");
    }
    let planted = planted();
    let found = search(&everywhere, &planted);
    assert!(found.is_empty(), "{found:#?}");
    println!(
        "figure S13: {} words of safes in {} spellings, in {} files of the server, its backup and two devices: 0 found",
        WORDS.len(),
        planted.len(),
        everywhere.len()
    );
}

/// Locks a device; searches what is left of it then, in memory and in what it has open.
fn left_when_locked(device: &mut Device, planted: &[Planted]) -> Vec<String> {
    let locked: DeviceView = device.call(method::DEVICE_LOCK, DeviceSelector::default()).unwrap();
    assert_eq!(locked.state, DeviceState::Locked);
    left(device, planted)
}

fn left(device: &mut Device, planted: &[Planted]) -> Vec<String> {
    let process = device.process().id();
    let (mut found, searched) = memory::search(process, planted);
    found.extend(search(&memory::open_files(process), planted));
    println!("{}: {} places in {searched} bytes", device.folder().display(), found.len());
    found
}

/// The keys of all safes of a device that is locked, out of a copy of its store.
fn keys_of(device: &Device, copy: &Path, password: &str) -> Vec<Planted> {
    copy_folder(&device.data(), copy);
    let devices = parsecd::store::Devices::open(copy).unwrap();
    let id = devices.list().unwrap().pop().unwrap().device;
    let open = devices.unlock(id, &SecretText::new(password.to_owned().into())).unwrap();
    let safes = open.store.safe_ids().unwrap();
    let keys: Vec<_> = safes.into_iter().flat_map(|safe| open.store.safe_keys(safe).unwrap()).collect();
    drop(open);
    std::fs::remove_dir_all(copy).unwrap();
    keys.iter().flat_map(|(epoch, key)| Planted::bytes(&format!("a key, {epoch}"), key.expose())).collect()
}

#[test]
fn a_locked_device_has_no_name_no_word_and_no_key_of_its_safes_in_memory() {
    const NAME: &str = "a_locked_device_has_no_name_no_word_and_no_key_of_its_safes_in_memory";
    if !rustix::process::getuid().is_root() {
        return skip(NAME, "reading another process's memory takes root");
    }
    let mut lived = lived_in();
    let words = planted();
    // Contents that pass through on their way out, too.
    lived.fixture.restart_server();
    let own = lived.fixture.path("own/got");
    let tree = format!("{}:/Ankerwinde", lived.safe);
    well(&lived.bob, &["safe", "get", "-r", &tree, own.to_str().unwrap()]);
    well(&lived.bob, &["safe", "cat", &format!("{tree}/Mondkalbsturm.odt")]);
    lived.fixture.server.kill();
    let saved =
        Safe { device: &lived.fixture.alice, name: &lived.safe }.put("/Wartesaalgeist", b"Flintenweib", 0);
    assert!(saved.is_ok_and(|saved| !saved.shared));
    let mut found = Vec::new();
    // With a change that waits, and the server away.
    let copy = lived.fixture.path("copy");
    let mut keys = Vec::new();
    for (device, password) in [(&mut lived.fixture.alice, ALICE_PASSWORD), (&mut lived.bob, BOB_PASSWORD)] {
        found.extend(left_when_locked(device, &words));
        let own = keys_of(device, &copy, password);
        assert!(!own.is_empty());
        device.unlock(password).unwrap();
        assert_eq!(device.ctl(&["safe", "ls", "-R", &format!("{}:/", lived.safe)]).code, 0);
        let (seen, _) = memory::search(device.process().id(), &[&words[..], &own].concat());
        for wanted in ["a key", "Zirkelfalter", "Mondkalbsturm"] {
            assert!(seen.iter().any(|hit| hit.starts_with(wanted)), "the search finds {wanted}: {seen:?}");
        }
        keys.extend(own);
    }
    let planted = [words, keys].concat();
    lived.fixture.restart_server();

    // Bob leaves the one, and is taken out of the other.
    let Lived { fixture, bob, safe, other } = &mut lived;
    Safe { device: bob, name: other }.leave().unwrap();
    Safe { device: &fixture.alice, name: safe }.unshare(BOB_EMAIL).unwrap();
    let _ = bob.until_safe(|it| it.safe.to_string() == *safe && it.standing == SafeStanding::Left);
    Safe { device: &fixture.alice, name: safe }.put_shared("/Wartesaalgeist", b"Flintenweib, and on");
    found.extend(left_when_locked(&mut fixture.alice, &planted));
    found.extend(left_when_locked(bob, &planted));

    // And is no device any more, unlocked before.
    bob.unlock(BOB_PASSWORD).unwrap();
    assert_eq!(bob.ctl(&["safe", "ls", "-R", &format!("{safe}:/")]).code, 0, "what he had, he has");
    let forgotten = DeviceForget { device: bob.devices()[0].device, force: false };
    let _: Empty = bob.call(method::DEVICE_FORGET, forgotten).unwrap();
    found.extend(left(bob, &planted));
    let kept: Vec<_> = files(&bob.data()).into_iter().map(|(path, _)| path).collect();
    assert!(!kept.iter().any(|path| path.contains("store.db") || path.ends_with(".age")), "{kept:?}");
    found.extend(search(&lived.at_the_devices(), &planted));
    assert!(found.is_empty(), "{found:#?}");
    println!(
        "figure S13: {} words, keys and spellings, after locking, leaving, being taken out and forgetting a device: 0 left in memory",
        planted.len()
    );
}
