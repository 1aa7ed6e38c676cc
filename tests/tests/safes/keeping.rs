//! What of a safe is on a device, and that its person decides about it: pins, what is here, and how
//! much may be kept.

use std::collections::BTreeMap;

use parsec_protocol::control::{
    CacheLimitBy, CacheSet, CacheView, DeviceSelector, FileChanged, FileEntry, FileHere, FileList,
    FileListResult, FileMove, FilePins, FilePinsResult, FileRemove, FileSelector, FileUnpin, FileUnpinned,
    Pin, PinState, ProblemKind, SafeStatus, SafeStatusResult, SafeWaiting, TrashList, TrashListResult,
    TrashRestore, method,
};
use parsec_tests::device::Device;
use parsec_tests::events::Follower;
use parsec_tests::fixture::{ALICE_AGAIN, Fixture, FixtureOptions};
use parsec_tests::memory::resident;
use parsec_tests::rpc::Failed;
use parsec_tests::safes::{Safe, create, is_well};

use super::{PLANS, enrol_own};

const MIB: usize = 1024 * 1024;
/// More pieces than an entry names itself: they stand in a page.
const PAGED: usize = 9 * MIB + 17;

/// Contents that no other file has.
fn contents(seed: u8, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 7) as u8 ^ (at % 251) as u8 ^ seed).collect()
}

fn select() -> DeviceSelector {
    DeviceSelector::default()
}

fn try_pin(safe: Safe<'_>, path: &str) -> Result<Pin, Failed> {
    let asked = FileSelector { select: select(), safe: safe.name.to_owned(), path: path.to_owned() };
    safe.device.call(method::FILE_PIN, asked)
}

fn pin(safe: Safe<'_>, path: &str) -> Pin {
    try_pin(safe, path).unwrap()
}

fn unpin(safe: Safe<'_>, path: &str) -> Result<FileUnpinned, Failed> {
    let (safe_name, path) = (safe.name.to_owned(), Some(path.to_owned()));
    let asked = FileUnpin { select: select(), safe: safe_name, path, entry: None };
    safe.device.call(method::FILE_UNPIN, asked)
}

fn pins(safe: Safe<'_>) -> Vec<Pin> {
    let asked = FilePins { select: select(), safe: safe.name.to_owned(), after: None };
    let result: FilePinsResult = safe.device.call(method::FILE_PINS, asked).unwrap();
    assert!(!result.more);
    result.pins
}

/// Waits until the only pin of a safe is as wanted, by the daemon's events.
fn until_pin(safe: Safe<'_>, wanted: impl Fn(&Pin) -> bool) -> Pin {
    let mut follower = Follower::start(&safe.device.socket(), None);
    loop {
        if let [pin] = pins(safe).as_slice()
            && wanted(pin)
        {
            return pin.clone();
        }
        let _ = follower.item().unwrap();
    }
}

fn complete(files: u64) -> impl Fn(&Pin) -> bool {
    move |pin| pin.state == PinState::Complete && pin.files == files && pin.here_bytes == pin.bytes
}

fn list(safe: Safe<'_>) -> BTreeMap<String, FileEntry> {
    let (safe_name, path) = (safe.name.to_owned(), "/".to_owned());
    let asked = FileList {
        select: select(),
        safe: safe_name,
        path,
        recursive: true,
        after: None,
        at: None,
        record: None,
    };
    let result: FileListResult = safe.device.call(method::FILE_LIST, asked).unwrap();
    result.files.into_iter().map(|file| (file.path.clone(), file)).collect()
}

/// What is here, as a listing and each file by itself say alike.
fn here(safe: Safe<'_>, path: &str) -> (Option<FileHere>, bool) {
    let listed = list(safe)[path].clone();
    let alone = safe.stat(path).unwrap();
    assert_eq!(listed, alone);
    (listed.here, listed.pinned)
}

