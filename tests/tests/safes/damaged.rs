//! Contents that wait to be shared, on a disk that damages them: nothing else is held up, their
//! file is named, and its removal takes them out of the way.

use std::fs;

use parsec_protocol::control::{DeviceSelector, FileChanged, FileMove, FileRemove, ProblemKind, method};
use parsec_tests::fixture::{ALICE_AGAIN, Fixture, FixtureOptions};
use parsec_tests::logs::files;
use parsec_tests::safes::{Safe, create, is_well};

use super::{PLANS, enrol_own};

/// More than one piece.
const LENGTH: usize = 1_200_000;

#[test]
fn damaged_contents_that_wait_hold_up_nothing_else_and_go_with_their_file() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    let made = create(&fixture.alice, PLANS);
    let id = made.safe.to_string();
    let _ = tablet.until_safe(|safe| safe.safe == made.safe && is_well(safe));
    fixture.server.kill();
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.put("/lost", &vec![1; LENGTH], 0).unwrap();
    let pieces = fixture.alice.data();
    let damaged: Vec<_> = files(&pieces).into_iter().filter(|(path, _)| path.contains("/pieces/")).collect();
    assert_eq!(damaged.len(), 3);
    // A copy has nothing of its own to send.
    let (safe, from, to) = (PLANS.to_owned(), "/lost".to_owned(), "/copy".to_owned());
    let select = DeviceSelector::default();
    let asked = FileMove { select, safe, from, to, replace: false, wait_seconds: None };
    let _: FileChanged = fixture.alice.call(method::FILE_COPY, asked).unwrap();
    alice.put("/sound", &vec![2; LENGTH], 0).unwrap();
    for (path, mut bytes) in damaged {
        bytes[1_000] ^= 1;
        fs::write(path, bytes).unwrap();
    }
    fixture.restart_server();

    // Told, with the file's name; and the other one goes out.
    let alice = Safe { device: &fixture.alice, name: PLANS };
    let waits = fixture.alice.until_safe(|safe| safe.problem == Some(ProblemKind::StoreDamaged));
    assert_eq!(waits.waiting, 2, "{waits:?}");
    let status = fixture.alice.ctl(&["safe", "status", PLANS]).well().stdout;
    assert!(status.contains("/lost") && status.contains("damaged"), "{status}");
    let there = Safe { device: &tablet, name: &id };
    there.sync();
    assert_eq!(there.paths().unwrap(), ["/sound"]);
    assert!(there.get("/sound").unwrap() == vec![2; LENGTH]);
    // So does what comes later, and the file can't be read here either.
    alice.put_shared("/later", b"goes out");
    assert!(alice.get("/lost").is_err());

    // One after the other; the copy is named once the file that it was made of is gone.
    for path in ["/lost", "/copy"] {
        let status = fixture.alice.ctl(&["safe", "status", PLANS]).well().stdout;
        assert!(status.contains(&format!("Contents of {path} ")), "{status}");
        let asked = FileRemove {
            select: DeviceSelector::default(),
            safe: PLANS.to_owned(),
            path: path.to_owned(),
            recursive: false,
            wait_seconds: None,
        };
        let _: FileChanged = fixture.alice.call(method::FILE_REMOVE, asked).unwrap();
        // Whatever is shared behind it, it has looked again.
        alice.put_shared("/later", path.as_bytes());
    }
    let _ = fixture.alice.until_safe(|safe| safe.problem.is_none() && safe.waiting == 0);
    alice.put_shared("/lost", b"found again");
    there.sync();
    assert_eq!(there.get("/lost").unwrap(), b"found again");
    assert_eq!(there.paths().unwrap(), ["/later", "/lost", "/sound"]);
}

#[test]
fn contents_that_can_be_read_again_go_out_when_their_person_asks() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    let made = create(&fixture.alice, PLANS);
    let _ = tablet.until_safe(|safe| safe.safe == made.safe && is_well(safe));
    fixture.server.kill();
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.put("/lost", &vec![1; LENGTH], 0).unwrap();
    let pieces = files(&fixture.alice.data());
    let pieces: Vec<_> = pieces.into_iter().filter(|(path, _)| path.contains("/pieces/")).collect();
    pieces.iter().for_each(|(path, _)| fs::write(path, b"a disk that is not well").unwrap());
    fixture.restart_server();
    let _ = fixture.alice.until_safe(|safe| safe.problem == Some(ProblemKind::StoreDamaged));

    pieces.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    Safe { device: &fixture.alice, name: PLANS }.sync();
    let there = Safe { device: &tablet, name: &made.safe.to_string() };
    there.sync();
    assert!(there.get("/lost").unwrap() == vec![1; LENGTH]);
    let _ = fixture.alice.until_safe(|safe| safe.problem.is_none() && safe.waiting == 0);
}
