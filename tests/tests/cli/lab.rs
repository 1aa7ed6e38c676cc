//! `parsecctl lab`: what it says, and its exit codes. It needs nothing but itself.

use parsec_tests::ctl;
use parsec_tests::process::binary;

/// Where no daemon is, and nothing may appear.
fn nowhere() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("parsec").tempdir_in("/tmp").unwrap()
}

#[test]
fn an_attack_is_told_step_by_step_and_judged() {
    let folder = nowhere();
    let line = ["lab", "--adversary", "two-handshakes", "--seed", "7"];
    let said = ctl::run(folder.path(), &line, "");
    assert_eq!(said.code, 0, "{}", said.stderr);
    let last = said.stdout.lines().next_back().unwrap();
    assert_eq!(last, "The design held: 0 certificates for the adversary, and an alert.");
    assert!(said.stdout.contains("ADVERSARY"), "{}", said.stdout);
    assert!(said.stdout.contains("The greeter was told"), "{}", said.stdout);
    assert_eq!(said.stdout, ctl::run(folder.path(), &line, "").stdout, "the same seed is the same run");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is written");
}

/// The verdict can be the other one: people who don't listen.
#[test]
fn a_design_that_falls_ends_with_70() {
    let folder = nowhere();
    let line = ["lab", "--adversary", "two-handshakes", "--people", "inattentive", "--runs", "100"];
    let said = ctl::run(folder.path(), &line, "");
    assert_eq!(said.code, 70, "{}", said.stdout);
    assert!(said.stdout.contains("THE DESIGN FELL"), "{}", said.stdout);
}

#[test]
fn every_strategy_is_played_and_listed() {
    let folder = nowhere();
    let listed = ctl::run(folder.path(), &["lab", "--list", "--json"], "").json();
    let played = ctl::run(folder.path(), &["lab", "--json"], "").json();
    let names = |value: &serde_json::Value, field: &str| -> Vec<String> {
        let all = value["strategies"].as_array().unwrap();
        all.iter().map(|one| one[field].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&listed, "name"), names(&played, "adversary"));
    assert_eq!(played["held"], true, "{played}");
}

/// Built in one workspace, with one set of features: what a program doesn't name is not in it all
/// the same.
#[test]
fn neither_daemon_nor_server_carries_an_adversary() {
    let carries = |name: &str| {
        let program = std::fs::read(binary(name)).unwrap();
        let words = b"shows a nonce and a root key of its own";
        program.windows(words.len()).any(|window| window == words)
    };
    assert!(carries("parsecctl"), "the control: where it is, it is found");
    assert!(!carries("parsecd") && !carries("parsec-metadata"));
}
