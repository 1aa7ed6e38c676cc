//! Contents that the server swaps, cuts, mixes or keeps back, and contents that are none: not a
//! byte of them is let out, into whatever the person asked for them.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex};

use parsec_protocol::control::{
    DeviceSelector, FileGot, FilePut, FileSelector, ProblemKind, SafeRole, method,
};
use parsec_protocol::ids::ObjectId;
use parsec_protocol::relay::ErrorCode;
use parsec_protocol::safes::content_ref::{Content, References};
use parsec_tests::device::Device;
use parsec_tests::fixture::{BOB_EMAIL, BOB_PASSWORD};
use parsec_tests::insider::{Insider, file};
use parsec_tests::lying::{Asked, asked, body_of, lies, objects_in};
use parsec_tests::proxy::Honest;
use parsec_tests::rpc::Failed;
use parsec_tests::safes::{Safe, create};

use super::{PLANS, Shared, bytes, until_alarm};

const CHUNK: usize = 524_288;
/// Three pieces.
const LENGTH: usize = 2 * CHUNK + 77_000;

type Objects = Vec<(ObjectId, Vec<u8>)>;

/// What the server gives for a file, in the order in which it is asked for.
fn given(shared: &Shared, safe: Safe<'_>, path: &str) -> Objects {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    lies(&shared.fixture.proxy, move |request, answer| {
        if request.target.ends_with("/objects/fetch") && answer.status == 200 {
            sink.lock().unwrap().extend(objects_in(&answer.body));
        }
    });
    let _ = safe.get(path).unwrap();
    shared.fixture.proxy.meddle(Arc::new(Honest));
    let seen = seen.lock().unwrap().clone();
    assert!(!seen.is_empty());
    seen
}

fn get_into(device: &Device, path: &str, to: impl std::os::fd::AsFd) -> Result<FileGot, Failed> {
    let (select, safe) = (DeviceSelector::default(), PLANS.to_owned());
    let asked = FileSelector { select, safe, path: path.to_owned() };
    device.client()?.call_with(method::FILE_GET, asked, to.as_fd())
}

/// Asks for a file in every way there is, and finds in each nothing but a true beginning.
#[track_caller]
fn lets_nothing_out(shared: &Shared, path: &str, truth: &[u8], kind: ProblemKind, what: &str) {
    let device = &shared.fixture.alice;
    let is_beginning = |found: &[u8]| assert!(truth.starts_with(found), "{what}: {} bytes", found.len());

    let mut new = tempfile::tempfile().unwrap();
    let refused = get_into(device, path, &new).expect_err(what);
    assert_eq!(refused.name(), Some(kind), "{what}");
    is_beginning(&written(&mut new));

    // Over what is there: what is not the truth is what was there before.
    let mut old = tempfile::tempfile().unwrap();
    let before = vec![b'x'; truth.len() + CHUNK];
    old.write_all(&before).unwrap();
    old.seek(SeekFrom::Start(0)).unwrap();
    assert_eq!(get_into(device, path, &old).unwrap_err().name(), Some(kind), "{what}");
    let found = written(&mut old);
    let same = truth.iter().zip(&found).take_while(|(one, other)| one == other).count();
    assert_eq!(found.len(), before.len());
    assert!(found[same..].iter().all(|byte| *byte == b'x'), "{what}: behind {same}");

    let (mut reader, writer) = std::io::pipe().unwrap();
    let reading = std::thread::spawn(move || {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        all
    });
    assert_eq!(get_into(device, path, &writer).unwrap_err().name(), Some(kind), "{what}");
    drop(writer);
    is_beginning(&reading.join().unwrap());

    // By the program: nothing is there that wasn't, and what was is as it was.
    let folder = tempfile::tempdir().unwrap();
    let (absent, kept) = (folder.path().join("absent"), folder.path().join("kept"));
    std::fs::write(&kept, b"what was here").unwrap();
    let from = format!("{PLANS}:{path}");
    for (to, more) in [(&absent, None), (&kept, Some("--force"))] {
        let mut words = vec!["safe", "get", &from, to.to_str().unwrap(), "--json"];
        words.extend(more);
        let said = device.ctl(&words);
        assert_eq!(said.code, i32::from(kind.exit_code()), "{what}: {said:?}");
        assert!(said.stdout.contains(kind.name()), "{what}: {said:?}");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, ["kept"], "{what}");
    assert_eq!(std::fs::read(&kept).unwrap(), b"what was here", "{what}");
    let said = device.ctl(&["safe", "cat", &from]);
    assert_eq!(said.code, i32::from(kind.exit_code()), "{what}");
}

