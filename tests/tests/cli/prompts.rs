//! Prompts at a real terminal: what is typed in secret is not shown, and whatever ends the program,
//! the terminal is as it was before.

use std::process::Command;

use parsec_protocol::control::{DeviceSelector, RecoveryCreate, RecoveryCreated, method};
use parsec_tests::device::Device;
use parsec_tests::fixture::{ALICE_PASSWORD, BOB_EMAIL, Fixture, FixtureOptions};
use parsec_tests::process::{binary, signal_by_id};
use rexpect::session::{PtySession, spawn_command};
use rustix::process::Signal;
use rustix::termios::{Winsize, tcgetpgrp, tcsetwinsize};

/// Longest wait for words on a screen, in milliseconds.
const WAIT: u64 = 120_000;
/// Shows the terminal's settings before and after, and the exit code between.
const BETWEEN: &str =
    r#"echo "before $(stty -g)."; "$@"; code=$?; echo; echo "after $(stty -g)."; echo "code $code.""#;

/// parsecctl under a shell at a terminal of its own.
fn open(device: &Device, arguments: &[&str]) -> PtySession {
    let mut command = Command::new("sh");
    command.args(["-c", BETWEEN, "sh"]).arg(binary("parsecctl")).args(arguments);
    command.env("XDG_RUNTIME_DIR", device.runtime()).env("TERM", "xterm").env_remove("NO_COLOR");
    spawn_command(command, Some(WAIT)).unwrap()
}

/// The settings before, once the program has asked.
fn asked(session: &mut PtySession, question: &str) -> String {
    session.exp_string("before ").unwrap();
    let before = session.exp_string(".").unwrap();
    session.exp_string(question).unwrap();
    before
}

/// The settings after, the exit code, and what was said until then.
fn ended(session: &mut PtySession) -> (String, String, String) {
    let said = session.exp_string("after ").unwrap();
    let after = session.exp_string(".").unwrap();
    session.exp_string("code ").unwrap();
    (after, session.exp_string(".").unwrap(), said)
}

/// The program's process: the child of the shell that has the device.
fn program(session: &PtySession) -> u32 {
    let master = session.process().get_file_handle().unwrap();
    let shell = tcgetpgrp(&master).unwrap().as_raw_nonzero();
    let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
    children.trim().parse().unwrap()
}

