//! `parsecctl safe` and a fake daemon: what it passes on, what lands on the disk, what reaches the
//! screen, and how it exits.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use parsec_protocol::control::{ProblemKind, method};
use parsec_tests::ctl;
use parsec_tests::fake_daemon::{FakeDaemon, Reply, documented, otherwise};
use rexpect::session::spawn_command;
use serde_json::{Value, json};

/// Longest wait for words on a screen, in milliseconds.
const WAIT: u64 = 120_000;
/// A name that would clear the screen and write over it.
const HOSTILE: &str = "/\u{1b}[2J\u{202e}gpj.exe";
/// The same as it is shown, and as it can be typed.
const SHOWN: &str = "/\\x1b[2J\\xe2\\x80\\xaegpj.exe";

/// What a real daemon answers to a method.
fn answer(method: &str) -> Value {
    documented().remove(method).unwrap_or_else(|| panic!("{method} is not documented"))
}

fn changed(shared: bool) -> Value {
    let mut result = answer(method::FILE_MAKE_FOLDER);
    result["shared"] = json!(shared);
    result
}

fn entry(path: &str, kind: &str) -> Value {
    let mut file = answer(method::FILE_STAT);
    file["path"] = json!(path);
    file["kind"] = json!(kind);
    file
}

fn page(files: &[Value]) -> Reply {
    Reply::result(json!({ "safe": answer(method::FILE_LIST)["safe"], "files": files, "more": false }))
}

fn missing() -> Reply {
    Reply::problem(ProblemKind::PathNotFound, "There is no such path in this safe.")
}

/// A daemon whose safe has one file, `/report.odt`, with these contents.
fn one_file(contents: &'static [u8], executable: bool) -> FakeDaemon {
    FakeDaemon::start(move |name, params, _| {
        let mut file = entry("/report.odt", "file");
        file["size"] = json!(contents.len());
        file["executable"] = json!(executable);
        file["modified_ns"] = json!(1_000_000_007_000_000_001_i64);
        match (name, params["path"].as_str()) {
            (method::FILE_STAT, Some("/report.odt")) => Reply::result(file),
            (method::FILE_STAT, _) => missing(),
            (method::FILE_GET, _) => {
                Reply::result(json!({ "bytes": contents.len(), "file": file })).writing(contents)
            }
            _ => otherwise(name),
        }
    })
}

#[test]
fn what_is_saved_and_not_shared_in_time_ends_with_75() {
    let daemon = FakeDaemon::start(|name, params, _| match name {
        method::FILE_PUT | method::FILE_MAKE_FOLDER | method::FILE_REMOVE | method::FILE_MOVE => {
            let mut result = changed(params["path"] == "/shared");
            if params["wait_seconds"] == 7 {
                result["problem"] = json!({ "name": "server_unreachable", "message": "Nobody answers there.",
                    "fault": "server", "hint": "Plug the cable in.", "retryable": true, "exit_code": 69 });
            }
            Reply::result(result)
        }
        method::FILE_STAT => missing(),
        _ => otherwise(name),
    });
    let file = daemon.path("file");
    fs::write(&file, "x").unwrap();
    let file = file.to_str().unwrap();
    for line in [
        &["safe", "put", file, "Plans:/x"][..],
        &["safe", "mkdir", "Plans:/x"],
        &["safe", "rm", "Plans:/x"],
        &["safe", "mv", "Plans:/x", "/y"],
    ] {
        let said = daemon.ctl(line);
        assert_eq!((said.code, said.stdout.as_str()), (75, ""), "{said:?}");
        assert!(said.stderr.contains("saved on this device") && said.stderr.contains("safe status"));
        // Saved is all that was asked for.
        let said = daemon.ctl(&[line, &["--saved"]].concat()).well();
        assert!(said.stdout.contains("not shared yet"), "{said:?}");
        let said = daemon.ctl(&[line, &["--json"]].concat());
        assert_eq!((said.code, &said.json()["shared"]), (75, &json!(false)), "{said:?}");
        assert_eq!(said.stdout.lines().count(), 1, "one object a line: {said:?}");
    }
    let said = daemon.ctl(&["safe", "mkdir", "Plans:/x", "--wait", "7"]);
    assert!(said.stderr.contains("Nobody answers there.") && said.stderr.contains("Plug the cable in."));
    let _ = daemon.ctl(&["safe", "mkdir", "Plans:/shared"]).well();
    let waits: Vec<_> =
        daemon.asked(method::FILE_MAKE_FOLDER).iter().map(|asked| asked["wait_seconds"].clone()).collect();
    assert_eq!(waits, [json!(30), json!(0), json!(30), json!(7), json!(30)]);
}

