//! Contents of every size and from every kind of source, through `parsecctl`: a byte more or less
//! than a piece or a page of pieces, sparse files, streams, devices, readers and writers that go.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use parsec_tests::ctl::{self, Said};
use parsec_tests::device::Device;
use parsec_tests::fixture::{Fixture, FixtureOptions};
use parsec_tests::metrics::full;
use parsec_tests::safes::{Safe, create};

use super::PLANS;

/// Bytes of a piece; pieces that an entry names itself; pieces that a page names.
const PIECE: u64 = 524_288;
const DIRECT: u64 = 16;
const PAGE: u64 = 1_024;
/// Bytes of a block as `stat` counts them.
const BLOCK: u64 = 512;
/// Files of the tree that goes through as a whole, random bytes of its one large file, and bytes of
/// its sparse one: as usual, and in a full run.
const FILES: [usize; 2] = [40, 100_000];
const LARGE_BYTES: [u64; 2] = [3_000_000, 1_000_000_000];
const SPARSE_BYTES: [u64; 2] = [1 << 30, 10 << 30];

fn alone() -> Fixture {
    let fixture = Fixture::found(FixtureOptions::default());
    let _ = create(&fixture.alice, PLANS);
    fixture
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs parsecctl by a shell, as a script would.
fn shell(device: &Device, script: &str) -> Said {
    let mut command = std::process::Command::new("bash");
    let ctl = parsec_tests::process::binary("parsecctl");
    command
        .args(["-c", &format!("set -o pipefail; {script}")])
        .env("PATH", format!("{}:/usr/bin:/bin", ctl.parent().unwrap().display()))
        .env("XDG_RUNTIME_DIR", device.runtime())
        .stdin(Stdio::null());
    ctl::said(&command.output().unwrap())
}

/// A file of so many bytes with these few in it, the rest a hole.
fn sparse(path: &Path, size: u64, marks: &[u64]) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    for at in marks.iter().filter(|at| **at < size) {
        file.write_all_at(b"!", *at).unwrap();
    }
}

/// Whether two files have the same bytes; holes are passed over by what is in the other.
fn same(one: &Path, other: &Path) -> bool {
    let (mut one, mut other) = (File::open(one).unwrap(), File::open(other).unwrap());
    let size = one.metadata().unwrap().len();
    if size != other.metadata().unwrap().len() {
        return false;
    }
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut at = 0;
    while at < size {
        // Where neither has data nothing has to be read.
        let data = |file: &File| rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)).unwrap_or(size);
        at = data(&one).min(data(&other));
        if at >= size {
            break;
        }
        let piece = usize::try_from((size - at).min(1 << 16)).unwrap();
        for (file, into) in [(&mut one, &mut left), (&mut other, &mut right)] {
            file.seek(SeekFrom::Start(at)).unwrap();
            file.read_exact(&mut into[..piece]).unwrap();
        }
        if left[..piece] != right[..piece] {
            return false;
        }
        at += piece as u64;
    }
    true
}

#[test]
fn every_size_comes_back_and_holes_stay_holes() {
    let fixture = alone();
    let (from, to) = (fixture.path("from"), fixture.path("to"));
    fs::create_dir(&from).unwrap();
    let around = |size: u64| [size - 1, size, size + 1];
    let mut sizes = vec![0, 1, 2];
    sizes.extend([PIECE, 2 * PIECE].into_iter().flat_map(around));
    for size in sizes {
        let bytes: Vec<u8> = (0..size).map(|at| ((at * 31) >> 3).to_le_bytes()[0]).collect();
        fs::write(from.join(format!("full {size}")), bytes).unwrap();
    }
    // The last piece that an entry names itself, the first page, the second.
    let mut holes = Vec::new();
    for size in [DIRECT, PAGE].into_iter().flat_map(|pieces| around(pieces * PIECE)) {
        for marks in [&[][..], &[0, size / 2, size - 1]] {
            let name = format!("holes {size} {}", marks.len());
            sparse(&from.join(&name), size, marks);
            holes.push(name);
        }
    }
    let _ = fixture.alice.ctl(&["safe", "put", "-r", text(&from), "Plans:/sizes", "--wait", "120"]).well();
    let _ = fixture.alice.ctl(&["safe", "get", "-r", "Plans:/sizes", text(&to)]).well();
    for entry in fs::read_dir(&from).unwrap().map(Result::unwrap) {
        let got = to.join(entry.file_name());
        assert!(same(&entry.path(), &got), "{}", got.display());
    }
    for name in holes {
        let taken = fs::metadata(to.join(&name)).unwrap().blocks() * BLOCK;
        assert!(taken <= 4 * PIECE, "{name} takes {taken} bytes");
    }
    println!("figure B8: files of 0 bytes to {} pieces, {} of them with holes", PAGE + 1, 12);
}

