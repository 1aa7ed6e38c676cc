//! Safes as folders: what programs do to files there, what other devices see of it, and what is
//! left of it when the device is locked or its daemon gone.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use parsec_protocol::control::{
    DeviceSelector, FileHistory, FileHistoryResult, SafeRole, TrashList, TrashListResult, method,
};
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_AGAIN, ALICE_PASSWORD, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::mounted::{Mounted, has, is_possible};
use parsec_tests::process::kill_by_id;
use parsec_tests::safes::{Safe, create, is_well};
use parsec_tests::skip;

use super::{PLANS, enrol_bob, enrol_own};

/// Linux's numbers, which the standard library has no kinds for.
pub(super) const EIO: i32 = 5;
const EPERM: i32 = 1;
pub(super) const EROFS: i32 = 30;
const ENAMETOOLONG: i32 = 36;
const EDQUOT: i32 = 122;
const ENOTSUP: i32 = 95;
const ENOTCONN: i32 = 107;

pub(super) fn errno<T: std::fmt::Debug>(done: std::io::Result<T>) -> i32 {
    done.unwrap_err().raw_os_error().unwrap()
}

pub(super) fn safe(device: &Device) -> Safe<'_> {
    Safe { device, name: PLANS }
}

/// Contents that no other file has.
pub(super) fn contents(seed: u8, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 7) as u8 ^ (at % 251) as u8 ^ seed).collect()
}

fn history(safe: Safe<'_>, path: &str) -> FileHistoryResult {
    let (select, name, path) = (DeviceSelector::default(), safe.name.to_owned(), path.to_owned());
    safe.device.call(method::FILE_HISTORY, FileHistory { select, safe: name, path, after: None }).unwrap()
}

fn trash(safe: Safe<'_>) -> TrashListResult {
    let asked = TrashList { select: DeviceSelector::default(), safe: safe.name.to_owned(), after: None };
    safe.device.call(method::TRASH_LIST, asked).unwrap()
}

/// Alice with a safe that she has mounted.
pub(super) fn mounted(options: FixtureOptions) -> (Fixture, Mounted) {
    let fixture = Fixture::found(options);
    let _ = create(&fixture.alice, PLANS);
    let mounted = Mounted::new(&fixture.alice, PLANS);
    (fixture, mounted)
}

/// Alice's safe, mounted on her desktop and on her laptop.
pub(super) fn two() -> (Fixture, Device, Mounted, Mounted) {
    let (fixture, here) = mounted(FixtureOptions::default());
    let laptop = enrol_own(&fixture, &fixture.alice, "laptop", ALICE_AGAIN);
    let id = safe(&fixture.alice).show().unwrap().safe.safe;
    let _ = laptop.until_safe(|found| found.safe == id && is_well(found));
    let _ = Safe { device: &laptop, name: &id.to_string() }.sync();
    let there = Mounted::new(&laptop, PLANS);
    (fixture, laptop, here, there)
}

/// Everything that was saved on one device is seen on the other.
pub(super) fn carried(from: &Device, to: &Device) {
    let _ = safe(from).sync();
    let _ = safe(to).sync();
}

/// Looks again until it is as wanted: no event says when the kernel has taken in what it was told.
pub(super) fn until(wanted: impl Fn() -> bool) {
    let begun = Instant::now();
    while !wanted() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never became so");
        std::thread::yield_now();
    }
}

