//! Names that do harm elsewhere: what a file system takes for a name comes back bit for bit on
//! another device, what it doesn't take is refused, and a screen shows neither so that it has an
//! effect.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use parsec_protocol::control::paths::{read_name, read_path, write_name};
use parsec_protocol::control::{SafeRole, SafeStanding};
use parsec_tests::ctl;
use parsec_tests::device::Device;
use parsec_tests::fixture::{BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::hostile::effect_in;
use parsec_tests::safes::{Safe, create};
use serde_json::Value;

use super::{PLANS, enrol_bob};

/// Names, each a kind of harm.
fn names() -> Vec<Vec<u8>> {
    let controls: Vec<u8> = (1..0x20).chain([0x7f]).collect();
    let texts = [
        // Terminals: clears, titles, the clipboard, eight bits, what reorders or hides.
        "\u{1b}[2J\u{1b}[H",
        "\u{1b}]0;title\u{7}",
        "\u{1b}]52;c;ZXZpbA==\u{7}",
        "\u{9b}31mred",
        "a\rb",
        "a\nb",
        "a\tb",
        "\u{8}\u{8}\u{8}b",
        "\u{202e}gpj.exe",
        "\u{2066}x\u{2069}",
        "\u{200e}",
        "\u{200f}a",
        "\u{61c}a",
        "zero\u{200b}width",
        "join\u{200d}er",
        "\u{feff}bom",
        "soft\u{ad}hyphen",
        "word\u{2060}joiner",
        "\u{2028}line",
        "\u{e0041}tag",
        "\u{3164}",
        "\u{85}",
        "\u{fdd0}",
        "\u{ffff}",
        "\u{10ffff}",
        "\u{e000}",
        // Pictures of several characters, and marks that climb.
        "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}",
        "\u{1f1eb}\u{1f1f7}",
        "\u{1f44d}\u{1f3fd}",
        "\u{2764}\u{fe0f}",
        "Z\u{310}\u{311}\u{312}\u{313}\u{314}\u{315}\u{316}\u{317}",
        "\u{301}alone",
        // Twins: of form, of case, of look.
        "caf\u{e9}",
        "cafe\u{301}",
        "Readme",
        "README",
        "readme",
        "\u{130}",
        "i\u{307}",
        "\u{df}",
        "ss",
        "SS",
        "\u{212a}",
        "K",
        "k",
        "\u{430}",
        "a",
        "\u{ff41}",
        "\u{fb01}",
        "fi",
        "\u{2126}",
        "\u{3a9}",
        "\u{ac00}",
        "\u{1100}\u{1161}",
        // Dots, spaces, and what other systems keep for themselves.
        "...",
        "..a",
        "a..",
        ".hidden",
        "end.",
        "end..",
        "end ",
        " start",
        " ",
        "  ",
        "\u{a0}",
        "CON",
        "nul",
        "aux.txt",
        "LPT1",
        "a:b",
        "C:",
        "desktop.ini",
        ".DS_Store",
        ".git",
        "a?b",
        "a*b",
        "a|b",
        "a<b>c",
        "\"q\"",
        // Shells and programs.
        "-",
        "--",
        "-rf",
        "--help",
        "--force",
        "$(touch x)",
        "`touch x`",
        "; touch x",
        "&& touch x",
        "a b",
        "'",
        "\"",
        "*",
        "?",
        "[a]",
        "{a,b}",
        "~",
        "~root",
        "!!",
        "#",
        "$HOME",
        "%s%n%x",
        "=x",
        "@x",
        "a=b",
        // Paths and escapes of ours.
        "\\",
        "\\\\",
        "\\x41",
        "\\xff",
        "\\u{1b}",
        "\\n",
        "a\\",
        "Plans:",
        "%2f",
        "%00",
        "null",
        "{}",
        "\",\"x\":\"",
    ];
    let bytes: [&[u8]; 9] = [
        b"\xff\xfe",
        b"\x80",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xe2\x82",
        b"a\xffb",
        b"\xf5\x80\x80\x80",
        b"\xfe.txt",
        b"\xc3",
    ];
    let mut all: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    all.extend(bytes.map(<[u8]>::to_vec));
    all.extend([controls, vec![b'x'; 255], "é".repeat(127).into_bytes(), vec![0xff; 255]]);
    all.push(format!("{}.docx", "\u{1f600}".repeat(62)).into_bytes());
    all
}

/// Every file of a folder, by its name, with its contents; folders are none.
fn contents(folder: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let all = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let files = all.filter(|entry| entry.file_type().unwrap().is_file());
    files.map(|entry| (entry.file_name().as_bytes().to_vec(), fs::read(entry.path()).unwrap())).collect()
}

/// A safe of both, with every name in `/names` and one more in a folder of each of a few.
fn both() -> (Fixture, Device, BTreeMap<Vec<u8>, Vec<u8>>) {
    let fixture = Fixture::found(FixtureOptions::default());
    let bob = enrol_bob(&fixture);
    let made = create(&fixture.alice, PLANS);
    Safe { device: &fixture.alice, name: PLANS }.share(BOB_EMAIL, SafeRole::Contributor).unwrap();
    let _ = bob.until_safe(|it| it.safe == made.safe && it.standing == SafeStanding::Offered);
    Safe { device: &bob, name: &made.safe.to_string() }.accept().unwrap();
    let folder = fixture.path("names");
    fs::create_dir(&folder).unwrap();
    for name in names() {
        let text = [b"named ", name.as_slice()].concat();
        fs::write(folder.join(OsStr::from_bytes(&name)), text).unwrap();
    }
    let deep = folder.join(OsStr::from_bytes(b"folder \xff\x1b[2J")).join("\u{202e}deep");
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("-n"), "deep").unwrap();
    let all = contents(&folder);
    assert_eq!(all.len(), names().len(), "no two names are one to this machine's file system");
    let said = fixture.alice.ctl(&["safe", "put", "-r", folder.to_str().unwrap(), "Plans:/names"]).well();
    assert_eq!(effect_in(&said.stdout), None, "{said:?}");
    Safe { device: &bob, name: PLANS }.sync();
    (fixture, bob, all)
}

