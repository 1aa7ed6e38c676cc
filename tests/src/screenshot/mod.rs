//! A picture of the ceremony: two people at two real terminals, and what stands on their screens
//! when both codes agree.
//!
//! Decides at which moment the picture is taken, and what of it differs from run to run. Refuses to
//! make anything up: every row comes out of a terminal emulator that was fed the bytes which
//! `parsecctl` wrote.

pub mod newcomer;
pub mod svg;

use std::num::NonZero;

use parsec_protocol::control::InviteResult;
use rexpect::session::{PtySession, spawn_command};

use crate::ctl;
use crate::device::Device;
use crate::fixture::{BOB_EMAIL, Fixture, FixtureOptions};
use crate::process::Daemon;

/// Columns of each screen: the longest line of the steps that are shown has 64.
pub const COLUMNS: u16 = 66;
/// Rows of each screen: what the newcomer's shows from the first code on.
const ROWS: u16 = 32;
/// Longest wait for words on a screen, in milliseconds.
const WAIT: u64 = 120_000;
/// Characters of a code.
const CODE_LENGTH: usize = 4;

/// Each screen is a session of its own, in which nobody has given the password yet.
const CONFIRMED: FixtureOptions = FixtureOptions {
    organisation: "acme",
    typed_codes: false,
    direct: true,
    daemon: Daemon::LightKeyFiles,
    server_options: &[],
    daemon_options: &["--approval", "device"],
    within: "/tmp",
};

/// One person's screen at the moment of the picture.
#[derive(Debug)]
pub struct Screen {
    /// Whose screen, and the command that runs on it.
    pub title: String,
    /// The rows that are not empty at the end, without spaces at theirs.
    pub rows: Vec<String>,
}

/// Enrols Bob as far as both codes were recognised; returns Bob's screen and Alice's.
///
/// # Panics
/// If a screen doesn't show what it should within two minutes.
#[must_use]
pub fn ceremony() -> [Screen; 2] {
    let fixture = Fixture::found(CONFIRMED);
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let [mut claimer, mut greeter] = both_start(&fixture.alice, &bob, &invitation);

    let code = code_to_say(&mut claimer);
    greeter.see("Which code does");
    let list = greeter.see("or type the code: ");
    greeter.answer(&number_of(&list, &code));
    let code = code_to_say(&mut greeter);
    claimer.see("Which code does");
    let list = claimer.see("or type the code: ");
    claimer.answer(&number_of(&list, &code));

    claimer.see("Your name: ");
    [claimer.screen("Bob, the newcomer: parsecctl claim"), greeter.screen("Alice, a member: parsecctl greet")]
}

fn both_start(alice: &Device, bob: &Device, invitation: &InviteResult) -> [Recording; 2] {
    let greeter = Recording::start(alice, &["greet", BOB_EMAIL]);
    let mut claimer = Recording::start(bob, &["claim"]);
    claimer.see("Paste the link");
    claimer.answer(invitation.link.expose());
    [claimer, greeter]
}

/// The code on a screen that says "Say this code aloud".
fn code_to_say(recording: &mut Recording) -> String {
    recording.see("Say this code aloud:");
    let shown = recording.see("They look for it");
    // The line below, to its end: it waits for the other person.
    recording.see("...");
    shown.split_whitespace().next().unwrap().to_owned()
}

/// The number that stands before a code in a list of four.
fn number_of(list: &str, code: &str) -> String {
    let line = list.lines().find(|line| line.contains(code)).unwrap_or_else(|| panic!("no {code} in {list}"));
    line.trim().split(')').next().unwrap().to_owned()
}

/// A running `parsecctl`, and all that it has written.
struct Recording {
    session: PtySession,
    written: String,
}

impl Recording {
    fn start(device: &Device, arguments: &[&str]) -> Self {
        let mut command = ctl::command(&device.runtime(), arguments);
        command.env("TERM", "xterm");
        Self { session: spawn_command(command, Some(WAIT)).unwrap(), written: String::new() }
    }

    /// Reads until the words are there; returns what came before them.
    fn see(&mut self, words: &str) -> String {
        let before = self.session.exp_string(words);
        let before = before.unwrap_or_else(|error| panic!("no {words:?}: {error}\n{}", self.written));
        self.written.push_str(&before);
        self.written.push_str(words);
        before
    }

    fn answer(&mut self, line: &str) {
        self.session.send_line(line).unwrap();
    }

    /// What a terminal shows of it.
    fn screen(&self, title: &str) -> Screen {
        let [rows, columns] = [ROWS, COLUMNS].map(|size| NonZero::new(size).unwrap());
        let mut emulator = vt100::Parser::new(rows, columns, 0);
        emulator.process(self.written.as_bytes());
        let mut rows: Vec<String> =
            emulator.screen().rows(0, COLUMNS).map(|row| row.trim_end().to_owned()).collect();
        rows.truncate(rows.iter().rposition(|row| !row.is_empty()).map_or(0, |last| last + 1));
        // From the first code on: what stands above is about getting together.
        let heading = rows.iter().position(|row| row.contains(", step 2 of 5"));
        Screen { title: title.to_owned(), rows: rows.split_off(heading.unwrap_or(0)) }
    }
}

/// A row without what differs from run to run: codes, how they are spelled, and which number was
/// picked.
#[must_use]
pub fn skeleton(row: &str) -> String {
    if let Some((question, _)) = row.split_once("or type the code:") {
        return format!("{question}or type the code:");
    }
    let code = |word: &str| {
        word.len() == CODE_LENGTH && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
    };
    match row.split_whitespace().find(|word| code(word)) {
        Some(found) => format!("{}CODE", row.split(found).next().unwrap_or_default()),
        None => row.to_owned(),
    }
}
