//! The truth about a safe: what it takes at the server adds up to the server's own figure, and
//! whatever a disk, here or there, has changed of it is found, named and put right.

use std::collections::BTreeSet;
use std::fs;
use std::io::Seek as _;
use std::os::fd::AsFd as _;

use parsec_protocol::codec;
use parsec_protocol::control::{
    ContentClass, DeviceSelector, Fault, FileChanged, FileRemove, FindingKind, FindingState, PROGRESS_WHOLE,
    ProblemKind, SafeFinding, SafeRole, SafeUsage, SafeUsageResult, SafeUsed, SafeVerified, SafeVerify,
    method,
};
use parsec_protocol::ids::SafeId;
use parsec_protocol::relay::JournalPage;
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_AGAIN, ALICE_PASSWORD, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::logs::files;
use parsec_tests::lying;
use parsec_tests::rpc::Failed;
use parsec_tests::safes::{Safe, create, is_well};

use super::{PLANS, enrol_bob, enrol_own};

/// Bytes of a piece, and of its seal.
const PIECE: usize = 524_288;
const SEAL: u64 = 16;
/// More than one piece, and not a whole number of them.
const LENGTH: usize = 1_200_000;
/// More pieces than an entry names itself: it has a page.
const PAGED: usize = 17 * PIECE + 5;

fn try_verify(safe: Safe<'_>, repair: bool, fetch: bool) -> Result<SafeVerified, Failed> {
    let mut place = tempfile::tempfile().unwrap();
    let asked = SafeVerify { select: DeviceSelector::default(), safe: safe.name.to_owned(), repair, fetch };
    let found = safe.device.client()?.call_with(method::SAFE_VERIFY, asked, place.as_fd())?;
    assert_eq!(place.stream_position().unwrap(), PROGRESS_WHOLE, "all of it was done");
    Ok(found)
}

fn verify(safe: Safe<'_>, repair: bool, fetch: bool) -> SafeVerified {
    try_verify(safe, repair, fetch).unwrap()
}

fn usage(safe: Safe<'_>) -> SafeUsed {
    let asked = SafeUsage { select: DeviceSelector::default(), safe: Some(safe.name.to_owned()) };
    let mut found: SafeUsageResult = safe.device.call(method::SAFE_USAGE, asked).unwrap();
    assert_eq!(found.safes.len(), 1);
    found.safes.remove(0)
}

fn remove(safe: Safe<'_>, path: &str) {
    let (select, name) = (DeviceSelector::default(), safe.name.to_owned());
    let asked =
        FileRemove { select, safe: name, path: path.to_owned(), recursive: true, wait_seconds: Some(120) };
    let removed: FileChanged = safe.device.call(method::FILE_REMOVE, asked).unwrap();
    assert!(removed.shared, "{removed:?}");
}

/// One number of the server's database.
fn number(fixture: &Fixture, select: &str) -> u64 {
    let sql = rusqlite::Connection::open(fixture.server.database()).unwrap();
    let found: i64 = sql.query_row(select, [], |row| row.get(0)).unwrap();
    u64::try_from(found).unwrap()
}

/// What the parts of a figure add up to.
fn sum(used: &SafeUsed) -> u64 {
    let objects = [used.live, used.history, used.trash, used.snapshots, used.sent, used.unnamed];
    objects.iter().map(|of| of.bytes).sum::<u64>() + used.journal_bytes + used.log_bytes + used.keys_bytes
}

/// Files of sealed pieces that a device keeps.
fn kept(device: &Device) -> Vec<(String, Vec<u8>)> {
    files(&device.data()).into_iter().filter(|(path, _)| path.contains("/pieces/")).collect()
}

/// Files of objects that the server keeps.
fn objects(fixture: &Fixture) -> Vec<(String, Vec<u8>)> {
    files(fixture.server.folder()).into_iter().filter(|(path, _)| path.contains(".objects/")).collect()
}

