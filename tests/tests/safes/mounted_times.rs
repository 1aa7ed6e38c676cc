//! What `stat` says of a mounted safe beside sizes: times, also those that no safe keeps, and
//! links; and how deep one goes.

use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_AGAIN, Fixture, FixtureOptions};
use parsec_tests::mounted::{Mounted, is_possible};
use parsec_tests::safes::{Safe, create, is_well};

use super::mounted::until;
use super::{PLANS, enrol_own};

const ENAMETOOLONG: i32 = 36;
const EPERM: i32 = 1;
/// Folders that may stand in each other.
const DEEPEST: usize = 100;

fn safe(device: &Device) -> Safe<'_> {
    Safe { device, name: PLANS }
}

fn errno<T: std::fmt::Debug>(done: std::io::Result<T>) -> i32 {
    done.unwrap_err().raw_os_error().unwrap()
}

/// When something was changed: its bytes or names, and anything about it.
fn times(path: &Path) -> (i64, i64, i64, i64) {
    let found = fs::symlink_metadata(path).unwrap();
    (found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec())
}

/// Whether an act gives a folder another time, later than it had; and no time of its own back.
fn moves(folder: &Path, act: impl FnOnce()) {
    let before = times(folder);
    act();
    let after = times(folder);
    assert!((after.0, after.1) > (before.0, before.1), "{before:?} {after:?}");
    assert!((after.2, after.3) > (before.2, before.3), "{before:?} {after:?}");
}

#[test]
fn a_folder_shows_when_something_came_or_went() {
    if !is_possible("a_folder_shows_when_something_came_or_went") {
        return;
    }
    let fixture = Fixture::found(FixtureOptions::default());
    let _ = create(&fixture.alice, PLANS);
    let laptop = enrol_own(&fixture, &fixture.alice, "laptop", ALICE_AGAIN);
    let id = safe(&fixture.alice).show().unwrap().safe.safe;
    let _ = laptop.until_safe(|found| found.safe == id && is_well(found));
    let here = Mounted::new(&fixture.alice, PLANS);
    let folder = here.path("folder");
    moves(here.folder(), || fs::create_dir(&folder).unwrap());
    moves(&folder, || fs::write(folder.join("file"), b"one").unwrap());
    moves(&folder, || fs::create_dir(folder.join("other")).unwrap());
    moves(&folder, || symlink("file", folder.join("link")).unwrap());
    moves(&folder, || fs::rename(folder.join("file"), folder.join("renamed")).unwrap());
    moves(here.folder(), || fs::rename(folder.join("renamed"), here.path("file")).unwrap());
    moves(&folder, || fs::remove_file(folder.join("link")).unwrap());
    moves(&folder, || fs::remove_dir(folder.join("other")).unwrap());
    // What is refused moves nothing, and looking at it neither.
    let before = times(&folder);
    assert!(fs::remove_dir(folder.join("nothing")).is_err());
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    assert_eq!(times(&folder), before);
    // A time that a program sets stays until something comes or goes again.
    let long_ago = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 7);
    File::open(&folder).unwrap().set_times(FileTimes::new().set_modified(long_ago)).unwrap();
    assert_eq!(fs::metadata(&folder).unwrap().modified().unwrap(), long_ago);
    let _ = safe(&fixture.alice).sync();
    let _ = safe(&laptop).sync();
    assert_eq!(fs::metadata(&folder).unwrap().modified().unwrap(), long_ago);
    // Another device puts something in.
    let before = times(&folder);
    let _ = safe(&laptop).put_shared("/folder/from elsewhere", b"theirs");
    let _ = safe(&fixture.alice).sync();
    until(|| times(&folder) > before);
}

#[test]
fn what_stat_says_of_times_and_links() {
    if !is_possible("what_stat_says_of_times_and_links") {
        return;
    }
    let fixture = Fixture::found(FixtureOptions::default());
    let _ = create(&fixture.alice, PLANS);
    let here = Mounted::new(&fixture.alice, PLANS);
    let file = here.path("file");
    fs::write(&file, b"bytes").unwrap();
    let (read, written) = (
        SystemTime::UNIX_EPOCH + Duration::new(4_294_967_296, 1),
        SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 2),
    );
    let open = OpenOptions::new().write(true).open(&file).unwrap();
    let before = times(&file);
    open.set_times(FileTimes::new().set_accessed(read).set_modified(written)).unwrap();
    let found = fs::metadata(&file).unwrap();
    assert_eq!((found.accessed().unwrap(), found.modified().unwrap()), (read, written));
    assert!((found.ctime(), found.ctime_nsec()) > (before.2, before.3), "a change of times is one");
    // One alone leaves the other.
    open.set_times(FileTimes::new().set_accessed(written)).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), written);
    open.set_times(FileTimes::new().set_modified(read)).unwrap();
    let found = fs::metadata(&file).unwrap();
    assert_eq!((found.accessed().unwrap(), found.modified().unwrap()), (written, read));
    let before = times(&file);
    fs::rename(&file, here.path("renamed")).unwrap();
    let (file, after) = (here.path("renamed"), times(&here.path("renamed")));
    assert!((after.2, after.3) > (before.2, before.3) && (after.0, after.1) == (before.0, before.1));
    // What has no name any more has no link; a folder one for each folder in it.
    assert_eq!(found.nlink(), 1);
    fs::remove_file(&file).unwrap();
    assert_eq!(open.metadata().unwrap().nlink(), 0);
    fs::create_dir_all(here.path("folder/one/deeper")).unwrap();
    fs::create_dir(here.path("folder/two")).unwrap();
    fs::write(here.path("folder/file"), b"").unwrap();
    assert_eq!(fs::metadata(here.path("folder")).unwrap().nlink(), 4);
    fs::rename(here.path("folder/two"), here.path("two")).unwrap();
    assert_eq!(fs::metadata(here.path("folder")).unwrap().nlink(), 3);
    assert_eq!(fs::metadata(here.folder()).unwrap().nlink(), 4);
}

