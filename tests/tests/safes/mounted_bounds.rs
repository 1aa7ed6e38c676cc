//! Safes as folders, at their bounds: programs that look into every file, a file that is written
//! over again and again, a mount that somebody else's namespace keeps.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use parsec_protocol::control::{CacheView, DeviceSelector, method};
use parsec_tests::device::Device;
use parsec_tests::fixture::FixtureOptions;
use parsec_tests::logs::Planted;
use parsec_tests::memory;
use parsec_tests::mounted::{has, is_possible};
use parsec_tests::skip;

use super::PLANS;
use super::mounted::{carried, contents, mounted, safe, two, until};

fn kept(device: &Device) -> u64 {
    let cache: CacheView = device.call(method::CACHE_SHOW, DeviceSelector::default()).unwrap();
    cache.kept_bytes
}

/// Copies of `cat` under names that are known for looking into every file.
#[test]
fn a_program_that_looks_into_every_file_fetches_nothing() {
    const NAME: &str = "a_program_that_looks_into_every_file_fetches_nothing";
    if !is_possible(NAME) || !has(NAME, "cat") {
        return;
    }
    let (fixture, laptop, here, there) = two();
    let bytes = contents(3, 2 * 1024 * 1024);
    fs::write(here.path("picture.jpg"), &bytes).unwrap();
    carried(&fixture.alice, &laptop);
    let programs = tempfile::tempdir().unwrap();
    let cat = ["/usr/bin/cat", "/bin/cat"].into_iter().find(|cat| Path::new(cat).is_file()).unwrap();
    let run = |name: &str| {
        let program = programs.path().join(name);
        if !program.exists() {
            fs::copy(cat, &program).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Command::new(program).arg(there.path("picture.jpg")).output().unwrap()
    };
    let before = kept(&laptop);
    for name in ["baloo_file_extractor", "tracker-extract-3", "evince-thumbnailer", "tumblerd"] {
        let said = run(name);
        assert!(!said.status.success(), "{name} got it");
        let why = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(why.contains("Input/output error"), "{name}: {why}");
    }
    assert_eq!(kept(&laptop), before, "something was fetched for them");
    // Names and sizes they see as everybody; and a file manager copies files.
    assert_eq!(fs::metadata(there.path("picture.jpg")).unwrap().len(), bytes.len() as u64);
    let said = run("nautilus");
    assert!(said.status.success() && said.stdout == bytes, "{}", String::from_utf8_lossy(&said.stderr));
    // What is here they may read.
    let said = run("baloo_file_extractor");
    assert!(said.status.success() && said.stdout == bytes);
    assert!(fs::read(here.path("picture.jpg")).unwrap() == bytes);
}

/// Bytes of all files below a folder.
fn on_disk(folder: &Path) -> u64 {
    let Ok(all) = fs::read_dir(folder) else { return 0 };
    all.flatten()
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => on_disk(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Writes 48 MiB into a file, and again three times when it is told to; closes it when it is told
/// no more.
const OVER_AND_OVER: &str = r#"
import sys
with open(sys.argv[2], "rb") as file:
    piece = file.read()
with open(sys.argv[1], "wb", buffering=0) as file:
    def write():
        file.seek(0)
        for _ in range(48):
            assert file.write(piece) == len(piece)
    write()
    print("written", flush=True)
    sys.stdin.readline()
    for _ in range(3):
        write()
    print("written", flush=True)
    sys.stdin.readline()
"#;

#[test]
fn what_is_written_over_again_and_again_takes_no_more_room() {
    const NAME: &str = "what_is_written_over_again_and_again_takes_no_more_room";
    if !is_possible(NAME) || !has(NAME, "python3") {
        return;
    }
    const MIB: usize = 1024 * 1024;
    let (fixture, here) = mounted(FixtureOptions::default());
    let piece = contents(1, MIB);
    let template = fixture.path("piece");
    fs::write(&template, &piece).unwrap();
    // By a program of its own: whatever another test starts would inherit the open file from this
    // one and close it, and each close saves what is there.
    let mut program = Command::new("python3")
        .args(["-c", OVER_AND_OVER])
        .args([&here.path("base.db"), &template])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut go_on, mut said) =
        (program.stdin.take().unwrap(), BufReader::new(program.stdout.take().unwrap()));
    let mut wait = || {
        let mut line = String::new();
        let _ = said.read_line(&mut line).unwrap();
        assert_eq!(line, "written\n");
        on_disk(&fixture.alice.data())
    };
    // More than may be in memory: most of it is sealed on the disk while the file stays open.
    let once = wait();
    go_on.write_all(b"more\n").unwrap();
    let often = wait();
    assert!(often < once + 48 * MIB as u64, "{once} bytes, and {often} after three more rounds");
    drop(go_on);
    assert!(program.wait().unwrap().success());
    let _ = safe(&fixture.alice).sync();
    assert_eq!(safe(&fixture.alice).stat("/base.db").unwrap().size, Some(48 * MIB as u64));
    assert!(safe(&fixture.alice).get("/base.db").unwrap() == piece.repeat(48));
}

/// Another namespace, made while the safe is mounted, keeps the file system, and a file of it open.
/// Locking can't take it away there: it gives nothing any more.
#[test]
fn a_namespace_that_keeps_a_mount_gets_nothing_after_the_lock() {
    const NAME: &str = "a_namespace_that_keeps_a_mount_gets_nothing_after_the_lock";
    if !is_possible(NAME) || !has(NAME, "unshare") {
        return;
    }
    if !rustix::process::getuid().is_root() {
        return skip(NAME, "a mount namespace of one's own, and another's memory, take root");
    }
    let (mut fixture, here) = mounted(FixtureOptions::default());
    let words = Planted::text("contents", "Regenwurmkatalog im Nebelkeller");
    let text = "Regenwurmkatalog im Nebelkeller. ".repeat(40_000);
    let _ = safe(&fixture.alice).put_shared("/secret", text.as_bytes());
    until(|| here.path("secret").exists());
    let script = "exec 3<\"$1/secret\"; head -c 5000 <&3 >/dev/null; echo ready; read _
        head -c 300000 <&3 >/dev/null 2>&1; cat <&3 >/dev/null; echo \"handle $?\"
        cat \"$1/secret\" >/dev/null; echo \"name $?\"; ls \"$1\" >/dev/null; echo \"folder $?\"; read _";
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", script, "sh"]).arg(here.folder());
    let mut holder =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut says = BufReader::new(holder.stdout.take().unwrap()).lines();
    let mut tell = holder.stdin.take().unwrap();
    assert_eq!(says.next().unwrap().unwrap(), "ready");
    assert!(fs::read(here.path("secret")).unwrap() == text.as_bytes());
    let process = fixture.alice.process().id();
    let (seen, _) = memory::search(process, &words);
    assert!(!seen.is_empty(), "the search finds what is there");
    let begun = Instant::now();
    let _ = fixture.alice.ctl(&["device", "lock"]).well();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    until(|| !here.is_there());
    tell.write_all(b"\n").unwrap();
    for what in ["handle 1", "name 1"] {
        assert_eq!(says.next().unwrap().unwrap(), what);
    }
    let folder = says.next().unwrap().unwrap();
    assert!(folder.starts_with("folder ") && folder != "folder 0", "{folder}");
    let (left, searched) = memory::search(process, &words);
    assert!(left.is_empty() && searched > 0, "{left:?}");
    tell.write_all(b"\n").unwrap();
    drop(tell);
    assert!(holder.wait().unwrap().success());
    let said = fixture.alice.ctl(&["safe", "mount", PLANS]);
    assert_ne!(said.code, 0, "it is locked: {said:?}");
}