#[test]
fn what_one_saves_in_a_folder_the_other_reads_in_theirs() {
    if !is_possible("what_one_saves_in_a_folder_the_other_reads_in_theirs") {
        return;
    }
    let (fixture, laptop, here, there) = two();
    fs::create_dir(here.path("2027")).unwrap();
    let large = contents(7, 9 * 1024 * 1024 + 17);
    fs::write(here.path("2027/report.odt"), &large).unwrap();
    fs::write(here.path("small"), b"hello").unwrap();
    assert_eq!(fs::read(here.path("small")).unwrap(), b"hello");
    assert!(fs::read(here.path("2027/report.odt")).unwrap() == large);
    carried(&fixture.alice, &laptop);
    assert!(fs::read(there.path("2027/report.odt")).unwrap() == large);
    assert_eq!(fs::read(there.path("small")).unwrap(), b"hello");
    // And back, over what the kernel has been told before.
    fs::write(there.path("small"), b"hello from the laptop").unwrap();
    fs::rename(there.path("2027"), there.path("2028")).unwrap();
    carried(&laptop, &fixture.alice);
    until(|| fs::read(here.path("small")).unwrap() == b"hello from the laptop");
    until(|| !here.path("2027").exists());
    assert!(fs::read(here.path("2028/report.odt")).unwrap() == large);
    // What is written through the local API is seen in the folder, too.
    let _ = safe(&fixture.alice).put_shared("/small", b"by the API");
    until(|| fs::read(here.path("small")).unwrap() == b"by the API");
    let names: Vec<_> =
        fs::read_dir(here.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let said = fixture.alice.ctl(&["safe", "mounts"]).well();
    assert!(said.stdout.contains(here.folder().to_str().unwrap()), "{said:?}");
    let _ = fixture.alice.ctl(&["safe", "unmount", PLANS]).well();
    assert!(!here.is_there());
    assert_eq!(fs::read_dir(here.folder()).unwrap().count(), 0, "nothing is left in the folder");
}

/// vim writes beside and renames; others make a new file and rename it over. For everybody it is
/// one file all along, and what was there before is its history.
#[test]
fn a_save_by_renames_is_one_new_version_of_the_same_file() {
    if !is_possible("a_save_by_renames_is_one_new_version_of_the_same_file") {
        return;
    }
    let (fixture, here) = mounted(FixtureOptions::default());
    let alice = safe(&fixture.alice);
    fs::write(here.path("doc"), b"first").unwrap();
    let _ = alice.sync();
    let before = alice.stat("/doc").unwrap();
    // As vim does with a backup.
    fs::write(here.path("4913"), b"").unwrap();
    fs::remove_file(here.path("4913")).unwrap();
    fs::rename(here.path("doc"), here.path("doc~")).unwrap();
    fs::write(here.path("doc"), b"second").unwrap();
    fs::remove_file(here.path("doc~")).unwrap();
    assert_eq!(fs::read(here.path("doc")).unwrap(), b"second");
    let _ = alice.sync();
    let after = alice.stat("/doc").unwrap();
    assert_eq!(after.entry, before.entry, "it is the same file");
    assert_eq!(history(alice, "/doc").versions.len(), 2);
    // As GLib, LibreOffice and many more do.
    let old = File::open(here.path("doc")).unwrap();
    fs::write(here.path(".goutputstream-A1B2C3"), b"third").unwrap();
    fs::rename(here.path(".goutputstream-A1B2C3"), here.path("doc")).unwrap();
    fs::write(here.path("doc.new"), b"fourth").unwrap();
    fs::rename(here.path("doc.new"), here.path("doc")).unwrap();
    let mut kept = String::new();
    let _ = (&old).read_to_string(&mut kept).unwrap();
    assert_eq!(kept, "second", "whoever has it open keeps what they opened");
    assert_eq!(fs::read(here.path("doc")).unwrap(), b"fourth");
    let _ = alice.sync();
    let last = alice.stat("/doc").unwrap();
    assert_eq!((last.entry, last.size), (before.entry, Some(6)));
    assert_eq!(alice.get("/doc").unwrap(), b"fourth");
    assert_eq!(alice.paths().unwrap(), ["/doc"]);
    assert!(trash(alice).removed.is_empty(), "{:?}", trash(alice));
}

#[test]
fn notes_of_programs_stay_on_the_device() {
    if !is_possible("notes_of_programs_stay_on_the_device") {
        return;
    }
    let (fixture, here) = mounted(FixtureOptions::default());
    for name in [".~lock.a.odt#", ".a.swp", "film.crdownload", "~$a.docx"] {
        fs::write(here.path(name), b"a note").unwrap();
        assert_eq!(fs::read(here.path(name)).unwrap(), b"a note");
    }
    symlink("alice@host.1234", here.path(".#a")).unwrap();
    assert_eq!(fs::read_dir(here.folder()).unwrap().count(), 5);
    let _ = safe(&fixture.alice).sync();
    assert!(safe(&fixture.alice).paths().unwrap().is_empty());
    fs::rename(here.path("film.crdownload"), here.path("film")).unwrap();
    let _ = safe(&fixture.alice).sync();
    assert_eq!(safe(&fixture.alice).paths().unwrap(), ["/film"]);
    assert_eq!(safe(&fixture.alice).get("/film").unwrap(), b"a note");
}

#[test]
fn a_file_is_written_in_the_middle_cut_and_appended_to() {
    if !is_possible("a_file_is_written_in_the_middle_cut_and_appended_to") {
        return;
    }
    let (fixture, here) = mounted(FixtureOptions::default());
    let path = here.path("file");
    let mut wanted = contents(3, 9 * 1024 * 1024);
    fs::write(&path, &wanted).unwrap();
    let _ = safe(&fixture.alice).sync();
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    file.write_all_at(b"over a border", 524_288 - 6).unwrap();
    wanted[524_288 - 6..524_288 + 7].copy_from_slice(b"over a border");
    file.sync_all().unwrap();
    file.set_len(5 * 1024 * 1024 + 3).unwrap();
    wanted.truncate(5 * 1024 * 1024 + 3);
    file.set_len(6 * 1024 * 1024).unwrap();
    wanted.resize(6 * 1024 * 1024, 0);
    file.write_all_at(b"far", 9_000_000).unwrap();
    wanted.resize(9_000_000, 0);
    wanted.extend_from_slice(b"far");
    drop(file);
    let mut appended = OpenOptions::new().append(true).open(&path).unwrap();
    appended.write_all(b"at the end").unwrap();
    drop(appended);
    wanted.extend_from_slice(b"at the end");
    assert!(fs::read(&path).unwrap() == wanted);
    let _ = safe(&fixture.alice).sync();
    assert!(safe(&fixture.alice).get("/file").unwrap() == wanted);
    // Without an open handle, and to nothing.
    OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    let _ = safe(&fixture.alice).sync();
    assert_eq!(safe(&fixture.alice).stat("/file").unwrap().size, Some(0));
    // Opened, removed, and used on.
    let mut gone =
        OpenOptions::new().read(true).write(true).create_new(true).open(here.path("gone")).unwrap();
    fs::remove_file(here.path("gone")).unwrap();
    gone.write_all(b"still here").unwrap();
    gone.seek(SeekFrom::Start(0)).unwrap();
    let mut text = String::new();
    let _ = gone.read_to_string(&mut text).unwrap();
    assert_eq!(text, "still here");
    drop(gone);
    let _ = safe(&fixture.alice).sync();
    assert_eq!(safe(&fixture.alice).paths().unwrap(), ["/file"]);
}

#[test]
fn what_is_kept_beside_contents_and_what_is_not_offered() {
    if !is_possible("what_is_kept_beside_contents_and_what_is_not_offered") {
        return;
    }
    let (fixture, laptop, here, there) = two();
    fs::write(here.path("run"), b"#!/bin/sh\nexit 7\n").unwrap();
    fs::set_permissions(here.path("run"), fs::Permissions::from_mode(0o755)).unwrap();
    let time = std::time::UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
    File::options().write(true).open(here.path("run")).unwrap().set_modified(time).unwrap();
    symlink("run", here.path("link")).unwrap();
    assert_eq!(Command::new(here.path("link")).status().unwrap().code(), Some(7));
    carried(&fixture.alice, &laptop);
    let found = fs::metadata(there.path("run")).unwrap();
    assert_eq!((found.mode() & 0o777, found.modified().unwrap()), (0o700, time));
    assert_eq!(fs::read_link(there.path("link")).unwrap(), Path::new("run"));
    // A link never leads out of the safe, whoever made it.
    for target in ["/etc/passwd", "..", "../x", "a/../../x"] {
        assert_eq!(errno(symlink(target, here.path("out"))), EPERM, "{target}");
    }
    assert_eq!(errno(fs::hard_link(here.path("run"), here.path("hard"))), EPERM);
    let fifo = Command::new("mkfifo").arg(here.path("fifo")).status().unwrap();
    assert!(!fifo.success());
    let xattr = rustix::fs::getxattr(here.path("run"), "user.x", &mut [0_u8; 8][..]);
    assert_eq!(xattr.unwrap_err().raw_os_error(), ENOTSUP);
    assert_eq!(fs::remove_dir(here.path("run")).unwrap_err().kind(), ErrorKind::NotADirectory);
    fs::create_dir(here.path("folder")).unwrap();
    fs::write(here.path("folder/in"), b"").unwrap();
    assert_eq!(fs::remove_dir(here.path("folder")).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
    fs::remove_dir_all(here.path("folder")).unwrap();
    assert!(!here.path("folder").exists());
}

#[test]
fn every_name_that_a_file_system_takes_is_one_and_no_other() {
    if !is_possible("every_name_that_a_file_system_takes_is_one_and_no_other") {
        return;
    }
    let (fixture, laptop, here, there) = two();
    let longest = vec![b'x'; 255];
    let names: [&[u8]; 7] =
        [b"a:b", b"new\nline", b"tab\t", b"\xff\xfe invalid", b" ", b"...", longest.as_slice()];
    for (seed, name) in names.iter().enumerate() {
        fs::write(here.folder().join(OsStr::from_bytes(name)), [u8::try_from(seed).unwrap()]).unwrap();
    }
    assert_eq!(errno(fs::write(here.path(&"x".repeat(256)), b"")), ENAMETOOLONG);
    carried(&fixture.alice, &laptop);
    for (seed, name) in names.iter().enumerate() {
        let found = fs::read(there.folder().join(OsStr::from_bytes(name))).unwrap();
        assert_eq!(found, [u8::try_from(seed).unwrap()], "{name:?}");
    }
    assert_eq!(fs::read_dir(there.folder()).unwrap().count(), names.len());
}

#[test]
fn whoever_may_not_write_is_told_so_by_the_file_system() {
    if !is_possible("whoever_may_not_write_is_told_so_by_the_file_system") {
        return;
    }
    let (fixture, here) = mounted(FixtureOptions::default());
    fs::write(here.path("file"), b"hers").unwrap();
    let _ = safe(&fixture.alice).sync();
    let bob = enrol_bob(&fixture);
    let _ = safe(&fixture.alice).share(BOB_EMAIL, SafeRole::Reader).unwrap();
    let id = safe(&fixture.alice).show().unwrap().safe.safe.to_string();
    let offered = Safe { device: &bob, name: &id };
    let _ = bob.until_safe(|found| found.safe.to_string() == id);
    let _ = offered.accept().unwrap();
    let _ = offered.sync();
    let his = Mounted::new(&bob, &id);
    assert_eq!(fs::read(his.path("file")).unwrap(), b"hers");
    assert_eq!(errno(fs::write(his.path("new"), b"x")), EROFS);
    assert_eq!(errno(fs::write(his.path("file"), b"x")), EROFS);
    assert_eq!(errno(fs::remove_file(his.path("file"))), EROFS);
    assert_eq!(errno(fs::rename(his.path("file"), his.path("other"))), EROFS);
    assert_eq!(errno(fs::create_dir(his.path("folder"))), EROFS);
    assert_eq!(errno(symlink("file", his.path("link"))), EROFS);
    assert_eq!(errno(fs::set_permissions(his.path("file"), fs::Permissions::from_mode(0o755))), EROFS);
    let long_ago = std::time::UNIX_EPOCH;
    let touched = File::open(his.path("file")).unwrap().set_modified(long_ago);
    assert_eq!(errno(touched), EROFS);
    let _ = offered.sync();
    assert_eq!(safe(&fixture.alice).get("/file").unwrap(), b"hers");
    // A role that comes later counts at once.
    let _ = safe(&fixture.alice).share(BOB_EMAIL, SafeRole::Contributor).unwrap();
    let _ = offered.sync();
    fs::write(his.path("new"), b"his").unwrap();
    // And whoever asks for it writes nothing, whatever the role is.
    drop(his);
    let (his, _) = Mounted::with(&bob, &id, &["--read-only"]);
    assert_eq!(errno(fs::write(his.path("file"), b"x")), EROFS);
}

#[test]
fn locking_ends_every_handle_and_takes_the_folder_away() {
    if !is_possible("locking_ends_every_handle_and_takes_the_folder_away") {
        return;
    }
    let (fixture, here) = mounted(FixtureOptions::default());
    let words = b"the secret that no page of this kernel keeps. ".repeat(20_000);
    fs::write(here.path("secret"), &words).unwrap();
    let reads = File::open(here.path("secret")).unwrap();
    let mut begin = vec![0; words.len()];
    reads.read_exact_at(&mut begin, 0).unwrap();
    let writes = OpenOptions::new().write(true).open(here.path("secret")).unwrap();
    // Nobody beside it who would take it away: the daemon alone has to see to it.
    for attendant in here.attendants() {
        kill_by_id(attendant);
    }
    let begun = Instant::now();
    let _ = fixture.alice.ctl(&["device", "lock"]).well();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let mut again = vec![0; 4_096];
    assert_eq!(errno(reads.read_at(&mut again, 0)), EIO, "a page was kept");
    assert_eq!(errno(reads.read_at(&mut again, 524_288)), EIO);
    assert_eq!(errno(writes.write_at(b"x", 0)), EIO);
    assert_eq!(errno(fs::read_dir(here.folder()).map(drop)), EIO);
    assert_eq!(errno(fs::metadata(here.path("secret"))), EIO);
    drop((reads, writes));
    // Unlocked again, it is mounted again, and what was saved is there.
    let _ = fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    let _ = fixture.alice.ctl(&["safe", "unmount", here.folder().to_str().unwrap(), "--lazy"]).well();
    let here = Mounted::new(&fixture.alice, PLANS);
    assert!(fs::read(here.path("secret")).unwrap() == words);
    // With its attendant it is gone by itself.
    let [attendant] = here.attendants()[..] else { panic!("{:?}", here.attendants()) };
    let process = rustix::process::pidfd_open(
        rustix::process::Pid::from_raw(i32::try_from(attendant).unwrap()).unwrap(),
        rustix::process::PidfdFlags::empty(),
    );
    let process = process.unwrap();
    let _ = fixture.alice.ctl(&["device", "lock"]).well();
    let poll = rustix::event::PollFd::new(&process, rustix::event::PollFlags::IN);
    let _ = rustix::event::poll(&mut [poll], None).unwrap();
    assert!(!here.is_there());
}

#[test]
fn a_daemon_that_is_killed_leaves_no_mount_behind() {
    if !is_possible("a_daemon_that_is_killed_leaves_no_mount_behind") {
        return;
    }
    let (mut fixture, here) = mounted(FixtureOptions::default());
    fs::write(here.path("closed"), b"saved when it was closed").unwrap();
    let mut open = File::create(here.path("open")).unwrap();
    open.write_all(b"saved when it was asked for").unwrap();
    open.sync_all().unwrap();
    open.write_all(b", and lost behind that").unwrap();
    // Helper and daemon at once: a dead mount stays, and is found by the next who mounts.
    for attendant in here.attendants() {
        kill_by_id(attendant);
    }
    fixture.alice.kill();
    assert_eq!(errno(fs::metadata(here.path("closed"))), ENOTCONN);
    assert!(here.is_there());
    drop(open);
    fixture.alice.restart();
    let _ = fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    let (here, said) = Mounted::with(&fixture.alice, PLANS, &[]);
    // Another test of this machine that mounts something may have found it first.
    assert!(said.stdout.contains("left behind") || here.is_alone(), "{said:?}");
    assert!(here.is_alone(), "it was mounted over a dead one");
    assert_eq!(fs::read(here.path("closed")).unwrap(), b"saved when it was closed");
    assert_eq!(fs::read(here.path("open")).unwrap(), b"saved when it was asked for");
    // The daemon alone: who waits beside the mount takes it away.
    let [attendant] = here.attendants()[..] else { panic!("{:?}", here.attendants()) };
    let process = rustix::process::pidfd_open(
        rustix::process::Pid::from_raw(i32::try_from(attendant).unwrap()).unwrap(),
        rustix::process::PidfdFlags::empty(),
    );
    let process = process.unwrap();
    fixture.alice.kill();
    let poll = rustix::event::PollFd::new(&process, rustix::event::PollFlags::IN);
    let _ = rustix::event::poll(&mut [poll], None).unwrap();
    assert!(!here.is_there());
}

/// Two who write to one file without knowing of each other: both contents stay.
#[test]
fn a_file_that_somebody_else_changes_while_it_is_open() {
    if !is_possible("a_file_that_somebody_else_changes_while_it_is_open") {
        return;
    }
    let (fixture, laptop, here, there) = two();
    fs::write(here.path("doc.txt"), b"common ground").unwrap();
    carried(&fixture.alice, &laptop);
    let reads = File::open(here.path("doc.txt")).unwrap();
    let mut writes = OpenOptions::new().write(true).open(here.path("doc.txt")).unwrap();
    fs::write(there.path("doc.txt"), b"the laptop's words").unwrap();
    carried(&laptop, &fixture.alice);
    until(|| fs::read(here.path("doc.txt")).unwrap() == b"the laptop's words");
    let mut old = vec![0; 13];
    reads.read_exact_at(&mut old, 0).unwrap();
    assert_eq!(old, b"common ground", "whoever has it open keeps what they opened");
    writes.write_all(b"MINE").unwrap();
    drop(writes);
    carried(&fixture.alice, &laptop);
    assert_eq!(fs::read(here.path("doc.txt")).unwrap(), b"the laptop's words");
    let copies = safe(&laptop).conflicts().conflicts;
    assert_eq!(copies.len(), 1, "{copies:?}");
    assert_eq!(safe(&laptop).get(&copies[0].copy.path).unwrap(), b"MINEon ground");
    // Removed there while it is written here: it stays, with what was written.
    let mut writes = OpenOptions::new().write(true).open(here.path("doc.txt")).unwrap();
    fs::remove_file(there.path("doc.txt")).unwrap();
    carried(&laptop, &fixture.alice);
    writes.write_all(b"THE").unwrap();
    drop(writes);
    carried(&fixture.alice, &laptop);
    assert_eq!(safe(&laptop).get("/doc.txt").unwrap(), b"THE laptop's words");
}

#[test]
fn contents_that_cant_be_had_are_an_error_and_never_zeros() {
    if !is_possible("contents_that_cant_be_had_are_an_error_and_never_zeros") {
        return;
    }
    let (mut fixture, laptop, here, there) = two();
    let bytes = contents(9, 700_000);
    fs::write(here.path("away"), &bytes).unwrap();
    carried(&fixture.alice, &laptop);
    fixture.server.kill();
    let begun = Instant::now();
    let mut buffer = vec![0; 4_096];
    let file = File::open(there.path("away")).unwrap();
    assert_eq!(errno(file.read_at(&mut buffer, 0)), EIO);
    assert!(begun.elapsed() < Duration::from_secs(31), "{:?}", begun.elapsed());
    // What is here is read and written without it.
    assert!(fs::read(here.path("away")).unwrap() == bytes);
    fs::write(here.path("offline"), b"saved").unwrap();
    assert_eq!(fs::read(here.path("offline")).unwrap(), b"saved");
    assert_eq!(fs::metadata(there.path("away")).unwrap().len(), 700_000);
    fixture.restart_server();
    until(|| file.read_at(&mut vec![0; 4_096], 0).is_ok());
    assert!(fs::read(there.path("away")).unwrap() == bytes);
}

#[test]
fn a_full_quota_is_told_at_the_write() {
    if !is_possible("a_full_quota_is_told_at_the_write") {
        return;
    }
    let (fixture, here) =
        mounted(FixtureOptions { server_options: &["--safe-quota", "acme:2"], ..FixtureOptions::default() });
    fs::write(here.path("fits"), contents(1, 1_000_000)).unwrap();
    let _ = safe(&fixture.alice).sync();
    drop(here);
    // Mounted anew, it has asked the server before anybody writes much.
    let here = Mounted::new(&fixture.alice, PLANS);
    let mut file = File::create(here.path("large")).unwrap();
    let mut failed = None;
    for _ in 0..64 {
        if let Err(error) = file.write_all(&contents(2, 524_288)) {
            failed = error.raw_os_error();
            break;
        }
    }
    assert_eq!(failed, Some(EDQUOT));
    drop(file);
    assert_eq!(fs::read(here.path("fits")).unwrap().len(), 1_000_000);
}

/// Deterministic, so that a failure is found again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }
}

/// Everything that is in a folder: kind, whether it is a program, contents.
type Folder = BTreeMap<Vec<u8>, (char, bool, Vec<u8>)>;

fn all(top: &Path) -> Folder {
    let mut found = BTreeMap::new();
    let mut open = vec![top.to_owned()];
    let still = top.join("still");
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path == still {
                continue;
            }
            let name = path.strip_prefix(top).unwrap().as_os_str().as_bytes().to_vec();
            let seen = fs::symlink_metadata(&path).unwrap();
            let executable = seen.mode() & 0o100 != 0;
            let what = if seen.is_dir() {
                open.push(path);
                ('d', true, Vec::new())
            } else if seen.is_symlink() {
                ('l', true, fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes())
            } else {
                assert_eq!(seen.len(), fs::read(&path).unwrap().len() as u64);
                ('f', executable, fs::read(&path).unwrap())
            };
            found.insert(name, what);
        }
    }
    found
}