/// What is said yes to is what was shown, and nothing is said without a yes.
#[test]
fn a_word_about_removals_is_about_what_was_shown() {
    let what = "ab".repeat(32);
    let held = json!({ "removals": [{ "operation": "0b000000111122223333444455556666", "path": HOSTILE,
        "saved": 1_767_225_600_000_000_u64, "entries": 1204 }], "count": 1, "entries": 1204, "behind": 2,
        "what": what });
    let halt = json!({ "found": "Not believed.", "certificates": 1, "records": 2, "by": ["Bob's phone"],
        "what": "cd".repeat(32) });
    let daemon = FakeDaemon::start(move |name, params, _| match name {
        method::SAFE_STATUS => {
            let mut result = answer(method::SAFE_STATUS);
            if params["safe"] != "Quiet" {
                result["safes"][0]["removals"] = held.clone();
                result["safes"][0]["halt"] = halt.clone();
            }
            Reply::result(result)
        }
        method::SAFE_CONFIRM => {
            let mut result = answer(method::SAFE_CONFIRM);
            result["decision"] = params["decision"].clone();
            Reply::result(result)
        }
        _ => otherwise(name),
    });
    let said = daemon.ctl(&["safe", "status"]).well();
    assert!(said.stdout.contains("1204") && said.stdout.contains(SHOWN), "{said:?}");
    assert!(said.stdout.contains("Not believed.") && said.stdout.contains("Bob's phone"), "{said:?}");
    assert_ne!(daemon.ctl(&["safe", "confirm", "Plans"]).code, 0, "nobody said yes");
    assert_eq!(daemon.ctl(&["safe", "confirm", "Quiet", "--yes"]).code, 64);
    assert_eq!(daemon.ctl(&["safe", "confirm", "Quiet", "--accept", "--yes"]).code, 64);
    assert_eq!(daemon.ctl(&["safe", "confirm", "Plans", "--accept", "--discard", "--yes"]).code, 64);
    assert_eq!(daemon.asked(method::SAFE_CONFIRM), Vec::<Value>::new());
    for line in
        [&["safe", "confirm", "Plans", "--yes"][..], &["safe", "confirm", "Plans", "--yes", "--discard"]]
    {
        let _ = daemon.ctl(line).well();
    }
    let said = daemon.ctl(&["safe", "confirm", "Plans", "--yes", "--accept", "--json"]).well();
    assert_eq!(said.json()["schema"], "parsec.safe.confirm/1");
    let asked = daemon.asked(method::SAFE_CONFIRM);
    let told: Vec<_> =
        asked.iter().map(|asked| (&asked["decision"], &asked["what"], &asked["safe"])).collect();
    let (safe, halted) = (&answer(method::SAFE_CONFIRM)["safe"]["safe"], json!("cd".repeat(32)));
    let (remove, discard, accept) = (json!("remove"), json!("discard"), json!("accept"));
    let what = json!("ab".repeat(32));
    assert_eq!(told, [(&remove, &what, safe), (&discard, &what, safe), (&accept, &halted, safe)]);
}

