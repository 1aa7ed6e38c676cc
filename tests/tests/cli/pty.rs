//! Two people at two real terminals: what they see, what they type, and that Enter alone never
//! accepts anything.

use std::fmt::Write as _;

use parsec_protocol::control::InviteResult;
use parsec_tests::ctl;
use parsec_tests::device::Device;
use parsec_tests::fixture::{BOB_EMAIL, BOB_PASSWORD, Fixture, FixtureOptions};
use parsec_tests::process::Daemon;
use rexpect::session::{PtySession, spawn_command};

/// Every screen is a session of its own, and the device was unlocked by none of them.
const CONFIRMED: FixtureOptions = FixtureOptions {
    organisation: "acme",
    typed_codes: false,
    direct: false,
    daemon: Daemon::LightKeyFiles,
    server_options: &[],
    daemon_options: &["--approval", "device"],
    within: "/tmp",
};
/// Longest wait for words on a screen, in milliseconds.
const WAIT: u64 = 120_000;

/// A person's screen: what has been seen on it, to look things up and to search.
struct Screen {
    session: PtySession,
    seen: String,
}

impl Screen {
    fn open(device: &Device, arguments: &[&str]) -> Self {
        let mut command = ctl::command(&device.runtime(), arguments);
        command.env("TERM", "dumb");
        Self { session: spawn_command(command, Some(WAIT)).unwrap(), seen: String::new() }
    }

    /// Reads until the words are there; returns what came before them.
    fn see(&mut self, words: &str) -> String {
        match self.session.exp_string(words) {
            Ok(before) => {
                let _ = write!(self.seen, "{before}{words}");
                before
            }
            Err(error) => panic!("no {words:?}: {error}\nseen before:\n{}", self.seen),
        }
    }

    fn answer(&mut self, line: &str) {
        self.session.send_line(line).unwrap();
    }

    /// The rest, to the end; and the exit code.
    fn end(&mut self) -> i32 {
        let rest = self.session.exp_eof().unwrap();
        self.seen.push_str(&rest);
        // The type is not exported: `Exited(Pid(17), 76)`.
        let status = format!("{:?}", self.session.process().wait().unwrap());
        let code =
            status.strip_prefix("Exited(").and_then(|rest| rest.trim_end_matches(')').rsplit(", ").next());
        code.and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{status}"))
    }
}

/// The code on a screen that says "Say this code aloud".
fn code_to_say(screen: &mut Screen) -> String {
    screen.see("Say this code aloud:");
    let shown = screen.see("They look for it");
    let code = shown.split_whitespace().next().unwrap();
    assert!(code.len() == 4, "{shown}");
    code.to_owned()
}

/// The number that stands before a code in a list of four.
fn number_of(list: &str, code: &str) -> String {
    let line = list.lines().find(|line| line.contains(code)).unwrap_or_else(|| panic!("no {code} in {list}"));
    line.trim().split(')').next().unwrap().to_owned()
}

/// Alice's screen and Bob's, with the link pasted.
fn both_start(fixture: &Fixture, bob: &Device, invitation: &InviteResult) -> (Screen, Screen) {
    let alice_sees = Screen::open(&fixture.alice, &["greet", BOB_EMAIL]);
    let mut bob_sees = Screen::open(bob, &["claim"]);
    bob_sees.see("Paste the link");
    bob_sees.answer(invitation.link.expose());
    (alice_sees, bob_sees)
}

