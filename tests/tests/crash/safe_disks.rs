//! Disks that are full, or take nothing any more, while safes are used: a device's own, that of the
//! file that somebody gets contents into, and the server's. Each is named with what to do about it,
//! and nothing that was answered *saved* or *shared* is lost.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use parsec_protocol::control::{
    CacheView, DeviceSelector, FileGot, FilePins, FilePinsResult, FileSelector, Pin, PinState, ProblemKind,
    method,
};
use parsec_tests::device::private_folder;
use parsec_tests::events::Follower;
use parsec_tests::fixture::{ALICE_AGAIN, Fixture, FixtureOptions};
use parsec_tests::own_devices::enrol_own;
use parsec_tests::rpc::Failed;
use parsec_tests::safes::{Safe, create, is_well};
use parsec_tests::server::Server;
use parsec_tests::{metrics, skip};

/// A small disk.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path) -> Option<Self> {
        private_folder(at);
        let options = ["-t", "tmpfs", "-o", "size=16m,mode=0700", "tmpfs"];
        let mounted = Command::new("mount").args(options).arg(at).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }

    /// Leaves nothing free, until [`free`].
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = File::create(&path).unwrap();
        for size in [65_536, 4_096, 1] {
            while file.write_all(&vec![b'x'; size]).is_ok() {}
        }
        path
    }
}

/// Takes it away again. Emptied first: a process that another test starts has it open until it runs
/// its program, and a file that is open takes its room though it has no name.
fn free(filler: &Path) {
    File::options().write(true).open(filler).unwrap().set_len(0).unwrap();
    std::fs::remove_file(filler).unwrap();
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn may_mount(name: &str) -> bool {
    let root = rustix::process::getuid().is_root();
    if !root {
        skip(name, "mounting a small disk takes root");
    }
    root
}

fn large(number: u8, length: u32) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 ^ number).collect()
}

/// Contents into an open file of the caller's.
fn get_into(safe: Safe<'_>, path: &str, file: &File) -> Result<FileGot, Failed> {
    let (select, safe_name) = (DeviceSelector::default(), safe.name.to_owned());
    let asked = FileSelector { select, safe: safe_name, path: path.to_owned() };
    safe.device.client()?.call_with(method::FILE_GET, asked, file.as_fd())
}

/// A refusal that a person can do something about.
fn told(failed: Failed, kind: ProblemKind) {
    let Failed::Problem(problem) = failed else { panic!("the daemon went away") };
    assert_eq!(problem.name, kind, "{problem:?}");
    assert!(!problem.hint.is_empty() && !problem.message.is_empty(), "{problem:?}");
}