#[test]
fn every_name_that_a_file_system_takes_comes_back_and_steers_nothing() {
    let (fixture, bob, all) = both();
    let out = fixture.path("out");
    let said = bob.ctl(&["safe", "get", "-r", "Plans:/names", out.to_str().unwrap()]).well();
    assert_eq!(effect_in(&said.stdout), None, "{said:?}");
    assert_eq!(contents(&out), all);
    let deep = out.join(OsStr::from_bytes(b"folder \xff\x1b[2J")).join("\u{202e}deep/-n");
    assert_eq!(fs::read(deep).unwrap(), b"deep");

    // A program gets the names themselves, one object a line, in JSON that steers nothing either.
    let said = bob.ctl(&["safe", "ls", "Plans:/names", "--json"]).well();
    assert_eq!(effect_in(&said.stdout), None);
    let listed: BTreeSet<Vec<u8>> = said
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|entry| entry["kind"] == "file")
        .map(|entry| read_path(entry["path"].as_str().unwrap()).unwrap().pop().unwrap())
        .collect();
    assert_eq!(listed, all.keys().cloned().collect());

    // What a screen shows can be typed, and is that file: one line each, whatever is in the name.
    let said = bob.ctl(&["safe", "ls", "Plans:/names"]).well();
    assert_eq!(effect_in(&said.stdout), None);
    let shown: Vec<&str> = said.stdout.lines().filter(|line| !line.ends_with('/')).collect();
    let typed: BTreeSet<Vec<u8>> = shown.iter().map(|line| read_name(line).unwrap()).collect();
    assert_eq!(typed, listed, "each name has one line, and reads back");
    let table = bob.ctl(&["safe", "ls", "-lR", "Plans:/"]).well();
    assert_eq!(effect_in(&table.stdout), None);

    // One by one, by every command that takes a path, in a folder where no option is meant.
    let here = fixture.path("here");
    fs::create_dir(&here).unwrap();
    for name in shown.iter().step_by(7) {
        let place = format!("Plans:/names/{name}");
        let mut get = ctl::command(&bob.runtime(), &["safe", "get", &place]);
        let done = ctl::said(&get.current_dir(&here).output().unwrap()).well();
        assert_eq!(effect_in(&done.stdout), None, "{done:?}");
        let to = format!("/moved/{name}");
        let _ = bob.ctl(&["safe", "mkdir", "-p", "Plans:/moved", "--saved"]).well();
        for line in [
            &["safe", "stat", &place][..],
            &["safe", "cp", &place, &to, "--saved"],
            &["safe", "rm", &format!("Plans:{to}"), "--saved"],
        ] {
            let said = bob.ctl(line).well();
            assert_eq!(effect_in(&said.stdout), None, "{line:?}: {said:?}");
        }
    }
    let got = contents(&here);
    assert!(!got.is_empty() && got.iter().all(|(name, text)| all[name] == *text));
    for (log, whose) in [(fixture.alice.log(), "Alice"), (bob.log(), "Bob")] {
        assert_eq!(effect_in(&log), None, "{whose}'s log");
    }
    println!("figure B7: {} names, bit for bit on another device, 0 effects on a screen", all.len());
}

