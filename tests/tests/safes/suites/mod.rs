//! Public suites for file systems, on mounted safes. Each is another project's program, run as it
//! is; where it is not installed, the test is skipped by name.
//!
//! `fsx`, `pjdfstest` (`cargo install fsx pjdfstest`) and `stress-ng` are found by `PATH`. Those in
//! C are read from the folder that `PARSEC_SUITES` names: `ltp/fsstress` of xfstests, built, and
//! `fsracer` of secfs.test. With `PARSEC_FULL` all run for as long as docs/mount.md says.

mod pjdfstest;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};

use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_AGAIN, Fixture, FixtureOptions};
use parsec_tests::metrics::runs;
use parsec_tests::mounted::{Mounted, has, is_possible};
use parsec_tests::safes::{Safe, create, is_well};
use parsec_tests::skip;

use super::mounted::until;
use super::{PLANS, enrol_own};

/// Everything that one process does to a file, over a chunk's border and with all ways of writing.
const FSX: &str = "\
flen = 1300000
[opsize]
max = 20000
[weights]
close_open = 1
read = 10
write = 10
mapread = 10
mapwrite = 10
invalidate = 1
truncate = 5
fsync = 0.5
fdatasync = 0.5
posix_fallocate = 1
sendfile = 3
posix_fadvise = 1
copy_file_range = 3
";

/// Stressors of stress-ng's class `filesystem` that are about the file system itself, with options
/// that keep each of them within some dozens of megabytes.
const STRESSORS: &[(&str, &[&str])] = &[
    ("access", &[]),
    ("chdir", &["--chdir-dirs", "64"]),
    ("chmod", &[]),
    ("chown", &[]),
    ("copy-file", &[]),
    ("dentry", &["--dentries", "128"]),
    ("dir", &["--dir-dirs", "64"]),
    ("dirdeep", &[]),
    ("dirmany", &[]),
    ("fallocate", &["--fallocate-bytes", "16M"]),
    ("fcntl", &[]),
    ("filename", &[]),
    ("flock", &[]),
    ("fpunch", &[]),
    ("fstat", &[]),
    ("getdent", &[]),
    ("hdd", &["--hdd-bytes", "16M"]),
    ("iomix", &["--iomix-bytes", "16M"]),
    ("lease", &[]),
    ("locka", &[]),
    ("lockf", &[]),
    ("lockofd", &[]),
    ("open", &[]),
    ("rename", &[]),
    ("seek", &["--seek-size", "16M"]),
    ("symlink", &[]),
    ("sync-file", &["--sync-file-bytes", "16M"]),
    ("touch", &[]),
    ("utime", &[]),
];

pub(super) fn safe(device: &Device) -> Safe<'_> {
    Safe { device, name: PLANS }
}

/// Alice's safe, mounted on her desktop, and known on her laptop. Some hundred folders stand in it,
/// beside which what a suite removes is no alarm.
fn mounted() -> (Fixture, Device, Mounted) {
    let fixture = Fixture::found(FixtureOptions::default());
    let _ = create(&fixture.alice, PLANS);
    let laptop = enrol_own(&fixture, &fixture.alice, "laptop", ALICE_AGAIN);
    let id = safe(&fixture.alice).show().unwrap().safe.safe;
    let _ = laptop.until_safe(|found| found.safe == id && is_well(found));
    let here = Mounted::new(&fixture.alice, PLANS);
    fs::create_dir(here.path("still")).unwrap();
    (0..300).for_each(|number| fs::create_dir(here.path(&format!("still/{number}"))).unwrap());
    (fixture, laptop, here)
}

/// A suite's program has ended well, and said so.
fn well(output: &Output, what: &str) -> String {
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what}: {}\n{said}", output.status);
    said
}

