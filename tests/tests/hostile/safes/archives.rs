//! Sealed archives of safes that somebody made up, changed or cut off: none of them makes anything,
//! and each is named as what it is.

use std::fs;
use std::path::{Path, PathBuf};

use parsec_protocol::archive::{HEADER_BYTES, Kind, MAGIC, OBJECT_PREFIX_BYTES, Reading, Writing};
use parsec_protocol::control::SafeRole;
use parsec_protocol::object_hash::ObjectHash;
use parsec_tests::ctl::Said;
use parsec_tests::device::Device;
use parsec_tests::fixture::{BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::safes::{Safe, create};
use parsec_tests::{installed, skip};

use super::{CAROL, CAROL_EMAIL, PLANS, Shared, let_in};

/// Frames of an archive, its end left out.
type Frames = Vec<(Kind, Vec<u8>)>;

fn frames(archive: &[u8]) -> Frames {
    let (magic, mut rest) = archive.split_first_chunk().unwrap();
    let mut reading = Reading::begin(magic).unwrap();
    let mut frames = Frames::new();
    while !reading.ended() {
        let (header, behind) = rest.split_first_chunk::<HEADER_BYTES>().unwrap();
        let (kind, length) = reading.header(*header).unwrap();
        let (body, behind) = behind.split_at(length);
        reading.body(body).unwrap();
        frames.push((kind, body.to_vec()));
        rest = behind;
    }
    frames.pop();
    frames
}

/// An archive of these frames: framed as it has to be, its digest right.
fn framed(frames: &Frames) -> Vec<u8> {
    let (mut writing, mut bytes) = (Writing::begin(), MAGIC.to_vec());
    for (kind, body) in frames {
        bytes.extend(writing.frame(*kind, &[body]).unwrap());
        bytes.extend(body);
    }
    let end = writing.end();
    bytes.extend(writing.frame(Kind::End, &[&end]).unwrap());
    bytes.extend(end);
    bytes
}

fn places(frames: &Frames, kind: Kind) -> Vec<usize> {
    (0..frames.len()).filter(|at| frames[*at].0 == kind).collect()
}

fn export(device: &Device, safe: &str, file: &Path) -> Said {
    device.ctl(&["safe", "export", "--sealed", safe, file.to_str().unwrap()])
}

fn import(device: &Device, file: &Path, name: &str) -> Said {
    device.ctl(&["safe", "import", "--sealed", file.to_str().unwrap(), name, "--wait", "120"])
}

/// Whether another program that was written from the documents alone takes it.
fn second_reader_takes(file: &Path) -> Option<bool> {
    if !installed("python3") {
        skip("second_reader_takes", "python3 is not installed");
        return None;
    }
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("checker/check.py");
    let said = std::process::Command::new("python3").arg("-B").arg(program).arg("archive").arg(file).output();
    Some(said.unwrap().status.success())
}

/// A safe of two with a history and a trash, and its archive.
fn archived() -> (Shared, PathBuf) {
    let shared = Shared::with(SafeRole::Contributor);
    let id = shared.safe.to_string();
    let at_bob = Safe { device: &shared.bob, name: &id };
    shared.alice().put_shared("/report", b"as it was");
    at_bob.sync();
    at_bob.put_shared("/report", b"as Bob left it");
    at_bob.put_shared("/large", &[3; 700_000]);
    shared.alice().sync();
    let _ = shared.fixture.alice.ctl(&["safe", "mkdir", "Plans:/deep"]).well();
    shared.alice().put_shared("/deep/gone", b"removed");
    let _ = shared.fixture.alice.ctl(&["safe", "rm", "Plans:/deep/gone", "--wait", "120"]).well();
    let file = shared.fixture.path("plans.parsec-safe");
    let _ = export(&shared.fixture.alice, PLANS, &file).well();
    (shared, file)
}

fn safes(device: &Device) -> usize {
    device.ctl(&["safe", "list", "--json"]).well().json()["safes"].as_array().unwrap().len()
}

fn refused(device: &Device, file: &Path, what: &str, code: i32, names: &[&str]) {
    let said = device.ctl(&["safe", "import", "--sealed", file.to_str().unwrap(), "New", "--json"]);
    let name = said.json()["problem"]["name"].as_str().unwrap_or_default().to_owned();
    assert!(said.code == code && names.contains(&name.as_str()), "{what}: {said:?}");
}

#[test]
fn a_hostile_archive_is_refused_and_nothing_is_made() {
    let (shared, file) = archived();
    let alice = &shared.fixture.alice;
    let sound = fs::read(&file).unwrap();
    let parts = frames(&sound);
    assert_eq!(framed(&parts), sound);
    let bad = shared.fixture.path("bad.parsec-safe");
    let before = safes(alice);
    let (damaged, untrusted) = (&["archive_damaged"][..], &["archive_untrusted"][..]);

    // Cut off, or with something behind its end.
    for end in [0, 7, MAGIC.len(), MAGIC.len() + 3, sound.len() / 2, sound.len() - 40, sound.len() - 1] {
        fs::write(&bad, &sound[..end]).unwrap();
        refused(alice, &bad, &format!("cut off at {end}"), 65, damaged);
        assert_ne!(second_reader_takes(&bad), Some(true), "cut off at {end}");
    }
    fs::write(&bad, [sound.as_slice(), b"more"].concat()).unwrap();
    refused(alice, &bad, "something behind it", 65, damaged);
    // A bit of each kind of frame, in its header and in its middle.
    let mut at = MAGIC.len();
    let mut seen = Vec::new();
    for (kind, body) in &parts {
        if !seen.contains(kind) {
            seen.push(*kind);
            for place in [at, at + 2, at + 4, at + HEADER_BYTES + body.len() / 2] {
                let mut other = sound.clone();
                other[place] ^= 0x40;
                fs::write(&bad, other).unwrap();
                let said = alice.ctl(&["safe", "import", "--sealed", bad.to_str().unwrap(), "New", "--json"]);
                let name = said.json()["problem"]["name"].as_str().unwrap().to_owned();
                assert!(
                    name == "archive_damaged" || name == "archive_untrusted",
                    "{kind:?} {place}: {said:?}"
                );
            }
        }
        at += HEADER_BYTES + body.len();
    }
    assert_eq!(seen.len(), 7, "{seen:?}");

    // Whole by its digest, and made up.
    let mut made_up: Vec<(String, Frames, i32, &[&str])> = Vec::new();
    let mut without = |kind: Kind, which: usize, code, names| {
        let mut other = parts.clone();
        let at = places(&other, kind)[which];
        let _ = other.remove(at);
        made_up.push((format!("without {kind:?} {which}"), other, code, names));
    };
    let records = places(&parts, Kind::Record).len();
    for which in [0, records / 2, records - 1] {
        without(Kind::Record, which, 76, untrusted);
    }
    without(Kind::Certificate, 1, 76, untrusted);
    without(Kind::Certificate, places(&parts, Kind::Certificate).len() - 1, 76, untrusted);
    without(Kind::SafeCertificate, 0, 76, untrusted);
    without(Kind::SafeCertificate, 1, 76, untrusted);
    without(Kind::Object, 0, 75, &["contents_unavailable"]);
    without(Kind::Ring, 0, 75, &["safe_key_missing"]);
    without(Kind::Ring, 1, 75, &["safe_key_missing"]);
    let mut changed = |what: &str, code, names, change: &mut dyn FnMut(&mut Frames)| {
        let mut other = parts.clone();
        change(&mut other);
        made_up.push((what.to_owned(), other, code, names));
    };
    changed("two records turned round", 76, untrusted, &mut |frames| {
        let at = places(frames, Kind::Record);
        frames.swap(at[0], at[1]);
    });
    changed("a record twice", 76, untrusted, &mut |frames| {
        let at = places(frames, Kind::Record)[1];
        let again = frames[at].clone();
        frames.insert(at, again);
    });
    changed("an object with other bytes under its old hash", 65, damaged, &mut |frames| {
        let at = places(frames, Kind::Object)[0];
        *frames[at].1.last_mut().unwrap() ^= 1;
    });
    changed("an object with other bytes and their hash", 75, &["contents_unavailable"], &mut |frames| {
        let at = places(frames, Kind::Object)[0];
        let body = &mut frames[at].1;
        *body.last_mut().unwrap() ^= 1;
        let hash = ObjectHash::of(&body[OBJECT_PREFIX_BYTES..]);
        body[OBJECT_PREFIX_BYTES - 32..OBJECT_PREFIX_BYTES].copy_from_slice(hash.as_bytes());
    });
    changed("an object twice", 76, untrusted, &mut |frames| {
        let again = frames.last().unwrap().clone();
        frames.push(again);
    });
    changed("more objects than were added", 76, untrusted, &mut |frames| {
        let (kind, body) = frames.last().unwrap().clone();
        for n in 0..200_u8 {
            let mut other = body.clone();
            other[..16].copy_from_slice(&[n; 16]);
            frames.push((kind, other));
        }
    });
    changed("a signature of somebody else's", 76, untrusted, &mut |frames| {
        let at = places(frames, Kind::Record)[2];
        *frames[at].1.last_mut().unwrap() ^= 1;
    });
    for (what, frames, code, names) in &made_up {
        fs::write(&bad, framed(frames)).unwrap();
        refused(alice, &bad, what, *code, names);
        // What only a key shows, nobody sees who has none.
        if *names == untrusted || *names == damaged {
            assert_ne!(second_reader_takes(&bad), Some(true), "{what}");
        }
    }

    // Of an organisation of the same name, and of nobody's file.
    let other = Fixture::found(FixtureOptions::default());
    let _ = create(&other.alice, PLANS);
    let foreign = other.path("foreign.parsec-safe");
    let _ = export(&other.alice, PLANS, &foreign).well();
    refused(alice, &foreign, "another root", 76, untrusted);
    fs::write(&bad, b"parsec-archive-v9\n and what comes then").unwrap();
    refused(alice, &bad, "a later version", 65, damaged);
    let pipe = alice.ctl(&["safe", "import", "--sealed", "/dev/null", "New"]);
    assert_ne!(pipe.code, 0, "{pipe:?}");

    assert_eq!(safes(alice), before, "nothing was made of any of them");
    let said = import(alice, &file, "New").well();
    assert!(said.stdout.contains("records verified"), "{said:?}");
    assert_eq!(safes(alice), before + 1);
    println!("{} archives were made up, and none of them made anything", made_up.len());
}

/// Whoever was a member when it was made opens it, also once they are out of the safe; nobody else
/// does, and nobody needs the safe's server.
#[test]
fn a_member_of_then_opens_an_archive_and_nobody_else_does() {
    let (mut shared, file) = archived();
    let carol = let_in(&shared.fixture, "carol", CAROL_EMAIL, CAROL);
    if let Some(taken) = second_reader_takes(&file) {
        assert!(taken, "a second reader refuses what the first one made");
    }
    refused(&carol, &file, "no member", 75, &["safe_key_missing"]);
    shared.alice().unshare(BOB_EMAIL).unwrap();
    let said = import(&shared.bob, &file, "Mine now").well();
    for told in ["records by Alice", "records by Bob", "1 earlier", "1 in the trash", "2 files and 1 folder"]
    {
        assert!(said.stdout.contains(told), "{told}: {said:?}");
    }
    let mine = Safe { device: &shared.bob, name: "Mine now" };
    assert_eq!(mine.get("/report").unwrap(), b"as Bob left it");
    assert!(mine.get("/large").unwrap() == vec![3; 700_000]);
    assert_eq!(mine.paths().unwrap(), ["/deep", "/large", "/report"]);
    assert_eq!(mine.show().unwrap().safe.members, 1);
    // Without any server it is saved, and can be read.
    shared.fixture.server.kill();
    let target = file.to_str().unwrap();
    let _ = shared.fixture.alice.ctl(&["safe", "import", "--sealed", target, "Offline", "--saved"]).well();
    let offline = Safe { device: &shared.fixture.alice, name: "Offline" };
    assert_eq!(offline.get("/report").unwrap(), b"as Bob left it");
}

/// What the server has lost, and nobody keeps, is named; without a word no file is kept, and none
/// of it makes a safe.
#[test]
fn what_an_archive_lacks_is_named_and_takes_a_word() {
    let shared = Shared::with(SafeRole::Contributor);
    shared.alice().put_shared("/whole", b"whole");
    shared.alice().put_shared("/large", &[3; 700_000]);
    let mut stack = vec![shared.fixture.server.folder().to_owned()];
    while let Some(folder) = stack.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                stack.push(path);
            } else if path.to_str().unwrap().contains(".objects/") {
                fs::remove_file(&path).unwrap();
            }
        }
    }
    // Alice's device keeps nothing, by `--keep-mib 0`.
    let file = shared.fixture.path("lacks.parsec-safe");
    let said = export(&shared.fixture.alice, PLANS, &file);
    assert!(said.code == 75 && said.stderr.contains("/large") && !file.exists(), "{said:?}");
    let target = file.to_str().unwrap();
    let arguments = ["safe", "export", "--sealed", PLANS, target, "--partial"];
    let said = shared.fixture.alice.ctl(&arguments).well();
    assert!(said.stdout.contains("2 pieces are missing") && file.exists(), "{said:?}");
    refused(&shared.fixture.alice, &file, "it lacks something", 75, &["contents_unavailable"]);
    let arguments = ["safe", "import", "--sealed", target, "Rest", "--partial", "--wait", "120"];
    let said = shared.fixture.alice.ctl(&arguments).well();
    assert!(said.stdout.contains("1 left out") && said.stderr.contains("/large"), "{said:?}");
    let rest = Safe { device: &shared.fixture.alice, name: "Rest" };
    assert_eq!(rest.paths().unwrap(), ["/whole"]);
    assert_eq!(rest.get("/whole").unwrap(), b"whole");
}