fn moved(safe: Safe<'_>, from: &str, to: &str, wait: u32) {
    let (safe_name, from, to) = (safe.name.to_owned(), from.to_owned(), to.to_owned());
    let asked =
        FileMove { select: select(), safe: safe_name, from, to, replace: false, wait_seconds: Some(wait) };
    let done: FileChanged = safe.device.call(method::FILE_MOVE, asked).unwrap();
    assert_eq!(done.shared, wait > 0, "{done:?}");
}

fn status(safe: Safe<'_>) -> SafeWaiting {
    let asked = SafeStatus { select: select(), safe: Some(safe.name.to_owned()) };
    let mut result: SafeStatusResult = safe.device.call(method::SAFE_STATUS, asked).unwrap();
    result.safes.remove(0)
}

fn cache(device: &Device) -> CacheView {
    device.call(method::CACHE_SHOW, select()).unwrap()
}

fn limit(device: &Device, limit_bytes: Option<u64>) -> CacheView {
    device.call(method::CACHE_SET, CacheSet { select: select(), limit_bytes }).unwrap()
}

fn clear(device: &Device) -> CacheView {
    device.call(method::CACHE_CLEAR, select()).unwrap()
}

/// Alice's desktop with a safe, and her tablet, which has it too and nothing of its contents.
fn two_devices() -> (Fixture, Device, String) {
    let fixture = Fixture::found(FixtureOptions::default());
    let tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    let made = create(&fixture.alice, PLANS);
    let _ = tablet.until_safe(|safe| safe.safe == made.safe && is_well(safe));
    (fixture, tablet, made.safe.to_string())
}