#[test]
fn a_link_by_the_whole_path_means_the_same_place_on_every_device() {
    if !is_possible("a_link_by_the_whole_path_means_the_same_place_on_every_device") {
        return;
    }
    let fixture = Fixture::found(FixtureOptions::default());
    let _ = create(&fixture.alice, PLANS);
    let laptop = enrol_own(&fixture, &fixture.alice, "laptop", ALICE_AGAIN);
    let id = safe(&fixture.alice).show().unwrap().safe.safe;
    let _ = laptop.until_safe(|found| found.safe == id && is_well(found));
    let (here, there) = (Mounted::new(&fixture.alice, PLANS), Mounted::new(&laptop, PLANS));
    fs::write(here.path("file"), b"bytes").unwrap();
    fs::create_dir_all(here.path("a/b")).unwrap();
    symlink(here.path("file"), here.path("a/b/link")).unwrap();
    // Whoever wrote it reads what they wrote.
    assert_eq!(fs::read_link(here.path("a/b/link")).unwrap(), here.path("file"));
    let length = here.path("file").as_os_str().len() as u64;
    assert_eq!(fs::symlink_metadata(here.path("a/b/link")).unwrap().len(), length);
    assert_eq!(fs::read(here.path("a/b/link")).unwrap(), b"bytes");
    // Beside it, or out of it again, is not inside.
    let mut beside = here.folder().as_os_str().to_owned();
    beside.push("2/file");
    assert_eq!(errno(symlink(PathBuf::from(beside), here.path("out"))), EPERM);
    assert_eq!(errno(symlink(here.path("../x"), here.path("out"))), EPERM);
    assert_eq!(errno(symlink(there.path("file"), here.path("out"))), EPERM);
    let _ = safe(&fixture.alice).sync();
    let _ = safe(&laptop).sync();
    until(|| fs::read(there.path("a/b/link")).is_ok_and(|bytes| bytes == b"bytes"));
    assert_eq!(fs::read_link(there.path("a/b/link")).unwrap(), Path::new("../../file"));
    // Under another name it is the same; in another folder it is what every device has.
    fs::rename(here.path("a/b/link"), here.path("a/b/renamed")).unwrap();
    assert_eq!(fs::read_link(here.path("a/b/renamed")).unwrap(), here.path("file"));
    fs::create_dir(here.path("a/c")).unwrap();
    fs::rename(here.path("a/b/renamed"), here.path("a/c/moved")).unwrap();
    assert_eq!(fs::read_link(here.path("a/c/moved")).unwrap(), Path::new("../../file"));
    assert_eq!(fs::symlink_metadata(here.path("a/c/moved")).unwrap().len(), 10);
    assert_eq!(fs::read(here.path("a/c/moved")).unwrap(), b"bytes");
}

/// Said when the file is made: its bytes would else be refused when it is closed, and be lost.
#[test]
fn nothing_is_made_deeper_than_a_safe_goes() {
    if !is_possible("nothing_is_made_deeper_than_a_safe_goes") {
        return;
    }
    let fixture = Fixture::found(FixtureOptions::default());
    let _ = create(&fixture.alice, PLANS);
    let here = Mounted::new(&fixture.alice, PLANS);
    let deep = |levels: usize| here.folder().join(vec!["d"; levels].join("/"));
    fs::create_dir_all(deep(DEEPEST)).unwrap();
    assert_eq!(errno(fs::create_dir(deep(DEEPEST + 1))), ENAMETOOLONG);
    assert_eq!(errno(File::create(deep(DEEPEST).join("file"))), ENAMETOOLONG);
    assert_eq!(errno(File::create(deep(DEEPEST).join(".note.swp"))), ENAMETOOLONG);
    assert_eq!(errno(symlink("x", deep(DEEPEST).join("link"))), ENAMETOOLONG);
    let mut file = File::create(here.path("file")).unwrap();
    assert_eq!(errno(fs::rename(here.path("file"), deep(DEEPEST).join("file"))), ENAMETOOLONG);
    file.write_all(b"bytes").unwrap();
    drop(file);
    assert_eq!(errno(fs::rename(here.path("file"), deep(DEEPEST).join("file"))), ENAMETOOLONG);
    fs::create_dir_all(here.path("two/levels")).unwrap();
    assert_eq!(errno(fs::rename(here.path("two"), deep(DEEPEST - 1).join("two"))), ENAMETOOLONG);
    fs::rename(here.path("two"), deep(DEEPEST - 2).join("two")).unwrap();
    fs::write(deep(DEEPEST - 1).join("file"), b"deepest").unwrap();
    let _ = safe(&fixture.alice).sync();
    assert_eq!(fs::read(deep(DEEPEST - 1).join("file")).unwrap(), b"deepest");
    assert_eq!(fs::read(here.path("file")).unwrap(), b"bytes");
}