#[test]
fn a_file_goes_to_the_daemon_as_a_descriptor_with_its_time_and_kind() {
    let daemon = FakeDaemon::start(|name, params, _| match (name, params["path"].as_str()) {
        (method::FILE_PUT, _) => Reply::result(changed(true)),
        (method::FILE_STAT, Some("/folder")) => Reply::result(entry("/folder", "folder")),
        (method::FILE_STAT, _) => missing(),
        _ => otherwise(name),
    });
    let file = daemon.path("program");
    fs::write(&file, [0, 255, b'\n', 7]).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let path = file.to_str().unwrap();
    let _ = daemon.ctl(&["safe", "put", path, "Plans:/folder"]).well();
    let _ = daemon.ctl(&["safe", "put", path, "Plans:/new/"]).well();
    let _ =
        ctl::run(daemon.runtime(), &["safe", "put", "-", "Plans:/stream", "--force"], "from a pipe").well();
    let asked = daemon.asked(method::FILE_PUT);
    let modified = fs::metadata(&file).unwrap();
    let modified = modified.mtime() * 1_000_000_000 + modified.mtime_nsec();
    assert_eq!(asked[0]["path"], "/folder/program", "into a folder that is there");
    assert_eq!(asked[1]["path"], "/new/program", "into one that was typed as such");
    assert_eq!(
        (&asked[0]["size"], &asked[0]["executable"], &asked[0]["modified_ns"], &asked[0]["replace"]),
        (&json!(4), &json!(true), &json!(modified), &json!(false))
    );
    assert_eq!(
        (&asked[2]["size"], &asked[2]["path"], &asked[2]["replace"]),
        (&Value::Null, &json!("/stream"), &json!(true))
    );
    assert_eq!(daemon.contents(), [vec![0, 255, b'\n', 7], vec![0, 255, b'\n', 7], b"from a pipe".to_vec()]);

    assert_eq!(daemon.ctl(&["safe", "put", "/nonexistent", "Plans:/x"]).code, 66);
    assert_eq!(daemon.ctl(&["safe", "put", "/tmp", "Plans:/x"]).code, 65, "a folder takes -r");
}

#[test]
fn a_whole_folder_goes_without_its_links_and_sockets_which_are_named() {
    let daemon = FakeDaemon::start(|name, params, _| match name {
        method::FILE_MAKE_FOLDER => Reply::result(changed(false)),
        method::FILE_PUT_MANY => Reply::result(put_together(params)),
        method::FILE_STAT | method::FILE_LIST => missing(),
        method::SAFE_SYNC => Reply::result(answer(method::SAFE_SYNC)),
        _ => otherwise(name),
    });
    let folder = daemon.path("photos");
    fs::create_dir_all(folder.join("deep")).unwrap();
    fs::write(folder.join("deep/a.jpg"), "A").unwrap();
    fs::write(folder.join("b\\\u{1b}.jpg"), "BB").unwrap();
    fs::write(daemon.path("secret"), "not in the folder").unwrap();
    symlink(daemon.path("secret"), folder.join("link")).unwrap();
    symlink("/", folder.join("root")).unwrap();
    let _socket = UnixListener::bind(folder.join("socket")).unwrap();
    let said = daemon.ctl(&["safe", "put", "-r", folder.to_str().unwrap(), "Plans:/p"]).well();
    for left_out in ["link (symbolic link)", "root (symbolic link)", "socket (socket)"] {
        assert!(said.stderr.contains(left_out), "{left_out}: {said:?}");
    }
    assert_eq!(paths(&daemon.asked(method::FILE_MAKE_FOLDER)), ["/p", "/p/deep"]);
    let together = daemon.asked(method::FILE_PUT_MANY);
    let files = together[0]["files"].as_array().unwrap();
    assert_eq!(paths(files), ["/p/b\\\\\u{1b}.jpg", "/p/deep/a.jpg"]);
    assert_eq!((&files[0]["size"], &files[1]["size"], together.len()), (&json!(2), &json!(1), 1));
    assert_eq!(daemon.contents(), [b"BBA".to_vec()]);
    let said =
        daemon.ctl(&["safe", "put", "-r", folder.to_str().unwrap(), "Plans:/p", "--json"]).well().json();
    assert_eq!((&said["files"], &said["folders"], &said["bytes"]), (&json!(2), &json!(2), &json!(3)));
    assert_eq!((said["left_out"].as_array().unwrap().len(), &said["shared"]), (3, &json!(true)));
}

fn paths(asked: &[Value]) -> Vec<String> {
    asked.iter().map(|asked| asked["path"].as_str().unwrap().to_owned()).collect()
}