fn written(file: &mut File) -> Vec<u8> {
    let mut all = Vec::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut all).unwrap();
    all
}

/// T6, T7, T8: pieces of other files, versions, safes and epochs; in another order, longer,
/// shorter, changed, doubled, under other ids, and none.
#[test]
fn no_piece_that_the_server_swaps_cuts_or_mixes_is_let_out() {
    let shared = Shared::with(SafeRole::Reader);
    let alice = shared.alice();
    let other = create(&shared.fixture.alice, "Other").safe.to_string();
    let other = Safe { device: &shared.fixture.alice, name: &other };
    let (truth, old) = (bytes(1, LENGTH), bytes(2, LENGTH));
    let _ = alice.put_shared("/a", &old);
    let former = given(&shared, alice, "/a");
    let _ = alice.put_shared("/a", &truth);
    let _ = alice.put_shared("/b", &bytes(3, LENGTH));
    let _ = other.put_shared("/c", &bytes(4, LENGTH));
    alice.unshare(BOB_EMAIL).unwrap();
    let _ = alice.put_shared("/d", &bytes(5, LENGTH));
    let own = given(&shared, alice, "/a");
    let [b, d] = ["/b", "/d"].map(|path| given(&shared, alice, path));
    let c = given(&shared, other, "/c");
    assert!([&own, &former, &b, &c, &d].iter().all(|all| all.len() == 3));

    let put = |at: usize, sealed: Vec<u8>| {
        let mut all = own.clone();
        all[at].1 = sealed;
        all
    };
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut sealed = own[1].1.clone();
        change(&mut sealed);
        put(1, sealed)
    };
    let swapped = vec![own[0].clone(), (own[1].0, own[2].1.clone()), (own[2].0, own[1].1.clone())];
    let mut doubled = own.clone();
    doubled.push((own[1].0, b[1].1.clone()));
    let mut without = own.clone();
    let _ = without.remove(1);
    let renamed = vec![own[0].clone(), (b[1].0, own[1].1.clone()), own[2].clone()];
    let damaged = ProblemKind::ContentsDamaged;
    let lies_told: Vec<(&str, Objects, ProblemKind)> = vec![
        ("a piece of another file", put(1, b[1].1.clone()), damaged),
        ("a piece of an earlier version", put(1, former[1].1.clone()), damaged),
        ("a piece of another safe", put(1, c[1].1.clone()), damaged),
        ("a piece of another epoch", put(1, d[1].1.clone()), damaged),
        ("the first piece again", put(1, own[0].1.clone()), damaged),
        ("two pieces exchanged", swapped, damaged),
        ("a byte less", changed(&|sealed| sealed.truncate(sealed.len() - 1)), damaged),
        ("half of it", changed(&|sealed| sealed.truncate(sealed.len() / 2)), damaged),
        ("nothing of it", changed(&|sealed| sealed.clear()), damaged),
        ("a byte more", changed(&|sealed| sealed.push(0)), damaged),
        ("its first bit", changed(&|sealed| sealed[0] ^= 1), damaged),
        ("its last bit", changed(&|sealed| *sealed.last_mut().unwrap() ^= 0x80), damaged),
        ("twice, the second another", doubled, damaged),
        ("left out", without, ProblemKind::ContentsUnavailable),
        ("under another id", renamed, ProblemKind::ContentsUnavailable),
    ];
    for (what, objects, kind) in lies_told {
        let (body, safe) = (body_of(&objects), shared.safe);
        lies(&shared.fixture.proxy, move |request, answer| {
            if asked(request, safe) == Some(Asked::Fetch) {
                answer.status = 200;
                answer.body.clone_from(&body);
            }
        });
        lets_nothing_out(&shared, "/a", &truth, kind, what);
    }
    shared.fixture.proxy.meddle(Arc::new(Honest));
    assert_eq!(alice.get("/a").unwrap(), truth);
    let got = shared.fixture.alice.ctl(&["safe", "cat", "Plans:/b"]);
    assert_eq!(got.code, 0, "the twin without a lie");
}