#[test]
fn two_people_two_devices_one_phone() {
    let fixture = Fixture::found(CONFIRMED);
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let (mut alice_sees, mut bob_sees) = both_start(&fixture, &bob, &invitation);

    // Bob reads out his code. Alice presses Enter, then types nonsense: nothing is chosen.
    let said = code_to_say(&mut bob_sees);
    alice_sees.see("Which code does");
    let list = alice_sees.see("or type the code: ");
    assert_eq!(list.matches(')').count(), 5, "four codes and none of these: {list}");
    alice_sees.answer("");
    alice_sees.see("Enter alone chooses nothing");
    alice_sees.see("or type the code: ");
    alice_sees.answer("yes");
    alice_sees.see("neither a number");
    alice_sees.see("or type the code: ");
    alice_sees.answer(&number_of(&list, &said));

    // Alice reads out hers. Bob types it.
    let said = code_to_say(&mut alice_sees);
    bob_sees.see("or type the code: ");
    bob_sees.answer("");
    bob_sees.see("Enter alone chooses nothing");
    bob_sees.see("or type the code: ");
    bob_sees.answer(&said.to_lowercase());

    bob_sees.see("I found your code");
    bob_sees.see("Your name: ");
    bob_sees.answer("Bob Quillfeather");
    bob_sees.see("Name of this device");
    bob_sees.answer("walnut laptop");

    // Enter keeps names and the profile; it never vouches.
    alice_sees.see("Name [");
    alice_sees.answer("");
    alice_sees.see("Device [");
    alice_sees.answer("");
    alice_sees.see("Profile [standard]: ");
    alice_sees.answer("");
    for no in ["", "y", "ok"] {
        alice_sees.see("Type yes in full to vouch");
        alice_sees.answer(no);
        alice_sees.see("Only the word yes vouches");
    }
    alice_sees.see("Type yes in full to vouch");
    assert!(bob.devices().is_empty());
    alice_sees.answer("yes");

    bob_sees.see("Password (not shown): ");
    bob_sees.answer("12345678");
    bob_sees.see("Try again");
    bob_sees.see("Password (not shown): ");
    bob_sees.answer(BOB_PASSWORD);
    bob_sees.see("The same again: ");
    bob_sees.answer("something else");
    bob_sees.see("not the same");
    bob_sees.see("Password (not shown): ");
    bob_sees.answer(BOB_PASSWORD);
    bob_sees.see("The same again: ");
    bob_sees.answer(BOB_PASSWORD);

    assert_eq!(bob_sees.end(), 0, "{}", bob_sees.seen);
    assert_eq!(alice_sees.end(), 0, "{}", alice_sees.seen);
    assert!(bob_sees.seen.contains("Done: you are a member of acme"), "{}", bob_sees.seen);
    assert!(alice_sees.seen.contains("is a member of acme. You vouched for them."), "{}", alice_sees.seen);
    for hidden in [BOB_PASSWORD, invitation.link.expose(), "something else"] {
        assert!(!bob_sees.seen.contains(hidden), "{hidden} was shown:\n{}", bob_sees.seen);
    }
    assert_eq!(bob.verify().unwrap().users, 2);
}

#[test]
fn none_of_these_ends_it_on_both_screens() {
    let fixture = Fixture::found(CONFIRMED);
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let (mut alice_sees, mut bob_sees) = both_start(&fixture, &bob, &invitation);
    code_to_say(&mut bob_sees);
    alice_sees.see("or type the code: ");
    alice_sees.answer("n");
    assert_eq!(alice_sees.end(), 76, "{}", alice_sees.seen);
    assert_eq!(bob_sees.end(), 76, "{}", bob_sees.seen);
    assert!(bob.devices().is_empty());
    assert_eq!(fixture.alice.verify().unwrap().count, 2);
}

#[test]
fn ctrl_c_ends_it_on_both_sides_and_the_link_stays_good() {
    let fixture = Fixture::found(CONFIRMED);
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let (mut alice_sees, mut bob_sees) = both_start(&fixture, &bob, &invitation);
    code_to_say(&mut bob_sees);
    alice_sees.see("or type the code: ");
    bob_sees.session.send_control('c').unwrap();
    assert_eq!(bob_sees.end(), 130, "{}", bob_sees.seen);
    assert_eq!(alice_sees.end(), 75, "{}", alice_sees.seen);
    let ends = fixture.enrol(
        &bob,
        &invitation,
        parsec_tests::fixture::BOB,
        parsec_protocol::control::ChoiceMode::Picked,
    );
    assert!(ends.claimer.is_ok() && ends.greeter.is_ok(), "{ends:?}");
}