#[test]
fn contents_stream_from_and_to_pipes_and_devices() {
    let fixture = alone();
    let alice = &fixture.alice;
    let folder = fixture.path("streams");
    fs::create_dir(&folder).unwrap();
    let at = |name: &str| folder.join(name);
    let run = |script: &str| shell(alice, &script.replace("HERE", text(&folder)));
    let lines = "seq 1 300000";
    let _ = run(&format!("{lines} | parsecctl safe put - Plans:/stream")).well();
    let _ = run("parsecctl safe put <(echo substituted) Plans:/substituted").well();
    let _ = run("parsecctl safe get Plans:/stream - > HERE/file").well();
    let _ = run("parsecctl safe get Plans:/stream - | cat > HERE/pipe").well();
    let _ = run("parsecctl safe cat Plans:/stream | cat > HERE/cat").well();
    let _ = run("echo before > HERE/appended; parsecctl safe get Plans:/stream - >> HERE/appended").well();
    // A pipe by its name, as a shell gives it, is written to.
    let _ = run("mkfifo HERE/named; cat HERE/named > HERE/through & parsecctl safe get Plans:/stream HERE/named && wait")
        .well();
    let wanted = (1..=300_000).flat_map(|line| format!("{line}\n").into_bytes()).collect::<Vec<u8>>();
    for name in ["file", "pipe", "cat", "through"] {
        assert!(fs::read(at(name)).unwrap() == wanted, "{name}");
    }
    let appended = fs::read(at("appended")).unwrap();
    assert!(appended.strip_prefix(b"before\n").is_some_and(|rest| rest == wanted));
    assert_eq!(Safe { device: alice, name: PLANS }.get("/substituted").unwrap(), b"substituted\n");

    // Nowhere is a place, too; and a device is never replaced by a file.
    for script in [
        "parsecctl safe get Plans:/stream - > /dev/null",
        "parsecctl safe cat Plans:/stream > /dev/null",
        "parsecctl safe get Plans:/stream /dev/null",
        "parsecctl safe get --force Plans:/stream /dev/null",
        "parsecctl safe get Plans:/stream /dev/stdout > /dev/null",
    ] {
        let said = run(script).well();
        assert_eq!(said.stderr, "", "{script}");
    }
    assert_eq!(fs::metadata("/dev/null").unwrap().mode() & 0o170_000, 0o020_000);

    // Nothing comes out of it: that is said, and put.
    let said = run("parsecctl safe put - Plans:/empty").well();
    assert!(said.stderr.contains("Nothing came out of standard input"), "{said:?}");
    let said = run("parsecctl safe put /dev/null Plans:/empty --force").well();
    assert!(said.stderr.contains("Nothing came out of /dev/null"), "{said:?}");
    assert_eq!(Safe { device: alice, name: PLANS }.get("/empty").unwrap(), b"");

    // Readers and writers that go, and a disk without room.
    let said = run("parsecctl safe get Plans:/stream - | head -c 1 > /dev/null");
    assert_eq!((said.code, said.stderr.as_str()), (141, ""), "{said:?}");
    let said = run("parsecctl safe get Plans:/stream - > /dev/full");
    assert_eq!(said.code, 74, "{said:?}");
    let said = run("(echo part; exit 3) | parsecctl safe put - Plans:/part");
    assert_eq!(said.code, 3, "the shell knows, and tells: {said:?}");
    // What can't be read is no end.
    let said = run("parsecctl safe put - Plans:/broken < /");
    assert_ne!(said.code, 0, "{said:?}");
    let paths = Safe { device: alice, name: PLANS }.paths().unwrap();
    assert!(!paths.contains(&"/broken".to_owned()), "{paths:?}");
}