/// A file of 17 pieces of which all but the first are holes.
fn put_sparse(device: &Device, path: &str, beginning: &[u8]) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(beginning).unwrap();
    file.set_len(17 * CHUNK as u64).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let asked = FilePut {
        select: DeviceSelector::default(),
        safe: PLANS.to_owned(),
        path: path.to_owned(),
        size: Some(17 * CHUNK as u64),
        modified_ns: None,
        executable: false,
        replace: true,
        wait_seconds: Some(60),
    };
    let done: parsec_protocol::control::FileChanged =
        device.client().unwrap().call_with(method::FILE_PUT, asked, file.as_fd()).unwrap();
    assert!(done.shared, "{done:?}");
}

/// T7, T8: the page that says where the pieces are is as good as the pieces.
#[test]
fn no_page_that_the_server_swaps_or_cuts_is_followed() {
    let shared = Shared::with(SafeRole::Reader);
    let alice = shared.alice();
    let mut truth = bytes(1, CHUNK);
    put_sparse(&shared.fixture.alice, "/a", &truth);
    put_sparse(&shared.fixture.alice, "/b", &bytes(2, CHUNK));
    truth.resize(17 * CHUNK, 0);
    let [a, b] = ["/a", "/b"].map(|path| given(&shared, alice, path));
    // The page, then the one piece that is no hole.
    assert_eq!((a.len(), b.len()), (2, 2));
    let page = a[0].clone();
    let cut = |length: usize| page.1[..length].to_vec();
    let mut bit = page.1.clone();
    bit[40] ^= 1;
    for (what, sealed) in [
        ("another file's page", b[0].1.clone()),
        ("the file's own piece", a[1].1.clone()),
        ("a page cut short", cut(page.1.len() - 1)),
        ("an empty page", Vec::new()),
        ("one bit", bit),
    ] {
        let (safe, id) = (shared.safe, page.0);
        lies(&shared.fixture.proxy, move |request, answer| {
            if asked(request, safe) == Some(Asked::Fetch) && answer.status == 200 {
                let mut objects = objects_in(&answer.body);
                objects
                    .iter_mut()
                    .filter(|(object, _)| *object == id)
                    .for_each(|it| it.1.clone_from(&sealed));
                answer.body = body_of(&objects);
            }
        });
        lets_nothing_out(&shared, "/a", &truth, ProblemKind::ContentsDamaged, what);
    }
    shared.fixture.proxy.meddle(Arc::new(Honest));
    assert_eq!(alice.get("/a").unwrap(), truth);
}