#[test]
fn what_is_pinned_is_read_without_the_server_and_the_rest_is_said_not_to_be_here() {
    let (mut fixture, mut tablet, id) = two_devices();
    let alice = Safe { device: &fixture.alice, name: PLANS };
    let files: BTreeMap<&str, Vec<u8>> = [
        ("/trip/map", contents(1, MIB + 1)),
        ("/trip/film", contents(2, PAGED)),
        ("/trip/deep/list", contents(3, 100)),
        ("/trip/empty", Vec::new()),
    ]
    .into();
    for folder in ["/trip", "/trip/deep"] {
        assert_eq!(fixture.alice.ctl(&["safe", "mkdir", &format!("{PLANS}:{folder}")]).code, 0);
    }
    for (path, bytes) in &files {
        alice.put_shared(path, bytes);
    }
    alice.put_shared("/other", &contents(4, 100_000));
    alice.put_shared("/comes", &contents(5, 700_000));
    // Who wrote it has it.
    assert_eq!(here(alice, "/trip/film"), (Some(FileHere::Yes), false));
    let there = Safe { device: &tablet, name: &id };
    there.sync();
    for path in ["/trip/map", "/trip/film", "/trip/deep/list", "/other"] {
        assert_eq!(here(there, path), (Some(FileHere::No), false), "{path}");
    }
    assert_eq!(here(there, "/trip/empty"), (Some(FileHere::Yes), false));
    assert_eq!(here(there, "/trip"), (None, false));
    assert_eq!(status(there).here_bytes, 0);

    let said = tablet.ctl(&["safe", "pin", &format!("{id}:/trip")]).well();
    assert!(said.stderr.contains("Pinned /trip") || said.stdout.contains("Pinned /trip"), "{said:?}");
    let first = until_pin(there, complete(4));
    assert_eq!((first.path.as_deref(), first.problem), (Some("/trip"), None));
    // Again is no other pin.
    assert_eq!(pin(there, "/trip").since, first.since);
    // What comes into it later, and what is moved into it.
    alice.put_shared("/trip/later", &contents(6, MIB));
    moved(alice, "/comes", "/trip/deep/comes", 60);
    let _ = until_pin(there, complete(6));
    let all = list(there);
    assert!(all.iter().filter(|(path, _)| path.starts_with("/trip")).all(|(_, file)| file.pinned));
    assert_eq!((all["/other"].here, all["/other"].pinned), (Some(FileHere::No), false));
    let now = status(there);
    assert_eq!((now.here_bytes, now.pinned_bytes), (now.pinned_bytes, first.bytes + 700_000 + MIB as u64));

    // Without the server, under another name, after locking, a new start and a kill.
    fixture.server.kill();
    moved(there, "/trip", "/journey", 0);
    let reads = |tablet: &Device| {
        let there = Safe { device: tablet, name: &id };
        for (path, bytes) in &files {
            let path = path.replace("/trip", "/journey");
            assert!(there.get(&path).unwrap() == *bytes, "{path}");
            assert_eq!(here(there, &path), (Some(FileHere::Yes), true), "{path}");
        }
        assert!(there.get("/journey/later").unwrap() == contents(6, MIB));
        assert!(there.get("/journey/deep/comes").unwrap() == contents(5, 700_000));
        let [pin] = pins(there).try_into().unwrap();
        assert_eq!((pin.path.as_deref(), pin.state), (Some("/journey"), PinState::Complete), "{pin:?}");
    };
    reads(&tablet);
    let said = tablet.ctl(&["safe", "cat", &format!("{id}:/other")]);
    assert!(said.code == 75 && said.stderr.contains("not on this device"), "{said:?}");
    assert_eq!(tablet.ctl(&["device", "lock"]).code, 0);
    tablet.unlock(ALICE_AGAIN.password).unwrap();
    reads(&tablet);
    tablet.restart();
    tablet.unlock(ALICE_AGAIN.password).unwrap();
    reads(&tablet);
    tablet.kill();
    tablet.restart();
    tablet.unlock(ALICE_AGAIN.password).unwrap();
    reads(&tablet);
    let shown = tablet.ctl(&["safe", "ls", "-l", "-R", &format!("{id}:/")]).well().stdout;
    let line = |name: &str| shown.lines().find(|line| line.ends_with(name)).unwrap().to_owned();
    assert!(line("/journey/map").contains(" yes, pinned ") && line("/other").contains(" no "), "{shown}");
    let shown = tablet.ctl(&["safe", "pins"]).well().stdout;
    assert!(shown.contains("/journey") && shown.contains("complete"), "{shown}");
    let shown = tablet.ctl(&["safe", "status"]).well().stdout;
    assert!(shown.contains(" pinned") && shown.contains(" left to the disk"), "{shown}");
    fixture.restart_server();
    let there = Safe { device: &tablet, name: &id };
    there.sync();
    assert!(there.get("/other").unwrap() == contents(4, 100_000));
}

#[test]
fn a_pin_waits_for_the_network_and_rests_while_what_it_is_for_is_removed() {
    let (mut fixture, tablet, id) = two_devices();
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.put_shared("/film", &contents(1, PAGED));
    alice.put_shared("/small", b"small");
    let there = Safe { device: &tablet, name: &id };
    there.sync();
    fixture.server.kill();
    assert!(matches!(pin(there, "/film").state, PinState::Fetching | PinState::WaitsForNetwork));
    let waits = until_pin(there, |pin| pin.state == PinState::WaitsForNetwork);
    assert_eq!((waits.here_bytes, waits.bytes), (0, PAGED as u64));
    assert!(waits.problem.is_some_and(|problem| problem.retryable));
    fixture.restart_server();
    let pinned = until_pin(there, complete(1));

    // Not what is not there; and nothing twice.
    assert_eq!(try_pin(there, "/nowhere").unwrap_err().name(), Some(ProblemKind::PathNotFound));
    assert_eq!(unpin(there, "/small").unwrap_err().name(), Some(ProblemKind::PathNotFound));
    let (safe, path) = (PLANS.to_owned(), "/film".to_owned());
    let asked = FileRemove { select: select(), safe, path, recursive: false, wait_seconds: Some(60) };
    let _: FileChanged = fixture.alice.call(method::FILE_REMOVE, asked).unwrap();
    let rests = until_pin(there, |pin| pin.state == PinState::Resting);
    assert_eq!((rests.entry, rests.path.as_deref(), rests.files), (pinned.entry, Some("/film"), 0));
    // It may go then.
    there.sync();
    clear(&tablet);
    let asked = TrashList { select: select(), safe: id.clone(), after: None };
    let trash: TrashListResult = tablet.call(method::TRASH_LIST, asked).unwrap();
    let entry = trash.removed[0].file.entry;
    let asked = TrashRestore { select: select(), safe: id.clone(), entry, to: None, wait_seconds: Some(60) };
    let _: FileChanged = tablet.call(method::TRASH_RESTORE, asked).unwrap();
    let _ = until_pin(there, complete(1));
    fixture.server.kill();
    assert!(there.get("/film").unwrap() == contents(1, PAGED));
    fixture.restart_server();

    // Taken back where it was, while it rests.
    let (safe, path) = (id.clone(), "/film".to_owned());
    let asked = FileRemove { select: select(), safe, path, recursive: false, wait_seconds: Some(60) };
    let _: FileChanged = tablet.call(method::FILE_REMOVE, asked).unwrap();
    let gone = unpin(there, "/film").unwrap();
    assert_eq!((gone.entry, gone.covered), (pinned.entry, false));
    assert_eq!(pins(there), []);
    assert_eq!(unpin(there, "/film").unwrap_err().name(), Some(ProblemKind::PathNotFound));
}

