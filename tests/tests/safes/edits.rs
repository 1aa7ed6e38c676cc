//! A large file that is put again with a little of it changed: what has not changed is not sent
//! again, everybody reads it as it is, and who was taken out meanwhile reads nothing of what is
//! new.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use parsec_protocol::control::SafeRole;
use parsec_tests::fixture::{ALICE_AGAIN, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::logs::files;
use parsec_tests::own_devices::only;
use parsec_tests::proxy::Honest;
use parsec_tests::safes::{Safe, create, is_well};

use super::offline::Away;
use super::{PLANS, enrol_bob, enrol_own};

/// Bytes of the file, and of the change in it.
const LARGE: usize = 20 * 1_024 * 1_024;
const EDIT: usize = 4_096;
/// Most bytes of objects that the change costs: the two chunks that it may lie in, and a page.
const COST_MAX: u64 = 1_200_000;

/// Bytes that no two chunks share.
fn large() -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let words = (0..LARGE / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.collect()
}

/// Bytes of all objects that a server keeps as files: chunks are among them.
fn objects(server: &Path) -> u64 {
    let all = files(server).into_iter().filter(|(path, _)| path.contains(".objects/"));
    all.map(|(_, bytes)| bytes.len() as u64).sum()
}

#[test]
fn a_changed_part_of_a_large_file_is_all_that_is_sent() {
    let fixture = Fixture::found(FixtureOptions::default());
    let tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    let made = create(&fixture.alice, PLANS);
    let _ = tablet.until_safe(|safe| safe.safe == made.safe && is_well(safe));
    let id = made.safe.to_string();
    let there = Safe { device: &tablet, name: &id };
    let (path, mut text) = (fixture.path("large"), large());
    let file = path.to_str().unwrap();
    let put = |text: &[u8], more: &[&str]| {
        fs::write(&path, text).unwrap();
        let line = [&["safe", "put", file, "Plans:/large", "--wait", "60"][..], more].concat();
        let _ = fixture.alice.ctl(&line).well();
        objects(fixture.server.folder())
    };
    let mut before = put(&text, &[]);
    assert!(before >= LARGE as u64, "{before}");
    there.sync();
    assert!(there.get("/large").unwrap() == text);

    // In the middle, across two chunks, and at the end, by the device that has written it.
    for at in [LARGE / 2 + 10_000, 3 * 524_288 - EDIT / 2, LARGE - EDIT] {
        text[at..][..EDIT].fill(7);
        let after = put(&text, &["--force"]);
        let cost = after - before;
        assert!((500_000..COST_MAX).contains(&cost), "{cost} bytes for an edit at {at}");
        before = after;
        there.sync();
        assert!(there.get("/large").unwrap() == text, "an edit at {at}");
    }
    // By the device that has read it; and put again without a change it costs nothing.
    text[100] ^= 1;
    there.put_shared("/large", &text);
    let after = objects(fixture.server.folder());
    assert!((500_000..COST_MAX).contains(&(after - before)), "{} bytes", after - before);
    Safe { device: &fixture.alice, name: PLANS }.sync();
    assert!(Safe { device: &fixture.alice, name: PLANS }.get("/large").unwrap() == text);
    assert_eq!(put(&text, &["--force"]), after);
    // One that joins later has nothing but what the server keeps.
    let laptop = enrol_own(&fixture, &fixture.alice, "laptop", ALICE_AGAIN);
    let _ = laptop.until_safe(|safe| safe.safe == made.safe && is_well(safe));
    Safe { device: &laptop, name: &id }.sync();
    assert!(Safe { device: &laptop, name: &id }.get("/large").unwrap() == text);
}

/// The edit waits while the safe gets its next key: what is new of it is sealed anew, what is named
/// again stays as it is, and the next edit names nothing of before.
#[test]
fn an_edit_that_waits_while_the_key_changes_reads_as_it_was_saved() {
    let fixture = Fixture::found(FixtureOptions::default());
    let tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    let _bob = enrol_bob(&fixture);
    let made = create(&fixture.alice, PLANS);
    let on_alice = Safe { device: &fixture.alice, name: PLANS };
    on_alice.share(BOB_EMAIL, SafeRole::Contributor).unwrap();
    let _ = tablet.until_safe(|safe| safe.safe == made.safe && is_well(safe));
    let id = made.safe.to_string();
    let on_tablet = Safe { device: &tablet, name: &id };
    let mut text = large();
    on_alice.put_shared("/large", &text);
    on_tablet.sync();
    assert!(on_tablet.get("/large").unwrap() == text);

    fixture.proxy.meddle(Arc::new(Away(only(&tablet))));
    fixture.proxy.cut();
    // Twice: the second is written over what waits, and names nothing of that.
    let pieces = || files(&tablet.data()).iter().filter(|(path, _)| path.contains("/pieces/")).count();
    let mut here = pieces();
    for (at, new) in [(LARGE / 2, 1), (LARGE / 4, 2)] {
        text[at..][..EDIT].fill(9);
        let saved = on_tablet.put("/large", &text, 0).unwrap();
        assert_eq!(pieces() - here, new, "chunks that were sealed for the edit at {at}");
        here = pieces();
        assert!(saved.saved && !saved.shared, "{saved:?}");
        assert!(on_tablet.get("/large").unwrap() == text);
    }
    assert_eq!(on_alice.unshare(BOB_EMAIL).unwrap().safe.epoch, 1);
    let before = objects(fixture.server.folder());
    fixture.proxy.meddle(Arc::new(Honest));
    assert_eq!(on_tablet.sync().epoch, 1);
    let after = objects(fixture.server.folder());
    assert!(after - before < 2 * COST_MAX, "{} bytes for two edits", after - before);
    on_alice.sync();
    assert!(on_alice.get("/large").unwrap() == text);
    // The page is of the new key now, and most of its chunks are of the one before.
    text[5] ^= 1;
    on_alice.put_shared("/large", &text);
    let all = objects(fixture.server.folder()) - after;
    assert!(all > (LARGE - 2 * 524_288) as u64, "{all} bytes: the rest was named again");
    on_tablet.sync();
    assert!(on_tablet.get("/large").unwrap() == text);
}