/// T8, T22, T31: a writer who seals what is no piece of a file, or names other files' objects as
/// pieces of it; and who takes an id that is taken.
#[test]
fn what_a_member_seals_that_is_no_file_is_not_let_out_and_names_the_member() {
    let mut shared = Shared::with(SafeRole::Contributor);
    let safe = shared.safe;
    let _ = shared.alice().put_shared("/good", &bytes(1, LENGTH));
    Safe { device: &shared.bob, name: PLANS }.sync();
    let bob = Insider::of(&mut shared.bob, BOB_PASSWORD, &shared.fixture.server);
    let mut view = bob.view(safe);
    let good = given(&shared, shared.alice(), "/good");

    // An id has one content: another one is refused, and so is a record with an object that isn't
    // there.
    let sealed = bob.sealed(&view, &bytes(6, LENGTH));
    let mut stolen = sealed.objects[0].clone();
    stolen.0.object = good[0].0;
    assert_eq!(bob.put_objects(safe, &[stolen]), Err(ErrorCode::ObjectConflict));
    let mut payload = bob.next_record(&view);
    payload.adds = Insider::ids(&sealed);
    let named = bob.write(&mut view, payload, vec![file(safe, "none", sealed.content.clone())]);
    assert_eq!(bob.post_record(safe, &named).unwrap_err(), ErrorCode::ObjectMissing);

    bob.put_objects(safe, &sealed.objects).unwrap();
    let resized = |size: usize| Content { size: size as u64, ..sealed.content.clone() };
    let References::Direct(all) = &sealed.content.references else { panic!("three pieces") };
    let turned = Content {
        references: References::Direct(vec![all[1], all[0], all[2]].into()),
        ..sealed.content.clone()
    };
    let last_first = Content {
        references: References::Direct(vec![all[2], all[0], all[1]].into()),
        ..sealed.content.clone()
    };
    let mut payload = bob.next_record(&view);
    payload.adds = Insider::ids(&sealed);
    let changes = vec![
        file(safe, "right", sealed.content.clone()),
        file(safe, "shorter", resized(LENGTH - 30_000)),
        file(safe, "longer", resized(LENGTH + 30_000)),
        file(safe, "last-first", last_first),
        file(safe, "turned", turned),
    ];
    let record = bob.write(&mut view, payload, changes);
    let _ = bob.posted(safe, &record);
    shared.alice().sync();
    assert_eq!(shared.alice().get("/right").unwrap(), bytes(6, LENGTH), "the twin without a fault");
    for path in ["/shorter", "/longer", "/last-first"] {
        let truth = bytes(6, if path == "/last-first" { 0 } else { LENGTH });
        lets_nothing_out(&shared, path, &truth, ProblemKind::SafeUntrusted, path);
    }
    // Whole pieces in another order are another file of the same author's: what it is, only they
    // say.
    assert_eq!(shared.alice().get("/turned").unwrap().len(), LENGTH);

    // Objects of nobody's record, and of an epoch that is not the record's, are no file at all.
    let mut view = bob.view(safe);
    let unknown = bob.sealed(&view, b"never put");
    let payload = bob.next_record(&view);
    let record = bob.write(&mut view, payload, vec![file(safe, "unknown", unknown.content)]);
    let _ = bob.posted(safe, &record);
    shared.alice().sync();
    let missing = shared.alice().get("/unknown").unwrap_err();
    assert_eq!(missing.name(), Some(ProblemKind::PathNotFound));
    let alarm = until_alarm(&shared.fixture.alice, ProblemKind::SafeUntrusted);
    assert!(alarm.problem.message.contains("Bob"), "{alarm:?}");
}

/// What stands behind a page no record judges: a page that names what was never put is the fault of
/// who wrote it, and they are named; the server has lost nothing.
#[test]
fn a_page_that_names_what_no_record_added_names_its_author() {
    let mut shared = Shared::with(SafeRole::Contributor);
    let safe = shared.safe;
    shared.alice().sync();
    let bob = Insider::of(&mut shared.bob, BOB_PASSWORD, &shared.fixture.server);
    let truth = bytes(8, 17 * LENGTH);
    for (name, left_out) in [("whole", None), ("none", Some(1))] {
        let mut view = bob.view(safe);
        let mut sealed = bob.sealed(&view, &truth);
        assert!(matches!(sealed.content.references, References::Paged(_)));
        if let Some(left_out) = left_out {
            let _ = sealed.objects.remove(left_out);
        }
        bob.put_objects(safe, &sealed.objects).unwrap();
        let mut payload = bob.next_record(&view);
        payload.adds = Insider::ids(&sealed);
        let record = bob.write(&mut view, payload, vec![file(safe, name, sealed.content.clone())]);
        let _ = bob.posted(safe, &record);
    }
    shared.alice().sync();
    assert!(shared.alice().get("/whole").unwrap() == truth, "the twin without a fault");
    let Err(Failed::Problem(problem)) = shared.alice().get("/none") else { panic!("it is no file") };
    assert_eq!(problem.name, ProblemKind::SafeUntrusted, "{problem:?}");
    assert!(problem.message.contains("no change has added it"), "{problem:?}");
    assert!(problem.message.contains("Bob"), "{problem:?}");
    let alarm = until_alarm(&shared.fixture.alice, ProblemKind::SafeUntrusted);
    assert_eq!(alarm.problem.message, problem.message);
}