fn flip(path: &str) {
    let mut bytes = fs::read(path).unwrap();
    bytes[1_000] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn kinds(found: &SafeVerified) -> Vec<(FindingKind, FindingState, Fault)> {
    found.findings.iter().map(|it| (it.what, it.state, it.fault)).collect()
}

fn alone() -> (Fixture, SafeId) {
    let fixture = Fixture::found(FixtureOptions::default());
    let made = create(&fixture.alice, PLANS);
    (fixture, made.safe)
}

#[test]
fn what_a_safe_takes_adds_up_to_the_servers_figure_and_each_class_is_right() {
    let (mut fixture, _) = alone();
    let bob = enrol_bob(&fixture);
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.share(BOB_EMAIL, SafeRole::Contributor).unwrap();
    let offered = bob.until_safe(|_| true);
    let id = offered.safe.to_string();
    Safe { device: &bob, name: &id }.accept().unwrap();

    // Live: one small, one paged, and a copy, which takes nothing more.
    alice.put_shared("/small", b"small");
    alice.put_shared("/paged", &vec![1; PAGED]);
    alice.copy("/paged", "/copy").unwrap();
    alice.sync();
    let live = usage(alice);
    assert_eq!(sum(&live), live.bytes);
    assert_eq!((live.history.bytes, live.trash.bytes, live.sent.bytes, live.unnamed.bytes), (0, 0, 0, 0));
    assert_eq!(live.live.objects, 1 + 18 + 1, "a small one, chunks, and their page");
    let whole = 18 * (PIECE as u64 + SEAL);
    assert!((whole..whole + 2_000).contains(&live.live.bytes), "{live:?}");
    // Written over: of the paged one the pieces that are the same are live still.
    let mut changed = vec![1; PAGED];
    changed[3 * PIECE] = 2;
    alice.put_shared("/paged", &changed);
    alice.put_shared("/gone", &vec![7; LENGTH]);
    alice.put_shared("/twice", b"first");
    alice.put_shared("/twice", b"second");
    let before = usage(alice);
    // The copy holds what the file held, so that is live; what `/twice` held is history alone.
    assert_eq!(before.history.objects, 1, "{before:?}");
    remove(alice, "/copy");
    remove(alice, "/gone");
    let after = usage(alice);
    // Now the former piece and page are in the history of the file, and before that in no trash.
    assert_eq!(after.history.objects, 3, "{after:?}");
    assert_eq!(after.trash.objects, 3, "{after:?}");
    assert_eq!(
        after.trash.bytes + after.history.bytes + after.live.bytes,
        before.history.bytes + before.live.bytes
    );
    let figure = number(&fixture, "SELECT bytes FROM safe");
    assert_eq!((after.bytes, sum(&after)), (figure, figure));
    assert_eq!(after.organisation_bytes, figure);

    // By whom: Bob brings something, too.
    let at_bob = Safe { device: &bob, name: &id };
    at_bob.sync();
    at_bob.put_shared("/by-bob", &vec![9; 100_000]);
    alice.sync();
    let used = usage(alice);
    let by: u64 = used.by.iter().map(|of| of.bytes).sum();
    assert_eq!((by + used.by_others, used.by_others), (used.bytes, 0));
    let his = used.by.iter().find(|of| of.by.as_ref().unwrap().email.as_str() == BOB_EMAIL).unwrap();
    assert!((100_000..130_000).contains(&his.bytes), "{his:?}");
    // He sees the same, of contents that he has never fetched; a page of each version is.
    let seen = usage(at_bob);
    assert_eq!(SafeUsed { fetched: used.fetched, ..seen.clone() }, used);
    assert!(seen.fetched > 0, "{seen:?}");

    // Saved without the server: no part of its figure.
    fixture.server.kill();
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.put("/waits", &vec![5; LENGTH], 0).unwrap();
    fixture.restart_server();
    // Somebody's upload that no record ever added.
    let total = number(&fixture, "SELECT bytes FROM safe");
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.sync();
    let shared = usage(alice);
    assert!(shared.bytes > total && sum(&shared) == shared.bytes && shared.waiting.objects == 0);
    fixture.tamper(
        "INSERT INTO safe_object SELECT organisation, safe, randomblob(16), hash, 4321, author, 0, due + 1e18
         FROM safe_object LIMIT 1",
        [],
    );
    let alice = Safe { device: &fixture.alice, name: PLANS };
    let used = usage(alice);
    assert_eq!((used.unnamed.objects, used.unnamed.bytes), (1, 4_321));
    assert_eq!((sum(&used), used.bytes), (number(&fixture, "SELECT bytes FROM safe"), shared.bytes + 4_321));
    let told = fixture.alice.ctl(&["safe", "usage", PLANS]).well().stdout;
    assert!(told.contains("history") && told.contains("named by nothing"), "{told}");
    let found = verify(alice, false, true);
    assert!(found.well && found.findings.is_empty(), "{found:?}");
}

#[test]
fn what_waits_here_is_counted_apart() {
    let (fixture, id) = alone();
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.put_shared("/first", &vec![1; LENGTH]);
    let before = usage(alice);
    // No record goes out: the server takes none for now.
    lying::refuses_all(&fixture.proxy, move |request| {
        let refused = [lying::Asked::NewRecord, lying::Asked::Put];
        let asked = lying::asked(request, id)?;
        refused.contains(&asked).then_some(parsec_protocol::relay::ErrorCode::Unavailable)
    });
    alice.put("/waits", &vec![2; LENGTH], 0).unwrap();
    let used = usage(alice);
    assert_eq!((used.waiting.objects, used.bytes, sum(&used)), (3, before.bytes, before.bytes));
    assert!((LENGTH as u64..LENGTH as u64 * 9 / 8).contains(&used.waiting.bytes), "{used:?}");
    let found = verify(alice, false, false);
    assert!(found.well, "{found:?}");
    assert_eq!((found.waiting.contents, found.waiting.objects, found.waiting.here), (1, 3, 3));
    // And where a disk loses it, nobody has it.
    let before: BTreeSet<_> =
        fixture.alice.ctl(&["safe", "usage", PLANS]).well().stdout.lines().map(str::to_owned).collect();
    assert!(before.iter().any(|line| line.contains("on this device alone")), "{before:?}");
}

#[test]
fn a_safe_that_is_whole_is_well_from_its_first_item() {
    let (fixture, _) = alone();
    let tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    let _ = tablet.until_safe(is_well);
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.put_shared("/small", b"small");
    alice.put_shared("/paged", &vec![1; PAGED]);
    alice.put_shared("/paged", &vec![2; LENGTH]);
    alice.copy("/paged", "/copy").unwrap();
    alice.put_shared("/gone", b"gone");
    remove(alice, "/gone");
    alice.sync();
    for fetch in [false, true] {
        let found = verify(alice, false, fetch);
        assert!(found.well && found.findings.is_empty() && found.more == 0, "{found:?}");
        let shown = alice.show().unwrap();
        assert_eq!((found.certificates, found.records), (shown.certificates, shown.records));
        assert_eq!((found.void_records, found.other_roots, found.keys), (0, 0, 1));
        assert_eq!((found.live.contents, found.live.objects, found.live.there), (3, 4, 4));
        assert_eq!((found.history.contents, found.history.objects), (1, 19));
        assert_eq!((found.trash.contents, found.trash.objects), (1, 1));
        assert_eq!((found.live.here, found.history.here, found.trash.here), (4, 19, 1), "{found:?}");
    }
    // Another device, which has none of it yet.
    let there = Safe { device: &tablet, name: PLANS };
    there.sync();
    let found = verify(there, false, false);
    assert!(found.well && found.live.here == 0 && found.live.there == 4, "{found:?}");
    let said = fixture.alice.ctl(&["safe", "verify", PLANS, "--fetch"]);
    assert!(said.code == 0 && said.stdout.contains("All is well."), "{said:?}");
}

#[test]
fn a_damaged_piece_here_is_found_and_fetched_again() {
    let (fixture, _) = alone();
    let alice = Safe { device: &fixture.alice, name: PLANS };
    let contents = vec![3; LENGTH];
    alice.put_shared("/report", &contents);
    alice.put_shared("/other", &vec![4; LENGTH]);
    assert!(verify(alice, false, false).well);
    let files = kept(&fixture.alice);
    assert_eq!(files.len(), 6);
    flip(&files[0].0);
    fs::remove_file(&files[5].0).unwrap();
    let found = verify(alice, false, false);
    let damaged = (FindingKind::DamagedHere, FindingState::Repairable, Fault::Machine);
    assert!(!found.well && kinds(&found).iter().all(|it| *it == damaged), "{found:?}");
    assert_eq!((found.live.damaged, found.live.here, found.live.lost), (2, 4, 0));
    let said = fixture.alice.ctl(&["safe", "verify", PLANS]);
    assert!(said.code == 76 && said.stdout.contains("Damaged on this device"), "{said:?}");
    let found = verify(alice, true, false);
    assert!(found.well && found.live.repaired == 2, "{found:?}");
    assert!(found.findings.iter().all(|it| it.state == FindingState::Repaired), "{found:?}");
    let found = verify(alice, false, false);
    assert!(found.well && found.findings.is_empty() && found.live.here == 6, "{found:?}");
}

#[test]
fn what_the_server_damages_or_loses_is_put_back_from_here_or_named() {
    let (mut fixture, _) = alone();
    let tablet = enrol_own(&fixture, &fixture.alice, "tablet", ALICE_AGAIN);
    let _ = tablet.until_safe(is_well);
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.put_shared("/report", &vec![3; LENGTH]);
    alice.put_shared("/small", &[8; 2_000]);
    let there = objects(&fixture);
    assert_eq!(there.len(), 3);
    flip(&there[0].0);
    fs::remove_file(&there[1].0).unwrap();
    fixture.tamper("UPDATE safe_object_bytes SET bytes = randomblob(length(bytes))", []);
    let alice = Safe { device: &fixture.alice, name: PLANS };

    // By its word alone it lacks the file that is gone; what it gives shows the others.
    let found = verify(alice, false, false);
    assert_eq!(kinds(&found), [(FindingKind::MissingThere, FindingState::Repairable, Fault::Server)]);
    let found = verify(alice, false, true);
    assert!(!found.well && found.live.damaged == 3 && found.live.lost == 0, "{found:?}");
    let whats: BTreeSet<_> = found.findings.iter().map(|it| (it.what, it.path.clone().unwrap())).collect();
    let wanted = [
        (FindingKind::MissingThere, "/report".to_owned()),
        (FindingKind::OtherBytes, "/report".to_owned()),
        (FindingKind::OtherBytes, "/small".to_owned()),
    ];
    assert_eq!(whats, wanted.into());

    // Who has nothing of it, can't put anything back.
    let other = Safe { device: &tablet, name: PLANS };
    other.sync();
    let lost = verify(other, true, true);
    assert!(!lost.well && lost.live.lost == 3, "{lost:?}");
    let report = |it: &&SafeFinding| it.path.as_deref() == Some("/report");
    let named = lost.findings.iter().find(report).unwrap();
    assert_eq!((named.state, named.class), (FindingState::Lost, Some(ContentClass::Live)));
    assert!(named.by.is_some() && named.device.is_some() && named.added.is_some() && named.version.is_some());
    let said = tablet.ctl(&["safe", "verify", PLANS, "--fetch"]);
    assert!(said.code == 76 && said.stdout.contains("/report") && said.stdout.contains("lost"), "{said:?}");

    // Who has it, does.
    let found = verify(alice, true, true);
    assert!(found.well && found.live.repaired == 3, "{found:?}");
    let found = verify(other, false, true);
    assert!(found.well && found.findings.is_empty(), "{found:?}");
    assert!(other.get("/report").unwrap() == vec![3; LENGTH]);
    assert!(other.get("/small").unwrap() == [8; 2_000]);

    // A database that has lost even that there were such objects.
    fixture.tamper("DELETE FROM safe_object", []);
    let alice = Safe { device: &fixture.alice, name: PLANS };
    let found = verify(alice, true, false);
    assert!(found.well && found.live.repaired == 4, "{found:?}");
    let found = verify(alice, false, true);
    assert!(found.well && found.findings.is_empty(), "{found:?}");
}

#[test]
fn a_server_that_lies_is_named() {
    let (fixture, id) = alone();
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.put_shared("/report", &vec![3; LENGTH]);
    for (withholds, what) in [(true, FindingKind::Withheld), (false, FindingKind::OtherBytes)] {
        lying::lies(&fixture.proxy, move |request, answer| {
            if lying::asked(request, id) == Some(lying::Asked::Fetch) {
                let mut all = lying::objects_in(&answer.body);
                if withholds {
                    all.clear();
                }
                all.iter_mut().for_each(|(_, sealed)| sealed.truncate(sealed.len() - 1));
                answer.body = lying::body_of(&all);
            }
        });
        let found = verify(alice, true, true);
        assert!(!found.well && found.live.damaged == 3 && found.live.repaired == 0, "{found:?}");
        assert!(found.findings.iter().all(|it| it.what == what && it.fault == Fault::Server), "{found:?}");
        // It is here, and so not lost.
        assert!(found.findings.iter().all(|it| it.state == FindingState::Repairable), "{found:?}");
    }
    // An answer that is none, for one object among others.
    lying::lies(&fixture.proxy, move |request, answer| {
        if lying::asked(request, id) == Some(lying::Asked::Fetch) {
            answer.body.truncate(answer.body.len() / 2);
        }
    });
    let found = verify(alice, false, true);
    assert!(found.findings.iter().all(|it| it.what == FindingKind::OtherBytes), "{found:?}");
    // Another record than the one that was verified.
    lying::lies(&fixture.proxy, move |request, answer| {
        if let Some(lying::Asked::Journal(_)) = lying::asked(request, id) {
            let mut page: JournalPage = codec::decode(&answer.body, answer.body.len()).unwrap();
            page.records.iter_mut().for_each(|record| *record.last_mut().unwrap() ^= 1);
            lying::says(answer, &page);
        }
    });
    let found = verify(alice, false, false);
    assert_eq!(kinds(&found), [(FindingKind::ServerDiffers, FindingState::Standing, Fault::Server)]);
    lying::lies(&fixture.proxy, |_, _| {});
    assert!(verify(alice, false, true).well);
}

#[test]
fn a_tampered_record_on_the_device_is_found_and_put_right() {
    let (mut fixture, id) = alone();
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.put_shared("/first", b"first");
    alice.put_shared("/second", b"second");
    alice.put_shared("/third", b"third");
    let records = alice.show().unwrap().records;
    fixture.alice.kill();
    {
        let devices = parsecd::store::Devices::open(&fixture.alice.data()).unwrap();
        let device = devices.list().unwrap().pop().unwrap().device;
        let password = parsec_protocol::control::SecretText::new(ALICE_PASSWORD.to_owned().into());
        let open = devices.unlock(device, &password).unwrap();
        let mut record = open.store.safe_records(id, 1, 1).unwrap().pop().unwrap();
        // In the signature, which stands at the end: what is sealed is as it was.
        let last = record.envelope.len() - 1;
        record.envelope[last] ^= 1;
        open.store.mend_safe_record(id, 2, &record).unwrap();
        let mut record = open.store.safe_records(id, 2, 1).unwrap().pop().unwrap();
        // In what is sealed: it folds to nothing.
        let place = record.envelope.len() - 100;
        record.envelope[place] ^= 1;
        open.store.mend_safe_record(id, 3, &record).unwrap();
    }
    fixture.alice.restart();
    fixture.alice.unlock(ALICE_PASSWORD).unwrap();
    let alice = Safe { device: &fixture.alice, name: PLANS };
    let missing = || 3 - alice.paths().unwrap().len();
    assert_eq!(missing(), 1, "one of them changes nothing any more");
    let found = verify(alice, false, false);
    assert!(!found.well && found.records == records, "{found:?}");
    let numbers: Vec<_> = found.findings.iter().map(|it| (it.what, it.number)).collect();
    assert!(numbers.contains(&(FindingKind::RecordDamaged, Some(2))), "{found:?}");
    assert!(numbers.contains(&(FindingKind::RecordDamaged, Some(3))), "{found:?}");
    assert!(numbers.iter().any(|(what, _)| *what == FindingKind::TreeDiffers), "{found:?}");
    let found = verify(alice, true, false);
    assert!(found.well && !found.findings.is_empty(), "{found:?}");
    alice.sync();
    assert_eq!(missing(), 0, "all of them are there again");
    let found = verify(alice, false, false);
    assert!(found.well && found.findings.is_empty(), "{found:?}");
}

#[test]
fn a_safe_that_was_only_offered_or_is_not_shared_yet_is_refused() {
    let (mut fixture, _) = alone();
    let bob = enrol_bob(&fixture);
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.share(BOB_EMAIL, SafeRole::Reader).unwrap();
    let offered = bob.until_safe(|_| true);
    let refused = |done: Result<SafeVerified, Failed>| {
        let Failed::Problem(problem) = done.unwrap_err() else { panic!("the daemon went away") };
        problem.name
    };
    let at_bob = Safe { device: &bob, name: &offered.safe.to_string() };
    assert_eq!(refused(try_verify(at_bob, false, false)), ProblemKind::SafeNotAccepted);
    let none: SafeUsageResult =
        bob.call(method::SAFE_USAGE, SafeUsage { select: DeviceSelector::default(), safe: None }).unwrap();
    assert!(none.safes.is_empty());
    fixture.server.kill();
    let _ = create(&fixture.alice, "Offline");
    let offline = Safe { device: &fixture.alice, name: "Offline" };
    assert_eq!(refused(try_verify(offline, false, false)), ProblemKind::NotSharedYet);
}
