//! What is at rest after a real enrolment: the key file opens with the password and plain `age`;
//! stores, server and logs hold nothing that was to stay secret.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use minicbor::Decoder;
use parsec_protocol::control::ChoiceMode;
use parsec_protocol::enrol::link::Link;
use parsec_tests::ceremony::Bell;
use parsec_tests::fixture::{
    ALICE_AGAIN, ALICE_EMAIL, ALICE_PASSWORD, BOB, BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions,
};
use parsec_tests::logs::{Planted, files, search};
use parsec_tests::proxy::{Answer, Fate, Meddler, Request};
use parsec_tests::script::{self, Phone};
use parsec_tests::{installed, ready, skip};

/// Writes down what only headers carry.
#[derive(Default)]
struct Headers(Mutex<BTreeSet<String>>);

impl Meddler for Headers {
    fn answer(&self, request: &Request, _: &mut Answer) -> Fate {
        for header in &request.headers {
            if let Some(value) = header.to_lowercase().strip_prefix("parsec-attempt-secret:") {
                self.0.lock().unwrap().insert(value.trim().to_owned());
            }
        }
        Fate::Pass
    }
}

#[test]
fn nothing_secret_is_readable_anywhere() {
    let fixture = Fixture::found(FixtureOptions::default());
    let headers = Arc::new(Headers::default());
    let meddler: Arc<dyn Meddler> = Arc::clone(&headers) as _;
    fixture.proxy.meddle(meddler);
    let bob = fixture.device("bob");
    let tablet = fixture.device("alice2");
    let mut codes = BTreeSet::new();
    let mut planted = Vec::new();
    for (device, invitation, newcomer) in [
        (&bob, fixture.alice.invite(BOB_EMAIL).unwrap(), BOB),
        (&tablet, fixture.alice.invite_device().unwrap(), ALICE_AGAIN),
    ] {
        let bell = Arc::new(Bell::default());
        let mut claimer = device.claim(invitation.link.expose(), &bell).unwrap();
        let mut greeter = fixture.alice.greet(invitation.token, &bell).unwrap();
        codes.insert(claimer.code_to_say().unwrap());
        let ends = script::enrol(&mut claimer, &mut greeter, newcomer, Phone { mode: ChoiceMode::Picked });
        assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
        let link: Link = invitation.link.expose().parse().unwrap();
        planted.extend(Planted::bytes("link secret", link.secret.expose()));
    }
    for (what, text) in [
        ("Alice's name", "Alice Hollybrook"),
        ("Alice's label", "Alice's green desktop"),
        ("Bob's name", BOB.name.unwrap()),
        ("Bob's label", BOB.label),
        ("the tablet's label", ALICE_AGAIN.label),
        ("Alice's password", ALICE_PASSWORD),
        ("Bob's password", BOB_PASSWORD),
        ("the tablet's password", ALICE_AGAIN.password),
        ("the bootstrap token", fixture.bootstrap_token.as_str()),
    ] {
        planted.extend(Planted::text(what, text));
    }
    planted.extend(Planted::bytes("the bootstrap token", &unhex(&fixture.bootstrap_token)));
    let secrets = headers.0.lock().unwrap().clone();
    assert!(secrets.len() >= 2, "the proxy saw no attempt secret");
    for secret in &secrets {
        planted.extend(Planted::bytes("attempt secret", &unhex(secret)));
    }
    for code in &codes {
        planted.push(Planted { what: format!("the code {code}"), bytes: code.clone().into_bytes() });
    }
    if installed("age") {
        let record = decrypt(&key_file(&bob.data()), BOB_PASSWORD, &fixture.path("record")).unwrap();
        assert!(decrypt(&key_file(&bob.data()), "another password", &fixture.path("nothing")).is_none());
        for (name, key) in private_keys(&record) {
            planted.extend(Planted::bytes(name, &key));
        }
        std::fs::remove_file(fixture.path("record")).unwrap();
    } else {
        skip("the key file and age", "age is not installed");
    }

    // A newcomer keeps the attempt's secret until its device has found itself in the log.
    for newcomer in [&bob, &tablet] {
        for (path, _) in files(&newcomer.data()) {
            if path.ends_with("pending") {
                ready::gone(Path::new(&path));
            }
        }
    }
    let mut everywhere = Vec::new();
    for folder in ["server", "alice", "bob", "alice2"] {
        everywhere.extend(files(&fixture.path(folder)));
    }
    // The search can find things: addresses are known to the server, and said to be.
    let live = Planted { what: "Bob's address".into(), bytes: BOB_EMAIL.into() };
    assert!(search(&everywhere, &[live]).iter().any(|found| found.contains("/server/")));
    let found = search(&everywhere, &planted);
    assert!(found.is_empty(), "{found:#?}");
    // Inside the devices, addresses are as secret as names.
    let emails =
        [Planted::text("Alice's address", ALICE_EMAIL), Planted::text("Bob's address", BOB_EMAIL)].concat();
    let devices: Vec<_> = everywhere.into_iter().filter(|(path, _)| path.contains("/data/")).collect();
    assert!(devices.iter().any(|(path, _)| path.ends_with("store.db")), "no store was found");
    assert_eq!(search(&devices, &emails), Vec::<String>::new());
    println!(
        "figure S13: {} planted secrets and spellings of them, in all files of the server and three devices: 0 found",
        planted.len()
    );
    println!(
        "figure M15: {} codes that were said, and {} secrets: in no file and no log",
        codes.len(),
        planted.len()
    );
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn key_file(data: &Path) -> PathBuf {
    let found = files(data).into_iter().map(|(path, _)| path).find(|path| path.ends_with(".age"));
    PathBuf::from(found.unwrap())
}

/// Opens a key file with the `age` program, typing the password at its prompt; nothing if it
/// refuses.
fn decrypt(file: &Path, password: &str, to: &Path) -> Option<Vec<u8>> {
    let mut command = std::process::Command::new("age");
    command.arg("--decrypt").arg("--output").arg(to).arg(file);
    let mut terminal = rexpect::session::spawn_command(command, Some(60_000)).unwrap();
    terminal.exp_string("passphrase").unwrap();
    terminal.send_line(password).unwrap();
    let _ = terminal.exp_eof().unwrap();
    std::fs::read(to).ok()
}

/// The five secrets of the key file's record, fields 13 to 17.
fn private_keys(record: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut decoder = Decoder::new(record);
    let fields = decoder.array().unwrap().unwrap();
    assert!(fields >= 18);
    for _ in 0..13 {
        decoder.skip().unwrap();
    }
    ["user's seed", "device's seed", "signing key", "store key", "directory key"]
        .map(|name| (name, decoder.bytes().unwrap().to_vec()))
        .into()
}
