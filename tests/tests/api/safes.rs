//! What goes wrong with safes and their files, with real daemons and a real server: each problem
//! from its own cause.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::AsFd as _;

use parsec_protocol::control::ProblemKind as K;
use parsec_protocol::control::{
    ChoiceMode, FileChanged, FileEntry, FileGetMany, FileGot, FileListResult, FileOfMany, FilePut,
    FilePutMany, FileSelector, FilesChanged, FilesGot, SafeShowResult, SafeStanding, SafeView, method,
};
use parsec_tests::device::Device;
use parsec_tests::events::Follower;
use parsec_tests::fixture::{BOB, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::rpc::Failed;
use parsec_tests::safes::until;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn named<T: std::fmt::Debug>(result: Result<T, Failed>) -> Option<K> {
    result.unwrap_err().name()
}

fn call<R: DeserializeOwned>(device: &Device, method: &str, parameters: Value) -> Result<R, Failed> {
    device.call(method, parameters)
}

fn created(device: &Device, name: &str) -> SafeView {
    call(device, method::SAFE_CREATE, json!({ "name": name })).unwrap()
}

/// An open file with these contents, at its beginning.
fn file(contents: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(contents).unwrap();
    file.rewind().unwrap();
    file
}

fn put(device: &Device, safe: &str, path: &str, contents: &[u8]) -> Result<FileChanged, Failed> {
    put_as(device, safe, path, contents, contents.len() as u64)
}

/// Puts contents, and says that they have another size.
fn put_as(
    device: &Device,
    safe: &str,
    path: &str,
    contents: &[u8],
    size: u64,
) -> Result<FileChanged, Failed> {
    let asked = FilePut {
        select: parsec_protocol::control::DeviceSelector::default(),
        safe: safe.to_owned(),
        path: path.to_owned(),
        size: Some(size),
        modified_ns: None,
        executable: false,
        replace: false,
        wait_seconds: Some(120),
    };
    device.client()?.call_with(method::FILE_PUT, asked, file(contents).as_fd())
}

fn get(device: &Device, safe: &str, path: &str) -> Result<FileGot, Failed> {
    let asked = FileSelector {
        select: parsec_protocol::control::DeviceSelector::default(),
        safe: safe.to_owned(),
        path: path.to_owned(),
    };
    device.client()?.call_with(method::FILE_GET, asked, file(b"").as_fd())
}

/// A member beside Alice.
fn bob(fixture: &Fixture) -> Device {
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let ends = fixture.enrol(&bob, &invitation, BOB, ChoiceMode::Picked);
    ends.claimer.unwrap();
    ends.greeter.unwrap();
    bob
}

#[test]
fn a_safe_and_a_path_are_named_rightly_or_refused() {
    let fixture = Fixture::found(FixtureOptions::default());
    let alice = &fixture.alice;
    let plans = created(alice, "Plans");
    let show = |safe: &str| call::<SafeShowResult>(alice, method::SAFE_SHOW, json!({ "safe": safe }));
    assert_eq!(show("Plans").unwrap().safe.safe, plans.safe);
    let id = plans.safe.to_string();
    assert_eq!(show(&id[..8]).unwrap().safe.safe, plans.safe);
    for unknown in ["plans", "Plan", &id[..3], ""] {
        assert_eq!(named(show(unknown)), Some(K::SafeUnknown), "{unknown}");
    }
    created(alice, "Plans");
    assert_eq!(named(show("Plans")), Some(K::SafeAmbiguous));

    let folder = |path: &str| {
        call::<FileChanged>(alice, method::FILE_MAKE_FOLDER, json!({ "safe": id, "path": path }))
    };
    let stat = |path: &str| call::<FileEntry>(alice, method::FILE_STAT, json!({ "safe": id, "path": path }));
    folder("/a").unwrap();
    assert_eq!(named(folder("/a")), Some(K::PathExists));
    assert_eq!(named(folder("/b/c")), Some(K::PathNotFound));
    assert_eq!(named(stat("/b")), Some(K::PathNotFound));
    for bad in ["", "a", "/..", "/a/../b", "/a//b", "/x\\x00", "/\\q", &format!("/{}", "x".repeat(256))] {
        assert_eq!(named(folder(bad)), Some(K::NameInvalid), "{bad}");
    }
    put(alice, &id, "/a/file", b"contents").unwrap();
    assert_eq!(named(folder("/a/file/below")), Some(K::NotAFolder));
    assert_eq!(named(put(alice, &id, "/a", b"x")), Some(K::IsAFolder));
    assert_eq!(named(put(alice, &id, "/a/file", b"x")), Some(K::PathExists));
    assert_eq!(named(get(alice, &id, "/a")), Some(K::IsAFolder));
    let over = json!({ "safe": id, "from": "/a/file", "to": "/c", "replace": true });
    call::<FileChanged>(alice, method::FILE_COPY, over).unwrap();
    folder("/d").unwrap();
    let over = json!({ "safe": id, "from": "/d", "to": "/c", "replace": true });
    assert_eq!(named(call::<FileChanged>(alice, method::FILE_MOVE, over)), Some(K::NotAFile));
    let remove = json!({ "safe": id, "path": "/a" });
    assert_eq!(named(call::<FileChanged>(alice, method::FILE_REMOVE, remove)), Some(K::FolderNotEmpty));

    // Contents come through a descriptor, and are as many as was said.
    let without = json!({ "safe": id, "path": "/e" });
    assert_eq!(named(call::<FileChanged>(alice, method::FILE_PUT, without)), Some(K::DescriptorMissing));
    assert_eq!(named(put_as(alice, &id, "/e", b"three", 3)), Some(K::ContentsChanged));
    assert_eq!(named(put_as(alice, &id, "/e", b"three", 7)), Some(K::ContentsChanged));
    assert_eq!(named(stat("/e")), Some(K::PathNotFound), "nothing was kept");
}

fn put_many(
    device: &Device,
    files: &[(&str, u64)],
    contents: &[u8],
    replace: bool,
) -> Result<FilesChanged, Failed> {
    let files = files.iter().map(|(path, size)| {
        let path = (*path).to_owned();
        FileOfMany { path, size: *size, modified_ns: None, executable: false }
    });
    let asked = FilePutMany {
        select: parsec_protocol::control::DeviceSelector::default(),
        safe: "Plans".to_owned(),
        files: files.collect(),
        replace,
        wait_seconds: Some(120),
    };
    device.client()?.call_with(method::FILE_PUT_MANY, asked, file(contents).as_fd())
}

fn get_many(device: &Device, paths: &[&str]) -> Result<(FilesGot, String), Failed> {
    let asked = FileGetMany {
        select: parsec_protocol::control::DeviceSelector::default(),
        safe: "Plans".to_owned(),
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        at: None,
        record: None,
    };
    let mut file = file(b"");
    let got = device.client()?.call_with(method::FILE_GET_MANY, asked, file.as_fd())?;
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    Ok((got, text))
}

#[test]
fn small_files_go_and_come_together_all_or_none() {
    let fixture = Fixture::found(FixtureOptions::default());
    let alice = &fixture.alice;
    created(alice, "Plans");
    let put_large = put;
    let put = put_many(alice, &[("/a", 3), ("/empty", 0), ("/b", 2)], b"abcde", false).unwrap();
    assert_eq!((put.bytes, put.entries.len(), put.saved, put.shared), (5, 3, true, true));
    let (got, text) = get_many(alice, &["/b", "/a", "/empty", "/b"]).unwrap();
    let sizes: Vec<_> = got.files.iter().map(|file| file.size).collect();
    assert_eq!((text.as_str(), got.bytes, sizes), ("deabcde", 7, vec![Some(2), Some(3), Some(0), Some(2)]));

    let stat =
        |path: &str| call::<FileEntry>(alice, method::FILE_STAT, json!({ "safe": "Plans", "path": path }));
    let refused = |files: &[(&str, u64)], contents: &[u8], why: K| {
        assert_eq!(named(put_many(alice, files, contents, false)), Some(why), "{files:?}");
        assert_eq!(named(stat("/new")), Some(K::PathNotFound), "{why:?}: nothing was kept");
    };
    refused(&[("/new", 1), ("/a", 1)], b"xy", K::PathExists);
    refused(&[("/new", 1), ("/new", 1)], b"xy", K::InvalidRequest);
    refused(&[("/new", 1), ("/none/x", 1)], b"xy", K::PathNotFound);
    refused(&[("/new", 1), ("/b/x", 1)], b"xy", K::NotAFolder);
    refused(&[("/new", 2)], b"x", K::ContentsChanged);
    refused(&[("/new", 2)], b"xyz", K::ContentsChanged);
    refused(&[("/new", 65_537)], &[0; 65_537], K::TooLarge);
    let paths: Vec<String> = (0..257).map(|number| format!("/f{number}")).collect();
    let files: Vec<_> = paths.iter().map(|path| (path.as_str(), 0)).collect();
    refused(&files, b"", K::TooLarge);
    let files: Vec<_> = files[..65].iter().map(|(path, _)| (*path, 65_536)).collect();
    refused(&files, &[0; 65 * 65_536], K::TooLarge);
    let paths: Vec<_> = paths.iter().map(String::as_str).collect();
    assert_eq!(named(get_many(alice, &paths)), Some(K::TooLarge));
    assert_eq!(named(get_many(alice, &["/a", "/none"])), Some(K::PathNotFound));
    assert_eq!(named(get_many(alice, &["/"])), Some(K::IsAFolder));
    put_large(alice, "Plans", "/large", &[7; 65_537]).unwrap();
    assert_eq!(named(get_many(alice, &["/a", "/large"])), Some(K::TooLarge));

    put_many(alice, &[("/a", 4), ("/new", 1)], b"AAAAx", true).unwrap();
    assert_eq!(get_many(alice, &["/a", "/new"]).unwrap().1, "AAAAx");
    assert_eq!(stat("/a").unwrap().versions, 1, "its history is kept");
}

#[test]
fn a_role_allows_what_it_says_and_nothing_before_it_is_accepted() {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = bob(&fixture);
    let safe = created(&fixture.alice, "Plans").safe;
    let id = safe.to_string();
    put(&fixture.alice, &id, "/plan", b"in May").unwrap();
    let share = |role: &str| json!({ "safe": id, "member": BOB_EMAIL, "role": role });
    fixture.alice.call::<Value>(method::SAFE_SHARE, share("reader")).unwrap();
    let _ = bob.until_safe(|offered| offered.safe == safe && offered.standing == SafeStanding::Offered);
    let list = || call::<FileListResult>(&bob, method::FILE_LIST, json!({ "safe": id, "path": "/" }));
    assert_eq!(named(list()), Some(K::SafeNotAccepted));
    call::<SafeView>(&bob, method::SAFE_ACCEPT, json!({ "safe": id })).unwrap();
    call::<Value>(&bob, method::SAFE_SYNC, json!({ "safe": id, "wait_seconds": 120 })).unwrap();
    assert_eq!(get(&bob, &id, "/plan").unwrap().bytes, 6);
    assert_eq!(named(put(&bob, &id, "/mine", b"x")), Some(K::SafeRoleTooLow));
    assert_eq!(named(bob.call::<Value>(method::SAFE_SHARE, share("owner"))), Some(K::SafeRoleTooLow));
    let leave = json!({ "safe": id });
    assert_eq!(named(call::<SafeView>(&fixture.alice, method::SAFE_LEAVE, leave)), Some(K::SafeLastOwner));
}

#[test]
fn without_a_server_what_is_saved_waits_and_what_is_elsewhere_is_not_to_be_had() {
    let mut fixture = Fixture::found(FixtureOptions::default());
    let bob = bob(&fixture);
    let safe = created(&fixture.alice, "Plans").safe;
    let id = safe.to_string();
    let share = json!({ "safe": id, "member": BOB_EMAIL, "role": "contributor" });
    fixture.alice.call::<Value>(method::SAFE_SHARE, share).unwrap();
    let _ = bob.until_safe(|offered| offered.safe == safe);
    call::<SafeView>(&bob, method::SAFE_ACCEPT, json!({ "safe": id })).unwrap();
    put(&fixture.alice, &id, "/plan", &[7; 300_000]).unwrap();
    call::<Value>(&bob, method::SAFE_SYNC, json!({ "safe": id, "wait_seconds": 120 })).unwrap();
    fixture.server.kill();
    assert_eq!(named(get(&bob, &id, "/plan")), Some(K::ContentsUnavailable));

    let asked = json!({ "safe": id, "path": "/offline", "wait_seconds": 1 });
    let made: FileChanged = call(&fixture.alice, method::FILE_MAKE_FOLDER, asked).unwrap();
    assert_eq!((made.saved, made.shared), (true, false));
    let said = fixture.alice.ctl(&["safe", "status", &id, "--json"]).well().json();
    assert_eq!(said["safes"][0]["changes"][0]["path"], "/offline");
    let said = fixture.alice.ctl(&["safe", "mkdir", &format!("{id}:/more"), "--wait", "1"]);
    assert_eq!(said.code, 75, "{said:?}");

    // A safe that the server doesn't have yet is nobody's to share.
    let alone = created(&fixture.alice, "Alone");
    assert!(!alone.shared);
    let show = json!({ "safe": "Alone" });
    assert_eq!(named(call::<SafeShowResult>(&fixture.alice, method::SAFE_SHOW, show)), Some(K::NotSharedYet));
    let share = json!({ "safe": "Alone", "member": BOB_EMAIL, "role": "reader" });
    fixture.alice.call::<Value>(method::SAFE_SHARE, share).unwrap_err();

    fixture.restart_server();
    for safe in [&id, "Alone"] {
        let asked = json!({ "safe": safe, "wait_seconds": 120 });
        let synced: Value = call(&fixture.alice, method::SAFE_SYNC, asked).unwrap();
        assert_eq!(synced["done"], true, "it drains by itself: {synced}");
    }
}

/// Safes made at once. Each has its own task, and each of them keeps the manifest.
const AT_ONCE: usize = 12;

#[test]
fn safes_made_at_once_are_all_shared_and_none_meets_another() {
    let fixture = Fixture::found(FixtureOptions::default());
    let mut events = Follower::start(&fixture.alice.socket(), None);
    let names: Vec<String> = (0..AT_ONCE).map(|number| format!("Plans {number}")).collect();
    let mut missing: BTreeSet<_> = std::thread::scope(|scope| {
        let makers: Vec<_> =
            names.iter().map(|name| scope.spawn(|| created(&fixture.alice, name).safe)).collect();
        makers.into_iter().map(|maker| maker.join().unwrap()).collect()
    });
    while !missing.is_empty() {
        let safe = until(&mut events, |safe| {
            missing.contains(&safe.safe) && (safe.shared || safe.problem.is_some())
        });
        assert_eq!(safe.problem, None, "{safe:?}");
        missing.remove(&safe.safe);
    }
}