#[test]
fn a_lower_limit_gives_up_what_was_unused_longest_and_nothing_pinned_or_unshared() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let _ = create(&fixture.alice, PLANS);
    let names = ["/a", "/b", "/c", "/d"];
    let safe = |fixture: &'_ Fixture| -> Vec<bool> {
        let safe = Safe { device: &fixture.alice, name: PLANS };
        names.iter().map(|name| here(safe, name).0 == Some(FileHere::Yes)).collect()
    };
    {
        let alice = Safe { device: &fixture.alice, name: PLANS };
        for (seed, name) in (1..).zip(names) {
            alice.put_shared(name, &contents(seed, MIB));
        }
        let _ = pin(alice, "/b");
        let _ = until_pin(alice, complete(1));
    }
    fixture.server.kill();
    {
        let alice = Safe { device: &fixture.alice, name: PLANS };
        let saved = alice.put("/unsent", &contents(9, MIB), 0).unwrap();
        assert!(!saved.shared);
        let before = cache(&fixture.alice);
        assert_eq!(before.limit_by, CacheLimitBy::Auto);
        assert!(before.waiting_bytes >= MIB as u64 && before.pinned_bytes >= MIB as u64, "{before:?}");
        assert!(before.kept_bytes >= 4 * MIB as u64 && before.floor_bytes > 0, "{before:?}");
        // The oldest but one that stays: it was just read.
        assert!(alice.get("/a").unwrap() == contents(1, MIB));
        let said = fixture.alice.ctl(&["safe", "cache", "--limit", "1100K"]).well();
        assert!(said.stdout.contains("set for this device"), "{said:?}");
        assert_eq!(safe(&fixture), [true, true, false, false]);
        let now = cache(&fixture.alice);
        assert_eq!((now.limit_bytes, now.limit_by), (1100 * 1024, CacheLimitBy::Device));
        assert!(now.kept_bytes - now.pinned_bytes <= now.limit_bytes, "{now:?}");
        assert_eq!((now.waiting_bytes, now.pinned_bytes), (before.waiting_bytes, before.pinned_bytes));
    }
    // For this device from now on, also under a daemon that begins anew.
    fixture.alice.kill();
    fixture.alice.restart();
    fixture.alice.unlock(parsec_tests::fixture::ALICE_PASSWORD).unwrap();
    let now = cache(&fixture.alice);
    assert_eq!((now.limit_bytes, now.limit_by), (1100 * 1024, CacheLimitBy::Device));
    assert_eq!(safe(&fixture), [true, true, false, false]);
    let said = fixture.alice.ctl(&["safe", "cache", "--clear"]).well();
    assert!(said.stdout.contains("Given up"), "{said:?}");
    assert_eq!(safe(&fixture), [false, true, false, false]);
    let alice = Safe { device: &fixture.alice, name: PLANS };
    assert!(alice.get("/b").unwrap() == contents(2, MIB));
    assert!(alice.get("/unsent").unwrap() == contents(9, MIB));
    assert_eq!(here(alice, "/unsent"), (Some(FileHere::Yes), false));
    let _ = limit(&fixture.alice, Some(0));
    assert!(
        alice.get("/b").unwrap() == contents(2, MIB) && alice.get("/unsent").unwrap() == contents(9, MIB)
    );
    fixture.restart_server();
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.sync();
    // Shared, it is one like any other; and what is pinned stays.
    assert!(alice.get("/unsent").unwrap() == contents(9, MIB));
    assert_eq!(here(alice, "/b"), (Some(FileHere::Yes), true));
    let _ = unpin(alice, "/b").unwrap();
    let _ = limit(&fixture.alice, Some(0));
    let mut follower = Follower::start(&fixture.alice.socket(), None);
    while cache(&fixture.alice).kept_bytes > 0 {
        let _ = follower.item().unwrap();
    }
    assert_eq!(limit(&fixture.alice, None).limit_by, CacheLimitBy::Auto);
    assert!(alice.get("/b").unwrap() == contents(2, MIB));
}