/// What `file.put_many` answers.
fn put_together(params: &Value) -> Value {
    let mut result = answer(method::FILE_PUT_MANY);
    let sizes = params["files"].as_array().unwrap().iter().map(|file| file["size"].as_u64().unwrap());
    result["bytes"] = json!(sizes.sum::<u64>());
    result
}

/// Hundreds of small files are some questions, a large one is one of its own; where they can't go
/// together, each goes alone, and the one that can't is named with all before it in.
#[test]
fn small_files_go_together_and_alone_where_one_of_them_cannot() {
    let answers = |bad: &'static str| {
        move |name: &str, params: &Value, _: usize| match name {
            method::FILE_MAKE_FOLDER => Reply::result(changed(false)),
            method::FILE_PUT_MANY if bad.is_empty() => Reply::result(put_together(params)),
            method::FILE_PUT_MANY => Reply::problem(ProblemKind::PathExists, "One is there already."),
            method::FILE_PUT if params["path"] == bad => {
                Reply::problem(ProblemKind::PathExists, &format!("{bad} is there already."))
            }
            method::FILE_PUT => Reply::result(changed(false)),
            method::FILE_STAT | method::FILE_LIST => missing(),
            method::SAFE_SYNC => Reply::result(answer(method::SAFE_SYNC)),
            _ => otherwise(name),
        }
    };
    let daemon = FakeDaemon::start(answers(""));
    let folder = daemon.path("photos");
    fs::create_dir(&folder).unwrap();
    for number in 0..300 {
        fs::write(folder.join(format!("{number:03}")), [7; 10]).unwrap();
    }
    fs::write(folder.join("150-large"), vec![1; 65_537]).unwrap();
    let folder = folder.to_str().unwrap().to_owned();
    let said = daemon.ctl(&["safe", "put", "-r", &folder, "Plans:/p", "--json"]).well().json();
    assert_eq!((&said["files"], &said["left_out"]), (&json!(301), &json!([])));
    let together = daemon.asked(method::FILE_PUT_MANY);
    let counts: Vec<_> = together.iter().map(|asked| asked["files"].as_array().unwrap().len()).collect();
    assert_eq!(counts, [192, 108]);
    assert_eq!(paths(&daemon.asked(method::FILE_PUT)), ["/p/150-large"]);
    let mut lengths: Vec<_> = daemon.contents().iter().map(Vec::len).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [1_080, 1_920, 65_537]);

    let daemon = FakeDaemon::start(answers("/p/002"));
    let said = daemon.ctl(&["safe", "put", "-r", &folder, "Plans:/p"]);
    assert!(said.code == 73 && said.stderr.contains("/p/002 is there already"), "{said:?}");
    assert!(said.stderr.contains("Until then: 3 files"), "the large one and two: {said:?}");
}

/// Contents that come together land where each belongs; a daemon that gives other files, or
/// another number of bytes, gets none of them written: each is asked for alone.
#[test]
fn small_files_come_together_and_alone_where_they_are_not_what_was_asked_for() {
    let files = ["/p/a", "/p/b", "/p/c"].map(|path| {
        let mut file = entry(path, "file");
        file["size"] = json!(path.len() - 3);
        file
    });
    for (given, alone) in [("abc", false), ("ab", true), ("abcd", true)] {
        let (listed_files, of_many) = (files.to_vec(), files.to_vec());
        let daemon = FakeDaemon::start(move |name, params, _| match name {
            method::FILE_STAT => Reply::result(entry(params["path"].as_str().unwrap(), "folder")),
            method::FILE_LIST => page(&listed_files),
            method::FILE_GET_MANY => {
                let result = json!({ "bytes": given.len(), "files": of_many });
                Reply::result(result).writing(given.as_bytes())
            }
            method::FILE_GET => {
                let file = entry(params["path"].as_str().unwrap(), "file");
                Reply::result(json!({ "bytes": 5, "file": file })).writing(b"alone")
            }
            _ => otherwise(name),
        });
        let out = daemon.path("out");
        let said = daemon.ctl(&["safe", "get", "-r", "Plans:/p", out.to_str().unwrap(), "--json"]).well();
        assert_eq!(said.json()["files"], 3, "{said:?}");
        let read = |name: &str| String::from_utf8(fs::read(out.join(name)).unwrap()).unwrap();
        let expected = if alone { ["alone"; 3] } else { ["a", "b", "c"] };
        assert_eq!(["a", "b", "c"].map(read), expected, "{given}");
        assert_eq!(daemon.asked(method::FILE_GET).len(), if alone { 3 } else { 0 });
    }
}