/// Contents of all files below a folder.
fn contents(top: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut found, mut open) = (Vec::new(), vec![top.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            let name = path.strip_prefix(top).unwrap().to_owned();
            if kind.is_dir() {
                found.push((name, Vec::new()));
                open.push(path);
            } else if kind.is_symlink() {
                // One that another program made may lead out, and says nothing then.
                let target = fs::read_link(&path).map(|target| target.into_os_string().into_encoded_bytes());
                found.push((name, target.unwrap_or_default()));
            } else {
                found.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn fsx_finds_every_byte_that_it_wrote() {
    const NAME: &str = "fsx_finds_every_byte_that_it_wrote";
    if !is_possible(NAME) || !has(NAME, "fsx") {
        return;
    }
    let (fixture, laptop, here) = mounted();
    let config = fixture.path("fsx.toml");
    fs::write(&config, FSX).unwrap();
    for seed in 1..=runs(2, 20) {
        let file = here.path(&format!("fsx-{seed}"));
        let over = AtomicBool::new(false);
        let mut fsx = Command::new("fsx");
        fsx.args(["-N", &runs(1_500, 1_000_000).to_string(), "-S", &seed.to_string(), "-f"]);
        fsx.arg(&config).arg("-P").arg(fixture.path("")).arg(&file);
        let output = std::thread::scope(|scope| {
            // Others' files come and go meanwhile.
            scope.spawn(|| {
                let mut number = 0_usize;
                while seed % 2 == 0 && !over.load(Ordering::Relaxed) {
                    number += 1;
                    let _ = safe(&laptop).put_shared(&format!("/other-{}", number % 5), &vec![7; number]);
                }
            });
            let output = fsx.output().unwrap();
            over.store(true, Ordering::Relaxed);
            output
        });
        let said = well(&output, &format!("fsx, seed {seed}"));
        assert!(said.contains("A-OK"), "{said}");
        // What it left is what the other device gets.
        let left = fs::read(&file).unwrap();
        let _ = safe(&fixture.alice).sync();
        let _ = safe(&laptop).sync();
        assert!(safe(&laptop).get(&format!("/fsx-{seed}")).unwrap() == left, "seed {seed}");
    }
}

#[test]
fn stress_ng_finds_nothing_wrong_with_the_file_system() {
    const NAME: &str = "stress_ng_finds_nothing_wrong_with_the_file_system";
    if !is_possible(NAME) || !has(NAME, "stress-ng") {
        return;
    }
    let (_fixture, _laptop, here) = mounted();
    let folder = here.path("stress");
    fs::create_dir(&folder).unwrap();
    let seconds = runs(1, 60).to_string();
    for (stressor, more) in STRESSORS {
        let mut stress = Command::new("stress-ng");
        stress.arg("--temp-path").arg(&folder).args([
            &format!("--{stressor}"),
            "1",
            "--verify",
            "-t",
            &seconds,
        ]);
        let said = well(&stress.args(*more).output().unwrap(), stressor);
        assert!(!said.contains(" fail: "), "{stressor}: {said}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "{stressor} left something behind: {said}");
    }
    // Nobody hangs in a request that is never answered.
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let stat = fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        assert!(!(stat.contains("(stress-ng") && stat.contains(") D ")), "{stat}");
    }
}

/// A program of the suites in C.
fn in_c(test: &str, path: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("PARSEC_SUITES") else {
        skip(test, "PARSEC_SUITES names no folder with the suites in C");
        return None;
    };
    let program = PathBuf::from(folder).join(path);
    if !program.is_file() {
        skip(test, &format!("{path} is not in the folder that PARSEC_SUITES names"));
        return None;
    }
    Some(program)
}

#[test]
fn fsstress_leaves_the_same_files_on_both_devices() {
    const NAME: &str = "fsstress_leaves_the_same_files_on_both_devices";
    if !is_possible(NAME) {
        return;
    }
    let Some(fsstress) = in_c(NAME, "ltp/fsstress") else { return };
    let (fixture, laptop, here) = mounted();
    let folder = here.path("fsstress");
    fs::create_dir(&folder).unwrap();
    for seed in 1..=runs(1, 5) {
        let mut stress = Command::new(&fsstress);
        stress.arg("-d").arg(&folder).args(["-p", "4", "-s", &seed.to_string()]);
        let _ = well(&stress.args(["-n", &runs(150, 20_000).to_string()]).output().unwrap(), "fsstress");
        let wanted = contents(&folder);
        let _ = safe(&fixture.alice).sync();
        let _ = safe(&laptop).sync();
        assert!(contents(&folder) == wanted, "seed {seed}: it changed by itself");
        let there = Mounted::new(&laptop, PLANS);
        until(|| contents(&there.path("fsstress")) == wanted);
    }
}

#[test]
fn fsracer_leaves_a_folder_that_can_be_used_and_removed() {
    const NAME: &str = "fsracer_leaves_a_folder_that_can_be_used_and_removed";
    if !is_possible(NAME) {
        return;
    }
    let Some(fsracer) = in_c(NAME, "fsracer/fs_racer.sh") else { return };
    let (fixture, laptop, here) = mounted();
    let folder = here.path("racer");
    fs::create_dir(&folder).unwrap();
    let mut racer = Command::new(&fsracer);
    racer.arg(runs(10, 600).to_string()).arg(&folder).current_dir(fsracer.parent().unwrap());
    // It ends by killing its whole group.
    racer.process_group(0);
    let _ = racer.output().unwrap();
    let wanted = contents(&folder);
    assert!(contents(&folder) == wanted, "it changed by itself");
    fs::remove_dir_all(&folder).unwrap();
    assert!(!folder.exists());
    let _ = safe(&fixture.alice).try_sync().unwrap();
    let _ = safe(&laptop).try_sync().unwrap();
}