fn tree(fixture: &Fixture, files: usize, large: u64) -> PathBuf {
    let from = fixture.path("tree");
    for number in 0..files {
        let folder = from.join(format!("{}", number / 1_000)).join(format!("{}", number % 10));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{number}")), format!("contents of {number}")).unwrap();
    }
    let mut file = File::create(from.join("large")).unwrap();
    let mut state = 1_u64;
    let mut left = large;
    while left > 0 {
        let piece: Vec<u8> = (0..8_192)
            .flat_map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()
            })
            .collect();
        let take = usize::try_from(left.min(piece.len() as u64)).unwrap();
        file.write_all(&piece[..take]).unwrap();
        left -= take as u64;
    }
    from
}

#[test]
fn a_large_tree_goes_in_and_comes_out_whole() {
    let fixture = alone();
    let size = usize::from(full());
    let (files, large) = (FILES[size], LARGE_BYTES[size]);
    let from = tree(&fixture, files, large);
    sparse(&from.join("sparse"), SPARSE_BYTES[size], &[1, SPARSE_BYTES[size] / 3, SPARSE_BYTES[size] - 1]);
    let to = fixture.path("back");
    let _ = fixture.alice.ctl(&["safe", "put", "-r", text(&from), "Plans:/tree", "--saved"]).well();
    loop {
        let said = fixture.alice.ctl(&["safe", "sync", PLANS, "--wait", "600"]);
        if said.code == 0 {
            break;
        }
        assert_eq!(said.code, 75, "{said:?}");
    }
    let said = fixture.alice.ctl(&["safe", "get", "-r", "Plans:/tree", text(&to), "--json"]).well().json();
    assert_eq!(
        (said["files"].as_u64(), said["left_out"].as_array().map(Vec::len)),
        (Some(files as u64 + 2), Some(0))
    );
    for name in ["large", "sparse"] {
        assert!(same(&from.join(name), &to.join(name)), "{name}");
    }
    for number in (0..files).step_by(files.div_ceil(1_000).max(1)) {
        let name = format!("{}/{}/{number}", number / 1_000, number % 10);
        assert_eq!(fs::read_to_string(to.join(name)).unwrap(), format!("contents of {number}"));
    }
    println!(
        "figure B8: {files} files, one of {large} bytes, one of {} with holes, into a safe and out again",
        SPARSE_BYTES[size]
    );
}