#[test]
fn whatever_ends_a_hidden_prompt_the_terminal_is_as_it_was() {
    let fixture = Fixture::found(FixtureOptions::default());
    let question = "Password of this device's keys (not shown): ";
    let secret = "half a passw";

    for (signal, code) in
        [(Signal::TERM, "143"), (Signal::HUP, "129"), (Signal::QUIT, "131"), (Signal::INT, "130")]
    {
        let mut session = open(&fixture.alice, &["device", "unlock"]);
        let before = asked(&mut session, question);
        session.send(secret).unwrap();
        session.flush().unwrap();
        signal_by_id(program(&session), signal);
        let (after, ended, said) = ended(&mut session);
        assert_eq!((after, ended.as_str()), (before, code), "{signal:?}");
        assert!(!said.contains(secret), "{said}");
    }
    for (control, code) in [('c', "130"), ('d', "130")] {
        let mut session = open(&fixture.alice, &["device", "unlock"]);
        let before = asked(&mut session, question);
        session.send_control(control).unwrap();
        let (after, ended, _) = ended(&mut session);
        assert_eq!((after, ended.as_str()), (before, code), "Ctrl-{control}");
    }
    // A window that changes its size in the middle changes nothing else.
    let mut session = open(&fixture.alice, &["device", "unlock"]);
    let before = asked(&mut session, question);
    let size = Winsize { ws_row: 10, ws_col: 20, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(session.process().get_file_handle().unwrap(), size).unwrap();
    session.send_line(ALICE_PASSWORD).unwrap();
    let (after, code, said) = ended(&mut session);
    assert_eq!((after, code.as_str()), (before, "0"), "{said}");
    assert!(said.contains("is unlocked") && !said.contains(ALICE_PASSWORD), "{said}");
}

/// A shell with job control, which leaves the terminal's settings to its jobs.
fn shell(device: &Device) -> PtySession {
    let mut command = Command::new("sh");
    let folder = binary("parsecctl");
    let path = format!("{}:{}", folder.parent().unwrap().display(), std::env::var("PATH").unwrap());
    command.args(["-i", "-m"]).env("PATH", path).env("PS1", "READY> ").env_remove("ENV");
    command.env("XDG_RUNTIME_DIR", device.runtime()).env("TERM", "xterm").env("NO_COLOR", "1");
    let mut session = spawn_command(command, Some(WAIT)).unwrap();
    session.exp_string("READY> ").unwrap();
    // What plays the screen here switches the echo off, and no person's screen is so.
    session.send_line("stty sane").unwrap();
    session.exp_string("READY> ").unwrap();
    session
}

/// Ends a shell in order: one that is asked for commands ignores what would end another program,
/// and would be waited for.
fn leave(mut session: PtySession) {
    session.send_line("exit").unwrap();
    session.exp_eof().unwrap();
}

/// Whether the terminal echoes and sends signals, as a job of that shell sees it.
fn echoes(session: &mut PtySession) -> bool {
    session.send_line("stty -a").unwrap();
    let settings = session.exp_string("READY> ").unwrap();
    let on = |word: &str| settings.split_whitespace().any(|it| it.trim_end_matches(';') == word);
    assert_ne!(on("echo"), on("-echo"), "{settings}");
    on("echo") && on("isig")
}

#[test]
fn stopped_and_continued_a_hidden_prompt_stays_hidden_and_the_shell_has_its_echo() {
    let fixture = Fixture::found(FixtureOptions::default());
    let question = "Password of this device's keys (not shown): ";
    let mut session = shell(&fixture.alice);
    session.send_line("parsecctl device unlock").unwrap();
    session.exp_string(question).unwrap();

    // Ctrl-Z in the middle of the password: the shell's terminal is as it was.
    session.send("half a passw").unwrap();
    session.send_control('z').unwrap();
    let said = session.exp_string("READY> ").unwrap();
    assert!(!said.contains("half"), "{said}");
    assert!(echoes(&mut session));
    // Back again: the question stands, and nothing is shown. Then somebody else stops it, in a way
    // that no program sees.
    session.send_line("fg").unwrap();
    session.exp_string(question).unwrap();
    let job = tcgetpgrp(session.process().get_file_handle().unwrap()).unwrap();
    for signal in [Signal::TSTP, Signal::STOP] {
        signal_by_id(job.as_raw_nonzero().get().unsigned_abs(), signal);
        session.exp_string("READY> ").unwrap();
        // What shells with more care do: their own settings, with echo.
        session.send_line("stty sane").unwrap();
        session.exp_string("READY> ").unwrap();
        assert!(echoes(&mut session));
        session.send_line("fg").unwrap();
        session.exp_string(question).unwrap();
    }
    session.send_line(ALICE_PASSWORD).unwrap();
    let said = session.exp_string("is unlocked").unwrap();
    assert!(!said.contains(ALICE_PASSWORD) && !said.contains("half"), "{said}");
    session.exp_string("READY> ").unwrap();
    assert!(echoes(&mut session));
    leave(session);
}

/// What was pasted is read to its end: a link broken over lines is taken whole, and nothing is left
/// for the shell to run.
#[test]
fn what_is_pasted_at_a_hidden_prompt_does_not_spill_into_the_shell() {
    let fixture = Fixture::found(FixtureOptions {
        daemon_options: &["--approval", "device"],
        ..FixtureOptions::default()
    });
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let (first, second) = invitation.link.expose().split_at(40);
    let mut session = shell(&bob);
    session.send_line("parsecctl claim").unwrap();
    session.exp_string("(it is not shown): ").unwrap();
    session.send(&format!("{first}\n{second}\n")).unwrap();
    session.flush().unwrap();
    let mut said = session.exp_string("You are about to join acme").unwrap();
    session.send_control('c').unwrap();
    said.push_str(&session.exp_string("READY> ").unwrap());
    leave(session);

    let mut session = shell(&fixture.alice);
    session.send_line("parsecctl device unlock").unwrap();
    session.exp_string("(not shown): ").unwrap();
    session.send(&format!("{ALICE_PASSWORD}\necho spilled\n")).unwrap();
    session.flush().unwrap();
    said.push_str(&session.exp_string("is unlocked").unwrap());
    session.exp_string("READY> ").unwrap();
    session.send_line("echo the end").unwrap();
    session.exp_string("echo the end").unwrap();
    said.push_str(&session.exp_string("the end").unwrap());
    session.exp_string("READY> ").unwrap();
    leave(session);
    for lost in [second, "spilled", ALICE_PASSWORD] {
        assert!(!said.contains(lost), "{lost}: {said}");
    }
}

/// For ears: letters one by one, no columns, nothing drawn, no escape.
#[test]
fn a_plain_ceremony_spells_its_codes() {
    let fixture = Fixture::found(FixtureOptions {
        daemon_options: &["--approval", "device"],
        ..FixtureOptions::default()
    });
    let bob = fixture.device("bob");
    let invitation = fixture.alice.invite(BOB_EMAIL).unwrap();
    let mut alice_sees = open(&fixture.alice, &["greet", BOB_EMAIL, "--plain"]);
    let mut bob_sees = open(&bob, &["claim", "--plain"]);
    asked(&mut bob_sees, "Paste the link");
    bob_sees.send_line(invitation.link.expose()).unwrap();

    let mut heard = bob_sees.exp_string("Say this code aloud:").unwrap();
    let code = bob_sees.exp_string("They look for it").unwrap();
    let letter = code.trim().chars().next().unwrap();
    assert!(code.trim()[4..].starts_with(&format!(": {letter} for ")), "{code}");
    assert_eq!(code.matches(" for ").count(), 4, "{code}");

    asked(&mut alice_sees, "Which code does");
    let list = alice_sees.exp_string("or type the code: ").unwrap();
    assert_eq!(list.matches(" for ").count(), 16, "four codes of four: {list}");
    heard.push_str(&code);
    heard.push_str(&list);
    assert!(!heard.contains("  ") && !heard.contains('\x1b'), "{heard:?}");

    alice_sees.send_control('c').unwrap();
    assert_eq!(ended(&mut alice_sees).1, "130");
    assert_eq!(ended(&mut bob_sees).1, "75");
}

/// On a terminal with colours the picture brings its own, whatever the terminal's are, and gives
/// them back at each line's end.
#[test]
fn a_picture_brings_its_colours_to_a_terminal_that_has_some() {
    let fixture = Fixture::found(FixtureOptions {
        daemon_options: &["--approval", "device"],
        ..FixtureOptions::default()
    });
    for (no_colour, coloured) in [(false, true), (true, false)] {
        let mut command = Command::new(binary("parsecctl"));
        command.args(["invite", "device", "--qr"]).env("XDG_RUNTIME_DIR", fixture.alice.runtime());
        command.env("TERM", "xterm").env_remove("NO_COLOR");
        if no_colour {
            command.env("NO_COLOR", "1");
        }
        let mut session = spawn_command(command, Some(WAIT)).unwrap();
        let seen = session.exp_eof().unwrap();
        // The harness takes each byte for a character; these two begin every block.
        let rows: Vec<&str> = seen.lines().filter(|line| line.contains("\u{e2}\u{96}")).collect();
        assert!(rows.len() > 15, "{} rows", rows.len());
        for row in rows {
            assert_eq!(row.contains('\x1b'), coloured, "{row:?}");
            assert_eq!(row.trim_end().ends_with("\x1b[0m"), coloured, "{row:?}");
        }
    }
}

/// A kit's words are typed in sight, for nobody types 24 words unseen, and none is left in the
/// window, neither on the screen nor above it.
#[test]
fn the_words_of_a_kit_do_not_stay_on_the_screen() {
    const ROWS: u16 = 24;
    const COLUMNS: u16 = 60;
    let fixture = Fixture::found(FixtureOptions::default());
    let asked_for = RecoveryCreate { select: DeviceSelector::default(), label: None };
    let made: RecoveryCreated = fixture.alice.call(method::RECOVERY_CREATE, asked_for).unwrap();
    let words: Vec<String> = made.words.expose().split_whitespace().map(str::to_owned).collect();
    let mut session = open(&fixture.alice, &["recovery", "drill"]);
    let size = Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(session.process().get_file_handle().unwrap(), size).unwrap();
    let mut shown = String::new();
    // A word, a line wider than the screen, one with a wrong word among right ones, the rest.
    let wrong = format!("{} nosuchword", words[13]);
    let lines = [words[0].clone(), words[1..13].join(" "), wrong, words[13..].join(" ")];
    for (line, number) in lines.iter().zip([1, 2, 14, 14]) {
        let question = format!("Word {number} of 24: ");
        shown += &session.exp_string(&question).unwrap();
        shown += &question;
        session.send_line(line).unwrap();
    }
    let (_, code, said) = ended(&mut session);
    shown += &said;
    assert_eq!(code, "0", "{said}");
    assert!(words.iter().all(|word| shown.contains(word)), "nobody saw what was typed: {shown}");
    let [rows, columns] = [ROWS, COLUMNS].map(|size| std::num::NonZero::new(size).unwrap());
    let mut screen = vt100::Parser::new(rows, columns, 1_000);
    screen.process(shown.as_bytes());
    screen.screen_mut().set_scrollback(usize::MAX);
    let above = screen.screen().contents();
    screen.screen_mut().set_scrollback(0);
    let left = format!("{above}\n{}", screen.screen().contents());
    assert!(left.contains("opens everything") && left.contains("nosuchword"), "{left}");
    // One word alone may be any word of a sentence.
    assert!(!left.contains("of 24:"), "{left}");
    for two in words.windows(2) {
        assert!(!left.contains(&two.join(" ")), "{two:?} are still there: {left}");
    }
}