fn listed(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_lands_whole_and_never_over_another() {
    for (executable, mode) in [(false, 0o600), (true, 0o700)] {
        let daemon = one_file(b"the report", executable);
        let folder = daemon.path("out");
        fs::create_dir(&folder).unwrap();
        let (target, place) = (folder.join("report.odt"), folder.to_str().unwrap());
        let _ = daemon.ctl(&["safe", "get", "Plans:/report.odt", place]).well();
        let made = fs::metadata(&target).unwrap();
        assert_eq!((made.mode() & 0o777, made.mtime(), made.mtime_nsec()), (mode, 1_000_000_007, 1));
        assert_eq!(fs::read(&target).unwrap(), b"the report");

        fs::write(&target, "mine").unwrap();
        let before = daemon.asked(method::FILE_GET).len();
        let said = daemon.ctl(&["safe", "get", "Plans:/report.odt", place]);
        assert!(said.code == 73 && said.stderr.contains("--force"), "{said:?}");
        assert_eq!(fs::read(&target).unwrap(), b"mine");
        assert_eq!(daemon.asked(method::FILE_GET).len(), before, "nothing was fetched for it");
        let _ = daemon.ctl(&["safe", "get", "Plans:/report.odt", place, "--force"]).well();
        assert_eq!(fs::read(&target).unwrap(), b"the report");
        assert_eq!(listed(&folder), ["report.odt"], "nothing is left beside it");

        let said = ctl::run(daemon.runtime(), &["safe", "get", "Plans:/report.odt", "-"], "").well();
        assert_eq!(said.stdout, "the report");
        assert_eq!(daemon.ctl(&["safe", "get", "Plans:/report.odt", "-", "--json"]).code, 64);
        assert_eq!(daemon.ctl(&["safe", "get", "Plans:/other", place]).code, 66);
        let said = daemon.ctl(&["safe", "get", "Plans:/report.odt", "/nonexistent/x"]);
        assert_eq!(said.code, 74, "{said:?}");
    }
}

#[test]
fn half_a_file_is_not_left_behind() {
    let daemon = FakeDaemon::start(|name, _, _| match name {
        method::FILE_STAT => Reply::result(entry("/report.odt", "file")),
        method::FILE_GET => {
            Reply::problem(ProblemKind::ContentsUnavailable, "The rest can't be fetched.").writing(b"the rep")
        }
        _ => otherwise(name),
    });
    let folder = daemon.path("out");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("report.odt"), "mine").unwrap();
    let said = daemon.ctl(&["safe", "get", "Plans:/report.odt", folder.to_str().unwrap(), "--force"]);
    assert_eq!(said.code, i32::from(ProblemKind::ContentsUnavailable.exit_code()), "{said:?}");
    assert_eq!(fs::read(folder.join("report.odt")).unwrap(), b"mine");
    assert_eq!(listed(&folder), ["report.odt"]);
}

/// A daemon whose safe has these entries below `/p`; every file has the contents `x`.
fn tree(files: Vec<Value>) -> FakeDaemon {
    FakeDaemon::start(move |name, params, _| match name {
        method::FILE_STAT => Reply::result(entry(params["path"].as_str().unwrap(), "folder")),
        method::FILE_LIST => page(&files),
        method::FILE_GET => {
            let file = entry(params["path"].as_str().unwrap(), "file");
            Reply::result(json!({ "bytes": 1, "file": file })).writing(b"x")
        }
        _ => otherwise(name),
    })
}