#[test]
fn a_name_that_no_file_system_takes_is_refused_with_its_reason() {
    let fixture = Fixture::found(FixtureOptions::default());
    let _ = create(&fixture.alice, PLANS);
    let long = "x".repeat(256);
    let wide = "é".repeat(128);
    let deep = "/d".repeat(101);
    for bad in [
        "/.",
        "/..",
        "/a/../b",
        "/a//b",
        "/x\\x00y",
        "/a\\x2fb",
        "/\\x2e",
        "/\\x2e\\x2e",
        "/\\q",
        "/a\\",
        "/\\x4",
        &format!("/{long}"),
        &format!("/{wide}"),
        &deep,
    ] {
        let said = fixture.alice.ctl(&["safe", "mkdir", "-p", &format!("Plans:{bad}")]);
        assert_eq!((said.code, said.stdout.as_str()), (64, ""), "{bad}: {said:?}");
        assert!(said.stderr.contains("path") || said.stderr.contains("backslash"), "{bad}: {said:?}");
    }
    let safe = Safe { device: &fixture.alice, name: PLANS };
    assert_eq!(safe.paths().unwrap(), Vec::<String>::new());
    // The longest that fit do.
    let _ = fixture.alice.ctl(&["safe", "mkdir", "-p", &format!("Plans:{}", "/d".repeat(100))]).well();
}

#[test]
fn a_conflict_copy_of_any_name_has_a_name_that_a_file_system_takes() {
    let (mut fixture, bob, all) = both();
    fixture.server.kill();
    for (device, by) in [(&fixture.alice, &b"Alice's "[..]), (&bob, b"Bob's ")] {
        for name in all.keys() {
            let path = format!("/names/{}", write_name(name));
            let saved = Safe { device, name: PLANS }.put(&path, &[by, name.as_slice()].concat(), 0).unwrap();
            assert!(saved.saved, "{path}");
        }
    }
    fixture.restart_server();
    for device in [&fixture.alice, &bob, &fixture.alice] {
        Safe { device, name: PLANS }.sync();
    }
    let out = fixture.path("out");
    let _ = bob.ctl(&["safe", "get", "-r", "Plans:/names", out.to_str().unwrap()]).well();
    let got = contents(&out);
    assert_eq!(got.len(), 2 * all.len(), "nobody's contents are lost, and no name is another's");
    for name in all.keys() {
        let wanted: BTreeSet<Vec<u8>> =
            [&b"Alice's "[..], b"Bob's "].iter().map(|by| [*by, name.as_slice()].concat()).collect();
        let kept = &got[name];
        assert!(wanted.contains(kept), "{name:?}");
        let other = wanted.iter().find(|text| *text != kept).unwrap();
        let copies: Vec<_> = got.iter().filter(|(_, text)| *text == other).collect();
        assert_eq!(copies.len(), 1, "{name:?}");
        let copied = copies[0].0;
        assert!(String::from_utf8(copied.clone()).is_ok() || String::from_utf8(name.clone()).is_err());
    }
    let said = bob.ctl(&["safe", "conflicts", PLANS]).well();
    assert_eq!(effect_in(&said.stdout), None);
    println!("figure B7: {} conflict copies of them, each with a name that can be", all.len());
}