#[test]
fn a_file_larger_than_the_limit_is_read_right_in_bounded_memory_and_is_here_in_part() {
    const LENGTH: usize = 20 * MIB + 5;
    const LIMIT: u64 = 4 * MIB as u64;
    let (fixture, mut tablet, id) = two_devices();
    let alice = Safe { device: &fixture.alice, name: PLANS };
    let whole = contents(7, LENGTH);
    alice.put_shared("/film", &whole);
    alice.put_shared("/mid", &contents(8, 3 * MIB));
    let _ = limit(&tablet, Some(LIMIT));
    let process = tablet.process_id();
    let there = Safe { device: &tablet, name: &id };
    there.sync();
    // Whatever the program itself takes is taken by then.
    assert!(there.get("/mid").unwrap() == contents(8, 3 * MIB));
    assert_eq!(here(there, "/mid"), (Some(FileHere::Yes), false));
    let before = resident(process, "VmHWM");
    for _ in 0..2 {
        assert!(there.get("/film").unwrap() == whole);
        let now = cache(&tablet);
        assert!(now.kept_bytes <= LIMIT && now.pinned_bytes == 0, "{now:?}");
        assert_eq!(here(there, "/film"), (Some(FileHere::Partly), false));
        assert_eq!(here(there, "/mid"), (Some(FileHere::No), false));
    }
    let grown = resident(process, "VmHWM").saturating_sub(before);
    println!("{} KiB more at most while 20 MiB were read twice", grown);
    assert!(grown < 18 * 1024, "{grown} KiB");
    let now = status(there);
    assert!(now.here_bytes > 0 && now.here_bytes <= LIMIT, "{now:?}");
    // After a new start nothing is known of the page, and it is found again where it is read.
    tablet.restart();
    tablet.unlock(ALICE_AGAIN.password).unwrap();
    let there = Safe { device: &tablet, name: &id };
    let (found, _) = here(there, "/film");
    assert!(matches!(found, Some(FileHere::Partly | FileHere::No)), "{found:?}");
    assert!(there.get("/film").unwrap() == whole);
    // A pin is not bounded by the limit.
    let _ = pin(there, "/film");
    let _ = until_pin(there, complete(1));
    let now = cache(&tablet);
    assert!(now.pinned_bytes >= LENGTH as u64 && now.kept_bytes - now.pinned_bytes <= LIMIT, "{now:?}");
    assert_eq!(here(there, "/film"), (Some(FileHere::Yes), true));
}