/// Refuses two folders that differ, and says where.
fn same(found: &Folder, wanted: &Folder, when: &str) {
    let short =
        |what: Option<&(char, bool, Vec<u8>)>| what.map(|(kind, is, bytes)| (*kind, *is, bytes.len()));
    for name in found.keys().chain(wanted.keys()) {
        let (found, wanted) = (found.get(name), wanted.get(name));
        let at =
            found.zip(wanted).and_then(|(one, other)| one.2.iter().zip(&other.2).position(|(a, b)| a != b));
        let name = String::from_utf8_lossy(name);
        assert!(found == wanted, "{when}: {name}: {:?} {:?} {at:?}", short(found), short(wanted));
    }
}

/// One act on a folder, by numbers alone: the same in both.
fn act(top: &Path, open: &mut [Option<File>; 3], numbers: [usize; 5]) -> Result<Vec<u8>, ErrorKind> {
    const NAMES: [&str; 8] = ["a", "b", "d", "d/a", "d/b", "e", "e/a", ".x.swp"];
    let [what, one, other, place, length] = numbers;
    let path = top.join(NAMES[one % 8]);
    let target = top.join(NAMES[other % 8]);
    let slot = other % 3;
    let bytes = contents(u8::try_from(length % 251).unwrap(), length);
    let done = match what {
        0 => fs::create_dir(&path),
        1 => fs::remove_dir(&path),
        2 => fs::remove_file(&path),
        3 | 4 => fs::rename(&path, &target),
        5 | 6 => fs::write(&path, &bytes),
        7 => {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            file.map(|file| open[slot] = Some(file))
        }
        8 => {
            open[slot] = None;
            Ok(())
        }
        9 | 10 => open[slot].as_ref().map_or(Ok(()), |file| file.write_all_at(&bytes, place as u64)),
        11 => open[slot].as_ref().map_or(Ok(()), |file| file.set_len(place as u64)),
        12 => open[slot].as_ref().map_or(Ok(()), File::sync_all),
        13 => OpenOptions::new().append(true).open(&path).and_then(|mut file| file.write_all(&bytes)),
        14 => {
            let mode = if length.is_multiple_of(2) { 0o600 } else { 0o700 };
            if fs::symlink_metadata(&path).is_ok_and(|found| found.is_file()) {
                fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            } else {
                Ok(())
            }
        }
        15 => symlink("a", &path),
        16 => OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o700)
            .open(&path)
            .and_then(|mut file| file.write_all(&bytes)),
        17 => {
            let mut read = vec![0; length];
            let count = open[slot].as_ref().map_or(Ok(0), |file| file.read_at(&mut read, place as u64));
            read.truncate(count.unwrap_or_default());
            return Ok(read);
        }
        _ => return fs::read(&path).map_err(|error| error.kind()),
    };
    done.map(|()| Vec::new()).map_err(|error| error.kind())
}