#[test]
fn a_whole_folder_stays_beneath_the_one_that_was_named() {
    let files = ["/p/a", "/p/deep/b"].map(|path| entry(path, "file"));
    let daemon =
        tree([vec![entry("/p/link", "symlink"), entry("/p/deep", "folder")], files.to_vec()].concat());
    let out = daemon.path("out");
    let said = daemon.ctl(&["safe", "get", "-r", "Plans:/p", out.to_str().unwrap()]).well();
    assert!(said.stderr.contains("Left out: /p/link (symbolic link)"), "{said:?}");
    assert_eq!(
        (listed(&out), listed(&out.join("deep"))),
        (vec!["a".into(), "deep".into()], vec!["b".into()])
    );

    // Somebody has put a link where a folder belongs.
    let outside = daemon.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::remove_dir_all(&out).unwrap();
    fs::create_dir(&out).unwrap();
    symlink(&outside, out.join("deep")).unwrap();
    let said = daemon.ctl(&["safe", "get", "-r", "--force", "Plans:/p", out.to_str().unwrap()]);
    assert!([74, 78].contains(&said.code), "{said:?}");
    assert_eq!(listed(&outside), Vec::<String>::new());

    // A daemon, or what it believes, that lists what is elsewhere.
    for bad in ["/p/../x", "/x", "/p/\\x2e\\x2e/x", "/p/a\\x2fb", "/p//x", "p/x", "/p"] {
        let daemon = tree(vec![entry(bad, "file")]);
        let out = daemon.path("out");
        let said = daemon.ctl(&["safe", "get", "-r", "Plans:/p", out.to_str().unwrap()]);
        assert_eq!((said.code, listed(&out)), (70, Vec::new()), "{bad}: {said:?}");
    }
}

#[test]
fn two_names_that_are_one_here_do_not_overwrite_each_other() {
    // As on a file system that passes over case, where the second lands on the first.
    let daemon = tree(vec![entry("/p/a", "file"), entry("/p/a", "file")]);
    let out = daemon.path("out");
    let said = daemon.ctl(&["safe", "get", "-r", "--force", "Plans:/p", out.to_str().unwrap()]);
    assert_eq!(said.code, 73, "{said:?}");
    assert!(said.stderr.contains("takes the two names for one"), "{said:?}");
    assert!(said.stderr.contains("Until then: 1 file and"), "{said:?}");
    assert_eq!((listed(&out), fs::read(out.join("a")).unwrap()), (vec!["a".to_owned()], b"x".to_vec()));
}

#[test]
fn a_name_cannot_steer_a_terminal_and_can_be_typed_as_it_is_shown() {
    let daemon = FakeDaemon::start(|name, params, _| match name {
        method::FILE_LIST => page(&[entry(HOSTILE, "file")]),
        method::FILE_STAT => Reply::result(entry(params["path"].as_str().unwrap(), "file")),
        method::FILE_REMOVE => {
            let mut result = changed(true);
            result["path"] = params["path"].clone();
            Reply::result(result)
        }
        method::FILE_CONFLICTS => {
            let mut result = answer(method::FILE_CONFLICTS);
            result["conflicts"][0]["copy"] = entry(HOSTILE, "file");
            Reply::result(result)
        }
        _ => otherwise(name),
    });
    for line in [
        &["safe", "ls", "-R", "Plans:/"][..],
        &["safe", "ls", "-l", "Plans:/"],
        &["safe", "ls", "Plans:/"],
        &["safe", "stat", &format!("Plans:{SHOWN}")],
        &["safe", "rm", &format!("Plans:{SHOWN}")],
        &["safe", "conflicts", "Plans"],
    ] {
        let mut command = ctl::command(daemon.runtime(), line);
        command.env("TERM", "dumb");
        let mut session = spawn_command(command, Some(WAIT)).unwrap();
        let seen = session.exp_eof().unwrap();
        assert!(seen.contains(SHOWN.trim_start_matches('/')), "{line:?}: {seen:?}");
        assert!(!seen.contains(['\u{1b}', '\u{202e}']), "{line:?}: {seen:?}");
    }
    assert_eq!(daemon.asked(method::FILE_REMOVE)[0]["path"], HOSTILE, "typed as it was shown");
    let said = daemon.ctl(&["safe", "ls", "Plans:/", "--json"]).well();
    assert_eq!(said.json()["path"], HOSTILE, "a program gets the name itself");
    assert!(!said.stdout.contains('\u{1b}'));
}