#[test]
fn a_folder_that_is_in_the_way_is_left_as_it_was() {
    let fixture = alone();
    let alice = &fixture.alice;
    let safe = Safe { device: alice, name: PLANS };
    let _ = alice.ctl(&["safe", "mkdir", "-p", "Plans:/p/deep"]).well();
    for path in ["/p/a", "/p/deep/b", "/p/z"] {
        safe.put_shared(path, path.as_bytes());
    }
    let out = fixture.path("out");
    let outside = fixture.path("outside");
    let get = |more: &[&str]| {
        let line = [&["safe", "get", "-r", "Plans:/p", text(&out)][..], more].concat();
        alice.ctl(&line)
    };
    let fresh = || {
        let _ = fs::remove_dir_all(&out);
        let _ = fs::remove_dir_all(&outside);
        fs::create_dir(&out).unwrap();
        fs::create_dir(&outside).unwrap();
    };
    // What is there stays; what came before it is said.
    fresh();
    fs::write(out.join("z"), "mine").unwrap();
    let said = get(&[]);
    assert_eq!((said.code, fs::read(out.join("z")).unwrap()), (73, b"mine".to_vec()), "{said:?}");
    assert!(said.stderr.contains("--force") && said.stderr.contains("Until then: 2 files"), "{said:?}");
    let _ = get(&["--force"]).well();
    assert_eq!(fs::read(out.join("z")).unwrap(), b"/p/z");

    // A link to a folder, a link in a file's place, a pipe, a folder in a file's place.
    fresh();
    symlink(&outside, out.join("deep")).unwrap();
    let said = get(&["--force"]);
    assert_eq!(said.code, 78, "{said:?}");
    assert!(said.stderr.contains("symbolic link"), "{said:?}");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    fresh();
    fs::write(outside.join("victim"), "mine").unwrap();
    symlink(outside.join("victim"), out.join("a")).unwrap();
    assert_eq!(get(&[]).code, 73);
    let _ = get(&["--force"]).well();
    assert_eq!(fs::read(outside.join("victim")).unwrap(), b"mine");
    assert!(fs::symlink_metadata(out.join("a")).unwrap().is_file());
    for (make, word) in [("mkfifo", "pipe"), ("mkdir", "folder")] {
        fresh();
        let made = std::process::Command::new(make).arg(out.join("z")).status().unwrap();
        assert!(made.success());
        let said = get(&["--force"]);
        assert_eq!(said.code, 74, "{said:?}");
        assert!(said.stderr.contains(word), "{said:?}");
        assert!(!fs::symlink_metadata(out.join("z")).unwrap().is_file());
    }
    // A folder that nobody may write to: root may, by its right to pass over modes.
    if !rustix::process::getuid().is_root() {
        fresh();
        fs::set_permissions(&out, fs::Permissions::from_mode(0o500)).unwrap();
        assert_eq!(get(&[]).code, 74);
        fs::set_permissions(&out, fs::Permissions::from_mode(0o700)).unwrap();
    }
    // And what is made for a whole folder is its owner's alone.
    let _ = fs::remove_dir_all(&out);
    let _ = get(&[]).well();
    assert_eq!(fs::metadata(&out).unwrap().mode() & 0o777, 0o700);
}

/// Somebody swaps a folder for a link, again and again, while a whole folder is fetched into it.
#[test]
fn a_link_that_is_swapped_in_meanwhile_leads_nothing_out() {
    use std::sync::atomic::{AtomicBool, Ordering};

    let fixture = alone();
    let safe = Safe { device: &fixture.alice, name: PLANS };
    let _ = fixture.alice.ctl(&["safe", "mkdir", "-p", "Plans:/p/deep"]).well();
    for number in 0..30 {
        safe.put(&format!("/p/deep/{number:02}"), b"secret", 0).unwrap();
    }
    let (out, outside, aside) = (fixture.path("out"), fixture.path("outside"), fixture.path("aside"));
    fs::create_dir_all(out.join("deep")).unwrap();
    fs::create_dir(&outside).unwrap();
    symlink(&outside, &aside).unwrap();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            let (here, deep) = (rustix::fs::CWD, out.join("deep"));
            while !ended.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(here, &aside, here, &deep, flags).unwrap();
            }
        });
        let get = || fixture.alice.ctl(&["safe", "get", "-r", "--force", "Plans:/p", text(&out)]);
        let said: Vec<Said> = (0..8).map(|_| get()).collect();
        // Before anything is judged: whoever swaps would go on for ever.
        ended.store(true, Ordering::Relaxed);
        let met = said.iter().filter(|said| said.code != 0).count();
        assert!(said.iter().all(|said| [0, 74, 78].contains(&said.code)), "{said:?}");
        println!("{met} of 8 met the link");
    });
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "nothing was written through the link");
}