#[test]
fn a_devices_full_disk_takes_no_contents_and_loses_none() {
    const NAME: &str = "a_devices_full_disk_takes_no_contents_and_loses_none";
    if !may_mount(NAME) {
        return;
    }
    let mut fixture = Fixture::found(FixtureOptions::default());
    let data = fixture.path("tablet").join("data");
    private_folder(&data);
    let Some(disk) = Small::mount(&data) else {
        skip(NAME, "this machine does not let root mount a tmpfs");
        return;
    };
    let mut tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    let made = create(&fixture.alice, "Plans");
    let name = made.safe.to_string();
    let there = large(1, 1_200_000);
    Safe { device: &fixture.alice, name: &name }.put_shared("/there", &there);
    let _ = tablet.until_safe(|safe| safe.safe == made.safe && is_well(safe));
    // The tablet knows of it: of what is told while its disk is full, it can note nothing.
    Safe { device: &tablet, name: &name }.sync();
    // Saved while the server is away, and then there is no room any more.
    fixture.server.kill();
    let saved = large(2, 1_300_000);
    let done = Safe { device: &tablet, name: &name }.put("/saved", &saved, 0).unwrap();
    assert!(done.saved && !done.shared, "{done:?}");
    let filler = disk.fill();
    for (path, length) in [("/more", 2_000_000), ("/saved", 900), ("/little", 1)] {
        let refused = Safe { device: &tablet, name: &name }.put(path, &large(3, length), 0).unwrap_err();
        told(refused, ProblemKind::DiskFull);
    }
    assert!(Safe { device: &tablet, name: &name }.get("/saved").unwrap() == saved);
    // What others wrote can be read, though nothing of it can be kept.
    fixture.restart_server();
    let out = tempfile::tempfile().unwrap();
    let mut got = get_into(Safe { device: &tablet, name: &name }, "/there", &out);
    while matches!(&got, Err(Failed::Problem(problem)) if problem.retryable) {
        got = get_into(Safe { device: &tablet, name: &name }, "/there", &out);
    }
    assert_eq!(got.unwrap().bytes, there.len() as u64);
    // Killed and started again on the full disk; and then there is room.
    tablet.kill();
    free(&filler);
    tablet.restart();
    tablet.unlock(ALICE_AGAIN.password).unwrap();
    Safe { device: &tablet, name: &name }.sync();
    Safe { device: &fixture.alice, name: &name }.sync();
    for (path, contents) in [("/saved", &saved), ("/there", &there)] {
        for device in [&tablet, &fixture.alice] {
            assert!(Safe { device, name: &name }.get(path).unwrap() == *contents, "{path}");
        }
    }
    let paths = Safe { device: &fixture.alice, name: &name }.paths().unwrap();
    assert_eq!(paths, ["/saved", "/there"], "nothing of what was refused");
    metrics::figure(
        "C13",
        "a device's full disk: said each time, nothing saved lost, goes on once there is room",
    );
}

#[test]
fn a_callers_full_disk_is_the_callers_and_what_was_written_is_a_true_beginning() {
    const NAME: &str = "a_callers_full_disk_is_the_callers_and_what_was_written_is_a_true_beginning";
    if !may_mount(NAME) {
        return;
    }
    let fixture = Fixture::found(FixtureOptions::default());
    let Some(disk) = Small::mount(&fixture.path("callers")) else {
        skip(NAME, "this machine does not let root mount a tmpfs");
        return;
    };
    let _ = create(&fixture.alice, "Plans");
    let safe = Safe { device: &fixture.alice, name: "Plans" };
    let contents = large(1, 20_000_000);
    safe.put_shared("/large", &contents);
    let place = disk.0.join("out");
    let out = File::create(&place).unwrap();
    told(get_into(safe, "/large", &out).unwrap_err(), ProblemKind::DiskFull);
    let written = std::fs::read(&place).unwrap();
    assert!(!written.is_empty() && contents.starts_with(&written), "{} bytes", written.len());
    std::fs::remove_file(&place).unwrap();
    // A disk that takes nothing any more, and one that can't be written to at all.
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(&disk.0).status().unwrap();
    drop(out);
    if remounted.success() {
        assert!(File::create(&place).is_err(), "a program can't even open it");
    }
    told(
        get_into(safe, "/large", &File::open("/dev/null").unwrap()).unwrap_err(),
        ProblemKind::InvalidRequest,
    );
    assert!(safe.get("/large").unwrap() == contents);
    metrics::figure("C13", "a caller's full disk: said, and what was written is a true beginning");
}