/// The same random acts on a mounted safe and on a folder of the disk: after each, both say the
/// same; at the end another device has the same, too.
#[test]
fn random_acts_do_what_they_do_on_a_disk() {
    if !is_possible("random_acts_do_what_they_do_on_a_disk") {
        return;
    }
    let (fixture, laptop, here, there) = two();
    // Beside so many, what is removed here is no alarm.
    fs::create_dir(here.path("still")).unwrap();
    (0..900).for_each(|number| fs::create_dir(here.path(&format!("still/{number}"))).unwrap());
    let steps: usize = std::env::var("PARSEC_MOUNT_STEPS").map_or(1_500, |steps| steps.parse().unwrap());
    for seed in 0..2 {
        let model = tempfile::tempdir().unwrap();
        let mut dice = Dice(seed + 11);
        let (mut ours, mut theirs) = ([None, None, None], [None, None, None]);
        for step in 0..steps {
            let place = match dice.below(3) {
                0 => dice.below(100),
                1 => 524_288 - 50 + dice.below(100),
                _ => dice.below(1_200_000),
            };
            let length = if dice.below(12) == 0 { dice.below(900_000) } else { dice.below(3_000) };
            let numbers = [dice.below(19), dice.below(8), dice.below(8), place, length];
            let found = act(here.folder(), &mut ours, numbers);
            let wanted = act(model.path(), &mut theirs, numbers);
            assert!(
                found == wanted,
                "seed {seed}, step {step}, {numbers:?}: {:?} {:?}",
                found.map(|read| read.len()),
                wanted.map(|read| read.len())
            );
            if step % 50 == 0 {
                same(&all(here.folder()), &all(model.path()), &format!("seed {seed}, step {step}"));
            }
        }
        drop((ours, theirs));
        same(&all(here.folder()), &all(model.path()), &format!("seed {seed}"));
        let _ = fs::remove_file(here.path(".x.swp"));
        let _ = fs::remove_file(model.path().join(".x.swp"));
        carried(&fixture.alice, &laptop);
        until(|| all(there.folder()) == all(model.path()));
        for entry in fs::read_dir(here.folder()).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with("still") {
                continue;
            }
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
    }
}

