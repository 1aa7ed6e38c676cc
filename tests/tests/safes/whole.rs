//! A whole safe out of it and into another: what comes back is what was there, what is there
//! already is not copied again, and what has no room is refused before any of it is sent.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use parsec_protocol::control::ProblemKind;
use parsec_tests::fixture::{Fixture, FixtureOptions};
use parsec_tests::rpc::Failed;
use parsec_tests::safes::{Safe, create};
use parsec_tests::server::Server;

use super::PLANS;

/// Everything in a folder: path, contents, whether it is a program, time in nanoseconds.
fn tree(folder: &Path) -> Vec<(String, Vec<u8>, bool, std::time::SystemTime)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let about = path.metadata().unwrap();
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            let program = about.permissions().mode() & 0o100 != 0;
            found.push((name, fs::read(&path).unwrap(), program, about.modified().unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn a_safe_that_was_exported_and_imported_is_the_same() {
    let fixture = Fixture::found(FixtureOptions::default());
    let _ = create(&fixture.alice, PLANS);
    let _ = create(&fixture.alice, "Copy");
    let from = fixture.path("from");
    fs::create_dir_all(from.join("deep/er")).unwrap();
    for n in 0..30_usize {
        fs::write(from.join(format!("deep/{n}")), vec![u8::try_from(n).unwrap(); n * 7_000]).unwrap();
    }
    fs::write(from.join("deep/er/program"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(from.join("deep/er/program"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(from.join("empty"), "").unwrap();
    let place = |name: &str| fixture.path(name).to_str().unwrap().to_owned();
    let run = |arguments: &[&str]| fixture.alice.ctl(arguments);
    let said = run(&["safe", "import", &place("from"), "Plans:/", "--wait", "120"]).well();
    assert!(said.stdout.contains("32 files"), "{said:?}");
    let said = run(&["safe", "export", PLANS, &place("out")]).well();
    assert!(said.stdout.contains("32 files"), "{said:?}");
    assert_eq!(tree(&fixture.path("out")), tree(&from));
    // Once more: all of it is there. What was lost is fetched, what is another is left alone.
    fs::remove_file(fixture.path("out").join("deep/7")).unwrap();
    let said = run(&["safe", "export", PLANS, &place("out")]).well();
    assert!(said.stdout.contains("1 file and") && said.stdout.contains("31 unchanged"), "{said:?}");
    fs::write(fixture.path("out").join("deep/7"), "mine").unwrap();
    assert_eq!(run(&["safe", "export", PLANS, &place("out")]).code, 73);
    assert_eq!(fs::read(fixture.path("out").join("deep/7")).unwrap(), b"mine");
    let _ = run(&["safe", "export", PLANS, &place("out"), "--force"]).well();
    // Into another safe, and again: nothing is put twice.
    let said = run(&["safe", "import", &place("out"), "Copy:/", "--wait", "120"]).well();
    assert!(said.stdout.contains("32 files"), "{said:?}");
    let records = Safe { device: &fixture.alice, name: "Copy" }.show().unwrap().records;
    let said = run(&["safe", "import", &place("out"), "Copy:/", "--wait", "120"]).well();
    assert!(said.stdout.contains("0 files") && said.stdout.contains("32 unchanged"), "{said:?}");
    assert_eq!(Safe { device: &fixture.alice, name: "Copy" }.show().unwrap().records, records);
    fs::write(fixture.path("out").join("deep/7"), "mine").unwrap();
    assert_eq!(run(&["safe", "import", &place("out"), "Copy:/", "--wait", "120"]).code, 73);
    let _ = run(&["safe", "import", &place("out"), "Copy:/", "--force", "--wait", "120"]).well();
    assert_eq!(Safe { device: &fixture.alice, name: "Copy" }.get("/deep/7").unwrap(), b"mine");
    // `put -r` and `get -r` finish what broke off, and leave alone what is another.
    let put = |more: &[&str]| {
        run(&[&["safe", "put", "-r", &place("out"), "Copy:/again", "--wait", "120"], more].concat())
    };
    let _ = put(&[]).well();
    assert!(put(&[]).well().stdout.contains("32 unchanged"));
    fs::write(fixture.path("out").join("new"), "new").unwrap();
    let said = put(&[]).well();
    assert!(said.stdout.contains("1 file and") && said.stdout.contains("32 unchanged"), "{said:?}");
    let get = |more: &[&str]| run(&[&["safe", "get", "-r", "Copy:/again", &place("out")], more].concat());
    fs::remove_file(fixture.path("out").join("new")).unwrap();
    let said = get(&[]).well();
    assert!(said.stdout.contains("1 file and") && said.stdout.contains("32 unchanged"), "{said:?}");
    fs::write(fixture.path("out").join("new"), "another").unwrap();
    assert_eq!((put(&[]).code, get(&[]).code), (73, 73));
    assert_eq!(fs::read(fixture.path("out").join("new")).unwrap(), b"another");
    fs::remove_file(fixture.path("out").join("new")).unwrap();
    // In a folder of its name.
    let _ = run(&["safe", "import", &place("out"), "Copy:/in/", "--wait", "120"]).well();
    assert_eq!(Safe { device: &fixture.alice, name: "Copy" }.get("/in/out/deep/7").unwrap(), b"mine");
}

/// The organisation's limit: what can't fit is refused at once and sends nothing; what is only
/// saved is kept, waits and says why, and goes out when there is room.
#[test]
fn what_has_no_room_is_refused_before_anything_is_sent() {
    let mut fixture = Fixture::found(FixtureOptions {
        server_options: &["--safe-quota", "acme:2"],
        ..FixtureOptions::default()
    });
    let _ = create(&fixture.alice, PLANS);
    {
        let alice = Safe { device: &fixture.alice, name: PLANS };
        alice.put_shared("/first", &[1; 1_000_000]);
        let before = bytes_there(&fixture);
        let Failed::Problem(problem) = alice.put("/second", &[2; 1_500_000], 60).unwrap_err() else {
            panic!("the daemon went away")
        };
        assert_eq!(problem.name, ProblemKind::QuotaReached);
        assert!(problem.message.contains("The organisation's limit"), "{problem:?}");
        assert!(problem.message.contains("2097152") && problem.message.contains("are free"), "{problem:?}");
        assert!(problem.hint.contains("--saved"), "{problem:?}");
        assert_eq!((alice.show().unwrap().safe.waiting, bytes_there(&fixture)), (0, before));
        // A folder by its sum, of which each file would fit.
        let folder = fixture.path("folder");
        fs::create_dir_all(&folder).unwrap();
        for n in 0..20_u8 {
            fs::write(folder.join(n.to_string()), vec![n; 60_000]).unwrap();
        }
        let said = fixture.alice.ctl(&["safe", "put", "-r", folder.to_str().unwrap(), "Plans:/folder"]);
        assert!(said.code == 69 && said.stderr.contains("are free"), "{said:?}");
        assert_eq!((alice.paths().unwrap(), bytes_there(&fixture)), (vec!["/first".to_owned()], before));
        // What is saved alone is taken, whatever the server has room for.
        let done = alice.put("/second", &[2; 1_500_000], 0).unwrap();
        assert!(done.saved && !done.shared, "{done:?}");
    }
    let waits = fixture.alice.until_safe(|safe| safe.problem.is_some());
    assert_eq!(waits.problem, Some(ProblemKind::QuotaReached), "{waits:?}");
    let status = fixture.alice.ctl(&["safe", "status", PLANS]).well();
    assert!(status.stdout.contains("/second") && status.stdout.contains("limit"), "{status:?}");
    // Nobody is kept waiting for what only the operator can give.
    for line in
        [&["safe", "mkdir", "Plans:/behind", "--wait", "600"][..], &["safe", "sync", PLANS, "--wait", "600"]]
    {
        let said = fixture.alice.ctl(line);
        assert!(said.code == 75 && said.stderr.contains("and not shared: "), "{said:?}");
    }
    // More room, by the operator: all of it goes out.
    let folder = fixture.server.folder().to_owned();
    fixture.server.kill();
    fixture.server = Server::start(&folder, &["--safe-quota", "acme:20"]);
    fixture.proxy.set_upstream(fixture.server.address());
    let alice = Safe { device: &fixture.alice, name: PLANS };
    alice.sync();
    assert!(alice.get("/second").unwrap() == vec![2; 1_500_000]);
    alice.put_shared("/third", &[3; 3_000_000]);
}

/// Bytes of all objects that the server has.
fn bytes_there(fixture: &Fixture) -> i64 {
    let sql = rusqlite::Connection::open(fixture.server.database()).unwrap();
    sql.query_row("SELECT coalesce(sum(length), 0) FROM safe_object", [], |row| row.get(0)).unwrap()
}