#[test]
fn a_servers_full_disk_keeps_changes_waiting_and_loses_none() {
    const NAME: &str = "a_servers_full_disk_keeps_changes_waiting_and_loses_none";
    if !may_mount(NAME) {
        return;
    }
    let mut fixture = Fixture::found(FixtureOptions::default());
    let place = fixture.path("small");
    let Some(disk) = Small::mount(&place) else {
        skip(NAME, "this machine does not let root mount a tmpfs");
        return;
    };
    // The same server, on a small disk from now on.
    fixture.server.kill();
    parsec_tests::device::copy_folder(fixture.server.folder(), &place);
    fixture.server = Server::start(&place, &[]);
    fixture.proxy.set_upstream(fixture.server.address());
    let _ = create(&fixture.alice, "Plans");
    let safe = Safe { device: &fixture.alice, name: "Plans" };
    let (first, second) = (large(1, 1_000_000), large(2, 2_000_000));
    safe.put_shared("/first", &first);
    let filler = disk.fill();
    let done = safe.put("/second", &second, 0).unwrap();
    assert!(done.saved && !done.shared, "{done:?}");
    // It says what it waits for, and both can be read here.
    let waits = fixture.alice.until_safe(|safe| safe.problem.is_some());
    assert_eq!(waits.problem, Some(ProblemKind::QuotaReached), "{waits:?}");
    assert!(safe.get("/first").unwrap() == first && safe.get("/second").unwrap() == second);
    // Killed on the full disk, where no database opens: what it has answered is there.
    fixture.server.kill();
    free(&filler);
    fixture.restart_server();
    let safe = Safe { device: &fixture.alice, name: "Plans" };
    safe.sync();
    let tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    let _ = tablet.until_safe(is_well);
    let there = Safe { device: &tablet, name: "Plans" };
    let id = tablet.until_safe(is_well).safe.to_string();
    Safe { device: &tablet, name: &id }.sync();
    assert!(there.get("/first").unwrap() == first && there.get("/second").unwrap() == second);
    metrics::figure(
        "C13",
        "a server's full disk: changes wait and say why, and are shared once there is room",
    );
}

/// What is pinned is fetched up to the disk's floor and then waits, while everything else goes on;
/// and it goes on itself once there is room and its person asks.
#[test]
fn what_is_pinned_waits_for_room_and_leaves_the_disk_its_floor() {
    const NAME: &str = "what_is_pinned_waits_for_room_and_leaves_the_disk_its_floor";
    if !may_mount(NAME) {
        return;
    }
    let fixture = Fixture::found(FixtureOptions::default());
    let data = fixture.path("tablet").join("data");
    private_folder(&data);
    let Some(disk) = Small::mount(&data) else {
        skip(NAME, "this machine does not let root mount a tmpfs");
        return;
    };
    let tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    let made = create(&fixture.alice, "Plans");
    let name = made.safe.to_string();
    let film = large(1, 24 << 20);
    Safe { device: &fixture.alice, name: &name }.put_shared("/film", &film);
    let _ = tablet.until_safe(|safe| safe.safe == made.safe && is_well(safe));
    let there = Safe { device: &tablet, name: &name };
    there.sync();
    let pin = || {
        let (select, safe) = (DeviceSelector::default(), name.clone());
        let asked = FileSelector { select, safe, path: "/film".to_owned() };
        tablet.call::<Pin>(method::FILE_PIN, asked).unwrap()
    };
    let until = |wanted: PinState| {
        let mut follower = Follower::start(&tablet.socket(), None);
        loop {
            let asked = FilePins { select: DeviceSelector::default(), safe: name.clone(), after: None };
            let pins: FilePinsResult = tablet.call(method::FILE_PINS, asked).unwrap();
            if pins.pins[0].state == wanted {
                return pins.pins[0].clone();
            }
            let _ = follower.item().unwrap();
        }
    };
    let _ = pin();
    let waits = until(PinState::WaitsForRoom);
    assert!(waits.here_bytes > 0 && waits.here_bytes < waits.bytes, "{waits:?}");
    assert_eq!(waits.problem.as_ref().map(|problem| problem.name), Some(ProblemKind::DiskFull));
    let cache: CacheView = tablet.call(method::CACHE_SHOW, DeviceSelector::default()).unwrap();
    // What a database is about to write stands beside it for a moment.
    assert!(cache.floor_bytes > 0 && cache.free_bytes >= cache.floor_bytes / 2, "{cache:?}");
    assert!(there.get("/film").unwrap() == film, "what is not here is fetched");
    Safe { device: &fixture.alice, name: &name }.put_shared("/small", b"new");
    there.sync();
    assert_eq!(there.get("/small").unwrap(), b"new");
    let grown = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&disk.0).status();
    assert!(grown.unwrap().success());
    let _ = pin();
    let done = until(PinState::Complete);
    assert_eq!((done.here_bytes, done.problem), (film.len() as u64, None));
}