#[test]
fn a_file_cannot_steer_the_terminal_that_it_is_shown_on() {
    let daemon = one_file(b"first\x1b]0;title\x07\nsecond\xff", false);
    let mut command = ctl::command(daemon.runtime(), &["safe", "cat", "Plans:/report.odt"]);
    command.env("TERM", "dumb");
    let seen = spawn_command(command, Some(WAIT)).unwrap().exp_eof().unwrap();
    assert!(seen.contains("first\\u{1b}]0;title") && seen.contains("second"), "{seen:?}");
    assert!(!seen.contains(['\u{1b}', '\u{7}']), "{seen:?}");
    let said = daemon.ctl(&["safe", "cat", "Plans:/report.odt"]).well();
    assert!(said.stdout.contains('\u{1b}'), "a program gets it as it is");
    let said = daemon.ctl(&["safe", "get", "Plans:/report.odt", "-"]).well();
    assert!(said.stdout.starts_with("first\u{1b}"));
}

#[test]
fn who_is_let_in_is_shown_first_and_named_by_the_whole_id() {
    let daemon = FakeDaemon::start(|name, _, _| match name {
        method::SAFE_SHOW | method::USER_SHOW | method::SAFE_SHARE | method::SAFE_UNSHARE => {
            Reply::result(answer(name))
        }
        _ => otherwise(name),
    });
    let (shown, member) = (answer(method::SAFE_SHOW), answer(method::USER_SHOW));
    let user = &member["member"]["user"];
    for (verb, call) in [("share", method::SAFE_SHARE), ("unshare", method::SAFE_UNSHARE)] {
        let line = ["safe", verb, "Plans", "bob@example.org"];
        let said = daemon.ctl(&line);
        assert_eq!(said.code, 64, "nobody is there to say yes: {said:?}");
        assert!(said.stderr.contains("--yes") && daemon.asked(call).is_empty());

        let mut session = spawn_command(ctl::command(daemon.runtime(), &line), Some(WAIT)).unwrap();
        for words in [
            member["member"]["email"].as_str().unwrap(),
            "since",
            member["chain"][0]["signed_by"].as_str().unwrap(),
        ] {
            session.exp_string(words).unwrap();
        }
        session.exp_string("Type yes").unwrap();
        session.send_line("y").unwrap();
        session.exp_string("nothing was changed").unwrap();
        assert!(daemon.asked(call).is_empty(), "a y is no yes");

        let _ = daemon.ctl(&[&line[..], &["--yes"]].concat()).well();
        let asked = &daemon.asked(call)[0];
        assert_eq!((&asked["safe"], &asked["member"]), (&shown["safe"]["safe"], user), "whole ids");
    }
    assert_eq!(daemon.asked(method::SAFE_SHARE)[0]["role"], "contributor");
}

#[test]
fn a_safe_that_is_not_there_is_named_with_a_remedy() {
    let daemon = FakeDaemon::start(|name, _, _| match name {
        method::FILE_LIST | method::FILE_STAT | method::SAFE_SHOW => {
            Reply::problem(ProblemKind::SafeUnknown, "There is no safe Plons on this device.")
        }
        _ => otherwise(name),
    });
    for line in [
        &["safe", "ls", "Plons:/"][..],
        &["safe", "get", "Plons:/x"],
        &["safe", "put", "/etc/hostname", "Plons:/x"],
        &["safe", "show", "Plons"],
        &["safe", "share", "Plons", "bob@example.org", "--yes"],
    ] {
        let said = daemon.ctl(line);
        assert_eq!(said.code, 68, "{line:?}: {said:?}");
        assert!(said.stderr.contains("Plons") && said.stderr.contains("parsecctl safe list"), "{said:?}");
    }
    // An older daemon knows no safes at all.
    let said = daemon.ctl(&["safe", "list"]);
    assert_eq!((said.code, said.stderr.contains("unknown_method")), (64, true), "{said:?}");
}