/// Runs a program in a folder; what it said.
fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env("HOME", folder).env("GIT_CONFIG_NOSYSTEM", "1");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

#[test]
fn programs_of_others_work_in_a_safe() {
    const NAME: &str = "programs_of_others_work_in_a_safe";
    if !is_possible(NAME) {
        return;
    }
    let (fixture, laptop, here, there) = two();
    if has(NAME, "sqlite3") {
        let base = "create table t(a integer primary key, b text);";
        let _ = run(here.folder(), "sqlite3", &["base.db", base]);
        for number in 0..20 {
            let insert = format!("insert into t(b) values (hex(randomblob(2000))); select {number};");
            let _ = run(here.folder(), "sqlite3", &["base.db", &insert]);
        }
        let _ = run(here.folder(), "sqlite3", &["base.db", "vacuum;"]);
        assert_eq!(run(here.folder(), "sqlite3", &["base.db", "pragma integrity_check;"]).trim(), "ok");
    }
    if has(NAME, "git") {
        let _ = run(here.folder(), "git", &["init", "-q", "repo"]);
        let repo = here.path("repo");
        let _ = run(&repo, "git", &["config", "user.email", "alice@example.org"]);
        let _ = run(&repo, "git", &["config", "user.name", "Alice"]);
        for number in 0..5 {
            fs::write(repo.join("file"), contents(number, 10_000)).unwrap();
            let _ = run(&repo, "git", &["add", "."]);
            let _ = run(&repo, "git", &["commit", "-q", "-m", "one more"]);
        }
        let _ = run(&repo, "git", &["gc", "-q"]);
        let _ = run(&repo, "git", &["fsck", "--strict"]);
        let _ = run(here.folder(), "git", &["clone", "-q", "repo", "clone"]);
        assert_eq!(fs::read(here.path("clone/file")).unwrap(), contents(4, 10_000));
    }
    if has(NAME, "python3") {
        fs::write(here.path("mapped"), vec![b'.'; 600_000]).unwrap();
        let program = "import mmap\nwith open('mapped','r+b') as f:\n m=mmap.mmap(f.fileno(),0)\n m[524285:524291]=b'mapped'\n m.flush()\n m.close()\n";
        let _ = run(here.folder(), "python3", &["-c", program]);
        let found = fs::read(here.path("mapped")).unwrap();
        assert_eq!((found.len(), &found[524_285..524_291]), (600_000, b"mapped".as_slice()));
    } else {
        skip(NAME, "python3 is not installed: nothing maps a file");
    }
    carried(&fixture.alice, &laptop);
    if has(NAME, "sqlite3") {
        let count = || {
            run(there.folder(), "sqlite3", &["base.db", "pragma integrity_check; select count(*) from t;"])
        };
        until(|| count() == "ok\n20\n");
    }
    if has(NAME, "git") {
        let _ = run(&there.path("repo"), "git", &["-c", "safe.directory=*", "fsck", "--strict"]);
    }
}
